"""A report as one HTML file that loads no other files: a verdict, then sections with text, a figure, and tables.

To add a section to a report, write a function that returns a `Section`, or a `LeftOut` with the reason if the audit does not have
what the section needs. Add it to the list of `write_audit_report` or `write_audits_report`, in the order of the page. The page
makes a heading, an entry in the contents, and for each table a way to sort and to download it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from importlib.metadata import version
from urllib.parse import quote

import jinja2

from babelmix._files import slug
from babelmix._tables import Table
from babelmix.evaluation.samples import SampledQuery


@dataclass(frozen=True)
class Strip:
    """A row of pictures.

    Args:
        name: the heading of the row.
        pictures: for each picture, the PNG data, the alternative text, and whether it is a right answer.

    """

    name: str
    pictures: Sequence[tuple[bytes, str, bool]]

    @property
    def shown(self) -> list[tuple[str, str, bool]]:
        """The pictures as data URIs."""
        return [
            ("data:image/png;base64," + base64.b64encode(data).decode(), words, hit)
            for data, words, hit in self.pictures
        ]


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Args:
        title: the heading.
        text: one or two sentences on how to read the figure or the tables.
        figure: an SVG; empty without a figure.
        alt: the alternative text of the figure.
        tables: the numbers as tables. Below a figure they are folded.
        strips: groups of rows of pictures, each with its heading.
        folded: tables that are always folded, and the words to unfold them.
        queries: real queries with their answers.
        commands: commands to run, each after a sentence on what it does; empty if the sentence says it all.

    """

    title: str
    text: str = ""
    figure: str = ""
    alt: str = ""
    tables: Sequence[Table] = field(default_factory=list)
    strips: Sequence[tuple[str, Sequence[Strip]]] = field(default_factory=list)
    folded: tuple[str, Sequence[Table]] = ("", ())
    queries: Sequence[SampledQuery] = ()
    commands: Sequence[tuple[str, str]] = ()

    @property
    def figure_uri(self) -> str:
        """The figure as a data URI."""
        return uri_of(self.figure)


@dataclass(frozen=True)
class LeftOut:
    """A section that a report does not have.

    Args:
        title: the heading of the section.
        why: the reason, as a part of a sentence.

    """

    title: str
    why: str


@dataclass(frozen=True)
class Tile:
    """A number that is read first.

    Args:
        value: the number as text.
        label: what it is.
        note: what it is to be compared with.
        interval: the interval of the number, shown right behind it.

    """

    value: str
    label: str
    note: str = ""
    interval: str = ""


@dataclass(frozen=True)
class Hero:
    """What is read first: the verdict, a few numbers, and a figure beside them.

    Args:
        level: the verdict, which decides the colour: `biased`, `slightly biased`, `even`, `cannot tell` or empty.
        word: the verdict as it is printed.
        text: one or two sentences.
        tiles: the numbers.
        figure: an SVG; empty without a figure.
        alt: the alternative text of the figure.
        whom: the query language with the most answers in its own language and the one with the least, each with its share.

    """

    level: str
    word: str
    text: str
    tiles: Sequence[Tile] = ()
    figure: str = ""
    alt: str = ""
    whom: Sequence[tuple[str, str]] = ()

    @property
    def figure_uri(self) -> str:
        """The figure as a data URI."""
        return uri_of(self.figure)


def uri_of(svg: str) -> str:
    """An SVG as a data URI."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def render(
    title: str,
    lead: str,
    facts: Sequence[tuple[str, str]],
    sections: Sequence[Section | LeftOut],
    *,
    hero: Hero | None = None,
) -> str:
    """Render the page.

    Args:
        title: the heading.
        lead: the finding in one sentence.
        facts: names and values for the section "What was measured".
        sections: the sections, in order. Those that are left out are listed with their reasons after the others.
        hero: the verdict; None without one.

    Returns:
        The HTML.

    """
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["downloads"] = _downloads
    source = resources.files("babelmix.experiment.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        title=title,
        lead=lead,
        facts=facts,
        hero=hero,
        sections=[one for one in sections if isinstance(one, Section)],
        left_out=[one for one in sections if isinstance(one, LeftOut)],
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        version=version("babelmix"),
    )


def _downloads(table: Table, name: str) -> list[tuple[str, str, str]]:
    """The files that a table is downloaded as: the words of the link, the file name, the data URI."""
    base = slug(table.title or name) or "table"
    texts = (("CSV", "csv", "text/csv", table.to_csv()), ("LaTeX", "tex", "text/x-tex", table.to_latex() + "\n"))
    return [(words, f"{base}.{end}", f"data:{kind};charset=utf-8,{quote(text)}") for words, end, kind, text in texts]


__all__ = ["Hero", "LeftOut", "Section", "Strip", "Tile", "render", "uri_of"]
