"""Copy an index into a new one with corrected vectors. Nothing is encoded, and the old index stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

import numpy as np

from babelmix._progress import progress_bar
from babelmix.encoders.removal import AnyRemoval
from babelmix.errors import SearchError
from babelmix.search.engines import exists, is_same_place
from babelmix.search.index import Index
from babelmix.search.rows import Point

ROWS = 1024
"""The rows of a batch. Each batch is safe once it is written."""


@contextmanager
def begun_copy(source: Index, address: str, key: str) -> Iterator[Index | None]:
    """Yield the copy that a killed run of the same key left at an address, open; or None, if nothing is there.

    Args:
        source: the index that is copied.
        address: the address of the copy.
        key: what is made of what.

    Raises:
        SearchError: another index is there, or the old one itself, or an unfinished one of another key; or the old index is not
            to be corrected.

    """
    if is_same_place(source.address, address):
        raise SearchError(f"{address}: is the index itself; choose another place for the new one")
    if source.about.removal is not None:
        raise SearchError(
            f"{source.address}: language is taken out of it already; begin with the index that it was made from"
        )
    if not exists(address):
        yield None
        return
    with Index.open(address, unfinished=True) as target:
        if target.about.unfinished is None:
            raise SearchError(f"{address}: there is an index already; choose another place")
        if target.about.unfinished != key:
            raise SearchError(
                f"{address}: holds an index that another  babelmix debias  began; run that one again, or remove it"
            )
        yield target


def copy_corrected(source: Index, address: str, removal: AnyRemoval, key: str, begun: Index | None = None) -> Index:
    """Write the rows of an index with corrected vectors into a new one.

    Args:
        source: the old index.
        address: the address of the new one.
        removal: what takes language out; it is kept with the new index, which corrects new rows and queries by it.
        key: see `begun_copy`.
        begun: what a killed run has begun, open; its own removal counts then.

    Returns:
        The new index, open.

    Raises:
        SearchError: the engine cannot give its vectors back, or cannot write; or the old index has changed meanwhile.

    """
    target = begun
    if target is None:
        about = source.about.model_copy(update={"calibration": None, "corrections": None, "unfinished": key})
        target = Index.create_with(address, about, removal)
    try:
        kept = target.removal
        assert kept is not None
        points = source.engine.points()
        with progress_bar("correcting rows", sum(source.langs().values()), "rows") as bar:
            while batch := list(islice(points, ROWS)):
                new = batch if begun is None else _missing(target, batch)
                if new:
                    vectors = np.stack([point.vector for point in new if point.vector is not None])
                    made = kept.apply(vectors, [point.row.lang for point in new], "passage")
                    target.engine.put([replace(p, vector=vector) for p, vector in zip(new, made, strict=True)])
                bar.advance(len(batch))
        if target.langs() != source.langs():
            raise SearchError(
                f"{source.address}: has changed while it was read; remove {address}, and run the same command again"
            )
        if target.langs():
            target.calibrate()
        target.settle()
        target.remember_finished()
    except BaseException:
        if begun is None:
            target.close()
        raise
    return target


def _missing(target: Index, batch: list[Point]) -> list[Point]:
    """The rows of a batch that an index does not hold yet."""
    there = target.engine.digests(list({point.row.item for point in batch}))
    return [point for point in batch if there.get(point.id) != (point.row.item, point.digest)]


__all__ = ["ROWS", "begun_copy", "copy_corrected"]
