"""`babelmix frontier`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from babelmix.cli.options import CorpusOption, JsonOption, LangsOption, PartOption, TrustOption, given, listed


def frontier(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(help="An encoder: see `babelmix encoders`. Or leave it out and give --vectors.")
    ] = "",
    corpus: CorpusOption = "",
    vectors: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            help="Vectors of the queries and of the passages, made elsewhere: npy, npz, safetensors, Parquet, Arrow, JSONL.",
            metavar="QUERIES PASSAGES",
        ),
    ] = None,
    similarity: Annotated[
        str, typer.Option(help="How vectors from files are compared: cosine or dot.", metavar="WHICH")
    ] = "cosine",
    removal: Annotated[
        list[str] | None,
        typer.Option(
            help="A removal to try: the file of a fitted one, which  babelmix debias  writes, or the folder of it, or NAME=FILE; "
            "or a method that needs no translations, which is fitted on the passages of the corpus. May be given several "
            "times.  [default: own-means]",
            metavar="FILE | METHOD",
        ),
    ] = None,
    alphas: Annotated[
        str, typer.Option(help="The shares of each removal to try; 0 is always tried.", metavar="0.1,0.2,...")
    ] = "",
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="How scores are compared: any, balanced or adaptive; with bonuses for the query's language, in units of its "
            "scores: balanced=0,0.5,1. May be given several times.  [default: any]",
            metavar="NAME",
        ),
    ] = None,
    own_places: Annotated[
        str,
        typer.Option(
            help="With each policy: so many of the first 10 answers, at least, are in the query's language.",
            metavar="3,5,...",
        ),
    ] = "",
    keep_same_language: Annotated[
        float | None,
        typer.Option(
            help="Keep this share of same-language recall@10; 0.98 loses at most 2 %.  [default: 0.98, without --best and --mix]",
            metavar="SHARE",
        ),
    ] = None,
    surely: Annotated[
        bool, typer.Option("--surely", help="With --keep-same-language: by the lower end of the 95 % interval.")
    ] = False,
    best: Annotated[
        str | None,
        typer.Option(help="Choose the best value of this measure.  [default: multi/mAP]", metavar="SETTING/METRIC"),
    ] = None,
    mix: Annotated[
        str | None,
        typer.Option(
            help="Choose by what users ask and want: a file of queries (lang, optionally answer_lang and count), or shares of "
            "answers in the query's own and other languages, as in same=0.8,other=0.2.",
            metavar="FILE | SHARES",
        ),
    ] = None,
    validation: Annotated[
        float, typer.Option(help="The share of the queries that the choice is made on; the others test it.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(help="Another seed divides the queries in another way.")] = 0,
    queries: Annotated[
        int, typer.Option(min=1, help="The most queries that the choice is made on.", show_default="20,000")
    ] = 20_000,
    langs: LangsOption = None,
    part: PartOption = "all",
    copies: Annotated[
        str | None, typer.Option(help="Copies of right answers are wrong, relevant or excluded.  [default: wrong]")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder of the report.  [default: runs/frontier-MODEL-CORPUS]", metavar="FOLDER"),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts in one forward pass.")] = 32,
    max_seq_length: Annotated[
        int, typer.Option(min=0, help="Tokens to read of each text; 0: the encoder's own limit.")
    ] = 0,
    trust_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Choose how much language to take out of vectors, on held-out queries.

    Each share alpha of each removal is measured on one part of the queries, by exact ranks: what it keeps within a language, and
    what it finds in others. One point is chosen, and tested on the other part, with intervals and paired tests.
    """
    from babelmix.errors import ArgumentError, require_train

    if vectors is None:
        require_train("The vectors of an encoder")
    from babelmix.api import frontiers
    from babelmix.api._folders import RUNS
    from babelmix.cli.output import show
    from babelmix.evaluation.frontier import ALPHAS
    from babelmix.evaluation.systems.vectors import Vectors

    if (vectors is None) == (not model):
        raise ArgumentError("model", "or --vectors is needed, one of them; see  babelmix frontier --help")
    for name in [name for name in context.params if name in given(context)]:
        if vectors is not None and name in ("batch_size", "max_seq_length", "trust_code"):
            raise ArgumentError(name, "is for encoders; vectors are made already")
        if vectors is None and name == "similarity":
            raise ArgumentError(name, "is for vectors; name them with --vectors")
    if not corpus:
        raise ArgumentError("corpus", "is missing: name a corpus with right answers; see  babelmix data")
    found = frontiers.frontier(
        model if vectors is None else Vectors(*vectors, similarity=similarity), corpus,  # type: ignore[arg-type]
        _named(removal or ["own-means"]),
        alphas=_numbers("alphas", alphas) if alphas else ALPHAS, policies=_policies(policy or ["any"]),
        own_places=_places(own_places),
        keep_same_language=keep_same_language, surely=surely, best=best, mix=mix, validation=validation, seed=seed,
        queries=queries, langs=listed(langs), part=part, copies=copies, out=out or RUNS, batch_size=batch_size,
        max_seq_length=max_seq_length or None, trust_code=trust_code,
    )  # fmt: skip
    show(found, json_output)


def _named(removals: list[str]) -> dict[str, str]:
    """Removals by name: that in NAME=FILE, or the file's own."""
    from babelmix.errors import ArgumentError

    found: dict[str, str] = {}
    for one in removals:
        name, equals, file = one.partition("=")
        if not equals or Path(one).exists():
            name, file = _own_name(one), one
        if name in found:
            raise ArgumentError("removal", f"{name!r} is given twice; name one of them, as in other={file}")
        found[name] = file
    return found


def _own_name(one: str) -> str:
    """The name of a file without its ending, that of a folder, or a method."""
    place = Path(one)
    return (place.stem if place.is_file() else place.resolve().name) if place.exists() else one


def _policies(given: list[str]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for one in given:
        name, equals, bonuses = one.partition("=")
        found.setdefault(name, []).extend(_numbers("policy", bonuses) if equals else [0.0])
    return found


def _places(text: str) -> list[int]:
    from babelmix.errors import ArgumentError

    found = _numbers("own_places", text) if text else [0.0]
    if any(number != int(number) for number in found):
        raise ArgumentError("own_places", f"{text!r} are no whole numbers; separate them by commas, as in 3,5")
    return [int(number) for number in found]


def _numbers(option: str, text: str) -> list[float]:
    from babelmix.errors import ArgumentError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ArgumentError(option, f"{text!r} are no numbers; separate them by commas, as in 0.25,0.5,1") from None
