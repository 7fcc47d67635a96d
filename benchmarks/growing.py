"""The measurements of `growth.py`: one size of one part, in a process that does nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Cost, cost, encoder_like, peak_extra_memory, watching_memory

LANGS = ("ar", "de", "en", "es", "ru", "th", "tr", "vi", "zh", "hi")
DIMENSION = 384
QUERIES = 2000
PIECE = 20_000
BLOCK = 256
BATCH = 512
K = 10
DECAY = 0.85
"""Of the variances of `e5-small-offline` on passages of libreoffice-help, dimensions 5 to 150."""
Found = dict[str, float]


def rows(passages: int) -> tuple[Any, Any, Any]:
    """Queries, passages and qrels. Every item is in ten languages, so each query has ten relevant passages."""
    import pyarrow as pa

    items = passages // len(LANGS)
    wanted = np.arange(QUERIES) * items // QUERIES

    def table(item: np.ndarray, lang: np.ndarray, kind: str) -> pa.Table:
        names, langs = item.astype(str), np.array(LANGS)[lang]
        text = [f"{kind} {name} in {lang}" for name, lang in zip(names, langs, strict=True)]
        columns = {"item": names, "lang": langs, "text": text, "group": names}
        return pa.table({name: pa.array(values, pa.large_string()) for name, values in columns.items()})

    asked = table(wanted, np.arange(QUERIES) % len(LANGS), "query")
    found = table(np.repeat(np.arange(items), len(LANGS)), np.tile(np.arange(len(LANGS)), items), "passage")
    unique = pa.array(np.unique(wanted).astype(str), pa.large_string())
    return asked, found, pa.table({"query_item": unique, "passage_item": unique})


def write_collection(folder: Path, passages: int, decay: float = 0) -> None:
    """Write a corpus, which is memory-mapped when it is read, with the embeddings of its rows, block by block."""
    from babelmix.corpus import Corpus

    Corpus(*rows(passages), f"of {passages} passages").save(folder / "corpus", format="arrow")
    shape = (passages, DIMENSION)
    out = np.lib.format.open_memmap(folder / "passages.npy", mode="w+", dtype=np.float32, shape=shape)
    wanted = np.arange(QUERIES) * (passages // len(LANGS)) // QUERIES
    queries = np.empty((QUERIES, DIMENSION), dtype=np.float32)
    for first in range(0, passages, PIECE):
        row = np.arange(first, min(first + PIECE, passages))
        item = row // len(LANGS)
        side = encoder_like(np.random.default_rng([1, first]), item - item[0], row % len(LANGS), DIMENSION, decay)
        out[row] = side[1]
        here = np.flatnonzero((wanted >= item[0]) & (wanted <= item[-1]))
        queries[here] = side[0][(wanted[here] - item[0]) * len(LANGS) + here % len(LANGS)]
    out.flush()
    np.save(folder / "queries.npy", queries)


def write_decaying(folder: Path, passages: int) -> None:
    """The same with embeddings whose variance lies in few dimensions, as an encoder's does: a graph depends on it."""
    write_collection(folder, passages, DECAY)


def _vectors(folder: Path) -> list[np.ndarray]:
    return [np.load(folder / f"{side}.npy", mmap_mode="r") for side in ("queries", "passages")]


def audit(folder: Path) -> Found:
    """From stored embeddings to a saved audit with its intervals; and the bare matrix product of the same size."""
    import torch

    from babelmix.corpus import Corpus
    from babelmix.evaluation import Audit, rank_table

    warm = Corpus(*rows(len(LANGS)), "small")
    rank_table(warm, *(np.ones((n, DIMENSION), dtype=np.float32) for n in (QUERIES, len(LANGS))))
    kept: list[Any] = []
    with watching_memory() as risen:
        vectors = _vectors(folder)
        loading, data = cost(lambda: Corpus.load(folder / "corpus"))
        scoring = peak_extra_memory(lambda: kept.append(cost(lambda: rank_table(data, *vectors))))
        spent, table = kept[0]
        rest, found = cost(lambda: Audit.of(table))
        found.save(folder / "audit")
        everything = risen()

    def product() -> None:
        left = torch.from_numpy(np.array(vectors[0]))
        for first in range(0, len(vectors[1]), PIECE):
            right = torch.from_numpy(np.array(vectors[1][first : first + PIECE])).T
            scores = torch.empty(BLOCK, right.shape[1])
            for start in range(0, QUERIES, BLOCK):
                block = left[start : start + BLOCK]
                torch.mm(block, right, out=scores[: len(block)])

    bare, _ = cost(product)
    return {
        "loading": loading.clock, "loading cores": loading.cores, "measures cores": rest.cores,
        "scoring": spent.clock, "cores": spent.cores, "measures": rest.clock,
        "product": bare.clock, "product cores": bare.cores, "extra": scoring, "memory": everything,
        "embeddings": vectors[1].nbytes, "mAP": found.macro("multi/mAP"),
    }  # fmt: skip


def write_items(folder: Path, pairs: int) -> None:
    """Write the query and the passage of every pair as two files with four bytes per pair. 80 pairs in a row share a query."""
    rng = np.random.default_rng(0)
    for side in ("query", "passage"):
        column = np.lib.format.open_memmap(folder / f"{side}.npy", "w+", np.int32, (pairs,))
        for first in range(0, pairs, 1 << 22):
            some = np.arange(first, min(first + (1 << 22), pairs))
            column[some] = some // 80 if side == "query" else rng.integers(pairs // 4, size=len(some))
        column.flush()


def plan(folder: Path, pairs: int, items: bool) -> Found:
    """From the start to the first hybrid batch of pairs that are numbers, then further batches."""
    from babelmix.batches import BatchPlan, RegularIndex, strategy

    def started() -> Iterator[Any]:
        sides = {}
        if items:
            sides = {side: np.load(folder / f"{side}.npy", mmap_mode="r") for side in ("query", "passage")}
        batches = iter(BatchPlan(RegularIndex(pairs, LANGS, **sides), strategy("hybrid"), BATCH).batches())
        next(batches)
        return batches

    return _first_and_next(started)


def write_stored(folder: Path, pairs: int) -> None:
    """Write a corpus with this many queries, each with one passage, in ten languages."""
    import pyarrow as pa

    from babelmix.corpus import Corpus

    _, passages, _ = rows(pairs)
    text = pa.array([f"query {name}" for name in passages["item"].to_pylist()], pa.large_string())
    queries = passages.set_column(passages.column_names.index("text"), "text", text)
    unique = pa.array(np.arange(pairs // len(LANGS)).astype(str), pa.large_string())
    pairs_of = pa.table({"query_item": unique, "passage_item": unique})
    Corpus(queries, passages, pairs_of, "stored").save(folder / "corpus", format="arrow")


def stored(folder: Path) -> Found:
    """From a stored corpus to the first hybrid batch, then further batches."""
    from babelmix.batches import BatchPlan, strategy
    from babelmix.corpus import Corpus
    from babelmix.training import TrainingData

    def started() -> Iterator[Any]:
        data = TrainingData(Corpus.load(folder / "corpus"))
        batches = iter(BatchPlan(data.index, strategy("hybrid"), BATCH).batches())
        next(batches)
        return batches

    return _first_and_next(started)


def _first_and_next(started: Callable[[], Iterator[Any]], batches: int = 500) -> Found:
    with watching_memory() as risen:
        first, more = cost(started)
        at_first = risen()
        rate, _ = cost(lambda: [next(more) for _ in range(batches)])
        return {
            "first": first.clock, "cores": first.cores, "memory": at_first, "memory later": risen(),
            "batch": rate.cores / batches,
        }  # fmt: skip


def index(folder: Path) -> Found:
    """Write a corpus with given vectors into an index in a folder as `babelmix index` does; then open and search it."""
    from babelmix.corpus import Corpus
    from babelmix.search import Index, Searcher
    from babelmix.search.documents import rows_of_corpus
    from babelmix.search.index import Changes
    from babelmix.search.indexing import bring_up_to_date

    encoder = _encoder()
    asked, vectors = _vectors(folder)
    place = {lang: number for number, lang in enumerate(LANGS)}
    marks: list[Cost] = []
    before_graph: list[int] = []

    def mark() -> None:
        marks.append(Cost(time.perf_counter(), time.process_time()))

    with watching_memory() as risen:
        mark()
        collection = rows_of_corpus(Corpus.load(folder / "corpus"))
        opened = Index.create(str(folder / "index"), encoder, "made")

        def write(changed: Iterator[Changes]) -> Iterator[Changes]:
            for changes in changed:
                numbers = [int(p.row.item) * len(LANGS) + place[p.row.lang] for p in changes.points]
                opened.write(changes, vectors[numbers])
                yield changes
            mark()
            before_graph.append(risen())

        settle = opened.settle

        def settled() -> None:
            settle()
            mark()

        opened.settle = settled  # type: ignore[method-assign]
        done = bring_up_to_date(opened, collection, write)
        mark()
        everything = risen()
        opened.close()
    size = sum(file.stat().st_size for file in (folder / "index").rglob("*") if file.is_file())
    blocks = sum(512 * file.stat().st_blocks for file in (folder / "index").rglob("*") if file.is_file())
    with watching_memory() as risen:
        opening, again = cost(lambda: Index.open(str(folder / "index")))
        searcher = Searcher(again, encoder)
        took, near, right = [], [], []
        for number in range(0, QUERIES, 10):
            one = again.ready(asked[number : number + 1])
            spent, hits = cost(lambda one=one: searcher.search([""], vectors=one, k=K)[0])
            took.append(spent.clock)
            near.append(spent.cores)
            if number % 100 == 0:
                exact = searcher.search([""], vectors=one, k=K, exact=True)[0]
                right.append(len({hit.id for hit in hits} & {hit.id for hit in exact}) / K)
        held = risen()
        again.close()
    parts = {}
    for number, name in enumerate(("written", "graph", "calibrated")):
        clock, cores = (now - before for now, before in zip(marks[number + 1], marks[number], strict=True))
        parts |= {name: clock, f"{name} cores": cores}
    return {
        "rows": done.written, **parts, "memory written": before_graph[0],
        "memory": everything, "disk": blocks, "files": size, "vectors": vectors.nbytes, "opening": opening.clock,
        "opening cores": opening.cores,
        "search": float(np.median(took)), "search cores": float(np.median(near)), "recall": float(np.mean(right)),
        "memory searched": held,
    }  # fmt: skip


def _encoder() -> Any:
    """An encoder with the right dimension. It is never called."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    vectors = np.ones((1, DIMENSION), dtype=np.float32)
    return SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=vectors), Normalize()], device="cpu"
    )
