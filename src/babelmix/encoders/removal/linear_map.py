"""`linear-map`: move each language by a linear map that is fitted on translations.

For each kind and language, `x + A x + b` comes near the mean of the text's translations (or their text in a pivot language), by
ridge regression. The ridge draws A towards 0, which is the map of `offsets`. What is kept of A is the mean over languages, and
the main directions in which a language differs from it: this is small, and less noisy than A.

In addition, a share of the mean of all languages is subtracted: embeddings lie in a narrow cone, and a language that lies near
its axis is near to every query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from babelmix.encoders.removal import Array, Embedded, Removal, RemovalMethod, RemovalOptions
from babelmix.encoders.removal.by_language import removal_by_language
from babelmix.encoders.removal.held_out import folds, retrieval_of_translations
from babelmix.encoders.removal.offsets import check_pairs, mean_differences, number_of_pivot

RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Ridges that are tried on held-out translations."""

CENTRES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the mean of all languages that are tried on held-out translations."""

FOLDS, TRIED = 4, 2
"""The items are split into this many folds, and this many of them are held out, one after the other."""

FEWEST_ITEMS = 100
"""With fewer items none are held out: the ridge is `USUAL_RIDGE`, and the centre `USUAL_CENTRE`."""

USUAL_RIDGE, USUAL_CENTRE = 10.0, 0.5


USUAL_RANK = 8
"""The rank of the part that a language has for itself."""


@dataclass(frozen=True)
class Pairs:
    """What a map is computed from: moments of the texts of one kind and language, and of what they are to become.

    Args:
        values: eigenvalues of the covariance of the texts, shape (dimension,).
        vectors: its eigenvectors, in columns, shape (dimension, dimension).
        cross: covariance of the texts with their differences to the targets, shape (dimension, dimension).
        mean: mean of the texts, shape (dimension,).
        difference: mean difference to the targets, shape (dimension,).

    """

    values: Array
    vectors: Array
    cross: Array
    mean: Array
    difference: Array

    def linear(self, ridge: float) -> Array:
        """The linear part, shape (dimension, dimension).

        Args:
            ridge: in units of the mean variance of the texts.

        """
        inverse = self.vectors / (self.values + ridge * self.values.mean())
        return (inverse @ (self.vectors.T @ self.cross)).T

    def of_rank(self, linear: Array, rank: int) -> tuple[Array, Array]:
        """A linear map of these texts by its main directions, `left` and `right`; reduced-rank regression.

        Args:
            linear: shape (dimension, dimension).
            rank: the number of directions in which the texts move most.

        """
        moved = (linear @ self.vectors) * np.sqrt(self.values)
        left = np.linalg.svd(moved, full_matrices=False)[0][:, :rank]
        return left, left.T @ linear


Kinds = list[tuple[list[Pairs], Array]]
"""Of each kind: the languages, and the mean of the targets."""


def pairs_of(embedded: Embedded, pivot: int | None) -> tuple[list[Pairs], Array]:
    """The moments of each language, of texts of one kind, and the mean of the targets.

    The target of a text is the mean of its translations and itself, each less the offset of its language, so that languages may
    lack items; or the text in the pivot language.

    Raises:
        EncoderError: a language has too few translations.

    """
    assert embedded.item is not None
    x, lang = embedded.vectors, embedded.lang
    offsets = mean_differences(x, lang, embedded.item, pivot, embedded.langs)
    _, item = np.unique(embedded.item, return_inverse=True)
    has = np.zeros((len(embedded.langs), item.max() + 1), dtype=bool)
    has[lang, item] = True
    used = np.ones(len(x), dtype=bool) if pivot is None else lang == pivot
    targets, counts = np.zeros((has.shape[1], x.shape[1])), np.zeros(has.shape[1])
    np.add.at(targets, item[used], x[used] - offsets[lang[used]])
    np.add.at(counts, item[used], 1)
    targets /= np.maximum(counts, 1)[:, None]
    useful = has.sum(axis=0) >= 2 if pivot is None else has[pivot]
    found = []
    for one, name in enumerate(embedded.langs):
        rows = np.flatnonzero((lang == one) & useful[item])
        check_pairs(len(rows), name, "with the other languages")
        mean, differences = x[rows].mean(axis=0), targets[item[rows]] - x[rows]
        centred, difference = x[rows] - mean, differences.mean(axis=0)
        values, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
        cross = centred.T @ (differences - difference) / len(rows)
        found.append(Pairs(np.maximum(values, 0), vectors, cross, mean, difference))
    return found, targets[useful].mean(axis=0)


def _maps(kinds: Kinds, ridge: float, centre: float, rank: int) -> tuple[Array, Array, Array, Array]:
    """`offsets`, `left`, `right` and `shared` of `Removal`, the first axis being the kinds that there are."""
    offsets, left, right, shared = [], [], [], []
    for languages, mean in kinds:
        maps = [one.linear(ridge) for one in languages]
        common = np.mean(maps, axis=0)
        parts = [one.of_rank(linear - common, rank) for one, linear in zip(languages, maps, strict=True)]
        moved = [common @ one.mean + n @ (m @ one.mean) for one, (n, m) in zip(languages, parts, strict=True)]
        offsets.append(np.stack(moved) - [one.difference for one in languages] + centre * mean)
        left.append(np.stack([one for one, _ in parts]))
        right.append(np.stack([one for _, one in parts]))
        shared.append(common)
    return np.stack(offsets), np.stack(left), np.stack(right), np.stack(shared)


def _kinds(embedded: Embedded, pivot: int | None) -> Kinds:
    return [pairs_of(embedded.only(embedded.kind == kind), pivot) for kind in range(int(embedded.kind.max()) + 1)]


def choose(
    embedded: Embedded, pivot: int | None, ridges: Sequence[float], centres: Sequence[float]
) -> tuple[float, float, float]:
    """Choose the ridge, and then the share of the mean, by how well held-out translations are found.

    Each language has its whole map here. What the languages share is computed from more texts, and would choose so small a ridge
    that only what these texts are about would be kept.

    Returns:
        The ridge, the share, and the mean average precision that they reach; see `retrieval_of_translations`.

    """
    parts = [(_kinds(train, pivot), held) for train, held in islice(folds(embedded, FOLDS), TRIED)]

    def value(ridge: float, centre: float) -> float:
        reached = []
        for kinds, held in parts:
            offsets, left, right, shared = (
                np.stack([one[0], one[-1]]).astype(np.float32)
                for one in _maps(kinds, ridge, centre, embedded.vectors.shape[1])
            )
            removal = Removal(
                "linear-map", embedded.langs, offsets, left, right, similarity=embedded.similarity, shared=shared
            )
            reached.append(retrieval_of_translations(held, removal))
        return float(np.mean(reached))

    middle = centres[len(centres) // 2]
    tried = {(ridge, middle): value(ridge, middle) for ridge in ridges}
    best = max(tried, key=lambda one: tried[one])[0]
    tried |= {(best, centre): value(best, centre) for centre in centres if centre != middle}
    chosen = max(tried, key=lambda one: tried[one])
    return *chosen, tried[chosen]


def fit(embedded: Embedded, options: RemovalOptions) -> Removal:
    """Fit the maps of each kind and language.

    Options that are not given are chosen on held-out items of the same texts; see `choose`.

    Raises:
        EncoderError: there are too few translations, or the pivot is not among the languages.

    """
    assert embedded.item is not None
    pivot = number_of_pivot(options.pivot, embedded.langs)
    ridges = [options.ridge] if options.ridge else list(RIDGES)
    centres = list(CENTRES) if options.centre is None else [options.centre]
    rank = min(options.rank or USUAL_RANK, embedded.vectors.shape[1])
    facts = {"pivot": options.pivot, "rank": rank}
    if len(ridges) == len(centres) == 1:
        ridge, centre = ridges[0], centres[0]
    elif len(np.unique(embedded.item)) < FEWEST_ITEMS:
        ridge, centre = options.ridge or USUAL_RIDGE, USUAL_CENTRE if options.centre is None else options.centre
    else:
        ridge, centre, reached = choose(embedded, pivot, ridges, centres)
        facts["held-out mAP"] = round(reached, 4)
    made = removal_by_language("linear-map", embedded, *_maps(_kinds(embedded, pivot), ridge, centre, rank))
    return made.with_facts({**facts, "ridge": ridge, "centre": centre})


METHOD = RemovalMethod(
    fit,
    "by a linear map, what tells the text's language from its translations",
    "as Mikolov et al., arXiv 1309.4168, with a ridge towards the identity",
    usual_rank=lambda langs: USUAL_RANK,
    needs_pairs=True,
)

__all__ = ["CENTRES", "METHOD", "RIDGES", "Pairs", "choose", "fit", "pairs_of"]
