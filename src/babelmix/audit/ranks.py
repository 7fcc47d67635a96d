"""The rank table: for every query and relevant passage, how many passages of each language outrank it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from babelmix._files import replacing_file
from babelmix._progress import progress_bar
from babelmix.corpus import Corpus
from babelmix.errors import AuditError

SHARE_CUTOFFS = (1, 5, 10, 20)
"""The k for which the languages of the first k answers are counted."""

_WORD = 64
"""Bits counted at once; each language's columns are padded to a multiple of it."""

_SHARE = 32
"""Query rows compared at once by one thread: few enough that their scores stay in its cache."""

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RankTable:
    """What one pass over all scores leaves behind; every metric of an audit follows from it.

    Queries without a relevant passage take part in the language shares only.

    Args:
        query_langs: languages of the queries, sorted; `query_lang` indexes it.
        passage_langs: languages of the passages, sorted; every `language` axis below follows it.
        pool_sizes: passages per language, int64, shape (languages,).
        query_item: item of each query row, shape (queries,).
        query_group: group of each query row, shape (queries,).
        query_lang: int64, shape (queries,).
        pair_query: query row of each pair of a query row and a relevant passage row, int64, shape (pairs,), ascending.
        pair_passage: passage row of each pair, int64, shape (pairs,).
        pair_lang: language of the passage of each pair, int64, shape (pairs,).
        pair_grade: how relevant the passage is, from 1 on, int64, shape (pairs,).
        above: int32, shape (pairs, languages): how many passages of a language outrank the pair's passage.
        top: int32, shape (queries, cut-offs, languages): languages of the first k answers in the pool of all languages.
        cutoffs: the k of `top`.
        about: corpus and encoder as facts for reports.

    """

    query_langs: tuple[str, ...]
    passage_langs: tuple[str, ...]
    pool_sizes: IntArray
    query_item: npt.NDArray[np.object_]
    query_group: npt.NDArray[np.object_]
    query_lang: IntArray
    pair_query: IntArray
    pair_passage: IntArray
    pair_lang: IntArray
    pair_grade: IntArray
    above: npt.NDArray[np.int32]
    top: npt.NDArray[np.int32]
    cutoffs: tuple[int, ...]
    about: dict[str, Any]

    def rank_in_all(self) -> IntArray:
        """Zero-based rank of each pair's passage among all passages, shape (pairs,)."""
        return self.above.sum(axis=1, dtype=np.int64)

    def rank_in_own(self) -> IntArray:
        """Zero-based rank of each pair's passage among the passages of its own language, shape (pairs,)."""
        return self.above[np.arange(len(self.above)), self.pair_lang].astype(np.int64)

    def save(self, folder: Path) -> None:
        """Write `ranks.parquet` (a row a pair) and `queries.parquet` (a row a query), each whole or not at all."""
        pairs: dict[str, Any] = {
            "query_row": self.pair_query,
            "passage_row": self.pair_passage,
            "passage_lang": pa.DictionaryArray.from_arrays(self.pair_lang.astype(np.int32), list(self.passage_langs)),
        }
        if (self.pair_grade != 1).any():
            pairs["grade"] = self.pair_grade
        pairs |= {f"above:{lang}": self.above[:, i] for i, lang in enumerate(self.passage_langs)}
        queries: dict[str, Any] = {
            "item": pa.array(self.query_item, pa.large_string()),
            "group": pa.array(self.query_group, pa.large_string()),
            "lang": pa.DictionaryArray.from_arrays(self.query_lang.astype(np.int32), list(self.query_langs)),
        }
        queries |= {
            f"top{k}:{lang}": self.top[:, c, i]
            for c, k in enumerate(self.cutoffs)
            for i, lang in enumerate(self.passage_langs)
        }
        facts = {"pool_sizes": self.pool_sizes.tolist(), "cutoffs": list(self.cutoffs), "about": self.about}
        for name, columns in (("ranks", pairs), ("queries", queries)):
            table = pa.table(columns).replace_schema_metadata({"babelmix": json.dumps(facts)})
            with replacing_file(folder / f"{name}.parquet") as temporary:
                pq.write_table(table, temporary, compression="zstd")

    @classmethod
    def load(cls, folder: Path) -> RankTable:
        """Read what `save` wrote.

        Raises:
            AuditError: the folder is no audit, or its files are damaged.

        """
        for name in ("ranks.parquet", "queries.parquet"):
            if not (folder / name).is_file():
                raise AuditError(f"{folder}: is not a finished audit (there is no {name}); run  babelmix audit  again")
        try:
            pairs, queries = pq.read_table(folder / "ranks.parquet"), pq.read_table(folder / "queries.parquet")
            facts = json.loads(pairs.schema.metadata[b"babelmix"])
            passage_langs = tuple(n.removeprefix("above:") for n in pairs.column_names if n.startswith("above:"))
            query_lang = queries["lang"].combine_chunks()
            # Parquet may store the dictionary in another order than it was written in.
            names = sorted(query_lang.dictionary.to_pylist())
            index = {name: i for i, name in enumerate(names)}
            columns = [queries[f"top{k}:{lang}"].to_numpy() for k in facts["cutoffs"] for lang in passage_langs]
            top = np.stack(columns, axis=1).reshape(queries.num_rows, len(facts["cutoffs"]), len(passage_langs))
            passage_index = {name: i for i, name in enumerate(passage_langs)}
            return cls(
                query_langs=tuple(names),
                passage_langs=passage_langs,
                pool_sizes=np.array(facts["pool_sizes"], dtype=np.int64),
                query_item=np.array(queries["item"].to_pylist(), dtype=object),
                query_group=np.array(queries["group"].to_pylist(), dtype=object),
                query_lang=np.array([index[name] for name in query_lang.to_pylist()], dtype=np.int64),
                pair_query=pairs["query_row"].to_numpy(),
                pair_passage=pairs["passage_row"].to_numpy(),
                pair_lang=np.array([passage_index[n] for n in pairs["passage_lang"].to_pylist()], dtype=np.int64),
                pair_grade=(
                    pairs["grade"].to_numpy()
                    if "grade" in pairs.column_names
                    else np.ones(pairs.num_rows, dtype=np.int64)
                ),
                above=np.stack([pairs[f"above:{lang}"].to_numpy() for lang in passage_langs], axis=1),
                top=top.astype(np.int32),
                cutoffs=tuple(facts["cutoffs"]),
                about=facts["about"],
            )
        except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
            raise AuditError(
                f"{folder}: the audit's files are damaged ({error}); run  babelmix audit  again"
            ) from error


def relevant_pairs(corpus: Corpus) -> tuple[IntArray, IntArray, IntArray]:
    """All pairs of a query row and a relevant passage row.

    Returns:
        Query rows, passage rows and grades, int64, shape (pairs,), sorted by query row, then passage row.

    """

    def rows(table: pa.Table, item: str, row: str) -> pl.DataFrame:
        return pl.DataFrame({item: pl.from_arrow(table["item"]), row: np.arange(table.num_rows, dtype=np.int64)})

    joined = (
        pl.DataFrame(pl.from_arrow(corpus.qrels))
        .join(rows(corpus.queries, "query_item", "query"), on="query_item")
        .join(rows(corpus.passages, "passage_item", "passage"), on="passage_item")
        .select("query", "passage", "grade")
        .sort("query", "passage")
    )
    query, passage, grade = (joined[name].to_numpy().astype(np.int64) for name in ("query", "passage", "grade"))
    return query, passage, grade


def rank_table(
    corpus: Corpus,
    query_embeddings: npt.NDArray[np.float32],
    passage_embeddings: npt.NDArray[np.float32],
    *,
    similarity: str = "cosine",
    cutoffs: Sequence[int] = SHARE_CUTOFFS,
    about: dict[str, Any] | None = None,
    memory: int = 192 << 20,
) -> RankTable:
    """Score every query against every passage and reduce at once to counts.

    Ties: of two passages with equal scores the one in the lower row of the corpus comes first, as in a stable sort.
    A zero vector has cosine 0 with everything.

    Args:
        corpus: what the embeddings are of.
        query_embeddings: float32, shape (queries, dimension), in row order; may be memory-mapped.
        passage_embeddings: float32, shape (passages, dimension), in row order; may be memory-mapped.
        similarity: `"cosine"` or `"dot"`.
        cutoffs: the k for which the languages of the first k answers are counted.
        about: facts kept with the table.
        memory: bytes that a block of scores may take.

    Raises:
        AuditError: shapes disagree, a value is not finite, or nothing is relevant to anything.

    """
    _check_embeddings(query_embeddings, corpus.queries.num_rows, "query")
    _check_embeddings(passage_embeddings, corpus.passages.num_rows, "passage")
    if query_embeddings.shape[1] != passage_embeddings.shape[1]:
        raise AuditError(
            f"queries have {query_embeddings.shape[1]} dimensions but passages {passage_embeddings.shape[1]}"
        )
    if similarity not in ("cosine", "dot"):
        raise AuditError(f"the similarity {similarity!r} is not supported; use 'cosine' or 'dot'")
    query_langs, query_lang = np.unique(np.array(corpus.queries["lang"].to_pylist()), return_inverse=True)
    passage_langs, passage_lang = np.unique(np.array(corpus.passages["lang"].to_pylist()), return_inverse=True)
    pair_query, pair_passage, pair_grade = relevant_pairs(corpus)
    if len(pair_query) == 0:
        raise AuditError(f"{corpus.name}: no passage is relevant to any query")
    layout = _Layout.of(passage_lang.astype(np.int64), len(passage_langs))
    passages = layout.arrange(passage_embeddings, similarity)
    above = np.empty((len(pair_query), len(passage_langs)), dtype=np.int32)
    top = np.zeros((len(query_lang), len(cutoffs), len(passage_langs)), dtype=np.int32)
    block = int(np.clip(memory // (passages.shape[0] * 6), 8, 256))
    workers = torch.get_num_threads()
    with (
        torch.inference_mode(),
        ThreadPoolExecutor(workers) as threads,
        progress_bar("scoring", len(query_lang), "queries") as bar,
    ):
        scores = torch.empty((block, passages.shape[0]), dtype=torch.float32)
        for first in range(0, len(query_lang), block):
            queries = _scaled(query_embeddings[first : first + block], similarity)
            here = scores[: len(queries)]
            torch.mm(torch.from_numpy(queries), passages.T, out=here)
            grid = here.numpy()
            grid[:, layout.padding] = -np.inf
            # numpy lets go of the interpreter while it compares, so rows are shared out among threads.
            edges = first + np.linspace(0, len(queries), -(-len(queries) // _SHARE) + 1).astype(np.int64)
            bounds = np.searchsorted(pair_query, edges)
            jobs = [
                threads.submit(
                    _count_above, grid[a - first : b - first], pair_query[i:j] - a, pair_passage[i:j], layout
                )
                for a, b, i, j in zip(edges[:-1], edges[1:], bounds[:-1], bounds[1:], strict=True)
            ]
            above[bounds[0] : bounds[-1]] = np.concatenate([job.result() for job in jobs])
            top[first : first + block] = _languages_of_first(here, cutoffs, layout)
            bar.advance(len(queries))
    return RankTable(
        query_langs=tuple(map(str, query_langs)),
        passage_langs=tuple(map(str, passage_langs)),
        pool_sizes=np.bincount(passage_lang, minlength=len(passage_langs)).astype(np.int64),
        query_item=np.array(corpus.queries["item"].to_pylist(), dtype=object),
        query_group=np.array(corpus.queries["group"].to_pylist(), dtype=object),
        query_lang=query_lang.astype(np.int64),
        pair_query=pair_query,
        pair_passage=pair_passage,
        pair_lang=passage_lang[pair_passage].astype(np.int64),
        pair_grade=pair_grade,
        above=above,
        top=top,
        cutoffs=tuple(cutoffs),
        about=about or {},
    )


@dataclass(frozen=True)
class _Layout:
    """Passages ordered by language, each language padded to whole words of bits.

    `row_at[column]` is the corpus row of a column (-1 for padding), `column_of[row]` the reverse, `lang_at[column]` the
    language, and `word_starts` the first word of each language.
    """

    row_at: IntArray
    column_of: IntArray
    lang_at: IntArray
    padding: IntArray
    word_starts: IntArray

    @classmethod
    def of(cls, lang: IntArray, count: int) -> _Layout:
        sizes = np.bincount(lang, minlength=count)
        padded = -(-sizes // _WORD) * _WORD
        starts = np.concatenate([[0], np.cumsum(padded)])
        row_at = np.full(starts[-1], -1, dtype=np.int64)
        order = np.argsort(lang, kind="stable")
        at = 0
        for i in range(count):
            row_at[starts[i] : starts[i] + sizes[i]] = order[at : at + sizes[i]]
            at += sizes[i]
        column_of = np.empty(len(lang), dtype=np.int64)
        column_of[row_at[row_at >= 0]] = np.flatnonzero(row_at >= 0)
        return cls(
            row_at, column_of, np.repeat(np.arange(count), padded), np.flatnonzero(row_at < 0), starts[:-1] // _WORD
        )

    def arrange(self, embeddings: npt.NDArray[np.float32], similarity: str) -> torch.Tensor:
        """The embeddings in column order, scaled, padding zero: float32, shape (columns, dimension)."""
        arranged = np.zeros((len(self.row_at), embeddings.shape[1]), dtype=np.float32)
        for first in range(0, len(self.row_at), 8192):
            rows = self.row_at[first : first + 8192]
            real = rows >= 0
            arranged[first : first + 8192][real] = _scaled(embeddings[rows[real]], similarity)
        return torch.from_numpy(arranged)


def _scaled(vectors: npt.NDArray[np.float32], similarity: str) -> npt.NDArray[np.float32]:
    vectors = np.array(vectors, dtype=np.float32)
    if similarity == "dot":
        return vectors
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=vectors, where=norms > 0)


def _check_embeddings(embeddings: npt.NDArray[np.float32], rows: int, side: str) -> None:
    if embeddings.ndim != 2 or len(embeddings) != rows:
        raise AuditError(f"there are {rows} {side} rows, but embeddings of shape {embeddings.shape}")
    for first in range(0, rows, 65536):
        finite = np.isfinite(embeddings[first : first + 65536]).all(axis=1)
        if not finite.all():
            row = first + int(np.argmin(finite)) + 1
            raise AuditError(
                f"the embedding of {side} row {row} is not finite (NaN or infinity): the encoder is broken"
            )


def _count_above(
    scores: npt.NDArray[np.float32], query: IntArray, passage: IntArray, layout: _Layout
) -> npt.NDArray[np.int32]:
    """For each pair of a block count, per language, the passages that outrank its passage.

    Comparisons are packed to bits and counted a 64-bit word at a time: no sort, and a few passes over the scores.
    """
    counts = np.empty((len(query), len(layout.word_starts)), dtype=np.int32)
    column = layout.column_of[passage]
    own = scores[query, column]
    # The n-th relevant passages of all queries of the block are compared in one pass.
    turn = np.arange(len(query)) - np.searchsorted(query, query)
    mask = np.empty(scores.shape, dtype=np.bool_)
    for n in range(int(turn.max(initial=-1)) + 1):
        mine = np.flatnonzero(turn == n)
        rows, threshold = query[mine], own[mine, None]
        block = scores if len(rows) == len(scores) else scores[rows]
        here = mask[: len(block)]
        outranking = _count_words(np.greater(block, threshold, out=here))
        counts[mine] = np.add.reduceat(outranking, layout.word_starts, axis=1, dtype=np.int32)
        ties = (
            _count_words(np.greater_equal(block, threshold, out=here)).sum(axis=1, dtype=np.int64)
            - counts[mine].sum(axis=1)
            - 1
        )
        for i in np.flatnonzero(ties):
            equal = np.flatnonzero(block[i] == threshold[i])
            lower = equal[layout.row_at[equal] < passage[mine[i]]]
            counts[mine[i]] += np.bincount(layout.lang_at[lower], minlength=counts.shape[1]).astype(np.int32)
    return counts


def _count_words(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Set bits per 64-column word, uint8, shape (rows, columns / 64)."""
    return np.bitwise_count(np.packbits(mask, axis=1).view(np.uint64))


def _languages_of_first(scores: torch.Tensor, cutoffs: Sequence[int], layout: _Layout) -> npt.NDArray[np.int32]:
    """Languages of the first k answers for each k: int32, shape (queries, cut-offs, languages)."""
    languages = len(layout.word_starts)
    real = len(layout.column_of)
    deepest = min(max(cutoffs) + 1, real)
    values, columns = (part.numpy() for part in torch.topk(scores, deepest, dim=1, sorted=True))
    # torch orders equal scores as it likes: where a tie reaches into the first k, sort that row by (score, corpus row).
    for i in np.flatnonzero((values[:, 1:] == values[:, :-1]).any(axis=1)):
        candidates = np.flatnonzero(scores[i].numpy() >= values[i, -1])
        order = np.lexsort((layout.row_at[candidates], -scores[i].numpy()[candidates]))
        columns[i] = candidates[order][:deepest]
    langs = layout.lang_at[columns]
    counts = np.zeros((len(langs), len(cutoffs), languages), dtype=np.int32)
    for c, k in enumerate(cutoffs):
        first = langs[:, : min(k, real)]
        flat = first + languages * np.arange(len(langs))[:, None]
        counts[:, c] = np.bincount(flat.ravel(), minlength=len(langs) * languages).reshape(len(langs), languages)
    return counts
