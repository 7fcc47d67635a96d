"""`babelmix debias`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from babelmix.cli.options import JsonOption, LangsOption, TrustOption, languages, print_json

RECORD = "debias.json"
"""What a folder that `debias` wrote holds."""


def debias(
    model: Annotated[str, typer.Argument(help="An encoder: see `babelmix encoders`.")],
    on: Annotated[
        str,
        typer.Option(
            help="Texts to fit on: a file of documents (item, lang, text), or a corpus, whose passages and queries are "
            "taken. They need no translations, and are not to be what the encoder is tested on.",
            metavar="SOURCE",
        ),
    ] = "",
    method: Annotated[str, typer.Option(help="centred, subspace, whiten, means or components.")] = "centred",
    rank: Annotated[
        int,
        typer.Option(
            min=0, help="Directions taken away; 0: one less than there are languages, at most 10 unless centred."
        ),
    ] = 0,
    texts: Annotated[int, typer.Option(min=20, help="Texts of a language at most.")] = 500,
    langs: LangsOption = "",
    out: Annotated[Path | None, typer.Option(help="The folder of the result.", metavar="FOLDER")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts a forward pass.")] = 32,
    max_seq_length: Annotated[int, typer.Option(min=0, help="Tokens a text; 0: the encoder's own limit.")] = 128,
    trust_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Take language out of an encoder's embeddings without training.

    What languages differ in is fitted on texts of any kind, and saved as the encoder's last modules. The language of a query
    need not be known.
    """
    from babelmix._files import check_output_folder, place_apart, recorded, replacing_folder, slug, write_json
    from babelmix.encoders import load_encoder
    from babelmix.encoders.debias import LEAST, debiased, usual_rank
    from babelmix.encoders.limits import cut_after, length_limit
    from babelmix.errors import ConfigError
    from babelmix.search import open_rows
    from babelmix.search.documents import sampled_queries, sampled_texts

    if not on:
        raise ConfigError("--on is missing: say which texts to fit on; see  babelmix debias --help")
    folder = out or place_apart(
        Path("runs") / f"debiased-{slug(model)}",
        lambda place: Path(recorded(place / RECORD, "base") or model) != Path(model),
    )
    if rank and method in ("means", "whiten"):
        raise ConfigError(f"--rank is of centred, subspace and components; {method} takes no directions away")
    # Not what every encoder has: one that was trained is not to be replaced.
    check_output_folder(folder, [RECORD])
    rows = open_rows(on, langs=languages(langs))
    found, asked = sampled_texts(rows, texts), sampled_queries(rows, texts)
    asked = {lang: some for lang, some in asked.items() if lang in found and len(some) >= LEAST}
    encoder = load_encoder(model, trust_code=trust_code)
    own_limit = length_limit(encoder)
    cut_after(encoder, max_seq_length)
    made = debiased(encoder, found, queries=asked, method=method, rank=rank, batch_size=batch_size)
    if own_limit is not None:
        # Cutting texts saved time in fitting; the encoder can still read longer ones.
        made.max_seq_length = own_limit
    if method not in ("means", "whiten"):
        rank = rank or usual_rank(method, len(found))
    facts = {"method": method, "rank": rank, "on": rows.name, "texts": _counts(found), "queries": _counts(asked)}
    with replacing_folder(folder, [RECORD]) as temporary:
        made.save(str(temporary), create_model_card=False)
        write_json(temporary / RECORD, {"base": model, **facts})
    if json_output:
        print_json({"folder": str(folder), **facts})
        return
    from babelmix.cli.listing import out as screen

    queries = f" and {sum(map(len, asked.values())):,} queries" if asked else ""
    screen.print(
        f"{folder}: fitted on {sum(map(len, found.values())):,} texts{queries} in {len(found)} languages",
        highlight=False,
    )
    screen.print(f"Measure it:  babelmix audit {folder} --corpus CORPUS", style="dim", highlight=False)


def _counts(texts: dict[str, list[str]]) -> dict[str, int]:
    return {lang: len(some) for lang, some in texts.items()}
