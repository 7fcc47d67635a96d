"""`linear-map` against ridge regression by least squares, and the choice of its options on held-out translations."""

from __future__ import annotations

import numpy as np
import pytest

from babelmix.encoders.removal import Embedded, Removal, RemovalOptions, load_removal, removal_method
from babelmix.encoders.removal.held_out import folds, retrieval_of_translations
from babelmix.errors import EncoderError

LANGS = ("de", "en", "ja")


def turned(items: int = 150, dimension: int = 10, noise: float = 0.05) -> Embedded:
    """Each language and kind turns the meaning and moves it."""
    rng = np.random.default_rng(0)
    meaning = rng.standard_normal((items, dimension))
    kind, lang, item = (part.ravel() for part in np.meshgrid(range(2), range(3), range(items), indexing="ij"))
    maps = np.eye(dimension) + 0.2 * rng.standard_normal((2, 3, dimension, dimension))
    offsets = 1 + rng.standard_normal((2, 3, dimension))
    vectors = np.einsum("nij,nj->ni", maps[kind, lang], meaning[item]) + offsets[kind, lang]
    return Embedded(vectors + noise * rng.standard_normal(vectors.shape), lang, kind, LANGS, item, "dot")


def fitted(embedded: Embedded, **options: float) -> Removal:
    removal = removal_method("linear-map").fit_removal(embedded, RemovalOptions(**options))  # type: ignore[arg-type]
    assert isinstance(removal, Removal)
    return removal


@pytest.mark.parametrize("pivot", ["mean", "en"])
def test_the_whole_map_is_ridge_regression(pivot: str) -> None:
    embedded = turned()
    removal = fitted(embedded, ridge=0.5, centre=0.25, rank=10, pivot=pivot)  # type: ignore[arg-type]
    for kind, name in enumerate(("query", "passage")):
        by_lang = np.stack(
            [embedded.vectors[(embedded.kind == kind) & (embedded.lang == n)] for n in range(3)]
        )  # the items are in order
        target = by_lang.mean(axis=0) if pivot == "mean" else by_lang[1]
        for lang, x in enumerate(by_lang):
            centred = x - x.mean(axis=0)
            spread = np.sqrt(0.5 * len(x) * centred.var(axis=0).mean())
            rows = np.concatenate([centred, spread * np.eye(10)])
            # The ridge draws the map towards the identity.
            wanted = np.concatenate([target - target.mean(axis=0), spread * np.eye(10)])
            matrix = np.linalg.lstsq(rows, wanted, rcond=None)[0]
            expected = centred @ matrix + target.mean(axis=0) - 0.25 * target.mean(axis=0)
            np.testing.assert_allclose(removal.apply(x, LANGS[lang], name), expected, atol=1e-4)


def test_translations_meet_better_than_by_offsets_and_languages_may_lack_items() -> None:
    embedded = turned()

    def apart(removal: Removal) -> float:
        moved = removal.apply(embedded.vectors, [LANGS[n] for n in embedded.lang], "query")[embedded.kind == 0]
        moved = moved.reshape(3, 150, -1)
        return float(np.abs(moved - moved.mean(axis=0)).mean())

    offsets = removal_method("offsets").fit_removal(embedded)
    assert isinstance(offsets, Removal)
    whole = fitted(embedded, ridge=0.01, centre=0, rank=10)
    some = embedded.only(np.random.default_rng(1).random(len(embedded.lang)) < 0.7)
    fewer = fitted(some, ridge=0.01, centre=0, rank=10)
    assert apart(whole) < apart(fewer) < 0.5 * apart(offsets)


def test_the_rank_is_of_what_a_language_has_for_itself() -> None:
    embedded = turned()
    sizes = []
    for rank in (1, 3, 10):
        removal = fitted(embedded, ridge=0.1, centre=0, rank=rank)
        assert removal.left is not None
        assert removal.shared is not None
        assert removal.left.shape == (2, 3, 10, rank)
        linear = removal.left @ removal.right + removal.shared[:, None]
        sizes.append(linear)
    errors = [np.abs(one - sizes[-1]).mean() for one in sizes]
    assert errors[0] > errors[1] > errors[2] == 0
    np.testing.assert_allclose(sizes[-1].mean(axis=1), removal.shared, atol=1e-5)


def test_it_is_saved_with_what_languages_share(tmp_path) -> None:
    embedded = turned()
    removal = fitted(embedded, ridge=1.0, centre=0.5, rank=2)
    again = load_removal(removal.save(tmp_path / "removal.safetensors"))
    x = embedded.vectors[:5]
    for langs in ("ja", None):
        np.testing.assert_array_equal(again.apply(x, langs, "query"), removal.apply(x, langs, "query"))
    # A query in a language that was not fitted is like one without a language; a passage stays as it is.
    with pytest.warns(UserWarning, match="was not fitted on fr"):
        np.testing.assert_array_equal(again.apply(x, "fr", "query"), again.apply(x, None, "query"))
    np.testing.assert_array_equal(again.apply(x, "fr", "passage"), x.astype(np.float32))
    assert dict(again.facts) == {"pivot": "mean", "rank": 2, "ridge": 1.0, "centre": 0.5}


def slow_mean_average_precision(embedded: Embedded) -> float:
    assert embedded.item is not None
    values = []
    for one in np.flatnonzero(embedded.kind == 0):
        pool = [n for n in np.flatnonzero(embedded.kind == 1)
                if (embedded.lang[n], embedded.item[n]) != (embedded.lang[one], embedded.item[one])]  # fmt: skip
        pool.sort(key=lambda n, one=one: -float(embedded.vectors[one] @ embedded.vectors[n]))  # type: ignore[misc]
        found, precision = 0, []
        for place, n in enumerate(pool, 1):
            if embedded.item[n] == embedded.item[one]:
                found += 1
                precision.append(found / place)
        values.append(np.mean(precision))
    return float(np.mean(values))


def test_the_retrieval_of_translations_is_mean_average_precision() -> None:
    embedded = turned(items=25)
    assert retrieval_of_translations(embedded) == pytest.approx(slow_mean_average_precision(embedded), abs=1e-6)


def test_options_are_chosen_on_items_that_are_held_out() -> None:
    embedded = turned()
    assert embedded.item is not None
    for train, held in folds(embedded, 4):
        assert not set(train.item) & set(held.item)  # type: ignore[arg-type]
    chosen = fitted(embedded).facts
    # Much is to be learned from clean texts, and nothing from noise.
    noisy = fitted(turned(noise=2.0)).facts
    assert chosen["ridge"] < noisy["ridge"]
    assert chosen["held-out mAP"] > noisy["held-out mAP"]
    few = fitted(embedded.only(embedded.item < 40)).facts
    assert "held-out mAP" not in few
    assert fitted(embedded, ridge=2.0).facts["ridge"] == 2.0


def test_too_few_translations_are_refused() -> None:
    embedded = turned()
    alone = embedded.only((embedded.lang != 2) | (np.arange(len(embedded.lang)) % 150 < 30))
    item = np.where(alone.lang == 2, alone.item + 1000, alone.item)  # type: ignore[operator]
    from dataclasses import replace

    with pytest.raises(EncoderError, match="ja shares 0 items"):
        fitted(replace(alone, item=item), ridge=1.0, centre=0.0)
