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
    print_json,
    read_corpus,
)


def mine(
    model: Annotated[str, typer.Argument(help="The encoder that looks for them: see `babelmix encoders`.")],
    corpus: CorpusOption,
    out: Annotated[Path, typer.Option(help="The new corpus's folder.", metavar="FOLDER")],
    langs: LangsOption = "",
    part: PartOption = "all",
    number: Annotated[int, typer.Option(min=1, help="Negatives of a query at most.")] = 3,
    other_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of them found in another language than the query's.")
    ] = 0.5,
    margin: Annotated[
        float, typer.Option(min=0, max=0.99, help="So much of the answer's score a negative's is to be below it.")
    ] = 0.05,
    skip: Annotated[int, typer.Option(min=0, help="Pass over so many of the best candidates.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts a forward pass.")] = 32,
    max_seq_length: Annotated[int, typer.Option(min=0, help="Tokens a text; 0: the encoder's own limit.")] = 128,
    trust_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Find hard negatives, language by language, and write the corpus with them.

    `babelmix train -c FOLDER` then has one beside each row.
    """
    from babelmix._files import check_output_folder
    from babelmix.cli.listing import out as screen
    from babelmix.corpus.storage import MARKER
    from babelmix.encoders import load_encoder
    from babelmix.training.mining import mine as run

    check_output_folder(out, [MARKER])
    data = read_corpus(corpus, langs, part)
    encoder = load_encoder(model, max_seq_length=max_seq_length or None, trust_code=trust_code)
    made = run(
        encoder,
        data,
        number=number,
        other_share=other_share,
        margin=margin,
        skip=skip,
        batch_size=batch_size,
        name=model,
    )
    made.save(out)
    facts = made.meta["mined"]
    if json_output:
        print_json({"folder": str(out), **facts})
        return
    found = facts["found_in"]
    other = sum(count for pair, count in found.items() if len(set(pair.split(":"))) == 2)
    screen.print(
        f"{facts['negatives']:,} new negatives; {other / sum(found.values()):.0%} of those chosen were found in another language "
        "than the query's",
        highlight=False,
    )
    screen.print(f"corpus: {out}   train on it with  babelmix train -c {out}", highlight=False, soft_wrap=True)
