"""The texts of `zero_shot.py`: what is trained on, what is chosen by, and what the last table rests on.

No text is in two of these. XQuAD-R is only tested on. The sections of the course Security-101, the validation pages of the help
and news of NTREX decide between recipes: the first two are of the kinds that are trained on, the news are not. (Rows that train
on NTREX are not chosen by them.) Courses are machine-translated by their publishers.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

import babelmix as bm
from babelmix.corpus import Corpus, split
from babelmix.corpus.pseudo_questions import PseudoQuestions

ELEVEN = ["ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"]
"""The languages of XQuAD-R."""
HELP = ["de", "el", "en", "es", "hi", "ru", "tr", "vi", "zh-CN"]
"""Those of them that LibreOffice's help has: no Arabic, no Thai."""
PARTS = {"train": 0.7, "validation": 0.1, "test": 0.03, "unused": 0.17}
"""The parts of the help pages, as in the experiment `e5-libreoffice`."""
HELD_COURSE = "Security-101"
"""The course whose sections decide between recipes. Half of its headings are questions."""
VALIDATION_PAGES = 60
"""The most help items that decide between recipes."""
FIFTH = 2
"""The fifth of the unused help pages that is tested on. `recipe.py` has used the fifths 0 and 1."""
SENTENCES, NEWS = 3, 150
"""Sentences of a passage of news, and the most passages that decide between recipes."""
UNSEEN = ["fr", "ja", "pl", "eu"]
"""Languages of the fresh pages that no training text is in."""


@cache
def _pages(data: Path, options: str = "") -> Corpus:
    return bm.load_corpus(f"libreoffice-help={data / 'libreoffice-help' / 'blocks.parquet'}{options}")


@cache
def _help(data: Path) -> dict[str, Corpus]:
    return split(_pages(data), PARTS, seed=0)


@cache
def _courses(data: Path, options: str = "") -> Corpus:
    return bm.load_corpus(
        f"parallel-sections={data / 'courses' / 'sections.parquet'}?machine_made=all{options}", langs=ELEVEN
    )


@cache
def _ntrex(data: Path) -> dict[str, Corpus]:
    whole = bm.load_corpus(f"parallel-sentences={data / 'ntrex' / 'sentences.parquet'}", langs=ELEVEN)
    return split(whole, {"train": 0.8, "test": 0.2}, seed=0)


def _groups(corpus: Corpus) -> list[str]:
    return sorted(set(corpus.passages["group"].to_pylist()) | set(corpus.queries["group"].to_pylist()))


def _held(corpus: Corpus, held: bool) -> Corpus:
    """The sections of the course that decides between recipes, or all others."""
    groups = [group for group in _groups(corpus) if group.startswith(HELD_COURSE) == held]
    return corpus.only_groups(groups, "validation" if held else "train")


def _complete(corpus: Corpus, langs: list[str], most: int = 0) -> Corpus:
    """The items that have a query and a passage in all languages; of many, some that are spread evenly."""
    seen: dict[str, set[tuple[str, str]]] = {}
    for side in ("queries", "passages"):
        rows = getattr(corpus, side)
        for item, lang in zip(rows["item"].to_pylist(), rows["lang"].to_pylist(), strict=True):
            if lang in langs:
                seen.setdefault(item, set()).add((side, lang))
    items = sorted(item for item, there in seen.items() if len(there) == 2 * len(langs))
    if 0 < most < len(items):
        items = [items[n] for n in np.linspace(0, len(items) - 1, most).round().astype(int)]
    kept = set(items)
    sides = [
        rows.filter(np.array([i in kept and lang in langs for i, lang in zip(*_columns(rows), strict=True)]))
        for rows in (corpus.queries, corpus.passages)
    ]
    qrels = corpus.qrels.filter(np.array([item in kept for item in corpus.qrels["query_item"].to_pylist()]))
    return Corpus(*sides, qrels, corpus.name, dict(corpus.meta))


def _columns(rows: object) -> tuple[list[str], list[str]]:
    return rows["item"].to_pylist(), rows["lang"].to_pylist()  # type: ignore[index]


def training(data: Path, name: str) -> Corpus:
    """Training texts by name: `help`, `blocks`, `courses`, `sentences` or `ntrex`; those of pseudo-questions after a colon."""
    source, _, questions = name.partition(":")
    asked = f"&questions={questions}" if questions else ""
    if source in ("help", "blocks"):
        unit = "block" if source == "blocks" else "section"
        pages = set(_groups(_help(data)["train"]))
        whole = _pages(data, f"?unit={unit}{asked}")
        return whole.only_groups([group for group in _groups(whole) if group in pages], name).only_langs(HELP)
    if source in ("courses", "sentences"):
        return _held(_courses(data, asked if source == "courses" else "&unit=sentence"), held=False)
    return _ntrex(data)["train"]


def news(data: Path) -> Corpus:
    """Cloze questions for passages of NTREX, on documents that the last table does not test: texts unlike all training texts.

    A passage is three sentences in a row. Its question is one of them without its key phrase, in each language the same one.
    """
    table = pl.read_parquet(data / "ntrex" / "sentences.parquet")
    documents = set(_groups(_ntrex(data)["train"]))
    texts: dict[str, dict[str, str]] = {}
    for (name,), rows in table.group_by("document", maintain_order=True):
        if name in documents:
            for start in range(0, rows.height - SENTENCES + 1, SENTENCES):
                some = rows.slice(start, SENTENCES)
                texts[f"{name} {start}"] = {
                    lang: "\n".join(some[lang]) for lang in ELEVEN if some[lang].null_count() == 0
                }
    asking = PseudoQuestions("cloze", texts.values())
    sides: tuple[list[dict[str, str]], list[dict[str, str]]] = ([], [])
    for item, text in texts.items():
        asked = asking.ask(item, {}, text)
        if set(asked.query) == set(ELEVEN):
            for rows_of, texts_of in zip(sides, (asked.query, asked.passage), strict=True):
                rows_of += [
                    {"item": item, "lang": lang, "text": texts_of[lang], "group": item.rpartition(" ")[0]}
                    for lang in ELEVEN
                ]
    items = dict.fromkeys(row["item"] for row in sides[0])
    whole = Corpus.from_rows(*sides, [(item, item) for item in items], name="news")
    return _complete(whole, ELEVEN, NEWS)


def validation(data: Path) -> dict[str, Corpus]:
    """What decides between recipes: a course that nobody trains on, help pages, and news, which resemble no training text."""
    pages = _complete(_help(data)["validation"], [lang for lang in HELP if lang != "hi"], VALIDATION_PAGES)
    return {"course": _complete(_held(_courses(data), held=True), ELEVEN), "pages": pages, "news": news(data)}


def tested(data: Path) -> dict[str, Corpus]:
    """What the last table rests on."""
    unused = _help(data)["unused"]
    pages = unused.only_groups(_groups(unused)[FIFTH::5], "fresh pages")
    langs = [lang for lang in pages.langs if lang in {*HELP, *UNSEEN}]
    xquad = data / "xquad-r"
    return {
        "xquad-r": bm.load_corpus(f"xquad-r={xquad}"),
        "paragraphs": bm.load_corpus(f"xquad-r={xquad}?pool=shift&queries=en"),
        "fresh pages": pages.only_langs(langs),
        "ntrex": replace(_ntrex(data)["test"], name="ntrex"),
    }


__all__ = ["ELEVEN", "HELP", "tested", "training", "validation"]
