"""Choose the options of `linear-map` on texts that are not of the test sets. Writes a table of docs/remedies.md.

python benchmarks/removal_choice.py --data DATA --vectors FOLDER

Two tasks. Sentences of NTREX: the maps are fitted on two thirds of its documents, and translations are searched among the
sentences of the other third. Courses (machine-translated): the maps are fitted on all of NTREX, and sections are searched by
their headings. The choice is the row with the largest product of both multilingual mAPs under the policy `adaptive`, among those
that lose no mAP within a language on courses.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl
import removal_data as data
from marked import write
from removal_scores import adaptive, adjusted
from results import shown, table

import babelmix as bm
from babelmix.encoders.removal import Embedded, RemovalOptions, removal_method
from babelmix.evaluation import measures
from babelmix.evaluation.scoring import rank_table

FILE = Path(__file__).resolve().parents[1] / "docs" / "remedies.md"
RIDGES, CENTRES, ALPHAS, RANKS = (0.3, 1.0, 3.0), (0.5, 0.75, 1.0), (0.5, 0.75, 1.0), (0, 4)
ASKED = {"NTREX": 8, "courses": 10}
"""Every how many-th item is asked."""


def task(embedded: Embedded, groups: list[str], every: int) -> data.TestSet:
    """A test set of translations: each item's query finds its passages."""
    assert embedded.item is not None
    langs = [embedded.langs[n] for n in embedded.lang]
    items = np.unique(embedded.item)
    asked = set(items[::every].tolist())
    sides, rows = [], []
    for kind in (0, 1):
        mine = embedded.kind == kind
        if kind == 0:
            mine &= np.array([item in asked for item in embedded.item])
        rows.append(np.flatnonzero(mine))
        sides.append(
            [
                {"item": str(embedded.item[n]), "lang": langs[n], "text": f"{n}", "group": groups[embedded.item[n]]}
                for n in rows[-1]
            ]
        )
    corpus = bm.Corpus.from_rows(*sides, [(str(item), str(item)) for item in sorted(asked)], name="held-out")
    vectors = [embedded.vectors[some].astype(np.float32) for some in rows]
    return data.TestSet("held-out", corpus, *vectors, data.SENTENCES)


def measured(test: data.TestSet, removal: object | None) -> dict[str, float]:
    """Mono and multilingual mAP, and the latter under the policy `adaptive`."""
    queries, passages = test.queries, test.passages
    if removal is not None:
        queries = removal.apply(queries, test.langs["queries"], "query")  # type: ignore[attr-defined]
        passages = removal.apply(passages, test.langs["passages"], "passage")  # type: ignore[attr-defined]
    plain = rank_table(test.corpus, queries, passages)
    levelled = adjusted(plain, queries, passages, test.langs["passages"], adaptive)
    found, again = (measures(one, ["mAP"]) for one in (plain, levelled))
    return {
        "mono": found["mono/mAP"].macro(), "multi": found["multi/mAP"].macro(),
        "rank distance": found["bias/rank distance"].macro(), "adaptive": again["multi/mAP"].macro(),
    }  # fmt: skip


def main() -> None:
    """Measure all options, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--encoder", default="e5-small-offline")
    given = parser.parse_args()
    store = data.Store(given.encoder, "openvino", given.vectors / given.encoder)
    file = given.data / "ntrex" / "sentences.parquet"
    every = data.ntrex(store, file, data.ELEVEN)
    documents = pl.read_parquet(file, columns=["document"])["document"].to_list()
    names = sorted(set(documents))
    held = {names[n] for n in np.random.default_rng(0).permutation(len(names))[: len(names) // 3]}
    out = np.array([documents[item] in held for item in every.item])
    sections = data.courses(store, given.data / "courses" / "sections.parquet")
    tests = {
        "NTREX": task(every.only(out), documents, ASKED["NTREX"]),
        "courses": task(sections, [str(n) for n in range(data.COURSE_ITEMS)], ASKED["courses"]),
    }
    start = {name: measured(test, None) for name, test in tests.items()}
    rows, best, most = [], [], 0.0
    rows.append(["as it is", "", "", "", *cells(start)])
    for ridge in RIDGES:
        for rank in RANKS:
            for centre in CENTRES:
                options = RemovalOptions(ridge=ridge, centre=centre, rank=rank)
                fitted = {
                    name: removal_method("linear-map").fit_removal(some, options)
                    for name, some in (("NTREX", every.only(~out)), ("courses", every))
                }
                for alpha in ALPHAS:
                    found = {name: measured(test, fitted[name].with_alpha(alpha)) for name, test in tests.items()}
                    row = [f"{ridge:g}", str(rank or "all"), f"{centre:g}", f"{alpha:g}", *cells(found)]
                    print(*row, flush=True)
                    rows.append(row)
                    value = found["NTREX"]["adaptive"] * found["courses"]["adaptive"]
                    if found["courses"]["mono"] >= start["courses"]["mono"] and value > most:
                        most, best = value, row
    heads = [f"{name}: {key}" for name in tests for key in ("mono mAP", "multi mAP", "rank distance", "adaptive")]
    chosen = f"Chosen: ridge {best[0]}, rank {best[1]}, centre {best[2]}, alpha {best[3]}."
    write(FILE, {"removal-choice": f"{table(['ridge', 'rank', 'centre', 'alpha', *heads], rows)}\n\n{chosen}"})
    print(chosen)


def cells(found: dict[str, dict[str, float]]) -> list[str]:
    """The values of a row."""
    return [shown(key, value) for one in found.values() for key, value in one.items()]


if __name__ == "__main__":
    main()
