"""Show each item once, in at least a number of languages: the policy `quota=N` where items come once.

An item may be shown in another language than its best one, and an item with a rendering in a missing language may take the place
of another. Of all lists of k items in so many languages, the one with the largest sum of scores is shown. If there is none, as
many languages are shown as can be: a language needs an item of its own.

The list is found as a cheapest flow from items to languages, by successive shortest paths (Busacker and Gowen, 1960): each path
brings in one more language, and perhaps moves some items from one language to the next.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from babelmix.corpus import canonical_language
from babelmix.search.applying import Retriever, best_scored
from babelmix.search.rows import Hit, Where

_LESS = 1e-12
"""Paths whose losses differ by less are equally good."""

_OUTSIDE = ""
"""Where items are that are not shown."""

_Rows = Mapping[str, Mapping[str, Hit]]
"""Of each item its best row in each language, best first."""

_Step = tuple[str, str]
"""An item, and the language that it is shown in from now on, or `_OUTSIDE`."""

_Path = tuple[float, tuple[_Step, ...]]
"""The loss of score, and the steps."""


def languages_in(hits: Sequence[Hit]) -> int:
    """The number of languages of some rows: an old index may have two tags of one language."""
    return len({canonical_language(hit.lang) for hit in hits})


def rows_of_languages(
    retrieve: Retriever,
    lists: Sequence[Sequence[Hit]],
    queries: Collection[int],
    where: Where,
    langs: Sequence[str],
    items: int,
    deepest: int,
) -> list[list[Hit]]:
    """The rows of each query, and with them, for some queries, the best rows of so many items in each language.

    Args:
        retrieve: the function that searches.
        lists: the rows of each query, best first.
        queries: the numbers of these queries.
        where: the filter.
        langs: the languages that the filter allows.
        items: the items of each language.
        deepest: the most rows to retrieve in a language to find distinct items.

    Returns:
        For each query its rows, best first.

    """
    more: dict[int, dict[str, Hit]] = {query: {hit.id: hit for hit in lists[query]} for query in queries}
    todo, depth = [(query, lang) for query in more for lang in langs], min(items, deepest)
    while todo:
        found = retrieve([query for query, _ in todo], [where.only([lang]) for _, lang in todo], depth)
        for (query, _), hits in zip(todo, found, strict=True):
            more[query].update((hit.id, hit) for hit in hits if hit.id not in more[query])
        todo = [
            one for one, hits in zip(todo, found, strict=True)
            if len(hits) == depth < deepest and len({hit.item for hit in hits}) < items
        ]  # fmt: skip
        depth = min(2 * depth, deepest)
    return [
        best_scored([(hit.score, hit) for hit in more[query].values()], len(more[query]))
        if query in more
        else list(hits)
        for query, hits in enumerate(lists)
    ]


def in_languages(hits: Sequence[Hit], k: int, languages: int) -> list[Hit]:
    """The best k items, each once, in at least a number of languages if that can be.

    Args:
        hits: rows, best first.
        k: the most items.
        languages: the least number of languages.

    Returns:
        One row of each item, best first.

    """
    rows: dict[str, dict[str, Hit]] = {}
    for hit in hits:
        rows.setdefault(hit.item, {}).setdefault(canonical_language(hit.lang), hit)
    # The language in which each item is shown, and the item that stands for each language. The others show their best row.
    shown = {item: next(iter(of)) for item, of in list(rows.items())[:k]}
    holders: dict[str, str] = {}
    for item, lang in shown.items():
        holders.setdefault(lang, item)
    while len(holders) < languages and (steps := _cheapest(rows, shown, holders)):
        for item, lang in steps:
            if lang == _OUTSIDE:
                del shown[item]
            else:
                shown[item] = lang
                holders[lang] = item
    found = [rows[item][lang] for item, lang in shown.items()]
    return sorted(found, key=lambda hit: (-hit.score, hit.id))


def _cheapest(rows: _Rows, shown: Mapping[str, str], holders: Mapping[str, str]) -> tuple[_Step, ...]:
    """The steps that bring in one more language and lose the least score; none if no steps do."""
    held = set(holders.values())
    free = [item for item in shown if item not in held]
    if not free:
        return ()
    last = min(free, key=lambda item: rows[item][shown[item]].score)
    paths: dict[str, _Path] = {_OUTSIDE: (rows[last][shown[last]].score, ((last, _OUTSIDE),))}
    for item in free:
        # It may also stand for its own language, so that the item that did so can move.
        for lang, loss in _moves(rows, item, shown[item]):
            if lang not in paths or loss < paths[lang][0] - _LESS:
                paths[lang] = (loss, ((item, lang),))
    coming: dict[str, Hit] = {}
    for item, of in rows.items():
        if item not in shown:
            for lang, hit in of.items():
                if lang not in coming or hit.score > coming[lang].score:
                    coming[lang] = hit
    # Bellman and Ford: until no path gets shorter.
    shorter = True
    while shorter:
        shorter = False
        for place, (lost, steps) in list(paths.items()):
            if place == _OUTSIDE:
                nexts = [(hit.item, lang, -hit.score) for lang, hit in coming.items()]
            elif place in holders:
                holder = holders[place]
                nexts = [(holder, lang, loss) for lang, loss in _moves(rows, holder, place)]
                nexts.append((holder, _OUTSIDE, rows[holder][place].score))
            else:
                continue
            gone = {lang for _, lang in steps}
            for item, lang, loss in nexts:
                if lang not in gone and (lang not in paths or lost + loss < paths[lang][0] - _LESS):
                    paths[lang] = (lost + loss, (*steps, (item, lang)))
                    shorter = True
    new = [lang for lang in paths if lang != _OUTSIDE and lang not in holders]
    return paths[min(new, key=lambda lang: (paths[lang][0], lang))][1] if new else ()


def _moves(rows: _Rows, item: str, lang: str) -> Iterator[tuple[str, float]]:
    """The languages of an item, and the score that is lost if it is shown in them, and no longer in this one."""
    score = rows[item][lang].score
    return ((other, score - hit.score) for other, hit in rows[item].items())


__all__ = ["in_languages", "languages_in", "rows_of_languages"]
