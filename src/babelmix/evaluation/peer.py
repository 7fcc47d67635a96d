"""PEER: the probability that relevant passages of all languages have equal expected ranks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from babelmix.evaluation.ranks import IntArray, RankTable, numbered

Floats = npt.NDArray[np.float64]


def peer(table: RankTable, *, by_group: bool = False) -> tuple[IntArray, Floats]:
    """PEER (Yang et al. 2024, Language Fairness in Multilingual Information Retrieval, arXiv 2405.00978) of a table.

    For a query, the p-value of a Kruskal-Wallis test whether the ranks of its relevant passages differ by their language,
    as `scipy.stats.kruskal` computes it: ranks in the pool of all languages, ranked again among the passages tested,
    chi-squared with a degree of freedom less than there are languages. Passages of one grade are tested with each other,
    and p-values of several grades averaged, all alike. A ranking that is fair by chance has 0.5 on average, a ranking in
    which the languages lie apart is near 0.

    This is not quite the authors' package: there ranks have a cut-off, behind which all passages share a rank, while here
    all ranks are known; there places in the ranking stand in the statistic as they are; and there a query whose relevant
    passages are of one language has 1, while here it has no value.

    Where each language has one relevant passage, the statistic is the same whatever the ranks are. Such a query has no
    value either. `by_group` makes one test of the queries of one language in one group (page, article), with the ranks
    of all their relevant passages: that is ours, not the paper's, and says something about parallel corpora too.

    Args:
        table: the rank table.
        by_group: test the queries of one language and group together.

    Returns:
        Query rows (of a group its first), int64, shape (values,), and values from 0 to 1, float64, shape (values,).

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
    """P-values of many Kruskal-Wallis tests (Kruskal and Wallis 1952), ties corrected for.

    Args:
        test: which test a value is part of, from 0 on, int64, shape (values,).
        sample: the sample a value is of, int64, shape (values,).
        value: what is compared, shape (values,).

    Returns:
        float64, shape (tests,); NaN where there are not two samples, where no sample has two values, or where all values
        are equal.

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
