"""An engine, and beside it what is to be in it: what it finds is compared with what is there, the slow, obvious way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from babelmix.search import Row, Where
from babelmix.search.engines import Engine, create_engine
from babelmix.search.rows import Point, Value, points_of

DIMENSION = 8
ABOUT = {"format": 1, "text": "ä\"\\'😀"}


class Kept:
    """An engine, and beside it what is to be in it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.engine: Engine = create_engine(address, DIMENSION, ABOUT)
        self.points: dict[str, Point] = {}
        self.rng = np.random.default_rng(0)

    def put(self, rows: Sequence[Row], vectors: Any = None, thumbnail: str = "") -> list[str]:
        vectors = self.rng.normal(size=(len(rows), DIMENSION)) if vectors is None else vectors
        points = [
            replace(point, vector=np.asarray(vector, dtype=np.float32), thumbnail=thumbnail if point.row.image else "")
            for point, vector in zip(points_of(rows), vectors, strict=True)
        ]
        self.engine.put(points)
        self.points |= {point.id: point for point in points}
        return [point.id for point in points]

    def remove(self, ids: Sequence[str]) -> None:
        self.engine.remove(ids)
        for name in ids:
            del self.points[name]

    def suits(self, where: Where) -> list[Point]:
        def value(row: Row, name: str) -> Value | None:
            return row.item if name == "item" else row.group if name == "group" else row.fields.get(name)

        return [
            point
            for point in self.points.values()
            if (where.langs is None or point.row.lang in where.langs)
            and all(value(point.row, name) in values for name, values in where.fields.items())
        ]

    def check(self, wheres: Sequence[Where], k: int = 1000, **options: bool) -> None:
        """Whether searches with these filters find what they are to, in order, with all that is stored."""
        vectors = self.rng.normal(size=(len(wheres), DIMENSION)).astype(np.float32)
        for vector, where, hits in zip(
            vectors, wheres, self.engine.nearest(vectors, wheres, k, **options), strict=True
        ):
            scores = {point.id: float(vector @ point.vector) for point in self.suits(where)}
            assert [hit.score for hit in hits] == pytest.approx(sorted(scores.values(), reverse=True)[:k], abs=1e-4)
            assert [(-hit.score, hit.id) for hit in hits] == sorted((-hit.score, hit.id) for hit in hits)
            for hit in hits:
                point = self.points[hit.id]
                assert hit.score == pytest.approx(scores[hit.id], abs=1e-4)
                assert replace(hit, score=0) == type(hit)(
                    point.id, 0, point.row.item, point.row.lang, point.row.group, point.row.text, point.thumbnail,
                    point.row.fields,
                )  # fmt: skip

    def check_all(self) -> None:
        assert self.engine.langs() == dict(sorted(Counter(point.row.lang for point in self.points.values()).items()))
        items = {point.row.item for point in self.points.values()}
        assert sorted(self.engine.items()) == sorted(items)
        assert self.engine.digests([*sorted(items), "nowhere"]) == {
            name: (point.row.item, point.digest) for name, point in self.points.items()
        }
        self.check([Where()])
