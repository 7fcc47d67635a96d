"""A search engine from outside babelmix: rows in memory, each compared with the query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, ClassVar, Self

import numpy as np

from babelmix.errors import SearchError
from babelmix.search import Hit, Where
from babelmix.search.engines import Engine
from babelmix.search.rows import Point, Vectors


class MemoryEngine(Engine):
    """An index that ends with the process."""

    stores: ClassVar[dict[str, MemoryEngine]] = {}

    def __init__(self, address: str, dimension: int, about: dict[str, Any]) -> None:
        self.address, self._dimension, self._about = address, dimension, about
        self._points: dict[str, Point] = {}

    @classmethod
    def create(cls, address: str, dimension: int, about: dict[str, Any]) -> Self:
        if cls.exists(address):
            raise SearchError(f"{address}: there is an index already")
        cls.stores[address] = made = cls(address, dimension, about)
        return made

    @classmethod
    def open(cls, address: str) -> Self:
        if not cls.exists(address):
            raise SearchError(f"{address}: is not an index")
        return cls.stores[address]  # type: ignore[return-value]

    @classmethod
    def exists(cls, address: str) -> bool:
        return address in cls.stores

    def about(self) -> dict[str, Any]:
        return deepcopy(self._about)

    def remember(self, about: dict[str, Any]) -> None:
        self._about = deepcopy(about)

    def digests(self, items: Sequence[str]) -> dict[str, tuple[str, str]]:
        return {
            name: (point.row.item, point.digest) for name, point in self._points.items() if point.row.item in items
        }

    def put(self, points: Sequence[Point]) -> None:
        self._points |= {point.id: point for point in points}

    def remove(self, ids: Sequence[str]) -> None:
        for name in ids:
            self._points.pop(name, None)

    def nearest(self, vectors: Vectors, wheres: Sequence[Where], k: int, *, exact: bool = False) -> list[list[Hit]]:
        return [self._nearest(vector, where, k) for vector, where in zip(vectors, wheres, strict=True)]

    def _nearest(self, vector: Vectors, where: Where, k: int) -> list[Hit]:
        hits = []
        for point in self._points.values():
            row = point.row
            own = {**row.fields, "item": row.item, "group": row.group}
            if (where.langs is None or row.lang in where.langs) and all(
                own.get(name) in values for name, values in where.fields.items()
            ):
                score = float(vector @ point.vector)
                hits.append(Hit(point.id, score, row.item, row.lang, row.group, row.text, point.thumbnail, row.fields))
        return sorted(hits, key=lambda hit: (-hit.score, hit.id))[:k]

    def sample(self, lang: str, count: int) -> Vectors:
        some = [point.vector for point in self._points.values() if point.row.lang == lang][:count]
        return np.array(some, dtype=np.float32).reshape(len(some), self._dimension)

    def points(self, langs: Sequence[str] | None = None) -> Iterator[Point]:
        for point in list(self._points.values()):
            if langs is None or point.row.lang in langs:
                yield point

    def langs(self) -> dict[str, int]:
        return dict(sorted(Counter(point.row.lang for point in self._points.values()).items()))

    def items(self) -> Iterator[str]:
        return iter({point.row.item for point in self._points.values()})

    def close(self) -> None:
        pass
