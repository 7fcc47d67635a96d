"""The first answers of queries, and excluded passages, as the counts that a rank table keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from babelmix.corpus import Corpus
from babelmix.evaluation.ranks import IntArray, numbered


def languages_of_first(langs: IntArray, cutoffs: Sequence[int], languages: int) -> npt.NDArray[np.int32]:
    """How many of the first k answers are in each language: int32, shape (queries, cut-offs, languages).

    Args:
        langs: language of each answer in rank order, -1 for none, int64, shape (queries, depth).
        cutoffs: the k.
        languages: the number of languages.

    """
    counts = np.zeros((len(langs), len(cutoffs), languages), dtype=np.int32)
    flat = langs + languages * np.arange(len(langs))[:, None]
    for c, k in enumerate(cutoffs):
        there = flat[:, :k][langs[:, :k] >= 0]
        counts[:, c] = np.bincount(there, minlength=langs.shape[0] * languages).reshape(-1, languages)
    return counts


def items_of_first(corpus: Corpus, first: IntArray) -> npt.NDArray[np.int32]:
    """A number for the item of each of the first answers, -1 for none, int32, shape (queries, depth)."""
    rows, place = np.unique(first[first >= 0], return_inverse=True)
    items = numbered(np.array(corpus.passages["item"].take(pa.array(rows)).to_pylist(), dtype=object))
    found = np.full(first.shape, -1, dtype=np.int32)
    found[first >= 0] = items[place]
    return found


def excluded_counts(query: IntArray, lang: IntArray, shape: tuple[int, int]) -> npt.NDArray[np.int32] | None:
    """The number of excluded passages by query and language; None if there are none."""
    if not len(query):
        return None
    counts = np.zeros(shape, dtype=np.int32)
    np.add.at(counts, (query, lang), 1)
    return counts


__all__ = ["excluded_counts", "items_of_first", "languages_of_first"]
