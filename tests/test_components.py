"""Connected components, and disjoint sets with names."""

from __future__ import annotations

import random

import numpy as np
import pytest

from babelmix._components import NamedSets, components


def test_components_are_numbered_by_their_first_nodes() -> None:
    assert components([4, 2], [1, 3], 6).tolist() == [0, 1, 2, 2, 1, 3]
    assert components([], [], 3).tolist() == [0, 1, 2]
    assert components([], [], 0).tolist() == []


def test_an_edge_may_be_listed_often() -> None:
    # 256 would be 0 in a byte.
    assert components([0] * 256, [2] * 256, 3).tolist() == [0, 1, 0]


@pytest.mark.parametrize("seed", range(5))
def test_components_of_random_graphs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = 40
    left, right = rng.integers(0, size, (2, 30))
    reach = np.eye(size, dtype=bool)
    reach[left, right] = reach[right, left] = True
    for middle in range(size):
        reach |= reach[:, [middle]] & reach[[middle], :]
    labels = components(left, right, size)
    assert ((labels[:, None] == labels[None, :]) == reach).all()
    _, first = np.unique(labels, return_index=True)
    assert (np.diff(first) > 0).all()


def test_a_merged_set_has_the_first_name() -> None:
    sets = NamedSets("abcde")
    sets.merge("b", "a")
    sets.merge("c", "d")
    sets.merge("d", "a")
    assert [sets.name(thing) for thing in "abcde"] == ["c", "c", "c", "c", "e"]
    sets.merge("a", "c")
    assert sets.name("b") == "c"


def test_named_sets_are_the_components() -> None:
    rng = random.Random(0)
    edges = [(rng.randrange(50), rng.randrange(50)) for _ in range(35)]
    sets = NamedSets(range(50))
    for first, second in edges:
        sets.merge(first, second)
    labels = components([a for a, _ in edges], [b for _, b in edges], 50)
    names = [sets.name(node) for node in range(50)]
    assert len(set(names)) == len(set(labels)) == len(set(zip(names, labels, strict=True)))
