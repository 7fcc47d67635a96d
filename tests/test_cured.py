"""Encoders named `debiased:NAME`: a known encoder with the removal that comes with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from babelmix.encoders import load_encoder
from babelmix.encoders.embed import encode
from babelmix.encoders.kinds import kind_named
from babelmix.encoders.removal import Embedded, RemovalOptions, removal_method
from babelmix.errors import EncoderError


def test_only_known_encoders_have_a_removal(tiny_static, tmp_path: Path) -> None:
    tiny_static.save(str(tmp_path / "tiny"))
    assert kind_named("debiased:e5-small-offline").name == "debiased"
    for name in (str(tmp_path / "tiny"), "static", ""):
        with pytest.raises(EncoderError, match=r"only; fit one for .* babelmix debias"):
            load_encoder(f"debiased:{name}")


def test_a_debiased_encoder_is_the_encoder_with_its_removal(
    tiny_static, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_static.save(str(tmp_path / "tiny"))
    words = {"en": ["cat", "dog"], "de": ["Katze", "Hund"]}
    texts = [f"{word} {n}" for some in words.values() for word in some for n in range(10)]
    vectors = encode(tiny_static, texts, "document").astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    lang = np.repeat([0, 1], 20)
    removal = removal_method("own-means").fit_removal(
        Embedded(vectors, lang, np.zeros_like(lang), tuple(words)), RemovalOptions()
    )
    monkeypatch.setattr("babelmix.encoders.removal.shipped.shipped_removal", lambda name: removal)
    made = load_encoder(f"debiased:{tmp_path / 'tiny'}")
    found = encode(made, texts[:5], "document")
    np.testing.assert_allclose(found, removal.apply(vectors[:5], None, "passage"), atol=1e-5)
    assert np.abs(found - vectors[:5]).max() > 0.01
