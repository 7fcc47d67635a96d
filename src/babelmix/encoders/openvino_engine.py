"""Run a transformer with OpenVINO: in float32, or with weights in int8 and activations quantised at run time."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix._cache import place_for
from babelmix.encoders.onnx_int8 import activations, smooth_products
from babelmix.encoders.onnx_rewriting import Rewritten, merge_products
from babelmix.encoders.token_arrays import Ids, Infer, Run, opened_when_called
from babelmix.errors import require

TITLE = "OpenVINO"
FILES = ("graph.xml", "graph.bin")
PACKAGES = ("onnx", "onnxscript", "openvino", "nncf")
"""What an export needs. To run a graph, `openvino` is enough."""

KEEPS_SHAPES = True
"""Whether the engine keeps compiled code for each shape that it has met: a megabyte or more."""

GROUP = 128
"""The number of activations of a token that share a scale."""


def precision(asked: str = "int8") -> str:
    """The precision asked for: where int8 products would saturate, OpenVINO multiplies in float32.

    Args:
        asked: `int8` or `fp32`.

    """
    return asked


def write(source: Path, folder: Path, precise: str, samples: Sequence[Ids]) -> None:
    """Write the files of a graph; in int8 with a scale per channel.

    Args:
        source: the graph in float32, as ONNX.
        folder: where `FILES` are written.
        precise: `int8` or `fp32`.
        samples: batches of random token ids, to measure activations.

    """
    openvino, nncf = (require(package, "fast", "--backend openvino") for package in ("openvino", "nncf"))
    with tempfile.TemporaryDirectory(dir=folder) as place:
        graph = Rewritten(source)
        merge_products(graph)
        if precise != "fp32":
            smooth_products(graph, activations(graph, samples, Path(place) / "measured.onnx"))
        graph.save(Path(place) / "ready.onnx")
        model = openvino.Core().read_model(str(Path(place) / "ready.onnx"))
        if precise != "fp32":
            model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
        openvino.save_model(model, str(folder / FILES[0]), compress_to_fp16=False)


def load(folder: Path, cores: int) -> tuple[Run, Run]:
    """Load a graph; returns a function that runs it on all cores, and one that runs it on one core per calling thread.

    The second compiles the graph when it is first called, for a search needs only the first. It is kept in the cache without the
    weights, so that the next process starts sooner.

    Args:
        folder: holds `FILES`.
        cores: the number of cores.

    """
    whole = _compiled(folder / FILES[0], cores, 1)
    return whole, whole if cores == 1 else opened_when_called(lambda: _compiled(folder / FILES[0], cores, cores))


def _compiled(file: Path, cores: int, streams: int) -> Run:
    infer = opened(file, cores, streams)
    return lambda ids, mask: infer({"input_ids": ids, "attention_mask": mask})


def opened(file: Path, cores: int, streams: int = 1) -> Infer:
    """Open a graph of one output. Threads may share it.

    Args:
        file: the graph.
        cores: the number of cores.
        streams: how many runs share them.

    """
    openvino: Any = require("openvino", "fast", "--backend openvino")
    given = {
        "INFERENCE_NUM_THREADS": cores,
        "NUM_STREAMS": streams,
        "INFERENCE_PRECISION_HINT": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP,
        # Other processes use the cores too.
        "ENABLE_CPU_PINNING": False,
    }
    kept = {"CACHE_DIR": str(place_for("compiled graphs", "compiled")), "CACHE_MODE": "OPTIMIZE_SIZE"}
    core = openvino.Core()
    try:
        return _infer(core.compile_model(str(file), "CPU", {**given, **kept}))
    except RuntimeError:
        # What is kept is damaged, or the cache cannot be written to.
        return _infer(core.compile_model(str(file), "CPU", given))


def _infer(compiled: Any) -> Infer:
    requests = threading.local()

    def infer(inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        found = requests.own.infer(dict(inputs), share_inputs=True)
        # The next call overwrites the memory of this request.
        copied: npt.NDArray[np.float32] = np.array(found[0], dtype=np.float32)
        return copied

    return infer


__all__ = ["FILES", "KEEPS_SHAPES", "PACKAGES", "TITLE", "load", "opened", "precision", "write"]
