"""From the vectors of a file to the numbers of a corpus's rows: the order of the corpus, scales, packed bits, checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from babelmix.corpus import Corpus
from babelmix.corpus.row_ids import row_ids, rows_of_ids
from babelmix.errors import VectorsError
from babelmix.evaluation.vector_files.arrays import from_bfloat16
from babelmix.evaluation.vector_files.source import VectorSource

IntArray = npt.NDArray[np.int64]

_BITS = 8
"""The values that a byte of packed bits holds."""

_FEW = 0.1
"""The share of a corpus's rows up to which ids fit by chance, so that their spelling is at fault."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """The vectors of the rows of a corpus as float32, decoded when they are read.

    Args:
        source: the vectors as the file holds them.
        order: for each row of the corpus, the row of the file, int64, shape (rows,); None: the same row.
        bits: whether the values are packed bits, which become 1 and -1.

    """

    source: VectorSource
    order: IntArray | None = None
    bits: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and dimensions."""
        width = self.source.values.shape[1]
        return len(self), width * _BITS if self.bits else width

    def __len__(self) -> int:
        return len(self.source.values) if self.order is None else len(self.order)

    def __getitem__(self, rows: Any, /) -> npt.NDArray[np.float32]:
        at = rows if self.order is None else self.order[rows]
        raw = self.source.values[at]
        if self.bits:
            # sentence-transformers' `binary` is `ubinary` minus 128, as int8.
            packed = raw.view(np.uint8) ^ np.uint8(128) if self.source.kind == "int8" else raw
            return np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1
        with np.errstate(over="ignore"):
            values = from_bfloat16(raw) if self.source.kind == "bfloat16" else np.array(raw, dtype=np.float32)
            scales = self.source.scales
            if scales is not None:
                values *= scales[at] if len(scales) == len(self.source.values) > 1 else scales
        # If an array has a NaN, its minimum and its maximum are NaN.
        if values.size and not (np.isfinite(values.min()) and np.isfinite(values.max())):
            place, column = (int(one[0]) for one in np.nonzero(~np.isfinite(values)))
            row = int(np.arange(len(self.source.values))[at][place] if isinstance(at, slice) else at[place])
            raise self.source.error(
                f"value {column + 1} of the vector is {values[place, column]} as float32; embed this text again, or leave its "
                "row out of the corpus",
                row,
            )
        return values


def decoded(source: VectorSource, corpus: Corpus, side: str, *, bits: bool = False) -> Decoded:
    """Match the vectors of a file with the rows of a corpus.

    Args:
        source: the vectors.
        corpus: the corpus.
        side: `queries` or `passages`.
        bits: whether the values are packed bits.

    Raises:
        VectorsError: there are more or fewer vectors than rows, an id is unknown, missing or given twice, or the type of the
            values does not fit.

    """
    if bits and source.kind not in ("uint8", "int8"):
        raise source.error(
            f"holds {source.kind}, but Hamming distances need packed bits, uint8; pack them with "
            "np.packbits(vectors > 0, axis=1), or leave the similarity out and let --precision binary make them"
        )
    if bits and source.scales is not None:
        raise source.error(
            "has scales, but packed bits have none; leave them out, or use the similarity cosine or dot"
        )
    if source.kind == "uint8" and not bits:
        raise source.error(
            "holds bytes (uint8): for packed bits give the similarity hamming; for numbers of eight bits save int8 with scales"
        )
    table: pa.Table = getattr(corpus, side)
    if source.ids is not None:
        return Decoded(source, order_of(source, table, corpus, side), bits)
    if len(source.values) != table.num_rows:
        raise source.error(
            f"has {len(source.values):,} vectors, but {corpus.name} has {table.num_rows:,} {side}; without ids, vector n is "
            f"that of row n: embed the {side} of the corpus in their order ( babelmix data CORPUS --to FOLDER  writes them in "
            f"{side}.parquet), or add ids such as {row_ids(table[:1])[0]!r}"
            + ("; with --langs or --part the corpus has fewer rows" if len(source.values) > table.num_rows else "")
        )
    return Decoded(source, None, bits)


def order_of(source: VectorSource, table: pa.Table, corpus: Corpus, side: str) -> IntArray:
    """For each row of a side of a corpus, the row of the vectors that its id names.

    Vectors of languages that the corpus does not have are left out, so that a corpus can be audited in some of its languages.

    Raises:
        VectorsError: an id is unknown, missing or given twice.

    """
    assert source.ids is not None
    found = rows_of_ids(source.ids, table)
    single = "query" if side == "queries" else "passage"
    unknown = found.is_null()
    if unknown.any():
        lang = source.ids.str.extract(r"/([A-Za-z][^/]*)(?:/\d+)?$", 1)
        strange = unknown & (lang.is_null() | lang.is_in(list(corpus.langs)))
        if strange.any():
            row = int(strange.arg_max() or 0)
            raise _id_error(
                source, row,
                f"the id {source.ids[row]!r} is of no {single} of {corpus.name}; an id is an item and a language, such as "
                f"{row_ids(table[:1])[0]!r}, or an item with one row",
            )  # fmt: skip
    known = pl.DataFrame({"row": found}).with_row_index("at").drop_nulls("row")
    twice = known.filter(pl.col("row").is_duplicated())
    if twice.height:
        row = int(twice["row"][0])
        first, second = twice.filter(pl.col("row") == row)["at"][:2]
        raise _id_error(
            source,
            second,
            f"the {single} {source.ids[second]!r} has a vector in row {source.line(first)} already; keep one",
        )
    if known.height < table.num_rows:
        order = np.zeros(table.num_rows, dtype=bool)
        order[known["row"].to_numpy()] = True
        missing = int(np.argmin(order))
        lacks = f"has no vector for {table.num_rows - known.height:,} of {table.num_rows:,} {side} of {corpus.name}"
        wanted, place = row_ids(table)[missing], source.ids_place or source.place
        if unknown.any() and known.height <= _FEW * table.num_rows:
            # The ids are spelled otherwise: the texts have vectors.
            other = source.ids[int(unknown.arg_max() or 0)]
            raise VectorsError(
                f"{lacks}: it has the id {other!r}, and the corpus has {wanted!r}; an id is ITEM/LANG, with the columns item and "
                f"lang as  babelmix data CORPUS --to FOLDER  writes them in {side}.parquet",
                file=place,
            )
        raise VectorsError(
            f"{lacks}; the first is {wanted!r}, row {missing + 1}: embed it, or leave it out of the corpus", file=place
        )
    result = np.empty(table.num_rows, dtype=np.int64)
    result[known["row"].to_numpy()] = known["at"].to_numpy()
    return result


def _id_error(source: VectorSource, row: int, what: str) -> VectorsError:
    return VectorsError(what, file=source.ids_place or source.place, row=source.line(row))


__all__ = ["Decoded", "decoded", "order_of"]
