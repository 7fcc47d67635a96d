"""Options that several commands have, and what they stand for."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from babelmix._terminal import json_line, visible

if TYPE_CHECKING:
    from babelmix.corpus import Corpus
    from babelmix.search import Searcher

CorpusOption = Annotated[
    str, typer.Option("--corpus", "-c", help="NAME, NAME=PATH or PATH: see `babelmix data`.", metavar="CORPUS")
]
LangsOption = Annotated[
    str,
    typer.Option(help="Only these languages, separated by commas; en is en-US and en-GB too.", metavar="de,fr,..."),
]
PartOption = Annotated[
    str, typer.Option(help="all; or train (80 %) or test (20 %), cut by group, always the same way.", metavar="PART")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for machines.")]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-code",
        help="Let code that the model brings, or names, run, and say what runs. Without it such a model is refused: only for "
        "makers whom you trust.",
    ),
]
BackendOption = Annotated[
    str,
    typer.Option(
        help="What runs the encoder: torch (float32), openvino or onnx (int8, several times as fast on a CPU; extra "
        "`fast`), or auto: the fastest here that is installed.  [default: torch, or what ran it when the index was made]",
        metavar="NAME",
    ),
]
SearchBackendOption = Annotated[
    str,
    typer.Option(
        help="What runs the encoder: torch, openvino, onnx or auto, as in `babelmix index`.  [default: what ran it when the "
        "index was made]",
        metavar="NAME",
    ),
]


def say(text: str, *, err: bool = False) -> None:
    """Print a line, or several; what is foreign in it does not steer the terminal."""
    typer.echo(visible(text), err=err)


def print_json(value: Any) -> None:
    """Print a value as a line of JSON, for machines."""
    typer.echo(json_line(value, sys.stdout.encoding))


def said(context: typer.Context) -> set[str]:
    """The names of the parameters that are on the command line, whatever their values."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def listed(text: str) -> list[str]:
    """The names in a text with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


_VALUE = re.compile(r'\s*(?:"((?:[^"]|"")*)"\s*|((?!")[^,]*))(?:,|$)')


def values_in(text: str, option: str) -> list[str]:
    """The values in a text with commas between them, as in a line of CSV: one in double quotes is taken as it stands.

    Between double quotes there may be commas, blanks at the ends, nothing at all, and double quotes written twice.

    Args:
        text: what was typed.
        option: after which, for the message.

    Raises:
        ConfigError: a double quote opens a value and does not end it, or there is no value.

    """
    from babelmix.errors import ConfigError

    values: list[str] = []
    position = 0
    while position < len(text):
        found = _VALUE.match(text, position)
        if found is None:
            raise ConfigError(
                f"{option} {text!r}: a value that begins with a double quote ends with one; inside, write each of them twice, as "
                'in  "5"" pipe"'
            )
        quoted, plain = found.groups()
        if quoted is not None:
            values.append(quoted.replace('""', '"'))
        elif plain.strip():
            values.append(plain.strip())
        position = found.end()
    if not values:
        raise ConfigError(f'{option} {text!r} has no value; an empty one is written  ""')
    return values


def languages(text: str) -> list[str] | None:
    """What `--langs` names; None if it is not given.

    Raises:
        ConfigError: it names none.

    """
    from babelmix.errors import ConfigError

    if text and not listed(text):
        raise ConfigError(f"--langs {text!r} names no language")
    return listed(text) or None


def said_otherwise(read_as: Mapping[str, Any]) -> list[str]:
    """A line for each tag of a language that is read as another: `languages_read_as` of a corpus's `meta`."""
    return [f"{tag} is read as {of['as']}, the same language ({of['rows']:,} rows)" for tag, of in read_as.items()]


def read_corpus(spec: str, langs: str, part: str) -> Corpus:
    """The part of a corpus that a person asked for.

    Raises:
        ConfigError: there is no such part, or `langs` names no language.

    """
    from babelmix.corpus import load_corpus

    corpus = load_corpus(spec, langs=languages(langs), part=part)
    for note in corpus.meta.get("notes", []):
        say(note, err=True)
    return corpus


def tell_backend(searcher: Searcher) -> None:
    """Say so where queries are embedded otherwise than the index's rows were."""
    from babelmix.encoders.runtime import backend_of

    now, then = backend_of(searcher.encoder), searcher.index.backend
    if now != then:
        say(
            f"Queries are embedded by {now}, and {searcher.index.address} by {then}: scores differ a little (see docs/serve.md).",
            err=True,
        )
