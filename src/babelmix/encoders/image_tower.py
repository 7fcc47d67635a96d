"""The image tower of a dual encoder: the vision transformer of a CLIP or SigLIP, in modules of sentence-transformers.

A saved encoder therefore loads without babelmix.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import torch
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.transformer import Transformer
from torch.nn import Identity

from babelmix._progress import quiet_transformers
from babelmix.encoders.integrity import load_complete
from babelmix.encoders.lite_network import LiteNetwork
from babelmix.encoders.opening import admitted
from babelmix.encoders.resizing import check_resized
from babelmix.errors import EncoderError, require

if TYPE_CHECKING:
    from PIL.Image import Image

Modules = list[torch.nn.Module]

# For each architecture: the model class, and an image processor that does not need torchvision. A whole CLIP has its projection
# outside the vision model.
_FAMILIES = {
    "clip": ("CLIPModel", "CLIPImageProcessorPil"),
    "clip_vision_model": ("CLIPVisionModelWithProjection", "CLIPImageProcessorPil"),
    "siglip": ("SiglipVisionModel", "SiglipImageProcessorPil"),
    "siglip_vision_model": ("SiglipVisionModel", "SiglipImageProcessorPil"),
}


def load_tower(name: str, *, revision: str | None = None, trust_code: bool = False) -> Modules:
    """Load the vision side of a CLIP or SigLIP model.

    Args:
        name: a hub name or a folder.
        revision: branch, tag or commit of a hub model.
        trust_code: run code that the model contains or names; see `load_encoder`.

    Returns:
        A `Transformer` and, for CLIP, its projection as a `Dense`.

    Raises:
        EncoderError: there is no such model, or it is neither CLIP nor SigLIP.
        MissingExtraError: Pillow is not installed.

    """
    require("PIL", "images", "An encoder of pictures")
    import transformers

    found = admitted(name, revision=revision, trust_code=trust_code)
    folder = str(found.folder)
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": found.trusted}
    try:
        with quiet_transformers():
            kind = transformers.AutoConfig.from_pretrained(folder, **local).model_type
            if kind not in _FAMILIES:
                raise EncoderError(f"{name}: is a {kind!r}; an image tower is a CLIP or a SigLIP")
            model_class, processor_class = _FAMILIES[kind]
            model = load_complete(getattr(transformers, model_class), found.folder, name)
            processor = getattr(transformers, processor_class).from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EncoderError(f"{name}: cannot be loaded as an image tower ({first})") from error
    projection = getattr(model, "visual_projection", None)
    if projection is None:
        return _stock(model, processor, None)
    return _stock(model.vision_model, processor, projection.weight.detach())


def tiny_tower(
    *, size: int = 64, patch: int = 16, width: int = 128, layers: int = 3, heads: int = 2, dimension: int = 128
) -> Modules:
    """Make a small CLIP vision transformer with random weights.

    Args:
        size: height and width of a picture, in pixels.
        patch: height and width of a patch, in pixels.
        width: size of the hidden states.
        layers: number of layers.
        heads: number of attention heads.
        dimension: dimension of the embeddings.

    Returns:
        A `Transformer` and its projection.

    Raises:
        MissingExtraError: Pillow is not installed.

    """
    require("PIL", "images", "An encoder of pictures")
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=heads,
        image_size=size, patch_size=patch,
    )  # fmt: skip
    side = {"height": size, "width": size}
    processor = CLIPImageProcessorPil(size=side, crop_size=side, do_center_crop=False)
    # CLIP's own initialisation of a projection.
    return _stock(CLIPVisionModel(config), processor, torch.randn(dimension, width) * width**-0.5)


def _stock(model: Any, processor: Any, projection: torch.Tensor | None) -> Modules:
    with tempfile.TemporaryDirectory() as folder, quiet_transformers():
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        tower = Transformer(
            folder,
            # Always Pillow: torchvision resizes slightly differently.
            processor_kwargs={"backend": "pil"},
            modality_config={"image": {"method": "forward", "method_output_name": "pooler_output"}},
            module_output_name="sentence_embedding",
        )
    if projection is None:
        return [tower]
    dense = Dense(projection.shape[1], projection.shape[0], bias=False, activation_function=Identity())
    dense.linear.weight.data = projection.clone()
    return [tower, dense]


def dimension_of(tower: Modules) -> int:
    """The dimension of the embeddings of an image tower."""
    last = tower[-1]
    if isinstance(last, LiteNetwork):
        return last.get_embedding_dimension()
    return int(last.out_features if isinstance(last, Dense) else cast(Any, last).model.config.hidden_size)


def pixels_of(tower: Modules, pictures: Iterable[Image]) -> torch.Tensor:
    """Resized, cropped and scaled pixels, float32, shape (pictures, 3, height, width). Pictures are processed one at a time."""
    values = []
    first = cast(Any, tower[0])
    for picture in pictures:
        if isinstance(first, LiteNetwork):
            values.append(first.preprocess([picture])["pixel_values"])
            continue
        check_resized(tower[:1], picture)
        values.append(first.processor(images=[picture], return_tensors="pt")["pixel_values"])
    return torch.cat(values)


def patches_of(tower: Modules, pixels: torch.Tensor) -> torch.Tensor:
    """Features of the patches of pictures, from the last layer.

    Args:
        tower: an image tower.
        pixels: what `pixels_of` returns.

    Returns:
        float32, shape (pictures, rows, columns, width).

    """
    if isinstance(tower[0], LiteNetwork):
        return tower[0].patches(pixels)
    hidden = cast(Any, tower[0]).model(pixel_values=pixels).last_hidden_state
    side = math.isqrt(hidden.shape[1])
    # The first position of CLIP is the class token, not a patch.
    return hidden[:, hidden.shape[1] - side * side :].unflatten(1, (side, side))


__all__ = ["dimension_of", "load_tower", "patches_of", "pixels_of", "tiny_tower"]
