"""`beir`: a BEIR folder whose queries and corpus say their language.

`queries.jsonl` and `corpus.jsonl` hold one JSON object a line: `_id`, `text`, `lang`, and optionally `title` (put before
the text), `item` (the meaning, the same for all translations; by default `_id`) and `group` (by default the item).
`qrels/<split>.tsv` has the columns `query-id`, `corpus-id`, `score`; rows with a score of 0 or less are not relevant,
and higher scores are grades. Where translations of one pair have different scores, the highest counts.
"""

from __future__ import annotations

from pathlib import Path

from babelmix.corpus.languages import is_language_tag, not_a_tag
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._records import json_lines, read_utf8
from babelmix.errors import ReaderError


def read(path: str, *, split: str = "test") -> Corpus:
    """Read a BEIR folder.

    Args:
        path: the folder.
        split: which file of `qrels/` to use.

    Raises:
        ReaderError: a file, a field or an id is missing, repeated or malformed; the message names file, row and field.

    """
    folder = Path(path)
    queries, query_items = _rows(folder / "queries.jsonl")
    passages, passage_items = _rows(folder / "corpus.jsonl")
    qrels = _qrels(folder / "qrels" / f"{split}.tsv", query_items, passage_items)
    return Corpus.from_rows(queries, passages, qrels, name=folder.name, meta={"source": str(folder), "split": split})


def _rows(file: Path) -> tuple[list[dict[str, str]], dict[str, str]]:
    if not file.is_file():
        raise ReaderError("is missing from the BEIR folder", file=file)
    rows: list[dict[str, str]] = []
    items: dict[str, str] = {}
    for number, record in json_lines(read_utf8(file).split("\n"), file):
        for name in ("_id", "text", "lang"):
            if not isinstance(record.get(name), str):
                found = "is missing" if name not in record else f"holds {record[name]!r}, but a text is needed"
                raise ReaderError(found, file=file, row=number, field=name)
        name, lang = record["_id"], record["lang"]
        if name in items:
            raise ReaderError(f"{name!r} occurs twice", file=file, row=number, field="_id")
        if not is_language_tag(lang):
            raise ReaderError(not_a_tag(lang), file=file, row=number, field="lang")
        for name in ("title", "item", "group"):
            if name in record and not isinstance(record[name], str):
                raise ReaderError(f"holds {record[name]!r}, but a text is needed", file=file, row=number, field=name)
        name = record["_id"]
        text = " ".join(part for part in (record.get("title", ""), record["text"]) if part.strip())
        if not text:
            raise ReaderError("is empty", file=file, row=number, field="text")
        items[name] = str(record.get("item", name))
        group = str(record.get("group", items[name]))
        rows.append({"item": items[name], "lang": lang, "text": text, "group": group})
    if not rows:
        raise ReaderError("holds no rows", file=file)
    return rows, items


def _qrels(file: Path, queries: dict[str, str], passages: dict[str, str]) -> list[tuple[str, str, int]]:
    if not file.is_file():
        raise ReaderError("is missing from the BEIR folder", file=file)
    pairs: dict[tuple[str, str], int] = {}
    for number, line in enumerate(read_utf8(file).splitlines(), 1):
        cells = line.split("\t")
        if number == 1 and cells[0] == "query-id":
            continue
        if len(cells) != 3:
            raise ReaderError(f"has {len(cells)} columns, not query-id, corpus-id, score", file=file, row=number)
        for name, known, field in ((cells[0], queries, "query-id"), (cells[1], passages, "corpus-id")):
            if name not in known:
                raise ReaderError(f"{name!r} is nowhere in the folder", file=file, row=number, field=field)
        try:
            score = float(cells[2])
        except ValueError:
            raise ReaderError(f"{cells[2]!r} is not a number", file=file, row=number, field="score") from None
        if not (score.is_integer() and abs(score) < 2**31):
            raise ReaderError(f"{cells[2]!r} is not a whole number", file=file, row=number, field="score")
        if score > 0:
            pair = queries[cells[0]], passages[cells[1]]
            pairs[pair] = max(int(score), pairs.get(pair, 1))
    if not pairs:
        raise ReaderError("holds no relevant pair", file=file)
    return [(query, passage, grade) for (query, passage), grade in pairs.items()]
