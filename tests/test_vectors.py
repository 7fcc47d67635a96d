"""Vectors from files: every format gives the audit of the encoder that made them, and what does not fit is told."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import torch
from conftest import parallel_corpus, sparse_corpus
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors

import babelmix as bm
from babelmix.corpus import Corpus
from babelmix.encoders import encode
from babelmix.errors import AuditError, ConfigError, VectorsError
from babelmix.evaluation import rank_table
from babelmix.evaluation.coarser import coarser
from babelmix.evaluation.matrix import Stacked
from babelmix.evaluation.systems import EncoderSystem, ExactSystem, Vectors
from babelmix.evaluation.systems.vectors import langs_by_chance
from babelmix.evaluation.vector_files import open_vectors

Sides = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def toy() -> Corpus:
    return sparse_corpus(np.random.default_rng(5), 14, ("de", "en", "it"), 0.8)


@pytest.fixture
def made(toy: Corpus) -> Sides:
    """Queries and passages, float32, with 16 dimensions."""
    rng = np.random.default_rng(1)
    queries, passages = (
        rng.standard_normal((side.num_rows, 16), dtype=np.float32) for side in (toy.queries, toy.passages)
    )
    return queries, passages


def ranks(system: Any, corpus: Corpus) -> list[list[int]]:
    return system.rank(corpus).outranking_counts.tolist()


def frame(vectors: np.ndarray, **columns: Any) -> pl.DataFrame:
    return pl.DataFrame({**columns, "vector": pl.Series(vectors.tolist(), dtype=pl.List(pl.Float32))})


def write_npy(file: Path, vectors: np.ndarray) -> Path:
    np.save(file.with_suffix(".npy"), vectors)
    return file.with_suffix(".npy")


def write_npz(file: Path, vectors: np.ndarray) -> Path:
    np.savez(file.with_suffix(".npz"), first=np.zeros(3), vectors=vectors)
    return file.with_suffix(".npz")


def write_packed_npz(file: Path, vectors: np.ndarray) -> Path:
    np.savez_compressed(file.with_suffix(".npz"), vectors)
    return file.with_suffix(".npz")


def write_safetensors(file: Path, vectors: np.ndarray) -> Path:
    save_file({"embeddings": vectors, "other": np.zeros((2, 2))}, file.with_suffix(".safetensors"))
    return file.with_suffix(".safetensors")


def arrow_table(vectors: np.ndarray, kind: str) -> pa.Table:
    flat = pa.array(vectors.reshape(-1))
    if kind == "fixed":
        column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    else:
        starts = np.arange(len(vectors) + 1) * vectors.shape[1]
        column = pa.ListArray.from_arrays(pa.array(starts, pa.int32()), flat)
    return pa.table({"n": pa.array(range(len(vectors))), "vector": column})


def write_parquet(file: Path, vectors: np.ndarray) -> Path:
    pq.write_table(arrow_table(vectors, "variable"), file.with_suffix(".parquet"), row_group_size=7)
    return file.with_suffix(".parquet")


def write_arrow(file: Path, vectors: np.ndarray) -> Path:
    table = arrow_table(vectors, "fixed")
    with pa.OSFile(str(file.with_suffix(".arrow")), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    return file.with_suffix(".arrow")


def write_feather(file: Path, vectors: np.ndarray, **options: Any) -> Path:
    pyarrow.feather.write_feather(
        arrow_table(vectors, "variable"), file.with_suffix(".feather"), chunksize=7, **options
    )
    return file.with_suffix(".feather")


def write_plain_feather(file: Path, vectors: np.ndarray) -> Path:
    return write_feather(file, vectors, compression="uncompressed")


def write_polars(file: Path, vectors: np.ndarray) -> Path:
    pl.DataFrame({"embedding": pl.Series(vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))}).write_ipc(
        file.with_suffix(".ipc")
    )
    return file.with_suffix(".ipc")


def write_jsonl(file: Path, vectors: np.ndarray) -> Path:
    lines = [json.dumps({"vector": [float(v) for v in vector]}) for vector in vectors]
    file.with_suffix(".jsonl").write_text("\n\n".join(lines) + "\n")
    return file.with_suffix(".jsonl")


WRITERS: list[Callable[[Path, np.ndarray], Path]] = [
    write_npy, write_npz, write_packed_npz, write_safetensors, write_parquet, write_arrow, write_feather,
    write_plain_feather, write_polars, write_jsonl,
]  # fmt: skip


# --- formats


@pytest.mark.parametrize("write", WRITERS)
def test_every_format_holds_the_same_numbers(write, made: Sides, tmp_path: Path) -> None:
    found = open_vectors(write(tmp_path / "vectors", made[1]), "passages")
    assert found.kind == "float32"
    assert found.ids is None
    assert found.values.shape == made[1].shape
    assert np.array_equal(found.values[0 : len(made[1])], made[1])
    rows = np.array([0, 8, 7, 20, 20, 3])
    assert np.array_equal(found.values[rows], made[1][rows])
    assert np.array_equal(found.values[6:15], made[1][6:15])


@pytest.mark.parametrize("write", [write_npy, write_npz, write_safetensors])
def test_arrays_that_are_not_compressed_are_mapped(write, made: Sides, tmp_path: Path) -> None:
    assert isinstance(open_vectors(write(tmp_path / "v", made[1]), "passages").values, np.memmap)


def test_arrow_is_mapped_and_compressed_feather_unpacked_once(made: Sides, tmp_path: Path) -> None:
    wide = np.tile(made[1], 200)
    assert isinstance(open_vectors(write_plain_feather(tmp_path / "a", wide), "passages").values, Stacked)
    assert isinstance(open_vectors(write_feather(tmp_path / "b", wide, compression="lz4"), "x").values, np.memmap)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ">f4"])
@pytest.mark.parametrize("write", [write_npy, write_packed_npz, write_parquet, write_plain_feather])
def test_floats_of_every_width(write, dtype: Any, toy: Corpus, made: Sides, tmp_path: Path) -> None:
    if write in (write_parquet, write_plain_feather) and dtype == ">f4":
        pytest.skip("Arrow has one order of bytes")
    given = [side.astype(dtype) for side in made]
    files = [write(tmp_path / name, side) for name, side in zip(("q", "p"), given, strict=True)]
    expected = rank_table(toy, *(side.astype(np.float32) for side in given)).outranking_counts.tolist()
    assert ranks(Vectors(*files), toy) == expected


def test_bfloat16_of_safetensors(toy: Corpus, made: Sides, tmp_path: Path) -> None:
    for name, side in zip("qp", made, strict=True):
        save_tensors({"vectors": torch.from_numpy(side).bfloat16()}, tmp_path / f"{name}.safetensors")
    expected = rank_table(toy, *(torch.from_numpy(side).bfloat16().float().numpy() for side in made))
    system = Vectors(tmp_path / "q.safetensors", tmp_path / "p.safetensors")
    assert ranks(system, toy) == expected.outranking_counts.tolist()
    assert system.rank(toy).about.extra["vectors"]["queries"]["type"] == "bfloat16"


def test_one_file_for_both_sides(toy: Corpus, made: Sides, tmp_path: Path) -> None:
    both = tmp_path / "both.npz"
    ids = np.array(toy.row_ids("passages"))[::-1]
    np.savez(both, queries=made[0], passages=made[1][::-1], **{"passages.ids": ids})
    assert Vectors(both, both).name == "both"
    assert ranks(Vectors(both, both), toy) == rank_table(toy, *made).outranking_counts.tolist()


@pytest.mark.parametrize("form", ["row", "dimension", "both the same", "one"])
def test_int8_is_multiplied_by_its_scales(form: str, toy: Corpus, made: Sides, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    files, numbers = [], []
    for name, side in zip("qp", made, strict=True):
        values = np.clip(np.rint(side * 40), -127, 127).astype(np.int8)
        shape = {"row": (len(values), 1), "dimension": (1, 16), "one": (1, 1)}.get(form, (1, 16))
        scales = rng.uniform(0.1, 2, shape).astype(np.float32)
        if form == "both the same":
            values = values[:16]
        files.append(write_npy(tmp_path / name, values))
        np.save(tmp_path / f"{name}.scales.npy", scales.reshape(-1) if form in ("row", "dimension") else scales)
        numbers.append(values * scales)
    system = Vectors(*files, similarity="dot")
    if form == "both the same":
        np.save(tmp_path / "q.scales.npy", np.ones(16))
        with pytest.raises(VectorsError, match=r"q.scales.npy: 16 scales fit the rows and the dimensions"):
            open_vectors(files[0], "queries")
        return
    assert ranks(system, toy) == rank_table(toy, *numbers, similarity="dot").outranking_counts.tolist()


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_packed_bits_have_the_ranks_of_hamming_distances(kind: str, toy: Corpus, made: Sides, tmp_path: Path) -> None:
    packed = [np.packbits(side > 0, axis=1) for side in made]
    given = packed if kind == "uint8" else [(one.astype(np.int16) - 128).astype(np.int8) for one in packed]
    distance = np.bitwise_count(packed[0][:, None] ^ packed[1][None]).sum(axis=2)
    table = Vectors(*given, similarity="hamming").rank(toy)
    for pair, (query, passage) in enumerate(zip(table.pair_query, table.pair_passage, strict=True)):
        own = distance[query, passage]
        before = (distance[query] < own) | ((distance[query] == own) & (np.arange(len(packed[1])) < passage))
        assert table.rank_in_all()[pair] == before.sum()
    assert ranks(Vectors(*made, precision="binary"), toy) == table.outranking_counts.tolist()


# --- ids


def test_ids_match_whatever_the_order(toy: Corpus, made: Sides, tmp_path: Path) -> None:
    expected = rank_table(toy, *made).outranking_counts.tolist()
    rng = np.random.default_rng(3)
    shuffled = [rng.permutation(len(side)) for side in made]
    files = []
    for name, side, order in zip(("queries", "passages"), made, shuffled, strict=True):
        ids = [toy.row_ids(name)[row] for row in order]
        file = write_npy(tmp_path / name, side[order])
        (tmp_path / f"{name}.ids.txt").write_text("\n".join(ids) + "\n")
        frame(side[order], id=ids).write_parquet(tmp_path / f"{name}.parquet")
        frame(side[order], id=ids).write_ndjson(tmp_path / f"{name}.jsonl")
        rows = getattr(toy, name).select(["item", "lang"]).take(order)
        frame(side[order], item=rows["item"].to_pylist(), lang=rows["lang"].to_pylist()).write_ipc(
            tmp_path / f"{name}.arrow"
        )
        files.append(file)
    assert ranks(Vectors(*files), toy) == expected
    for suffix in ("parquet", "jsonl"):
        assert ranks(Vectors(tmp_path / f"queries.{suffix}", tmp_path / f"passages.{suffix}"), toy) == expected
    # Rows of one item and one language keep their order, which the shuffle changed.
    with_pairs = ranks(Vectors(made[0], tmp_path / "passages.arrow"), toy)
    assert np.array(with_pairs).shape == np.array(expected).shape
    assert ranks(Vectors(*(side[order] for side, order in zip(made, shuffled, strict=True))), toy) != expected


def test_item_and_lang_are_ids_too(made: Sides) -> None:
    corpus = parallel_corpus(8)
    vectors = np.random.default_rng(0).standard_normal((32, 4), dtype=np.float32)
    order = np.random.default_rng(1).permutation(32)
    rows = corpus.passages.take(order)
    table = frame(
        vectors[order],
        item=rows["item"].to_pylist(),
        lang=["deu" if lang == "de" else lang for lang in rows["lang"].to_pylist()],
    )
    assert ranks(Vectors(vectors, table), corpus) == rank_table(corpus, vectors, vectors).outranking_counts.tolist()


def test_vectors_of_languages_that_are_left_out_may_be_there(toy: Corpus, made: Sides, capsys) -> None:
    some = toy.only_langs(["de", "it"])
    ids = [toy.row_ids(side) for side in ("queries", "passages")]
    system = Vectors(*made, query_ids=ids[0], passage_ids=ids[1])
    kept = [np.flatnonzero([not one.split("/")[1].startswith("en") for one in side]) for side in ids]
    expected = rank_table(some, *(side[rows] for side, rows in zip(made, kept, strict=True)))
    assert ranks(system, some) == expected.outranking_counts.tolist()


def test_a_wrong_order_without_ids_is_noticed(capsys, tmp_path: Path) -> None:
    corpus = parallel_corpus(48)
    rng = np.random.default_rng(0)
    meaning = rng.standard_normal((48, 8), dtype=np.float32).repeat(4, axis=0)
    queries = meaning + rng.standard_normal(meaning.shape, dtype=np.float32) / 2
    assert langs_by_chance(Vectors(queries, meaning).rank(corpus)) == []
    assert "another order" not in capsys.readouterr().err
    wrong = meaning[rng.permutation(len(meaning))]
    assert langs_by_chance(Vectors(queries, wrong).rank(corpus)) == ["de", "en", "fr", "ja"]
    assert "in de, en, fr, ja the right passages rank no better than by chance" in capsys.readouterr().err
    files = [tmp_path / f"{side}.npy" for side in ("queries", "passages")]
    for file, side in zip(files, (queries, wrong), strict=True):
        np.save(file, side)
    report = bm.audit(Vectors(*files, name="mine"), corpus, out=tmp_path / "saved")
    assert report.lead().startswith("Cannot tell: in de, en, fr, ja the right passages rank no better than by chance")
    assert "in another order" in (tmp_path / "saved" / "report.html").read_text(encoding="utf-8")
    for checked in (report, tmp_path / "saved"):
        with pytest.raises(AuditError, match="the rules cannot be checked for mine: in de, en, fr, ja the right"):
            bm.check(checked, "own-language share@10 > 0.9")
    one = meaning.copy()
    german = np.arange(0, len(meaning), 4)
    one[german] = one[rng.permutation(german)]
    assert langs_by_chance(Vectors(queries, one).rank(corpus)) == ["de"]


# --- what does not fit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v, c: Vectors(v[0][:-1], v[1]), r"queries: has \d+ vectors, but sparse has \d+ queries; without ids"),
        (lambda v, c: Vectors(v[0], v[1][:, :8]), r"queries: has 16 values in a vector, but passages has 8"),
        (lambda v, c: Vectors(v[0], v[1].astype(np.int64)), r"passages: holds values of the type int64"),
        (lambda v, c: Vectors(v[0], np.array([[1], "a"], dtype=object)), r"passages: holds Python objects"),
        (lambda v, c: Vectors(v[0], [[1.0], [1.0, 2.0]]), r"passages: are no matrix of numbers"),
        (lambda v, c: Vectors(v[0], v[1][:, 0]), r"passages: has the shape \(\d+,\)"),
        (lambda v, c: Vectors(v[0], v[1][0:0]), r"passages: has the shape \(0, 16\)"),
        (lambda v, c: Vectors(v[0], v[1].astype(np.uint8)), r"passages: holds bytes \(uint8\): for packed bits give"),
        (lambda v, c: Vectors(*v, similarity="hamming"), r"queries: holds float32, but Hamming distances need packed bits"),
        (lambda v, c: Vectors(*v, passage_ids=c.row_ids("passages")[:-1]), r"passages: has \d+ ids, but passages has"),
        (
            lambda v, c: Vectors(*v, passage_ids=["x", *c.row_ids("passages")[1:]]),
            r"passages, row 1: the id 'x' is of no passage of sparse; an id is an item and a language, such as 'p",
        ),
        (
            lambda v, c: Vectors(*v, query_ids=[*c.row_ids("queries")[:-1], c.row_ids("queries")[0]]),
            r"queries, row \d+: the query 'q\d+/\w+' has a vector in row 1 already; keep one",
        ),
        (
            lambda v, c: Vectors(v[0][1:], v[1], query_ids=c.row_ids("queries")[1:]),
            r"queries: has no vector for 1 of \d+ queries of sparse; the first is 'q\d+/\w+', row 1",
        ),
        (
            lambda v, c: Vectors(*v, passage_ids=[name.upper() for name in c.row_ids("passages")]),
            r"passages: has no vector for (\d+) of \1 passages of sparse: it has the id 'P0/DE', and the corpus has 'p0/de'; "
            r"an id is ITEM/LANG, with the columns item and lang as  babelmix data CORPUS --to FOLDER  writes them in passages.p",
        ),
        (
            lambda v, c: Vectors(v[0], v[1][:-1]),
            r"passages: has \d+ vectors, but sparse has \d+ passages; without ids, vector n is that of row n: embed the passages "
            r"of the corpus in their order \( babelmix data CORPUS --to FOLDER  writes them in passages.parquet\), or add ids",
        ),
        (lambda v, c: Vectors(*v, dimensions=17), r"sparse|vectors: has 16 dimensions, so 17 cannot be kept"),
        (lambda v, c: Vectors(*v, query_scales=np.ones(5)), r"queries: has scales of the shape \(5,\)"),
        (lambda v, c: Vectors(*v, query_scales=np.zeros((1, 16))), r"queries: scale 1 is 0.0; scales are positive"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_in_a_sentence(change, message: str, toy: Corpus, made: Sides) -> None:
    with pytest.raises(AuditError, match=message):
        change(made, toy).rank(toy)


@pytest.mark.parametrize("write", WRITERS)
def test_a_value_that_is_no_number_is_told_with_its_row(write, toy: Corpus, made: Sides, tmp_path: Path) -> None:
    bad = made[1].copy()
    bad[11, 4] = np.nan
    file = write(tmp_path / "p", bad)
    # Blank lines of JSON lines count.
    row = 23 if file.suffix == ".jsonl" else 12
    with pytest.raises(VectorsError, match=rf"{file.name}, row {row}: value 5 of the vector is nan as float32"):
        Vectors(made[0], file).rank(toy)


def test_the_row_of_the_file_is_told_for_ids(toy: Corpus, made: Sides, tmp_path: Path) -> None:
    bad, ids = made[1].astype(np.float64), toy.row_ids("passages")
    bad[2, 0] = 1e300
    with pytest.raises(VectorsError, match=rf"passages, row {len(ids) - 2}: value 1 of the vector is inf as float32"):
        Vectors(made[0], bad[::-1], passage_ids=ids[::-1]).rank(toy)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npy", b"nothing", r"a.npy: is not a readable npy file"),
        ("a.npz", b"PK\x05\x06nothing", r"a.npz: is not a readable npz file"),
        ("a.safetensors", b"\x08\0\0\0\0\0\0\0{}      ", r"a.safetensors: "),
        ("a.safetensors", b"nothing", r"a.safetensors: is not a readable safetensors file"),
        ("a.parquet", b"nothing", r"a.parquet: is not a readable Parquet file"),
        ("a.arrow", b"nothing", r"a.arrow: is not a readable Arrow file"),
        ("a.jsonl", b'{"vector": [1, 2]}\n{"vector": [1]}\n', r"a.jsonl, row 2, field 'vector': has 1 values, where the"),
        ("a.jsonl", b'{"vector": [1, "2"]}\n', r"a.jsonl, row 1, field 'vector': a value of the vector is '2', not a number"),
        ("a.jsonl", b'{"vector": "x"}\n', r"a.jsonl, row 1, field 'vector': holds 'x', not a list of numbers"),
        ("a.jsonl", b'{"v": [1]}\n', r"a.jsonl, row 1: has the keys v; name the one of the vector 'vector'"),
        ("a.jsonl", b'{"vector": [1], "id": null}\n', r"a.jsonl, row 1, field 'id': holds None; an id is a text"),
        ("a.jsonl", b"[1]\n", r"a.jsonl, row 1"),
        ("a.jsonl", b"", r"a.jsonl: has no rows"),
        ("a.pkl", b"nothing", r"a.pkl: has the suffix '.pkl'; babelmix opens no pickles"),
        ("a.npy.gz", b"nothing", r"a.npy.gz: has the suffix '.gz'"),
        ("a.csv", b"nothing", r"a.csv: has the suffix '.csv'; vectors are in .npy, .npz"),
    ],
)  # fmt: skip
def test_damaged_files_are_told_in_a_sentence(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VectorsError, match=message):
        open_vectors(tmp_path / name, "queries")


def test_a_file_that_is_cut_short_or_not_there(made: Sides, tmp_path: Path) -> None:
    for write in WRITERS:
        file = write(tmp_path / "v", np.tile(made[1], (40, 1)))
        whole = file.read_bytes()
        if file.suffix != ".jsonl":
            file.write_bytes(whole[: len(whole) // 2])
            with pytest.raises(VectorsError, match=file.name):
                open_vectors(file, "queries")
        file.unlink()
        with pytest.raises(VectorsError, match=f"{file.name}: is not there"):
            open_vectors(file, "queries")
    with pytest.raises(VectorsError, match="is a folder"):
        open_vectors(tmp_path, "queries")


class Trap:
    """A pickle that leaves a file when it is opened."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return Path.touch, (self.place,)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    trap = np.array([Trap(tmp_path / "trapped")], dtype=object)
    np.save(tmp_path / "a.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "a.npz", vectors=trap)
    np.savez_compressed(tmp_path / "b.npz", vectors=trap)
    np.savez(tmp_path / "c.npz", vectors=np.ones((1, 2)), ids=trap)
    (tmp_path / "p.npy").write_bytes(pickle.dumps(trap))
    for name in ("a.npy", "a.npz", "b.npz", "c.npz", "p.npy"):
        with pytest.raises(VectorsError, match=f"{name}.*: (holds Python objects|is not a readable)"):
            open_vectors(tmp_path / name, "queries")
    assert not (tmp_path / "trapped").exists()


def test_columns_that_are_not_vectors(tmp_path: Path) -> None:
    cases = {
        "ragged": (
            {"vector": [[1.0, 2.0], [1.0]]},
            r"row 2, field 'vector': has 1 values, where the rows before have 2",
        ),
        "null": ({"vector": [[1.0], None]}, r"row 2, field 'vector': has no vector"),
        "hole": ({"vector": [[1.0, 2.0], [None, 2.0]]}, r"row 2, field 'vector': a value of the vector is missing"),
        "text": ({"vector": ["a"]}, r"field 'vector': holds (large_)?string.*, not a list of numbers"),
        "words": ({"vector": [["a"]]}, r"field 'vector': holds"),
        "two": ({"a": [[1.0]], "b": [[1.0]]}, r"has the columns a, b; name the one of the vectors 'vector'"),
        "id": ({"vector": [[1.0], [2.0]], "id": ["a", None]}, r"row 2, field 'id': is empty"),
        "none": ({"vector": pl.Series([], dtype=pl.List(pl.Float32))}, r"has no rows"),
    }
    for name, (columns, message) in cases.items():
        for suffix, write in ((".parquet", "write_parquet"), (".arrow", "write_ipc")):
            file = tmp_path / f"{name}{suffix}"
            getattr(pl.DataFrame(columns), write)(file)
            with pytest.raises(VectorsError, match=f"{file.name}(, |: ){message}"):
                open_vectors(file, "queries")


def test_two_files_of_ids_or_none_that_fits(made: Sides, tmp_path: Path) -> None:
    file = write_npy(tmp_path / "q", made[0][:2])
    (tmp_path / "q.ids.csv").write_text("name\na\nb\n")
    with pytest.raises(VectorsError, match=r"q.ids.csv: has the columns name; name the one of the ids 'id'"):
        open_vectors(file, "queries")
    (tmp_path / "q.ids.csv").write_text("item,lang\na,de\na,de\n")
    assert open_vectors(file, "queries").ids.to_list() == ["a/de", "a/de/2"]
    (tmp_path / "q.ids.txt").write_text("a\n\n")
    with pytest.raises(VectorsError, match=r"has two files of ids: q.ids.txt and q.ids.csv; keep one"):
        open_vectors(file, "queries")
    (tmp_path / "q.ids.csv").unlink()
    with pytest.raises(VectorsError, match=r"q.ids.txt, row 2: is blank"):
        open_vectors(file, "queries")


# --- the audit


def test_the_vectors_of_an_encoder_have_its_audit(tiny_static, tmp_path: Path) -> None:
    corpus = parallel_corpus()
    sides = [
        encode(tiny_static, table["text"].to_pylist(), kind, store=False)
        for table, kind in ((corpus.queries, "query"), (corpus.passages, "document"))
    ]
    for name, side in zip(("queries", "passages"), sides, strict=True):
        np.save(tmp_path / f"{name}.npy", side)
    expected = bm.audit(tiny_static, corpus)
    found = bm.audit(Vectors(tmp_path / "queries.npy", tmp_path / "passages.npy"), corpus, out=tmp_path / "audit")
    assert found.audit.estimates == expected.audit.estimates
    assert found.audit.table.about.calibration == expected.audit.table.about.calibration
    assert found.to_frame().equals(expected.to_frame())
    written = {file.name for file in (tmp_path / "audit").iterdir()}
    assert written == {"ranks.parquet", "queries.parquet", "metrics.json", "checksums.json", "report.html"}


def test_a_finished_audit_is_loaded_unless_a_file_has_changed(
    toy: Corpus, made: Sides, tmp_path: Path, monkeypatch
) -> None:
    files = [write_npy(tmp_path / name, side) for name, side in zip(("queries", "passages"), made, strict=True)]
    calls = []
    rank = Vectors.rank
    monkeypatch.setattr(Vectors, "rank", lambda self, *a, **k: calls.append(1) or rank(self, *a, **k))

    def audited(**options: Any) -> None:
        bm.audit(Vectors(*files, **options), toy, out=tmp_path / "out")

    audited()
    audited()
    assert len(calls) == 1
    audited(similarity="dot")
    assert len(calls) == 2
    audited()
    np.save(files[1], made[1][::-1])
    audited()
    assert len(calls) == 4
    (tmp_path / "passages.ids.txt").write_text("\n".join(toy.row_ids("passages")))
    audited()
    assert len(calls) == 5


def test_names_come_from_the_files(tmp_path: Path) -> None:
    assert Vectors("e5-queries.npy", "e5-passages.npy").name == "e5"
    assert Vectors("x/bge/queries.npy", "x/bge/passages.npy").name == "bge"
    assert Vectors("queries.npy", "passages.npy").name == "vectors"
    assert Vectors("a/queries.npy", "b/passages.npy").name == "vectors"
    assert Vectors("queries.npy", "passages.npy", name="mine").name == "mine"
    with pytest.raises(ConfigError, match="there is no similarity 'l2'; choose from cosine, dot, hamming"):
        Vectors("a", "b", similarity="l2")  # type: ignore[arg-type]


# --- dimensions and precision


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("precision", [None, "float32", "float16", "bfloat16", "int8", "binary"])
def test_coarser_vectors_are_those_of_a_slow_reference(
    precision: Any, similarity: Any, toy: Corpus, made: Sides
) -> None:
    def slow(side: np.ndarray) -> np.ndarray:
        cut = side[:, :5].astype(np.float64)
        if similarity == "cosine":
            cut = cut / np.linalg.norm(cut, axis=1, keepdims=True)
        if precision == "float16":
            return cut.astype(np.float32).astype(np.float16)
        if precision == "bfloat16":
            return torch.tensor(cut.astype(np.float32)).bfloat16().float().numpy()
        if precision == "binary":
            return np.where(cut > 0, 1.0, -1.0)
        if precision == "int8":
            passages = made[1][:, :5].astype(np.float64)
            if similarity == "cosine":
                passages = passages / np.linalg.norm(passages, axis=1, keepdims=True)
            low, high = passages.min(axis=0), passages.max(axis=0)
            levels = np.linspace(low, high, 256)
            return np.stack([levels[np.abs(levels - row).argmin(axis=0), np.arange(5)] for row in cut])
        return cut

    queries, passages, kind = coarser(*made, similarity=similarity, dimensions=5, precision=precision)
    assert kind == ("dot" if precision == "binary" else similarity)
    for found, side in ((queries, made[0]), (passages, made[1])):
        expected = slow(side)
        if kind == "cosine" and precision in (None, "float32"):
            expected = side[:, :5]
        assert np.abs(np.asarray(found[0 : len(side)]) - expected).max() < 1e-6
        assert found.shape == (len(side), 5)
        assert len(found) == len(side)


def test_dimensions_and_precisions_are_compared(toy: Corpus, made: Sides) -> None:
    found = bm.audit(Vectors(*made, name="v"), toy, dimensions=[4, 16], precision=["float32", "binary"])
    assert isinstance(found, bm.AuditReports)
    names = [
        "v, 4 dimensions, float32",
        "v, 4 dimensions, binary",
        "v, 16 dimensions, float32",
        "v, 16 dimensions, binary",
    ]
    assert list(found.reports) == names
    whole = bm.audit(Vectors(*made, name="v"), toy)
    assert found[names[2]].audit.estimates == whole.audit.estimates
    assert found[names[1]].audit.table.about.settings == {"dimensions": 4, "precision": "binary"}
    one = bm.audit(Vectors(made[0][:, :4], made[1][:, :4], name="w"), toy)
    assert found[names[0]].audit.estimates == one.audit.estimates


def test_an_encoder_is_cut_like_its_vectors(tiny_static) -> None:
    corpus = parallel_corpus(12)
    sides = EncoderSystem(tiny_static).embed(corpus)
    for dimensions, precision in ((6, None), (None, "int8"), (8, "binary")):
        found = bm.audit(tiny_static, corpus, dimensions=dimensions, precision=precision)
        expected = bm.audit(Vectors(*sides, dimensions=dimensions, precision=precision), corpus)
        assert found.audit.estimates == expected.audit.estimates
        assert found.audit.table.about.settings == expected.audit.table.about.settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimensions": []}, "dimensions: the list is empty"),
        ({"dimensions": [4, 4]}, "dimensions: a value is given twice"),
        ({"dimensions": 0}, "dimensions: 0 is no positive whole number"),
        ({"precision": "int4"}, "there is no precision 'int4'; choose from float32, float16"),
        ({"dimensions": 4, "perturb": "typos"}, "perturb: is for"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], message: str, toy: Corpus, made: Sides) -> None:
    with pytest.raises(ConfigError, match=message):
        bm.audit(Vectors(*made), toy, **options)


def test_vectors_are_a_system(toy: Corpus, made: Sides) -> None:
    assert isinstance(Vectors(*made), ExactSystem)
    assert bm.Vectors is Vectors


# --- the command


def test_the_command_audits_pairs_of_files(babelmix, toy: Corpus, made: Sides, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    toy.save("toy")
    for name, side in zip(("queries", "passages"), made, strict=True):
        np.save(f"{name}.npy", side)
        np.save(f"half-{name}.npy", side.astype(np.float16))
    status, out, err = babelmix("audit", "--vectors", "queries.npy", "passages.npy", "-c", "toy", "--json")
    assert status == 0, err
    whole = bm.audit(Vectors(*made), toy)
    assert json.loads(out)["macro"]["multi/mAP"]["value"] == whole.macro("multi/mAP")
    assert Path("runs/audit-vectors-sparse/report.html").is_file()
    status, out, err = babelmix(
        "audit", "--vectors", "full=queries.npy", "passages.npy", "--vectors", "half-queries.npy", "half-passages.npy",
        "-c", "toy", "--precision", "float32,binary", "--out", "both",
    )  # fmt: skip
    assert status == 0, err
    assert {folder.name for folder in Path("both").iterdir() if folder.is_dir()} == {
        "full-float32", "full-binary", "half-float32", "half-binary",
    }  # fmt: skip
    for words, message in (
        (("--vectors", "queries.npy"), "name two files after each --vectors"),
        (("--vectors", "queries.npy", "passages.npy", "half-queries.npy"), "name two files after each --vectors"),
        (("--vectors", "queries.npy", "passages.npy", "--dimensions", "x"), "'x' is no whole number"),
        (("--vectors", "queries.npy", "passages.npy", "--bf16"), "is for encoders"),
        (("--vectors", "queries.npy", "nowhere.npy"), "nowhere.npy: is not there"),
        (("a", "--similarity", "dot"), "is for vectors from files"),
    ):
        status, out, err = babelmix("audit", "-c", "toy", *words)
        assert status != 0
        assert message in err, err
        assert "Traceback" not in err
