"""Folders that are not whole are refused, before they take time or memory, and never differ from one loading to the next."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import parallel_corpus
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

from babelmix.encoders import encode, fingerprint, load_encoder
from babelmix.encoders.origin import origin_of
from babelmix.errors import EncoderError
from babelmix.evaluation import audit
from babelmix.evaluation.run import is_finished
from babelmix.evaluation.systems import EncoderSystem

QUERY = "encoder.layer.1.attention.self.query.weight"
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def folder(tiny_bert: Path, tmp_path: Path) -> Path:
    """A BERT of two layers with 39 tensors."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "m"))


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def rewrite(folder: Path, changed: Callable[[Tensors], Tensors]) -> None:
    save_file(
        changed(load_file(folder / "model.safetensors")), folder / "model.safetensors", metadata={"format": "pt"}
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda t: {k: v for k, v in t.items() if k != QUERY}, f"lack {QUERY};"),
        (lambda t: {k: v for k, v in t.items() if "layer.1" not in k}, r"lack .*, .*, .* and 13 more"),
        (
            lambda t: {k.replace("layer.1.", "layer.7."): v for k, v in t.items()},
            r"without a place in the model, encoder.layer.7",
        ),
        (
            lambda t: t | {"encoder.layer.2.output.dense.bias": torch.zeros(32)},
            "without a place in the model, encoder.layer.2",
        ),
        (lambda t: t | {QUERY: torch.zeros(32, 16)}, rf"other shapes: {QUERY} \(32, 16\), not \(32, 32\)"),
        (
            lambda t: {k: v for k, v in t.items() if not k.startswith("embeddings.LayerNorm")},
            "lack embeddings.LayerNorm",
        ),
    ],
    ids=["missing", "a layer", "renamed", "unexpected", "shape", "norm"],
)
def test_weights_that_do_not_fit_are_refused(folder: Path, changed: Callable[[Tensors], Tensors], said: str) -> None:
    rewrite(folder, changed)
    with pytest.raises(EncoderError, match=rf"config\.json: the weights beside it .*{said}") as error:
        load_encoder(str(folder))
    assert "\n" not in str(error.value)


def test_a_head_and_other_prefixes_are_no_damage(folder: Path, tiny_bert: Path) -> None:
    expected = load_encoder(str(tiny_bert), device="cpu").encode(["cat dog"])
    rewrite(
        folder,
        lambda t: (
            {f"bert.{k}": v for k, v in t.items()}
            | {
                "cls.predictions.bias": torch.zeros(5),
                "lm_head.bias": torch.zeros(5),
                "classifier.weight": torch.zeros(2, 32),
                "bert.embeddings.position_ids": torch.arange(64)[None],
            }
        ),
    )
    np.testing.assert_array_equal(load_encoder(str(folder), device="cpu").encode(["cat dog"]), expected)


def test_a_pooler_that_is_not_there_is_the_same_each_time(folder: Path) -> None:
    rewrite(folder, lambda t: {k: v for k, v in t.items() if "pooler" not in k})
    first, second = (load_encoder(str(folder), device="cpu") for _ in range(2))
    assert fingerprint(first) == fingerprint(second)
    # Where it gives the embedding, it has to be there.
    settings = {"modality_config": {"text": {"method": "forward", "method_output_name": "pooler_output"}}}
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    with pytest.raises(EncoderError, match=r"lack pooler\.dense\.bias"):
        load_encoder(str(folder))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("num_hidden_layers", 1_000_000, "has 39 tensors, which is too few"),
        ("max_position_embeddings", 10**11, "no model has more than 20,000,000 positions"),
        ("num_labels", 10**9, "no encoder has more than 100,000 labels"),
        ("vocab_size", 10**9, "describes 32,000,0.* weights, but the files have"),
        ("hidden_size", 10**6, "describes .* weights, but the files have"),
        ("intermediate_size", 10**8, "describes .* weights, but the files have"),
        ("num_attention_heads", 3, "cannot be loaded as an encoder"),
        ("hidden_size", 0, "cannot be loaded as an encoder"),
        ("hidden_size", "many", "cannot be loaded as an encoder"),
    ],
)
def test_claims_are_compared_with_the_weights_first(
    folder: Path, key: str, value: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(folder / "config.json", **{key: value})
    # Nothing is loaded.
    monkeypatch.setattr(SentenceTransformer, "__init__", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(EncoderError, match=rf"config\.json.*{said}") as error:
        load_encoder(str(folder))
    assert "\n" not in str(error.value)


def test_a_modules_claims_are_compared_too(tiny_bert: Path, tmp_path: Path) -> None:
    parts = [Transformer(str(tiny_bert)), Pooling(32), Dense(32, 16), Normalize()]
    SentenceTransformer(modules=parts, device="cpu").save_pretrained(str(tmp_path / "m"), create_model_card=False)
    change(tmp_path / "m" / "2_Dense" / "config.json", in_features=10**6, out_features=10**6)
    with pytest.raises(
        EncoderError, match=r"2_Dense/config\.json, in_features 1000000 x out_features 1000000: .* 528 numbers"
    ):
        load_encoder(str(tmp_path / "m"))


def test_a_folder_without_a_tokenizer_is_refused(folder: Path) -> None:
    for file in folder.glob("token*"):
        file.unlink()
    with pytest.raises(EncoderError, match="its tokenizer has no vocabulary; the folder lacks the tokenizer's files"):
        load_encoder(str(folder))


def test_tokens_beyond_the_embeddings_are_refused(folder: Path) -> None:
    change(folder / "config.json", vocab_size=50)
    rewrite(
        folder,
        lambda t: t | {"embeddings.word_embeddings.weight": t["embeddings.word_embeddings.weight"][:50].contiguous()},
    )
    with pytest.raises(
        EncoderError, match=r"its tokenizer has ids up to 111 \('59'\), but there are 50 token embeddings"
    ):
        load_encoder(str(folder))


def test_a_static_encoders_tokens_beyond_its_table_are_refused(tiny_static, tmp_path: Path) -> None:
    tiny_static.save_pretrained(str(tmp_path / "m"), create_model_card=False)
    weights = next((tmp_path / "m").rglob("model.safetensors"))
    save_file({"embedding.weight": load_file(weights)["embedding.weight"][:20].contiguous()}, weights)
    with pytest.raises(EncoderError, match="there are 20 token embeddings"):
        load_encoder(str(tmp_path / "m"))


@pytest.mark.parametrize("cut", [0, 7, 100, -1])
def test_weights_that_are_cut_off_are_one_sentence(folder: Path, cut: int) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:cut])
    with pytest.raises(EncoderError, match=r"model\.safetensors: cannot be read as weights only") as error:
        load_encoder(str(folder))
    assert "\n" not in str(error.value)


def e5_like(place: Path, tiny_bert: Path) -> Path:
    shutil.copytree(tiny_bert, place)
    return place


@pytest.mark.parametrize("end", ["", "/"])
def test_a_snapshot_in_the_hubs_cache_has_the_prompts_of_its_model(
    tmp_path: Path, tiny_bert: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = e5_like(tmp_path / "models--intfloat--multilingual-e5-small" / "snapshots" / "fd1525a9", tiny_bert)
    link = tmp_path / "link"
    link.symlink_to(place, target_is_directory=True)
    monkeypatch.chdir(place)
    for way in (f"{place}{end}", f"{link}{end}", ".", "./"):
        assert load_encoder(way, device="cpu").prompts == {
            "query": "query: ",
            "document": "passage: ",
            "passage": "passage: ",
        }


@pytest.mark.parametrize(
    "name",
    [
        "my-e5-small",
        "multilingual-e5-small",
        "other",
        "intfloat/multilingual-e5-small",
        "xlm-roberta-base",
        "models--a--b/x",
    ],
)
def test_the_name_of_a_folder_decides_nothing(
    tmp_path: Path, tiny_bert: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    e5_like(tmp_path / name, tiny_bert)
    monkeypatch.chdir(tmp_path)
    for way in (name, str(tmp_path / name), name.replace("/", "\\")):
        assert not any(load_encoder(way, device="cpu").prompts.values())


def test_prompts_can_be_given(tmp_path: Path, tiny_bert: Path) -> None:
    place = e5_like(tmp_path / "other", tiny_bert)
    encoder = load_encoder(str(place), device="cpu", prompts={"query": "query: ", "document": "passage: "})
    encoder.save(str(tmp_path / "saved"), create_model_card=False)
    again = load_encoder(str(tmp_path / "saved"), device="cpu")
    assert (again.prompts["query"], again.prompts["document"]) == ("query: ", "passage: ")
    found = [origin_of(one) for one in (encoder, again)]
    assert [one and one.prompts for one in found] == ["given to load_encoder", "saved with the encoder"]
    done = audit(again, parallel_corpus(items=6), name="again", store=False)
    assert done.table.about.prompts_from == "saved with the encoder"
    done.save(tmp_path / "audit")
    about = json.loads((tmp_path / "audit" / "metrics.json").read_text())["about"]
    assert about["prompts_from"] == "saved with the encoder"
    # An audit that was saved before there was this fact still counts as finished.
    facts = EncoderSystem(again, "again").facts(parallel_corpus(items=6))
    assert is_finished(tmp_path / "audit", facts)
    assert facts.prompts_from is None


def test_who_opens_an_e5_without_its_prompts_is_told_once(tiny_bert: Path, tmp_path: Path, capsys) -> None:
    plain = SentenceTransformer(str(tiny_bert), device="cpu")
    plain[0].auto_model.config._name_or_path = "intfloat/multilingual-e5-small"
    for text in ("cat", "dog"):
        encode(plain, [text], "query", store=False)
    assert capsys.readouterr().err.count("its card demands prompts, and it runs without any") == 1
    prompted = load_encoder(str(tiny_bert), device="cpu", prompts={"query": "query: "})
    prompted[0].auto_model.config._name_or_path = "intfloat/multilingual-e5-small"
    encode(prompted, ["cat"], "query", store=False)
    encode(load_encoder(str(tiny_bert), device="cpu"), ["cat"], "query", store=False)
    assert "demands" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "text", "source"),
    [
        ("config.json", '"_name_or_path": "intfloat/multilingual-e5-base"', "config.json, _name_or_path"),
        (
            "README.md",
            "---\nmodel-index:\n- name: multilingual-e5-small\n  results: []\n---\n# E5\n",
            "README.md, model-index",
        ),
    ],
)
def test_a_copy_of_another_name_keeps_its_prompts(
    tmp_path: Path, tiny_bert: Path, file: str, text: str, source: str
) -> None:
    place = e5_like(tmp_path / "my-copy", tiny_bert)
    if file == "config.json":
        change(place / file, **json.loads("{" + text + "}"))
    else:
        (place / file).write_text(text)
    encoder = load_encoder(str(place), device="cpu")
    assert encoder.prompts["query"] == "query: "
    origin = origin_of(encoder)
    assert origin is not None
    assert source in origin.prompts


def test_what_only_looks_like_an_e5_is_said_and_not_guessed(tmp_path: Path, tiny_bert: Path, capsys) -> None:
    place = e5_like(tmp_path / "tuned", tiny_bert)
    (place / "README.md").write_text("---\nbase_model: intfloat/multilingual-e5-small\n---\n")
    assert not any(load_encoder(str(place), device="cpu").prompts.values())
    assert "made from intfloat/multilingual-e5-small" in capsys.readouterr().err.replace("\n", " ")


def test_a_model_that_names_xlm_r_as_its_start_gets_no_prompts(tmp_path: Path, tiny_bert: Path) -> None:
    place = e5_like(tmp_path / "tuned", tiny_bert)
    change(place / "config.json", _name_or_path="xlm-roberta-base")
    assert not any(load_encoder(str(place), device="cpu").prompts.values())


def test_the_command_says_where_prompts_come_from(tmp_path: Path, tiny_bert: Path, babelmix) -> None:
    place = e5_like(tmp_path / "models--intfloat--e5-base" / "snapshots" / "b533fe4", tiny_bert)
    status, out, _ = babelmix("encoders", str(place), "--json")
    assert status == 0
    assert json.loads(out)["prompts_from"] == "published with intfloat/e5-base (the hub's cache)"
    status, out, _ = babelmix("encoders", str(place))
    assert "prompts from: published with intfloat/e5-base" in out
