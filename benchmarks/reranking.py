"""Does a reranker bring language bias back? Small rerankers on XQuAD-R, before, after, and with scores calibrated per language.

python benchmarks/reranking.py DATA --to FOLDER

DATA has the folders xquad-r, courses and libreoffice-help. FOLDER gets the index, the rerankers (`reranker_training.py`) and all
scores, so that a run that was ended goes on. Nothing is trained or chosen on XQuAD-R. Writes the table of docs/search.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import marked
import numpy as np
import pyarrow as pa
import reranker_training

import babelmix as bm
from babelmix.corpus import Corpus
from babelmix.evaluation import Comparison, compare, holm
from babelmix.evaluation.lists import ListAudit, audit_lists
from babelmix.evaluation.systems.base import Answer
from babelmix.evaluation.systems.function import Search
from babelmix.search import Hit, Searcher, build_index, open_index
from babelmix.search.engines import exists
from babelmix.search.policies import Policy
from babelmix.search.reranking import Reranker, open_reranker
from babelmix.search.reranking.levels import Levels, LevelStore, texts_of
from babelmix.search.reranking.stage import ordered

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "search.md"
DEPTH = 50
TITLES = {
    f"multi/mAP@{DEPTH}": f"mAP@{DEPTH}",
    "multi/nDCG@10": "nDCG@10",
    "bias/same-language share@10": "own language @10",
    f"bias/same-language preference@{DEPTH}": "same-language preference",
    f"bias/rank distance@{DEPTH}": "rank distance",
}
PAIRS_PER_BLOCK = 256
ANY, BALANCED, REMOVAL = "any", "balanced", "removal"
RETRIEVED = {
    ANY: "`any`", BALANCED: "`balanced`", REMOVAL: "`any`, each language's mean taken out",
}  # fmt: skip
ORDERS = {
    "raw": "raw scores", "pairs": "calibrated, language of the query known", "query": "calibrated, unknown",
    "candidates": "above the median of the candidates",
}  # fmt: skip
AFTER = [(ANY, "raw"), (BALANCED, "raw"), (REMOVAL, "raw"), *((BALANCED, one) for one in list(ORDERS)[1:])]

Lists = dict[str, list[list[Hit]]]


class Kept(Reranker):
    """A reranker whose scores are kept in a file."""

    def __init__(self, model: Path, file: Path) -> None:
        self.name, self._model, self._file = model.name, model, file
        self._reranker: Reranker | None = None
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self._scores = {(query, text): score for query, text, score in map(json.loads, lines)}

    def scores(self, query: str, texts: Sequence[str]) -> Any:
        """See `Reranker.scores`."""
        return self.scores_of_lists([query], [texts])[0]

    def scores_of_lists(self, queries: Sequence[str], lists: Sequence[Sequence[str]]) -> list[Any]:
        """See `Reranker.scores_of_lists`."""
        pairs = [(query, text) for query, texts in zip(queries, lists, strict=True) for text in texts]
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._scores]
        for start in range(0, len(new), PAIRS_PER_BLOCK):
            block = new[start : start + PAIRS_PER_BLOCK]
            self._reranker = self._reranker or open_reranker(self._model, device="cpu")
            found = self._reranker.scores_of_lists([query for query, _ in block], [[text] for _, text in block])
            scores = [float(one[0]) for one in found]
            with self._file.open("a", encoding="utf-8") as sink:
                sink.writelines(json.dumps([*pair, score]) + "\n" for pair, score in zip(block, scores, strict=True))
            self._scores |= dict(zip(block, scores, strict=True))
            print(f"{self.name}: {start + len(block):,} of {len(new):,} pairs", flush=True)
        return [
            np.array([self._scores[q, text] for text in some], np.float32)
            for q, some in zip(queries, lists, strict=True)
        ]


def asked(corpus: Corpus, questions: int) -> pa.Table:
    """The rows of some questions in all languages, each of another article if there are as many."""
    items: dict[str, list[str]] = {}
    for row in corpus.queries.select(["item", "group"]).to_pylist():
        items.setdefault(row["group"], []).append(row["item"])
    rng, groups = np.random.default_rng(0), sorted(items)
    order = [groups[i] for i in rng.permutation(len(groups))]
    drawn = {str(rng.choice(sorted(set(items[order[n % len(order)]])))) for n in range(questions)}
    mask = np.isin(np.array(corpus.queries["item"].to_pylist(), dtype=object), sorted(drawn))
    return corpus.queries.filter(mask)


def retrieved(searcher: Searcher, texts: Sequence[str], langs: Sequence[str]) -> Lists:
    """The first rows of each query, by the policies, and after each language's mean is taken out of vectors and queries."""
    vectors = searcher.embed(list(texts))
    found = {
        name: [list(hits) for hits in searcher.search(texts, k=DEPTH, policy=name, vectors=vectors, exact=True)]
        for name in (ANY, BALANCED)
    }
    points = [point for point in searcher.index.engine.points() if point.vector is not None]
    matrix = np.stack([point.vector for point in points if point.vector is not None])
    scores = without_means(vectors, langs) @ without_means(matrix, [point.row.lang for point in points]).T
    best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
    found[REMOVAL] = [
        [
            Hit(points[i].id, float(scores[number, i]), points[i].row.item, points[i].row.lang, "", points[i].row.text)
            for i in row
        ]
        for number, row in enumerate(best)
    ]
    return found


def without_means(vectors: Any, langs: Sequence[str]) -> Any:
    """Vectors without the mean of their language, of length one."""
    tags, moved = np.array(langs), vectors.copy()
    for lang in set(langs):
        moved[tags == lang] -= vectors[tags == lang].mean(axis=0)
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


def reranked(
    reranker: Reranker, levels: LevelStore, lists: Lists, texts: Sequence[str], langs: Sequence[str]
) -> dict[tuple[str, str], list[list[Hit]]]:
    """The rows in each order of `AFTER`."""
    raw = {
        name: reranker.scores_of_lists(texts, [[str(hit.text) for hit in hits] for hits in some])
        for name, some in lists.items()
    }
    wanted = [sorted({hit.lang for hit in hits}) for hits in lists[BALANCED]]
    known: dict[str, Sequence[Levels]] = {
        "pairs": levels.of(texts, list(langs), wanted), "query": levels.of(texts, [None] * len(texts), wanted),
    }  # fmt: skip
    policies = {"raw": "any", "pairs": "balanced", "query": "balanced", "candidates": "adaptive"}
    return {
        (name, order): [
            ordered(Policy(policies[order]), hits, scores.tolist(), known[order][number] if order in known else {})
            for number, (hits, scores) in enumerate(zip(lists[name], raw[name], strict=True))
        ]
        for name, order in AFTER
    }


def system(name: str, texts: Sequence[str], lists: Sequence[Sequence[Hit]]) -> Search:
    """Lists as a system for an audit."""
    by_text = dict(zip(texts, lists, strict=True))
    return Search(
        lambda text, lang, k: [Answer(hit.item, hit.lang, hit.score) for hit in by_text[text][:k]], name, DEPTH,
        workers=1, unknown="wrong",
    )  # fmt: skip


def bonus(levels: LevelStore, langs: Sequence[str]) -> float:
    """By how many spreads unrelated texts in the query's language score above those in others, on average."""
    found = []
    for lang in langs:
        (level,) = levels.of([""], [lang], [langs])
        own, others = level[lang], [level[other] for other in langs if other != lang]
        found.append(
            (own[0] - np.mean([mean for mean, _ in others])) / np.mean([spread for _, spread in level.values()])
        )
    return float(np.mean(found))


def tests(audits: Mapping[str, ListAudit], pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """The p of each measure of the first system of each pair against the second, after Holm's correction over all."""
    found: list[Comparison] = []
    for first, second in pairs:
        both = compare([audits[first].measures], [audits[second].measures], list(TITLES))
        found += [replace(one, first=first, second=second) for one in both]
    return {(one.first, one.measure): one.p_holm for one in holm(found)}


def main() -> None:
    """Train, retrieve, rerank, audit, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--langs", default="ar,de,en,ru,zh")
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--kinds", default="english,one")
    parser.add_argument("--steps", type=int, default=reranker_training.STEPS)
    parser.add_argument("--seeds", type=int, default=1, help="rerankers of each kind")
    parser.add_argument("--quick", action="store_true", help="few steps and questions; writes no document")
    given = parser.parse_args()
    steps, questions = (2, 2) if given.quick else (given.steps, given.questions)
    langs = ["de", "en"] if given.quick else given.langs.split(",")
    place = given.to / "quick" if given.quick else given.to
    models = [place / "models" / f"{kind}-{seed}" for kind in given.kinds.split(",") for seed in range(given.seeds)]
    missing = [folder for folder in models if not folder.exists()]
    pages = reranker_training.items_of(given.data) if missing else []
    for folder in missing:
        kind, _, seed = folder.name.partition("-")
        reranker_training.train(pages, kind, folder, layers=reranker_training.LAYERS, steps=steps, seed=int(seed))
    corpus = bm.load_corpus(f"xquad-r={given.data / 'xquad-r'}", langs=langs)
    # One that is there is brought up to date: it may be of a run that was ended.
    made = exists(str(place / "index"))
    build_index(corpus, str(place / "index"), **({} if made else {"model": "e5-small-offline", "backend": "openvino"}))
    queries = asked(corpus, questions)
    texts, query_langs = queries["text"].to_pylist(), queries["lang"].to_pylist()
    spreads, pairs = {}, []
    with open_index(place / "index") as searcher:
        lists = retrieved(searcher, texts, query_langs)
        systems = {name: system(name, texts, some) for name, some in lists.items()}
        for folder in models:
            reranker = Kept(folder, place / f"{folder.name}.jsonl")
            levels = LevelStore(reranker, texts_of(searcher.index.engine))
            for (name, order), some in reranked(reranker, levels, lists, texts, query_langs).items():
                key = f"{folder.name}/{name}/{order}"
                systems[key] = system(key, texts, some)
                pairs.append((key, name if order == "raw" else f"{folder.name}/{name}/raw"))
            spreads[folder.name] = bonus(levels, langs)
    metrics = [f"mAP@{DEPTH}", "nDCG@10"]
    audits = audit_lists(systems, corpus, k=DEPTH, metrics=metrics, queries=queries)
    p = tests(audits, pairs)
    text = "\n".join([*table(audits, p), "", *notes(corpus, questions, queries.num_rows, steps, spreads)])
    print(text)
    if not given.quick:
        marked.write(DOCUMENT, {"reranking": text})


def table(audits: Mapping[str, ListAudit], p: Mapping[tuple[str, str], float]) -> list[str]:
    """A row for each system."""
    lines = [
        f"| reranker | retrieved | order | {' | '.join(TITLES.values())} |",
        f"|---|---|---|{'---:|' * len(TITLES)}",
    ]
    for key, audit in audits.items():
        model, name, order = key.split("/") if "/" in key else ("none", key, "")
        found, cells = audit.estimates(), []
        for measure in TITLES:
            one, mark = found[measure][0], "**" if p.get((key, measure), 1.0) < 0.05 else ""
            digits = 1 if "distance" in measure else 3
            value, low, high = (format(number, f".{digits}f") for number in (one.value, one.low, one.high))
            cells.append(f"{mark}{value}{mark} [{low}, {high}]")
        lines.append(f"| {model} | {RETRIEVED[name]} | {ORDERS.get(order, 'of retrieval')} | {' | '.join(cells)} |")
    return lines


def notes(corpus: Corpus, questions: int, queries: int, steps: int, spreads: Mapping[str, float]) -> list[str]:
    """What was measured, and how."""
    langs, told = ", ".join(corpus.langs), "; ".join(f"{name} {value:+.2f}" for name, value in spreads.items())
    return [
        f"XQuAD-R in {langs}: {queries} queries ({questions} questions in each language, drawn with seed 0), "
        f"{corpus.passages.num_rows:,} sentences, the first {DEPTH} of `e5-small-offline` reranked. "
        "Macro-averages over query languages, 95 % intervals over articles. Bold: raw scores that differ from the same rows "
        "before, and calibrated ones that differ from raw ones, p < .05 after Holm's correction over the table.",
        "",
        f"The rerankers are the first {reranker_training.LAYERS} layers of `e5-small-offline`, trained for {steps} steps of "
        f"{reranker_training.QUERIES} headings with {reranker_training.NEGATIVES + 1} texts each, of courses (machine-translated "
        "by their publishers) and LibreOffice's help; the number is the seed. `english`: English alone; `one`: heading and texts "
        "in one language, another one each time. Unrelated texts in the query's language score above those in others by so "
        f"many spreads: {told}.",
    ]


if __name__ == "__main__":
    main()
