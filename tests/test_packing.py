"""Training on packed tokens against the plain forward pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import parallel_corpus
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from transformers import TrainerCallback

from babelmix.encoders import load_encoder
from babelmix.training import TrainingSettings, train, weights
from babelmix.training.packed_layers import Casts, Masks, groups_of
from babelmix.training.packing import can_pack, packed_tokens

QUERIES = ["dog", "house dog tree", "", "one two " * 30, "cat"]
PASSAGES = ["Hund " * 9, "Haus", "a b c d e f g", "", "Katze Hund"]


def xlm_roberta(folder: Path, bert: Path) -> Path:
    """A small XLM-RoBERTa with the tokenizer of a small BERT."""
    from transformers import AutoTokenizer, XLMRobertaConfig, XLMRobertaModel

    tokenizer = AutoTokenizer.from_pretrained(str(bert))
    tokenizer.save_pretrained(str(folder))
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, pad_token_id=tokenizer.pad_token_id, initializer_range=0.2,
    )  # fmt: skip
    XLMRobertaModel(config).save_pretrained(str(folder))
    return folder


@pytest.fixture(params=["bert", "xlm-roberta"])
def encoder(request, tiny_bert, tmp_path) -> SentenceTransformer:
    folder = tiny_bert if request.param == "bert" else xlm_roberta(tmp_path / "xlm-roberta", tiny_bert)
    found = load_encoder(str(folder), device="cpu", max_seq_length=20)
    found.train()
    return found


def without_dropout(encoder: torch.nn.Module) -> None:
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def columns(encoder: SentenceTransformer, *texts: list[str]) -> list[dict[str, Any]]:
    return [encoder.preprocess(one) for one in texts or (QUERIES, PASSAGES)]


def step(encoder: SentenceTransformer, loss: torch.nn.Module, features: list[dict[str, Any]]) -> tuple[float, dict]:
    encoder.zero_grad()
    value = loss([dict(column) for column in features], None)
    value.backward()
    return value.item(), {n: p.grad.clone() for n, p in encoder.named_parameters() if p.grad is not None}


def same(one: tuple[float, dict], other: tuple[float, dict], tolerance: float = 1e-5) -> None:
    assert one[0] == pytest.approx(other[0], abs=tolerance)
    assert one[1].keys() == other[1].keys()
    assert max(float(gradient.abs().max()) for gradient in one[1].values()) > 1e-3
    for name, gradient in one[1].items():
        torch.testing.assert_close(gradient, other[1][name], atol=tolerance, rtol=tolerance, msg=name)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_embeddings_and_gradients_equal_the_plain_ones(encoder, pooling) -> None:
    without_dropout(encoder)
    weights.set_pooling(encoder, pooling)
    loss = MultipleNegativesRankingLoss(encoder)
    features = columns(encoder)
    assert features[0]["input_ids"].shape[1] == 20  # cut at max_seq_length
    plain = step(encoder, loss, features)
    vectors = [encoder(dict(column))["sentence_embedding"] for column in features]
    with packed_tokens(encoder) as packing:
        same(step(encoder, loss, features), plain)
        for column, expected in zip(features, vectors, strict=True):
            torch.testing.assert_close(encoder(dict(column))["sentence_embedding"], expected, atol=1e-5, rtol=1e-5)
    assert packing.passes == 4


def test_the_columns_of_a_step_are_one_pass(encoder) -> None:
    without_dropout(encoder)
    loss = MultipleNegativesRankingLoss(encoder)
    features = columns(encoder)
    plain = step(encoder, loss, features)
    with packed_tokens(encoder) as packing:
        packing.expect(features)
        same(step(encoder, loss, features), plain)
        assert packing.passes == 1
        # A column is given once: a second embedding of the same texts has other dropout.
        encoder(dict(features[0]))
        assert packing.passes == 2
        packing.forget()
        same(step(encoder, loss, features), plain)
        assert packing.passes == 4


def test_dropout_is_independent_when_a_column_is_embedded_twice(encoder) -> None:
    features = columns(encoder)
    with packed_tokens(encoder) as packing:
        packing.expect(features)
        one, other = (encoder(dict(features[0]))["sentence_embedding"] for _ in range(2))
        assert not torch.allclose(one, other, atol=1e-3)


def test_grad_cache_has_the_same_gradients(encoder) -> None:
    features = columns(encoder)
    loss, cached = (
        MultipleNegativesRankingLoss(encoder),
        CachedMultipleNegativesRankingLoss(encoder, mini_batch_size=2),
    )
    with packed_tokens(encoder) as packing:
        packing.expect(features)
        torch.manual_seed(3)
        first = step(encoder, cached, features)
        torch.manual_seed(3)
        same(step(encoder, cached, features), first)
        # Three mini-batches a column, twice each: without and with gradients.
        assert packing.passes == 24
        without_dropout(encoder)
        same(step(encoder, cached, features), step(encoder, loss, features))


@pytest.mark.parametrize("texts", [["dog"], [""], ["dog", "dog"]])
def test_few_texts(encoder, texts) -> None:
    without_dropout(encoder)
    (features,) = columns(encoder, texts)
    expected = encoder(dict(features))["sentence_embedding"]
    with packed_tokens(encoder) as packing:
        torch.testing.assert_close(encoder(dict(features))["sentence_embedding"], expected, atol=1e-5, rtol=1e-5)
    assert packing.passes == 1


def test_bfloat16_is_close_and_keeps_weights_in_float32(encoder) -> None:
    without_dropout(encoder)
    loss = MultipleNegativesRankingLoss(encoder)
    features = columns(encoder)
    plain = step(encoder, loss, features)
    with packed_tokens(encoder) as packing, torch.autocast("cpu", dtype=torch.bfloat16):
        rough = step(encoder, loss, features)
    assert packing.passes == 2
    assert rough[1].keys() == plain[1].keys()
    assert {gradient.dtype for gradient in rough[1].values()} == {torch.float32}
    exact, found = (torch.cat([one[name].flatten() for name in plain[1]]) for one in (plain[1], rough[1]))
    assert 0.99 < float(torch.cosine_similarity(exact, found, dim=0)) < 0.9999999
    assert abs(rough[0] - plain[0]) < 0.05


def test_evaluation_and_what_cannot_be_packed_are_plain(encoder) -> None:
    features = columns(encoder)[0]
    with packed_tokens(encoder) as packing:
        encoder.eval()
        encoder(dict(features))
        encoder.train()
        encoder({**features, "position_ids": torch.zeros_like(features["input_ids"])})
        handle = encoder[0].model.encoder.layer[0].register_forward_hook(lambda *_: None)
        encoder(dict(features))
        handle.remove()
        weights.checkpoint_activations(encoder, True)
        encoder(dict(features))
        weights.checkpoint_activations(encoder, False)
        assert packing.passes == 0
        encoder(dict(features))
        assert packing.passes == 1
    assert "forward" not in vars(encoder[0])


def test_a_replaced_forward_pass_stays(encoder) -> None:
    def forward(features, **options):
        return features

    encoder[0].forward = forward
    with packed_tokens(encoder) as packing:
        assert packing is None
        assert encoder[0].forward is forward
    assert encoder[0].forward is forward


def test_adapters_are_plain(encoder) -> None:
    pytest.importorskip("peft")
    assert can_pack(encoder)
    weights.add_adapters(encoder, 4)
    assert not can_pack(encoder)
    weights.merge_adapters(encoder)
    assert can_pack(encoder)


def test_other_encoders_are_left_alone(tiny_static) -> None:
    with packed_tokens(tiny_static) as packing:
        assert packing is None


def test_masks_have_their_rate_and_follow_from_torch_s_state() -> None:
    x = torch.ones(40_000)
    torch.manual_seed(1)
    first, factor = Masks().drop(x, 0.1)
    assert abs(float((first == 0).float().mean()) - 0.1) < 0.01
    assert factor == pytest.approx(1 / 0.9, abs=1e-4)
    torch.manual_seed(1)
    masks = Masks()
    again, later = masks.drop(x, 0.1)[0], masks.drop(x, 0.1)[0]
    assert torch.equal(first, again)
    assert abs(float((later * first).mean()) - 0.81) < 0.02
    # All four numbers of a word are random.
    assert all(abs(float((first.view(-1, 4)[:, place] == 0).float().mean()) - 0.1) < 0.02 for place in range(4))
    state = torch.get_rng_state()
    assert Masks().drop(x, 0.0)[0] is x
    assert torch.equal(torch.get_rng_state(), state)


def test_casts_follow_their_weights() -> None:
    casts, weight = Casts(), torch.nn.Parameter(torch.ones(2, 2))
    first = casts([weight], torch.bfloat16)
    assert casts([weight], torch.bfloat16) is first
    with torch.no_grad():
        weight.add_(1)
    assert casts([weight], torch.bfloat16).tolist() == [[2, 2], [2, 2]]


def test_groups_have_every_text_once() -> None:
    lengths = sorted([3] * 17 + [9, 1, 40])
    groups = groups_of(lengths)
    assert sum(group.texts for group in groups) == len(lengths)
    assert [group.start for group in groups] == [0, sum(lengths[:16])]
    assert sum(group.tokens for group in groups) == sum(lengths)


def trained(folder: Path, start: Path, **given: Any) -> tuple[SentenceTransformer, list[float]]:
    settings = TrainingSettings(strategy="cross", steps=6, batch_size=8, learning_rate=1e-3, **given)
    encoder = load_encoder(str(start), device="cpu")
    result = train(encoder, parallel_corpus(), settings, folder)
    return encoder, [loss for _, loss in result.losses]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"loss": {"consistency": 1}},
        {"loss": {"mini_batch_size": 4}},
        {"distillation": {"teacher": "start", "share": 0.5}},
    ],
)
def test_a_run_on_packed_tokens_equals_a_plain_one(tiny_bert, tmp_path, monkeypatch, given) -> None:
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    start = tmp_path / "start"
    config = AutoConfig.from_pretrained(str(tiny_bert))
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    AutoModel.from_pretrained(str(tiny_bert), config=config).save_pretrained(str(start))
    AutoTokenizer.from_pretrained(str(tiny_bert)).save_pretrained(str(start))
    packed, losses = trained(tmp_path / "packed", start, **given)
    monkeypatch.setenv("BABELMIX_PACKING", "0")
    plain, expected = trained(tmp_path / "plain", start, **given)
    assert losses == pytest.approx(expected, abs=1e-3)
    before = load_encoder(str(start), device="cpu").state_dict()
    moved = 0.0
    for name, weight in plain.state_dict().items():
        torch.testing.assert_close(packed.state_dict()[name], weight, atol=2e-4, rtol=0, msg=name)
        moved = max(moved, float((weight - before[name]).abs().max()))
    assert moved > 2e-3


@pytest.mark.parametrize("pack", ["0", "1"])
def test_dropout_can_be_switched_off_and_is_restored(tiny_bert, tmp_path, monkeypatch, pack) -> None:
    monkeypatch.setenv("BABELMIX_PACKING", pack)
    settings = TrainingSettings(strategy="cross", steps=1, batch_size=4, dropout=0.0)
    rates: list[set[float]] = []

    class Watch(TrainerCallback):
        def on_step_end(self, *_: Any, **given: Any) -> None:
            rates.append({one.p for one in given["model"].modules() if isinstance(one, torch.nn.Dropout)})

    encoder = load_encoder(str(tiny_bert), device="cpu")
    before = [one.p for one in encoder.modules() if isinstance(one, torch.nn.Dropout)]
    train(encoder, parallel_corpus(), settings, tmp_path / "model", callbacks=[Watch()])
    assert rates == [{0.0}]
    assert [one.p for one in encoder.modules() if isinstance(one, torch.nn.Dropout)] == before
    assert set(before) != {0.0}
