"""`babelmix index` and `babelmix search`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from babelmix.cli.options import (
    BackendOption,
    JsonOption,
    SearchBackendOption,
    TrustOption,
    languages,
    print_json,
    said,
    said_otherwise,
    say,
    tell_backend,
    values_in,
)

if TYPE_CHECKING:
    from babelmix.search import Index


_NAMED = 20
"""Items that are named as not there, at most; with --json all are."""


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
            "--to", help="The index: a folder, or http://HOST:PORT/NAME of a Milvus server.", metavar="ADDRESS"
        ),
    ] = "",
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="The encoder, when the index is new: see `babelmix encoders`."),
    ] = "",
    langs: Annotated[
        str,
        typer.Option(
            help="Only these languages, separated by commas; what the index has of the same items in others is removed.",
            metavar="de,fr,...",
        ),
    ] = "",
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
    backend: BackendOption = "",
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

    Only rows that are new or have changed are encoded. Every batch is safe once it is written: after an interruption the
    same command goes on where it was.
    """
    from babelmix.encoders import fingerprint, load_encoder
    from babelmix.errors import ConfigError
    from babelmix.search import Index, index_rows, open_rows
    from babelmix.search.engines import exists
    from babelmix.search.indexing import check_rows

    if not to:
        raise ConfigError("--to is missing: say where the index is, as in  --to my-index")
    if delete:
        if source or said(context) - {"source", "to", "delete", "json_output"}:
            raise ConfigError("--delete removes items and does nothing else; leave out all but --to and --json")
        with Index.open(to) as there:
            names = list(dict.fromkeys(name for text in delete for name in values_in(text, "--delete")))
            named = there.items_named(names)
            absent = [name for name in names if not named[name]]
            removed = there.delete(names)
            there.settle()
            _print_index(there, {"items_removed": removed}, json_output, absent=absent)
        return
    if not source:
        raise ConfigError("say what to index: a file of documents or a corpus; see  babelmix index --help")
    if workers and not ray:
        raise ConfigError("--workers is for --ray: say which cluster, as in  --ray local")
    opened = Index.open(to) if exists(to) else None
    try:
        rows = open_rows(source, langs=languages(langs), columns=opened.columns if opened is not None else None)
        for note in rows.notes:
            say(note, err=True)
        limit = max_seq_length or None
        if opened is not None:
            limit = limit or opened.about.max_seq_length
            if model in ("", opened.about.encoder):
                revision = revision or opened.about.revision or ""
        elif not model:
            raise ConfigError(f"{to}: is a new index; say which encoder it is for, as in  --model e5-small-offline")
        # Before an encoder is loaded or an index made, and hours of encoding are lost.
        check_rows(rows, opened)
        name = model or (opened.about.encoder if opened is not None else "")
        encoder = load_encoder(
            name,
            max_seq_length=limit,
            revision=revision or None,
            backend=backend or (opened.backend.partition("-")[0] if opened is not None else "torch"),
            trust_code=trust_code,
        )
        if opened is None:
            opened = Index.create(to, encoder, name, revision=revision or None)
        if ray:
            from babelmix.search.workers import index_with_workers

            opened.check_encoder(encoder, backend=True)
            done = index_with_workers(
                opened,
                rows,
                name,
                key=fingerprint(encoder),
                address=ray,
                workers=workers,
                batch_size=batch_size,
                prune=prune,
                checked=True,
                trust_code=trust_code,
            )
        else:
            done = index_rows(opened, encoder, rows, batch_size=batch_size, prune=prune, checked=True)
        facts = {"written": done.written, "unchanged": done.unchanged, "removed": done.removed}
        if done.decomposed:
            facts["decomposed"] = done.decomposed
        _print_index(opened, facts, json_output, rows.read_as)
    finally:
        if opened is not None:
            opened.close()


def _print_index(
    index: Index,
    facts: dict[str, Any],
    json_output: bool,
    read_as: Mapping[str, Any] | None = None,
    absent: list[str] | None = None,
) -> None:
    langs = index.langs()
    if json_output:
        from babelmix.corpus.model import READ_AS

        facts = facts if absent is None else {**facts, "not_there": absent}
        facts = {**facts, **({READ_AS: dict(read_as)} if read_as else {})}
        about = {name: getattr(index.about, name) for name in ("encoder", "dimension", "similarity", "columns")}
        print_json({"index": index.address, **facts, "langs": langs, **about})
        return
    from babelmix.cli.listing import new_table, out

    table = new_table("language", "rows", title=f"{index.address} ({index.about.encoder})")
    for lang, count in langs.items():
        table.add_row(lang, f"{count:,}")
    out.print(table)
    out.print(", ".join(f"{name.replace('_', ' ')}: {count:,}" for name, count in facts.items()), highlight=False)
    if absent:
        more = f", and {len(absent) - _NAMED:,} more" if len(absent) > _NAMED else ""
        say(f"not there: {', '.join(map(repr, absent[:_NAMED]))}{more}")
    for line in said_otherwise(read_as or {}):
        out.print(line, highlight=False)
    out.print(f"Search it:  babelmix search 'your words' --in {index.address}", style="dim", highlight=False)


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
            help="any: by score. balanced: no language favoured. quota=3: at least 3 languages. prefer=de or prefer=de:1.5: "
            "raised. only=de,fr.",
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
    from babelmix.corpus.images import bytes_of, open_picture
    from babelmix.errors import ConfigError, PictureError, SearchError
    from babelmix.search import MODES, Policy, Searcher

    if not where_is:
        raise ConfigError("--in is missing: say which index to search, as in  --in my-index")
    if bool(query) == (image is not None):
        raise ConfigError("give words to search by, or a picture with --image")
    if mode not in MODES:
        raise ConfigError(f"--mode {mode!r} is unknown; use {', '.join(MODES)}")
    chosen = Policy.parse(policy)
    if any(not words.strip() for words in query or []):
        raise ConfigError("a query is empty; give words to search by")
    queries: list[Any] = list(query or [])
    if image is not None:
        try:
            queries = [open_picture(bytes_of({"path": str(image)}))]
        except PictureError as error:
            raise SearchError(f"{image}: {error}") from error
    searcher = Searcher.open(where_is, model=model or None, backend=backend or None, trust_code=trust_code)
    tell_backend(searcher)
    with searcher.index as opened:
        filters = opened.where(None, _filters(where or [], opened.columns))
        found = searcher.search(
            queries,
            k=k,
            policy=chosen,
            where=filters,
            mode=mode,
            once=once,
            exact=exact,
        )
    names = list(query or [str(image)])
    if json_output:
        for name, hits in zip(names, found, strict=True):
            line = {"query": name, "hits": [_as_json(hit) for hit in hits]}
            print_json(line)
        return
    from babelmix.cli.listing import new_table, out, plain

    for name, hits in zip(names, found, strict=True):
        table = new_table("score", "lang", "item", "text", title=plain(name))
        for hit in hits:
            text = plain(hit.text or "(a picture)")
            table.add_row(f"{hit.score:.3f}", hit.lang, hit.item, text if len(text) < 300 else text[:297] + "...")
        out.print(table)
        if not hits:
            out.print("Nothing was found: widen the policy or the filters.", style="dim")


def _as_json(hit: Any) -> dict[str, Any]:
    return {
        "id": hit.id, "score": hit.score, "item": hit.item, "lang": hit.lang, "group": hit.group, "text": hit.text,
        "fields": dict(hit.fields),
    }  # fmt: skip


def _filters(given: list[str], columns: Any) -> dict[str, list[Any]]:
    """Filters as typed on a command line, with values of the columns' types."""
    from babelmix.errors import ConfigError

    made: dict[str, list[Any]] = {}
    for text in given:
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise ConfigError(f'--where {text!r}: write  COLUMN=VALUE  or  COLUMN=A,B; an empty value is  COLUMN=""')
        kind = columns.get(name, "text")
        try:
            made.setdefault(name, []).extend(_typed(value, kind) for value in values_in(values, "--where"))
        except ValueError as error:
            raise ConfigError(f"--where {text!r}: the column {name!r} holds values of the type {kind}") from error
    return made


def _typed(value: str, kind: str) -> Any:
    if kind == "integer":
        return int(value)
    if kind == "number":
        return float(value)
    if kind == "boolean":
        if value.lower() not in ("true", "false"):
            raise ValueError(value)
        return value.lower() == "true"
    return value
