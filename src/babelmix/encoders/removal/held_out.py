"""How well translations are found: what options of a method are chosen by, on items that it was not fitted on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from babelmix.encoders.removal.embedded import Embedded
from babelmix.encoders.removal.protocol import AnyRemoval

MOST_ROWS = 3000
"""The most passages that are searched in one fold."""


def retrieval_of_translations(embedded: Embedded, removal: AnyRemoval | None = None) -> float:
    """The mean average precision of finding translations, among texts of all languages together.

    Each text asks as a query, if queries have embeddings of their own, and finds passages. Its translations into other languages
    are relevant; the same text in its own language is left out. It is 1 if all translations come before all other texts.

    Args:
        embedded: texts that the removal was not fitted on, with items.
        removal: applied with known languages; None: none.

    """
    assert embedded.item is not None
    last = int(embedded.kind.max())
    sides = []
    for kind, name in ((0, "query"), (last, "passage")):
        some = embedded.only(embedded.kind == kind)
        vectors = some.vectors.astype(np.float32)
        if removal is not None:
            vectors = removal.apply(vectors, [embedded.langs[n] for n in some.lang], name)
        sides.append((vectors, some))
    (queries, asked), (passages, found) = sides
    assert asked.item is not None
    assert found.item is not None
    values = []
    for one in range(len(embedded.langs)):
        mine = asked.lang == one
        scores = queries[mine] @ passages.T
        same = asked.item[mine][:, None] == found.item
        own = same & (found.lang == one)
        relevant = same & ~own
        scores[own] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")
        hits = np.take_along_axis(relevant, order, axis=1)
        precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
        total = hits.sum(axis=1)
        values.append(((precision * hits).sum(axis=1) / np.maximum(total, 1))[total > 0])
    together = np.concatenate(values)
    return float(together.mean()) if len(together) else 0.0


def folds(embedded: Embedded, count: int) -> Iterator[tuple[Embedded, Embedded]]:
    """Split the items into folds: consecutive items, so that sentences of one document stay together where they are in order.

    Args:
        embedded: texts with items.
        count: the number of folds.

    Yields:
        The texts of the other folds, and those of the fold, which are at most `MOST_ROWS` passages.

    """
    assert embedded.item is not None
    items = np.unique(embedded.item)
    most = max(2, MOST_ROWS // max(1, len(embedded.langs)))
    for part in np.array_split(items, count):
        inside: npt.NDArray[np.bool_] = np.isin(embedded.item, part)
        yield embedded.only(~inside), embedded.only(np.isin(embedded.item, part[:most]))


__all__ = ["MOST_ROWS", "folds", "retrieval_of_translations"]
