"""Kinds of encoders: told by name, told in memory, and what the rest of babelmix asks of them."""

from __future__ import annotations

import copy

import pytest
from sentence_transformers import SentenceTransformer

from babelmix.encoders import load_encoder
from babelmix.encoders.dual import make_dual
from babelmix.encoders.kinds import KINDS, kind_named, kind_of, make_encoder
from babelmix.errors import EncoderError

TEXTS = ["a dog", "ein Hund", "a cat", "eine Katze"]


@pytest.mark.parametrize(
    ("name", "kind", "pretrained"),
    [
        ("static", "static", False), ("static-e5", "static", True), ("static:bert", "static", True),
        ("tiny-clip", "dual", False), ("openai/clip+static", "dual", False),
        ("intfloat/e5-base", "model", True), ("e5-small-offline", "model", True), ("staticky", "model", True),
    ],
)  # fmt: skip
def test_a_name_tells_the_kind(name: str, kind: str, pretrained: bool) -> None:
    found = kind_named(name)
    assert (found.name, found.pretrained(name)) == (kind, pretrained)


def test_a_folder_with_a_plus_is_a_model(tmp_path) -> None:
    (tmp_path / "a+b").mkdir()
    assert kind_named(str(tmp_path / "a+b")).name == "model"


def test_an_encoder_in_memory_tells_its_kind(tiny_static, tiny_bert, tmp_path) -> None:
    tiny_static.save(str(tmp_path / "saved"), create_model_card=False)
    dual = make_dual("tiny-clip", TEXTS, dimension=8, size=60)
    encoders = [
        tiny_static, load_encoder(str(tmp_path / "saved")), load_encoder(str(tiny_bert)), dual, copy.deepcopy(dual),
    ]  # fmt: skip
    assert [kind_of(encoder).name for encoder in encoders] == ["static", "static", "model", "dual", "dual"]
    assert kind_of(SentenceTransformer(modules=list(load_encoder(str(tiny_bert))))).name == "model"


def test_what_is_asked_of_a_kind() -> None:
    asked = {
        name: (kind.batch_size, kind.stored, kind.checkpoints, kind.has_layers, kind.many_processes, kind.temperature)
        for name, kind in KINDS.items()
    }
    assert asked == {
        "static": (256, False, False, False, False, 0.05),
        "dual": (32, True, True, True, True, 0.07),
        "model": (32, True, True, True, True, 0.05),
    }


def test_only_some_kinds_are_made_from_texts() -> None:
    made = make_encoder("static", TEXTS, vocabulary=100, dimension=8)
    assert made.encode(["a dog"]).shape == (1, 8)
    with pytest.raises(EncoderError, match="is loaded, not made"):
        make_encoder("e5-small-offline", TEXTS)


@pytest.mark.parametrize("name", ["static", "tiny-clip"])
def test_what_has_no_weights_is_not_loaded(name: str) -> None:
    with pytest.raises(EncoderError, match=f"no weights before training: use  babelmix train --model {name}"):
        load_encoder(name)


def test_random_weights_are_drawn_anew_where_a_name_says_that_they_are_random(tiny_static) -> None:
    before = tiny_static[0].embedding.weight.clone()
    for name, changes in (("static-e5", False), ("static", True)):
        encoder = copy.deepcopy(tiny_static)
        kind_named(name).reset(encoder, name, 7)
        assert bool((encoder[0].embedding.weight != before).any()) is changes
