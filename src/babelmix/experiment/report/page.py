"""One HTML file that opens offline: sections of text, figures and the tables of the same numbers."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources

import jinja2

from babelmix._tables import Table


@dataclass(frozen=True)
class Strip:
    """A row of pictures with a heading.

    Args:
        name: of the row.
        pictures: encoded picture, its words, and whether it is the one that was looked for.

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
    """A heading, what to look at, a figure, and its numbers.

    Args:
        title: of the section.
        text: how to read it, in a sentence or two.
        figure: SVG, or empty.
        alt: the figure in words, for those who do not see it.
        tables: the first is shown; with a figure they fold under it.
        strips: rows of pictures by heading.

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
    """The whole page.

    Args:
        title: of the page.
        lead: the finding, in a sentence.
        facts: what was measured on what: name and value.
        sections: in order.

    """
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    source = resources.files("babelmix.experiment.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(title=title, lead=lead, facts=facts, sections=sections)
