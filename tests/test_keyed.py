"""Keyed randomness: permutations, streams and weighted choice."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from babelmix.batches.keyed import Permutation, derive_key, integers, mix, permutation, stream, uniform, uniforms
from babelmix.batches.pool import Categorical, draw_columns

PERMUTED = [0, 5, 9, 4, 6, 2, 8, 1, 7, 3]
PERMUTED_SQUARE = [0, 2, 7, 4, 6, 3, 1, 5, 8]


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 5000), key=st.integers(0, 2**64 - 1))
def test_permutation_is_one(size: int, key: int) -> None:
    permutation = Permutation(size, key)
    image = permutation(np.arange(size))
    assert sorted(image.tolist()) == list(range(size))
    assert permutation(np.array([size - 1]))[0] == image[-1]


def test_permutations_look_random() -> None:
    images = np.array([Permutation(50, derive_key("t", k))(np.arange(50)) for k in range(2000)])
    counts = np.array([np.bincount(images[:, i], minlength=50) for i in range(50)])
    chi = ((counts - 40) ** 2 / 40).sum(axis=1)
    assert 30 < chi.mean() < 70  # 49 degrees of freedom


def test_keyed_numbers_are_stable() -> None:
    """A change here changes every saved plan: it needs a note in the changelog."""
    assert derive_key(0, "kind", 5) == derive_key(0, "kind", 5) != derive_key("0", "kind", 5)
    assert mix(np.array([1], dtype=np.uint64))[0] == 0x5692161D100B05E5
    values = uniforms(derive_key(1), 4000)
    assert 0 <= values.min() < values.max() < 1
    assert values.mean() == pytest.approx(0.5, abs=0.02)


def test_choose_never_takes_a_weight_of_zero() -> None:
    weights = np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [1.0, 0.0, 0.0]])
    for chance in (0.0, 0.4999, 0.5, 0.9999999999999999):
        chosen = draw_columns(weights, np.full(3, chance))
        assert (weights[np.arange(3), chosen] > 0).all()
    # Chance times the smallest number there is rounds up to that number itself.
    assert draw_columns(np.array([[0.0, 5e-324]]), np.array([0.9])).tolist() == [1]


def test_the_first_images_of_a_permutation_are_even_together() -> None:
    pairs = Counter(tuple(Permutation(7, derive_key("t", k))(np.array([0, 1])).tolist()) for k in range(8000))
    assert len(pairs) == 42
    assert scipy.stats.chisquare(list(pairs.values())).pvalue > 0.001


@pytest.mark.parametrize("size", [2, 3, 5, 1000])
def test_every_image_is_as_likely(size: int) -> None:
    images = np.array([Permutation(size, derive_key("t", k))(np.array([size // 2]))[0] for k in range(6000)])
    counts = np.bincount(images * min(size, 50) // size, minlength=min(size, 50))
    cells = np.bincount(np.arange(size) * min(size, 50) // size)
    assert scipy.stats.chisquare(counts, 6000 * cells / size).pvalue > 0.001


def test_a_large_permutation_is_one_on_what_it_is_asked() -> None:
    size = 40_000_000
    image = Permutation(size, 1)(np.arange(0, size, 40))
    assert len(np.unique(image)) == len(image) == 1_000_000
    assert 0 <= image.min() <= image.max() < size
    assert scipy.stats.chisquare(np.histogram(image, bins=1000, range=(0, size))[0]).pvalue > 0.001


def test_permutations_are_pinned_and_kept() -> None:
    """A change here changes every saved plan: it needs a note in the changelog."""
    assert Permutation(10, 3)(np.arange(10)).tolist() == PERMUTED
    # 9 is 3 x 3, so that no value ever falls outside.
    assert Permutation(9, 3)(np.arange(9)).tolist() == PERMUTED_SQUARE
    assert permutation(10, 3) is permutation(10, 3)
    positions = np.array([[3, 1], [4, 1]])
    assert permutation(10, 3)(positions).tolist() == [[PERMUTED[3], PERMUTED[1]], [PERMUTED[4], PERMUTED[1]]]
    assert positions.tolist() == [[3, 1], [4, 1]]


@pytest.mark.parametrize("key", [0, 1, 2**64 - 1, derive_key("any")])
def test_a_stream_has_random_access(key: int) -> None:
    whole = stream(key, 100)
    assert stream(key, 40, first=60).tolist() == whole[60:].tolist()
    assert uniform(key) == uniforms(key, 5)[0]
    assert integers(key, 7, 40, first=60).tolist() == (whole[60:] % np.uint64(7)).tolist()
    assert integers(key, 7, 60).tolist() == (whole[:60] % np.uint64(7)).tolist()
    assert np.array_equal(uniforms(key, 100), (whole >> np.uint64(11)) / 2**53)


def test_mix_leaves_its_argument() -> None:
    values = np.array([1, 2], dtype=np.uint64)
    mix(values)
    assert values.tolist() == [1, 2]


def test_a_wheel_is_choose_for_one_row_of_weights() -> None:
    weights = np.array([0.0, 2.0, 0.0, 1.0, 1.0, 0.0])
    chances = np.array([0.0, 0.25, 0.4999, 0.5, 0.7499, 0.75, 0.9999999999999999])
    wheel = Categorical(weights)
    assert wheel(chances).tolist() == [1, 1, 1, 3, 3, 4, 4]
    assert [wheel.one(chance) for chance in chances] == [1, 1, 1, 3, 3, 4, 4]
    assert draw_columns(np.tile(weights, (7, 1)), chances).tolist() == [1, 1, 1, 3, 3, 4, 4]


@settings(max_examples=100, deadline=None)
@given(weights=st.lists(st.floats(0, 1e6), min_size=1, max_size=12), seed=st.integers(0, 2**32))
def test_a_weight_of_zero_is_never_drawn(weights, seed) -> None:
    if sum(weights) < 1e-300:
        return
    chances = np.append(uniforms(seed, 50), [0.0, 1 - 2.0**-53])
    for drawn in (Categorical(np.array(weights))(chances), draw_columns(np.tile(weights, (52, 1)), chances)):
        assert all(weights[place] > 0 for place in drawn)
