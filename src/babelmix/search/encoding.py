"""Embed the rows of a collection."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from babelmix.corpus.images import digest_of, open_picture
from babelmix.corpus.nfc import composed
from babelmix.encoders.backend_names import STATIC
from babelmix.encoders.embed import encode_batch, store_of
from babelmix.encoders.kinds import kind_of
from babelmix.encoders.runtime import export_of
from babelmix.encoders.store import OpenStore, text_keys
from babelmix.errors import CorpusError
from babelmix.search.rows import Point, Row, Vectors

if TYPE_CHECKING:
    from PIL.Image import Image

    from babelmix.encoders.protocol import Encoder


def encode_points(encoder: Encoder, points: Sequence[Point], *, batch_size: int = 32) -> Vectors:
    """Embed rows as passages.

    Returns:
        float32, shape (points, dimension), as the encoder returns them.

    Raises:
        EncoderError: a row is a picture, and the encoder cannot embed pictures.
        CorpusError: a picture is damaged.

    """
    rows = [point.row for point in points]
    inputs = [row.text if row.image is None else partial(opened_picture, row) for row in rows]
    return encode_batch(encoder, inputs, "document", batch_size=batch_size)


class PointEncoder:
    """Embeds rows as passages, and shares the user's cache with audits: neither embeds again what the other has embedded.

    Call `flush` at the end.

    Args:
        encoder: the encoder. Its weights must not change.
        batch_size: the number of texts per forward pass.
        store: use the cache. None: the default for the kind of encoder, which is False for static encoders, as they are faster
            than a disk.

    """

    def __init__(self, encoder: Encoder, *, batch_size: int = 32, store: bool | None = None) -> None:
        self._encoder, self._batch_size = encoder, batch_size
        self._stored = _is_stored(encoder) if store is None else store
        self._stores: dict[bool, OpenStore] = {}

    def __call__(self, points: Sequence[Point]) -> Vectors:
        """Embed rows as passages, float32, shape (points, dimension), as the encoder returns them.

        Raises:
            EncoderError: see `encode_points`.
            CorpusError: see `encode_points`.

        """
        if not self._stored or not points:
            return encode_points(self._encoder, points, batch_size=self._batch_size)
        is_picture = np.array([point.row.image is not None for point in points])
        vectors: Vectors | None = None
        for pictures in (False, True):
            rows = np.flatnonzero(is_picture == pictures).tolist()
            if rows:
                found = self._of_kind([points[row] for row in rows], pictures)
                if vectors is None:
                    vectors = np.empty((len(points), found.shape[1]), dtype=np.float32)
                vectors[rows] = found
        assert vectors is not None
        return vectors

    def _of_kind(self, points: Sequence[Point], pictures: bool) -> Vectors:
        if pictures not in self._stores:
            self._stores[pictures] = OpenStore(store_of(self._encoder, "document", pictures=pictures))
        store = self._stores[pictures]
        if pictures:
            digests = "".join(digest_of(point.row.image or b"") for point in points)
            keys = np.frombuffer(bytes.fromhex(digests), dtype="<u8").reshape(-1, 2)
        else:
            keys = text_keys(composed([point.row.text or "" for point in points]))
        there, found = store.find(keys)
        if there.all() and found is not None:
            return found
        missing = np.flatnonzero(~there).tolist()
        new = encode_points(self._encoder, [points[row] for row in missing], batch_size=self._batch_size)
        _, first = np.unique(keys[missing], axis=0, return_index=True)
        store.add(keys[missing][first], new[first])
        if found is None:
            found = np.empty((len(points), new.shape[1]), dtype=np.float32)
        found[missing] = new
        return found

    def flush(self) -> None:
        """Write new embeddings to the cache."""
        for store in self._stores.values():
            store.flush()


def _is_stored(encoder: Encoder) -> bool:
    """Whether embeddings of this encoder are worth keeping."""
    facts = export_of(encoder)
    return kind_of(cast("Any", encoder)).stored if facts is None else facts.backend != STATIC


def opened_picture(row: Row) -> Image:
    """Open the picture of a row.

    Raises:
        CorpusError: the picture is damaged.

    """
    try:
        return open_picture(row.image or b"")
    except CorpusError as error:
        raise CorpusError(f"item {row.item!r}: the picture {error}") from error
