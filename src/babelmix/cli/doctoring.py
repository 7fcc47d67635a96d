"""`babelmix doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from babelmix.cli.options import CorpusOption, JsonOption, LangsOption, PartOption, TrustOption


def doctor(
    model: Annotated[
        str, typer.Argument(help="An encoder to examine, alone and on the corpus: see `babelmix encoders`.")
    ] = "",
    corpus: CorpusOption = "",
    through: Annotated[
        str,
        typer.Option(
            help="An index to examine, or a collection that babelmix did not make. Without a corpus its texts are examined too.",
            metavar="INDEX",
        ),
    ] = "",
    langs: LangsOption = None,
    part: PartOption = "all",
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with status 3 if there is a problem; notes are none.")
    ] = False,
    trust_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Look at a corpus, an encoder and an index, and say what of them will hurt: what, how many, and what to do."""
    from babelmix.errors import require_train

    if model:
        require_train("Examining an encoder")
    from babelmix.api import doctoring
    from babelmix.cli.options import listed
    from babelmix.cli.output import BROKEN, show

    found = doctoring.doctor(
        corpus or None,
        model=model or None,
        through=through or None,
        langs=listed(langs),
        part=part,
        trust_code=trust_code,
    )
    show(found, json_output)
    if strict and found.problems:
        raise typer.Exit(BROKEN)
