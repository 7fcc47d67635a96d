"""Vectors from elsewhere as a system: from files or arrays that an API, a GPU or an index made."""

from __future__ import annotations

import copy
import hashlib
import json
import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from babelmix._checksums import checksum
from babelmix._progress import console
from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies, check_copies
from babelmix.errors import ConfigError, VectorsError
from babelmix.evaluation.audit_facts import DOUBT, AuditFacts
from babelmix.evaluation.coarser import check_precision, coarser, settings_of
from babelmix.evaluation.matrix import Matrix, blocks, zero_rows
from babelmix.evaluation.ranks import RankTable
from babelmix.evaluation.systems.embedded import pool_facts, rank_embedded
from babelmix.evaluation.vector_files import Decoded, VectorSource, decoded, files_beside, open_vectors

Similarity = Literal["cosine", "dot", "hamming"]
"""How two vectors are compared; `hamming` is for packed bits."""
SIMILARITIES = ("cosine", "dot", "hamming")

_CHANCE = 0.5
_DEVIATION = 12**-0.5
"""The mean and the standard deviation of a rank by chance, as a share of its pool."""
_ENOUGH = 30
"""The fewest queries whose ranks can show that the vectors are in another order."""


@dataclass(eq=False)
class Vectors:
    """Vectors of the queries and the passages of a corpus, made elsewhere.

    A side is a file (npy, npz, safetensors, Parquet, Arrow or Feather, JSON lines), an array of numpy or torch, or a polars or
    Arrow table with a column `vector`. Values are float64, float32, float16, bfloat16 (safetensors), int8 with scales, or packed
    bits. Large files are memory-mapped. See `babelmix.evaluation.vector_files.open_vectors` for where ids and scales are found.

    With ids, vectors are matched with the rows of the corpus by id, in whatever order they are. Without ids, vector n is that of
    row n of `corpus.queries` or `corpus.passages`, in the order in which `Corpus.row_ids` and `babelmix data --to` give them.

    Args:
        queries: the vectors of the queries, shape (queries, dimension). None for `babelmix.debias`, if there are only passages.
        passages: the vectors of the passages, shape (passages, dimension). None if there are only queries.
        name: the name in reports; empty: what the names of both files begin with, or else their folder.
        similarity: `cosine`, `dot`, or `hamming` for packed bits: uint8 as of `np.packbits`, or int8, which is that minus 128, as
            sentence-transformers' `binary`.
        query_ids: the ids of the queries' vectors, shape (queries,), or a file of them.
        passage_ids: the same for the passages.
        query_scales: what int8 values are multiplied by, shape (queries, 1) or (1, dimension), or an npy file of that.
        passage_scales: the same for the passages.
        dimensions: use only so many dimensions, as of vectors that were trained to be cut short (Matryoshka); None: all.
        precision: make the vectors coarser first: `float16`, `bfloat16`, `int8` or `binary`; see `babelmix.evaluation.coarser`.

    Raises:
        ConfigError: the similarity or the precision is unknown.

    Examples:
        >>> import numpy as np
        >>> import babelmix as bm
        >>> rows = [{"item": i, "lang": lang, "text": f"{i} {lang}"} for i in "ab" for lang in ("de", "en")]
        >>> corpus = bm.Corpus.from_rows(rows, rows, [("a", "a"), ("b", "b")], name="two")
        >>> vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
        >>> bm.audit(bm.Vectors(vectors, vectors, name="mine"), corpus).macro("multi/mAP")
        1.0
        >>> order = [3, 0, 2, 1]
        >>> ids = [corpus.row_ids("passages")[row] for row in order]
        >>> bm.audit(bm.Vectors(vectors, vectors[order], passage_ids=ids), corpus).macro("multi/mAP")
        1.0

    """

    queries: Any
    passages: Any
    name: str = ""
    similarity: Similarity = "cosine"
    query_ids: Any = None
    passage_ids: Any = None
    query_scales: Any = None
    passage_scales: Any = None
    dimensions: int | None = None
    precision: str | None = None

    def __post_init__(self) -> None:
        if self.similarity not in SIMILARITIES:
            raise ConfigError(f"there is no similarity {self.similarity!r}; choose from {', '.join(SIMILARITIES)}")
        if self.precision is not None:
            check_precision(self.precision)
        self.name = self.name or _name_of(self.queries, self.passages)

    def __repr__(self) -> str:
        return f"<Vectors {self.name}>"

    def cut(self, name: str, dimensions: int | None, precision: str | None) -> Vectors:
        """The same vectors under another name, with other dimensions or another precision. Files are opened once for both."""
        if precision is not None:
            check_precision(precision)
        other = copy.copy(self)
        other.name, other.dimensions, other.precision = name, dimensions, precision
        return other

    @cached_property
    def _sources(self) -> tuple[VectorSource, VectorSource]:
        if self.queries is None or self.passages is None:
            missing = "queries" if self.queries is None else "passages"
            raise VectorsError(f"{self.name}: there are no vectors of the {missing}; an audit needs both sides")
        queries = open_vectors(self.queries, "queries", ids=self.query_ids, scales=self.query_scales)
        passages = open_vectors(self.passages, "passages", ids=self.passage_ids, scales=self.passage_scales)
        widths = queries.values.shape[1], passages.values.shape[1]
        if widths[0] != widths[1]:
            raise VectorsError(
                f"has {widths[0]} values in a vector, but {passages.place} has {widths[1]}; both sides need the vectors of one "
                "encoder",
                file=queries.place,
            )
        return queries, passages

    @cached_property
    def _digest(self) -> str:
        given = (self.queries, self.passages, self.query_ids, self.passage_ids, self.query_scales, self.passage_scales)
        return hashlib.sha256(json.dumps([_digest(one) for one in given]).encode()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """A digest of the vectors, their ids and scales, and of how they are compared.

        Files are read once, at the speed of the disk, and not decoded.
        """
        facts = [self._digest, self.similarity, self.dimensions, self.precision]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def facts(self, corpus: Corpus, *, copies: Copies = "wrong") -> AuditFacts:
        """The facts by which a finished audit is recognised: name, digest, similarity, dimensions, precision, corpus, copies."""
        return AuditFacts(
            encoder=self.name,
            encoder_fingerprint=self.fingerprint,
            similarity=self.similarity,
            settings=settings_of(self.dimensions, self.precision),
            **pool_facts(corpus, copies),
        )

    def _embedded(self, corpus: Corpus) -> tuple[list[Decoded], tuple[Matrix, Matrix, str]]:
        """The vectors as they are, and with the dimensions and the precision of this system."""
        bits = self.similarity == "hamming"
        if bits and self.precision not in (None, "binary"):
            raise ConfigError(f"packed bits cannot be made {self.precision}; leave the precision out")
        sides = [
            decoded(one, corpus, side, bits=bits)
            for one, side in zip(self._sources, ("queries", "passages"), strict=True)
        ]
        found = coarser(
            *sides, similarity="dot" if bits else self.similarity, dimensions=self.dimensions, precision=self.precision,
            name=self.name,
        )  # fmt: skip
        return sides, found

    def rank(self, corpus: Corpus, *, copies: Copies = "wrong") -> RankTable:
        """Rank every passage for every query.

        If vectors were matched by row and find nothing, they are probably in another order. This is printed and kept in the facts
        as `doubt`. The verdict then is that the audit cannot tell, and a gate refuses to check its rules.

        Raises:
            VectorsError: a file cannot be read, or does not fit the corpus. The message names the file and the row.
            AuditError: the corpus has no relevant passage, or the vectors have fewer than `dimensions`.

        """
        check_copies(copies)
        sides, (queries, passages, similarity) = self._embedded(corpus)
        bits, sources = self.similarity == "hamming", self._sources
        zero = {side: zero_rows(one) for side, one in zip(("queries", "passages"), sides, strict=True)}
        by_id = [one.ids is not None for one in sources]
        about = {
            "vectors": {
                side: {
                    "file": str(source.place), "type": "packed bits" if bits else source.kind,
                    "dimensions": one.shape[1], "matched by": "id" if named else "row",
                }
                for side, source, one, named in zip(("queries", "passages"), sources, sides, by_id, strict=True)
            }
        }  # fmt: skip
        facts = replace(self.facts(corpus, copies=copies), zero_vectors=zero, extra=about)
        table = rank_embedded(
            corpus, queries, passages, similarity=similarity, facts=facts, copies=copies, details=True
        )
        if all(by_id) or not (langs := langs_by_chance(table)):
            return table
        doubt = (
            f"in {', '.join(langs)} the right passages rank no better than by chance; vectors without ids are matched by row, so "
            "the rows of a file are probably in another order than those of the corpus; add ids"
        )
        console.print(f"{self.name}: {doubt}", markup=False, highlight=False, soft_wrap=True)
        return replace(table, about=replace(table.about, extra={**table.about.extra, DOUBT: doubt}))


def matrices(vectors: Vectors, corpus: Corpus) -> tuple[Matrix, Matrix, str]:
    """The vectors of queries and passages in row order, read when they are needed, and how they are compared.

    Raises:
        VectorsError: a file cannot be read, or does not fit the corpus. The message names the file and the row.

    """
    return vectors._embedded(corpus)[1]


def langs_by_chance(table: RankTable) -> list[str]:
    """The languages in which right passages rank no better than by chance among the passages of the query's language."""
    names = np.array([*table.passage_langs])
    pair_lang = names[table.pair_lang]
    own = pair_lang == np.array(table.query_langs)[table.query_lang[table.pair_query]]
    pools = table.pools(table.pair_query)[np.arange(len(table.pair_query)), table.pair_lang]
    share = table.rank_in_own() / np.maximum(pools - 1, 1)
    found = []
    for lang in table.query_langs:
        some = own & (pair_lang == lang) & (pools > 1)
        count = int(some.sum())
        # Three standard errors better than chance is not chance.
        if count >= _ENOUGH and share[some].mean() + 3 * _DEVIATION / count**0.5 > _CHANCE:
            found.append(str(lang))
    return found


def _name_of(queries: Any, passages: Any) -> str:
    """A name for two files: what both names begin with, or else their folder."""
    given = [one for one in (queries, passages) if one is not None]
    if len(given) == 1:
        queries = passages = given[0]
    if not all(isinstance(one, (str, Path)) for one in (queries, passages)):
        return "vectors"
    places = [Path(one) for one in (queries, passages)]
    names = [place.name.partition(".")[0] for place in places]
    same = [a == b for a, b in zip(*names, strict=False)]
    common = names[0][: same.index(False) if False in same else len(same)].strip(" -_.")
    folder = places[0].parent
    return common or (folder.name if folder == places[1].parent else "") or "vectors"


def _digest(given: Any) -> Any:
    """A digest of a file with the files beside it, of an array, or of other values."""
    if given is None:
        return None
    if isinstance(given, (str, Path)):
        file = Path(given)
        try:
            return [[place.stat().st_size, checksum(place)] for place in (file, *files_beside(file))]
        except OSError as error:
            raise VectorsError("is not there, or cannot be read; name a file of vectors", file=file) from error
    if hasattr(given, "columns") or hasattr(given, "column_names"):
        source = open_vectors(given, "vectors")
        return [_digest(source.values), None if source.ids is None else _digest(source.ids.to_list())]
    array = given.detach().cpu().float().numpy() if hasattr(given, "detach") else given
    if isinstance(array, np.ndarray) and array.dtype.hasobject:
        array = array.tolist()
    if not hasattr(array, "shape"):
        return hashlib.sha256(
            json.dumps(list(map(str, array)) if isinstance(array, (list, tuple)) else str(array)).encode()
        ).hexdigest()
    value = 0
    for part in blocks(array) if len(array.shape) else [array]:
        value = zlib.crc32(np.ascontiguousarray(part).data, value)
    return [str(getattr(array, "dtype", "")), list(array.shape), value]


__all__ = ["SIMILARITIES", "Similarity", "Vectors", "langs_by_chance", "matrices"]
