"""Run a transformer with ONNX Runtime: an ONNX graph with int8 products."""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from babelmix.encoders.runtime import Ids, Run
from babelmix.errors import require

TITLE = "ONNX Runtime"
FILE = "int8.onnx"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def precision() -> str:
    """`int8`; or `int7`, weights of seven bits, if products of eight bits saturate on this processor."""
    return "int7" if _saturates() else "int8"


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


class _Tokens(torch.nn.Module):
    """A transformers model that returns only its last hidden state, for the export."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return output


def export(model: torch.nn.Module, file: Path) -> None:
    """Export a transformers model in float32, for any number of texts of any length.

    Args:
        model: a transformers model in evaluation mode, on the CPU.
        file: the file to write.

    """
    ids = torch.arange(4, 26).reshape(2, 11)
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    dynamic = torch.export.Dim.DYNAMIC
    shapes = {name: {0: dynamic, 1: dynamic} for name in ("input_ids", "attention_mask")}
    program = torch.onnx.export(
        _Tokens(model).eval(), (ids, mask), dynamo=True, dynamic_shapes=shapes, opset_version=20, verbose=False,
        input_names=list(shapes), output_names=["token_embeddings"],
    )  # fmt: skip
    assert program is not None
    program.save(file)


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


def load(file: Path, cores: int) -> tuple[Run, Run]:
    """Load a graph; returns a function that runs it on all cores, and one that runs it on one core per calling thread."""
    whole = _session(file, cores)
    return whole, whole if cores == 1 else _session(file, 1)


def _session(file: Path, cores: int) -> Run:
    runtime: Any = require("onnxruntime", "fast", "--backend onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = cores
    options.log_severity_level = 3
    # The fused kernel is slower than its parts.
    without = ["SkipLayerNormFusion"]
    session = runtime.InferenceSession(
        str(file), options, providers=["CPUExecutionProvider"], disabled_optimizers=without
    )

    def run(ids: Ids, mask: Ids) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return found

    return run


__all__ = ["FILE", "PACKAGES", "TITLE", "export", "load", "precision", "quantise"]
