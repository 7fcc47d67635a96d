"""`beir`: a folder of BEIR, from its own zip files or with a language for each text.

- `queries.jsonl` and `corpus.jsonl` have a JSON object on each line: `_id`, `text`, and optionally `title` (placed before the
  text), `lang`, `item` (the meaning, which translations share; by default `_id`) and `group` (by default the item). Other
  fields are ignored. BEIR's own files have no `lang`; give it with the option `lang`.
- `qrels/SPLIT.tsv` has the columns `query-id`, `corpus-id` and `score`, or the four columns of TREC. The header is optional. A
  score of 0 or less means not relevant, and higher scores are grades. If translations of a pair have different scores, the
  highest counts.

All files may be compressed with gzip. A split has the queries that its qrels name. `meta["left_out"]` counts what is left out:
documents and queries without a text, and judgements of missing documents or queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import pyarrow as pa

from babelmix.corpus.languages import is_language_tag, not_a_tag
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._building import SideBuilder, corpus_from_tables
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._qrels import HEADS, grade_of, qrel_cells
from babelmix.corpus.readers._records import json_lines, text_lines
from babelmix.errors import ReaderError

SELF = {
    "exclude": "a passage that has the query's id is not in its pool, as in BEIR's own evaluation, unless it is judged relevant",
    "keep": "a passage that has the query's id is in its pool",
}
"""How to treat a passage with the id of the query."""

Pair = tuple[str, str]
Row = tuple[str, str, str, str]
"""Item, language, text and group."""


def is_beir_folder(folder: Path) -> bool:
    """Whether a folder has a `corpus.jsonl`, plain or compressed with gzip."""
    return any((folder / f"corpus.jsonl{packed}").is_file() for packed in ("", ".gz"))


def read(path: str, *, split: str = "test", lang: str = "", self: str = "exclude", qrels: str = "") -> Corpus:
    """Read a BEIR folder.

    Args:
        path: the folder.
        split: the file of `qrels/` to use. It also decides which queries are read.
        lang: the language of queries and documents without a `lang` of their own.
        self: `exclude` removes a passage from the pool of the query with the same id, as BEIR's evaluation does by default
            (`ignore_identical_ids`), because in ArguAna, Quora and CQADupStack the query is in its own pool. `keep` keeps it. A
            passage that is judged relevant is always kept.
        qrels: a file of judgements to use instead of that of the split, in the form of BEIR or TREC.

    Raises:
        ReaderError: a file or a field is missing or malformed, or an id has two texts. The message names the file, the row and
            the field.

    """
    folder = Path(path)
    if self not in SELF:
        raise ReaderError(f"the option self is {' or '.join(SELF)}, not {self!r}", file=folder)
    if lang and not is_language_tag(lang):
        raise ReaderError(f"the option lang: {not_a_tag(lang)}", file=folder)
    if parts := _inner_folders(folder):
        raise ReaderError(
            f"holds the BEIR folders {', '.join(parts)}, each with a pool of its own: read one, as in  "
            f"beir={folder / parts[0]}",
            file=folder,
        )
    left_out = LeftOut()
    qrels_file = Path(qrels) if qrels else _qrels_file(folder, split)
    judged = _judgements(qrels_file, left_out)
    rows, asked, without = _queries(folder, lang, left_out)
    passages, found, empty = _documents(folder, lang, {passage for _, passage in judged} | set(asked), left_out)
    # A translation of a judged query belongs to the split too.
    wanted = {asked[query] for query, _ in judged if query in asked}
    queries, others = SideBuilder(), 0
    for key, row in rows.items():
        if row[0] in wanted:
            queries.add(*row, key)
        else:
            others += 1
    left_out.add("queries of other splits", count=others)
    pairs: dict[Pair, int] = {}
    for (query, passage), score in judged.items():
        if query not in asked or passage not in found:
            why = _why_unused(query, passage, asked, without, empty)
            left_out.add(f"judgements of {why}", f"{qrels_file.name}: {query!r}, {passage!r}")
        elif score > 0:
            pair = asked[query], found[passage]
            pairs[pair] = max(score, pairs.get(pair, 1))
    own = dict.fromkeys((asked[name], found[name]) for name in asked if name in found and asked[name] in wanted)
    excluded = [pair for pair in own if pair not in pairs] if self == "exclude" else []
    protocol = {"split": split} | ({"self": SELF[self]} if own else {})
    meta = {"source": str(folder), "split": split, "protocol": protocol, **left_out.facts()}
    return corpus_from_tables(
        queries.table(), passages, pairs, [], name=folder.resolve().name, meta=meta, file=qrels_file, excluded=excluded
    )


def _inner_folders(folder: Path) -> list[str]:
    """The names of the BEIR folders inside a folder that is not a BEIR folder itself, such as CQADupStack's."""
    if is_beir_folder(folder) or not folder.is_dir():
        return []
    return sorted(inner.name for inner in folder.iterdir() if is_beir_folder(inner))


def _file(folder: Path, name: str) -> Path:
    file = next((file for packed in ("", ".gz") if (file := folder / f"{name}{packed}").is_file()), None)
    if file is None:
        raise ReaderError("is missing from the BEIR folder", file=folder / name)
    return file


def _qrels_file(folder: Path, split: str) -> Path:
    there = sorted({file.name.removesuffix(".gz").removesuffix(".tsv") for file in (folder / "qrels").glob("*.tsv*")})
    if there and split not in there:
        raise ReaderError(
            f"there are no judgements of the split {split!r}; its splits are {', '.join(there)}: say which, as in  "
            f"beir={folder}?split={there[0]}",
            file=folder,
        )
    return _file(folder, f"qrels/{split}.tsv")


def _queries(folder: Path, lang: str, left_out: LeftOut) -> tuple[dict[str, Row], dict[str, str], set[str]]:
    """The queries with a text, the item of each id, and the ids without a text."""
    rows, items, empty = {}, {}, set()
    for key, row in _records(_file(folder, "queries.jsonl"), "queries", lang, left_out):
        if row[2]:
            rows[key] = row
            items[key] = row[0]
        else:
            empty.add(key)
    return rows, items, empty


def _documents(
    folder: Path, lang: str, wanted: Set[str], left_out: LeftOut
) -> tuple[pa.Table, dict[str, str], set[str]]:
    """The documents with a text, the item of each wanted id, and the wanted ids without a text."""
    rows, items, empty = SideBuilder(), {}, set()
    for key, row in _records(_file(folder, "corpus.jsonl"), "documents", lang, left_out):
        if row[2]:
            rows.add(*row, key)
        if key in wanted:
            if row[2]:
                items[key] = row[0]
            else:
                empty.add(key)
    return rows.table(), items, empty


def _records(file: Path, what: str, lang: str, left_out: LeftOut) -> Iterator[tuple[str, Row]]:
    """Yield the rows of a file with their ids, without repeats. Rows without a text are counted, and yielded too."""
    seen: dict[str, tuple[int, int]] = {}
    for number, record in json_lines(text_lines(file), file):
        key = _id(record, file, number)
        row = _row(key, record, lang, file, number)
        if key in seen:
            if seen[key][1] != hash(row):
                raise ReaderError(
                    f"{key!r} occurs twice, and in row {seen[key][0]} with another text",
                    file=file,
                    row=number,
                    field="_id",
                )
            left_out.add(f"repeated {what}", f"{file.name}, row {number}: {key!r}")
            continue
        seen[key] = number, hash(row)
        if not row[2]:
            left_out.add(f"empty {what}", f"{file.name}, row {number}: {key!r}")
        yield key, row
    if not seen:
        raise ReaderError("holds no rows", file=file)


def _why_unused(query: str, passage: str, asked: Mapping[str, str], without: Set[str], empty: Set[str]) -> str:
    if query in without:
        return "empty queries"
    if query not in asked:
        return "queries that are nowhere"
    return "empty documents" if passage in empty else "documents that are nowhere"


def _id(record: dict[str, Any], file: Path, number: int) -> str:
    key = record.get("_id")
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    if not isinstance(key, str) or not key:
        found = "is missing" if key is None else f"holds {key!r}, but a text is needed"
        raise ReaderError(found, file=file, row=number, field="_id")
    return key


def _row(key: str, record: dict[str, Any], lang: str, file: Path, number: int) -> Row:
    """Item, language, text and group of a record. A null is the same as a missing field. The text may be empty."""
    cells: dict[str, str] = {}
    for name in ("text", "title", "lang", "item", "group"):
        value = record.get(name)
        if name in ("item", "group") and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if value is not None and not isinstance(value, str):
            raise ReaderError(f"holds {value!r}, but a text is needed", file=file, row=number, field=name)
        cells[name] = value or ""
    if "text" not in record:
        raise ReaderError("is missing", file=file, row=number, field="text")
    tag = cells["lang"] or lang
    if not tag:
        raise ReaderError(
            f"is missing, as in all of BEIR's own files: say the language with the option lang, as in  "
            f"beir={file.parent}?lang=en",
            file=file, row=number, field="lang",
        )  # fmt: skip
    if not is_language_tag(tag):
        raise ReaderError(not_a_tag(tag), file=file, row=number, field="lang")
    text = " ".join(part for part in (cells["title"], cells["text"]) if part.strip())
    item = cells["item"] or key
    return item, tag, text, cells["group"] or item


def _judgements(file: Path, left_out: LeftOut) -> dict[Pair, int]:
    """The score of each pair of ids. If a pair is judged twice, the last score counts, as in BEIR's own loader."""
    judged: dict[Pair, int] = {}
    for number, (query, passage, score) in qrel_cells(file):
        if number == 1 and score.lower() in HEADS:
            continue
        value = grade_of(score, file, number)
        if (query, passage) in judged:
            same = judged[query, passage] == value
            what = "repeated judgements" if same else "judgements that a later one contradicts"
            left_out.add(what, f"{file.name}, row {number}: {query!r}, {passage!r}")
        judged[query, passage] = value
    return judged
