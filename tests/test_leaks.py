"""What is trained on is not tested with; and every reader's corpus is saved whole."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from test_images import encoded
from test_readers_captions import picture
from test_readers_multi30k import coco_folder, multi30k_folder
from test_readers_xtd import xm_folder, xtd_folder

from babelmix.corpus import READERS, Corpus, open_corpus
from babelmix.corpus.leaks import refuse_leak
from babelmix.corpus.readers._captions import Caption, corpus_of_captions
from babelmix.errors import ConfigError, ReaderError


def test_xtd10_is_never_tested_after_coco(tmp_path) -> None:
    xtd = open_corpus(f"xtd10={xtd_folder(tmp_path / 'xtd')}")
    coco = open_corpus(f"mscoco={coco_folder(tmp_path / 'coco')}?split=train")
    with pytest.raises(
        ConfigError, match=r"4 pictures of the test corpus xtd10 are from COCO's train2014, .* training corpus mscoco"
    ):
        refuse_leak([coco], [xtd])
    refuse_leak([open_corpus(f"multi30k={multi30k_folder(tmp_path / 'm')}?split=train")], [xtd])
    refuse_leak([coco], [open_corpus(f"mscoco={tmp_path}/coco"), open_corpus(f"mscoco={tmp_path}/coco?langs=zh")])
    refuse_leak([coco], [xtd.named("part", contains={"mscoco-val2014": 1})])
    refuse_leak([], [xtd])
    refuse_leak([xtd], [])


def test_shared_pictures_are_refused() -> None:
    def corpus(name: str, *pictures: str, prefix: str = "") -> Corpus:
        found = [Caption(prefix + item, "en", item) for item in pictures]
        return corpus_of_captions(found, {prefix + i: picture(i) for i in pictures}, name=name, file=name)

    train, test = corpus("train", "a", "b", "c"), corpus("test", "c", "d", "b", prefix="other-")
    with pytest.raises(
        ConfigError,
        match=r"2 pictures of the test corpus test are also in the training corpus train \(their files are equal",
    ):
        refuse_leak([corpus("more", "x"), train], [corpus("easy", "y"), test])
    with pytest.raises(ConfigError, match="2 pictures of the test corpus test"):
        refuse_leak([train], [test.reversed().named("test")])
    refuse_leak([train], [corpus("test", "d", "e")])
    # The same picture of COCO, stored anew.
    name = "COCO_val2014_000000000007"
    anew = corpus_of_captions([Caption(name, "en", "x")], {name: encoded("JPEG")}, name="anew", file="anew")
    old = corpus_of_captions([Caption(name, "de", "y")], {name: encoded("PNG")}, name="old", file="old")
    with pytest.raises(
        ConfigError, match=f"1 pictures of the test corpus anew are also in the training corpus old .*such as {name}"
    ):
        refuse_leak([old], [anew])


def test_corpora_of_texts_have_no_pictures_to_share(corpus: Corpus) -> None:
    refuse_leak([corpus], [corpus])


# --- all of them

NAMES = ("captions", "multi30k", "mscoco", "m3c", "xtd10", "xm3600", "xflickrco", "wit", "flickr30k-200")


def test_every_reader_is_listed_and_documented() -> None:
    guide = (Path(__file__).resolve().parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    for name in NAMES:
        assert READERS[name].takes_path == "required"
        assert re.search(rf"^\| `{name}=", guide, re.MULTILINE), name
        with pytest.raises(ReaderError, match=f"the reader '{name}' needs a path"):
            open_corpus(name)


FOLDERS: dict[str, Callable[[Path], Path]] = {
    "multi30k": multi30k_folder, "mscoco": coco_folder, "xtd10": xtd_folder, "xm3600": xm_folder,
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_what_was_read_is_saved_whole(tmp_path, name: str) -> None:
    folder = FOLDERS[name](tmp_path / "source")
    corpus = open_corpus(f"{name}={folder}")
    corpus.save(tmp_path / "saved")
    loaded = Corpus.load(tmp_path / "saved")
    assert loaded.fingerprint() == corpus.fingerprint()
    assert loaded.meta == corpus.meta
    assert str(tmp_path) not in json.dumps(dict(loaded.meta))
