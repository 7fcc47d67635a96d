"""The danger of own means: a collection whose German part is about other things.

    python benchmarks/topics.py --data FOLDER --vectors FOLDER

The collections are XQuAD-R's passages and questions with one change to the German part. `articles`: a share of its articles is in
German only, and those that it gives for them are in the other languages only; each language keeps half of its sentences, drawn
apart, so that few are translations. `courses`: sections of computer courses are added until they are a share of the German part,
as passages and as queries of its query log. `only`: some articles, which no other language has, are the whole German part.

Own means are computed from the collection and its query log; offsets, with the mean of all languages (centre 1), from NTREX;
`auto` chooses. Each row is the mean over draws, with the standard deviation. Questions are asked in all languages, whatever the
log says. Writes docs/remedies.md. The vectors are those of `removal.py`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from marked import write
from removal_data import ELEVEN, Store, TestSet, courses, ntrex, xquad_sentences
from results import ROOT, table

import babelmix as bm
from babelmix.encoders.removal import AnyRemoval, Embedded, RemovalOptions, removal_method
from babelmix.encoders.removal.auto import topic_difference
from babelmix.evaluation import measures
from babelmix.evaluation.scoring import rank_table

LANG = "de"
DEGREES = (0.0, 0.25, 0.5, 0.75, 1.0)
ONLY = (6, 3)
"""Articles that are the whole German part."""
OF_COURSES = (0.2, 0.4)
"""There are not enough sections for more."""
SHOWN = ("multi/mAP", "cross/mAP", "mono/mAP")
HEAD = ["German part", "share", "effect", "differ", "removal", "multi mAP", "to German", "cross mAP", "mono mAP"]
SHARE = 0.5
"""Of each language's sentences that `articles` keeps."""


def main() -> None:
    """Build the collections, fit, measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with xquad-r, ntrex and courses")
    parser.add_argument("--vectors", type=Path, required=True, help="the folder of the vectors, by encoder")
    parser.add_argument("--encoder", default="e5-small-offline")
    parser.add_argument("--backend", default="openvino", help="as of `babelmix audit`")
    parser.add_argument("--draws", type=int, default=3)
    arguments = parser.parse_args()
    store = Store(arguments.encoder, arguments.backend, arguments.vectors / arguments.encoder)
    test = xquad_sentences(store, f"xquad-r={arguments.data / 'xquad-r'}", 0)
    # Own means take the mean of all languages away too. So do these offsets, or the two would differ in more than topic.
    sentences = ntrex(store, arguments.data / "ntrex" / "sentences.parquet", ELEVEN)
    pairs = removal_method("offsets").fit_removal(sentences, RemovalOptions(centre=1.0))
    others = courses(store, arguments.data / "courses" / "sections.parquet")
    rows = []
    for what, degrees in (("articles", DEGREES), ("only", ONLY), ("courses", OF_COURSES)):
        for degree in degrees:
            rows += of_degree(test, others, pairs, what, degree, arguments.draws)
            print(*rows[-1], flush=True)
    written = table(HEAD, rows)
    print(written)
    write(ROOT / "docs" / "remedies.md", {"topics": written})


def of_degree(
    test: TestSet, others: Embedded, pairs: AnyRemoval, what: str, degree: float, draws: int
) -> list[list[str]]:
    """The rows of one sort and degree of difference."""
    names = ("none", "own-means", "offsets", "auto")
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    effects, verdicts, chosen = [], [], []
    for seed in range(draws):
        corpus, kept = (
            by_articles(test, degree, seed) if what != "courses" else (test.corpus, np.arange(len(test.passages)))
        )
        passages, langs = test.passages[kept], [test.langs["passages"][n] for n in kept]
        asked = np.arange(len(test.queries))
        log = embedded_of(test, kept, asked)
        if what == "courses":
            more = others.only(drawn_courses(others, langs.count(LANG), degree, seed))
            log = together(log, more)
            extra = more.kind == 1
            passages = np.concatenate([passages, more.vectors[extra].astype(np.float32)])
            langs += [LANG] * int(extra.sum())
            corpus = with_courses(corpus, int(extra.sum()))
        tested = topic_difference(log, pairs, seed=seed)
        effects.append(tested.effect)
        verdicts.append(tested.verdict)
        removals: dict[str, AnyRemoval | None] = {
            "none": None, "offsets": pairs, "own-means": removal_method("own-means").fit_removal(log),
            "auto": removal_method("auto").fit_removal(log, RemovalOptions(pairs=pairs, seed=seed)),
        }  # fmt: skip
        auto = removals["auto"]
        assert auto is not None
        chosen.append(auto.facts["chosen"])
        for name, removal in removals.items():
            sides = (test.queries, passages)
            if removal is not None:
                sides = (
                    removal.apply(test.queries, test.langs["queries"], "query"), removal.apply(passages, langs, "passage")
                )  # fmt: skip
            found[name].append(values(corpus, *sides))
    says = f"{sum(verdicts)} of {draws}"
    lines = []
    for name in names:
        cells = [
            f"{mean:.3f} ±{spread:.3f}"
            for mean, spread in zip(np.mean(found[name], 0), np.std(found[name], 0), strict=True)
        ]
        label = (
            f"`auto`: {', '.join(sorted(set(chosen)))}"
            if name == "auto"
            else f"`{name}`"
            if name != "none"
            else "none"
        )
        lines.append(
            [
                what,
                f"{degree} articles" if isinstance(degree, int) else f"{degree:.0%}",
                f"{np.mean(effects):.2f}",
                says,
                label,
                *cells,
            ]
        )
    return lines


def values(corpus: bm.Corpus, queries: npt.NDArray[np.float32], passages: npt.NDArray[np.float32]) -> list[float]:
    """Multilingual mAP, cross-lingual mAP of German passages, cross-lingual and monolingual mAP."""
    found = measures(rank_table(corpus, queries, passages), ["mAP"])
    cross = found["cross/mAP"]
    german = [
        np.mean(cross.values[cross.cell == n])
        for n, name in enumerate(cross.cells)
        if name.split(">")[-1].endswith(LANG)
    ]
    multi, whole, mono = (found[name].macro() for name in SHOWN)
    return [multi, float(np.mean(german)), whole, mono]


def by_articles(test: TestSet, degree: float, seed: int) -> tuple[bm.Corpus, npt.NDArray[np.int64]]:
    """The collection of a draw, and the rows of the passages that it keeps.

    Half of the articles are in all languages but German. German has a share `degree` of the other half in their place; an int is
    the number of articles of the other half that German has, and nothing else.
    """
    draw = np.random.default_rng(seed)
    groups = np.array(test.corpus.passages["group"].to_pylist())
    langs = np.array(test.langs["passages"])
    order = draw.permutation(np.unique(groups))
    half = len(order) // 2
    foreign = round(degree * half) if isinstance(degree, float) else degree
    shared = half if isinstance(degree, int) else foreign
    mine = np.concatenate([order[shared:half], order[half : half + foreign]])
    kept = []
    for lang in ELEVEN:
        here = np.flatnonzero((langs == lang) & np.isin(groups, mine if lang == LANG else order[:half]))
        kept.append(draw.choice(here, int(SHARE * len(here)), replace=False))
    rows = np.sort(np.concatenate(kept))
    corpus = test.corpus
    passages = corpus.passages.take(rows)
    items = set(passages["item"].to_pylist())
    there = np.array([item in items for item in corpus.qrels["passage_item"].to_pylist()])
    return bm.Corpus(corpus.queries, passages, corpus.qrels.filter(there), corpus.name, {}), rows


def embedded_of(test: TestSet, passages: npt.NDArray[np.int64], queries: npt.NDArray[np.int64]) -> Embedded:
    """The collection and its query log. The log asks in each language about what the language's passages are about."""
    groups = {lang: set() for lang in ELEVEN}  # type: ignore[var-annotated]
    of_passages = test.corpus.passages["group"].to_pylist()
    for n in passages:
        groups[test.langs["passages"][n]].add(of_passages[n])
    of_queries = test.corpus.queries["group"].to_pylist()
    log = np.array([n for n in queries if of_queries[n] in groups[test.langs["queries"][n]]])
    langs = [test.langs["queries"][n] for n in log] + [test.langs["passages"][n] for n in passages]
    return Embedded(
        np.concatenate([test.queries[log], test.passages[passages]]).astype(np.float64),
        np.array([ELEVEN.index(lang) for lang in langs]), np.repeat([0, 1], [len(log), len(passages)]), ELEVEN,
    )  # fmt: skip


def drawn_courses(others: Embedded, there: int, degree: float, seed: int) -> npt.NDArray[np.int64]:
    """Rows of German headings and sections that make up a share of the German part."""
    assert others.item is not None
    german = others.lang == ELEVEN.index(LANG)
    items = np.unique(others.item[german])
    number = min(len(items), round(there * degree / (1 - degree)))
    kept = np.random.default_rng(seed).permutation(items)[:number]
    return np.flatnonzero(german & np.isin(others.item, kept))


def together(one: Embedded, other: Embedded) -> Embedded:
    """Two sets of texts."""
    return replace(
        one, vectors=np.concatenate([one.vectors, other.vectors]), lang=np.concatenate([one.lang, other.lang]),
        kind=np.concatenate([one.kind, other.kind]),
    )  # fmt: skip


def with_courses(corpus: bm.Corpus, number: int) -> bm.Corpus:
    """The corpus with German passages that answer no question."""
    more = [{"item": f"course-{n}", "lang": LANG, "text": f"course {n}", "group": "courses"} for n in range(number)]
    rows = [*corpus.passages.to_pylist(), *more]
    import pyarrow as pa

    passages = pa.Table.from_pylist(rows, schema=corpus.passages.schema)
    return bm.Corpus(corpus.queries, passages, corpus.qrels, corpus.name, {})


if __name__ == "__main__":
    main()
