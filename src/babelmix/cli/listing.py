"""What `data` and `encoders` print on a terminal; imports nothing slow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table

from babelmix._terminal import PlainConsole, visible_in_line
from babelmix.cli.options import said_otherwise
from babelmix.corpus import READERS, Corpus
from babelmix.corpus.model import READ_AS
from babelmix.corpus.nfc import count_decomposed
from babelmix.encoders.known import KNOWN

# Texts of a collection may hold what rich would take for its mark-up.
out = PlainConsole(markup=False)

_SHOWN = 3
"""Examples that are shown of what was left out."""

_BLANKS = str.maketrans("\t\n\r", "   ")


def plain(text: str) -> str:
    """A text of a collection for one line: line ends and tabs become spaces, other controls are shown as escapes."""
    return visible_in_line(text.translate(_BLANKS))


class _PlainTable(Table):
    """A table whose cells are made plain before they are measured."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row."""
        super().add_row(*(plain(cell) if isinstance(cell, str) else cell for cell in cells), **options)


def new_table(*columns: str, title: str = "") -> Table:
    """A plain table: the first column left, the others right."""
    table = _PlainTable(box=box.SIMPLE_HEAD, title=plain(title) or None, title_justify="left", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(
            plain(column), justify="left" if number == 0 else "right", no_wrap=number == 0, overflow="fold"
        )
    return table


def print_corpus(corpus: Corpus, saved: Path | None) -> None:
    """Rows per language, sizes, and what the source says of itself."""
    table = new_table("language", "queries", "passages", title=plain(corpus.name))
    for lang, queries, passages in corpus.counts().iter_rows():
        table.add_row(lang, f"{queries:,}", f"{passages:,}")
    out.print(table)
    groups = len({*corpus.queries["group"].to_pylist(), *corpus.passages["group"].to_pylist()})
    out.print(
        f"{corpus.queries.num_rows:,} queries, {corpus.passages.num_rows:,} passages, {corpus.qrels.num_rows:,} relevant "
        f"pairs of items, {groups:,} groups",
        highlight=False,
    )
    if corpus.meta.get("one_text_per_language"):
        out.print("one text per language: in the monolingual setting every text finds itself", highlight=False)
    if decomposed := sum(count_decomposed(side["text"]) for side in (corpus.queries, corpus.passages)):
        out.print(f"{decomposed:,} texts are not in NFC; encoders read them composed", highlight=False)
    for line in (*said_otherwise(corpus.meta.get(READ_AS, {})), *_pool_lines(corpus)):
        out.print(line, highlight=False)
    for key, value in corpus.meta.items():
        if key not in _SAID and value not in ([], {}, "", None):
            out.print(f"  {key.replace('_', ' ')}: {_plain(value)}", highlight=False)
    if saved is not None:
        out.print(f"saved: {saved}", highlight=False, soft_wrap=True)


_SAID = ("left_out", "left_out_examples", "copies", READ_AS)


def _pool_lines(corpus: Corpus) -> Iterator[str]:
    """What was left out, what is no candidate for a query, and copies of right answers."""
    counts, examples = corpus.meta.get("left_out") or {}, corpus.meta.get("left_out_examples") or {}
    if isinstance(counts, Mapping):
        for what, number in counts.items():
            first = "; ".join(map(str, list(examples.get(what, ()))[:_SHOWN]))
            more = "; ..." if first and number > _SHOWN else ""
            yield f"  left out: {plain(str(what))}: {number:,}" + (f" ({plain(first)}{more})" if first else "")
    else:  # of a corpus that an earlier version wrote
        yield f"  left out: {_plain(counts)}"
    if corpus.excluded.num_rows:
        yield f"  excluded: {corpus.excluded.num_rows:,} passages for one query each, in whose pool they are not"
    if copies := corpus.meta.get("copies"):
        yield (
            f"  copies: {copies['passages']:,} passages have the very content of a right answer and are judged for no such "
            f"query ({copies['queries']:,} queries have one): an audit counts them as wrong, unless  --copies relevant"
        )


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{plain(str(key))} {_plain(entry)}" for key, entry in value.items())
    return plain(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def print_readers() -> None:
    """The readers by name."""
    table = new_table("reader", "path", "what it reads")
    for name, reader in READERS.items():
        table.add_row(name, reader.takes_path, reader.summary)
    table.columns[2].justify = "left"
    out.print(table)
    out.print("Write  NAME,  NAME=PATH  or just a path. Show one with  babelmix data CORPUS.", highlight=False)


def print_encoders() -> None:
    """The known encoders by name."""
    table = new_table("encoder", "needs", "what it is")
    for name, known in KNOWN.items():
        table.add_row(name, known.needs, known.summary)
    table.columns[2].justify = "left"
    out.print(table)
    out.print("Any sentence-transformers or transformers encoder works too: a hub name or a folder.", highlight=False)


def print_encoder(facts: Mapping[str, Any]) -> None:
    """One encoder's facts."""
    for key, value in facts.items():
        shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else _plain(value)
        out.print(f"{key.replace('_', ' ')}: {shown}", highlight=False, soft_wrap=True)
