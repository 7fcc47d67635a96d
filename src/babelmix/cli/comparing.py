"""`babelmix compare`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from babelmix.cli.options import FailIfOption, JsonOption, JunitOption, SignificantOption, SummaryOption, listed, say


def compare(
    what: Annotated[
        list[str],
        typer.Argument(
            help="A TOML file, a bundled experiment (demo, libreoffice-scratch, e5-libreoffice, xlmr-hybrid and others: a "
            "wrong name lists them), or the folders of two or more audits.",
            metavar="EXPERIMENT | AUDIT AUDIT...",
        ),
    ],
    corpus: Annotated[
        str | None,
        typer.Option("--corpus", "-c", help="An experiment's corpus, instead of the one that it names."),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            help="A further corpus to test on, instead of those that the experiment names.", metavar="CORPUS"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder of the comparison.  [default: runs/NAME, runs/compare-AUDIT-AUDIT]"),
    ] = None,
    tests: Annotated[
        str | None, typer.Option(help="Of audits: measures to test, separated by commas.", metavar="multi/mAP,...")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Of audits: test this one, an encoder or a folder, against every other; none: every two.",
            metavar="NAME",
        ),
    ] = None,
    fail_if: FailIfOption = None,
    significant: SignificantOption = False,
    junit: JunitOption = None,
    summary: SummaryOption = None,
    show_settings: Annotated[
        bool, typer.Option("--print", help="Print the experiment with every default, and stop.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Run an experiment over batch strategies and seeds, or compare finished audits; test the differences.

    An experiment trains with each strategy, audits, tests and writes a report. Finished runs are kept: after an interruption,
    repeat the same command to do the rest.
    """
    from babelmix.errors import ArgumentError, require_train

    audits = len(what) > 1 or any((Path(what[0]) / file).is_file() for file in ("ranks.parquet", "lists.json"))
    if not audits:
        require_train("An experiment")
    from babelmix._processes import is_main
    from babelmix._terminal import toml_text
    from babelmix.api import comparing
    from babelmix.api._folders import RUNS
    from babelmix.cli.output import end, show

    if show_settings:
        if audits or tests or against or fail_if:
            raise ArgumentError("print", "is for an experiment; audits have no settings")
        plan = comparing.open_experiment(what[0], corpus=corpus, benchmarks=benchmark)
        say(toml_text(plan.to_toml(), sys.stdout.encoding))
        return
    found = comparing.compare(
        what if audits else what[0], out=out or RUNS, corpus=corpus, benchmarks=benchmark, tests=listed(tests),
        against=against, fail_if=fail_if, significant=significant, junit=junit, summary=summary,
    )  # fmt: skip
    if is_main():
        show(found, json_output)
    end(getattr(found, "gate", None))
