"""Mean rank correlation: whether a question in another language ranks the same answers in the same order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from babelmix.evaluation.ranks import IntArray, RankTable, numbered


def rank_correlation(table: RankTable) -> tuple[IntArray, npt.NDArray[np.float64]]:
    """Mean rank correlation (after MRC of arXiv 2509.06195) over the relevant passages.

    Take a query q of item i, and the queries q' of the same item in other languages. The value of q is the mean over q' of
    Spearman's correlation between the ranks that q and q' give to the relevant passages of i, in the pool of all languages.
    1: the language of the question does not matter. 0: the two orders are unrelated. Below 0: the orders are opposed, for
    example because each question ranks passages in its own language first. The paper correlates the ranks of *all* passages,
    which needs all scores. A rank table has the ranks of the relevant passages only.

    An item with one relevant passage, or with queries in one language only, has no value. With two relevant passages a
    correlation is 1 or -1.

    Args:
        table: the rank table.

    Returns:
        Query rows, int64, shape (values,), and values from -1 to 1, float64, shape (values,).

    """
    item_of_query = numbered(table.query_item)
    query, passage = table.pair_query, table.pair_passage
    order = np.lexsort((table.rank_in_all(), query))
    start = np.flatnonzero(np.diff(query[order], prepend=-1))
    number = np.cumsum(np.diff(query[order], prepend=-1) != 0) - 1
    size = np.bincount(number)[number]
    # Ranks are distinct, so places are 0..n-1, and their squared deviations sum to n (n^2 - 1) / 12.
    deviation = np.arange(len(order)) - start[number] - (size - 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.empty(len(order))
        scaled[order] = np.where(size > 1, deviation / np.sqrt(size * (size.astype(float) ** 2 - 1) / 12), np.nan)
    item, lang = item_of_query[query], table.query_lang[query]
    of_item = _summed(scaled, item, passage)
    of_lang = _summed(scaled, item * len(table.query_langs) + lang, passage)
    asked = np.unique(query)
    _, per_item = np.unique(item_of_query[asked], return_inverse=True)
    key = item_of_query[asked] * len(table.query_langs) + table.query_lang[asked]
    _, per_lang = np.unique(key, return_inverse=True)
    others = np.bincount(per_item)[per_item] - np.bincount(per_lang)[per_lang]
    # The mean of the products with other queries is the product with their mean.
    products = np.bincount(np.searchsorted(asked, query), scaled * (of_item - of_lang), minlength=len(asked))
    known = (others > 0) & ~np.isnan(products)
    return asked[known], products[known] / others[known]


def _summed(values: npt.NDArray[np.float64], key: IntArray, passage: IntArray) -> npt.NDArray[np.float64]:
    """For each pair, the sum over all pairs with the same key and passage, shape (pairs,)."""
    _, position = np.unique(key * (int(passage.max(initial=0)) + 1) + passage, return_inverse=True)
    return np.bincount(position, values)[position].astype(np.float64)
