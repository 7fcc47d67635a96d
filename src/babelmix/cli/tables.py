"""What the commands print on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from babelmix.audit import Audit
from babelmix.corpus import READERS, Corpus
from babelmix.encoders import KNOWN
from babelmix.experiment import Results, audit_lead, finding
from babelmix.experiment.recipes import names
from babelmix.experiment.report import sections
from babelmix.training import TrainingResult

out = Console()


def _table(*columns: str, title: str = "") -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=number == 0, overflow="fold")
    return table


def print_audit(audit: Audit, folder: Path) -> None:
    """The three settings, the bias metrics, and where the report is."""
    for section in (sections.settings_section(audit), sections.bias_section(audit)):
        for content in section.tables:
            table = _table(*content.head, title=section.title)
            for row in content.rows:
                table.add_row(*row)
            out.print(table)
    languages = sections.languages_section(audit).tables[0]
    short = _table(*languages.head)
    for row in languages.rows:
        short.add_row(*(cell.split(" [")[0] for cell in row))
    out.print(short)
    out.print(audit_lead(audit), highlight=False)
    out.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def print_training(result: TrainingResult, folder: Path, corpus: Corpus) -> None:
    """What was trained, how the loss went, and how to use it."""
    settings = result.settings
    out.print(
        f"trained {settings.steps} steps of {settings.batch_size} pairs, {settings.strategy} batches, on {corpus.name} "
        f"({len(corpus.langs)} languages) in {result.seconds:.0f} s; "
        f"loss {result.losses[0][1]:.3f} at first, {result.losses[-1][1]:.3f} at last",
        highlight=False,
    )
    out.print(f"encoder: {folder}   load it with  SentenceTransformer({str(folder)!r})", highlight=False, soft_wrap=True)


def print_comparison(results: Results, folder: Path) -> None:
    """The headline, the finding in one sentence, and where the report is."""
    head = [name for name in sections.HEADLINE if any(name in entry.means for entry in results.entries)]
    table = _table("", *(sections.title_of(name) for name in head))
    for entry in results.entries:
        cells = []
        for name in head:
            if name not in entry.means:
                cells.append("")
                continue
            text = sections.shown(name, entry.means[name].value)
            if len(entry.audits) > 1:
                text += f" ± {sections.shown(name, entry.seed_deviation[name])}"
            cells.append(text)
        mark = "" if entry.corpus == results.strategies()[0].corpus else " *"
        table.add_row(entry.name + mark, *cells, style="bold" if entry.name == results.experiment.compare.against else None)
    out.print(table)
    for entry in results.entries:
        if entry.corpus != results.strategies()[0].corpus:
            out.print(f"* tested on {entry.corpus}: a smaller pool, so not to be compared with the rows below", highlight=False)
    if len(results.experiment.compare.seeds) > 1:
        out.print("± is the standard deviation over seeds; intervals over groups are in the report", highlight=False)
    out.print()
    out.print(finding(results), highlight=False)
    out.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def print_corpus(corpus: Corpus, saved: Path | None) -> None:
    """Rows per language, sizes, and what the source says of itself."""
    table = _table("language", "queries", "passages", title=corpus.name)
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
    for key, value in corpus.meta.items():
        if value not in ([], {}, "", None):
            out.print(f"  {key.replace('_', ' ')}: {_plain(value)}", highlight=False)
    if saved is not None:
        out.print(f"saved: {saved}", highlight=False, soft_wrap=True)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def print_readers() -> None:
    """The readers by name."""
    table = _table("reader", "path", "what it reads")
    for name, reader in READERS.items():
        table.add_row(name, reader.takes_path, reader.summary)
    table.columns[2].justify = "left"
    out.print(table)
    out.print("Write  NAME,  NAME=PATH  or just a path. Show one with  babelmix data CORPUS.", highlight=False)


def print_encoders() -> None:
    """The known encoders by name."""
    table = _table("encoder", "needs", "what it is")
    for name, known in KNOWN.items():
        table.add_row(name, known.needs, known.summary)
    table.columns[2].justify = "left"
    out.print(table)
    out.print("Any sentence-transformers or transformers encoder works too: a hub name or a folder.", highlight=False)
    out.print(f"Bundled experiments: {', '.join(names())}.", highlight=False)


def print_encoder(facts: Mapping[str, Any]) -> None:
    """One encoder's facts."""
    for key, value in facts.items():
        shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else _plain(value)
        out.print(f"{key.replace('_', ' ')}: {shown}", highlight=False, soft_wrap=True)
