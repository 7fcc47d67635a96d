"""Dual encoders: two towers of stock modules, from random weights or from published layouts."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import flat_settings, parallel_corpus, picture_corpus
from sentence_transformers import SentenceTransformer
from torch.nn.functional import cross_entropy

from babelmix.corpus.images import Pictures
from babelmix.encoders import embed, encode, fingerprint, load_encoder
from babelmix.encoders.dual import (
    initialise,
    is_dual,
    is_dual_name,
    make_dual,
    tower_of,
    with_image_tower,
)
from babelmix.encoders.fingerprints import image_fingerprint
from babelmix.encoders.image_tower import dimension_of, load_tower, patches_of, pixels_of
from babelmix.errors import EncoderError, TrainingError
from babelmix.evaluation import Audit, audit, audit_both_ways
from babelmix.evaluation.systems import EncoderSystem
from babelmix.training import TrainingSettings, train
from babelmix.training.captions import CaptionLoss, Scale, contrastive

CORPUS = picture_corpus()
TEXTS = CORPUS.queries["text"].to_pylist()


@pytest.fixture(scope="module")
def tiny() -> SentenceTransformer:
    return make_dual("tiny-clip", TEXTS, dimension=32, size=200)


def tiny_clip(folder: Path, *, siglip: bool = False) -> Path:
    """A CLIP (or SigLIP) of the published layout with random weights, as a hub model's folder is."""
    import transformers

    side = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**side, "image_size": 32, "patch_size": 8}
    if siglip:
        config = transformers.SiglipConfig(vision_config=vision, text_config={**side, "vocab_size": 50})
        model, processor = (
            transformers.SiglipModel(config),
            transformers.SiglipImageProcessorPil(size={"height": 32, "width": 32}),
        )
    else:
        config = transformers.CLIPConfig(
            vision_config=vision, text_config={**side, "vocab_size": 50}, projection_dim=24
        )
        model = transformers.CLIPModel(config)
        processor = transformers.CLIPImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_two_towers_go_and_come_back_with_stock_classes(tiny: SentenceTransformer, tmp_path: Path) -> None:
    tiny.save_pretrained(str(tmp_path))
    again = SentenceTransformer(str(tmp_path))  # no code of ours is trusted
    assert is_dual(again)
    assert fingerprint(again) == fingerprint(tiny)
    assert image_fingerprint(again) == image_fingerprint(tiny)
    pictures = list(Pictures(CORPUS.passages))[:5]
    assert np.array_equal(again.encode(pictures), tiny.encode(pictures))
    assert np.array_equal(again.encode(TEXTS[:5]), tiny.encode(TEXTS[:5]))
    assert np.allclose(np.linalg.norm(tiny.encode(pictures), axis=1), 1, atol=1e-6)


def test_random_weights_follow_the_seed(tiny: SentenceTransformer) -> None:
    before = torch.get_rng_state()
    one, same, other = (make_dual("tiny-clip", TEXTS, dimension=32, size=200, seed=s) for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)
    initialise(other, "tiny-clip", 3)
    initialise(one, "tiny-clip", 3)
    assert fingerprint(one) == fingerprint(other) != fingerprint(tiny)


@pytest.mark.parametrize("siglip", [False, True])
def test_an_image_tower_of_the_published_layout(tmp_path: Path, tiny_bert: Path, siglip: bool) -> None:
    import transformers

    source = tiny_clip(tmp_path / "source", siglip=siglip)
    tower = load_tower(str(source))
    pictures = list(Pictures(CORPUS.passages))[:4]
    pixels = pixels_of(tower, pictures)
    assert pixels.shape == (4, 3, 32, 32)
    model = transformers.AutoModel.from_pretrained(source).eval()
    with torch.no_grad():
        expected = model.get_image_features(pixels).pooler_output
        assert patches_of(tower, pixels).shape == (4, 4, 4, 32)
        beside = make_dual(f"{source}+{tiny_bert}", [])
        found = torch.from_numpy(beside.encode(pictures))
    assert dimension_of(tower) == expected.shape[1]
    assert torch.allclose(found, torch.nn.functional.normalize(expected, dim=-1), atol=1e-5)
    # The text tower is another encoder's, with a layer to the pictures' dimension.
    assert beside.encode(["cat"]).shape == (1, expected.shape[1])


def test_a_tower_is_taken_from_a_dual_encoder(tiny: SentenceTransformer, tmp_path: Path) -> None:
    tiny.save_pretrained(str(tmp_path))
    beside = make_dual(f"{tmp_path}+static", TEXTS, size=200)
    assert image_fingerprint(beside) == image_fingerprint(tiny)
    other = make_dual("tiny-clip", TEXTS, dimension=32, size=200, seed=5)
    assert image_fingerprint(with_image_tower(other, tiny)) == image_fingerprint(tiny) != image_fingerprint(other)


def test_what_is_no_tower_is_refused(tmp_path: Path, tiny_bert: Path) -> None:
    with pytest.raises(EncoderError, match="an image tower is a CLIP or a SigLIP"):
        load_tower(str(tiny_bert))
    with pytest.raises(EncoderError, match="is not an encoder's folder"):
        load_tower(str(tmp_path))
    with pytest.raises(EncoderError, match="no weights before training"):
        load_encoder("tiny-clip")
    with pytest.raises(EncoderError, match="two towers"):
        tower_of(load_encoder(str(tiny_bert)), "image")


def test_pictures_are_encoded_once(tiny: SentenceTransformer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    opened = []
    original = Pictures.__getitem__
    monkeypatch.setattr(Pictures, "__getitem__", lambda self, row: (opened.append(row), original(self, row))[1])
    forward, backward = audit_both_ways(tiny, CORPUS, name="tiny")
    assert len(opened) == 40
    # With other text towers too.
    other = with_image_tower(make_dual("tiny-clip", TEXTS, dimension=32, size=200, seed=5), tiny)
    audit_both_ways(other, CORPUS, name="other")
    assert len(opened) == 40
    assert forward.table.query_langs == ("de", "en", "fr", "ja")
    assert backward.table.query_langs == ("zxx",)


def test_both_ways_are_the_ranks_of_the_score_matrix(tiny: SentenceTransformer) -> None:
    corpus = picture_corpus(20, captions=2)
    forward, backward = audit_both_ways(tiny, corpus, name="tiny", store=False)
    captions, pictures = EncoderSystem(tiny, store=False).embed(corpus)
    scores = captions.astype(np.float64) @ pictures.T.astype(np.float64)
    items = corpus.passages["item"].to_pylist()
    rows = corpus.queries.select(["item", "lang"]).to_pylist()
    own = np.array([items.index(row["item"]) for row in rows])
    rank = (scores > scores[np.arange(len(rows)), own][:, None]).sum(axis=1)
    by_lang = {
        lang: np.array([r for r, row in zip(rank, rows, strict=True) if row["lang"] == lang]) for lang in WORDS_OF
    }
    for k in (1, 5, 10):
        assert forward.macro(f"multi/hit@{k}") == pytest.approx(np.mean([(r < k).mean() for r in by_lang.values()]))
    best = np.array([[min(r for r, row in zip(rank, rows, strict=True) if (row["item"], row["lang"]) == (i, lang))
                      for lang in WORDS_OF] for i in items])  # fmt: skip
    assert forward.macro("bias/rank distance over query languages") == pytest.approx(
        (best.max(1) - best.min(1)).mean()
    )
    # A value is of a picture looked for in all languages, and of none of them.
    assert forward.measures["bias/rank distance over query languages"].cells == ("all",)
    assert forward.macro("bias/rank std over query languages") == pytest.approx(best.std(axis=1).mean())
    assert forward.macro("bias/rank variance over query languages") == pytest.approx(best.var(axis=1).mean())
    # From a picture: any of its two captions of a language, among the captions of that language.
    for lang in WORDS_OF:
        of = np.array([n for n, row in enumerate(rows) if row["lang"] == lang])
        hits = []
        for column, item in enumerate(items):
            order = of[np.argsort(-scores[of, column], kind="stable")]
            hits.append(any(rows[n]["item"] == item for n in order[:5]))
        cells = dict(
            zip(backward.measures["cross/hit@5"].cells, backward.measures["cross/hit@5"].cell_values(), strict=True)
        )
        assert cells[f"zxx > {lang}"] == pytest.approx(np.mean(hits))


WORDS_OF = ("de", "en", "fr", "ja")


def test_an_encoder_without_an_image_tower_is_refused(tiny_bert: Path, tmp_path: Path) -> None:
    encoder = load_encoder(str(tiny_bert))
    with pytest.raises(EncoderError, match="cannot embed pictures"):
        audit(encoder, CORPUS, name="bert", store=False)
    with pytest.raises(TrainingError, match="two towers"):
        train(encoder, CORPUS, flat_settings(steps=1, batch_size=4), tmp_path / "m")


def test_the_loss_is_the_symmetric_one_for_every_kind_of_step(tiny: SentenceTransformer) -> None:
    generator = torch.Generator().manual_seed(0)
    texts, seconds, pictures = (
        torch.nn.functional.normalize(torch.randn(6, 8, generator=generator), dim=-1) for _ in range(3)
    )
    scale = torch.tensor(7.0)

    def plain(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        logits = scale * a @ b.T
        own = torch.arange(len(a))
        return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2

    def columns(*parts: tuple[torch.Tensor, str]):
        return [{"sentence_embedding": part, "modality": modality} for part, modality in parts]

    loss = CaptionLoss(tiny, 1 / 7, text_weight=0.5)
    text, second, image = (texts, "text"), (seconds, "text"), (pictures, "image")
    assert loss(columns(text, image)).item() == pytest.approx(plain(texts, pictures).item(), rel=1e-5)
    assert loss(columns(text, second)).item() == pytest.approx(plain(texts, seconds).item(), rel=1e-5)
    expected = (plain(texts, pictures) + plain(seconds, pictures)) / 2 + 0.5 * plain(texts, seconds)
    assert loss(columns(text, image, second)).item() == pytest.approx(expected.item(), rel=1e-5)
    # Two captions a picture, side by side: each picture's target is half of each.
    logits = scale * texts @ pictures[:3].T
    backward = -torch.stack([logits.T.log_softmax(1)[i, 2 * i : 2 * i + 2].mean() for i in range(3)]).mean()
    forward = cross_entropy(logits, torch.tensor([0, 0, 1, 1, 2, 2]))
    assert contrastive(texts, pictures[:3], scale).item() == pytest.approx(((forward + backward) / 2).item(), rel=1e-5)


def test_the_scale_is_never_above_100() -> None:
    scale = Scale(0.07)
    assert scale().item() == pytest.approx(1 / 0.07, rel=1e-6)
    scale.log_scale.data.fill_(9.0)
    assert scale().item() == pytest.approx(100, rel=1e-5)
    assert scale.log_scale.item() == pytest.approx(np.log(100), rel=1e-6)


def settings_of(**changed) -> TrainingSettings:
    plain = {"steps": 40, "batch_size": 20, "learning_rate": 2e-3, "temperature": 0.07, "max_seq_length": 0}
    return flat_settings(**{**plain, **changed})


@pytest.mark.slow
def test_training_finds_pictures_in_every_language(tiny: SentenceTransformer, tmp_path: Path) -> None:
    encoder = make_dual("tiny-clip", TEXTS, dimension=32, size=200)
    before = audit(encoder, CORPUS, name="x", store=False, metrics=["hit@5"]).macro("multi/hit@5")
    train(encoder, CORPUS, settings_of(strategy="hybrid", steps=60), tmp_path / "out", base="tiny-clip")
    trained = SentenceTransformer(str(tmp_path / "out"))
    after = audit(trained, CORPUS, name="x", store=False, metrics=["hit@5"]).macro("multi/hit@5")
    assert after > max(0.5, 2 * before)


def test_a_locked_tower_stays_and_its_pictures_are_not_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = make_dual("tiny-clip", TEXTS, dimension=32, size=200)
    image, whole = image_fingerprint(encoder), fingerprint(encoder)
    train(
        encoder, CORPUS, settings_of(strategy="cross", steps=3, lock_images=True), tmp_path / "one", base="tiny-clip"
    )
    assert image_fingerprint(encoder) == image
    assert fingerprint(encoder) != whole
    monkeypatch.setattr(embed, "_encode_missing", lambda *_: pytest.fail("encoded again"))
    assert encode(encoder, Pictures(CORPUS.passages), "document").shape == (40, 32)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["hybrid(0.5, paired)", "one_to_k"])
def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path, strategy: str) -> None:
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                raise KeyboardInterrupt

    plan = settings_of(strategy=strategy, steps=8, text_share=0.3, checkpoint_every=2, text_only_langs=["ja"])
    ends = []
    for name, callbacks in (("whole", []), ("broken", [Stop()])):
        encoder = make_dual("tiny-clip", TEXTS, dimension=32, size=200)
        if callbacks:
            with pytest.raises(KeyboardInterrupt):
                train(encoder, CORPUS, plan, tmp_path / name, base="tiny-clip", callbacks=callbacks)
            encoder = make_dual("tiny-clip", TEXTS, dimension=32, size=200)
        train(encoder, CORPUS, plan, tmp_path / name, base="tiny-clip")
        ends.append(fingerprint(encoder))
    assert ends[0] == ends[1]


def test_settings_for_pictures_are_refused_for_texts(tiny_bert: Path, tmp_path: Path) -> None:
    encoder = load_encoder(str(tiny_bert))
    with pytest.raises(TrainingError, match="for pictures"):
        train(encoder, parallel_corpus(), flat_settings(steps=1, batch_size=4, lock_images=True), tmp_path / "a")
    dual = make_dual("tiny-clip", TEXTS, dimension=32, size=200)
    with pytest.raises(ValueError, match=r"set pictures\.text_share above 0"):
        settings_of(text_only_langs=["ja"])
    with pytest.raises(TrainingError, match="GradCache"):
        train(dual, CORPUS, settings_of(mini_batch_size=4), tmp_path / "c")
    with pytest.raises(TrainingError, match="some corpora have pictures"):
        train(dual, {"a": CORPUS, "b": parallel_corpus()}, settings_of(), tmp_path / "d")


@pytest.mark.slow
def test_a_text_tower_is_distilled_from_english(tmp_path: Path) -> None:
    # The teacher finds pictures in English; the student reads it and all other languages.
    teacher = make_dual("tiny-clip", TEXTS, dimension=32, size=200)
    train(teacher, CORPUS, settings_of(strategy="english", steps=60), tmp_path / "teacher", base="tiny-clip")
    student = with_image_tower(make_dual("tiny-clip", TEXTS, dimension=32, size=200, seed=5), teacher)
    plan = settings_of(strategy="cross", steps=80, lock_images=True, distil_from=str(tmp_path / "teacher"))
    train(student, CORPUS, plan, tmp_path / "student", base="tiny-clip")
    found = {
        name: audit(one, CORPUS.only_langs(["de", "ja"]), name=name, store=False, metrics=["hit@5"]).macro(
            "multi/hit@5"
        )
        for name, one in (("teacher", teacher), ("student", student))
    }
    assert found["student"] > 2 * found["teacher"]
    with pytest.raises(TrainingError, match=r"set pictures\.lock_images"):
        train(student, CORPUS, settings_of(distil_from="x"), tmp_path / "a")
    other = make_dual("tiny-clip", TEXTS, dimension=16, size=200)
    with pytest.raises(TrainingError, match="dimensions"):
        train(other, CORPUS, plan, tmp_path / "b", base="tiny-clip")
    with pytest.raises(TrainingError, match="no English caption"):
        train(student, CORPUS.only_langs(["de", "ja"]), plan, tmp_path / "c", base="tiny-clip")


def test_an_audit_of_pictures_comes_back(tiny: SentenceTransformer, tmp_path: Path) -> None:
    _, backward = audit_both_ways(tiny, CORPUS, name="tiny", store=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backward.save(tmp_path)
        again = Audit.load(tmp_path, ["hit@5"])
    assert again.macro("cross/hit@5") == backward.macro("cross/hit@5")


def test_what_makes_pictures_ready_is_part_of_a_fingerprint(tmp_path: Path) -> None:
    import transformers

    encoders = []
    for mean in ([0.5, 0.5, 0.5], [0.9, 0.1, 0.1]):
        folder = published(tmp_path / f"clip-{mean[0]}", "clip")
        size = {"height": 32, "width": 32}
        transformers.CLIPImageProcessorPil(size=size, crop_size=size, image_mean=mean).save_pretrained(folder)
        encoders.append(load_encoder(str(folder), device="cpu"))
    assert fingerprint(encoders[0]) != fingerprint(encoders[1])


def test_what_follows_the_towers_is_part_of_a_pictures_key(tiny: SentenceTransformer) -> None:
    bare = SentenceTransformer(modules=[tiny[0]], device="cpu")
    assert image_fingerprint(bare) != image_fingerprint(tiny)


@pytest.mark.parametrize("kind", ["siglip", "clip"])
def test_a_whole_model_gives_a_text_one_embedding_in_any_batch(tmp_path: Path, kind: str) -> None:
    encoder = load_encoder(str(published(tmp_path / kind, kind)), device="cpu")
    alone, beside = encoder.encode(["red"])[0], encoder.encode(["red", "red green blue red green"])[0]
    np.testing.assert_allclose(alone, beside, atol=1e-5)
    encoder.save_pretrained(str(tmp_path / "saved"))
    again = load_encoder(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_allclose(again.encode(["red"])[0], alone, atol=1e-6)
    assert fingerprint(again) == fingerprint(encoder)


def published(folder: Path, kind: str) -> Path:
    """A whole CLIP or SigLIP with a tokenizer, as a hub model's folder is."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    side = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", "red", "green", "blue"])}
    text = {
        **side,
        "vocab_size": 6,
        "max_position_embeddings": 16,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 1,
    }
    vision = {**side, "image_size": 32, "patch_size": 8}
    size = {"height": 32, "width": 32}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if kind == "siglip":
        model = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision))
        processor = transformers.SiglipImageProcessorPil(size=size)
        names = ["input_ids"]
    else:
        model = transformers.CLIPModel(
            transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
        )
        processor = transformers.CLIPImageProcessorPil(size=size, crop_size=size)
        names = ["input_ids", "attention_mask"]
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", pad_token="<pad>", eos_token="</s>", model_max_length=16,
        model_input_names=names,
    )  # fmt: skip
    for part in (model, processor, tokenizer):
        part.save_pretrained(folder)
    return folder


def test_a_folder_whose_name_has_a_plus_is_that_folder(tiny: SentenceTransformer, tmp_path: Path) -> None:
    folder = tmp_path / "a+tiny"
    tiny.save_pretrained(str(folder))
    assert is_dual_name("a+tiny")
    assert not is_dual_name(str(folder))
    assert fingerprint(load_encoder(str(folder), device="cpu")) == fingerprint(tiny)


def test_distilling_opens_no_picture(
    tiny: SentenceTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.save_pretrained(str(tmp_path / "teacher"))
    monkeypatch.setattr(Pictures, "__getitem__", lambda *_: pytest.fail("a picture was opened"))
    settings = settings_of(lock_images=True, distil_from=str(tmp_path / "teacher"), steps=2)
    train(make_dual("tiny-clip", TEXTS, dimension=32, size=200), CORPUS, settings, tmp_path / "out")


def test_captions_have_one_prompt_both_ways(tmp_path: Path) -> None:
    encoder = make_dual("tiny-clip", TEXTS, dimension=32, size=200)
    train(encoder, CORPUS, settings_of(query_prompt="find: ", steps=1), tmp_path / "out")
    assert encoder.prompts == {"query": "find: ", "document": "find: "}
    with pytest.raises(TrainingError, match="no prompt"):
        train(encoder, CORPUS, settings_of(passage_prompt="see: ", steps=1), tmp_path / "other")
