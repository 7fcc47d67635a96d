"""Audits of ranked lists: run files, functions, bounds and the report."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import sparse_corpus

import babelmix as bm
from babelmix.api.list_auditing import is_adapter, search_of
from babelmix.corpus import Corpus
from babelmix.corpus.qrel_files import with_qrels
from babelmix.errors import AuditError, ConfigError, ReaderError
from babelmix.evaluation import measures
from babelmix.evaluation.judged_lists import AnswerTable, Judge, JudgedLists
from babelmix.evaluation.lists import audit_lists, measured
from babelmix.evaluation.run_files import read_run
from babelmix.evaluation.systems import Answer, Run, ScoreMatrix, Search
from babelmix.evaluation.systems.resuming import Resuming


@pytest.fixture
def scored() -> tuple[Corpus, np.ndarray]:
    rng = np.random.default_rng(5)
    corpus = sparse_corpus(rng, 20, ("de", "en", "it"), 0.8)
    return corpus, rng.permuted(
        np.tile(np.arange(corpus.passages.num_rows, dtype=np.float32), (corpus.queries.num_rows, 1)), axis=1
    )


def run_lines(corpus: Corpus, scores: np.ndarray, k: int) -> list[tuple[str, str, int, float]]:
    queries, passages = corpus.row_ids("queries"), corpus.row_ids("passages")
    return [
        (queries[row], passages[place], rank, float(scores[row, place]))
        for row in range(len(queries))
        for rank, place in enumerate(np.argsort(-scores[row], kind="stable")[:k], 1)
    ]


def write_trec(file: Path, lines: list[tuple[str, str, int, float]], between: str = " ") -> Path:
    file.write_text("".join(between.join([q, "Q0", p, str(r), repr(s), "me"]) + "\n" for q, p, r, s in lines))
    return file


# --- bounds


def tiny() -> Corpus:
    queries = [{"item": "a", "lang": "de", "text": "a"}, {"item": "b", "lang": "en", "text": "b"}]
    names = [("a", "de"), ("a", "en"), ("b", "de"), ("c", "en"), ("c", "it"), ("d", "en")]
    passages = [{"item": item, "lang": lang, "text": f"{item} {lang}"} for item, lang in names]
    return Corpus.from_rows(queries, passages, [("a", "a", 1), ("a", "c", 2), ("b", "b", 3)], name="tiny")


def lists_of(judge: Judge, orders: list[list[int]], k: int = 10) -> JudgedLists:
    query = np.repeat(np.arange(len(orders)), [len(order) for order in orders])
    passage = np.array([row for order in orders for row in order], dtype=np.int64)
    return judge.judge(AnswerTable(query, passage), k)


METRICS = ("mAP", "mAP@10", "nDCG@10", "MRR@10", "R@10", "hit@10", "MRR@2", "nDCG@3")


@pytest.mark.parametrize("shown", [0, 1, 2, 3, 5, 6])
def test_bounds_are_the_extremes_over_all_orders_of_the_rest(shown: int) -> None:
    judge = Judge(tiny())
    for begin in list(itertools.permutations(range(6), shown))[::29]:
        found = measured(lists_of(judge, [list(begin)] * 2), METRICS)
        rest = [row for row in range(6) if row not in begin]
        full = [measured(lists_of(judge, [[*begin, *end]] * 2), METRICS) for end in itertools.permutations(rest)]
        for name, bounds in found.bounds.items():
            truth = np.array([one.measures[name].values for one in full])
            low, high, value = bounds.low.values, bounds.high.values, found.measures[name].values
            assert (low <= value + 1e-12).all(), name
            assert (value <= high + 1e-12).all(), name
            assert (low <= truth.min(axis=0) + 1e-12).all(), name
            assert (high >= truth.max(axis=0) - 1e-12).all(), name
            if name.startswith("multi/") or "distance" in name or "preference" in name:
                assert low == pytest.approx(truth.min(axis=0)), name
                assert high == pytest.approx(truth.max(axis=0)), name
            if shown == 6:
                assert bounds.exact, name


def test_the_true_values_are_within_the_bounds(scored) -> None:
    corpus, scores = scored
    exact = measures(ScoreMatrix("x", scores).rank(corpus), ["mAP", "nDCG@10"])
    run = [[int(p) for p in np.argsort(-row, kind="stable")[:12]] for row in scores]
    found = measured(lists_of(Judge(corpus), run, 12), ["mAP", "nDCG@10"])
    pairs = {
        "multi/mAP": "multi/mAP", "multi/nDCG@10": "multi/nDCG@10", "bias/rank distance@12": "bias/rank distance",
        "bias/same-language preference@12": "bias/same-language preference",
        "bias/same-language share@10": "bias/same-language share@10",
    }  # fmt: skip
    for mine, theirs in pairs.items():
        bounds, truth = found.bounds[mine], exact[theirs].values
        assert (bounds.low.values - 1e-9 <= truth).all(), mine
        assert (truth <= bounds.high.values + 1e-9).all(), mine
    assert found.bounds["multi/nDCG@10"].exact
    assert not found.bounds["multi/mAP"].exact


# --- run files


def test_metrics_are_those_of_pytrec_eval(scored, tmp_path) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    corpus, scores = scored
    lines = [(q, p, r, round(s / 5)) for q, p, r, s in run_lines(corpus, scores, 30)]  # many ties
    names = ["mAP@30", "nDCG@10", "MRR@30", "R@10"]
    report = bm.audit(Run(write_trec(tmp_path / "run.trec", lines)), corpus, metrics=names)
    passages = corpus.row_ids("passages")
    grades = {(r["query_item"], r["passage_item"]): r["grade"] for r in corpus.qrels.to_pylist()}
    qrels: dict[str, dict[str, int]] = {}
    for name, row in zip(corpus.row_ids("queries"), corpus.queries.to_pylist(), strict=True):
        relevant = {
            other: grades[row["item"], p["item"]]
            for other, p in zip(passages, corpus.passages.to_pylist(), strict=True)
            if (row["item"], p["item"]) in grades
        }
        if relevant:
            qrels[name] = relevant
    scored_run: dict[str, dict[str, float]] = {}
    for query, passage, _, score in lines:
        scored_run.setdefault(query, {})[passage] = score
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {"map_cut_30", "ndcg_cut_10", "recip_rank", "recall_10"}).evaluate(
        scored_run
    )
    audit = report.audits["run"]
    order = [corpus.row_ids("queries")[row] for row in audit.rows["multi/mAP@30"]]
    assert set(order) == set(qrels)
    for mine, other in (("nDCG@10", "ndcg_cut_10"), ("MRR@30", "recip_rank"), ("R@10", "recall_10")):
        expected = [theirs[query][other] for query in order]
        assert audit.measures[f"multi/{mine}"].values == pytest.approx(expected, abs=1e-6), mine
    expected = [theirs[query]["map_cut_30"] * len(qrels[query]) / min(30, len(qrels[query])) for query in order]
    assert audit.measures["multi/mAP@30"].values == pytest.approx(expected, abs=1e-6)


def forms(corpus: Corpus, lines: list[tuple[str, str, int, float]], folder: Path) -> dict[str, Path]:
    """The same run in every form."""
    frame = pl.DataFrame(lines, schema=["query", "passage", "rank", "score"], orient="row")
    made = {name: folder / name for name in (
        "a.trec", "tabs.run", "wide.txt", "a.csv", "a.jsonl", "a.parquet", "lists.jsonl", "pairs.jsonl", "lists.parquet",
        "parts.jsonl", "packed.trec.gz", "ranks.csv",
    )}  # fmt: skip
    write_trec(made["a.trec"], lines)
    write_trec(made["tabs.run"], lines, "\t")
    write_trec(made["wide.txt"], lines, "  ")
    import gzip

    made["packed.trec.gz"].write_bytes(gzip.compress(made["a.trec"].read_bytes()))
    frame.write_csv(made["a.csv"])
    frame.select("query", "passage", "rank").write_csv(made["ranks.csv"])
    frame.rename({"query": "qid", "passage": "docno"}).write_parquet(made["a.parquet"])
    frame.write_ndjson(made["a.jsonl"])
    grouped = frame.group_by("query", maintain_order=True).agg("passage", "score")
    grouped.select("query", answers="passage").write_parquet(made["lists.parquet"])
    with made["lists.jsonl"].open("w") as one, made["pairs.jsonl"].open("w") as two:
        for query, passages, scores in grouped.iter_rows():
            one.write(json.dumps({"query": query, "answers": passages}) + "\n")
            two.write(json.dumps({"query": query, "answers": list(zip(passages, scores, strict=True))}) + "\n\n")
    with made["parts.jsonl"].open("w") as out:
        for query, passage, _, score in lines:
            (item, lang), (other, tag) = (name.rsplit("/", 1) for name in (query, passage))
            out.write(
                json.dumps({"query": item, "query_lang": lang, "item": other, "lang": tag, "score": score}) + "\n"
            )
    return made


def test_every_form_of_a_run_has_the_same_measures(scored, tmp_path) -> None:
    corpus, scores = scored
    lines = run_lines(corpus, scores, 15)
    expected: dict[str, Any] | None = None
    for name, file in forms(corpus, lines, tmp_path).items():
        found = bm.audit(Run(file, name="x"), corpus).to_frame().to_dict(as_series=False)
        expected = expected or found
        assert found == expected, name


def test_shuffled_lines_are_ordered_by_score(scored, tmp_path) -> None:
    corpus, scores = scored
    lines = run_lines(corpus, scores, 15)
    first = bm.audit(Run(write_trec(tmp_path / "x.trec", lines)), corpus)
    mixed = [lines[i] for i in np.random.default_rng(0).permutation(len(lines))]
    again = bm.audit(Run(write_trec(tmp_path / "y.trec", mixed), name="x"), corpus)
    assert again.to_frame().equals(first.to_frame())
    assert list(again.notes) == list(first.notes)
    assert len(first.notes) == 1  # on groups; nothing about the run


def test_ties_ranks_and_missing_queries_are_told(scored, tmp_path) -> None:
    corpus, scores = scored
    lines = run_lines(corpus, scores, 12)
    query = lines[0][0]
    changed = [(q, p, 13 - r if q == query else r, 0.5 if q == lines[-1][0] else s) for q, p, r, s in lines]
    changed = [line for line in changed if line[0] != lines[12][0]]
    run = Run(write_trec(tmp_path / "told.trec", changed))
    report = bm.audit(run, corpus)
    ties, ranks, missing, groups = report.notes
    assert "names no groups" in groups
    assert ties == (
        "told: 1 queries have answers with equal scores; among these the greater passage id is first, as in trec_eval"
    )
    assert (
        ranks
        == "told: the ranks of 1 queries disagree with the scores, first in line 2; the scores count, as in trec_eval"
    )
    assert f"has no answers to 1 of {corpus.queries.num_rows} queries, first" in missing
    assert all(note in str(report).replace("\n", " ") for note in report.notes)
    lists = report.audits["told"].lists
    assert lists is not None
    last = lists.passage[lists.query == corpus.queries.num_rows - 1]
    ids = corpus.row_ids("passages")
    assert [ids[row] for row in last] == sorted((line[1] for line in lines[-12:]), reverse=True)


def test_a_rank_decides_where_there_is_no_score(scored, tmp_path) -> None:
    corpus, scores = scored
    lines = run_lines(corpus, scores, 12)
    file = tmp_path / "ranks.csv"
    frame = pl.DataFrame(lines, schema=["query", "passage", "rank", "score"], orient="row").select(
        "query", "passage", "rank"
    )
    frame.sample(fraction=1, shuffle=True, seed=1).write_csv(file)
    lists = bm.audit(Run(file), corpus).audits["ranks"].lists
    assert lists is not None
    ids = corpus.row_ids("passages")
    assert [ids[row] for row in lists.passage] == [line[1] for line in lines]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{q} Q0 {p} 1 0.5", r"row 13: has 5 fields, not 6: QUERY Q0 PASSAGE RANK SCORE TAG"),
        ("{q} Q0 {p} one 0.5 x", r"row 13, field 'rank': holds 'one', but a whole number"),
        ("{q} Q0 {p} 1 nan x", r"row 13, field 'score': holds 'nan', but a finite number"),
        (
            "zz/de Q0 {p} 1 0.5 x",
            r"bad.trec: 1 of 2 query ids name no query of sparse, first 'zz/de' in line 13; the first query",
        ),
        (
            "{q} Q0 zz 1 0.5 x",
            r"1 of 13 passage ids name no passage of sparse, first 'zz' in line 13; the first passage",
        ),
        (
            "{q} Q0 {p} 13 0.5 x",
            r"bad: the answers to the query .* twice \(.*bad.trec, line 13\); give each passage once",
        ),
    ],
)
def test_bad_lines_have_a_sentence(scored, tmp_path, line: str, message: str) -> None:
    corpus, scores = scored
    lines = run_lines(corpus, scores, 12)[:12]
    file = write_trec(tmp_path / "bad.trec", lines)
    file.write_text(file.read_text() + line.format(q=lines[0][0], p=lines[0][1]) + "\n")
    with pytest.raises((AuditError, ReaderError), match=message):
        bm.audit(Run(file), corpus)


def test_bad_tables_have_a_sentence(tmp_path) -> None:
    for name, text, message in (
        ("a.csv", "query,score\na,1\n", "field 'passage': is missing; the columns are query, score"),
        ("b.csv", "query,passage,score\na,b,high\n", "row 2, field 'score': holds 'high', but a finite number"),
        ("c.jsonl", '{"query": "a", "passage": 1.5}\n', "row 1, field 'passage': holds 1.5, but an id is needed"),
        ("d.jsonl", '{"query": "a", "answers": "b"}\n', "row 1, field 'answers': is no list of answers"),
        (
            "e.jsonl",
            '{"query": "a", "answers": [["b", 1], "c"]}\n',
            "row 1, field 'score': is missing here, but not elsewhere",
        ),
        ("f.trec", "", "holds no answers"),
        ("g.jsonl", "", "holds no answers"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(ReaderError, match=re.escape(message)):
            read_run(tmp_path / name)
    with pytest.raises(ReaderError, match="there is no such file"):
        read_run(tmp_path / "none.trec")


def test_passages_beyond_the_corpus_are_wrong_if_asked_for(scored, tmp_path) -> None:
    corpus, scores = scored
    lines = run_lines(corpus, scores, 12)
    lines = [(q, "elsewhere" if r == 1 else p, r, s) for q, p, r, s in lines]
    file = write_trec(tmp_path / "more.trec", lines)
    report = bm.audit(Run(file, unknown="wrong"), corpus)
    assert any("1 of" in note and "count as wrong answers in an unknown language" in note for note in report.notes)
    lists = report.audits["more"].lists
    assert lists is not None
    assert set(lists.lang[lists.rank == 0]) == {lists.langs.index("und")}
    assert lists.grade[lists.rank == 0].sum() == 0
    write_trec(file, [(q, "x", r, s) for q, _, r, s in lines if r == 1])
    with pytest.raises(AuditError, match="none of its 1 passage ids names a passage"):
        bm.audit(Run(file, unknown="wrong"), corpus)


def test_several_runs_are_compared_to_the_same_depth(scored, tmp_path) -> None:
    corpus, scores = scored
    short = write_trec(tmp_path / "short.trec", run_lines(corpus, scores, 12))
    long = write_trec(tmp_path / "long.trec", run_lines(corpus, -scores, 40))
    report = bm.audit([Run(short), Run(long)], corpus, out=tmp_path / "out")
    assert report.about["k"] == 12
    assert "long: has up to 40 answers to a query; the first 12 are judged" in report.notes
    assert {(one.first, one.second) for one in report.comparisons} == {("short", "long")}
    assert all(one.p_holm is not None and one.p_holm >= one.p for one in report.comparisons)
    assert {"multi/mAP@12", "bias/rank distance@12"} <= {one.measure for one in report.comparisons}
    with pytest.raises(ConfigError, match="give each system once"):
        bm.audit([Run(short), Run(short)], corpus)


def test_a_saved_report_is_loaded_with_its_values(scored, tmp_path) -> None:
    corpus, scores = scored
    file = write_trec(tmp_path / "a.trec", run_lines(corpus, scores, 12))
    report = bm.audit(Run(file), corpus, out=tmp_path / "out", metrics=["mAP", "nDCG@10"])
    assert {one.name for one in (tmp_path / "out").iterdir()} == {
        "answers.parquet", "checksums.json", "lists.json", "report.html", "values.parquet",
    }  # fmt: skip
    again = bm.ListReport.load(tmp_path / "out")
    assert again.as_json() == report.as_json() == json.loads((tmp_path / "out" / "lists.json").read_text())
    assert str(again).replace(str(again.places()), "") == str(report).replace(str(report.places()), "")
    for name, measure in report.judged()["a"].items():
        other = again.judged()["a"][name]
        assert other.cells == measure.cells
        assert np.array_equal(other.cell, measure.cell)
        assert np.array_equal(other.group, measure.group)
        assert np.array_equal(other.values, measure.values)
        assert other.lower_is_better is measure.lower_is_better
    answers = pl.read_parquet(tmp_path / "out" / "answers.parquet")
    assert answers.height == 12 * corpus.queries.num_rows
    # The same lists differ from themselves by nothing.
    then = bm.audit(Run(file), corpus, against=tmp_path / "out", metrics=["mAP", "nDCG@10"])
    assert {one.difference.value for one in then.comparisons} == {0.0}
    with pytest.raises(AuditError, match="only audits of one corpus"):
        bm.audit(Run(file), corpus.only_langs(["de", "en"]), against=tmp_path / "out")
    (tmp_path / "out" / "values.parquet").write_bytes(b"x")
    with pytest.raises(AuditError, match=r"values\.parquet is damaged"):
        bm.ListReport.load(tmp_path / "out")
    with pytest.raises(AuditError, match="is not a finished audit of ranked lists"):
        bm.ListReport.load(tmp_path)


def test_reports_show_the_bounds(scored, tmp_path) -> None:
    corpus, scores = scored
    report = bm.audit(
        Run(write_trec(tmp_path / "a.trec", run_lines(corpus, scores, 12))), corpus, metrics=["mAP", "nDCG@10"]
    )
    low, high = report.bounds("multi/mAP")
    assert low == report.macro("multi/mAP") < high
    text = str(report)
    assert f"{{{low:.3f}, {high:.3f}}}" in text
    assert "relevant passages" in text
    row = report.to_frame().filter(pl.col("cell").is_null(), measure="multi/mAP")
    assert row["lowest"].to_list() == [low]
    assert row["highest"].to_list() == [high]
    page = (report.save(tmp_path / "saved").folder or tmp_path) / "report.html"
    assert f"{{{low:.3f}, {high:.3f}}}" in page.read_text(encoding="utf-8")
    with pytest.raises(AuditError, match="this audit has no multi/x; it has multi/mAP"):
        report.macro("multi/x")


def test_without_qrels_only_languages_are_measured(scored, tmp_path) -> None:
    corpus, scores = scored
    file = write_trec(tmp_path / "a.trec", run_lines(corpus, scores, 12))
    bare = Corpus(corpus.queries, corpus.passages, corpus.qrels.slice(0, 0), "bare")
    report = bm.audit(Run(file), bare)
    assert {"bias/same-language share@10", "bias/languages@10"} <= report.audits["a"].measures.keys()
    assert not any(name.startswith("multi/") for name in report.audits["a"].measures)
    assert "bare has no qrels: only the languages of the answers are measured, not their quality" in report.notes


def test_some_queries_are_judged_in_the_whole_pool(scored, tmp_path) -> None:
    corpus, scores = scored
    run = Run(write_trec(tmp_path / "a.trec", run_lines(corpus, scores, 12)))
    every = bm.audit(run, corpus).audits["a"]
    some = bm.audit(run, corpus, langs="de").audits["a"]
    assert some.lists is not None
    assert every.lists is not None
    assert set(some.lists.query_lang) == {"de"}
    assert some.lists.pool[0].tolist() == every.lists.pool[0].tolist()
    values = every.measures["bias/same-language share@10"]
    mine = values.values[np.array(values.cells)[values.cell] == "de"]
    assert np.array_equal(some.measures["bias/same-language share@10"].values, mine)
    assert bm.audit(run, corpus, queries=7).about["queries"] == 7


# --- functions


def answering(corpus: Corpus, scores: np.ndarray, form: str = "id") -> Any:
    rows = {row["text"]: number for number, row in enumerate(corpus.queries.to_pylist())}
    passages, ids = corpus.passages.to_pylist(), corpus.row_ids("passages")

    def search(text: str, lang: str, k: int) -> list[Any]:
        row = rows[text]
        assert corpus.queries["lang"][row].as_py() == lang
        best = np.argsort(-scores[row], kind="stable")[:k]
        make = {
            "id": lambda p: ids[p],
            "score": lambda p: (ids[p], float(scores[row, p])),
            "pair": lambda p: (passages[p]["item"], passages[p]["lang"]),
            "triple": lambda p: [passages[p]["item"], passages[p]["lang"], 1.0],
            "dict": lambda p: {"id": ids[p], "score": 2},
            "parts": lambda p: {"item": passages[p]["item"], "lang": passages[p]["lang"]},
            "answer": lambda p: Answer(passages[p]["item"], passages[p]["lang"]),
        }[form]
        return [make(p) for p in best]

    return search


@pytest.fixture
def distinct() -> tuple[Corpus, np.ndarray]:
    """A corpus whose items have one row in a language, so that an item and a language name a row."""
    rows = [{"item": f"i{i}", "lang": lang, "text": f"{i} {lang}"} for i in range(8) for lang in ("de", "en")]
    corpus = Corpus.from_rows(rows, rows, [(f"i{i}", f"i{i}") for i in range(8)], name="pairs")
    return corpus, np.random.default_rng(2).random((16, 16)).astype(np.float32)


@pytest.mark.parametrize("form", ["id", "score", "pair", "triple", "dict", "parts", "answer"])
def test_a_function_has_the_measures_of_its_scores(distinct, form: str, tmp_path) -> None:
    corpus, scores = distinct
    found = bm.audit(Search(answering(corpus, scores, form), name="x"), corpus, depth=12)
    run = bm.audit(Run(write_trec(tmp_path / "x.trec", run_lines(corpus, scores, 12))), corpus)
    assert found.to_frame().equals(run.to_frame())
    assert found.cost["x"]["median"] >= 0


def test_a_call_that_fails_is_tried_again(distinct) -> None:
    corpus, scores = distinct
    search, calls = answering(corpus, scores), []

    def flaky(text: str, lang: str, k: int) -> list[str]:
        calls.append(text)
        if calls.count(text) < 3:
            raise ConnectionError("busy")
        return search(text, lang, k)

    bm.audit(Search(flaky, pause=0.001), corpus, depth=10)
    assert {calls.count(text) for text in calls} == {3}


def test_an_interrupted_audit_goes_on(distinct, tmp_path) -> None:
    corpus, scores = distinct
    search, calls = answering(corpus, scores), []
    broken = True

    def failing(text: str, lang: str, k: int) -> list[str]:
        calls.append(text)
        if broken and text == "5 en":
            raise ConnectionError("refused")
        return search(text, lang, k)

    system = Search(failing, name="mine", pause=0.001, workers=1)
    with pytest.raises(
        AuditError, match=r"mine: the query 'i5' in en \('5 en'\) failed 4 times: ConnectionError: refused; the"
    ):
        bm.audit(system, corpus, out=tmp_path / "out")
    kept = tmp_path / "out" / "answers" / "mine.jsonl"
    lines = kept.read_text().splitlines()
    assert len(lines) == 1 + 11
    # A process that was killed leaves half a line.
    kept.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:20])
    broken = False
    calls.clear()
    report = bm.audit(system, corpus, out=tmp_path / "out")
    assert len(calls) == 16 - 10
    assert not kept.exists()
    assert report.to_frame().equals(bm.audit(Search(search, name="mine"), corpus).to_frame())


def test_answers_of_another_system_are_not_used(distinct, tmp_path) -> None:
    corpus, scores = distinct
    first = Resuming(Search(answering(corpus, scores), name="a"), tmp_path / "a.jsonl", corpus)
    audit_lists({"a": first}, corpus, k=10)
    assert len(first.known(10)) == 16
    assert first.known(11) == {}
    for other in (
        Search(answering(corpus, scores), name="b"),
        Search(answering(corpus, scores), name="a", version="2"),
    ):
        assert Resuming(other, tmp_path / "a.jsonl", corpus).known(10) == {}


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("i0/de", "the function returned str, not a list of answers"),
        (None, "the function returned NoneType"),
        ([3.5], "3.5 is no answer; an answer is an id"),
        (["zz"], "16 of 16 answers name no passage of pairs, first 'zz' as an answer to the query 'i0' in de"),
        ([("i0", "fr")], "first 'i0' in fr as an answer"),
        (["i0/de", "i0/de"], "have the passage 'i0' in de twice"),
        (["i0"], "name no passage"),
    ],
)
def test_answers_that_are_none_have_a_sentence(distinct, answers: Any, message: str) -> None:
    corpus, _ = distinct
    with pytest.raises(AuditError, match=re.escape(message)):
        bm.audit(Search(lambda text, lang, k: answers, name="odd"), corpus)


def test_an_adapter_is_a_function_in_a_file(distinct, tmp_path, monkeypatch) -> None:
    corpus, _ = distinct
    file = tmp_path / "my_adapter.py"
    file.write_text("def search(text, lang, k):\n    return [f'i{text[0]}/{lang}']\n")
    assert is_adapter(f"{file}:search")
    assert not is_adapter("my-index")
    system = search_of(f"{file}:search")
    assert system.name == "my_adapter:search"
    assert bm.audit(system, corpus).macro("bias/same-language share@10") > 0.5
    for spec, message in (
        (f"{file}:other", "has no function 'other'; there are search"),
        (f"{tmp_path}/none.py:search", "there is no such file"),
        ("no_such_module_x:search", "the adapter fails: ModuleNotFoundError"),
    ):
        with pytest.raises(ConfigError, match=message):
            search_of(spec)


def test_lists_and_encoders_are_audited_apart(distinct, tmp_path) -> None:
    corpus, scores = distinct
    run = Run(write_trec(tmp_path / "x.trec", run_lines(corpus, scores, 12)))
    with pytest.raises(ConfigError, match="ranked lists cannot be compared with systems that score every passage"):
        bm.audit([run, ScoreMatrix("y", scores)], corpus)  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="bf16: is for encoders"):
        bm.audit(run, corpus, bf16=True)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="depth: is for ranked lists"):
        bm.audit(ScoreMatrix("y", scores), corpus, depth=10)


def test_rules_are_checked_on_lists(distinct, tmp_path) -> None:
    corpus, scores = distinct
    run = Run(write_trec(tmp_path / "x.trec", run_lines(corpus, scores, 12)))
    bm.audit(run, corpus, out=tmp_path / "before")
    report = bm.audit(
        run,
        corpus,
        against=tmp_path / "before",
        fail_if=["own-language share@10 > 0.1", "multi/nDCG@10 < before - 0.02"],
    )
    assert report.gate is not None
    assert not report.gate.passed
    assert len(report.gate.broken) == 1 if hasattr(report.gate, "broken") else True


# --- qrels


def test_qrels_of_trec_and_beir_replace_those_of_a_corpus(distinct, tmp_path) -> None:
    corpus, _ = distinct
    trec, beir = tmp_path / "x.qrels", tmp_path / "x.tsv"
    trec.write_text("i0/de 0 i1/en 2\ni0/en 0 i1/de 1\ni1/de 0 i2/de 0\n")
    beir.write_text("query-id\tcorpus-id\tscore\ni0/de\ti1/en\t2\nnowhere\ti1/en\t1\n")
    for file in (trec, beir):
        found = with_qrels(corpus, file)
        assert found.qrels.to_pylist() == [{"query_item": "i0", "passage_item": "i1", "grade": 2}]
    (note,) = with_qrels(corpus, beir).meta["notes"]
    assert "1 of 2 judgements are of rows that pairs does not have, first in row 3: the query 'nowhere'" in note
    for text, message in (
        ("a b\n", "row 1: has 2 columns"),
        ("i0/de i0/de high\n", "'high' is not a number"),
        ("i0/de i0/de 0\n", "holds no relevant pair of pairs"),
        ("x 0 y 1\n", "1 of 1 judgements are of rows that pairs does not have"),
        ("", "holds no judgements"),
    ):
        trec.write_text(text)
        with pytest.raises(ReaderError, match=message):
            with_qrels(corpus, trec)


def test_an_audit_takes_other_qrels(distinct, tmp_path) -> None:
    corpus, scores = distinct
    file = write_trec(tmp_path / "x.trec", run_lines(corpus, scores, 12))
    (tmp_path / "x.qrels").write_text("i0/de 0 i1/en 2\n")
    report = bm.audit(Run(file), corpus, qrels=tmp_path / "x.qrels")
    assert len(report.audits["x"].measures["multi/nDCG@10"].values) == 2


# --- ids of the source


def beir(folder: Path) -> Path:
    rows = [(f"{lang}-{i}", f"i{i}", lang) for i in range(4) for lang in ("de", "en")]
    for name, start in (("queries", "q"), ("corpus", "d")):
        lines = [
            {"_id": start + key, "item": item, "lang": lang, "text": f"{start} {key}"} for key, item, lang in rows
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "mine.qrels").write_text("".join(f"qde-{i} 0 den-{i} 1\n" for i in range(4)))
    return folder


def test_a_beir_folder_without_qrels_is_audited_by_its_own_ids(tmp_path) -> None:
    folder = beir(tmp_path)
    names = [f"{lang}-{i}" for i in range(4) for lang in ("de", "en")]
    run = [f"q{name} Q0 d{other} 1 {-number}.0 x" for name in names for number, other in enumerate(sorted(names))]
    (folder / "mine.trec").write_text("\n".join(run))
    report = bm.audit(Run(folder / "mine.trec"), f"beir={folder}", qrels=folder / "mine.qrels")
    assert report.audits["mine"].measures["multi/nDCG@10"].values.shape == (8,)
    assert report.audits["mine"].lists is not None
    assert report.audits["mine"].lists.depth.tolist() == [8] * 8
    corpus = bm.load_corpus(f"beir={folder}", qrels=str(folder / "mine.qrels"))
    assert corpus.passages["id"].to_pylist() == [f"d{name}" for name in names]
    plain = Corpus(
        corpus.queries.drop_columns(["id"]),
        corpus.passages.drop_columns(["id"]),
        corpus.qrels,
        excluded=corpus.excluded,
    )
    assert plain.fingerprint() == corpus.fingerprint()
    corpus.save(tmp_path / "saved")
    assert Corpus.load(tmp_path / "saved").queries["id"].to_pylist() == [f"q{name}" for name in names]


def test_a_long_table_may_have_ids_of_rows() -> None:
    rows = [
        {"id": f"{side}{i}{lang}", "item": str(i), "lang": lang, "side": side, "text": f"{side} {i} {lang}"}
        for i in range(3)
        for lang in ("de", "en")
        for side in ("query", "passage")
    ]
    assert bm.load_corpus(rows).queries["id"].to_pylist()[:2] == ["query0de", "query0en"]
    # Ids that several rows share name no row.
    same = [{**row, "id": row["item"]} for row in rows]
    assert "id" not in bm.load_corpus(same).queries.column_names
    row = {"item": "a", "lang": "de", "text": "a", "id": "x"}
    with pytest.raises(bm.errors.CorpusError, match="queries, column 'id': two rows have the id 'x'"):
        Corpus.from_rows([row, {**row, "lang": "en"}], [row], [("a", "a")])


def test_finished_lists_are_compared(distinct, tmp_path) -> None:
    corpus, scores = distinct
    for name, some in (("a", scores), ("b", -scores)):
        bm.audit(Run(write_trec(tmp_path / f"{name}.trec", run_lines(corpus, some, 12))), corpus, out=tmp_path / name)
    found = bm.compare([tmp_path / "a", tmp_path / "b"], tests="multi/nDCG@10", out=tmp_path / "both")
    assert [(one.first, one.second, one.measure) for one in found.comparisons] == [("a", "b", "multi/nDCG@10")]
    assert (tmp_path / "both" / "report.html").is_file()
    with pytest.raises(AuditError, match="'multi/x' is not measured in all of these audits"):
        bm.compare([tmp_path / "a", tmp_path / "b"], tests="multi/x")


# --- queries without answers, and comparisons of finished audits


def two_systems(tmp_path: Path) -> tuple[Corpus, Path, Path]:
    """A run that answers half of the queries, all in their own language, and one that answers all in any language."""
    langs = ("de", "en", "fr", "it")
    rows = [{"item": f"i{n}", "lang": lang, "text": f"{lang} {n}"} for n in range(12) for lang in langs]
    corpus = Corpus.from_rows(rows, rows, [(f"i{n}", f"i{n}") for n in range(12)], name="toy")
    own = np.array([[one["lang"] == other["lang"] for other in rows] for one in rows], dtype=np.float32)
    noise = np.random.default_rng(0).random(own.shape, dtype=np.float32)
    half = [line for line in run_lines(corpus, own + noise, 10) if int(line[0].split("/")[0][1:]) % 2 == 0]
    return (
        corpus,
        write_trec(tmp_path / "half.trec", half),
        write_trec(tmp_path / "all.trec", run_lines(corpus, noise, 10)),
    )


def test_queries_without_answers_have_no_own_share(tmp_path: Path) -> None:
    corpus, half, every = two_systems(tmp_path)
    name, rule = "bias/same-language share@10", "own-language share@10 > 0.75 * fair + 0.25"
    report = bm.audit([Run(half), Run(every)], corpus, out=tmp_path / "both")
    found, other = report.audits["half"].measures[name], report.audits["all"].measures[name]
    assert (len(found.values), len(other.values)) == (24, 48)
    assert found.macro() == 1.0
    # They are compared on the queries that both answer.
    (test,) = [one for one in report.comparisons if one.measure == name]
    mine = other.of_rows(found.rows)
    assert len(mine.values) == 24
    assert test.difference.value == pytest.approx(found.macro() - mine.macro(), abs=1e-12)
    alone = bm.audit(Run(half), corpus, fail_if=rule, out=tmp_path / "alone")
    assert alone.gate is not None
    assert not alone.gate.passed
    # A saved audit is compared likewise.
    later = bm.audit(
        Run(every, "half"), corpus, against=tmp_path / "alone", fail_if="own-language share@10 > before - 0.5"
    )
    assert later.gate is not None
    assert later.gate.passed
    (test,) = [one for one in later.comparisons if one.measure == name]
    assert test.difference.value == pytest.approx(mine.macro() - 1, abs=1e-12)


def test_audits_that_count_copies_differently_are_not_compared(tmp_path: Path) -> None:
    corpus, _, every = two_systems(tmp_path)
    for name in ("wrong", "relevant"):
        bm.audit(Run(every), corpus, copies=name, out=tmp_path / name)
    with pytest.raises(AuditError, match=r"relevant counts copies of right answers as relevant, but .*wrong as wrong"):
        bm.compare([tmp_path / "wrong", tmp_path / "relevant"])
    with pytest.raises(AuditError, match="audit both with the same --copies"):
        bm.audit(Run(every), corpus, copies="relevant", against=tmp_path / "wrong")


def test_systems_of_one_name_are_called_as_their_folders(tmp_path: Path) -> None:
    corpus, half, every = two_systems(tmp_path)
    for name, file in (("a", half), ("b", every)):
        bm.audit(Run(file, "mine"), corpus, out=tmp_path / name)
    found = bm.compare([tmp_path / "a", tmp_path / "b"], against=str(tmp_path / "a"), out=tmp_path / "both")
    assert list(found.audits) == list(found.about["systems"]) == ["a", "b"]
    assert found.about["systems"]["a"] != found.about["systems"]["b"]
    assert {(one.first, one.second) for one in found.comparisons} == {("a", "b")}
    assert list(bm.compare([tmp_path / "a", tmp_path / "both"]).audits) == ["mine", "a", "b"]
    bm.audit(ScoreMatrix("m", np.eye(48, dtype=np.float32)), corpus, out=tmp_path / "exact")
    with pytest.raises(ConfigError, match=r"is an audit of ranked lists, but .* of encoders or vectors"):
        bm.compare([tmp_path / "a", tmp_path / "exact"])
    with pytest.raises(AuditError, match="a comparison needs two audits or more"):
        bm.compare(tmp_path / "a")
    in_memory = [bm.audit(Run(file, "mine"), corpus) for file in (half, every)]
    with pytest.raises(ConfigError, match="two reports are called mine; save them in two folders"):
        bm.compare(in_memory)


def test_bias_measures_of_lists_are_not_asked_for(tmp_path: Path) -> None:
    corpus, half, _ = two_systems(tmp_path)
    with pytest.raises(
        ConfigError, match=r"bias/TLR@7: audits of ranked lists have their bias measures without being asked"
    ):
        bm.audit(Run(half), corpus, metrics="bias/TLR@7")
