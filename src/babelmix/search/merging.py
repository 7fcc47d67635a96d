"""Find one row of each item: retrieve more rows until there are enough items. `fusion` merges lists."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from babelmix.search.applying import Retriever
from babelmix.search.rows import Hit, Where
from babelmix.search.spreading import in_languages, languages_in

TopRetriever = Callable[[int, Collection[int]], list[list[Hit]]]
"""A function that finds the first rows of each query; see `distinct_items`."""

DEEPEST = 8192
"""The most rows to retrieve for a query to find distinct items."""

DEEPER = 5
"""To fuse lists into k rows, each list is retrieved with 5 k rows."""

_AHEAD = 10
"""A retriever that must search again retrieves up to ten times the rows needed now, to save further searches."""


def remembering(retrieve: Retriever) -> Retriever:
    """A retriever that remembers its lists, and searches again only if a longer one is needed."""
    found: dict[Any, tuple[int, list[Hit]]] = {}

    def remembered(numbers: Sequence[int], wheres: Sequence[Where], k: int) -> list[list[Hit]]:
        keys = [
            (number, where.langs, tuple(where.fields.items())) for number, where in zip(numbers, wheres, strict=True)
        ]
        # A list with fewer rows than were requested is complete.
        new = [
            i for i, key in enumerate(keys)
            if key not in found or len(found[key][1]) == found[key][0] < k
        ]  # fmt: skip
        if new:
            depth = k if not found else max(k, min(_AHEAD * k, DEEPER * DEEPEST))
            lists = retrieve([numbers[i] for i in new], [wheres[i] for i in new], depth)
            found.update((keys[i], (depth, hits)) for i, hits in zip(new, lists, strict=True))
        return [found[key][1][:k] for key in keys]

    return remembered


def distinct_items(retrieve_top: TopRetriever, k: int, languages: int) -> list[list[Hit]]:
    """The best row of each of k items. Retrieves more rows until there are k items, no further rows, or `DEEPEST` rows.

    Args:
        retrieve_top: a function of a number of rows, and of some queries. It returns at most this number of rows for each query,
            best first, and with them for these queries the rows of k items in each language.
        k: the most items to return.
        languages: the least number of languages of the rows, if there are rows of that many items; see
            `babelmix.search.spreading`.

    """
    depth = 4 * k
    while True:
        found = retrieve_top(depth, ())
        kept = [_best_of_items(hits, k) for hits in found]
        enough = all(len(some) == k or len(hits) < depth for some, hits in zip(kept, found, strict=True))
        if enough or depth >= DEEPEST:
            break
        depth = min(2 * depth, DEEPEST)
    if few := [query for query, hits in enumerate(kept) if languages_in(hits) < min(languages, k)]:
        found = retrieve_top(depth, few)
        for query in few:
            kept[query] = in_languages(found[query], k, languages)
    return kept


def _best_of_items(hits: Sequence[Hit], k: int) -> list[Hit]:
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.item, hit)
    return list(best.values())[:k]
