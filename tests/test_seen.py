"""An audit says which share of its passages the encoder was trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

import babelmix as bm
from babelmix.corpus import Corpus, load_corpus
from babelmix.corpus.seen import SAMPLE, seen_in, share_seen

SHOP = Path(__file__).parents[1] / "docs" / "shop.csv"


def corpus_of(texts: range) -> Corpus:
    rows = [{"item": str(n), "lang": "en", "text": f"text {n}"} for n in texts]
    return Corpus.from_rows(rows, rows, [(row["item"], row["item"]) for row in rows])


def test_a_sample_estimates_what_all_texts_tell() -> None:
    small = seen_in([corpus_of(range(SAMPLE))])
    assert share_seen(small, corpus_of(range(1000, 3000))) == (SAMPLE - 1000) / 2000
    large = seen_in([corpus_of(range(20_000)), corpus_of(range(10_000, 30_000))])
    assert large["passages"] == 30_000
    assert len(large["sample"]) < 12 * SAMPLE
    assert share_seen(large, corpus_of(range(5_000))) == 1
    assert share_seen(large, corpus_of(range(30_000, 40_000))) == 0
    assert share_seen(large, corpus_of(range(20_000, 40_000))) == pytest.approx(0.5, abs=0.06)
    # The record does not depend on the order of texts or corpora.
    assert seen_in([corpus_of(range(10_000, 30_000)), corpus_of(range(20_000))]) == large


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"passages": 3, "sample": "?"},
        {"passages": 3, "sample": "AAAA"},
        {"passages": float("inf"), "sample": "A" * 11 + "="},
        {"sample": "A" * 32},
    ],
)
def test_a_damaged_record_is_none(record: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"record|base64|padding|buffer"):
        share_seen(record, corpus_of(range(3)))


def test_an_audit_on_training_texts_says_so(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers", reason="the extra 'train' is not installed")
    from babelmix.encoders.kinds import make_encoder
    from babelmix.training import TrainingSettings, train

    whole, part = load_corpus(SHOP), load_corpus(SHOP, part="train")
    encoder = make_encoder("static", [*whole.passages["text"].to_pylist()], dimension=8, seed=0)
    train(encoder, part, TrainingSettings(strategy="hybrid", steps=2, batch_size=8), tmp_path / "model")
    share = share_seen(seen_in([part]), whole)
    assert 0.5 < share < 1
    report = bm.audit(str(tmp_path / "model"), whole, out=tmp_path / "audit")
    assert report.audit.table.about.trained_on == pytest.approx(share, abs=1e-4)
    assert f"was trained on about {share:.0%} of these passages" in " ".join(report.lines())
    assert "was trained on about" in (tmp_path / "audit" / "report.html").read_text(encoding="utf-8")
    assert "was trained on" not in " ".join(bm.audit(str(tmp_path / "model"), load_corpus(SHOP, part="test")).lines())
    assert "trained on all of these passages" in " ".join(bm.audit(str(tmp_path / "model"), part).lines())
