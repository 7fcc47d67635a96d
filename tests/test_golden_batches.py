"""The batches of a seed never change: digests of plans of every strategy over every kind of index.

A change of `golden_batches.json` changes every saved plan and every resumed run, so it needs a note in the changelog.
`python tests/test_golden_batches.py` writes the file anew.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import parallel_corpus, picture_corpus, sparse_corpus
from test_negatives import with_negatives

from babelmix.batches import BatchPlan, CorpusIndex, Mixture, PairIndex, RegularIndex, RowIndex, strategy
from babelmix.batches.strategies import WithTextText
from babelmix.corpus import Corpus

FILE = Path(__file__).with_name("golden_batches.json")
LANGS = ("de", "en", "fr", "ja")
SEEDS = (0, 7)
STEPS = (*range(24), 10**9)
TEXTS = ("english", "mixed", "mono", "cross", "hybrid", "hybrid(0.25)", "hybrid(1..0)", "hybrid(0.2..0.9 at 0.4)")
SEVERAL = ("one_to_k", "one_to_k(2)", "hybrid(0.5, one_to_k(3))")
PICTURES = ("paired", "text_text", "hybrid(0.3, paired)", "hybrid(1..0, text_text)")


def two_englishes() -> Corpus:
    """English is there under two tags."""
    whole = parallel_corpus(30, ("de", "en", "fr"))
    sides = (
        [row | ({"lang": "en-GB"} if row["lang"] == "fr" else {}) for row in table.to_pylist()]
        for table in (whole.queries, whole.passages)
    )
    return Corpus.from_rows(*sides, [(f"i{i}", f"i{i}") for i in range(30)], name="englishes")


def ready_pairs() -> RowIndex:
    rows = list(itertools.product(range(30), LANGS[:3], LANGS[:3]))
    order = np.random.default_rng(0).permutation(len(rows))[:200]
    return RowIndex(*map(list, zip(*[map(str, rows[i]) for i in order], strict=True)))


def pairs_that_share_queries() -> RegularIndex:
    return RegularIndex(100, LANGS, query=np.arange(100) // 3, passage=np.arange(100))


def two_sources() -> Mixture:
    parts = {"news": CorpusIndex(parallel_corpus(40)), "help": CorpusIndex(parallel_corpus(24, ("de", "en")))}
    return Mixture(parts, {"news": 1, "help": 2})


INDEXES: dict[str, tuple[Callable[[], PairIndex], tuple[str, ...]]] = {
    "parallel": (lambda: CorpusIndex(parallel_corpus(40)), TEXTS + SEVERAL),
    "sparse": (
        lambda: CorpusIndex(sparse_corpus(np.random.default_rng(5), 60, LANGS, 0.8)), (*TEXTS, *SEVERAL[:2]),
    ),
    "hard negatives": (
        lambda: CorpusIndex(with_negatives(parallel_corpus(), np.random.default_rng(0)), hard_negatives=True),
        TEXTS + SEVERAL,
    ),
    "two Englishes": (lambda: CorpusIndex(two_englishes()), ("english", "hybrid")),
    "pictures": (lambda: CorpusIndex(picture_corpus(captions=2)), TEXTS + SEVERAL + PICTURES),
    "captions only": (lambda: CorpusIndex(picture_corpus(), text_only=["ja"]), (*TEXTS, "one_to_k", *PICTURES)),
    "ready pairs": (ready_pairs, TEXTS),
    "regular": (pairs_that_share_queries, TEXTS),
    "mixture": (two_sources, TEXTS),
}  # fmt: skip
CASES = [(name, spec) for name, (_, specs) in INDEXES.items() for spec in specs]
SHARES = {"pictures": (0.25, 0.6), "captions only": (0.25,)}


@cache
def index_of(name: str) -> PairIndex:
    return INDEXES[name][0]()


def digest(name: str, spec: str) -> str:
    """Of the batches under several seeds, temperatures and numbers of ranks; where there are captions also by share."""
    found = hashlib.sha256()
    for seed, temperature, ranks, share in itertools.product(SEEDS, (0.0, 0.5), (1, 2), (0.0, *SHARES.get(name, ()))):
        chosen = WithTextText(strategy(spec), share) if share else strategy(spec)
        plan = BatchPlan(
            index_of(name), chosen, 8, seed=seed, language_temperature=temperature, world_size=ranks, steps=20
        )
        for step in STEPS:
            batch = plan[step]
            for part in [batch, *(batch.slice(rank, ranks) for rank in range(ranks))]:
                rows = (part.query_rows, part.passage_rows, part.negative_rows, part.second_rows)
                told = [None if row is None else [int(number) for number in row] for row in rows]
                found.update(json.dumps([part.kind, part.step, part.lang, part.source, *told]).encode())
    return found.hexdigest()[:16]


@pytest.mark.parametrize(("name", "spec"), CASES)
def test_the_batches_of_a_seed_are_those_of_earlier_versions(name: str, spec: str) -> None:
    assert digest(name, spec) == json.loads(FILE.read_text(encoding="utf-8"))[name][spec]


if __name__ == "__main__":
    kept: dict[str, dict[str, str]] = {}
    for name, spec in CASES:
        kept.setdefault(name, {})[spec] = digest(name, spec)
    FILE.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
