"""From embeddings to the rank table: every query against every passage, a block at a time, reduced at once to counts.

Passages are taken in chunks of consecutive rows, queries in blocks, and the product of a block and a chunk is the only
matrix of scores that exists. A worker multiplies and counts on one core while the others do the same with other blocks.

A count is exact only if the score of a pair is one number wherever it is computed. A matrix product rounds the same dot
product differently when a matrix is very narrow or ends in an odd number of columns, so the rows of a block and the
columns of a chunk are padded to whole multiples: with oneDNN and MKL a score then depends on its two vectors alone, and
a test holds the library at hand to it. With several chunks each relevant passage's score is computed beforehand; it is
compared with what the block's own product gives, and the pass is made again with the latter should any differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from babelmix._progress import progress_bar
from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies, check_copies
from babelmix.errors import AuditError, NotFiniteError
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.chunks import COLUMNS, Chunk, read
from babelmix.evaluation.counting import Best, count_above
from babelmix.evaluation.ranks import SHARE_CUTOFFS, IntArray, RankTable, excluded_pairs, relevant_pairs

_BLOCK = 256
"""Queries multiplied at once: fewer make the product slower, more fall out of the caches."""

_ROWS = 16
"""A block's rows are padded to a multiple of it, for the same reason as a chunk's columns."""

_PIECE = 1024
"""Passages read, checked and scaled at once."""

_CHUNK = 16384
"""Passages of a chunk at most."""

_SUMMED = 256
"""Dimensions summed at once where oneDNN is not there."""

Floats = npt.NDArray[np.float32]


def rank_table(
    corpus: Corpus,
    query_embeddings: npt.NDArray[np.floating],
    passage_embeddings: npt.NDArray[np.floating],
    *,
    similarity: str = "cosine",
    cutoffs: Sequence[int] = SHARE_CUTOFFS,
    about: AuditFacts | Mapping[str, Any] | None = None,
    memory: int = 384 << 20,
    chunk: int | None = None,
    copies: Copies = "wrong",
) -> RankTable:
    """Score every query against every passage and reduce at once to counts.

    Scores are float32. Of two passages with equal scores the one in the lower row of the corpus stands first, as in a
    stable sort; passages with equal vectors have equal scores. A zero vector has cosine 0 with everything (and
    dot product 0), so it ties with every passage orthogonal to the query. NaN and infinity are refused.

    Neither the scores nor, where they are memory-mapped, the embeddings are ever held as a whole; what grows with the
    corpus is the table itself. The table does not depend on `memory` or `chunk`.

    Args:
        corpus: what the embeddings are of.
        query_embeddings: floating, shape (queries, dimension), in row order; may be memory-mapped.
        passage_embeddings: floating, shape (passages, dimension), in row order; may be memory-mapped.
        similarity: `"cosine"` or `"dot"`.
        cutoffs: the k for which the languages of the first k answers are counted.
        about: facts kept with the table.
        memory: bytes for chunks of passages, at most a third, and blocks of scores: more of it keeps more cores busy.
            If this is less than one chunk of 64 passages and one block take, it is exceeded.
        chunk: passages taken at once; by default what `memory` allows, at most 16,384.
        copies: what passages count as that have the content of a relevant one and are of another item: `wrong`, `relevant`
            with its grade, or `excluded`, which is neither; see `babelmix.corpus.copies`.

    Passages that the corpus excludes for a query (`Corpus.excluded`) are not in that query's pool: they outrank nothing and
    stand among no first answers.

    Raises:
        NotFiniteError: a value is not finite (the row is named), or dot products exceed float32.
        AuditError: shapes disagree, or nothing is relevant to anything.
        ConfigError: copies cannot count as what is asked.

    """
    check_copies(copies)
    _check_shapes(corpus, query_embeddings, passage_embeddings)
    if similarity not in ("cosine", "dot"):
        raise AuditError(f"the similarity {similarity!r} is not supported; use 'cosine' or 'dot'")
    if not cutoffs or min(cutoffs) < 1:
        raise AuditError(f"the cut-offs {list(cutoffs)} are not positive numbers")
    if chunk is not None and chunk < 1:
        raise AuditError(f"a chunk of {chunk} passages is empty")
    pair_query, pair_passage, pair_grade = relevant_pairs(corpus, copies=copies)
    out_query, out_passage = excluded_pairs(corpus, copies=copies)
    if len(pair_query) == 0:
        raise AuditError(f"{corpus.name}: no passage is relevant to any query")
    query_langs, query_lang = _coded(corpus.queries["lang"])
    passage_langs, passage_lang = _coded(corpus.passages["lang"])
    passages = len(passage_lang)
    allowed = int(np.clip(memory // 6 // (4 * query_embeddings.shape[1]), COLUMNS, _CHUNK))
    scoring = _Scoring(
        query_embeddings,
        passage_embeddings,
        similarity,
        passage_lang,
        len(passage_langs),
        pair_query,
        pair_passage,
        out_query,
        out_passage,
        min(max(cutoffs), passages),
        min(chunk or allowed, passages),
    )
    workers = int(np.clip((memory - scoring.held) // scoring.buffer, 1, torch.get_num_threads()))
    counts, first = scoring.run(workers)
    return RankTable(
        query_langs=query_langs,
        passage_langs=passage_langs,
        pool_sizes=np.bincount(passage_lang, minlength=len(passage_langs)).astype(np.int64),
        query_item=np.array(corpus.queries["item"].to_pylist(), dtype=object),
        query_group=np.array(corpus.queries["group"].to_pylist(), dtype=object),
        query_lang=query_lang,
        pair_query=pair_query,
        pair_passage=pair_passage,
        pair_lang=passage_lang[pair_passage],
        pair_grade=pair_grade,
        outranking_counts=counts,
        top=_languages_of_first(np.where(first < 0, -1, passage_lang[first]), cutoffs, len(passage_langs)),
        cutoffs=tuple(cutoffs),
        about=AuditFacts.of(about),
        excluded=_excluded_counts(out_query, passage_lang[out_passage], (len(query_lang), len(passage_langs))),
    )


@dataclass(frozen=True)
class _Scoring:
    """What is scored, and how; pairs, relevant and excluded ones, are sorted by query."""

    queries: npt.NDArray[np.floating]
    passages: npt.NDArray[np.floating]
    similarity: str
    passage_lang: IntArray
    languages: int
    pair_query: IntArray
    pair_passage: IntArray
    excluded_query: IntArray
    excluded_passage: IntArray
    depth: int
    chunk: int

    @property
    def widest(self) -> int:
        """Columns that a chunk has at most, with padding."""
        return self.chunk + 8 * min(self.languages, self.chunk) + COLUMNS

    @property
    def held(self) -> int:
        """Bytes of two chunks: one is read while the other is multiplied."""
        return 2 * 4 * self.widest * self.passages.shape[1]

    @property
    def buffer(self) -> int:
        """Bytes that the scores of a block and a chunk take."""
        # The product is made in oneDNN's own form and copied from it.
        return 2 * 4 * _BLOCK * self.widest

    def run(self, workers: int) -> tuple[npt.NDArray[np.int32], IntArray]:
        """Counts by pair and language, and the corpus rows of the first `depth` answers to each query."""
        with _single_threaded(workers) as threads:
            own = self._own_scores(threads) if self.chunk < len(self.passages) else None
            above, best, seen = self._pass(threads, own)
            if own is not None and not np.array_equal(own, seen):
                above, best, _ = self._pass(threads, seen)
        return above, best.rows

    def _blocks(self) -> Iterator[_Block]:
        edges = np.append(np.arange(0, len(self.queries), _BLOCK), len(self.queries))
        starts = np.searchsorted(self.pair_query, np.arange(len(self.queries) + 1))
        for first, end in pairwise(edges):
            sizes = np.diff(starts[first : end + 1])
            order = np.argsort(-sizes, kind="stable")
            yield _Block(
                first + order,
                starts[first:end][order] - starts[first],
                sizes[order],
                slice(starts[first], starts[end]),
            )

    def _read(self, block: _Block) -> torch.Tensor:
        """A block's queries, scaled, in its order, padded to whole multiples."""
        rows = np.zeros((-(-len(block.queries) // _ROWS) * _ROWS, self.queries.shape[1]), dtype=np.float32)
        in_order = np.sort(block.queries)
        found = read(self.queries, in_order, "query", self.similarity)
        rows[: len(found)] = found[block.queries - in_order[0]]
        return torch.from_numpy(rows)

    def _own_scores(self, threads: ThreadPoolExecutor) -> Floats:
        """The score of every pair ahead of the pass over all passages, float32, shape (pairs,)."""
        own = np.empty(len(self.pair_query), dtype=np.float32)

        def job(block: _Block) -> None:
            queries = self._read(block)
            row = block.row_of_pair()
            passages, column = np.unique(self.pair_passage[block.pairs], return_inverse=True)
            for start in range(0, len(passages), _PIECE):
                piece = passages[start : start + _PIECE]
                vectors = torch.zeros((-(-len(piece) // COLUMNS) * COLUMNS, queries.shape[1]))
                vectors.numpy()[: len(piece)] = read(self.passages, piece, "passage", self.similarity)
                scores = _product(queries, _factor(vectors))
                here = np.flatnonzero((column >= start) & (column < start + len(piece)))
                own[block.pairs][here] = scores[row[here], column[here] - start]

        for done in [threads.submit(job, block) for block in self._blocks()]:
            done.result()
        return own

    def _pass(self, threads: ThreadPoolExecutor, own: Floats | None) -> tuple[npt.NDArray[np.int32], Best, Floats]:
        """Counts, first passages, and the score that every pair has in the products; None: take `own` from them too."""
        above = np.zeros((len(self.pair_query), self.languages), dtype=np.int32)
        best = Best.none_yet(len(self.queries), self.depth)
        seen = np.empty(len(self.pair_query), dtype=np.float32)

        def job(chunk: Chunk, passages: torch.Tensor, block: _Block) -> int:
            grid = _product(self._read(block), passages)[: len(block.queries)]
            if self.similarity == "dot" and not (np.isfinite(grid.min()) and np.isfinite(grid.max())):
                raise NotFiniteError("dot products exceed float32: use embeddings of smaller values, or cosine")
            grid[:, chunk.row_at < 0] = -np.inf
            self._leave_out(grid, chunk, block)
            passage, mine = self.pair_passage[block.pairs], seen[block.pairs]
            inside = chunk.hold(passage)
            mine[inside] = grid[block.row_of_pair()[inside], chunk.column_of[passage[inside] - chunk.first]]
            scores_of_pairs = mine if own is None else own[block.pairs]
            counts = count_above(grid, chunk, block.first_pair, block.sizes, scores_of_pairs, passage)
            above[block.pairs, chunk.langs] += counts
            best.update(grid, chunk, block.queries)
            return len(block.queries)

        blocks = list(self._blocks())
        starts = range(0, len(self.passages), self.chunk)
        with progress_bar("scoring", len(self.queries) * len(starts), "queries") as bar:
            next_one = [self._load(threads, 0)]
            for start in starts:
                chunk, vectors, reading = next_one.pop()
                for done in reading:
                    done.result()
                passages = _factor(vectors)
                del vectors
                if start != starts[-1]:
                    # Read beside the products of this one.
                    next_one.append(self._load(threads, start + self.chunk))
                for scored in [threads.submit(job, chunk, passages, block) for block in blocks]:
                    bar.advance(scored.result())
        return above, best, seen

    def _leave_out(self, grid: Floats, chunk: Chunk, block: _Block) -> None:
        """Give the excluded passages of a block's queries the score of padding, which outranks nothing and is never first."""
        if not len(self.excluded_query):
            return
        first = int(block.queries.min())
        some = slice(*np.searchsorted(self.excluded_query, [first, first + len(block.queries)]))
        query, passage = self.excluded_query[some], self.excluded_passage[some]
        inside = chunk.hold(passage)
        row = np.argsort(block.queries)[query[inside] - first]
        grid[row, chunk.column_of[passage[inside] - chunk.first]] = -np.inf

    def _load(self, threads: ThreadPoolExecutor, start: int) -> tuple[Chunk, torch.Tensor, list[Future[None]]]:
        """A chunk, its vectors, and the jobs that read them."""
        end = min(start + self.chunk, len(self.passages))
        chunk = Chunk.of(self.passage_lang[start:end], start)
        vectors = torch.zeros((len(chunk.row_at), self.passages.shape[1]))
        jobs = [
            threads.submit(chunk.read, self.passages, self.similarity, a, min(a + _PIECE, end), vectors)
            for a in range(start, end, _PIECE)
        ]
        return chunk, vectors, jobs


@dataclass(frozen=True)
class _Block:
    """Queries with their pairs, those with more pairs first.

    `queries` are rows, `first_pair` where each one's pairs start among the block's, `sizes` how many it has, and `pairs`
    the block's pairs among all.
    """

    queries: IntArray
    first_pair: IntArray
    sizes: IntArray
    pairs: slice

    def row_of_pair(self) -> IntArray:
        """Row of each pair's query in the block, shape (pairs,)."""
        by_query = np.argsort(self.queries)
        return np.repeat(by_query, self.sizes[by_query])


def _factor(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors as `_product` takes its second factor, copied once for many products."""
    # On processors not of Intel's, oneDNN multiplies twice as fast as MKL, which torch would use.
    return vectors.to_mkldnn() if torch.backends.mkldnn.is_available() else vectors  # type: ignore[no-untyped-call]


def _product(queries: torch.Tensor, passages: torch.Tensor) -> Floats:
    """Scores, float32, shape (queries, passages)."""
    if passages.is_mkldnn:
        return torch.nn.functional.linear(queries.to_mkldnn(), passages).to_dense().numpy()
    # MKL cuts long sums into parts, on some processors by the shape of the matrices; sums this short it does not cut.
    scores = torch.mm(queries[:, :_SUMMED], passages[:, :_SUMMED].T)
    for start in range(_SUMMED, queries.shape[1], _SUMMED):
        scores += torch.mm(queries[:, start : start + _SUMMED], passages[:, start : start + _SUMMED].T)
    return scores.numpy()


@contextmanager
def _single_threaded(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads whose float32 products keep to one core each; numpy lets go of the interpreter, so they work side by side."""
    threads_before = torch.get_num_threads()
    # A process may let products be rounded to bfloat16, which moves metrics; torch before 2.9 has no such setting here.
    products = getattr(torch.backends.mkldnn, "matmul", None)
    precision_before = getattr(products, "fp32_precision", None)
    torch.set_num_threads(1)
    if products is not None:
        products.fp32_precision = "ieee"
    threads = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)
        torch.set_num_threads(threads_before)
        if products is not None:
            products.fp32_precision = precision_before


def _coded(column: pa.ChunkedArray) -> tuple[tuple[str, ...], IntArray]:
    """The distinct values of a column, sorted, and the index of each row's, int64."""
    encoded = column.combine_chunks().dictionary_encode()
    names = np.array(encoded.dictionary.to_pylist())
    order = np.argsort(names)
    return tuple(map(str, names[order])), np.argsort(order)[encoded.indices.to_numpy()].astype(np.int64)


def _check_shapes(corpus: Corpus, queries: npt.NDArray[np.floating], passages: npt.NDArray[np.floating]) -> None:
    for side, table, embeddings in (("query", corpus.queries, queries), ("passage", corpus.passages, passages)):
        if embeddings.ndim != 2 or len(embeddings) != table.num_rows or embeddings.shape[1] == 0:
            raise AuditError(f"there are {table.num_rows} {side} rows, but embeddings of shape {embeddings.shape}")
    if queries.shape[1] != passages.shape[1]:
        raise AuditError(f"queries have {queries.shape[1]} dimensions but passages {passages.shape[1]}")


def _languages_of_first(langs: IntArray, cutoffs: Sequence[int], languages: int) -> npt.NDArray[np.int32]:
    """Languages of the first k answers for each k, -1 for none: int32, shape (queries, cut-offs, languages)."""
    counts = np.zeros((len(langs), len(cutoffs), languages), dtype=np.int32)
    flat = langs + languages * np.arange(len(langs))[:, None]
    for c, k in enumerate(cutoffs):
        there = flat[:, :k][langs[:, :k] >= 0]
        counts[:, c] = np.bincount(there, minlength=langs.shape[0] * languages).reshape(-1, languages)
    return counts


def _excluded_counts(query: IntArray, lang: IntArray, shape: tuple[int, int]) -> npt.NDArray[np.int32] | None:
    """Excluded passages by query and language, None if there are none."""
    if not len(query):
        return None
    counts = np.zeros(shape, dtype=np.int32)
    np.add.at(counts, (query, lang), 1)
    return counts
