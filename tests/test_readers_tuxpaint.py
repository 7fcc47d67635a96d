"""Tux Paint's stamps in the layout of Debian's package, written here, and pictures that look the same."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import picture_corpus
from PIL import Image

from babelmix.corpus import load_corpus
from babelmix.corpus.near_pictures import group_near_pictures, near_pictures
from babelmix.corpus.readers import tuxpaint_stamps
from babelmix.errors import CorpusError, ReaderError


def drawn(seed: int, shift: int = 0, kind: str = "PNG") -> bytes:
    """A picture of random blocks."""
    blocks = np.random.default_rng(seed).integers(40, 200, (6, 6, 3))
    pixels = np.clip(np.kron(blocks, np.ones((8, 8, 1))) + shift, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def stamps(folder: Path) -> Path:
    texts = {
        "animals/cats/lion": ("A lion.", "de.utf8=Ein Löwe.", "pt_BR.utf8=Um leão.", "en_GB.utf8=A lion."),
        "animals/cats/lion_cub": ("A lion cub.", "de.utf8=Ein Löwenjunges.", "sr@latin.utf8=Mladunče lava."),
        "animals/cats/cartoon/lion2": ("A happy lion.", "de.utf8=Ein froher Löwe."),
        "food/fruit/apple_red": ("An apple.", "de.utf8=Ein Apfel.", "fr.utf8=An apple."),
        "seasonal/autumn/fallen-apple": ("An apple.", "de.utf8=Ein Apfel, gefallen.", ""),
        "symbols/plus": ("A plus sign.", "de.utf8=Ein Pluszeichen."),
    }
    for number, (name, lines) in enumerate(texts.items()):
        file = folder / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines), encoding="utf-8")
        file.with_suffix(".png").write_bytes(drawn(number))
    (folder / "animals/cats/lion_mirror.png").write_bytes(drawn(90))
    return folder


def test_stamps(tmp_path: Path) -> None:
    corpus = load_corpus(f"tuxpaint-stamps={stamps(tmp_path)}")
    assert corpus.passages["item"].to_pylist() == [
        "animals/cats/lion", "animals/cats/lion_cub", "food/fruit/apple_red", "seasonal/autumn/fallen-apple",
    ]  # fmt: skip
    assert set(corpus.langs) == {"en", "de", "pt-BR", "sr-Latn", "zxx"}
    assert corpus.meta["left_out"] == {"sentences that were not translated": 1, "pictures without a text": 1}
    assert corpus.meta["provenance"]["en"] == {"human": 4}
    assert corpus.meta["provenance"]["de"] == {"translated": 4}
    group = dict(zip(corpus.passages["item"].to_pylist(), corpus.passages["group"].to_pylist(), strict=True))
    assert group["animals/cats/lion"] == group["animals/cats/lion_cub"] == "animals/cats/lion"
    # The same English sentence: one family, and each of its sentences finds both.
    assert group["food/fruit/apple_red"] == group["seasonal/autumn/fallen-apple"]
    pairs = {(one, other) for one, other, _ in corpus.qrels.to_pandas().itertuples(index=False)}
    assert ("food/fruit/apple_red", "seasonal/autumn/fallen-apple") in pairs
    assert len(pairs) == 6


@pytest.mark.parametrize(("kind", "number"), [("photos", 4), ("objects", 5), ("all", 6)])
def test_kinds_of_stamps(tmp_path: Path, kind: str, number: int) -> None:
    assert load_corpus(f"tuxpaint-stamps={stamps(tmp_path)}?kind={kind}").passages.num_rows == number


def test_families_do_not_depend_on_the_languages(tmp_path: Path) -> None:
    everything = load_corpus(f"tuxpaint-stamps={stamps(tmp_path)}")
    german = load_corpus(f"tuxpaint-stamps={tmp_path}", langs="de")
    assert german.passages["group"].to_pylist() == everything.passages["group"].to_pylist()
    assert german.qrels.num_rows == everything.qrels.num_rows
    assert german.langs == ("de", "zxx")


def _locale(file: Path) -> None:
    file.write_text("A lion.\nxx.utf8=Something", encoding="utf-8")


def _line(file: Path) -> None:
    file.write_text("A lion.\nde: Ein Löwe.", encoding="utf-8")


def _empty(file: Path) -> None:
    file.write_text("", encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(_locale, "row 2.*no locale"), (_line, "row 2.*LOCALE.utf8"), (_empty, "no English sentence")],
)
def test_malformed_texts_are_refused(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(stamps(tmp_path) / "animals/cats/lion.txt")
    with pytest.raises(ReaderError, match=message):
        load_corpus(f"tuxpaint-stamps={tmp_path}")


def test_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuxpaint_stamps, "DEBIAN_FOLDER", tmp_path / "none")
    with pytest.raises(ReaderError, match="apt install tuxpaint-stamps-default"):
        load_corpus("tuxpaint-stamps")
    with pytest.raises(ReaderError, match="holds no stamp"):
        load_corpus(f"tuxpaint-stamps={tmp_path}")
    with pytest.raises(ReaderError, match="kind"):
        load_corpus(f"tuxpaint-stamps={stamps(tmp_path)}?kind=cats")


def test_near_pictures_look_the_same() -> None:
    # Equal, brighter by a step that nobody sees, another format, much brighter, another picture.
    files = [drawn(1), drawn(1, shift=2), drawn(1, kind="JPEG"), drawn(1, shift=40), drawn(2)]
    assert near_pictures(files).tolist() == [0, 0, 0, 1, 2]
    assert near_pictures([]).tolist() == []


def test_groups_of_near_pictures_are_joined() -> None:
    corpus = picture_corpus(items=6)
    found = group_near_pictures(corpus)
    number = near_pictures([cell["bytes"] for cell in corpus.passages["image"].to_pylist()])
    group = found.passages["group"].to_pylist()
    for one in range(len(group)):
        for other in range(one):
            if number[one] == number[other]:
                assert group[one] == group[other]
    assert found.meta["near_pictures"] == sum(n > 1 for n in np.bincount(number)[number])
    by_item = dict(zip(found.passages["item"].to_pylist(), group, strict=True))
    assert all(by_item[row["item"]] == row["group"] for row in found.queries.select(["item", "group"]).to_pylist())


def test_folds_test_every_group_once(tmp_path: Path) -> None:
    spec = f"tuxpaint-stamps={stamps(tmp_path)}?kind=all"
    everything = set(load_corpus(spec).passages["group"].to_pylist())
    tested: list[str] = []
    for fold in range(5):
        parts = {}
        for part in ("train", "fit", "validation", "test"):
            try:
                parts[part] = set(load_corpus(f"{spec}&part={part}&fold={fold}").passages["group"].to_pylist())
            except CorpusError:  # four groups are dealt to five folds
                parts[part] = set()
        assert parts["test"] | parts["train"] == everything
        assert not parts["test"] & parts["train"]
        assert parts["fit"] | parts["validation"] == parts["train"]
        assert not parts["fit"] & parts["validation"]
        tested += parts["test"]
    assert sorted(tested) == sorted(everything)
    assert load_corpus(f"{spec}&part=train").name == "tuxpaint-stamps/train-0"
    with pytest.raises(ReaderError, match="needs a part"):
        load_corpus(f"{spec}&fold=1")
    with pytest.raises(ReaderError, match="0 to 4"):
        load_corpus(f"{spec}&fold=5&part=test")
    with pytest.raises(ReaderError, match="part"):
        load_corpus(f"{spec}&part=dev")
