"""Options that several commands have, and what they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from babelmix.corpus import Corpus

PARTS = {"train": 0.8, "test": 0.2}

CorpusOption = Annotated[
    str, typer.Option("--corpus", "-c", help="NAME, NAME=PATH or PATH: see `babelmix data`.", metavar="CORPUS")
]
LangsOption = Annotated[str, typer.Option(help="Only these languages, separated by commas.", metavar="de,fr,...")]
PartOption = Annotated[
    str, typer.Option(help="all; or train (80 %) or test (20 %), cut by group, always the same way.", metavar="PART")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for machines.")]


def listed(text: str) -> list[str]:
    """The names in a text with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def read_corpus(spec: str, langs: str, part: str) -> Corpus:
    """The part of a corpus that a person asked for.

    Raises:
        ConfigError: there is no such part.

    """
    from babelmix.corpus import open_corpus, split
    from babelmix.corpus.readers import has_option
    from babelmix.errors import ConfigError

    if part not in ("all", *PARTS):
        raise ConfigError(f"--part {part!r} is unknown; use all, train or test")
    if part != "all" and has_option(spec, "part"):
        # The source has parts of its own.
        corpus, part = open_corpus(spec, part=part), "all"
    else:
        corpus = open_corpus(spec)
    if langs:
        corpus = corpus.only_langs(listed(langs))
    return corpus if part == "all" else split(corpus, PARTS)[part]
