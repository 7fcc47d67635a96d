"""`babelmix debias`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from babelmix.cli.options import JsonOption, LangsOption, TrustOption, given, listed

_FIT, _ENCODER, _VECTORS, _STORE = "What is taken out", "An encoder", "Vectors", "A table or a collection"
_INDEX, _CHOICE = "An index", "The choice of alpha"
"""The groups of options in the help."""

_OF_ALL = ("method", "removal", "alpha", "rank", "ridge", "seed", "texts", "langs", "out", "json_output")
_OF_STORE = {*_OF_ALL, "store", "to_vector", "write", "replace"}
_OF_INDEX = {*_OF_ALL, "index", "encoder", "pivot", "fit_on", "fit_queries", "fit_corpus", "batch_size", "trust_code"}
_OF_EXPORT = {"export", "model", "removal", "out", "alpha"}
_OF_ENCODERS = ("batch_size", "max_seq_length", "trust_code")
"""The parameters that go with a store, with an index, and with `--export`; and those that do not go with vectors."""


def debias(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            help="An encoder: see `babelmix encoders`. With --vectors: the file of the passages. With --export: a folder that "
            "`debias` wrote, or a removal.safetensors.",
            show_default=False,
        ),
    ] = "",
    on: Annotated[
        str,
        typer.Option(
            help="Texts to fit on: a file of documents (item, lang, text), or a corpus, whose passages and queries are used. "
            "They need no translations. Do not fit on what you test on.  [default: nothing is fitted; the removal that "
            "babelmix has for this encoder]",
            metavar="SOURCE",
            rich_help_panel=_ENCODER,
        ),
    ] = "",
    vectors: Annotated[
        str,
        typer.Option(
            help="Take language out of vectors instead: a file of queries, then a file of passages (npy, npz, safetensors, "
            "Parquet, Arrow, JSON lines). NAME=QUERIES names them. One file alone is of passages.",
            metavar="QUERIES PASSAGES",
            rich_help_panel=_VECTORS,
        ),
    ] = "",
    corpus: Annotated[
        str,
        typer.Option(
            "--corpus",
            "-c",
            help="The corpus whose rows the vectors are: it has their languages.",
            metavar="CORPUS",
            rich_help_panel=_VECTORS,
        ),
    ] = "",
    passages_langs: Annotated[
        Path | None,
        typer.Option(
            help="Without a corpus: a table (CSV, JSONL, Parquet) with the passages' languages: lang, and id or item. Ids such "
            "as page-7/de have them too.",
            metavar="FILE",
            rich_help_panel=_VECTORS,
        ),
    ] = None,
    queries_langs: Annotated[
        Path | None,
        typer.Option(
            help="The same for the queries.  [default: unknown: told from each vector]",
            metavar="FILE",
            rich_help_panel=_VECTORS,
        ),
    ] = None,
    fit_on: Annotated[
        Path | None,
        typer.Option(
            help="Fit on these vectors of passages in place of the given ones, such as translations with ids ITEM/LANG.",
            metavar="FILE",
            rich_help_panel=_VECTORS,
        ),
    ] = None,
    fit_queries: Annotated[
        Path | None,
        typer.Option(
            help="Fit queries on these vectors: of a log, or of documents that were embedded as queries.",
            metavar="FILE",
            rich_help_panel=_VECTORS,
        ),
    ] = None,
    fit_corpus: Annotated[
        str,
        typer.Option(
            help="The corpus whose rows --fit-on and --fit-queries are.", metavar="CORPUS", rich_help_panel=_VECTORS
        ),
    ] = "",
    similarity: Annotated[
        str | None,
        typer.Option(
            help="How the vectors are compared: cosine or dot.  [default: cosine]",
            metavar="WHICH",
            rich_help_panel=_VECTORS,
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="The values that are written: float32 or float16.  [default: float32]",
            metavar="TYPE",
            rich_help_panel=_VECTORS,
        ),
    ] = None,
    index: Annotated[
        str,
        typer.Option(
            help="Take language out of this index instead: its rows are written, corrected, into the new index --out, and "
            "nothing is encoded again. The new index corrects queries and new rows too.",
            metavar="ADDRESS",
            rich_help_panel=_INDEX,
        ),
    ] = "",
    encoder: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="Where the index's encoder is now, if it was moved.", rich_help_panel=_INDEX
        ),
    ] = "",
    method: Annotated[
        str | None,
        typer.Option(
            help="See docs/training.md.  [default: centred for an encoder, own-means for vectors and indexes]",
            rich_help_panel=_FIT,
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            help="How much is taken out, from 0 to 1. Half of it costs less within a language.  [default: 1]",
            rich_help_panel=_FIT,
        ),
    ] = None,
    pivot: Annotated[
        str | None,
        typer.Option(
            help="Where languages are moved to: mean (of all languages), or a language, such as en.  [default: mean]",
            metavar="LANG",
            rich_help_panel=_FIT,
        ),
    ] = None,
    ridge: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="How strongly a linear map is drawn towards the identity.  [default: chosen on held-out translations]",
            rich_help_panel=_FIT,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of a method that is trained.  [default: 0]", rich_help_panel=_FIT)
    ] = None,
    rank: Annotated[
        int,
        typer.Option(
            min=0,
            help="Directions to remove; 0: one less than there are languages, at most 10 unless centred.",
            rich_help_panel=_FIT,
        ),
    ] = 0,
    removal: Annotated[
        str | None,
        typer.Option(
            help="Fit nothing: use this removal.safetensors, or the one in this folder. With --index, auto is the one that "
            "babelmix has for the index's encoder. With --method auto: what is taken if languages differ in topic.",
            metavar="FILE",
            rich_help_panel=_FIT,
        ),
    ] = None,
    store: Annotated[
        str,
        typer.Option(
            help="Take language out of the vectors of a store instead, beside the old ones: "
            "postgresql://HOST/DATABASE/TABLE?id=COLUMN&lang=COLUMN&vector=COLUMN (pgvector), or "
            "qdrant://HOST:6333/COLLECTION?lang=payload.FIELD&vector=NAME.",
            metavar="ADDRESS",
            rich_help_panel=_STORE,
        ),
    ] = "",
    to_vector: Annotated[
        str,
        typer.Option(
            help="The name of the new column, or of the new named vector.  [default: embedding_debiased]",
            metavar="NAME",
            rich_help_panel=_STORE,
        ),
    ] = "",
    write: Annotated[
        bool,
        typer.Option("--write", help="Write; without it, say what would be written.", rich_help_panel=_STORE),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Begin again: remove the vectors that babelmix wrote under this name.",
            rich_help_panel=_STORE,
        ),
    ] = False,
    validate: Annotated[
        str,
        typer.Option(
            help="Choose alpha on half of the queries of this corpus, which has right answers, and test it on the other half; "
            "see  babelmix frontier. Of vectors it is the corpus whose rows they are.",
            metavar="CORPUS",
            rich_help_panel=_CHOICE,
        ),
    ] = "",
    keep_same_language: Annotated[
        float | None,
        typer.Option(
            help="With --validate: keep this share of same-language recall@10.  [default: 0.98, without --best and --mix]",
            metavar="SHARE",
            rich_help_panel=_CHOICE,
        ),
    ] = None,
    surely: Annotated[
        bool,
        typer.Option(
            "--surely",
            help="With --keep-same-language: by the lower end of the 95 % interval.",
            rich_help_panel=_CHOICE,
        ),
    ] = False,
    best: Annotated[
        str | None,
        typer.Option(
            help="With --validate: choose the best value of this measure.  [default: multi/mAP]",
            metavar="SETTING/METRIC",
            rich_help_panel=_CHOICE,
        ),
    ] = None,
    mix: Annotated[
        str | None,
        typer.Option(
            help="With --validate: choose by what users ask and want: a file of queries (lang, optionally answer_lang and "
            "count), or shares, as in same=0.8,other=0.2.",
            metavar="FILE | SHARES",
            rich_help_panel=_CHOICE,
        ),
    ] = None,
    langs: LangsOption = None,
    texts: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="The most texts of one language, or rows of a store.  [default: 500, of a store 2000] With --index: rows of "
            "each language that are embedded as queries; 0: none, their mean stands in.  [default: 200, or 0 if queries and "
            "passages are embedded alike]",
            rich_help_panel=_FIT,
        ),
    ] = None,
    out: Annotated[
        str,
        typer.Option(
            help="The folder of the result.  [default: runs/debiased-MODEL] With --index: the address of the new index, a "
            "folder, postgresql://HOST/DATABASE/NAME or http://HOST:PORT/NAME.",
            metavar="FOLDER",
        ),
    ] = "",
    export: Annotated[
        bool,
        typer.Option("--export", help="Print lines of numpy that do the same as the removal of a folder or a file."),
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts in one forward pass.", rich_help_panel=_ENCODER)] = 32,
    max_seq_length: Annotated[
        int,
        typer.Option(min=0, help="Tokens to read of each text; 0: the encoder's own limit.", rich_help_panel=_ENCODER),
    ] = 128,
    trust_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Take language out of an encoder's embeddings, or out of vectors, without training.

    The difference between languages is fitted on texts or vectors of any kind. Of an encoder, it is saved as the encoder's last
    modules, and the language of a query need not be known.

    With `--vectors`, writes queries.npy and passages.npy in the order of the input, removal.safetensors and debias.json. An
    interrupted run goes on where it stopped.

    With `--store`, writes corrected vectors beside the old ones, which it never writes; a killed run goes on.

    With `--index`, writes a new index with corrected vectors. An interrupted run goes on where it stopped.
    """
    from babelmix.api import debiasing
    from babelmix.api._folders import RUNS
    from babelmix.cli.output import show
    from babelmix.errors import ArgumentError

    if store:
        from babelmix.api.store_debiasing import TO_VECTOR, debias_store

        if similarity:
            raise ArgumentError("similarity", "of a store is part of its address: ?similarity=dot")
        _check_only(context, _OF_STORE, "does not go with --store; see  babelmix debias --help")
        found = debias_store(
            store, method=method, removal=removal, alpha=alpha, rank=rank or None, ridge=ridge, seed=seed,
            texts=texts, langs=listed(langs), to_vector=to_vector or TO_VECTOR, write=write, replace=replace,
            out=out or None,
        )  # fmt: skip
        show(found, json_output)
        return
    _check_without_store(to_vector=to_vector, write=write, replace=replace)
    if export:
        from babelmix.api._debias_export import lines_of_numpy

        _check_only(context, _OF_EXPORT, "does not go with --export, which prints the lines of a removal as it is")
        named = {"model": model, "removal": removal, "out": out}
        several = [name for name, place in named.items() if place]
        if len(several) > 1:
            raise ArgumentError(several[1], "does not go with --export FOLDER, which names the removal; leave it out")
        typer.echo(lines_of_numpy(model or removal or out, alpha), nl=False)
        return
    if index:
        _check_only(context, _OF_INDEX, "does not go with --index: an index has its vectors, languages and encoder")
        if not out:
            raise ArgumentError("out", "is missing: say where the new index is to be, as in  --out new-index")
        changed = debiasing.debias_index(
            index, out, method=method, alpha=alpha, pivot=pivot, ridge=ridge, seed=seed, rank=rank or None, removal=removal,
            fit_on=_fit_on(fit_on, fit_queries, similarity), fit_corpus=fit_corpus or None, texts=texts, langs=listed(langs),
            model=encoder or None, batch_size=batch_size, trust_code=trust_code,
        )  # fmt: skip
        show(changed, json_output)
        return
    if encoder:
        raise ArgumentError("model", "is for an index; name the encoder without an option")
    _check(vectors, model, corpus=corpus, similarity=similarity, fit_queries=fit_queries, on=on)
    if vectors:
        others = {name for name in context.params if name not in _OF_ENCODERS}
        _check_only(context, others, "is for encoders; vectors are made already")
    source: Any = _vectors(vectors, model, similarity) if vectors else model
    made: Any = debiasing.debias(
        source, (corpus if vectors else on) or None, validate=validate or None, keep_same_language=keep_same_language,
        surely=surely, best=best, mix=mix, method=method, alpha=alpha, pivot=pivot, ridge=ridge, seed=seed,
        rank=rank or None, removal=removal, fit_on=_fit_on(fit_on, fit_queries, similarity), fit_corpus=fit_corpus or None,
        queries_langs=queries_langs, passages_langs=passages_langs, dtype=dtype, texts=texts, langs=listed(langs),
        batch_size=batch_size, out=out or RUNS, max_seq_length=max_seq_length or None, trust_code=trust_code,
    )  # fmt: skip
    show(made, json_output)


def _check(vectors: str, model: str, **options: Any) -> None:
    """Raise if an option does not go with an encoder, or with vectors."""
    from babelmix.errors import ArgumentError, ConfigError

    if not vectors and not model:
        raise ConfigError("name an encoder, or files of vectors with --vectors; see  babelmix debias --help")
    if vectors and options["on"]:
        raise ArgumentError(
            "on", "is for encoders; name the corpus of the vectors with --corpus, others with --fit-on"
        )
    for name in ("corpus", "similarity", "fit_queries"):
        if not vectors and options[name]:
            raise ArgumentError(name, "is for vectors; name them with --vectors")


def _check_only(context: typer.Context, known: Iterable[str], why: str) -> None:
    """Raise if an option is given that is none of the known ones."""
    from babelmix.errors import ArgumentError

    named = given(context)
    for name, value in context.params.items():
        if name in named and name not in known and value not in (None, ""):
            raise ArgumentError({"encoder": "model", "json_output": "json"}.get(name, name), why)


def _check_without_store(**options: Any) -> None:
    from babelmix.errors import ArgumentError

    for name, value in options.items():
        if value:
            raise ArgumentError(name, "is for a table or a collection; name it with --store")


def _vectors(first: str, second: str, similarity: str | None) -> Any:
    """The vectors of `--vectors`: an option has one value, so the second file is the argument of the command."""
    from babelmix.cli.options import split_name
    from babelmix.evaluation.systems import Vectors

    name, file = split_name(first)
    queries, passages = (file, second) if second else (None, file)
    return Vectors(queries, passages, name, similarity or "cosine")  # type: ignore[arg-type]


def _fit_on(passages: Path | None, queries: Path | None, similarity: str | None) -> Any:
    from babelmix.evaluation.systems import Vectors

    if passages is None and queries is None:
        return None
    return Vectors(queries, passages, similarity=similarity or "cosine")  # type: ignore[arg-type]
