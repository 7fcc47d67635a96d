"""EfficientNet-Lite0, a small network of convolutions for pictures, as a module of sentence-transformers.

Source: Tan and Le, EfficientNet, ICML 2019 (arXiv 1905.11946); the Lite family leaves out squeeze-and-excitation and uses ReLU6.
Batch normalisation is folded into the convolutions: the network is for embeddings, and is not trained further.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers.base.modules.input_module import InputModule
from torch.nn.functional import conv2d, pad

STAGES = (
    (1, 3, 1, 1, 32, 16), (2, 3, 2, 6, 16, 24), (2, 5, 2, 6, 24, 40), (3, 3, 2, 6, 40, 80), (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192), (1, 3, 1, 6, 192, 320),
)  # fmt: skip
"""Of each stage: blocks, size of the kernel, stride of the first block, expansion, channels in, channels out (table 1)."""
STEM, HEAD = 32, 1280
SIDE = 224
"""Height and width of the pictures that the network reads, in pixels."""
Patches = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""From pixels, shape (pictures, 3, height, width), to features of places, shape (pictures, rows, columns, 1280)."""

_MIDDLE, _SCALE = 127.0, 128.0
_WHERE = ("subfolder", "token", "cache_folder", "revision", "local_files_only")


class Convolution(torch.nn.Module):
    """A convolution with TensorFlow's padding `same`, and ReLU6 behind it if asked for."""

    def __init__(
        self, inside: int, outside: int, size: int, stride: int, *, groups: int = 1, active: bool = True
    ) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(outside, inside // groups, size, size))
        self.bias = torch.nn.Parameter(torch.zeros(outside))
        self.size, self.stride, self.groups, self.active = size, stride, groups, active

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (pictures, channels, height, width)."""
        if self.size > 1:
            sides = []
            for length in (x.shape[3], x.shape[2]):
                missing = max((-(-length // self.stride) - 1) * self.stride + self.size - length, 0)
                sides += [missing // 2, missing - missing // 2]
            x = pad(x, sides)
        x = conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)
        return x.clamp(0, 6) if self.active else x


class Block(torch.nn.Module):
    """An inverted residual block: more channels, a convolution in each of them, fewer channels."""

    def __init__(self, inside: int, outside: int, size: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inside * expansion
        self.expand = Convolution(inside, wide, 1, 1) if expansion > 1 else torch.nn.Identity()
        self.depthwise = Convolution(wide, wide, size, stride, groups=wide)
        self.project = Convolution(wide, outside, 1, 1, active=False)
        self.residual = stride == 1 and inside == outside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (pictures, channels, height, width)."""
        found: torch.Tensor = self.project(self.depthwise(self.expand(x)))
        return found + x if self.residual else found


class LiteNetwork(InputModule):  # type: ignore[misc,unused-ignore]
    """EfficientNet-Lite0 without its classifier: 1,280 features of a picture. The first module of an image tower.

    Where no gradient is asked for, `engine` computes the features of places, if it is set. Training takes it away.
    """

    config_keys: list[str] = []  # noqa: RUF012
    save_in_root = False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.engine: Callable[[torch.Tensor], torch.Tensor] | None = None
        self.stem = Convolution(3, STEM, 3, 2)
        blocks = []
        for count, size, stride, expansion, inside, outside in STAGES:
            blocks += [
                Block(outside if n else inside, outside, size, 1 if n else stride, expansion) for n in range(count)
            ]
        self.blocks = torch.nn.Sequential(*blocks)
        self.head = Convolution(STAGES[-1][-1], HEAD, 1, 1)

    @property
    def modalities(self) -> list[Any]:
        """Pictures only."""
        return ["image"]

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **options: Any) -> dict[str, Any]:
        """Pixels of pictures: the whole picture, scaled to `SIDE` x `SIDE`.

        Args:
            inputs: opened pictures of Pillow.
            prompt: not used.
            options: not used.

        Returns:
            `pixel_values`, float32, shape (pictures, 3, `SIDE`, `SIDE`), from -1 to 1.

        """
        from PIL.Image import Resampling

        del prompt, options
        small = [one.convert("RGB").resize((SIDE, SIDE), Resampling.BICUBIC) for one in inputs]
        pixels = (
            np.stack([np.asarray(one, dtype=np.float32) for one in small]) if small else np.zeros((0, SIDE, SIDE, 3))
        )
        values = torch.from_numpy((pixels.astype(np.float32) - _MIDDLE) / _SCALE).permute(0, 3, 1, 2)
        return {"pixel_values": values.contiguous(), "modality": "image"}

    def forward(self, features: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Add `sentence_embedding`, float32, shape (pictures, 1280): the mean over the places of the picture.

        Args:
            features: `pixel_values`, shape (pictures, 3, height, width).
            options: not used.

        """
        del options
        features["sentence_embedding"] = self.patches(features["pixel_values"]).mean((1, 2))
        return features

    def patches(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features of places, float32, shape (pictures, rows, columns, 1280).

        Args:
            pixels: shape (pictures, 3, height, width).

        """
        if self.engine is not None and not torch.is_grad_enabled() and pixels.device.type == "cpu":
            return self.engine(pixels)
        found: torch.Tensor = self.head(self.blocks(self.stem(pixels)))
        return found.permute(0, 2, 3, 1)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; other weights would need another engine."""
        if mode:
            self.engine = None
        return super().train(mode)

    def get_embedding_dimension(self) -> int:
        """1,280."""
        return HEAD

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **options: Any) -> None:
        """Save the weights into a folder."""
        del args, options
        Path(output_path).mkdir(parents=True, exist_ok=True)
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)

    @classmethod
    def load(cls, model_name_or_path: str, **options: Any) -> Self:  # type: ignore[override,unused-ignore]
        """Load the network from a folder."""
        where = {name: options[name] for name in _WHERE if name in options}
        found = cls()
        cls.load_torch_weights(model_name_or_path, model=found, **where)
        return found.eval()


__all__ = ["HEAD", "SIDE", "LiteNetwork"]
