"""Lexicons as foreign bytes, and corpora switched by them against the definition."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from conftest import WORDS, parallel_corpus, picture_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from babelmix.batches import BatchPlan, CorpusIndex, strategy
from babelmix.corpus import Corpus, lexicons
from babelmix.corpus.codeswitch import MIXED, code_switched, switch
from babelmix.corpus.lexicons import Lexicon, read_lexicon
from babelmix.errors import BabelmixError, ConfigError, CorpusError, ReaderError

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def base64(number: int) -> str:
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 64)
        digits = DIGITS[digit] + digits
    return digits


def write_dictd(folder: Path, articles: list[tuple[str, str]], *, compressed: bool = True) -> str:
    """A dictionary of (headword, article); what to give `read_lexicon`."""
    data, lines = b"", []
    for headword, article in articles:
        encoded = article.encode()
        lines.append(f"{headword}\t{base64(len(data))}\t{base64(len(encoded))}\n")
        data += encoded
    (folder / "toy.index").write_text("".join(lines), encoding="utf-8")
    (folder / f"toy.dict{'.dz' if compressed else ''}").write_bytes(gzip.compress(data) if compressed else data)
    return f"en:de={folder / 'toy.index'}"


ARTICLES = [
    ("00databaseshort", "00-database-short\nToy dictionary\n"),
    ("house", "house /haʊs/\nGeschlecht <neut>, Familie <fem>\n"),
    ("house", 'house /haʊs/\nHaus <neut>\n  "build a house"  - ein Haus bauen\n'),
    ("house", "house party /haʊs/\n1. eine sehr lange Feier in einem Haus zu Hause\n"),
    ("Water", "Water (n) <x>\n1. (süß) [chem.] Wasser, Gewässer\n2. gießen\n"),
    ("quick", "quick\na b c d; flink\n"),
    ("open house", "open house\nTag der offenen Tür\n"),
    ("stub", "stub /x/"),
]


@pytest.mark.parametrize("compressed", [True, False])
def test_dictd_dictionaries(tmp_path: Path, compressed: bool) -> None:
    lexicon = read_lexicon(write_dictd(tmp_path, ARTICLES, compressed=compressed))
    # The longest article that is about the word, and its first translation of at most three words.
    assert lexicon.words == {"house": "Haus", "water": "Wasser", "quick": "flink"}
    assert lexicon.about() | {"sha256": ""} == {
        "langs": "en:de", "file": "toy.index", "sha256": "", "words": 3, "skipped": 3,
    }  # fmt: skip
    assert re.fullmatch("[0-9a-f]{64}", lexicon.sha256)


def test_two_columns(tmp_path: Path) -> None:
    file = tmp_path / "muse.txt"
    file.write_text("the der\nthe die\n\nCat\tdie Katze\n3rd dritte\nl'eau Wasser\n", encoding="utf-8")
    lexicon = read_lexicon(f"en:de={file}")
    assert lexicon.words == {"the": "der", "cat": "die Katze", "l'eau": "Wasser"}
    assert lexicon.skipped == 1


@pytest.mark.parametrize(("content", "message"), [
    (b"one\n", "row 1: has 1 fields"),
    (b"a b\nc d e\n", "row 2: has 3 fields"),
    (b"a b\n\xff\xfe c\n", "row 2: is not UTF-8"),
    (b"a\t \n", "has 2 fields"),
    (b"1 2\n", "has no word with a translation"),
    (b"", "has no word with a translation"),
])  # fmt: skip
def test_bad_columns_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "l.txt").write_bytes(content)
    with pytest.raises(ReaderError, match=message):
        read_lexicon(f"en:de={tmp_path / 'l.txt'}")


def test_an_empty_line_before_the_translations_and_articles_on_phrases_cut_to_a_word(tmp_path: Path) -> None:
    articles = [
        ("late", "late /leit/\n\nspät, verspätet"),
        ("house", "house /haus/\nHaus"),
        ("house", "house /haus/\nGotteshausgebäude"),
        ("the", "the /ðə/\nAntarktis"),
        ("the", "the /ðə/\nder, die, das"),
        ("run", "run /rʌn/\nLauf, Fahrt, Folge"),
        ("run", "run /rʌn/\n1. rennen\n2. laufen"),
    ]
    lexicon = read_lexicon(write_dictd(tmp_path, articles))
    assert lexicon.words == {"late": "spät", "house": "Haus", "the": "der", "run": "rennen"}


@pytest.mark.parametrize(("index", "message"), [
    ("house\tA\n", "row 1: has 2 fields"),
    ("house\tA\tzz\n", "points at bytes 0 to"),
    ("house\t!\tB\n", "field 'start': '!' is not a number"),
    ("house\tA\tBBBBBBBBB\n", "field 'size': 'BBBBBBBBB' is not a number of one to eight"),
    ("house\tA\tEAAAB\n", "more than the 1048576 of an article"),
    ("house\t\tB\n", "is not a number"),
])  # fmt: skip
def test_bad_indexes_are_refused(tmp_path: Path, index: str, message: str) -> None:
    spec = write_dictd(tmp_path, ARTICLES)
    (tmp_path / "toy.index").write_text(index)
    with pytest.raises(ReaderError, match=message):
        read_lexicon(spec)


def test_bad_articles_are_refused(tmp_path: Path, monkeypatch) -> None:
    spec = write_dictd(tmp_path, ARTICLES)
    articles = tmp_path / "toy.dict.dz"
    whole = articles.read_bytes()
    for content in (whole[:-9], b"no gzip", whole[:20] + b"\xff" * 20 + whole[40:]):
        articles.write_bytes(content)
        with pytest.raises(ReaderError, match="is not a gzip file, or is damaged"):
            read_lexicon(spec)
    articles.write_bytes(gzip.compress(b"house\n\xff\xff"))
    (tmp_path / "toy.index").write_text("house\tA\tI\n")
    with pytest.raises(ReaderError, match="the article at byte 0 is not UTF-8"):
        read_lexicon(spec)
    articles.write_bytes(gzip.compress(b"\0" * 100_000))
    monkeypatch.setattr(lexicons, "MAX_ARTICLES", 99_999)
    with pytest.raises(ReaderError, match="more than 99999 bytes when decompressed"):
        read_lexicon(spec)
    articles.unlink()
    with pytest.raises(ReaderError, match="has no articles beside it"):
        read_lexicon(spec)
    monkeypatch.setattr(lexicons, "MAX_FILE", 3)
    with pytest.raises(ReaderError, match="more than the 3 that are read"):
        read_lexicon(spec)


@pytest.mark.parametrize(
    "spec", ["en-de.txt", "en=f", "en:de", "en:de=", "en:en=f", ":de=f", "en:xx9=f", "en:de=none.txt"]
)
def test_bad_specifications_are_refused(spec: str) -> None:
    with pytest.raises(CorpusError):
        read_lexicon(spec)


@settings(max_examples=150, deadline=None)
@given(
    index=st.binary(max_size=60) | st.lists(
        st.tuples(st.text(max_size=6), st.sampled_from(["A", "B", "I", "/", "BA", ""]), st.sampled_from(["A", "H", "BA", "x="])),
        max_size=5,
    ).map(lambda rows: "".join(f"{a}\t{b}\t{c}\n" for a, b, c in rows).encode()),
    articles=st.binary(max_size=80),
    compress=st.booleans(),
)  # fmt: skip
def test_any_bytes_give_a_lexicon_or_a_clear_error(
    tmp_path_factory, index: bytes, articles: bytes, compress: bool
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "f.index").write_bytes(index)
    (folder / "f.dict.dz").write_bytes(gzip.compress(articles) if compress else articles)
    (folder / "f.txt").write_bytes(index)
    for name in ("f.index", "f.txt"):
        try:
            lexicon = read_lexicon(f"en:de={folder / name}")
        except BabelmixError as error:
            assert str(error).startswith(str(folder))
        else:
            assert all(word and translation.strip() for word, translation in lexicon.words.items())


def test_hostile_articles_take_no_time(tmp_path: Path) -> None:
    article = "word" + " " * 500_000 + "\n" + "<" * 500_000
    with pytest.raises(ReaderError, match="no word"):
        read_lexicon(write_dictd(tmp_path, [("word", article)] * 20))


# --- switching


def lexicon_of(target: str, words: dict[str, str] | None = None) -> Lexicon:
    return Lexicon(
        "en", target, words or dict(zip(WORDS["en"], WORDS[target], strict=True)), f"{target}.txt", "0" * 64
    )


def english() -> Corpus:
    return parallel_corpus().only_langs(["en"])


def slow_switch(text: str, used: list[Lexicon], share: float, chance: random.Random) -> tuple[str, Counter[str]]:
    """Character by character."""
    out, word, counts = "", "", Counter()
    for character in text + " ":
        if character.isalpha():
            word += character
            continue
        if word:
            drawn, which = chance.random(), chance.random()
            counts["words"] += 1
            found = used[int(which * len(used))].words.get(word.lower())
            counts["known"] += found is not None
            if found is not None and drawn < share:
                counts["switched"] += 1
                upper = len(word) > 1 and word.isupper()
                word = found.upper() if upper else found[0].upper() + found[1:] if word[0].isupper() else found
            out, word = out + word, ""
        out += character
    return out[:-1], counts


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([*WORDS["en"][:4], "Unknown", "DOG", "Cat", ", ", " ", "7", "ß"]), max_size=8).map("".join),
    st.sampled_from([0.3, 1.0]), st.integers(0, 99), st.booleans(),
)  # fmt: skip
def test_words_are_replaced_and_nothing_else(text: str, share: float, seed: int, several: bool) -> None:
    used = [lexicon_of("de"), lexicon_of("fr", {"dog": "chien"})][: 1 + several]
    counts: Counter[str] = Counter()
    found, switched = switch(text, used, share, random.Random(seed), counts)
    expected, slow = slow_switch(text, used, share, random.Random(seed))
    assert found == expected
    assert +counts == +slow
    assert switched == slow["switched"]


def test_capitals_are_kept() -> None:
    lexicon = lexicon_of("de", {"dog": "kleiner Hund"})
    whole = switch("dog Dog DOG.", [lexicon], 1.0, random.Random(0), Counter())
    assert whole == ("kleiner Hund Kleiner Hund KLEINER HUND.", 3)


def test_bilingual_renderings_make_cross_batches_without_translations() -> None:
    corpus = english()
    made = code_switched(corpus, [lexicon_of("de"), lexicon_of("fr")], share=1.0, seed=3)
    assert made.langs == ("de", "en", "fr")
    real = {(row["item"], row["lang"]): row["text"] for row in parallel_corpus().passages.to_pylist()}
    # With all words known, and in this word order, they are the translations.
    assert {(row["item"], row["lang"]): row["text"].lower() for row in made.passages.to_pylist()} == {
        key: text.lower() for key, text in real.items() if key[1] != "ja"
    }
    assert made.passages["group"].to_pylist()[40:80] == corpus.passages["group"].to_pylist()
    assert BatchPlan(CorpusIndex(made), strategy("hybrid(0)"), 8)[0].kind == "cross"
    facts = made.meta["code_switching"]
    assert facts["counts"]["de"] == facts["counts"]["fr"]
    assert facts["counts"]["de"]["texts"] == 80
    assert facts["counts"]["de"]["switch_rate"] == 1.0
    assert facts["counts"]["de"]["oov_rate"] == 0.0
    assert made.meta["machine_made"] == ["de", "fr"]
    assert [entry["langs"] for entry in facts["lexicons"]] == ["en:de", "en:fr"]


def test_rates_are_those_of_the_texts() -> None:
    half = {word: f"x{i}" for i, word in enumerate(WORDS["en"][:6])} | {"x": "y"}
    made = code_switched(english(), [lexicon_of("de", half)], share=0.5, side="passage")
    facts = made.meta["code_switching"]["counts"]["de"]
    words = [w for text in english().passages["text"].to_pylist() for w in text.split() if w.isalpha()]
    known = sum(word in half for word in words)
    assert facts["words"] == len(words) == 120
    assert facts["known"] == known
    assert facts["oov_rate"] == pytest.approx(1 - known / len(words))
    assert abs(facts["switched"] - known / 2) < 5 * (known / 4) ** 0.5
    new = [row for row in made.passages.to_pylist() if row["lang"] == "de"]
    assert facts["texts"] == len(new)
    assert facts["texts"] + facts["unchanged"] == 40
    assert facts["unchanged"] > 0
    assert sum(word.startswith("x") for row in new for word in row["text"].split()) == facts["switched"]
    assert made.queries == english().queries


def test_multilingual_texts_are_of_all_languages() -> None:
    made = code_switched(english(), [lexicon_of("de"), lexicon_of("fr")], mode="multilingual", share=1.0, side="query")
    new = [row["text"] for row in made.queries.to_pylist() if row["lang"] == MIXED]
    assert made.langs == ("en", MIXED)
    words = Counter(word for text in new for word in text.split() if word.isalpha())
    of = {lang: sum(words[word] for word in WORDS[lang]) for lang in ("de", "fr")}
    assert sum(of.values()) == sum(words.values())
    assert abs(of["de"] - of["fr"]) < 5 * sum(of.values()) ** 0.5


def test_chance_is_of_the_text_alone_and_true_renderings_are_kept() -> None:
    options = {"lexicons": [lexicon_of("de")], "share": 0.5, "seed": 5}
    whole, part = code_switched(english(), **options), code_switched(english().only_groups(["g3", "g4"]), **options)
    texts = {(row["item"], row["lang"]): row["text"] for row in whole.queries.to_pylist()}
    assert all(texts[row["item"], row["lang"]] == row["text"] for row in part.queries.to_pylist())
    assert code_switched(english(), **options).fingerprint() == whole.fingerprint()
    assert code_switched(english(), **options | {"seed": 6}).fingerprint() != whole.fingerprint()
    both = parallel_corpus().only_langs(["de", "en"])
    assert code_switched(both, **options).fingerprint() == both.fingerprint()


def test_captions_can_be_switched_and_pictures_stay() -> None:
    corpus = picture_corpus(12).only_langs(["en"])
    made = code_switched(corpus, [lexicon_of("de")], share=1.0, side="query")
    assert made.queries.num_rows == 24
    assert made.passages == corpus.passages
    with pytest.raises(CorpusError, match="passages has no text in en"):
        code_switched(corpus, [lexicon_of("de")])


def test_impossible_settings_are_refused() -> None:
    for bad in ([], [lexicon_of("de"), lexicon_of("de")], [lexicon_of("de"), Lexicon("fr", "de", {}, "f", "")]):
        with pytest.raises(ConfigError, match="the same source language"):
            code_switched(english(), bad)
    for share in (0.0, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="above 0 and at most 1"):
            code_switched(english(), [lexicon_of("de")], share=share)


def test_the_command_line(babelmix, tmp_path: Path) -> None:
    english().save(tmp_path / "en")
    file = tmp_path / "en-de.txt"
    file.write_text("".join(f"{a}\t{b}\n" for a, b in zip(WORDS["en"], WORDS["de"], strict=True)), encoding="utf-8")
    given = ("codeswitch", "-c", str(tmp_path / "en"), "--lexicon", f"en:de={file}", "--out", str(tmp_path / "made"))
    code, out, err = babelmix(*given)
    assert code == 0, err
    assert "switched" in out
    code, out, err = babelmix(*given, "--json")
    assert code == 0, err
    assert json.loads(out)["counts"]["de"]["words"] == 200
    made = Corpus.load(tmp_path / "made")
    assert made.meta["code_switching"]["lexicons"][0]["file"] == "en-de.txt"
    code, _, err = babelmix(
        "train", "-c", str(tmp_path / "made"), "--model", "static", "--steps", "2", "--strategy", "cross",
        "--out", str(tmp_path / "m"),
    )  # fmt: skip
    assert code == 0, err
    code, _, err = babelmix(*given, "--lexicon", f"fr:es={file}")
    assert code == 1
    assert err.startswith("error: give at least one lexicon; all must have the same source language")


def test_a_lexicon_may_be_given_by_its_name(tmp_path) -> None:
    (tmp_path / "en-de.txt").write_text("dog Hund\n", encoding="utf-8")
    rows = [{"item": "1", "lang": "en", "text": "a dog"}]
    corpus = Corpus.from_rows(rows, rows, [("1", "1")])
    switched = code_switched(corpus, f"en:de={tmp_path}/en-de.txt", share=1.0)
    assert switched.queries["text"].to_pylist() == ["a dog", "a Hund"]
    with pytest.raises(
        ConfigError, match="the mode 'trilingual' of code-switching is unknown; use bilingual or multi"
    ):
        code_switched(corpus, f"en:de={tmp_path}/en-de.txt", mode="trilingual")
    with pytest.raises(ConfigError, match="the side 'left' is unknown; use query, passage, both"):
        code_switched(corpus, f"en:de={tmp_path}/en-de.txt", side="left")
