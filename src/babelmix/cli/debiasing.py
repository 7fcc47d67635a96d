"""`babelmix debias`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from babelmix.cli.options import JsonOption, LangsOption, TrustOption, listed


def debias(
    model: Annotated[str, typer.Argument(help="An encoder: see `babelmix encoders`.")],
    on: Annotated[
        str,
        typer.Option(
            help="Texts to fit on: a file of documents (item, lang, text), or a corpus, whose passages and queries are used. "
            "They need no translations. Do not fit on what you test on.",
            metavar="SOURCE",
        ),
    ] = "",
    method: Annotated[str, typer.Option(help="centred, subspace, whiten, means or components.")] = "centred",
    rank: Annotated[
        int,
        typer.Option(
            min=0, help="Directions to remove; 0: one less than there are languages, at most 10 unless centred."
        ),
    ] = 0,
    texts: Annotated[int, typer.Option(min=20, help="The most texts of one language.")] = 500,
    langs: LangsOption = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder of the result.  [default: runs/debiased-MODEL]", metavar="FOLDER")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts in one forward pass.")] = 32,
    max_seq_length: Annotated[
        int, typer.Option(min=0, help="Tokens to read of each text; 0: the encoder's own limit.")
    ] = 128,
    trust_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Take language out of an encoder's embeddings, without training.

    The difference between languages is fitted on texts of any kind and saved as the encoder's last modules. The language of a
    query need not be known.
    """
    from babelmix.api import debiasing
    from babelmix.api._folders import RUNS
    from babelmix.cli.output import show
    from babelmix.errors import ArgumentError

    if not on:
        raise ArgumentError("on", "is missing: say which texts to fit on; see  babelmix debias --help")
    made = debiasing.debias(
        model, on, method=method, rank=rank or None, texts=texts, langs=listed(langs), batch_size=batch_size,
        out=out or RUNS, max_seq_length=max_seq_length or None, trust_code=trust_code,
    )  # fmt: skip
    show(made, json_output)
