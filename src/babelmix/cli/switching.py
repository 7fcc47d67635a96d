"""`babelmix codeswitch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from babelmix.cli.options import CorpusOption, JsonOption, LangsOption, PartOption, print_json, read_corpus


def codeswitch(
    corpus: CorpusOption,
    lexicon: Annotated[
        list[str],
        typer.Option(
            help="A bilingual lexicon: a text file of two columns (MUSE), or the .index of a dictd dictionary (FreeDict). "
            "May be given several times, from one language into others.",
            metavar="SOURCE:TARGET=FILE",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The new corpus's folder.", metavar="FOLDER")],
    langs: LangsOption = "",
    part: PartOption = "all",
    mode: Annotated[
        Literal["bilingual", "multilingual"],
        typer.Option(help="A rendering into each target language, or one into all, word by word."),
    ] = "bilingual",
    share: Annotated[float, typer.Option(help="Share of the words to be replaced, where the lexicon has them.")] = 0.5,
    side: Annotated[Literal["query", "passage", "both"], typer.Option(help="Whose texts.")] = "both",
    seed: Annotated[int, typer.Option(min=0, help="Another seed replaces other words.")] = 0,
    json_output: JsonOption = False,
) -> None:
    """Give a corpus pseudo-renderings in other languages, word by word from lexicons, for training without translations.

    The result is a corpus like any other: `babelmix train -c FOLDER`. It is not to be tested on.
    """
    from babelmix._files import check_output_folder
    from babelmix.cli.listing import new_table
    from babelmix.cli.listing import out as screen
    from babelmix.corpus.codeswitch import code_switched
    from babelmix.corpus.lexicons import read_lexicon
    from babelmix.corpus.storage import MARKER

    check_output_folder(out, [MARKER])
    lexicons = [read_lexicon(spec) for spec in lexicon]
    made = code_switched(read_corpus(corpus, langs, part), lexicons, mode=mode, share=share, side=side, seed=seed)
    made.save(out)
    facts = made.meta["code_switching"]
    if json_output:
        print_json({"folder": str(out), **facts})
        return
    table = new_table("language", "texts made", "left out, unchanged", "words", "switched", "not in the lexicon")
    for lang, found in facts["counts"].items():
        table.add_row(
            lang, f"{found['texts']:,}", f"{found['unchanged']:,}", f"{found['words']:,}", f"{found['switch_rate']:.1%}",
            f"{found['oov_rate']:.1%}",
        )  # fmt: skip
    screen.print(table)
    screen.print(f"corpus: {out}   train on it with  babelmix train -c {out}", highlight=False, soft_wrap=True)
