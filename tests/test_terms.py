"""The terms of the loss: each is that of its formula, alone and together, and GradCache has the same gradients."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import flat_settings, parallel_corpus, picture_corpus
from scipy.special import log_softmax
from sentence_transformers import SentenceTransformer
from test_consistency import slow_symmetric_kl
from test_negatives import with_negatives
from test_training_options import BASE, Killed, close, load, state
from transformers import TrainerCallback

from babelmix import extend
from babelmix.encoders import load_encoder, static
from babelmix.encoders.embed import encode_batch
from babelmix.encoders.kinds import make_encoder
from babelmix.errors import TrainingError
from babelmix.evaluation import audit
from babelmix.training import LOSSES, ResolvedSettings, StepTexts, TrainingData, distil, resolve, train
from babelmix.training.consistency import SIDES
from babelmix.training.distil import EnglishTargets
from babelmix.training.losses import CachedColumnLoss, loss_of, text_steps
from babelmix.training.projection import Projection
from babelmix.training.rows import RowAdam

CORPUS = with_negatives(parallel_corpus(), np.random.default_rng(0))
OTHER = {"queries": "other_query", "passages": "other_passage"}

TERMS: dict[str, dict[str, Any]] = {
    "distance": {"distillation": {"teacher": "t"}},
    "a share of distance": {"distillation": {"teacher": "t", "share": 0.3}},
    "what the row itself says": {"distillation": {"teacher": "t", "share": 0.3, "reads": "itself"}},
    "relations": {"distillation": {"teacher": "t", "share": 0.0, "relations": 0.7}},
    "relations alone with distance": {"distillation": {"teacher": "t", "share": 1.0, "relations": 2.0}},
    "a teacher and consistency": {"distillation": {"teacher": "t", "share": 0.2}, "loss": {"consistency": 0.5}},
    "distance and consistency": {
        "distillation": {"teacher": "t"},
        "loss": {"consistency": 0.5, "consistency_of": "both"},
    },
    "reverse": {"loss": {"reverse": 0.4, "reverse_kl": 0.2}},
    "reverse alone": {"loss": {"reverse": 1.0}},
    "LaKDA": {"loss": {"lakda": 0.5, "consistency_of": "queries"}},
    "LaKDA of passages": {"loss": {"lakda": 0.5}},
    "all": {
        "distillation": {"teacher": "t", "share": 0.2, "relations": 0.7},
        "loss": {"consistency": 0.5, "consistency_of": "both", "reverse": 0.3, "reverse_kl": 0.2, "lakda": 0.1},
    },
}


@pytest.fixture(scope="module")
def teacher() -> SentenceTransformer:
    """A teacher with embeddings of fewer dimensions than the student's."""
    texts = [*CORPUS.queries["text"].to_pylist(), *CORPUS.passages["text"].to_pylist()]
    return static.from_scratch(texts, vocabulary=200, dimension=16, seed=4)


def settings_of(encoder: Any, spec: str = "cross", **given: Any) -> ResolvedSettings:
    given = {**given, "loss": {"temperature": 0.2, "consistency": 0.0, **given.get("loss", {})}}
    return resolve(flat_settings(strategy=spec, batch_size=8, steps=5, **given), TrainingData(CORPUS), encoder)


def stepped(
    encoder: SentenceTransformer, settings: ResolvedSettings, teacher: SentenceTransformer, step: int = 1
) -> tuple[list[dict[str, Any]], torch.nn.Module, list[dict[str, Any]], torch.Tensor | None]:
    """The rows of a step, the loss of the run, and what the trainer gives to it."""
    data = TrainingData(CORPUS)
    rows = text_steps(data, data.plan(settings), settings, teacher if settings.distillation else None, 0)[step]
    loss = loss_of(encoder, settings, data, 16)
    columns = [name for name in rows[0] if name != "label"]
    if hasattr(loss, "terms"):
        loss.terms.columns = tuple(columns)
    features = [encoder.preprocess([row[column] for row in rows]) for column in columns]
    labels = [row["label"] for row in rows if "label" in row]
    if labels:
        return rows, loss, features, torch.stack(labels) if torch.is_tensor(labels[0]) else torch.tensor(labels)
    return rows, loss, features, None


def slow_loss(
    encoder: Any, teacher: Any, settings: ResolvedSettings, rows: list[dict[str, Any]], projection: Projection | None
) -> float:
    """From the definitions, row by row, with the English texts looked up in the corpus."""
    loss, distillation, scale = settings.loss, settings.distillation, 1 / settings.loss.temperature
    item_of, english = {}, {}
    for side in ("queries", "passages"):
        for row in getattr(CORPUS, side).to_pylist():
            item_of[side, row["text"]] = row["item"]
            if row["lang"] == "en":
                english[side, row["item"]] = row["text"]

    def embedded(column: str) -> np.ndarray:
        encode = encoder.encode_query if "query" in column else encoder.encode_document
        return encode([row[column] for row in rows]).astype(np.float64)

    def unit(vectors: np.ndarray) -> np.ndarray:
        return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)

    def taught(column: str) -> np.ndarray:
        side = "queries" if "query" in column else "passages"
        texts = [row[column] for row in rows]
        if distillation.reads == "english":
            texts = [english[side, item_of[side, text]] for text in texts]
        return unit(teacher.encode(texts).astype(np.float64))

    def projected(vectors: np.ndarray) -> np.ndarray:
        if projection is None:
            return unit(vectors)
        return unit(vectors @ projection.linear.weight.detach().numpy().T + projection.linear.bias.detach().numpy())

    candidates = [column for column in ("passage", "negative") if column in rows[0]]
    pool, passages = unit(np.concatenate([embedded(column) for column in candidates])), unit(embedded("passage"))
    columns = [column for column in rows[0] if column.startswith("query")]
    total, count = 0.0, len(rows)
    for column in columns:
        query = unit(embedded(column))
        for i in range(count):
            forward, backward = log_softmax(pool @ query[i] * scale), log_softmax(query @ passages[i] * scale)
            alone = log_softmax(passages @ query[i] * scale)
            own = (1 - loss.reverse - loss.reverse_kl - loss.lakda) * -forward[i] + loss.reverse * -backward[i]
            own += loss.reverse_kl * sum(np.exp(b) * (b - f) for b, f in zip(backward, alone, strict=True))
            for side in SIDES[loss.consistency_of] if loss.consistency or loss.lakda else ():
                other = unit(embedded(OTHER[side]))[i]
                for temperature in (loss.temperature, 1.0):
                    scores, changed = pool @ query[i], pool @ (other if side == "queries" else query[i])
                    if side == "passages":
                        changed[i] = other @ query[i]
                    p, q = (np.exp(log_softmax(one / temperature)) for one in (scores, changed))
                    if temperature == 1.0:
                        own += loss.lakda * float(np.sum(q * np.log(q / p)))
                    else:
                        total += loss.consistency * slow_symmetric_kl(p, q) / count / len(columns)
            share = distillation.share if distillation else 0.0
            total += (1 - share) * own / count / len(columns)
            if distillation is None:
                continue
            for one in (column, "passage") if share else ():
                near = projected(embedded(one))[i] @ taught(one)[i]
                total += share * (1 - near) * scale / 2 / count / len(columns)
            wanted = log_softmax(np.concatenate([taught(c) for c in candidates]) @ taught(column)[i] * scale)
            total += distillation.relations * float(np.sum(np.exp(wanted) * (wanted - forward))) / count / len(columns)
    return total


@pytest.mark.parametrize("mini_batch_size", [None, 3])
@pytest.mark.parametrize("spec", ["cross", "one_to_k(3)"])
@pytest.mark.parametrize("name", TERMS)
def test_the_loss_is_that_of_its_formula(
    tiny_bert: Path, teacher: SentenceTransformer, name: str, spec: str, mini_batch_size: int | None
) -> None:
    given = copy.deepcopy(TERMS[name])
    if "one_to_k" in spec and given.get("distillation", {}).get("reads") == "itself":
        pytest.skip("refused, see test_one_to_k")
    given["loss"] = {**given.get("loss", {}), "mini_batch_size": mini_batch_size}
    encoder = load_encoder(str(tiny_bert)).eval()
    settings = settings_of(encoder, spec, **given)
    rows, loss, features, labels = stepped(encoder, settings, teacher)
    projection = next((part for part in loss.modules() if isinstance(part, Projection)), None)
    assert (projection is None) == (settings.distillation is None or not settings.distillation.share)
    if projection is not None:
        torch.nn.init.normal_(projection.linear.bias)
    with torch.no_grad():
        found = float(loss(features, labels))
    assert isinstance(loss, CachedColumnLoss) == bool(mini_batch_size)
    assert found == pytest.approx(slow_loss(encoder, teacher, settings, rows, projection), abs=2e-5)


@pytest.mark.parametrize("spec", ["cross", "one_to_k(3)"])
@pytest.mark.parametrize("name", TERMS)
def test_gradcache_has_the_gradients_of_the_plain_loss(
    tiny_bert: Path, teacher: SentenceTransformer, name: str, spec: str
) -> None:
    found = []
    if "one_to_k" in spec and TERMS[name].get("distillation", {}).get("reads") == "itself":
        pytest.skip("refused, see test_one_to_k")
    for mini_batch_size in (None, 3):
        given = copy.deepcopy(TERMS[name])
        given["loss"] = {**given.get("loss", {}), "mini_batch_size": mini_batch_size}
        encoder = load_encoder(str(tiny_bert)).eval()
        _, loss, features, labels = stepped(encoder, settings_of(encoder, spec, **given), teacher)
        value = loss(features, labels)
        value.backward()
        gradients = {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}
        gradients |= {name: p.grad for name, p in loss.named_parameters() if "projection" in name}
        found.append((float(value.detach()), gradients))
    (plain, gradients), (cached, others) = found
    assert plain == pytest.approx(cached, abs=1e-6)
    assert gradients.keys() == others.keys()
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    assert largest > 1e-4
    for key, gradient in gradients.items():
        # Sums in another order: on some processors float32 differs by a little more than 1e-6.
        assert (gradient - others[key]).abs().max() < 5e-6 * max(1.0, largest), key


# --- the teacher


@pytest.mark.parametrize("reads", ["english", "itself"])
def test_an_english_text_is_embedded_once(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, reads: str) -> None:
    teacher = load_encoder(str(tiny_bert))
    settings = settings_of(teacher, distillation={"teacher": "t", "share": 0.5, "reads": reads})
    data = TrainingData(CORPUS)
    seen: list[tuple[str, str]] = []

    def counted(encoder: Any, texts: list[str], kind: str) -> Any:
        seen.extend((kind, text) for text in texts)
        return encode_batch(encoder, texts, kind)

    with monkeypatch.context() as patch:
        patch.setattr(distil, "encode_batch", counted)
        steps = text_steps(data, data.plan(settings), settings, teacher, 0)
        found = [steps[step] for step in range(40)]
    assert (len(seen) == len(set(seen)) == 80) == (reads == "english")
    for step in (0, 39):
        # Steps that remember nothing. Batches differ in their padding.
        fresh = text_steps(data, data.plan(settings), settings, teacher, 0)[step]
        for row, other in zip(found[step], fresh, strict=True):
            assert torch.allclose(row["label"], other["label"], atol=1e-6)
            assert {**row, "label": None} == {**other, "label": None}


def test_memory_is_one_row_per_item(teacher: SentenceTransformer) -> None:
    targets = EnglishTargets(teacher, CORPUS, "passages")
    found = targets(np.arange(CORPUS.passages.num_rows))
    assert (found.shape, targets._vectors.shape) == ((160, 16), (40, 16))
    rows = CORPUS.passages.to_pylist()
    english = {row["item"]: row["text"] for row in rows if row["lang"] == "en"}
    assert np.allclose(found, teacher.encode([english[row["item"]] for row in rows]), atol=1e-6)
    assert targets(np.array([3], dtype=np.int64)).dtype == np.float32


def test_in_bfloat16_the_teacher_computes_in_bfloat16(
    teacher: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def dtype_of(encoder: SentenceTransformer, texts: list[str], kind: str) -> np.ndarray:
        weights = torch.ones(2, 2)
        seen.append((weights @ weights).dtype)
        return np.zeros((len(texts), 16), dtype=np.float32)

    monkeypatch.setattr(distil, "encode_batch", dtype_of)
    data = TrainingData(CORPUS)
    for bf16 in (False, True):
        for reads in ("english", "itself"):
            distillation = {"teacher": "t", "reads": reads}
            settings = settings_of(teacher, distillation=distillation, bf16=bf16)
            text_steps(data, data.plan(settings), settings, teacher, 0)[0]
    assert seen == [torch.float32] * 4 + [torch.bfloat16] * 4


def test_relations_make_scores_those_of_the_teacher_in_english(tiny_static, tmp_path: Path) -> None:
    """Also across dimensions: the student has 16, the teacher 24."""
    corpus = parallel_corpus()
    texts = [*corpus.queries["text"].to_pylist(), *corpus.passages["text"].to_pylist()]
    other = static.from_scratch(texts, vocabulary=200, dimension=24, seed=4)
    other.save(str(tmp_path / "teacher"))

    def scores(encoder: SentenceTransformer, queries: str, passages: str) -> np.ndarray:
        tables = (corpus.queries, queries), (corpus.passages, passages)
        sides = [sorted((r["item"], r["text"]) for r in t.to_pylist() if r["lang"] == lang) for t, lang in tables]
        query, passage = (encoder.encode([text for _, text in side], normalize_embeddings=True) for side in sides)
        return log_softmax(query @ passage.T / 0.1, axis=1)

    wanted, apart = scores(other, "en", "en"), {}
    for weight in (0.0, 1.0):
        encoder = copy.deepcopy(tiny_static)
        teacher = {"teacher": str(tmp_path / "teacher"), "share": 0.0, "relations": weight} if weight else None
        settings = flat_settings(
            strategy="cross", steps=300, batch_size=16, learning_rate=0.02, temperature=0.1, distillation=teacher
        )
        train(encoder, corpus, settings, tmp_path / f"{weight}")
        found = scores(encoder, "de", "ja")
        apart[weight] = float((np.exp(wanted) * (wanted - found)).sum(1).mean())
        assert encoder.get_embedding_dimension() == 16
    assert apart[1.0] < 0.3 * apart[0.0]


# --- the projection


def test_a_projection_starts_as_it_says() -> None:
    vectors = torch.randn(5, 8)
    assert torch.equal(Projection(8, 8)(vectors), vectors)
    assert torch.allclose(
        Projection(8, 12, 3)(vectors) @ Projection(8, 12, 3)(vectors).T, vectors @ vectors.T, atol=1e-5
    )
    assert not torch.equal(Projection(8, 12, 3).linear.weight, Projection(8, 12, 4).linear.weight)


@pytest.mark.parametrize("projection", [None, True])
def test_an_encoder_learns_from_a_teacher_of_another_dimension(
    tiny_static, tmp_path: Path, projection: bool | None
) -> None:
    corpus = parallel_corpus()
    texts = [*corpus.queries["text"].to_pylist(), *corpus.passages["text"].to_pylist()]
    static.from_scratch(texts, vocabulary=200, dimension=16 if projection else 24, seed=4).save(
        str(tmp_path / "teacher")
    )
    encoder = copy.deepcopy(tiny_static)
    given = {"teacher": str(tmp_path / "teacher"), "projection": projection}
    settings = flat_settings(strategy="cross", steps=200, batch_size=16, learning_rate=0.02, distillation=given)
    seen: list[Any] = []

    class Spy(TrainerCallback):
        def on_train_end(self, args, state, control, optimizer=None, **kwargs):
            seen.extend(p.shape for group in optimizer.param_groups for p in group["params"])

    result = train(encoder, corpus, settings, tmp_path / "m", callbacks=[Spy()])
    assert result.losses[-1][1] < 0.5 * result.losses[0][1]
    assert torch.Size([16 if projection else 24, 16]) in seen
    before, after = (
        audit(e, corpus, name="m", store=False).macro("bias/rank distance") for e in (tiny_static, encoder)
    )
    assert after < 0.5 * before
    saved = load(tmp_path / "m")
    assert saved.get_embedding_dimension() == 16
    assert close(state(saved), state(encoder), 0)
    assert not [file for file in (tmp_path / "m").rglob("*") if "terms" in file.name or "projection" in file.name]
    assert (
        json.loads((tmp_path / "m" / "training.json").read_text())["settings"]["distillation"]["projection"]
        is projection
    )


def test_a_projection_moves_with_adam(tiny_static, tmp_path: Path) -> None:
    """For static encoders the optimiser is babelmix's own: for dense gradients it is torch's Adam."""
    ours, theirs = (torch.nn.Linear(4, 3) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    optimizers = RowAdam(ours.parameters(), lr=0.01), torch.optim.Adam(theirs.parameters(), lr=0.01)
    for step in range(6):
        vectors = torch.randn(5, 4, generator=torch.Generator().manual_seed(step))
        for layer, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            layer(vectors).square().sum().backward()
            optimizer.step()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)
    assert torch.allclose(ours.bias, theirs.bias, atol=1e-6)


@pytest.mark.slow
def test_a_resumed_run_has_the_projection_of_its_checkpoint(tiny_bert: Path, teacher, tmp_path: Path) -> None:
    teacher.save(str(tmp_path / "teacher"))
    given = {"teacher": str(tmp_path / "teacher"), "share": 0.5}
    settings = flat_settings(**BASE | {"steps": 6, "checkpoint_every": 2, "distillation": given})
    straight, resumed = load(tiny_bert, dropout=True), load(tiny_bert, dropout=True)
    train(straight, CORPUS, settings, tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train(load(tiny_bert, dropout=True), CORPUS, settings, tmp_path / "b", callbacks=[Killed(5)])
    file = tmp_path / "b.checkpoints" / "checkpoint-4" / "terms.safetensors"
    whole = file.read_bytes()
    file.write_bytes(b"\x00")
    with pytest.raises(TrainingError, match=r"terms\.safetensors: is damaged"):
        train(load(tiny_bert, dropout=True), CORPUS, settings, tmp_path / "b")
    file.write_bytes(whole)
    train(resumed, CORPUS, settings, tmp_path / "b")
    assert close(state(straight), state(resumed), 1e-6)


# --- what does not fit


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": {"reverse": 0.4}}, r"loss\.reverse is for texts"),
        ({"loss": {"lakda": 0.4}}, r"loss\.lakda is for texts"),
        (
            {"pictures": {"lock_images": True}, "distillation": {"teacher": "x", "relations": 1}},
            r"distillation\.relations",
        ),
        (
            {"pictures": {"lock_images": True}, "distillation": {"teacher": "x", "projection": True}},
            r"and distillation\.proj",
        ),
    ],
)
def test_pictures_have_no_such_terms(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    pictures = picture_corpus()
    dual = make_encoder("tiny-clip", pictures.queries["text"].to_pylist(), dimension=16)
    with pytest.raises(TrainingError, match=message):
        train(dual, pictures, flat_settings(steps=1, batch_size=4, **given), tmp_path / "m", base="tiny-clip")


def test_translations_are_compared_by_a_term(tiny_static, tmp_path: Path) -> None:
    settings = flat_settings(
        strategy="cross", steps=1, batch_size=4, loss={"consistency_of": "queries", "reverse": 0.4}
    )
    with pytest.raises(TrainingError, match=r"loss\.consistency and loss\.lakda are 0"):
        train(copy.deepcopy(tiny_static), CORPUS, settings, tmp_path / "m")


def test_hard_negatives_that_no_term_reads_are_not_embedded(tiny_static) -> None:
    data = TrainingData(CORPUS)
    columns = {}
    for name in ("distance", "reverse alone", "a share of distance", "distance and consistency"):
        settings = settings_of(tiny_static, **copy.deepcopy(TERMS[name]))
        steps = text_steps(data, data.plan(settings), settings, tiny_static if settings.distillation else None, 0)
        columns[name] = [column for column in steps[0][0] if column != "label"]
    assert columns["distance"] == columns["reverse alone"] == ["query", "passage"]
    assert columns["a share of distance"] == ["query", "passage", "negative"]
    assert columns["distance and consistency"] == ["query", "passage", "negative", "other_query", "other_passage"]


def test_a_loss_of_one_s_own_has_the_texts_alone(tiny_static) -> None:
    extend.loss("nothing")(lambda encoder, settings: torch.nn.Identity())
    try:
        settings = settings_of(tiny_static, loss={"name": "nothing"})
        data = TrainingData(CORPUS)
        steps = text_steps(data, data.plan(settings), settings, None, 0)
        assert type(steps) is StepTexts
    finally:
        LOSSES.unregister("nothing")


def test_the_command_line_has_them(babelmix, tmp_path: Path) -> None:
    parallel_corpus().save(tmp_path / "toy")
    code, out, err = babelmix(
        "train", "-c", str(tmp_path / "toy"), "--model", "static", "--steps", "2", "--json", "--out", str(tmp_path / "m"),
        "--strategy", "cross", "--reverse", "0.3", "--reverse-kl", "0.2", "--lakda", "0.1", "--distil-from", "start",
        "--distil-share", "0.5", "--distil-relations", "2", "--no-distil-projection", "--consistency", "0.5",
    )  # fmt: skip
    assert code == 0, err
    settings = json.loads(out)["settings"]
    assert {name: settings["loss"][name] for name in ("reverse", "reverse_kl", "lakda", "consistency")} == {
        "reverse": 0.3, "reverse_kl": 0.2, "lakda": 0.1, "consistency": 0.5
    }  # fmt: skip
    assert settings["distillation"] == {
        "teacher": "start", "reads": "english", "share": 0.5, "relations": 2.0, "projection": False
    }  # fmt: skip
    code, _, err = babelmix("train", "-c", str(tmp_path / "toy"), "--distil-relations", "1")
    assert (code, "--distil-from" in err) == (1, True)
