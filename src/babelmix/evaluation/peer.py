"""PEER: a test whether relevant passages of all languages have equal expected ranks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from babelmix.errors import ConfigError
from babelmix.evaluation.ranks import IntArray, RankTable, numbered
from babelmix.evaluation.relevant_ranks import RelevantRanks, relevant_ranks

Floats = npt.NDArray[np.float64]


def peer(table: RankTable, *, by_group: bool = False) -> tuple[IntArray, Floats]:
    """PEER (Yang et al. 2024, Language Fairness in Multilingual Information Retrieval, arXiv 2405.00978) of a table.

    The value of a query is the p-value of a Kruskal-Wallis test: do the ranks of its relevant passages differ by language?
    It is computed as `scipy.stats.kruskal` does: ranks in the pool of all languages are ranked again among the tested
    passages; the statistic has a chi-squared distribution with one degree of freedom less than there are languages.
    Passages of one grade are tested together, and the p-values of several grades are averaged. A random ranking has 0.5 on
    average. A ranking that puts some languages before others has a value near 0.

    The authors' package differs in three points. It has a cut-off, and all passages behind the cut-off share one rank; here all
    ranks are known. It uses the ranks in the pool directly in the statistic. It gives 1 to a query whose relevant passages are
    all in one language; here such a query has no value.

    If each language has one relevant passage, the statistic does not depend on the ranks. Such a query has no value either.
    With `by_group` one test covers the queries of one language in one group (page, article), with the ranks of all their
    relevant passages. This is babelmix's extension of the paper, and works on parallel corpora too.

    Args:
        table: the rank table.
        by_group: test the queries of one language and group together.

    Returns:
        Query rows (the first of a group), int64, shape (values,), and values from 0 to 1, float64, shape (values,).

    """
    unit = table.pair_query
    if not by_group and untold_by_peer(relevant_ranks(table)):
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    if by_group:
        key = numbered(table.query_group) * len(table.query_langs) + table.query_lang
        _, unit_of_query = np.unique(key, return_inverse=True)
        unit = unit_of_query[table.pair_query]
    grades = int(table.pair_grade.max(initial=0)) + 1
    tests, test = np.unique(unit * grades + table.pair_grade, return_inverse=True)
    p = kruskal_wallis(test, table.pair_lang, table.rank_in_all())
    known = ~np.isnan(p)
    units, position = np.unique(tests[known] // grades, return_inverse=True)
    values = np.bincount(position, p[known]) / np.bincount(position)
    first = np.full(int(unit.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, unit, table.pair_query)
    query = first[units]
    order = np.argsort(query)
    return query[order], values[order]


def official_peer(relevant: RelevantRanks, k: int, *, weights: Mapping[int, float] | None = None) -> Floats:
    """PEER@k as the authors' package `peer_measure` computes it.

    Relevant passages of one grade are tested together. A passage among the first k has its rank in the pool, from 1. All others
    share the rank (2 M + u + 1) / 2, with u of the M passages of the grade behind k. This rank can be smaller than that of a
    passage that was found. With N = M, H is (N - 1) times the sum of squares between languages over the total sum of squares,
    and p is its chi-squared probability with one degree of freedom less than there are languages. p is 1 if all passages are
    behind k, or if they are in one language. The value of a query is the sum of weight times p over its grades; a grade that the
    query does not have adds 0, as in the package.

    Two cases differ. Equal ranks of all passages, of which one is among the first k, are 0 / 0 in the package and 1 here. The
    package can also weight the wrong passages of the list (grade 0); the ranks of wrong passages are not kept.

    With one relevant passage in each language H is N - 1 for every ranking, so the value depends only on whether anything was
    found, and is larger if nothing was. See `untold_by_peer`.

    Args:
        relevant: the relevant passages.
        k: the cut-off.
        weights: the weight of each grade, which sum to 1; by default all grades of the corpus have the same weight.

    Returns:
        float64, shape (queries,); NaN for a query without a relevant passage.

    Raises:
        ConfigError: the weights do not sum to 1, or grade 0 has one.

    Source:
        Yang et al. 2024, arXiv 2405.00978; github.com/hltcoe/peer_measure.

    """
    grades = np.unique(relevant.grade)
    weights = dict.fromkeys(grades.tolist(), 1 / max(len(grades), 1)) if weights is None else weights
    if not np.isclose(sum(weights.values()), 1) or weights.get(0):
        raise ConfigError("the weights of PEER are for grades from 1 on, and sum to 1")
    weight = np.array([weights.get(grade, 0.0) for grade in grades.tolist()])
    key = relevant.query * len(grades) + np.searchsorted(grades, relevant.grade)
    tests, test = np.unique(key, return_inverse=True)
    rank = relevant.rank + 1.0
    found = rank <= k
    size = np.bincount(test)
    missed = size - np.bincount(test, found, minlength=len(tests))
    rank = np.where(found, rank, ((2 * size + missed + 1) / 2)[test])
    deviation = rank - (np.bincount(test, rank) / size)[test]
    width = int(relevant.lang.max(initial=0)) + 1
    cells, cell = np.unique(test * width + relevant.lang, return_inverse=True)
    test_of_cell = cells // width
    samples = np.bincount(test_of_cell, minlength=len(tests))
    between = np.bincount(test_of_cell, np.bincount(cell, deviation) ** 2 / np.bincount(cell), minlength=len(tests))
    total = np.bincount(test, deviation**2)
    p = np.ones(len(tests))
    usable = (samples > 1) & (missed < size) & (total > 0)
    p[usable] = _chi_squared_tail(samples[usable] - 1, (size[usable] - 1) * between[usable] / total[usable])
    query = tests // len(grades)
    values = np.bincount(query, p * weight[tests % len(grades)], minlength=relevant.queries)
    asked = np.bincount(query, minlength=relevant.queries) > 0
    return np.where(asked, values, np.nan)


def untold_by_peer(relevant: RelevantRanks) -> bool:
    """Whether no query has two relevant passages of one grade in one language, so that PEER cannot tell rankings apart."""
    langs = int(relevant.lang.max(initial=0)) + 1
    width = (int(relevant.grade.max(initial=0)) + 1) * langs
    key = relevant.query * width + relevant.grade * langs + relevant.lang
    # Pairs are ordered by query, which a stable sort makes use of.
    return not (np.diff(np.sort(key, kind="stable")) == 0).any()


UNTOLD = (
    "PEER is left out: no query has two relevant passages in one language, and then PEER has the same value for every ranking "
    "that finds something, and a larger one, 1, for a ranking that finds nothing."
)
"""Why PEER is left out; see `untold_by_peer`."""


def kruskal_wallis(test: IntArray, sample: IntArray, value: IntArray) -> Floats:
    """P-values of many Kruskal-Wallis tests (Kruskal and Wallis 1952), corrected for ties.

    Args:
        test: the test of each value, from 0 on, int64, shape (values,).
        sample: the sample of each value, int64, shape (values,).
        value: the values to compare, shape (values,).

    Returns:
        float64, shape (tests,); NaN if a test has fewer than two samples, no sample with two values, or equal values only.

    """
    order = np.lexsort((value, test))
    test, sample, value = test[order], sample[order], value[order]
    start = np.flatnonzero(np.diff(test, prepend=-1))
    place = np.arange(len(test)) - start[test]
    # Equal values share the mean of their places.
    run = np.cumsum((np.diff(test, prepend=-1) != 0) | (np.diff(value, prepend=0) != 0)) - 1
    place = (np.bincount(run, place) / np.bincount(run))[run]
    size = np.bincount(test)
    deviation = place - (size[test] - 1) / 2
    most = int(sample.max(initial=0)) + 1
    cells, cell = np.unique(test * most + sample, return_inverse=True)
    in_cell, test_of_cell = np.bincount(cell), cells // most
    samples = np.bincount(test_of_cell, minlength=len(size))
    between = np.bincount(test_of_cell, np.bincount(cell, deviation) ** 2 / in_cell, minlength=len(size))
    total = np.bincount(test, deviation**2)
    usable = (samples > 1) & (samples < size) & (total > 0)
    p = np.full(len(size), np.nan)
    p[usable] = _chi_squared_tail(samples[usable] - 1, (size[usable] - 1) * between[usable] / total[usable])
    return p


def _chi_squared_tail(degrees: IntArray, statistic: Floats) -> Floats:
    """The probability that a chi-squared variable is at least this large."""
    # `chi2.sf` of scipy.stats, which takes a second to import. Reading a finished audit does not need scipy at all.
    from scipy.special import chdtrc

    return np.asarray(chdtrc(degrees, statistic), dtype=np.float64)
