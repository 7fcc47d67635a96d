"""The built-in check set, and the comparison of an export with float32 on it."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

import babelmix as bm
from babelmix.corpus import Corpus
from babelmix.encoders.exported import checking
from babelmix.encoders.exported.checking import (
    LIMIT,
    SETTINGS,
    Agreement,
    agreement,
    check_set,
    embed_check_set,
    keep_check,
    kept_check,
    mean_average_precision,
)
from babelmix.errors import EncoderError
from babelmix.evaluation.systems import ScoreMatrix

SCRIPTS = {
    "ar": "ARABIC", "de": "LATIN", "el": "GREEK", "en": "LATIN", "he": "HEBREW", "hi": "DEVANAGARI", "ja": "HIRAGANA",
    "ka": "GEORGIAN", "ko": "HANGUL", "ru": "CYRILLIC", "th": "THAI", "zh": "CJK",
}  # fmt: skip


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two random halves of the dimensions instead of 16: they are enough here, and fast."""
    monkeypatch.setattr(checking, "_DRAWS", 2)


def vectors(seed: int, dimension: int = 24, noise: float = 0.0) -> dict[str, np.ndarray]:
    """Vectors in which a question is near its passage, somewhat nearer in its own language."""
    rng = np.random.default_rng(0)
    known = check_set()
    item, lang = (rng.normal(size=(count, dimension)) for count in (len(known.items), len(known.langs)))
    found = {}
    for kind in ("query", "document"):
        exact = np.repeat(item, len(lang), axis=0) + 0.5 * np.tile(lang, (len(item), 1))
        exact = exact + 1.4 * rng.normal(size=exact.shape)
        found[kind] = (exact + noise * np.random.default_rng(seed).normal(size=exact.shape)).astype(np.float32)
    return found


def test_every_item_is_in_every_language_once() -> None:
    known = check_set()
    assert len(known.items) == 60
    assert len(known.langs) == 12
    assert list(known.langs) == sorted(SCRIPTS)
    assert len(set(SCRIPTS.values())) >= 10
    texts = [*known.questions, *known.passages]
    assert len(texts) == 2 * 60 * 12
    for lang in range(12):
        own = [*known.questions[lang::12], *known.passages[lang::12]]
        assert len(set(own)) == len(own), known.langs[lang]
    # Across languages too: a text that two languages share would have two equal vectors.
    assert len(set(texts)) == len(texts)


def test_items_come_in_groups_of_one_subject() -> None:
    subjects = [item.rsplit("-", 1)[0] for item in check_set().items]
    assert all(subjects.count(subject) == 5 for subject in subjects)


def test_texts_are_composed_and_in_their_script() -> None:
    known = check_set()
    for kind in (known.questions, known.passages):
        for row, text in enumerate(kind):
            lang = known.langs[row % 12]
            assert unicodedata.is_normalized("NFC", text), text
            assert text == text.strip()
            assert 4 < len(text) < 160
            letters = [c for c in text if c.isalpha() and c not in "ー々"]
            names = [unicodedata.name(c).split()[0] for c in letters]
            allowed = {SCRIPTS[lang]} | ({"KATAKANA", "CJK"} if lang == "ja" else set())
            assert set(names) <= allowed, (lang, text, set(names) - allowed)


def test_reading_it_is_light() -> None:
    code = (
        "import sys; from babelmix.encoders.exported import checking; checking.check_set();"
        "print([m for m in ('torch', 'polars', 'pyarrow', 'scipy', 'onnxruntime', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("levels", [0, 7])
def test_map_is_that_of_an_audit(levels: int) -> None:
    """With few levels, nearly all scores have ties."""
    rng = np.random.default_rng(levels)
    items, langs = 9, ["de", "en", "th"]
    scores = rng.normal(size=(27, 27)).astype(np.float32)
    if levels:
        scores = np.round(scores * levels / 4).astype(np.float32)
    rows = [{"item": f"{i:02}", "lang": lang, "text": f"{i} {lang}"} for i in range(items) for lang in langs]
    names = [f"{i:02}" for i in range(items)]
    corpus = Corpus.from_rows(rows, rows, [(name, name) for name in names], name="small")
    found = bm.audit(ScoreMatrix("random", scores), corpus)
    expected = [found.macro(f"{setting}/mAP") for setting in SETTINGS]
    assert mean_average_precision(scores, 3) == pytest.approx(expected, abs=1e-6)


def test_plain_map_of_vectors_is_that_of_an_audit() -> None:
    known = check_set()
    given = vectors(0)
    rows = [
        ({"item": item, "lang": lang, "text": known.questions[12 * i + j]},
         {"item": item, "lang": lang, "text": known.passages[12 * i + j]})
        for i, item in enumerate(known.items)
        for j, lang in enumerate(known.langs)
    ]  # fmt: skip
    questions, passages = (list(some) for some in zip(*rows, strict=True))
    corpus = Corpus.from_rows(questions, passages, [(item, item) for item in known.items], name="check")
    exact, coarse = (
        bm.audit(ScoreMatrix("v", unit(some["query"]) @ unit(some["document"]).T), corpus)
        for some in (given, vectors(1, noise=0.4))
    )
    found = agreement(given, vectors(1, noise=0.4))
    for setting in SETTINGS:
        expected = coarse.macro(f"{setting}/mAP") - exact.macro(f"{setting}/mAP")
        assert found.plain[setting] == pytest.approx(expected, abs=1e-6)
    assert 0.1 < exact.macro("mono/mAP") < 0.9


def unit(some: np.ndarray) -> np.ndarray:
    return (some / np.linalg.norm(some, axis=1, keepdims=True)).astype(np.float32)


def test_small_noise_passes_and_larger_noise_does_not() -> None:
    exact = vectors(0)
    assert agreement(exact, vectors(1, noise=0.005)).passed
    worse = agreement(exact, vectors(1, noise=0.5))
    assert not worse.passed
    assert worse.worst > LIMIT
    assert "differs from float32 by" in str(worse)


def test_a_longer_vector_changes_dot_products_only() -> None:
    exact = vectors(0)
    factors = np.random.default_rng(3).uniform(0.3, 3, size=(720, 1)).astype(np.float32)
    longer = {kind: some * factors for kind, some in exact.items()}
    assert agreement(exact, longer).worst < 1e-6
    assert not agreement(exact, longer, similarity="dot").passed


def test_infinity_is_refused_and_so_are_other_texts() -> None:
    exact = vectors(0)
    broken = {kind: some.copy() for kind, some in exact.items()}
    broken["document"][5, 1] = np.nan
    assert not agreement(exact, broken).passed
    with pytest.raises(EncoderError, match="has 720 texts"):
        agreement(exact, {"query": exact["query"][:10], "document": exact["document"]})


def test_it_embeds_questions_as_queries() -> None:
    class Encoder:
        def encode_query(self, texts: list[str], **_: object) -> np.ndarray:
            return np.zeros((len(texts), 2))

        def encode_document(self, texts: list[str], **_: object) -> np.ndarray:
            return np.array([[len(text), 1] for text in texts])

    found = embed_check_set(Encoder())
    assert found["query"].dtype == np.float32
    assert not found["query"].any()
    assert found["document"][0, 0] == len(check_set().passages[0])


def test_a_check_is_kept_by_processor(tmp_path: Path) -> None:
    found = Agreement(0.001, -0.0005, 0.0, dict.fromkeys(SETTINGS, 0.0), 12)
    assert kept_check(tmp_path, "avx2") is None
    keep_check(tmp_path, "avx2", found, {"precision": "int7"})
    keep_check(tmp_path, "arm", Agreement(0.01, 0.0, 0.0, dict.fromkeys(SETTINGS, 0.0), 12), {})
    assert kept_check(tmp_path, "avx2") == found
    assert kept_check(tmp_path, "avx512") is None
    other = kept_check(tmp_path, "arm")
    assert other is not None
    assert not other.passed
    file = tmp_path / "check.json"
    known = json.loads(file.read_text())
    assert known["avx2"]["precision"] == "int7"
    known["avx2"]["set"] = "older"
    file.write_text(json.dumps(known))
    assert kept_check(tmp_path, "avx2") is None
    file.write_text("{")
    assert kept_check(tmp_path, "avx2") is None
