"""How the commands print: a result as tables and sentences, or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from babelmix._tables import Result
from babelmix._terminal import PlainConsole
from babelmix.cli.options import print_json

if TYPE_CHECKING:
    from babelmix.evaluation.gates import GateResult

BROKEN = 3
"""The exit status of a command whose rules are broken."""

# Texts of a collection may contain square brackets, which rich would read as mark-up.
out = PlainConsole(markup=False)


def show(result: Result, json_output: bool) -> None:
    """Print a result."""
    if json_output:
        print_json(result.as_json())
    else:
        result.print_to(out)


def end(gate: GateResult | None) -> None:
    """Exit with status 3 if a rule of the gate is broken."""
    if gate is not None and not gate.passed:
        raise typer.Exit(BROKEN)
