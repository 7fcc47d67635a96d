"""Language taken out of an index: a new index with corrected vectors, which corrects new rows and queries too."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import parallel_corpus
from memory_engine import MemoryEngine

import babelmix as bm
import babelmix.search.copying as copying
from babelmix import extend
from babelmix.encoders.removal import Removal
from babelmix.errors import ArgumentError, BabelmixError, EncoderError, SearchError
from babelmix.search import Index
from babelmix.search.engines import ENGINES, is_same_place
from babelmix.search.removal import packed, unpacked

pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")

LANGS = ("de", "en", "fr", "ja")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_static: Any) -> Iterator[Path]:
    """A folder with an encoder, a corpus and an index of it; and engines in memory."""
    monkeypatch.chdir(tmp_path)
    tiny_static.save("model", create_model_card=False)
    parallel_corpus(40).save("toy")
    bm.build_index("toy", "old", model="model")
    extend.engine("memory")(MemoryEngine)
    yield tmp_path
    ENGINES.unregister("memory")
    MemoryEngine.stores.clear()


def vectors_of(address: str) -> dict[str, np.ndarray]:
    """By row id."""
    with Index.open(address) as index:
        return {point.id: point.vector for point in index.engine.points() if point.vector is not None}


def langs_of(address: str) -> dict[str, str]:
    with Index.open(address) as index:
        return {point.id: point.row.lang for point in index.engine.points()}


@pytest.mark.parametrize(("to", "method"), [("new", "own-means"), ("memory://new", "offsets")])
def test_a_new_index_has_the_corrected_rows_and_corrects_queries(place: Path, to: str, method: str) -> None:
    before = vectors_of("old")
    made = bm.debias_index("old", to, method=method, alpha=0.75)
    assert made.lines() == [f"{method}, alpha 0.75: fitted on 160 passages in 4 languages"]
    assert made.langs == dict.fromkeys(LANGS, 40)
    after, langs = vectors_of(to), langs_of(to)
    assert before.keys() == after.keys()
    ids = list(before)
    expected = made.removal.apply(np.stack([before[i] for i in ids]), [langs[i] for i in ids], "passage")
    np.testing.assert_allclose(np.stack([after[i] for i in ids]), expected, atol=1e-5)
    still = vectors_of("old")
    assert all(np.array_equal(still[name], vector) for name, vector in before.items())
    with bm.open_index(to) as new, bm.open_index("old") as old:
        raw = old.embed(["Katze Hund"])
        np.testing.assert_allclose(
            new.embed(["Katze Hund"], ["de"]), made.removal.apply(raw, "de", "query"), atol=1e-6
        )
        np.testing.assert_allclose(new.embed(["Katze Hund"]), made.removal.apply(raw, None, "query"), atol=1e-6)
        assert new.search("Katze Hund", k=3, query_langs="de", policy="balanced")
        assert new.index.about.columns == old.index.about.columns
        assert new.index.is_calibrated


@pytest.mark.slow
def test_the_pool_of_an_audit_through_the_index_gets_fairer(place: Path) -> None:
    bm.debias_index("old", "new")
    before, after = (
        bm.audit_index(address, "toy", policies=["any"], query_langs="known").to_frame() for address in ("old", "new")
    )
    assert before.columns == after.columns


def test_new_and_changed_rows_are_corrected_too(place: Path) -> None:
    made = bm.debias_index("old", "new", alpha=0.5)
    assert bm.build_index("toy", "new").counts == {"written": 0, "unchanged": 160, "removed": 0}
    rows = [{"item": "extra", "lang": lang, "text": f"{lang} Katze Wind"} for lang in ("de", "en", "nl")]
    Path("more.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = bm.build_index("more.jsonl", "new")
    assert report.counts["written"] == 3
    assert report.lines()[-1] == "language is taken out of rows and queries: own-means, alpha 0.5"
    with bm.open_index("new") as new, bm.open_index("old") as old:
        found = {p.row.lang: p.vector for p in new.index.engine.points() if p.row.item == "extra"}
        raw = old.index.ready(old.encoder.encode_document([row["text"] for row in rows]))
        expected = made.removal.apply(raw, [row["lang"] for row in rows], "passage")
        for row, vector in zip(rows, expected, strict=True):
            np.testing.assert_allclose(found[row["lang"]], vector, atol=1e-5)
        # A language that was not fitted is as it was.
        np.testing.assert_allclose(found["nl"], raw[2], atol=1e-5)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("old", "./old/", True),
        ("old", "old2", False),
        ("old", "http://host/old", False),
        ("postgres://db/shop/x", "postgresql://me:secret@DB:5432/shop/x/?sslmode=require", True),
        ("postgresql:///shop/x?host=/run/a", "postgresql:///shop/x?host=/run/b", False),
        ("postgresql://db/shop/x", "postgresql://db/shop/y", False),
        ("http://host:19530/x", "HTTP://HOST:19530/%78", True),
        ("http://host:19530/x", "http://host:19531/x", False),
        ("http://host:none/x", "http://host:none/x", True),
        ("memory://x", "memory://x", True),
    ],
)
def test_an_address_is_known_in_another_spelling(one: str, other: str, same: bool) -> None:
    assert is_same_place(one, other) is same
    assert is_same_place(other, one) is same


def test_an_index_that_this_process_has_open_is_not_blamed_on_another(place: Path) -> None:
    with bm.open_index("old"), pytest.raises(SearchError, match="is open already, in another process or in this one"):
        bm.open_index("old")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("to", ["new", "memory://new"])
def test_a_killed_run_goes_on_and_its_index_does_not_open_before(
    place: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "ROWS", 32)
    real, applied = Removal.apply, []

    def run(limit: int, **more: Any) -> Any:
        def dying(self: Removal, vectors: Any, langs: Any, kind: str) -> Any:
            if len(applied) == limit:
                raise Killed
            applied.append(len(vectors))
            return real(self, vectors, langs, kind)

        with monkeypatch.context() as patched:
            patched.setattr(Removal, "apply", dying)
            return bm.debias_index("old", to, **more)

    with pytest.raises(Killed):
        run(2)
    for opens in (lambda: bm.open_index(to), lambda: bm.build_index("toy", to)):
        with pytest.raises(SearchError, match="is not complete; run the same  babelmix debias  again"):
            opens()
    with pytest.raises(SearchError, match="another  babelmix debias  began"):
        run(100, alpha=0.5)
    made = run(100)
    assert sum(applied) == 160
    whole = bm.debias_index("old", "whole")
    np.testing.assert_array_equal(made.removal.offsets, whole.removal.offsets)  # type: ignore[attr-defined]
    expected = vectors_of("whole")
    for name, vector in vectors_of(to).items():
        np.testing.assert_allclose(vector, expected[name], atol=1e-6)


def test_an_encoder_with_prompts_embeds_some_rows_as_queries(place: Path, tiny_static: Any) -> None:
    prompted = copy.deepcopy(tiny_static)
    prompted.prompts = {"query": "ask: ", "document": ""}
    prompted.save("prompted", create_model_card=False)
    bm.build_index("toy", "prompted-index", model="prompted")
    made = bm.debias_index("prompted-index", "new", texts=25)
    assert made.facts["fitted_on"]["queries"] == dict.fromkeys(LANGS, 25)
    none = bm.debias_index("prompted-index", "none", texts=0)
    assert none.facts["fitted_on"]["queries"] == {}
    assert "stand in" in none.lines()[1]
    offsets = bm.debias_index("prompted-index", "offsets", method="offsets", texts=25)
    assert offsets.facts["fitted_on"]["queries"] == dict.fromkeys(LANGS, 25)


def test_a_removal_that_is_there_is_kept_with_an_index(
    place: Path, babelmix: Callable[..., tuple[int, str, str]]
) -> None:
    first = bm.debias_index("old", "first", alpha=0.5)
    first.removal.save("removal.safetensors")
    second = bm.debias_index("old", "second", removal="removal.safetensors")
    assert second.facts["alpha"] == 0.5
    report = bm.build_index("toy", "built", model="model", removal="removal.safetensors")
    assert report.as_json()["removal"] == "own-means, alpha 0.5"
    code, _, err = babelmix("index", "toy", "--to", "third", "--model", "model", "--removal", "removal.safetensors")
    assert code == 0, err
    expected = vectors_of("first")
    for address in ("second", "built", "third"):
        for name, vector in vectors_of(address).items():
            np.testing.assert_allclose(vector, expected[name], atol=1e-6)
    code, out, err = babelmix("debias", "--index", "old", "--out", "fourth", "--alpha", "0.5", "--json")
    assert code == 0, err
    assert json.loads(out) == {**first.as_json(), "index": "fourth"}


def test_wrong_arguments_are_told(place: Path, babelmix: Callable[..., tuple[int, str, str]]) -> None:
    made = bm.debias_index("old", "new")
    Path("link").symlink_to("old")
    code, _, err = babelmix("debias", "--index", "old", "--out", "./old/")
    assert code == 1
    assert "is the index itself; choose another place for the new one" in err
    wrong: list[tuple[type[BabelmixError], str, tuple[str, str], dict[str, Any]]] = [
        (SearchError, "there is an index already; choose another place", ("old", "new"), {}),
        (SearchError, "old: is the index itself; choose another place", ("old", "old"), {}),
        (SearchError, "link: is the index itself; choose another place", ("old", "link"), {}),
        (SearchError, "is the index itself; choose another place", ("old", str(place / "toy" / ".." / "old")), {}),
        (SearchError, "language is taken out of it already", ("new", "newer"), {}),
        (SearchError, "is not an index", ("nowhere", "newer"), {}),
        (SearchError, "nl", ("old", "newer"), {"langs": "nl"}),
        (ArgumentError, "alpha: 2 is no share", ("old", "newer"), {"alpha": 2}),
        (
            ArgumentError,
            "pivot: the removal is fitted already",
            ("old", "newer"),
            {"removal": made.removal, "pivot": "en"},
        ),
        (EncoderError, "there are 1 languages with 20", ("old", "newer"), {"langs": "de"}),
        (EncoderError, "is not there", ("old", "newer"), {"removal": "no.safetensors"}),
    ]
    for kind, message, addresses, given in wrong:
        with pytest.raises(kind, match=message):
            bm.debias_index(*addresses, **given)
    assert not Path("newer").exists()
    with pytest.raises(ArgumentError, match="removal: is for a new index"):
        bm.build_index("toy", "old", removal="auto")
    other = Removal("x", ("de", "en"), np.zeros((2, 2, 3), dtype=np.float32))
    with pytest.raises(SearchError, match="dimension 3 that are compared by cosine, and this index has"):
        bm.debias_index("old", "newer", removal=other)
    for words, message in (
        (["--index", "old"], "--out: is missing"),
        (["--index", "old", "--out", "newer", "-c", "toy"], "--corpus: does not go with --index"),
        (["model", "--model", "x"], "--model: is for an index"),
    ):
        code, _, err = babelmix("debias", *words)
        assert code == 1
        assert message in " ".join(err.split()), err


def test_a_damaged_removal_is_told(place: Path) -> None:
    made = bm.debias_index("old", "new")
    about = json.loads(Path("new/index.json").read_text())
    assert about["format"] == 2
    assert json.loads(Path("old/index.json").read_text())["format"] == 1
    for change in ({"crc32": 1}, {"safetensors": "?"}, {"safetensors": "QUJD"}):
        Path("new/index.json").write_text(json.dumps({**about, "removal": {**about["removal"], **change}}))
        with bm.open_index("new") as index, pytest.raises(SearchError, match="its removal is damaged"):
            index.search("Katze")
    large = Removal("x", LANGS, np.zeros((2, 4, 200_000), dtype=np.float32))
    kept = packed(large, "here")
    assert len(kept["safetensors"]) < 5 << 20
    assert unpacked(kept, "here").dimension == 200_000
    with pytest.raises(SearchError, match="keeps at most 32"):
        packed(Removal("x", LANGS, np.zeros((2, 4, 3_000_000), dtype=np.float32)), "here")
    assert isinstance(made.removal, Removal)
