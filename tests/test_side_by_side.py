"""`babelmix audit` of several models, and against a saved audit."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from conftest import parallel_corpus, picture_corpus

from babelmix.encoders.dual import make_dual
from babelmix.errors import AuditError
from babelmix.evaluation import Audit, compare
from babelmix.evaluation.run import audit
from babelmix.experiment import compare_loaded, ranked


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_static) -> dict[str, Path]:
    """The static encoder, and one that keeps a single dimension of it."""
    folder = tmp_path_factory.mktemp("models")
    worse = copy.deepcopy(tiny_static)
    worse[0].embedding.weight.data[:, 1:] = 0
    found = {}
    for name, encoder in (("worse", worse), ("good", tiny_static)):
        found[name] = folder / name
        encoder.save(str(found[name]), create_model_card=False)
    return found


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "toy"
    parallel_corpus().save(folder)
    return folder


@pytest.mark.slow
def test_several_models_are_ranked_tested_and_kept(babelmix, models, toy: Path, tmp_path: Path, monkeypatch) -> None:
    words = ["audit", *map(str, models.values()), "-c", str(toy), "--out", str(tmp_path / "both")]
    code, out, err = babelmix(*words)
    assert code == 0, err
    assert out.index("good") < out.index("worse")
    assert "2 audits of toy" in out
    assert "p Holm" in out
    places = {name: next(tmp_path.glob(f"both/*{name}")) for name in models}
    loaded = {name: Audit.load(place) for name, place in places.items()}
    assert all((place / "report.html").is_file() for place in places.values())
    kept = json.loads((tmp_path / "both" / "comparison.json").read_text(encoding="utf-8"))
    assert list(kept["audits"]) == ["good", "worse"]
    by_hand = compare([loaded["good"].measures], [loaded["worse"].measures], ["multi/mAP"])[0]
    (told,) = [test for test in kept["tests"] if test["measure"] == "multi/mAP"]
    assert (told["first"], told["second"]) == ("good", "worse")
    assert told["p"] == by_hand.p
    assert told["difference"]["value"] == by_hand.difference.value > 0
    assert told["p_holm"] >= told["p"]
    assert "good - worse" in (tmp_path / "both" / "report.html").read_text(encoding="utf-8")

    def again(*_: object, **__: object) -> None:
        raise AssertionError("a finished audit is not made again")

    monkeypatch.setattr("babelmix.evaluation.audit", again)
    code, out, _ = babelmix(*words, "--json")
    assert code == 0
    assert json.loads(out) == kept


@pytest.mark.slow
def test_one_model_against_a_saved_audit(babelmix, models, toy: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    assert babelmix("audit", str(models["good"]), "-c", str(toy), "--out", str(before))[0] == 0
    untouched = (before / "metrics.json").read_bytes()
    words = ["audit", str(models["worse"]), "-c", str(toy), "--out", str(after), "--against", str(before)]
    code, out, err = babelmix(*words, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["macro"]["multi/mAP"]["value"] == Audit.load(after).macro("multi/mAP")
    assert {(t["first"], t["second"]) for t in found["comparison"]["tests"]} == {("worse", "good")}
    (told,) = [test for test in found["comparison"]["tests"] if test["measure"] == "multi/mAP"]
    loss = found["macro"]["multi/mAP"]["value"] - Audit.load(before).macro("multi/mAP")
    assert told["difference"]["value"] == pytest.approx(loss)
    assert loss < 0
    assert told["difference"]["low"] <= loss <= told["difference"]["high"]
    assert json.loads((after / "comparison.json").read_text(encoding="utf-8")) == found["comparison"]
    assert (after / "comparison.html").is_file()
    assert (before / "metrics.json").read_bytes() == untouched
    code, out, _ = babelmix(*words)
    assert code == 0
    assert "Three settings" in out
    assert "worse - good" in out


@pytest.mark.parametrize(
    ("langs", "against", "message"),
    [
        ("de,en", "before", "was audited on toy, but this on toy"),
        ("", "nowhere", "is not a finished audit"),
        ("", "after", "is where the new audit goes"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_encoded(
    babelmix, models, toy: Path, tmp_path: Path, monkeypatch, langs: str, against: str, message: str
) -> None:
    assert babelmix("audit", str(models["good"]), "-c", str(toy), "--out", str(tmp_path / "before"))[0] == 0
    monkeypatch.setattr("babelmix.encoders.load_encoder", None)
    code, out, err = babelmix(
        "audit", str(models["worse"]), "-c", str(toy), "--langs", langs, "--out", str(tmp_path / "after"),
        "--against", str(tmp_path / against),
    )  # fmt: skip
    assert (code, out) == (1, "")
    assert message in err
    assert not (tmp_path / "after").exists()


@pytest.mark.slow
def test_texts_are_not_told_of_as_pictures(babelmix, models, toy: Path, tmp_path: Path) -> None:
    words = ["audit", str(models["good"]), "-c", str(toy), "--out", str(tmp_path / "x"), "--metrics", "hit@1"]
    code, out, err = babelmix(*words)
    assert code == 0, err
    legend = " ".join(out.split())
    assert "mAP within a language (mono), across two (cross)" in legend
    assert "of all pictures" not in legend


def test_a_model_named_twice_is_refused(babelmix, models, toy: Path, tmp_path: Path) -> None:
    code, _, err = babelmix("audit", *[str(models["good"])] * 2, "-c", str(toy), "--out", str(tmp_path / "x"))
    assert code == 1
    assert "two models have one name" in err


def test_differences_are_from_the_base(tiny_static) -> None:
    corpus = parallel_corpus(20)
    one = audit(tiny_static, corpus, name="one", store=False)
    worse = copy.deepcopy(tiny_static)
    worse[0].embedding.weight.data[:, 1:] = 0
    two = audit(worse, corpus, name="two", store=False)
    assert list(ranked({"two": two, "one": one})) == ["one", "two"]
    names = ["multi/mAP", "bias/median rank distance"]
    plain = compare_loaded({"one": one, "two": two}, tests=names).comparisons
    turned = compare_loaded({"one": one, "two": two}, tests=names, base="one").comparisons
    for a, b in zip(plain, turned, strict=True):
        assert (b.first, b.second, b.measure) == ("two", "one", a.measure)
        assert (b.p, b.p_holm, b.p_bootstrap) == (a.p, a.p_holm, a.p_bootstrap)
        assert b.effect == pytest.approx(-a.effect, nan_ok=True)
        there, back = a.difference, b.difference
        assert (back.value, back.low, back.high) == (-there.value, -there.high, -there.low)
    elsewhere = audit(tiny_static, parallel_corpus(10), name="three", store=False)
    with pytest.raises(AuditError, match="only audits of one corpus can be compared"):
        compare_loaded({"one": one, "three": elsewhere})


@pytest.mark.slow
def test_pictures_are_compared_both_ways(babelmix, tmp_path: Path) -> None:
    corpus = picture_corpus(6)
    corpus.save(tmp_path / "colours")
    for seed in (1, 2):
        made = make_dual("tiny-clip", corpus.queries["text"].to_pylist(), dimension=16, size=100, seed=seed)
        made.save(str(tmp_path / f"m{seed}"), create_model_card=False)
    code, out, err = babelmix(
        "audit", str(tmp_path / "m1"), str(tmp_path / "m2"), "-c", str(tmp_path / "colours"), "--out",
        str(tmp_path / "both"), "--json",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    back = json.loads((tmp_path / "both" / "image-to-text" / "comparison.json").read_text(encoding="utf-8"))
    assert found["image to text"] == back
    code, out, err = babelmix(
        "audit",
        str(tmp_path / "m1"),
        "-c",
        str(tmp_path / "colours"),
        "--out",
        str(tmp_path / "one"),
        "--metrics",
        "hit@1",
    )
    assert code == 0, err
    assert " ".join(out.split()).count("a right one is among the first k, of the pool of all") == 2
    assert found["tests"] != back["tests"]
    assert (tmp_path / "both" / "image-to-text" / "report.html").is_file()
