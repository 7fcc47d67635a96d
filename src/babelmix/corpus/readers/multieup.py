"""`multieup`: Multi-EuP v2 (Yang et al., MRL 2024), debates of the European Parliament: speeches in 24 languages.

The source is the CSV file of `unimelb-nlp/MultiEup-v2`, a folder with it, or this name on the Hugging Face hub. A row is a
speech: `did` (its id), `LANGUAGE`, `TEXT`, and for each language XX the title of its debate, `title_XX`, with the id `qid_XX`.
The part of `qid_XX` before `#` is the debate. The query is the title of a debate, translated into all languages. A passage is a
speech, in the language in which it was given. All speeches of the debate are relevant. The group is the debate.

With `pool=shift` the corpus is SHIFT's pool (arXiv 2606.18801). Its code keeps only languages of mMARCO, and writes `dt` for
Dutch (`NL` here), so that six languages remain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from babelmix.corpus.languages import is_language_tag
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._building import SideBuilder, corpus_from_tables
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._paragraphs import is_shift, pick_queries
from babelmix.corpus.readers._sources import is_hub_name, pick_langs, source_folder
from babelmix.corpus.readers._tables import SUFFIXES, read_table
from babelmix.errors import ReaderError

SHIFT_LANGS = ("de", "en", "es", "fr", "it", "pt")
"""The languages of SHIFT's pool."""

_SPEECH = ("did", "LANGUAGE", "TEXT")


def read(
    path: str,
    *,
    langs: Sequence[str] | None = None,
    queries: Sequence[str] | None = None,
    pool: str = "",
) -> Corpus:
    """Read Multi-EuP v2.

    Args:
        path: the file, a folder with one such file, or `unimelb-nlp/MultiEup-v2` on the Hugging Face hub.
        langs: the languages of speeches and queries; by default all.
        queries: the languages whose queries are read, such as `en`; by default all.
        pool: `shift` reads SHIFT's pool: the languages `SHIFT_LANGS` unless `langs` says others.

    Raises:
        ReaderError: there is no such file, a column is missing, or a speech is malformed.

    """
    shift = is_shift(pool, path)
    file = _file(path)
    table = read_table(file)
    titled = [name.removeprefix("title_") for name in table.names if name.startswith("title_")]
    there = {lang.lower(): lang for lang in titled if f"qid_{lang}" in table.names and is_language_tag(lang.lower())}
    wanted = [*_SPEECH, *(f"{column}_{lang}" for lang in there.values() for column in ("title", "qid"))]
    for name in (*_SPEECH, "title_EN", "qid_EN"):
        if name not in table.names:
            raise ReaderError(f"is missing; the columns are {', '.join(table.names)}", file=file, field=name)
    columns = {name: table.texts(name).to_list() for name in wanted}
    picked = pick_langs(SHIFT_LANGS if shift and langs is None else langs, list(there), path)
    asked = pick_queries(queries, picked, path)
    rows = (dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True))
    corpus = parse(zip(table.lines, rows, strict=True), langs=picked, queries=asked, file=str(file))
    return corpus.named(corpus.name, pool=pool) if shift else corpus


def parse(
    rows: Iterable[tuple[int, Mapping[str, str | None]]],
    *,
    langs: Sequence[str],
    queries: Sequence[str],
    file: str = "multieup",
) -> Corpus:
    """Turn speeches into a corpus (a pure function).

    Args:
        rows: the speeches with their row numbers. An empty cell is None.
        langs: the languages of the speeches to keep.
        queries: the languages of the titles to keep.
        file: the name of the source in errors.

    Raises:
        ReaderError: a language is unknown, or a speech occurs twice with another text.

    """
    asked, passages, left_out = SideBuilder(), SideBuilder(), LeftOut()
    titles: dict[tuple[str, str], str] = {}
    speeches: dict[str, tuple[str, str, str]] = {}
    qrels: dict[tuple[str, str], int] = {}
    for number, row in rows:
        lang = (row["LANGUAGE"] or "").strip().lower()
        if not is_language_tag(lang):
            left_out.add("speeches without a language", f"row {number}: {row['LANGUAGE']!r}")
            continue
        if lang not in langs:
            continue
        for asked_in in queries:
            title, debate = row.get(f"title_{asked_in.upper()}"), _debate(row.get(f"qid_{asked_in.upper()}"))
            if title and title.strip() and debate:
                # As in SHIFT: if the titles of a debate differ, the last one counts.
                if titles.get((debate, asked_in), title) != title:
                    left_out.add("titles that a later one contradicts", f"row {number}: {debate!r}")
                titles[debate, asked_in] = title
        speech, text, debate = row["did"], row["TEXT"], _debate(row["qid_EN"])
        if not speech or not text or not text.strip() or not debate:
            left_out.add("speeches without an id, a text or a debate", f"row {number}: {speech!r}")
            continue
        if speeches.setdefault(speech, (lang, text, debate)) != (lang, text, debate):
            raise ReaderError(
                f"{speech!r} occurs twice, with another text or debate", file=file, row=number, field="did"
            )
        qrels[debate, speech] = 1
    items, heard = {debate for debate, _ in titles}, {debate for debate, _ in qrels}
    for (debate, lang), title in titles.items():
        if debate in heard:
            asked.add(debate, lang, title.strip(), debate)
        else:
            left_out.add("titles of debates without a speech", f"{debate!r}")
    for speech, (lang, text, debate) in speeches.items():
        passages.add(speech, lang, text.strip(), debate)
    judged = {pair: grade for pair, grade in qrels.items() if pair[0] in items}
    meta = {
        "source": "Multi-EuP v2", "licence": "CC BY 4.0 (mteb); Apache-2.0 (the card of version 1)", "unit": "speech",
        "evaluation_only": True, **left_out.facts(),
    }  # fmt: skip
    return corpus_from_tables(asked.table(), passages.table(), judged, [], name="multieup", meta=meta, file=file)


def _debate(qid: str | None) -> str:
    return (qid or "").split("#")[0].strip()


def _file(path: str) -> Path:
    if not is_hub_name(path) and Path(path).is_file():
        return Path(path)
    folder = source_folder(path, ["*.csv"], "give the CSV file of Multi-EuP v2, or a folder with it")
    found = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in SUFFIXES]
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise ReaderError(f"holds {len(found)} tables, not one ({names}); name the file", file=folder)
    return found[0]
