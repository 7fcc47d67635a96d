"""How the commands print: a result as tables and sentences, or as JSON."""

from __future__ import annotations

from babelmix._tables import Result
from babelmix._terminal import PlainConsole
from babelmix.cli.options import print_json

# Texts of a collection may contain square brackets, which rich would read as mark-up.
out = PlainConsole(markup=False)


def show(result: Result, json_output: bool) -> None:
    """Print a result."""
    if json_output:
        print_json(result.as_json())
    else:
        result.print_to(out)
