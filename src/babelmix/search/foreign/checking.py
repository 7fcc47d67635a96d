"""Whether an encoder made the vectors of someone else's collection: some stored texts are embedded and compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from babelmix._vectors import unit_length
from babelmix.encoders.embed import encode_batch
from babelmix.encoders.removal import AnyRemoval
from babelmix.encoders.runtime import backend_of
from babelmix.search.foreign.engine import ForeignEngine
from babelmix.search.foreign.languages import tag_of

if TYPE_CHECKING:
    from babelmix.encoders.protocol import Encoder

TEXTS = 20
"""Texts that are embedded."""

LEAST = 0.4
"""Vectors with a smaller median cosine are of another encoder. The half of a text has 0.7 or more with the whole, and another
encoder's vectors about 0.1: e5-small-offline and static-e5."""

GIVEN = "given"
"""The backend of `GivenVectors`, which embeds no other text than its own."""

_ENOUGH = 5
"""With fewer texts, nothing is said."""


def another_encoder(engine: ForeignEngine, encoder: Encoder, removal: AnyRemoval | None = None) -> str | None:
    """A sentence if the stored vectors are not those of the encoder; None if they are, or if too few rows have a text.

    Both prompts are tried: an owner may have embedded the rows like queries.

    Args:
        engine: the collection.
        encoder: the encoder, which has the dimension of the collection.
        removal: what took language out of the stored vectors.

    """
    if backend_of(encoder) == GIVEN:
        return None
    found = [
        (text, lang, vector) for text, lang, vector in engine.some_texts(TEXTS) if text.strip() and np.any(vector)
    ]
    if len(found) < _ENOUGH:
        return None
    texts, langs = [text for text, _, _ in found], [None if lang is None else tag_of(lang) for _, lang, _ in found]
    stored = unit_length(np.stack([vector for _, _, vector in found]).astype(np.float32))
    most = -1.0
    for kind in ("document", "query"):
        made = np.asarray(encode_batch(encoder, texts, kind), dtype=np.float32)
        if removal is not None:
            made = removal.apply(made, langs, "passage")
        most = max(most, float(np.median((unit_length(made) * stored).sum(axis=1))))
        if most >= LEAST:
            return None
    return (
        f"The vectors of {engine.address} were not made by this encoder, or were changed since: embedded again, {len(texts)} of "
        f"its texts have a median cosine of {most:.2f} with their stored vectors, and those of the right encoder about 1."
    )


__all__ = ["GIVEN", "LEAST", "TEXTS", "another_encoder"]
