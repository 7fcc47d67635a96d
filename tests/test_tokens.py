"""Tokenizer fairness in the audit."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pyarrow.compute as pc
import pytest
from conftest import parallel_corpus, picture_corpus

from babelmix.encoders import load_encoder
from babelmix.evaluation import tokens
from babelmix.evaluation.tokens import tokens_of


def test_tokens_are_those_that_the_encoder_reads(tiny_bert: Path) -> None:
    corpus = parallel_corpus(10)
    encoder = load_encoder(str(tiny_bert))
    encoder.prompts = {"query": "ask : ", "document": ""}
    whole = {}
    for side, kind, table in (("queries", "query", corpus.queries), ("passages", "document", corpus.passages)):
        for lang in ("de", "ja"):
            texts = table.filter(pc.equal(table["lang"].cast("string"), lang))["text"].to_pylist()
            prompt = encoder.prompts[kind]
            bare = [len(encoder.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
            full = [len(encoder.tokenizer(prompt + text)["input_ids"]) for text in texts]
            whole[lang, side] = (sum(bare) / sum(map(len, texts)), full)
    before = encoder.tokenizer.backend_tokenizer.to_str()
    for limit in (4, 7, 8, 9, 10, 30):
        encoder.max_seq_length = limit
        found = tokens_of(encoder, corpus)
        assert found is not None
        for (lang, side), (rate, full) in whole.items():
            told = found["langs"][lang][side]
            assert told["texts"] == 10
            assert told["tokens_per_character"] == pytest.approx(rate)
            assert told["cut"] == sum(length > limit for length in full) / 10
    assert encoder.tokenizer.backend_tokenizer.to_str() == before


def test_a_sample_depends_on_the_seed_and_not_on_other_languages(tiny_static) -> None:
    full = tokens_of(tiny_static, parallel_corpus(langs=("de", "en", "ja")), sample=7)
    turned = tokens_of(tiny_static, parallel_corpus(langs=("ja", "de")), sample=7)
    other = tokens_of(tiny_static, parallel_corpus(langs=("ja", "de")), sample=7, seed=1)
    assert full is not None
    assert turned is not None
    assert other is not None
    assert {lang: full["langs"][lang] for lang in ("de", "ja")} == turned["langs"] != other["langs"]
    assert turned["limit"] is None
    assert turned["langs"]["ja"]["queries"]["cut"] is None
    assert turned["langs"]["ja"]["queries"]["texts"] == 7


def test_equal_tokenizers_are_counted_once_on_a_corpus(tiny_static, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    counts = tokens._counts

    def watched(*given):
        counted.append(given[3].name)
        return counts(*given)

    monkeypatch.setattr(tokens, "_counts", watched)
    monkeypatch.setattr(tokens, "_counted", {})
    first = tokens_of(tiny_static, parallel_corpus(items=9))
    first["langs"]["de"]["queries"]["texts"] = -1  # what a caller does with it changes nothing
    again = tokens_of(copy.deepcopy(tiny_static), parallel_corpus(items=9))
    assert again["langs"]["de"]["queries"]["texts"] == 9
    assert len(counted) == 1
    other = copy.deepcopy(tiny_static)
    other.prompts = {"query": "query: "}
    for encoder, items in ((other, 9), (tiny_static, 8)):
        tokens_of(encoder, parallel_corpus(items=items))
    assert len(counted) == 3
    for items in range(3, 8):
        tokens_of(tiny_static, parallel_corpus(items=items))
    assert len(tokens._counted) == 4


def test_without_a_tokenizer_there_is_no_section(tiny_static) -> None:
    class Bare:
        tokenizer = None

    assert tokens_of(Bare(), parallel_corpus(4)) is None  # type: ignore[arg-type]
    pictures = tokens_of(tiny_static, picture_corpus(4))
    assert pictures is not None
    assert sorted(pictures["langs"]) == ["de", "en", "fr", "ja"]
    assert all(list(sides) == ["queries"] for sides in pictures["langs"].values())


def test_table_json_and_report_tell_the_tokens(babelmix, tiny_static, tmp_path: Path) -> None:
    parallel_corpus(12).save(tmp_path / "toy")
    tiny_static.save(str(tmp_path / "m"), create_model_card=False)
    words = ["audit", str(tmp_path / "m"), "-c", str(tmp_path / "toy"), "--out", str(tmp_path / "a")]
    code, out, err = babelmix(*words)
    assert code == 0, err
    assert "What the tokenizer makes of each language" not in out
    assert "tokens a character in" in out
    kept = json.loads((tmp_path / "a" / "metrics.json").read_text(encoding="utf-8"))
    report = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    rate = kept["about"]["tokens"]["langs"]["ja"]["passages"]["tokens_per_character"]
    assert rate > 0
    assert f"{rate:.2f}" in out
    assert f"{rate:.3f}" in report
    assert "(it has none)" in report
