"""Two different names never share a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import parallel_corpus
from hypothesis import given
from hypothesis import strategies as st

from babelmix._files import distinct_slugs, place_apart, recorded, slug, write_json
from babelmix.corpus import Corpus
from babelmix.experiment import Experiment
from babelmix.experiment.folder import audit_folders, reference_folder, run_folder
from babelmix.training.card import AUDITS, add_audit


@given(st.lists(st.text("ab/-_ .é", min_size=1, max_size=5)))
def test_file_names_are_the_slugs_where_these_are_distinct_and_never_equal(names: list[str]) -> None:
    found = distinct_slugs(names)
    assert list(found) == list(dict.fromkeys(names))
    assert len(set(found.values())) == len(found)
    slugs = [slug(name) for name in found]
    for name, own in found.items():
        assert (own == slug(name)) == (slugs.count(slug(name)) == 1)
    assert distinct_slugs(reversed(names)) == {name: found[name] for name in reversed(found)}


def test_a_default_place_is_the_first_that_holds_nothing_else(tmp_path: Path) -> None:
    def put(place: str, model: str) -> None:
        (tmp_path / place).mkdir()
        (tmp_path / place / "record.json").write_text(json.dumps({"about": {"model": model}}))

    def place(model: str) -> str:
        return place_apart(
            tmp_path / "x.y", lambda place: recorded(place / "record.json", "about", "model") not in (None, model)
        ).name

    assert place("a/b") == "x.y"
    put("x.y", "a/b")
    assert place("a/b") == "x.y"
    assert place("a-b") == "x.y-2"
    put("x.y-2", "a-b")
    assert (place("a-b"), place("a/b"), place("a b")) == ("x.y-2", "x.y", "x.y-3")


@pytest.mark.parametrize("text", [None, "no JSON", "[1]", '{"a": 1}', '{"a": {"c": 2}}'])
def test_what_a_record_does_not_say_is_none(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "record.json"
    if text is not None:
        file.write_text(text)
    assert recorded(file, "a", "b") is None


def test_an_experiment_has_a_folder_for_each_run_reference_and_corpus() -> None:
    given = {
        "name": "x",
        "data": {"corpus": "emoji"},
        "compare": {
            "strategies": ["mono", "hybrid(0.25)", "hybrid(1..0 at 0.5)", "hybrid(1..0, cross)"],
            "against": "mono",
        },
        "references": {"encoders": ["a/b", "a-b", "intfloat/multilingual-e5-small"], "translate_test": True},
    }
    experiment = Experiment(**given)
    runs = [run_folder(experiment, Path(), name, 3) for name in experiment.compare.strategies]
    # The names that earlier versions gave.
    assert runs[:2] == [Path("runs/mono/seed-3"), Path("runs/hybrid-0.25/seed-3")]
    rows = ["a/b", "a-b", "a/b, translate-test", "a-b, translate-test", "intfloat/multilingual-e5-small"]
    references = [reference_folder(experiment, Path(), row) for row in rows]
    assert len(set(references)) == len(rows)
    assert references[-1] == Path("references/intfloat-multilingual-e5-small")
    test, one, other, plain = (
        Corpus.from_rows(
            parallel_corpus(4).queries.to_pylist(), parallel_corpus(4).passages.to_pylist(), [("i0", "i0")], name=name
        )
        for name in ("toy", "a/b", "a-b", "xquad-r")
    )
    folders = audit_folders(Path(), [test, one, other, plain])
    assert len(set(folders)) == 4
    assert (folders[0], folders[3]) == (Path("audit"), Path("audit-xquad-r"))


def test_audits_of_two_models_with_one_slug_are_told_apart(
    babelmix, tiny_static, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parallel_corpus(6, ("de", "en")).save("toy")
    for model in ("a/b", "a-b"):
        tiny_static.save(model)
    encoder = lambda folder: recorded(Path(folder, "metrics.json"), "about", "encoder")
    code, _, err = babelmix("audit", "a/b", "a-b", "-c", "toy", "--metrics", "mAP", "--out", "both")
    assert code == 0, err
    both = sorted(folder for folder in Path("both").iterdir() if folder.is_dir())
    assert sorted(map(encoder, both)) == ["a-b", "a/b"]
    code, _, err = babelmix("audit", "a/b", "a/b", "-c", "toy")
    assert code == 1
    assert "two models have one name" in err
    # An audit of the other model, and a comparison of others, are there already.
    write_json(Path("runs/audit-a-b-toy/metrics.json"), {"about": {"encoder": "a/b", "corpus": "toy"}})
    assert babelmix("audit", "a-b/", "-c", "toy", "--metrics", "mAP")[0] == 0
    assert (encoder("runs/audit-a-b-toy"), encoder("runs/audit-a-b-toy-2")) == ("a/b", "a-b/")
    usual = Path("runs", f"compare-{both[0].name}-{both[1].name}")
    write_json(usual / "comparison.json", {"audits": {"x": {}, "y": {}}})
    assert babelmix("compare", *map(str, both), "--tests", "multi/mAP")[0] == 0
    assert set(recorded(usual.with_name(f"{usual.name}-2") / "comparison.json", "audits")) == {"a/b", "a-b"}


def test_debiased_encoders_of_two_models_with_one_slug_are_told_apart(
    babelmix, tiny_static, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parallel_corpus(200).save("toy")
    for model in ("a/b", "a-b", "a/b"):
        tiny_static.save(model)
        code, _, err = babelmix("debias", model, "--on", "toy")
        assert code == 0, err
    bases = {folder.name: recorded(folder / "debias.json", "base") for folder in Path("runs").iterdir()}
    assert bases == {"debiased-a-b": "a/b", "debiased-a-b-2": "a-b"}


def test_the_card_keeps_audits_on_two_corpora_with_one_slug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from babelmix.training import card

    class Found:
        def __init__(self, corpus: str) -> None:
            self.corpus = corpus

        def summary(self) -> dict[str, object]:
            about = {"corpus": self.corpus}
            return {"about": about, "level": 0.95, "groups": 1, "query_langs": {}, "macro": {}, "cells": {}}

    monkeypatch.setattr(card, "write_card", lambda folder, record: None)
    (tmp_path / "training.json").write_text("{}")
    for corpus in ("a/b", "a-b", "a/b"):
        add_audit(tmp_path, Found(corpus))  # type: ignore[arg-type]
    kept = {file.name: recorded(file, "about", "corpus") for file in (tmp_path / AUDITS).iterdir()}
    assert kept == {"a-b.json": "a/b", "a-b-2.json": "a-b"}
