"""`folder`: a folder of your own with `passages` and `queries`; `qrels` or `clicks` are optional.

Each is a table (`.jsonl`, `.csv`, `.tsv`, `.parquet` or `.arrow`), for example `queries.jsonl`:

- `passages`: `lang`, `text`, and optionally `item` (or `id`), `title` (placed before the text) and `group`. Translations share
  the item. If there are both `item` and `id`, the `id` names the row.
- `queries`: `lang`, `text` (or `query`), and optionally `item` (or `id`, or `group`), which says which queries are translations
  of each other.
- `qrels`: `query_item`, `passage_item`, and optionally `grade`, a whole number from 1.
- `clicks`: `query`, `clicked_id`, and optionally `count` (1), `lang`, `item` and `position` (1 is shown first). `clicked_id` is
  the `id` of a passage, its item and language as in `page-7/de`, or its item. With clicks, `queries` may be missing.

Without `qrels` and `clicks`, the corpus has no labels, and an audit measures what needs none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from babelmix._files import replacing_folder, write_json
from babelmix.corpus.labels import CLICK_FACTS, LABELS
from babelmix.corpus.languages import canonical_language
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._building import SideBuilder
from babelmix.corpus.readers._clicks import GRADES, Pair, click_facts, clicks_of, judged, regime, whole_numbers
from babelmix.corpus.readers._documents import Document, documents_of
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._records import json_document
from babelmix.corpus.readers._tables import SUFFIXES, Table, is_table, read_table
from babelmix.corpus.readers._unpacking import stem_of
from babelmix.corpus.schema import GRADE, OWN_ID, QREL_SCHEMA
from babelmix.errors import CorpusError, ReaderError

FACTS = "meta.json"
"""The file with the name of the corpus and its `meta`, which `write` adds."""


def is_plain_folder(folder: Path) -> bool:
    """Whether a folder has passages with queries or clicks, as described above."""
    return bool(_files(folder, "passages")) and bool(_files(folder, "queries") or _files(folder, "clicks"))


def read(path: str, *, lang: str = "", min_clicks: int = 1, grades: str = "one") -> Corpus:
    """Read a folder.

    Args:
        path: the folder.
        lang: the language of rows without a `lang` of their own.
        min_clicks: the number of clicks that make a passage relevant.
        grades: `one` or `log2`, see `GRADES`.

    Raises:
        ReaderError: a file or a column is missing, a row is malformed, or a click is on no passage.

    """
    folder = Path(path)
    tables = {name: _table(folder, name) for name in ("passages", "queries", "qrels", "clicks")}
    if tables["passages"] is None or (tables["queries"] is None and tables["clicks"] is None):
        missing = "passages" if tables["passages"] is None else "queries"
        raise ReaderError(f"is missing, as {' or '.join(SUFFIXES)}", file=folder / missing)
    left_out = LeftOut()
    passages = with_titles(documents_of(tables["passages"], lang=lang, left_out=left_out))
    return corpus_of_log(
        list(passages), tables["queries"], tables["clicks"], tables["qrels"], lang=lang, min_clicks=min_clicks, grades=grades,
        left_out=left_out, **_saved_facts(folder),
    )  # fmt: skip


def only_passages(folder: Path) -> Table | None:
    """The passages of a folder; None if it has none."""
    return _table(folder, "passages") if folder.is_dir() else None


def with_titles(documents: Iterable[Document]) -> Iterator[Document]:
    """Documents with their titles before their texts, as in BEIR."""
    for one in documents:
        text = " ".join(part for part in (one.title, one.text) if part.strip())
        yield Document(one.item, one.lang, text, "", one.group, one.id, one.row)


def corpus_of_log(
    passages: Sequence[Document],
    queries: Table | None,
    clicks: Table | None = None,
    qrels: Table | None = None,
    *,
    lang: str = "",
    min_clicks: int = 1,
    grades: str = "one",
    left_out: LeftOut | None = None,
    name: str = "log",
    meta: Mapping[str, Any] | None = None,
) -> Corpus:
    """Make a corpus of passages and a log of queries or clicks.

    Args:
        passages: the passages.
        queries: the log of queries, with the columns described above; None if there are clicks.
        clicks: the log of clicks; None: there is none.
        qrels: the qrels; None: there are none.
        lang: the language of queries without one of their own.
        min_clicks: the number of clicks that make a passage relevant.
        grades: `one` or `log2`, see `GRADES`.
        left_out: counts from reading the passages.
        name: the name of the corpus.
        meta: further facts.

    Raises:
        ReaderError: a column is missing, a row is malformed, or no click is on a passage.

    """
    if grades not in GRADES:
        raise ReaderError(f"the option grades is {' or '.join(GRADES)}, not {grades!r}")
    if min_clicks < 1:
        raise ReaderError("the option min_clicks is 1 or more, not 0")
    counted = LeftOut() if left_out is None else left_out
    if clicks is not None and qrels is not None:
        raise ReaderError("has qrels and clicks; remove one of the two files", file=clicks.file)
    asked = [] if queries is None else list(_queries(queries, lang, counted))
    facts: dict[str, Any] = dict(meta or {})
    pool = _side(passages)
    pairs: dict[Pair, int] = {}
    if clicks is not None:
        found = clicks_of(clicks, asked, lang, passages, pool)
        asked, pairs = judged(found, min_clicks, grades, counted, clicks)
        facts |= {LABELS: regime(min_clicks, grades), CLICK_FACTS: click_facts(found, passages)}
    elif qrels is not None:
        pairs = _qrels(qrels)
    columns = {column: [pair[i] for pair in pairs] for i, column in enumerate(("query_item", "passage_item"))}
    source = next(table for table in (queries, clicks) if table is not None)
    try:
        return Corpus(
            _side(asked), pool, pa.table({**columns, GRADE: list(pairs.values())}, schema=QREL_SCHEMA), name,
            {**facts, **_together(facts, counted)},
        )  # fmt: skip
    except CorpusError as error:
        raise ReaderError(str(error), file=source.file) from error


def _together(meta: Mapping[str, Any], left_out: LeftOut) -> dict[str, Any]:
    """The counts of what is left out here, and those of the source."""
    found, before = left_out.facts(), meta.get("left_out", {})
    return {} if not found else {**found, "left_out": {**before, **found["left_out"]}}


def _side(rows: Iterable[Document]) -> pa.Table:
    side = SideBuilder()
    for one in rows:
        side.add(one.item, one.lang, one.text, one.group, one.id or None)
    return side.table()


def _queries(table: Table, lang: str, left_out: LeftOut) -> Iterator[Document]:
    """The queries of a log. Without items, a text that is asked twice in one language is one query."""
    what = "text" if "text" in table.names else "query"
    joined = {"item", "id", "group"} & set(table.names)
    seen: set[tuple[str, ...]] = set()
    for one in documents_of(table, lang=lang, what=what, queries=True, left_out=left_out):
        key = (one.item if joined else "", canonical_language(one.lang), one.text)
        if key in seen:
            left_out.add("repeated queries", f"{table.file.name}, row {one.row}")
            continue
        seen.add(key)
        yield one


def _qrels(table: Table) -> dict[Pair, int]:
    for needed in ("query_item", "passage_item"):
        if needed not in table.names:
            raise ReaderError(f"is missing; there are {', '.join(table.names)}", file=table.file, field=needed)
    sides = [table.texts(name).to_list() for name in ("query_item", "passage_item")]
    grades = whole_numbers(table, GRADE)
    pairs: dict[Pair, int] = {}
    for place, row in enumerate(table.lines):
        query, passage, grade = sides[0][place], sides[1][place], grades[place]
        if not query or not passage:
            raise ReaderError("is empty", file=table.file, row=row, field="passage_item" if query else "query_item")
        if (query, passage) in pairs:
            raise ReaderError(f"the pair {query!r}, {passage!r} is listed twice", file=table.file, row=row)
        pairs[query, passage] = 1 if grade is None else grade
    return pairs


def _files(folder: Path, name: str) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if stem_of(file) == name and is_table(file) and file.is_file())


def _table(folder: Path, name: str) -> Table | None:
    files = _files(folder, name)
    if len(files) > 1:
        there = ", ".join(file.name for file in files)
        raise ReaderError(f"holds {there}; keep one of them", file=folder)
    return read_table(files[0]) if files else None


def _saved_facts(folder: Path) -> dict[str, Any]:
    """The name and the facts that `write` has saved."""
    file = folder / FACTS
    if not file.is_file():
        return {"name": folder.resolve().name, "meta": {"source": str(folder)}}
    saved = json_document(file)
    if not isinstance(saved, dict) or not isinstance(saved.get("meta", {}), dict):
        raise ReaderError("is not an object with name and meta; remove it, or write the folder again", file=file)
    return {"name": str(saved.get("name") or folder.resolve().name), "meta": saved.get("meta", {})}


def write(corpus: Corpus, folder: str | Path) -> None:
    """Write a corpus of texts as a folder that people can read: JSON lines, and `meta.json`. It appears complete or not at all.

    Args:
        corpus: the corpus.
        folder: a new folder, or one that this function wrote, which is replaced.

    Raises:
        CorpusError: the corpus has pictures, negatives or excluded passages.
        BabelmixError: the folder holds other files, or cannot be written to.

    """
    if corpus.has_images or corpus.negatives.num_rows or corpus.excluded.num_rows:
        raise CorpusError(
            f"{corpus.name}: has pictures, negatives or excluded passages, which JSON lines cannot hold; save it with --to"
        )
    with replacing_folder(Path(folder), [FACTS]) as temporary:
        for side in ("queries", "passages"):
            with (temporary / f"{side}.jsonl").open("w", encoding="utf-8", newline="\n") as out:
                for batch in getattr(corpus, side).to_batches(max_chunksize=4096):
                    for row in batch.to_pylist():
                        line = {key: row[key] for key in ("item", "lang", "text")}
                        line |= {"group": row["group"]} if row["group"] != row["item"] else {}
                        line |= {OWN_ID: row[OWN_ID]} if row.get(OWN_ID) is not None else {}
                        out.write(json.dumps(line, ensure_ascii=False) + "\n")
        if corpus.qrels.num_rows:
            with (temporary / "qrels.jsonl").open("w", encoding="utf-8", newline="\n") as out:
                for pair in corpus.qrels.to_pylist():
                    out.write(json.dumps(pair, ensure_ascii=False) + "\n")
        write_json(temporary / FACTS, {"name": corpus.name, "meta": dict(corpus.meta)})


__all__ = ["FACTS", "GRADES", "corpus_of_log", "is_plain_folder", "only_passages", "read", "with_titles", "write"]
