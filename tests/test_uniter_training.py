"""Training UNITER: its losses, its stages, and going on after an interruption."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from babelmix.batches import BatchPlan, RegularIndex, strategy
from babelmix.encoders.uniter import Regions, Uniter, UniterConfig, learn_vocabulary, load, score_matrix
from babelmix.errors import BabelmixError, TrainingError
from babelmix.training import uniter_steps
from babelmix.training.uniter import UniterTrainingSettings, _Run, train_uniter
from babelmix.training.uniter_steps import PairBatch, draw_task, pretraining_loss, ranking_loss

THINGS = {"en": ["cat", "dog", "house", "river"], "de": ["Katze", "Hund", "Haus", "Fluss"]}
COLOURS = {"en": ["red", "green", "blue", "white"], "de": ["rot", "grün", "blau", "weiß"]}


def toy(labels: bool = True) -> tuple[list[str], list[Regions]]:
    """16 images of a thing, a colour and, in half of them, something else; texts 2i and 2i + 1 are image i's."""
    rng = np.random.default_rng(0)
    kinds = rng.standard_normal((8, 12)).astype(np.float32)
    texts, regions = [], []
    for number in range(16):
        thing, colour = divmod(number, 4)
        features = np.concatenate([kinds[[thing, 4 + colour]], np.zeros((number % 2, 12), dtype=np.float32)])
        features += 0.1 * rng.standard_normal(features.shape, dtype=np.float32)
        soft = np.full((len(features), 9), 0.01, dtype=np.float32)
        for region, label in enumerate([1 + thing, 5 + colour, 0][: len(features)]):
            soft[region, label] = 0.92
        locations = rng.random((len(features), 7), dtype=np.float32)
        regions.append(Regions(features, locations, soft if labels else None))
        texts += [f"{COLOURS[lang][colour]} {THINGS[lang][thing]}" for lang in ("en", "de")]
    return texts, regions


TEXTS, REGIONS = toy()
TOKENIZER = learn_vocabulary(TEXTS, 120)


def model(seed: int = 0, dropout: float = 0.0) -> Uniter:
    config = UniterConfig(
        vocab_size=len(TOKENIZER), hidden_size=32, layers=2, heads=4, intermediate_size=64, region_size=12, label_size=9,
        max_positions=16, max_text=8, dropout=dropout, attention_dropout=dropout, initial_deviation=0.1,
    )  # fmt: skip
    return Uniter(config, TOKENIZER, seed=seed)


def batches(step: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(step)
    images = rng.permutation(16)[:12]
    return 2 * images + rng.integers(0, 2, 12), images


def batch(size: int = 8) -> PairBatch:
    return PairBatch(TOKENIZER.encode(TEXTS)[: 2 * size : 2], REGIONS[:size])


def weights(one: Uniter) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in one.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


# What a step learns


def test_only_one_side_is_masked(monkeypatch) -> None:
    one, pairs = model(), batch()
    seen = {}
    texts, images = one.uniter.embed_texts, one.uniter.embed_regions
    monkeypatch.setattr(one.uniter, "embed_texts", lambda tokens: seen.update(tokens=tokens) or texts(tokens))
    monkeypatch.setattr(
        one.uniter, "embed_regions", lambda regions, masked=None: seen.update(masked=masked) or images(regions, masked)
    )
    for task in ("mlm", "mrfr", "mrc", "mrckl"):
        assert torch.isfinite(pretraining_loss(one, pairs, task, key=1))
        changed = [not np.array_equal(a, b) for a, b in zip(seen["tokens"], pairs.tokens, strict=True)]
        assert (seen["masked"] is None) == (task == "mlm")
        if task == "mlm":
            assert any(changed)
            for tokens in seen["tokens"]:
                assert (tokens[0], tokens[-1]) == (TOKENIZER.first, TOKENIZER.last)
        else:
            assert not any(changed)
            ends = np.cumsum([len(image) for image in pairs.regions])[:-1]
            assert all(part.any() for part in np.split(seen["masked"], ends))


def test_words_are_masked_as_in_bert(monkeypatch) -> None:
    one = model()
    tokens = np.concatenate([[TOKENIZER.first], np.full(20_000, 60), [TOKENIZER.last]])
    monkeypatch.setattr(one.uniter, "embed_texts", lambda changed: seen.append(changed[0]))
    seen: list[np.ndarray] = []
    with pytest.raises(AttributeError):  # What is embedded is all that is looked at.
        pretraining_loss(one, PairBatch([tokens], REGIONS[:1]), "mlm", key=0)
    (changed,) = seen
    masked, other = changed == TOKENIZER.mask, (changed != TOKENIZER.mask) & (changed != tokens)
    assert masked.mean() == pytest.approx(0.15 * 0.8, abs=0.01)
    assert other.mean() == pytest.approx(0.15 * 0.1, abs=0.004)
    assert changed[other].min() >= 5
    assert tokens[0] == TOKENIZER.first


def test_masked_features_are_really_hidden() -> None:
    one, pairs = model(), batch()
    other = PairBatch(
        pairs.tokens, [Regions(r.features[:, ::-1].copy(), r.locations, r.soft_labels) for r in pairs.regions]
    )
    everything = 1 - 1e-12
    hidden = [float(pretraining_loss(one, p, "mrckl", key=3, mask_share=everything).detach()) for p in (pairs, other)]
    assert hidden[0] == hidden[1]
    part = [float(pretraining_loss(one, p, "mrckl", key=3).detach()) for p in (pairs, other)]
    assert part[0] != part[1]


def test_every_task_has_gradients_where_it_should() -> None:
    wanted = {
        "mlm": "cls.predictions.transform.dense.weight", "itm": "itm_output.weight", "mrfr": "feat_regress.net.0.weight",
        "mrc": "region_classifier.net.3.weight", "mrckl": "region_classifier.net.3.weight",
    }  # fmt: skip
    one = model()
    for task, name in wanted.items():
        one.zero_grad()
        pretraining_loss(one, batch(), task, key=2).backward()
        grads = {n: p.grad for n, p in one.named_parameters() if p.grad is not None}
        for there in (name, "uniter.embeddings.word_embeddings.weight", "uniter.img_embeddings.img_linear.weight"):
            assert grads[there].abs().max() > 0, (task, there)
        heads = {n.partition(".")[0] for n in grads} - {"uniter"}
        assert heads == {name.partition(".")[0]}


def test_alignment_is_a_tenth_of_matching() -> None:
    one, pairs = model(), batch()
    losses = [pretraining_loss(one, pairs, "itm", key=5, alignment_weight=weight).item() for weight in (0.0, 0.1, 1.0)]
    assert losses[1] - losses[0] == pytest.approx((losses[2] - losses[0]) / 10, abs=1e-6)
    assert abs(losses[2] - losses[0]) > 1e-4


def test_wrong_images_of_matching_are_others(monkeypatch) -> None:
    one, pairs, seen = model(), batch(), []
    pair = one.uniter.pair
    monkeypatch.setattr(one.uniter, "pair", lambda t, i, p: seen.append(p.copy()) or pair(t, i, p))
    monkeypatch.setattr(
        uniter_steps, "alignment_loss", lambda states, packed, together: seen.append(together) or torch.zeros(())
    )
    apart = []
    for key in range(40):
        pretraining_loss(one, pairs, "itm", key=key)
        drawn, together = seen[-2:]
        assert np.array_equal(drawn[:, 0], np.arange(8))
        assert np.array_equal(drawn[:, 1] == drawn[:, 0], together.numpy())
        apart.append(~together.numpy())
    assert np.mean(apart) == pytest.approx(0.5, abs=0.1)


def test_tasks_are_drawn_by_weight_and_labels() -> None:
    plain = PairBatch(TOKENIZER.encode(TEXTS)[:4:2], toy(labels=False)[1][:2])
    tasks = {"mlm": 3.0, "itm": 1.0, "mrckl": 4.0, "mrfr": 0.0}
    drawn = [draw_task(tasks, batch(), 0, step) for step in range(2000)]
    assert {name: drawn.count(name) / 2000 for name in set(drawn)} == pytest.approx(
        {"mlm": 3 / 8, "itm": 1 / 8, "mrckl": 1 / 2}, abs=0.04
    )
    without = [draw_task(tasks, plain, 0, step) for step in range(2000)]
    assert {name: without.count(name) / 2000 for name in set(without)} == pytest.approx(
        {"mlm": 3 / 4, "itm": 1 / 4}, abs=0.04
    )
    with pytest.raises(TrainingError, match="step 7: none of the tasks mrc can be trained"):
        draw_task({"mrc": 1.0}, plain, 0, 7)
    mixed = PairBatch(TOKENIZER.encode(TEXTS)[:4:2], [plain.regions[0], REGIONS[1]])
    assert torch.isfinite(pretraining_loss(model(), mixed, "mrckl", key=0))


def test_ranking_is_the_margin_between_right_and_wrong(monkeypatch) -> None:
    one, pairs = model().eval(), batch()
    seen = []
    pair = one.uniter.pair
    monkeypatch.setattr(one.uniter, "pair", lambda t, i, p: seen.append(p) or pair(t, i, p))
    loss = ranking_loss(one, pairs, key=0, margin=0.2, negatives=3, positives=5)
    drawn = seen[0].reshape(5, 7, 2)
    assert np.array_equal(drawn[:, 0], np.repeat(np.arange(5)[:, None], 2, 1))
    assert np.array_equal(drawn[:, 1:4, 0], np.repeat(np.arange(5)[:, None], 3, 1))
    assert np.array_equal(drawn[:, 4:, 1], np.repeat(np.arange(5)[:, None], 3, 1))
    for anchor, row in enumerate(drawn):
        for wrong in (row[1:4, 1], row[4:, 0]):
            assert len(set(wrong.tolist())) == 3
            assert anchor not in wrong
    scores = score_matrix(one, TEXTS[:16:2], REGIONS[:8]).scores
    sigmoid = 1 / (1 + np.exp(-scores.astype(np.float64)))
    chosen = sigmoid[drawn[..., 0], drawn[..., 1]]
    wanted = np.maximum(0.2 + chosen[:, 1:] - chosen[:, :1], 0).mean()
    assert loss.item() == pytest.approx(wanted, abs=1e-6)


def test_hard_negatives_are_those_that_score_highest(monkeypatch) -> None:
    one, pairs = model(dropout=0.5).eval(), batch()
    with torch.no_grad():
        one.rank_output.weight.mul_(20)
    scores = score_matrix(one, TEXTS[:16:2], REGIONS[:8]).scores
    seen = []
    pair = one.uniter.pair
    monkeypatch.setattr(one.uniter, "pair", lambda t, i, p: seen.append(p) or pair(t, i, p))
    one.train()
    ranking_loss(one, pairs, key=0, negatives=0, hard_negatives=2)
    assert one.training
    drawn = seen[-1].reshape(8, 5, 2)
    for row in range(8):
        images, texts = scores[row].copy(), scores[:, row].copy()
        images[row] = texts[row] = -np.inf
        assert set(drawn[row, 1:3, 1]) == set(np.argsort(-images)[:2])
        assert set(drawn[row, 3:, 0]) == set(np.argsort(-texts)[:2])
    # From a pool that is smaller, beside random ones: all different.
    seen.clear()
    ranking_loss(one, pairs, key=0, negatives=2, hard_negatives=2, hard_pool=3)
    assert len(seen[0]) == 8 * 3
    drawn = seen[-1].reshape(8, 9, 2)
    sides = {"image": (drawn[:, [1, 2, 5, 6], 1], drawn[:, [1, 2, 5, 6], 0]),
             "text": (drawn[:, [3, 4, 7, 8], 0], drawn[:, [3, 4, 7, 8], 1])}  # fmt: skip
    for wrong, own in sides.values():
        assert all(len(set(row.tolist())) == 4 for row in wrong)
        assert np.array_equal(own, np.repeat(np.arange(8)[:, None], 4, 1))
        assert not (wrong == own).any()


# Runs


def test_training_finds_the_image_of_a_text(tmp_path) -> None:
    start = model()
    before = score_matrix(start, TEXTS, REGIONS).scores
    chance = (before.argmax(1) == np.arange(32) // 2).mean()
    settings = UniterTrainingSettings(rank_steps=130, learning_rate=4e-3, negatives=4)
    result = train_uniter(start, TEXTS, REGIONS, batches, settings, tmp_path / "model")
    assert [task for _, task, _ in result.losses] == ["rank"] * len(result.losses)
    assert result.losses[-1][0] == 130
    assert result.losses[0][2] == pytest.approx(0.2, abs=0.02)
    assert result.losses[-1][2] < 0.05
    assert not start.training
    again = load(tmp_path / "model")
    scores = score_matrix(again, TEXTS, REGIONS).scores
    assert (scores.argmax(1) == np.arange(32) // 2).mean() > 0.6 > 3 * chance
    for lang in (0, 1):
        assert (scores[lang::2].argmax(0) == np.arange(16)).mean() > 0.6
    assert same(weights(again), weights(start))
    record = json.loads((tmp_path / "model" / "training.json").read_text())
    assert record["settings"]["rank_steps"] == 130
    assert not list(tmp_path.glob("*.pt"))


@pytest.mark.slow
def test_pretraining_learns_every_task(tmp_path) -> None:
    tasks = {"mlm": 1, "mrfr": 1, "mrc": 1, "mrckl": 1, "itm": 1}
    settings = UniterTrainingSettings(pretrain_steps=150, rank_steps=0, learning_rate=4e-3, tasks=tasks)
    one = model()
    rank_before = one.rank_output.weight.clone()
    result = train_uniter(one, TEXTS, REGIONS, batches, settings, tmp_path / "model")
    for task in ("mlm", "mrfr", "mrc", "mrckl"):
        losses = [loss for _, name, loss in result.losses if name == task]
        assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3]), task
    assert torch.equal(one.rank_output.weight, rank_before)


def test_ranking_begins_with_what_matching_learned(tmp_path) -> None:
    seen = []

    def watched(step: int) -> tuple[np.ndarray, np.ndarray]:
        seen.append((one.itm_output.weight.detach().clone(), one.rank_output.weight.detach().clone()))
        return batches(step)

    one = model()
    settings = UniterTrainingSettings(pretrain_steps=2, rank_steps=2, learning_rate=1e-2, tasks={"itm": 1}, warmup=0)
    train_uniter(one, TEXTS, REGIONS, watched, settings, tmp_path / "model")
    assert not torch.equal(seen[1][0][1:], seen[1][1])
    assert torch.equal(seen[2][0][1:], seen[2][1])
    assert torch.equal(seen[3][0], seen[2][0])
    assert not torch.equal(seen[3][1], seen[2][1])


def test_a_plan_chooses_the_languages(tmp_path) -> None:
    # Rows of a regular index are language by language, on both sides; an image has no language.
    texts = TEXTS[::2] + TEXTS[1::2]
    plan = BatchPlan(RegularIndex(16, ("en", "de")), strategy("hybrid"), 8)
    kinds = []

    def of_plan(step: int) -> tuple[np.ndarray, np.ndarray]:
        kinds.append(plan[step].kind)
        return plan[step].query_rows, plan[step].passage_rows % 16

    settings = UniterTrainingSettings(rank_steps=8)
    run = _Run(model(), TOKENIZER.encode(texts), REGIONS, of_plan, settings)
    for step in range(8):
        drawn = run._batch(step)
        words = [{TOKENIZER.encode([word])[0][1] for word in COLOURS[lang]} for lang in ("en", "de")]
        langs = {next(lang for lang in (0, 1) if tokens[1] in words[lang]) for tokens in drawn.tokens}
        assert len(langs) == (1 if kinds[-1] == "mono" else 2)
        assert [next(i for i in range(16) if REGIONS[i] is image) for image in drawn.regions] == [
            row % 16 for row in plan[step].query_rows
        ]
    assert set(kinds) == {"mono", "cross"}
    train_uniter(model(), texts, REGIONS, of_plan, settings, tmp_path / "model")


class Interrupted(Exception):
    pass


def interrupted(at: int) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    def stopping(step: int) -> tuple[np.ndarray, np.ndarray]:
        if step == at:
            raise Interrupted
        return batches(step)

    return stopping


BOTH = {
    "pretrain_steps": 6, "rank_steps": 6, "learning_rate": 3e-3, "hard_negatives": 1, "checkpoint_every": 3, "seed": 5,
}  # fmt: skip


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_same_weights(tmp_path) -> None:
    settings = UniterTrainingSettings(**BOTH)
    whole = model(dropout=0.1)
    torch.manual_seed(1)
    result = train_uniter(whole, TEXTS, REGIONS, batches, settings, tmp_path / "whole")
    # In the middle of a stage, between them, and in the middle of the other; two times in one run.
    for places in ((5,), (7,), (11,), (5, 8)):
        for place in places:
            torch.manual_seed(place)
            with pytest.raises(Interrupted):
                train_uniter(model(dropout=0.1), TEXTS, REGIONS, interrupted(place), settings, tmp_path / "part")
            assert (tmp_path / "part.checkpoint.pt").is_file()
            assert not (tmp_path / "part").exists()
        steps: list[int] = []
        one = model(dropout=0.1)
        done = train_uniter(
            one,
            TEXTS,
            REGIONS,
            lambda step, steps=steps: steps.append(step) or batches(step),
            settings,
            tmp_path / "part",
        )
        assert steps[1:] == list(range(places[-1] // 3 * 3, 12))  # The first is looked at to know the run.
        assert same(weights(one), weights(whole))
        assert done.losses == result.losses
        assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == ["part"]
        assert same(weights(load(tmp_path / "part")), weights(whole))
        for file in (tmp_path / "part").iterdir():
            file.unlink()
        (tmp_path / "part").rmdir()


def test_a_run_is_its_seeds(tmp_path) -> None:
    found = []
    for seed in (5, 5, 6):
        one = model(dropout=0.1)
        settings = UniterTrainingSettings(**BOTH | {"seed": seed, "checkpoint_every": 0})
        train_uniter(one, TEXTS, REGIONS, batches, settings, tmp_path / "model")
        found.append(weights(one))
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_torchs_generator_is_left_alone(tmp_path) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    settings = UniterTrainingSettings(pretrain_steps=2, rank_steps=1)
    train_uniter(model(dropout=0.1), TEXTS, REGIONS, batches, settings, tmp_path / "model")
    assert torch.equal(torch.rand(4), wanted)


def test_a_checkpoint_of_another_run_is_refused(tmp_path) -> None:
    settings = UniterTrainingSettings(**BOTH)
    output, checkpoint = tmp_path / "model", tmp_path / "model.checkpoint.pt"
    with pytest.raises(Interrupted):
        train_uniter(model(), TEXTS, REGIONS, interrupted(4), settings, output)
    for start, texts, other in (
        (model(1), TEXTS, settings),
        (model(), [*TEXTS[:-1], "cat"], settings),
        (model(), TEXTS, UniterTrainingSettings(**BOTH | {"margin": 0.3})),
    ):
        with pytest.raises(TrainingError, match="belongs to a run with other settings"):
            train_uniter(start, texts, REGIONS, batches, other, output)
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(TrainingError, match="is damaged"):
        train_uniter(model(), TEXTS, REGIONS, batches, settings, output)

    class Malicious:
        def __reduce__(self):
            return Path.touch, (tmp_path / "trace",)

    torch.save({"record": Malicious()}, checkpoint)
    with pytest.raises(TrainingError, match="is damaged"):
        train_uniter(model(), TEXTS, REGIONS, batches, settings, output)
    assert not (tmp_path / "trace").exists()


def test_learning_rates_rise_and_fall_in_each_stage() -> None:
    settings = UniterTrainingSettings(pretrain_steps=10, rank_steps=20, learning_rate=1.0, warmup=0.2)
    run = _Run(model(), [], [], batches, settings)
    rates = [run._learning_rate(step) for step in range(30)]
    assert rates[:4] == pytest.approx([0.5, 1.0, 1.0, 7 / 8])
    assert rates[9:15] == pytest.approx([1 / 8, 0.25, 0.5, 0.75, 1.0, 1.0])
    assert rates[29] == pytest.approx(1 / 16)
    assert min(rates) > 0


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ((np.array([0, 1]), np.array([3, 3])), "step 0: image 3 is in the batch 2 times"),
        ((np.array([0]), np.array([3])), "a batch needs two pairs or more, not 1 texts"),
        ((np.array([0, 1, 2]), np.array([3, 4])), "3 texts and 2 images"),
        ((np.array([0, 32]), np.array([3, 4])), "text rows must be from 0 to 31"),
        ((np.array([0, 2]), np.array([-1, 4])), "image rows must be from 0 to 15"),
        ((np.array([0.0, 2.0]), np.array([0, 1])), "text rows are float64"),
    ],
)
def test_batches_that_break_the_rules(given, match, tmp_path) -> None:
    with pytest.raises(TrainingError, match=match):
        train_uniter(model(), TEXTS, REGIONS, lambda step: given, UniterTrainingSettings(), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_what_cannot_be_trained(tmp_path, monkeypatch) -> None:
    plain = toy(labels=False)[1]
    settings = UniterTrainingSettings(pretrain_steps=1, tasks={"mrc": 1, "mrckl": 1, "mlm": 0})
    with pytest.raises(TrainingError, match="mrc, mrckl need soft labels"):
        train_uniter(model(), TEXTS, plain, batches, settings, tmp_path / "model")
    one = model()
    with torch.no_grad():
        one.uniter.pooler.dense.weight[0, 0] = float("nan")
    with pytest.raises(TrainingError, match="step 0: the loss of rank is not finite"):
        train_uniter(one, TEXTS, REGIONS, batches, UniterTrainingSettings(), tmp_path / "model")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(BabelmixError, match="would be lost"):
        train_uniter(model(), TEXTS, REGIONS, batches, UniterTrainingSettings(), tmp_path / "other")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match="one process"):
        train_uniter(model(), TEXTS, REGIONS, batches, UniterTrainingSettings(), tmp_path / "model")


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"tasks": {"mlm": 1, "vqa": 1}}, "no task 'vqa'"),
        ({"tasks": {"mlm": 0}}, "positive"),
        ({"tasks": {"mlm": float("nan")}}, "positive"),
        ({"rank_steps": 0}, "no steps"),
        ({"negatives": 0}, "needs negatives"),
        ({"hard_negatives": 4, "hard_pool": 2}, "a pool of 2"),
    ],
)
def test_settings_that_are_wrong(values, match) -> None:
    with pytest.raises(ValidationError, match=match):
        UniterTrainingSettings(**values)
