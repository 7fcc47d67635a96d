"""`babelmix.frontier` and its command: the numbers are those of an audit, and what is saved can be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import parallel_corpus
from sentence_transformers import SentenceTransformer
from test_frontier import LANGS, made
from typer.testing import CliRunner

import babelmix as bm
from babelmix.cli.app import app
from babelmix.encoders.removal import load_removal
from babelmix.errors import ArgumentError, BabelmixError, EncoderError
from babelmix.evaluation.frontier import OTHER_RECALL, SAME_RECALL, held_out
from babelmix.search.removal import removal_for

SHOP = Path(__file__).resolve().parents[1] / "docs" / "shop.csv"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def words(text: str) -> str:
    """A text without the line ends of a terminal."""
    return " ".join(text.split())


def test_the_test_part_has_the_numbers_of_an_audit() -> None:
    corpus, searched, removal = made()
    vectors = bm.Vectors(searched.queries, searched.passages, name="made", similarity="dot")
    report = bm.frontier(vectors, corpus, removal, alphas=[0.5, 1], best="multi/mAP")
    assert report.chosen.method == "offsets"
    assert report.removal is not None
    assert report.removal.alpha == report.chosen.alpha
    test = held_out(corpus)[1]
    langs = test.corpus.queries["lang"].to_pylist()
    moved = bm.Vectors(
        report.removal.apply(np.asarray(searched.queries)[test.rows], langs, "query"),
        report.removal.apply(searched.passages, corpus.passages["lang"].to_pylist(), "passage"),
        name="moved", similarity="dot",
    )  # fmt: skip
    audit = bm.audit(moved, test.corpus)
    for name in report.tested[1].measures:
        assert report.tested[1].value(name) == pytest.approx(audit.macro(name), abs=1e-12)
    assert all(one.p_holm is not None and one.p_holm >= one.p for one in report.comparisons)
    assert {one.measure for one in report.comparisons} == set(report.tested[0].measures)
    assert f"on {test.questions:,} held-out questions" in report.lead()
    assert f"alpha {report.chosen.alpha:g} of offsets" in report.lead()


@pytest.mark.parametrize("policy", ["any", "balanced", "adaptive"])
def test_lengths_of_vectors_change_nothing_under_cosine(policy: str) -> None:
    corpus, searched, _ = made()
    rng = np.random.default_rng(1)
    sides = [np.asarray(side, dtype=np.float32) for side in (searched.queries, searched.passages)]

    def found(*lengths: Any) -> Any:
        scaled = [side * length for side, length in zip(sides, lengths, strict=True)]
        vectors = bm.Vectors(scaled[0], scaled[1], name="made")
        return bm.frontier(vectors, corpus, alphas=[0.5, 1], best="multi/mAP", policies=policy), vectors

    units = found(*(1 / np.linalg.norm(side, axis=1, keepdims=True) for side in sides))[0]
    assert units.chosen.alpha > 0
    for lengths in ((1, 1), (64, 0.25), tuple(rng.uniform(0.1, 10, (len(side), 1)).astype("f") for side in sides)):
        report, vectors = found(*lengths)
        assert report.chosen == units.chosen
        for one, other in zip(report.points, units.points, strict=True):
            assert {name: one.value(name) for name in one.measures} == pytest.approx(
                {name: other.value(name) for name in other.measures}
            )
        # What is chosen is what `debias` fits on the same passages.
        fitted = bm.debias(vectors, corpus, method="own-means").removal
        np.testing.assert_allclose(report.removals["own-means"].offsets[1], fitted.offsets[1], atol=1e-6)


def test_an_encoder_that_does_not_divide_by_lengths_is_measured_as_its_vectors_of_length_one(tiny_static: Any) -> None:
    corpus = parallel_corpus(40)
    encoder = SentenceTransformer(modules=[tiny_static[0]], device="cpu")
    raw = encoder.encode(corpus.passages["text"].to_pylist())
    assert np.abs(np.linalg.norm(raw, axis=1) - 1).max() > 0.01
    found = bm.frontier(encoder, corpus, alphas=[1]).removals["own-means"]
    units = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    langs = np.array(corpus.passages["lang"].to_pylist())
    for number, lang in enumerate(found.langs):
        np.testing.assert_allclose(found.offsets[1, number], units[langs == lang].mean(axis=0), atol=1e-5)  # type: ignore[attr-defined]


def test_what_is_saved_can_be_used(tmp_path: Path) -> None:
    corpus, searched, removal = made()
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps({"text": "a", "lang": lang}) + "\n" for lang in LANGS), encoding="utf-8")
    report = bm.frontier(
        searched, corpus, {"mine": removal, "own-means": "own-means"}, alphas=[0.5, 1], mix=log,
        policies={"any": [0], "balanced": [0, 0.5]}, out=tmp_path / "saved",
    )  # fmt: skip
    assert len(report.points) == 3 * 5
    found = json.loads((tmp_path / "saved" / "frontier.json").read_text(encoding="utf-8"))
    assert found == report.as_json()
    assert found["validation"]["questions"] + found["test"]["questions"] == 48
    assert "without labels" in found["fitted"]["own-means"]["passages"]
    assert found["rule"]["mix"]["formula"].startswith("sum over languages")
    frame = pl.read_parquet(tmp_path / "saved" / "frontier.parquet")
    assert frame.equals(report.to_frame())
    assert set(frame["part"]) == {"validation", "test"}
    figure = (tmp_path / "saved" / "frontier.svg").read_text(encoding="utf-8")
    for text in ("untouched", "mine", "own-means, balanced", "cross-language recall@10", "chosen", "0.5"):
        assert text in figure, text
    page = (tmp_path / "saved" / "report.html").read_text(encoding="utf-8")
    assert "What each share of a removal keeps and finds" in page
    assert "held-out questions" in page
    if report.removal is not None:
        again = load_removal(tmp_path / "saved" / "removal.safetensors")
        assert again.alpha == report.chosen.alpha
    assert "## How much language is taken out" in report.card()
    assert "mix" in found["tested"]["chosen"]
    # A folder of other files is left alone, and one of its own is replaced.
    bm.frontier(searched, corpus, removal, alphas=[1], out=tmp_path / "saved")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(BabelmixError, match="other"):
        bm.frontier(searched, corpus, removal, alphas=[1], out=tmp_path / "other")


def test_the_command_chooses_on_the_shop(tmp_path: Path, tiny_static: Any) -> None:
    tiny_static.save(str(tmp_path / "model"), create_model_card=False)
    out = tmp_path / "out"
    done = run(
        "frontier",
        str(tmp_path / "model"),
        "-c",
        str(SHOP),
        "--best",
        "multi/mAP",
        "--alphas",
        "0.5,1",
        "--out",
        str(out),
    )
    assert done.exit_code == 0, done.output
    assert "held-out questions" in words(done.output) or "untouched vectors were chosen" in words(done.output)
    assert (out / "frontier.svg").is_file()
    corpus = bm.load_corpus(SHOP)
    for side in ("queries", "passages"):
        np.save(
            tmp_path / f"{side}.npy", np.random.default_rng(0).standard_normal((getattr(corpus, side).num_rows, 8))
        )
    files = [str(tmp_path / f"{side}.npy") for side in ("queries", "passages")]
    done = run(
        "frontier", "--vectors", *files, "-c", str(SHOP), "--policy", "any", "--policy", "balanced=0,0.5", "--alphas", "1",
        "--keep-same-language", "0.9", "--surely", "--out", str(tmp_path / "vectors"), "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["rule"]["keep_same_language"] == 0.9
    assert found["rule"]["surely"]
    assert [one["setting"] for one in found["points"]] == [
        "untouched", "own-means 1", "untouched, balanced", "own-means 1, balanced", "untouched, balanced, own +0.5",
        "own-means 1, balanced, own +0.5",
    ]  # fmt: skip


def test_the_default_keeps_98_percent_and_own_policies_can_be_added() -> None:
    corpus, searched, removal = made()
    assert bm.frontier(searched, corpus, removal, alphas=[1]).rule.keep == 0.98
    assert bm.frontier(searched, corpus, removal, alphas=[1], best="cross/mAP").rule.keep is None

    def reversed_scores(sides: Any) -> Any:
        del sides
        return lambda scores, query, passage: -scores

    report = bm.frontier(
        searched,
        corpus,
        removal,
        alphas=[1],
        policies=["any", "reversed"],
        more_policies={"reversed": reversed_scores},
    )
    values = {str(one.setting): one.value(SAME_RECALL) + one.value(OTHER_RECALL) for one in report.points}
    assert values["untouched, reversed"] < values["untouched"]


def test_a_removal_is_named_by_the_folder_that_debias_wrote(tmp_path: Path) -> None:
    corpus, searched, removal = made()
    vectors = bm.Vectors(searched.queries, searched.passages, name="made", similarity="dot")
    bm.debias(vectors, corpus, removal=removal, out=tmp_path / "by-debias")
    corpus.save(tmp_path / "corpus")
    files = [str(tmp_path / "by-debias" / f"{side}.npy") for side in ("queries", "passages")]
    done = run(
        "frontier", "--vectors", *files, "--similarity", "dot", "-c", str(tmp_path / "corpus"), "--alphas", "1", "--json",
        "--removal", str(tmp_path / "by-debias"), "--removal", f"mine={tmp_path / 'by-debias'}",
        "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert {one["method"] for one in json.loads(done.stdout)["points"]} == {"untouched", "by-debias", "mine"}
    assert removal_for(tmp_path / "by-debias", None, "").method == "offsets"  # type: ignore[arg-type, union-attr]
    (tmp_path / "empty").mkdir()
    with pytest.raises(EncoderError, match=r"removal.safetensors: is not there"):
        bm.frontier(searched, corpus, tmp_path / "empty")


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    corpus, searched, removal = made()
    for arguments, error, message in (
        ({"removals": "offsets"}, ArgumentError, "needs translations"),
        ({"removals": []}, ArgumentError, "are none"),
        ({"removals": [removal, removal]}, ArgumentError, "twice"),
        ({"removals": tmp_path / "none.safetensors"}, EncoderError, "not there"),
        ({"policies": "fair"}, ArgumentError, "no policy 'fair'"),
        ({"policies": {"any": []}}, ArgumentError, "bonuses"),
        ({"alphas": [-1]}, ArgumentError, "no shares"),
        ({"alphas": [0.5, 1.5]}, ArgumentError, "from 0 to 1"),
        ({"best": "multi/mAP", "mix": "same=1"}, ArgumentError, "does not go with mix"),
        ({"surely": True, "best": "multi/mAP"}, ArgumentError, "goes with a share"),
    ):
        with pytest.raises(error, match=message):
            bm.frontier(searched, corpus, **{"removals": removal, **arguments})  # type: ignore[arg-type]
    packed = bm.Vectors(np.zeros((144, 2), np.uint8), np.zeros((144, 2), np.uint8), similarity="hamming")
    with pytest.raises(ArgumentError, match="packed bits"):
        bm.frontier(packed, corpus, removal)
    for command, message in (
        (["frontier", "-c", str(SHOP)], "is needed"),
        (["frontier", "static-e5"], "name a corpus"),
        (["frontier", "static-e5", "-c", str(SHOP), "--alphas", "x"], "are no numbers"),
        (["frontier", "static-e5", "-c", str(SHOP), "--similarity", "dot"], "similarity: is for vectors"),
        (["frontier", "--vectors", "q", "p", "-c", str(SHOP), "--batch-size", "2"], "batch_size: is for encoders"),
        (
            ["frontier", "--vectors", "q", "p", "-c", str(SHOP), "--max-seq-length", "7"],
            "max_seq_length: is for encoders",
        ),
        (["frontier", "--vectors", "q", "p", "-c", str(SHOP), "--trust-code"], "trust_code: is for encoders"),
        (
            ["frontier", "static-e5", "-c", str(SHOP), "--removal", "own-means", "--removal", "own-means"],
            "given twice",
        ),
    ):
        done = run(*command)
        assert done.exit_code != 0
        assert message in words(str(done.exception) + done.output), done.output
