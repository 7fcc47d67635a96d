"""Pseudo-questions: headings as questions, and clozes."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import shared

import babelmix as bm
from babelmix.corpus import open_corpus
from babelmix.corpus.key_phrases import KeyPhrases
from babelmix.corpus.known_items import known_items
from babelmix.corpus.pseudo_questions import PseudoQuestions
from babelmix.corpus.question_words import _WORDS, FORMS, question_words
from babelmix.corpus.readers._documents import Document
from babelmix.errors import CorpusError, ReaderError

XQUAD = ["ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"]
TOPICS = ["kettle", "printer", "bicycle", "violin", "telescope", "compass", "lantern", "anchor", "hammer", "pillow"]
TOPICS_DE = [
    "Kessel", "Drucker", "Fahrrad", "Violine", "Teleskop", "Kompass", "Laterne", "Anker", "Hammer", "Kissen",
]  # fmt: skip


def texts_of(place: int) -> dict[str, str]:
    one, of = TOPICS[place], TOPICS_DE[place]
    return {
        "en": f"You should look after the old {one} in the house. A good {one} lasts for more than twenty years. "
        "If it is broken, then ask somebody who can help you with it.",
        "de": f"Sie sollten auf das alte Ding {of} im Haus gut achten. Ein gutes Ding {of} hält mehr als zwanzig Jahre lang. "
        "Wenn es kaputt ist, dann fragen Sie jemanden, der Ihnen dabei hilft.",
        "fr": "Un texte qui a une seule phrase, mais qui est tout de même assez long pour être une question.",
    }


ALL = [texts_of(place) for place in range(len(TOPICS))]
ITEMS = [f"item {number}" for number in range(40)]


def headings(place: int) -> dict[str, str]:
    return {"en": f"The {TOPICS[place]}", "de": f"Das Ding {TOPICS_DE[place]}", "la": "Res"}


def table(folder: Path) -> str:
    rows = ["page,section,heading_en,heading_de,text_en,text_de"]
    for place in range(len(TOPICS)):
        one, heading = texts_of(place), headings(place)
        rows.append(f'p{place // 2},{place},{heading["en"]},{heading["de"]},"{one["en"]}","{one["de"]}"')
    (folder / "sections.csv").write_text("\n".join(rows), encoding="utf-8")
    return str(folder / "sections.csv")


def test_every_language_has_all_forms() -> None:
    for lang, words in _WORDS.items():
        assert len(words.forms) == FORMS, lang
        assert all(form.count("{}") == 1 for form in words.forms), lang
        assert words.marks[1].strip() in ("?", "？", "؟", ";"), lang
        assert words.what
    assert all(question_words(lang) for lang in [*XQUAD, "fr", "it", "pt-BR", "nl", "pl", "ja", "ko", "no", "zh-CN"])
    assert question_words("zh-TW") == question_words("zh-Hant") != question_words("zh")
    assert question_words("es").marks == ("¿", "?")
    assert question_words("tlh") is None


def test_headings_become_the_same_question_in_all_languages() -> None:
    made = PseudoQuestions("templates")
    forms = set()
    for item in ITEMS:
        asked = made.ask(item, headings(0), texts_of(0))
        number = _WORDS["en"].forms.index(asked.query["en"].replace("The kettle", "{}"))
        assert asked.query["de"] == _WORDS["de"].forms[number].format("Das Ding Kessel")
        assert asked.query["la"] == "Res"  # without forms, the heading
        assert asked.passage == texts_of(0)
        forms.add(number)
    assert forms == set(range(FORMS))
    asked = made.ask("1", {"en": "What is tea?", "el": "Τι είναι το τσάι;", "de": "2.1 Tee:"}, {})
    assert (asked.query["en"], asked.query["el"]) == ("What is tea?", "Τι είναι το τσάι;")
    titled = {"en": "What is tea?: Summary", "el": "Τι είναι το τσάι;: Σύνοψη"}
    assert made.ask("1", titled, {}).query == titled
    assert "2.1" not in asked.query["de"]
    assert "Tee" in asked.query["de"]


def test_clozes_ask_with_the_same_sentence_in_all_languages() -> None:
    made = PseudoQuestions("cloze", ALL)
    shorter, asked_by = 0, set()
    for item in ITEMS:
        asked = made.ask(item, headings(3), ALL[3])
        assert asked.kind == "cloze"
        assert (set(asked.query), asked.lost) == ({"en", "de"}, ("fr",))  # French has other sentences
        english = [
            number for number, mark in enumerate(("look after", "lasts", "broken")) if mark in asked.query["en"]
        ]
        german = [number for number, mark in enumerate(("achten", "hält", "kaputt")) if mark in asked.query["de"]]
        assert english == german
        asked_by.add(english[0])
        if english[0] < 2:
            replaced = asked.query["en"].endswith("?")
            assert ("violin" in asked.query["en"]) is not replaced
            assert ("what" in asked.query["en"]) is replaced
            assert asked.query["en"].startswith("violin: ") is not replaced
            assert ("was" in asked.query["de"].split()) is replaced
        assert asked.passage["fr"] == ALL[3]["fr"]
        if dict(asked.passage) != ALL[3]:
            shorter += 1
            mark = ("look after", "lasts", "broken")[english[0]]
            assert mark not in asked.passage["en"]
            assert ("achten", "hält", "kaputt")[english[0]] not in asked.passage["de"]
            assert len(asked.passage["en"]) < len(ALL[3]["en"])
    assert asked_by == {0, 1, 2}
    assert 10 < shorter < 30  # one half


def test_the_sentence_stays_if_too_little_would_be_left() -> None:
    short = {"en": "An old violin should never be stored in a wet cellar. It breaks."}
    made = PseudoQuestions("cloze", [short])
    assert all(made.ask(item, {}, short).passage == short for item in ITEMS)


def test_another_language_may_be_the_source() -> None:
    texts = {
        "fr": "Le vieux violon ne doit pas rester dans une cave humide.",
        "de": "Die alte Geige darf nicht im nassen Keller bleiben.",
    }
    assert set(PseudoQuestions("cloze", [texts]).ask("1", {}, texts).query) == {"de", "fr"}
    assert PseudoQuestions("cloze", [texts], source_lang="en").ask("1", {"fr": "Violon"}, texts).kind == "headings"


def test_a_mixture_has_a_third_of_each() -> None:
    made = PseudoQuestions("mixed", ALL)
    kinds = [made.ask(item, headings(1), ALL[1]).kind for item in ITEMS]
    assert kinds == [PseudoQuestions("mixed", ALL).ask(item, headings(1), ALL[1]).kind for item in ITEMS]
    assert all(kinds.count(kind) > 7 for kind in ("headings", "templates", "cloze"))
    assert made.facts() == {
        "pseudo_questions": {
            "kind": "mixed",
            **{kind: kinds.count(kind) for kind in ("headings", "templates", "cloze")},
        }
    }
    # Without a sentence that fits, the heading asks; without both, nothing does.
    assert {made.ask(item, headings(1), {"en": "Short."}).kind for item in ITEMS} == {"headings", "templates"}
    assert made.ask("1", {}, {"en": "Short."}).kind == ""
    assert made.ask("1", {}, ALL[0]).kind == "cloze"
    with pytest.raises(ValueError, match="headings, templates, cloze, mixed, not 'why'"):
        PseudoQuestions("why")


@pytest.mark.parametrize(
    ("others", "sentence", "expected"),
    [
        (["The cup is on the table.", "The pot is on the table."], "The kettle is on the table.", "kettle"),
        (
            ["He met the man in town on a day in May."] * 3,
            "He met Ada Lovelace in town on a day in May.",
            "Ada Lovelace",
        ),
        (
            ["这个杯子在桌子上。", "这个盘子在桌子上。", "这个很好。", "水壶很热。", "水壶很贵。"],
            "这个水壶在桌子上。",
            "水壶",
        ),
        (["カップはテーブルの上にあります。"] * 2, "ケトルはテーブルの上にあります。", "ケトル"),
        (["यह कप मेज पर है।", "यह थाली मेज पर है।"], "यह केतली मेज पर है।", "केतली"),
        (["الكوب على الطاولة.", "الطبق على الطاولة."], "الإبريق على الطاولة.", "الإبريق"),
    ],
)
def test_key_phrases_of_many_scripts(others: list[str], sentence: str, expected: str) -> None:
    found = KeyPhrases([*others, sentence]).of(sentence, sentence)
    assert sentence[found.begin : found.end] == expected
    assert KeyPhrases(others).of("?! 12", "?! 12") is None


def test_a_thai_phrase_does_not_begin_with_a_vowel_that_follows() -> None:
    sentence = "ภาษาไทยมีเสียงวรรณยุกต์"
    found = KeyPhrases([sentence, "กาต้มน้ำร้อนมาก", "เสียงดังมาก"]).of(sentence, sentence)
    phrase = sentence[found.begin : found.end]
    assert phrase[0] not in "ะาำ"
    assert phrase[-1] not in "เแโใไ"


def test_the_reader_makes_questions(tmp_path) -> None:
    spec = f"parallel-sections={table(tmp_path)}"
    corpus = open_corpus(f"{spec}?questions=cloze")
    again = open_corpus(spec, questions="cloze")
    assert corpus.fingerprint() == again.fingerprint() != open_corpus(spec).fingerprint()
    assert corpus.meta["pseudo_questions"] == {"kind": "cloze", "cloze": 10}
    assert corpus.meta["labels"].startswith("known items: sentences without their key phrase")
    assert "labels" not in open_corpus(spec).meta
    questions = set(open_corpus(f"{spec}?questions=templates").queries["text"].to_pylist())
    assert questions & {
        "What is The kettle?",
        "The kettle: what is it about?",
        "The kettle: how does it work?",
        "The kettle: what should I know?",
    }
    with pytest.raises(ReaderError, match="questions is headings, templates, cloze or mixed, not 'all'"):
        open_corpus(f"{spec}?questions=all")
    with pytest.raises(ReaderError, match="a bitext has no questions"):
        open_corpus(f"{spec}?questions=cloze&unit=line")


def test_a_text_that_is_not_translated_asks_nothing(tmp_path) -> None:
    text = "An old violin should never be stored in a wet cellar."
    (tmp_path / "a.csv").write_text(f"heading_en,text_en,heading_de,text_de\nViolins,{text},Violins,{text}\n")
    for kind in ("cloze", "templates"):
        corpus = open_corpus(f"parallel-sections={tmp_path / 'a.csv'}?questions={kind}")
        assert (corpus.queries["lang"].to_pylist(), corpus.passages["lang"].to_pylist()) == (["en"], ["en"])
        assert corpus.meta["left_out"]["texts identical to the source"] >= 1


def documents(title: str = "") -> list[Document]:
    return [
        Document(f"{place}", lang, text, title and f"{title} {TOPICS[place]} {lang}", f"{place}", "", 1)
        for place in range(len(TOPICS))
        for lang, text in texts_of(place).items()
        if lang != "fr"
    ]


@pytest.mark.parametrize("kind", ["templates", "cloze", "mixed"])
def test_a_collection_asks_itself(kind: str) -> None:
    corpus = known_items(documents("About the"), ask=kind)
    assert corpus.queries.num_rows == 20
    assert set(corpus.meta["known_items"]) <= {"headings", "templates", "cloze"}
    if kind == "templates":
        assert corpus.meta["labels"] == "known items: headings as questions ask for the rest of their text"
        assert set(corpus.passages["text"].to_pylist()) == {one.text for one in documents()}
    if kind == "cloze":
        assert set(corpus.meta["known_items"]) == {"cloze"}
        before = {(one.item, one.lang): one.text for one in documents()}
        after = {(row["item"], row["lang"]): row["text"] for row in corpus.passages.to_pylist()}
        changed = {item for item, lang in before if after[item, lang] != before[item, lang]}
        assert 0 < len(changed) < 10
    kept = known_items(documents(), ask=kind if kind == "cloze" else "mixed", keep=True)
    assert set(kept.passages["text"].to_pylist()) == {one.text for one in documents()}


def test_the_heading_of_a_text_stays_with_a_cloze() -> None:
    some = [
        Document(one.item, one.lang, f"# About {one.item}\n\n{one.text}", "", one.item, "", 1) for one in documents()
    ]
    corpus = known_items(some, ask="cloze")
    assert all(text.startswith("# About ") for text in corpus.passages["text"].to_pylist())
    asked = known_items(some, ask="templates")
    assert not any(text.startswith("#") for text in asked.passages["text"].to_pylist())
    assert len(known_items(some, ask="mixed").meta["known_items"]) > 1


def test_without_headings_only_sentences_ask() -> None:
    assert known_items(documents(), ask="mixed").meta["known_items"] == {"cloze": 10}
    with pytest.raises(CorpusError, match="texts without a heading, which nothing asks for: 20"):
        known_items(documents(), ask="templates")


def test_make_queries_from_clozes(tmp_path) -> None:
    rows = ["item,lang,text"]
    rows += [f'{one.item},{one.lang},"{one.text}"' for one in documents()]
    (tmp_path / "articles.csv").write_text("\n".join(rows), encoding="utf-8")
    made = bm.make_queries(tmp_path / "articles.csv", queries_from="cloze", out=tmp_path / "made")
    assert made.corpus.queries.num_rows == 20
    assert open_corpus(str(tmp_path / "made")).meta["labels"] == made.corpus.meta["labels"]


@pytest.mark.slow
def test_real_sections_ask() -> None:
    langs = ",".join(XQUAD)
    corpus = open_corpus(f"parallel-sections={shared('courses/sections.parquet')}?questions=cloze&langs={langs}")
    made = corpus.meta["pseudo_questions"]
    assert made["cloze"] > 10 * made["headings"]
    counts = {lang: (queries, passages) for lang, queries, passages in corpus.counts().iter_rows()}
    assert all(queries > 0.5 * passages for queries, passages in counts.values())
