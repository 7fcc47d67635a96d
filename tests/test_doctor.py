"""`babelmix doctor`: each check finds its fault, and says nothing without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import babelmix as bm
from babelmix.checks import CHECKS, Problem, Subject, found_by
from babelmix.encoders import load_encoder
from babelmix.errors import ArgumentError
from babelmix.search import Index, index_rows
from babelmix.search.documents import rows_of_corpus
from tests.conftest import parallel_corpus

Row = dict[str, str]
Run = Callable[..., tuple[int, str, str]]


def corpus(queries: list[Row], passages: list[Row], **meta: Any) -> bm.Corpus:
    pairs = sorted({(row["item"], row["item"]) for row in queries} & {(row["item"], row["item"]) for row in passages})
    return bm.Corpus.from_rows(queries, passages, pairs, name="made", meta=meta)


def row(item: str, lang: str, text: str, group: str = "") -> Row:
    return {"item": item, "lang": lang, "text": text, "group": group or item}


def many(lang: str, count: int, text: str = "text number") -> list[Row]:
    return [row(str(n), lang, f"{text} {n}") for n in range(count)]


SOUND = corpus(
    many("en", 40, "question about") + many("de", 40, "Frage nach"), many("en", 40) + many("de", 40, "Text Nummer")
)
FAULTS: dict[str, tuple[bm.Corpus, int, int | None, bool]] = {
    # check: a corpus, the number found, out of how many, whether it is serious
    "decomposed": (corpus([row("1", "fr", "e\u0301te\u0301")], [row("1", "fr", "été")]), 1, 2, False),
    "invisible": (corpus([row("1", "fa", "کتاب\u200cها")], [row("1", "fa", "کتاب")]), 1, 2, False),
    "scripts": (corpus([row("1", "ru", "not translated")], [row("1", "ru", "переведено")]), 1, 2, True),
    "zawgyi": (corpus([row("1", "my", "\u1031\u1019\u102c")], [row("1", "my", "\u1019\u1031\u102c")]), 1, 2, True),
    "wordless": (corpus([row("1", "en", "+/-")], [row("1", "en", "plus")]), 1, 2, True),
    "quoted": (corpus([row("1", "en", '"one"')], [row("1", "en", "two")]), 1, 2, True),
    "repeated": (corpus(many("en", 1), [row(str(n), "en", "same") for n in range(100)] + many("en", 100)), 100, 200, True),
    "unspaced": (corpus([row("1", "th", "ฉันชอบกินข้าวผัด")], [row("1", "th", "ฉัน ชอบ")]), 1, 2, False),
    "aliases": (corpus([row("1", "eng", "one")], [row("1", "eng", "two")]), 1, None, False),
    "sizes": (corpus(many("en", 40), many("en", 40) + many("de", 4)), 1, 2, False),
    "topics": (corpus(many("en", 4), many("en", 40) + [row(f"d{n}", "de", f"Text {n}") for n in range(40)]), 2, 2, True),
    "machine-made": (corpus(many("en", 4), many("en", 4) + many("de", 4), machine_made=["de", "fr"]), 1, 2, False),
    "twins": (corpus(many("en", 2), [row("0", "en", "same"), row("1", "en", "same")]), 2, 2, False),
    "left out": (corpus(many("en", 2), many("en", 2), left_out={"judgements of unknown documents": 7}), 7, None, True),
    "copies": (corpus(many("en", 1), [row("0", "en", "same"), row("1", "en", "same")]), 1, 2, True),
    "unjoined": (
        corpus(many("en", 40, "query"), many("en", 40) + [row(f"d{n}", "de", f"Text {n}") for n in range(40)]), 40, 40, True,
    ),
    "groups": (corpus([row(str(n), "en", f"q {n}", "all") for n in range(9)], many("en", 9)), 1, 9, True),
    "ambiguous": (corpus([row("0", "en", "same"), row("1", "en", "same")], many("en", 2)), 2, 2, True),
    "own text": (corpus(many("en", 2), many("en", 2)), 2, 2, True),
}  # fmt: skip


@pytest.mark.parametrize("check", FAULTS)
def test_a_check_finds_its_fault(check: str) -> None:
    data, number, of, serious = FAULTS[check]
    (problem,) = found_by(check, Subject(data)) or ()
    assert (problem.number, problem.of, problem.serious) == (number, of, serious)
    assert problem.remedy.endswith(".")


def test_a_sound_corpus_has_no_fault() -> None:
    found = bm.doctor(SOUND)
    assert not found.problems
    assert not found.notes
    assert set(found.found) == set(FAULTS), "each check of texts and labels has a fault above"
    assert "0 problems and 0 notes in 19 checks" in str(found)


def test_scripts_know_languages_of_several_scripts() -> None:
    texts = {
        "ja": "ひらがなだけでかきました", "ko": "한국어 문장입니다 그렇지요", "zh": "这是一个很长的中文句子啊",
        "zh-TW": "這是一個很長的中文句子啊",
        "sr": "Ово је реченица на српском", "sr-Latn": "Ovo je recenica na srpskom", "und": "whatever it may be",
        "hi": "यह हिन्दी का एक वाक्य है", "th": "นี่คือประโยคภาษาไทย", "ru": "LibreOffice и ещё слова",
    }  # fmt: skip
    rows = [row(lang, lang, text) for lang, text in texts.items()]
    assert found_by("scripts", Subject(corpus(rows, rows))) == []
    wrong = [row("1", "sr", "Ovo je recenica na srpskom"), row("2", "ja", "This was never translated")]
    (problem,) = found_by("scripts", Subject(corpus(wrong, [row("3", "en", "x")]))) or ()
    assert problem.number == 2
    # A short name in another script is no fault.
    assert found_by("scripts", Subject(corpus([row("1", "ru", "Basic")], [row("1", "ru", "Язык")]))) == []


def test_texts_of_pictures_are_left_out() -> None:
    from tests.conftest import picture_corpus

    found = bm.doctor(picture_corpus())
    assert "scripts" in found.found
    assert not found.found["wordless"]


def test_an_encoder_that_cannot_read_a_language(tiny_bert: Path) -> None:
    toy = parallel_corpus()
    known = toy.queries["text"].to_pylist()[0]
    rows = [row(str(n), "en", known) for n in range(20)] + [row(str(n), "th", "ภาษาไทย") for n in range(20)]
    long = [row("long", "de", " ".join([known] * 90))]
    found = bm.doctor(corpus(many("en", 1), rows + long), model=tiny_bert)
    (unknown,) = found.found["unknown"]
    assert "th 100%" in unknown.what
    assert "de" not in unknown.what.partition("(")[2]
    (cut,) = found.found["cut"]
    assert (cut.number, cut.of, cut.serious) == (1, 41, True)
    assert "passages are longer than the 64 tokens" in cut.what
    assert found.found["prompts"] == []


def test_tokens_are_compared_on_the_same_texts(tiny_bert: Path) -> None:
    passages = [row(str(n), "en", "one two") for n in range(12)] + [
        row(str(n), "de", "a b c d e f g h") for n in range(12)
    ]
    # Long texts that English does not have say nothing about the cost.
    passages += [row(f"fr{n}", "fr", "a " * 40) for n in range(12)]
    (problem,) = found_by("token cost", Subject(corpus(many("en", 1), passages), load_encoder(str(tiny_bert)))) or ()
    # Eight words and two special tokens, against two words and two special tokens.
    assert "(de 2.5 times)" in problem.what
    assert (problem.number, problem.of) == (1, 1)


def test_a_saved_limit_above_the_positions(tiny_bert: Path, tmp_path: Path) -> None:
    load_encoder(str(tiny_bert)).save(str(tmp_path / "model"), create_model_card=False)
    assert bm.doctor(model=tmp_path / "model").found["limit"] == []
    file = tmp_path / "model" / "sentence_bert_config.json"
    facts = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**facts, "max_seq_length": 66}), encoding="utf-8")
    (problem,) = bm.doctor(model=tmp_path / "model").found["limit"]
    assert problem.number == 66
    assert "positions of the encoder end at 64" in problem.what


def test_a_normaliser_that_was_lost(tiny_bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    load_encoder(str(tiny_bert)).save(str(folder), create_model_card=False)
    assert bm.doctor(model=folder).found["normaliser"] == []
    subject = Subject(encoder=load_encoder(str(folder)), name=str(folder))
    assert subject.tokenizer is not None
    facts = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    (folder / "tokenizer.json").write_text(
        json.dumps({**facts, "normalizer": {"type": "Lowercase"}}), encoding="utf-8"
    )
    (problem,) = found_by("normaliser", subject) or ()
    assert "otherwise than the saved" in problem.what


def test_an_e5_without_prompts(tiny_bert: Path, tmp_path: Path) -> None:
    load_encoder(str(tiny_bert)).save(str(tmp_path / "model"), create_model_card=False)
    (tmp_path / "model" / "README.md").write_text(
        "---\nbase_model: intfloat/multilingual-e5-small\n---\n", encoding="utf-8"
    )
    (problem,) = bm.doctor(model=tmp_path / "model").found["prompts"]
    assert problem.serious
    assert "multilingual-e5-small" in problem.what


@pytest.mark.parametrize(("vectors", "serious"), [("zero", True), ("alike", False), ("spread", None)])
def test_vectors(monkeypatch: pytest.MonkeyPatch, vectors: str, serious: bool | None) -> None:
    made = np.random.default_rng(0).standard_normal((16, 8))
    made = {"zero": made * (np.arange(16) > 0)[:, None], "alike": np.abs(made) / 9 + 1, "spread": made}[vectors]
    monkeypatch.setattr("babelmix.checks.encoders.encode", lambda *_, **__: made)
    found = found_by("vectors", Subject(SOUND, cast("Any", SimpleNamespace()))) or []
    assert [one.serious for one in found] == ([] if serious is None else [serious])
    assert [(one.number, one.of) for one in found] == {"zero": [(1, 16)], "alike": [(8, 8)], "spread": []}[vectors]


def test_int8_depends_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    subject = Subject(encoder=cast("Any", SimpleNamespace()))
    for saturates in (True, False):
        monkeypatch.setattr("babelmix.encoders.onnx_engine._saturates", lambda saturates=saturates: saturates)
        assert len(found_by("int8", subject) or []) == saturates


def test_an_index(tmp_path: Path, tiny_static: Any, tiny_bert: Path) -> None:
    rows = [row(str(n), "en", f"text {n}") for n in range(120)] + [
        row("0", "de", "Text"),
        row("0", "ru", "never translated"),
    ]
    index = Index.create(str(tmp_path / "index"), tiny_static, "tiny")
    index_rows(index, tiny_static, rows_of_corpus(corpus(many("en", 1), rows)))
    index.close()
    found = bm.doctor(through=str(tmp_path / "index"), model=tiny_bert)
    (small,) = found.found["small languages"]
    assert (small.number, small.of) == (2, 3)
    (encoder,) = found.found["encoder"]
    assert "with dimension 16" in encoder.what
    # Without a corpus, the texts of the index are looked at.
    (script,) = found.found["scripts"]
    assert (script.number, script.of) == (1, 122)
    assert set(found.not_checked) == {"copies", "unjoined", "groups", "ambiguous", "own text"}
    assert bm.doctor(through=str(tmp_path / "index"), corpus=SOUND).found["scripts"] == []


def test_rows_without_a_language() -> None:
    index = SimpleNamespace(langs=lambda: {"de": 5, "und": 3})
    (problem,) = found_by("no language", Subject(index=cast("Any", index))) or ()
    assert (problem.number, problem.of, problem.serious) == (3, 8, True)


def test_what_a_collection_says(monkeypatch: pytest.MonkeyPatch) -> None:
    class Collection:
        notes = ("The field lang has no index in Qdrant: searches may miss rows.", "2 of 9 rows have no language.")

    monkeypatch.setattr("babelmix.checks.indexes.ForeignEngine", Collection)
    found = found_by("collection", Subject(index=cast("Any", Collection()))) or []
    assert [one.serious for one in found] == [True, False]


def test_the_command(babelmix: Run, tmp_path: Path) -> None:
    file = tmp_path / "my.csv"
    file.write_text("item,query_en,passage_en,query_ru,passage_ru\n1,a,b,never translated,текст\n", encoding="utf-8")
    status, out, _ = babelmix("doctor", "-c", str(file))
    assert status == 0
    assert "1 of 4 texts have no letter" in " ".join(out.split())
    assert "Not checked without an encoder: prompts" in out
    assert babelmix("doctor", "-c", str(file), "--strict")[0] == 3
    assert babelmix("doctor", "-c", str(file), "--strict", "--langs", "en")[0] == 0
    found = json.loads(babelmix("doctor", "-c", str(file), "--json")[1])
    assert found["checks"]["scripts"][0]["number"] == 1
    assert found["not_checked"]["prompts"] == ["an encoder"]
    assert babelmix("doctor")[0] == 1
    assert babelmix("doctor", "--langs", "de", "--through", "nowhere")[0] == 1


def test_there_must_be_something_to_examine() -> None:
    with pytest.raises(ArgumentError, match="name a corpus"):
        bm.doctor()


def test_tables_and_frame() -> None:
    found = bm.doctor(FAULTS["scripts"][0])
    frame = found.to_frame()
    assert frame.filter(frame["check"] == "scripts")["number"].to_list() == [1]
    assert "| scripts | problem | 1 of 2 texts have no letter" in found.to_markdown()
    assert Problem("texts are odd", None, None, "Look.").sentence == "Texts are odd"


def test_the_page_lists_every_check() -> None:
    page = (Path(__file__).parents[1] / "docs" / "doctor.md").read_text(encoding="utf-8")
    named = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")]
    assert named[1:] == list(CHECKS)
