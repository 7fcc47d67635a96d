"""bfloat16: faster, close, and never taken for float32."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from conftest import parallel_corpus

from babelmix.encoders import encode, fingerprint, load_encoder, precision
from babelmix.errors import EmbeddingError
from babelmix.evaluation import audit
from babelmix.evaluation.run import is_finished
from babelmix.evaluation.systems import EncoderSystem

TEXTS = [row["text"] for row in parallel_corpus().passages.to_pylist()]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "embeddings"


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_bfloat16_is_close_and_stored_apart(tiny_bert, cache, monkeypatch) -> None:
    encoder = load_encoder(str(tiny_bert))
    exact, rough = encode(encoder, TEXTS, "query"), encode(encoder, TEXTS, "query", bf16=True)
    assert rough.dtype == np.float32
    assert not np.allclose(exact, rough, atol=1e-6)
    assert cosines(exact, rough).min() > 0.99
    key = fingerprint(encoder)[:32]
    assert sorted(path.name for path in cache.iterdir()) == [key, f"{key}-bf16"]

    def never(*_: object, **__: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(encoder, "encode_query", never)
    # Each comes back from its own shelf, whichever was encoded last.
    assert np.array_equal(encode(encoder, TEXTS, "query"), exact)
    assert np.array_equal(encode(encoder, TEXTS, "query", bf16=True), rough)
    with pytest.raises(EmbeddingError, match="encoded again"):
        encode(encoder, [*TEXTS, "more"], "query", bf16=True)


def test_an_encoder_is_as_exact_as_before_afterwards(tiny_bert) -> None:
    encoder = load_encoder(str(tiny_bert))
    before = encode(encoder, TEXTS[:20], "query", store=False)
    encode(encoder, TEXTS[:20], "query", store=False, bf16=True)
    assert np.array_equal(encode(encoder, TEXTS[:20], "query", store=False), before)


def test_a_static_encoder_has_nothing_to_round(tiny_static) -> None:
    exact, rough = (encode(tiny_static, TEXTS, "query", store=False, bf16=bf16) for bf16 in (False, True))
    assert np.array_equal(exact, rough)


@pytest.mark.parametrize("bf16", [False, True])
def test_an_audit_of_one_precision_is_not_taken_for_one_of_the_other(tiny_bert, tmp_path, bf16: bool) -> None:
    encoder, corpus = load_encoder(str(tiny_bert)), parallel_corpus(20)
    done = audit(encoder, corpus, name="tiny", bf16=bf16)
    done.save(tmp_path / "audit")
    assert is_finished(tmp_path / "audit", EncoderSystem(encoder, "tiny", bf16=bf16).facts(corpus))
    assert not is_finished(tmp_path / "audit", EncoderSystem(encoder, "tiny", bf16=not bf16).facts(corpus))
    assert done.table.about.precision == ("bfloat16" if bf16 else None)


def test_one_is_told_once_where_bfloat16_is_slow(tiny_bert, tiny_static, monkeypatch, capsys) -> None:
    monkeypatch.setattr(precision, "bfloat16_time", lambda: 53.2)
    monkeypatch.setattr(precision, "_tell", functools.cache(precision._tell.__wrapped__))
    encode(tiny_static, TEXTS[:4], "query", store=False, bf16=True)
    encoder = load_encoder(str(tiny_bert))
    encode(encoder, TEXTS[:4], "query", store=False)
    assert "bfloat16" not in capsys.readouterr().err
    encode(encoder, TEXTS[:4], "query", store=False, bf16=True)
    assert "bfloat16 takes 53 times as long as float32" in " ".join(capsys.readouterr().err.split())
    encode(encoder, TEXTS[:4], "query", store=False, bf16=True)
    assert "bfloat16" not in capsys.readouterr().err
    monkeypatch.setattr(precision, "bfloat16_time", lambda: 0.6)
    encode(encoder, TEXTS[:4], "query", store=False, bf16=True)
    assert "bfloat16" not in capsys.readouterr().err


def test_the_time_of_a_product_is_measured() -> None:
    assert 0.01 < precision.bfloat16_time() < 10_000
