"""Checks of what `Engine` promises, for the engines of babelmix and for your own.

    check_engine("memory://test")

Each check compares an engine with `Reference`, which holds the same rows and finds them in the slow, obvious way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from babelmix.errors import SearchError
from babelmix.search.engines.base import Engine
from babelmix.search.engines.opening import create_engine, exists, open_engine
from babelmix.search.rows import Hit, Point, Row, Value, Vectors, Where, points_of

DIMENSION = 8
ABOUT: dict[str, Any] = {"format": 1, "text": "ä\"\\'😀"}

_CLOSE = 1e-4
"""The largest difference of two scores that count as equal."""


class Reference:
    """An engine, together with a copy of the rows that it should hold.

    Args:
        address: the address of an index that does not exist yet.

    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.engine: Engine = create_engine(address, DIMENSION, ABOUT)
        self.points: dict[str, Point] = {}
        self.rng = np.random.default_rng(0)

    def fill(self) -> None:
        """Write 180 rows in three languages, with metadata of every type."""
        sites = ("a", 'b "quoted"', "c\\")
        self.put(
            [
                Row(
                    f"i{n // 3}", ("de", "en", "fr")[n % 3], f"text {n}", group=f"g{n // 30}",
                    fields={"year": 2000 + n % 4, "weight": n / 8, "good": n % 2 == 0, "site": sites[n % 3]},
                )
                for n in range(180)
            ]
        )  # fmt: skip

    def put(self, rows: Sequence[Row], vectors: Any = None, thumbnail: str = "") -> list[str]:
        """Write rows.

        Args:
            rows: the rows.
            vectors: their vectors, shape (rows, 8); by default random ones.
            thumbnail: the thumbnail of the pictures.

        Returns:
            The ids of the rows.

        """
        vectors = self.rng.normal(size=(len(rows), DIMENSION)) if vectors is None else vectors
        points = [
            replace(point, vector=np.asarray(vector, dtype=np.float32), thumbnail=thumbnail if point.row.image else "")
            for point, vector in zip(points_of(rows), vectors, strict=True)
        ]
        self.engine.put(points)
        self.points |= {point.id: point for point in points}
        return [point.id for point in points]

    def remove(self, ids: Sequence[str]) -> None:
        """Remove rows."""
        self.engine.remove(ids)
        for name in ids:
            del self.points[name]

    def suits(self, where: Where) -> list[Point]:
        """The rows that a filter lets pass."""

        def value(row: Row, name: str) -> Value | None:
            return row.item if name == "item" else row.group if name == "group" else row.fields.get(name)

        return [
            point
            for point in self.points.values()
            if (where.langs is None or point.row.lang in where.langs)
            and all(value(point.row, name) in values for name, values in where.fields.items())
        ]

    def check(self, wheres: Sequence[Where], k: int = 1000, *, exact: bool = False) -> None:
        """Search with each filter, and compare the rows found, their order and their stored content."""
        vectors = self.rng.normal(size=(len(wheres), DIMENSION)).astype(np.float32)
        found = self.engine.nearest(vectors, wheres, k, exact=exact)
        _equal(len(found), len(wheres), "lists of hits")
        for vector, where, hits in zip(vectors, wheres, found, strict=True):
            scores = {point.id: _score(vector, point) for point in self.suits(where)}
            best = sorted(scores.values(), reverse=True)[:k]
            _equal(len(hits), len(best), f"hits of {where}")
            _true(np.allclose([hit.score for hit in hits], best, rtol=_CLOSE, atol=_CLOSE), f"the scores of {where}")
            order = [(-hit.score, hit.id) for hit in hits]
            _equal(order, sorted(order), f"the order of {where}")
            for hit in hits:
                _true(hit.id in scores, f"{hit.id}, found by {where}, passes it")
                _true(bool(np.isclose(hit.score, scores[hit.id], rtol=_CLOSE, atol=_CLOSE)), f"the score of {hit.id}")
                point = self.points[hit.id]
                _equal(hit.scored(0.0), _hit_of(point), f"what is stored of {hit.id}")

    def check_all(self) -> None:
        """Compare everything that is stored."""
        counts = Counter(point.row.lang for point in self.points.values())
        _equal(list(self.engine.langs().items()), sorted(counts.items()), "rows by language")
        items = sorted({point.row.item for point in self.points.values()})
        _equal(sorted(self.engine.items()), items, "items")
        digests = {name: (point.row.item, point.digest) for name, point in self.points.items()}
        _equal(self.engine.digests([*items, "nowhere"]), digests, "digests")
        self.check([Where()])


def check_engine(address: str) -> None:
    """Run all checks on an engine.

    Args:
        address: the address of an index that does not exist yet. Its scheme selects the engine.

    Raises:
        AssertionError: the engine does not do what `Engine` says.

    """
    reference = Reference(address)
    try:
        reference.fill()
        for check in CHECKS.values():
            check(reference)
    finally:
        reference.engine.close()


def check_stored(reference: Reference) -> None:
    """All written rows are stored. A second index cannot be made at the same address."""
    engine = reference.engine
    reference.check_all()
    _equal(engine.about(), ABOUT, "the facts")
    _true(exists(reference.address), "exists() of an index")
    engine.put([])
    engine.remove([])
    _equal(engine.digests([]), {}, "digests of no items")
    try:
        create_engine(reference.address, DIMENSION, ABOUT)
    except SearchError:
        return
    raise AssertionError("a second index was made at an address that has one")


def check_filters(reference: Reference) -> None:
    """Filters by language and by metadata of every type let the right rows pass."""
    chosen: list[Mapping[str, tuple[Value, ...]]] = [
        {"year": (2001, 2003)}, {"weight": (0.0, 0.125, 20.0)}, {"good": (False,)}, {"good": (True, False)},
        {"site": ("c\\", 'b "quoted"')}, {"item": ("i7", "nowhere")}, {"group": ("g1",), "good": (True,)},
        {"year": (1,)}, {"missing": ("x",)},
    ]  # fmt: skip
    wheres = [Where(langs, fields) for fields in chosen for langs in (None, ("de", "fr"))]
    reference.check([Where(), *wheres, Where(("de",)), Where(()), Where(("it",)), Where()])
    reference.check([Where(), Where(("en",))], k=7)
    _equal(reference.engine.nearest(np.zeros((0, DIMENSION), np.float32), [], 3), [], "no searches")


def check_numbers(reference: Reference) -> None:
    """A filter by a number finds it in every spelling: 10 and 10.0 are equal."""
    prices = (10, 10.0, 9.99, 99999999, 1e300, -0.0, 0)
    ids = reference.put([Row(f"price {n}", "da", "x", fields={"price": price}) for n, price in enumerate(prices)])
    chosen: list[tuple[Value, ...]] = [(10.0,), (10,), (9.99,), (0.0,), (0,), (99999999.0,), (9.99, 10.0), (1e300,)]
    reference.check([Where(None, {"price": values}) for values in chosen])
    reference.remove(ids)


def check_exact(reference: Reference) -> None:
    """A search with `exact` obeys the same filters."""
    good = {"good": (True,)}
    reference.check(
        [Where(), Where((), good), Where(("de",), good), Where(("it", "en")), Where(("fr",), good)], exact=True
    )
    reference.check([Where(("fr",)), Where(("en",)), Where(())], k=7, exact=True)
    nothing = reference.engine.nearest(np.ones((2, DIMENSION), np.float32), [Where(()), Where(())], 3, exact=True)
    _equal(nothing, [[], []], "hits in no language")


def check_replaced(reference: Reference) -> None:
    """A row with the id of another replaces it; a removed row is gone."""
    changed = [Row("i1", "de", "anders", fields={"year": 1}), Row("i1", "zh-Hant", "新"), Row("neu", "de", "neu")]
    reference.put(changed)
    reference.check_all()
    reference.remove([point.id for point in reference.points.values() if point.row.item in ("i1", "neu", "i2")])
    reference.check_all()


def check_ties(reference: Reference) -> None:
    """Rows with equal scores come in order of their ids."""
    far = np.full(DIMENSION, 9.0)
    ids = reference.put([Row("tie", "tr", f"{n}") for n in range(9)], [far] * 9)
    for exact in (False, True):
        hits = reference.engine.nearest(far[None].astype(np.float32), [Where()], 9, exact=exact)[0]
        _equal([hit.id for hit in hits], sorted(ids), "the order of equal scores")
    reference.remove(ids)


def check_long(reference: Reference) -> None:
    """Long texts, control characters and pictures are stored without a change."""
    rows = [Row("long", "ja", "grün " * 10_000, group="\\" * 512), Row("spaces", "ja", " \x00\n\r\x7f\u2028'")]
    rows += [Row("😀" * 512, "zxx", image=b"a picture", group="😀" * 512)]
    ids = reference.put(rows, thumbnail="A" * 60_000)
    reference.check([Where(("ja", "zxx"))])
    reference.check_all()
    reference.remove(ids)


def check_facts(reference: Reference) -> None:
    """Facts of any size are replaced completely."""
    for size in (70_000, 10, 300_000):
        about = {**ABOUT, "calibration": '😀"\\' * size}
        reference.engine.remember(about)
        _equal(reference.engine.about(), about, "facts that were replaced")
    reference.engine.remember(ABOUT)
    _equal(reference.engine.about(), ABOUT, "facts that were replaced")


def check_sample(reference: Reference) -> None:
    """A sample has rows of one language alone, each once, and is the same each time."""
    there = [point.vector for point in reference.points.values() if point.row.lang == "de"]
    sample = reference.engine.sample("de", 20)
    _equal((sample.dtype, sample.shape), (np.dtype(np.float32), (20, DIMENSION)), "the type and shape of a sample")
    near = np.abs(sample[:, None] - np.array(there)[None]).max(axis=2) < _CLOSE
    _true(bool(near.any(axis=1).all()), "each vector of a sample is one of the language")
    _equal(len(set(near.argmax(axis=1))), 20, "different rows of a sample")
    _true(np.array_equal(sample, reference.engine.sample("de", 20)), "two samples are equal")
    _equal(len(reference.engine.sample("de", 500)), len(there), "rows of a sample that is larger than the language")
    _equal(len(reference.engine.sample("it", 5)), 0, "rows of a sample of a language without rows")


def check_points(reference: Reference) -> None:
    """All rows are given back with their vectors; or the engine says that it does not give them back."""
    engine = reference.engine
    try:
        next(iter(engine.points()))
    except SearchError:
        return
    ids = reference.put([Row("seen", "ja", "見", fields={"year": 1})])
    ids += reference.put([Row("seen", "zxx", image=b"a picture")], thumbnail="QUJD")
    for langs in (None, ("ja", "zxx"), ("de",), ("it",), ()):
        found = {point.id: point for point in engine.points(langs)}
        expected = {name: p for name, p in reference.points.items() if langs is None or p.row.lang in langs}
        _equal(sorted(found), sorted(expected), f"rows given back, of the languages {langs}")
        for name, point in expected.items():
            given = found[name]
            assert given.vector is not None
            assert point.vector is not None
            _equal(_hit_of(given), _hit_of(point), f"what is given back of {name}")
            _equal(given.digest, point.digest, f"the digest of {name}")
            _equal(given.row.image is None, point.row.image is None, f"whether {name} is a picture")
            _true(np.allclose(given.vector, point.vector, rtol=_CLOSE, atol=_CLOSE), f"the vector of {name}")
    reference.remove(ids)


def check_corrected(reference: Reference) -> None:
    """Rows are found by their corrected vectors, with the scores of their own; or the engine says that it has none."""
    engine = reference.engine
    if not engine.has_corrected:
        return
    rows = len(reference.points)
    _equal(engine.uncorrected_count(), rows, "rows without corrected vectors before any is made")
    _equal(sum(engine.correct(_corrected)), rows, "rows that are corrected")
    _equal(sum(engine.correct(_corrected)), 0, "rows that are corrected again")
    _equal(engine.uncorrected_count(), 0, "rows without corrected vectors after all were made")
    query = reference.rng.normal(size=(1, DIMENSION)).astype(np.float32)
    wheres = [Where(), Where(("de",)), Where(("de", "en"), {"good": (True,)}), Where(("it",))]
    for where, k in [(where, k) for where in wheres for k in (7, 1000)]:
        found = engine.nearest_corrected(query, [where], k)[0]
        hits = list(map(found.hit, range(len(found))))
        told = list(zip(found.scores, found.langs, strict=True))
        _equal(told, [(hit.score, hit.lang) for hit in hits], f"scores and languages of {where}")
        allowed = {point.id: point for point in reference.suits(where)}
        scores = {name: float(query[0] @ _corrected_of(point)) for name, point in allowed.items()}
        _equal(len(hits), min(k, len(allowed)), f"hits of {where} by corrected vectors")
        # Corrected vectors may be rounded.
        least = sorted(scores.values(), reverse=True)[: len(hits)][-1:] or [0.0]
        for hit in hits:
            _true(scores[hit.id] >= least[0] - 0.1, f"{hit.id} is among the nearest by corrected vectors")
            _true(
                bool(np.isclose(hit.score, _score(query[0], allowed[hit.id]), atol=_CLOSE)), f"the score of {hit.id}"
            )
            _equal(hit.scored(0.0), _hit_of(reference.points[hit.id]), f"what is stored of {hit.id}")
    corrected = [replace(point, corrected=_corrected_of(point)) for point in reference.points.values()]
    engine.put(corrected[:3])
    engine.remove([corrected[0].id])
    engine.put(corrected[:1])
    _equal(engine.uncorrected_count(), 0, "rows without corrected vectors after writes with them")
    first, second = list(reference.points.values())[:2]
    engine.put([first, replace(second, corrected=_corrected_of(second))])
    _equal(engine.uncorrected_count(), 1, "rows without corrected vectors after one was written so")
    _equal(sum(engine.correct(_corrected)), 1, "rows that are corrected after that")
    engine.forget_corrected("de")
    _equal(
        engine.uncorrected_count(),
        engine.langs()["de"],
        "rows without corrected vectors after those of a language went",
    )
    _equal(len(engine.nearest_corrected(query, [Where(("de",))], 3)[0]), 0, "hits of rows without corrected vectors")
    for lang in engine.langs():
        engine.forget_corrected(lang)
    _equal(engine.uncorrected_count(), rows, "rows without corrected vectors after all were removed")
    reference.check_all()


def _corrected(vectors: Vectors, langs: Sequence[str]) -> Vectors:
    return vectors[:, ::-1] * np.array([len(lang) for lang in langs], dtype=np.float32)[:, None]


def _corrected_of(point: Point) -> Vectors:
    assert point.vector is not None
    return _corrected(point.vector[None], [point.row.lang])[0]


def check_words(reference: Reference) -> None:
    """A search by words finds the rows that share one, under the same filters; or the engine says that it has no BM25."""
    engine = reference.engine
    if not engine.has_words:
        try:
            engine.with_words(["zebra"], [Where()], 3)
        except SearchError:
            return
        raise AssertionError("an engine without BM25 searched by words")
    ids = reference.put(
        [Row("w1", "en", "a zebra zebra"), Row("w2", "en", "one zebra and more"), Row("w3", "de", "Zebra")]
    )
    found = engine.with_words(["zebra", "zebra", "quagga"], [Where(("en",)), Where(("de",)), Where()], 5)
    names = [[hit.item for hit in hits] for hits in found]
    _equal(names, [["w1", "w2"], ["w3"], []], "items found by words")
    reference.remove(ids)


def check_reopened(reference: Reference) -> None:
    """An index that was settled and closed opens again with everything in it."""
    ids = reference.put([Row("settled", "de", "x")])
    reference.engine.settle()
    reference.check_all()
    reference.engine.close()
    reference.engine = open_engine(reference.address)
    reference.check_all()
    _equal(reference.engine.about(), ABOUT, "the facts after opening")
    reference.remove(ids)


CHECKS: Mapping[str, Callable[[Reference], None]] = {
    check.__name__.removeprefix("check_"): check
    for check in (
        check_stored, check_filters, check_numbers, check_exact, check_replaced, check_ties, check_long, check_facts,
        check_sample, check_points, check_corrected, check_words, check_reopened,
    )
}  # fmt: skip
"""The checks by name. After each check, the engine holds the same rows as `Reference`."""


def _score(vector: Any, point: Point) -> float:
    assert point.vector is not None
    return float(vector @ point.vector)


def _hit_of(point: Point) -> Hit:
    row = point.row
    return Hit(point.id, 0.0, row.item, row.lang, row.group, row.text, point.thumbnail, row.fields)


def _true(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(f"not so: {what}")


def _equal(found: Any, expected: Any, what: str) -> None:
    if found != expected:
        raise AssertionError(f"{what}: {found!r:.500} and not {expected!r:.500}")
