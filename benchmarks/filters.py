"""Recall and time of a search with filters by metadata, by the share of rows that pass, with and without a language filter.

python benchmarks/filters.py --rows 200000
python benchmarks/filters.py --milvus --rows 20000     # through a real server

The vectors lie around 500 centres, as vectors of texts lie around topics. Every row has columns of each type with random
values, and one of two random languages. The result of each search is compared with all rows that pass the filter. Writes a
table of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import machine
import marked
import numpy as np

from babelmix.search.engines import Engine, create_engine, edge_search
from babelmix.search.rows import Point, Row, Value, Vectors, Where

ROOT = Path(__file__).resolve().parents[1]
K = 10
CENTRES = 500
SHARES = (0.001, 0.01, 0.05, 0.2, 0.5)
PUT = 2000


def main() -> None:
    """Write rows, search, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--milvus", action="store_true", help="on the server of the tests, not in a folder")
    parser.add_argument(
        "--graph", action="store_true", help="through the graph, however few rows pass; writes nothing"
    )
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs; writes nothing")
    given = parser.parse_args()
    if given.quick:
        given.rows, given.dimension, given.queries = 4000, 32, 20
    if given.graph:
        edge_search._COMPARED = 0
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CENTRES, given.dimension)).astype(np.float32)
    vectors = about(centres, given.rows, rng)
    columns: dict[str, np.ndarray] = {"lang": rng.choice(["en", "de"], given.rows)}
    for number, share in enumerate(SHARES):
        passes = rng.random(given.rows) < share
        # A column of each type: the rows that pass have this value, all others one of several.
        others = rng.integers(1, 9, given.rows)
        columns |= {
            f"text_{number}": np.where(passes, "shop 0", np.char.add("shop ", others.astype(str))),
            f"integer_{number}": np.where(passes, 0, others),
            f"number_{number}": np.where(passes, 9.99, others / 4),
            f"boolean_{number}": passes,
        }
    asked = about(centres, given.queries, rng)
    with engine_of(given.milvus, given.dimension) as engine:
        began = time.perf_counter()
        ids = [str(uuid.UUID(int=i + 1)) for i in range(given.rows)]
        plain = {name: values.tolist() for name, values in columns.items()}
        for start in range(0, given.rows, PUT):
            engine.put([point(ids[i], i, plain, vectors[i]) for i in range(start, min(start + PUT, given.rows))])
        engine.settle()
        print(f"{given.rows:,} rows written in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        lines = table(engine, ids, vectors, columns, asked)
    name = "a Milvus server, 2.3.5" if given.milvus else "a folder"
    lines = [
        f"{given.rows:,} rows of {given.dimension} dimensions in {name}, {given.queries} queries, first {K}.",
        "",
        "| filter | rows that pass | recall@10 | least found | ms | with a language: rows | recall@10 | least found | ms |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *lines,
    ]
    print("\n".join(lines))
    if not (given.quick or given.graph):
        part = "filters-milvus" if given.milvus else "filters"
        marked.write(ROOT / "docs" / "benchmarks.md", {part: "\n".join([*lines, "", machine.note()])})


def about(centres: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """Random vectors of length one around random centres, float32, shape (count, dimension)."""
    chosen = centres[rng.integers(0, len(centres), count)]
    made = chosen + rng.standard_normal(chosen.shape, dtype=np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def point(name: str, number: int, columns: dict[str, list], vector: Vectors) -> Point:
    """A row with a value in every column."""
    fields: dict[str, Value] = {column: values[number] for column, values in columns.items() if column != "lang"}
    row = Row(f"i{number}", columns["lang"][number], f"text {number}", group=f"g{number // 100}", fields=fields)
    return Point(name, "x", row, vector)


def table(
    engine: Engine, ids: list[str], vectors: Vectors, columns: dict[str, np.ndarray], asked: Vectors
) -> list[str]:
    """One line for each filter."""
    numbers = np.arange(len(ids))
    everything = np.ones(len(ids), dtype=bool)
    filters: list[tuple[str, dict[str, tuple[Value, ...]], np.ndarray]] = [("none", {}, everything)]
    for number, share in enumerate(SHARES):
        for kind, value in {"text": "shop 0", "integer": 0, "number": 9.99, "boolean": True}.items():
            name = f"{kind}_{number}"
            filters.append((f"{kind}, {share:.1%}", {name: (value,)}, columns[name] == value))
    filters += [
        ("two columns, 50% and 20%", {"text_4": ("shop 0",), "boolean_3": (True,)},
         (columns["text_4"] == "shop 0") & columns["boolean_3"]),
        ("three of the values of a column", {"integer_2": (1, 2, 3)}, np.isin(columns["integer_2"], (1, 2, 3))),
        ("20 groups", {"group": tuple(f"g{n}" for n in range(20))}, numbers < 2000),
        ("3 items", {"item": ("i1", "i7", "i9")}, np.isin(numbers, (1, 7, 9))),
    ]  # fmt: skip
    lines = []
    for name, fields, passes in filters:
        cells = []
        for langs in (None, ("en",)):
            rows = np.flatnonzero(passes & (columns["lang"] == "en" if langs else everything))
            shares, least, times = [], K, []
            for query in asked:
                began = time.perf_counter()
                hits = engine.nearest(query[None], [Where(langs, fields)], K)[0]
                times.append(time.perf_counter() - began)
                best = rows[np.argsort(-(vectors[rows] @ query), kind="stable")[:K]]
                right = {ids[i] for i in best}
                shares.append(len(right & {hit.id for hit in hits}) / len(right) if right else float(not hits))
                least = min(least, len(hits) + K - len(right))
            cells += [f"{len(rows):,}", f"{np.mean(shares):.3f}", str(least), f"{statistics.median(times) * 1e3:.1f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


@contextmanager
def engine_of(milvus: bool, dimension: int) -> Iterator[Engine]:
    """An empty index."""
    with tempfile.TemporaryDirectory() as folder:
        if not milvus:
            engine = create_engine(str(Path(folder) / "index"), dimension, {})
            yield engine
            engine.close()
            return
        sys.path.insert(0, str(ROOT / "tests"))
        import os

        from milvus_server import TOKEN, milvus_server

        os.environ["BABELMIX_MILVUS_TOKEN"] = TOKEN
        with milvus_server(Path(folder) / "data") as running:
            engine = create_engine(f"{running.url}/filters", dimension, {})
            yield engine
            engine.close()


if __name__ == "__main__":
    main()
