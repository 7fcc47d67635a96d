"""LAReQA's format: XQuAD-R and MLQA-R."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from conftest import shared
from test_readers import write

from babelmix.corpus import open_corpus
from babelmix.corpus.readers import _lareqa, mlqa_r
from babelmix.errors import ReaderError
from babelmix.evaluation import audit


def lareqa(lang: str) -> dict:
    return {
        "data": [
            {
                "title": "t",
                "paragraphs": [
                    {
                        "context": "One. Two.",
                        "sentences": [f"One {lang}.", f"Two {lang}."],
                        "sentence_breaks": [[0, 4], [5, 9]],
                        "qas": [{"id": "x", "question": f"q {lang}", "answers": [{"text": "Two", "answer_start": 5}]}],
                    }
                ],
            }
        ]
    }


def test_lareqa_rows() -> None:
    corpus = _lareqa.parse({lang: lareqa(lang) for lang in ("de", "en")})
    assert corpus.qrels.to_pylist() == [
        {"query_item": "x", "passage_item": "de/1/1", "grade": 1},
        {"query_item": "x", "passage_item": "en/1/1", "grade": 1},
    ]
    assert corpus.passages.num_rows == 4


def test_bad_lareqa_files(tmp_path) -> None:
    def broken(change) -> dict:
        document = lareqa("en")
        change(document["data"][0]["paragraphs"][0])
        return {"en": document}

    for change, message in (
        (lambda p: p["sentences"].pop(), "1 sentences but 2 breaks"),
        (lambda p: p.update(sentence_breaks=[5, 6]), "its break two numbers"),
        (lambda p: p.update(sentences=[1, "Two."]), "a sentence is a text"),
        (lambda p: p.update(sentences=["\ud800", "Two."]), "a sentence is a text"),
        (lambda p: p["qas"][0].update(question="\ud800"), "field 'question': holds half a character"),
        (lambda p: p.pop("qas"), "field 'qas': is missing in paragraph 1"),
        (lambda p: p["qas"][0]["answers"][0].update(answer_start=99), "lies in no sentence"),
        (lambda p: p["qas"][0]["answers"].clear(), "field 'answer_start': is missing in paragraph 1"),
        (lambda p: p["qas"].append(p["qas"][0]), "occurs twice"),
        (lambda p: p["qas"][0].update(question=3), "field 'question': holds 3, but a text is needed"),
    ):
        with pytest.raises(ReaderError, match=message):
            _lareqa.parse(broken(change))
    write(tmp_path, "en.json", json.dumps(lareqa("en")))
    with pytest.raises(ReaderError, match="has 1 questions and 2 candidates, but XQuAD-R has 1190 and 1180"):
        open_corpus(f"xquad-r={tmp_path}")
    assert open_corpus(f"xquad-r={tmp_path}", check=False).queries.num_rows == 1
    write(tmp_path, "en.json", '{"data": [')
    with pytest.raises(ReaderError, match="is not JSON"):
        open_corpus(f"xquad-r={tmp_path}")
    for content in ("[" * 100_000, '{"data": ' + "1" * 5000 + "}"):
        write(tmp_path, "en.json", content)
        with pytest.raises(ReaderError, match="is not JSON"):
            open_corpus(f"xquad-r={tmp_path}")
    write(tmp_path, "en.json", b"\xff")
    with pytest.raises(ReaderError, match="row 1: is not UTF-8: byte 0xff"):
        open_corpus(f"xquad-r={tmp_path}")


def test_xquad_r_has_the_published_counts() -> None:
    corpus = open_corpus(f"xquad-r={shared('xquad-r')}")
    assert (corpus.queries.num_rows, corpus.passages.num_rows) == (13_090, 13_014)
    relevant = pl.DataFrame(pl.from_arrow(corpus.qrels)).group_by("query_item").len()
    assert relevant["len"].unique().to_list() == [11]


# --- MLQA-R


def article(lang: str, *questions: str) -> dict:
    """An article of one paragraph: a sentence a question, and one that answers nothing."""
    sentences = [f"{question} in {lang}." for question in (*questions, "nothing")]
    starts = [sum(map(len, sentences[:i])) for i in range(len(sentences))]
    return {
        "title": lang,
        "paragraphs": [
            {
                "context": "".join(sentences),
                "sentences": sentences,
                "sentence_breaks": [[start, start + len(s)] for start, s in zip(starts, sentences, strict=True)],
                "qas": [
                    {"id": question, "question": f"{question}?", "answers": [{"text": "x", "answer_start": start}]}
                    for question, start in zip(questions, starts, strict=False)
                ],
            }
        ],
    }


def test_mlqa_r_has_other_questions_and_articles_in_every_language(tmp_path) -> None:
    write(tmp_path, "en.json", json.dumps({"data": [article("en", "a", "b"), article("en", "c"), article("en", "d")]}))
    write(tmp_path, "de.json", json.dumps({"data": [article("de", "c"), article("de", "b")]}))
    write(tmp_path, "es.json", json.dumps({"data": [article("es", "d", "a")]}))
    corpus = open_corpus(f"mlqa-r={tmp_path}", check=False)
    assert corpus.name == "mlqa-r"
    assert corpus.meta["evaluation_only"]
    assert corpus.meta["licence"] == "CC BY-NC 4.0"
    assert corpus.counts().rows() == [("de", 2, 4), ("en", 4, 7), ("es", 2, 3)]
    langs: dict[str, list[str]] = {}
    for row in corpus.qrels.to_pylist():
        langs.setdefault(row["query_item"], []).append(row["passage_item"].split("/")[0])
    assert langs == {"a": ["en", "es"], "b": ["de", "en"], "c": ["de", "en"], "d": ["en", "es"]}
    groups = {(row["item"], row["lang"]): row["group"] for row in corpus.queries.to_pylist()}
    assert groups["c", "de"] == groups["c", "en"] == "article-000"
    # The Spanish article shares a question with two English ones, and so does the second German one with the first.
    assert {group for (item, _), group in groups.items() if item != "c"} == {"article-001"}


def test_a_cross_lingual_pool_is_asked_what_both_languages_have(tmp_path, tiny_static) -> None:
    write(tmp_path, "en.json", json.dumps({"data": [article("en", "a", "b", "c")]}))
    write(tmp_path, "de.json", json.dumps({"data": [article("de", "c", "b")]}))
    write(tmp_path, "es.json", json.dumps({"data": [article("es", "c")]}))
    found = audit(tiny_static, open_corpus(f"mlqa-r={tmp_path}", check=False), name="tiny")
    cross, mono = found.measures["cross/mAP"], found.measures["mono/mAP"]
    asked = dict(zip(cross.cells, np.bincount(cross.cell).tolist(), strict=True))
    assert asked == {"de > en": 2, "de > es": 1, "en > de": 2, "en > es": 1, "es > de": 1, "es > en": 1}
    assert dict(zip(mono.cells, np.bincount(mono.cell).tolist(), strict=True)) == {"de": 2, "en": 3, "es": 1}


def test_mlqa_r_counts_are_held_against_the_published_ones(tmp_path) -> None:
    write(tmp_path, "de.json", json.dumps({"data": [article("de", "a")]}))
    with pytest.raises(ReaderError, match=r"de\.json: has 1 questions and 2 candidates, but MLQA-R has 512 and 2362"):
        open_corpus(f"mlqa-r={tmp_path}")
    write(tmp_path, "de.json", json.dumps({"data": []}))
    write(tmp_path, "ru.json", json.dumps({"data": [article("ru", "a")]}))
    with pytest.raises(ReaderError, match="MLQA-R has no language 'ru'; its languages are ar, de"):
        open_corpus(f"mlqa-r={tmp_path}")
    assert sum(candidates for _, candidates in mlqa_r.COUNTS.values()) == 20_534


@pytest.mark.parametrize("name", ["xquad-r", "mlqa-r"])
def test_a_hub_that_does_not_answer_is_one_sentence(name: str) -> None:
    with pytest.raises(
        ReaderError,
        match=r"^nobody/nothing: is no local folder and cannot be loaded from the hub .*, or give a folder$",
    ):
        open_corpus(f"{name}=nobody/nothing")
