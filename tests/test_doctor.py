"""`babelmix doctor`: each check finds its fault, and says nothing without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from conftest import parallel_corpus

import babelmix as bm
from babelmix.checks import CHECKS, NotCheckedError, Problem, Subject, found_by
from babelmix.encoders import load_encoder
from babelmix.errors import ArgumentError
from babelmix.search import Index, index_rows
from babelmix.search.documents import rows_of_corpus

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
FAULTS: dict[str, tuple[bm.Corpus, int | None, int | None, bool]] = {
    # check: a corpus, the number found, out of how many, whether it is serious
    "decomposed": (corpus([row("1", "fr", "e\u0301te\u0301")], [row("1", "fr", "été")]), 1, 2, False),
    "invisible": (corpus([row("1", "fa", "کتاب\u200cها")], [row("1", "fa", "کتاب")]), 1, 2, False),
    "scripts": (corpus([row("1", "ru", "not translated")], [row("1", "ru", "переведено")]), 1, 2, True),
    "zawgyi": (corpus([row("1", "my", "\u1031\u1019\u102c")], [row("1", "my", "\u1019\u1031\u102c")]), 1, 2, True),
    "wordless": (corpus([row("1", "en", "+/-")], [row("1", "en", "plus")]), 1, 2, True),
    "quoted": (corpus([row("1", "en", '"press ""one"" now"')], [row("1", "en", "two")]), 1, 1, True),
    "repeated": (corpus(many("en", 1), [row(str(n), "en", "same") for n in range(100)] + many("en", 100)), 100, 200, True),
    "unspaced": (corpus([row("1", "th", "ฉันชอบกินข้าวผัด")], [row("1", "th", "ฉัน ชอบ")]), 1, 2, False),
    "aliases": (corpus([row("1", "eng", "one")], [row("1", "eng", "two")]), 1, None, False),
    "sizes": (corpus(many("en", 40), many("en", 40) + many("de", 4)), 1, 2, False),
    "topics": (
        corpus(many("en", 10), many("en", 40) + many("de", 3) + [row(f"d{n}", "de", f"Text {n}") for n in range(40)]), 2, 2, True,
    ),
    "unknown language": (corpus(many("en", 2), [*many("en", 1), row("1", "und", "text")]), 1, 4, True),
    "broken": (corpus([row("1", "de", "Ãœber uns")], [row("1", "de", "Über uns")]), 1, 2, True),
    "untranslated": (corpus(many("en", 1), [row("0", "en", "not translated"), row("0", "de", "not translated")]), 2, 3, True),
    "machine-made": (corpus(many("en", 4), many("en", 4) + many("de", 4), machine_made=["de", "fr"]), 1, 2, False),
    "twins": (corpus(many("en", 2), [row("0", "en", "same"), row("1", "en", "same")]), 2, 2, False),
    "left out": (corpus(many("en", 2), many("en", 2), left_out={"judgements of unknown documents": 7}), 7, None, True),
    "copies": (corpus(many("en", 1), [row("0", "en", "same"), row("1", "en", "same")]), 1, 2, True),
    "unjoined": (
        corpus(many("en", 40, "query"), many("en", 40) + [row(f"d{n}", "de", f"Text {n}") for n in range(40)]), None, None, True,
    ),
    "groups": (corpus([row(str(n), "en", f"q {n}", "all") for n in range(9)], many("en", 9)), None, None, True),
    "ambiguous": (corpus([row("0", "en", "same"), row("1", "en", "same")], many("en", 2)), 2, 2, True),
    "own text": (corpus(many("en", 2), many("en", 2)), 2, 2, True),
}  # fmt: skip


@pytest.mark.parametrize("check", FAULTS)
def test_a_check_finds_its_fault(check: str) -> None:
    data, number, of, serious = FAULTS[check]
    (problem,) = found_by(check, Subject(data))
    assert (problem.number, problem.of, problem.serious) == (number, of, serious)
    assert problem.remedy.endswith(".")


def test_a_sound_corpus_has_no_fault() -> None:
    found = bm.doctor(SOUND)
    assert not found.problems
    assert not found.notes
    assert set(found.found) == set(FAULTS), "each check of texts and labels has a fault above"
    assert "0 problems and 0 notes in 22 checks" in str(found)


def test_scripts_know_languages_of_several_scripts() -> None:
    texts = {
        "ja": "ひらがなだけでかきました", "ko": "한국어 문장입니다 그렇지요", "zh": "这是一个很长的中文句子啊",
        "zh-TW": "這是一個很長的中文句子啊",
        "sr": "Ово је реченица на српском", "sr-Latn": "Ovo je recenica na srpskom", "und": "whatever it may be",
        "hi": "यह हिन्दी का एक वाक्य है", "th": "นี่คือประโยคภาษาไทย", "ru": "LibreOffice и ещё слова",
    }  # fmt: skip
    rows = [row(lang, lang, text) for lang, text in texts.items()]
    assert found_by("scripts", Subject(corpus(rows, rows))) == []
    wrong = [row("1", "ko", "This is English"), row("2", "ja", "This was never translated")]
    (problem,) = found_by("scripts", Subject(corpus(wrong, [row("3", "en", "x")])))
    assert (problem.number, problem.serious) == (2, True)
    # A short name in another script is no fault.
    assert found_by("scripts", Subject(corpus([row("1", "ru", "Basic")], [row("1", "ru", "Язык")]))) == []


def test_texts_of_pictures_are_left_out() -> None:
    from conftest import picture_corpus

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
    (problem,) = found_by("token cost", Subject(corpus(many("en", 1), passages), load_encoder(str(tiny_bert))))
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
    (problem,) = found_by("normaliser", subject)
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
    langs = ("de", "en", "es", "fr", "it")
    passages = [row(f"{lang}{n}", lang, f"text {n}") for lang in langs for n in range(20)]
    rng = np.random.default_rng(0)

    def encode(encoder: object, texts: list[str], **_: object) -> np.ndarray[Any, Any]:
        made = rng.standard_normal((len(texts), 8))
        if vectors == "zero":
            made[0] = 0
        return np.abs(made) / 9 + 1 if vectors == "alike" else made

    monkeypatch.setattr("babelmix.checks.encoders.encode", encode)
    found = found_by("vectors", Subject(corpus([row("q", "en", "query")], passages), cast("Any", SimpleNamespace())))
    assert [one.serious for one in found] == ([] if serious is None else [serious])
    # Eight texts of each language and side; of each side the first vector is zero.
    assert [(one.number, one.of) for one in found] == {"zero": [(2, 41)], "alike": [(8, 8)], "spread": []}[vectors]
    few = Subject(corpus([row("q", "en", "query")], passages[:9]), cast("Any", SimpleNamespace()))
    assert [one.serious for one in found_by("vectors", few)] == ([True] if vectors == "zero" else [])


def test_int8_depends_on_the_processor(monkeypatch: pytest.MonkeyPatch, tiny_bert: Path, tiny_static: Any) -> None:
    pytest.importorskip("onnxruntime")
    subject = Subject(encoder=load_encoder(str(tiny_bert)))
    for saturates in (True, False):
        monkeypatch.setattr("babelmix.encoders.onnx_engine._saturates", lambda saturates=saturates: saturates)
        assert len(found_by("int8", subject)) == saturates
    with pytest.raises(NotCheckedError, match="a transformer"):
        found_by("int8", Subject(encoder=tiny_static))


def test_what_cannot_be_looked_at_is_not_called_fine(tiny_bert: Path) -> None:
    encoder = load_encoder(str(tiny_bert))
    del encoder.babelmix_origin  # as if the user had made it
    found = bm.doctor(model=encoder)
    assert found.not_checked["prompts"] == found.not_checked["limit"] == ["the folder of the encoder"]
    assert "prompts" not in found.found
    assert bm.doctor(corpus([], [])).found == {}


def test_a_tokenizer_that_is_no_transformer_s(tiny_static: Any) -> None:
    texts = {"en": "one two", "th": "ภาษาไทย"}
    subject = Subject(
        corpus(many("en", 1), [row(str(n), lang, text) for n, (lang, text) in enumerate(texts.items())]),
        tiny_static,
    )
    (problem,) = found_by("unknown", subject)
    assert "th 100%" in problem.what


def test_a_bitext_counts_each_text_once() -> None:
    rows = [row("1", "fr", "e\u0301te\u0301"), row("1", "en", "summer")]
    subject = Subject(corpus(rows, rows, one_text_per_language=True))
    (decomposed,) = found_by("decomposed", subject)
    assert (decomposed.number, decomposed.of) == (1, 2)
    (own,) = found_by("own text", subject)
    assert not own.serious


def test_topics_are_shared_by_answers_and_groups() -> None:
    langs = ("de", "en", "fr")
    queries = [row(str(n), lang, f"{lang} query {n}") for lang in langs for n in range(20)]
    # As in XQuAD-R: a sentence is an item of its language, and a query has an answer in each language.
    passages = [row(f"{lang}-{n}", lang, f"{lang} text {n}", f"page {n}") for lang in langs for n in range(20)]
    pairs = [(str(n), f"{lang}-{n}") for lang in langs for n in range(20)]
    assert found_by("topics", Subject(bm.Corpus.from_rows(queries, passages, pairs))) == []
    assert found_by("topics", Subject(bm.Corpus.from_rows([], passages, []))) == []
    apart = [{**one, "group": one["item"]} for one in passages]
    (problem,) = found_by("topics", Subject(bm.Corpus.from_rows([], apart, [])))
    assert not problem.serious, "an ordinary collection is no faulty one"


def test_scripts_that_are_not_known_or_several() -> None:
    fine = {
        "grc": "ἄνδρα μοι ἔννεπε μοῦσα πολύτροπον", "mul": "whatever it may be here", "qaa": "кириллица и здесь тоже",
        "nan": "Lí tio̍h ài kóng hō͘ guá thiaⁿ", "ru": "https://example.org/a/long/path/of/words", "en-GB": "a plain English text",
    }  # fmt: skip
    rows = [row(lang, lang, text) for lang, text in fine.items()]
    assert found_by("scripts", Subject(corpus(rows, [row("x", "en", "x")]))) == []
    other = [row("1", "uz", "Бу матн кирилл алифбосида"), row("2", "sr", "Ovo je recenica na srpskom")]
    (problem,) = found_by("scripts", Subject(corpus(other, [row("x", "en", "x")])))
    assert (problem.number, problem.serious) == (2, False)
    assert "sr-Latn" in problem.remedy


def test_overlapping_answers_are_not_ambiguous() -> None:
    queries = [row("0", "en", "same"), row("1", "en", "same")]
    shared = bm.Corpus.from_rows(queries, many("en", 2), [("0", "0"), ("1", "0"), ("1", "1")])
    assert found_by("ambiguous", Subject(shared)) == []


def test_emoji_of_several_characters_are_no_fault() -> None:
    rows = [row("1", "en", "a family \U0001f468\u200d\U0001f469\u200d\U0001f467")]
    assert found_by("invisible", Subject(corpus(rows, rows))) == []


def test_a_table_of_documents(tmp_path: Path) -> None:
    file = tmp_path / "documents.csv"
    file.write_text("item,lang,text\n1,ru,never translated\n2,ru,переведено\n", encoding="utf-8")
    found = bm.doctor(file)
    assert found.found["scripts"][0].number == 1
    assert found.not_checked["copies"] == ["a corpus with qrels"]


def test_an_index(tmp_path: Path, tiny_static: Any, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(str(n), "en", f"text {n}") for n in range(120)] + [
        row("0", "de", "Text"),
        row("0", "ru", "never translated"),
    ]
    index = Index.create(str(tmp_path / "index"), tiny_static, "tiny")
    index_rows(index, tiny_static, rows_of_corpus(corpus(many("en", 1), rows)))
    index.close()
    monkeypatch.setattr("babelmix.checks.indexes._LARGE", 100)
    found = bm.doctor(through=str(tmp_path / "index"), model=tiny_bert)
    (small,) = found.found["small languages"]
    assert (small.number, small.of) == (2, 3)
    (encoder,) = found.found["encoder"]
    assert "with dimension 16" in encoder.what
    # Without a corpus, the texts of the index are looked at.
    (script,) = found.found["scripts"]
    assert (script.number, script.of) == (1, 122)
    assert set(found.not_checked) == {"unknown language", "copies", "unjoined", "groups", "ambiguous", "own text"}
    assert bm.doctor(through=str(tmp_path / "index"), corpus=SOUND).found["scripts"] == []


def test_rows_without_a_language() -> None:
    index = SimpleNamespace(langs=lambda: {"de": 5, "und": 3})
    (problem,) = found_by("no language", Subject(index=cast("Any", index)))
    assert (problem.number, problem.of, problem.serious) == (3, 8, True)


def test_what_a_collection_says(monkeypatch: pytest.MonkeyPatch) -> None:
    class Collection:
        notes = ("The field lang has no index in Qdrant: searches may miss rows.", "2 of 9 rows have no language.")

    monkeypatch.setattr("babelmix.checks.indexes.ForeignEngine", Collection)
    found = found_by("collection", Subject(index=cast("Any", Collection())))
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
