"""Static encoders without torch give the embeddings of torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from babelmix.encoders.exported.static import VECTORS, open_vectors, static_vectors
from babelmix.encoders.exported.tokens import open_tokens
from babelmix.encoders.static import from_scratch
from babelmix.errors import EncoderError

TABLE = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 49), max_size=80), max_size=5))
def test_vectors_are_torchs_means(ids: list[list[int]]) -> None:
    bag = torch.nn.EmbeddingBag.from_pretrained(torch.from_numpy(TABLE.copy()), mode="mean")
    offsets = torch.tensor([0, *np.cumsum([len(one) for one in ids])[:-1]][: len(ids)], dtype=torch.long)
    expected = bag(torch.tensor([token for one in ids for token in one], dtype=torch.long), offsets).numpy()
    found = static_vectors(TABLE, [np.array(one, dtype=np.int64) for one in ids])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=0, atol=1e-6)


def test_a_token_without_a_vector_is_an_error() -> None:
    with pytest.raises(IndexError):
        static_vectors(TABLE, [np.array([50])])


def test_texts_have_the_embeddings_of_the_encoder(tmp_path: Path) -> None:
    encoder = from_scratch(["a dog runs", "ein Hund rennt", "un chien court", "犬が走る"], dimension=16)
    np.save(tmp_path / VECTORS, encoder[0].embedding.weight.detach().numpy())
    encoder[0].tokenizer.save(str(tmp_path / "tokenizer.json"))
    texts = ["a dog", "", "Hund 犬 zzz", "chien " * 700, "\u2603"]
    ids = open_tokens(tmp_path, max_length=None, add_special_tokens=False).of(texts)
    found = static_vectors(open_vectors(tmp_path), ids)
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    np.testing.assert_allclose(found, encoder.encode(texts), rtol=0, atol=1e-6)


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="is missing"):
        open_vectors(tmp_path)
    (tmp_path / VECTORS).write_bytes(b"")
    with pytest.raises(EncoderError, match="cannot be read"):
        open_vectors(tmp_path)
    np.save(tmp_path / VECTORS, TABLE.astype(np.float64))
    with pytest.raises(EncoderError, match="float64 with 2 axes"):
        open_vectors(tmp_path)
