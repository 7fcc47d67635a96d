"""`babelmix data` and `babelmix encoders`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from babelmix.cli.options import JsonOption, LangsOption, PartOption, QueriesFromOption, TrustOption, print_json


def data(
    corpus: Annotated[
        str, typer.Argument(help="The corpus to check and describe; without it the readers are listed.")
    ] = "",
    langs: LangsOption = None,
    part: PartOption = "all",
    to: Annotated[
        Path | None,
        typer.Option(
            help="Save the corpus into this folder: as Parquet files, or as Arrow files if it has pictures, with a data set card."
        ),
    ] = None,
    audits: Annotated[
        str | None,
        typer.Option(help="With --to: finished audits of this corpus, for its card.", metavar="FOLDER,FOLDER,..."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """List the readers, or check a corpus and show what is in it."""
    if not corpus:
        _list_readers(langs is not None or part != "all" or to is not None or audits is not None, json_output)
        return
    from babelmix.api.describing import inspect_corpus
    from babelmix.cli.options import listed
    from babelmix.cli.output import show

    found = inspect_corpus(corpus, langs=listed(langs), part=part, to=to, audits=listed(audits) or ())
    show(found, json_output)


def make_queries(
    collection: Annotated[
        str,
        typer.Argument(
            help="A table of documents (item, lang, text, and optionally title), a folder with passages.jsonl, a corpus, or an "
            "index or a collection (postgresql://HOST/DATABASE/TABLE).",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Write the corpus into this folder, as JSON lines.", metavar="FOLDER")],
    queries_from: QueriesFromOption = "auto",
    items: Annotated[
        int | None,
        typer.Option(
            min=0, help="The most items that are asked for, drawn by a hash of their names; 0: all.  [default: 2000]"
        ),
    ] = None,
    lang: Annotated[
        str, typer.Option(help="The language of texts and queries without one of their own.", metavar="de")
    ] = "",
    min_clicks: Annotated[
        int | None, typer.Option(min=1, help="With clicks: so many make a passage relevant.  [default: 1]")
    ] = None,
    grades: Annotated[
        str | None,
        typer.Option(
            help="With clicks: one (every relevant passage has grade 1) or log2 (one grade more for twice as many clicks).  "
            "[default: one]",
            metavar="HOW",
        ),
    ] = None,
    langs: LangsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Make queries for a collection without any: parts of its texts ask for the rest, or a log of queries or clicks asks.

    Writes queries.jsonl, passages.jsonl, meta.json and, with labels, qrels.jsonl. Look at them; then audit with `-c FOLDER`.
    """
    from babelmix.api import making_queries
    from babelmix.cli.options import listed
    from babelmix.cli.output import show

    found = making_queries.make_queries(
        collection, queries_from=queries_from or "auto", out=out, items=items, lang=lang, min_clicks=min_clicks, grades=grades,
        langs=listed(langs),
    )  # fmt: skip
    show(found, json_output)


def _list_readers(options: bool, json_output: bool) -> None:
    from babelmix.cli.listing import print_readers
    from babelmix.corpus import READERS
    from babelmix.errors import ConfigError

    if options:
        raise ConfigError(
            "--langs, --part, --to and --audits are for a corpus; name it, as in  babelmix data comfyui-docs"
        )
    if json_output:
        print_json({name: reader.summary for name, reader in READERS.items()})
    else:
        print_readers()


def encoders(
    model: Annotated[
        str, typer.Argument(help="The encoder to load and describe; without it the known encoders are listed.")
    ] = "",
    trust_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """List the known encoders, or load one and describe it."""
    if model:
        from babelmix.api.describing import inspect_model
        from babelmix.cli.output import show

        show(inspect_model(model, trust_code=trust_code), json_output)
        return
    from babelmix.cli.listing import print_encoders
    from babelmix.encoders.known import KNOWN

    if json_output:
        print_json({name: known.summary for name, known in KNOWN.items()})
    else:
        print_encoders()
