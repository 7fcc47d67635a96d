"""What each option of training changes: adapters, averages, pooling, prompts, lengths, precision and negatives."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import flat_settings, parallel_corpus, picture_corpus
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.data_collator import BaseDataCollator
from test_negatives import with_negatives
from transformers import TrainerCallback

from babelmix.batches import BatchPlan, Mixture, strategy
from babelmix.corpus import Corpus
from babelmix.encoders import fingerprint, load_encoder
from babelmix.encoders.dual import make_dual
from babelmix.errors import PlanError, TrainingError
from babelmix.training import StepTexts, TrainingData, TrainingSettings, resolve, train, weights

BASE: dict[str, Any] = {"strategy": "hybrid", "steps": 4, "batch_size": 8, "learning_rate": 1e-2}


def load(folder: Path, dropout: bool = False) -> SentenceTransformer:
    encoder = load_encoder(str(folder))
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout) and not dropout:
            module.p = 0.0
    return encoder


def state(encoder: SentenceTransformer) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in encoder.state_dict().items()}


def close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], atol: float) -> bool:
    assert a.keys() == b.keys()
    return all(torch.allclose(tensor, b[name], atol=atol, rtol=0) for name, tensor in a.items())


class Gradients(TrainerCallback):
    """Keeps the gradients of the first step."""

    def __init__(self) -> None:
        self.first: dict[str, torch.Tensor] = {}

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.first = self.first or {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


class Killed(TrainerCallback):
    """Ends a run at a step, as a kill would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture
def collated(monkeypatch) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What goes into the collator and what comes out, by step."""
    seen: list[tuple[dict[str, Any], dict[str, Any]]] = []
    original = BaseDataCollator.__call__

    def spying(self, features):
        result = original(self, features)
        seen.append((features, result))
        return result

    monkeypatch.setattr(BaseDataCollator, "__call__", spying)
    return seen


# --- adapters and frozen vectors


@pytest.mark.slow
def test_lora_resumes_to_the_same_weights(tiny_bert, tmp_path) -> None:
    settings = flat_settings(**BASE | {"steps": 8, "lora_rank": 4, "checkpoint_every": 3})
    straight, resumed = load(tiny_bert, dropout=True), load(tiny_bert, dropout=True)
    train(straight, parallel_corpus(), settings, tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train(load(tiny_bert, dropout=True), parallel_corpus(), settings, tmp_path / "b", callbacks=[Killed(5)])
    train(resumed, parallel_corpus(), settings, tmp_path / "b")
    assert close(state(straight), state(resumed), 1e-6)
    assert not close(state(straight), state(load(tiny_bert)), 1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.slow
@pytest.mark.parametrize("freeze", [False, True])
def test_lora_leaves_a_plain_encoder_all_of_which_can_be_trained(tiny_bert, tmp_path, freeze: bool) -> None:
    encoder = load(tiny_bert)
    before = state(encoder)
    spy = Gradients()
    settings = flat_settings(**BASE | {"lora_rank": 2, "freeze_embeddings": freeze})
    train(encoder, parallel_corpus(), settings, tmp_path / "m", callbacks=[spy])
    assert spy.first
    assert all(".lora_" in name for name in spy.first)
    assert not any("lora" in type(module).__name__.lower() for module in encoder.modules())
    assert not hasattr(encoder[0].auto_model, "peft_config")
    after = state(encoder)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.endswith("weight") and "embeddings" not in name for name in changed)
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    assert close(after, state(SentenceTransformer(str(tmp_path / "m"))), 0)
    # It can be trained again, with new adapters and without any.
    train(encoder, parallel_corpus(), settings, tmp_path / "m")
    again = state(encoder)
    assert {name for name in after if not torch.equal(after[name], again[name])} == changed
    train(encoder, parallel_corpus(), flat_settings(**BASE | {"steps": 2}), tmp_path / "m")
    assert any("embeddings" in name for name, tensor in state(encoder).items() if not torch.equal(tensor, again[name]))


# --- the average with the start


@pytest.mark.slow
@pytest.mark.parametrize("change", [{}, {"lora_rank": 4}, {"freeze_embeddings": True}])
def test_the_start_has_its_exact_share_of_every_weight(tiny_bert, tmp_path, change: dict[str, Any]) -> None:
    start = state(load(tiny_bert))
    whole, averaged = load(tiny_bert), load(tiny_bert)
    train(whole, parallel_corpus(), flat_settings(**BASE | change), tmp_path / "a")
    train(averaged, parallel_corpus(), flat_settings(**BASE | change | {"start_share": 0.25}), tmp_path / "b")
    expected = {name: 0.75 * tensor + 0.25 * start[name] for name, tensor in state(whole).items()}
    assert not close(expected, state(whole), 1e-3)
    assert close(expected, state(averaged), 1e-6)
    assert close(expected, state(SentenceTransformer(str(tmp_path / "b"))), 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.25, 0.9])
def test_the_start_has_its_share_of_a_static_encoder(tiny_static, tmp_path, share: float) -> None:
    start = state(tiny_static)
    whole, averaged = copy.deepcopy(tiny_static), copy.deepcopy(tiny_static)
    train(whole, parallel_corpus(), flat_settings(**BASE), tmp_path / "a")
    train(averaged, parallel_corpus(), flat_settings(**BASE | {"start_share": share}), tmp_path / "b")
    expected = {name: (1 - share) * tensor + share * start[name] for name, tensor in state(whole).items()}
    assert close(expected, state(averaged), 1e-6)
    assert not close(expected, state(whole), 1e-3)


@pytest.mark.slow
def test_the_start_is_the_start_of_the_first_session(tiny_bert, tmp_path) -> None:
    """A resumed run averages with what it began from, not with its checkpoint."""
    settings = flat_settings(**BASE | {"steps": 6, "start_share": 0.5, "checkpoint_every": 3})
    straight, resumed = load(tiny_bert), load(tiny_bert)
    train(straight, parallel_corpus(), settings, tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train(load(tiny_bert), parallel_corpus(), settings, tmp_path / "b", callbacks=[Killed(4)])
    train(resumed, parallel_corpus(), settings, tmp_path / "b")
    assert close(state(straight), state(resumed), 1e-6)


# --- pooling, prompts and lengths


@pytest.mark.parametrize("mode", ["cls", "mean"])
def test_pooling_is_applied_saved_and_loaded(tiny_bert, tmp_path, mode: str) -> None:
    encoder = load(tiny_bert)
    train(encoder, parallel_corpus(), flat_settings(**BASE | {"pooling": mode}), tmp_path / "m")
    loaded = SentenceTransformer(str(tmp_path / "m"))
    for one in (encoder, loaded):
        tokens = one.encode("cat dog house 3", output_value="token_embeddings")
        pooled = tokens[0] if mode == "cls" else tokens.mean(axis=0)
        assert np.allclose(one.encode("cat dog house 3"), pooled, atol=1e-5)
    assert json.loads((tmp_path / "m" / "training.json").read_text())["settings"]["pooling"] == mode


@pytest.mark.slow
def test_pooling_decides_what_is_learned(tiny_bert, tmp_path) -> None:
    found = []
    for mode in ("cls", "mean", ""):
        encoder = load(tiny_bert)
        train(encoder, parallel_corpus(), flat_settings(**BASE | {"pooling": mode, "steps": 2}), tmp_path / "m")
        found.append(state(encoder))
    assert not close(found[0], found[1], 1e-4)
    assert close(found[1], found[2], 0)  # a plain transformers model is mean-pooled as it is


def test_pooling_of_an_encoder_without_any_is_refused(tiny_static, tmp_path) -> None:
    with pytest.raises(TrainingError, match="the pooling cannot be cls: this encoder has none"):
        train(
            copy.deepcopy(tiny_static),
            parallel_corpus(),
            flat_settings(**BASE | {"pooling": "cls"}),
            tmp_path / "m",
        )
    assert not list(tmp_path.iterdir())


def test_prompts_are_trained_with_saved_and_used(tiny_bert, tmp_path, collated) -> None:
    encoder = load(tiny_bert)
    corpus = with_negatives(parallel_corpus(), np.random.default_rng(0))
    prompts = {"query_prompt": "cat cat cat ", "passage_prompt": "Hund Hund "}
    train(encoder, corpus, flat_settings(**BASE | prompts), tmp_path / "m")
    tokenizer = encoder.tokenizer
    assert len(collated) == 4
    for features, result in collated:
        for column, prompt in (("query", "cat cat cat "), ("passage", "Hund Hund "), ("negative", "Hund Hund ")):
            texts = [prompt + row[column] for row in features]
            expected = tokenizer(texts, padding=True, return_tensors="pt")["input_ids"]
            assert torch.equal(result[f"{column}_input_ids"], expected)
    loaded = SentenceTransformer(str(tmp_path / "m"))
    assert loaded.prompts["query"] == "cat cat cat "
    assert loaded.prompts["document"] == "Hund Hund "
    assert np.allclose(loaded.encode_query("house"), loaded.encode("cat cat cat house"), atol=1e-6)
    assert np.allclose(loaded.encode_document("house"), loaded.encode("Hund Hund house"), atol=1e-6)
    assert not np.allclose(loaded.encode_query("house"), loaded.encode("house"), atol=1e-3)


def test_an_encoders_own_prompts_are_used_where_none_is_given(tiny_bert, tmp_path, collated) -> None:
    encoder = load(tiny_bert)
    encoder.prompts = {"query": "dog ", "document": "salt ", "clustering": "wind "}
    train(encoder, parallel_corpus(), flat_settings(**BASE | {"query_prompt": "cat "}), tmp_path / "m")
    ids = {word: encoder.tokenizer.convert_tokens_to_ids(word) for word in ("cat", "salt")}
    for _, result in collated:
        assert (result["query_input_ids"][:, 1] == ids["cat"]).all()
        assert (result["passage_input_ids"][:, 1] == ids["salt"]).all()
    assert SentenceTransformer(str(tmp_path / "m")).prompts == {
        "query": "cat ", "document": "salt ", "clustering": "wind "
    }  # fmt: skip


def test_a_prompt_named_passage_is_trained_with_and_saved_as_documents(tiny_bert, tmp_path, collated) -> None:
    start = SentenceTransformer(str(tiny_bert), device="cpu", prompts={"passage": "salt "})
    start.save(str(tmp_path / "start"), create_model_card=False)
    encoder = load(tmp_path / "start")
    train(encoder, parallel_corpus(), flat_settings(**BASE), tmp_path / "m")
    for _, result in collated:
        assert (result["passage_input_ids"][:, 1] == encoder.tokenizer.convert_tokens_to_ids("salt")).all()
    for loaded in (SentenceTransformer(str(tmp_path / "m")), load(tmp_path / "m")):
        assert np.allclose(loaded.encode_document("house"), loaded.encode("salt house"), atol=1e-6)


def test_a_static_encoder_is_trained_with_its_prompts(tiny_static, tmp_path, collated) -> None:
    encoder = copy.deepcopy(tiny_static)
    train(encoder, parallel_corpus(), flat_settings(**BASE | {"query_prompt": "river "}), tmp_path / "m")
    features, result = collated[0]
    texts = [f"river {row['query']}" for row in features]
    expected = [i for e in encoder[0].tokenizer.encode_batch(texts, add_special_tokens=False) for i in e.ids]
    assert result["query_input_ids"].tolist() == expected
    assert SentenceTransformer(str(tmp_path / "m")).prompts["query"] == "river "


def test_texts_are_cut_in_training_and_not_afterwards(tiny_bert, tmp_path, collated) -> None:
    encoder = load(tiny_bert)
    own = encoder.max_seq_length
    assert own > 4
    train(encoder, parallel_corpus(), flat_settings(**BASE | {"max_seq_length": 4}), tmp_path / "m")
    widths = {result[f"{column}_input_ids"].shape[1] for _, result in collated for column in ("query", "passage")}
    assert widths == {4}
    loaded = SentenceTransformer(str(tmp_path / "m"))
    assert encoder.max_seq_length == loaded.max_seq_length == own
    assert not np.allclose(loaded.encode("cat dog house river"), loaded.encode("cat dog house"), atol=1e-3)


# --- memory and precision


@pytest.mark.slow
def test_gradient_checkpointing_changes_no_gradient(tiny_bert, tmp_path) -> None:
    spies, found = [], []
    for change in ({}, {"gradient_checkpointing": True}):
        encoder, spy = load(tiny_bert, dropout=True), Gradients()
        watched = Layers(encoder)
        train(encoder, parallel_corpus(), flat_settings(**BASE | change), tmp_path / "m", callbacks=[spy])
        spies.append(spy.first)
        found.append((state(encoder), watched.count))
        assert not encoder[0].auto_model.is_activation_checkpointing
    assert spies[0].keys() == spies[1].keys()
    assert close(spies[0], spies[1], 1e-7)
    assert close(found[0][0], found[1][0], 1e-6)
    assert found[1][1] == 2 * found[0][1] > 0  # each layer runs again in the backward pass


class Layers:
    """Counts the forward passes of the first layer."""

    def __init__(self, encoder: SentenceTransformer) -> None:
        self.count = 0
        encoder[0].auto_model.encoder.layer[0].attention.register_forward_hook(self._one)

    def _one(self, *_: object) -> None:
        self.count += 1


@pytest.mark.slow
@pytest.mark.parametrize("change", [{}, {"lora_rank": 2}, {"mini_batch_size": 3}])
def test_bfloat16_trains_float32_weights(tiny_bert, tmp_path, change: dict[str, Any]) -> None:
    exact, rough = load(tiny_bert), load(tiny_bert)
    start = state(exact)
    train(exact, parallel_corpus(), flat_settings(**BASE | change), tmp_path / "a")
    result = train(rough, parallel_corpus(), flat_settings(**BASE | change | {"bf16": True}), tmp_path / "b")
    assert {tensor.dtype for tensor in state(rough).values() if tensor.is_floating_point()} == {torch.float32}
    assert not close(state(exact), state(rough), 0)
    moved = torch.cat([(state(exact)[n] - start[n]).flatten() for n in start if start[n].is_floating_point()])
    roughly = torch.cat([(state(rough)[n] - start[n]).flatten() for n in start if start[n].is_floating_point()])
    assert torch.nn.functional.cosine_similarity(moved, roughly, dim=0) > 0.8
    assert all(np.isfinite(loss) for _, loss in result.losses)


# --- the loss and its negatives


def judged() -> Corpus:
    return with_negatives(parallel_corpus(), np.random.default_rng(0))


def hand_made_loss(encoder: SentenceTransformer, rows: list[dict[str, str]], temperature: float) -> float:
    """InfoNCE (arXiv 2408.10536, Eq. 1) of a batch: each query's passage against all others and all hard negatives."""
    query = torch.tensor(encoder.encode_query([row["query"] for row in rows], normalize_embeddings=True))
    texts = [row["passage"] for row in rows] + [row["negative"] for row in rows if "negative" in row]
    passage = torch.tensor(encoder.encode_document(texts, normalize_embeddings=True))
    scores = query @ passage.T / temperature
    return float((scores.logsumexp(dim=1) - scores.diagonal()).mean())


@pytest.mark.parametrize("mini_batch_size", [0, 3])
@pytest.mark.parametrize("hard", [True, False])
def test_the_loss_is_info_nce_over_answers_and_hard_negatives(
    tiny_bert, tmp_path, collated, hard: bool, mini_batch_size: int
) -> None:
    encoder = load(tiny_bert)
    settings = flat_settings(
        **BASE | {"steps": 2, "temperature": 0.07, "hard_negatives": hard, "mini_batch_size": mini_batch_size}
    )
    corpus = judged()
    plan = BatchPlan(TrainingData(corpus, hard_negatives=hard).index, strategy("hybrid"), 8)
    rows = StepTexts(TrainingData(corpus, hard_negatives=hard), plan)[0]
    expected = hand_made_loss(encoder, rows, 0.07)
    result = train(encoder, corpus, settings, tmp_path / "m")
    columns = ["query", "passage", *(["negative"] if hard else [])]
    assert [list(row) for row in collated[0][0]] == [columns] * 8
    assert collated[0][0] == rows
    assert result.losses[0] == (1, pytest.approx(expected, abs=1e-4))
    without = [{key: row[key] for key in ("query", "passage")} for row in rows]
    assert (abs(hand_made_loss(load(tiny_bert), without, 0.07) - expected) > 0.1) == hard


@pytest.mark.slow
@pytest.mark.parametrize("change", [{}, {"gradient_checkpointing": True}])
def test_gradcache_has_the_gradients_of_the_plain_loss_with_hard_negatives(tiny_bert, tmp_path, change) -> None:
    spies = []
    for mini_batch_size in (0, 3):
        spy = Gradients()
        settings = flat_settings(**BASE | change | {"steps": 1, "mini_batch_size": mini_batch_size})
        train(load(tiny_bert), judged(), settings, tmp_path / "m", callbacks=[spy])
        spies.append(spy.first)
    assert max(gradient.abs().max() for gradient in spies[0].values()) > 1e-3
    assert close(spies[0], spies[1], 1e-5)


# --- several sources


def sources() -> dict[str, Corpus]:
    return {
        "toy": parallel_corpus(40).named("toy"),
        "more": Corpus.from_rows(
            [row | {"text": f"{row['text']} more"} for row in parallel_corpus(24, ("de", "fr")).queries.to_pylist()],
            [row | {"text": f"{row['text']} more"} for row in parallel_corpus(24, ("de", "fr")).passages.to_pylist()],
            [(f"i{i}", f"i{i}") for i in range(24)],
            name="more",
        ),
        "alone": Corpus.from_rows(
            [row | {"text": f"{row['text']} alone"} for row in parallel_corpus(16, ("en",)).queries.to_pylist()],
            [row | {"text": f"{row['text']} alone"} for row in parallel_corpus(16, ("en",)).passages.to_pylist()],
            [(f"i{i}", f"i{i}") for i in range(16)],
            name="alone",
        ),
    }  # fmt: skip


def source_of(text: str) -> str:
    last = text.rpartition(" ")[2]
    return last if last in ("more", "alone") else "toy"


def test_each_step_is_of_one_source_and_a_monolingual_one_is_only_in_mono_batches(
    tiny_static, tmp_path, collated
) -> None:
    settings = flat_settings(**BASE | {"steps": 60, "source_temperature": 0.0})
    corpora = sources()
    train(copy.deepcopy(tiny_static), corpora, settings, tmp_path / "m")
    data = TrainingData(corpora, temperature=0.0)
    plan = BatchPlan(data.index, strategy("hybrid"), 8)
    english = {row["text"] for c in corpora.values() for row in c.queries.to_pylist() if row["lang"] == "en"}
    kinds: dict[str, set[str]] = {}
    assert len(collated) == 60
    for step, (rows, _) in enumerate(collated):
        (source,) = {source_of(text) for row in rows for text in row.values()}
        kinds.setdefault(source, set()).add(plan[step].kind)
        assert source == plan[step].source
        if source == "alone":
            assert {row["query"] for row in rows} <= english
    assert kinds == {"toy": {"mono", "cross"}, "more": {"mono", "cross"}, "alone": {"mono"}}
    record = json.loads((tmp_path / "m" / "training.json").read_text())["corpus"]
    assert record["name"] == "toy + more + alone"
    assert record["pairs"] == 80
    assert record["sources"] == {name: corpus.fingerprint() for name, corpus in corpora.items()}


@pytest.mark.slow
def test_weights_and_temperature_reach_the_mixture(tiny_static, tmp_path, monkeypatch) -> None:
    made: list[Mixture] = []
    original = Mixture.__init__

    def spying(self, *arguments, **named):
        original(self, *arguments, **named)
        made.append(self)

    monkeypatch.setattr(Mixture, "__init__", spying)
    given = {"toy": 1.0, "more": 5.0, "alone": 2.0}
    for change, expected in (
        ({"source_weights": given}, [1, 5, 2]),
        ({"source_temperature": 0.5}, [40**0.5, 24**0.5, 16**0.5]),
        ({}, [40, 24, 16]),
    ):
        settings = flat_settings(**BASE | {"steps": 1} | change)
        train(copy.deepcopy(tiny_static), sources(), settings, tmp_path / "m")
        assert np.allclose(made[-1].weights, expected)
    assert len(made) == 3


def test_another_set_or_order_of_sources_is_another_run() -> None:
    """The order decides which source has which step, so a run that goes on must have the same."""
    whole = sources()
    renamed = {name.replace("toy", "games"): corpus for name, corpus in whole.items()}
    fewer = {name: whole[name] for name in ("toy", "more")}
    changed = whole | {"alone": whole["alone"].only_groups(["g0", "g1"])}
    turned = dict(reversed(whole.items()))
    prints = [TrainingData(corpora).fingerprint() for corpora in (whole, renamed, fewer, changed, turned)]
    assert len(set(prints)) == 5
    assert TrainingData(sources()).fingerprint() == prints[0]
    assert TrainingData(whole["toy"]).fingerprint() == whole["toy"].fingerprint()


def test_sources_that_do_not_fit_are_refused(tiny_static, tmp_path) -> None:
    def run(corpora, **change) -> None:
        train(copy.deepcopy(tiny_static), corpora, flat_settings(**BASE | change), tmp_path / "m")

    bench = parallel_corpus(20).named("bench", evaluation_only=True)
    with pytest.raises(TrainingError, match="bench is a benchmark: it is for evaluation only"):
        run(sources() | {"bench": bench})
    with pytest.raises(TrainingError, match="nothing to train on"):
        run({})
    with pytest.raises(PlanError, match="give every source one weight"):
        run(sources(), source_weights={"toy": 1.0})
    with pytest.raises(PlanError, match="the source weights are for other, but the sources are toy"):
        run(parallel_corpus(), source_weights={"other": 1.0})
    with pytest.raises(PlanError, match="the weight of the source 'more' must be a positive number"):
        run(sources(), source_weights={"toy": 1.0, "more": 0.0, "alone": 1.0})
    with pytest.raises(PlanError, match="the source 'alone' can fill no cross batch of 8"):
        run(sources(), strategy="cross")
    assert not list(tmp_path.iterdir())


# --- checkpoints


def interrupted(tiny_bert: Path, folder: Path, **change: Any) -> tuple[TrainingSettings, Path]:
    settings = flat_settings(**BASE | {"steps": 6, "checkpoint_every": 2} | change)
    with pytest.raises(KeyboardInterrupt):
        train(load(tiny_bert), parallel_corpus(), settings, folder / "m", callbacks=[Killed(5)])
    return settings, folder / "m.checkpoints"


@pytest.mark.slow
def test_a_damaged_checkpoint_is_one_sentence(tiny_bert, tmp_path) -> None:
    settings, place = interrupted(tiny_bert, tmp_path)
    file = place / "checkpoint-4" / "trained.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(TrainingError, match="is damaged") as caught:
        train(load(tiny_bert), parallel_corpus(), settings, tmp_path / "m")
    assert "\n" not in str(caught.value)
    assert f"delete {place / 'checkpoint-4'} to go on from an earlier one" in str(caught.value)
    # What the sentence says works, and gives what an uninterrupted run gives.
    for old in sorted((place / "checkpoint-4").iterdir()):
        old.unlink()
    (place / "checkpoint-4").rmdir()
    resumed, straight = load(tiny_bert), load(tiny_bert)
    train(resumed, parallel_corpus(), settings, tmp_path / "m")
    train(straight, parallel_corpus(), settings, tmp_path / "straight")
    assert close(state(resumed), state(straight), 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt"])
def test_a_damaged_optimizer_is_one_sentence(tiny_bert, tmp_path, name: str) -> None:
    settings, place = interrupted(tiny_bert, tmp_path)
    file = place / "checkpoint-4" / name
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(TrainingError, match=r"checkpoint-4: is damaged .*; delete it to go on from an earlier one"):
        train(load(tiny_bert), parallel_corpus(), settings, tmp_path / "m")


@pytest.mark.slow
def test_a_checkpoint_that_was_not_finished_is_passed_over(tiny_bert, tmp_path) -> None:
    settings, place = interrupted(tiny_bert, tmp_path)
    file = place / "checkpoint-4" / "trainer_state.json"
    file.write_text(file.read_text()[:40])
    resumed, straight = load(tiny_bert), load(tiny_bert)
    steps: list[int] = []

    class Steps(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            steps.append(state.global_step)

    train(resumed, parallel_corpus(), settings, tmp_path / "m", callbacks=[Steps()])
    assert steps == [3, 4, 5, 6]
    train(straight, parallel_corpus(), settings, tmp_path / "straight")
    assert close(state(resumed), state(straight), 1e-6)


def test_a_damaged_record_of_the_run_is_one_sentence(tiny_bert, tmp_path) -> None:
    settings, place = interrupted(tiny_bert, tmp_path)
    (place / "run.json").write_text("{")
    with pytest.raises(TrainingError, match=r"run.json: is damaged; delete .*m.checkpoints to start over"):
        train(load(tiny_bert), parallel_corpus(), settings, tmp_path / "m")


def test_weights_of_another_encoder_change_nothing(tiny_bert, tmp_path) -> None:
    narrow, wide = load(tiny_bert), load(tiny_bert)
    weights.add_adapters(narrow, 2)
    weights.add_adapters(wide, 4)
    before = state(wide)
    weights.save_trained(narrow, tmp_path / "narrow.safetensors")
    with pytest.raises(TrainingError, match=r"they differ in 0.*lora_A.*; do that"):
        weights.load_trained(wide, tmp_path / "narrow.safetensors", damaged="do this", foreign="do that")
    assert close(before, state(wide), 0)


def test_a_checkpoint_of_another_model_is_one_sentence(tiny_bert, tmp_path) -> None:
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    settings, place = interrupted(tiny_bert, tmp_path)
    config = BertConfig.from_pretrained(str(tiny_bert), intermediate_size=48)
    BertModel(config).save_pretrained(str(tmp_path / "other"))
    PreTrainedTokenizerFast.from_pretrained(str(tiny_bert)).save_pretrained(str(tmp_path / "other"))
    with pytest.raises(TrainingError, match="another start"):
        train(load(tmp_path / "other"), parallel_corpus(), settings, tmp_path / "m")
    # The record may say what it likes.
    record = json.loads((place / "run.json").read_text())
    (place / "run.json").write_text(json.dumps(record | {"start": fingerprint(load(tmp_path / "other"))}))
    with pytest.raises(TrainingError, match="is of another encoder") as caught:
        train(load(tmp_path / "other"), parallel_corpus(), settings, tmp_path / "m")
    assert f"delete {place} or choose another output" in str(caught.value)


@pytest.mark.slow
def test_a_run_killed_after_its_last_step_only_saves(tiny_bert, tmp_path, monkeypatch) -> None:
    from babelmix.training import trainer

    settings = flat_settings(**BASE | {"steps": 4, "checkpoint_every": 2})
    straight, resumed = load(tiny_bert), load(tiny_bert)
    expected = train(straight, parallel_corpus(), settings, tmp_path / "a")

    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "_save", dying)
        with pytest.raises(KeyboardInterrupt):
            train(load(tiny_bert), parallel_corpus(), settings, tmp_path / "b")
    spy = Gradients()
    result = train(resumed, parallel_corpus(), settings, tmp_path / "b", callbacks=[spy])
    assert not spy.first  # not a step was done again
    assert close(state(straight), state(resumed), 1e-6)
    assert [step for step, _ in result.losses] == [step for step, _ in expected.losses] == [1, 2, 3, 4]


@pytest.mark.slow
def test_a_static_encoder_resumes_too(tiny_static, tmp_path) -> None:
    settings = flat_settings(**BASE | {"steps": 6, "checkpoint_every": 2})
    straight, resumed = copy.deepcopy(tiny_static), copy.deepcopy(tiny_static)
    train(straight, parallel_corpus(), settings, tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train(copy.deepcopy(tiny_static), parallel_corpus(), settings, tmp_path / "b", callbacks=[Killed(5)])
    train(resumed, parallel_corpus(), settings, tmp_path / "b")
    assert close(state(straight), state(resumed), 1e-7)


def test_another_start_of_the_same_name_does_not_go_on(tiny_bert, tmp_path) -> None:
    settings, place = interrupted(tiny_bert, tmp_path, freeze_embeddings=True)
    other = load(tiny_bert)
    with torch.no_grad():
        other[0].auto_model.get_input_embeddings().weight += 1
    with pytest.raises(TrainingError, match="another start") as caught:
        train(other, parallel_corpus(), settings, tmp_path / "m")
    assert str(place) in str(caught.value)


@pytest.mark.slow
def test_a_run_that_left_no_checkpoint_stands_in_no_ones_way(tiny_bert, tmp_path) -> None:
    first = flat_settings(**BASE | {"steps": 6, "checkpoint_every": 5})
    with pytest.raises(KeyboardInterrupt):
        train(load(tiny_bert), parallel_corpus(), first, tmp_path / "m", callbacks=[Killed(3)])
    assert (tmp_path / "m.checkpoints" / "run.json").is_file()
    train(load(tiny_bert), parallel_corpus(), flat_settings(**BASE | {"steps": 2}), tmp_path / "m")
    assert not (tmp_path / "m.checkpoints").exists()


@pytest.mark.slow
def test_with_adapters_the_start_has_its_share_of_what_joins_two_towers_too(tiny_bert, tmp_path) -> None:
    corpus = picture_corpus()

    def moved(share: float) -> dict[str, torch.Tensor]:
        encoder = make_dual(f"tiny+{tiny_bert}", corpus.queries["text"].to_pylist())
        start = state(encoder)
        settings = flat_settings(
            strategy="mono", steps=3, batch_size=4, learning_rate=1e-2, lora_rank=2, start_share=share
        )
        train(encoder, corpus, settings, tmp_path / f"{share}")
        return {name: tensor - start[name] for name, tensor in state(encoder).items()}

    whole, averaged = moved(0.0), moved(0.75)
    assert any("linear" in name and tensor.abs().max() > 1e-3 for name, tensor in whole.items())
    assert close({name: tensor / 4 for name, tensor in whole.items()}, averaged, 1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"consistency_of": "both"}, "but loss.consistency and loss.lakda are 0"),
        ({"text_weight": 2.0}, "text_weight is for pictures"),
        ({"patience": 2}, "counts audits on a validation corpus, and there is none"),
    ],
)
def test_a_setting_without_what_it_is_of_is_refused(tiny_bert, tmp_path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        train(load(tiny_bert), parallel_corpus(), flat_settings(**BASE | change), tmp_path / "m")


def test_numbers_that_are_none_are_refused() -> None:
    for change in ({"seed": 2**32}, {"learning_rate": float("inf")}, {"consistency": float("nan")}):
        with pytest.raises(ValueError, match=next(iter(change))):
            flat_settings(**change)


def test_defaults_depend_on_the_encoder(tiny_bert) -> None:
    data = TrainingData(parallel_corpus())
    texts = resolve(TrainingSettings(), data, load(tiny_bert))
    pictures = resolve(TrainingSettings(), data, make_dual("tiny-clip", ["ein Wort"] * 9), "tiny-clip")
    assert (texts.loss.temperature, pictures.loss.temperature) == (0.05, 0.07)
    assert (texts.learning_rate, pictures.learning_rate) == (2e-5, 1e-3)
