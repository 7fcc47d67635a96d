"""Exported encoders give the vectors of their encoders, and run without torch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from babelmix.encoders import fingerprint, load_encoder, static
from babelmix.encoders.exported.encoder import ExportedEncoder
from babelmix.encoders.exported.facts import ARRAYS, FILE, PoolingStep, read_facts
from babelmix.encoders.exported.finding import FLOAT32, find_export, kept_backends, open_known
from babelmix.encoders.exported.making import make_export
from babelmix.encoders.exported.steps import pool
from babelmix.encoders.runtime import backend_of, store_suffix
from babelmix.errors import EncoderError

TEXTS = ["cat dog", "Katze", "", "猫 犬 家", "cat " * 100, "not in the vocabulary", "  river  bread "]


@pytest.fixture
def exported_static(tiny_static) -> ExportedEncoder:
    folder = make_export(tiny_static, "numpy", name="tiny")
    assert folder is not None
    return ExportedEncoder(folder)


@pytest.mark.parametrize("method", ["encode_query", "encode_document", "encode"])
def test_a_static_encoder_gives_the_same_vectors(tiny_static, exported_static, method: str) -> None:
    right, found = getattr(tiny_static, method)(TEXTS), getattr(exported_static, method)(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, right, atol=1e-6)
    np.testing.assert_allclose(getattr(exported_static, method)(TEXTS[0]), right[0], atol=1e-6)


def test_an_export_has_the_face_of_its_encoder(tiny_static, exported_static) -> None:
    assert fingerprint(exported_static) == fingerprint(tiny_static)
    assert exported_static.get_embedding_dimension() == tiny_static.get_embedding_dimension()
    assert exported_static.similarity_fn_name == str(tiny_static.similarity_fn_name)
    assert (backend_of(exported_static), store_suffix(exported_static)) == ("numpy", "")
    assert exported_static.supports("text")
    assert not exported_static.supports("image")
    exported_static.prompts = {"query": "query: "}
    assert fingerprint(exported_static) != fingerprint(tiny_static)


@pytest.mark.parametrize(
    "modes", [["cls"], ["max"], ["mean"], ["mean_sqrt_len_tokens"], ["weightedmean"], ["lasttoken"], ["cls", "mean"]]
)
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("prompt", [0, 2])
def test_pooling_is_that_of_sentence_transformers(modes: list[str], left: bool, prompt: int) -> None:
    import torch
    from sentence_transformers.sentence_transformer.modules import Pooling

    rng = np.random.default_rng(0)
    tokens = rng.standard_normal((4, 7, 5)).astype(np.float32)
    mask = (np.arange(7) < np.array([7, 3, 4, 5])[:, None]).astype(np.int64)
    if left:
        mask = np.ascontiguousarray(mask[:, ::-1])
    module = Pooling(5, pooling_mode=tuple(modes), include_prompt=not prompt)
    features: dict[str, Any] = {"token_embeddings": torch.from_numpy(tokens), "attention_mask": torch.from_numpy(mask)}
    if prompt:
        features["prompt_length"] = prompt
    right = module(features)["sentence_embedding"].numpy()
    step = PoolingStep.model_validate({"modes": modes, "prompt_lengths": {"query": prompt} if prompt else {}})
    np.testing.assert_allclose(pool(tokens, mask, step, "query"), right, atol=1e-6)


@pytest.mark.parametrize("method", ["centred", "means", "components", "linear-map", "langsae"])
def test_removals_are_exported(tiny_static, tmp_path: Path, method: str) -> None:
    from conftest import WORDS

    from babelmix.encoders.debias import debiased
    from babelmix.encoders.removal import RemovalOptions

    texts = {lang: [f"{word} {n}" for n in range(3) for word in words] for lang, words in WORDS.items()}
    items = {lang: list(range(len(some))) for lang, some in texts.items()}
    encoder = debiased(tiny_static, texts, method=method, items=items, options=RemovalOptions())
    folder = make_export(encoder, "numpy", name="debiased")
    assert folder is not None
    exported = ExportedEncoder(folder)
    for name in ("encode_query", "encode_document", "encode"):
        np.testing.assert_allclose(getattr(exported, name)(TEXTS), getattr(encoder, name)(TEXTS), atol=2e-6)


@pytest.mark.parametrize("activation", ["Identity", "Tanh", "ReLU", "GELU", "Sigmoid", "SiLU"])
def test_dense_layers_are_exported(tiny_static, activation: str) -> None:
    import copy

    import torch
    from sentence_transformers.base.modules.dense import Dense
    from sentence_transformers.sentence_transformer.modules import LayerNorm

    torch.manual_seed(0)
    encoder = copy.deepcopy(tiny_static)
    encoder.append(Dense(16, 6, activation_function=getattr(torch.nn, activation)()))
    encoder.append(LayerNorm(6))
    encoder.truncate_dim = 4
    folder = make_export(encoder, "numpy", name="dense")
    assert folder is not None
    exported = ExportedEncoder(folder)
    assert exported.get_embedding_dimension() == 4
    # LayerNorm divides by a small spread.
    np.testing.assert_allclose(exported.encode_query(TEXTS), encoder.encode_query(TEXTS), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnx-fp32", "onnx", "openvino"])
def test_a_transformer_gives_the_same_vectors_as_its_graph_under_torch(tiny_bert: Path, backend: str) -> None:
    plain = load_encoder(tiny_bert, prompts={"query": "cat "}, max_seq_length=16)
    kept = kept_backends(backend, None)
    folders = [folder for one in kept if (folder := make_export(plain, one, name="tiny")) is not None]
    exported = ExportedEncoder(folders[0])
    by_torch = load_encoder(tiny_bert, prompts={"query": "cat "}, max_seq_length=16, backend=backend)
    assert (backend_of(exported), fingerprint(exported)) == (backend_of(by_torch), fingerprint(plain))
    for method in ("encode_query", "encode_document"):
        right = getattr(by_torch, method)(TEXTS, batch_size=128)
        np.testing.assert_allclose(getattr(exported, method)(TEXTS), right, atol=1e-6)
        if backend == "onnx-fp32":
            np.testing.assert_allclose(getattr(plain, method)(TEXTS), right, atol=1e-5)


def test_the_backends_that_will_do() -> None:
    assert kept_backends("auto", "torch") == kept_backends("auto", "onnx-fp32") == FLOAT32
    assert kept_backends("auto", "onnx-int7") == ("onnx-int7",)
    assert kept_backends("onnx", "torch") == ("onnx-int8", "onnx-int7")
    assert kept_backends("openvino-fp32", "torch") == ("openvino-fp32",)
    assert kept_backends("torch", "onnx-int8") == kept_backends("auto", None) == ()


def test_an_export_is_found_by_its_fingerprint(tiny_static, exported_static) -> None:
    key = fingerprint(tiny_static)
    assert find_export(key, FLOAT32) == exported_static.folder
    assert find_export("0" * 64, FLOAT32) is None
    # Nothing is loaded, so the encoder may be gone.
    found = open_known("gone", key=key, rows="torch", load=lambda name: pytest.fail(name))
    assert isinstance(found, ExportedEncoder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "newer babelmix"),
        ({"dimension": 0}, "'dimension'"),
        ({"unknown": 1}, "'unknown'"),
        ({"steps": [{"type": "pooling", "modes": ["mean"]}]}, "pooling"),
        ({"dimension": 3}, "not of 3 dimensions"),
    ],
)
def test_damaged_facts_are_refused(exported_static, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    folder = tmp_path / "export"
    shutil.copytree(exported_static.folder, folder)
    (folder / "checksums.json").unlink()
    facts = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps(facts | change))
    with pytest.raises(EncoderError, match=message):
        ExportedEncoder(folder).encode(["a dog"])


def test_damaged_files_are_named(exported_static, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(exported_static.folder, folder)
    (folder / "vectors.npy").write_bytes(b"no vectors")
    with pytest.raises(EncoderError, match=r"vectors\.npy: is damaged; export the encoder again"):
        ExportedEncoder(folder)
    (folder / "checksums.json").unlink()
    with pytest.raises(EncoderError, match=r"vectors\.npy: cannot be read"):
        ExportedEncoder(folder)
    (folder / ARRAYS).write_bytes(b"no arrays")
    with pytest.raises(EncoderError, match=r"steps\.safetensors: is damaged"):
        ExportedEncoder(folder)
    (folder / FILE).unlink()
    with pytest.raises(EncoderError, match="cannot be read"):
        read_facts(folder)


def test_pictures_are_refused(exported_static) -> None:
    from babelmix.encoders.embed import encode_batch

    pillow = pytest.importorskip("PIL.Image")
    with pytest.raises(EncoderError, match="cannot embed pictures"):
        encode_batch(exported_static, [pillow.new("RGB", (4, 4))], "query")


def test_no_text_gives_no_vector(exported_static) -> None:
    assert exported_static.encode_query([]).shape == (0, 16)


def test_a_static_encoder_from_scratch_with_prompts(tmp_path: Path) -> None:
    encoder = static.from_scratch(["a dog", "ein Hund"], dimension=8)
    encoder.prompts = {"query": "dog ", "document": ""}
    folder = make_export(encoder, "numpy", name="prompted")
    assert folder is not None
    np.testing.assert_allclose(
        ExportedEncoder(folder).encode_query(["Hund"]), encoder.encode_query(["Hund"]), atol=1e-6
    )
