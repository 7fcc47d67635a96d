"""How Qdrant Edge holds rows: filters that find all there are, and indexes of before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from babelmix.errors import SearchError
from babelmix.search import Row, Where
from babelmix.search.engines import edge, edge_search, open_engine
from babelmix.search.engines.contract import Reference
from babelmix.search.engines.edge_rows import layout_file
from babelmix.search.engines.marks import marks_of

pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")

WHERES = [
    Where(langs, fields)
    for langs in (None, ("de",))
    for fields in (
        {"good": (True,)}, {"good": (True, False)}, {"year": (2001, 2003)}, {"price": (10.0, 9.99)}, {"site": ("a", "c\nd")},
        {"site": ("a",), "good": (False,), "year": (2000,)}, {"item": ("i1", "i2"), "good": (True,)}, {"group": ("g1",)},
        {"site": ("",)}, {"nowhere": ("x",)},
    )
]  # fmt: skip


def rows(count: int = 120) -> list[Row]:
    sites = ("a", "b", "c\nd")
    return [
        Row(
            f"i{n // 3}", ("de", "en", "fr")[n % 3], f"text {n}", group=f"g{n // 30}",
            fields={"year": 2000 + n % 4, "price": 10.0 if n % 2 else 9.99, "good": n % 5 == 0, "site": sites[n // 2 % 3]},
        )
        for n in range(count)
    ]  # fmt: skip


def test_values_are_told_apart_by_column_and_type() -> None:
    assert marks_of({"a": 10}) == marks_of({"a": 10.0})
    different = [
        {"a": 1},
        {"b": 1},
        {"a": "1"},
        {"a": True},
        {"a": 1.5},
        {"a": 2**62 + 1},
        {"a": float(2**62)},
        {"a": "x" * 999},
    ]
    assert len({marks_of(fields)[0] for fields in different}) == len(different)


def test_an_index_of_before_is_right_and_is_brought_up_to_date(tmp_path: Path) -> None:
    kept = Reference(str(tmp_path / "index"))
    kept.engine.close()
    layout_file(tmp_path / "index").unlink()
    kept.engine = open_engine(kept.address)
    kept.put(rows())
    kept.check(WHERES)
    with pytest.raises(SearchError, match="run  babelmix index  on it once more"):
        kept.engine.with_words(["text"], [Where()], 3)
    for _ in range(2):
        kept.engine.settle()
        kept.check(WHERES)
        kept.check_all()
        assert len(kept.engine.with_words(["57"], [Where()], 3)[0]) == 1
        kept.engine.close()
        kept.engine = open_engine(kept.address)
    assert isinstance(kept.engine, edge.EdgeEngine)
    assert all("truths" not in record.payload for record in kept.engine._scroll(None, ["truths", "marks"]))
    kept.engine.close()


@pytest.mark.parametrize("written", ["", "[]", "{}", '{"layout": 3}', '{"layout": "2"}'])
def test_a_layout_that_is_damaged_or_newer_is_one_sentence(tmp_path: Path, written: str) -> None:
    kept = Reference(str(tmp_path / "index"))
    kept.engine.close()
    layout_file(tmp_path / "index").write_text(written)
    with pytest.raises(SearchError, match=r"is damaged|this version reads up to 2"):
        open_engine(kept.address)


def test_columns_and_languages_together_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a graph with so small a threshold as a large index has, half of the rows were not found."""
    monkeypatch.setattr(edge, "_SCANNED", 100)
    kept = Reference(str(tmp_path / "index"))
    drawn = np.random.default_rng(1)
    made = [
        Row(
            f"i{n}", ("de", "en")[n % 2], "x", fields={"fifth": int(drawn.integers(5)), "odd": bool(drawn.integers(2))}
        )
        for n in range(9000)
    ]
    kept.put(made)
    kept.engine.settle()
    wheres = [
        Where(langs, fields)
        for langs in (None, ("de",), ("de", "en"))
        for fields in ({"fifth": (1,)}, {"fifth": (2,), "odd": (True,)}, {"odd": (False,)})
    ]
    kept.check(wheres, k=10)
    kept.engine.close()


def test_fewer_than_there_are_is_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Reference(str(tmp_path / "index"))
    kept.put(rows())
    engine = kept.engine
    assert isinstance(engine, edge.EdgeEngine)
    nearest = engine._nearest

    def losing(vectors: Any, wheres: Any, filters: Any, k: int, exact: Sequence[bool]) -> list[list[Any]]:
        found = nearest(vectors, wheres, filters, k, exact)
        return [hits if all_ else hits[::2] for hits, all_ in zip(found, exact, strict=True)]

    monkeypatch.setattr(engine, "_nearest", losing)
    monkeypatch.setattr(edge_search, "_COMPARED", 0)
    kept.check([Where(), Where(("de",)), Where(("de", "fr")), *WHERES], k=50)
    engine.close()
