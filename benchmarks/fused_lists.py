"""Ranked lists and BM25 for all queries of a corpus at once, as an index computes them; `words.py` measures with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import qdrant_edge
from scipy import sparse

from babelmix.corpus import Corpus
from babelmix.evaluation import Measure
from babelmix.search.applying import RRF
from babelmix.search.engines.edge_rows import LAYOUT, EdgeRows
from babelmix.search.merging import DEEPER

K = 20
"""The passages of a list that are judged."""
DEPTH = DEEPER * K
"""The passages of a list that is fused."""
METRICS = ("mAP@20", "same-language recall@10", "other-language recall@10", "nDCG@10")

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Data:
    """The corpus as arrays.

    Args:
        queries: int64, shape (queries,): the language of each query.
        passages: int64, shape (passages,): the language of each passage.
        relevant: bool, shape (queries, passages), as a sparse matrix.
        own: the relevant passages of each query in its language, and `others`, their numbers.
        group: the article of each query.
        order: a random number of each passage, to break ties as an index does by its random ids.

    """

    langs: tuple[str, ...]
    queries: Integers
    passages: Integers
    relevant: sparse.csr_matrix
    group: Integers
    order: Integers

    @classmethod
    def of(cls, corpus: Corpus) -> Data:
        """The arrays of a corpus."""
        langs = corpus.langs
        numbers = {lang: i for i, lang in enumerate(langs)}
        rows: dict[str, list[int]] = {}
        for row, item in enumerate(corpus.passages["item"].to_pylist()):
            rows.setdefault(item, []).append(row)
        answers: dict[str, list[int]] = {}
        for query, item in zip(
            corpus.qrels["query_item"].to_pylist(), corpus.qrels["passage_item"].to_pylist(), strict=True
        ):
            answers.setdefault(query, []).extend(rows[item])
        items = corpus.queries["item"].to_pylist()
        columns = [answers[item] for item in items]
        relevant = sparse.csr_matrix(
            (np.ones(sum(map(len, columns)), dtype=bool), np.concatenate(columns), np.cumsum([0, *map(len, columns)])),
            shape=(len(items), corpus.passages.num_rows),
        )
        _, group = np.unique(corpus.queries["group"].to_pylist(), return_inverse=True)
        return cls(
            langs, np.array([numbers[lang] for lang in corpus.queries["lang"].to_pylist()]),
            np.array([numbers[lang] for lang in corpus.passages["lang"].to_pylist()]), relevant, group,
            np.random.default_rng(0).permutation(corpus.passages.num_rows),
        )  # fmt: skip

    def of_passages(self, rows: Integers) -> Data:
        """The same questions, in a pool of some passages."""
        return Data(
            self.langs, self.queries, self.passages[rows], self.relevant[:, rows], self.group, self.order[rows]
        )


def bm25(asked: Sequence[str], texts: Sequence[str]) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """BM25 as an index in a folder computes it: the words of queries with their IDF, and the weights of those of passages."""
    rows = EdgeRows(qdrant_edge, LAYOUT)
    made = []
    for some, query in ((asked, True), (texts, False)):
        found = [rows.weights(text, query=query) for text in some]
        ends = np.cumsum([0, *(len(one.indices) for one in found)])
        made.append(
            (np.concatenate([one.values for one in found]), np.concatenate([one.indices for one in found]), ends)
        )
    _, numbers = np.unique(np.concatenate([made[0][1], made[1][1]]), return_inverse=True)
    width, cut = int(numbers.max()) + 1, len(made[0][1])
    queries = sparse.csr_matrix((made[0][0], numbers[:cut], made[0][2]), shape=(len(asked), width))
    passages = sparse.csr_matrix((made[1][0], numbers[cut:], made[1][2]), shape=(len(texts), width))
    count = np.bincount(numbers[cut:], minlength=width)
    idf = np.log1p((passages.shape[0] - count + 0.5) / (count + 0.5))
    return (queries @ sparse.diags(idf)).tocsr(), passages


def first(scores: Floats, depth: int, order: Integers) -> Integers:
    """The numbers of the best passages of each query, best first; -1 where no score is above minus infinity."""
    some = np.argpartition(-scores, depth, axis=1)[:, :depth]
    values = np.take_along_axis(scores, some, axis=1)
    by = np.lexsort((order[some], -values), axis=1)
    found = np.take_along_axis(some, by, axis=1)
    return np.where(np.isfinite(np.take_along_axis(values, by, axis=1)), found, -1)


def ranked(queries: Floats, passages: Floats, data: Data, policy: str) -> Integers:
    """The first `DEPTH` passages of each query under a policy, int64, shape (queries, DEPTH)."""
    found = []
    for start in range(0, len(queries), 1000):
        scores = queries[start : start + 1000] @ passages.T
        if policy == "equal":
            scores = by_rank(scores, data)
        if policy == "balanced":
            for lang in range(len(data.langs)):
                own = np.flatnonzero(data.passages == lang)
                part = scores[:, own]
                scores[:, own] = (part - part.mean(axis=1, keepdims=True)) / part.std(axis=1, keepdims=True)
        found.append(first(scores, DEPTH, data.order))
    return np.concatenate(found)


@dataclass(frozen=True, eq=False)
class Found:
    """What BM25 finds.

    Args:
        lists: the first `DEPTH` passages of each query, int64, shape (queries, DEPTH); -1 behind the last that has a word of it.
        equal: the same with equal numbers of each language, fused by rank.
        covered: how much of the query's words, by IDF, the best passage has, 0 to 1.

    """

    lists: Integers
    equal: Integers
    covered: npt.NDArray[np.float64]

    @classmethod
    def of(cls, corpus: Corpus, data: Data) -> Found:
        """Search for all queries of a corpus."""
        queries, passages = bm25(corpus.queries["text"].to_pylist(), corpus.passages["text"].to_pylist())
        lists, equal = [], []
        for start in range(0, queries.shape[0], 1000):
            scores = (queries[start : start + 1000] @ passages.T).toarray().astype(np.float32)
            scores = np.where(scores > 0, scores, -np.inf)
            lists.append(first(scores, DEPTH, data.order))
            equal.append(first(by_rank(scores, data), DEPTH, data.order))
        found = np.concatenate(lists)
        best = passages[np.maximum(found[:, 0], 0)]
        shared = np.asarray(queries.multiply(best > 0).sum(axis=1)).ravel()
        covered = np.where(found[:, 0] >= 0, shared / np.maximum(np.asarray(queries.sum(axis=1)).ravel(), 1e-9), 0)
        return cls(found, np.concatenate(equal), covered)


def by_rank(scores: Floats, data: Data) -> Floats:
    """Scores that order passages by their rank within their language, and by score within a rank."""
    found = np.full_like(scores, -np.inf)
    for lang in range(len(data.langs)):
        own = np.flatnonzero(data.passages == lang)
        part = scores[:, own]
        count = min(len(own), DEPTH // len(data.langs) + 2)
        best = np.argpartition(-part, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(part, best, axis=1)
        by = np.argsort(-values, axis=1)
        kept = np.take_along_axis(values, by, axis=1) - 1000 * np.arange(count, dtype=np.float32)
        np.put_along_axis(found, own[np.take_along_axis(best, by, axis=1)], kept, axis=1)
    return found


@dataclass(frozen=True, eq=False)
class Pair:
    """Two lists of each query, and what they share; see `babelmix.search.fusion`.

    Args:
        both: the passages of the list of vectors, then those of the list of words, int64, shape (queries, 2 DEPTH).
        dense: their scores by the list of vectors.
        words: their scores by the list of words; of a passage that is in both lists, the first has them.

    """

    both: Integers
    dense: Floats
    words: Floats

    @classmethod
    def of(cls, dense: Integers, words: Integers) -> Pair:
        """Find what the lists share."""
        places = (1 / (RRF + np.arange(1, DEPTH + 1))).astype(np.float32)
        of_words, alone = [], []
        for start in range(0, len(dense), 500):
            one, two = dense[start : start + 500], words[start : start + 500]
            same = (one[:, :, None] == two[:, None, :]) & (one[:, :, None] >= 0)
            of_words.append(same.astype(np.float32) @ places)
            alone.append((two >= 0) & ~same.any(axis=1))
        nothing = np.zeros(dense.shape, dtype=np.float32)
        first_scores = np.where(dense >= 0, places, -np.inf).astype(np.float32)
        words_scores = np.where(np.concatenate(alone), places, -np.inf).astype(np.float32)
        return cls(
            np.concatenate([dense, words], axis=1), np.concatenate([first_scores, nothing], axis=1),
            np.concatenate([np.concatenate(of_words), words_scores], axis=1),
        )  # fmt: skip

    def fused(self, weight: Floats | float, data: Data) -> Integers:
        """Weighted reciprocal rank fusion, the first K passages, int64, shape (queries, K)."""
        share = np.broadcast_to(np.asarray(weight, dtype=float), (len(self.both),))[:, None]
        with np.errstate(invalid="ignore"):
            scores = self.dense + np.where(share > 0, share * self.words, np.where(self.dense == 0, -np.inf, 0))
        # Ties are broken at random, always in the same way: the scores of neighbouring places differ by far more.
        scores += 1e-12 * data.order[self.both]
        best = np.argpartition(-scores, K, axis=1)[:, :K]
        by = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        return np.take_along_axis(self.both, np.take_along_axis(best, by, axis=1), axis=1)


def measured(lists: Integers, data: Data, rows: Integers | None = None) -> dict[str, Measure]:
    """The metrics of lists of K passages, of some queries."""
    some = np.arange(len(lists)) if rows is None else rows
    lists, queries = lists[some], data.queries[some]
    hit = np.zeros(lists.shape, dtype=bool)
    for place in range(lists.shape[1]):
        hit[:, place] = np.asarray(data.relevant[some, lists[:, place]]).ravel()
    relevant = data.relevant[some]
    total = np.asarray(relevant.sum(axis=1)).ravel()
    own = np.array([
        (data.passages[relevant.indices[relevant.indptr[i] : relevant.indptr[i + 1]]] == queries[i]).sum()
        for i in range(len(some))
    ])  # fmt: skip
    same = data.passages[lists] == queries[:, None]
    precision = hit.cumsum(axis=1) / np.arange(1, K + 1)
    gain = 1 / np.log2(np.arange(2, 12))
    ideal = np.concatenate([[0], gain.cumsum()])[np.minimum(total, 10)]
    values = {
        "mAP@20": (precision * hit).sum(axis=1) / np.minimum(total, K),
        "same-language recall@10": (hit & same)[:, :10].sum(axis=1) / np.maximum(own, 1),
        "other-language recall@10": (hit & ~same)[:, :10].sum(axis=1) / np.maximum(np.minimum(total - own, 10), 1),
        "nDCG@10": (hit[:, :10] * gain).sum(axis=1) / ideal,
    }
    there = dict.fromkeys(METRICS, total > 0)
    there |= {"same-language recall@10": own > 0, "other-language recall@10": total > own}
    return {
        name: Measure("multi", name, data.langs, queries[keep], data.group[some][keep], values[name][keep])
        for name, keep in there.items()
    }
