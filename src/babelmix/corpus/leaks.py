"""Refuse to train on pictures that are also in the test data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from babelmix.corpus.model import Corpus
from babelmix.errors import ConfigError

COCO_TRAIN = "mscoco-train2014"
_COCO_NAME = re.compile(r"COCO_(?:train|val)2014_\d{12}")


def refuse_leak(training: Sequence[Corpus], tested: Sequence[Corpus]) -> None:
    """Raise if a test picture is also a training picture.

    Two pictures are the same if their files are equal, or if their items are the same name of COCO's 2014 release. XTD10 and
    XTD-200 are always refused together with COCO's training part, because 800 of their 1,000 pictures are from train2014.

    Args:
        training: the corpora to train on.
        tested: the corpora to test on.

    Raises:
        ConfigError: a picture is in both. The message gives the number of such pictures, the two corpora and one example.

    """
    for test in tested:
        digests, names = set(_pictures(test, "digest")), set(_coco_names(test))
        for source in training:
            _refuse_xtd(source, test)
            for shared, what in (
                (names.intersection(_coco_names(source)), "they have the same COCO names, such as"),
                (
                    digests.intersection(_pictures(source, "digest")),
                    "their files are equal, such as the one with the digest",
                ),
            ):
                if shared:
                    raise ConfigError(
                        f"{len(shared):,} pictures of the test corpus {test.name} are also in the training corpus "
                        f"{source.name} ({what} {min(shared)}); leave them out of one of the two"
                    )


def _refuse_xtd(source: Corpus, test: Corpus) -> None:
    inside = (test.meta.get("contains") or {}).get(COCO_TRAIN, 0)
    is_xtd = test.meta.get("source") in ("XTD10", "XTD-200")
    if is_xtd and inside and (source.meta.get("contains") or {}).get(COCO_TRAIN, 0):
        raise ConfigError(
            f"{inside:,} pictures of the test corpus {test.name} are from COCO's train2014, and so are the pictures of the "
            f"training corpus {source.name}; train or test on other pictures"
        )


def _coco_names(corpus: Corpus) -> Iterator[str]:
    return (name for name in _pictures(corpus, "item") if _COCO_NAME.fullmatch(name))


def _pictures(corpus: Corpus, column: str) -> Iterator[str]:
    for side in (corpus.queries, corpus.passages):
        if "digest" in side.column_names:
            yield from (value for value in side.filter(side["digest"].is_valid())[column].to_pylist())


__all__ = ["refuse_leak"]
