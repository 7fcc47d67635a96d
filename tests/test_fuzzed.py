"""What a fuzzer found (`tests/fuzz.py`), and every one of its targets under a little random damage."""

from __future__ import annotations

import io
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fuzz import Target, targets
from test_uniter_regions import arrays

from babelmix.corpus import open_corpus
from babelmix.corpus.languages import canonical_language, is_language_tag
from babelmix.encoders.uniter.checkpoint import _read
from babelmix.encoders.uniter.regions import read_regions
from babelmix.errors import BabelmixError, EncoderError, ReaderError

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")
pytest.importorskip("resvg_py", reason="the extra 'images' is not installed")

INPUTS = 12


@pytest.fixture(scope="module")
def found() -> dict[str, Target]:
    return targets()


def damaged(seed: bytes, rng: random.Random) -> bytes:
    """A seed, some of it cut out, repeated or replaced."""
    data = bytearray(seed)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        upto = min(len(data), at + rng.choice((1, 2, 8, 64)))
        data[at:upto] = rng.choice((
            b"", bytes(data[at:upto]) * 2, rng.randbytes(upto - at), b"\x00", b"\xff\xff\xff\xff", b'"', b"[" * 9, b"-1",
            b"1e999", "\ud800".encode("utf-8", "surrogatepass"), b"\n", b"\t",
        ))  # fmt: skip
    return bytes(data)


@pytest.mark.parametrize(
    "name",
    [
        "weights", "regions", "uniter", "pictures", "svg", "table", "documents", "corpus", "corpus-arrow", "beir", "lareqa",
        "miracl", "mr-tydi", "mmarco", "belebele", "squadshifts", "parallel-qa", "captions", "multi30k", "mscoco", "xtd10",
        "xm3600", "wit", "libreoffice-help", "libreoffice-html", "comfyui-docs", "lexicon", "dictd", "audit", "checkpoints",
        "toml", "keys", "policy", "strategy", "options", "perturb", "bodies", "where", "index", "languages", "gate", "embeddings",
        "xquad-paragraphs", "vectors", "mlqa", "multieup", "folder", "parallel-sections", "parallel-sentences",
    ],
)  # fmt: skip
def test_damage_is_refused_or_read(found: dict[str, Target], name: str, tmp_path: Path) -> None:
    seeds, read = found[name].begin(tmp_path)
    rng = random.Random(name)
    for _ in range(INPUTS):
        data = damaged(rng.choice(seeds), rng)
        try:
            read(data)
        except BabelmixError as error:
            assert str(error)


def test_every_target_is_tried_here_or_elsewhere(found: dict[str, Target]) -> None:
    # `test_no_request_breaks_it` and `test_what_a_model_folder_may_not_bring` have the other two.
    (marks,) = [mark for mark in test_damage_is_refused_or_read.pytestmark if mark.name == "parametrize"]
    assert set(found) - set(marks.args[1]) == {"service", "model"}


# --- found


def test_an_archive_whose_packed_bytes_are_damaged(tmp_path) -> None:
    np.savez_compressed(tmp_path / "a.npz", **arrays(30))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    start = zipfile.ZipFile(io.BytesIO(data)).getinfo("features.npy").header_offset + 30 + len("features.npy")
    for at in range(start + 25, start + 400, 5):
        some = bytearray(data)
        some[at : at + 4] = b"\xff" * 4
        (tmp_path / "b.npz").write_bytes(some)
        with pytest.raises(EncoderError, match=r"b\.npz"):
            read_regions(tmp_path / "b.npz")


@pytest.mark.parametrize("data", [b"\x80\x02.", b"\x80\x02X\x01", b"\x80\x02}q\x01(X", pickle.dumps([1])[:-1]])
def test_weights_that_are_cut_or_no_weights(tmp_path, data: bytes) -> None:
    (tmp_path / "w.pt").write_bytes(data)
    with pytest.raises(EncoderError, match=r"w\.pt: cannot be read as weights only"):
        _read(tmp_path / "w.pt")


def test_an_arrow_file_whose_texts_point_outside(tmp_path) -> None:
    # polars ended the process with a signal.
    frame = pl.DataFrame({"item": ["a"], "de": ["eine lange Zeile, die nicht in den Verweis passt"], "en": ["a cat"]})
    frame.write_ipc(tmp_path / "a.arrow", compression="uncompressed")
    data = bytearray((tmp_path / "a.arrow").read_bytes())
    text = frame["de"][0].encode()
    at = data.index(len(text).to_bytes(4, "little") + text[:4])
    data[at + 8 : at + 12] = b"\xff\xff\xff\x7f"
    (tmp_path / "a.arrow").write_bytes(data)
    with pytest.raises(ReaderError, match=r"a\.arrow: is not a readable Arrow file"):
        open_corpus(str(tmp_path / "a.arrow"))


def test_a_parquet_file_at_which_polars_panics(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def panics(*_: object, **__: object) -> None:
        raise pl.exceptions.PanicException("Thrift out of range")

    monkeypatch.setattr(pl, "read_parquet_schema", panics)
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(ReaderError, match=r"a\.parquet: is not a readable Parquet file \(Thrift out of range\)"):
        open_corpus(str(tmp_path / "a.parquet"))


def test_a_page_of_help_that_is_empty(tmp_path) -> None:
    for lang, page in (("en-US", '<html><body><p id="a">All.</p></body></html>'), ("de", "")):
        (tmp_path / lang / "text").mkdir(parents=True)
        (tmp_path / lang / "text" / "p.html").write_text(page, encoding="utf-8")
    with pytest.raises(ReaderError, match=r"p\.html: is not readable HTML"):
        open_corpus(f"libreoffice-help={tmp_path}")


def test_an_archive_whose_names_are_no_text(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("é.npy", b"")
    data = (tmp_path / "a.npz").read_bytes().replace("é".encode(), b"\x9e\x9e")
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(EncoderError, match=r"a\.npz: cannot be read as an \.npz file"):
        read_regions(tmp_path / "a.npz")


@pytest.mark.parametrize(("tag", "canonical"), [("enn-eus", "eu"), ("unn-uas", "unn-uas"), ("ar-arz", "arz")])
def test_a_canonical_tag_is_a_tag_and_stays(tag: str, canonical: str) -> None:
    assert canonical_language(tag) == canonical_language(canonical) == canonical
    assert is_language_tag(canonical)
