"""The verdict of an audit: its thresholds, its words, and where it is printed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import parallel_corpus

from babelmix.corpus import Corpus
from babelmix.evaluation import Estimate, ScoreMatrix, audit, remedies, samples
from babelmix.evaluation import verdict as verdicts
from babelmix.evaluation.verdict import LEVELS, fair_shares, lean, verdict


def own_share(value: float, low: float, high: float, **cells: tuple[float, float, float]) -> dict:
    return {"bias/same-language share@10": (Estimate(value, low, high), {k: Estimate(*v) for k, v in cells.items()})}


def distance(value: float, low: float, high: float) -> dict:
    return {"bias/rank distance over chance": (Estimate(value, low, high), {})}


@pytest.mark.parametrize(
    ("low", "high", "level"),
    [
        (0.60, 0.80, "biased"),
        (0.40, 0.42, "biased"),  # lean .25 to .275
        (0.39, 0.42, "slightly biased"),
        (0.22, 0.60, "slightly biased"),
        (0.18, 0.28, "even"),
        (0.21, 0.27, "even"),
        (0.19, 0.29, "cannot tell"),
        (0.10, 0.60, "cannot tell"),
        (0.00, 0.10, "biased"),  # half of the fair share is missing
        (0.12, 0.17, "slightly biased"),
    ],
)
def test_the_interval_of_the_own_share_decides(low: float, high: float, level: str) -> None:
    middle = (low + high) / 2
    assert verdict(own_share(middle, low, high, de=(middle, low, high)), {"de": 0.2}).level == level


def test_a_language_that_is_biased_is_not_hidden_by_the_mean() -> None:
    even, own, none = (0.2, 0.19, 0.21), (0.95, 0.9, 1.0), (0.02, 0.0, 0.04)
    fair = dict.fromkeys(("en", "de", "fr", "es", "it"), 0.2)
    one = verdict(own_share(*even, en=own, de=even, fr=even, es=even, it=even), fair)
    assert one.level == "slightly biased"
    assert "1 of 5 query languages are biased, most of all en (95%, fair 20%)" in one.line()
    # Everything is answered in English: the mean of the own shares is fair.
    all_english = verdict(own_share(*even, en=own, de=none, fr=none, es=none, it=none), fair)
    assert all_english.level == "biased"
    assert all_english.langs == dict.fromkeys(fair, "biased")


def test_the_rank_distance_against_chance_decides_too() -> None:
    even = own_share(0.2, 0.19, 0.21, de=(0.2, 0.19, 0.21))
    assert verdict(even | distance(0.05, 0.04, 0.2), {"de": 0.2}).level == "even"
    assert verdict(even | distance(0.2, 0.1, 0.3), {"de": 0.2}).level == "slightly biased"
    assert verdict(even | distance(0.6, 0.5, 0.7), {"de": 0.2}).level == "biased"
    # An encoder that finds nothing is not biased: its answers lie as in a shuffled pool.
    assert verdict(even | distance(0.98, 0.95, 1.01), {"de": 0.2}).level == "cannot tell"
    assert verdict(distance(0.6, 0.5, 0.7), {}).level == "biased"


def test_without_judgements_there_is_no_claim_about_quality() -> None:
    found = verdict(own_share(0.8, 0.7, 0.9, de=(0.8, 0.7, 0.9)), {"de": 0.25})
    assert not found.judged
    assert found.line() == (
        "Biased: 80% of the first 10 answers are in the query's own language [70%, 90%], fair would be 25%. No claim about "
        "quality: there are no relevance judgements."
    )
    judged = verdict(
        own_share(0.8, 0.7, 0.9, de=(0.8, 0.7, 0.9)) | {"multi/mAP": (Estimate(0, 0, 0), {})}, {"de": 0.25}
    )
    assert judged.judged
    five = {name.replace("@10", "@5"): found for name, found in own_share(0.8, 0.7, 0.9, de=(0.8, 0.7, 0.9)).items()}
    assert verdict(five, {"de": 0.25}).k == 5
    assert verdict({}, {}).level == "cannot tell"
    assert (
        verdict(own_share(1, 1, 1, de=(1, 1, 1)), {"de": 1.0})
        .line()
        .startswith("Cannot tell: the pool has one language")
    )


def test_a_lean_is_symmetric_in_what_is_left() -> None:
    assert [lean(share, 0.2) for share in (0, 0.2, 1)] == [-1, 0, 1]
    assert lean(1.0, 1.0) == lean(0.0, 0.0) == 0
    assert LEVELS[0] == "biased"


def test_an_audit_leads_with_its_verdict() -> None:
    corpus = parallel_corpus(12, ("de", "en"))
    langs = [
        np.array([lang == "de" for lang in side["lang"].to_pylist()]) for side in (corpus.queries, corpus.passages)
    ]
    items = [np.array(side["item"].to_pylist()) for side in (corpus.queries, corpus.passages)]
    same_item = items[0][:, None] == items[1][None]
    own = ScoreMatrix("own", (2.0 * (langs[0][:, None] == langs[1][None]) + same_item).astype(np.float32))
    biased = audit(own, corpus)
    assert biased.verdict is not None
    assert biased.verdict.level == "biased"
    assert biased.lines()[0] == biased.lead() == biased.verdict.line()
    assert str(biased).startswith("Biased: ")
    assert "Biased: " in str(biased).splitlines()[-8:][0] or str(biased).count("Biased: ") == 2
    blind = audit(ScoreMatrix("blind", same_item.astype(np.float32)), corpus)
    assert blind.verdict is not None
    assert blind.verdict.level in ("even", "slightly biased")


def test_the_fair_share_is_that_of_the_pool() -> None:
    both = parallel_corpus(40, ("de", "en"))
    passages = [r for r in both.passages.to_pylist() if r["lang"] == "en" or int(r["item"][1:]) < 10]
    corpus = Corpus.from_rows(both.queries.to_pylist(), passages, [(f"i{i}", f"i{i}") for i in range(40)])
    scores = np.zeros((corpus.queries.num_rows, corpus.passages.num_rows), dtype=np.float32)
    assert fair_shares(audit(ScoreMatrix("x", scores), corpus).table) == {"de": 0.2, "en": 0.8}


def test_the_document_has_the_thresholds_of_the_code() -> None:
    page = (Path(__file__).parents[1] / "docs" / "audit.md").read_text(encoding="utf-8")
    rows = {cells[1].strip(): cells[2:] for line in page.splitlines() if len(cells := line.split("|")) == 6}
    assert f"is {verdicts.BIASED_LEAN} or further" in rows["biased"][0]
    assert f"within {verdicts.EVEN_LEAN} of 0" in rows["even"][0]
    assert f"further than {verdicts.EVEN_LEAN}" in rows["cannot tell"][0]
    assert f"is {verdicts.BIASED_DISTANCE} or more" in rows["biased"][2]
    assert f"is {verdicts.EVEN_DISTANCE} or more" in rows["slightly biased"][2]
    assert f"first {samples.LENGTH} characters" in page
    assert f"on up to {remedies.QUERIES} queries" in page
