"""`babelmix index` and `babelmix search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from babelmix.cli.options import IndexBackendOption, JsonOption, SearchBackendOption, TrustOption, given, listed, say

if TYPE_CHECKING:
    from babelmix.search.options import Mode, Show


def index(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="What to index: a file of documents (item, lang, text or image, and metadata columns), or a corpus, whose "
            "passages are taken: see `babelmix data`.",
            metavar="SOURCE",
        ),
    ] = "",
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="The index: a folder, postgresql://[USER@]HOST/DATABASE/NAME, or http://HOST:PORT/NAME of a Milvus server.",
            metavar="ADDRESS",
        ),
    ] = "",
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="The encoder, when the index is new: see `babelmix encoders`."),
    ] = "",
    langs: Annotated[
        str | None,
        typer.Option(
            help="Only these languages, separated by commas; the index loses other languages of the same items.",
            metavar="de,fr,...",
        ),
    ] = None,
    prune: Annotated[bool, typer.Option(help="Remove items that SOURCE does not have.")] = False,
    delete: Annotated[
        list[str] | None,
        typer.Option(
            help="Remove these items, and nothing else; those that are not there are named. One with a comma or with blanks at "
            "its ends stands in double quotes. May be given several times.",
            metavar='ITEM,"ITEM",...',
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts a forward pass.")] = 32,
    max_seq_length: Annotated[int, typer.Option(min=0, help="Tokens a text; 0: the encoder's own limit.")] = 0,
    revision: Annotated[str, typer.Option(help="Of a hub model.")] = "",
    backend: IndexBackendOption = "",
    removal: Annotated[
        str,
        typer.Option(
            help="Of a new index: take language out of its rows and queries by this removal.safetensors, which `babelmix debias` "
            "writes; auto: the one that babelmix has for the encoder.",
            metavar="FILE",
        ),
    ] = "",
    ray: Annotated[
        str,
        typer.Option(
            help="Encode by many workers of a Ray cluster: local (this machine), auto (the cluster it is a node of), HOST:PORT "
            "or ray://HOST:PORT.",
            metavar="ADDRESS",
        ),
    ] = "",
    workers: Annotated[
        int, typer.Option(min=0, help="With --ray: how many; 0: one a GPU, or half as many as CPUs.")
    ] = 0,
    trust_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Put a collection into an index, or bring an index up to date.

    Only rows that are new or have changed are encoded. Each batch is saved when it is encoded: after an interruption, repeat the
    same command to continue.
    """
    from babelmix.cli.output import show
    from babelmix.errors import ArgumentError, ConfigError
    from babelmix.search import build_index, delete_items
    from babelmix.search.filters import values_in

    if not to:
        raise ArgumentError("to", "is missing: say where the index is, as in  --to my-index")
    if delete:
        alone = {"source", "to", "delete", "json_output"}
        if source or given(context) - alone:
            raise ArgumentError("delete", "removes items and does nothing else; leave out all but --to and --json")
        items = [name for text in delete for name in values_in(text, "delete")]
        show(delete_items(to, items), json_output)
        return
    if not source:
        raise ConfigError("say what to index: a file of documents or a corpus; see  babelmix index --help")
    report = build_index(
        source, to, model=model or None, langs=listed(langs), prune=prune, batch_size=batch_size,
        max_seq_length=max_seq_length or None, revision=revision or None, backend=backend or None,
        removal=removal or None, ray=ray or None, workers=workers, trust_code=trust_code, say=lambda note: say(note, err=True),
    )  # fmt: skip
    show(report, json_output)


def search(
    query: Annotated[
        list[str] | None,
        typer.Argument(help="Words in any language; several arguments are several searches.", metavar="QUERY..."),
    ] = None,
    where_is: Annotated[str, typer.Option("--in", help="The index: see `babelmix index`.", metavar="ADDRESS")] = "",
    image: Annotated[
        Path | None, typer.Option(help="Search with this picture in place of words.", metavar="FILE")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Answers at most.")] = 10,
    policy: Annotated[
        str,
        typer.Option(
            help="any: by score. balanced: no language favoured. equal: equally many of each language. adaptive: scores "
            "above the language's level. own=5: at least 5 of the first 10 in the query's language. quota=3: at least 3 "
            "languages. prefer=de or prefer=de:1.5: raised. only=de,fr. After any of "
            "them ,reads=own,en: only what you read; own is the language of the query.",
            metavar="POLICY",
        ),
    ] = "any",
    mode: Annotated[str, typer.Option(help="dense: by meaning. words: BM25. hybrid: both, fused.")] = "dense",
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Only rows with one of these values in a column; a value with a comma or with blanks at its ends stands in "
            "double quotes. May be given several times.",
            metavar='COLUMN=A,"B",...',
        ),
    ] = None,
    words_weight: Annotated[
        str | None,
        typer.Option(
            help="With --mode hybrid: how much the list of words counts; that of vectors has 1. Words find nearly only the "
            "query's own language. 0.2,de=0.6: 0.6 for German rows.  [default: 0.2]",
            metavar="WEIGHT",
        ),
    ] = None,
    query_lang: Annotated[
        str | None,
        typer.Option(
            help="The language of the queries, or detect (extra `detect`); a removal kept with the index uses it.  [default: "
            "told from the embedding]",
            metavar="LANG",
        ),
    ] = None,
    fusion: Annotated[
        str | None,
        typer.Option(
            help="With --mode hybrid: how the lists are merged: rrf, rrf:k=20, convex, convex:norm=spread, convex:by=lang or "
            "dbsf.",
            metavar="HOW",
        ),
    ] = None,
    shown: Annotated[
        str,
        typer.Option(
            "--show",
            help="found: rows as they are found. mine: each item once, in a language that you read.",
            metavar="WHAT",
        ),
    ] = "found",
    rerank: Annotated[
        str | None,
        typer.Option(
            help="Score the first rows again with this reranker: a name, a folder or a URL.", metavar="MODEL"
        ),
    ] = None,
    once: Annotated[bool, typer.Option(help="Each item once, in the rendering that comes first.")] = False,
    exact: Annotated[bool, typer.Option(help="Compare with every row, not through a graph.")] = False,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Where the index's encoder is now, if it was moved.")
    ] = "",
    backend: SearchBackendOption = "",
    trust_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Search an index in any language, or with a picture, under a language policy."""
    from babelmix.cli.output import show
    from babelmix.errors import ArgumentError, ConfigError
    from babelmix.search import open_index
    from babelmix.search.asking import check_search
    from babelmix.search.options import SearchOptions

    if not where_is:
        raise ArgumentError("in", "is missing: say which index to search, as in  --in my-index")
    if bool(query) == (image is not None):
        raise ConfigError("give words to search by, or a picture with --image")
    queries: list[str | Path] = list(query or []) if image is None else [image]
    # Check the arguments before the encoder is loaded.
    options = SearchOptions(cast("Mode", mode), words_weight, None, fusion, cast("Show", shown))
    check_search(queries, k=k, policy=policy, query_langs=query_lang, options=options)
    with open_index(
        where_is, model=model or None, backend=backend or None, trust_code=trust_code, rerank=rerank
    ) as index:
        for note in index.notes:
            say(note, err=True)
        found = index.search(
            queries,
            k=k,
            policy=policy,
            where=where,
            once=once,
            exact=exact,
            query_langs=query_lang,
            **options.keywords(),
        )
        # Before the index is closed, which takes as long as the search.
        for hits in found:
            show(hits, json_output)
