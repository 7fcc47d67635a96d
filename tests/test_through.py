"""Audits through an index agree with audits, and with what a plain loop over the answers finds."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import polars as pl
import pytest
from conftest import parallel_corpus

from babelmix.corpus import Corpus
from babelmix.errors import BabelmixError, SearchError
from babelmix.evaluation import audit
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.lists import audit_lists
from babelmix.evaluation.systems import SYSTEMS, Answer, ListSystem
from babelmix.evaluation.systems.shown import AsShown
from babelmix.evaluation.verdict import verdict
from babelmix.search import Row, index_rows
from babelmix.search.documents import RowSource, rows_of_corpus
from babelmix.search.indexing import write_rows
from babelmix.search.options import SearchOptions
from babelmix.search.system import IndexSystem
from babelmix.search.through import audit_policies, audit_through

pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")


def test_of_all_answers_it_is_the_audit(searcher) -> None:
    corpus = parallel_corpus()
    full = audit(searcher.encoder, corpus, name="tiny", store=False, metrics=["mAP@160", "nDCG@10"])
    found = audit_policies(searcher, corpus, ["any"], k=160, store=False)["any"]
    for name, same in {
        "multi/mAP@160": "multi/mAP@160",
        "multi/nDCG@10": "multi/nDCG@10",
        "bias/same-language share@10": "bias/same-language share@10",
        "bias/same-language preference@160": "bias/same-language preference",
    }.items():
        mine, theirs = found.measures[name], full.measures[same]
        assert mine.cells == theirs.cells
        assert mine.cell_values() == pytest.approx(theirs.cell_values(), abs=2e-3), name
    assert found.seconds.shape == (corpus.queries.num_rows,)
    assert 0 < found.milliseconds()["median"] <= found.milliseconds()["p95"]


def graded(langs: tuple[str, ...] = ("de", "en", "fr", "ja")) -> Corpus:
    """The toy corpus with grades, two right items for some queries, none for others, and a language without passages."""
    toy = parallel_corpus(langs=langs)
    queries = [*toy.queries.to_pylist(), {"item": "i1", "lang": "tr", "text": "kedi 1", "group": "g0"}]
    qrels = [(f"i{i}", f"i{j}", 1 + i % 3) for i in range(30) for j in {i, (3 * i) % 40}]
    return Corpus.from_rows(queries, toy.passages.to_pylist(), qrels, name="graded")


@pytest.mark.parametrize("policy", ["any", "balanced", "only=de,fr", "quota=3"])
def test_each_measure_by_a_plain_loop(searcher, policy: str) -> None:
    corpus, k = graded(), 12
    metrics = ["mAP@12", "nDCG@10", "R@12"]
    found = audit_policies(searcher, corpus, [policy], k=k, depth=k, store=False, metrics=metrics)[policy]
    langs = ("de", "en", "fr", "ja")
    grades: dict[str, dict[str, int]] = {}
    for row in corpus.qrels.to_pylist():
        grades.setdefault(row["query_item"], {})[row["passage_item"]] = row["grade"]
    slow: dict[str, dict[str, list[float]]] = {}

    def add(name: str, lang: str, value: float) -> None:
        slow.setdefault(name, {}).setdefault(lang, []).append(value)

    for query in corpus.queries.to_pylist():
        lang, right = query["lang"], grades.get(query["item"], {})
        hits = searcher.search([query["text"]], k=k, policy=policy)[0]
        gains = [right.get(hit.item, 0) for hit in hits]
        ideal = sorted((grade for grade in right.values() for _ in langs), reverse=True)
        if lang in langs:
            add("bias/same-language share@10", lang, sum(hit.lang == lang for hit in hits[:10]) / 10)
        add("bias/languages@10", lang, len({hit.lang for hit in hits[:10]}))
        add("bias/right languages@10", lang, len({hit.lang for hit in hits[:10] if hit.item in right}))
        if not right:
            continue
        at = [rank for rank, gain in enumerate(gains) if gain]
        add("multi/mAP@12", lang, sum((i + 1) / (rank + 1) for i, rank in enumerate(at)) / min(k, len(ideal)))
        add("multi/R@12", lang, len(at) / len(ideal))
        dcg, best = (sum(gain / np.log2(2 + i) for i, gain in enumerate(some[:10])) for some in (gains, ideal))
        add("multi/nDCG@10", lang, dcg / best)
        first = {one: next((i for i in at if hits[i].lang == one), k) for one in langs}
        gone = sum(rank == k for rank in first.values())
        # Those that are missing cannot all have the same rank.
        furthest = max(*first.values(), len(hits) + gone - 1 if gone else 0)
        add("bias/rank distance@12", lang, furthest - (len(hits) if gone == len(langs) else min(first.values())))
        if lang in langs:
            wins = Counter(np.sign(first[one] - first[lang]) for one in langs if one != lang)
            add("bias/same-language preference@12", lang, (wins[1] + wins[0] / 2) / 3)
    assert set(slow) <= set(found.measures)
    for name, by_lang in slow.items():
        measure = found.measures[name]
        assert measure.cells == tuple(sorted(by_lang))
        assert measure.cell_values() == pytest.approx([np.mean(by_lang[lang]) for lang in measure.cells]), name


def test_an_index_of_something_else(searcher) -> None:
    corpus = parallel_corpus()
    with pytest.raises(SearchError, match="of 164 4 are missing or differ, and 0 rows"):
        audit_policies(searcher, parallel_corpus(41), store=False)
    # Other items are a larger pool, and nothing wrong.
    index_rows(searcher.index, searcher.encoder, RowSource("more", 1, lambda: iter([[Row("new", "de", "Katze")]])))
    audit_policies(searcher, corpus, ["any"], k=10, store=False)
    rows = next(item for item in rows_of_corpus(corpus).items() if item[0].item == "i3")
    write_rows(searcher.index, searcher.encoder, [*rows, Row("i3", "tr", "kedi")])
    with pytest.raises(SearchError, match="0 are missing or differ, and 1 rows of the same items"):
        audit_policies(searcher, corpus, store=False)


def test_policies_are_compared(searcher, tmp_path) -> None:
    corpus = parallel_corpus()
    options = {"k": 20, "depth": 20, "count": 30, "store": False}
    found = audit_through(searcher, corpus, policies=["any", "balanced", "any"], **options)
    assert list(found.found) == ["any", "balanced"]
    assert found.about["queries"] == 30
    assert {(one.first, one.second) for one in found.comparisons} == {("balanced", "any")}
    assert sum(found.pool_shares.values()) == pytest.approx(1)
    frame = found.to_frame()
    macro = frame.filter(pl.col("cell").is_null(), policy="any", measure="multi/mAP@20")
    assert macro["value"].to_list() == [found.found["any"]["multi/mAP@20"][0].value]
    assert set(frame["cell"].drop_nulls()) == {"de", "en", "fr", "ja"}
    assert found.save(tmp_path / "out") == tmp_path / "out"
    assert json.loads((tmp_path / "out" / "policies.json").read_text()) == found.as_json()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(BabelmixError, match="holds other files"):
        found.save(tmp_path / "other")
    alone = audit_through(searcher, corpus, policies="balanced", **options)
    assert alone.comparisons == []
    assert "balanced: mAP@20" in str(alone)
    assert alone.found["balanced"].keys() == found.found["balanced"].keys()
    with pytest.raises(SearchError, match="'fair' is unknown"):
        audit_through("nowhere", corpus, policies="fair")


def test_a_quota_holds_within_the_answers_that_users_see(searcher) -> None:
    corpus = parallel_corpus()
    options = {"policies": ["any", "quota=4"], "store": False}
    found = audit_through(searcher, corpus, **options)
    assert found.about.items() >= {"k": 10, "depth": 100}.items()
    languages = {name: one["bias/languages@10"][0].value for name, one in found.found.items()}
    assert languages["quota=4"] == 4
    assert languages["any"] < 4
    # In a search for 100 the quota is met without a change.
    wide = audit_through(searcher, corpus, k=100, **options)
    assert wide.found["quota=4"]["bias/languages@10"] == wide.found["any"]["bias/languages@10"]
    assert wide.lines()[-1].startswith(
        "quota=4: holds within the 100 answers of a search; the shares and languages are of the"
    )
    verdicts = {name: verdict(one, found.pool_shares) for name, one in found.found.items()}
    assert found.lead() == verdicts["any"].line()
    assert "fair would be 25%" in found.lead()
    assert found.lines()[:-1] == [f"{name}: {one.line()}" for name, one in verdicts.items()]
    # Deeper metrics see the same answers, and nobody waits for the second search.
    assert found.found["any"]["multi/mAP@100"] == wide.found["any"]["multi/mAP@100"]
    shallow = audit_policies(searcher, corpus, ["quota=4"], depth=10, store=False, metrics=["mAP@10"])["quota=4"]
    deep = audit_policies(searcher, corpus, ["quota=4"], store=False, metrics=["mAP@10"])["quota=4"]
    assert shallow.measures["multi/mAP@10"].values.tolist() == deep.measures["multi/mAP@10"].values.tolist()
    assert len(deep.seconds) == corpus.queries.num_rows


def test_answers_behind_those_that_are_shown() -> None:
    asked: list[list[int]] = []

    class Places:
        name, depth = "places", None

        def facts(self, corpus, *, copies="wrong"):
            return AuditFacts(encoder=self.name, corpus=corpus.name)

        def retrieve(self, queries, k):
            asked.append(list(k))
            yield from ([Answer("x", "de"), Answer("y", "en"), *[Answer("x", "de")] * most][:most] for most in k)

    system = AsShown(Places(), Places(), shown=2, judged=4)
    lists = list(system.retrieve(parallel_corpus().queries.slice(0, 2), [4, 6]))
    # Two answers are excluded for the second query, so that both searches ask for two more.
    assert asked == [[2, 4], [4, 6]]
    assert [[answer.item for answer in found] for found in lists] == [list("xyxx"), list("xyxxxx")]
    assert isinstance(system, ListSystem)


def test_an_index_is_a_system(searcher) -> None:
    corpus = parallel_corpus()
    system = SYSTEMS["index"](searcher, "balanced", options=SearchOptions("hybrid"))  # type: ignore[call-arg]
    assert isinstance(system, ListSystem)
    assert system.name == "tiny, balanced"
    facts = system.facts(corpus)
    assert facts.fingerprint == corpus.fingerprint()
    assert facts.extra["policy"] == "balanced"
    queries = corpus.queries.slice(0, 3)
    lists = list(system.retrieve(queries, [5, 1, 3]))
    expected = searcher.search(queries["text"].to_pylist(), k=5, policy="balanced", mode="hybrid")
    assert [[one.item for one in some] for some in lists] == [
        [hit.item for hit in hits[:k]] for hits, k in zip(expected, [5, 1, 3], strict=True)
    ]
    words = IndexSystem(searcher, options=SearchOptions("words"))
    assert len(audit_lists({"words": words}, corpus, k=10)["words"].measures) > 3
    assert len(words.seconds) == corpus.queries.num_rows


def test_the_command(searcher, tiny_static, babelmix, tmp_path) -> None:
    searcher.index.close()
    tiny_static.save(str(tmp_path / "encoder"))
    parallel_corpus().save(tmp_path / "toy")
    words = [
        "audit", str(tmp_path / "encoder"), "-c", str(tmp_path / "toy"), "--through", str(tmp_path / "index"), "--out",
        str(tmp_path / "out"), "-k", "20", "--langs", "de,ja", "--queries", "50",
    ]  # fmt: skip
    code, out, err = babelmix(*words, "--json", "--policy", "balanced", "--policy", "prefer=de,fr")
    assert code == 0, err
    told = json.loads(out)
    assert told == json.loads((tmp_path / "out" / "policies.json").read_text())
    assert told["about"].items() >= {"queries": 50, "passages": 160, "pool": 160, "k": 20, "depth": 100}.items()
    assert list(told["policies"]) == ["balanced", "prefer=de,fr"]
    cells = told["policies"]["balanced"]["cells"]
    assert all(set(cells[name]) == {"de", "ja"} for name in cells)
    assert {(one["first"], one["second"]) for one in told["tests"]} == {("prefer=de,fr", "balanced")}
    assert all(one["p_holm"] >= one["p"] for one in told["tests"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "prefer=de,fr" in page
    assert "same-language share@10" in page
    code, out, err = babelmix(*words)
    assert code == 0, err
    assert "balanced - any" in out
    for more, message in (
        (["--bf16"], "--bf16: is for audits of an encoder"),
        (["--typo-rate", "0"], "--typo-rate: is for audits of an encoder"),
        (["--perturb-seed", "0"], "--perturb-seed: is for audits of an encoder"),
        (["--metrics", "mAP@150"], "mAP@150: only the first 100 answers are known"),
        (
            ["--metrics", "mAP", "--depth", "20"],
            "mAP: only the first 20 answers are known; name a cut-off of 20 at most, such as mAP@20",
        ),
        (["--depth", "15"], "depth is 15; an audit judges at least the k = 20 answers of a search"),
        (["--policy", "fair"], "the language policy 'fair' is unknown"),
        (["another"], "an index has one encoder"),
    ):
        code, _, err = babelmix(*words, *more)
        assert (code, err.count("\n")) == (1, 1), err
        assert message in err
    # A default that is written down is refused too.
    for option in (["--policy", "any"], ["-k", "100"], ["--depth", "100"], ["--queries", "5"]):
        code, _, err = babelmix("audit", "x", "-c", str(tmp_path / "toy"), *option)
        said = "is for audits of an index; name one, as in  --through my-index"
        assert (code, err) == (1, f"error: {option[0]}: {said}\n")
