"""Collections in which each text exists in one language only, half in each, made of real translations; `fusion.py` uses them.

| source | what asks | what is found | in |
|---|---|---|---|
| `courses` | headings | sections of courses, translated by machine by their publishers | en, cs, ja |
| `libreoffice-help` | titles | the texts under them | en, de, hu |
| `xquad-r` | questions | sentences of Wikipedia | en, de, zh |
| `ntrex` | only words of the sentence | sentences of news | en, cs, ru |

Three kinds of queries: `question` is the source's own; `keywords` are the three rarest words of the right passage, in each
language those of its rendering in this language; `codes` are numbers, abbreviations and names in Latin letters that stand in all
renderings.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from embedded import Floats, embedded

from babelmix.corpus import load_corpus
from babelmix.search.words import Words

ITEMS, ASKED, LONGEST, SHORTEST = 500, 250, 400, 60
"""Items of a collection; those that are asked for; characters of the longest and the shortest text."""
SOURCES: Mapping[str, tuple[str, ...]] = {
    "courses": ("en", "cs", "ja"),
    "libreoffice-help": ("en", "de", "hu"),
    "xquad-r": ("en", "de", "zh"),
    "ntrex": ("en", "cs", "ru"),
}
"""The languages of each source: English, and two that are paired with it."""
KINDS = ("question", "keywords", "codes")
_CODE = re.compile(r"\b(?:\w*\d\w*|[A-Z]{2,}\w*|[A-Z][a-z]+[A-Z]\w*)\b")
_MOST = 5
"""A code stands in at most so many texts of a language."""


@dataclass(frozen=True, eq=False)
class Source:
    """Items with their renderings.

    Args:
        name: one of `SOURCES`.
        langs: the languages.
        groups: the page or article of each item.
        passages: the text of each item by language.
        questions: the question of each item by language; empty without questions.

    """

    name: str
    langs: tuple[str, ...]
    groups: list[str]
    passages: Mapping[str, list[str]]
    questions: Mapping[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, data: Path, name: str) -> Source:
        """Read a source, and draw items of it, a page after the other."""
        langs = SOURCES[name]
        if name == "courses":
            frame = pl.read_parquet(data / "courses" / "sections.parquet")
            columns = [f"{kind}_{lang}" for kind in ("heading", "text") for lang in langs]
            rows = [
                (one["page"], [one[f"heading_{lang}"] for lang in langs], [one[f"text_{lang}"] for lang in langs])
                for one in frame.drop_nulls(columns).unique(["heading_en"], maintain_order=True).to_dicts()
            ]
        elif name == "ntrex":
            frame = pl.read_parquet(data / "ntrex" / "sentences.parquet")
            rows = [(one["document"], [], [one[lang] for lang in langs]) for one in frame.to_dicts()]
        else:
            place = data / name / ("blocks.parquet" if name == "libreoffice-help" else "")
            corpus = load_corpus(f"{name}={place}", langs=list(langs))
            asks: dict[str, dict[str, str]] = {}
            for query in corpus.queries.to_pylist():
                asks.setdefault(query["item"], {})[query["lang"]] = query["text"]
            renderings: dict[str, list[dict[str, str]]] = {}
            for passage in corpus.passages.to_pylist():
                renderings.setdefault(passage["item"], []).append(passage)
            # XQuAD-R numbers the sentences of each language apart: a question has an answer in each.
            answers: dict[str, dict[str, str]] = {}
            group: dict[str, str] = {}
            for one in corpus.qrels.to_pylist():
                for passage in renderings[one["passage_item"]]:
                    answers.setdefault(one["query_item"], {})[passage["lang"]] = passage["text"]
                    group[one["query_item"]] = passage["group"]
            # A passage is asked for by its first question.
            first = {texts.get("en", ""): query for query, texts in reversed(answers.items())}
            rows = [
                (group[query], [asks[query].get(lang, "") for lang in langs], [answers[query].get(lang, "") for lang in langs])
                for query in sorted(first.values())
            ]  # fmt: skip
        fit = [
            (page, queries, passages)
            for page, queries, passages in rows
            if all(queries) and all(passages) and len(passages[0]) >= SHORTEST and len(set(passages)) == len(langs)
        ]
        pages = sorted({page for page, *_ in fit})
        order = {page: i for i, page in enumerate(np.random.default_rng(0).permutation(pages).tolist())}
        drawn = sorted(fit, key=lambda one: order[one[0]])[:ITEMS]
        questions = {lang: [one[1][i] for one in drawn] for i, lang in enumerate(langs)} if drawn[0][1] else {}
        return cls(
            name, langs, [one[0] for one in drawn],
            {lang: [one[2][i][:LONGEST] for one in drawn] for i, lang in enumerate(langs)}, questions,
        )  # fmt: skip

    def asked(self) -> list[int]:
        """The items that are asked for, drawn at random."""
        return sorted(np.random.default_rng(1).permutation(len(self.groups))[:ASKED].tolist())

    @cached_property
    def queries(self) -> dict[str, dict[str, list[str]]]:
        """The queries of the items that are asked for, by kind and language; an empty text: the item has none."""
        return {kind: self._queries(kind) for kind in KINDS}

    def _queries(self, kind: str) -> dict[str, list[str]]:
        some = self.asked()
        if kind == "question":
            return {lang: [texts[i] for i in some] for lang, texts in self.questions.items()}
        if kind == "keywords":
            return {lang: keywords(texts, some) for lang, texts in self.passages.items()}
        found = {lang: [set(_CODE.findall(text)) for text in texts] for lang, texts in self.passages.items()}
        shared = [set.intersection(*(found[lang][i] for lang in self.langs)) for i in range(len(self.groups))]
        count = Counter(code for codes in shared for code in codes)
        texts = [
            " ".join(sorted((c for c in shared[i] if count[c] <= _MOST and len(c) > 1), key=lambda c: (count[c], c))[:3])
            for i in some
        ]  # fmt: skip
        # A number has no language: it is asked once.
        return {self.langs[0]: texts}


def keywords(texts: Sequence[str], some: Sequence[int]) -> list[str]:
    """The three rarest words of some texts, in the order of the text."""
    cut = [Words.of(text).words for text in texts]
    count = Counter(word for words in cut for word in set(words))
    made = []
    for i in some:
        words = [word for word in dict.fromkeys(cut[i]) if len(word) > 1]
        rare = set(sorted(words, key=lambda word: (count[word], -len(word), word))[:3])
        made.append(" ".join(word for word in words if word in rare))
    return made


@dataclass(frozen=True, eq=False)
class Pool:
    """Passages and queries of two languages.

    Args:
        name: the source and the two languages.
        kind: the kind of queries.
        texts: the passages.
        langs: int64, shape (passages,): 0 or 1, the language of each passage.
        vectors: float32, shape (passages, dimension).
        queries: the queries.
        query_langs: int64, shape (queries,).
        query_vectors: float32, shape (queries, dimension).
        relevant: bool, shape (queries, passages).
        groups: the page of each query.

    """

    name: str
    kind: str
    texts: list[str]
    langs: np.ndarray
    vectors: Floats
    queries: list[str]
    query_langs: np.ndarray
    query_vectors: Floats
    relevant: np.ndarray
    groups: np.ndarray


def pool(source: Source, kind: str, other: str, model: str, folder: Path, *, parallel: bool, seed: int = 0) -> Pool:
    """The pool of English and another language.

    Args:
        source: the source.
        kind: the kind of queries.
        other: the other language.
        model: the encoder.
        folder: the folder of vectors.
        parallel: whether each item is in both languages; else half of the items are in each.
        seed: of the half.

    """
    size, pair = len(source.groups), ("en", other)
    lang_of = np.random.default_rng(seed).permutation(np.arange(size) % 2)
    rows = [(i, side) for side in (0, 1) for i in range(size) if parallel or lang_of[i] == side]
    stem = f"{model}.{source.name}"
    backend = "openvino" if model == "e5-small-offline" else "torch"
    passages = {
        lang: embedded(folder, f"{stem}.{lang}", source.passages[lang], "passage", model=model, backend=backend)
        for lang in pair
    }
    asked, queries = source.asked(), source.queries[kind]
    kept, vectors = [], {}
    for side, lang in enumerate(pair):
        if lang not in queries:
            continue
        texts = queries[lang]
        vectors[side] = embedded(
            folder, f"{stem}.{kind}.{lang}", [text or "-" for text in texts], "query", model=model, backend=backend
        )
        kept += [(side, n) for n, text in enumerate(texts) if text]
    items = np.array([i for i, _ in rows])
    wanted = np.array([asked[n] for _, n in kept])
    # A query of a code counts for the language of its passage.
    query_langs = np.array([side if kind != "codes" or parallel else lang_of[asked[n]] for side, n in kept])
    return Pool(
        f"{source.name} {other}/en", kind, [source.passages[pair[side]][i] for i, side in rows],
        np.array([side for _, side in rows]), np.stack([passages[pair[side]][i] for i, side in rows]),
        [queries[pair[side]][n] for side, n in kept], query_langs, np.stack([vectors[side][n] for side, n in kept]),
        wanted[:, None] == items[None, :], np.array([source.groups[i] for i in wanted]),
    )  # fmt: skip
