"""`miracl`: MIRACL (Zhang et al., TACL 2023), retrieval from Wikipedia in 16 languages, each with its own pool.

The source is a folder with these files, or `miracl/miracl` and `miracl/miracl-corpus` on the Hugging Face hub:

- `miracl-v1.0-LANG/topics/topics.miracl-v1.0-LANG-SPLIT.tsv`: the id and the text of each query;
- `miracl-v1.0-LANG/qrels/qrels.miracl-v1.0-LANG-SPLIT.tsv`: TREC's columns query, Q0, passage, relevance;
- `miracl-corpus-v1.0-LANG/docs-*.jsonl.gz`: `docid`, `title` and `text`.

Nothing is parallel: an item is `LANG/ID`, and only monolingual results are meaningful. The text of a passage is its title, a
space and its text. Passages judged as not relevant (0) are hard negatives. The group of a passage is its article. The group of
a query is the query, so a query is the unit of confidence intervals.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._building import SideBuilder, corpus_from_tables
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._records import get_text, json_lines, table_lines, text_lines
from babelmix.corpus.readers._sources import is_hub_name, pick_langs, source_folder
from babelmix.corpus.readers._wikipedia import article_of, passage_text
from babelmix.errors import ReaderError

PASSAGES = {
    "ar": 2_061_414, "bn": 297_265, "en": 32_893_221, "es": 10_373_953, "fa": 2_207_172, "fi": 1_883_509,
    "fr": 14_636_953, "hi": 506_264, "id": 1_446_315, "ja": 6_953_614, "ko": 1_486_752, "ru": 9_543_918,
    "sw": 131_924, "te": 518_079, "th": 542_166, "zh": 4_934_368,
}  # fmt: skip
"""The number of passages in each language (MIRACL's own table; arXiv 2408.10536, Table 11)."""

LANGS = (*PASSAGES, "de", "yo")
"""All languages. The last two, the surprise languages, have no training part and are not in the table above."""

METRICS = ["nDCG@10", "R@100"]
"""The metrics that MIRACL reports."""


@dataclass(frozen=True)
class Source:
    """The rows of one language from its three sources, and the names of their files in errors."""

    lang: str
    topics: Iterable[tuple[int, list[str]]]
    judgements: Iterable[tuple[int, list[str]]]
    passages: Iterable[tuple[Path, int, dict[str, Any]]]
    topics_file: Path
    judgements_file: Path


def read(path: str, *, langs: str | Sequence[str] | None = None, split: str = "dev", check: bool = True) -> Corpus:
    """Read MIRACL.

    Args:
        path: the folder, or `miracl/miracl` on the Hugging Face hub. Its passages are in `miracl/miracl-corpus`.
        langs: the languages to read; by default all in the folder. A download needs them.
        split: `dev` or `train`. All but `train` is for evaluation only.
        check: compare the number of passages with the published one. With a smaller pool, every encoder looks better.

    Returns:
        The corpus. `meta["left_out"]` counts passages without a text, and judgements of missing passages or queries.

    Raises:
        ReaderError: a file is missing, damaged or malformed, or a pool is incomplete.

    """
    if is_hub_name(path):
        if langs is None:
            raise ReaderError(
                "the pools hold 90 million passages in 16 languages; name the languages to download with the option langs, "
                "or give a folder",
                file=path,
            )
        picked = pick_langs(langs, list(LANGS), path)
        topics = source_folder(path, [f"miracl-v1.0-{lang}/*-{split}.tsv" for lang in picked], "")
        pools = source_folder(f"{path}-corpus", [f"miracl-corpus-v1.0-{lang}/*.jsonl.gz" for lang in picked], "")
    else:
        topics = pools = source_folder(path, [], "MIRACL is a folder that holds miracl-v1.0-LANG and its corpus")
        available = sorted(folder.name.removeprefix("miracl-v1.0-") for folder in topics.glob("miracl-v1.0-*"))
        if not available:
            raise ReaderError("holds no folder miracl-v1.0-LANG, such as miracl-v1.0-sw", file=topics)
        picked = pick_langs(langs, available, path)
    sizes: dict[str, int] = {}
    corpus = parse((_source(topics, pools, lang, split) for lang in picked), split=split, file=path, sizes=sizes)
    if check:
        _check_counts(sizes, pools)
    return corpus


def _source(topics: Path, pools: Path, lang: str, split: str) -> Source:
    folder = topics / f"miracl-v1.0-{lang}"
    queries = folder / "topics" / f"topics.miracl-v1.0-{lang}-{split}.tsv"
    judgements = folder / "qrels" / f"qrels.miracl-v1.0-{lang}-{split}.tsv"
    pool = pools / f"miracl-corpus-v1.0-{lang}"
    files = sorted(pool.glob("docs-*.jsonl.gz"), key=lambda file: (len(file.name), file.name))
    if not files:
        raise ReaderError("holds no passages: docs-0.jsonl.gz and so on are missing", file=pool)

    def passages() -> Iterator[tuple[Path, int, dict[str, Any]]]:
        for file in files:
            for number, record in json_lines(text_lines(file), file):
                yield file, number, record

    cells = ((number, line.split()) for number, line in enumerate(text_lines(judgements), 1))
    return Source(lang, table_lines(queries, ("qid", "query")), cells, passages(), queries, judgements)


def parse(
    sources: Iterable[Source], *, split: str = "dev", file: str = "miracl", sizes: dict[str, int] | None = None
) -> Corpus:
    """Turn rows into a corpus (a pure function). Passages are read one at a time.

    Args:
        sources: the rows of each language.
        split: the name of the split.
        file: the name of the whole source in errors.
        sizes: a dict that is filled with the number of passages of each language, including those that are left out.

    Raises:
        ReaderError: the id of a query or a passage is repeated, or a row is malformed.

    """
    queries = SideBuilder()
    pools: list[pa.Table] = []
    qrels: dict[tuple[str, str], int] = {}
    negatives: list[tuple[str, str]] = []
    left_out = LeftOut()
    for source in sources:
        asked = _add_topics(source, queries)
        judged = _judgements(source, asked, left_out)
        pool, missing, size = _pool(source, {passage for _, passage in judged}, left_out)
        pools.append(pool)
        if sizes is not None:
            sizes[source.lang] = size
        for (query, passage), grade in judged.items():
            if passage in missing:
                left_out.add(
                    "judgements of passages that are not in the pool", f"{source.lang}: {query!r}, {passage!r}"
                )
                continue
            pair = f"{source.lang}/{query}", f"{source.lang}/{passage}"
            if grade > 0:
                qrels[pair] = grade
            else:
                negatives.append(pair)
    meta = {
        "source": "MIRACL v1.0", "licence": "Apache-2.0", "split": split, "passage": "title and text",
        "evaluation_only": split != "train", "metrics": METRICS, **left_out.facts(),
    }  # fmt: skip
    return corpus_from_tables(
        queries.table(), pa.concat_tables(pools), qrels, negatives, name=f"miracl/{split}", meta=meta, file=file
    )


def _add_topics(source: Source, queries: SideBuilder) -> set[str]:
    asked: set[str] = set()
    for number, (query, text) in source.topics:
        if query in asked:
            raise ReaderError(f"{query!r} occurs twice", file=source.topics_file, row=number, field="qid")
        if not text.strip():
            raise ReaderError("is empty", file=source.topics_file, row=number, field="query")
        asked.add(query)
        item = f"{source.lang}/{query}"
        queries.add(item, source.lang, text.strip(), item)
    return asked


def _judgements(source: Source, asked: set[str], left_out: LeftOut) -> dict[tuple[str, str], int]:
    judged: dict[tuple[str, str], int] = {}
    file = source.judgements_file
    for number, cells in source.judgements:
        if len(cells) != 4:
            raise ReaderError(f"has {len(cells)} cells, not qid, Q0, docid, relevance", file=file, row=number)
        query, _, passage, grade = cells
        if query not in asked:
            left_out.add("judgements of queries that are nowhere", f"{file.name}, row {number}: {query!r}")
            continue
        if not re.fullmatch(r"-?\d{1,9}", grade, re.ASCII):
            raise ReaderError(f"{grade!r} is not a whole number", file=file, row=number, field="relevance")
        if (query, passage) in judged:
            same = judged[query, passage] == int(grade)
            what = "repeated judgements" if same else "judgements that a later one contradicts"
            left_out.add(what, f"{file.name}, row {number}: {query!r}, {passage!r}")
        judged[query, passage] = int(grade)
    return judged


def _pool(source: Source, judged: set[str], left_out: LeftOut) -> tuple[pa.Table, set[str], int]:
    """The passages, the judged passages that are missing, and the number of passages including those left out."""
    rows = SideBuilder()
    empty = 0
    missing = set(judged)
    file: Path | None = None
    for file, number, record in source.passages:
        docid = get_text(record, "docid", file=file, row=number)
        text = passage_text(record, file=file, row=number)
        if not text:
            left_out.add("empty passages", f"{file.name}, row {number}: {docid!r}")
            empty += 1
            continue
        missing.discard(docid)
        rows.add(f"{source.lang}/{docid}", source.lang, text, article_of(source.lang, docid))
    table = rows.table()
    if pc.count_distinct(table["item"]).as_py() != table.num_rows:
        items = pl.DataFrame(pl.from_arrow(table.select(["item"])))["item"]
        twice = items.filter(items.is_duplicated())[0].partition("/")[2]
        raise ReaderError(f"{twice!r} occurs twice", file=file.parent if file else None, field="docid")
    return table, missing, table.num_rows + empty


def _check_counts(sizes: Mapping[str, int], pools: Path) -> None:
    for lang, passages in sizes.items():
        if passages != PASSAGES.get(lang, passages):
            raise ReaderError(
                f"has {passages:,} passages, but MIRACL has {PASSAGES[lang]:,}; download it again, or set the option "
                "check to false for a pool of your own",
                file=pools / f"miracl-corpus-v1.0-{lang}",
            )
