"""The policy `balanced` in one search finds what a search in each language finds, and survives kills and earlier versions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import parallel_corpus

from babelmix.errors import SearchError
from babelmix.search import Index, Row, Searcher, index_rows
from babelmix.search.calibration import MIN_ROWS, Calibration
from babelmix.search.corrected import Corrections, Scores
from babelmix.search.documents import rows_of_corpus
from babelmix.search.engines import Engine
from babelmix.search.engines.base import Candidates
from babelmix.search.engines.edge import EdgeEngine
from babelmix.search.rows import Hit, Vectors

pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")

DIMENSION = 16
LANGS = ("de", "en", "fr", "hi", "ja")


def vectors_of(langs: Sequence[str], seed: int = 0) -> Vectors:
    """Vectors that lie apart by language, and spread differently."""
    rng = np.random.default_rng(seed)
    places = {lang: np.random.default_rng(ord(lang[0]) * 100 + ord(lang[1])) for lang in set(langs)}
    middles = {lang: place.normal(size=DIMENSION) for lang, place in places.items()}
    widths = {lang: place.uniform(0.3, 1.2) for lang, place in places.items()}
    made = [middles[lang] + widths[lang] * rng.normal(size=DIMENSION) for lang in langs]
    return np.array(made, dtype=np.float32).reshape(len(langs), DIMENSION)


def write(index: Index, items: Sequence[int], langs: Sequence[str] = LANGS, seed: int = 0) -> None:
    """Write items in some languages."""
    rows = [
        Row(f"i{n}", lang, f"text {n} {lang} {seed}", fields={"year": 2000 + n % 3}) for n in items for lang in langs
    ]
    changes = index.changes(rows)
    made = vectors_of([point.row.lang for point in changes.points], 1000 * seed + items[0])
    index.write(changes, made)


def queries(count: int = 12) -> Vectors:
    return vectors_of([LANGS[i % len(LANGS)] for i in range(count)], seed=99)


def asked(index: Index, encoder: Any, *, exact: bool, **given: Any) -> list[list[Hit]]:
    vectors = index.ready(queries())
    found = Searcher(index, encoder).search(
        [""] * len(vectors), policy="balanced", vectors=vectors, exact=exact, **given
    )
    return [list(hits) for hits in found]


def check(index: Index, encoder: Any, *, one: bool = True) -> None:
    """Compare with the exact policy: a search in each language, without a graph."""
    calls: list[int] = []
    engine = index.engine
    near = type(engine).nearest_corrected

    def counted(self: Engine, vectors: Vectors, wheres: Any, k: int) -> list[Candidates]:
        calls.append(len(vectors))
        return near(self, vectors, wheres, k)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(engine), "nearest_corrected", counted)
        for given in (
            {"k": 10}, {"k": 3, "once": True}, {"k": 25, "langs": ["de", "hi"]}, {"k": 8, "where": {"year": [2001]}},
            {"k": 5, "langs": ["fr", "ja"], "where": {"year": [2000, 2002]}}, {"k": 1000}, {"k": 4, "langs": "en"},
        ):  # fmt: skip
            found, right = (asked(index, encoder, exact=exact, **given) for exact in (False, True))
            for hits, best in zip(found, right, strict=True):
                assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in best], abs=1e-4), given
                assert {hit.id for hit in hits[:-1]} <= {hit.id for hit in best}
    assert bool(calls) == one


@pytest.fixture
def index(tmp_path: Path, tiny_static: Any) -> Iterator[Index]:
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as made:
        write(made, range(60))
        yield made


def test_one_search_finds_what_the_policy_says(index: Index, tiny_static: Any) -> None:
    check(index, tiny_static, one=False)
    index.settle()
    assert index.corrected.is_complete
    check(index, tiny_static)
    # Independently of `exact`: all scores by hand.
    vectors = index.ready(queries())
    there = {lang: index.engine.sample(lang, 1000) @ vectors.T for lang in LANGS}
    for i, hits in enumerate(asked(index, tiny_static, exact=False, k=20)):
        by_hand: list[float] = []
        for lang in LANGS:
            mean, spread = index.calibration.scale(lang, vectors)
            by_hand += ((there[lang][:, i] - mean[i]) / spread[i]).tolist()
        assert [hit.score for hit in hits] == pytest.approx(sorted(by_hand, reverse=True)[:20], abs=1e-4)


def test_rows_that_are_written_replaced_and_removed_after_settling(index: Index, tiny_static: Any) -> None:
    index.settle()
    write(index, range(30, 70), seed=1)
    write(index, range(70, 73), ("sv", "de"), seed=2)
    index.delete([f"i{n}" for n in range(10)])
    assert index.corrected.is_complete
    check(index, tiny_static)
    index.settle()
    index.settle()
    check(index, tiny_static)
    index.delete([f"i{n}" for n in range(73)])
    index.settle()
    assert index.corrected.is_complete
    write(index, range(5))
    check(index, tiny_static)


def test_a_language_that_comes_later_gets_its_own_correction(index: Index, tiny_static: Any) -> None:
    index.settle()
    before = index.corrected.corrections
    assert before is not None
    assert set(before.langs) == set(LANGS)
    write(index, range(100, 100 + 2 * MIN_ROWS), ("sv",), seed=3)
    # Its rows lie elsewhere than its correction says: more candidates or a search in each language find them.
    check(index, tiny_static)
    index.settle()
    after = index.corrected.corrections
    assert after is not None
    assert set(after.langs) == {*LANGS, "sv"}
    assert all(after.langs[lang] is not None and after.of(lang).scale == before.of(lang).scale for lang in LANGS)
    assert index.corrected.is_complete
    check(index, tiny_static)


def test_corrections_that_no_longer_fit_are_never_wrong(index: Index, tiny_static: Any) -> None:
    index.settle()
    corrections = index.corrected.corrections
    assert corrections is not None
    moved = {
        lang: type(one)(one.mean + 0.2, one.scale * 1.3)
        for lang, one in corrections.langs.items()
        if lang in ("de", "hi")
    }
    index.remember_corrections(Corrections({**corrections.langs, **moved}, corrections.others).as_json())
    for lang in LANGS:
        index.engine.forget_corrected(lang)
    assert not index.corrected.is_complete
    check(index, tiny_static, one=False)
    for _ in index.engine.correct(index.corrected.corrections.apply):  # type: ignore[union-attr]
        pass
    assert index.corrected.is_complete
    check(index, tiny_static)
    index.settle()
    renewed = index.corrected.corrections
    assert renewed is not None
    for lang in ("de", "hi"):
        assert renewed.of(lang).mean == pytest.approx(corrections.of(lang).mean, abs=0.2)
    check(index, tiny_static)


@pytest.mark.parametrize("damaged", [{"langs": 3}, "x", None])
def test_damaged_or_missing_corrections_are_made_anew(index: Index, tiny_static: Any, damaged: Any) -> None:
    index.settle()
    index.remember_corrections(damaged)
    assert not index.corrected.is_complete
    check(index, tiny_static, one=False)
    index.settle()
    check(index, tiny_static)


def test_rows_of_an_earlier_version_are_filled_in(index: Index, tiny_static: Any) -> None:
    """An index of before has no corrected vectors; and a version of before may write rows without them."""
    index.settle()
    there = index.engine
    kept = there.put
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(there, "put", lambda points: kept([type(p)(p.id, p.digest, p.row, p.vector) for p in points]))
        write(index, range(200, 220), seed=5)
    assert not index.corrected.is_complete
    check(index, tiny_static, one=False)
    index.settle()
    check(index, tiny_static)


def test_few_rows_and_one_language_have_none(tmp_path: Path, tiny_static: Any) -> None:
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        index.settle()
        write(index, range(MIN_ROWS - 1))
        index.settle()
        assert index.corrected.corrections is None
        write(index, range(300, 500), ("de",))
        index.settle()
        assert index.corrected.corrections is None
        check(index, tiny_static, one=False)


def test_an_engine_without_corrected_vectors_searches_each_language(
    index: Index, tiny_static: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EdgeEngine, "has_corrected", False)
    index.settle()
    assert index.about.corrections is None
    check(index, tiny_static, one=False)


def test_hybrid_and_words_go_on(index: Index, tiny_static: Any) -> None:
    index.settle()
    searcher = Searcher(index, tiny_static)
    vectors = index.ready(queries(1))
    found, exact = (
        searcher.search(["text 7"], policy="balanced", mode="hybrid", vectors=vectors, exact=all_)[0]
        for all_ in (False, True)
    )
    assert [hit.id for hit in found] == [hit.id for hit in exact]
    assert len(searcher.search("text 7 de 0", policy="balanced", mode="words")) == 10


DYING = """
import sys
from babelmix.search import Index
from babelmix.search.engines import edge

edge._CORRECTED_AT_ONCE = 16
with Index.open(sys.argv[1]) as index:
    update, left = index.engine._update, int(sys.argv[2])
    def dying(operation, rows, size=0):
        global left
        update(operation, rows, size)
        left -= 1
        if left == 0:
            import os, signal
            os.kill(os.getpid(), signal.SIGKILL)
    index.engine._update = dying
    if sys.argv[3] == "stale":
        import numpy as np
        from babelmix.search.corrected import Corrections
        corrections = index.corrected.corrections
        stale = Corrections.stale
        Corrections.stale = lambda self, *rest: ["de", "fr"] if not self.pending else []
    index.settle()
print("settled")
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", [1, 2, 4, 8])
@pytest.mark.parametrize("state", ["new", "stale"])
def test_a_kill_while_rows_are_corrected_loses_nothing(
    index: Index, tiny_static: Any, moment: int, state: str
) -> None:
    if state == "stale":
        index.settle()
    index.close()
    died = subprocess.run(
        [sys.executable, "-c", DYING, index.address, str(moment), state], check=False, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": "src"}, cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL, died.stderr
    with Index.open(index.address) as again:
        assert not again.corrected.is_complete
        check(again, tiny_static, one=False)
        again.settle()
        assert again.corrected.is_complete
        check(again, tiny_static)


def test_corrections_are_kept_and_tell_what_is_stale() -> None:
    langs = [lang for lang in LANGS for _ in range(400)]
    vectors = vectors_of(langs)
    tags = np.array(langs)

    def fitted(move: Callable[[Vectors, str], Vectors]) -> Calibration:
        return Calibration.fit(
            lambda lang, count: move(vectors[tags == lang], lang)[:count], dict.fromkeys(LANGS, 400)
        )

    calibration = fitted(lambda some, lang: some)
    corrections = Corrections.fit(calibration, vectors[::7])
    read = Corrections.from_json(corrections.as_json())
    assert (read.apply(vectors, langs) == corrections.apply(vectors, langs)).all()
    seen: dict[str, float] = {}
    for lang in LANGS:
        some = corrections.apply(vectors, langs)[tags == lang]
        assert some.mean(axis=0) == pytest.approx(np.zeros(DIMENSION), abs=1e-5)
        assert 0.2 < some.var(axis=0).sum() < 5
        spreads = (some @ vectors[::7].T).std(axis=0)
        spread = np.exp(np.log(spreads).mean())
        assert spread == pytest.approx(seen.setdefault("spread", spread), rel=1e-3)
    assert corrections.stale(calibration, LANGS, vectors[::7]) == []
    moved = fitted(lambda some, lang: some + (lang == "hi"))
    assert corrections.stale(moved, LANGS, vectors[::7]) == ["hi"]
    wider = fitted(lambda some, lang: some.mean(axis=0) + (some - some.mean(axis=0)) * (1.5 if lang == "ja" else 1))
    assert corrections.stale(wider, LANGS, vectors[::7]) == ["ja"]
    again = Corrections.fit(wider, vectors[::7], replace(corrections, pending=("ja",)))
    assert again.of("de").scale == pytest.approx(corrections.of("de").scale, rel=0.02)
    assert again.of("ja").scale == pytest.approx(1.5 * corrections.of("ja").scale, rel=0.02)
    scores = Scores(calibration, corrections, [*LANGS, "sv"])
    for query in vectors[::400]:
        own = scores.of(query)
        plain = vectors @ query
        balanced, corrected = own(plain.tolist(), langs)
        assert corrected == pytest.approx(corrections.apply(vectors, langs) @ query, abs=1e-4)
        for lang in LANGS:
            mean, spread = calibration.scale(lang, query[None])
            assert balanced[tags == lang] == pytest.approx((plain[tags == lang] - mean[0]) / spread[0], abs=1e-3)
            assert own.bound(float(corrected[tags == lang].max()) - own.error, [lang]) == pytest.approx(
                balanced[tags == lang].max(), abs=1e-3
            )
    with pytest.raises(SearchError, match="corrections cannot be read"):
        Corrections.from_json({"langs": {"de": {}}})


def test_a_run_of_index_makes_them(tmp_path: Path, tiny_static: Any) -> None:
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        index_rows(index, tiny_static, rows_of_corpus(parallel_corpus()))
        assert index.corrected.is_complete
        assert index.engine.uncorrected_count() == 0
