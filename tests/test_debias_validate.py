"""`debias` with a validation corpus: alpha is chosen, applied, and written down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import parallel_corpus
from test_frontier import LANGS, made
from typer.testing import CliRunner

import babelmix as bm
from babelmix.api._debias_validating import AtTheEnd
from babelmix.cli.app import app
from babelmix.encoders.debias import fitted_removal, with_removal
from babelmix.encoders.removal import load_removal
from babelmix.errors import ArgumentError


def test_vectors_get_the_chosen_alpha(tmp_path: Path) -> None:
    corpus, searched, removal = made()
    vectors = bm.Vectors(searched.queries, searched.passages, name="made", similarity="dot")
    report = bm.frontier(vectors, corpus, removal, best="multi/mAP")
    result = bm.debias(vectors, validate=corpus, removal=removal, best="multi/mAP", out=tmp_path / "out")
    assert report.chosen.alpha > 0
    assert load_removal(tmp_path / "out" / "removal.safetensors").alpha == report.chosen.alpha
    expected = removal.with_alpha(report.chosen.alpha).apply(
        searched.passages, corpus.passages["lang"].to_pylist(), "passage"
    )
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "passages.npy"), expected)
    facts = json.loads((tmp_path / "out" / "debias.json").read_text(encoding="utf-8"))
    assert facts["alpha"] == report.chosen.alpha
    assert facts["frontier"] == json.loads(json.dumps(report.summary()))
    assert set(facts["frontier"]["tested"]) == set(facts["frontier"]["validated"]) == {"untouched", "chosen"}
    assert result.lines()[0] == report.lead()


def test_nothing_is_taken_out_where_that_is_best() -> None:
    corpus, searched, removal = made()
    vectors = bm.Vectors(searched.queries, searched.passages, name="made", similarity="dot")
    # Languages move away from each other.
    harmful = replace(removal, offsets=-3 * removal.offsets)
    result = bm.debias(vectors, corpus, validate=corpus, removal=harmful, best="multi/mAP")
    assert result.facts["alpha"] == 0
    np.testing.assert_array_equal(np.asarray(result.vectors.passages), searched.passages)
    assert "untouched vectors were chosen" in result.lines()[0]


def test_a_method_is_fitted_before_alpha_is_chosen() -> None:
    corpus, searched, _ = made()
    vectors = bm.Vectors(searched.queries, searched.passages, name="made", similarity="dot")
    result = bm.debias(vectors, validate=corpus, method="own-means", best="multi/mAP")
    assert result.removal.method == "own-means"
    assert result.facts["alpha"] == result.removal.alpha > 0
    assert result.facts["fitted_on"]["passages"] == dict.fromkeys(LANGS, 48)


@pytest.mark.parametrize("method", ["means", "centred"])
def test_an_encoder_is_measured_as_it_will_be(tiny_static: Any, tmp_path: Path, method: str) -> None:
    toy = parallel_corpus(60)
    result = bm.debias(tiny_static, toy, method=method, validate=toy, best="multi/mAP", out=tmp_path / "out")
    report = result.frontier
    assert report is not None
    found = bm.load_model(str(tmp_path / "out"))
    texts = toy.passages["text"].to_pylist()[:20]
    np.testing.assert_allclose(found.encode(texts), result.encoder.encode(texts), atol=1e-6)
    removal = report.removals[method]
    if report.chosen.alpha > 0:
        at_the_end = with_removal(tiny_static, removal.removal.with_alpha(report.chosen.alpha))  # type: ignore[attr-defined]
        np.testing.assert_allclose(result.encoder.encode(texts), at_the_end.encode(texts), atol=1e-6)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "## How much language is taken out" in card
    assert report.lead() in card
    assert "| validation, untouched |" in card
    assert (tmp_path / "out" / "frontier.svg").is_file()
    facts = json.loads((tmp_path / "out" / "debias.json").read_text(encoding="utf-8"))
    assert facts["frontier"]["chosen"]["alpha"] == facts["alpha"]
    assert facts["texts"]["de"] == 60


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("offsets", {"pivot": "en"}),
        ("linear-map", {"ridge": 3.0}),
        ("centred", {"rank": 2}),
        ("own-means", {"seed": 4}),
    ],
)
def test_the_options_of_the_method_are_those_of_a_fit_without_a_validation(
    tiny_static: Any, monkeypatch: pytest.MonkeyPatch, method: str, given: dict[str, Any]
) -> None:
    toy, fits = parallel_corpus(60), []

    def fitted(*args: Any, **named: Any) -> Any:
        fits.append((fitted_removal(*args, **named), named["options"]))
        return fits[-1][0]

    monkeypatch.setattr("babelmix.encoders.debias.fitted_removal", fitted)
    result = bm.debias(tiny_static, toy, method=method, validate=toy, best="multi/mAP", **given)
    bm.debias(tiny_static, toy, method=method, alpha=1, **given)
    assert result.frontier is not None
    (one, options), (other, _) = fits
    assert {name: getattr(options, name) for name in given} == given
    np.testing.assert_array_equal(one.offsets, other.offsets)
    assert one.facts == other.facts


def test_auto_chooses_before_alpha_is_chosen(tiny_static: Any) -> None:
    toy = parallel_corpus(60)
    pairs = bm.frontier(tiny_static, toy, alphas=[1]).removals["own-means"].with_facts({"mine": 1})
    result = bm.debias(tiny_static, toy, method="auto", removal=pairs, validate=toy, best="multi/mAP")
    assert result.facts["mine"] == 1
    assert "texts in de; means of a language need" in result.facts["because"]


def test_vectors_are_moved_as_the_modules_of_an_encoder_move_them(tiny_static: Any) -> None:
    toy = parallel_corpus(40)
    texts = {lang: toy.only_langs(lang).passages["text"].to_pylist() for lang in ("de", "en")}
    removal = fitted_removal(tiny_static, texts, method="means")
    some = texts["de"][:5]
    moved = AtTheEnd(removal.with_alpha(0.5)).apply(tiny_static.encode(some), None, "passage")
    np.testing.assert_allclose(moved, with_removal(tiny_static, removal.with_alpha(0.5)).encode(some), atol=1e-5)


def test_errors_say_what_to_do(tiny_static: Any) -> None:
    corpus, searched, removal = made()
    vectors = bm.Vectors(searched.queries, searched.passages, name="made", similarity="dot")
    for arguments, words in (
        ({"on": corpus, "best": "multi/mAP"}, "name a corpus with validate"),
        ({"on": corpus, "validate": parallel_corpus(), "removal": removal}, "names another corpus"),
        ({"validate": corpus, "removal": removal, "alpha": 0.5}, "leave one of them out"),
    ):
        with pytest.raises(ArgumentError, match=words):
            bm.debias(vectors, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="needs the vectors of the queries"):
        bm.debias(bm.Vectors(None, searched.passages, similarity="dot"), validate=corpus, removal=removal)
    with pytest.raises(ArgumentError, match="has no removal for"):
        bm.debias(tiny_static, validate=corpus)


def test_the_command_validates(tmp_path: Path) -> None:
    corpus, searched, removal = made()
    corpus.save(tmp_path / "corpus")
    files = [str(tmp_path / f"{side}.npy") for side in ("queries", "passages")]
    for file, values in zip(files, (searched.queries, searched.passages), strict=True):
        np.save(file, values)
    removal.save(tmp_path / "offsets.safetensors")
    done = CliRunner().invoke(
        app,
        [
            "debias", "--vectors", *files, "--similarity", "dot", "--removal", str(tmp_path / "offsets.safetensors"),
            "--validate", str(tmp_path / "corpus"), "--best", "multi/mAP", "--out", str(tmp_path / "out"),
        ],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "held-out questions" in " ".join(done.output.split())
    assert (tmp_path / "out" / "queries.npy").is_file()
