"""Run a transformer with ONNX Runtime: an ONNX graph in float32 or with int8 products."""

from __future__ import annotations

import base64
import functools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix.encoders.onnx_attention import fuse_attention
from babelmix.encoders.onnx_int8 import activations, quantise_products, quantise_tables
from babelmix.encoders.onnx_rewriting import Rewritten, merge_products
from babelmix.encoders.token_arrays import Ids, Infer, Run, opened_when_called
from babelmix.errors import require

TITLE = "ONNX Runtime"
FILES = ("graph.onnx", "graph.bin")
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""What an export needs. To run a graph, the last is enough."""

KEEPS_SHAPES = False
"""Whether the engine keeps compiled code for each shape that it has met."""


_SIZE = 64
_PRODUCT = (
    "CAkSADpyCiIKBGxlZnQKBXJpZ2h0EgRzdW1zIg1NYXRNdWxJbnRlZ2VyEgdsYXJnZXN0WhQKBGxlZnQSDAoKCAISBgoACgIIQFoXCgVyaWdodBIOCgwIAxII"
    "CgIIQAoCCEBiFAoEc3VtcxIMCgoIBhIGCgAKAghAQgQKABAU"
)
"""An ONNX graph: `sums`, int32, are the products of `left`, uint8, and `right`, int8, 64 x 64. To read it needs no package."""


def precision(asked: str = "int8") -> str:
    """The precision that an export has on this processor.

    Args:
        asked: `int8` or `fp32`.

    Returns:
        The same; or `int7`, weights of seven bits, if int8 is asked for and its products saturate on this processor.

    """
    return "int7" if asked == "int8" and _saturates() else asked


@functools.cache
def _saturates() -> bool:
    """Whether the largest products of eight bits saturate on this processor.

    AVX2, and AVX-512 without VNNI, add two products u8 x s8 in 16 bits, but 2 x 255 x 127 needs more. Processor flags do not say
    what ONNX Runtime uses. So this multiplies matrices of one row and of several, and compares.
    """
    runtime: Any = require("onnxruntime", "search", "--backend onnx")
    session = runtime.InferenceSession(base64.b64decode(_PRODUCT), providers=["CPUExecutionProvider"])
    right = np.full((_SIZE, _SIZE), 127, dtype=np.int8)
    given = (np.full((rows, _SIZE), 255, dtype=np.uint8) for rows in (1, 4, 33))
    return any((session.run(None, {"left": left, "right": right})[0] != 255 * 127 * _SIZE).any() for left in given)


def write(source: Path, folder: Path, precise: str, samples: Sequence[Ids]) -> None:
    """Write the files of a graph: optimised, with its weights in a file that can be mapped into memory.

    Args:
        source: the graph in float32, as it was exported.
        folder: where `FILES` are written.
        precise: `int8`, `int7` or `fp32`.
        samples: batches of random token ids, to measure activations.

    """
    with tempfile.TemporaryDirectory(dir=folder) as place:
        other = Path(place)
        graph = _fused(source, other, samples[0])
        merge_products(graph)
        if precise != "fp32":
            given = activations(graph, samples, other / "measured.onnx")
            quantise_products(graph, given, 127 if precise == "int8" else 63)
            quantise_tables(graph)
        graph.save(other / "ready.onnx")
        _finish(other / "ready.onnx", folder)


def _fused(source: Path, place: Path, ids: Ids) -> Rewritten:
    """The graph with its attentions as one operation each, if it then still gives the same."""
    graph = Rewritten(source)
    if not fuse_attention(graph):
        return graph
    file = place / "fused.onnx"
    graph.save(file)
    mask = np.ones_like(ids)
    mask[0, -ids.shape[1] // 3 :] = 0
    right = _session(source, 1)(ids, mask)
    try:
        found = _session(file, 1)(ids, mask)
    except Exception:  # the operation takes fewer shapes of masks than the graph
        return Rewritten(source)
    seen = mask.astype(bool)
    alike = np.allclose(found[seen], right[seen], rtol=1e-3, atol=1e-4 * float(np.abs(right[seen]).max()))
    return graph if alike else Rewritten(source)


def _finish(source: Path, folder: Path) -> None:
    """Write a graph as ONNX Runtime optimises it. The level `extended` does not depend on the processor."""
    runtime: Any = require("onnxruntime", "search", "--backend onnx")
    graph, weights = FILES
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / graph)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", weights)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    # The fused kernel is slower than its parts.
    without = ["SkipLayerNormFusion"]
    runtime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"], disabled_optimizers=without)


def load(folder: Path, cores: int) -> tuple[Run, Run]:
    """Load a graph; returns a function that runs it on all cores, and one that runs it on one core per calling thread.

    The second opens a session of its own when it is first called, for a search needs only the first. Their weights are one mapped
    file, but each session has a packed copy of those in int8 products.

    Args:
        folder: holds `FILES`.
        cores: the number of cores.

    """
    whole = _session(folder / FILES[0], cores)
    return whole, whole if cores == 1 else opened_when_called(lambda: _session(folder / FILES[0], 1))


def _session(file: Path, cores: int) -> Run:
    infer = opened(file, cores)
    return lambda ids, mask: infer({"input_ids": ids, "attention_mask": mask})


def opened(file: Path, cores: int, *, optimised: bool = True) -> Infer:
    """Open a graph of one output.

    Args:
        file: the graph.
        cores: threads of a run.
        optimised: whether the graph was optimised before; otherwise it is optimised now.

    """
    runtime: Any = require("onnxruntime", "search", "--backend onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = cores
    options.log_severity_level = 3
    if optimised:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Threads that wait for work would take the cores from other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def infer(inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = session.run(None, dict(inputs))[0]
        return found

    return infer


__all__ = ["FILES", "KEEPS_SHAPES", "PACKAGES", "TITLE", "load", "opened", "precision", "write"]
