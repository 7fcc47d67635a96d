"""How long does the audit of a run file take? In turns with polars' reading of the file and the metrics of pytrec_eval on it.

python benchmarks/runs.py            # a run of 1,000,000 lines
python benchmarks/runs.py --quick

The corpus is made up: parallel items in four languages, lists of 100 answers. The audit is `babelmix.audit` from the file to the
report, with all measures, their bounds and intervals. The corpus is in memory for both sides.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytrec_eval

import babelmix as bm

LANGS = ("de", "en", "fr", "it")
COLUMNS = ["query", "q0", "passage", "rank", "score", "tag"]
METRICS = {"map_cut_100", "ndcg_cut_10"}
TARGET = 2.0


def made(queries: int, passages: int, k: int, file: Path) -> bm.Corpus:
    """A corpus, and a run file with lists that prefer the query's language and find most of the right answers."""
    rng = np.random.default_rng(0)
    items = queries // len(LANGS)
    asked = [{"item": f"q{i}", "lang": lang, "text": f"q{i} {lang}"} for i in range(items) for lang in LANGS]
    held = [
        {"item": f"q{i}", "lang": lang, "text": f"p{i} {lang}"}
        for i in range(passages // len(LANGS))
        for lang in LANGS
    ]
    corpus = bm.Corpus.from_rows(asked, held, [(f"q{i}", f"q{i}") for i in range(items)], name="made up")
    ids = np.array(corpus.row_ids("passages"), dtype=object)
    names = corpus.row_ids("queries")
    with file.open("w", encoding="utf-8") as out:
        for row, name in enumerate(names):
            drawn = rng.choice(len(held), k, replace=False)
            own = (row // len(LANGS)) * len(LANGS) + np.arange(len(LANGS))
            drawn = np.concatenate([drawn[~np.isin(drawn, own)], own[rng.random(len(own)) < 0.8]])[-k:]
            rng.shuffle(drawn)
            scores = np.sort(rng.random(len(drawn)))[::-1]
            out.writelines(
                f"{name} Q0 {ids[place]} {rank} {score:.6f} made\n"
                for rank, (place, score) in enumerate(zip(drawn, scores, strict=True), 1)
            )
    return corpus


def read(file: Path) -> pl.DataFrame:
    """The run as polars reads it."""
    return pl.read_csv(file, has_header=False, separator=" ", new_columns=COLUMNS, quote_char=None)


def as_dicts(frame: pl.DataFrame) -> dict[str, dict[str, float]]:
    """The run as pytrec_eval takes it."""
    run: dict[str, dict[str, float]] = {}
    for query, passage, score in zip(*(frame[name].to_list() for name in ("query", "passage", "score")), strict=True):
        run.setdefault(query, {})[passage] = score
    return run


def timed(function: Callable[[], object]) -> tuple[float, object]:
    """The seconds of a call, and its result."""
    began = time.perf_counter()
    result = function()
    return time.perf_counter() - began, result


def main() -> None:
    """Measure in turns, and print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--passages", type=int, default=40_000)
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if given.quick:
        given.queries, given.passages, given.rounds = 400, 2_000, 1
    names = ("read", "dicts", "metrics", "audit")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "made.trec")
        corpus = made(given.queries, given.passages, given.k, file)
        ids = [corpus.row_ids(side) for side in ("queries", "passages")]
        rows = [getattr(corpus, side)["item"].to_pylist() for side in ("queries", "passages")]
        by_item: dict[str, dict[str, int]] = {}
        for name, item in zip(ids[1], rows[1], strict=True):
            by_item.setdefault(item, {})[name] = 1
        qrels = {name: by_item[item] for name, item in zip(ids[0], rows[0], strict=True)}
        lines = sum(1 for _ in file.open("rb"))
        for turn in range(given.rounds + 1):
            taken, frame = timed(lambda: read(file))
            dicts, run = timed(lambda: as_dicts(frame))  # noqa: B023
            metrics, theirs = timed(lambda: pytrec_eval.RelevanceEvaluator(qrels, METRICS).evaluate(run))  # noqa: B023
            audit, report = timed(lambda: bm.audit(bm.Run(file), corpus, metrics=["mAP@100", "nDCG@10"]))
            if turn or given.rounds == 1:
                for name, value in zip(names, (taken, dicts, metrics, audit), strict=True):
                    seconds[name].append(value)
        mine = report.audits["made"]  # type: ignore[attr-defined]
        asked = [ids[0][row] for row in mine.rows["multi/nDCG@10"]]
        expected = np.array([theirs[name]["ndcg_cut_10"] for name in asked])  # type: ignore[index]
        assert np.abs(mine.measures["multi/nDCG@10"].values - expected).max() < 1e-6
    median = {name: statistics.median(values) for name, values in seconds.items()}
    base = median["read"] + median["metrics"]
    print(
        f"A run of {lines:,} lines: {given.queries:,} queries, {given.passages:,} passages. Medians of {given.rounds} turns.\n"
    )
    print("| what | seconds |\n|---|---:|")
    print(f"| polars reads the file | {median['read']:.2f} |")
    print(f"| pytrec_eval: mAP and nDCG@10 | {median['metrics']:.2f} |")
    print(f"| making pytrec_eval's dictionaries, not counted | {median['dicts']:.2f} |")
    print(f"| `babelmix.audit`, from the file to the report | {median['audit']:.2f} |")
    met = "met" if median["audit"] <= TARGET * base else "missed"
    print(
        f"\nThe audit takes {median['audit'] / base:.2f} times as long as reading and metrics together; the target of {TARGET:g} "
        f"is {met}. With the dictionaries it is {median['audit'] / (base + median['dicts']):.2f} times."
    )


if __name__ == "__main__":
    main()
