"""Language taken out of vectors: by formats, languages, and what it is fitted on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from biased_vectors import LANGS, made_for, unit, without_means
from conftest import parallel_corpus
from typer.testing import CliRunner

import babelmix as bm
from babelmix.api._debias_export import lines_of_numpy
from babelmix.cli.app import app
from babelmix.corpus import Corpus
from babelmix.encoders.removal import load_removal
from babelmix.errors import ArgumentError, BabelmixError, ConfigError, EncoderError, VectorsError


@pytest.fixture
def toy() -> Corpus:
    return parallel_corpus(40)


def read(given: Any) -> np.ndarray:
    return np.load(given) if isinstance(given, str) else np.asarray(given)


def test_own_means_are_those_of_each_side_and_language_and_the_pool_gets_better(toy: Corpus, tmp_path: Path) -> None:
    queries, passages = made_for(toy)
    made = bm.debias(bm.Vectors(queries, passages, name="mine"), toy, alpha=0.75)
    for given, found, side in (
        (queries, made.vectors.queries, toy.queries),
        (passages, made.vectors.passages, toy.passages),
    ):
        np.testing.assert_allclose(found, without_means(given, side["lang"].to_pylist(), 0.75), atol=1e-5)
    assert made.lines() == ["own-means, alpha 0.75: fitted on 160 passages and 160 queries in 4 languages"]
    assert made.folder is None
    assert made.places() == {}
    before, after = (bm.audit(one, toy).macro("multi/mAP") for one in (bm.Vectors(queries, passages), made.vectors))
    assert after > before + 0.2
    saved = made.save(tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "debias.json", "passages.npy", "queries.npy", "removal.safetensors",
    ]  # fmt: skip
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "queries.npy"), made.vectors.queries)
    assert bm.audit(saved.vectors, toy).macro("multi/mAP") == after
    again = saved.save(tmp_path / "copy")
    np.testing.assert_array_equal(read(again.vectors.passages), made.vectors.passages)
    assert made.to_frame().row(0) == ("de", 40, 40, 40, 40)
    assert "| de | 40 | 40 | 40 | 40 |" in made.to_markdown()


@pytest.mark.parametrize("source", ["corpus", "corpus and ids", "ids", "table", "table of rows", "columns"])
def test_languages_come_from_a_corpus_from_ids_or_from_a_table(
    source: str, toy: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    queries, passages = made_for(toy)
    ids = toy.row_ids("passages")
    order = np.random.default_rng(0).permutation(len(ids)) if source != "corpus" else np.arange(len(ids))
    langs = np.array(toy.passages["lang"].to_pylist())[order]
    np.save("p.npy", passages[order])
    given: dict[str, Any] = {}
    corpus: Corpus | None = None
    if source.startswith("corpus"):
        corpus = toy
    if source in ("corpus and ids", "ids"):
        Path("p.ids.txt").write_text("\n".join(ids[row] for row in order) + "\n")
    if source == "table":
        names = [f"row-{row}" for row in order]
        Path("p.ids.txt").write_text("\n".join(names) + "\n")
        pl.DataFrame({"lang": langs, "id": names}).reverse().write_csv("langs.csv")
        given["passages_langs"] = "langs.csv"
    if source == "table of rows":
        pl.DataFrame({"lang": langs}).write_ndjson("langs.jsonl")
        given["passages_langs"] = "langs.jsonl"
    file = "p.npy"
    if source == "columns":
        pl.DataFrame({"id": range(len(ids)), "lang": langs, "vector": passages[order].tolist()}).write_parquet(
            "p.parquet"
        )
        file = "p.parquet"
    made = bm.debias(bm.Vectors(None, file), corpus, out="out", **given)
    np.testing.assert_allclose(np.load("out/passages.npy"), without_means(passages[order], langs.tolist()), atol=1e-5)
    assert made.lines() == [
        "own-means, alpha 1: fitted on 160 passages in 4 languages",
        "queries: no vectors of queries to fit on, so the passages of their language stand in",
    ]
    assert Path("out/passages.ids.txt").exists() == (source in ("corpus and ids", "ids", "table", "columns"))
    assert not Path("out/queries.npy").exists()
    removal = load_removal("out/removal.safetensors")
    np.testing.assert_allclose(removal.apply(queries, "de", "query"), removal.apply(queries, "de", "passage"))
    with pytest.raises(VectorsError, match="no vectors of the queries"):
        bm.audit(made.vectors, toy)


def test_queries_of_an_unknown_language_are_told_from_their_vectors(toy: Corpus, tmp_path: Path) -> None:
    queries, passages = made_for(toy, apart=4.0)
    ids = toy.row_ids("passages")
    made = bm.debias(bm.Vectors(queries, passages, passage_ids=ids))
    assert (
        made.lines()[-1]
        == "160 queries are in a language that is unknown or was not fitted; it is told from the vector"
    )
    known = bm.debias(bm.Vectors(queries, passages, passage_ids=ids), queries_langs=write_langs(tmp_path, toy.queries))
    assert known.facts["told"] == {}
    assert known.facts["fitted_on"]["queries"] == dict.fromkeys(LANGS, 40)


def write_langs(folder: Path, table: Any) -> Path:
    pl.DataFrame({"lang": table["lang"].to_pylist()}).write_csv(folder / "langs.csv")
    return folder / "langs.csv"


def test_languages_with_too_few_vectors_are_left_as_they_are_and_counted(toy: Corpus) -> None:
    queries, passages = made_for(toy)
    rows = [row for row, lang in enumerate(toy.passages["lang"].to_pylist()) if lang != "ja" or row < 20]
    ids = [toy.row_ids("passages")[row] for row in rows]
    some = passages[rows].copy()
    with pytest.warns(UserWarning, match="not fitted on ja"):
        made = bm.debias(bm.Vectors(queries, some, passage_ids=ids), toy)
    few = [row for row, name in enumerate(ids) if name.endswith("/ja")]
    np.testing.assert_allclose(np.asarray(made.vectors.passages)[few], unit(some[few]), atol=1e-6)
    assert (made.facts["left"], made.facts["told"]) == ({"passages": {"ja": len(few)}}, {"queries": 40})
    assert made.lines()[1:] == [
        f"{len(few)} passages are in languages that were not fitted, and are left as they are: ja ({len(few)})",
        "40 queries are in a language that is unknown or was not fitted; it is told from the vector",
    ]
    with pytest.warns(UserWarning, match="not fitted on en, ja"):
        only = bm.debias(bm.Vectors(queries, passages), toy, langs=["de", "fr"])
    assert only.facts["left"]["passages"] == {"en": 40, "ja": 40}


def test_offsets_are_fitted_on_the_translations_of_a_corpus_or_on_others(toy: Corpus, tmp_path: Path) -> None:
    queries, passages = made_for(toy)
    made = bm.debias(bm.Vectors(queries, passages), toy, method="offsets", pivot="en")
    assert made.facts["pivot"] == "en"
    english = np.array(toy.passages["lang"].to_pylist()) == "en"
    np.testing.assert_allclose(np.asarray(made.vectors.passages)[english], unit(passages[english]), atol=1e-5)
    # Other texts in the same languages, as vectors of translations with ids.
    np.save(tmp_path / "pairs.npy", passages)
    (tmp_path / "pairs.ids.txt").write_text("\n".join(toy.row_ids("passages")) + "\n")
    other = bm.debias(
        bm.Vectors(queries, passages), toy, method="offsets", fit_on=bm.Vectors(None, str(tmp_path / "pairs.npy"))
    )
    assert other.facts["fitted_on"] == {"passages": dict.fromkeys(LANGS, 40), "queries": {}}
    whole = bm.debias(
        bm.Vectors(queries, passages), toy, method="offsets", fit_on=bm.Vectors(queries, passages), fit_corpus=toy
    )
    np.testing.assert_allclose(whole.vectors.passages, other.vectors.passages, atol=1e-6)
    # A log of queries alone: the passages are those of the collection.
    log = bm.debias(bm.Vectors(None, passages), toy, fit_on=bm.Vectors(queries, None), fit_corpus=toy)
    both = bm.debias(bm.Vectors(queries, passages), toy)
    np.testing.assert_allclose(
        log.removal.apply(queries, "de", "query"), both.removal.apply(queries, "de", "query"), atol=1e-6
    )


def test_queries_without_translations_are_moved_by_the_offsets_of_passages(toy: Corpus, tmp_path: Path) -> None:
    queries, passages = made_for(toy)
    ids = toy.row_ids("passages")
    alone = [f"q{n}/{lang}" for n, lang in enumerate(toy.queries["lang"].to_pylist())]
    made = bm.debias(bm.Vectors(queries, passages, query_ids=alone, passage_ids=ids), method="offsets")
    assert "stand in" in made.lines()[1]
    # Means need no translations.
    assert len(bm.debias(bm.Vectors(queries, passages, query_ids=alone, passage_ids=ids)).lines()) == 1


def test_a_removal_that_is_there_is_applied_and_nothing_is_fitted(toy: Corpus, tmp_path: Path) -> None:
    queries, passages = made_for(toy)
    first = bm.debias(bm.Vectors(queries, passages), toy, out=tmp_path / "first")
    for removal in (tmp_path / "first", tmp_path / "first" / "removal.safetensors", first.removal):
        second = bm.debias(bm.Vectors(queries, None), toy, removal=removal)
        np.testing.assert_array_equal(second.vectors.queries, read(first.vectors.queries))
    half = bm.debias(bm.Vectors(queries, None), toy, removal=tmp_path / "first", alpha=0.5, out=tmp_path / "half")
    assert load_removal(tmp_path / "half" / "removal.safetensors").alpha == 0.5
    assert half.facts["alpha"] == 0.5
    np.testing.assert_allclose(
        np.load(tmp_path / "half" / "queries.npy"),
        without_means(queries, toy.queries["lang"].to_pylist(), 0.5),
        atol=1e-5,
    )


def test_auto_takes_a_given_removal_where_own_texts_are_too_few(toy: Corpus, tmp_path: Path) -> None:
    queries, passages = made_for(toy)
    pairs = bm.debias(bm.Vectors(queries, passages), toy, method="offsets", pivot="en", out=tmp_path / "pairs")
    ids = [f"{n}/{lang}" for n, lang in enumerate(toy.passages["lang"].to_pylist())]
    collection = bm.Vectors(None, passages, passage_ids=ids)
    made = bm.debias(collection, method="auto", removal=tmp_path / "pairs")
    assert made.facts["chosen"] == "offsets"
    assert "need" in made.facts["because"]
    np.testing.assert_allclose(made.vectors.passages, read(pairs.vectors.passages), atol=1e-6)
    assert made.lines()[1].startswith("offsets is chosen: there are ")
    alone = bm.debias(collection, method="auto")
    assert alone.facts["chosen"] == "own-means"
    assert "no translations" in alone.facts["because"]


def test_types_of_values(toy: Corpus, tmp_path: Path) -> None:
    passages = made_for(toy)[1]
    scales = np.abs(passages).max(axis=1, keepdims=True) / 127
    codes = np.round(passages / scales).astype(np.int8)
    whole = bm.debias(bm.Vectors(None, passages), toy)
    coarse = bm.debias(bm.Vectors(None, codes, passage_scales=scales), toy)
    np.testing.assert_allclose(coarse.vectors.passages, whole.vectors.passages, atol=0.03)
    half = bm.debias(bm.Vectors(None, passages), toy, dtype="float16", out=tmp_path / "half")
    assert np.load(tmp_path / "half" / "passages.npy").dtype == np.float16
    np.testing.assert_allclose(np.load(tmp_path / "half" / "passages.npy"), whole.vectors.passages, atol=1e-3)
    assert half.facts["dtype"] == "float16"
    with pytest.raises(VectorsError, match="float16 cannot hold"):
        bm.debias(bm.Vectors(None, 1e6 * passages, similarity="dot"), toy, dtype="float16", out=tmp_path / "large")
    assert not (tmp_path / "large").exists()


def test_the_command_does_what_the_function_does(
    toy: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, babelmix: Callable[..., tuple[int, str, str]]
) -> None:
    monkeypatch.chdir(tmp_path)
    toy.save(tmp_path / "toy")
    queries, passages = made_for(toy)
    np.save("q.npy", queries)
    np.save("p.npy", passages)
    code, out, err = babelmix(
        "debias", "--vectors", "mine=q.npy", "p.npy", "-c", "toy", "--alpha", "0.5", "--out", "one"
    )
    assert code == 0, err
    made = bm.debias(bm.Vectors("q.npy", "p.npy", "mine"), "toy", alpha=0.5, out="two")
    assert [line.replace("two", "one") for line in str(made).split()] == out.split()
    for name in ("queries.npy", "passages.npy", "removal.safetensors", "debias.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert json.loads(Path("one/debias.json").read_text())["vectors"] == "mine"
    for words in (["one", "--export"], ["--export", "one/removal.safetensors"], ["--export", "--removal", "one"]):
        code, out, err = babelmix("debias", *words)
        assert code == 0, err
        assert out == lines_of_numpy("one")
    code, out, err = babelmix(
        "debias", "--vectors", "p.npy", "-c", "toy", "--fit-queries", "q.npy", "--fit-corpus", "toy"
    )
    assert code == 0, err
    assert sorted(file.name for file in Path("runs/debiased-p").iterdir()) == [
        "debias.json", "passages.npy", "removal.safetensors",
    ]  # fmt: skip
    code, out, err = babelmix(
        "audit", "--vectors", "one/queries.npy", "one/passages.npy", "-c", "toy", "--out", "audit"
    )
    assert code == 0, err


def test_wrong_arguments_are_told(toy: Corpus, tmp_path: Path, babelmix: Callable[..., tuple[int, str, str]]) -> None:
    queries, passages = made_for(toy)
    both = bm.Vectors(queries, passages)
    wrong: list[tuple[type[BabelmixError], str, dict[str, Any]]] = [
        (EncoderError, "the method 'magic' is unknown", {"method": "magic"}),
        (ArgumentError, "own-means takes no directions away", {"rank": 2}),
        (ArgumentError, "alpha: 1.5 is no share", {"alpha": 1.5}),
        (ArgumentError, "dtype: 'int8' is unknown", {"dtype": "int8"}),
        (ArgumentError, "texts: is for encoders", {"texts": 50}),
        (ArgumentError, "fit_corpus: is the corpus of the vectors to fit on", {"fit_corpus": toy}),
        (ConfigError, "nl", {"langs": "nl"}),
        (EncoderError, "there are 1 languages with 20 or more vectors to fit on", {"langs": "de"}),
        (EncoderError, "the pivot 'nl' is not among", {"method": "offsets", "pivot": "nl"}),
        (VectorsError, "the same encoder", {"fit_on": bm.Vectors(None, passages[:, :8]), "fit_corpus": toy}),
        (EncoderError, "is not there", {"removal": "nowhere.safetensors"}),
        (ArgumentError, "method: the removal is fitted already", {"removal": "x", "method": "offsets"}),
    ]
    for kind, message, given in wrong:
        with pytest.raises(kind, match=message):
            bm.debias(both, toy, out=tmp_path / "out", **given)
    with pytest.raises(VectorsError, match=r"the language of this passage is unknown \(there are no ids\)"):
        bm.debias(both)
    with pytest.raises(VectorsError, match="the id 'x' is of none of the passages of"):
        bm.debias(bm.Vectors(None, passages, passage_ids=["x"] * len(passages)), toy)
    with pytest.raises(VectorsError, match="has 159 vectors, but"):
        bm.debias(bm.Vectors(None, passages[1:]), toy)
    with pytest.raises(VectorsError, match="has 16 values in a vector, but"):
        bm.debias(bm.Vectors(queries, passages[:, :8]), toy)
    with pytest.raises(ConfigError, match="not of packed bits"):
        bm.debias(bm.Vectors(queries, passages, similarity="hamming"), toy)
    with pytest.raises(ArgumentError, match="vectors: are missing"):
        bm.debias(bm.Vectors(None, None), toy)
    with pytest.raises(ArgumentError, match="dtype: is for vectors"):
        bm.debias("e5-small-offline", toy, dtype="float16")
    made = bm.debias(both, toy)
    with pytest.raises(EncoderError, match="dimension 16 that are compared by cosine, and these have 8"):
        bm.debias(bm.Vectors(queries[:, :8], None), toy, removal=made.removal)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("*.npy"))
    (tmp_path / "langs.csv").write_text("lang\n" + "de_DE\nen\n" * 80)
    spelled = bm.debias(bm.Vectors(None, passages), passages_langs=tmp_path / "langs.csv")
    assert spelled.removal.langs == ("de-DE", "en")
    (tmp_path / "langs.csv").write_text("id,lang\na,xx\n")
    with pytest.raises(VectorsError, match="'xx' is no language tag"):
        bm.debias(bm.Vectors(None, passages[:1]), passages_langs=tmp_path / "langs.csv")
    with pytest.raises(VectorsError, match="has 1 rows, but passages has 160 vectors"):
        bm.debias(bm.Vectors(None, passages), passages_langs=tmp_path / "langs.csv")
    with pytest.raises(VectorsError, match="has no language for the id 'b'"):
        bm.debias(bm.Vectors(None, passages[:1], passage_ids=["b"]), passages_langs=tmp_path / "langs.csv")
    for words, message in (
        (["--vectors", "q.npy", "p.npy", "--on", "toy"], "--on: is for encoders"),
        (["e5-small-offline", "-c", "toy"], "--corpus: is for vectors"),
        (["e5-small-offline", "--removal", "x", "--on", "toy"], "--removal: is fitted already"),
        ([], "name an encoder, or files of vectors"),
        (["--export"], "name the folder"),
    ):
        code, _, err = babelmix("debias", *words)
        assert code == 1
        assert message in " ".join(err.split()), err


def test_an_encoder_is_fitted_on_translations_or_gets_a_removal_that_is_there(
    toy: Corpus, tmp_path: Path, tiny_static: Any
) -> None:
    texts = toy.passages["text"].to_pylist()
    offsets = bm.debias(tiny_static, toy, method="offsets", pivot="en", texts=30)
    assert offsets.facts["texts"] == offsets.facts["queries"] == dict.fromkeys(LANGS, 30)
    assert not np.allclose(offsets.encoder.encode(texts), tiny_static.encode(texts))
    half = bm.debias(tiny_static, toy, method="own-means", alpha=0.5)
    assert half.facts["alpha"] == 0.5
    none = bm.debias(tiny_static, toy, method="own-means", alpha=0.0)
    np.testing.assert_allclose(none.encoder.encode(texts), unit(tiny_static.encode(texts)), atol=1e-5)
    vectors = tiny_static.encode(texts)
    fitted = bm.debias(bm.Vectors(None, vectors), toy, out=tmp_path / "fitted")
    made = bm.debias(tiny_static, removal=tmp_path / "fitted", out=tmp_path / "encoder")
    np.testing.assert_allclose(made.encoder.encode(texts), fitted.removal.apply(vectors, None, "passage"), atol=1e-4)
    assert "own-means, alpha 1, 4 languages" in made.lines()[0]
    alone = toy.passages.to_pylist()
    rows = [{**row, "item": f"{row['item']} {row['lang']}"} for row in alone]
    apart = Corpus.from_rows(rows, rows, [(row["item"], row["item"]) for row in rows])
    with pytest.raises(EncoderError, match="has no translations"):
        bm.debias(tiny_static, apart, method="offsets")
    with pytest.raises(ArgumentError, match="on: is missing: babelmix has no removal for"):
        bm.debias(tiny_static)


def test_an_encoder_without_texts_gets_the_removal_that_babelmix_has(
    toy: Corpus, tiny_static: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = bm.debias(bm.Vectors(None, tiny_static.encode(toy.passages["text"].to_pylist())), toy).removal
    monkeypatch.setattr("babelmix.search.removal.shipped_removal", lambda name: fitted)
    made = bm.debias(tiny_static, alpha=0.5)
    assert made.facts["method"] == "own-means"
    assert made.facts["alpha"] == 0.5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        *((f"--store memory://x/y {option}", f"{option.split()[0]} does not go with --store") for option in (
            "--max-seq-length 5", "--batch-size 7", "--trust-code", "--pivot en", "--export",
        )),
        *((f"--index old --out new {option}", f"{option.split()[0]} does not go with --index") for option in (
            "--max-seq-length 5", "--dtype float16", "--validate my.csv",
        )),
        *((f"--vectors q.npy p.npy {option}", f"{option.split()[0]} is for encoders") for option in (
            "--max-seq-length 9", "--batch-size 3", "--trust-code", "--texts 100",
        )),
        *((f"--export folder {option}", f"{option.split()[0]} does not go with --export") for option in (
            "--out other", "--removal other", "--method offsets", "--vectors q.npy", "--json",
        )),
        ("static-e5 --max-seq-length 9", "--max-seq-length is for a fit"),
        ("static-e5 --batch-size 9", "--batch-size is for a fit"),
        ("static-e5 --on my.csv --texts 0", "--texts 0 is too few"),
        ("--index old --out new --removal some --batch-size 9", "--batch-size the removal is fitted already"),
        ("--index old --out new --fit-on some.npy --texts 9", "--texts is for rows that are embedded as queries"),
    ],
)  # fmt: skip
def test_no_option_of_the_command_is_dropped(words: str, said: str) -> None:
    done = CliRunner().invoke(app, ["debias", *words.split()])
    assert isinstance(done.exception, ArgumentError)
    assert said in f"--{done.exception.argument.replace('_', '-')} {done.exception.why}"


def test_lines_of_numpy_have_the_share_that_is_asked_for(toy: Corpus, tmp_path: Path) -> None:
    queries, passages = made_for(toy)
    made = bm.debias(bm.Vectors(queries, passages), toy, out=tmp_path / "out")
    done = CliRunner().invoke(app, ["debias", "--export", str(tmp_path / "out"), "--alpha", "0.3"])
    code: dict[str, Any] = {}
    exec(done.stdout, code)
    np.testing.assert_allclose(
        code["without_language"](passages[:4], ["de", "en", "fr", "ja"], "passage"),
        made.removal.with_alpha(0.3).apply(passages[:4], ["de", "en", "fr", "ja"], "passage"),
        atol=1e-6,
    )
    assert "ALPHA = " in done.stdout
    with pytest.raises(ArgumentError, match="alpha"):
        lines_of_numpy(tmp_path / "out", 3)
    for option in ({"batch_size": 3}, {"max_seq_length": 9}, {"trust_code": True}):
        with pytest.raises(ArgumentError, match=f"{next(iter(option))}.*is for encoders"):
            bm.debias(bm.Vectors(queries, passages), toy, **option)
        with pytest.raises(ArgumentError, match=f"{next(iter(option))}.*is for encoders"):
            bm.frontier(bm.Vectors(queries, passages), toy, **option)  # type: ignore[arg-type]


def test_a_removal_is_put_at_the_end_of_an_encoder_that_compares_alike(tiny_static: Any, toy: Corpus) -> None:
    removal = bm.debias(bm.Vectors(*made_for(toy), similarity="dot"), toy).removal
    with pytest.raises(EncoderError, match=r"compared by dot, and the embeddings of .* are compared by cosine"):
        bm.debias(tiny_static, removal=removal)
