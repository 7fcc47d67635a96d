"""Tables: no cell comes out other than it went in, whatever the format, for a corpus and for an index; and what is refused."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babelmix.corpus import open_corpus
from babelmix.corpus.readers import _unpacking
from babelmix.corpus.readers._tables import read_table
from babelmix.errors import BabelmixError, ReaderError, SearchError
from babelmix.search import Index, Row, Searcher, index_rows, open_rows

NAMES = ("item", "lang", "text", "note")


def as_csv(rows: list[list[str | None]], separator: str = ",") -> bytes:
    sink = io.StringIO(newline="")
    csv.writer(sink, delimiter=separator).writerows(rows)
    return sink.getvalue().encode()


def as_tsv(rows: list[list[str | None]]) -> bytes:
    return "".join("\t".join(cell or "" for cell in row) + "\n" for row in rows).encode()


def as_json(rows: list[list[str | None]]) -> bytes:
    return "\n".join(json.dumps(dict(zip(rows[0], row, strict=True))) for row in rows[1:]).encode()


def frame(rows: list[list[str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows[1:], schema=dict.fromkeys(rows[0], pl.String), orient="row")


def as_parquet(rows: list[list[str | None]]) -> bytes:
    sink = io.BytesIO()
    frame(rows).write_parquet(sink)
    return sink.getvalue()


def as_arrow(rows: list[list[str | None]]) -> bytes:
    sink = io.BytesIO()
    frame(rows).write_ipc(sink)
    return sink.getvalue()


WRITERS: dict[str, Callable[[list[list[str | None]]], bytes]] = {
    "csv": as_csv, "tsv": as_tsv, "jsonl": as_json, "parquet": as_parquet, "arrow": as_arrow
}  # fmt: skip
characters = st.characters(codec="utf-8", exclude_characters="\0")
texts = st.text(characters, min_size=1).filter(str.strip)
lines = st.text(st.characters(codec="utf-8", exclude_characters="\0\t\n\r"), min_size=1).filter(str.strip)
numberlike = st.one_of(
    st.integers().map(str), st.floats().map(repr), st.floats(-9, 9).map("{:.2f}".format), st.text("0123456789.+-e_ ", min_size=1),
    st.sampled_from(["007", "1.50", "1e3", "+5", " 3", "9007199254740993", "1_000", "NaN", "true", "True", "-0", "1e400", "٣"]),
)  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_cells_of_a_corpus_come_out_as_they_went_in(tmp_path_factory, kind: str, data: st.DataObject) -> None:
    cells = data.draw(st.lists(lines if kind == "tsv" else texts, min_size=2, max_size=6, unique=True))
    rows = [[f"i{n}", "en", text, text[::-1]] for n, text in enumerate(cells)]
    file = tmp_path_factory.mktemp("table") / f"a.{kind}"
    file.write_bytes(WRITERS[kind]([["item", "lang", "query", "passage"], *rows]))
    corpus = open_corpus(str(file))
    assert corpus.queries["text"].to_pylist() == cells
    assert corpus.passages["text"].to_pylist() == [text[::-1] for text in cells]


def written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("kind", ["csv", "tsv"])
@settings(max_examples=80, deadline=None)
@given(cells=st.lists(st.one_of(st.none(), numberlike), min_size=1, max_size=6))
def test_cells_of_metadata_come_out_as_they_went_in(tmp_path_factory, kind: str, cells: list[str | None]) -> None:
    file = tmp_path_factory.mktemp("table") / f"a.{kind}"
    file.write_bytes(WRITERS[kind]([list(NAMES), *([f"i{n}", "en", "x", cell] for n, cell in enumerate(cells))]))
    found = {row.item: row.fields.get("note") for item in open_rows(str(file)).items() for row in item}
    assert [None if (value := found[f"i{n}"]) is None else written(value) for n in range(len(cells))] == cells


@pytest.mark.parametrize(
    "values",
    [
        st.integers(-(2**63) + 1, 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.booleans(),
        st.text("ab \"'é,"),
    ],
)
def test_values_of_json_and_parquet_keep_their_types(tmp_path_factory, values: st.SearchStrategy[Any]) -> None:
    @settings(max_examples=25, deadline=None)
    @given(given=st.lists(st.one_of(st.none(), values), min_size=1, max_size=5))
    def check(given: list[Any]) -> None:
        folder = tmp_path_factory.mktemp("table")
        rows = [{"item": f"i{n}", "lang": "en", "text": "x", "note": value} for n, value in enumerate(given)]
        (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
        pl.DataFrame(rows).write_parquet(folder / "a.parquet")
        for file in (folder / "a.jsonl", folder / "a.parquet"):
            found = {row.item: row.fields.get("note") for item in open_rows(str(file)).items() for row in item}
            assert [found[f"i{n}"] for n in range(len(given))] == given
            assert [type(found[f"i{n}"]) for n in range(len(given))] == list(map(type, given))

    check()


CELLS = {
    "code": ["007", "12", "0"], "price": ["9.99", "10", "-3"], "sum": ["1.50", "2", "3.1"], "exponent": ["1e3", "5", "6"],
    "plus": ["+5", "5", "6"], "blank": [" 3", "3", "4 "],
    "large": ["9007199254740993", "9007199254740992", "-9007199254740993"],
    "larger": ["9007199254740993", "0.5", "1"], "largest": ["9223372036854775808", "1", "2"], "nan": ["NaN", "1", "2"],
    "truth": ["true", "false", "true"], "said": ["True", "false", "no"], "whole": ["1", "22", "-333"],
    "tiny": ["5e-324", "0.1", "1e+16"],
    "quoted": ['"a"', "a,b", '""'], "zero": ["-0", "0", "1"], "minus": ["-0.0", "0.0", "1.5"],
}  # fmt: skip


def test_what_an_index_gives_back_is_what_the_file_has(tmp_path: Path, tiny_static) -> None:
    rows = [[f"i{n}", "en", f"cat {n}", *(cells[n] for cells in CELLS.values())] for n in range(3)]
    (tmp_path / "a.csv").write_bytes(as_csv([["item", "lang", "text", *CELLS], *rows]))
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        index_rows(index, tiny_static, open_rows(str(tmp_path / "a.csv")))
        numeric = {name: kind for name, kind in index.columns.items() if kind != "text"}
        assert numeric == {
            "price": "number", "large": "integer", "truth": "boolean", "whole": "integer", "tiny": "number", "minus": "number"
        }  # fmt: skip
        hits = Searcher(index, tiny_static).search(["cat"], k=10)[0]
        assert len(hits) == 3
        for hit in hits:
            number = int(hit.item[1:])
            assert {name: written(value) for name, value in hit.fields.items()} == {
                name: cells[number] for name, cells in CELLS.items()
            }


def write(file: Path, *rows: dict[str, Any]) -> str:
    file.write_text("\n".join(json.dumps({"lang": "en", "text": "cat house", **row}) for row in rows))
    return str(file)


def test_whole_numbers_become_numbers(tmp_path: Path, tiny_static) -> None:
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        first = write(tmp_path / "1.jsonl", {"item": "a", "price": 10})
        index_rows(index, tiny_static, open_rows(first))
        second = write(tmp_path / "2.jsonl", {"item": "b", "price": 9.99}, {"item": "c", "price": 10})
        index_rows(index, tiny_static, open_rows(second, columns=index.columns))
        assert index.columns == {"price": "number"}
        assert index_rows(index, tiny_static, open_rows(first)).unchanged == 1
        searcher = Searcher(index, tiny_static)
        for values, items in (([10], {"a", "c"}), ([9.99], {"b"}), ([10.0, 9.99], {"a", "b", "c"}), ([9], set())):
            found = searcher.search(["cat"], where=index.where(None, {"price": values}))[0]
            assert {hit.item for hit in found} == items
        with pytest.raises(ReaderError, match=r"row 1, field 'price': holds texts, and the index's column numbers"):
            open_rows(write(tmp_path / "3.jsonl", {"item": "d", "price": "dear"}), columns=index.columns)
        with pytest.raises(ReaderError, match=r"row 2, field 'price': 9007199254740993 has more digits"):
            open_rows(
                write(tmp_path / "4.jsonl", {"item": "d"}, {"item": "e", "price": 2**53 + 1}), columns=index.columns
            )
        for cell, match in (
            ("dear", "'dear' is no number"),
            ("007", "'007' is no number"),
            ("9007199254740993", "digits"),
        ):
            (tmp_path / "5.csv").write_text(f"item,lang,text,price\nd,en,x,1.50\ne,en,x,{cell}\n")
            with pytest.raises(ReaderError, match=rf"row 3, field 'price': .*{match}"):
                open_rows(str(tmp_path / "5.csv"), columns=index.columns)
        (tmp_path / "6.csv").write_text("item,lang,text,price\nd,en,x,1.50\n")
        ((row,),) = open_rows(str(tmp_path / "6.csv"), columns=index.columns).items()
        assert row.fields == {"price": 1.5}


def test_an_index_of_before_keeps_its_rows(tmp_path: Path, tiny_static) -> None:
    # Version 0.1 wrote 10 as 10.0 where the column was one of numbers.
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        earlier = write(tmp_path / "1.jsonl", {"item": "a", "price": 9.5}, {"item": "b", "price": 10.0})
        index_rows(index, tiny_static, open_rows(earlier))
        now = write(tmp_path / "2.jsonl", {"item": "a", "price": 9.5}, {"item": "b", "price": 10})
        done = index_rows(index, tiny_static, open_rows(now, columns=index.columns))
        assert (done.written, done.unchanged) == (0, 2)


def state(index: Index) -> Any:
    return index.engine.digests(sorted(index.items())), dict(index.columns), index.langs()


@pytest.mark.parametrize(
    ("name", "end", "match"),
    [
        ("a.jsonl", '{"item": "z", "lang": "en", "text": "x"', "row 1202: is not JSON"),
        ("a.jsonl", '{"item": "z", "lang": "english!", "text": "x"}', "row 1202, field 'lang': 'english!'"),
        ("a.jsonl", '{"item": "z", "lang": "en", "text": ["x"]}', "row 1202, field 'text': holds"),
        ("a.jsonl", '{"item": "z", "lang": "en", "text": " "}', "row 1202, field 'text': is blank"),
        (
            "a.jsonl",
            '{"item": "z", "lang": "en", "text": "x", "year": "old"}',
            "row 1202, field 'year': holds 'old' here",
        ),
        ("a.jsonl", '{"item": "z", "lang": "zxx", "image": "no.png"}', "row 1202, field 'image'"),
        ("a.jsonl", '{"item": "z", "lang": "zxx", "image": "cut.png"}', "item 'z': the picture"),
        (
            "a.jsonl",
            '{"item": "z", "lang": "en", "text": "x", "year": 1, "year": 2}',
            "row 1202, field 'year': occurs twice",
        ),
    ],
)
def test_a_bad_row_at_the_end_leaves_the_index_as_it_was(
    tmp_path: Path, tiny_static, babelmix, name: str, end: str, match: str
) -> None:
    from conftest import png

    (tmp_path / "cut.png").write_bytes(png(0)[: len(png(0)) // 2])
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        index_rows(index, tiny_static, open_rows(write(tmp_path / "0.jsonl", {"item": "a", "year": 1})))
        before = state(index)
        rows = [f'{{"item": "i{n}", "lang": "en", "text": "cat {n}", "year": {n}}}' for n in range(1201)]
        (tmp_path / name).write_text("\n".join([*rows, end]))
        with pytest.raises(BabelmixError, match=match):
            index_rows(index, tiny_static, open_rows(str(tmp_path / name)))
        assert state(index) == before
    code, _, error = babelmix("index", str(tmp_path / name), "--to", str(tmp_path / "new"), "--model", "static-e5")
    assert code == 1, error
    assert not (tmp_path / "new").exists()


def test_an_item_of_too_many_rows_is_refused_before_anything_is_written(tmp_path: Path, tiny_static) -> None:
    rows = [Row("a", "en", "x")]
    with Index.create(str(tmp_path / "index"), tiny_static, "tiny") as index:
        write(tmp_path / "a.jsonl", {"item": "a"}, *({"item": "b", "text": f"x {n}"} for n in range(1001)))
        with pytest.raises(SearchError, match="item 'b' has more than 1,000 rows"):
            index_rows(index, tiny_static, open_rows(str(tmp_path / "a.jsonl")))
        assert not list(index.items())
        assert len(index.changes(rows).points) == 1


REFUSED = {
    "a header twice": ("a.csv", b"item,lang,text,text\na,en,x,y\n", "row 1, field 'text': is the name of two"),
    "a short row": ("a.csv", b"item,lang,text\na,en\n", "row 2: has 2 cells"),
    "a long row": ("a.csv", b"item,lang,text\na,en,x,y\n", "row 2: has 4 cells"),
    "a short row of a TSV": ("a.tsv", b'item\tlang\ttext\na\ten\t"x\ny"\n', "row 3: has 1 cells.*TSV has no quoting"),
    "a header in quotes": ("a.tsv", b'"item"\t"lang"\t"text"\n', "row 1, field '\"item\"': the name is in quotes"),
    "a list": ("a.jsonl", b'{"item":"a","lang":"en","text":["p","q"]}', "row 1, field 'text': holds .'p', 'q'., but a text"),
    "an object": ("a.jsonl", b'{"item":"a","lang":"en","text":{"p":1}}', "row 1, field 'text': holds .'p': 1., but a text"),
    "a number": ("a.jsonl", b'{"item":"a","lang":"en","text":0.5}', r"row 1, field 'text': holds 0\.5, but a text"),
    "a name twice": ("a.jsonl", b'{"item":"a","lang":"en","text":"x","text":"y"}', "row 1, field 'text': occurs twice"),
    "a NUL": ("a.csv", b"item,lang,text\na,en,x\nb,en,x\0y\n", "row 3, field 'text': holds a NUL"),
    "a NUL of a TSV": ("a.tsv", b"item\tlang\ttext\na\ten\tx\0\n", "row 2: holds a NUL"),
    "a NUL of JSON": ("a.jsonl", b'{"item":"a","lang":"en","text":"\\u0000"}', "row 1, field 'text': holds a NUL"),
    "UTF-16": ("a.csv", "item,lang,text\n".encode("utf-16"), "row 1: is not UTF-8"),
    "Latin-1": ("a.csv", "item,lang,text\na,de,ä\n".encode("latin-1"), "row 2: is not UTF-8: byte 0xe4"),
    "a cut archive": ("a.csv.gz", gzip.compress(b"item,lang,text\n" * 2)[:-9], "damaged or cut short"),
    "another file": ("a.parquet", b"no", "not a readable Parquet"),
    "another file again": ("a.arrow", b"no", "not a readable Arrow"),
    "a packed Parquet": ("a.parquet.gz", b"no", "suffix '.parquet.gz'"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_corpus_and_an_index_refuse_the_same(tmp_path: Path, what: str) -> None:
    name, content, match = REFUSED[what]
    (tmp_path / name).write_bytes(content)
    for read in (open_corpus, open_rows):
        with pytest.raises(ReaderError, match=match):
            read(str(tmp_path / name))


def test_every_suffix_is_read_small_or_capital_packed_or_not_with_a_mark_or_without(tmp_path: Path) -> None:
    rows: list[list[str | None]] = [["item", "lang", "text"], ["1", "en", "Ä"], ["2", "de", 'said "x"']]
    packers: dict[str, Callable[[bytes], bytes]] = {
        "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress,
        ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
    }  # fmt: skip
    for kind, writer in WRITERS.items():
        for mark in ("", "\ufeff") if kind not in ("parquet", "arrow") else ("",):
            for packed, pack in packers.items() if kind not in ("parquet", "arrow") else [("", bytes)]:
                file = tmp_path / f"A.{kind.upper()}{packed}"
                file.write_bytes(pack(mark.encode() + writer(rows)))
                found = [(row.item, row.lang, row.text) for item in open_rows(str(file)).items() for row in item]
                assert found == [("1", "en", "Ä"), ("2", "de", 'said "x"')]


def test_what_unpacks_to_far_more_than_its_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_unpacking, "MAX_UNPACKED", 1 << 20)
    file = tmp_path / "a.csv.gz"
    file.write_bytes(gzip.compress(b"item,lang,text\n" + b"a" * (1 << 22)))
    with pytest.raises(ReaderError, match="more than 200 times its size"):
        read_table(file)


def test_quotes_of_a_tsv_are_said(tmp_path: Path, babelmix) -> None:
    (tmp_path / "a.tsv").write_text('item\ten\tde\n1\t"a, b"\tc\n')
    corpus = open_corpus(str(tmp_path / "a.tsv"))
    assert corpus.queries["text"].to_pylist() == ['"a, b"', "c"]
    code, out, _ = babelmix("data", str(tmp_path / "a.tsv"))
    assert code == 0
    assert "1 cells begin and end with a double quote" in " ".join(out.split())


def test_columns_that_nobody_asks_for_stop_nothing(tmp_path: Path) -> None:
    import datetime

    base = {"item": ["a"], "en": ["x"], "de": ["y"]}
    others = {
        "score": [0.5], "kind": pl.Series(["k"], dtype=pl.Categorical),
        "made_on": [datetime.date(2024, 1, 1)], "made": [{"x": 1}],
        "vector": [[1.0, 2.0]], "bytes": [b"x"], "good": [True], "count": [3],
    }  # fmt: skip
    pl.DataFrame({**base, **others}).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text('{"item": "a", "en": "x", "de": "y", "score": 0.5, "made": {}, "list": ["k"]}')
    (tmp_path / "a.csv").write_text("item,en,de,score\na,x,y,1.50\n")
    for name in ("a.parquet", "a.jsonl", "a.csv"):
        assert open_corpus(str(tmp_path / name)).queries["text"].to_pylist() == ["x", "y"]
    (tmp_path / "b.csv").write_text("item,en,german\na,x,y\n")
    with pytest.raises(ReaderError, match="field 'german': is neither a language tag"):
        open_corpus(str(tmp_path / "b.csv"))
    documents = pl.DataFrame({"item": ["a"], "lang": ["en"], "text": ["x"], "Unit price": [1], **others})
    documents.with_columns(pl.col("lang").cast(pl.Categorical)).write_parquet(tmp_path / "d.parquet")
    rows = open_rows(str(tmp_path / "d.parquet"))
    ((row,),) = rows.items()
    assert row.fields == {"score": 0.5, "kind": "k", "good": True, "count": 3}
    for name in ("made_on", "made", "vector", "bytes", "Unit price"):
        assert any(repr(name) in note and "left out" in note for note in rows.notes)


def test_a_path_that_exists_comes_before_a_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("captions=de.csv", "what?.csv", "table=x.csv"):
        Path(name).write_text("item,en,de\n1,a,b\n")
    Path("x.csv").write_text("item,en,de\n1,other,b\n")
    for spec, first in (
        ("captions=de.csv", "a"), ("what?.csv", "a"), ("table=what?.csv", "a"), ("table=x.csv", "a"), ("table=./x.csv", "other"),
    ):  # fmt: skip
        assert open_corpus(spec).queries["text"].to_pylist()[0] == first
    with pytest.raises(ReaderError, match="no such option: x"):
        open_corpus("table=what?.csv?x=1")
    with pytest.raises(ReaderError, match="there is no such corpus"):
        open_corpus("a\0b")
    with pytest.raises(ReaderError, match="there is no such corpus"):
        open_corpus("a" * 5000)


ODD = ["a,b", "a=b", ' blank "', "Cafe\u0301", '"quoted"', "-x", "東京, 大阪"]


def quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


@pytest.mark.slow
def test_what_a_row_holds_can_be_filtered_by_and_deleted_by(tmp_path: Path, tiny_static, babelmix) -> None:
    model, folder = str(tmp_path / "model"), str(tmp_path / "index")
    tiny_static.save(model)
    file = write(tmp_path / "a.jsonl", *({"item": name, "note": name} for name in ODD), {"item": "plain", "note": ""})
    assert babelmix("index", file, "--to", folder, "--model", model)[0] == 0

    def found(*words: str) -> set[str]:
        code, printed, error = babelmix("search", "cat", "--in", folder, "--json", *words)
        assert code == 0, error
        return {hit["item"] for hit in json.loads(printed)["hits"]}

    for name in ODD:
        assert found(f"--where=note={quoted(name)}") == {name}
        assert found(f"--where=item={quoted(name)}") == {name}
    assert found('--where=note=""') == {"plain"}
    assert found('--where=note="a,b",a=b', "--where=note=Caf\u00e9") == {"a,b", "a=b", "Cafe\u0301"}
    code, _, error = babelmix("search", "cat", "--in", folder, '--where=note="a')
    assert (code, "a value that begins with a double quote has to end with one" in error) == (1, True)
    code, printed, _ = babelmix("index", "--to", folder, '--delete="a,b", Caf\u00e9 ,gone', "--delete=plain", "--json")
    answer = json.loads(printed)
    assert (code, answer["items_removed"], answer["not_there"]) == (0, 3, ["gone"])
    code, printed, _ = babelmix("index", "--to", folder, "--delete", ",".join(map(quoted, ODD)))
    assert (code, "items removed: 5" in printed, "not there: 'a,b', 'Cafe" in printed) == (0, True, True)
    code, _, error = babelmix("index", "--to", folder, "--delete", " , ")
    assert (code, "has no value" in error) == (1, True)


def test_filters_of_an_engine_find_whole_numbers_among_numbers(tmp_path: Path) -> None:
    from babelmix.search import Where
    from babelmix.search.engines.contract import Reference

    kept = Reference(str(tmp_path / "index"))
    kept.put([Row(f"i{n}", "en", "x", fields={"price": value}) for n, value in enumerate([10, 9.99, 10.0, -3])])
    for value, items in ((10.0, {"i0", "i2"}), (9.99, {"i1"}), (-3.0, {"i3"})):
        found = kept.engine.nearest(np.ones((1, 8), dtype=np.float32), [Where(None, {"price": (value,)})], 9)[0]
        assert {hit.item for hit in found} == items
    kept.engine.close()
