"""Embed the rows of a collection."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from sentence_transformers import SentenceTransformer

from babelmix.corpus.images import open_picture
from babelmix.encoders.embed import encode_batch
from babelmix.errors import CorpusError
from babelmix.search.rows import Point, Row, Vectors

if TYPE_CHECKING:
    from PIL.Image import Image


def encode_points(encoder: SentenceTransformer, points: Sequence[Point], *, batch_size: int = 32) -> Vectors:
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


def opened_picture(row: Row) -> Image:
    """Open the picture of a row.

    Raises:
        CorpusError: the picture is damaged.

    """
    try:
        return open_picture(row.image or b"")
    except CorpusError as error:
        raise CorpusError(f"item {row.item!r}: the picture {error}") from error
