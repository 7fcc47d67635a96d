"""A report as one HTML file that loads no other files: sections with text, a figure, and tables with its numbers."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources

import jinja2

from babelmix._tables import Table


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

    """

    title: str
    text: str = ""
    figure: str = ""
    alt: str = ""
    tables: Sequence[Table] = field(default_factory=list)
    strips: Sequence[tuple[str, Sequence[Strip]]] = field(default_factory=list)

    @property
    def figure_uri(self) -> str:
        """The figure as a data URI."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.figure.encode()).decode()


def render(title: str, lead: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """Render the page.

    Args:
        title: the heading.
        lead: the finding in one sentence.
        facts: names and values for the section "What was measured".
        sections: the sections, in order.

    Returns:
        The HTML.

    """
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    source = resources.files("babelmix.experiment.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(title=title, lead=lead, facts=facts, sections=sections)
