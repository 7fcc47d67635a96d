"""Index and search where something was interrupted, came twice, or is at a limit."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import parallel_corpus

import babelmix.search.asking as asking
import babelmix.search.engines.edge as edge
import babelmix.search.mteb_index as search_mteb
from babelmix._files import replacing_folder
from babelmix.errors import BabelmixError, EngineError, PictureError, SearchError
from babelmix.search import Index, Row, Searcher, index_rows, open_rows
from babelmix.search.calibration import Calibration
from babelmix.search.documents import rows_of_corpus

pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")


def written(index: Index, rows: list[Row], encoder: object) -> None:
    changes = index.changes(rows)
    index.write(changes, encoder.encode_document([point.row.text for point in changes.points]))  # type: ignore[attr-defined]


def test_a_graph_that_was_not_built_is_built_by_the_next_run(
    tmp_path: Path, tiny_static, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of_corpus(parallel_corpus())
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        with monkeypatch.context() as patched:
            patched.setattr(index.engine, "settle", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                index_rows(index, tiny_static, rows)
        assert not (tmp_path / "index" / "settled").exists()
        assert index_rows(index, tiny_static, rows).written == 0
        assert index.is_calibrated
        assert (tmp_path / "index" / "settled").exists()
        written(index, [Row("new", "de", "neu")], tiny_static)
        assert not (tmp_path / "index" / "settled").exists()
        index_rows(index, tiny_static, rows)
        assert (tmp_path / "index" / "settled").exists()
        # What is settled needs no room.
        monkeypatch.setattr(edge, "check_room", lambda *_: pytest.fail("asked for room"))
        assert index_rows(index, tiny_static, rows).unchanged == 160


class Flushes:
    """A shard of which only the flushes are counted."""

    def __init__(self, shard: Any) -> None:
        self.shard, self.count = shard, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.shard, name)

    def flush(self) -> None:
        self.count += 1
        self.shard.flush()


def test_an_index_that_was_only_read_is_not_written_when_it_closes(tmp_path: Path, tiny_static) -> None:
    rows = rows_of_corpus(parallel_corpus())
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        index_rows(index, tiny_static, rows)
    with Searcher(Index.open(str(tmp_path / "index")), tiny_static) as searcher:
        read = searcher.index.engine._shard = Flushes(searcher.index.engine._shard)
        assert searcher.search("Hund")
    assert not read.count
    with Index.open(str(tmp_path / "index")) as index:
        both = index.engine._shard = Flushes(index.engine._shard)
        written(index, [Row("new", "de", "neu")], tiny_static)
    assert both.count
    with Searcher(Index.open(str(tmp_path / "index")), tiny_static) as searcher:
        assert searcher.index.items_named("new") == {"new": ["new"]}
        # The process before wrote, and did not settle the index.
        left = searcher.index.engine._shard = Flushes(searcher.index.engine._shard)
    assert left.count


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system has no read-ahead")
def test_vectors_are_read_ahead_before_they_are_mapped(
    tmp_path: Path, tiny_static, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of_corpus(parallel_corpus())
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        index_rows(index, tiny_static, rows)
    asked: list[Path] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda file, *_: asked.append(Path(f"/proc/self/fd/{file}").readlink()))
    with Index.open(str(tmp_path / "index")) as index:
        assert sum(index.langs().values()) == 160
    assert any("vector_storage-dense" in file.parts for file in asked)


def test_who_comes_second_replaces_nothing(tmp_path: Path) -> None:
    def both() -> None:
        with replacing_folder(tmp_path / "x", []) as mine:
            (mine / "mine").touch()
            (tmp_path / "x").mkdir()
            (tmp_path / "x" / "theirs").touch()

    with pytest.raises(BabelmixError, match="another process has written there"):
        both()
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["theirs"]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    (tmp_path / "empty").mkdir()
    with replacing_folder(tmp_path / "empty", []) as mine:
        (mine / "mine").touch()
    assert (tmp_path / "empty" / "mine").exists()


def test_two_that_share_an_engine_keep_each_other_s_columns(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = searcher.index
    monkeypatch.setattr(one.engine, "shared", True)
    other = Index(one.engine, one.about)
    written(other, [Row("a", "de", "neu", fields={"year": 2026})], searcher.encoder)
    # It was opened before there was the column.
    one.calibrate()
    assert one.engine.about()["columns"] == {"year": "integer"}
    assert one.where(None, {"year": [2026]}).fields == {"year": (2026,)}
    third = Index(one.engine, one.about.model_copy(update={"columns": {}}))
    with pytest.raises(SearchError, match="the column's is integer"):
        third.changes([Row("b", "de", "neu", fields={"year": "2026"})])


def test_a_quota_is_kept_by_items_that_come_once(tmp_path: Path, tiny_static) -> None:
    rows = [Row(f"d{i}", "de", f"Katze Katze {j}") for i in range(20) for j in range(2)]
    rows += [Row(f"e{i}", "en", "dog river") for i in range(20)]
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        written(index, rows, tiny_static)
        searcher = Searcher(index, tiny_static)
        for once in (False, True):
            found = searcher.search(["Katze"], k=3, policy="quota=2", once=once)[0]
            assert [hit.lang for hit in found] == ["de", "de", "en"]
            assert len({hit.item for hit in found}) == 3 or not once


@pytest.mark.parametrize("policy", ["any", "balanced"])
def test_items_that_come_once_are_looked_for_past_what_a_search_gives(
    searcher: Searcher, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "MAX_K", 40)
    assert len(searcher.search(["cat"], k=40, policy=policy, once=True)[0]) == 40


def test_raised_scores_of_words_do_not_depend_on_how_many_are_asked_for(searcher: Searcher) -> None:
    few, many = (searcher.search(["cat 3"], k=k, mode="words", policy="prefer=de:3")[0] for k in (1, 20))
    assert few == many[:1]
    assert few[0].lang == "de"
    assert searcher.search(["cat 3"], k=1, mode="words")[0][0].lang == "en"


def test_a_preference_finds_nothing_in_an_empty_index(tmp_path: Path, tiny_static) -> None:
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        assert Searcher(index, tiny_static).search(["x"], policy="prefer=de") == [[]]


def test_numbers_are_found_between_letters(tmp_path: Path, tiny_static) -> None:
    texts = {
        "ja": "この計画は2024年に始まった",
        "de": "Es begann 2024",
        "zh": "始于２０２４年",
        "en": "a B2B shop",
        "ru": "२०२४",
    }
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        written(index, [Row(lang, lang, text) for lang, text in texts.items()], tiny_static)
        searcher = Searcher(index, tiny_static)

        def found(query: str) -> set[str]:
            return {hit.lang for hit in searcher.search([query], mode="words")[0]}

        assert found("2024") == found("２０２４") == {"ja", "de", "zh"}
        assert (found("b2b"), found("२०२४"), found("1999")) == ({"en"}, {"ru"}, set())


def test_few_rows_are_not_calibrated_again_for_each(searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[int] = []
    fit = Calibration.fit

    def counted(*arguments: object) -> Calibration:
        fits.append(1)
        return fit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Calibration, "fit", counted)
    for i in range(5):
        written(searcher.index, [Row(f"new{i}", "ko", f"고양이 {i}")], searcher.encoder)
        found = searcher.search(["고양이"], policy="balanced", k=200)[0]
        # Compared with the others as the languages together are, not by a score that was not calibrated.
        assert {hit.lang for hit in found} == {"de", "en", "fr", "ja", "ko"}
        offset, spread = searcher.index.calibration.scale("ko", searcher.embed(["고양이"]))
        raw = {h.id: h.score for h in searcher.search(["고양이"], policy="only=ko", k=200)[0]}
        mine = next(hit for hit in found if hit.lang == "ko")
        assert mine.score == pytest.approx((raw[mine.id] - offset[0]) / spread[0], abs=1e-4)
    assert not fits
    written(searcher.index, [Row(f"more{i}", "de", f"mehr {i}") for i in range(30)], searcher.encoder)
    asking = [threading.Thread(target=lambda: searcher.index.calibration) for _ in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert len(fits) == 1


def test_a_panic_of_the_library_is_one_sentence(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class PanicError(BaseException):
        """As what Rust calls a panic."""

    def panics(*_: object) -> None:
        raise PanicError("index out of bounds")

    class Library:
        def __getattr__(self, name: str) -> object:
            return getattr(searcher.index.engine._edge, name)  # type: ignore[attr-defined]

        class EdgeShard:
            load = create = panics

    monkeypatch.setattr(edge, "library", Library)
    with pytest.raises(SearchError, match=r"cannot be opened as an index \(index out of bounds\)"):
        Index.open(searcher.index.address)
    with pytest.raises(EngineError, match=r"cannot be made \(index out of bounds\)"):
        Index.create(str(tmp_path / "other"), searcher.encoder, "tiny")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pictures_are_read_from_files_alone(tmp_path: Path, kind: str) -> None:
    place = Path("/dev/zero")
    if kind == "pipe":
        place = tmp_path / "pipe"
        os.mkfifo(place)
    (tmp_path / "docs.jsonl").write_text(f'{{"item": "a", "lang": "zxx", "image": "{place}"}}\n')
    with pytest.raises(BabelmixError, match="it is no file") as told:
        list(open_rows(str(tmp_path / "docs.jsonl")).items())
    assert isinstance(told.value.__cause__, PictureError)


def test_columns_of_any_name_are_metadata(tmp_path: Path) -> None:
    (tmp_path / "docs.csv").write_text("item,lang,text,row,__row,query\na,de,Katze,1,x,wie\n")
    ((row,),) = open_rows(str(tmp_path / "docs.csv")).items()
    assert row.fields == {"row": 1, "__row": "x", "query": "wie"}


def test_mteb_s_queries_are_searched_for_some_at_a_time(tiny_static, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_mteb, "_QUERIES", 3)
    sizes: list[int] = []

    class Found:
        def embed(self, texts: list[str]) -> None:
            """Vectors are not looked at."""

        def search(self, texts: list[str], **_: object) -> list[list[object]]:
            sizes.append(len(texts))
            return [[] for _ in texts]

    search = search_mteb.IndexSearch(tiny_static, "tiny")
    search._searcher = Found()  # type: ignore[assignment]
    asked = [{"id": str(i), "text": f"cat {i}"} for i in range(7)]
    found = search.search(
        asked, task_metadata=None, hf_split="", hf_subset="", top_k=5, encode_kwargs={}, num_proc=None
    )  # type: ignore[arg-type]
    assert (sizes, list(found)) == ([3, 3, 1], [str(i) for i in range(7)])
    search._searcher = None


def test_deleting_goes_with_nothing_else(tmp_path: Path, babelmix) -> None:
    for words in (["--langs", "de"], ["--model", "x"], ["--ray", "local"], ["--batch-size", "32"]):
        code, _, error = babelmix("index", "--to", str(tmp_path / "index"), "--delete", "a", *words)
        assert (code, "leave out all but --to and --json" in error) == (1, True)


def test_scores_of_a_language_without_rows_are_those_of_all_together() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    fitted = Calibration.fit(lambda lang, count: vectors[:count], {"de": 50})
    mean, spread = fitted.scale("xx", vectors[:2])
    expected, variance = fitted.together.score_moments(vectors[:2])
    assert mean == pytest.approx(expected)
    assert spread == pytest.approx(np.sqrt(variance))


def test_columns_of_a_csv_have_the_type_they_had(tmp_path: Path, tiny_static, babelmix) -> None:
    model, index, file = tmp_path / "model", tmp_path / "index", tmp_path / "docs.csv"
    tiny_static.save(str(model))
    for line in ("a,de,Katze,A12,007,1.5", "b,de,Haus,12,008,2"):
        file.write_text(f"item,lang,text,code,zip,price\n{line}\n")
        code, _, error = babelmix("index", str(file), "--to", str(index), "--model", str(model))
        assert code == 0, error
    with Index.open(str(index)) as opened:
        assert opened.columns == {"code": "text", "zip": "text", "price": "number"}
        where = opened.where(None, {"code": ["12"], "zip": ["008"], "price": [2]})
        assert [hit.item for hit in Searcher(opened, tiny_static).search(["Haus"], where=where)[0]] == ["b"]


def test_facts_by_name_warn(searcher: Searcher) -> None:
    with pytest.warns(DeprecationWarning, match=r"write  about\.encoder"):
        assert searcher.index.about["encoder"] == searcher.index.about.encoder == "tiny"


def test_a_calibration_that_cannot_be_read_is_fitted_anew(searcher: Searcher) -> None:
    fitted = searcher.index.calibration.as_json()
    other = Index(searcher.index.engine, searcher.index.about.model_copy(update={"calibration": {"counts": 3}}))
    assert not other.is_calibrated
    assert other.calibration.as_json() == fitted


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (b"", "is damaged"),
        (b"{", "is damaged"),
        (b"\xff\xfe", "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b"[]", "holds no object"),
        (b"null", "holds no object"),
        (b"{}", "'format': Field required"),
        ({"format": 3}, "has the format 3, and this version reads up to 2"),
        ({"format": "1"}, "'format': Input should be a valid integer"),
        ({"encoder": None}, "'encoder': Input should be a valid string"),
        ({"dimension": "16"}, "'dimension': Input should be a valid integer"),
        ({"similarity": "far"}, "'similarity': Input should be 'cosine' or 'dot'"),
        ({"columns": []}, "'columns': Input should be a valid dictionary"),
        ({"columns": {"a": "date"}}, "'columns.a': Input should be"),
        ({"columns": ...}, "'columns': Field required"),
        ({"fingerprint": ...}, "'fingerprint': Field required"),
        ({"prompts": "x"}, "'prompts': Input should be a valid dictionary"),
        ({"max_seq_length": "8"}, "'max_seq_length': Input should be a valid integer"),
        ({"backend": 3}, "'backend': Input should be a valid string"),
    ],
)
def test_damaged_facts_are_one_sentence(tmp_path: Path, tiny_static, change: bytes | dict, said: str) -> None:
    address = tmp_path / "index"
    Index.create(str(address), tiny_static, "tiny").close()
    file = address / "index.json"
    if isinstance(change, dict):
        about = {**json.loads(file.read_text()), **change}
        file.write_text(json.dumps({name: value for name, value in about.items() if value is not ...}))
    else:
        file.write_bytes(change)
    for _ in range(2):
        # What could not be opened is not held open.
        with pytest.raises(BabelmixError) as error:
            Index.open(str(address))
        assert said in str(error.value)
        assert "\n" not in str(error.value)
        assert "another process" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["any", "balanced", "quota=2", "prefer=de"])
@pytest.mark.parametrize("mode", ["dense", "words", "hybrid"])
def test_what_is_kept_between_depths_changes_no_answer(
    tmp_path, tiny_static, monkeypatch, policy: str, mode: Any
) -> None:
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        words = ("cat dog house", "river bread", "cat river")
        # Of different lengths: where scores are equal, which rows come last is the engine's.
        rows = [Row(f"i{n // 30}", ("de", "en")[n % 2], words[n % 3] + " salt" * n) for n in range(300)]
        written(index, rows, tiny_static)
        searcher = Searcher(index, tiny_static)
        ask: dict[str, Any] = {"k": 9, "policy": policy, "mode": mode, "once": True, "exact": True}
        found = searcher.search(["cat 7", "river"], **ask)
        with monkeypatch.context() as patched:
            patched.setattr(asking, "remembering", lambda retrieve: retrieve)
            assert searcher.search(["cat 7", "river"], **ask) == found
        assert all(len({hit.item for hit in hits}) == len(hits) for hits in found)
