"""Near pictures: pictures that look the same, so that one in training would give away one in the test.

Two pictures are near if their perceptual hashes (package `ImageHash`, `phash` with 64 bits) differ in at most `BITS` bits, and
their thumbnails in at most `STEP` of 255 grey levels per pixel and colour, on average. The hash alone would join pictures that
differ only in colour, such as one gesture in several skin tones; the thumbnails alone would join dark pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from babelmix._components import NamedSets, components
from babelmix.corpus.images import bytes_of, open_picture
from babelmix.corpus.languages import IMAGE
from babelmix.corpus.model import Corpus
from babelmix.errors import require

BITS = 8
"""The most bits in which the perceptual hashes of near pictures differ, of 64."""
STEP = 6.0
"""The largest mean difference of the thumbnails of near pictures, 0 to 255."""
_SIDE = 16
_ROWS = 512


def near_pictures(pictures: Sequence[bytes], bits: int = BITS, step: float = STEP) -> npt.NDArray[np.int64]:
    """Number pictures so that near ones, directly or through others, have the same number.

    Args:
        pictures: the bytes of picture files.
        bits: the most bits in which hashes differ.
        step: the largest mean difference of thumbnails. Drawings that differ in meaning can be very similar: give less for them.

    Returns:
        The number of each picture, from 0 on in the order of the first pictures, int64, shape (pictures,).

    Raises:
        PictureError: a picture cannot be opened.
        MissingExtraError: the extra `images` is not installed.

    Examples:
        >>> import io
        >>> from PIL import Image
        >>> files = []
        >>> for colour in ("red", "red", "blue"):
        ...     file = io.BytesIO()
        ...     Image.new("RGB", (8, 8), colour).save(file, "PNG")
        ...     files.append(file.getvalue())
        >>> near_pictures(files).tolist()
        [0, 0, 1]

    """
    hashing = require("imagehash", "images", "Finding near pictures")
    hashes = np.zeros((len(pictures), 64), dtype=np.float32)
    small = np.zeros((len(pictures), _SIDE * _SIDE * 3), dtype=np.float32)
    for row, data in enumerate(pictures):
        picture = open_picture(data)
        hashes[row] = hashing.phash(picture).hash.ravel()
        small[row] = np.asarray(picture.resize((_SIDE, _SIDE)), dtype=np.float32).ravel()
    left: list[npt.NDArray[np.int64]] = []
    right: list[npt.NDArray[np.int64]] = []
    for start in range(0, len(pictures), _ROWS):
        some = hashes[start : start + _ROWS]
        # Of two bits, either both are set or one of them differs: |a - b| = a + b - 2ab.
        differing = some.sum(1)[:, None] + hashes.sum(1)[None] - 2 * (some @ hashes.T)
        one, other = np.nonzero(differing <= bits)
        kept = one + start < other
        one, other = one[kept] + start, other[kept]
        close = np.abs(small[one] - small[other]).mean(1) <= step if len(one) else np.zeros(0, dtype=bool)
        left.append(one[close])
        right.append(other[close])
    return components(np.concatenate([*left, []]), np.concatenate([*right, []]), len(pictures))


def group_near_pictures(corpus: Corpus, bits: int = BITS, step: float = STEP) -> Corpus:
    """Join the groups of a corpus that have near pictures, so that no split puts them on both sides.

    Args:
        corpus: a corpus whose passages are pictures.
        bits: see `near_pictures`.
        step: see `near_pictures`.

    Returns:
        The corpus; of joined groups, the first name stays. `meta["near_pictures"]` counts the pictures that are near another.

    Raises:
        PictureError: a picture cannot be opened.
        MissingExtraError: the extra `images` is not installed.

    """
    rows = corpus.passages.filter(pa.compute.equal(corpus.passages["lang"], IMAGE))
    group = rows["group"].to_pylist()
    number = near_pictures([bytes_of(cell) for cell in rows["image"].to_pylist()], bits, step)
    names = list(dict.fromkeys([*group, *corpus.passages["group"].to_pylist(), *corpus.queries["group"].to_pylist()]))
    place = {name: row for row, name in enumerate(names)}
    sets, first = NamedSets(names), dict[int, str]()
    for name, n in zip(group, number.tolist(), strict=True):
        # Of two sets, the name that came first stays.
        kept, other = sorted((sets.name(first.setdefault(n, name)), sets.name(name)), key=place.__getitem__)
        sets.merge(kept, other)
    sides = []
    for side in (corpus.queries, corpus.passages):
        column = pa.array([sets.name(name) for name in side["group"].to_pylist()], pa.string())
        sides.append(side.set_column(side.schema.get_field_index("group"), "group", column))
    counts = np.bincount(number, minlength=1)
    near = int(counts[counts > 1].sum())
    queries, passages = sides
    facts = {**corpus.meta, "near_pictures": near}
    return Corpus(queries, passages, corpus.qrels, corpus.name, facts, corpus.negatives, corpus.excluded)


__all__ = ["BITS", "STEP", "group_near_pictures", "near_pictures"]
