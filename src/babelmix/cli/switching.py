"""`babelmix codeswitch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from babelmix.cli.options import CorpusOption, JsonOption, LangsOption, PartOption, listed, print_json


def codeswitch(
    corpus: CorpusOption,
    lexicon: Annotated[
        list[str],
        typer.Option(
            help="A bilingual lexicon: a text file of two columns (MUSE), or the .index file of a dictd dictionary (FreeDict). "
            "May be given several times, from one language into others.",
            metavar="SOURCE:TARGET=FILE",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder of the new corpus.", metavar="FOLDER")],
    langs: LangsOption = None,
    part: PartOption = "all",
    mode: Annotated[
        Literal["bilingual", "multilingual"],
        typer.Option(help="One rendering for each target language, or one that mixes all of them, word by word."),
    ] = "bilingual",
    share: Annotated[float, typer.Option(help="Share of the words to replace, where the lexicon has them.")] = 0.5,
    side: Annotated[Literal["query", "passage", "both"], typer.Option(help="Whose texts are switched.")] = "both",
    seed: Annotated[int, typer.Option(min=0, help="Another seed replaces other words.")] = 0,
    json_output: JsonOption = False,
) -> None:
    """Add pseudo-translations to a corpus, word by word from lexicons, to train without translations.

    The result is a corpus like any other: `babelmix train -c FOLDER`. Do not test on it.
    """
    from babelmix.api import switching
    from babelmix.cli.output import out as screen

    made = switching.codeswitch(
        corpus, lexicon, out=out, langs=listed(langs), part=part, mode=mode, share=share, side=side, seed=seed
    )
    facts = made.meta["code_switching"]
    if json_output:
        print_json({"folder": str(out), **facts})
        return
    screen.print(switching.switching_table(facts).as_rich())
    screen.print(f"corpus: {out}   train on it with  babelmix train -c {out}", highlight=False, soft_wrap=True)
