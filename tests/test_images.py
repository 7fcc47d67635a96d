"""Pictures: what is opened, what is refused and why, and how a corpus holds them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from babelmix.corpus import Corpus, from_datasets, split, to_datasets
from babelmix.corpus.images import IMAGE_TYPE, Pictures, bytes_of, digest_of, open_picture, with_bytes
from babelmix.errors import CorpusError, PictureError


def encoded(format: str = "PNG", mode: str = "RGB", colour=(200, 30, 40), size=(24, 16), **options) -> bytes:
    """A picture of one colour as a file's bytes."""
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, format, **options)
    return out.getvalue()


def noise(format: str, size: int = 48) -> bytes:
    """A picture that does not compress, so that half of its file is half of it."""
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, format)
    return out.getvalue()


def animated(format: str) -> bytes:
    out = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    frames[0].save(out, format, save_all=True, append_images=frames[1:], duration=100)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


# --- open_picture


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_usual_format_is_opened(format: str) -> None:
    picture = open_picture(encoded(format))
    assert (picture.mode, picture.size) == ("RGB", (24, 16))
    assert np.abs(np.asarray(picture).mean((0, 1)) - (200, 30, 40)).max() < 6


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"GIF89a", "damaged"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is no picture"),
        (b"<html>404</html>", "is no picture"),
        (noise("PNG")[:3000], "is cut short or damaged"),
        (noise("JPEG")[:900], "is cut short or damaged"),
        (noise("WEBP")[:300], "is cut short or damaged|is no picture"),
        (bomb(60_000, 60_000), r"has (60,000 x 60,000|too many) pixels"),
        (bomb(1, 30_000), "has 1 x 30,000 pixels; one side may be 100 times as long"),
        (bomb(10_001, 100), "has 10,001 x 100 pixels; one side may be"),
        (bomb(8_000, 8_000), "has 8,000 x 8,000 pixels; at most 50,000,000"),
        (animated("GIF"), "is animated, or has several pages"),
        (animated("PNG"), "is animated, or has several pages"),
        (animated("WEBP"), "is animated, or has several pages"),
        (encoded("JPEG", "CMYK", (0, 10, 200, 0)), "has the colour space CMYK; convert it to RGB"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "data",
)
def test_what_cannot_be_used_is_refused_in_a_sentence(data: bytes, message: str) -> None:
    with pytest.raises(PictureError, match=message):
        open_picture(data)


def test_a_file_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("babelmix.corpus.images.MAX_BYTES", 50)
    with pytest.raises(PictureError, match="at most 50 are read"):
        open_picture(b"x" * 51)
    (tmp_path / "large.png").write_bytes(b"x" * 51)
    with pytest.raises(PictureError, match=r"large\.png has more than 50 bytes"):
        bytes_of({"bytes": None, "path": str(tmp_path / "large.png")})


def test_a_file_that_is_not_there(tmp_path) -> None:
    for path in (str(tmp_path / "absent.png"), str(tmp_path), "a\0b.png"):
        with pytest.raises(PictureError, match="cannot be read"):
            bytes_of({"bytes": None, "path": path})
    for nothing in ({}, {"bytes": None, "path": None}, {"bytes": None, "path": ""}):
        with pytest.raises(PictureError, match="has neither bytes nor a path"):
            bytes_of(nothing)
    assert bytes_of({"bytes": b"", "path": "ignored"}) == b""


def test_sixteen_bits_of_grey_keep_their_brightness() -> None:
    out = io.BytesIO()
    Image.fromarray(np.array([[0, 0x8000, 0xFFFF]], dtype=np.uint16)).save(out, "PNG")
    assert np.asarray(open_picture(out.getvalue()))[0].tolist() == [[0] * 3, [128] * 3, [255] * 3]


def test_transparency_lies_on_white() -> None:
    half = encoded("PNG", "RGBA", (255, 0, 0, 128))
    assert open_picture(half).getpixel((0, 0)) == (255, 127, 127)
    assert open_picture(encoded("PNG", "RGBA", (9, 9, 9, 0))).getpixel((3, 3)) == (255, 255, 255)
    assert open_picture(encoded("PNG", "LA", (0, 0))).getpixel((0, 0)) == (255, 255, 255)


def test_palettes_and_their_transparent_entry() -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putdata([0, 1])
    for options, second in (({}, (0, 0, 255)), ({"transparency": 1}, (255, 255, 255))):
        out = io.BytesIO()
        picture.save(out, "PNG", **options)
        opened = open_picture(out.getvalue())
        assert (opened.getpixel((0, 0)), opened.getpixel((1, 0))) == ((255, 0, 0), second)
    assert open_picture(encoded("PNG", "1", 1)).getpixel((0, 0)) == (255, 255, 255)
    assert open_picture(encoded("PNG", "L", 77)).getpixel((0, 0)) == (77, 77, 77)


@settings(max_examples=150, deadline=None)
@given(
    start=st.sampled_from(
        [encoded(f) for f in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")] + [b"", animated("GIF")]
    ),
    cut=st.integers(0, 400),
    flips=st.lists(st.tuples(st.integers(0, 399), st.integers(0, 255)), max_size=8),
    tail=st.binary(max_size=40),
)
def test_damage_never_raises_anything_else(start: bytes, cut: int, flips, tail: bytes) -> None:
    data = bytearray(start[:cut] + tail)
    for place, value in flips:
        if place < len(data):
            data[place] = value
    try:
        picture = open_picture(bytes(data))
    except PictureError as error:
        assert str(error)
    else:
        assert picture.mode == "RGB"


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_never_raise_anything_else(data: bytes) -> None:
    with pytest.raises(PictureError):
        open_picture(data)


# --- a corpus with pictures

COLOURS = ["red", "green", "blue", "yellow"]


def picture_corpus(folder: Path | None = None, colours=COLOURS) -> Corpus:
    """Captions of plain pictures, in memory or in files of a folder."""
    pictures = {colour: encoded(colour=colour) for colour in colours}
    sources: dict[str, bytes | Path] = dict(pictures)
    if folder is not None:
        for colour, data in pictures.items():
            sources[colour] = folder / f"{colour}.png"
            (folder / f"{colour}.png").write_bytes(data)
    queries = [
        {"item": colour, "lang": lang, "text": f"{lang} {colour}"} for colour in colours for lang in ("de", "en")
    ]
    passages = [{"item": colour, "lang": "zxx", "image": sources[colour]} for colour in colours]
    return Corpus.from_rows(queries, passages, [(colour, colour) for colour in colours], name="colours")


@pytest.mark.parametrize("format", ["parquet", "arrow"])
@pytest.mark.parametrize("files", [False, True])
def test_save_and_load(tmp_path, format: str, files: bool) -> None:
    source = tmp_path / "pictures"
    source.mkdir()
    corpus = picture_corpus(source if files else None)
    corpus.save(tmp_path / "corpus", format=format)
    for file in source.iterdir():
        file.unlink()
    loaded = Corpus.load(tmp_path / "corpus")
    assert loaded.has_images
    assert loaded.langs == ("de", "en", "zxx")
    assert loaded.fingerprint() == corpus.fingerprint()
    assert [cell["bytes"] for cell in loaded.passages["image"].to_pylist()] == [encoded(colour=c) for c in COLOURS]
    assert [cell["path"] for cell in loaded.passages["image"].to_pylist()] == [
        f"{colour}.png" if files else None for colour in COLOURS
    ]
    assert Pictures(loaded.passages)[0].getpixel((0, 0)) == (255, 0, 0)
    assert "image" not in loaded.queries.column_names


def test_pictures_of_files_become_bytes_and_others_stay(tmp_path) -> None:
    corpus = picture_corpus(tmp_path)
    assert corpus.passages["image"].to_pylist()[0] == {"bytes": None, "path": str(tmp_path / "red.png")}
    table = with_bytes(corpus.passages)
    assert table["image"].to_pylist()[0] == {"bytes": encoded(colour="red"), "path": "red.png"}
    assert with_bytes(table) is table
    assert with_bytes(corpus.queries) is corpus.queries


def test_a_changed_or_lost_file_is_noticed(tmp_path) -> None:
    corpus = picture_corpus(tmp_path)
    pictures = Pictures(corpus.passages)
    assert pictures[1:3][1].getpixel((0, 0)) == (0, 0, 255)
    (tmp_path / "green.png").write_bytes(encoded(colour="pink"))
    with pytest.raises(CorpusError, match=r"picture 2: .*green\.png has changed since the corpus was read"):
        _ = pictures[1]
    with pytest.raises(CorpusError, match=r"picture 2: .*green\.png has changed"):
        corpus.save(tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()
    (tmp_path / "green.png").unlink()
    with pytest.raises(CorpusError, match=r"picture 2: .*green\.png cannot be read"):
        _ = list(pictures)
    with pytest.raises(CorpusError, match=r"picture 2: .*green\.png cannot be read"):
        to_datasets(corpus)


def test_to_datasets_and_back(tmp_path) -> None:
    corpus = picture_corpus(tmp_path)
    tables = to_datasets(corpus)
    assert type(tables["passages"].features["image"]).__name__ == "Image"
    assert tables["passages"][2]["image"].getpixel((0, 0)) == (0, 0, 255)
    back = from_datasets(tables, name="colours")
    assert back.fingerprint() == corpus.fingerprint()


def test_the_fingerprint_is_of_the_content(tmp_path) -> None:
    in_memory, in_files = picture_corpus(), picture_corpus(tmp_path)
    assert in_memory.fingerprint() == in_files.fingerprint()
    assert in_memory.fingerprint() != picture_corpus(colours=["red", "green", "blue", "gold"]).fingerprint()
    digests = in_memory.passages["digest"].to_pylist()
    assert digests == [digest_of(encoded(colour=colour)) for colour in COLOURS]
    assert (Pictures(in_memory.passages).keys == Pictures(in_files.passages).keys).all()
    assert Pictures(in_memory.passages).keys.shape == (4, 2)


def test_a_split_and_the_other_direction_keep_pictures() -> None:
    corpus = picture_corpus(colours=[f"rgb({i},{2 * i},9)" for i in range(40)])
    parts = split(corpus, {"train": 0.5, "test": 0.5})
    assert sum(part.passages.num_rows for part in parts.values()) == 40
    sides = [set(part.passages["digest"].to_pylist()) for part in parts.values()]
    assert not sides[0] & sides[1]
    turned = corpus.reversed()
    assert turned.name == "colours (image to text)"
    assert turned.queries["digest"].to_pylist() == corpus.passages["digest"].to_pylist()
    assert corpus.only_langs(["de", "zxx"]).qrels.num_rows == 40


TEXT = {"item": "a", "lang": "en", "text": "a cat"}
PICTURE = {"item": "a", "lang": "zxx", "image": encoded()}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (PICTURE | {"lang": "en"}, "passages, row 2, column 'lang': 'en', a picture's language is 'zxx'"),
        (PICTURE | {"text": "a cat"}, "passages, row 2, column 'lang': 'zxx', is a picture and a text"),
        ({"item": "a", "lang": "zxx", "text": "a cat"}, "passages, row 2, column 'lang': 'zxx', a picture's language"),
        ({"item": "a", "lang": "zxx"}, "passages, row 2, column 'text': is empty"),
        ({"item": "a", "lang": "zxx", "image": "absent.png"}, r"row 2, column 'image': absent\.png cannot be read"),
    ],
)
def test_rows_that_are_no_pictures(row: dict, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        Corpus.from_rows([TEXT], [PICTURE, row], [("a", "a")])
    assert Corpus.from_rows([TEXT], [PICTURE, TEXT], [("a", "a")]).counts().rows() == [("en", 1, 1), ("zxx", 0, 1)]


def test_a_picture_without_anything() -> None:
    empty = pa.array([{"bytes": None, "path": None}], IMAGE_TYPE)
    side = pa.table(
        {"item": ["a"], "lang": ["zxx"], "text": pa.array([None], pa.string()), "group": ["a"], "image": empty}
    )
    text = pa.table({"item": ["a"], "lang": ["en"], "text": ["x"], "group": ["a"]})
    qrels = pa.table({"query_item": ["a"], "passage_item": ["a"]})
    with pytest.raises(CorpusError, match="passages, row 1, column 'image': has neither bytes nor a path"):
        Corpus(text, side, qrels)
