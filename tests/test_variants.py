"""Modes, weights of words and fusions under audit: what is compared, how it is named, and which is best by validation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import parallel_corpus

from babelmix.api.index_auditing import audit_index
from babelmix.api.list_auditing import audit_service
from babelmix.errors import SearchError
from babelmix.evaluation import Measure
from babelmix.search import Searcher
from babelmix.search.fusion import WordsWeight
from babelmix.search.options import SearchOptions
from babelmix.search.remote import ServiceSystem
from babelmix.search.variants import Validated, several_options, variants

pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")


def named(policies: Any, *options: Any) -> list[str]:
    return list(variants(policies, several_options(SearchOptions(), *options)))


@pytest.mark.parametrize(
    ("policies", "options", "expected"),
    [
        (["any", "balanced"], (), ["any", "balanced"]),
        (["any", "balanced"], ("hybrid", 0.2), ["any", "balanced"]),
        ("any", ("dense,words,hybrid",), ["dense", "words", "hybrid"]),
        ("any", (["dense", "hybrid", "dense"],), ["dense", "hybrid"]),
        (["any", "balanced"], (["dense", "hybrid"],), ["dense, any", "dense, balanced", "hybrid, any", "hybrid, balanced"]),
        ("any", ("hybrid", "0,0.2,de=0.6,1"), ["hybrid 0", "hybrid 0.2,de=0.6", "hybrid 1"]),
        ("any", ("hybrid", [0, {"*": 0.1, "de": 1}]), ["hybrid 0", "hybrid 0.1,de=1"]),
        ("any", ("dense,hybrid", WordsWeight(0.1)), ["dense", "hybrid"]),
        ("any", ("hybrid", None, ["rrf", "rrf:k=60", "convex"]), ["hybrid rrf", "hybrid convex"]),
        ("any", ("hybrid", [0.1, 1], ["rrf:k=2", "dbsf"]),
         ["hybrid rrf:k=2 0.1", "hybrid rrf:k=2 1", "hybrid dbsf 0.1", "hybrid dbsf 1"]),
    ],
    ids=str,
)  # fmt: skip
def test_a_name_has_what_differs(policies: Any, options: tuple[Any, ...], expected: list[str]) -> None:
    assert named(policies, *options) == expected


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("best",), "the mode 'best' is unknown"), (("dense,",), "the mode '' is unknown"), (([],), "empty"),
        (("dense,words", 0.2), "a weight of words is for the mode 'hybrid', not 'dense'"),
        (("words", None, "rrf"), "a fusion is for the mode 'hybrid', not 'words'"),
        (("hybrid", "0,much"), "the weight of words is '0,much'"), (("hybrid", []), "words_weight: the list is empty"),
        (("hybrid", None, ["rrf", "max"]), "the fusion 'max' is unknown"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_options_are_refused(options: tuple[Any, ...], match: str) -> None:
    with pytest.raises(SearchError, match=match):
        named("any", *options)


def measure(values: list[float]) -> Measure:
    """Two queries of each of four groups, one in each language."""
    group = np.repeat(np.arange(4), 2)
    return Measure("multi", "MRR", ("de", "en"), np.tile(np.arange(2), 4), group, np.array(values, dtype=float))


def test_the_best_is_chosen_on_one_half_and_measured_on_the_other() -> None:
    half = np.random.default_rng(0).permutation(4)[:2]
    first_half = np.isin(np.repeat(np.arange(4), 2), half)
    # `b` is better by chance on the first half, and `c` a little everywhere.
    found = {
        "a": measure([0.5] * 8),
        "b": measure(np.where(first_half, 0.9, 0.1).tolist()),
        "c": measure([0.6] * 8),
    }
    best = Validated.of(found)
    assert best is not None
    assert (best.names, best.value, best.first) == (("b", "c"), pytest.approx((0.1 + 0.6) / 2), pytest.approx(0.5))
    assert "Best by validation: b and c. Chosen by MRR on half of the groups" in best.line("MRR", "a")
    assert Validated.of({"a": found["a"]}) is None
    one = Measure("multi", "MRR", ("de",), np.zeros(3, dtype=int), np.zeros(3, dtype=int), np.ones(3))
    assert Validated.of({"a": one, "b": one}) is None


def test_an_audit_compares_modes_under_policies(searcher: Searcher, tmp_path: Path) -> None:
    corpus = parallel_corpus()
    options: dict[str, Any] = {"queries": 20, "depth": 10}
    report = audit_index(
        searcher, corpus, mode=["dense", "words", "hybrid"], words_weight=[0.1, 1], policies=["any", "balanced"],
        out=tmp_path / "out", fail_if="own-language share@10 > 0.99", **options,
    )  # fmt: skip
    columns = ["dense", "words", "hybrid 0.1", "hybrid 1"]
    expected = [f"{how}, {policy}" for how in columns for policy in ("any", "balanced")]
    found = report.comparison
    assert list(found.found) == list(report.judged()) == expected
    assert report.tables()[0].head[1:] == expected
    # Each column is what the audit of it alone measures.
    alone = audit_index(searcher, corpus, mode="hybrid", words_weight=0.1, policies="balanced", **options).comparison
    assert alone.found["balanced"] == found.found["hybrid 0.1, balanced"]
    assert found.about.items().isdisjoint({"mode": "hybrid"}.items())
    assert "words_weight" not in found.about
    assert alone.about["words_weight"] == 0.1
    # Every column is tested against the first.
    assert {(one.first, one.second) for one in found.comparisons} == {(name, "dense, any") for name in expected[1:]}
    kept = json.loads((tmp_path / "out" / "policies.json").read_text(encoding="utf-8"))["policies"]
    assert (
        kept["hybrid 0.1, balanced"].items() >= {"policy": "balanced", "mode": "hybrid", "words_weight": 0.1}.items()
    )
    assert set(kept["words, any"]["milliseconds"]) == {"median", "p95"}
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert all(name in page for name in expected)
    assert any(line.startswith("Best by validation: ") for line in report.lines())
    assert not any("Best by" in line for line in audit_index(searcher, corpus, **options).lines())
    assert report.gate is not None
    assert len(report.gate.as_json()["rules"]) == len(expected)


def test_a_wide_policy_is_known_by_its_column(searcher: Searcher) -> None:
    report = audit_index(searcher, parallel_corpus(), queries=8, k=20, mode="dense,words", policies=["any", "quota=2"])
    assert any(line.startswith("dense, quota=2, words, quota=2: holds within the 20") for line in report.lines())


def test_a_service_is_asked_in_each_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    corpus = parallel_corpus()

    class Fake:
        def get(self, path: str) -> Any:
            return Answer({"encoder": "x", "langs": {"de": 40, "en": 40, "fr": 40, "ja": 40}, "version": "1"})

        def post(self, path: str, json: dict[str, Any]) -> Any:
            asked.append(json)
            rows = corpus.passages.slice(len(asked) % 7, 10).to_pylist()
            return Answer({"hits": [{"item": row["item"], "lang": row["lang"], "score": 1.0} for row in rows]})

    class Answer:
        status_code = 200

        def __init__(self, found: dict[str, Any]) -> None:
            self.found = found

        def json(self) -> dict[str, Any]:
            return self.found

    monkeypatch.setattr(ServiceSystem, "_client", Fake())
    report = audit_service(
        "http://x:1", corpus, policies="any", k=10, depth=10, queries=4, mode="dense,hybrid", words_weight="0.2,de=0.6",
        fusion="convex",
    )  # fmt: skip
    assert list(report.audits) == ["dense", "hybrid"]
    assert {json.dumps({name: one.get(name) for name in ("mode", "words_weight", "fusion")}) for one in asked} == {
        '{"mode": null, "words_weight": null, "fusion": null}',
        '{"mode": "hybrid", "words_weight": "0.2,de=0.6", "fusion": "convex"}',
    }


def test_the_command(searcher: Searcher, tiny_static: Any, babelmix: Any, tmp_path: Path) -> None:
    searcher.index.close()
    tiny_static.save(str(tmp_path / "encoder"))
    parallel_corpus().save(tmp_path / "toy")
    audit = [
        "audit", str(tmp_path / "encoder"), "-c", str(tmp_path / "toy"), "--through", str(tmp_path / "index"), "--queries", "20",
        "--out", str(tmp_path / "out"), "--policy", "any", "--depth", "10",
    ]  # fmt: skip
    code, printed, error = babelmix(
        *audit, "--mode", "dense,words", "--mode", "hybrid", "--words-weight", "0.1,1", "--fusion", "convex:norm=spread,by=lang",
        "--json",
    )  # fmt: skip
    assert code == 0, error
    found = json.loads(printed)["policies"]
    assert list(found) == ["dense", "words", "hybrid 0.1", "hybrid 1"]
    assert found["hybrid 1"]["fusion"] == "convex:norm=spread,by=lang"
    for words, message in (
        (["--mode", "dense,best"], "the mode 'best' is unknown"),
        (["--mode", "hybrid", "--words-weight", "0,x"], "the weight of words is '0,x'"),
        (["--mode", "hybrid", "--fusion", "convex:k=3"], "the wrong option 'k=3'"),
        (["--words-weight", "0.3"], "a weight of words is for the mode 'hybrid'"),
    ):
        code, _, error = babelmix(*audit, *words)
        assert (code, message in error, "Traceback" in error) == (1, True, False), error
