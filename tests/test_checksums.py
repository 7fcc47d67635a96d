"""A flipped bit in what was saved is the same result, or one sentence, and never another number."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import parallel_corpus

from babelmix._cache import remove_if_damaged
from babelmix._checksums import CHECKSUMS, checksum, damaged_file, has_checksums, write_checksums
from babelmix.corpus import Corpus
from babelmix.errors import AuditError, BabelmixError, ReaderError
from babelmix.evaluation import Audit, RankTable, audit
from babelmix.evaluation.run import is_finished
from babelmix.evaluation.scoring import rank_table

PLACES = 25
"""Bytes of each file that are damaged, spread evenly."""


def damaged(data: bytes, place: int) -> bytes:
    """The same with one bit flipped."""
    return data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]


def spread(data: bytes) -> list[int]:
    return sorted({round(place) for place in np.linspace(0, len(data) - 1, PLACES)})


def test_damage_is_found_in_every_byte(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name, content in (("a.bin", b"some bytes"), ("sub/b.txt", b"others")):
        (tmp_path / name).write_bytes(content)
    assert damaged_file(tmp_path) == CHECKSUMS
    assert not has_checksums(tmp_path)
    write_checksums(tmp_path)
    assert damaged_file(tmp_path) is None
    for name in ("a.bin", "sub/b.txt"):
        data = (tmp_path / name).read_bytes()
        for place in range(len(data)):
            (tmp_path / name).write_bytes(damaged(data, place))
            assert damaged_file(tmp_path) == name
        (tmp_path / name).write_bytes(data)
    (tmp_path / "c").write_bytes(b"")
    assert damaged_file(tmp_path, ["a.bin"]) is None
    assert damaged_file(tmp_path, ["c"]) == CHECKSUMS
    for content in (b"", b"[]", b"\xff", b"[" * 100_000, b'{"a\\u0000": 1}'):
        (tmp_path / CHECKSUMS).write_bytes(content)
        assert damaged_file(tmp_path) is not None


def test_a_checksum_of_a_large_file(tmp_path: Path) -> None:
    import zlib

    data = np.random.default_rng(0).bytes((2 << 20) + 5)
    (tmp_path / "large").write_bytes(data)
    assert checksum(tmp_path / "large") == zlib.crc32(data)


def test_a_damaged_folder_of_the_cache_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "exported"
    remove_if_damaged("exported encoders", folder)
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"weights")
    write_checksums(folder)
    remove_if_damaged("exported encoders", folder)
    assert (folder / "model.bin").is_file()
    (folder / "model.bin").write_bytes(b"weightz")
    remove_if_damaged("exported encoders", folder)
    assert not folder.exists()
    assert "cached exported encoders are damaged" in " ".join(capsys.readouterr().err.split())


def test_a_flipped_bit_in_an_audit(tiny_static, tmp_path: Path) -> None:
    corpus = parallel_corpus(items=8, langs=("de", "en"))
    made = audit(tiny_static, corpus, name="tiny", store=False)
    made.save(tmp_path)
    expected = Audit.load(tmp_path).summary()
    assert is_finished(tmp_path, made.table.about)
    for name in ("ranks.parquet", "queries.parquet", "metrics.json", CHECKSUMS):
        data = (tmp_path / name).read_bytes()
        for place in spread(data):
            (tmp_path / name).write_bytes(damaged(data, place))
            with pytest.raises(AuditError, match=r"is damaged, or of another audit; run  babelmix audit  again"):
                Audit.load(tmp_path)
            assert not is_finished(tmp_path, made.table.about)
        (tmp_path / name).write_bytes(data)
    # As earlier versions left it.
    (tmp_path / CHECKSUMS).unlink()
    assert Audit.load(tmp_path).summary() == expected
    # Written anew, half of it: the checksums of before are gone.
    made.save(tmp_path)
    made.table.save(tmp_path)
    assert not has_checksums(tmp_path)


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_a_flipped_bit_in_a_corpus(format: str, tmp_path: Path) -> None:
    corpus = parallel_corpus(items=8, langs=("de", "en"))
    corpus.save(tmp_path, format=format)
    for name in (f"queries.{format}", f"qrels.{format}", "corpus.json", CHECKSUMS):
        data = (tmp_path / name).read_bytes()
        for place in spread(data):
            (tmp_path / name).write_bytes(damaged(data, place))
            with pytest.raises(ReaderError, match="damaged, or changed by hand"):
                Corpus.load(tmp_path)
        (tmp_path / name).write_bytes(data)
    assert Corpus.load(tmp_path).fingerprint() == corpus.fingerprint()
    about = json.loads((tmp_path / "corpus.json").read_text())
    (tmp_path / "corpus.json").write_text(json.dumps({**about, "name": "renamed"}))
    with pytest.raises(ReaderError, match=f"remove {CHECKSUMS} if you changed it"):
        Corpus.load(tmp_path)
    (tmp_path / CHECKSUMS).unlink()
    assert Corpus.load(tmp_path).name == "renamed"


def test_what_cannot_be_removed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    (tmp_path / "folder").mkdir()
    with pytest.raises(BabelmixError, match="is damaged, and cannot be removed by this process; remove it yourself"):
        remove_if_damaged("encoders", tmp_path / "folder")


@pytest.mark.parametrize("rows", [[0, 1, 99], [0, -1, 2], [2, 1, 0]])
def test_an_audit_without_checksums_has_pairs_of_its_queries(tmp_path: Path, rows: list[int]) -> None:
    corpus = parallel_corpus(3, langs=("en",))
    vectors = np.eye(3, dtype=np.float32)
    replace(rank_table(corpus, vectors, vectors), pair_query=np.array(rows)).save(tmp_path)
    with pytest.raises(AuditError, match="not of its queries"):
        RankTable.load(tmp_path)
