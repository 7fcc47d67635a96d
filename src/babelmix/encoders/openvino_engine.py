"""Run a transformer with OpenVINO: in float32, or with weights in int8 and activations quantised at run time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from babelmix.encoders.token_arrays import Ids, Run, TokenVectors
from babelmix.errors import require

TITLE = "OpenVINO"
FILES = ("graph.xml", "graph.bin")
PACKAGES = ("onnx", "onnxscript", "openvino", "nncf")
"""What an export needs. To run a graph, `openvino` is enough."""

GROUP = 128
"""The number of activations of a token that share a scale."""


def precision(asked: str = "int8") -> str:
    """The precision asked for: where int8 products would saturate, OpenVINO multiplies in float32.

    Args:
        asked: `int8` or `fp32`.

    """
    return asked


def quantise(source: Path, file: Path, uneven: frozenset[str]) -> None:
    """Write an ONNX graph in OpenVINO's format, with weights in int8 and a scale per channel.

    Args:
        source: the graph in float32.
        file: the file to write; the weights go beside it.
        uneven: not used, as every token has its own scales.

    """
    del uneven
    openvino, nncf = (require(package, "fast", "--backend openvino") for package in ("openvino", "nncf"))
    model = openvino.Core().read_model(str(source))
    compressed = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    openvino.save_model(compressed, str(file), compress_to_fp16=False)


def write(source: Path, folder: Path, precise: str, uneven: frozenset[str]) -> None:
    """Write the files of a graph.

    Args:
        source: the graph in float32, as ONNX.
        folder: where `FILES` are written.
        precise: `int8` or `fp32`.
        uneven: see `quantise`.

    """
    if precise != "fp32":
        quantise(source, folder / FILES[0], uneven)
        return
    openvino = require("openvino", "fast", "--backend openvino")
    openvino.save_model(openvino.Core().read_model(str(source)), str(folder / FILES[0]), compress_to_fp16=False)


def load(folder: Path, cores: int) -> tuple[Run, Run]:
    """Load a graph; returns a function that runs it on all cores, and one that runs it on one core per calling thread.

    Args:
        folder: holds `FILES`.
        cores: the number of cores.

    """
    openvino: Any = require("openvino", "fast", "--backend openvino")
    core = openvino.Core()
    model = core.read_model(str(folder / FILES[0]))
    given = {
        "INFERENCE_NUM_THREADS": cores,
        "INFERENCE_PRECISION_HINT": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP,
        # Other processes use the cores too.
        "ENABLE_CPU_PINNING": False,
    }
    whole = _run(core.compile_model(model, "CPU", {**given, "NUM_STREAMS": 1}))
    return whole, whole if cores == 1 else _run(core.compile_model(model, "CPU", {**given, "NUM_STREAMS": cores}))


def _run(compiled: Any) -> Run:
    requests = threading.local()

    def run(ids: Ids, mask: Ids) -> TokenVectors:
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        found = requests.own.infer({"input_ids": ids, "attention_mask": mask}, share_inputs=True)
        # The next call overwrites the memory of this request.
        copied: TokenVectors = np.array(found[0], dtype=np.float32)
        return copied

    return run


__all__ = ["FILES", "PACKAGES", "TITLE", "load", "precision", "quantise", "write"]
