"""The policy `own=N`: at least N of the first 10 answers are in the query's language, the others as under `balanced`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from babelmix.corpus.languages import readable_languages
from babelmix.search.rows import Hit

FIRST = 10
"""The number of first answers in which places are kept."""

OwnSearch = Callable[[Sequence[int], Sequence[str], int], list[list[Hit]]]
"""A function that searches in some languages: from query numbers, tags and a number of rows, to the best rows of each query."""


def fill_places(
    found: Sequence[Sequence[Hit]],
    langs: Sequence[str | None],
    tags: Sequence[str],
    search: OwnSearch,
    places: int,
    *,
    k: int,
    once: bool = False,
) -> list[list[Hit]]:
    """Fill the places of each query whose language is known; the others stay as they are.

    Args:
        found: the rows of each query under `balanced`, best first.
        langs: the language of each query, None where it is unknown.
        tags: the languages of the index that the filter allows.
        search: searches in the query's language.
        places: the least number of rows in the query's language among the first 10.
        k: the most rows per query.
        once: whether each item is shown once.

    """
    filled = [list(hits) for hits in found]
    for lang in dict.fromkeys(langs):
        # As for `only=own`: `de-AT` takes de, too.
        own = [] if lang is None else readable_languages([lang], tags)
        few = [
            number
            for number, hits in enumerate(found)
            if own and langs[number] == lang and sum(hit.lang in own for hit in hits[:FIRST]) < min(places, k)
        ]
        if few:
            for number, best in zip(few, search(few, own, min(places, k)), strict=True):
                filled[number] = with_places(found[number], best, own, places, k=k, once=once)
    return filled


def with_places(
    hits: Sequence[Hit], best: Sequence[Hit], langs: Collection[str], places: int, *, k: int, once: bool = False
) -> list[Hit]:
    """Replace the last rows of other languages among the first 10 by rows in some languages.

    Args:
        hits: rows, best first.
        best: the best rows in these languages, best first.
        langs: the languages.
        places: the least number of their rows among the first 10, if `best` has so many.
        k: the most rows.
        once: whether each item is shown once: a row in another language gives way to the same item.

    Returns:
        At most `k` rows. A row that moved up has the score of the last row before it.

    """
    limit = min(FIRST, k)
    there = {hit.id for hit in hits[:limit] if hit.lang in langs}
    wanted = min(places, limit) - len(there)
    # An item may be there in another tag of the language, such as de-AT beside de.
    shown = {hit.item for hit in hits[:limit] if hit.id in there} if once else set()
    moved = [hit for hit in best if hit.id not in there and hit.item not in shown][: max(wanted, 0)]
    if not moved:
        return list(hits)
    ids, items = {hit.id for hit in moved}, {hit.item for hit in moved} if once else set()
    first = [hit for hit in hits[:limit] if hit.id in there or hit.item not in items]
    others = [hit for hit in first if hit.id not in there]
    # The last of the others give way.
    gone = {hit.id for hit in others[max(len(others) - max(len(first) + len(moved) - limit, 0), 0) :]}
    kept = [hit for hit in first if hit.id not in gone]
    score = kept[-1].score if kept else None
    rest = [hit for hit in hits if hit.id in gone or hit not in first]
    rest = [hit for hit in rest if hit.id not in ids and (hit.id in there or hit.item not in items)]
    return [*kept, *(hit if score is None else hit.scored(score) for hit in moved), *rest][:k]


__all__ = ["FIRST", "fill_places", "with_places"]
