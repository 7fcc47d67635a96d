"""Decomposed text (NFD): embedded, trained on and counted as the composed text that it looks like."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, normalizers
from typer.testing import CliRunner

from babelmix.cli.app import app
from babelmix.corpus import Corpus
from babelmix.corpus.nfc import composed, count_decomposed, is_composed
from babelmix.encoders import encode, fingerprint, load_encoder, static, unigram
from babelmix.encoders.composing import compose_first, composing, without_composing
from babelmix.encoders.embed import encode_batch
from babelmix.encoders.store import EmbeddingStore
from babelmix.encoders.uniter.tokenizer import learn_vocabulary
from babelmix.evaluation.tokens import tokens_of

WORDS = [
    "Việt Nam có bao nhiêu tỉnh",
    "대한민국의 수도는 서울",
    "ガギグゲゴ パピプペポ",
    "Αθήνα είναι η πρωτεύουσα",
    "plain words",
]
NFD = [unicodedata.normalize("NFD", text) for text in WORDS]

NORMALIZERS = [
    None, normalizers.Lowercase(), normalizers.Sequence([]), normalizers.Sequence([normalizers.Lowercase()]),
    normalizers.Sequence([normalizers.Lowercase(), normalizers.StripAccents()]), normalizers.BertNormalizer(),
    normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase()]), normalizers.NFC(), normalizers.NFKC(),
    normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()]),
]  # fmt: skip


@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=str)
def test_what_a_tokenizer_did_before_can_be_told(normalizer: normalizers.Normalizer | None) -> None:
    tokenizer = Tokenizer(models.WordLevel({"é": 0, "?": 1}, unk_token="?"))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    before = json.loads(tokenizer.to_str())["normalizer"]
    composing(composing(tokenizer))
    # A tokenizer that was saved is the one that was loaded.
    again = Tokenizer.from_str(tokenizer.to_str())
    composing(again)
    assert again.to_str() == tokenizer.to_str()
    assert without_composing(json.loads(again.to_str())["normalizer"]) == before
    assert again.encode("e\u0301").ids == again.encode("é").ids


def test_composing_and_counting() -> None:
    assert composed(NFD) == WORDS
    assert all(mine is own for mine, own in zip(composed(WORDS), WORDS, strict=True))
    assert [is_composed(text) for text in NFD] == [False, False, False, False, True]
    column = pa.chunked_array([pa.array([*NFD, None], pa.large_string()), pa.array(WORDS, pa.large_string())])
    assert count_decomposed(column) == 4
    assert count_decomposed(pa.chunked_array([pa.array(WORDS)])) == 0
    assert count_decomposed(pa.chunked_array([], pa.large_string())) == 0


@pytest.fixture(scope="module")
def learned() -> SentenceTransformer:
    return static.from_scratch(WORDS * 3, vocabulary=150, dimension=16)


def test_both_forms_have_one_embedding(learned: SentenceTransformer, tmp_path: Path) -> None:
    expected = encode(learned, WORDS, "query", store=False)
    assert (encode(learned, NFD, "query", store=False) == expected).all()
    assert (encode_batch(learned, NFD, "query") == expected).all()
    learned.save(str(tmp_path))
    for loaded in (SentenceTransformer(str(tmp_path), device="cpu"), load_encoder(str(tmp_path))):
        assert np.allclose(loaded.encode_query(NFD), expected, atol=1e-6)
        assert fingerprint(loaded) == fingerprint(learned)
    vocabulary = unigram.learn(NFD * 3, 150).to_str()
    assert vocabulary == unigram.learn(WORDS * 3, 150).to_str()


def test_any_encoder_composes_and_keeps_its_fingerprint(tiny_bert: Path, tmp_path: Path) -> None:
    plain = SentenceTransformer(str(tiny_bert), device="cpu")
    encoder = load_encoder(str(tiny_bert))
    encoder.prompts = plain.prompts = {"query": "", "document": ""}
    assert fingerprint(encoder) == fingerprint(plain)
    assert [encoder.tokenizer(text)["input_ids"] for text in NFD] == [
        plain.tokenizer(text)["input_ids"] for text in WORDS
    ]
    encoder.save(str(tmp_path / "saved"))
    saved = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    assert (saved.encode(NFD) == plain.encode(WORDS)).all()
    # One that was not loaded by us, too.
    assert (encode(plain, NFD, "query", store=False) == encode(plain, WORDS, "query", store=False)).all()
    compose_first(plain)
    assert (plain.encode(NFD) == encoder.encode(WORDS)).all()


def test_both_forms_have_one_place_in_the_cache(learned: SentenceTransformer, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    encode(learned, WORDS, "query")
    encode(learned, NFD, "query")
    encode(learned, [*NFD, *WORDS], "query")
    assert len(EmbeddingStore.of(fingerprint(learned)[:32], "query").load()[0]) == len(WORDS)


def corpus_of(texts: list[str]) -> Corpus:
    rows = [{"item": f"i{number}", "lang": "vi", "text": text} for number, text in enumerate(texts)]
    return Corpus.from_rows(rows, rows, [(f"i{number}", f"i{number}") for number in range(len(texts))], name="forms")


def test_tokens_are_counted_of_composed_text(learned: SentenceTransformer) -> None:
    assert tokens_of(learned, corpus_of(NFD)) == tokens_of(learned, corpus_of(WORDS))


def test_words_of_the_reranker_are_composed() -> None:
    pieces = learn_vocabulary(WORDS, size=120, lowercase=False)
    assert pieces.encode([NFD[0]], max_text=40)[0].tolist() == pieces.encode([WORDS[0]], max_text=40)[0].tolist()


def test_data_and_index_say_how_many(learned: SentenceTransformer, tmp_path: Path) -> None:
    corpus_of(NFD).save(tmp_path / "corpus")
    learned.save(str(tmp_path / "encoder"))
    told = CliRunner().invoke(app, ["data", str(tmp_path / "corpus")]).stdout
    assert "8 texts are not in NFC; encoders read them composed" in told
    told = CliRunner().invoke(app, ["data", str(tmp_path / "corpus"), "--json"]).stdout
    assert json.loads(told)["decomposed"] == 8
    pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")
    to = ["--to", str(tmp_path / "index"), "--model", str(tmp_path / "encoder"), "--json"]
    told = json.loads(CliRunner().invoke(app, ["index", str(tmp_path / "corpus"), *to]).stdout)
    assert (told["written"], told["decomposed"]) == (5, 4)
    # Nothing that was given is altered.
    asked = ["search", WORDS[0], "--in", str(tmp_path / "index"), "--json", "-k", "1"]
    assert unicodedata.normalize("NFD", WORDS[0]) in CliRunner().invoke(app, asked).stdout
