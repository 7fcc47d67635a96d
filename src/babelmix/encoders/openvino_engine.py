"""Run a transformer with OpenVINO: weights in int8, activations quantised at run time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix.encoders.runtime import Ids, Run
from babelmix.errors import require

TITLE = "OpenVINO"
FILE = "int8.xml"
PACKAGES = ("onnx", "onnxscript", "openvino", "nncf")

GROUP = 128
"""The number of activations of a token that share a scale."""


def precision() -> str:
    """`int8` on every processor. Where int8 products would saturate, OpenVINO multiplies in float32."""
    return "int8"


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


def load(file: Path, cores: int) -> tuple[Run, Run]:
    """Load a graph; returns a function that runs it on all cores, and one that runs it on one core per calling thread."""
    openvino: Any = require("openvino", "fast", "--backend openvino")
    core = openvino.Core()
    model = core.read_model(str(file))
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

    def run(ids: Ids, mask: Ids) -> npt.NDArray[np.float32]:
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        found = requests.own.infer({"input_ids": ids, "attention_mask": mask}, share_inputs=True)
        # The next call overwrites the memory of this request.
        copied: npt.NDArray[np.float32] = np.array(found[0], dtype=np.float32)
        return copied

    return run


__all__ = ["FILE", "PACKAGES", "TITLE", "load", "precision", "quantise"]
