"""The name that an encoder was loaded by, and where its prompts come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_ATTRIBUTE = "babelmix_origin"


@dataclass(frozen=True)
class Origin:
    """Where an encoder comes from.

    Args:
        name: the name that it was loaded by.
        kind: its kind, see `babelmix.encoders.kinds`.
        prompts: where its prompts come from, as the end of a sentence; empty if it has none.
        pooling_assumed: whether no file of it says how token vectors are pooled, so that sentence-transformers takes their mean.

    """

    name: str
    kind: str
    prompts: str = ""
    pooling_assumed: bool = False


def remember(encoder: Any, origin: Origin) -> None:
    """Remember where an encoder comes from; copies of the encoder keep it."""
    setattr(encoder, _ATTRIBUTE, origin)


def origin_of(encoder: Any) -> Origin | None:
    """Where an encoder comes from; None if `load_encoder` did not load it."""
    found = getattr(encoder, _ATTRIBUTE, None)
    return found if isinstance(found, Origin) else None


def named(encoder: Any) -> str:
    """The encoder's name, for the beginning of a message."""
    origin = origin_of(encoder)
    return origin.name if origin is not None else "the encoder"


__all__ = ["Origin", "named", "origin_of", "remember"]
