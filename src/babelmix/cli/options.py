"""Options that several commands share, and functions that parse and print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from babelmix._terminal import json_line, visible

CorpusOption = Annotated[
    str, typer.Option("--corpus", "-c", help="NAME, NAME=PATH or PATH: see `babelmix data`.", metavar="CORPUS")
]
LangsOption = Annotated[
    str | None,
    typer.Option(help="Only these languages, separated by commas; en is en-US and en-GB too.", metavar="de,fr,..."),
]
PartOption = Annotated[
    str, typer.Option(help="all; or train (80 %) or test (20 %), cut by group, always the same way.", metavar="PART")
]
AN_INDEX = "An index, a service or a function"
"""The group of the options of `--through` in the help."""

ThroughModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="With --through: the encoder, as MODEL. A collection that babelmix did not make needs it.",
        metavar="MODEL",
        rich_help_panel=AN_INDEX,
    ),
]
QueryVectorsOption = Annotated[
    Path | None,
    typer.Option(
        help="With --through: the vectors of the queries, as in --vectors, in place of the encoder of a collection that "
        "babelmix did not make.",
        metavar="FILE",
        rich_help_panel=AN_INDEX,
    ),
]
QueriesFromOption = Annotated[
    str,
    typer.Option(
        help="What asks: titles, headings or sentences of the collection's own texts, for the rest of them; auto: the first of "
        "these that there is; templates, cloze or mixed: questions made of them. Or a file: a log of queries (text, lang, "
        "item; item joins translations of one query, and is no label; a clicked_id is one) or of clicks (query, clicked_id, "
        "count). Other names of columns: 'FILE?query=COLUMN&clicked_id=COLUMN'.",
        metavar="WHAT",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, for machines.")]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-code",
        help="Run the Python code that comes with the model, or that its files name, and print what runs. Without this option "
        "such a model is refused. Use it only if you trust the model's maker.",
    ),
]
BackendOption = Annotated[
    str,
    typer.Option(
        help="What runs the encoder: torch, onnx-fp32, openvino-fp32 (float32), onnx or openvino (int8, several times as fast "
        "on a CPU; OpenVINO is in the extra `fast`), or auto: the fastest whose audit agrees with float32.  [default: torch; of "
        "an index: as it was made]",
        metavar="NAME",
    ),
]
IndexBackendOption = Annotated[
    str,
    typer.Option(
        help="What runs the encoder: torch, onnx-fp32, openvino-fp32 (float32), onnx or openvino (int8, several times as fast "
        "on a CPU; OpenVINO is in the extra `fast`), or auto: the fastest whose audit agrees with float32.  [default: auto; of "
        "an index that is there: the fastest that gives its vectors]",
        metavar="NAME",
    ),
]
SearchBackendOption = Annotated[
    str,
    typer.Option(
        help="What runs the encoder, as in `babelmix index`.  [default: auto: the fastest that gives the vectors of the index]",
        metavar="NAME",
    ),
]
FailIfOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-if",
        help="Exit with status 3 if this rule is met, such as 'own-language share@10 > 0.4' or 'multi/mAP < before - 0.02'; "
        "before is the audit of --against. May be given several times; see docs/ci.md.",
        metavar="RULE",
        rich_help_panel="Gate",
    ),
]
SignificantOption = Annotated[
    bool,
    typer.Option(
        "--significant",
        help="With --fail-if: a rule fails only if the 95 % interval or the paired test says so; else it is inconclusive.",
        rich_help_panel="Gate",
    ),
]
JunitOption = Annotated[
    Path | None,
    typer.Option(
        help="With --fail-if: write the result into this file, as JUnit XML.", metavar="FILE", rich_help_panel="Gate"
    ),
]
SummaryOption = Annotated[
    Path | None,
    typer.Option(
        help="With --fail-if: write the result into this file, as Markdown.  [default: $GITHUB_STEP_SUMMARY, if it is set]",
        metavar="FILE",
        rich_help_panel="Gate",
    ),
]


def say(text: str, *, err: bool = False) -> None:
    """Print one or more lines. Control characters are escaped, so that texts from outside cannot control the terminal."""
    typer.echo(visible(text), err=err)


def print_json(value: Any) -> None:
    """Print a value as a line of JSON, for machines."""
    typer.echo(json_line(value, sys.stdout.encoding))


def listed(text: str | None) -> list[str] | None:
    """Split an option at its commas. None if the option is absent or empty; an empty list if it has only commas and blanks."""
    return None if not text else [name.strip() for name in text.split(",") if name.strip()]


def split_name(given: str) -> tuple[str, str]:
    """The name and the file of `NAME=FILE`; without a name, it is empty."""
    name, equals, file = given.partition("=")
    return (name, file) if equals and name and "/" not in name and not Path(given).exists() else ("", given)


def given(context: typer.Context) -> set[str]:
    """The names of the parameters that the user gave on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
