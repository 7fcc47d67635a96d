"""Kinds of encoders: told by name, told in memory, and what the rest of babelmix asks of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
from sentence_transformers import SentenceTransformer

from babelmix import extend
from babelmix.encoders import load_encoder, static
from babelmix.encoders.dual import make_dual
from babelmix.encoders.kinds import KINDS, kind_named, kind_of, make_encoder
from babelmix.errors import ConfigError, EncoderError

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
        "debiased": (32, True, True, True, True, 0.05),
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


@pytest.fixture
def own_kinds() -> Iterator[None]:
    yield
    for name in [name for name in KINDS if name not in ("static", "debiased", "dual", "model")]:
        KINDS.unregister(name)


def test_an_own_kind_is_loaded_by_its_name(own_kinds: None, tiny_bert) -> None:
    @extend.encoder("bert", batch_size=7, store=False, learning_rate=0.5, temperature=0.2)
    def bert(name: str) -> SentenceTransformer:
        return SentenceTransformer(str(tiny_bert), device="cpu", prompts={"query": name, "document": ""})

    for name in ("bert", "bert:small"):
        encoder = load_encoder(name, max_seq_length=6, device="cpu")
        kind = kind_of(copy.deepcopy(encoder))
        assert (kind.name, kind.batch_size, kind.stored, kind.temperature) == ("bert", 7, False, 0.2)
        assert kind.learning_rate(encoder, name, False) == 0.5
        assert (encoder.prompts["query"], encoder.max_seq_length) == (name, 6)
    assert kind_named("bertha").name == "model"


def test_an_own_kind_of_token_vectors_is_static(own_kinds: None, tmp_path) -> None:
    @extend.encoder("letters", like="static", batch_size=1000)
    def letters(name: str) -> SentenceTransformer:
        return static.from_scratch(["abc", "abd"], dimension=int(name.partition(":")[2]))

    encoder = load_encoder("letters:4")
    kind = kind_of(encoder)
    assert (kind.name, kind.batch_size, kind.stored, kind.sparse_gradients) == ("letters", 1000, False, True)
    # Also if it was registered as something else.
    extend.encoder("letters")(letters)
    kind = kind_of(load_encoder("letters:4"))
    assert (kind.batch_size, kind.has_layers, kind.sparse_gradients, kind.many_processes) == (32, False, True, False)
    assert kind_named("letters:4").pretrained("letters:4")
    with pytest.raises(EncoderError, match="is loaded, not made"):
        make_encoder("letters:4", TEXTS)


def test_own_kinds_are_checked(own_kinds: None) -> None:
    with pytest.raises(ConfigError, match="part of babelmix"):
        extend.encoder("static")(lambda name: static.from_scratch(TEXTS))
    with pytest.raises(ConfigError, match="cannot be named 'a:b'"):
        extend.encoder("a:b")(lambda name: static.from_scratch(TEXTS))
    with pytest.raises(ConfigError, match="no encoder kind 'lstm'"):
        extend.encoder("own", like="lstm")(lambda name: static.from_scratch(TEXTS))
    extend.encoder("own")(lambda name: "no encoder")  # type: ignore[arg-type,return-value]
    with pytest.raises(EncoderError, match="returned a str, not an encoder"):
        load_encoder("own:1")
