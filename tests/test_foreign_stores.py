"""Language out of foreign stores: drawing, resuming and refusing, on a store in memory and on Qdrant's local mode."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from babelmix.api.store_debiasing import FILE, RECORD, debias_store, fingerprint
from babelmix.encoders.removal import Removal
from babelmix.errors import ArgumentError, BabelmixError, EncoderError, SearchError
from babelmix.search.foreign import STORES, Address, Page, is_address, open_store
from babelmix.search.foreign.removing import NO_LANGUAGE, draw, rewrite

LANGS = ("de", "en", "ja")


def rows(count: int = 300, dimension: int = 8) -> tuple[list[str | None], np.ndarray]:
    """Vectors with an offset of their language; every 50th row has no language, and every 75th one that is rare."""
    rng = np.random.default_rng(0)
    offsets = rng.standard_normal((len(LANGS), dimension))
    vectors = np.stack([offsets[n % 3] + 0.5 * rng.standard_normal(dimension) for n in range(count)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    langs: list[str | None] = [LANGS[n % 3] for n in range(count)]
    langs[::50] = [None] * len(langs[::50])
    langs[7::75] = ["sw"] * len(langs[7::75])
    return langs, vectors.astype(np.float32)


def between(langs: Sequence[str | None], vectors: np.ndarray) -> float:
    """The mean distance between the means of languages."""
    means = np.stack([vectors[[one == lang for one in langs]].mean(axis=0) for lang in LANGS])
    return float(np.linalg.norm(means - means.mean(axis=0), axis=1).mean())


class MemoryStore:
    """A store in memory that dies after so many pages."""

    def __init__(self, count: int = 300) -> None:
        self.address, self.vector, self.dimension, self.similarity = "memory://x/y", "old", 8, "cosine"
        self.langs, self.old = rows(count)
        self.new: dict[str, dict[int, np.ndarray]] = {}
        self.marks: dict[str, str] = {}
        self.dies_after: int | None = None
        self.largest = 0

    def keys(self, size: int) -> Iterator[tuple[list[int], list[str | None]]]:
        for at in range(0, len(self.old), size):
            yield list(range(at, min(at + size, len(self.old)))), self.langs[at : at + size]

    def read(self, keys: Sequence[int]) -> np.ndarray:
        self.largest = max(self.largest, len(keys))
        return self.old[list(keys)]

    def mark(self, name: str) -> str | None:
        return "" if name == "theirs" else self.marks.get(name)

    def add(self, name: str, mark: str) -> None:
        self.marks[name], self.new[name] = mark, {}

    def drop(self, name: str) -> None:
        del self.marks[name], self.new[name]

    def left(self, name: str, size: int) -> Iterator[Page]:
        rest = [n for n in range(len(self.old)) if n not in self.new[name]]
        for at in range(0, len(rest), size):
            some = rest[at : at + size]
            yield Page(some, [self.langs[n] for n in some], self.old[some])

    def write(self, name: str, keys: Sequence[int], vectors: np.ndarray) -> None:
        if self.dies_after is not None:
            if self.dies_after == 0:
                raise SearchError("the server is gone")
            self.dies_after -= 1
        self.largest = max(self.largest, len(keys))
        self.new[name].update(zip(keys, vectors, strict=True))

    def next_steps(self, name: str) -> dict[str, str]:
        return {"search": f"use {name}"}

    def close(self) -> None:
        pass


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MemoryStore:
    store = MemoryStore()
    monkeypatch.setitem(STORES._values, "memory", lambda address: store)
    monkeypatch.chdir(tmp_path)
    return store


def test_addresses() -> None:
    address = Address.parse("postgresql://me:p%40ss@db:5432/shop/a.b?id=x,y&sslmode=require")
    assert (address.place, address.path, address.name) == ("me:p%40ss@db:5432", ("shop", "a.b"), "a.b")
    assert address.options == {"id": "x,y", "sslmode": "require"}
    assert str(address) == "postgresql://me@db:5432/shop/a.b"
    assert [is_address(text) for text in ("qdrant://h/c", "my-index", "qdrant")] == [True, False, False]
    for wrong in ("my-index", "qdrant://host:6333", "qdrant://h/c?lang=a&lang=b"):
        with pytest.raises(SearchError):
            Address.parse(wrong)
    with pytest.raises(SearchError, match="begins with postgresql://"):
        open_store("mysql://h/c")
    with pytest.raises(SearchError) as error:
        Address.parse("postgresql://me:secret@host?x=1")
    assert "secret" not in str(error.value)


def test_the_drawn_rows_do_not_depend_on_the_pages_and_are_limited() -> None:
    store = MemoryStore()
    one, other = draw(store, 30, size=7), draw(store, 30, size=100)
    assert one.rows == other.rows
    assert one.rows[NO_LANGUAGE] == 6
    assert set(one.vectors) == set(LANGS)  # Swahili has too few
    for lang in LANGS:
        np.testing.assert_array_equal(one.vectors[lang], other.vectors[lang])
        assert len(one.vectors[lang]) == 30
    whole = draw(store, 10_000, size=7)
    assert sum(map(len, whole.vectors.values())) == 300 - 6 - sum(lang == "sw" for lang in store.langs)


def test_nothing_is_written_unless_told(memory: MemoryStore, tmp_path: Path) -> None:
    found = debias_store("memory://x/y")
    assert (found.written, memory.new) == (None, {})
    assert not list(tmp_path.iterdir())
    assert "--write" in str(found)


def test_language_is_taken_out_beside_the_old_vectors(memory: MemoryStore) -> None:
    before = memory.old.copy()
    found = debias_store("memory://x/y", to_vector="new", write=True)
    np.testing.assert_array_equal(memory.old, before)
    new = np.stack([memory.new["new"][n] for n in range(300)])
    assert found.written == 300
    assert between(memory.langs, new) < 0.2 * between(memory.langs, before)
    rare = [n for n, lang in enumerate(memory.langs) if lang in (None, "sw")]
    np.testing.assert_array_equal(new[rare], before[rare])
    assert found.copied == {"sw": memory.langs.count("sw"), NO_LANGUAGE: 6}
    assert found.folder is not None
    kept = Removal.load(found.folder / FILE)
    assert memory.marks["new"].endswith(fingerprint(kept))
    np.testing.assert_allclose(kept.apply(before[1:2], ["en"], "query"), new[1:2], atol=1e-6)
    assert json.dumps(found.as_json())
    assert found.to_frame().height == 5
    assert "use new" in str(found)


def test_a_killed_run_goes_on_with_the_same_removal(memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("babelmix.search.foreign.removing.PAGE", 50)
    rewritten: list[int] = []
    real = rewrite

    def paged(*args: Any, tick: Any) -> Any:
        return real(*args, size=50, tick=lambda count: (rewritten.append(count), tick(count)))

    monkeypatch.setattr("babelmix.search.foreign.removing.rewrite", paged)
    memory.dies_after = 2
    with pytest.raises(SearchError, match="gone"):
        debias_store("memory://x/y", to_vector="new", write=True)
    assert len(memory.new["new"]) == 100
    first = {n: v.copy() for n, v in memory.new["new"].items()}
    memory.dies_after = None
    # The rows that come later change what would be fitted, but not what was.
    memory.old = np.concatenate([memory.old, memory.old[:60] * 0.5])
    memory.langs = memory.langs + memory.langs[:60]
    found = debias_store("memory://x/y", to_vector="new", write=True)
    assert (found.written, len(memory.new["new"])) == (260, 360)
    for n, vector in first.items():
        np.testing.assert_array_equal(memory.new["new"][n], vector)
    assert memory.largest <= 1000
    assert debias_store("memory://x/y", to_vector="new", write=True).written == 0


def test_another_removal_is_never_mixed_in(memory: MemoryStore, tmp_path: Path) -> None:
    done = debias_store("memory://x/y", to_vector="new", write=True, out=tmp_path / "one")
    for options in ({"alpha": 0.5}, {"method": "other"}, {"out": tmp_path / "two"}):
        with pytest.raises(SearchError, match="--replace"):
            debias_store("memory://x/y", **{"to_vector": "new", "write": True, "out": tmp_path / "one", **options})
    halved = done.removal.with_alpha(0.5).save(tmp_path / "half.safetensors")
    with pytest.raises(SearchError, match="another removal"):
        debias_store("memory://x/y", to_vector="new", write=True, removal=halved, out=tmp_path / "two")
    again = debias_store(
        "memory://x/y", to_vector="new", write=True, removal=halved, out=tmp_path / "two", replace=True
    )
    assert (again.written, again.facts["alpha"]) == (300, 0.5)
    # The file that it was begun with also goes on.
    assert debias_store("memory://x/y", to_vector="new", write=True, removal=halved, out=tmp_path / "two").written == 0


def test_the_original_and_what_others_made_are_never_written(memory: MemoryStore) -> None:
    with pytest.raises(ArgumentError, match="original"):
        debias_store("memory://x/y", to_vector="old", write=True, replace=True)
    with pytest.raises(ArgumentError, match="did not make"):
        debias_store("memory://x/y", to_vector="theirs", write=True, replace=True)
    with pytest.raises(SearchError, match="never written"):
        rewrite(memory, "old", None)  # type: ignore[arg-type]


def test_a_file_corrects_the_named_languages_only(memory: MemoryStore, tmp_path: Path) -> None:
    removal = debias_store("memory://x/y").removal
    file = removal.save(tmp_path / "removal.safetensors")
    memory.langs = ["de-AT" if lang == "de" and n % 2 else lang for n, lang in enumerate(memory.langs)]
    found = debias_store("memory://x/y", removal=file, langs=["de"], to_vector="new", write=True)
    own = np.array([lang in ("de", "de-AT") for lang in memory.langs])
    new = np.stack([memory.new["new"][n] for n in range(300)])
    np.testing.assert_array_equal(new[~own], memory.old[~own])
    np.testing.assert_allclose(new[own], removal.apply(memory.old[own], "de", "passage"), atol=1e-6)
    assert set(found.copied) == {"en", "ja", "sw", NO_LANGUAGE}
    assert "only de is corrected" in str(found)
    # The same call goes on; one with other languages does not, wherever its folder is.
    for out in (None, tmp_path / "other"):
        again = debias_store("memory://x/y", removal=file, langs="de", to_vector="new", write=True, out=out)
        assert again.written == 0
        for langs in (None, ["de", "en"]):
            with pytest.raises(SearchError, match="another removal"):
                debias_store("memory://x/y", removal=file, langs=langs, to_vector="new", write=True, out=out)
    with pytest.raises(EncoderError, match=r"removal.safetensors\) has no sw; it has de, de-AT, en, ja"):
        debias_store("memory://x/y", removal=file, langs="sw")


def test_languages_are_chosen_for_a_removal_that_needs_none_too(memory: MemoryStore) -> None:
    found = debias_store("memory://x/y", method="centred", langs=["de", "en"], to_vector="new", write=True)
    assert set(found.copied) == {"ja", "sw", NO_LANGUAGE}
    memory.add("paged", "")
    assert set(rewrite(memory, "paged", found.removal, ["de", "en"], size=50).copied) == set(found.copied)
    left = [n for n, lang in enumerate(memory.langs) if lang not in ("de", "en")]
    np.testing.assert_array_equal(np.stack([memory.new["new"][n] for n in left]), memory.old[left])


@pytest.mark.parametrize("option", [{"method": "own-means"}, {"rank": 1}, {"ridge": 1.0}, {"seed": 1}, {"texts": 100}])
def test_nothing_is_fitted_beside_a_file(memory: MemoryStore, tmp_path: Path, option: dict[str, Any]) -> None:
    file = debias_store("memory://x/y").removal.save(tmp_path / "removal.safetensors")
    with pytest.raises(ArgumentError, match=f"{next(iter(option))}.*fitted already"):
        debias_store("memory://x/y", removal=file, **option)


def test_a_file_is_for_the_similarity_of_the_store(memory: MemoryStore, tmp_path: Path) -> None:
    file = debias_store("memory://x/y").removal.save(tmp_path / "removal.safetensors")
    memory.similarity = "dot"
    with pytest.raises(EncoderError, match="by cosine, and those of memory://x/y have 8 and are compared by dot"):
        debias_store("memory://x/y", removal=file)
    memory.similarity = None  # type: ignore[assignment]
    assert debias_store("memory://x/y", removal=file).facts["similarity"] == "cosine"
    memory.langs, memory.old = memory.langs[:9], 2 * memory.old[:9]
    assert debias_store("memory://x/y", removal=file).facts["similarity"] == "cosine"


def test_other_options_are_never_mixed_in(memory: MemoryStore, tmp_path: Path) -> None:
    begun: dict[str, Any] = {"to_vector": "new", "write": True, "langs": ["de", "en"], "texts": 50, "seed": 1}
    done = debias_store("memory://x/y", **begun)
    assert debias_store("memory://x/y", **begun | {"langs": ["en", "de"]}).written == 0
    for options, said in (
        ({"langs": ["de", "ja"]}, "written with langs de,en, and this call asks for langs de,ja"),
        ({"langs": None}, "asks for langs not given"), ({"texts": None}, "with texts 50, and this call asks for texts 2000"),
        ({"seed": None}, "seed 1"), ({"ridge": 0.5}, "ridge 0.5"), ({"rank": 2}, "rank 2"),
    ):  # fmt: skip
        with pytest.raises(SearchError, match=f"{said}.*--replace"):
            debias_store("memory://x/y", **begun | options)
    # A record of an older run has no options.
    assert done.folder is not None
    kept = json.loads((done.folder / RECORD).read_text(encoding="utf-8"))
    del kept["options"]
    (done.folder / RECORD).write_text(json.dumps(kept), encoding="utf-8")
    memory.marks["new"] = memory.marks["new"].partition(" of ")[0]
    assert debias_store("memory://x/y", **begun).written == 0
    assert debias_store("memory://x/y", to_vector="new", write=True).written == 0
    file = done.removal.save(tmp_path / "removal.safetensors")
    debias_store("memory://x/y", to_vector="new", write=True, replace=True, removal=file)
    assert debias_store("memory://x/y", to_vector="new", write=True, removal=file).written == 0
    with pytest.raises(SearchError, match="--replace"):
        debias_store("memory://x/y", to_vector="new", write=True)


def test_a_removal_that_needs_no_language_copies_nothing(memory: MemoryStore) -> None:
    found = debias_store("memory://x/y", method="centred", to_vector="new", write=True)
    assert (found.copied, found.written, found.removal.langs) == ({}, 300, ("*",))
    assert np.abs(memory.new["new"][0] - memory.old[0]).max() > 0.01  # it has no language


def test_what_cannot_be_fitted_is_said(memory: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="translations"):
        debias_store("memory://x/y", method="offsets")
    with pytest.raises(EncoderError, match="two languages"):
        debias_store("memory://x/y", langs="de")
    with pytest.raises(ArgumentError, match="alpha"):
        debias_store("memory://x/y", alpha=3)
    wrong = Removal("x", ("de", "en"), np.zeros((2, 2, 3), dtype=np.float32)).save(tmp_path / "w.safetensors")
    with pytest.raises(EncoderError, match="dimension 3"):
        debias_store("memory://x/y", removal=wrong)
    with pytest.raises(ArgumentError, match="texts: 0 is too few"):
        debias_store("memory://x/y", texts=0)
    memory.similarity, memory.old = None, memory.old * 2  # type: ignore[assignment]
    with pytest.raises(SearchError, match="similarity="):
        debias_store("memory://x/y")
    memory.old = memory.old / 2
    assert debias_store("memory://x/y").facts["similarity"] == "cosine"


def test_languages_are_fitted_as_tags_however_the_store_writes_them(memory: MemoryStore) -> None:
    expected = debias_store("memory://x/y", method="own-means").removal
    memory.langs = [{"de": "de_DE", "en": "EN_us"}.get(lang or "", lang) for lang in memory.langs]
    found = debias_store("memory://x/y", to_vector="new", write=True)
    assert set(found.removal.langs) == {"de-DE", "en-US", "ja"}
    assert {lang for lang in found.rows if lang not in found.copied} == {"de-DE", "en-US", "ja"}
    for asked in ("de-DE", "de", "en_US", "ja-JP"):
        np.testing.assert_allclose(
            found.removal.apply(memory.old[:5], asked, "query"),
            expected.apply(memory.old[:5], asked[:2], "query"),
            atol=1e-6,
        )
    with pytest.raises(EncoderError, match="two languages"):
        debias_store("memory://x/y", langs="de")
    assert set(debias_store("memory://x/y", langs=["de_DE", "ja"]).removal.langs) == {"de-DE", "ja"}
    with pytest.raises(EncoderError, match="has no sw; it has de-DE, en-US, ja"):
        debias_store("memory://x/y", langs=["de", "sw"])


def test_a_column_that_is_not_of_languages_is_doubted_in_a_line(memory: MemoryStore) -> None:
    memory.langs = [f"The headline of article {n}" for n in range(300)]
    with pytest.raises(EncoderError, match=r"and 295 others; is 'headline' the language column\?") as error:
        debias_store("memory://x/y?lang=headline")
    assert len(str(error.value)) < 500


@pytest.fixture
def qdrant(tmp_path: Path) -> Iterator[Any]:
    """A folder of qdrant-client: a collection with an unnamed vector and one with two named vectors."""
    module = pytest.importorskip("qdrant_client")
    from qdrant_client import models

    client = module.QdrantClient(path=str(tmp_path / "store"))
    langs, vectors = rows()
    params = models.VectorParams(size=8, distance=models.Distance.COSINE)
    client.create_collection("plain", vectors_config=params)
    client.create_collection("named", vectors_config={"text": params, "title": params})
    for name, of in (("plain", lambda v: v), ("named", lambda v: {"text": v, "title": v[::-1]})):
        client.upsert(name, [
            models.PointStruct(id=n, vector=of(vector), payload={"meta": {"lang": lang}} if lang else {})
            for n, (vector, lang) in enumerate(zip(vectors.tolist(), langs, strict=True))
        ])  # fmt: skip
    client.close()

    def points(collection: str) -> dict[int, Any]:
        client = module.QdrantClient(path=str(tmp_path / "store"))
        found, _ = client.scroll(collection, limit=1000, with_vectors=True)
        client.close()
        return {point.id: point.vector for point in found}

    return points


@pytest.mark.slow
@pytest.mark.parametrize(("collection", "vector"), [("plain", ""), ("named", "text")])
def test_qdrant_keeps_both_vectors(qdrant: Any, tmp_path: Path, collection: str, vector: str) -> None:
    langs, vectors = rows()
    address = f"qdrant://{tmp_path / 'store' / collection}?lang=payload.meta.lang" + (
        f"&vector={vector}" if vector else ""
    )
    assert open_and_close(address).vector == vector
    found = debias_store(address, to_vector="new", write=True, out=tmp_path / "out")
    assert found.written == 300
    points = qdrant(collection)
    new = np.array([points[n]["new"] for n in range(300)])
    np.testing.assert_allclose([points[n][vector] for n in range(300)], vectors, atol=1e-6)
    np.testing.assert_allclose(new[1:2], found.removal.apply(vectors[1:2], ["en"], "passage"), atol=1e-5)
    assert between(langs, new) < 0.2 * between(langs, vectors)
    # Again: nothing is left. Then a new beginning.
    assert debias_store(address, to_vector="new", write=True, out=tmp_path / "out").written == 0
    again = debias_store(address, to_vector="new", write=True, out=tmp_path / "out", alpha=0.5, replace=True)
    assert again.written == 300
    if vector:
        with pytest.raises(ArgumentError, match="did not make"):
            debias_store(address, to_vector="title", write=True, replace=True)
        assert "using='text'" in str(again)


def open_and_close(address: str) -> Any:
    store = open_store(address)
    store.close()
    return store


@pytest.mark.slow
def test_qdrant_says_what_is_wrong(qdrant: Any, tmp_path: Path) -> None:
    place = f"qdrant://{tmp_path / 'store'}"
    for address, said in (
        (f"{place}/absent", "no such collection"), (f"{place}/named", r"say which:  \?vector=NAME"),
        (f"{place}/named?vector=other", "no dense vector 'other'"), (f"{place}/plain?id=x", "no option 'id'"),
        (f"{place}/plain?similarity=l2", "cosine or dot"), (f"qdrant://{tmp_path / 'empty'}/plain", "not a folder of"),
        ("qdrant://127.0.0.1:9/plain", "refused"),
    ):  # fmt: skip
        with pytest.raises(BabelmixError, match=said):
            open_store(address)
    assert not (tmp_path / "empty").exists()


def test_the_command(memory: MemoryStore) -> None:
    from typer.testing import CliRunner

    from babelmix.cli.app import app

    def run(*words: str) -> Any:
        return CliRunner().invoke(app, ["debias", "--store", "memory://x/y", *words])

    assert "nothing was written" in run("--to-vector", "new").output
    assert json.loads(run("--to-vector", "new", "--write", "--json").stdout)["written"] == 300
    assert memory.new["new"].keys() == set(range(300))
    for words, said in (
        (("--similarity", "dot"), "part of its address"), (("--pivot", "en"), "--store"), (("e5-small-offline",), "--store"),
        (("--to-vector", "old", "--write"), "original vector"),
    ):  # fmt: skip
        failed = run(*words)
        assert failed.exit_code != 0
        assert said in str(failed.exception) or said in failed.output
    for words in (["--write"], ["--to-vector", "x"], ["--replace"]):
        assert CliRunner().invoke(app, ["debias", "e5-small-offline", *words]).exit_code != 0
