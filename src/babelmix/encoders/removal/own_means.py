"""`own-means`: subtract the mean vector of the text's language, as the collection itself has it.

It needs no translations. Where the languages of a collection are about different things, the mean is topic as well as language.
"""

from __future__ import annotations

from babelmix.encoders.removal import Embedded, Removal, RemovalMethod, RemovalOptions
from babelmix.encoders.removal.by_language import means, removal_by_language


def fit(embedded: Embedded, options: RemovalOptions) -> Removal:
    """The mean of each language and kind. The vectors may be those of the collection that is searched."""
    centre = 1.0 if options.centre is None else options.centre
    found = means(embedded)
    kept = (1 - centre) * found.mean(axis=1, keepdims=True)
    return removal_by_language("own-means", embedded, found - kept).with_facts({"centre": centre})


METHOD = RemovalMethod(
    fit,
    "the mean of the text's language in your collection",
    "as Libovický et al., Findings of EMNLP 2020, with known languages",
)

__all__ = ["METHOD", "fit"]
