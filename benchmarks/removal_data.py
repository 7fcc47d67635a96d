"""What `removal.py` measures on: vectors of the fitting texts and of the test sets, kept in a folder of NumPy files.

A file that is missing is made by embedding its texts; a second run reads it. A file's rows are in the order of its texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

import babelmix as bm
from babelmix._files import slug
from babelmix.encoders import load_encoder
from babelmix.encoders.embed import encode
from babelmix.encoders.removal import Embedded
from babelmix.errors import EncoderError

Floats = npt.NDArray[np.float32]

ELEVEN = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
"""The languages of XQuAD-R."""
HELP = ("cs", "de", "el", "en", "es", "fr", "hu", "it", "ja", "pl", "ru", "tr", "vi", "zh-CN")
"""Languages of LibreOffice's help pages that NTREX has too."""
HELP_ITEMS = 700
"""Headings of the test pages, and of the fitting pages, each in all languages of `HELP`."""
COURSE_ITEMS = 1000
"""Sections of courses, each in all languages of `ELEVEN`."""
TOKENS = {"ntrex": 128, "query": 64, "passage": 192}
"""Tokens that are read of fitting texts and help pages. The texts of XQuAD-R are read up to 512."""


@dataclass(frozen=True)
class Store:
    """The vectors of one encoder.

    Args:
        encoder: its name.
        backend: as of `babelmix audit`.
        folder: the folder of the vectors.
        embeds: whether vectors that are not there are made.

    """

    encoder: str
    backend: str
    folder: Path
    embeds: bool = True

    @cached_property
    def _model(self) -> Any:
        return load_encoder(self.encoder, backend=self.backend)

    def vectors(self, label: str, kind: str, texts: Callable[[], Sequence[str]], tokens: int = 512) -> Floats:
        """The vectors `LABEL.KIND.npy`, float32, shape (texts, dimension), of length one; embedded if they are not there."""
        file = self.folder / f"{label}.{kind}.npy"
        if not file.exists() and not self.embeds:
            raise EncoderError(f"{file}: is not there; run without --no-embedding")
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            given = list(texts())
            self._model.max_seq_length = min(tokens, self._model.max_seq_length or tokens)
            made = encode(self._model, given, "document" if kind == "passage" else kind, label=f"{label} {kind}")
            np.save(file.with_suffix(".tmp.npy"), np.asarray(made, dtype=np.float32))
            file.with_suffix(".tmp.npy").replace(file)
        found = np.load(file).astype(np.float32)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


@dataclass(frozen=True, eq=False)
class TestSet:
    """A corpus with its vectors, and the measures that are shown of it.

    Args:
        corpus: the corpus.
        queries: float32, shape (queries, dimension).
        passages: float32, shape (passages, dimension).
        measures: the measures of its table, with their heads.
        metrics: the ranking metrics that they need.
        about: what it is, for the head of its table.
        langs: the languages of queries and of passages.

    """

    __test__ = False

    name: str
    corpus: bm.Corpus
    queries: Floats
    passages: Floats
    measures: dict[str, str]
    metrics: tuple[str, ...] = ("mAP",)
    about: str = ""
    langs: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for side in ("queries", "passages"):
            self.langs[side] = getattr(self.corpus, side)["lang"].to_pylist()


SENTENCES = {
    "mono/mAP": "mono mAP", "cross/mAP": "cross mAP", "multi/mAP": "multi mAP", "bias/rank distance": "rank distance",
    "bias/same-language recall@10": "same-language R@10", "bias/cross-language recall@10": "other-language R@10",
}  # fmt: skip
QDRANT = {
    "multi/R@10": "R@10", "bias/same-language recall@10": "same-language R@10",
    "bias/cross-language recall@10": "cross-language R@10",
}  # fmt: skip
SHIFT = {"multi/nDCG@20": "nDCG@20", "multi/R@20": "R@20", "bias/TLR@20": "TLR@20"}


def xquad_sentences(store: Store, source: str, questions: int) -> TestSet:
    """XQuAD-R: all passages, and some or all questions in all languages (0: all)."""
    corpus = bm.load_corpus(source)
    queries = store.vectors("xquad-r", "query", lambda: corpus.queries["text"].to_pylist())
    passages = store.vectors("xquad-r", "passage", lambda: corpus.passages["text"].to_pylist())
    items = sorted(set(corpus.queries["item"].to_pylist()))
    if 0 < questions < len(items):
        kept = {items[n] for n in np.linspace(0, len(items) - 1, questions).round().astype(int)}
        rows = np.array([item in kept for item in corpus.queries["item"].to_pylist()])
        corpus = bm.Corpus(
            corpus.queries.filter(rows), corpus.passages,
            corpus.qrels.filter(np.array([item in kept for item in corpus.qrels["query_item"].to_pylist()])),
            corpus.name, dict(corpus.meta),
        )  # fmt: skip
        queries = queries[rows]
    count = len(set(corpus.queries["item"].to_pylist()))
    about = f"{count:,} questions in {len(ELEVEN)} languages, {len(passages):,} sentences"
    return TestSet("XQuAD-R", corpus, queries, passages, SENTENCES, about=about)


def one_language(test: TestSet) -> TestSet:
    """The same test set with each article in one language only, drawn evenly: a collection without translations."""
    groups = sorted(set(test.corpus.passages["group"].to_pylist()))
    langs = sorted(set(test.langs["passages"]))
    order = np.random.default_rng(0).permutation(len(groups))
    mine = {groups[n]: langs[place % len(langs)] for place, n in enumerate(order)}
    passages = test.corpus.passages
    kept = np.array(
        [
            mine[group] == lang
            for group, lang in zip(passages["group"].to_pylist(), test.langs["passages"], strict=True)
        ]
    )
    left = passages.filter(kept)
    known = set(left["item"].to_pylist())
    qrels = test.corpus.qrels.filter(
        np.array([item in known for item in test.corpus.qrels["passage_item"].to_pylist()])
    )
    corpus = bm.Corpus(test.corpus.queries, left, qrels, test.corpus.name, dict(test.corpus.meta))
    measures = {name: SENTENCES[name] for name in ("multi/mAP", "mono/mAP", "cross/mAP")}
    about = f"each article in one language: {int(kept.sum()):,} sentences, asked in {len(langs)} languages"
    return TestSet("one-language", corpus, test.queries, test.passages[kept], measures, about=about)


def xquad_paragraphs(store: Store, source: str, options: str, measures: dict[str, str]) -> TestSet:
    """A pool of XQuAD's paragraphs. The vectors are those of all questions and paragraphs, found by language and text."""
    whole = bm.load_corpus(f"{source}?unit=paragraph")
    corpus = bm.load_corpus(f"{source}?{options}")
    sides = []
    for side, label, kind in (("queries", "xquad-r", "query"), ("passages", "xquad-p", "passage")):
        rows = getattr(whole, side)
        if label == "xquad-r":
            rows = bm.load_corpus(source).queries
        place = {key: n for n, key in enumerate(zip(rows["lang"].to_pylist(), rows["text"].to_pylist(), strict=True))}
        vectors = store.vectors(label, kind, lambda rows=rows: rows["text"].to_pylist())  # type: ignore[misc]
        mine = getattr(corpus, side)
        keys = list(zip(mine["lang"].to_pylist(), mine["text"].to_pylist(), strict=True))
        others = [key for key in keys if key not in place]
        if others:
            more = store.vectors(f"{label}.{slug(options)}", kind, lambda others=others: [text for _, text in others])  # type: ignore[misc]
            place |= {key: len(vectors) + n for n, key in enumerate(others)}
            vectors = np.concatenate([vectors, more])
        sides.append(vectors[[place[key] for key in keys]])
    metrics = ("mAP", *(name.removeprefix("multi/") for name in measures if name.startswith("multi/")))
    langs = "English, German and Spanish" if "en,de,es" in options else "SHIFT's pool, English questions"
    about = f"paragraphs, {langs}: {corpus.queries.num_rows:,} queries, {corpus.passages.num_rows:,} passages"
    return TestSet(options, corpus, *sides, measures, metrics, about)


@cache
def _help(source: str, part: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Headings and texts of half of the help pages, by language and item: those that all languages of `HELP` have."""
    corpus = bm.load_corpus(source)
    groups = sorted(set(corpus.passages["group"].to_pylist()))
    order = np.random.default_rng(0).permutation(len(groups))
    half = len(groups) // 2
    mine = {groups[n] for n in (order[:half] if part == "test" else order[half:])}
    columns = ["item", "lang", "text", "group"]
    sides = [
        pl.DataFrame(side.select(columns)).filter(pl.col("lang").is_in(HELP))
        for side in (corpus.queries, corpus.passages)
    ]
    complete = [
        set(side.group_by("item").agg(pl.col("lang").n_unique()).filter(pl.col("lang") == len(HELP))["item"])
        for side in sides
    ]
    items = sorted(item for item in complete[0] & complete[1] if item.split("#")[0] in mine)
    kept = [items[n] for n in np.sort(np.random.default_rng(1).permutation(len(items))[:HELP_ITEMS])]
    queries, passages = (
        side.filter(pl.col("item").is_in(kept))
        .unique(["item", "lang"], keep="first", maintain_order=True)
        .sort("lang", "item")
        .to_dicts()
        for side in sides
    )
    return queries, passages


def help_pages(store: Store, source: str) -> TestSet:
    """Headings of LibreOffice's help pages as queries, and the texts below them as passages."""
    queries, passages = _help(source, "test")
    items = sorted({row["item"] for row in queries})
    corpus = bm.Corpus.from_rows(queries, passages, [(item, item) for item in items], name="libreoffice-help/test")
    about = f"{len(items)} headings in {len(HELP)} languages, {len(passages):,} passages, half of the pages"
    return TestSet("help", corpus, *_help_vectors(store, source, "test"), SENTENCES, about=about)


def _help_vectors(store: Store, source: str, part: str) -> tuple[Floats, Floats]:
    sides = zip(("query", "passage"), _help(source, part), strict=True)
    queries, passages = (
        store.vectors(f"help-{part}", kind, lambda rows=rows: [row["text"] for row in rows], TOKENS[kind])  # type: ignore[misc]
        for kind, rows in sides
    )
    return queries, passages


def ntrex(store: Store, file: Path, langs: Sequence[str]) -> Embedded:
    """NTREX's sentences as queries and as passages. The item of a text is its row."""
    texts = pl.read_parquet(file)
    parts = [
        (lang, kind, store.vectors(f"ntrex.{lang}", kind, lambda lang=lang: texts[lang].to_list(), TOKENS["ntrex"]))  # type: ignore[misc]
        for lang in langs
        for kind in ("query", "passage")
    ]
    return _embedded(parts, langs)


def courses(store: Store, file: Path) -> Embedded:
    """Headings of courses as queries and their texts as passages. The item of a text is its row. Machine-translated."""
    texts = pl.read_parquet(file).drop_nulls([f"{part}_{lang}" for part in ("heading", "text") for lang in ELEVEN])
    texts = texts.unique("heading_en", keep="first", maintain_order=True)
    texts = texts[np.sort(np.random.default_rng(0).permutation(len(texts))[:COURSE_ITEMS]).tolist()]
    column = {"query": "heading", "passage": "text"}
    parts = [
        (
            lang, kind,
            store.vectors(
                f"courses.{lang}", kind, lambda lang=lang, kind=kind: texts[f"{column[kind]}_{lang}"].to_list(),  # type: ignore[misc]
                TOKENS[kind],
            ),
        )
        for lang in ELEVEN
        for kind in ("query", "passage")
    ]  # fmt: skip
    return _embedded(parts, ELEVEN)


def help_texts(store: Store, source: str) -> Embedded:
    """Headings and texts of the other half of the help pages."""
    sides = _help(source, "fit")
    vectors = _help_vectors(store, source, "fit")
    items = {item: n for n, item in enumerate(sorted({row["item"] for row in sides[0]}))}
    return Embedded(
        np.concatenate(vectors).astype(np.float64),
        np.array([HELP.index(row["lang"]) for side in sides for row in side]),
        np.repeat([0, 1], [len(side) for side in sides]), HELP,
        np.array([items[row["item"]] for side in sides for row in side]),
    )  # fmt: skip


def collection(test: TestSet) -> Embedded:
    """The passages of a test set, without labels: what own means are computed from."""
    langs = tuple(sorted(set(test.langs["passages"])))
    lang = np.array([langs.index(one) for one in test.langs["passages"]])
    return Embedded(test.passages.astype(np.float64), lang, np.ones(len(lang), dtype=np.int64), langs)


def drawn(embedded: Embedded, number: int, seed: int) -> Embedded:
    """Some of the items, in all their languages; 0: all of them."""
    assert embedded.item is not None
    items = np.unique(embedded.item)
    if not 0 < number < len(items):
        return embedded
    kept = np.random.default_rng(seed).permutation(items)[:number]
    return embedded.only(np.isin(embedded.item, kept))


def renamed(embedded: Embedded, names: dict[str, str]) -> Embedded:
    """The same texts, with other names for languages."""
    return replace(embedded, langs=tuple(names.get(lang, lang) for lang in embedded.langs))


def only_langs(embedded: Embedded, langs: Sequence[str]) -> Embedded:
    """The texts of some languages."""
    kept = [lang for lang in embedded.langs if lang in langs]
    numbers = np.array([kept.index(lang) if lang in kept else -1 for lang in embedded.langs])
    some = embedded.only(np.isin(embedded.lang, np.flatnonzero(numbers >= 0)))
    return replace(some, lang=numbers[some.lang], langs=tuple(kept))


def _embedded(parts: Sequence[tuple[str, str, Floats]], langs: Sequence[str]) -> Embedded:
    sizes = [len(vectors) for _, _, vectors in parts]
    return Embedded(
        np.concatenate([vectors for _, _, vectors in parts]).astype(np.float64),
        np.repeat([list(langs).index(lang) for lang, _, _ in parts], sizes),
        np.repeat([("query", "passage").index(kind) for _, kind, _ in parts], sizes), tuple(langs),
        np.concatenate([np.arange(size) for size in sizes]),
    )  # fmt: skip
