"""Whether a question in another language finds the same items in ranked lists."""

from __future__ import annotations

import numpy as np

from babelmix.evaluation.agreement import overlap_of_items
from babelmix.evaluation.judged_lists import JudgedLists
from babelmix.evaluation.list_measure import Bounded, floats


def answer_overlap_of_lists(lists: JudgedLists, k: int) -> Bounded:
    """The share of items that a question finds in two languages; see `babelmix.evaluation.agreement.answer_overlap`.

    Passages that are not in the corpus have no item and do not count. If the list of a query or of one of its translations is
    shorter than k, nothing is known about the rest, and the bounds are 0 and 1.
    """
    nothing = np.zeros(0, dtype=np.int64)
    if lists.item is None or lists.query_item is None:
        return floats(nothing, np.zeros(0), np.zeros(0), np.zeros(0))
    here = lists.rank < k
    first = np.full((lists.queries, k), -1, dtype=np.int32)
    first[lists.query[here], lists.rank[here]] = lists.item[here]
    _, lang = np.unique(lists.query_lang.astype(str), return_inverse=True)
    rows, values = overlap_of_items(first, lists.query_item, lang, k)
    is_short = np.bincount(lists.query_item, lists.unknown(k) > 0)[lists.query_item[rows]] > 0
    return floats(rows, values, np.where(is_short, 0, values), np.where(is_short, 1, values))


__all__ = ["answer_overlap_of_lists"]
