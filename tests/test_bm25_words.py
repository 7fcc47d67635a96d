"""BM25's words, by script: a word finds the texts that have it, and no others."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from babelmix.search.rows import Row, Where, points_of
from babelmix.search.words import Words, folded

# Script, word, a text that has it, a text of the same script that does not.
PAIRS = [
    ("Latin", "Straße", "Die STRASSE ist lang.", "Die Straßen sind lang."),
    ("Latin, Turkish", "istanbul", "İSTANBUL'da yaşıyor", "Ankara'da yaşıyor"),
    ("Latin, French", "homme", "L’homme est là", "les hommes sont là"),
    ("Latin, Vietnamese", "Việt", unicodedata.normalize("NFD", "Người Việt Nam"), "viet nam"),
    ("Greek", "ΟΔΟΣ", "η οδός είναι", "οι οδοί είναι"),
    ("Cyrillic", "МОСКВА", "Город Москва большой", "Город Москвы большой"),
    ("Armenian", "ՀԱՅԱՍՏԱՆ", "Հայաստան երկիրը", "Հայաստանի երկիրը"),
    ("Georgian", "თბილისი", "ქალაქი ᲗᲑᲘᲚᲘᲡᲘ", "ქალაქი ბათუმი"),
    ("Hebrew", "שלום", "שָׁלוֹם לכולם", "ערב טוב לכולם"),
    ("Arabic", "كتاب", "قرأت الكِتَابَ أمس", "قرأت المكتبة أمس"),
    ("Arabic, stretched", "العربية", "اللغة العـــربية", "اللغة الفارسية"),
    ("Arabic, Persian", "می‌خواهم", "من میخواهم بروم", "من می‌روم"),
    ("Syriac", "ܫܠܡܐ", "ܫܠܵܡܵܐ ܥܠܘܟ", "ܐܠܗܐ ܥܠܘܟ"),
    ("Devanagari", "हिन्दी", "मैं हिन्दी बोलता हूँ।", "मैं हिन्द बोलता हूँ।"),
    ("Bengali", "বাংলা", "আমি বাংলা ভাষা বলি।", "আমি বাঙালি।"),
    ("Tamil", "தமிழ்", "நான் தமிழ் பேசுகிறேன்", "நான் தமிழன்"),
    ("Telugu", "తెలుగు", "నేను తెలుగు మాట్లాడతాను", "నేను తెలంగాణ"),
    ("Sinhala", "සිංහල", "මම සිංහල කතා කරමි", "මම ඉංග්‍රීසි කතා කරමි"),
    ("Ethiopic", "ሰላም", "ሰላም፡ዓለም።", "ዓለም፡ነው።"),
    ("Tibetan", "བོད", "བོད་ཡིག་ཀློག", "རྒྱ་ཡིག་ཀློག"),
    ("Han", "北京", "我在北京", "我在京北"),
    ("Han, one", "猫", "一只猫在睡觉", "一只狗在睡觉"),
    ("Han, Japanese", "東京", "東京に行く", "京東に行く"),
    ("Katakana", "ｺﾝﾋﾟｭｰﾀ", "新しいコンピュータです", "新しいカメラです"),
    ("Hiragana", "さくら", "きれいなさくらです", "きれいなくさらです"),
    ("Hangul", "서울", "서울에서 만나요", "부산에서 만나요"),
    ("Hangul, apart", unicodedata.normalize("NFD", "서울"), "서울에서 만나요", "울서에서 만나요"),
    ("Thai", "ข้าวผัด", "ฉันชอบกินข้าวผัด", "ฉันชอบกินผัดไทย"),
    ("Lao", "ພາສາ", "ພາສາລາວ", "ປະເທດລາວ"),
    ("Khmer", "ខ្មែរ", "ខ្ញុំស្រលាញ់ភាសា\u200bខ្មែរ", "ខ្ញុំស្រលាញ់ភាសាថៃ"),
    ("Khmer, space in it", "ភាសាខ្មែរ", "ខ្ញុំស្រលាញ់ភាសា\u200bខ្មែរ", "ខ្ញុំ"),
    ("Myanmar", "မြန်မာ", "ငါမြန်မာစကားပြောတယ်", "ငါထိုင်းစကားပြောတယ်"),
    ("Javanese", "ꦗꦮ", "ꦧꦱꦗꦮ", "ꦧꦱꦧꦭꦶ"),
    ("digits", "2024", "この計画は２０２４年に始まった", "この計画は20245年に始まった"),
    ("digits, Devanagari", "२०२४", "सन् २०२४ में", "सन् २०२५ में"),
    ("digits and letters", "b2b", "ein B2B-Geschäft", "ein B2C-Geschäft"),
    ("soft hyphen", "Zusammenarbeit", "Zusammen\u00adarbeit", "Zusammen Arbeit"),
    ("full width", "ABC", "ＡＢＣの本", "ＡＢＤの本"),
]  # fmt: skip


def finds(query: str, text: str) -> bool:
    """Whether all words of a query are among those of a text."""
    asked, there = Words.of(query), Words.of(text)
    return {*asked.words, *asked.alone} <= {*there.words, *there.characters} and bool(asked.words or asked.alone)


@pytest.mark.parametrize(("word", "has", "lacks"), [pair[1:] for pair in PAIRS], ids=[pair[0] for pair in PAIRS])
def test_a_word_finds_the_texts_that_have_it(word: str, has: str, lacks: str) -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        written = unicodedata.normalize(form, word)
        for spelled in {written, written.upper(), written.lower()} if word.casefold() != "istanbul" else {written}:
            assert finds(spelled, has), (spelled, Words.of(spelled), Words.of(has))
            assert not finds(spelled, lacks)
    assert finds(has, has)


def test_nothing_is_a_word_that_has_no_letter() -> None:
    assert Words.of(" .,!? \u200b\u0301 😀 — ། 。") == Words([], [], [])


@given(st.text(max_size=40))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert folded(folded(text)) == folded(text)
    assert Words.of(folded(text)) == Words.of(text)


scripts = st.sampled_from([pair[1] for pair in PAIRS])


@given(st.lists(scripts, max_size=4), scripts, st.lists(scripts, max_size=4))
def test_a_word_is_found_among_others_with_spaces_between(before: list[str], word: str, after: list[str]) -> None:
    assert finds(word, " ".join([*before, word, *after]))


unspaced = st.text(st.sampled_from("東京都に行くさくらア市서울에서ข้าวผัดพาขฺခမြန်ပភខ្មែរសាລາວ"), min_size=1, max_size=6)


@given(unspaced, st.sampled_from(["東京", "서울", "さくら", "มาก", "ខ្មែរ"]), unspaced)
def test_a_word_is_found_inside_a_run_of_characters(before: str, word: str, after: str) -> None:
    # No word begins or ends in the middle of a character.
    if unicodedata.category(before[-1]) == unicodedata.category(after[0]) == "Lo":
        assert finds(word, before + word + after)


def test_the_engine_finds_words_of_every_script(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")
    from babelmix.search.engines import create_engine

    engine = create_engine(str(tmp_path / "index"), 2, {})
    rows = [
        Row(f"{n:02} {kind}", "und", text)
        for n, (_, _, *texts) in enumerate(PAIRS)
        for kind, text in zip(("has", "lacks"), texts, strict=True)
    ]
    engine.put([type(p)(p.id, p.digest, p.row, np.ones(2, np.float32)) for p in points_of(rows)])
    for n, (_, word, has, _) in enumerate(PAIRS):
        hits = engine.with_words([word], [Where()], 5)[0]
        assert hits[0].text == has or finds(word, hits[0].text or ""), (n, word, hits)
        assert f"{n:02} has" in {hit.item for hit in hits}
    assert engine.with_words(["", "!"], [Where()] * 2, 5) == [[], []]
    engine.close()
