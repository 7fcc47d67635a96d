"""Tasks of mteb as corpora."""

from __future__ import annotations

import random
import sys
from collections import Counter

import mteb
import pytest
from datasets import Dataset

from babelmix.corpus import open_corpus
from babelmix.corpus.readers.mteb_task import Shape, parse
from babelmix.errors import MissingExtraError, ReaderError
from babelmix.evaluation.mteb import corpus_of_task


def part(passages: dict[str, str], queries: dict[str, str], relevant: dict[str, dict[str, int]]) -> dict:
    return {
        "corpus": Dataset.from_dict({"id": list(passages), "text": list(passages.values())}),
        "queries": Dataset.from_dict({"id": list(queries), "text": list(queries.values())}),
        "relevant_docs": relevant,
        "top_ranked": None,
    }


def task_of(name: str, data: dict, split: str = "test"):
    """A real task of mteb, or of ours, that holds data of the test."""
    task = mteb.get_task(name)
    task.hf_subsets = list(data)
    task.dataset = {subset: {split: parts} for subset, parts in data.items()}
    task.data_loaded = True
    return task


def rows(table) -> set[tuple[str, str, str]]:
    return {(r["item"], r["lang"], r["text"]) for r in table.to_pylist()}


def test_mlqas_pairs_collapse() -> None:
    """Subsets are context-query, mteb's ids are numbers by chance, and a question is only where both languages have it."""
    langs = {"ara": "ar", "deu": "de", "eng": "en"}
    has = {"ara": (0, 1), "deu": (0, 1, 2, 3, 4), "eng": (0, 1, 2, 3, 4)}
    context_of = (0, 0, 1, 2, 3)
    chance = random.Random(1)
    data = {}
    for c in langs:
        for q in langs:
            shared = [i for i in has[c] if i in has[q]]
            contexts = sorted({context_of[i] for i in shared})
            query_id = {i: f"Q{n}" for n, i in enumerate(chance.sample(shared, len(shared)))}
            doc_id = {i: f"C{n}" for n, i in enumerate(chance.sample(contexts, len(contexts)))}
            data[f"{c}-{q}"] = part(
                {doc_id[i]: f"{c} context {i}" for i in contexts},
                {query_id[i]: f"{q} question {i}" for i in shared},
                {query_id[i]: {doc_id[context_of[i]]: 1} for i in shared},
            )
    corpus = corpus_of_task(task_of("MLQARetrieval", data))
    asked = {(tag, f"{lang} question {i}") for lang, tag in langs.items() for i in has[lang]}
    pool = {(tag, f"{lang} context {i}") for lang, tag in langs.items() for i in {context_of[j] for j in has[lang]}}
    for table, expected in ((corpus.queries, asked), (corpus.passages, pool)):
        assert {r[1:] for r in rows(table)} == expected
        assert len(set(table["item"].to_pylist())) == table.num_rows == len(expected)
    query, passage = ({r["item"]: r["text"] for r in t.to_pylist()} for t in (corpus.queries, corpus.passages))
    found = {(query[r["query_item"]], passage[r["passage_item"]]) for r in corpus.qrels.to_pylist()}
    assert found == {
        (f"{q} question {i}", f"{c} context {context_of[i]}")
        for q in langs
        for c in langs
        for i in has[q]
        if i in has[c]
    }
    groups: dict[str, set[str]] = {}
    for row in (*corpus.queries.to_pylist(), *corpus.passages.to_pylist()):
        groups.setdefault(row["group"], set()).add(row["text"].split(" ", 1)[1])
    assert sorted(map(sorted, groups.values())) == [
        ["context 0", "question 0", "question 1"],
        ["context 1", "question 2"],
        ["context 2", "question 3"],
        ["context 3", "question 4"],
    ]
    assert corpus.meta["evaluation_only"] is True
    assert corpus.meta["split"] == "test"
    assert corpus.name == "MLQARetrieval"


def xquad_data() -> dict:
    """Three paragraphs, two questions each; in English two questions about different paragraphs are one text and id."""
    data = {}
    for lang in ("en", "de", "zh"):
        passages = {f"{lang}-{p}": f"{lang} paragraph {p}" for p in range(3)}
        queries = {f"q{i}": f"{lang} question {i}" for i in range(6)}
        relevant = {f"q{i}": {f"{lang}-{i // 2}": 1} for i in range(6)}
        if lang == "en":
            del queries["q5"], relevant["q5"]
            relevant["q0"] = {"en-0": 1, "en-2": 1}
        data[lang] = part(passages, queries, relevant)
    return data


def test_xquads_paragraphs_are_linked_through_their_questions() -> None:
    corpus = corpus_of_task(task_of("XQuADRetrieval", xquad_data(), "validation"))
    by_item: dict[str, set[str]] = {}
    for item, lang, text in rows(corpus.passages):
        assert text.startswith({"zh": "zh", "de": "de", "en": "en"}[lang])
        by_item.setdefault(item, set()).add(text)
    assert sorted(map(sorted, by_item.values())) == [
        [f"{lang} paragraph {p}" for lang in ("de", "en", "zh")] for p in range(3)
    ]
    assert corpus.counts().rows() == [("de", 6, 3), ("en", 5, 3), ("zh", 6, 3)]
    # Only the English text of q0 asks for two paragraphs.
    assert set(corpus.queries["item"].to_pylist()) == {f"q{i}" for i in range(6)} | {"q0:en"}
    assert ("q0:en", "en", "en question 0") in rows(corpus.queries)
    assert Counter(corpus.qrels["query_item"].to_pylist()) == {f"q{i}": 1 for i in range(6)} | {"q0:en": 2}
    data = xquad_data()
    data["de"]["relevant_docs"]["q1"] = {"de-1": 1}
    with pytest.raises(ReaderError, match="of one language to one item"):
        corpus_of_task(task_of("XQuADRetrieval", data, "validation"))


def test_miracl_is_apart_and_graded() -> None:
    data = {
        "sw": part({"1#0": "habari", "2#0": " "}, {"0": "nini"}, {"0": {"1#0": 3, "2#0": 1, "9#9": 1}}),
        "ja": part({"1#0": "知らせ", "2#0": "別"}, {"0": "何"}, {"0": {"1#0": 1, "2#0": 0}}),
    }
    corpus = corpus_of_task(task_of("MIRACLRetrieval", data, "dev"))
    assert rows(corpus.passages) == {("sw:1#0", "sw", "habari"), ("ja:1#0", "ja", "知らせ"), ("ja:2#0", "ja", "別")}
    assert rows(corpus.queries) == {("sw:0", "sw", "nini"), ("ja:0", "ja", "何")}
    qrels = {tuple(q.values()) for q in corpus.qrels.to_pylist()}
    assert qrels == {("sw:0", "sw:1#0", 3), ("ja:0", "ja:1#0", 1)}
    assert corpus.meta["left_out"] == {"texts without words": 1, "judgements of what is nowhere": 2}
    assert corpus.is_graded


def test_any_other_task_is_aligned_if_a_person_says_so() -> None:
    data = {lang: part({"d": f"{lang} text"}, {"q": f"{lang} query"}, {"q": {"d": 1}}) for lang in ("de", "en")}
    languages = {"de": ["deu-Latn"], "en": ["eng-Latn"]}
    apart = parse(data, languages, Shape("subsets", "subsets"), name="x")
    assert set(apart.passages["item"].to_pylist()) == {"de:d", "en:d"}
    together = parse(data, languages, Shape("ids", "ids"), name="x")
    assert rows(together.passages) == {("d", "de", "de text"), ("d", "en", "en text")}
    assert together.qrels.num_rows == 1
    again = data | {"de2": part({"d": "another text"}, {"q": "de query"}, {"q": {"d": 1}})}
    with pytest.raises(ReaderError, match="the id 'd' has two texts in de, the second in the subset de2"):
        parse(again, languages | {"de2": ["deu-Latn"]}, Shape("ids", "ids"), name="x")
    # The same id for another text of the language.
    texts = parse(again, languages | {"de2": ["deu-Latn"]}, Shape("texts", "texts"), name="x")
    assert {r[1:] for r in rows(texts.passages)} == {("de", "de text"), ("en", "en text"), ("de", "another text")}
    assert texts.counts().rows() == [("de", 1, 2), ("en", 1, 1)]


def test_what_cannot_be_read_says_why(monkeypatch) -> None:
    for spec, reason in (
        ("mteb", "needs a path: write  mteb=PATH"),
        ("mteb=MLQARetreival", "has no task 'MLQARetreival'; did you mean 'MLQARetrieval'"),
        ("mteb=nothing at all", "has no task 'nothing at all'$"),
        ("mteb=STS12", "of type STS; only retrieval tasks"),
        ("mteb=BelebeleRetrieval", "use the reader 'belebele'"),
        ("mteb=XQuADRetrieval", "XQuADRetrieval cannot be loaded .*; check the network"),
    ):
        with pytest.raises(ReaderError, match=reason) as caught:
            open_corpus(spec)
        assert "\n" not in str(caught.value)
    with pytest.raises(ReaderError, match="no split 'train'; it has validation, test"):
        open_corpus("mteb=MLQARetrieval", split="train")
    with pytest.raises(ReaderError, match="MLQARetrieval has no xx; it has ar, de"):
        open_corpus("mteb=MLQARetrieval", langs=["xx"])
    with pytest.raises(ReaderError, match="not 'both'"):
        open_corpus("mteb=MLQARetrieval", pairs="both")
    pictures = part({"a": "x"}, {"q": "y"}, {"q": {"a": 1}})
    pictures["corpus"] = pictures["corpus"].rename_column("text", "image")
    with pytest.raises(ReaderError, match="has the columns id, image, but id and text"):
        parse({"de": pictures}, {"de": ["deu-Latn"]}, Shape("ids", "ids"), name="x")
    talk = part({"a": "x"}, {"q": "y"}, {"q": {"a": 1}})
    talk["queries"] = Dataset.from_dict({"id": ["q"], "text": [["hello", "there"]]})
    with pytest.raises(ReaderError, match="queries, row 1, holds list"):
        parse({"de": talk}, {"de": ["deu-Latn"]}, Shape("ids", "ids"), name="x")
    with pytest.raises(ReaderError, match="no relevant pair"):
        parse({"de": part({"a": "x"}, {"q": "y"}, {})}, {"de": ["deu-Latn"]}, Shape("ids", "ids"), name="x")
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(MissingExtraError, match=r"babelmix\[mteb\]"):
        open_corpus("mteb=MLQARetrieval")


def test_a_split_that_was_not_loaded() -> None:
    task = task_of("MIRACLRetrieval", {"sw": part({"1": "habari"}, {"0": "nini"}, {"0": {"1": 1}})}, "train")
    with pytest.raises(ReaderError, match="subset sw: mteb loaded no split 'dev'"):
        corpus_of_task(task)


def test_only_the_wanted_languages_are_loaded(monkeypatch) -> None:
    loaded = []

    def load(self, **kwargs) -> None:
        loaded.append((self.hf_subsets, list(self.eval_splits)))
        one = part({"d": "x"}, {"q": "y"}, {"q": {"d": 1}})
        self.dataset = {subset: {"validation": one} for subset in self.hf_subsets}
        self.data_loaded = True

    monkeypatch.setattr(type(mteb.get_task("MLQARetrieval")), "load_data", load)
    corpus = open_corpus("mteb=MLQARetrieval", langs=["de", "en"], split="validation")
    assert loaded == [(["deu-deu", "deu-eng", "eng-deu", "eng-eng"], ["validation"])]
    assert corpus.langs == ("de", "en")
