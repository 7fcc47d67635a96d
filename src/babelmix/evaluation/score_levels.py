"""Score levels: whether a score means the same in every language, so that one threshold fits all.

Ranks within one language do not show this. A threshold ("similar enough") and lists merged from several searches need scores
that mean the same in all languages. In metric learning, the opposite is called threshold inconsistency: the error rates at one
threshold differ between classes (Zhang et al., ICLR 2024, arXiv 2307.04047). Here the classes are languages.
`babelmix.search.calibration` adjusts the scores of an index.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies
from babelmix.evaluation.chunks import ReadRows
from babelmix.evaluation.matrix import Matrix
from babelmix.evaluation.ranks import IntArray, RankTable, excluded_pairs

SAMPLE = 1000
"""The largest sample of relevant pairs, and of irrelevant ones, of one query language and one passage language."""

PAIRS = 200_000
"""The largest sample of all languages together."""

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

PASSING = 0.01
"""Languages are compared at the threshold that this share of all irrelevant pairs exceeds."""

_ENUMERATED = 16
"""Up to this many times the sample size, all pairs of a cell are listed. From larger cells, pairs are drawn at random."""

Floats = npt.NDArray[np.float64]


def score_levels(
    table: RankTable,
    corpus: Corpus,
    queries: Matrix,
    passages: Matrix,
    *,
    similarity: str = "cosine",
    sample: int = SAMPLE,
    limit: int = PAIRS,
    seed: int = 0,
    copies: Copies = "wrong",
) -> dict[str, Any] | None:
    """Measure how scores are distributed in each language, and the cost of one threshold for all languages.

    A cell is a query language with a passage language. From each cell, up to `sample` relevant and as many irrelevant pairs are
    drawn without replacement; a smaller cell is taken whole. The sample depends on the seed and the corpus only, so that every
    encoder is measured on the same pairs. When cells are combined, each counts the same.

    Languages are those of the passages; if all passages are of one language (pictures), those of the queries. Let m_l and v_l be
    the mean and the variance of the scores of irrelevant pairs in language l, and s^2 the mean of v_l over languages.

    - `uneven`: the standard deviation of m_l over languages, divided by s (Cohen's f, 1988); 0 if all m_l are equal.
    - `shift` of a language: its 0.99 quantile of irrelevant scores, minus the mean of these quantiles over languages, divided
      by s.
    - `passing` of a language: the share of its irrelevant pairs above one common threshold, which 1 % of all pairs exceed.
    - `auc`: the probability that a relevant pair has a higher score than an irrelevant one (a tie counts half): for pairs of
      any languages (`one_threshold`), within one language (`each_language`) and within one cell (`each_pair`). The latter two
      are means over languages and cells. How much they exceed `one_threshold` is the cost of one threshold for all.

    Args:
        table: the rank table of the corpus.
        corpus: the corpus of the embeddings.
        queries: floating, shape (queries, dimension), in row order; may be memory-mapped.
        passages: floating, shape (passages, dimension), in row order; may be memory-mapped.
        similarity: `"cosine"` or `"dot"`.
        sample: the largest number of relevant pairs, and of irrelevant ones, of a cell.
        limit: the largest number over all cells together; with many cells, the sample of each cell is smaller.
        seed: the seed of the sample.
        copies: see `babelmix.evaluation.scoring.rank_table`. An excluded passage is neither relevant nor irrelevant.

    Returns:
        JSON-serialisable values: `side` (`queries` or `passages`: the side whose languages are compared), `sample` (the largest
        sample of a cell), `seed`, `quantiles` (the shares), `std` (s), `uneven`, `uneven_pairs` (like `uneven`, over cells),
        `auc`, `langs` (for each language `irrelevant` and `relevant`, both with `pairs`, `mean`, `std` and `quantiles`; and
        `shift`, `passing`, `auc`) and `pairs` (for each `query language > passage language` the means `irrelevant` and
        `relevant`, and `auc`). A value for which there is no pair is None. The whole result is None if there is only one
        language, no relevant pair, or no irrelevant pair.

    Raises:
        NotFiniteError: an embedding is not finite.

    """
    # Without labels nothing is known to be irrelevant.
    if max(len(table.passage_langs), len(table.query_langs)) < 2 or not len(table.pair_query):
        return None
    names = [(query, passage) for query in table.query_langs for passage in table.passage_langs]
    count = max(min(sample, limit // len(names)), 1)
    drawn = list(_drawn(table, corpus, names, count, seed, copies))
    asked, found = (
        ReadRows.of(embeddings, (pairs[row] for cell in drawn for pairs in cell), side, similarity)
        for row, (embeddings, side) in enumerate(((queries, "query"), (passages, "passage")))
    )
    cells = [(_scored(asked, found, irrelevant), _scored(asked, found, relevant)) for irrelevant, relevant in drawn]
    side = int(len(table.passage_langs) > 1)
    langs = {
        lang: _Cells([cell for name, cell in zip(names, cells, strict=True) if name[side] == lang])
        for lang in (table.query_langs, table.passage_langs)[side]
    }
    together, apart = _Cells(cells), [_Cells([cell]) for cell in cells]
    if not len(together.irrelevant):
        return None
    std, uneven = _uneven(langs.values())
    threshold = together.irrelevant.quantile(1 - PASSING)
    level = _mean(one.irrelevant.quantile(1 - PASSING) for one in langs.values())
    return {
        "side": ("queries", "passages")[side],
        "sample": count,
        "seed": seed,
        "quantiles": list(QUANTILES),
        "std": std,
        "uneven": uneven,
        "uneven_pairs": _uneven(apart)[1],
        "auc": {
            "one_threshold": together.auc(),
            "each_language": _mean(one.auc() for one in langs.values()),
            "each_pair": _mean(one.auc() for one in apart),
        },
        "langs": {
            lang: {
                "irrelevant": one.irrelevant.described(),
                "relevant": one.relevant.described(),
                "shift": _over(one.irrelevant.quantile(1 - PASSING), level, std),
                "passing": one.irrelevant.above(threshold),
                "auc": one.auc(),
            }
            for lang, one in langs.items()
        },
        "pairs": {
            " > ".join(name): {"irrelevant": one.irrelevant.mean, "relevant": one.relevant.mean, "auc": one.auc()}
            for name, one in zip(names, apart, strict=True)
        },
    }


@dataclass(frozen=True, eq=False)
class _Sample:
    """Scores in ascending order, float64, shape (pairs,), and their weights, which sum to 1."""

    values: Floats
    weights: Floats

    @classmethod
    def of(cls, parts: Iterable[Floats]) -> _Sample:
        """Combine parts; each part has the same weight."""
        some = [part for part in parts if len(part)]
        values = np.concatenate([*some, np.empty(0)])
        weights = np.concatenate([*(np.full(len(part), 1 / len(part) / len(some)) for part in some), np.empty(0)])
        order = np.argsort(values)
        return cls(values[order], weights[order])

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def mean(self) -> float | None:
        return float(self.weights @ self.values) if len(self) else None

    @cached_property
    def _edges(self) -> Floats:
        return np.cumsum(self.weights)

    def quantile(self, share: float) -> float | None:
        """The lowest score such that at least this share of the weight is not above it."""
        if not len(self):
            return None
        # The small number keeps a share that is exactly on an edge on it, in spite of rounding.
        place = int(np.searchsorted(self._edges, share - 1e-9))
        return float(self.values[min(place, len(self) - 1)])

    def above(self, threshold: float | None) -> float | None:
        """The share of the weight above a score."""
        if threshold is None or not len(self):
            return None
        return float(self.weights[np.searchsorted(self.values, threshold, side="right") :].sum())

    def described(self) -> dict[str, Any] | None:
        if self.mean is None:
            return None
        std = float(self.weights @ (self.values - self.mean) ** 2) ** 0.5
        return {"pairs": len(self), "mean": self.mean, "std": std, "quantiles": list(map(self.quantile, QUANTILES))}

    def share_below(self, values: Floats) -> Floats:
        """The share of the weight below each value, plus half of the share equal to it; shape (values,)."""
        edges = np.concatenate([[0.0], self._edges])
        return (edges[np.searchsorted(self.values, values)] + edges[np.searchsorted(self.values, values, "right")]) / 2


class _Cells:
    """Several cells combined. A cell has the scores of its irrelevant pairs and the scores of its relevant pairs."""

    def __init__(self, cells: Sequence[tuple[Floats, Floats]]) -> None:
        self._whole = [cell for cell in cells if len(cell[0]) and len(cell[1])]
        self.irrelevant, self.relevant = (_Sample.of(cell[sort] for cell in cells) for sort in (0, 1))

    def auc(self) -> float | None:
        """The AUC over the cells that have pairs of both sorts; None if there is none."""
        if not self._whole:
            return None
        irrelevant, relevant = (_Sample.of(cell[sort] for cell in self._whole) for sort in (0, 1))
        return min(float(relevant.weights @ irrelevant.share_below(relevant.values)), 1.0)


def _uneven(parts: Iterable[_Cells]) -> tuple[float, float]:
    """The standard deviation within parts, and the standard deviation of their means divided by it."""
    some = [part.irrelevant for part in parts if len(part.irrelevant)]
    means = [float(one.weights @ one.values) for one in some]
    within = [float(one.weights @ (one.values - mean) ** 2) for one, mean in zip(some, means, strict=True)]
    std = float(np.mean(within)) ** 0.5
    # If all scores are equal, rounding must not make the deviation positive.
    std = std if std > 1e-9 * max(map(abs, means)) else 0.0
    return std, float(np.std(means)) / std if std > 0 else 0.0


def _mean(values: Iterable[float | None]) -> float | None:
    some = [value for value in values if value is not None]
    return float(np.mean(some)) if some else None


def _over(value: float | None, level: float | None, std: float) -> float | None:
    if value is None or level is None:
        return None
    return (value - level) / std if std > 0 else 0.0


def _drawn(
    table: RankTable, corpus: Corpus, names: Sequence[tuple[str, str]], count: int, seed: int, copies: Copies
) -> Iterator[tuple[IntArray, IntArray]]:
    """For each cell, irrelevant and relevant pairs: query rows and passage rows, int64, shape (2, pairs)."""
    query_rows = _rows_by_language(table.query_lang, len(table.query_langs))
    passage_lang = pl.Series(corpus.passages["lang"].to_pylist(), dtype=pl.Enum(table.passage_langs)).to_physical()
    passage_rows = _rows_by_language(passage_lang.to_numpy().astype(np.int64), len(table.passage_langs))
    pairs = _rows_by_language(
        table.query_lang[table.pair_query] * len(table.passage_langs) + table.pair_lang, len(names)
    )
    out_query, out_passage = excluded_pairs(corpus, copies=copies)
    judged = np.concatenate([table.pair_query, out_query]), np.concatenate([table.pair_passage, out_passage])
    known = np.sort(judged[0] * corpus.passages.num_rows + judged[1])
    for number, name in enumerate(names):
        rng = np.random.default_rng([seed, zlib.crc32(" > ".join(name).encode())])
        queries, passages = (
            rows[at]
            for rows, at in zip((query_rows, passage_rows), divmod(number, len(table.passage_langs)), strict=True)
        )
        relevant = _some(pairs[number], count, rng)
        size = len(queries) * len(passages)
        place = np.arange(size) if size <= _ENUMERATED * count else _distinct(rng.integers(0, size, size=4 * count))
        query, passage = queries[place // len(passages)], passages[place % len(passages)]
        key = query * corpus.passages.num_rows + passage
        found = known[np.minimum(np.searchsorted(known, key), len(known) - 1)] == key
        kept = _some(np.flatnonzero(~found), count, rng)
        yield (
            np.stack([query[kept], passage[kept]]),
            np.stack([table.pair_query[relevant], table.pair_passage[relevant]]),
        )


def _rows_by_language(lang: IntArray, langs: int) -> list[IntArray]:
    """The rows of each language, in ascending order."""
    return np.split(np.argsort(lang, kind="stable"), np.cumsum(np.bincount(lang, minlength=langs))[:-1])


def _distinct(values: IntArray) -> IntArray:
    """The distinct values, ascending. For a few thousand numbers this is faster than `numpy.unique`."""
    ordered = np.sort(values)
    return ordered[np.diff(ordered, prepend=ordered[0] - 1) > 0]


def _some(values: IntArray, count: int, rng: np.random.Generator) -> IntArray:
    """At most `count` of the values, drawn uniformly, in their order."""
    return values if len(values) <= count else values[np.sort(rng.choice(len(values), count, replace=False))]


def _scored(queries: ReadRows, passages: ReadRows, pairs: IntArray) -> Floats:
    """Scores of pairs of a query row and a passage row, float64, shape (pairs,)."""
    return np.einsum("ij,ij->i", queries[pairs[0]], passages[pairs[1]]).astype(np.float64)
