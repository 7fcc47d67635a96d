"""`auto`: the test whether languages differ in topic, on collections where it is known; and what is chosen by it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from babelmix.encoders.removal import Embedded, RemovalOptions, removal_method
from babelmix.encoders.removal.auto import topic_difference

LANGS = ("de", "en", "ja")


def collection(other: float, *, texts: int = 300, seed: int = 0, item: bool = False) -> Embedded:
    """Ten topics and an offset of each language. A share of German texts is about two topics of its own."""
    rng = np.random.default_rng(seed)
    topics, offsets = (
        2 * np.random.default_rng(9).standard_normal((12, 16)),
        3 * np.random.default_rng(8).standard_normal((3, 16)),
    )
    lang, number = np.repeat(range(3), texts), np.tile(np.arange(texts), 3)
    topic = (number if item else rng.permutation(len(lang))) % 10
    own = (lang == 0) & (rng.random(len(lang)) < other)
    topic[own] = 10 + rng.integers(0, 2, own.sum())
    vectors = topics[topic] + offsets[lang] + rng.standard_normal((len(lang), 16)) * 0.5
    return Embedded(vectors, lang, np.ones(len(lang), dtype=np.int64), LANGS, number if item else None, "dot")


PAIRS = removal_method("offsets").fit_removal(collection(0, item=True))


@pytest.mark.parametrize("seed", range(3))
def test_languages_that_differ_in_topic_are_found(seed: int) -> None:
    same, different = (topic_difference(collection(share, seed=seed), PAIRS, seed=seed) for share in (0.0, 0.5))
    assert not same.verdict
    assert same.effect < 0.06
    assert different.verdict
    assert different.lang == "de"
    assert different.effect == pytest.approx(0.5, abs=0.2)
    assert different.p < 0.01


def test_an_offset_is_no_topic() -> None:
    moved = collection(0.0)
    # Each language lies elsewhere, and the pairs say where.
    far = replace(moved, vectors=moved.vectors + 5 * moved.lang[:, None])
    pairs = removal_method("offsets").fit_removal(
        replace(collection(0, item=True), vectors=collection(0, item=True).vectors + 5 * moved.lang[:, None])
    )
    assert not topic_difference(far, pairs).verdict


def chosen(embedded: Embedded, **options: object) -> tuple[str, str]:
    removal = removal_method("auto").fit_removal(embedded, RemovalOptions(**options))  # type: ignore[arg-type]
    return removal.method, removal.facts["because"]


def test_auto_takes_pairs_where_topics_differ_and_says_why() -> None:
    assert chosen(collection(0.0), pairs=PAIRS) == ("own-means", "the languages are about the same things")
    method, why = chosen(collection(0.6), pairs=PAIRS)
    assert method == "offsets"
    assert "of the texts in de are about other things" in why
    method, why = chosen(collection(0.0))
    assert method == "own-means"
    assert "was not tested" in why
    assert chosen(collection(0.0, texts=60), pairs=PAIRS) == (
        "offsets",
        "there are 60 texts in de; means of a language need 200",
    )
    assert chosen(collection(0.6, texts=60))[0] == "own-means"
    lacks = removal_method("offsets").fit_removal(replace(collection(0, item=True), langs=("fr", "en", "ja")))
    assert "the translations lack de" in chosen(collection(0.0), pairs=lacks)[1]


def test_auto_fits_pairs_of_the_collection_itself() -> None:
    parallel = collection(0.0, item=True)
    assert chosen(parallel)[0] == "own-means"
    few = parallel.only(parallel.item < 60)  # type: ignore[operator]
    assert chosen(few)[0] == "offsets"
