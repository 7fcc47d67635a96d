"""Training: what comes out, what it costs, and resuming."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from conftest import parallel_corpus
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch.utils.data import DataLoader

from babelmix.batches import BatchPlan, CorpusIndex, PlanBatchSampler, RowIndex, batch_sampler, strategy
from babelmix.encoders import load_encoder
from babelmix.errors import PlanError, TrainingError
from babelmix.evaluation import audit
from babelmix.training import StepTexts, TrainingData, TrainingSettings, train
from babelmix.training.settings import changed

SETTINGS = TrainingSettings(strategy="hybrid", steps=30, batch_size=8, learning_rate=0.05)


def state(encoder) -> dict[str, np.ndarray]:
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in encoder.state_dict().items()}


def same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(state(a).values(), state(b).values(), strict=True))


def test_a_static_encoder_learns_and_loads_without_babelmix(tiny_static, tmp_path) -> None:
    corpus = parallel_corpus()
    encoder = copy.deepcopy(tiny_static)
    before = audit(encoder, corpus, name="before", store=False)
    result = train(encoder, corpus, SETTINGS, tmp_path / "model")
    loaded = SentenceTransformer(str(tmp_path / "model"))
    after = audit(loaded, corpus, name="after", store=False)
    assert after.macro("multi/mAP") > before.macro("multi/mAP") + 0.1
    assert after.macro("bias/rank distance") < before.macro("bias/rank distance")
    losses = [loss for _, loss in result.losses]
    assert np.mean(losses[-8:]) < np.mean(losses[:8])
    assert result.settings.learning_rate == 0.05
    record = json.loads((tmp_path / "model" / "training.json").read_text())
    assert record["settings"]["strategy"] == "hybrid"
    assert "SentenceTransformer" in (tmp_path / "model" / "README.md").read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    modules = json.loads((tmp_path / "model" / "modules.json").read_text())
    assert all(m["type"].startswith("sentence_transformers.") for m in modules)


def test_the_same_seed_gives_the_same_weights(tiny_static, tmp_path) -> None:
    encoders = [copy.deepcopy(tiny_static) for _ in range(3)]
    for encoder, seed in zip(encoders, (0, 0, 1), strict=True):
        train(encoder, parallel_corpus(), SETTINGS.model_copy(update={"seed": seed, "steps": 8}), tmp_path / "m")
    assert same(encoders[0], encoders[1])
    assert not same(encoders[0], encoders[2])


def test_a_static_step_touches_only_its_tokens(tiny_static, tmp_path) -> None:
    corpus = parallel_corpus()
    encoder = copy.deepcopy(tiny_static)
    before = state(encoder)["0.embedding.weight"]
    settings = TrainingSettings(strategy="english", steps=2, batch_size=8, learning_rate=0.05)
    train(encoder, corpus, settings, tmp_path / "m")
    moved = set(np.flatnonzero((state(encoder)["0.embedding.weight"] != before).any(axis=1)).tolist())
    plan = BatchPlan(CorpusIndex(corpus), strategy("english"), 8)
    texts = [t for step in (0, 1) for row in StepTexts(TrainingData(corpus), plan)[step] for t in row.values()]
    used = {i for e in encoder[0].tokenizer.encode_batch(texts, add_special_tokens=False) for i in e.ids}
    assert moved
    assert moved <= used


@pytest.mark.slow
def test_a_transformer_resumes_to_the_same_weights(tiny_bert, tmp_path, monkeypatch) -> None:
    corpus = parallel_corpus()
    settings = TrainingSettings(
        strategy="hybrid", steps=12, batch_size=8, learning_rate=1e-3, schedule={"checkpoint_every": 4}
    )
    straight = load_encoder(str(tiny_bert))
    train(straight, corpus, settings, tmp_path / "a")
    steps: list[int] = []
    original = StepTexts.__getitem__

    def killed_at_six(self, step):
        steps.append(step)
        if step == 6 and steps.count(6) == 1:
            raise KeyboardInterrupt
        return original(self, step)

    monkeypatch.setattr(StepTexts, "__getitem__", killed_at_six)
    with pytest.raises(KeyboardInterrupt):
        train(load_encoder(str(tiny_bert)), corpus, settings, tmp_path / "b")
    assert not (tmp_path / "b").exists()
    for other, data in ((settings.model_copy(update={"seed": 9}), corpus), (settings, parallel_corpus(30))):
        with pytest.raises(TrainingError, match="other settings, another start or other data"):
            train(load_encoder(str(tiny_bert)), data, other, tmp_path / "b")
    resumed = load_encoder(str(tiny_bert))
    train(resumed, corpus, settings, tmp_path / "b")
    assert steps == [*range(7), *range(4, 12)]
    for x, y in zip(state(straight).values(), state(resumed).values(), strict=True):
        assert np.allclose(x, y, atol=1e-6)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_gradcache_equals_the_plain_loss(tiny_bert, tmp_path) -> None:
    settings = TrainingSettings(strategy="cross", steps=3, batch_size=8, learning_rate=1e-3)
    plain, cached = load_encoder(str(tiny_bert)), load_encoder(str(tiny_bert))
    for encoder in (plain, cached):
        for module in encoder.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    train(plain, parallel_corpus(), settings, tmp_path / "a")
    train(cached, parallel_corpus(), changed(settings, {"loss.mini_batch_size": 3}), tmp_path / "b")
    for x, y in zip(state(plain).values(), state(cached).values(), strict=True):
        assert np.allclose(x, y, atol=1e-4)


def test_lora_is_merged_into_a_plain_encoder(tiny_bert, tmp_path) -> None:
    encoder = load_encoder(str(tiny_bert))
    names = set(encoder.state_dict())
    settings = TrainingSettings(strategy="hybrid", steps=5, batch_size=8, learning_rate=1e-2, weights={"lora_rank": 4})
    train(encoder, parallel_corpus(), settings, tmp_path / "m")
    loaded = SentenceTransformer(str(tmp_path / "m"))
    assert set(loaded.state_dict()) == names
    texts = ["cat dog", "Katze Hund"]
    assert np.allclose(loaded.encode(texts), encoder.encode(texts), atol=1e-5)
    assert not np.allclose(loaded.encode(texts), load_encoder(str(tiny_bert)).encode(texts), atol=1e-3)


def test_frozen_embeddings_stay(tiny_bert, tmp_path) -> None:
    encoder = load_encoder(str(tiny_bert))
    before = state(encoder)
    train(
        encoder, parallel_corpus(), changed(SETTINGS, {"steps": 3, "weights.freeze_embeddings": True}), tmp_path / "m"
    )
    after = state(encoder)
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved
    assert not any("word_embeddings" in name for name in moved)
    assert all(parameter.requires_grad for parameter in encoder.parameters())


def test_bad_training_is_refused(tiny_static, tmp_path) -> None:
    with pytest.raises(TrainingError, match="frozen embeddings and gradient checkpointing are not for it"):
        train(
            copy.deepcopy(tiny_static), parallel_corpus(), changed(SETTINGS, {"weights.lora_rank": 2}), tmp_path / "m"
        )
    with pytest.raises(PlanError, match="fewer than a batch"):
        train(copy.deepcopy(tiny_static), parallel_corpus(4), SETTINGS, tmp_path / "m")
    assert not list(tmp_path.iterdir())


# --- the other two ways to use a plan


def pairs_dataset(items: int = 24) -> Dataset:
    corpus = parallel_corpus(items)
    queries = {(r["item"], r["lang"]): r["text"] for r in corpus.queries.to_pylist()}
    passages = {(r["item"], r["lang"]): r["text"] for r in corpus.passages.to_pylist()}
    rows = [
        {"item": i, "query_lang": a, "passage_lang": b, "query": queries[i, a], "passage": passages[i, b]}
        for i in dict.fromkeys(i for i, _ in queries) for a in corpus.langs for b in corpus.langs
    ]  # fmt: skip
    return Dataset.from_list(rows)


def test_a_stock_trainer_takes_the_sampler(tiny_static, tmp_path) -> None:
    """The documented example of docs/batches.md."""
    dataset = pairs_dataset()
    encoder = copy.deepcopy(tiny_static)
    seen: list[list[dict[str, str]]] = []
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path), max_steps=6, per_device_train_batch_size=8, save_strategy="no", report_to="none",
        disable_tqdm=True, use_cpu=True, batch_sampler=batch_sampler(dataset, "hybrid(0.5)"),
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(
        model=encoder, args=arguments, train_dataset=dataset.select_columns(["query", "passage"]),
        loss=MultipleNegativesRankingLoss(encoder),
    )  # fmt: skip
    collate = trainer.data_collator

    def spy(features):
        seen.append(features)
        return collate(features)

    trainer.data_collator = spy
    spy.valid_label_columns = collate.valid_label_columns
    trainer.train()
    langs = {r["query"]: r["query_lang"] for r in dataset} | {r["passage"]: r["passage_lang"] for r in dataset}
    kinds = set()
    for features in seen[:6]:
        query_langs, passage_langs = [[langs[f[c]] for f in features] for c in ("query", "passage")]
        mono = len({*query_langs, *passage_langs}) == 1
        assert mono or all(a != b for a, b in zip(query_langs, passage_langs, strict=True))
        kinds.add(mono)
    assert kinds == {True, False}


@pytest.mark.parametrize("world_size", [2, 4])
def test_sharded_by_accelerate_all_ranks_hold_one_kind(world_size: int) -> None:
    from accelerate.data_loader import BatchSamplerShard

    dataset = pairs_dataset()
    make = batch_sampler(dataset, "hybrid", world_size=world_size)
    samplers = [make(dataset, 2, seed=3) for _ in range(world_size)]
    shards = [BatchSamplerShard(s, world_size, rank, even_batches=False) for rank, s in enumerate(samplers)]
    rows = dataset.to_pandas()
    for parts in zip(*shards, strict=True):
        kinds = set()
        for part in parts:
            chosen = rows.iloc[part]
            mono = (chosen.query_lang == chosen.passage_lang).all()
            kinds.add((mono, chosen.query_lang.iloc[0] if mono else None))
        assert len(kinds) == 1
        items = rows.iloc[[row for part in parts for row in part]]["item"]
        assert items.is_unique


def test_a_plain_dataloader_takes_a_plan() -> None:
    corpus = parallel_corpus()
    plan = BatchPlan(CorpusIndex(corpus), strategy("hybrid"), 8, seed=1)
    loader = DataLoader(
        StepTexts(TrainingData(corpus), plan), batch_size=None, sampler=range(3, 6), collate_fn=lambda batch: batch
    )
    batches = list(loader)
    assert [len(b) for b in batches] == [8, 8, 8]
    assert batches[0] == StepTexts(TrainingData(corpus), plan)[3]
    dataset = pairs_dataset()
    index = RowIndex(dataset["item"], dataset["query_lang"], dataset["passage_lang"])
    sampler = PlanBatchSampler(BatchPlan(index, strategy("cross"), 8), steps=5)
    first = next(iter(sampler))
    rows = list(DataLoader(dataset, batch_sampler=sampler, collate_fn=lambda batch: batch))
    assert len(rows) == len(sampler) == 5
    assert all(r["query_lang"] != r["passage_lang"] for batch in rows for r in batch)
    sampler.set_epoch(1)
    assert next(iter(sampler)) != first


def test_a_dataset_without_its_columns_is_refused() -> None:
    with pytest.raises(PlanError, match="no column 'item'"):
        batch_sampler(Dataset.from_dict({"query": ["a"], "passage": ["b"]}))
    with pytest.raises(PlanError, match="the trainer's data set has 3"):
        batch_sampler(pairs_dataset(), world_size=1)(pairs_dataset().select(range(3)), 2)
