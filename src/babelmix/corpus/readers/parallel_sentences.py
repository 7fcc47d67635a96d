"""`parallel-sentences`: your own translated sentences, a column for each language.

The columns are named by language tags (`en`, `de`, `pt-BR`). Two more are optional: `document`, the text that a sentence is part
of, and `item`, the name of the row. The rows of a document are in reading order. An empty cell means that the sentence is not
translated.

Each sentence is query and passage, in every language: it must find its translations. In its own language it finds itself, so
monolingual figures mean nothing. With `ask=next`, every second sentence of a document is a query, and the sentence after it is
its passage.
"""

from __future__ import annotations

from collections.abc import Sequence

from babelmix.corpus.languages import is_language_tag
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._bitext import ASKS, SENTENCE, ParallelText, corpus_from_texts
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._tables import Table
from babelmix.corpus.readers._wide_texts import (
    check_choice,
    chosen_langs,
    columns_of_texts,
    machine_made_langs,
    table_of,
)
from babelmix.errors import ReaderError

FILE = "sentences.parquet"
"""The table in a folder."""

_OTHERS = ("document", "item")


def read(
    path: str,
    *,
    langs: str | Sequence[str] | None = None,
    source_lang: str = "en",
    machine_made: str = "",
    ask: str = SENTENCE,
) -> Corpus:
    """Read translated sentences.

    Args:
        path: the table, or a folder with `sentences.parquet`.
        langs: the languages to read; by default all.
        source_lang: the language from which the others were translated.
        machine_made: the languages whose sentences are machine-translated, such as `de,fr`; `all`: all but `source_lang`.
        ask: what is a query: `sentence`, which must find its translations; or `next`: a sentence that must find the next one.

    Returns:
        The corpus. A group is a document. `meta["labels"]` says what the relevance rests on.

    Raises:
        ReaderError: a column is missing or is no language, an option is unknown, or the file is malformed.

    """
    check_choice("ask", ask, ASKS)
    return parse(table_of(path, FILE), langs=langs, source_lang=source_lang, machine_made=machine_made, ask=ask)


def parse(
    table: Table,
    *,
    langs: str | Sequence[str] | None = None,
    source_lang: str = "en",
    machine_made: str = "",
    ask: str = SENTENCE,
) -> Corpus:
    """Turn a table into a corpus (a pure function).

    Args:
        table: the table.
        langs: see `read`, as all other arguments.
        source_lang: the source language.
        machine_made: the machine-made languages.
        ask: what is a query.

    """
    there = [name for name in table.names if is_language_tag(name)]
    for name in table.names:
        if name not in there and name not in _OTHERS and table.may_be_texts(name):
            raise ReaderError(
                "is neither a language tag (de, pt-BR) nor document or item; rename the column or remove it",
                file=table.file, field=name,
            )  # fmt: skip
    picked, wanted = chosen_langs(there, langs, source_lang, table)
    made = machine_made_langs(machine_made, there, source_lang, table)
    columns = columns_of_texts(table, {lang: lang for lang in wanted})
    left_out = LeftOut()
    corpus = corpus_from_texts(
        _texts(table, columns, source_lang, left_out),
        ask=ask,
        name=table.stem,
        source_lang=source_lang,
        meta={
            "source": str(table.file),
            "machine_made": [lang for lang in made if lang in picked],
            **({"notes": table.notes} if table.notes else {}),
        },
        left_out=left_out,
    )
    return corpus if source_lang in picked else corpus.only_langs(sorted(picked))


def _texts(
    table: Table, columns: dict[str, list[str | None]], source_lang: str, left_out: LeftOut
) -> list[ParallelText]:
    absent = [None] * len(table.lines)
    documents = table.texts("document").to_list() if "document" in table.names else absent
    names = table.texts("item").to_list() if "item" in table.names else absent
    found: list[ParallelText] = []
    seen: dict[str, int] = {}
    for place, row in enumerate(table.lines):
        document = (documents[place] or "").strip()
        item = (names[place] or "").strip() or (f"{document}#{place + 1}" if document else str(place + 1))
        if (before := seen.setdefault(item, row)) != row:
            raise table.error(f"{item!r} is already the item of row {before}", place, "item")
        texts = {lang: text for lang, cells in columns.items() if (text := cells[place]) is not None}
        if source_lang in texts:
            found.append(ParallelText(item, document or item, texts))
        else:
            left_out.add("rows without a source text", f"{table.file.name}, row {row}")
    return found


__all__ = ["FILE", "parse", "read"]
