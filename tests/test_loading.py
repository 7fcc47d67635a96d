"""`load_corpus`: a corpus from a name, a path, a table in memory or another corpus; and readers from outside the package."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import parallel_corpus

from babelmix import extend
from babelmix.corpus import READERS, Corpus, Reader, load_corpus, open_corpus
from babelmix.corpus.loading import PARTS
from babelmix.errors import ConfigError, CorpusError, ReaderError

Run = Callable[..., tuple[int, str, str]]

ROWS: list[dict[str, Any]] = [
    {"item": 1, "query_en": "a dog", "query_de": "ein Hund", "passage_de": "Hunde bellen."},
    {"item": 2, "query_en": "a cat", "query_de": None, "passage_de": "Katzen schnurren."},
]


def texts(corpus: Corpus, side: str) -> list[tuple[str, str, str]]:
    return [tuple(row.values()) for row in getattr(corpus, side).select(["item", "lang", "text"]).to_pylist()]


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    file = tmp_path / "animals.csv"
    pl.DataFrame(ROWS).write_csv(file)
    return file


def test_all_sources_give_the_same_corpus(csv_file: Path) -> None:
    made = {
        "spec": load_corpus(str(csv_file)),
        "reader": load_corpus(f"table={csv_file}"),
        "path": load_corpus(csv_file),
        "frame": load_corpus(pl.DataFrame(ROWS)),
        "arrow": load_corpus(pl.DataFrame(ROWS).to_arrow()),
        "rows": load_corpus(ROWS),
    }
    for way, corpus in made.items():
        assert corpus.fingerprint() == open_corpus(str(csv_file)).fingerprint(), way
    assert texts(made["rows"], "queries") == [("1", "en", "a dog"), ("1", "de", "ein Hund"), ("2", "en", "a cat")]


def test_a_corpus_is_returned_as_it_is() -> None:
    corpus = parallel_corpus()
    assert load_corpus(corpus) is corpus
    assert load_corpus(corpus, langs="de").langs == ("de",)
    assert load_corpus(corpus, langs=["de", "fr"]).langs == ("de", "fr")


def test_a_path_is_no_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parallel_corpus().save("emoji")
    assert load_corpus(Path("emoji")).fingerprint() == parallel_corpus().fingerprint()
    with pytest.raises(ReaderError, match=r"gone\.csv: there is no such corpus"):
        load_corpus(Path("gone.csv"))


def test_parts_are_split_by_group() -> None:
    rows = [{"item": i, "en": f"text {i}", "de": f"Text {i}"} for i in range(60)]
    whole = load_corpus(rows)
    parts = {part: load_corpus(rows, part=part) for part in PARTS}
    groups = {part: set(corpus.queries["group"].to_pylist()) for part, corpus in parts.items()}
    assert groups["train"] | groups["test"] == set(whole.queries["group"].to_pylist())
    assert not groups["train"] & groups["test"]
    assert len(groups["train"]) > len(groups["test"]) > 0
    assert load_corpus(rows, part="test", langs="de").langs == ("de",)
    assert load_corpus(rows, part="test", langs="de").queries.num_rows == len(groups["test"])


@pytest.fixture
def parts_reader() -> Iterator[list[dict[str, Any]]]:
    """A registered reader with parts of its own, and the calls that it got."""
    calls: list[dict[str, Any]] = []

    @extend.reader("with-parts", summary="a source with parts of its own")
    def read(path: str, *, part: str = "", limit: int = 5) -> Corpus:
        calls.append({"path": path, "part": part, "limit": limit})
        return parallel_corpus()

    yield calls
    READERS.unregister("with-parts")


def test_a_source_with_parts_of_its_own_is_not_split(parts_reader: list[dict[str, Any]]) -> None:
    assert load_corpus("with-parts=x", part="test").fingerprint() == parallel_corpus().fingerprint()
    assert parts_reader.pop() == {"path": "x", "part": "test", "limit": 5}
    load_corpus("with-parts=x", limit=3)
    assert parts_reader.pop() == {"path": "x", "part": "", "limit": 3}
    # What the source says is kept, and split.
    assert load_corpus("with-parts=x?part=dev", part="train").meta["split"] == "train"
    assert parts_reader.pop() == {"path": "x", "part": "dev", "limit": 5}


@pytest.mark.parametrize(
    ("source", "arguments", "error", "message"),
    [
        (ROWS, {"part": "dev"}, ConfigError, "^part: 'dev' is unknown; use all, train or test"),
        (ROWS, {"langs": []}, ConfigError, "^langs: the list is empty"),
        (ROWS, {"langs": "fr"}, CorpusError, "table has no fr; it has de, en"),
        (ROWS, {"check": False}, ReaderError, "a list takes no options of a reader: leave out check"),
        (
            7,
            {},
            ConfigError,
            "^source: give a reader's name, a path, a DataFrame, a list of dicts or a Corpus, not int",
        ),
        ([1], {}, ConfigError, "^source: .* not list"),
        ([], {}, ReaderError, "table: has no rows"),
        ([{"en": "a", "xx": "b"}], {}, ReaderError, "table, field 'xx': is neither a language tag"),
        ([{"en": b"a"}], {}, ReaderError, "table, row 1, field 'en': a cell is a text, .* not bytes"),
        ([{"en": "a"}, {"en": ["a", {1, 2}]}], {}, ReaderError, "table: holds a cell that JSON cannot hold"),
        ([{1: "a"}], {}, ReaderError, "table, row 1: the name of a column is a text, not 1"),
        ([{"en": "a\0b"}], {}, ReaderError, "table, row 1, field 'en': holds a NUL"),
        ([{"en": "\ud800"}], {}, ReaderError, "table, row 1, field 'en': holds half a character"),
        (pl.DataFrame({"en": [True]}), {}, ReaderError, "table, row 1, field 'en': holds True, but a text is needed"),
        (pl.DataFrame({"lang": ["en"]}), {}, ReaderError, "table, field 'item': is missing"),
    ],
)
def test_what_is_wrong_is_named(source: Any, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load_corpus(source, **arguments)


def test_corpus_takes_polars_frames() -> None:
    side = pl.DataFrame({"item": ["1"], "lang": ["en"], "text": ["dog"], "group": ["1"]})
    pairs = pl.DataFrame({"query_item": ["1"], "passage_item": ["1"]})
    corpus = Corpus(side, side, pairs)
    rows = [{"item": "1", "lang": "en", "text": "dog"}]
    assert corpus.fingerprint() == Corpus.from_rows(rows, rows, [("1", "1")]).fingerprint()
    with pytest.raises(CorpusError, match="queries: give an Arrow table or a DataFrame, not list"):
        Corpus(rows, side, pairs)


def test_from_rows_names_what_is_wrong() -> None:
    good = {"item": "1", "lang": "en", "text": "dog"}
    for row, message in (
        ({"lang": "en", "text": "dog"}, "queries, row 2, column 'item': is missing"),
        (good | {"text": 5}, "queries, row 2, column 'text': holds 5, but a text is needed"),
        (good | {"item": 1}, "queries, row 2, column 'item': holds 1, but a text is needed"),
        ("dog", "queries, row 2: is a str, not a dict"),
    ):
        with pytest.raises(CorpusError, match=message):
            Corpus.from_rows([good, row], [good], [("1", "1")])  # type: ignore[list-item]
    with pytest.raises(CorpusError, match="qrels, row 1: 'ab' is not a pair of a query's and a passage's item"):
        Corpus.from_rows([good], [good], ["ab"])  # type: ignore[list-item]
    with pytest.raises(CorpusError, match="qrels: cannot be read as two items and a whole number"):
        Corpus.from_rows([good], [good], [("1", "1", "high")])  # type: ignore[list-item]


def test_a_registered_reader_is_listed_and_opened(
    babelmix: Run, parts_reader: list[dict[str, Any]], tmp_path: Path
) -> None:
    code, out, _ = babelmix("data")
    assert code == 0
    assert "with-parts" in out
    assert "a source with parts of its own" in out
    code, out, err = babelmix("data", f"with-parts={tmp_path}?limit=2")
    assert code == 0, err
    assert parts_reader == [{"path": str(tmp_path), "part": "", "limit": 2}]
    with pytest.raises(ReaderError, match="the reader 'with-parts' has no such option: size; it has part, limit"):
        open_corpus("with-parts=x?size=2")
    with pytest.raises(ReaderError, match="the reader 'with-parts' needs a path: write  with-parts=PATH"):
        open_corpus("with-parts")


@pytest.mark.parametrize(
    ("takes_path", "spec", "expected"),
    [(True, "own=a", ("a",)), ("optional", "own", (None,)), ("optional", "own=a", ("a",)), (False, "own", ())],
)
def test_a_reader_gets_its_path(takes_path: bool | str, spec: str, expected: tuple[str | None, ...]) -> None:
    got: list[tuple[Any, ...]] = []

    def read(*place: str | None) -> Corpus:
        got.append(place)
        return parallel_corpus()

    try:
        assert extend.reader("own", summary="mine", takes_path=takes_path)(read) is read
        open_corpus(spec)
        if takes_path is False:
            with pytest.raises(ReaderError, match=r"the reader 'own' takes no path: write  own$"):
                open_corpus("own=a")
    finally:
        READERS.unregister("own")
    assert got == [expected]


def test_a_reader_is_registered_rightly() -> None:
    with pytest.raises(ConfigError, match="the reader 'table' is part of babelmix"):
        extend.reader("table", summary="mine")(open_corpus)
    with pytest.raises(ConfigError, match="takes_path is True, False or 'optional', not 'sometimes'"):
        extend.reader("own", summary="mine", takes_path="sometimes")
    assert "own" not in READERS


def test_the_old_way_to_add_a_reader_still_works() -> None:
    try:
        with pytest.warns(DeprecationWarning, match=r"use babelmix\.extend\.reader"):
            READERS["own"] = Reader("mine", lambda path: parallel_corpus(), "required")  # type: ignore[index]
        assert open_corpus("own=x").fingerprint() == parallel_corpus().fingerprint()
    finally:
        READERS.unregister("own")


def test_every_reader_of_babelmix_can_be_imported() -> None:
    for name, reader in READERS.items():
        assert callable(reader.function), name
        assert reader.takes_path in ("required", "optional", "never")


PLUGIN = """
from babelmix import extend
from babelmix.corpus import Corpus


@extend.reader("glossary", summary="one word", takes_path=False)
def read():
    rows = [{"item": "1", "lang": "en", "text": "dog"}]
    return Corpus.from_rows(rows, rows, [("1", "1")], name="glossary")
"""


def test_an_installed_plugin_is_found(tmp_path: Path) -> None:
    (tmp_path / "glossary_plugin.py").write_text(PLUGIN, encoding="utf-8")
    about = tmp_path / "glossary_plugin-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: glossary-plugin\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text("[babelmix.plugins]\nglossary = glossary_plugin\n", encoding="utf-8")
    # In a process of its own, as plugins are loaded once.
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from babelmix.corpus import READERS, open_corpus\n"
        "print(open_corpus('glossary').name, list(READERS)[-1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["glossary", "glossary"]
