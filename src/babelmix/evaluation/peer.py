"""PEER: a test whether relevant passages of all languages have equal expected ranks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from babelmix.evaluation.ranks import IntArray, RankTable, numbered

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
    p[usable] = chi2.sf((size[usable] - 1) * between[usable] / total[usable], samples[usable] - 1)
    return p
