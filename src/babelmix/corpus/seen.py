"""A sample of what an encoder was trained on, kept with it: an audit of the same texts says so.

The texts themselves are not kept, only the smallest of their digests (a bottom-k sketch: Broder 1997, "On the resemblance and
containment of documents"). Of another corpus, the contents whose digests are below the largest kept one are a random sample, and
the share of them that is kept estimates the share that was trained on. It is exact up to `SAMPLE` contents.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix.corpus.model import Corpus

SAMPLE = 2048
"""The most digests that are kept, 8 bytes each."""

Digests = npt.NDArray[np.uint64]


def seen_in(corpora: Iterable[Corpus]) -> dict[str, Any]:
    """The record of the passages of training corpora, as JSON-serialisable values: their number, and a sample of digests.

    Args:
        corpora: the corpora.

    Examples:
        >>> rows = [{"item": item, "lang": "en", "text": item} for item in ("dog", "cat", "owl")]
        >>> corpus = Corpus.from_rows(rows, rows, [(row["item"], row["item"]) for row in rows])
        >>> seen = seen_in([corpus.only_groups(["cat", "owl"])])
        >>> seen["passages"], round(share_seen(seen, corpus), 2)
        (2, 0.67)

    """
    found = _digests(corpora)
    return {"passages": len(found), "sample": base64.b64encode(found[:SAMPLE].astype("<u8").tobytes()).decode("ascii")}


def share_seen(seen: Mapping[str, Any], corpus: Corpus) -> float:
    """The share of the distinct passages of a corpus that were trained on, from 0 to 1.

    Args:
        seen: a record that `seen_in` made.
        corpus: the corpus.

    Raises:
        ValueError: the record is none, or is damaged.

    """
    try:
        sample = np.frombuffer(base64.b64decode(str(seen["sample"]), validate=True), dtype="<u8")
        count = int(seen["passages"])
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError("is no record of texts") from error
    if len(sample) != min(count, SAMPLE):
        raise ValueError("the record of texts is damaged")
    found = _digests([corpus])
    comparable = found[found <= sample[-1]] if count > SAMPLE else found
    return float(np.isin(comparable, sample).mean()) if len(comparable) else 0.0


def _digests(corpora: Iterable[Corpus]) -> Digests:
    """The distinct digests of the passages, ascending."""
    contents = {one for corpus in corpora for one in corpus.contents("passages")}
    made = (int.from_bytes(blake2b(one.encode("utf-8"), digest_size=8).digest(), "little") for one in contents)
    return np.sort(np.fromiter(made, dtype=np.uint64, count=len(contents)))


__all__ = ["SAMPLE", "seen_in", "share_seen"]
