"""`langsae` against its formula, on vectors where the directions of languages are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from babelmix.encoders.removal import AnyRemoval, Embedded, RemovalOptions, load_removal, removal_method
from babelmix.encoders.removal.langsae import SparseRemoval, language_units
from babelmix.errors import EncoderError


def drawn() -> Embedded:
    """Sparse meaning, and one direction of its own for each language."""
    rng = np.random.default_rng(0)
    lang = np.repeat(range(3), 300)
    meaning = rng.random((900, 13)) * (rng.random((900, 13)) < 0.3)
    vectors = np.concatenate([3 * np.eye(3)[lang], meaning], axis=1)
    return Embedded(vectors, lang, np.zeros_like(lang), ("de", "en", "ja"), similarity="dot")


def test_a_sparse_removal_is_its_formula(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    encoder, decoder = (rng.standard_normal((12, 5)).astype(np.float32) for _ in range(2))
    mask = (rng.random(12) < 0.5).astype(np.float32)
    mean = rng.standard_normal(5).astype(np.float32)
    x = rng.standard_normal((7, 5)).astype(np.float32)
    for similarity in ("cosine", "dot"):
        removal = SparseRemoval(encoder, decoder, mask, mean, 3, 0.6, similarity)
        assert isinstance(removal, AnyRemoval)
        found = removal.apply(x, "de", "query")
        for row, one in enumerate(x):
            one = one / np.linalg.norm(one) if similarity == "cosine" else one
            raw = np.maximum(encoder @ (one - mean), 0)
            for unit in np.argsort(-raw)[:3]:
                if mask[unit]:
                    one = one - 0.6 * raw[unit] * decoder[unit]
            one = one / np.linalg.norm(one) if similarity == "cosine" else one
            np.testing.assert_allclose(found[row], one, atol=1e-5)
        again = load_removal(removal.save(tmp_path / "sparse.safetensors"))
        np.testing.assert_array_equal(again.apply(x, None, "passage"), found)
        assert removal.not_fitted(["fr"]) == []
        np.testing.assert_allclose(removal.with_alpha(0).apply(x, None, "query"), removal._ready(x), atol=1e-6)


def test_units_of_languages_are_those_that_languages_explain() -> None:
    rng = np.random.default_rng(2)
    lang = np.repeat(range(4), 100)
    activations = np.stack([lang == 1, rng.random(400), (lang > 1) + rng.random(400)], axis=1).astype(np.float32)
    assert language_units(activations, lang, 0.3).tolist() == [1, 0, 1]


def test_it_takes_the_directions_of_languages_away() -> None:
    embedded = drawn()
    removal = removal_method("langsae").fit_removal(embedded, RemovalOptions(seed=3))
    same = removal_method("langsae").fit_removal(embedded, RemovalOptions(seed=3))
    other = removal_method("langsae").fit_removal(embedded, RemovalOptions(seed=4))
    moved = removal.apply(embedded.vectors, None, "query")
    np.testing.assert_array_equal(same.apply(embedded.vectors, None, "query"), moved)
    assert np.abs(other.apply(embedded.vectors, None, "query") - moved).max() > 1e-3

    def between(vectors: np.ndarray) -> float:
        means = np.stack([vectors[embedded.lang == n].mean(axis=0) for n in range(3)])
        return float(means.var(axis=0).sum())

    assert between(moved) < 0.2 * between(embedded.vectors)
    kept = [np.corrcoef(moved[:, n], embedded.vectors[:, n])[0, 1] for n in range(3, 16)]
    assert np.mean(kept) > 0.5
    assert 0 < removal.facts["language_units"] < removal.facts["units"]


def test_damage_is_refused(tmp_path: Path) -> None:
    ones = np.ones((4, 3), dtype=np.float32)
    with pytest.raises(EncoderError, match="4 units has arrays of the shapes"):
        SparseRemoval(ones, ones[:2], ones[:, 0], ones[0], 1)
    removal = SparseRemoval(ones, ones, ones[:, 0], ones[0], 1)
    with pytest.raises(EncoderError, match="dimension 3"):
        removal.apply(np.ones((2, 4)), None, "query")
    from babelmix.encoders.removal.files import write_removal

    about = {"method": "langsae", "langs": ["*"], "alpha": 1, "similarity": "dot", "facts": {}, "active": 1}
    write_removal(tmp_path / "x.safetensors", "sparse", about, {"encoder": ones}, "float32")
    with pytest.raises(EncoderError, match="is damaged"):
        load_removal(tmp_path / "x.safetensors")
