"""The facts of an exported encoder: the file `encoder.json` of its folder."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from babelmix._cache import say_made_again
from babelmix._files import write_json
from babelmix.encoders.graph import LAYOUT
from babelmix.errors import EncoderError

FILE = "encoder.json"
ARRAYS = "steps.safetensors"
"""The arrays of the steps: `NUMBER.NAME`, where NUMBER is the place of the step."""

FORMAT = 1

STATIC = "numpy"
"""The backend of static encoders."""

GRAPH_LAYOUT = LAYOUT
STATIC_LAYOUT = 1
"""The version of an export of token vectors. A higher number makes older ones invalid."""

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


def remove_if_unreadable(folder: Path) -> None:
    """Remove a folder of the cache whose facts another version of babelmix wrote, so that it is made again."""
    if (folder / FILE).is_file():
        try:
            read_facts(folder)
        except EncoderError:
            say_made_again("exported encoders", folder)
            shutil.rmtree(folder, ignore_errors=True)


def export_name(key: str, backend: str, layout: int) -> str:
    """The name of an export's folder in the cache, for a fingerprint."""
    return f"{key[:32]}-{backend}-{layout}"


def length_of(limit: float | None) -> int | None:
    """A length limit as the facts keep it."""
    return None if limit is None or limit == math.inf else int(limit)


__all__ = [
    "ARRAYS", "FILE", "FORMAT", "GRAPH_LAYOUT", "STATIC", "STATIC_LAYOUT", "DenseStep", "ExportFacts",
    "LayerNormStep", "NormalizeStep", "PoolingStep", "RemovalStep", "SparseStep", "Step", "export_name", "is_export", "length_of",
    "read_facts", "remove_if_unreadable",
]  # fmt: skip
