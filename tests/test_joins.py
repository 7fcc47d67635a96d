"""Translations that are not joined by an item are named: in notes, audits, reports, and by the column that may be meant."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import parallel_corpus, picture_corpus, sparse_corpus

import babelmix as bm
from babelmix.corpus import Corpus
from babelmix.corpus.joins import FEW, Joins
from babelmix.evaluation import audit
from babelmix.evaluation.systems import ScoreMatrix
from babelmix.experiment import write_audit_report
from babelmix.search.documents import open_rows

LANGS = ("de", "en", "fr")


def forgotten(items: int = 12, joined: int = 0, **columns: str) -> list[dict[str, str]]:
    """Rows of a long table: the first `joined` items have one name in all languages, the others one in each."""
    return [
        {
            "item": f"{i}" if i < joined else f"{i}-{lang}",
            "lang": lang,
            "query": f"q {i} {lang}",
            "passage": f"p {i} {lang}",
        }
        | {name: value.format(i=i, lang=lang) for name, value in columns.items()}
        for i in range(items)
        for lang in LANGS
    ]


def slow_joins(corpus: Corpus) -> Joins:
    """The counts of `Joins`, one query after the other."""
    passages = corpus.passages.to_pylist()
    langs_of: dict[str, set[str]] = {}
    for row in passages:
        langs_of.setdefault(row["item"], set()).add(row["lang"])
    right: dict[str, set[str]] = {}
    for pair in corpus.qrels.to_pylist():
        right.setdefault(pair["query_item"], set()).update(langs_of[pair["passage_item"]])
    asked = [(row["lang"], right[row["item"]]) for row in corpus.queries.to_pylist() if right.get(row["item"])]
    return Joins(
        len({row["lang"] for row in passages}),
        len(asked),
        sum(len(langs) > 1 for _, langs in asked),
        sum(langs == {own} for own, langs in asked),
        len(langs_of),
        sum(len(langs) > 1 for langs in langs_of.values()),
    )


@pytest.mark.parametrize("keep", [0.3, 0.6, 1.0])
def test_the_counts_are_those_of_a_slow_count(keep: float) -> None:
    corpus = sparse_corpus(np.random.default_rng(5), 40, LANGS, keep)
    assert corpus.joins == slow_joins(corpus)
    scores = np.random.default_rng(1).random((corpus.queries.num_rows, corpus.passages.num_rows), dtype=np.float32)
    table = ScoreMatrix("x", scores).rank(corpus)
    expected = slow_joins(corpus)
    found = table.joins()
    assert (found.langs, found.queries, found.several, found.own) == (
        expected.langs, expected.queries, expected.several, expected.own,
    )  # fmt: skip


def test_joined_translations_pictures_and_one_language_need_no_note() -> None:
    assert parallel_corpus(8).notes == []
    assert picture_corpus(4).notes == []
    assert picture_corpus(4).reversed().notes == []
    assert bm.load_corpus([row for row in forgotten() if row["lang"] == "de"]).notes == []


def test_a_forgotten_item_is_named_everywhere(tmp_path: Path, babelmix, tiny_static) -> None:
    file = tmp_path / "mine.csv"
    pl.DataFrame(forgotten()).write_csv(file)
    corpus = bm.load_corpus(file)
    (note,) = corpus.notes
    assert note.startswith("none of the 36 items of the passages exists in two languages")
    assert "the column  item " in note
    code, out, errors = babelmix("data", str(file))
    assert (code, errors) == (0, "")
    assert " ".join(note.split()) in " ".join(out.split())
    code, _, errors = babelmix("audit", "nowhere", "-c", str(file), "--out", str(tmp_path / "audit"))
    assert code == 1
    assert note in errors
    scores = np.eye(36, dtype=np.float32)
    found = audit(ScoreMatrix("x", scores), corpus)
    (said,) = [
        note for note in found.notes() if note.startswith("Note: every query has right answers in its own language")
    ]
    assert said in found.lines()
    assert "bias/rank distance" not in found.measures
    write_audit_report(found, tmp_path / "report.html")
    assert "every query has right answers in its own language only" in (tmp_path / "report.html").read_text("utf-8")


def test_few_joined_items_are_said_up_to_a_share() -> None:
    few = bm.load_corpus(forgotten(items=30, joined=2))
    assert few.notes[0].startswith("only 6 of 90 queries have right answers in two or more languages")
    enough = bm.load_corpus(forgotten(items=30, joined=int(FEW * 30)))
    assert enough.notes == []


def test_answers_in_one_language_that_is_not_the_query_s() -> None:
    queries = [{"item": f"q{i}", "lang": "fr", "text": f"q {i}"} for i in range(4)]
    passages = [{"item": f"p{i}", "lang": LANGS[i % 2], "text": f"p {i}"} for i in range(4)]
    passages.append({"item": "both", "lang": "de", "text": "x"})
    passages.append({"item": "both", "lang": "en", "text": "y"})
    corpus = Corpus.from_rows(queries, passages, [(f"q{i}", f"p{i}") for i in range(4)])
    assert corpus.notes[0].startswith("no query has right answers in two languages")
    # Qrels may join translations too.
    joined = Corpus.from_rows(queries, passages, [(f"q{i}", f"p{j}") for i in range(4) for j in range(4)])
    assert joined.notes == []


def test_another_column_that_joins_translations_is_named(tmp_path: Path) -> None:
    rows = forgotten(article="a{i}", language="{lang}", section="help")
    notes = bm.load_corpus(rows).notes
    assert notes[0].endswith("if 'article' joins translations, give it the name  item")
    assert len(notes) == 2
    # A category has many rows in each language, and a column that is different in every row joins nothing.
    assert len(bm.load_corpus(forgotten(section="help", address="{i}/{lang}")).notes) == 1
    documents = tmp_path / "documents.jsonl"
    lines = [
        {"id": row["item"], "lang": row["lang"], "text": row["passage"], "article": row["article"]} for row in rows
    ]
    documents.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert "if 'article' joins translations" in " ".join(open_rows(str(documents)).notes)
    joined = [{"item": line.pop("article"), **line} for line in lines]
    documents.write_text("".join(json.dumps(line) + "\n" for line in joined), encoding="utf-8")
    assert open_rows(str(documents)).notes == ()
