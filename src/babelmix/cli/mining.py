"""`babelmix mine`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from babelmix.cli.options import (
    CorpusOption,
    JsonOption,
    LangsOption,
    PartOption,
    TrustOption,
    listed,
    print_json,
)


def mine(
    model: Annotated[str, typer.Argument(help="The encoder that looks for them: see `babelmix encoders`.")],
    corpus: CorpusOption,
    out: Annotated[Path, typer.Option(help="The folder of the new corpus.", metavar="FOLDER")],
    langs: LangsOption = None,
    part: PartOption = "all",
    number: Annotated[int, typer.Option(min=1, help="The most negatives of one query.")] = 3,
    other_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of negatives in another language than the query.")
    ] = 0.5,
    margin: Annotated[
        float,
        typer.Option(
            min=0, max=0.99, help="How far a negative's score is below the answer's, as a share of the latter."
        ),
    ] = 0.05,
    skip: Annotated[int, typer.Option(min=0, help="How many of the best candidates to pass over.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts in one forward pass.")] = 32,
    max_seq_length: Annotated[
        int, typer.Option(min=0, help="Tokens to read of each text; 0: the encoder's own limit.")
    ] = 128,
    trust_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Find hard negatives, language by language, and write the corpus with them.

    `babelmix train -c FOLDER` then uses one for each row.
    """
    from babelmix.errors import require_train

    require_train("Mining")
    from babelmix.api import mining
    from babelmix.cli.output import out as screen

    made = mining.mine(
        model, corpus, out=out, langs=listed(langs), part=part, number=number, other_share=other_share, margin=margin,
        skip=skip, batch_size=batch_size, max_seq_length=max_seq_length or None, trust_code=trust_code,
    )  # fmt: skip
    facts = made.meta["mined"]
    if json_output:
        print_json({"folder": str(out), **facts})
        return
    screen.print(mining.mining_sentence(facts), highlight=False)
    screen.print(f"corpus: {out}   train on it with  babelmix train -c {out}", highlight=False, soft_wrap=True)
