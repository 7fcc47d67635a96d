"""`babelmix encoders export`, and what an export is used for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import parallel_corpus

import babelmix as bm
from babelmix.encoders import static
from babelmix.errors import ArgumentError, EncoderError, MissingExtraError, SearchError


@pytest.fixture
def model(tmp_path: Path, tiny_static) -> Path:
    tiny_static.save(str(tmp_path / "model"))
    return tmp_path / "model"


@pytest.fixture
def export(model: Path, tmp_path: Path) -> Path:
    return bm.export_model(model, tmp_path / "export").folder


def test_a_report_names_the_files_and_the_use(model: Path, tmp_path: Path) -> None:
    made = bm.export_model(model, tmp_path / "export")
    files = {file.name: file.stat().st_size for file in (tmp_path / "export").iterdir()}
    assert dict(made.files) == files
    assert {"encoder.json", "vectors.npy", "checksums.json"} <= set(files)
    assert made.to_frame()["bytes"].sum() == sum(files.values())
    assert "run by numpy" in made.lines()[0]
    assert f"--model {tmp_path / 'export'}" in made.places()["export"]
    json.dumps(made.as_json())
    # The same command again replaces it.
    bm.export_model(model, tmp_path / "export")


def test_another_folder_is_not_replaced(model: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("words")
    with pytest.raises(Exception, match=r"thesis\.txt|mine"):
        bm.export_model(model, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "words"


def test_an_index_is_made_and_searched_by_an_export(
    model: Path, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = parallel_corpus()
    by_model, by_export = tmp_path / "by-model", tmp_path / "by-export"
    bm.build_index(corpus, by_model, model=str(model))
    bm.build_index(corpus, by_export, model=str(export))
    with bm.open_index(by_model) as index:
        right = index.search("Katze Hund", k=20)
    # The model is gone, and with it the cache: as on another machine.
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path / "cache"))
    model.rename(tmp_path / "away")
    for address in (by_model, by_export):
        with bm.open_index(address, model=str(export)) as index:
            found = index.search("Katze Hund", k=20)
            assert index.notes == []
        assert [hit.id for hit in found] == [hit.id for hit in right]
        np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in right], atol=1e-6)
    # An index that was made by an export finds it again.
    with bm.open_index(by_export) as index:
        assert index.search("Katze Hund", k=1)[0].id == right[0].id
    report = bm.build_index(corpus, by_export)
    assert report.counts["unchanged"] == len(corpus.passages)


def test_an_export_of_another_encoder_is_refused(export: Path, tmp_path: Path) -> None:
    other = static.from_scratch(["a dog", "ein Hund"], dimension=8)
    other.save(str(tmp_path / "other"))
    bm.build_index(parallel_corpus(), tmp_path / "index", model=str(tmp_path / "other"))
    with pytest.raises(SearchError, match="made by"):
        bm.open_index(tmp_path / "index", model=str(export))


def test_without_torch_the_message_says_what_to_do(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bm.build_index(parallel_corpus(), tmp_path / "index", model=str(model))
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("babelmix.encoders.exported.finding.has_torch", lambda: False)
    with pytest.raises(MissingExtraError, match=r"babelmix encoders export .*--model FOLDER"):
        bm.open_index(tmp_path / "index")


def test_another_limit_or_backend_than_that_of_the_export(export: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="is exported for numpy"):
        bm.build_index(parallel_corpus(), tmp_path / "index", model=str(export), backend="onnx")
    with pytest.raises(EncoderError, match="leave out --max-seq-length"):
        bm.build_index(parallel_corpus(), tmp_path / "index", model=str(export), max_seq_length=8)


def test_what_cannot_be_exported(tmp_path: Path, tiny_static) -> None:
    with pytest.raises(EncoderError, match="needs no --backend onnx"):
        bm.export_model(tiny_static, tmp_path / "export", backend="onnx")
    with pytest.raises((EncoderError, ArgumentError), match="unknown"):
        bm.export_model(tiny_static, tmp_path / "export", backend="tpu")
    assert not (tmp_path / "export").exists()


def test_an_export_is_not_audited(export: Path) -> None:
    with pytest.raises(EncoderError, match="is an export, which index, search and serve run"):
        bm.audit(str(export), parallel_corpus())
