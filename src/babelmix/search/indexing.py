"""Write a collection into an index, in batches of whole items. Each batch is safe once it is written.

The index holds a digest of every row. Rows with an equal digest are not encoded again, so an interrupted run continues where it
stopped, and a run on a changed collection writes only the changes. There is no other record of progress.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from babelmix._progress import progress_bar
from babelmix.corpus.nfc import is_composed
from babelmix.errors import SearchError
from babelmix.search.changes import Changes
from babelmix.search.documents import RowSource
from babelmix.search.encoding import PointEncoder, encode_points, opened_picture
from babelmix.search.index import Index
from babelmix.search.rows import Row, check_length

if TYPE_CHECKING:
    from babelmix.encoders.protocol import Encoder

ROWS = 512
"""The approximate number of rows of a batch. If the process is killed, the work of at most one batch is lost."""


@dataclass(frozen=True)
class Indexed:
    """Counts of the rows that a run wrote and removed.

    Args:
        written: rows encoded and written.
        unchanged: rows that the index already had.
        removed: rows removed, because their items now have fewer rows or are pruned.
        decomposed: rows read whose text is not composed (NFC): the text is stored unchanged and embedded in composed form.

    """

    written: int
    unchanged: int
    removed: int
    decomposed: int = 0


def batches_of(rows: RowSource, size: int = ROWS) -> Iterator[list[Row]]:
    """Batches of whole items, of about `size` rows each.

    Raises:
        SearchError: the items are not sorted by name.

    """
    batch: list[Row] = []
    last = ""
    for item in rows.items():
        if item[0].item < last:
            raise SearchError(f"{rows.name}: items have to be in order, but {item[0].item!r} comes after {last!r}")
        last = item[0].item
        if batch and len(batch) + len(item) > size:
            yield batch
            batch = []
        batch += item
    if batch:
        yield batch


def check_rows(rows: RowSource, index: Index | None = None, *, max_text: int | None = None) -> None:
    """Read all rows, before any is written, and raise if one of them cannot be written.

    Args:
        rows: the rows.
        index: the index they are for; None: a new one.
        max_text: the most bytes of a text that the engine of a new index can hold; None: no limit of its own.

    Raises:
        SearchError: a row breaks a rule, or a value is of another type than its column.
        CorpusError: a file cannot be read, or a picture that the index does not hold yet cannot be opened.

    """
    survey = rows.survey
    max_text = max_text if index is None else index.engine.max_text
    if survey.longest is not None:
        check_length(*survey.longest, max_text)
    if index is not None:
        index.check_columns(survey.columns)
    if not survey.has_pictures:
        return
    with progress_bar("checking pictures", rows.count, "rows") as bar:
        for batch in batches_of(rows):
            new = batch if index is None else [point.row for point in index.changes(batch).points]
            for row in new:
                if row.image is not None:
                    opened_picture(row)
            bar.advance(len(batch))


def write_rows(index: Index, encoder: Encoder, rows: Sequence[Row], *, batch_size: int = 32) -> Changes:
    """Write the changes of some whole items; write nothing if there are none.

    Returns:
        The changes.

    Raises:
        SearchError: see `index_rows`.
        CorpusError: see `index_rows`.

    """
    changes = index.changes(rows)
    if changes.points or changes.stale:
        index.write(changes, encode_points(encoder, changes.points, batch_size=batch_size))
    return changes


def index_rows(
    index: Index,
    encoder: Encoder,
    rows: RowSource,
    *,
    batch_size: int = 32,
    prune: bool = False,
    size: int = ROWS,
    checked: bool = False,
    store: bool | None = None,
) -> Indexed:
    """Bring items of an index up to date. Other items stay, unless `prune` is set.

    All rows are read and checked before the first one is written. Embeddings that an audit has kept in the user's cache are used,
    and new ones are kept there for audits, 1 GiB of them at most.

    Args:
        index: the index to write to.
        encoder: the encoder that the index was made for.
        rows: the items, with all their rows.
        batch_size: the number of texts per forward pass.
        prune: remove all other items.
        size: the approximate number of rows of a batch.
        checked: whether `check_rows` has been called already.
        store: use the user's cache; None: the default for the kind of encoder.

    Raises:
        SearchError: the index was made by another encoder, or cannot be written, or a row breaks a rule.
        CorpusError: a file cannot be read, or a picture is damaged.

    """
    index.check_encoder(encoder, backend=True)
    encoded = PointEncoder(encoder, batch_size=batch_size, store=store)

    def write(changed: Iterator[Changes]) -> Iterator[Changes]:
        for changes in changed:
            index.write(changes, encoded(changes.points))
            yield changes

    try:
        return bring_up_to_date(index, rows, write, prune=prune, size=size, checked=checked)
    finally:
        encoded.flush()


def bring_up_to_date(
    index: Index,
    rows: RowSource,
    write: Callable[[Iterator[Changes]], Iterator[Changes]],
    *,
    prune: bool = False,
    size: int = ROWS,
    checked: bool = False,
) -> Indexed:
    """Bring items of an index up to date, with a given function that encodes and writes.

    Args:
        index: the index to write to.
        rows: the items, with all their rows.
        write: a function of an iterator over the changes of each batch. It yields each of the changes after it is written, in
            any order.
        prune: remove all other items.
        size: the approximate number of rows of a batch.
        checked: see `index_rows`.

    Raises:
        SearchError: see `index_rows`.
        CorpusError: see `index_rows`.

    """
    if not checked:
        check_rows(rows, index)
    written = unchanged = removed = decomposed = 0
    seen: set[str] = set()
    with progress_bar("indexing", rows.count, "rows") as bar:

        def changed() -> Iterator[Changes]:
            nonlocal unchanged, decomposed
            for batch in batches_of(rows, size):
                decomposed += sum(row.text is not None and not is_composed(row.text) for row in batch)
                changes = index.changes(batch)
                if prune:
                    seen.update(row.item for row in batch)
                if changes.points or changes.stale:
                    yield changes
                else:
                    index.remember_columns(changes.columns)
                    unchanged += changes.unchanged
                    bar.advance(len(batch))

        for changes in write(changed()):
            written += len(changes.points)
            unchanged += changes.unchanged
            removed += len(changes.stale)
            bar.advance(len(changes.points) + changes.unchanged)
    if prune:
        gone = sorted(set(index.items()) - seen)
        for start in range(0, len(gone), size):
            some = index.engine.digests(gone[start : start + size])
            index.engine.remove(sorted(some))
            removed += len(some)
    if index.langs() and (written or removed or not index.is_calibrated):
        index.calibrate()
    # Build the graph even if nothing was written: an earlier run may have stopped before this, and a service never builds it.
    index.settle()
    return Indexed(written, unchanged, removed, decomposed)
