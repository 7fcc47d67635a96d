"""Passages and pictures that are both in training and in test data: refuse them, or train without them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa

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


def leaked_rows(training: Corpus, other: Corpus) -> list[str]:
    """The ids of a corpus's passages that another corpus has too, by text or by the bytes of a picture.

    Args:
        training: the corpus whose rows are named; see `Corpus.row_ids`.
        other: the corpus that they are looked up in.

    Examples:
        >>> rows = [{"item": item, "lang": "en", "text": item} for item in ("dog", "cat", "owl")]
        >>> corpus = Corpus.from_rows(rows, rows, [(row["item"], row["item"]) for row in rows])
        >>> leaked_rows(corpus, corpus.only_groups(["cat", "owl"]))
        ['cat/en', 'owl/en']

    """
    rows = _leaked(training, other)
    # The ids of a large corpus take long, and mostly nothing is shared.
    ids = training.row_ids("passages") if rows else []
    return [ids[row] for row in rows]


def without_leaks(training: Corpus, others: Sequence[Corpus]) -> Corpus:
    """A training corpus without the groups of its passages that other corpora have too.

    A group goes as a whole: translations of a test passage, and other passages of its document, say the same.

    Args:
        training: the corpus to train on.
        others: the corpora to test or validate on.

    Returns:
        The corpus; the same object if nothing is shared.

    Raises:
        ConfigError: nothing would be left.

    Examples:
        >>> rows = [{"item": item, "lang": "en", "text": item} for item in ("dog", "cat", "owl")]
        >>> corpus = Corpus.from_rows(rows, rows, [(row["item"], row["item"]) for row in rows])
        >>> without_leaks(corpus, [corpus.only_groups(["cat", "owl"])]).passages["item"].to_pylist()
        ['dog']

    """
    group = training.passages["group"].to_pylist()
    shared = {group[row] for other in others for row in _leaked(training, other)}
    if not shared:
        return training
    left = sorted(
        {one for side in (training.queries, training.passages) for one in side["group"].to_pylist()} - shared
    )
    if not left:
        raise ConfigError(
            f"{training.name}: every group has a passage that is also tested on; nothing is left to train on"
        )
    return training.only_groups(left)


def _leaked(training: Corpus, other: Corpus) -> list[int]:
    known = list(other.contents("passages"))
    rows = set[int]()
    for name in ("text", "digest"):
        if name in training.passages.column_names:
            column = training.passages[name]
            found = pa.compute.is_in(column, value_set=pa.array(known, column.type))
            rows.update(found.to_numpy().nonzero()[0].tolist())
    return sorted(rows)


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


__all__ = ["leaked_rows", "refuse_leak", "without_leaks"]
