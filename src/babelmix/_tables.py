"""Results as tables: for a terminal, a notebook, polars, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import html
import io
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from babelmix._files import write_text
from babelmix._terminal import PlainConsole, visible_in_line
from babelmix.errors import ArgumentError

if TYPE_CHECKING:
    import polars as pl

WIDTH = 120
"""The width of a result as text, in characters."""

_BLANKS = str.maketrans("\t\n\r", "   ")
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "<": r"$<$", ">": r"$>$",
}  # fmt: skip
_MINUS = re.compile(r"(?<![\w.)-])-(?=\.?\d)")
"""The minus of a number, not the hyphen of a name."""


@dataclass(frozen=True)
class Table:
    """A table of texts; the first column names the row.

    Args:
        head: the column names.
        rows: the cells of each row, as many as `head` has names.
        note: how to read the table.
        title: what the table shows.
        emphasised: numbers of the rows to print in bold.
        left: numbers of the columns that are aligned left; the others are aligned right.

    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    title: str = ""
    emphasised: Sequence[int] = ()
    left: Sequence[int] = (0,)

    def as_rich(self) -> RichTable:
        """The table for a terminal, without its title and note."""
        table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        for number, column in enumerate(self.head):
            table.add_column(
                Text(plain(column)),
                justify="left" if number in self.left else "right",
                no_wrap=number == 0,
                overflow="fold",
            )
        for number, row in enumerate(self.rows):
            style = "bold" if number in self.emphasised else None
            table.add_row(*(Text(plain(cell)) for cell in row), style=style)
        return table

    def to_markdown(self) -> str:
        """The table in Markdown."""
        lines = [self.head, ["---" if number in self.left else "---:" for number in range(len(self.head))], *self.rows]
        return "\n".join("| " + " | ".join(plain(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)

    def to_csv(self) -> str:
        """The table in CSV: the head, then the rows."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            [[plain(cell) for cell in row] for row in (self.head, *self.rows)]
        )
        return text.getvalue()

    def to_latex(self) -> str:
        """The table in LaTeX, with the rules of the package booktabs."""

        def line(cells: Sequence[str]) -> str:
            return " & ".join(_latex(cell) for cell in cells) + r" \\"

        columns = "".join("l" if number in self.left else "r" for number in range(len(self.head)))
        return "\n".join(
            [
                rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(self.head), r"\midrule",
                *map(line, self.rows), r"\bottomrule", r"\end{tabular}",
            ]
        )  # fmt: skip

    def to_html(self) -> str:
        """The table in HTML, for a notebook."""

        def row(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(plain(cell))}</{tag}>" for cell in cells) + "</tr>"

        caption = f"<caption>{html.escape(plain(self.title))}</caption>" if self.title else ""
        body = "".join(row(cells, "td") for cells in self.rows)
        return f"<table>{caption}<thead>{row(self.head, 'th')}</thead><tbody>{body}</tbody></table>"


class Result(ABC):
    """The result of a babelmix function. It prints like the result of the command, and exports its tables."""

    @abstractmethod
    def tables(self) -> list[Table]:
        """All tables."""

    @abstractmethod
    def to_frame(self) -> pl.DataFrame:
        """The numbers behind the tables as a polars DataFrame, one row per number."""

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """The result as JSON-serialisable values: what the command prints with `--json`."""

    def _printed(self) -> list[Table]:
        """The tables that the command prints; by default all."""
        return self.tables()

    def headline(self) -> Table:
        """The table that `to_markdown` and `to_latex` export; by default the first table."""
        return self.tables()[0]

    def lead(self) -> str:
        """The sentence that is printed above the tables; empty without one."""
        return ""

    def lines(self) -> list[str]:
        """The sentences that are printed under the tables."""
        return []

    def places(self) -> dict[str, str]:
        """The folders and files where the result was saved, each by a short description. They are printed last."""
        return {}

    def exports(self) -> dict[str, Table]:
        """The tables that `to_markdown` and `to_latex` know, by name; the first one is `headline`."""
        return {"headline": self.headline()}

    def to_markdown(self, table: str = "headline") -> str:
        """A table in Markdown.

        Args:
            table: the name of the table; see `exports`.

        Raises:
            ArgumentError: there is no such table.

        """
        return self._export(table).to_markdown()

    def to_latex(self, table: str = "headline") -> str:
        """A table in LaTeX, with the rules of the package booktabs.

        Args:
            table: the name of the table; see `exports`.

        Raises:
            ArgumentError: there is no such table.

        """
        return self._export(table).to_latex()

    def _export(self, name: str) -> Table:
        there = self.exports()
        if name not in there:
            raise ArgumentError("table", f"there is no table {name!r}; there are {', '.join(there)}")
        return there[name]

    def to_csv(self, file: str | Path | None = None) -> str:
        """The numbers of `to_frame` as CSV.

        Args:
            file: also write the CSV to this file.

        Returns:
            The CSV.

        """
        text = self.to_frame().write_csv()
        if file is not None:
            write_text(Path(file), text)
        return text

    def print_to(self, console: Console) -> None:
        """Print the lead, the tables, each with its note, then the sentences, then where the result was saved."""
        if lead := self.lead():
            console.print(Text(plain(lead), style="bold"), highlight=False)
            console.print()
        shown = self._printed()
        for table in shown:
            if table.title:
                # A title of rich's table would be broken at the width of the table.
                console.print(Text(plain(table.title), style="italic"), highlight=False)
            console.print(table.as_rich())
            if table.note:
                console.print(Text(plain(table.note)), style="dim", highlight=False)
        lines = self.lines()
        if lines and shown:
            console.print()
        for line in lines:
            console.print(Text(plain(line)), highlight=False)
        for what, place in self.places().items():
            # A path is not broken at the width of a terminal.
            console.print(Text(plain(f"{what}: {place}")), highlight=False, soft_wrap=True)

    def __str__(self) -> str:
        text = io.StringIO()
        self.print_to(PlainConsole(file=text, width=WIDTH, markup=False, highlight=False))
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())

    def _repr_html_(self) -> str:
        lead = f"<p><b>{html.escape(plain(self.lead()))}</b></p>" if self.lead() else ""
        sentences = "".join(f"<p>{html.escape(plain(line))}</p>" for line in self.lines())
        return lead + "".join(table.to_html() for table in self.tables()) + sentences


def write_latex(folder: Path, tables: Mapping[str, Table]) -> None:
    """Write each table as `NAME.tex` into a folder."""
    for name, table in tables.items():
        write_text(folder / f"{name}.tex", table.to_latex() + "\n")


def plain(text: str) -> str:
    """A text on one line: line ends and tabs become spaces, and other control characters are shown as escapes."""
    return visible_in_line(text.translate(_BLANKS))


def _latex(text: str) -> str:
    escaped = re.sub(r"[\\&%$#_{}~^±<>]", lambda found: _LATEX[found[0]], plain(text))
    return _MINUS.sub("$-$", escaped)


__all__ = ["WIDTH", "Result", "Table", "plain", "write_latex"]
