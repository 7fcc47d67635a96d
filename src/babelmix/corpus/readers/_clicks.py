"""Clicks as qrels: a passage that was clicked often enough is relevant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from babelmix.corpus.labels import CLICKS
from babelmix.corpus.languages import canonical_language, respelled
from babelmix.corpus.readers._documents import Document
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._tables import Table
from babelmix.corpus.row_ids import rows_of_ids
from babelmix.errors import ReaderError

GRADES = {
    "one": "every pair with enough clicks is relevant, with grade 1",
    "log2": "the grade is 1 for enough clicks, 2 for twice as many, 3 for four times as many, and so on",
}
"""How the number of clicks on a pair becomes its grade."""

Pair = tuple[str, str]
"""The item of a query and the item of a passage."""


@dataclass(frozen=True)
class Click:
    """Clicks on one passage for one query.

    Args:
        query: the query.
        passage: the item of the passage.
        lang: the language of the passage; empty if it is not known.
        count: the number of clicks.
        position: the place of the passage in the list that was shown, from 1 on; None if it is not known.

    """

    query: Document
    passage: str | None
    lang: str
    count: int
    position: int | None


def clicks_of(
    table: Table, queries: Sequence[Document], lang: str, passages: Sequence[Document], pool: pa.Table
) -> list[Click]:
    """The rows of a log of clicks.

    Args:
        table: the log.
        queries: known queries: a click belongs to the one with its text and language.
        lang: the language of queries without one of their own.
        passages: the passages.
        pool: the same as a table of a corpus.

    Raises:
        ReaderError: a column is missing, a row is malformed, a language is missing, or no click is on a passage.

    """
    names = set(table.names)
    text = next((one for one in ("query", "text") if one in names), "")
    for needed, there in (("query", text), ("clicked_id", "clicked_id" if "clicked_id" in names else "")):
        if not there:
            raise ReaderError(f"is missing; there are {', '.join(table.names)}", file=table.file, field=needed)
    by_text: dict[str, list[Document]] = {}
    for query in queries:
        by_text.setdefault(query.text, []).append(query)
    columns = {
        one: table.texts(one).to_list() if one in names else [None] * len(table.lines)
        for one in ("lang", "item", "clicked_id")
    }
    found = _passages_of(columns["clicked_id"], passages, pool)
    counts, positions = whole_numbers(table, "count"), whole_numbers(table, "position")
    texts = table.texts(text).to_list()
    clicks: list[Click] = []
    for place, row in enumerate(table.lines):
        said = texts[place]
        if said is None or not said.strip():
            raise ReaderError("is empty", file=table.file, row=row, field=text)
        known = by_text.get(said, [])
        tag = columns["lang"][place] or lang or (known[0].lang if len({one.lang for one in known}) == 1 else "")
        if not tag:
            raise ReaderError(
                "the language of the query is missing: add a column lang, or a queries.jsonl with the language of each query, or "
                "say one for all with the option lang",
                file=table.file, row=row, field="lang",
            )  # fmt: skip
        tag = respelled(tag)
        item = columns["item"][place] or f"{tag}: {said}"
        unknown = Document(item, tag, said, "", item, "", row)
        query = next((one for one in known if canonical_language(one.lang) == canonical_language(tag)), unknown)
        item_of, lang_of = found[place]
        count = counts[place]
        clicks.append(Click(query, item_of, lang_of, 1 if count is None else count, positions[place]))
    if clicks and all(one.passage is None for one in clicks):
        raise ReaderError(
            f"{columns['clicked_id'][0]!r} is the id of no passage, and neither is any other clicked_id; a passage is named by "
            f"its id, by item and language as in {passages[0].item}/{passages[0].lang}, or by its item",
            file=table.file, row=table.lines[0], field="clicked_id",
        )  # fmt: skip
    return clicks


def _passages_of(
    ids: Sequence[str | None], passages: Sequence[Document], pool: pa.Table
) -> list[tuple[str | None, str]]:
    """The item and the language that each clicked id means; None for an id that means nothing, no language if it is not known."""
    by_id = {one.id: one for one in passages if one.id}
    langs: dict[str, set[str]] = {}
    for one in passages:
        langs.setdefault(one.item, set()).add(one.lang)
    rows = rows_of_ids(pl.Series(ids, dtype=pl.String), pool).to_list()
    found: list[tuple[str | None, str]] = []
    for name, row in zip(ids, rows, strict=True):
        if name in by_id:
            found.append((by_id[name].item, by_id[name].lang))
        elif row is not None:
            found.append((passages[row].item, passages[row].lang))
        elif name in langs:
            # The item was clicked, in a language that the log does not say.
            found.append((name, ""))
        else:
            found.append((None, ""))
    return found


def whole_numbers(table: Table, name: str) -> list[int | None]:
    """The cells of a column of whole numbers from 1 on; None for empty cells, and for all if there is no such column."""
    if name not in table.names:
        return [None] * len(table.lines)
    numbers: list[int | None] = []
    for place, cell in enumerate(table.texts(name)):
        if cell is None:
            numbers.append(None)
        elif cell.strip().isdecimal() and int(cell) >= 1:
            numbers.append(int(cell))
        else:
            raise table.error(f"{cell!r} is not a whole number from 1 on", place, name)
    return numbers


def judged(
    clicks: Sequence[Click], min_clicks: int, grades: str, left_out: LeftOut, table: Table
) -> tuple[list[Document], dict[Pair, int]]:
    """The queries with clicks, and the grade of each pair of items.

    The clicks on all translations of a passage count together, and so do those of all translations of a query.

    Raises:
        ReaderError: no pair has enough clicks.

    """
    counts: dict[Pair, int] = {}
    asked: dict[tuple[str, str, str], Document] = {}
    for one in clicks:
        if one.passage is None:
            left_out.add("clicks on passages that are nowhere", f"{table.file.name}, row {one.query.row}", one.count)
            continue
        pair = one.query.item, one.passage
        counts[pair] = counts.get(pair, 0) + one.count
        asked.setdefault((one.query.item, canonical_language(one.query.lang), one.query.text), one.query)
    pairs: dict[Pair, int] = {}
    for pair, count in counts.items():
        if count < min_clicks:
            left_out.add(f"pairs with fewer than {min_clicks:,} clicks", f"{pair[0]!r}, {pair[1]!r}")
        else:
            pairs[pair] = 1 if grades == "one" else (count // min_clicks).bit_length()
    if not pairs:
        most = max(counts.values(), default=0)
        raise ReaderError(
            f"no pair has {min_clicks:,} clicks; the most are {most:,}: lower min_clicks", file=table.file
        )
    items = {query for query, _ in pairs}
    return [query for query in asked.values() if query.item in items], pairs


def regime(min_clicks: int, grades: str) -> str:
    """The regime of labels from clicks, in words."""
    enough = "a passage is relevant" if min_clicks == 1 else f"from {min_clicks:,} clicks on a passage is relevant"
    return f"{CLICKS}: {enough}{' if it was clicked' if min_clicks == 1 else ''}" + (
        "; the grade grows with the logarithm of the clicks" if grades == "log2" else ""
    )


def click_facts(clicks: Sequence[Click], passages: Sequence[Document]) -> dict[str, Any]:
    """Numbers that show what the clicks depend on: own language and position."""
    sizes: dict[str, int] = {}
    for one in passages:
        lang = canonical_language(one.lang)
        sizes[lang] = sizes.get(lang, 0) + 1
    used = [one for one in clicks if one.passage is not None]
    facts: dict[str, Any] = {"clicks": sum(one.count for one in used)}
    if known := [one for one in used if one.lang]:
        total = sum(one.count for one in known)
        own = sum(one.count for one in known if canonical_language(one.lang) == canonical_language(one.query.lang))
        fair = sum(one.count * sizes.get(canonical_language(one.query.lang), 0) for one in known) / len(passages)
        facts |= {"own_language": own / total, "own_language_in_pool": fair / total}
    if placed := [one for one in used if one.position is not None]:
        total = sum(one.count for one in placed)
        facts["at_first_position"] = sum(one.count for one in placed if one.position == 1) / total
    return facts


__all__ = ["GRADES", "Click", "Pair", "click_facts", "clicks_of", "judged", "regime", "whole_numbers"]
