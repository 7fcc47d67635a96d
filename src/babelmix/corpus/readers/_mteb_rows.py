"""Find the items of an mteb task: which texts of its subsets have the same meaning.

There are four ways to find items:

- `ids`: an id is one item in all subsets and languages;
- `texts`: equal texts in one language are one item, and nothing else is related;
- `subsets`: each row of each subset is an item;
- `linked`: as `texts`, and passages that are relevant to the same queries in different languages are one item.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from babelmix._components import NamedSets
from babelmix.corpus.query_groups import MOST
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.errors import ReaderError

IDS, TEXTS, SUBSETS, LINKED = "ids", "texts", "subsets", "linked"

Row = dict[str, str]
Answers = dict[tuple[str, str], dict[str, int]]
"""The grade of each passage item, by query item and language of the query."""


@dataclass(frozen=True)
class Side:
    """The queries or the passages of a subset.

    Args:
        lang: the language, BCP 47.
        ids: the ids in mteb.
        texts: the texts as mteb passes them to a model, in the order of `ids`.

    """

    lang: str
    ids: Sequence[str]
    texts: Sequence[str]

    @classmethod
    def of(cls, table: Any, lang: str, side: str, where: str) -> Side:
        """Read a side. Title and text, or text and instruction, are joined in the same way as in mteb's loader.

        Raises:
            ReaderError: the side has no texts.

        """
        columns = table.column_names
        if "text" not in columns or "id" not in columns:
            raise ReaderError(f"{where}: {side} has the columns {', '.join(columns)}, but id and text are needed")
        ids, texts = [str(name) for name in table["id"]], list(table["text"])
        for row, text in enumerate(texts, 1):
            if not isinstance(text, str | None):
                raise ReaderError(f"{where}: {side}, row {row}, holds {type(text).__name__}, but a text is needed")
        first = list(table["title"]) if side == "corpus" and "title" in columns else [""] * len(texts)
        last = list(table["instruction"]) if side == "queries" and "instruction" in columns else [""] * len(texts)
        joined = [" ".join(part for part in parts if part).strip() for parts in zip(first, texts, last, strict=True)]
        return cls(lang, ids, joined)


@dataclass(frozen=True)
class Subset:
    """A subset of a task: its queries, its passages, and the score of each judged pair of ids."""

    name: str
    queries: Side
    passages: Side
    relevant: Mapping[str, Mapping[str, int]]


class Collected:
    """The rows of a corpus from the subsets of a task.

    Args:
        subsets: the subsets, in the order of the task.
        queries: how to find the item of a query: `IDS`, `TEXTS` or `SUBSETS`.
        passages: how to find the item of a passage: any of the four ways.
        name: the name of the task, for errors.
        exclude_own: put the pair of a query and the passage with the same id in a subset into `excluded`, unless the passage is
            judged relevant.

    Raises:
        ReaderError: an id has two texts in one language, or two linked passages have the same language.

    """

    def __init__(
        self, subsets: Sequence[Subset], queries: str, passages: str, name: str, *, exclude_own: bool = False
    ) -> None:
        self.left_out = LeftOut()
        asked, answered = _Items(queries, name), _Items(passages, name)
        answers: Answers = defaultdict(dict)
        own: list[tuple[str, str, str]] = []
        for subset in subsets:
            query_items = self._items(asked, subset.queries, subset.name)
            passage_items = self._items(answered, subset.passages, subset.name)
            if exclude_own:
                same = query_items.keys() & passage_items.keys()
                own += [(query_items[key], subset.queries.lang, passage_items[key]) for key in sorted(same)]
            for query, found in subset.relevant.items():
                for passage, score in found.items():
                    if score <= 0:
                        continue
                    if query not in query_items or passage not in passage_items:
                        self.left_out.add("judgements of what is nowhere", f"{subset.name}: {query!r}, {passage!r}")
                        continue
                    here = answers[query_items[query], subset.queries.lang]
                    item = passage_items[passage]
                    here[item] = max(int(score), here.get(item, 0))
        if passages == LINKED:
            names = _linked(answers, dict(answered.rows.keys()), name)
            answered.rename(names)
            answers = {at: {names[p]: grade for p, grade in found.items()} for at, found in answers.items()}
            answers, apart = asked.set_apart(answers)
            own = [(apart.get((query, lang), query), lang, names[passage]) for query, lang, passage in own]
        pairs: dict[tuple[str, str], int] = {}
        for (query, _), found in answers.items():
            for passage, grade in found.items():
                pairs[query, passage] = max(grade, pairs.get((query, passage), 0))
        self.excluded = [
            pair for pair in dict.fromkeys((query, passage) for query, _, passage in own) if pair not in pairs
        ]
        query_group, passage_group = _groups(asked.items(), answered.items(), pairs)
        self.queries = asked.table(query_group)
        self.passages = answered.table(passage_group)
        self.qrels = [(query, passage, grade) for (query, passage), grade in pairs.items()]

    def _items(self, items: _Items, side: Side, subset: str) -> dict[str, str]:
        found = {}
        for name, text in zip(side.ids, side.texts, strict=True):
            if text:
                found[name] = items.add(side.lang, name, text, subset)
            else:
                self.left_out.add("texts without words", f"{subset}: {name!r}")
        return found


class _Items:
    """The texts of one side by item and language."""

    def __init__(self, way: str, name: str) -> None:
        self.way, self.name = way, name
        self.rows: dict[tuple[str, str], str] = {}
        self._by_text: dict[tuple[str, str], str] = {}

    def add(self, lang: str, name: str, text: str, subset: str) -> str:
        """Add a row. Returns its item."""
        if self.way == IDS:
            item = name
        elif self.way == SUBSETS:
            item = f"{subset}:{name}"
        else:
            item = self._by_text.setdefault((lang, text), f"{lang}:{name}")
            # Another subset may use the same id for another text in this language.
            if self.rows.get((item, lang), text) != text:
                item = self._by_text[lang, text] = f"{lang}:{name}:{len(self._by_text)}"
        if self.rows.setdefault((item, lang), text) != text:
            raise ReaderError(
                f"{self.name}: the id {name!r} has two texts in {lang}, the second in the subset {subset}; its ids do not "
                "align the subsets"
            )
        return item

    def rename(self, names: Mapping[str, str]) -> None:
        """Rename items. Items with the same new name are merged; they must have different languages."""
        self.rows = {(names[item], lang): text for (item, lang), text in self.rows.items()}

    def set_apart(self, answers: Answers) -> tuple[Answers, dict[tuple[str, str], str]]:
        """Separate the texts of a query item that have other answers than most of its texts.

        mteb merges equal questions about different paragraphs. Such a text has the answers of both, but its translations do not.
        Each text with an answer that the usual set of the item does not have becomes a separate item.

        Returns:
            The answers by new items, and the new item of each old item and language that changed.

        """
        sets: dict[str, Counter[frozenset[str]]] = defaultdict(Counter)
        for (item, _), found in answers.items():
            sets[item][frozenset(found)] += 1
        usual = {item: min(counts, key=lambda s: (-counts[s], len(s), sorted(s))) for item, counts in sets.items()}
        names = {
            (item, lang): f"{item}:{lang}"
            for (item, lang), found in answers.items()
            if not usual[item] >= found.keys()
        }
        self.rows = {(names.get(at, at[0]), at[1]): text for at, text in self.rows.items()}
        return {(names.get(at, at[0]), at[1]): found for at, found in answers.items()}, names

    def items(self) -> list[str]:
        """All items, in the order of their first rows."""
        return list(dict.fromkeys(item for item, _ in self.rows))

    def table(self, group_of: Mapping[str, str]) -> list[Row]:
        return [
            {"item": item, "lang": lang, "text": text, "group": group_of[item]}
            for (item, lang), text in self.rows.items()
        ]


def _linked(found: Answers, lang_of: Mapping[str, str], name: str) -> dict[str, str]:
    """The merged item of each passage item: the relevant passages of a query in different languages are one item.

    A query with two relevant passages in one language links nothing, because mteb may have merged two equal questions, which may
    differ in other languages.
    """
    passages_of: dict[str, list[str]] = defaultdict(list)
    for (query, _), answers in found.items():
        passages_of[query].extend(answers)
    sets = NamedSets(lang_of)
    for passages in passages_of.values():
        if len({lang_of[p] for p in passages}) == len(passages):
            for passage in passages[1:]:
                sets.merge(passages[0], passage)
    names = {passage: sets.name(passage) for passage in lang_of}
    seen: dict[tuple[str, str], str] = {}
    for passage, item in names.items():
        other = seen.setdefault((item, lang_of[passage]), passage)
        if other != passage:
            raise ReaderError(
                f"{name}: the questions link the passages {other!r} and {passage!r} of one language to one item; its ids "
                "do not align the subsets"
            )
    return names


def _groups(
    queries: Sequence[str], passages: Sequence[str], pairs: Iterable[tuple[str, str]]
) -> tuple[dict[str, str], dict[str, str]]:
    """The group of each query item and each passage item: the items that qrels connect, named by one of their passages if any.

    If most queries would be in one group, each item is a group.
    """
    sets = NamedSets([*(("passage", passage) for passage in passages), *(("query", query) for query in queries)])
    for query, passage in pairs:
        sets.merge(("passage", passage), ("query", query))

    def named(side: str, items: Sequence[str]) -> dict[str, str]:
        return {item: ":".join(sets.name((side, item))) for item in items}

    groups = named("query", queries)
    if groups and max(Counter(groups.values()).values()) > max(1.0, MOST * len(groups)):
        return {item: item for item in queries}, {item: item for item in passages}
    return groups, named("passage", passages)
