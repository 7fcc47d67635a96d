"""The facts of an exported encoder: the file `encoder.json` of its folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from babelmix._cache import place_for, remove_if_damaged, say_made_again
from babelmix._files import write_json
from babelmix.encoders.backend_names import STATIC
from babelmix.encoders.graph import LAYOUT
from babelmix.errors import EncoderError

FILE = "encoder.json"
ARRAYS = "steps.safetensors"
"""The arrays of the steps: `NUMBER.NAME`, where NUMBER is the place of the step."""

FORMAT = 1

_STATIC_LAYOUT = 1
_WHAT = "exported encoders"

_MOST = 64 << 20
_Positive = Annotated[int, Field(gt=0)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PoolingStep(_Strict):
    """The vector of a text from the vectors of its tokens.

    Args:
        modes: as in sentence-transformers; the results of several are joined.
        prompt_lengths: tokens of the prompt that are left out, by kind.

    """

    type: Literal["pooling"] = "pooling"
    modes: list[Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]] = Field(
        min_length=1
    )
    prompt_lengths: dict[str, int] = {}


class DenseStep(_Strict):
    """`activation(weight x + bias)`; arrays `weight` (out, in) and, if it has one, `bias` (out)."""

    type: Literal["dense"] = "dense"
    activation: str


class NormalizeStep(_Strict):
    """Length one."""

    type: Literal["normalize"] = "normalize"


class LayerNormStep(_Strict):
    """Mean 0 and variance 1 over the dimensions, then arrays `weight` and `bias`."""

    type: Literal["layer_norm"] = "layer_norm"
    eps: _Finite


class RemovalStep(_Strict):
    """A `LanguageRemoval`, see `babelmix.encoders.removal.module`; arrays as there."""

    type: Literal["removal"] = "removal"
    langs: _Positive
    kinds: Literal[1, 2]
    alpha: _Finite


class SparseStep(_Strict):
    """A `SparseModule`, see `babelmix.encoders.removal.module`; arrays as there."""

    type: Literal["sparse"] = "sparse"
    active: _Positive
    alpha: _Finite


Step = Annotated[
    PoolingStep | DenseStep | NormalizeStep | LayerNormStep | RemovalStep | SparseStep, Field(discriminator="type")
]


class ExportFacts(_Strict):
    """The facts of an export.

    Facts that this version does not know are refused: they may change the vectors.

    Args:
        format: the version of these facts.
        babelmix: the version of babelmix that made the export.
        encoder: the name or path of the encoder.
        kind: its kind, see `babelmix.encoders.kinds`.
        fingerprint: that of the encoder, see `babelmix.encoders.fingerprints`.
        backend: engine and precision, as in `onnx-int8`; `numpy` for a static encoder.
        layout: the version of the graph, see `babelmix.encoders.backends.LAYOUT`.
        prompts: the prompts by task.
        max_seq_length: the limit in tokens; None: there is none.
        max_lengths: a lower limit by kind (query, document).
        pad: the id of padding, and whether it is on the left.
        dimension: the dimension of the vectors.
        truncate_dim: only so many first dimensions are kept; None: all.
        similarity: how vectors are compared.
        steps: what follows the graph.
        empty: read a text without tokens as this token; None: it has none.

    """

    format: Literal[1] = 1
    babelmix: str
    encoder: str
    kind: str
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    backend: str
    layout: int
    prompts: dict[str, str]
    max_seq_length: _Positive | None
    max_lengths: dict[str, _Positive] = {}
    pad: int = 0
    pad_left: bool = False
    dimension: _Positive
    truncate_dim: _Positive | None = None
    similarity: str
    steps: list[Step]
    empty: int | None = None

    def save(self, folder: Path) -> None:
        """Write the facts into a folder."""
        write_json(folder / FILE, self.model_dump(mode="json"))


def is_export(folder: str | Path) -> bool:
    """Whether a folder holds an exported encoder."""
    return Path(folder, FILE).is_file()


def read_facts(folder: Path) -> ExportFacts:
    """Read the facts of an export.

    Raises:
        EncoderError: they are missing or damaged, or a newer babelmix wrote them.

    """
    file = folder / FILE
    try:
        if file.stat().st_size > _MOST:
            raise EncoderError(f"{file}: is larger than any facts of an encoder")
        return ExportFacts.model_validate_json(file.read_bytes())
    except OSError as error:
        raise EncoderError(f"{file}: cannot be read ({error.strerror}); export the encoder again") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:80]
        raise EncoderError(
            f"{file}: is damaged, or of a newer babelmix: {where!r}: {first['msg']}; export the encoder again"
        ) from error


def cached_export(key: str, backend: str) -> Path:
    """The place of an export in the user's cache. What is damaged there, or of another version, is removed.

    Args:
        key: the fingerprint of the encoder.
        backend: engine and precision, as in `onnx-int8`; `numpy` for a static encoder.

    Raises:
        BabelmixError: what is damaged cannot be removed.

    """
    folder = place_for(_WHAT, "exported", f"{key[:32]}-{backend}-{layout_of(backend)}")
    remove_if_damaged(_WHAT, folder)
    if (folder / FILE).is_file():
        try:
            read_facts(folder)
        except EncoderError:
            say_made_again(_WHAT, folder)
            shutil.rmtree(folder, ignore_errors=True)
    return folder


def layout_of(backend: str) -> int:
    """The version of the exports of a backend. A higher number makes older ones invalid."""
    return _STATIC_LAYOUT if backend == STATIC else LAYOUT


__all__ = [
    "ARRAYS", "FILE", "FORMAT", "DenseStep", "ExportFacts", "LayerNormStep", "NormalizeStep", "PoolingStep",
    "RemovalStep", "SparseStep", "Step", "cached_export", "is_export", "layout_of", "read_facts",
]  # fmt: skip
