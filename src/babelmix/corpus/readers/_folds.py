"""Cross-validation by group: five folds, so that every item of a small corpus is tested once."""

from __future__ import annotations

import hashlib

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._wide_texts import check_choice
from babelmix.errors import ReaderError

FOLDS = 5
PARTS = TRAIN, FIT, VALIDATION, TEST = ("train", "fit", "validation", "test")
"""Of a fold: `test` is the fold; `validation` the next one; `fit` the three others; `train` all but the test."""


def part_of_fold(corpus: Corpus, fold: int, part: str) -> Corpus:
    """Keep a part of a corpus, as a fold says.

    Args:
        corpus: the corpus. Its groups are dealt to the folds in the order of a hash of their names.
        fold: 0 to 4.
        part: one of `PARTS`; empty: the whole corpus.

    Raises:
        ReaderError: there is no such fold or part, or a fold is given without a part.

    """
    if not part:
        if fold:
            raise ReaderError(f"the option fold needs a part: {', '.join(PARTS)}")
        return corpus
    check_choice("part", part, PARTS)
    if not 0 <= fold < FOLDS:
        raise ReaderError(f"the option fold is a number from 0 to {FOLDS - 1}, not {fold}")
    groups = sorted(
        {*corpus.passages["group"].to_pylist(), *corpus.queries["group"].to_pylist()},
        key=lambda group: hashlib.blake2b(group.encode(), digest_size=8, key=b"folds").digest(),
    )
    places = {
        TEST: {fold}, VALIDATION: {(fold + 1) % FOLDS}, TRAIN: set(range(FOLDS)) - {fold},
        FIT: set(range(FOLDS)) - {fold, (fold + 1) % FOLDS},
    }[part]  # fmt: skip
    kept = [group for place, group in enumerate(groups) if place % FOLDS in places]
    name = f"{corpus.name}/{part}-{fold}"
    return corpus.only_groups(kept, name).named(name, split=part, fold=fold, evaluation_only=part == TEST)


__all__ = ["FOLDS", "PARTS", "part_of_fold"]
