"""How rows are stored in Qdrant Edge: vectors, payload, and filters."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from babelmix.errors import SearchError
from babelmix.search.engines.base import Correct
from babelmix.search.engines.marks import mark_of, marks_of
from babelmix.search.rows import Hit, Point, Value, Vectors, Where
from babelmix.search.words import Words

DENSE, WORDS, CORRECTED = "dense", "words", "corrected"
"""The names of the vectors of a row."""

MARKS = "marks"
"""The payload key with a digest of each metadata value: one index for columns of all names and types."""

LAYOUT = 2
"""The version of the storage. In layout 1 there were no marks, and the library split texts into words."""

_LAYOUT_FILE = "layout.json"
_LINKS, _WIDTH = 24, 200
"""The graph: links of a row, and rows compared for each row while the graph is built."""

_LENGTH = 64
"""The average passage length of BM25, in words."""


class EdgeRows:
    """Converts rows and filters to the types of the library `qdrant_edge`.

    Args:
        edge: the library.
        layout: the version of the index's storage.

    """

    def __init__(self, edge: Any, layout: int) -> None:
        self._edge = edge
        self.layout = layout
        # Texts are already split into words. Stop words and stemming of one language would be wrong for the others.
        self._bm25 = edge.Bm25(
            edge.Bm25Config(
                tokenizer=edge.TokenizerType.Whitespace,
                lowercase=False,
                stopwords=edge.StopwordsSet(languages=set(), custom=set()),
                stemmer=edge.DisabledStemmer(),
                avg_len=_LENGTH,
            )
        )

    def point(self, point: Point) -> Any:
        """Convert a row with its vector."""
        row = point.row
        assert point.vector is not None
        payload: dict[str, Any] = {"item": row.item, "lang": row.lang, "group": row.group, "digest": point.digest}
        payload |= {"text": row.text} if row.text is not None else {"thumbnail": point.thumbnail}
        payload |= {"fields": dict(row.fields)} if row.fields else {}
        # The Python bindings convert true to 1, and then match neither.
        truths = {name: str(value) for name, value in row.fields.items() if isinstance(value, bool)}
        payload |= {"truths": truths} if truths and self.layout == 1 else {}
        return self._point(point.id, payload, point.vector.tolist(), point.corrected)

    def renewed(self, record: Any) -> Any:
        """Convert a stored row of layout 1 to the current layout."""
        payload = {name: value for name, value in record.payload.items() if name != "truths"}
        return self._point(str(record.id), payload, record.vector[DENSE])

    def _point(self, name: str, payload: dict[str, Any], vector: list[float], corrected: Vectors | None = None) -> Any:
        vectors: dict[str, Any] = {DENSE: vector}
        vectors |= {CORRECTED: corrected.tolist()} if corrected is not None else {}
        if "text" in payload:
            vectors[WORDS] = self.weights(payload["text"], query=False)
        marks = marks_of(payload.get("fields", {}))
        return self._edge.Point(id=name, vector=vectors, payload={**payload, MARKS: marks} if marks else payload)

    def weights(self, text: str, *, query: bool) -> Any:
        """The BM25 weights of the words of a text or a query, as a sparse vector."""
        cut = Words.of(text)
        weights: dict[int, float] = {}
        embed = self._bm25.embed_query if query else self._bm25.embed_document
        # Embedded separately: together they would double the length of the text.
        for words in (cut.alone if query else cut.characters, cut.words):
            found = embed(" ".join(words))
            weights |= dict(zip(found.indices, found.values, strict=True))
        order = sorted(weights)
        return self._edge.SparseVector(indices=order, values=[weights[index] for index in order])

    def with_corrected(self, *, present: bool) -> Any:
        """The filter of rows that have, or have not, a corrected vector."""
        condition = [self._edge.HasVectorCondition(CORRECTED)]
        return self._edge.Filter(must=condition) if present else self._edge.Filter(must_not=condition)

    def corrected(self, records: Sequence[Any], make: Correct) -> list[Any]:
        """The corrected vectors of stored rows."""
        vectors = np.array([record.vector[DENSE] for record in records], dtype=np.float32)
        made = make(vectors, [record.payload["lang"] for record in records]).tolist()
        return [
            self._edge.PointVectors(record.id, {CORRECTED: vector})
            for record, vector in zip(records, made, strict=True)
        ]

    def filters(self, wheres: Sequence[Where]) -> list[Any]:
        """Convert filters. A filter that all rows pass becomes None. Equal filters are converted once."""
        made: dict[Any, Any] = {}
        keys = [(where.langs, tuple(where.fields.items())) for where in wheres]
        for key, where in zip(keys, wheres, strict=True):
            if key not in made:
                made[key] = self.filter(where)
        return [made[key] for key in keys]

    def filter(self, where: Where) -> Any:
        """Convert one filter."""
        must = [] if where.langs is None else [self._any("lang", where.langs)]
        for name, values in where.fields.items():
            if name in ("item", "group"):
                must.append(self._any(name, list(map(str, values))))
            elif self.layout > 1:
                must.append(self._any(MARKS, [mark_of(name, value) for value in values]))
            else:
                must.append(self._as_before(name, values))
        return self._edge.Filter(must=must) if must else None

    def _any(self, key: str, values: Sequence[str]) -> Any:
        return self._edge.FieldCondition(key=key, match=self._edge.MatchAny(list(values)))

    def _as_before(self, name: str, values: Sequence[Value]) -> Any:
        """The condition on a column in layout 1, which has no marks."""
        edge, key = self._edge, f"fields.{name}"
        if all(isinstance(value, bool) for value in values):
            return self._any(f"truths.{name}", list(map(str, values)))
        if all(isinstance(value, str) for value in values):
            return self._any(key, list(map(str, values)))
        return edge.Filter(
            should=[
                # The stored number may differ in the last digit.
                edge.FieldCondition(
                    key=key,
                    range=edge.RangeFloat(gte=math.nextafter(value, -math.inf), lte=math.nextafter(value, math.inf)),
                )
                if isinstance(value, float)
                else edge.FieldCondition(key=key, match=edge.MatchValue(value))
                for value in values
            ]
        )


def config_of(edge: Any, dimension: int, scanned: int) -> Any:
    """The configuration of a new index.

    Args:
        edge: the library.
        dimension: the dimension of the vectors.
        scanned: up to this many KiB of vectors, all of them are compared, without the graph.

    """
    graph = edge.HnswIndexConfig(m=_LINKS, ef_construct=_WIDTH, full_scan_threshold=scanned)
    dense = edge.EdgeVectorParams(
        size=dimension,
        distance=edge.Distance.Dot,
        hnsw_config=graph,
        # The graph is built and searched with codes of eight bits per dimension. TurboQuant rotates vectors before it rounds
        # them, so encoders with a few very large dimensions, such as XLM-R, lose no precision.
        quantization_config=edge.TurboQuantQuantizationConfig(
            bits=edge.TurboQuantBitSize.Bits8, memory=edge.Memory.Cached
        ),
    )
    return edge.EdgeConfig(
        vectors={DENSE: dense},
        sparse_vectors={WORDS: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        # For the corrected vectors, which come later. An index of before uses the graph of its own vectors.
        hnsw_config=graph,
    )


def hit_of(point: Any, facts: Mapping[str, Any]) -> Hit:
    """A row that the library found, with its payload."""
    return Hit(
        str(point.id), float(point.score), facts["item"], facts["lang"], facts["group"], facts.get("text"),
        facts.get("thumbnail", ""), facts.get("fields") or {},
    )  # fmt: skip


def index_of_marks(edge: Any) -> Any:
    """The operation that makes the payload index of the marks."""
    # No extra graph links per value: they take longer to build than the whole graph, and help only filters by one value of one
    # column.
    return edge.UpdateOperation.create_field_index(MARKS, edge.KeywordIndexParams(enable_hnsw=False))


def layout_of(folder: Path) -> int:
    """The version of an index's storage.

    Raises:
        SearchError: the file `layout.json` is damaged, or written by a newer babelmix.

    """
    file = folder / _LAYOUT_FILE
    if not file.exists():
        return 1
    try:
        layout = json.loads(file.read_text(encoding="utf-8"))["layout"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SearchError(f"{file}: is damaged ({error}); make the index again") from error
    if layout != LAYOUT:
        raise SearchError(
            f"{folder}: its rows are stored in the layout {layout!r}, and this version reads up to {LAYOUT}"
        )
    return LAYOUT


def layout_file(folder: Path) -> Path:
    """The file with the version of the storage."""
    return folder / _LAYOUT_FILE
