"""The engine in a folder against FAISS: exact search and graph search, with and without a language filter.

python benchmarks/engine.py libreoffice-help=PATH --rows 200000

The vectors are real passages and their headings, embedded by the static encoder that is made from E5's token vectors. The
engine is called as the service calls it, and returns texts and metadata of the rows; FAISS returns row numbers only. Writes the
table of docs/benchmarks.md. Install the peer with: pip install faiss-cpu.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import faiss
import machine
import marked
import numpy as np
import torch
from measuring import Cost, bandwidth, cost

from babelmix.corpus import open_corpus
from babelmix.encoders import encode, load_encoder
from babelmix.search.engines import create_engine
from babelmix.search.rows import Point, Row, Where, points_of

K = 10
PUT = 512
WIDTHS = (64, 256, 1024)
"""Of FAISS's search: rows looked at."""
PIECE = 16_384
TIES = 1e-5
FLAT, GRAPH, EXACT = "FAISS flat", "FAISS HNSW", "ours, exact"
Answers = list[list[float]]
"""Scores of what was found, by query: rows of equal texts are equally right."""
Ask = Callable[[np.ndarray, list[str] | None], Answers]


def main() -> None:
    """Build the stores, search them in turn, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs; writes nothing")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rows, arguments.queries, arguments.rounds = 3000, 50, 1
    corpus, encoder = open_corpus(arguments.corpus), load_encoder("static-e5")
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(corpus.passages.num_rows)[: arguments.rows])
    table = corpus.passages.take(chosen)
    texts, langs = table["text"].to_pylist(), np.array(table["lang"].to_pylist())
    vectors = normal(encode(encoder, texts, "document", store=False))
    asked = corpus.queries.take(rng.permutation(corpus.queries.num_rows)[: arguments.queries])
    queries = normal(encode(encoder, asked["text"].to_pylist(), "query", store=False))
    wanted = asked["lang"].to_pylist()
    print(f"{len(vectors):,} passages in {len(set(langs.tolist()))} languages, {len(queries):,} queries", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        ways, built = systems(vectors, texts, langs, Path(folder) / "index")
        truth = {filtered: ways[FLAT](queries, wanted if filtered else None) for filtered in (False, True)}
        rates: dict[tuple[str, bool, bool], list[float]] = {}
        recalls: dict[tuple[str, bool], float] = {}
        bare: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(arguments.rounds):
            for name, ask in ways.items():
                for filtered in (False, True):
                    # What looks at every row is slow, and its recall is known.
                    count = len(queries) if name not in (FLAT, EXACT) else len(queries) // 10
                    filters = wanted[:count] if filtered else None
                    each, together = measured(ask, queries[:count], filters)
                    for batched, (took, _) in ((False, each), (True, together)):
                        rates.setdefault((name, filtered, batched), []).append(count / took.clock)
                    recalls[name, filtered] = recall(each[1], truth[filtered][:count])
            some = queries[: len(queries) // 10]
            for batched, took in zip(bare, products(vectors, some), strict=True):
                bare[batched].append(len(some) / took.clock)
            print(f"round {turn + 1} of {arguments.rounds} done", flush=True)
    speed = bandwidth()
    peers = [name for name in ways if name.startswith(GRAPH)]
    lines = [
        f"{len(vectors):,} passages of {corpus.name} in {len(set(langs.tolist()))} languages, {vectors.shape[1]} dimensions, "
        f"{len(queries):,} queries, first {K}, {torch.get_num_threads()} cores; medians of {arguments.rounds} rounds in "
        f"alternation. Time to build, s: {', '.join(f'{name} {seconds:.0f}' for name, seconds in built.items())}.",
        "",
        f"| | language filter | recall@{K} | queries/s, one by one | times {GRAPH} | queries/s, at once | times {GRAPH} |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name in ways:
        for filtered in (False, True):
            cells = []
            for batched in (False, True):
                rate = statistics.median(rates[name, filtered, batched])
                # Against the fastest that finds as much.
                as_good = [
                    statistics.median(rates[peer, filtered, batched])
                    for peer in peers
                    if recalls[peer, filtered] >= recalls[name, filtered] - 0.005
                ]
                cells += [f"{rate:,.0f}", f"{rate / max(as_good):.2f}" if as_good else "none as good"]
            filter_ = "one language" if filtered else "none"
            lines.append(f"| {name} | {filter_} | {recalls[name, filtered]:.3f} | {' | '.join(cells)} |")
    each, together = (f"{statistics.median(rates):,.0f}" for rates in bare.values())
    lines += [
        f"| the bare product, `torch.mm`, nothing chosen | none | | {each} | | {together} | |",
        "",
        f"Memory is read at {speed / 1e9:.1f} GB/s, and the vectors have {vectors.nbytes / 1e6:,.0f} MB. So a search that reads "
        f"every vector answers at most {speed / vectors.nbytes:,.0f} queries/s, one by one.",
        "",
        machine.note(),
    ]
    print("\n".join(lines))
    if not arguments.quick:
        marked.write(Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md", {"engine": "\n".join(lines)})


def products(vectors: np.ndarray, queries: np.ndarray) -> tuple[Cost, Cost]:
    """The matrix product of the vectors with the queries, one query at a time and all at once: every exact search needs it."""
    rows, asked = torch.from_numpy(vectors), torch.from_numpy(queries)

    def product(block: torch.Tensor) -> None:
        # A piece of the scores at a time, as a search that keeps the first few would have it.
        for start in range(0, len(rows), PIECE):
            torch.mm(block, rows[start : start + PIECE].T)

    return cost(lambda: [product(asked[i : i + 1]) for i in range(len(asked))])[0], cost(lambda: product(asked))[0]


def measured(
    ask: Ask, queries: np.ndarray, filters: list[str] | None
) -> tuple[tuple[Cost, Answers], tuple[Cost, Answers]]:
    """Time and results, one query at a time and all at once."""
    each = cost(lambda: [ask(queries[i : i + 1], filters and filters[i : i + 1])[0] for i in range(len(queries))])
    return each, cost(lambda: ask(queries, filters))


def systems(
    vectors: np.ndarray, texts: list[str], langs: np.ndarray, folder: Path
) -> tuple[dict[str, Ask], dict[str, float]]:
    """Every way to search, and how long each store took to build."""
    dimension = vectors.shape[1]
    built = {}
    flat, graph = faiss.IndexFlatIP(dimension), faiss.IndexHNSWFlat(dimension, 32, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 200
    flat.add(vectors)
    built[GRAPH] = cost(lambda: graph.add(vectors))[0].clock
    print(f"FAISS HNSW built in {built[GRAPH]:.0f} s", flush=True)
    # A selector of a language's rows, made once, as a service would.
    of_lang = {lang: faiss.IDSelectorBatch(np.flatnonzero(langs == lang)) for lang in set(langs.tolist())}

    def with_faiss(index: faiss.Index, parameters: Callable[..., object]) -> Ask:
        def ask(asked: np.ndarray, filters: list[str] | None) -> Answers:
            if filters is None:
                return index.search(asked, K, params=parameters(sel=None))[0].tolist()
            found: Answers = [[] for _ in filters]
            # One filter a call is what its interface takes.
            for lang in dict.fromkeys(filters):
                rows = [i for i, wanted in enumerate(filters) if wanted == lang]
                answers = index.search(
                    asked[rows], K, params=parameters(sel=of_lang.get(lang, faiss.IDSelectorBatch([])))
                )
                for row, answer in zip(rows, answers[0].tolist(), strict=True):
                    found[row] = answer
            return found

        return ask

    rows = [Row(str(i), lang, text) for i, (lang, text) in enumerate(zip(langs.tolist(), texts, strict=True))]
    engine = create_engine(str(folder), dimension, {})
    began = time.perf_counter()
    for start in range(0, len(rows), PUT):
        points = points_of(rows[start : start + PUT])
        engine.put([Point(p.id, p.digest, p.row, vectors[start + i]) for i, p in enumerate(points)])
    built["ours, written"] = time.perf_counter() - began
    engine.settle()
    built["ours, with its graph"] = time.perf_counter() - began
    print(f"ours built in {built['ours, with its graph']:.0f} s", flush=True)

    def ours(exact: bool) -> Ask:
        def ask(asked: np.ndarray, filters: list[str] | None) -> Answers:
            wheres = [Where((lang,)) for lang in filters] if filters is not None else [Where()] * len(asked)
            return [[hit.score for hit in hits] for hits in engine.nearest(asked, wheres, K, exact=exact)]

        return ask

    return {
        FLAT: with_faiss(flat, faiss.SearchParameters),
        **{
            f"{GRAPH}, width {width}": with_faiss(graph, partial(faiss.SearchParametersHNSW, efSearch=width))
            for width in WIDTHS
        },
        EXACT: ours(True),
        "ours": ours(False),
    }, built


def normal(vectors: np.ndarray) -> np.ndarray:
    """Vectors normalised to length one, float32."""
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def recall(found: Answers, right: Answers) -> float:
    """The share of the rows found that are at least as near as the last row of the exact result."""
    shares = []
    for scores, best in zip(found, right, strict=True):
        best = [score for score in best if score > -1e30]  # FAISS fills up with the lowest number
        shares.append(sum(score >= min(best) - TIES for score in scores[: len(best)]) / len(best) if best else 1.0)
    return float(np.mean(shares))


if __name__ == "__main__":
    main()
