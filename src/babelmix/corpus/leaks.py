"""What must never be trained on before it is tested: pictures that are in both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from babelmix.corpus.model import Corpus
from babelmix.errors import ConfigError

COCO_TRAIN = "mscoco-train2014"
_COCO_NAME = re.compile(r"COCO_(?:train|val)2014_\d{12}")


def refuse_leak(training: Sequence[Corpus], tested: Sequence[Corpus]) -> None:
    """Raise if a picture that is tested with is also trained on.

    Pictures are the same if their files are, byte by byte, or if their items are one name of COCO's 2014 release. XTD10 and
    XTD-200 are refused beside COCO's training part whatever their files are: 800 of their 1,000 pictures are of train2014.

    Args:
        training: the corpora to train on.
        tested: the corpora to test with.

    Raises:
        ConfigError: a picture is in both; the message says how many are, in which corpora, and names one.

    """
    for test in tested:
        digests, names = set(_pictures(test, "digest")), set(_coco_names(test))
        for source in training:
            _refuse_xtd(source, test)
            for shared, what in (
                (names.intersection(_coco_names(source)), "COCO names them alike, such as"),
                (
                    digests.intersection(_pictures(source, "digest")),
                    "their files are the same, such as that of digest",
                ),
            ):
                if shared:
                    raise ConfigError(
                        f"{len(shared):,} pictures of {test.name} are also in {source.name}, which is trained on ({what} "
                        f"{min(shared)}): a model is not tested with what it has seen; leave them out of one of the two"
                    )


def _refuse_xtd(source: Corpus, test: Corpus) -> None:
    inside = (test.meta.get("contains") or {}).get(COCO_TRAIN, 0)
    is_xtd = test.meta.get("source") in ("XTD10", "XTD-200")
    if is_xtd and inside and (source.meta.get("contains") or {}).get(COCO_TRAIN, 0):
        raise ConfigError(
            f"{inside:,} pictures of {test.name} are of COCO's train2014, and {source.name}, which is trained on, is too: "
            "figures would be of pictures already seen; train on other pictures or test with other ones"
        )


def _coco_names(corpus: Corpus) -> Iterator[str]:
    return (name for name in _pictures(corpus, "item") if _COCO_NAME.fullmatch(name))


def _pictures(corpus: Corpus, column: str) -> Iterator[str]:
    for side in (corpus.queries, corpus.passages):
        if "digest" in side.column_names:
            yield from (value for value in side.filter(side["digest"].is_valid())[column].to_pylist())


__all__ = ["refuse_leak"]
