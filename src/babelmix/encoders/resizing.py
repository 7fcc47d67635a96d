"""How large a picture becomes when an encoder resizes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from babelmix.corpus.images import MAX_PIXELS
from babelmix.errors import EncoderError

if TYPE_CHECKING:
    from PIL.Image import Image


def check_resized(modules: Iterable[Any], picture: Image) -> None:
    """Raise if an encoder would scale a picture to more than `MAX_PIXELS` pixels.

    CLIP's processors scale the shorter side to a fixed size before they crop. A very long picture becomes very large.

    Args:
        modules: the modules of the encoder.
        picture: an opened picture.

    Raises:
        EncoderError: the scaled picture would have more than `MAX_PIXELS` pixels.

    """
    for module in modules:
        processor = getattr(module, "processor", None)
        size: Any = getattr(getattr(processor, "image_processor", processor), "size", None)
        edge, longest = (getattr(size, name, None) for name in ("shortest_edge", "longest_edge"))
        if not edge or longest:
            continue
        width, height = picture.size
        if edge * edge * max(width, height) > MAX_PIXELS * min(width, height):
            raise EncoderError(
                f"a picture of {width:,} x {height:,} pixels would be scaled to {edge} at its shorter side, to more than "
                f"{MAX_PIXELS:,} pixels; crop it"
            )


__all__ = ["check_resized"]
