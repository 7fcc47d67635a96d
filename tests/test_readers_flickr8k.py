"""Flickr8k's photographs and the caption files of five repositories in their published layouts, written here."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from babelmix.corpus import load_corpus
from babelmix.errors import ReaderError

PHOTOS = ["101_0a.jpg", "102_0b.jpg", "103_0c.jpg"]


def flickr8k(folder: Path) -> Path:
    (folder / "images").mkdir(parents=True)
    for number, name in enumerate(PHOTOS):
        pixels = np.random.default_rng(number).integers(0, 255, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
    files = {
        "cn/flickr8kzhc.caption.txt": "101_0a.jpg#zhc#0 一只狗\n101_0a.jpg#zhc#1 狗在跑\n999_ff.jpg#zhc#0 没有\n",
        "token/Flickr8k.token.txt": "101_0a.jpg#0\tA dog .\n102_0b.jpg#0\tA cat .\n103_0c.jpg.1#0\tA bird .\n",
        "ar/Flickr8k.arabic.full.txt": "101_0a.jpg#0\tكلب\n102_0b.jpg#0\tقطة في الم\nنزل\n",
        "hi/Clean-1Sentences.txt": "101_0a कुत्ता\n103_0c चिड़िया\n",
        "m30k/train.txt": "101.jpg\n555.jpg\n",
        "m30k/val.txt": "103.jpg\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for name, text in {
        "train.de": "Ein Hund.\nEin Haus.\n",
        "val.de": "Ein Vogel.\n",
        "train.pt": "Um cão.\nUma casa.\n",
    }.items():
        (folder / "m30k" / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def test_flickr8k(tmp_path: Path) -> None:
    corpus = load_corpus(f"flickr8k-multilingual={flickr8k(tmp_path)}")
    counts = {lang: (queries, passages) for lang, queries, passages in corpus.counts().rows()}
    assert counts == {
        "ar": (1, 0), "de": (2, 0), "en": (3, 0), "hi": (2, 0), "pt-BR": (1, 0), "zh": (2, 0), "zxx": (0, 3),
    }  # fmt: skip
    texts = {(row["item"], row["lang"]): row["text"] for row in corpus.queries.to_pylist()}
    # Multi30K's names are the numbers alone.
    assert texts["101_0a", "de"] == "Ein Hund."
    assert texts["103_0c", "de"] == "Ein Vogel."
    assert texts["103_0c", "en"] == "A bird ."
    assert corpus.meta["left_out"] == {
        "captions of photographs that are not there": 1, "captions that are broken over two lines": 1,
    }  # fmt: skip
    assert corpus.meta["machine_made"] == ["ar", "hi"]
    assert corpus.meta["provenance"]["de"] == {"translated": 2}
    assert corpus.meta["provenance"]["zh"] == {"human": 2}


def test_options(tmp_path: Path) -> None:
    corpus = load_corpus(f"flickr8k-multilingual={flickr8k(tmp_path)}?captions=first&langs=zh,de")
    assert corpus.counts().rows() == [("de", 2, 0), ("zh", 1, 0), ("zxx", 0, 2)]


def test_another_photograph_of_the_same_number(tmp_path: Path) -> None:
    (flickr8k(tmp_path) / "hi" / "Clean-1Sentences.txt").write_text("101_0b कुत्ता\n103_0c चिड़िया\n", encoding="utf-8")
    corpus = load_corpus(f"flickr8k-multilingual={tmp_path}?langs=hi")
    assert corpus.queries["item"].to_pylist() == ["103_0c"]


def test_what_is_wrong_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match="is not a folder"):
        load_corpus("flickr8k-multilingual=nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReaderError, match="holds no photograph"):
        load_corpus(f"flickr8k-multilingual={tmp_path / 'empty'}")
    folder = flickr8k(tmp_path / "whole")
    (folder / "ar" / "Flickr8k.arabic.full.txt").write_text("no name\n", encoding="utf-8")
    with pytest.raises(ReaderError, match=r"row 1.*does not begin with the name"):
        load_corpus(f"flickr8k-multilingual={folder}")
    (folder / "m30k" / "val.txt").unlink()
    with pytest.raises(ReaderError, match=r"val\.txt"):
        load_corpus(f"flickr8k-multilingual={folder}?langs=de")
    with pytest.raises(ReaderError, match="fr"):
        load_corpus(f"flickr8k-multilingual={folder}?langs=fr")
    for name in ("ar", "cn", "hi", "m30k", "token"):
        for file in (folder / name).iterdir():
            file.unlink()
    with pytest.raises(ReaderError, match="holds no caption file"):
        load_corpus(f"flickr8k-multilingual={folder}")
