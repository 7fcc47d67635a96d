"""Removal from vectors of known languages: against its formula, its file, and methods that are fitted on translations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from babelmix.encoders.removal import AnyRemoval, Embedded, Removal, RemovalOptions, load_removal, removal_method
from babelmix.encoders.removal.files import write_removal
from babelmix.encoders.removal.offsets import mean_differences
from babelmix.errors import EncoderError


def translations(items: int = 60, dimension: int = 16) -> Embedded:
    """Meaning, an offset of each language and kind, a little noise."""
    rng = np.random.default_rng(0)
    meaning = rng.standard_normal((items, dimension))
    offsets = rng.standard_normal((2, 3, dimension))
    kind, lang, item = (part.ravel() for part in np.meshgrid(range(2), range(3), range(items), indexing="ij"))
    noise = 0.01 * rng.standard_normal((len(kind), dimension))
    vectors = meaning[item] + offsets[kind, lang] + noise
    return Embedded(vectors, lang, kind, ("de", "en", "ja"), item, "dot")


def test_a_removal_is_its_formula() -> None:
    rng = np.random.default_rng(1)
    offsets, left, right = (rng.standard_normal(s).astype(np.float32) for s in ((2, 2, 6), (2, 2, 6, 3), (2, 2, 3, 6)))
    for similarity in ("cosine", "dot"):
        removal = Removal("x", ("de", "en"), offsets, left, right, 0.7, similarity)
        x = rng.standard_normal((5, 6)).astype(np.float32)
        langs = ["de", "en", "de-AT", "fr", None]
        with pytest.warns(UserWarning, match="not fitted on fr: such queries are left as they are; it knows de, en"):
            found = removal.apply(x, langs, "query")
        for row, place in enumerate([0, 1, 0, None, None]):
            one = x[row] / np.linalg.norm(x[row]) if similarity == "cosine" else x[row]
            if place is not None:
                one = one - 0.7 * (offsets[0, place] - left[0, place] @ right[0, place] @ one)
            one = one / np.linalg.norm(one) if similarity == "cosine" else one
            np.testing.assert_allclose(found[row], one, rtol=1e-5, atol=1e-6)
        assert removal.not_fitted(langs) == ["fr"]


@pytest.mark.parametrize("pivot", ["mean", "en"])
def test_offsets_of_translations_meet(pivot: str) -> None:
    embedded = translations()
    removal = removal_method("offsets").fit_removal(embedded, RemovalOptions(pivot=pivot))  # type: ignore[misc]
    for kind, name in enumerate(("query", "passage")):
        some = embedded.kind == kind
        langs = [embedded.langs[n] for n in embedded.lang[some]]
        moved = removal.apply(embedded.vectors[some], langs, name).reshape(3, 60, -1)
        assert np.abs(moved - moved.mean(axis=0)).max() < 0.05
        if pivot == "en":
            np.testing.assert_allclose(moved[1], embedded.vectors[some].reshape(3, 60, -1)[1], atol=1e-5)


def test_offsets_towards_the_mean_do_not_need_every_item_in_every_language() -> None:
    embedded = translations()
    kept = np.random.default_rng(2).random(len(embedded.lang)) < 0.6
    some = kept & (embedded.kind == 0)
    assert embedded.item is not None
    found = mean_differences(embedded.vectors[some], embedded.lang[some], embedded.item[some], None, embedded.langs)
    whole = embedded.kind == 0
    full = mean_differences(embedded.vectors[whole], embedded.lang[whole], embedded.item[whole], None, embedded.langs)
    np.testing.assert_allclose(found, full, atol=0.02)
    np.testing.assert_allclose(full.sum(axis=0), 0, atol=1e-9)


def test_the_language_of_a_vector_is_told_from_the_vector() -> None:
    embedded = translations()
    removal = removal_method("own-means").fit_removal(embedded, RemovalOptions())  # type: ignore[misc]
    some = embedded.kind == 1
    shares = removal.shares(embedded.vectors[some].astype(np.float32), [None] * int(some.sum()), "passage")
    assert (shares.argmax(axis=1) == embedded.lang[some]).mean() > 0.95
    told = removal.apply(embedded.vectors[some], None, "passage")
    langs = [embedded.langs[n] for n in embedded.lang[some]]
    assert np.abs(told - removal.apply(embedded.vectors[some], langs, "passage")).mean() < 0.1


def test_a_removal_is_saved_and_loaded(tmp_path: Path) -> None:
    embedded = translations()
    removal = removal_method("offsets").fit_removal(embedded, RemovalOptions()).with_alpha(0.5)  # type: ignore[misc]
    again = Removal.load(removal.save(tmp_path / "removal.safetensors"))
    assert (again.method, again.langs, again.alpha, again.similarity) == ("offsets", removal.langs, 0.5, "dot")
    x = embedded.vectors[:4]
    np.testing.assert_array_equal(again.apply(x, "de", "query"), removal.apply(x, "de", "query"))
    same = load_removal(tmp_path / "removal.safetensors")
    assert isinstance(same, AnyRemoval)
    np.testing.assert_array_equal(same.apply(x, None, "query"), removal.apply(x, None, "query"))
    about = {"method": "new", "langs": ["*"], "alpha": 1, "similarity": "dot", "facts": {}}
    for form in ("affine", "unheard-of"):
        write_removal(tmp_path / f"{form}.safetensors", form, about, {"spectra": np.ones((2, 3))}, "float32")
    with pytest.raises(EncoderError, match="has the arrays spectra"):
        load_removal(tmp_path / "affine.safetensors")
    with pytest.raises(EncoderError, match="of the form 'unheard-of'; this version reads affine"):
        load_removal(tmp_path / "unheard-of.safetensors")
    (tmp_path / "other.safetensors").write_bytes(b"no")
    with pytest.raises(EncoderError, match="is not a removal"):
        Removal.load(tmp_path / "other.safetensors")
    with pytest.raises(EncoderError, match="is not there"):
        Removal.load(tmp_path / "nowhere.safetensors")


def test_errors_say_what_is_wrong() -> None:
    embedded = translations()
    fit = removal_method("offsets").fit_removal
    assert fit is not None
    with pytest.raises(EncoderError, match="translations"):
        fit(replace(embedded, item=None), RemovalOptions())
    with pytest.raises(EncoderError, match="pivot 'fr'"):
        fit(embedded, RemovalOptions(pivot="fr"))
    removal = fit(embedded, RemovalOptions())
    with pytest.raises(EncoderError, match="dimension 16"):
        removal.apply(np.ones((2, 3)), "de", "query")
    with pytest.raises(EncoderError, match="languages of 1"):
        removal.apply(np.ones((2, 16)), ["de"], "query")
    with pytest.raises(EncoderError, match="use query or passage"):
        removal.apply(np.ones((2, 16)), "de", "document")


def test_a_language_is_known_in_any_spelling(tmp_path: Path) -> None:
    given = translations()
    # As a table writes them, and as a removal of an earlier version has them.
    spelled = replace(given, langs=("de_DE", "en", "ja_JP"))
    old = removal_method("own-means").fit_removal(spelled)
    new = removal_method("own-means").fit_removal(replace(given, langs=("de-DE", "en", "ja-JP")))
    assert isinstance(old, Removal)
    old = Removal.load(old.save(tmp_path / "old.safetensors"))
    assert (old.langs, old.tags) == (("de_DE", "en", "ja_JP"), ("de-DE", "en", "ja-JP"))
    x = given.vectors[:7].astype(np.float32)
    asked = ["de-DE", "de_DE", "de", "de-AT", "DE_at", "ger", "en_US"]
    expected = new.apply(x, ["de-DE"] * 6 + ["en"], "query")
    assert np.abs(expected - new.apply(x, None, "passage")).max() > 0.1
    for removal in (old, new):
        np.testing.assert_array_equal(removal.apply(x, asked, "query"), expected)
        assert removal.not_fitted([*asked, "sw", None]) == ["sw"]


def test_a_query_in_a_language_that_was_not_fitted_is_one_without_a_language() -> None:
    given = translations()
    removal = removal_method("own-means").fit_removal(replace(given, langs=("de-DE", "de-AT", "en")))
    x = given.vectors[:3].astype(np.float32)
    unknown = removal.apply(x, None, "query")
    assert np.abs(unknown - x).max() > 0.1
    said = "not fitted on sw, de: such queries are corrected like queries of an unknown language; it knows de-DE, de-AT, en"
    with pytest.warns(UserWarning, match=said):
        # Which German is meant is not clear.
        np.testing.assert_array_equal(removal.apply(x, ["sw", "de", "und"], "query"), unknown)
    # Once for each language, and tests turn warnings into errors.
    np.testing.assert_array_equal(removal.apply(x, "sw", "query"), unknown)
    np.testing.assert_array_equal(removal.apply(x, "sw", "passage"), x)
