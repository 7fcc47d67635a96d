"""Find in any language, show in mine: one answer for each item, in a language that the searcher reads.

A search with `show="mine"` looks at the rows of all languages. An item has the score of its best row in any language. What is
shown of it is its best row in the first language of the searcher that it has; `Hit.also` names its other languages. An item
without a row in a language that the searcher reads is left out. If the policy does not say what the searcher reads, the query's
own language comes first, and an item without a row in it is shown as it was found.

A filter, and the policy `only`, hold for what is found, for what is shown, and for the languages beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from babelmix.corpus import IMAGE
from babelmix.search.engines.base import Engine
from babelmix.search.merging import DEEPEST
from babelmix.search.rows import Hit, Vectors, Where

_FIRST = 4
"""The first search for k items retrieves 4 k rows."""

_AHEAD = 2
"""As many items are looked up for each that is still missing: some of them have no row that the searcher reads."""

LookUp = Callable[[Sequence[int], Sequence[Sequence[str]], Where], list[list[Hit]]]
"""A function that finds rows of known items: from query numbers, the items for each of them, and a filter, to all rows of these
items, those that fit the query best first."""


@dataclass(frozen=True)
class Reader:
    """What a searcher reads, of the languages of an index.

    Args:
        langs: tags of the index, the preferred ones first.
        strict: whether an item that has none of them is left out. Otherwise it is shown as it was found.

    """

    langs: tuple[str, ...]
    strict: bool = True

    def row_of(self, rows: Sequence[Hit]) -> Hit | None:
        """The row that is shown: the first one in the first language that there is.

        Args:
            rows: the rows of one item, the best first.

        """
        best: dict[str, Hit] = {}
        for row in rows:
            best.setdefault(row.lang, row)
        return next((best[lang] for lang in self.langs if lang in best), None)


def show_mine(
    retrieve_top: Callable[[int], list[list[Hit]]], look_up: LookUp, reader: Reader, where: Where, k: int
) -> list[list[Hit]]:
    """The first k items of each query, each in a language that the searcher reads.

    Retrieves more rows until there are k items, no further rows, or `DEEPEST` rows.

    Args:
        retrieve_top: a function of a number of rows. It returns at most this number of rows for each query, in all languages,
            best first.
        look_up: finds the rows of items.
        reader: what the searcher reads.
        where: the filter of the search.
        k: the most items.

    Returns:
        For each query a row of each item, with the score of the item's best row.

    """
    depth, lists = _FIRST * k, list[_Shown]()
    while True:
        found = retrieve_top(depth)
        lists = lists or [_Shown(reader, {}) for _ in found]
        while todo := [
            (query, items)
            for query, (one, hits) in enumerate(zip(lists, found, strict=True))
            if (items := one.unknown(hits, k))
        ]:
            rows = look_up([query for query, _ in todo], [items for _, items in todo], where.only(reader.langs))
            for (query, items), some in zip(todo, rows, strict=True):
                lists[query].learn(items, some)
        kept = [one.items(hits, k) for one, hits in zip(lists, found, strict=True)]
        enough = all(len(some) == k or len(hits) < depth for some, hits in zip(kept, found, strict=True))
        if enough or depth >= DEEPEST:
            return kept
        depth = min(2 * depth, DEEPEST)


@dataclass(frozen=True)
class _Shown:
    """The items of one query, as far as their rows were looked up.

    Args:
        reader: what the searcher reads.
        rows: for each item that was looked up, its rows in the languages of the searcher, best first.

    """

    reader: Reader
    rows: dict[str, list[Hit]]

    def unknown(self, hits: Sequence[Hit], k: int) -> list[str]:
        """The next items to look up: those before the kth item that is shown, or some of them."""
        there, asked = 0, list[str]()
        for item, found in _by_item(hits).items():
            if there >= k or len(asked) >= _AHEAD * (k - there):
                break
            # The row in the preferred language is better than any other.
            if item in self.rows or (self.reader.langs and any(hit.lang == self.reader.langs[0] for hit in found)):
                there += self._row(item, found) is not None
            elif self.reader.langs:
                asked.append(item)
        return asked

    def learn(self, items: Sequence[str], rows: Sequence[Hit]) -> None:
        """Keep the rows of items that were looked up."""
        self.rows.update((item, []) for item in items)
        for row in rows:
            self.rows[row.item].append(row)

    def items(self, hits: Sequence[Hit], k: int) -> list[Hit]:
        """The first k items among the rows that were found, as they are shown."""
        rows = [self._row(item, found) for item, found in _by_item(hits).items()]
        return [row for row in rows if row is not None][:k]

    def _row(self, item: str, found: Sequence[Hit]) -> Hit | None:
        # Rows that were found are in the order of the search, which may be one by words. So they come before the others.
        row = self.reader.row_of([*found, *self.rows.get(item, [])])
        row = found[0] if row is None and not self.reader.strict else row
        return None if row is None else row.scored(found[0].score)


def _by_item(hits: Sequence[Hit]) -> dict[str, list[Hit]]:
    """The rows of each item, in the order of its best row."""
    found: dict[str, list[Hit]] = {}
    for hit in hits:
        found.setdefault(hit.item, []).append(hit)
    return found


def with_also(lists: Sequence[Sequence[Hit]], look_up: LookUp, where: Where) -> list[list[Hit]]:
    """The same rows, which know the other languages of their items; pictures are in no language.

    Args:
        lists: the rows of each query.
        look_up: finds the rows of items.
        where: the filter of the search.

    """
    asked = [query for query, hits in enumerate(lists) if hits]
    rows = look_up(asked, [[hit.item for hit in lists[query]] for query in asked], where)
    done = [list(hits) for hits in lists]
    for query, some in zip(asked, rows, strict=True):
        langs: dict[str, set[str]] = {}
        for row in some:
            langs.setdefault(row.item, set()).add(row.lang)
        done[query] = [
            replace(hit, also=tuple(sorted(langs.get(hit.item, set()) - {hit.lang, IMAGE}))) for hit in lists[query]
        ]
    return done


def renderings(
    engine: Engine, vectors: Vectors, items: Sequence[Sequence[str]], where: Where, languages: int
) -> list[list[Hit]]:
    """All rows of known items, by searches that are filtered by item, so that every engine can do it.

    Args:
        engine: the engine.
        vectors: a vector for each search, float32, shape (searches, dimension).
        items: the items of each search.
        where: a filter; its metadata hold for the rows, too.
        languages: the number of languages of the index. An item has usually one row in each.

    Returns:
        The rows of the items of each search, those nearest to its vector first.

    """
    found: list[list[Hit]] = [[] for _ in items]
    todo = [search for search, some in enumerate(items) if some]
    wide = languages if where.langs is None else len(where.langs)
    if not wide:
        return found
    # One more than expected, so that a list of the expected length is known to be complete.
    depth = 1 + wide * max((len(items[search]) for search in todo), default=0)
    while todo:
        wheres = [Where(where.langs, {**where.fields, "item": tuple(items[search])}) for search in todo]
        lists = engine.nearest(np.ascontiguousarray(vectors[todo]), wheres, depth)
        found = [list(hits) for hits in found]
        for search, hits in zip(todo, lists, strict=True):
            found[search] = list(hits)
        todo = [search for search, hits in zip(todo, lists, strict=True) if len(hits) == depth]
        depth *= 4
    return found


__all__ = ["LookUp", "Reader", "renderings", "show_mine", "with_also"]
