"""Multi30K, COCO and M3C in their published layouts, written here."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import datasets
import pytest
from test_readers import write
from test_readers_captions import add_pictures, check, hub, image_rows, picture, texts

from babelmix.corpus import open_corpus
from babelmix.corpus.readers import m3c
from babelmix.errors import ReaderError

# --- Multi30K

FLICKR = ["1007129816.jpg", "1009434119.jpg", "101362133.jpg"]


def multi30k_folder(folder: Path, langs=("en", "de", "fr", "cs")) -> Path:
    """The publisher's repository with Flickr30k's pictures beside it."""
    for stem, listed in (("test_2016_flickr", FLICKR), ("train", ["1.jpg", "2.jpg"])):
        for lang in langs:
            packed = gzip.compress("".join(f"{lang} {name}\n" for name in listed).encode())
            write(folder, f"data/task1/raw/{stem}.{lang}.gz", packed)
        write(folder, f"data/task1/image_splits/{stem}.txt", "\n".join(listed) + "\n")
    for number in range(1, 6):
        for lang in ("en", "de"):
            write(
                folder, f"data/task2/raw/test_2016.{number}.{lang}", "".join(f"{lang}{number} {n}\n" for n in FLICKR)
            )
    add_pictures(folder / "flickr30k-images", *FLICKR, "1.jpg", "2.jpg")
    return folder


def test_multi30k_folder(tmp_path) -> None:
    corpus = open_corpus(f"multi30k={multi30k_folder(tmp_path)}")
    check(corpus, 3)
    assert corpus.counts().rows() == [("cs", 3, 0), ("de", 3, 0), ("en", 3, 0), ("fr", 3, 0), ("zxx", 0, 3)]
    assert texts(corpus, "cs")[1] == ("1009434119", "cs 1009434119.jpg")
    assert corpus.meta["provenance"]["en"] == {"human": 3}
    assert corpus.meta["provenance"]["fr"] == {"translated": 3}
    assert corpus.meta["protocol"]["split"] == "test_2016_flickr"
    assert corpus.meta["evaluation_only"]
    assert "non-commercial" in corpus.meta["licence"]
    train = open_corpus(f"multi30k={tmp_path}?split=train&langs=de,fr")
    check(train, 2)
    assert train.meta["evaluation_only"] is False
    assert texts(train, "fr") == [("1", "fr 1.jpg"), ("2", "fr 2.jpg")]


def test_multi30k_task_2(tmp_path) -> None:
    spec = f"multi30k={multi30k_folder(tmp_path)}?task=2"
    corpus = open_corpus(spec)
    check(corpus, 3)
    assert corpus.counts().rows() == [("de", 15, 0), ("en", 15, 0), ("zxx", 0, 3)]
    assert [text for item, text in texts(corpus, "de") if item == "101362133"] == [
        f"de{number} 101362133.jpg" for number in range(1, 6)
    ]
    assert corpus.meta["provenance"]["de"] == {"human": 15}
    assert texts(open_corpus(spec, captions="first"), "en")[2] == ("101362133", "en1 101362133.jpg")
    # Its own list of pictures comes before task 1's.
    write(tmp_path, "data/task2/image_splits/test_2016_images.txt", "\n".join(reversed(FLICKR)))
    assert texts(open_corpus(spec), "en")[0] == ("101362133", "en1 1007129816.jpg")
    with pytest.raises(ReaderError, match="has no fr; it has de, en"):
        open_corpus(spec, langs=["fr"])
    with pytest.raises(ReaderError, match="has the tasks 1 and 2, not 3"):
        open_corpus(f"multi30k={tmp_path}?task=3")


def test_multi30k_pictures_with_sentence_numbers(tmp_path) -> None:
    name = "COCO_train2014_000000000151.jpg"
    write(tmp_path, "test_2017_mscoco.txt", f"{name}#30\n{name}#31\n")
    write(tmp_path, "test_2017_mscoco.de", "eins\nzwei\n\n")
    add_pictures(tmp_path / "images", name)
    corpus = open_corpus(f"multi30k={tmp_path}?split=test_2017_mscoco")
    check(corpus, 1)
    assert [text for _, text in texts(corpus, "de")] == ["eins", "zwei"]
    assert corpus.meta["contains"] == {"mscoco-train2014": 1}
    assert corpus.meta["evaluation_only"]


def test_bad_multi30k_folders(tmp_path) -> None:
    with pytest.raises(ReaderError, match="is not a folder; Multi30K is"):
        open_corpus("multi30k=absent")
    with pytest.raises(ReaderError, match=r"holds no file test_2016_flickr\.en"):
        open_corpus(f"multi30k={tmp_path}")
    multi30k_folder(tmp_path)
    write(tmp_path, "data/task1/raw/test_2016_flickr.de.gz", gzip.compress(b"eins\nzwei\n"))
    with pytest.raises(ReaderError, match=r"flickr\.de\.gz: has 2 lines, but there are 3 pictures"):
        open_corpus(f"multi30k={tmp_path}")
    write(tmp_path, "data/task1/image_splits/test_2016_flickr.txt", "1.jpg\n\n2.jpg\n")
    with pytest.raises(ReaderError, match=r"test_2016_flickr\.txt, row 2: is empty"):
        open_corpus(f"multi30k={tmp_path}")
    (tmp_path / "data/task1/image_splits/test_2016_flickr.txt").unlink()
    with pytest.raises(ReaderError, match=r"holds no file test_2016_flickr\.txt"):
        open_corpus(f"multi30k={tmp_path}")
    (tmp_path / "data/task2/raw/test_2016.4.de").unlink()
    with pytest.raises(ReaderError, match=r"holds no file test_2016\.1\.en"):
        open_corpus(f"multi30k={tmp_path / 'flickr30k-images'}?task=2")


def multi30k_rows(feature: bool = True, path: str | None = None) -> datasets.Dataset:
    langs = ("en", "cs", "de", "fr")
    rows = [
        {lang: f"{lang} {number}" for lang in langs}
        | {"image": picture(str(number)), "path": path and f"{number}.jpg"}
        for number in range(3)
    ]
    return image_rows(rows, feature=feature)


def test_multi30k_from_the_hub(monkeypatch) -> None:
    hub(monkeypatch, "romrawinjp/multi30k", {"test": multi30k_rows(), "validation": multi30k_rows(path="yes")})
    corpus = open_corpus("multi30k=romrawinjp/multi30k")
    check(corpus, 3)
    assert texts(corpus, "de") == [("test-1", "de 0"), ("test-2", "de 1"), ("test-3", "de 2")]
    assert corpus.passages["image"].to_pylist()[2]["bytes"] == picture("2")
    named = open_corpus("multi30k=romrawinjp/multi30k?split=val&langs=cs")
    assert texts(named, "cs") == [("0", "cs 0"), ("1", "cs 1"), ("2", "cs 2")]
    assert named.meta["evaluation_only"]
    with pytest.raises(ReaderError, match="holds task 1 only"):
        open_corpus("multi30k=romrawinjp/multi30k?task=2")
    lists = image_rows(
        [{lang: [f"{lang} a", f"{lang} b"] for lang in ("en", "cs", "de", "fr")} | {"image": picture("a")}]
    )
    hub(monkeypatch, "a/b", {"test": lists})
    assert [text for _, text in texts(open_corpus("multi30k=a/b"), "fr")] == ["fr a", "fr b"]
    hub(monkeypatch, "a/b", {"test": lists.remove_columns("cs")})
    with pytest.raises(ReaderError, match="a/b/test, field 'cs': is missing; there are en, de, fr, image"):
        open_corpus("multi30k=a/b")
    hub(monkeypatch, "a/b", {"test": lists.remove_columns("image").add_column("image", [3])})
    with pytest.raises(ReaderError, match="a/b/test, field 'image': holds no pictures"):
        open_corpus("multi30k=a/b")
    hub(monkeypatch, "a/b", {"test": image_rows([{"en": 1, "cs": "", "de": "", "fr": "", "image": picture("a")}])})
    with pytest.raises(ReaderError, match="a/b/test, row 1, field 'en': holds 1, but a list is needed"):
        open_corpus("multi30k=a/b")


# --- COCO

TEST = [f"COCO_val2014_{number:012d}.jpg" for number in (11, 12, 13)]
TRAIN = ["COCO_train2014_000000000021.jpg", "COCO_train2014_000000000022.jpg", "COCO_val2014_000000000023.jpg"]
CHINESE = ["COCO_train2014_000000000022", "COCO_val2014_000000000031"]


def karpathy() -> dict:
    parts = [*((name, "test") for name in TEST), (TRAIN[0], "train"), (TRAIN[1], "train"), (TRAIN[2], "restval")]
    return {
        "images": [
            {
                "filename": name, "filepath": name.split("_")[1], "split": part, "cocoid": number,
                "sentences": [{"raw": f"en{i} {name}", "tokens": []} for i in range(7 if number == 0 else 5)],
            }
            for number, (name, part) in enumerate(parts)
        ],
        "dataset": "coco",
    }  # fmt: skip


def stair(names: list[str]) -> dict:
    numbers = [int(name[-16:-4]) for name in names]
    return {
        "images": [{"id": number, "file_name": name} for number, name in zip(numbers, names, strict=True)],
        "annotations": [
            {"id": 5 * number + i, "image_id": number, "caption": f"ja{i} {number}"}
            for i in range(5)
            for number in numbers
        ],
    }


def coco_folder(folder: Path) -> Path:
    write(folder, "dataset_coco.json", json.dumps(karpathy()))
    write(folder, "stair/stair_captions_v1.2_train.json", json.dumps(stair(TRAIN[:2])))
    write(folder, "stair/stair_captions_v1.2_val.json", json.dumps(stair([*reversed(TEST), TRAIN[2]])))
    coco_cn = "coco-cn-version1805v1.1"
    write(folder, f"{coco_cn}/coco-cn_train.txt", f"{TRAIN[0][:-4]}\n{TEST[0][:-4]}\nCOCO_val2014_000000000032\n")
    write(folder, f"{coco_cn}/coco-cn_test.txt", "\n".join(CHINESE) + "\n")
    rows = [f"{name}#{i}\tzh{i} {name}\n" for name in [*CHINESE, TRAIN[0][:-4], TEST[0][:-4]] for i in range(2)]
    write(folder, f"{coco_cn}/imageid.human-written-caption.txt", "".join(rows))
    for name in [*TEST, *TRAIN, *(f"{name}.jpg" for name in CHINESE)]:
        add_pictures(folder / name.split("_")[1], name)
    return folder


def test_mscoco(tmp_path) -> None:
    spec = f"mscoco={coco_folder(tmp_path)}"
    corpus = open_corpus(spec)
    check(corpus, 3)
    assert corpus.counts().rows() == [("en", 17, 0), ("ja", 15, 0), ("zxx", 0, 3)]
    assert corpus.passages["item"].to_pylist() == [name[:-4] for name in TEST]
    assert texts(corpus, "ja")[:2] == [(TEST[0][:-4], "ja0 11"), (TEST[0][:-4], "ja1 11")]
    assert corpus.meta["contains"] == {"mscoco-val2014": 3}
    assert corpus.meta["evaluation_only"]
    assert corpus.meta["protocol"] == {
        "captions": "all", "split": "test", "images": "5k", "captions of": {"en": "Karpathy's", "ja": "STAIR's"},
    }  # fmt: skip
    assert open_corpus(spec, captions="5", langs=["en"]).queries.num_rows == 15
    assert open_corpus(spec, captions="first").queries.num_rows == 6


def test_mscoco_1k(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("babelmix.corpus.readers.mscoco.IMAGES", {"5k": 0, "1k": 2})
    corpus = open_corpus(f"mscoco={coco_folder(tmp_path)}?images=1k")
    check(corpus, 2)
    assert corpus.passages["item"].to_pylist() == [name[:-4] for name in TEST[:2]]
    assert len(texts(corpus, "ja")) == 10
    with pytest.raises(ReaderError, match="the option images is '5k' or '1k', not '2k'"):
        open_corpus(f"mscoco={tmp_path}?images=2k")


def test_coco_cn_is_tested_by_itself(tmp_path) -> None:
    spec = f"mscoco={coco_folder(tmp_path)}"
    chinese = open_corpus(spec, langs=["zh"])
    check(chinese, 2)
    assert texts(chinese, "zh")[:2] == [(CHINESE[0], f"zh0 {CHINESE[0]}"), (CHINESE[0], f"zh1 {CHINESE[0]}")]
    assert chinese.meta["contains"] == {"mscoco-train2014": 1, "mscoco-val2014": 1}
    with pytest.raises(ReaderError, match=r"Chinese \(COCO-CN\) has test pictures of its own"):
        open_corpus(spec, langs=["en", "zh"])
    (tmp_path / "dataset_coco.json").unlink()
    assert open_corpus(spec, langs=["zh"]).fingerprint() == chinese.fingerprint()
    with pytest.raises(ReaderError, match=r"holds no file dataset_coco\.json"):
        open_corpus(spec)


def test_no_language_trains_on_what_another_tests(tmp_path) -> None:
    corpus = open_corpus(f"mscoco={coco_folder(tmp_path)}?split=train")
    items = set(corpus.passages["item"].to_pylist())
    # TRAIN[1] is tested in Chinese, TEST[0] in English; both are in another language's training part.
    assert items == {TRAIN[0][:-4], TRAIN[2][:-4]}
    assert corpus.meta["left_out"] == {"pictures of a test or validation part of any language": 2}
    assert corpus.counts().rows() == [("en", 10, 0), ("ja", 10, 0), ("zh", 2, 0), ("zxx", 0, 2)]
    assert corpus.meta["evaluation_only"] is False


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("dataset_coco.json", "{", r"dataset_coco\.json, row 1: is not JSON"),
        ("dataset_coco.json", "[]", "field 'images': is missing"),
        ("dataset_coco.json", '{"images": [{"split": "test"}]}', "row 1, field 'filename': is missing in image 1"),
        ("dataset_coco.json", '{"images": []}', "holds no picture whose split is test"),
        (
            "dataset_coco.json",
            '{"images": [{"split": "test", "filename": "a.jpg", "sentences": [{}]}]}',
            "field 'raw': is missing in image 1",
        ),
        ("stair/stair_captions_v1.2_val.json", "{}", r"v1\.2_val\.json, field 'images': is missing"),
        (
            "stair/stair_captions_v1.2_val.json",
            '{"images": [], "annotations": [{"image_id": 5}]}',
            "row 1, field 'image_id': names picture 5, which does not exist",
        ),
    ],
)
def test_bad_coco_files(tmp_path, file: str, content: str, message: str) -> None:
    write(coco_folder(tmp_path), file, content)
    with pytest.raises(ReaderError, match=message):
        open_corpus(f"mscoco={tmp_path}")


def test_bad_coco_sources(tmp_path) -> None:
    with pytest.raises(ReaderError, match=r"holds none of dataset_coco\.json"):
        open_corpus(f"mscoco={tmp_path}")
    coco_folder(tmp_path)
    with pytest.raises(ReaderError, match="has the splits test, validation and train, not 'dev'"):
        open_corpus(f"mscoco={tmp_path}?split=dev")
    with pytest.raises(ReaderError, match="has no fr; it has en, ja, zh"):
        open_corpus(f"mscoco={tmp_path}", langs=["fr"])
    name = "coco-cn-version1805v1.1/imageid.human-written-caption.txt"
    write(tmp_path, name, "no tab\n")
    with pytest.raises(ReaderError, match=r"human-written-caption\.txt, row 1: has 1 cells, not id, caption"):
        open_corpus(f"mscoco={tmp_path}", langs=["zh"])
    write(tmp_path, name, "#0\tx\n")
    with pytest.raises(ReaderError, match="row 1, field 'id': is empty"):
        open_corpus(f"mscoco={tmp_path}", langs=["zh"])


def test_m3c_is_three_corpora(tmp_path) -> None:
    multi30k_folder(tmp_path / "multi30k")
    coco_folder(tmp_path / "mscoco")
    found = [m3c.read(str(tmp_path), part=part) for part in m3c.PARTS]
    parts = {corpus.name: corpus for corpus in found}
    assert {name: corpus.name for name, corpus in parts.items()} == {
        name: name for name in ("m3c/multi30k", "m3c/mscoco-1k", "m3c/coco-cn")
    }
    counts = {name: dict(corpus.counts().select("lang", "queries").iter_rows()) for name, corpus in parts.items()}
    assert counts["m3c/multi30k"] == {"cs": 3, "de": 15, "en": 15, "fr": 3, "zxx": 0}
    assert counts["m3c/mscoco-1k"] == {"en": 15, "ja": 15, "zxx": 0}  # five captions of the picture that has seven
    assert counts["m3c/coco-cn"] == {"zh": 4, "zxx": 0}
    for corpus in parts.values():
        check(corpus, corpus.passages.num_rows)
        assert "no published benchmark of the name is known" in corpus.meta["composite"]
        assert corpus.meta["evaluation_only"]
    one = open_corpus(f"m3c={tmp_path}?part=coco-cn")
    assert one.fingerprint() == parts["m3c/coco-cn"].fingerprint()
    for spec in (f"m3c={tmp_path}", f"m3c={tmp_path}?part=flickr"):
        with pytest.raises(ReaderError, match="name one with the option part, multi30k, mscoco, coco-cn"):
            open_corpus(spec)
    (tmp_path / "multi30k/data/task2/raw/test_2016.3.de").unlink()
    with pytest.raises(ReaderError, match="holds no captions of task 2 in 'de' for 'test'"):
        open_corpus(f"m3c={tmp_path}?part=multi30k")
