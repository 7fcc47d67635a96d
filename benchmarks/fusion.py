"""Choose how a hybrid search fuses vectors and words: method and weight that help, and hurt no collection of two languages.

python benchmarks/fusion.py DATA --vectors FOLDER

DATA has the folders courses, libreoffice-help, xquad-r and ntrex. Method, constant and weight are chosen on courses and
LibreOffice's help, and confirmed on XQuAD-R and NTREX. Exact scores, BM25 of an index in a folder, and the fusion of
`babelmix.search.fusion`, for all queries of a pool at once. Writes the block `fusion` of docs/search.md.
"""

from __future__ import annotations

import argparse
import itertools
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import marked
import numpy as np
from fused_lists import Floats, bm25
from mixed_corpora import KINDS, SOURCES, Pool, Source, pool

from babelmix.evaluation import Measure, compare, holm
from babelmix.search.fusion import DEFAULT_FUSION, DEFAULT_WEIGHT, Fusion
from babelmix.search.rows import Hit

MODELS = ("e5-small-offline", "static-e5")
TUNING = ("courses", "libreoffice-help")
POLICIES = ("any", "balanced")
DEPTH, K = 100, 20
"""Rows of each list, and of the fused list."""
FUSIONS = tuple(
    map(
        Fusion.parse,
        ("rrf:k=2", "rrf:k=20", "rrf", "rrf:k=200", "convex", "convex:norm=spread", "convex:by=lang", "dbsf"),
    )
)

WEIGHTS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
HARM = 0.002
"""What a hybrid search may lose of the MRR of vectors alone on any mixed pool of the tuning sources. With 0.005, `rrf:k=2` with
weight 0.3 was the best; it lost 0.018 on a pool of XQuAD-R, whose vectors are better."""
METRICS = ("MRR@20", "nDCG@10", "mAP@20", "own language @10", "rank distance")

Key = tuple[str, float]
"""A fusion and a weight: `("dense", 0)`, `("words", 0)`, `("rrf", 0.2)`."""
DENSE, WORDS = ("dense", 0.0), ("words", 0.0)


@dataclass(frozen=True, eq=False)
class Cell:
    """The queries of one pool under one policy.

    Args:
        pool: the name of the source and of the other language.
        kind: the kind of queries.
        model: the encoder.
        parallel: whether each item is in both languages.
        policy: the policy.
        same: bool, shape (queries,): whether the right passage of a mixed pool is in the query's language.
        query_langs: int64, shape (queries,).
        groups: the page of each query.
        values: by fusion and metric, float64, shape (queries,).

    """

    pool: str
    kind: str
    model: str
    parallel: bool
    policy: str
    same: np.ndarray
    query_langs: np.ndarray
    groups: np.ndarray
    values: dict[Key, dict[str, np.ndarray]]

    @property
    def tuning(self) -> bool:
        """Whether the pool is one of those on which the default is chosen."""
        return self.pool.split()[0] in TUNING

    def mean(self, key: Key, metric: str, same: bool | None = None) -> float:
        """The mean of a metric, over all queries or those with the right passage in the same or in the other language."""
        some = np.ones(len(self.same), dtype=bool) if same is None or self.parallel else self.same == same
        return float(np.nanmean(self.values[key][metric][some])) if some.any() else float("nan")


def contributions(fusion: Fusion, scores: Floats, langs: np.ndarray) -> Floats:
    """What a list adds to each candidate, float32, shape (queries, candidates); minus infinity in `scores`: not in the list."""
    there = np.isfinite(scores)
    if fusion.method == "rrf":
        order = np.argsort(-scores, axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(scores.shape[1])[None, :], axis=1)
        return np.where(there, 1 / (fusion.k + ranks + 1), 0).astype(np.float32)
    added = np.zeros(scores.shape, dtype=np.float32)
    for part in (langs == 0, langs == 1) if fusion.by_lang else (np.ones_like(there),):
        some = there & part
        count = np.maximum(some.sum(axis=1, keepdims=True), 1)
        values = np.where(some, scores, 0).astype(np.float64)
        low = np.where(some, scores, np.inf).min(axis=1, keepdims=True)
        high = np.where(some, scores, -np.inf).max(axis=1, keepdims=True)
        centre = values.sum(axis=1, keepdims=True) / count
        squares = np.where(some, (values - centre) ** 2, 0).sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            if fusion.method == "dbsf":
                spread = np.sqrt(squares / (count - 1))
                value = (values - centre + 3 * spread) / (6 * spread)
            elif fusion.norm == "minmax":
                value = (values - low) / (high - low)
            else:
                value = (values - low) / np.sqrt(squares / count)
            value = np.where(high - low < 1e-9, 0.5, value)
        added = np.where(some, value, added)
    return added.astype(np.float32)


def cut(scores: Floats, depth: int) -> Floats:
    """The scores of the best passages of each query; minus infinity elsewhere."""
    least = -np.partition(-scores, depth - 1, axis=1)[:, depth - 1 : depth]
    return np.where(scores >= least, scores, -np.inf)


def measured(scores: Floats, candidates: Candidates, one: Pool) -> dict[str, np.ndarray]:
    """The metrics of fused scores, by query; minus infinity is not in the list."""
    order = np.argsort(-scores, axis=1, kind="stable")
    found = np.isfinite(np.take_along_axis(scores, order, axis=1))
    right = np.take_along_axis(candidates.relevant, order, axis=1) & found
    total = one.relevant.sum(axis=1)
    precision = right[:, :K].cumsum(axis=1) / np.arange(1, K + 1)
    gain = 1 / np.log2(np.arange(2, 12))
    ideal = np.concatenate([[0], gain.cumsum()])[np.minimum(total, 10)]
    first_langs = np.take_along_axis(candidates.langs, order[:, :10], axis=1)
    own = (first_langs == one.query_langs[:, None]) & found[:, :10]
    # A translation that is not found has the rank after the last.
    ranks = np.where(right, np.arange(1, right.shape[1] + 1), 0)
    last, first = ranks.max(axis=1), np.where(right.any(axis=1), right.argmax(axis=1) + 1, 2 * DEPTH + 1)
    last = np.where(right.sum(axis=1) < total, 2 * DEPTH + 1, last)
    return {
        "MRR@20": np.where(first <= K, 1 / first, 0.0),
        "nDCG@10": (right[:, :10] * gain).sum(axis=1) / ideal,
        "mAP@20": (precision * right[:, :K]).sum(axis=1) / np.minimum(total, K),
        "own language @10": own.sum(axis=1) / np.maximum(found[:, :10].sum(axis=1), 1),
        "rank distance": np.where(total > 1, last - first, np.nan),
    }


@dataclass(frozen=True, eq=False)
class Candidates:
    """The passages that vectors or words find, of each query: arrays of shape (queries, candidates).

    Args:
        places: the numbers of the passages, int64.
        dense: their scores by vectors, float32; minus infinity: not in the list.
        words: their scores by words, likewise.
        langs: their languages, int64.
        relevant: whether they are right, bool.

    """

    places: np.ndarray
    dense: Floats
    words: Floats
    langs: np.ndarray
    relevant: np.ndarray

    @classmethod
    def of(cls, dense: Floats, words: Floats, one: Pool) -> Candidates:
        """The first `DEPTH` of both lists."""
        dense, words = cut(dense, DEPTH), cut(words, DEPTH)
        missing = ~(np.isfinite(dense) | np.isfinite(words))
        places = np.argsort(missing, axis=1, kind="stable")[:, : 2 * DEPTH]
        taken = [np.take_along_axis(some, places, axis=1) for some in (dense, words, one.relevant)]
        return cls(places, taken[0], taken[1], one.langs[places], taken[2])


def cells_of(one: Pool, model: str, *, parallel: bool, check: bool = False) -> list[Cell]:
    """All fusions and weights on a pool, under each policy."""
    queries, passages = bm25(one.queries, one.texts)
    found = (queries @ passages.T).toarray().astype(np.float32)
    # Equal scores are ordered by chance, always in the same way, as an index orders them by its random ids.
    chance = np.random.default_rng(0).permutation(len(one.texts)).astype(np.float32)
    words = np.where(found > 0, found - 1e-5 * chance / len(chance), -np.inf)
    right = one.langs[one.relevant.argmax(axis=1)]
    cells = []
    for policy in POLICIES:
        dense = (one.query_vectors @ one.vectors.T).astype(np.float32)
        if policy == "balanced":
            for lang in (0, 1):
                part = dense[:, one.langs == lang]
                dense[:, one.langs == lang] = (part - part.mean(axis=1, keepdims=True)) / part.std(
                    axis=1, keepdims=True
                )
        some = Candidates.of(dense, words, one)
        values = {DENSE: measured(some.dense, some, one), WORDS: measured(some.words, some, one)}
        union = np.isfinite(some.dense) | np.isfinite(some.words)
        # The default is chosen in mixed pools; elsewhere it is only measured.
        for fusion in FUSIONS if policy == "any" and not parallel else (DEFAULT_FUSION,):
            first, second = (contributions(fusion, scores, some.langs) for scores in (some.dense, some.words))
            if check:
                checked(fusion, some, first, second)
            for weight in WEIGHTS:
                values[str(fusion), weight] = measured(np.where(union, first + weight * second, -np.inf), some, one)
        cells.append(
            Cell(one.name, one.kind, model, parallel, policy, right == one.query_langs, one.query_langs, one.groups, values)
        )  # fmt: skip
    return cells


def checked(fusion: Fusion, some: Candidates, first: Floats, second: Floats) -> None:
    """Compare with `Fusion.fuse` on a few queries."""
    for query in range(0, len(first), max(len(first) // 7, 1)):
        lists = []
        for scores in (some.dense[query], some.words[query]):
            order = [i for i in np.argsort(-scores, kind="stable").tolist() if np.isfinite(scores[i])]
            lists.append([Hit(str(i), float(scores[i]), str(i), str(some.langs[query, i]), "", None) for i in order])
        for hit in fusion.fuse(lists, weights=[1, 0.3]):
            score = first[query, int(hit.id)] + 0.3 * second[query, int(hit.id)]
            if abs(hit.score - score) > 1e-4:
                raise SystemExit(f"{fusion}: {hit.score} is not {score}")


def swept(data: Path, folder: Path) -> list[Cell]:
    """All pools."""
    cells: list[Cell] = []
    for name in SOURCES:
        source = Source.read(data, name)
        for kind, other, model, parallel in itertools.product(KINDS, SOURCES[name][1:], MODELS, (False, True)):
            if source.queries[kind]:
                one = pool(source, kind, other, model, folder, parallel=parallel)
                cells += cells_of(one, model, parallel=parallel, check=not cells)
        print(name, len(cells), flush=True)
    return cells


def mean(cells: Sequence[Cell], key: Key, metric: str, same: bool | None = None) -> float:
    """The mean of a metric over pools."""
    return float(np.nanmean([cell.mean(key, metric, same) for cell in cells])) if cells else float("nan")


def worst(cells: Sequence[Cell], key: Key, metric: str = "MRR@20") -> float:
    """The smallest gain over vectors alone, over pools, encoders, and the language of the right passage: same or other."""
    sides = [(cell, same) for cell in cells for same in ((True,) if cell.kind == "codes" else (True, False))]
    return min(cell.mean(key, metric, same) - cell.mean(DENSE, metric, same) for cell, same in sides)


def tuned(cells: Sequence[Cell]) -> list[str]:
    """The table from which the default is chosen: mixed pools of the tuning sources, policy `any`."""
    some = [cell for cell in cells if cell.tuning and not cell.parallel and cell.policy == "any"]
    kinds = [[cell for cell in some if cell.kind == kind] for kind in KINDS]

    def gain(key: Key) -> float:
        """The mean over the kinds of queries."""
        return float(np.mean([mean(part, key, "MRR@20") - mean(part, DENSE, "MRR@20") for part in kinds]))

    alone = [f"{mean(part, DENSE, 'MRR@20'):.3f} / {mean(part, WORDS, 'MRR@20'):.3f}" for part in kinds]
    lines = [
        f"Chosen on mixed pools of {' and '.join(TUNING)}, {', '.join(sorted({c.pool.split()[1] for c in some}))}, both "
        "encoders, policy `any`: the gain in MRR@20 over vectors alone, the mean over the kinds of queries, and after the slash "
        "the smallest gain of a pool and encoder, with the right passage in the query's language or in the other one. "
        f"Vectors alone / words alone: {', '.join(KINDS)} {', '.join(alone)}. Only a "
        f"method and weight whose second number is at least -{HARM} may be chosen, as other sources have better vectors:", "",
        f"| fusion | {' | '.join(f'{weight:g}' for weight in WEIGHTS)} |", "|---|" + "---:|" * len(WEIGHTS),
    ]  # fmt: skip
    for fusion in FUSIONS:
        row = []
        for weight in WEIGHTS:
            key = (str(fusion), weight)
            low, text = worst(some, key), f"{gain(key):+.3f} / {worst(some, key):+.3f}"
            usual = fusion == DEFAULT_FUSION and weight == DEFAULT_WEIGHT
            row.append(f"**{text}**" if usual else text if low >= -HARM else f"*{text}*")
        lines.append(f"| `{fusion}` | {' | '.join(row)} |")
    return [*lines, "", "Bold: the default. Italic: it hurts a pool."]


def measure(cell: Cell, key: Key, metric: str, same: bool | None) -> Measure:
    """The values of a cell as a measure."""
    some = np.ones(len(cell.same), dtype=bool) if same is None else cell.same == same
    _, group = np.unique(cell.groups, return_inverse=True)
    langs, lang = np.unique(cell.query_langs[some], return_inverse=True)
    return Measure("multi", metric, tuple(map(str, langs)), lang, group[some], cell.values[key][metric][some])


def confirmed(cells: Sequence[Cell]) -> list[str]:
    """The table of the held-out sources: vectors alone, words alone, equal RRF, and the default."""
    usual: Key = (str(DEFAULT_FUSION), DEFAULT_WEIGHT)
    equal: Key = ("rrf", 1.0)
    some = [cell for cell in cells if not cell.tuning and not cell.parallel and cell.policy == "any"]
    tests, rows = [], []
    for cell in some:
        for same in (True,) if cell.kind == "codes" else (True, False):
            one, base = ({"multi/MRR@20": measure(cell, key, "MRR@20", same)} for key in (usual, DENSE))
            tests += compare([one], [base], ["multi/MRR@20"])
            rows.append((cell, same))
    checked_tests = holm(tests)
    lines = [
        f"Confirmed on mixed pools of other sources, policy `any`: MRR@20; default: `{DEFAULT_FUSION}` with weight "
        f"{DEFAULT_WEIGHT:g}. The right passage is in the query's language (same) or in the other one. In brackets the 95 % "
        "interval of the difference from vectors alone. Bold: different from vectors alone, p < .05 after Holm's correction:", "",
        "| pool | encoder | queries | right passage | n | vectors | words | `rrf`, weight 1 | default | own language @10: "
        "vectors | default |", "|---|---|---|---|---:|---:|---:|---:|---|---:|---:|",
    ]  # fmt: skip
    for (cell, same), test in zip(rows, checked_tests, strict=True):
        values = [f"{cell.mean(key, 'MRR@20', same):.3f}" for key in (DENSE, WORDS, equal)]
        low, high = test.difference.low, test.difference.high
        mark = "**" if (test.p_holm or 0) < 0.05 else ""
        own = [f"{cell.mean(key, 'own language @10', same):.2f}" for key in (DENSE, usual)]
        text = f"{mark}{cell.mean(usual, 'MRR@20', same):.3f}{mark} [{low:+.3f}, {high:+.3f}]"
        cells_of_row = [
            cell.pool,
            cell.model,
            cell.kind,
            "same" if same else "other",
            str(int((cell.same == same).sum())),
        ]
        lines.append(f"| {' | '.join([*cells_of_row, *values, text, *own])} |")
    lines += [
        "", f"The smallest gain of a row: {worst(some, usual):+.3f}; of `rrf` with weight 1: {worst(some, equal):+.3f}.",
    ]  # fmt: skip
    return lines


def of_policies(cells: Sequence[Cell]) -> list[str]:
    """The table of weights with the default fusion, in mixed and in parallel pools, under each policy."""
    lines = [
        f"The weight is a knob of the query's own language. `{DEFAULT_FUSION}` by weight, all sources, pairs, kinds of queries "
        "and encoders: mAP@20 / own language @10, and in parallel pools the rank distance of the two renderings:", "",
        f"| pool | policy | 0 | {' | '.join(f'{weight:g}' for weight in WEIGHTS)} |", "|---|---|---:|" + "---:|" * len(WEIGHTS),
    ]  # fmt: skip
    for parallel in (False, True):
        for policy in POLICIES:
            some = [cell for cell in cells if cell.parallel == parallel and cell.policy == policy]
            row = []
            for key in (DENSE, *((str(DEFAULT_FUSION), weight) for weight in WEIGHTS)):
                text = f"{mean(some, key, 'mAP@20'):.3f} / {mean(some, key, 'own language @10'):.2f}"
                row.append(text + (f" / {mean(some, key, 'rank distance'):.0f}" if parallel else ""))
            lines.append(f"| {'parallel' if parallel else 'mixed'} | `{policy}` | {' | '.join(row)} |")
    return lines


def main() -> None:
    """Measure, and write the block."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--vectors", type=Path, required=True, help="the folder of vectors; missing ones are made")
    parser.add_argument("--cells", type=Path, help="a file that keeps what is measured")
    arguments = parser.parse_args()
    if arguments.cells is not None and arguments.cells.is_file():
        cells = [Cell(**kept) for kept in pickle.loads(arguments.cells.read_bytes())]
    else:
        cells = swept(arguments.data, arguments.vectors)
        if arguments.cells is not None:
            kept = [{one.name: getattr(cell, one.name) for one in fields(cell)} for cell in cells]
            arguments.cells.write_bytes(pickle.dumps(kept))
    lines = [*tuned(cells), "", *confirmed(cells), "", *of_policies(cells)]
    print("\n".join(lines))
    marked.write(Path(__file__).resolve().parents[1] / "docs" / "search.md", {"fusion": "\n".join(lines)})


if __name__ == "__main__":
    main()
