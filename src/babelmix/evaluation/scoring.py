"""Compute the rank table from embeddings: score every query against every passage, and reduce the scores to counts.

Passages come in chunks of consecutive rows, queries in blocks. Only the scores of one block and one chunk exist at a time.
Each worker multiplies and counts on one core.

A count is exact only if the score of a pair is the same number wherever it is computed. A matrix product rounds the same dot
product differently when a matrix is very narrow or has an odd number of columns. Therefore the rows of a block and the
columns of a chunk are padded to multiples: with oneDNN and MKL a score then depends on its two vectors alone, which a test
checks on the library in use. With several chunks, the scores of the relevant passages are computed before the pass over all
passages. If one of them differs from the score that the pass itself computes, the pass is repeated with its own scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from babelmix.corpus.labels import LABELS, LOST
from babelmix.errors import AuditError, NotFiniteError
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.chunks import COLUMNS, Chunk, read
from babelmix.evaluation.counting import Best, count_outranking
from babelmix.evaluation.first_answers import excluded_counts, items_of_first, languages_of_first
from babelmix.evaluation.matrix import Matrix
from babelmix.evaluation.ranks import SHARE_CUTOFFS, IntArray, RankTable, excluded_pairs, relevant_pairs

_BLOCK = 256
"""Queries in one matrix product. Fewer are slower; more do not fit the processor's caches."""

_ROWS = 16
"""The rows of a block are padded to a multiple of this, for the same reason as the columns of a chunk."""

_PIECE = 1024
"""Passages that are read, checked and scaled in one step."""

_CHUNK = 16384
"""The largest number of passages in a chunk."""

_SUMMED = 256
"""The number of dimensions that one product adds up, if oneDNN is not available."""

Floats = npt.NDArray[np.float32]

ScoreChange = Callable[[Floats, IntArray, IntArray], Floats]
"""Changes scores, float32, shape (queries, passages), of query rows and passage rows; a row -1 is padding. The new score of a
pair must depend on its old score and its rows alone."""


def rank_table(
    corpus: Corpus,
    query_embeddings: Matrix,
    passage_embeddings: Matrix,
    *,
    similarity: str = "cosine",
    cutoffs: Sequence[int] = SHARE_CUTOFFS,
    about: AuditFacts | Mapping[str, Any] | None = None,
    memory: int = 384 << 20,
    chunk: int | None = None,
    copies: Copies = "wrong",
    change: ScoreChange | None = None,
) -> RankTable:
    """Score every query against every passage, and count what outranks each relevant passage.

    Scores are float32. Of two passages with equal scores, the one in the lower row of the corpus ranks first, as in a
    stable sort. Passages with equal vectors have equal scores. A zero vector has cosine 0 and dot product 0 with everything, so
    it ties with every passage orthogonal to the query. NaN and infinity are refused.

    A corpus without qrels gives a table without pairs: only the first answers and their languages are known.

    The whole matrix of scores is never in memory, nor are memory-mapped embeddings. Only the table itself grows with the
    corpus. `memory` and `chunk` do not change the table.

    Passages that the corpus excludes for a query (`Corpus.excluded`) are not in that query's pool: they outrank nothing and
    are never among the first answers.

    Args:
        corpus: the corpus of the embeddings.
        query_embeddings: floating, shape (queries, dimension), in row order; may be memory-mapped.
        passage_embeddings: floating, shape (passages, dimension), in row order; may be memory-mapped.
        similarity: `"cosine"` or `"dot"`.
        cutoffs: the k for which the languages of the first k answers are counted.
        about: facts kept with the table.
        memory: bytes for chunks of passages (at most a third) and blocks of scores; more memory keeps more cores busy. One
            chunk of 64 passages and one block are always allocated, even if they need more.
        chunk: passages in a chunk; by default as many as `memory` allows, at most 16,384.
        copies: how copies of right answers are counted: as `wrong`, as `relevant` with the grade of the answer, or as
            `excluded`, which is neither; see `babelmix.corpus.copies`.
        change: changes the scores before passages are ranked, as a search policy does; None: they stay as they are.

    Returns:
        The rank table.

    Raises:
        NotFiniteError: a value is not finite (the row is named), or dot products exceed float32.
        AuditError: shapes disagree, the similarity or a cut-off is wrong, the chunk is empty, or the corpus has qrels but no
            passage is relevant to any query.
        ConfigError: `copies` has another value.

    Examples:
        >>> import numpy as np
        >>> rows = [{"item": i, "lang": lang, "text": f"{i} {lang}"} for i in "ab" for lang in ("de", "en")]
        >>> corpus = Corpus.from_rows(rows, rows, [("a", "a"), ("b", "b")], name="two")
        >>> vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
        >>> rank_table(corpus, vectors, vectors).rank_in_all().tolist()
        [0, 1, 1, 0, 0, 1, 1, 0]

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
    if len(pair_query) == 0 and (corpus.qrels.num_rows or corpus.meta.get(LABELS) == LOST):
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
        change,
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
        top=languages_of_first(np.where(first < 0, -1, passage_lang[first]), cutoffs, len(passage_langs)),
        cutoffs=tuple(cutoffs),
        about=AuditFacts.of(about).with_labels(corpus),
        excluded=excluded_counts(out_query, passage_lang[out_passage], (len(query_lang), len(passage_langs))),
        first=first.astype(np.int32),
        first_item=items_of_first(corpus, first),
    )


@dataclass(frozen=True)
class _Scoring:
    """The inputs of the scoring; relevant and excluded pairs are sorted by query."""

    queries: Matrix
    passages: Matrix
    similarity: str
    passage_lang: IntArray
    languages: int
    pair_query: IntArray
    pair_passage: IntArray
    excluded_query: IntArray
    excluded_passage: IntArray
    depth: int
    chunk: int
    change: ScoreChange | None = None

    @property
    def widest(self) -> int:
        """The largest number of columns of a chunk, with padding."""
        return self.chunk + 8 * min(self.languages, self.chunk) + COLUMNS

    @property
    def held(self) -> int:
        """Bytes of two chunks: one is read while the other one is multiplied."""
        return 2 * 4 * self.widest * self.passages.shape[1]

    @property
    def buffer(self) -> int:
        """Bytes for the scores of a block and a chunk."""
        # Twice: oneDNN computes the product in its own layout, and then it is copied.
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
        """The embeddings of a block's queries, scaled, in the order of the block, padded to a multiple of `_ROWS`."""
        rows = np.zeros((-(-len(block.queries) // _ROWS) * _ROWS, self.queries.shape[1]), dtype=np.float32)
        in_order = np.sort(block.queries)
        found = read(self.queries, in_order, "query", self.similarity)
        rows[: len(found)] = found[block.queries - in_order[0]]
        return torch.from_numpy(rows)

    def _own_scores(self, threads: ThreadPoolExecutor) -> Floats:
        """The score of every relevant pair, before the pass over all passages, float32, shape (pairs,)."""
        own = np.empty(len(self.pair_query), dtype=np.float32)

        def job(block: _Block) -> None:
            queries = self._read(block)
            row = block.row_of_pair()
            passages, column = np.unique(self.pair_passage[block.pairs], return_inverse=True)
            for start in range(0, len(passages), _PIECE):
                piece = passages[start : start + _PIECE]
                vectors = torch.zeros((-(-len(piece) // COLUMNS) * COLUMNS, queries.shape[1]))
                vectors.numpy()[: len(piece)] = read(self.passages, piece, "passage", self.similarity)
                scores = _product(queries, _factor(vectors))[: len(block.queries), : len(piece)]
                scores = scores if self.change is None else self.change(scores, block.queries, piece)
                here = np.flatnonzero((column >= start) & (column < start + len(piece)))
                own[block.pairs][here] = scores[row[here], column[here] - start]

        for done in [threads.submit(job, block) for block in self._blocks()]:
            done.result()
        return own

    def _pass(self, threads: ThreadPoolExecutor, own: Floats | None) -> tuple[npt.NDArray[np.int32], Best, Floats]:
        """Counts, first passages, and the score of every relevant pair in the products.

        Args:
            threads: the workers.
            own: the scores of the relevant pairs. None, possible with one chunk only: take them from the products.

        """
        above = np.zeros((len(self.pair_query), self.languages), dtype=np.int32)
        best = Best.none_yet(len(self.queries), self.depth)
        seen = np.empty(len(self.pair_query), dtype=np.float32)

        def job(chunk: Chunk, passages: torch.Tensor, block: _Block) -> int:
            grid = _product(self._read(block), passages)[: len(block.queries)]
            if self.similarity == "dot" and not (np.isfinite(grid.min()) and np.isfinite(grid.max())):
                raise NotFiniteError("dot products exceed float32: use embeddings of smaller values, or cosine")
            if self.change is not None:
                grid = self.change(grid, block.queries, chunk.row_at)
            grid[:, chunk.row_at < 0] = -np.inf
            self._leave_out(grid, chunk, block)
            passage, mine = self.pair_passage[block.pairs], seen[block.pairs]
            inside = chunk.hold(passage)
            mine[inside] = grid[block.row_of_pair()[inside], chunk.column_of[passage[inside] - chunk.first]]
            scores_of_pairs = mine if own is None else own[block.pairs]
            counts = count_outranking(grid, chunk, block.first_pair, block.sizes, scores_of_pairs, passage)
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
                    # The next chunk is read while this one is multiplied.
                    next_one.append(self._load(threads, start + self.chunk))
                for scored in [threads.submit(job, chunk, passages, block) for block in blocks]:
                    bar.advance(scored.result())
        return above, best, seen

    def _leave_out(self, grid: Floats, chunk: Chunk, block: _Block) -> None:
        """Give passages that are excluded for a query the score of padding, which outranks nothing and is never first."""
        if not len(self.excluded_query):
            return
        first = int(block.queries.min())
        some = slice(*np.searchsorted(self.excluded_query, [first, first + len(block.queries)]))
        query, passage = self.excluded_query[some], self.excluded_passage[some]
        inside = chunk.hold(passage)
        row = np.argsort(block.queries)[query[inside] - first]
        grid[row, chunk.column_of[passage[inside] - chunk.first]] = -np.inf

    def _load(self, threads: ThreadPoolExecutor, start: int) -> tuple[Chunk, torch.Tensor, list[Future[None]]]:
        """A chunk, its vectors, and the jobs that are reading them."""
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
    """Some queries with their relevant pairs; queries with more pairs come first.

    Args:
        queries: query rows, int64, shape (queries,).
        first_pair: index of the first pair of each query among the pairs of the block, int64, shape (queries,).
        sizes: number of pairs of each query, int64, shape (queries,).
        pairs: the pairs of the block among all pairs.

    """

    queries: IntArray
    first_pair: IntArray
    sizes: IntArray
    pairs: slice

    def row_of_pair(self) -> IntArray:
        """Row in the block of the query of each pair, shape (pairs,)."""
        by_query = np.argsort(self.queries)
        return np.repeat(by_query, self.sizes[by_query])


def _factor(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors in the layout that `_product` needs for `passages`. They are copied once and used for many products."""
    # On processors that are not Intel's, oneDNN multiplies twice as fast as MKL, torch's default.
    return vectors.to_mkldnn() if torch.backends.mkldnn.is_available() else vectors  # type: ignore[no-untyped-call]


def _product(queries: torch.Tensor, passages: torch.Tensor) -> Floats:
    """Scores, float32, shape (queries, passages)."""
    if passages.is_mkldnn:
        return torch.nn.functional.linear(queries.to_mkldnn(), passages).to_dense().numpy()
    # MKL splits long sums, on some processors depending on the shape of the matrices; it does not split sums this short.
    scores = torch.mm(queries[:, :_SUMMED], passages[:, :_SUMMED].T)
    for start in range(_SUMMED, queries.shape[1], _SUMMED):
        scores += torch.mm(queries[:, start : start + _SUMMED], passages[:, start : start + _SUMMED].T)
    return scores.numpy()


@contextmanager
def _single_threaded(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads whose float32 products use one core each; numpy releases the interpreter lock, so that they run in parallel."""
    threads_before = torch.get_num_threads()
    # A process may allow products rounded to bfloat16, which would change metrics; torch before 2.9 has no such setting.
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
    """The distinct values of a column, sorted, and for each row the index of its value, int64."""
    encoded = column.combine_chunks().dictionary_encode()
    names = np.array(encoded.dictionary.to_pylist())
    order = np.argsort(names)
    return tuple(map(str, names[order])), np.argsort(order)[encoded.indices.to_numpy()].astype(np.int64)


def _check_shapes(corpus: Corpus, queries: Matrix, passages: Matrix) -> None:
    for side, table, embeddings in (("query", corpus.queries, queries), ("passage", corpus.passages, passages)):
        if len(embeddings.shape) != 2 or len(embeddings) != table.num_rows or embeddings.shape[1] == 0:
            raise AuditError(f"there are {table.num_rows} {side} rows, but embeddings of shape {embeddings.shape}")
    if queries.shape[1] != passages.shape[1]:
        raise AuditError(f"queries have {queries.shape[1]} dimensions but passages {passages.shape[1]}")
