"""Choose the engine that runs an encoder: torch in float32, or ONNX Runtime or OpenVINO in int8 or float32.

sentence-transformers needs optimum to run ONNX Runtime and OpenVINO. But optimum requires transformers below 4.58, and this
version of sentence-transformers requires 5.0. So babelmix exports the transformer itself; all other modules stay.
"""

from __future__ import annotations

import copy
import importlib.util
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from babelmix._checksums import write_checksums
from babelmix._files import replacing_folder
from babelmix._progress import console
from babelmix.encoders.backend_names import BACKENDS, parse_backend
from babelmix.encoders.exported.facts import FILE, cached_export
from babelmix.encoders.fingerprints import fingerprint
from babelmix.encoders.graph import Graph, engine_of, graph_files, open_graph
from babelmix.encoders.token_arrays import sampled_tokens
from babelmix.errors import EXTRA_OF, BabelmixError, EncoderError, require

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

EXTRA = "fast"

_LEAST_COSINE = 0.95
_LEAST_COSINE_OF_FLOAT32 = 1 - 1e-5


def check_backend(backend: str) -> None:
    """Raise unless there is such a backend.

    Raises:
        EncoderError: there is none.

    """
    parse_backend(backend)


def why_not(encoder: SentenceTransformer) -> str | None:
    """Why only torch can run an encoder, as the end of a sentence; None if other engines can."""
    from sentence_transformers.base.modules.transformer import Transformer

    first: Any = next(iter(encoder.children()), None)
    if type(first) is not Transformer:
        return f"its first module is not a transformer but {type(first).__name__}"
    if first.modalities != ["text"] or first.transformer_task != "feature-extraction":
        return "it reads more than texts"
    way = first.modality_config["text"]
    if way["method"] != "forward" or way["method_output_name"] != "last_hidden_state" or first.query_expansion:
        return "it does not pool the embeddings of tokens"
    if encoder.device.type != "cpu":
        return f"it is on the device {encoder.device.type}, where torch is the fastest"
    return None


def exported_graph(encoder: SentenceTransformer, engine: str, precise: str, name: str) -> tuple[Path, str]:
    """Export an encoder's transformer, unless the cache has the export.

    Args:
        encoder: an encoder that runs by torch, see `why_not`.
        engine: `onnx` or `openvino`.
        precise: `int8` or `fp32`.
        name: the name of the encoder, for messages.

    Returns:
        The folder of the export, and engine and precision, as in `onnx-int7`.

    Raises:
        EncoderError: the encoder cannot be exported.
        MissingExtraError: the engine, or what exports for it, is not installed.

    """
    from babelmix.encoders.exported.describing import why_no_steps

    kind = kind_here(engine, precise)
    # Modules that only torch can run are no hindrance to a graph that torch uses.
    described = (FILE,) if why_no_steps(encoder) is None else ()
    for attempt in range(2):
        folder = cached_export(fingerprint(encoder), kind)
        if not all((folder / file).is_file() for file in (*graph_files(kind), *described)):
            # What an earlier version left there is incomplete.
            shutil.rmtree(folder, ignore_errors=True)
            say_exported(name, kind)
            _export_all(encoder, kind, folder, name, described=bool(described))
        try:
            open_graph(folder, kind, 1)
            break
        except EncoderError as error:
            if attempt:
                raise EncoderError(f"{error}; or remove {folder}") from error
            # The export is damaged: make it again.
            shutil.rmtree(folder)
    return folder, kind


def kind_here(engine: str, precise: str) -> str:
    """Engine and precision of an export for this processor, as in `onnx-int7`.

    Args:
        engine: `onnx` or `openvino`.
        precise: `int8` or `fp32`.

    Raises:
        MissingExtraError: the engine, or what exports for it, is not installed.

    """
    module = engine_of(engine)
    for package in module.PACKAGES:
        require(package, EXTRA_OF.get(package, EXTRA), f"--backend {engine}")
    # By precision: machines with other processors may share the cache.
    return f"{engine}-{module.precision(precise)}"


def say_exported(name: str, kind: str) -> None:
    """Print that an encoder is exported, which takes long."""
    console.print(f"{name}: is exported for {engine_of(kind).TITLE}, once", markup=False, highlight=False)


def _export_all(encoder: SentenceTransformer, kind: str, folder: Path, name: str, *, described: bool) -> None:
    from babelmix.encoders.exported.describing import describe

    first: Any = encoder[0]
    export_graph(
        first.model, kind, folder, name, first.tokenizer("")["input_ids"],
        (lambda place: describe(encoder, place, backend=kind)) if described else None,
    )  # fmt: skip


def export_graph(
    model: torch.nn.Module,
    kind: str,
    folder: Path,
    name: str,
    edges: Sequence[int],
    describe_it: Callable[[Path], None] | None = None,
) -> None:
    """Export a transformers model for an engine, and check it.

    Args:
        model: the transformers model, on the CPU.
        kind: engine and precision, as in `onnx-int8`.
        folder: where the files of the graph and their checksums are written. If it exists, it is replaced.
        name: the name of the encoder, for messages.
        edges: the first and the last token id of every text.
        describe_it: writes what else belongs into the folder.

    Raises:
        EncoderError: the model cannot be exported, or the graph gives other embeddings.

    """
    import torch

    from babelmix.encoders import onnx_export

    module, files = engine_of(kind), graph_files(kind)
    engine, _, precise = kind.partition("-")
    own = model if next(model.parameters()).dtype == torch.float32 else copy.deepcopy(model).float()
    with replacing_folder(folder, list(files), keep_existing=True) as temporary:
        try:
            with onnx_export.quiet():
                onnx_export.export(own.eval(), temporary / "float32.onnx")
                samples = sampled_tokens(cast("Any", own).config.vocab_size, edges)
                module.write(temporary / "float32.onnx", temporary, precise, samples)
            for file in temporary.glob("float32.onnx*"):
                file.unlink()
            if describe_it is not None:
                describe_it(temporary)
            write_checksums(temporary)
            graph = open_graph(temporary, kind, 1)
        except BabelmixError:
            raise
        except Exception as error:  # exporters raise many unrelated types
            raise EncoderError(
                f"{name}: cannot be exported for --backend {engine} ({_first_line(error)}); use --backend torch"
            ) from error
        least = _LEAST_COSINE_OF_FLOAT32 if precise == "fp32" else _LEAST_COSINE
        if (cosine := _likeness(own, graph)) < least:
            raise EncoderError(
                f"{name}: --backend {engine} would give other embeddings (cosine {cosine:.3f}); use --backend torch"
            )


def _likeness(model: Any, graph: Graph) -> float:
    """The lowest cosine between the mean token embeddings of torch and of an export, over a few random texts."""
    import torch

    rng = np.random.default_rng(0)
    lengths = np.array([2, 5, 9, 14])
    ids = rng.integers(4, model.config.vocab_size, (len(lengths), int(lengths.max())))
    mask = (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)
    padding = model.config.pad_token_id
    ids = np.where(mask, ids, padding if padding is not None else 0)
    with torch.inference_mode():
        right = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).last_hidden_state.numpy()
    ours, theirs = ((some * mask[..., None]).sum(axis=1) for some in (graph.embed(ids, mask), right))
    lengths_of = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return float(((ours * theirs).sum(axis=1) / lengths_of).min())


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}"


def installed(engine: str) -> bool:
    """Whether the packages of an engine are installed."""
    return all(importlib.util.find_spec(package) is not None for package in engine_of(engine).PACKAGES)


__all__ = [
    "BACKENDS",
    "check_backend",
    "export_graph",
    "exported_graph",
    "installed",
    "kind_here",
    "parse_backend",
    "say_exported",
    "why_not",
]
