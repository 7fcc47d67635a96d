"""Searches of an index in Qdrant Edge: by vectors, by corrected vectors, by words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from babelmix.errors import SearchError
from babelmix.search.engines.base import Candidates
from babelmix.search.engines.edge_calls import blaming
from babelmix.search.engines.edge_rows import CORRECTED, DENSE, WORDS, EdgeRows, hit_of
from babelmix.search.rows import Hit, Vectors, Where

Found = TypeVar("Found", list[Hit], Candidates)

FACTS = ("item", "lang", "group", "text", "thumbnail", "fields")
"""What is stored of a row beside its vectors."""

_LOOK, _LOOK_IN_ONE = 512, 128
"""Rows compared by a search in all languages, and in one language, where fewer are enough: see `benchmarks/engine.py`."""
_LOOK_CORRECTED = 400
"""Rows compared by a search for corrected vectors: see `benchmarks/balanced.py`."""
_FIRST, _MORE = 50, 1.2
"""For k rows, 50 + 1.2 k candidates are compared by their vectors; all others only by their eight-bit codes."""
_COMPARED = 1 << 29
"""Up to this many bytes of vectors, a search with a metadata filter compares all matching rows. The graph would miss rows if
columns and languages are combined: see `benchmarks/filters.py`."""


class EdgeSearch:
    """The searches of `EdgeEngine`; see `Engine`."""

    address: str
    _edge: Any
    _shard: Any
    _rows: EdgeRows

    def nearest(  # noqa: D102
        self, vectors: Vectors, wheres: Sequence[Where], k: int, *, exact: bool = False
    ) -> list[list[Hit]]:
        return self._found(self._nearest, vectors, wheres, k, exact=exact)

    def nearest_corrected(  # noqa: D102
        self, vectors: Vectors, wheres: Sequence[Where], k: int
    ) -> list[Candidates]:
        return self._found(self._nearest_corrected, vectors, wheres, k)

    def _found(
        self,
        search: Callable[[Vectors, Sequence[Where], Sequence[Any], int, Sequence[bool]], list[Found]],
        vectors: Vectors,
        wheres: Sequence[Where],
        k: int,
        *,
        exact: bool = False,
    ) -> list[Found]:
        """The rows that a search finds, of which some compare all matching rows, and some are repeated so."""
        filters = self._rows.filters(wheres)
        counts: dict[int, int] = {}

        def compares(where: Where, filter_: Any) -> bool:
            """Whether to compare all matching rows, because the graph would miss some or is slower."""
            if exact or not where.fields or self._rows.layout == 1:
                return exact or bool(where.fields)
            if id(filter_) not in counts:
                counts[id(filter_)] = self._count(filter_, exact=False)
            return vectors[0].nbytes * counts[id(filter_)] <= _COMPARED

        compared = [compares(where, filter_) for where, filter_ in zip(wheres, filters, strict=True)]
        found = search(vectors, wheres, filters, k, compared)
        # The graph search may stop before it has found all rows. If few rows match, counting them is cheap.
        short = [i for i, hits in enumerate(found) if len(hits) < k and not compared[i]]
        if short := [i for i in short if len(found[i]) < self._count(filters[i])]:
            again = search(
                vectors[short], [wheres[i] for i in short], [filters[i] for i in short], k, [True] * len(short)
            )
            for i, hits in zip(short, again, strict=True):
                found[i] = hits
        return found

    def _nearest(
        self, vectors: Vectors, wheres: Sequence[Where], filters: Sequence[Any], k: int, exact: Sequence[bool]
    ) -> list[list[Hit]]:
        edge = self._edge
        # The best candidates by code are sorted by their vectors. An index without codes ignores this.
        codes = edge.QuantizationSearchParams(rescore=True, oversampling=_MORE + _FIRST / k)
        parameters = [
            self._parameters(where, all_, _LOOK_IN_ONE if where.langs and len(where.langs) == 1 else _LOOK, codes)
            for where, all_ in zip(wheres, exact, strict=True)
        ]
        queries = [edge.Query.Nearest(vector.tolist(), using=DENSE) for vector in vectors]
        return self._search(queries, filters, k, parameters)

    def _nearest_corrected(
        self, vectors: Vectors, wheres: Sequence[Where], filters: Sequence[Any], k: int, exact: Sequence[bool]
    ) -> list[Candidates]:
        edge = self._edge
        # The corrected vectors are codes of eight bits, without the numbers that they were made from. The scores are those of the
        # rows' own vectors, not of their codes.
        whole = edge.SearchParams(quantization=edge.QuantizationSearchParams(ignore=True))
        asked = [vector.tolist() for vector in vectors]
        first = [
            edge.Prefetch(
                limit=k,
                query=edge.Query.Nearest(vector, using=CORRECTED),
                params=self._parameters(where, all_, _LOOK_CORRECTED),
                filter=filter_,
            )
            for vector, where, filter_, all_ in zip(asked, wheres, filters, exact, strict=True)
        ]
        queries = [edge.Query.Nearest(vector, using=DENSE) for vector in asked]
        return list(map(_candidates, self._points(queries, [None] * len(queries), k, [whole] * len(queries), first)))

    def _parameters(self, where: Where, exact: bool, width: int, codes: Any = None) -> Any:
        # With its default limit of selectivity, ACORN would be off exactly where it is needed.
        through = self._edge.AcornSearchParams(enable=True, max_selectivity=1.0) if where.fields else None
        return self._edge.SearchParams(exact=exact, hnsw_ef=width, quantization=codes, acorn=through)

    def _count(self, filter_: Any, *, exact: bool = True) -> int:
        with blaming(self.address, "searched"):
            return int(self._shard.count(self._edge.CountRequest(exact=exact, filter=filter_)))

    def with_words(self, texts: Sequence[str], wheres: Sequence[Where], k: int) -> list[list[Hit]]:  # noqa: D102
        if self._rows.layout == 1:
            raise SearchError(
                f"{self.address}: an older version cut its texts into other words; run  babelmix index  on it once more, which "
                "brings it up to date and embeds nothing again"
            )
        queries = [self._rows.weights(text, query=True) for text in texts]
        some = [i for i, query in enumerate(queries) if query.indices]
        nearest = [self._edge.Query.Nearest(queries[i], using=WORDS) for i in some]
        found = self._search(nearest, self._rows.filters([wheres[i] for i in some]), k, [None] * len(some))
        result: list[list[Hit]] = [[] for _ in texts]
        for i, hits in zip(some, found, strict=True):
            result[i] = hits
        return result

    def _search(
        self, queries: Sequence[Any], filters: Sequence[Any], k: int, parameters: Sequence[Any]
    ) -> list[list[Hit]]:
        found = self._points(queries, filters, k, parameters)
        return [
            sorted((hit_of(point, point.payload) for point in points), key=lambda hit: (-hit.score, hit.id))
            for points in found
        ]

    def _points(
        self,
        queries: Sequence[Any],
        filters: Sequence[Any],
        k: int,
        parameters: Sequence[Any],
        first: Sequence[Any] | None = None,
    ) -> list[list[Any]]:
        """The rows that searches find, as the library gives them. `first` may find candidates for each."""
        edge = self._edge
        requests = [
            edge.QueryRequest(
                query=query, filter=filter_, limit=k, params=how, with_payload=list(FACTS),
                prefetches=[first[i]] if first else None,
            )
            for i, (query, filter_, how) in enumerate(zip(queries, filters, parameters, strict=True))
        ]  # fmt: skip
        if not requests:
            return []
        with blaming(self.address, "searched"):
            return list(self._shard.query_batch(edge.QueryBatchRequest(requests)))


def _candidates(points: Sequence[Any]) -> Candidates:
    payloads = [point.payload for point in points]
    return Candidates(
        [point.score for point in points],
        [payload["lang"] for payload in payloads],
        lambda place: hit_of(points[place], payloads[place]),
    )
