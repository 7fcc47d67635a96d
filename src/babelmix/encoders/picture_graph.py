"""Run the image tower `lite0-offline` with ONNX Runtime or OpenVINO, in float32. Texts stay with torch.

The network keeps its weights: the fingerprint and what is saved do not change. Only its forward pass is replaced.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from babelmix._cache import place_for, remove_if_damaged
from babelmix._checksums import write_checksums
from babelmix._files import replacing_folder
from babelmix.encoders import onnx_engine, onnx_export, openvino_engine
from babelmix.encoders.backends import kind_here, say_exported
from babelmix.encoders.fingerprints import image_fingerprint
from babelmix.encoders.graph import LAYOUT
from babelmix.encoders.lite_network import SIDE, LiteNetwork, Patches
from babelmix.encoders.towers import tower_of
from babelmix.errors import BabelmixError, EncoderError, first_line

_WHAT = "exported image towers"
_FILE = "pictures.onnx"
_MOST = 16
"""Pictures of a pass: activations of more do not fit into the cache of a processor."""
_TOLERANCE = 1e-3
"""The largest difference from torch, as a share of the largest value."""


class PictureGraph:
    """An exported image tower, open and ready to run.

    Args:
        run: from pixels to the features of places.

    """

    def __init__(self, run: Patches) -> None:
        self._run = run

    def __deepcopy__(self, memo: dict[int, Any]) -> PictureGraph:
        """Return itself: it never changes, and engines cannot be copied."""
        return self

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features of places; see `LiteNetwork.patches`."""
        given = pixels.float().contiguous().numpy()
        parts = [self._run(given[start : start + _MOST]) for start in range(0, len(given), _MOST)]
        return torch.from_numpy(np.concatenate(parts))


def use_picture_engine(encoder: Any, engine: str, *, name: str) -> None:
    """Let an engine run the image tower of a dual encoder, on the CPU.

    Args:
        encoder: a dual encoder; the forward pass of its image tower is replaced.
        engine: `onnx` or `openvino`.
        name: the name of the encoder, for messages.

    Raises:
        EncoderError: it is another image tower, it cannot be exported, or the graph gives other embeddings.
        MissingExtraError: the engine, or what exports for it, is not installed.

    """
    network = tower_of(encoder, "image")[0]
    backend = f"--backend {engine}-fp32"
    if not isinstance(network, LiteNetwork):
        raise EncoderError(
            f"{name}: {backend} runs the image tower lite0-offline, and this one is another; use --backend torch"
        )
    kind = kind_here(engine, "fp32")
    folder = place_for(_WHAT, "exported", f"{image_fingerprint(encoder)[:32]}-pictures-{LAYOUT}")
    remove_if_damaged(_WHAT, folder)
    pixels = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (2, 3, SIDE, SIDE)).astype(np.float32))
    if not (folder / _FILE).is_file():
        say_exported(f"the image tower of {name}", kind)
        _export(network, pixels, folder, name)
    graph = PictureGraph(_opened(folder / _FILE, engine))
    with torch.inference_mode():
        right = network.patches(pixels)
    if not torch.allclose(graph(pixels), right, rtol=0, atol=_TOLERANCE * float(right.abs().max())):
        raise EncoderError(f"{name}: {backend} would give other embeddings of pictures; use --backend torch")
    network.engine = graph


class _OfPixels(torch.nn.Module):
    """The features of places, as the forward pass of a module, for the export."""

    def __init__(self, network: LiteNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Features of places."""
        return self.network.patches(pixel_values)


def _export(network: LiteNetwork, pixels: torch.Tensor, folder: Path, name: str) -> None:
    with replacing_folder(folder, [_FILE], keep_existing=True) as place:
        try:
            with onnx_export.quiet():
                shapes = {"pixel_values": {0: torch.export.Dim.DYNAMIC}}
                onnx_export.write(_OfPixels(network), (pixels,), shapes, "places", place / _FILE)
        except Exception as error:  # exporters raise many unrelated types
            raise EncoderError(
                f"{name}: its image tower cannot be exported ({type(error).__name__}: {first_line(error)}); use --backend torch"
            ) from error
        write_checksums(place)


def _opened(file: Path, engine: str) -> Patches:
    opened = openvino_engine.opened if engine == "openvino" else partial(onnx_engine.opened, optimised=False)
    try:
        infer = opened(file, torch.get_num_threads())
    except BabelmixError:
        raise
    except Exception as error:  # each engine raises types of its own
        raise EncoderError(f"{file}: cannot be read ({first_line(error)}); remove {file.parent}") from error
    return lambda pixels: infer({"pixel_values": pixels})


__all__ = ["PictureGraph", "use_picture_engine"]
