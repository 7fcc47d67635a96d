"""The removals that come with the package: what they are, and that they do what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from babelmix.encoders.removal import shipped
from babelmix.encoders.removal.shipped import shipped_names, shipped_removal

FOLDER = Path(shipped.__file__).parent
FILES = sorted(FOLDER.glob("*.safetensors"))


def test_every_file_has_a_name_a_notice_and_is_small() -> None:
    notice = (FOLDER / "NOTICE.md").read_text(encoding="utf-8")
    assert FILES
    for file in FILES:
        assert file.stem in shipped_names()
        assert f"`{file.name}`" in notice
        assert file.stat().st_size < 1_000_000


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_removal_has_its_languages_and_says_where_it_comes_from(file: Path) -> None:
    removal = shipped_removal(file.stem)
    assert removal is not None
    assert len(removal.langs) == (37 if file.stem == "e5-small-offline" else 29)
    assert {"ar", "de", "en", "hi", "zh", "th", "tr"} <= set(removal.langs)
    assert removal.facts["licence"] == "CC-BY-SA-4.0"
    assert "NTREX" in removal.facts["source"]
    assert removal.facts["sentences"] == 1997
    vectors = np.random.default_rng(0).normal(size=(6, removal.dimension)).astype(np.float32)
    moved = removal.apply(vectors, ["de", "zh", "pt-BR", "xx", None, "en"], "passage")
    plain = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert np.linalg.norm(moved, axis=1) == pytest.approx(1, abs=1e-5)
    apart = np.linalg.norm(moved - plain, axis=1)
    # A language that is not among them is left alone; one without a name is told from the vector.
    assert apart[3] == pytest.approx(0, abs=1e-6)
    assert (apart[[0, 1, 2, 4, 5]] > 0.01).all()


def test_names_and_fingerprints() -> None:
    one = shipped_removal("intfloat/multilingual-e5-small")
    other = shipped_removal("e5-small-offline")
    assert one is not None
    assert other is not None
    assert (one.offsets == other.offsets).all()
    for digest in shipped._fingerprints():
        assert shipped_removal(digest) is not None
    assert shipped_removal("0" * 64) is None
    assert shipped_removal("../e5-small-offline") is None
