"""`offsets`: move each language by the mean difference to its translations (SHIFT).

The offset of a language is the mean, over texts that exist in this language and in the pivot, of the difference of their vectors.
Topic cancels out, because both texts of a difference say the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from babelmix.encoders.removal import Array, Embedded, Removal, RemovalMethod, RemovalOptions
from babelmix.encoders.removal.by_language import means, removal_by_language
from babelmix.errors import EncoderError

Integers = npt.NDArray[np.int64]

MEAN = "mean"
"""The pivot that is the mean of all languages."""

LEAST_PAIRS = 20
"""The fewest translations from which the offset of a language is computed."""


def mean_differences(
    vectors: Array, lang: Integers, item: Integers, pivot: int | None, names: tuple[str, ...]
) -> Array:
    """The mean difference of each language to the pivot, over the items that both have.

    With the mean of languages as the pivot, the differences of all pairs of languages are fitted together by least squares with
    an effect for each item, so that languages may lack items.

    Args:
        vectors: of one kind, shape (texts, dimension).
        lang: numbers of languages, shape (texts,).
        item: numbers of items, shape (texts,).
        pivot: the number of a language; None: the mean of all languages.
        names: the languages, for messages.

    Returns:
        Shape (languages, dimension).

    Raises:
        EncoderError: a language shares fewer than `LEAST_PAIRS` items with the pivot, or with the other languages.

    """
    langs = len(names)
    _, item = np.unique(item, return_inverse=True)
    cells = np.zeros((langs, item.max() + 1), dtype=bool)
    cells[lang, item] = True
    sums = np.zeros((langs, item.max() + 1, vectors.shape[1]))
    counts = np.zeros(cells.shape)
    np.add.at(sums, (lang, item), vectors)
    np.add.at(counts, (lang, item), 1)
    values = sums / np.maximum(counts, 1)[..., None]
    found = np.zeros((langs, vectors.shape[1]))
    if pivot is not None:
        for one in range(langs):
            both = cells[one] & cells[pivot]
            check_pairs(int(both.sum()), names[one], f"with {names[pivot]}")
            found[one] = (values[one, both] - values[pivot, both]).mean(axis=0)
        return found
    useful = cells.sum(axis=0) >= 2
    cells, values = cells[:, useful], values[:, useful]
    for one in range(langs):
        check_pairs(int(cells[one].sum()), names[one], "with the other languages")
    # Normal equations of value = effect of language + effect of item, where the effects of languages sum to zero.
    share = cells / cells.sum(axis=0)
    normal = np.diag(cells.sum(axis=1)) - share @ cells.T.astype(float)
    centred = values - (values * cells[..., None]).sum(axis=0) / cells.sum(axis=0)[:, None]
    right = (centred * cells[..., None]).sum(axis=1)
    return np.linalg.lstsq(normal + np.ones((langs, langs)) / langs, right, rcond=None)[0]


def number_of_pivot(pivot: str, langs: tuple[str, ...]) -> int | None:
    """The number of the pivot among the languages; None: the mean of all.

    Raises:
        EncoderError: the pivot is not among the languages.

    """
    if pivot != MEAN and pivot not in langs:
        raise EncoderError(f"the pivot {pivot!r} is not among the languages {', '.join(langs)}")
    return None if pivot == MEAN else langs.index(pivot)


def fit(embedded: Embedded, options: RemovalOptions) -> Removal:
    """Fit the offsets of each kind; see `mean_differences`.

    Raises:
        EncoderError: there are no translations, too few, or the pivot is not among the languages.

    """
    assert embedded.item is not None
    pivot = number_of_pivot(options.pivot, embedded.langs)
    found = []
    for kind in range(embedded.kind.max() + 1):
        some = embedded.kind == kind
        found.append(
            mean_differences(embedded.vectors[some], embedded.lang[some], embedded.item[some], pivot, embedded.langs)
        )
    centre = options.centre or 0.0
    moved = means(embedded) - np.stack(found)
    made = removal_by_language("offsets", embedded, np.stack(found) + centre * moved.mean(axis=1, keepdims=True))
    return made.with_facts({"pivot": options.pivot, "centre": centre})


def check_pairs(count: int, lang: str, where: str) -> None:
    """Raise if a language has fewer than `LEAST_PAIRS` translations."""
    if count < LEAST_PAIRS:
        raise EncoderError(
            f"{lang} shares {count} items {where}; {LEAST_PAIRS} or more translations of a language are needed"
        )


METHOD = RemovalMethod(
    fit, "the mean difference of the text's language to its translations", "SHIFT: arXiv 2606.18801", needs_pairs=True
)

__all__ = ["LEAST_PAIRS", "MEAN", "METHOD", "check_pairs", "fit", "mean_differences", "number_of_pivot"]
