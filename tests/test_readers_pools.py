"""Pools of whole paragraphs: XQuAD's paragraphs, Belebele, MLQA and Multi-EuP, as they are and as SHIFT's code reads them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from conftest import shared
from test_readers import write
from test_readers_qa import lines, reading

from babelmix.corpus import Corpus, open_corpus
from babelmix.corpus.readers import belebele, multieup, xquad_r
from babelmix.errors import ReaderError

Text = tuple[str, str]


def relevant(corpus: Corpus) -> dict[Text, set[Text]]:
    """The relevant passages of each query, both by language and text: what a pool says, whatever its items are called."""
    passages: dict[str, set[Text]] = {}
    for row in corpus.passages.to_pylist():
        passages.setdefault(row["item"], set()).add((row["lang"], row["text"]))
    answers: dict[str, set[Text]] = {}
    for pair in corpus.qrels.to_pylist():
        answers.setdefault(pair["query_item"], set()).update(passages[pair["passage_item"]])
    return {(row["lang"], row["text"]): answers[row["item"]] for row in corpus.queries.to_pylist()}


def pool_of(corpus: Corpus) -> list[Text]:
    return [(row["lang"], row["text"]) for row in corpus.passages.to_pylist()]


def squad(*articles: tuple[str, list[tuple[str, list[Text]]]]) -> dict[str, Any]:
    """A document of SQuAD: articles by title, with paragraphs, each with the ids and texts of its questions."""
    return {
        "data": [
            {
                "title": title,
                "paragraphs": [
                    {
                        "context": context,
                        "sentences": [context],
                        "sentence_breaks": [[0, len(context)]],
                        "qas": [
                            {"id": name, "question": text, "answers": [{"text": "a", "answer_start": 0}]}
                            for name, text in questions
                        ],
                    }
                    for context, questions in paragraphs
                ],
            }
            for title, paragraphs in articles
        ]
    }


# --- XQuAD's paragraphs


def xquad_folder(folder: Path, langs: tuple[str, ...] = ("de", "el", "en")) -> str:
    for lang in langs:
        document = squad(
            ("A", [(f"p1 {lang}", [("x", f"x? {lang}"), ("y", f"y? {lang}")]), (f"p2 {lang}", [("z", f"z? {lang}")])]),
            ("B", [(f"p3 {lang}", [("w", f"w? {lang}")])]),
        )
        write(folder, f"{lang}.json", json.dumps(document))
    return f"xquad-r={folder}"


def test_paragraphs_of_xquad(tmp_path) -> None:
    corpus = open_corpus(f"{xquad_folder(tmp_path)}?unit=paragraph&check=false")
    assert corpus.counts().rows() == [("de", 4, 3), ("el", 4, 3), ("en", 4, 3)]
    found = relevant(corpus)
    for lang in ("de", "el", "en"):
        for name, paragraph in (("x", "p1"), ("y", "p1"), ("z", "p2"), ("w", "p3")):
            assert found[lang, f"{name}? {lang}"] == {(other, f"{paragraph} {other}") for other in ("de", "el", "en")}
    # A paragraph and its translations are one item; an article is a group.
    assert len(set(corpus.passages["item"].to_pylist())) == 3
    groups = {row["text"][:2]: row["group"] for row in corpus.passages.to_pylist()}
    assert groups["p1"] == groups["p2"] != groups["p3"]
    assert {row["group"] for row in corpus.queries.to_pylist() if row["item"] == "w"} == {groups["p3"]}
    assert corpus.meta["evaluation_only"]
    assert corpus.meta["unit"] == "paragraph"


def test_queries_and_languages_of_xquad(tmp_path) -> None:
    source = xquad_folder(tmp_path)
    for unit in ("sentence", "paragraph"):
        corpus = open_corpus(f"{source}?unit={unit}&check=false&langs=en,de&queries=en")
        assert corpus.counts().rows() == [("de", 0, 3), ("en", 4, 3)]
        assert relevant(corpus)["en", "x? en"] == {("de", "p1 de"), ("en", "p1 en")}
        assert open_corpus(f"{source}?unit={unit}&check=false&queries=all").queries.num_rows == 12
    assert open_corpus(source, check=False, queries=["de", "en"], unit="paragraph").queries.num_rows == 8
    with pytest.raises(ReaderError, match="has no fr; it has de, el, en"):
        open_corpus(f"{source}?check=false&queries=fr")
    # Queries are in one of the languages that are read.
    with pytest.raises(ReaderError, match="has no el; it has de"):
        open_corpus(f"{source}?check=false&langs=de&queries=el")
    with pytest.raises(ReaderError, match="the option unit is sentence or paragraph, not 'page'"):
        open_corpus(f"{source}?unit=page")
    with pytest.raises(ReaderError, match="the option pool is shift or left out, not 'SHIFT'"):
        open_corpus(f"{source}?pool=SHIFT")
    with pytest.raises(ReaderError, match="has 4 questions and 3 paragraphs, but XQuAD-R has 1190 and 240"):
        open_corpus(f"{source}?unit=paragraph")


def test_the_pool_of_shift_has_eight_languages_of_xquad(tmp_path) -> None:
    source = xquad_folder(tmp_path, tuple(xquad_r.CANDIDATES))
    corpus = open_corpus(f"{source}?pool=shift&check=false")
    assert corpus.langs == tuple(sorted(xquad_r.SHIFT_LANGS))
    assert (corpus.meta["pool"], corpus.meta["unit"]) == ("shift", "paragraph")
    assert open_corpus(f"{source}?pool=shift&check=false&langs=el,en").langs == ("el", "en")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.update(context=" "), r"row 1, field 'context': is empty in paragraph 1"),
        (lambda p: p.pop("context"), "field 'context': is missing in paragraph 1"),
        (lambda p: p["qas"].append(p["qas"][0]), "row 1, field 'id': question 'x' occurs twice"),
        (lambda p: p["qas"][0].update(question=""), "field 'question': is empty in paragraph 1"),
        (lambda p: p["qas"][0].update(id=3), "field 'id': holds 3, but a text is needed"),
    ],
)
def test_bad_paragraphs(tmp_path, change, message: str) -> None:
    document = squad(("A", [("p", [("x", "x?")])]))
    change(document["data"][0]["paragraphs"][0])
    write(tmp_path, "en.json", json.dumps(document))
    with pytest.raises(ReaderError, match=message):
        open_corpus(f"xquad-r={tmp_path}?unit=paragraph&check=false")


def test_the_published_sizes_of_xquad() -> None:
    folder = shared("xquad-r")
    corpus = open_corpus(f"xquad-r={folder}?pool=shift")
    assert (corpus.queries.num_rows, corpus.passages.num_rows) == (9520, 1920)
    assert len(set(corpus.passages["item"].to_pylist())) == 240
    assert len(set(corpus.passages["group"].to_pylist())) == 48
    assert all(len(answers) == 8 for answers in relevant(corpus).values())
    english = open_corpus(f"xquad-r={folder}?pool=shift&queries=en")
    assert (english.queries.num_rows, english.passages.num_rows) == (1190, 1920)


# --- Belebele


def record(link: str, number: int, lang: str, passage: str = "") -> dict[str, Any]:
    text = {"flores_passage": passage} if passage else {}
    return reading(link, number, lang) | {"question": f"{link} {number}? {lang}"} | text


def belebele_pool(folder: Path) -> str:
    """The fourteen languages, and three more. One passage is the same in Dutch and German, one link has two passages."""
    codes = ("arb_Arab", "acm_Arab", "zho_Hant", "hin_Latn")
    codes += (
        "deu_Latn",
        "nld_Latn",
        "eng_Latn",
        "spa_Latn",
        "fra_Latn",
        "hin_Deva",
        "ind_Latn",
        "ita_Latn",
        "jpn_Jpan",
    )
    codes += ("por_Latn", "rus_Cyrl", "vie_Latn", "zho_Hans")
    for code in codes:
        same = "Nach Den Haag" if code in ("deu_Latn", "nld_Latn") else ""
        rows = [record("l1", 1, code), record("l1", 2, code), record("l2", 1, code, same), record("l3", 1, code)]
        write(folder, f"data/{code}.jsonl", lines(*rows, record("l3", 2, code, f"another text of l3 in {code}")))
    return f"belebele={folder}"


def test_the_pool_of_shift_in_belebele(tmp_path) -> None:
    source = belebele_pool(tmp_path)
    corpus = open_corpus(f"{source}?pool=shift")
    assert set(corpus.langs) == set(belebele.SHIFT_LANGS)
    found = relevant(corpus)
    # Mesopotamian Arabic is read as ar, and Standard Arabic not at all.
    assert ("ar", "l1 1? acm_Arab") in found
    assert not any("arb_Arab" in text for _, text in (*found, *pool_of(corpus)))
    # 4 passages in 14 languages; the German one that is also Dutch is one passage, and it is German, which comes first.
    assert len(pool_of(corpus)) == 4 * 14 - 1
    assert ("de", "Nach Den Haag") in pool_of(corpus)
    assert ("nl", "Nach Den Haag") not in pool_of(corpus)
    assert ("de", "Nach Den Haag") in found["nl", "l2 1? nld_Latn"]
    assert len(found["nl", "l2 1? nld_Latn"]) == 13
    # The two questions of l3 have different passages.
    assert all("another" not in text for _, text in found["en", "l3 1? eng_Latn"])
    assert all("another" in text for _, text in found["en", "l3 2? eng_Latn"])
    assert open_corpus(f"{source}?pool=shift&queries=en").counts()["queries"].sum() == 5


def test_each_peculiarity_of_shift_is_an_option_of_belebele(tmp_path) -> None:
    source = belebele_pool(tmp_path)
    clean = relevant(open_corpus(f"{source}?langs=ar,de,nl"))
    assert {("nl", "Nach Den Haag"), ("de", "Nach Den Haag")} < clean["nl", "l2 1? nld_Latn"]
    assert len(clean["de", "l3 1? deu_Latn"]) == 6  # both texts of the link, in three languages
    # Without the option, acm is a language of its own.
    assert ("ar", "l1 1? arb_Arab") in clean
    assert ("ar", "l1 1? acm_Arab") in relevant(open_corpus(f"{source}?arabic=acm&langs=ar"))
    assert "acm-Arab" in open_corpus(source).langs
    once = open_corpus(f"{source}?langs=nl,de&first_language=true")
    assert ("nl", "Nach Den Haag") in pool_of(once)  # the first of langs
    assert len(pool_of(once)) == 7
    assert len(relevant(once)["de", "l3 1? deu_Latn"]) == 4
    own = open_corpus(f"{source}?langs=nl,de&by_question=true")
    assert len(pool_of(own)) == 8
    assert len(relevant(own)["de", "l3 1? deu_Latn"]) == 2
    # Translations are one item.
    assert len(set(own.passages["item"].to_pylist())) == 4
    with pytest.raises(ReaderError, match="the option arabic is arb or acm, not 'ary'"):
        open_corpus(f"{source}?arabic=ary")
    (tmp_path / "data" / "jpn_Jpan.jsonl").unlink()
    with pytest.raises(ReaderError, match="SHIFT's pool also has ja, whose files are missing here"):
        open_corpus(f"{source}?pool=shift")
    assert open_corpus(f"{source}?pool=shift&langs=en,de").langs == ("de", "en")


def test_one_query_language_of_belebele(tmp_path) -> None:
    corpus = open_corpus(f"{belebele_pool(tmp_path)}?langs=de,en&queries=en")
    assert corpus.counts().rows() == [("de", 0, 4), ("en", 5, 4)]
    assert set(corpus.queries["lang"].to_pylist()) == {"en"}


# --- MLQA


def mlqa_folder(folder: Path, langs: tuple[str, ...] = ("de", "en", "es")) -> str:
    """Question a in all three languages, b in English and German, c in English and Spanish, d in English alone.

    In English a and c have the same text. The German paragraph of b is also the Spanish one of c.
    """
    there = {"de": "ab", "en": "abcd", "es": "ac"}
    contexts = {"ab": "p1 {}", "c": "p2 {}", "d": "p3 {}"}

    def context(name: str, lang: str) -> str:
        if (name, lang) in (("b", "de"), ("c", "es")):
            return "same"
        return next(text for names, text in contexts.items() if name in names).format(lang)

    def question(name: str, lang: str) -> str:
        return "who?" if lang == "en" and name in "ac" else f"{name}? {lang}"

    for passage in langs:
        for query in langs:
            names = [name for name in there[passage] if name in there[query]]
            articles = [
                (f"T{name in 'ab'} {passage}", [(context(name, passage), [(name, question(name, query))])])
                for name in names
            ]
            document = squad(*articles)
            write(folder, f"MLQA_V1/test/test-context-{passage}-question-{query}.json", json.dumps(document))
    write(folder, "MLQA_V1/dev/dev-context-en-question-en.json", json.dumps(squad(("T", [("p", [("x", "x?")])]))))
    return f"mlqa={folder}"


def test_mlqa_as_it_is(tmp_path) -> None:
    corpus = open_corpus(mlqa_folder(tmp_path))
    assert corpus.counts().rows() == [("de", 2, 2), ("en", 4, 3), ("es", 2, 2)]
    found = {(row["lang"], row["item"]) for row in corpus.queries.to_pylist()}
    assert found == {(lang, name) for lang, names in (("de", "ab"), ("en", "abcd"), ("es", "ac")) for name in names}
    answers = relevant(corpus)
    assert answers["de", "a? de"] == {("de", "p1 de"), ("en", "p1 en"), ("es", "p1 es")}
    assert answers["de", "b? de"] == {("de", "same"), ("en", "p1 en")}
    assert answers["es", "c? es"] == {("es", "same"), ("en", "p2 en")}
    # Paragraphs are no translations of each other; articles that share a question are one group.
    assert len(set(corpus.passages["item"].to_pylist())) == 7
    groups = {row["item"]: row["group"] for row in corpus.queries.to_pylist()}
    assert groups["a"] == groups["b"]
    assert groups["c"] == groups["d"] != groups["a"]
    assert corpus.meta["evaluation_only"]
    assert open_corpus(f"mlqa={tmp_path}?split=dev").queries.num_rows == 1


def test_the_pool_of_shift_in_mlqa(tmp_path) -> None:
    source = mlqa_folder(tmp_path)
    everything = open_corpus(f"{source}?pool=shift")
    assert ("es", "same") not in pool_of(everything)
    assert relevant(everything)["es", "c? es"] == {("de", "same"), ("en", "p2 en")}
    assert everything.queries.num_rows == 8
    english = open_corpus(f"{source}?pool=shift&queries=en")
    assert sorted(row["text"] for row in english.queries.to_pylist()) == ["b? en", "d? en", "who?"]
    # a and c are one query, with the paragraphs of both.
    assert relevant(english)["en", "who?"] == {
        ("de", "p1 de"), ("en", "p1 en"), ("es", "p1 es"), ("en", "p2 en"), ("de", "same"),
    }  # fmt: skip
    german = open_corpus(f"{source}?pool=shift&queries=de")
    # Only paragraphs with a German question.
    assert set(pool_of(german)) == {("de", "p1 de"), ("de", "same"), ("en", "p1 en"), ("es", "p1 es")}


def test_each_peculiarity_of_shift_is_an_option_of_mlqa(tmp_path) -> None:
    source = mlqa_folder(tmp_path)
    clean = open_corpus(f"{source}?queries=de")
    assert len(pool_of(clean)) == 7
    assert len(pool_of(open_corpus(f"{source}?queries=de&paired=true"))) == 4
    assert len(pool_of(open_corpus(f"{source}?queries=de&first_language=true"))) == 6
    merged = open_corpus(f"{source}?queries=en&merge=true")
    assert merged.queries.num_rows == 3
    assert len(pool_of(merged)) == 7
    assert relevant(merged)["en", "who?"] == {
        ("de", "p1 de"), ("en", "p1 en"), ("es", "p1 es"), ("en", "p2 en"), ("es", "same"),
    }  # fmt: skip
    with pytest.raises(ReaderError, match="the option merge needs the queries of one language, as in queries=en"):
        open_corpus(f"{source}?merge=true")
    assert open_corpus(f"{source}?langs=de,en").langs == ("de", "en")


def test_mlqa_from_the_hub(tmp_path, monkeypatch) -> None:
    asked = []

    def load(path: str, config: str, split: str, revision: str = "main") -> list[dict[str, Any]]:
        if revision != "refs/convert/parquet" and "de" in config:
            raise RuntimeError("Dataset scripts are no longer supported, but found mlqa.py")
        asked.append((path, config, split))
        lang = config.split(".")[1]
        return [{"context": f"p {lang}", "question": f"x? {lang}", "id": "x", "answers": {}}]

    monkeypatch.setattr("datasets.load_dataset", load)
    corpus = open_corpus("mlqa=facebook/mlqa?langs=de,en&split=dev")
    assert asked == [("facebook/mlqa", f"mlqa.{lang}.{lang}", "validation") for lang in ("de", "en")]
    assert relevant(corpus)["en", "x? en"] == {("de", "p de"), ("en", "p en")}
    assert len({*corpus.passages["group"].to_pylist(), *corpus.queries["group"].to_pylist()}) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test-context-en-question-en.json", squad(("T", [("p", [("x", "x?"), ("x", "y?")])])), "'x' occurs twice"),
        ("test-context-en-question-en.json", squad(("T", [("", [("x", "x?")])])), "field 'context': is empty"),
        ("test-context-en-question-en.json", squad(("T", [("p", [("x", " ")])])), "row 1, field 'question': is empty"),
        ("en.json", {}, r"holds no file such as test-context-en-question-en\.json"),
    ],
)
def test_bad_mlqa_files(tmp_path, name: str, content: dict[str, Any], message: str) -> None:
    write(tmp_path, name, json.dumps(content))
    with pytest.raises(ReaderError, match=message):
        open_corpus(f"mlqa={tmp_path}")


def test_mlqa_sources_that_are_not(tmp_path) -> None:
    source = mlqa_folder(tmp_path)
    with pytest.raises(ReaderError, match="the option split is test or dev, not 'train'"):
        open_corpus(f"{source}?split=train")
    other = squad(("T", [("p1 de", [("a", "another?")])]))
    write(tmp_path, "MLQA_V1/test/test-context-de-question-en.json", json.dumps(other))
    with pytest.raises(ReaderError, match="'a' has another text than with the paragraphs of another language"):
        open_corpus(f"{source}?queries=en&paired=true")
    (tmp_path / "MLQA_V1/test/test-context-de-question-en.json").unlink()
    with pytest.raises(ReaderError, match=r"is missing: test-context-de-question-en\.json"):
        open_corpus(f"{source}?queries=en&paired=true")
    write(tmp_path, "copy/test-context-en-question-en.json", json.dumps(squad(("T", [("p", [("x", "x?")])]))))
    with pytest.raises(ReaderError, match="is there twice"):
        open_corpus(source)


def shift_of_mlqa(
    files: dict[tuple[str, str], list[tuple[str, str, str]]], asked: list[str]
) -> tuple[Any, list[Text]]:
    """SHIFT's rules for MLQA, written a second time: the relevant passages of each query, and the pool.

    `files` has the rows (id, question, paragraph) by language of the paragraphs and of the questions, in SHIFT's order.
    """
    one = len(asked) == 1
    read = [pair for pair in files if pair[1] in asked]
    first = {}
    for lang, query in read:
        for _, _, paragraph in files[lang, query]:
            first.setdefault(paragraph, lang)
    answers: dict[Text, set[Text]] = {}
    for lang, query in read:
        for name, question, paragraph in files[lang, query]:
            # With one query language a query is its text, and else its id.
            answers.setdefault((query, question if one else name), set()).add((first[paragraph], paragraph))
    if not one:
        every: dict[str, set[Text]] = {}
        for (_, name), found in answers.items():
            every.setdefault(name, set()).update(found)
        answers = {(query, name): every[name] for query, name in answers}
    return answers, [(lang, paragraph) for paragraph, lang in first.items()]


@pytest.mark.parametrize("asked", [["en"], ["de"], ["de", "en", "es"]])
@pytest.mark.parametrize("seed", range(3))
def test_the_rules_of_shift_on_random_data(tmp_path, asked: list[str], seed: int) -> None:
    rng = random.Random(seed)
    langs = ("de", "en", "es")
    there = {n: ["en", *rng.sample(["de", "es"], rng.randint(0, 2))] for n in range(40)}
    # Few texts, so that questions share theirs, and paragraphs occur in several languages.
    question = {(n, lang): f"{rng.randrange(15)}? {lang}" for n in there for lang in langs}
    paragraph = {(n, lang): f"p{rng.randrange(12)}{rng.choice(('', lang))}" for n in there for lang in langs}
    files = {}
    for lang in langs:
        for query in langs:
            names = [n for n, known in there.items() if lang in known and query in known]
            files[lang, query] = [(f"q{n}", question[n, query], paragraph[n, lang]) for n in names]
            articles = [("T", [(context, [(name, text)])]) for name, text, context in files[lang, query]]
            write(tmp_path, f"test-context-{lang}-question-{query}.json", json.dumps(squad(*articles)))
    corpus = open_corpus(f"mlqa={tmp_path}?pool=shift&queries={','.join(asked)}")
    expected, pool = shift_of_mlqa(files, asked)
    assert sorted(pool_of(corpus)) == sorted(pool)
    passages: dict[str, set[Text]] = {}
    for row in corpus.passages.to_pylist():
        passages.setdefault(row["item"], set()).add((row["lang"], row["text"]))
    answers: dict[str, set[Text]] = {}
    for pair in corpus.qrels.to_pylist():
        answers.setdefault(pair["query_item"], set()).update(passages[pair["passage_item"]])
    key = "text" if len(asked) == 1 else "item"
    assert {(row["lang"], row[key]): answers[row["item"]] for row in corpus.queries.to_pylist()} == expected


# --- Multi-EuP


HEAD = "did,LANGUAGE,TEXT,NAME,title_EN,title_DE,title_NL,qid_EN,qid_DE,qid_NL\n"


def multieup_file(folder: Path) -> str:
    """Two debates; Dutch speeches in both. One speech has no text, one no debate."""
    rows = [
        "s1,EN,The fish.,A,Fish,Fische,Vis,7#EN,7#DE,7#NL",
        's2,DE,"Der Fisch, kurz.",B,Fish,Fische,Vis,7#EN,7#DE,7#NL',
        "s3,NL,De vis.,C,Fish,Fische,Vis,7#EN,7#DE,7#NL",
        "s4,NL,Het graan.,C,Grain,Getreide,Graan,8#EN,8#DE,8#NL",
        "s5,DE,,D,Grain,Getreide,Graan,8#EN,8#DE,8#NL",
        "s6,DE,Ohne Debatte.,D,,,,,,",
    ]
    write(folder, "MultiEuP.csv", HEAD + "".join(f"{row}\n" for row in rows))
    return f"multieup={folder}"


def test_multieup(tmp_path) -> None:
    corpus = open_corpus(multieup_file(tmp_path))
    assert corpus.counts().rows() == [("de", 2, 1), ("en", 2, 1), ("nl", 2, 2)]
    found = relevant(corpus)
    fish = {("en", "The fish."), ("de", "Der Fisch, kurz."), ("nl", "De vis.")}
    assert found["en", "Fish"] == found["de", "Fische"] == found["nl", "Vis"] == fish
    assert found["de", "Getreide"] == {("nl", "Het graan.")}
    assert corpus.meta["left_out"] == {"speeches without an id, a text or a debate": 2}
    assert set(corpus.queries["group"].to_pylist()) == {"7", "8"} == set(corpus.passages["group"].to_pylist())
    assert open_corpus(f"multieup={tmp_path}/MultiEuP.csv?queries=en").queries.num_rows == 2


def test_the_pool_of_shift_in_multieup_has_no_dutch(tmp_path, monkeypatch) -> None:
    source = multieup_file(tmp_path)
    monkeypatch.setattr(multieup, "SHIFT_LANGS", ("de", "en"))
    corpus = open_corpus(f"{source}?pool=shift")
    assert corpus.langs == ("de", "en")
    assert corpus.meta["pool"] == "shift"
    assert relevant(corpus)["en", "Fish"] == {("en", "The fish."), ("de", "Der Fisch, kurz.")}
    # A debate without a speech in these languages that has a text is not asked.
    assert ("en", "Grain") not in relevant(corpus)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("did,LANGUAGE\ns1,EN\n", "field 'TEXT': is missing; the columns are did, LANGUAGE"),
        (HEAD + "s1,EN,a,,F,F,F,7,7,7\ns1,EN,b,,F,F,F,7,7,7\n", "row 3, field 'did': 's1' occurs twice"),
        (HEAD + "s1,EN,a,,F,F,F,,,\n", "holds no relevant pair"),
    ],
)
def test_bad_multieup_files(tmp_path, content: str, message: str) -> None:
    write(tmp_path, "MultiEuP.csv", content)
    with pytest.raises(ReaderError, match=message):
        open_corpus(f"multieup={tmp_path}/MultiEuP.csv")


def test_multieup_sources_that_are_not(tmp_path) -> None:
    multieup_file(tmp_path)
    write(tmp_path, "MEPs.csv", "a,b\n1,2\n")
    with pytest.raises(ReaderError, match=r"holds 2 tables, not one \(MEPs\.csv, MultiEuP\.csv\); name the file"):
        open_corpus(f"multieup={tmp_path}")
    with pytest.raises(ReaderError, match="give the CSV file of Multi-EuP v2, or a folder with it"):
        open_corpus(f"multieup={tmp_path}/nothing")
