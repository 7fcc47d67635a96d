"""Run a transformer with ONNX Runtime: an ONNX graph in float32 or with int8 products."""

from __future__ import annotations

import ast
import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from babelmix.encoders.token_arrays import Ids, Run, TokenVectors
from babelmix.errors import require

TITLE = "ONNX Runtime"
FILES = ("graph.onnx", "graph.bin")
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""What an export needs. To run a graph, the last is enough."""


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
    onnx, runtime = (require(name, "fast", "--backend onnx") for name in ("onnx", "onnxruntime"))
    size = 64
    left = onnx.helper.make_tensor_value_info("left", onnx.TensorProto.UINT8, [None, size])
    sums = onnx.helper.make_tensor_value_info("sums", onnx.TensorProto.INT32, [None, size])
    right = onnx.numpy_helper.from_array(np.full((size, size), 127, dtype=np.int8), "right")
    product = onnx.helper.make_node("MatMulInteger", ["left", "right"], ["sums"])
    graph = onnx.helper.make_graph([product], "largest", [left], [sums], [right])
    # Use an old version of the format: an older ONNX Runtime cannot read a newer one.
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9)
    session = runtime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    given = (np.full((rows, size), 255, dtype=np.uint8) for rows in (1, 4, 33))
    return any((session.run(None, {"left": some})[0] != 255 * 127 * size).any() for some in given)


def quantise(source: Path, file: Path, uneven: frozenset[str]) -> None:
    """Write a graph with weights in int8 (see `precision`), a scale per channel, and activations quantised at run time.

    Args:
        source: the graph in float32.
        file: the file to write.
        uneven: linear layers that stay in float32, because ONNX Runtime uses one scale for all tokens of a batch.

    """
    onnx, quantization = (require(name, "fast", "--backend onnx") for name in ("onnx", "onnxruntime.quantization"))
    graph = onnx.load(str(source), load_external_data=False).graph
    quantization.quantize_dynamic(
        source, file, weight_type=quantization.QuantType.QInt8, per_channel=True,
        reduce_range=precision() == "int7",
        op_types_to_quantize=["MatMul", "Gather"],
        nodes_to_exclude=[node.name for node in graph.node if node.op_type == "MatMul" and _layer(node) in uneven],
    )  # fmt: skip


def _layer(node: Any) -> str:
    """The name of the layer in the transformers model that became this node."""
    for fact in node.metadata_props:
        if fact.key == "pkg.torch.onnx.name_scopes":
            # The names of all modules around the operation, then its own.
            return str(ast.literal_eval(fact.value)[-2]).removeprefix("model.")
    return ""


def write(source: Path, folder: Path, precise: str, uneven: frozenset[str]) -> None:
    """Write the files of a graph.

    Args:
        source: the graph in float32.
        folder: where `FILES` are written.
        precise: `int8`, `int7` or `fp32`.
        uneven: see `quantise`.

    """
    if precise == "fp32":
        _finish(source, folder)
        return
    with tempfile.TemporaryDirectory(dir=folder) as other:
        quantise(source, Path(other) / "int8.onnx", uneven)
        _finish(Path(other) / "int8.onnx", folder)


def _finish(source: Path, folder: Path) -> None:
    """Write an optimised graph, with its weights in a file that can be mapped into memory.

    The optimisations are those of the level `extended`, which do not depend on the processor.
    """
    runtime: Any = require("onnxruntime", "fast", "--backend onnx")
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

    Args:
        folder: holds `FILES`.
        cores: the number of cores.

    """
    whole = _session(folder / FILES[0], cores)
    return whole, whole if cores == 1 else _session(folder / FILES[0], 1)


def _session(file: Path, cores: int) -> Run:
    runtime: Any = require("onnxruntime", "fast", "--backend onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = cores
    options.log_severity_level = 3
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def run(ids: Ids, mask: Ids) -> TokenVectors:
        found: TokenVectors = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return found

    return run


__all__ = ["FILES", "PACKAGES", "TITLE", "load", "precision", "quantise", "write"]
