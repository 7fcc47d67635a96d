"""Image-text sources in their published layouts, written here: captions, pictures, and what is left out."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_images import animated, encoded
from test_readers import write

from babelmix.corpus import Corpus, open_corpus
from babelmix.corpus.images import IMAGE_TYPE, Pictures
from babelmix.corpus.readers import _captions
from babelmix.corpus.readers._captions import Caption, ColumnPictures, NoPicture, corpus_of_captions
from babelmix.corpus.readers._pictures import Folder
from babelmix.errors import ReaderError


def picture(name: str) -> bytes:
    """A picture of its own for every name."""
    seed = sum(place * byte for place, byte in enumerate(name.encode(), 1))
    return encoded(colour=(seed % 256, seed // 256 % 256, len(name)), size=(4, 4))


def lines(*records: dict) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def add_pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(picture(name))


def texts(corpus: Corpus, lang: str) -> list[tuple[str, str]]:
    return [(row["item"], row["text"]) for row in corpus.queries.to_pylist() if row["lang"] == lang]


def unusable(corpus: Corpus) -> list[str]:
    """Why pictures were left out."""
    return corpus.meta["left_out_examples"]["pictures that cannot be used"]


def check(corpus: Corpus, pictures: int) -> None:
    """What holds for every source: a caption finds its own picture and nothing else."""
    assert corpus.passages.num_rows == pictures == corpus.qrels.num_rows
    assert set(corpus.passages["lang"].to_pylist()) == {"zxx"}
    assert "zxx" not in corpus.queries["lang"].to_pylist()
    assert all(row["query_item"] == row["passage_item"] for row in corpus.qrels.to_pylist())
    assert len(set(corpus.passages["item"].to_pylist())) == pictures
    groups = dict(zip(*(corpus.passages[name].to_pylist() for name in ("item", "group")), strict=True))
    assert all(groups[row["item"]] == row["group"] for row in corpus.queries.to_pylist())
    assert all(opened.mode == "RGB" for opened in Pictures(corpus.passages))
    langs = [lang for lang in corpus.langs if lang != "zxx"]
    assert sorted(corpus.meta["provenance"]) == langs
    assert sum(n for made in corpus.meta["provenance"].values() for n in made.values()) == corpus.queries.num_rows


def image_rows(rows: list[dict], *, feature: bool = True) -> datasets.Dataset:
    """A data set whose pictures are of the feature `Image`, or bare structs as some hub data sets have them."""
    held = [row | {"image": {"bytes": row["image"], "path": row.get("path")}} for row in rows]
    data = datasets.Dataset.from_list([{key: value for key, value in row.items() if key != "path"} for row in held])
    return data.cast_column("image", datasets.Image()) if feature else data


def hub(monkeypatch: pytest.MonkeyPatch, name: str, splits: dict[str, datasets.Dataset]) -> None:
    """Let the hub hold one data set."""

    def load(path: str, *, split: str) -> datasets.Dataset:
        assert path == name
        return splits[split]

    monkeypatch.setattr("datasets.load_dataset", load)
    monkeypatch.setattr("datasets.get_dataset_split_names", lambda path: list(splits))


# --- the builder


def of_colours(keep: str = "all", **changes) -> Corpus:
    pictures = {name: picture(name) for name in "abc"} | changes
    found = [
        Caption(image, lang, f"{image} {lang} {number}")
        for image in "abc"
        for lang in ("de", "en")
        for number in range(3 if lang == "en" else 1)
    ]
    return corpus_of_captions(found, pictures, name="toy", file="toy", keep=keep, protocol={"split": "test"})


def test_all_first_or_some_captions() -> None:
    for keep, english in (("all", 3), ("first", 1), ("2", 2), ("9", 3)):
        corpus = of_colours(keep)
        check(corpus, 3)
        assert corpus.counts().rows() == [("de", 3, 0), ("en", 3 * english, 0), ("zxx", 0, 3)]
        assert [text for item, text in texts(corpus, "en") if item == "b"] == [f"b en {n}" for n in range(english)]
        assert corpus.meta["protocol"] == {"captions": keep, "split": "test"}
    for keep in ("0", "some", "-1", ""):
        with pytest.raises(ReaderError, match=r"toy: the option captions is 'all', 'first' or a number from 1 on"):
            of_colours(keep)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "b is empty (0 bytes)"),
        (b"<html>", "b is no picture, or damaged at its beginning; use PNG, JPEG or WebP"),
        (animated("GIF"), "b is animated, or has several pages; use one of them"),
        (encoded("JPEG", "CMYK", (0, 0, 0, 9)), "b has the colour space CMYK; convert it to RGB"),
        (Path("nowhere/b.jpg"), "b.jpg cannot be read (No such file or directory)"),
    ],
    ids=["empty", "page", "animated", "cmyk", "absent"],
)
def test_a_picture_that_cannot_be_used_costs_only_itself(data, sentence: str) -> None:
    corpus = of_colours(b=data)
    check(corpus, 2)
    assert corpus.meta["left_out"] == {"pictures that cannot be used": 1, "captions of such pictures": 4}
    assert corpus.meta["left_out_examples"] == {"pictures that cannot be used": [sentence]}
    assert corpus.counts().rows() == [("de", 2, 0), ("en", 6, 0), ("zxx", 0, 2)]
    whole = of_colours()
    assert "left_out" not in whole.meta
    keep = [row for row in whole.passages.to_pylist() if row["item"] != "b"]
    assert corpus.passages.to_pylist() == keep
    assert texts(corpus, "en") == [pair for pair in texts(whole, "en") if pair[0] != "b"]


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(ReaderError, match=r"toy: none of 3 pictures can be used; the first: a is empty"):
        of_colours(a=b"", b=b"x", c=Path("nowhere/c.png"))
    with pytest.raises(ReaderError, match="toy: has no caption"):
        corpus_of_captions([Caption("a", "en", "\xa0 ")], {"a": picture("a")}, name="toy", file="toy")
    with pytest.raises(ReaderError, match="picture 'a' is in the groups 'g' and 'h'; it can be in one"):
        corpus_of_captions(
            [Caption("a", "en", "x", "g"), Caption("a", "de", "y", "h")], {"a": picture("a")}, name="toy", file="toy"
        )


def test_pictures_without_captions_and_captions_without_pictures() -> None:
    found = [
        Caption("a", "en", "x"),
        Caption("a", "de", " "),
        Caption("z", "en", "no picture"),
        Caption("c", "th", "y"),
    ]
    corpus = corpus_of_captions(found, {name: picture(name) for name in "abc"}, name="toy", file="toy")
    check(corpus, 2)
    assert corpus.passages["item"].to_pylist() == ["a", "c"]
    assert corpus.meta["left_out"] == {
        "blank captions in de": 1, "pictures that cannot be used": 1, "captions of such pictures": 1,
    }  # fmt: skip
    assert corpus.meta["left_out_examples"]["pictures that cannot be used"] == ["z has no picture"]
    # Pictures stay in their own order, whatever that of the captions.
    turned = corpus_of_captions(reversed(found), {name: picture(name) for name in "abc"}, name="toy", file="toy")
    assert turned.passages.to_pylist() == corpus.passages.to_pylist()


def test_a_bar_for_many_pictures(monkeypatch) -> None:
    counted: list[int] = []

    class Bar:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def advance(self) -> None:
            counted[0] += 1

    def bar(what: str, total: int, unit: str) -> Bar:
        assert (what, unit) == ("checking pictures of toy", "pictures")
        return Bar()

    monkeypatch.setattr(_captions, "progress_bar", bar)
    for limit, ticks in ((3, 0), (2, 3)):
        counted[:] = [0]
        monkeypatch.setattr(_captions, "_BAR_FROM", limit)
        of_colours(b=b"")
        assert counted == [ticks]


@settings(max_examples=40, deadline=None)
@given(parts=st.lists(st.lists(st.integers(0, 12), max_size=8), max_size=4), wanted=st.sets(st.integers(0, 12)))
def test_columns_of_pictures_hold_every_id_once(parts: list[list[int]], wanted: set[int]) -> None:
    pictures = ColumnPictures()
    first: dict[str, bytes] = {}
    for number, ids in enumerate(parts):
        cells = [{"bytes": f"{number}/{row}".encode(), "path": None} for row in range(len(ids))]
        column = datasets.Dataset.from_dict({"image": cells}).cast_column("image", datasets.Image(decode=False))
        pictures.add([str(i) for i in ids], column.with_format("arrow")[:]["image"] if ids else _no_cells())
        for row, i in enumerate(ids):
            first.setdefault(str(i), cells[row]["bytes"])
    assert dict(pictures) == first
    assert len(pictures) == len(first)
    some = [name for name in pictures if int(name) in wanted]
    cells = pictures.cells(some)
    assert cells.type == IMAGE_TYPE
    assert [cell["bytes"] for cell in cells.to_pylist()] == [first[name] for name in some]


def _no_cells():
    import pyarrow as pa

    return pa.chunked_array([], IMAGE_TYPE)


def test_files_of_a_folder_by_name(tmp_path) -> None:
    add_pictures(tmp_path / "far", "a.jpg")
    add_pictures(tmp_path / "top" / "images", "a.jpg", "b.jpg")
    add_pictures(tmp_path / "top" / "deep" / "er", "a.jpg", "c.jpg")
    (tmp_path / "top" / "images" / "up").symlink_to(tmp_path / "top", target_is_directory=True)
    (tmp_path / "top" / "linked").symlink_to(tmp_path / "far", target_is_directory=True)
    add_pictures(tmp_path / "far", "d.jpg")
    folder = Folder(tmp_path / "top", "it is one")
    top = tmp_path / "top"
    assert folder.pictures(["x/a.jpg", "c.jpg", "d.jpg", "e.jpg"]) == {
        "a": top / "images" / "a.jpg", "c": top / "deep" / "er" / "c.jpg", "d": top / "linked" / "d.jpg",
        "e": NoPicture("e.jpg cannot be read (there is no such file)"),
    }  # fmt: skip
    write(top, "n.txt.gz", b"")
    write(top, "n.json.gz", b"")
    again = Folder(top, "it is one")
    assert again.file("m.txt", "n.txt") == top / "n.txt.gz"
    assert again.file("n.json") is None
    with pytest.raises(ReaderError, match=r"holds no file n\.json or m\.json"):
        again.needed("n.json", "m.json")
    with pytest.raises(ReaderError, match=r"b\.jpg: is not a folder; it is one"):
        Folder(top / "images" / "b.jpg", "it is one")


# --- captions

OWN = [
    {"image_id": 7, "image": "photos/dog.png", "lang": "de", "text": " Ein Hund. ", "caption_id": "0", "group": "walk"},
    {"image_id": 7, "lang": "en", "text": "A dog.", "caption_id": "0", "group": "walk", "provenance": "human"},
    {"image_id": 7, "image": "photos/dog.png", "lang": "en", "text": "Dog!", "caption_id": 1, "group": "walk"},
    {"image_id": "x", "image_bytes": base64.b64encode(picture("x")).decode(), "lang": "de", "text": "X", "split": "test",
     "provenance": "machine"},
]  # fmt: skip


def own(folder: Path, *records: dict) -> str:
    add_pictures(folder / "photos", "dog.png")
    write(folder, "mine.jsonl", lines(*(records or OWN)))
    return f"captions={folder}/mine.jsonl"


def test_own_captions(tmp_path, monkeypatch) -> None:
    corpus = open_corpus(own(tmp_path))
    check(corpus, 2)
    assert corpus.name == "mine"
    assert texts(corpus, "de") == [("7", "Ein Hund."), ("x", "X")]
    assert texts(corpus, "en") == [("7", "A dog."), ("7", "Dog!")]
    assert dict(zip(corpus.queries["item"].to_pylist(), corpus.queries["group"].to_pylist(), strict=True)) == {
        "7": "walk", "x": "x",
    }  # fmt: skip
    assert corpus.meta["provenance"] == {"de": {"machine": 1, "unknown": 1}, "en": {"human": 1, "unknown": 1}}
    assert corpus.meta["machine_made"] == ["de"]
    assert corpus.meta["evaluation_only"] is False
    first = open_corpus(own(tmp_path) + "?captions=first")
    assert texts(first, "en") == [("7", "A dog.")]
    test = open_corpus(own(tmp_path), split="test")
    assert texts(test, "de") == [("x", "X")]
    assert test.meta["evaluation_only"] is True
    with pytest.raises(ReaderError, match=r"mine\.jsonl: has no row of the split 'dev'; its splits: test"):
        open_corpus(own(tmp_path), split="dev")
    # The file's own folder counts, not the one that a person is in; an absolute path is as good.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = open_corpus("captions=../mine.jsonl")
    assert again.fingerprint() == corpus.fingerprint()
    monkeypatch.chdir(tmp_path)
    assert Pictures(again.passages)[0].size == (4, 4)
    absolute = OWN[0] | {"image": str(tmp_path / "photos" / "dog.png")}
    assert open_corpus(own(tmp_path, absolute)).passages.num_rows == 1
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(lines(*OWN).encode()))
    assert open_corpus(f"captions={tmp_path}/packed.jsonl.gz").name == "packed"


def test_own_captions_of_pictures_that_are_not(tmp_path) -> None:
    others = [
        {"image_id": "gone", "image": "photos/gone.png", "lang": "en", "text": "Gone."},
        {"image_id": "page", "image": "photos/page.png", "lang": "en", "text": "A page."},
    ]
    spec = own(tmp_path, *OWN, *others)
    (tmp_path / "photos" / "page.png").write_text("<html>")
    corpus = open_corpus(spec)
    assert [sentence.split(" ")[0] for sentence in unusable(corpus)] == ["photos/gone.png", "page.png"]
    assert corpus.fingerprint() == open_corpus(own(tmp_path, *OWN)).fingerprint()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (OWN[1] | {"text": " "}, "row 2, field 'text': is empty"),
        (OWN[1] | {"text": None}, "row 2, field 'text': is missing"),
        (OWN[1] | {"image_id": None}, "row 2, field 'image_id': is missing"),
        (OWN[1] | {"image_id": True}, "row 2, field 'image_id': holds True"),
        (OWN[1] | {"lang": "deutsch"}, "row 2, field 'lang': 'deutsch' is not a BCP 47"),
        (OWN[1] | {"lang": "zxx"}, "row 2, field 'lang': 'zxx' is not"),
        (OWN[1] | {"provenance": "robot"}, "row 2, field 'provenance': is human, translated, machine or left out"),
        (
            OWN[1] | {"image": "http://example.org/a.png"},
            "row 2, field 'image': 'http://example.org/a.png' is a URL",
        ),
        (OWN[1] | {"image": "data:image/png;base64,AAAA"}, "row 2, field 'image': .* is a URL"),
        (OWN[1] | {"image": "file:///a.png"}, "row 2, field 'image': .* is a URL"),
        (OWN[1] | {"image": "photos/cat.png"}, "row 2, field 'image': picture '7' has another file in an earlier row"),
        (OWN[1] | {"image_bytes": "%%%"}, "row 2, field 'image_bytes': is not base64"),
        (OWN[1] | {"image_id": "9"}, "row 2, field 'image': is missing, and so is 'image_bytes'"),
        (OWN[1] | {"group": "other"}, "picture '7' is in the groups 'walk' and 'other'"),
        (OWN[0] | {"text": "Hund"}, "row 2, field 'caption_id': '0' occurs twice"),
    ],
)
def test_bad_captions(tmp_path, row: dict, message: str) -> None:
    with pytest.raises(ReaderError, match=rf"mine\.jsonl.*{message}"):
        open_corpus(own(tmp_path, OWN[0], row))


def test_captions_that_are_no_file(tmp_path) -> None:
    with pytest.raises(ReaderError, match="is not a file; captions are a file of JSON lines"):
        open_corpus(f"captions={tmp_path}")
    write(tmp_path, "mine.jsonl", "{\n")
    with pytest.raises(ReaderError, match=r"mine\.jsonl, row 1: is not JSON"):
        open_corpus(f"captions={tmp_path}/mine.jsonl")
    write(tmp_path, "mine.jsonl", "")
    with pytest.raises(ReaderError, match="has no caption"):
        open_corpus(f"captions={tmp_path}/mine.jsonl")
