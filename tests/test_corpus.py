"""The data model, its storage and its splits."""

from __future__ import annotations

import importlib
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from conftest import parallel_corpus, sparse_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from babelmix._files import replacing_folder
from babelmix.corpus import (
    Corpus,
    find_language,
    from_datasets,
    from_hub,
    is_language_tag,
    open_corpus,
    push_to_hub,
    split,
    to_datasets,
)
from babelmix.errors import BabelmixError, ConfigError, CorpusError, ReaderError


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_saved_corpus_is_the_same(tmp_path, corpus: Corpus, format: str) -> None:
    corpus = corpus.named("toy", licence="none")
    corpus.save(tmp_path / "c", format=format)
    loaded = Corpus.load(tmp_path / "c")
    assert loaded.fingerprint() == corpus.fingerprint()
    assert (loaded.name, loaded.meta) == ("toy", {"licence": "none"})
    assert open_corpus(str(tmp_path / "c")).fingerprint() == corpus.fingerprint()
    corpus.only_langs(["de"]).save(tmp_path / "c", format=format)
    assert Corpus.load(tmp_path / "c").langs == ("de",)
    assert [p.name for p in tmp_path.iterdir()] == ["c"]  # nothing temporary is left


def test_arrow_files_are_memory_mapped(tmp_path, corpus: Corpus) -> None:
    corpus.save(tmp_path / "c", format="arrow")
    before = pa.total_allocated_bytes()
    table = pa.ipc.open_file(pa.memory_map(str(tmp_path / "c" / "passages.arrow"))).read_all()
    assert pa.total_allocated_bytes() == before
    assert table.equals(corpus.passages)


def test_datasets_both_ways(tmp_path, corpus: Corpus) -> None:
    datasets = to_datasets(corpus)
    assert set(datasets) == {"queries", "passages", "qrels"}
    assert from_datasets(datasets).fingerprint() == corpus.fingerprint()
    datasets.save_to_disk(str(tmp_path / "d"))
    from datasets import load_from_disk

    assert from_datasets(load_from_disk(str(tmp_path / "d"))).fingerprint() == corpus.fingerprint()
    del datasets["qrels"]
    with pytest.raises(ReaderError, match="no split 'qrels'"):
        from_datasets(datasets)


def test_a_damaged_folder_is_named(tmp_path, corpus: Corpus) -> None:
    corpus.save(tmp_path / "c")
    (tmp_path / "c" / "qrels.parquet").unlink()
    with pytest.raises(ReaderError, match=r"qrels\.parquet is missing"):
        Corpus.load(tmp_path / "c")
    # As earlier versions left it.
    (tmp_path / "c" / "checksums.json").unlink()
    with pytest.raises(ReaderError, match=r"qrels\.parquet or qrels\.arrow is missing"):
        Corpus.load(tmp_path / "c")
    (tmp_path / "c" / "qrels.parquet").write_bytes(b"not parquet")
    with pytest.raises(ReaderError, match="cannot be read as a corpus"):
        Corpus.load(tmp_path / "c")
    (tmp_path / "c" / "corpus.json").write_text("{")
    with pytest.raises(ReaderError, match="cannot be read as a corpus"):
        Corpus.load(tmp_path / "c")
    with pytest.raises(ReaderError, match="not a babelmix corpus"):
        Corpus.load(tmp_path)


ROW = {"item": "a", "lang": "en", "text": "x"}


@pytest.mark.parametrize(
    ("queries", "passages", "qrels", "message"),
    [
        ([ROW], [ROW], [("a", "b")], "qrels, row 1, column 'passage_item': item 'b' has no row in passages"),
        ([ROW], [ROW], [("b", "a")], "qrels, row 1, column 'query_item': item 'b' has no row in queries"),
        ([ROW], [ROW], [("a", "a"), ("a", "a")], "listed more than once"),
        ([ROW | {"lang": "english"}], [ROW], [("a", "a")], "'english' is not a BCP 47"),
        ([ROW | {"lang": "pt_BR"}], [ROW], [("a", "a")], "did you mean 'pt-BR'"),
        ([ROW | {"text": " \n "}], [ROW], [("a", "a")], "queries, row 1, column 'text': is empty"),
        ([ROW], [ROW, ROW | {"text": None}], [("a", "a")], "passages, row 2, column 'text': is empty"),
    ],
)
def test_broken_corpora_are_refused(queries, passages, qrels, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        Corpus.from_rows(queries, passages, qrels)


def test_a_missing_column_is_named(corpus: Corpus) -> None:
    with pytest.raises(CorpusError, match="queries: column 'group' is missing"):
        Corpus(corpus.queries.drop_columns(["group"]), corpus.passages, corpus.qrels)
    with pytest.raises(CorpusError, match="qrels: column 'query_item' is missing"):
        Corpus(corpus.queries, corpus.passages, corpus.qrels.drop_columns(["query_item"]))


@pytest.mark.parametrize(
    ("negatives", "message"),
    [
        ([("a", "c")], "negatives, row 1, column 'passage_item': item 'c' has no row in passages"),
        ([("a", "b"), ("c", "b")], "negatives, row 2, column 'query_item': item 'c' has no row in queries"),
        ([("a", "b"), ("a", "b")], "negatives, row 1: the pair 'a', 'b' is listed more than once"),
        ([("a", "b"), ("a", "a")], "negatives, row 2: the pair 'a', 'a' is also in qrels"),
    ],
)
def test_broken_negatives_are_refused(negatives, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        Corpus.from_rows([ROW], [ROW, ROW | {"item": "b"}], [("a", "a")], negatives=negatives)


def test_negatives_are_a_table_of_two_texts(corpus: Corpus) -> None:
    assert corpus.negatives.num_rows == 0
    assert corpus.negatives.column_names == ["query_item", "passage_item"]
    with pytest.raises(CorpusError, match="negatives: column 'passage_item' is missing"):
        Corpus(corpus.queries, corpus.passages, corpus.qrels, negatives=corpus.negatives.select(["query_item"]))
    numbers = pa.table({"query_item": [[1]], "passage_item": [[2]]})
    with pytest.raises(CorpusError, match="negatives: cannot be read as two items"):
        Corpus(corpus.queries, corpus.passages, corpus.qrels, negatives=numbers)


def with_negatives(corpus: Corpus, pairs: list[tuple[int, int]]) -> Corpus:
    """The corpus with the negatives (item of the query, item of the passage), its own pairs and repetitions left out."""
    kept = dict.fromkeys(pair for pair in pairs if pair[0] != pair[1])
    columns = {name: [f"i{pair[i]}" for pair in kept] for i, name in enumerate(("query_item", "passage_item"))}
    schema = pa.schema([(name, pa.string()) for name in columns])
    return Corpus(
        corpus.queries, corpus.passages, corpus.qrels, corpus.name, corpus.meta, pa.table(columns, schema=schema)
    )


def test_negatives_go_where_the_corpus_goes(corpus: Corpus) -> None:
    some = with_negatives(corpus, [(0, 1), (0, 7), (3, 0)])
    assert some.fingerprint() != corpus.fingerprint()
    assert "3 negatives" in repr(some)
    assert some.named("other", note=1).negatives.equals(some.negatives)
    assert some.only_langs(["de"]).negatives.equals(some.negatives)
    assert some.only_groups(["g0"]).negatives.to_pylist() == [{"query_item": "i0", "passage_item": "i1"}]
    assert some.reversed().negatives["query_item"].to_pylist() == ["i1", "i7", "i0"]
    assert some.reversed().reversed().fingerprint() == some.fingerprint()


@settings(max_examples=25, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=30),
    format=st.sampled_from(["parquet", "arrow"]),
    seed=st.integers(0, 1000),
)
def test_negatives_survive_storage_and_splits(tmp_path_factory, pairs, format: str, seed: int) -> None:
    plain = parallel_corpus()
    corpus = with_negatives(plain, pairs)
    folder = tmp_path_factory.mktemp("negatives") / "c"
    corpus.save(folder, format=format)
    assert (folder / f"negatives.{format}").exists() == (corpus.negatives.num_rows > 0)
    assert (corpus.fingerprint() == plain.fingerprint()) == (corpus.negatives.num_rows == 0)
    assert Corpus.load(folder).negatives.equals(corpus.negatives)
    assert Corpus.load(folder).fingerprint() == corpus.fingerprint()
    assert from_datasets(to_datasets(corpus)).fingerprint() == corpus.fingerprint()
    try:
        parts = split(corpus, {"train": 0.5, "test": 0.5}, seed=seed)
    except ConfigError:
        return  # all groups fell on one side
    for name, part in split(plain, {"train": 0.5, "test": 0.5}, seed=seed).items():
        assert parts[name].queries.equals(part.queries)  # negatives tie no groups together
        items = set(part.queries["item"].to_pylist())
        expected = [row for row in corpus.negatives.to_pylist() if {*row.values()} <= items]
        assert parts[name].negatives.to_pylist() == expected


@pytest.mark.parametrize("pairs", [[], [(0, 1)]])
def test_a_hub_repository_holds_negatives_or_not(tmp_path, monkeypatch, corpus: Corpus, pairs) -> None:
    corpus = with_negatives(corpus, pairs)
    pushed: list[str] = []
    removed: list[str] = []

    def push(dataset, repository: str, *, config_name: str, split: str, private: bool) -> None:
        pushed.append(config_name)
        dataset.to_parquet(f"{repository}/{config_name}/{split}.parquet")

    monkeypatch.setattr("datasets.Dataset.push_to_hub", push)
    hub = importlib.import_module("datasets.hub")  # not what the attribute `datasets.hub` is
    monkeypatch.setattr(hub, "delete_from_hub", lambda repository, name: removed.append(name))
    tables = ["queries", "passages", "qrels", *(["negatives"] if pairs else [])]
    configurations = [
        f"- config_name: {name}\n  data_files:\n  - split: {name}\n    path: {name}/*.parquet\n" for name in tables
    ]
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n{''.join(configurations)}---\n")
    for name in tables:
        (tmp_path / name).mkdir()
    push_to_hub(corpus, str(tmp_path))
    assert (pushed, removed) == (tables, [])
    assert from_hub(str(tmp_path)).fingerprint() == corpus.fingerprint()
    monkeypatch.setattr("datasets.get_dataset_config_names", lambda repository: [*tables, "negatives"])
    push_to_hub(corpus, str(tmp_path))
    assert removed == ([] if pairs else ["negatives"])


def test_a_hub_that_does_not_answer_is_one_sentence() -> None:
    with pytest.raises(ReaderError, match="nobody/nothing: cannot be loaded from the hub"):
        from_hub("nobody/nothing")


def test_reversed_swaps_the_sides(corpus: Corpus) -> None:
    back = corpus.reversed()
    assert back.queries.equals(corpus.passages)
    assert back.qrels["query_item"].to_pylist() == corpus.qrels["passage_item"].to_pylist()
    assert back.reversed().queries.equals(corpus.queries)
    assert back.reversed().fingerprint() == corpus.fingerprint()


def test_only_some_languages(corpus: Corpus) -> None:
    assert corpus.only_langs(["de", "ja"]).langs == ("de", "ja")
    with pytest.raises(CorpusError, match="has no xx"):
        corpus.only_langs(["xx"])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), items=st.integers(30, 80))
def test_a_split_keeps_groups_whole_and_loses_nothing(seed: int, items: int) -> None:
    corpus = parallel_corpus(items, group_size=3)
    try:
        parts = split(corpus, {"train": 0.5, "test": 0.5}, seed=seed)
    except ConfigError:
        return  # all groups fell on one side
    groups = [{*p.queries["group"].to_pylist(), *p.passages["group"].to_pylist()} for p in parts.values()]
    assert not groups[0] & groups[1]
    assert sum(p.queries.num_rows for p in parts.values()) == corpus.queries.num_rows
    assert sum(p.qrels.num_rows for p in parts.values()) == corpus.qrels.num_rows


def test_a_split_keeps_groups_that_a_qrel_joins() -> None:
    queries = [{"item": f"q{i}", "lang": "en", "text": f"q {i}", "group": f"q{i}"} for i in range(60)]
    passages = [{"item": f"p{i}", "lang": "en", "text": f"p {i}", "group": f"p{i}"} for i in range(60)]
    qrels = [(f"q{i}", f"p{i}") for i in range(60)] + [(f"q{i}", f"p{i + 1}") for i in range(0, 60, 4)]
    corpus = Corpus.from_rows(queries, passages, qrels)
    parts = split(corpus, {"a": 0.4, "b": 0.3, "c": 0.3})
    assert sum(p.qrels.num_rows for p in parts.values()) == len(qrels)


def test_a_growing_corpus_moves_no_group() -> None:
    small, large = parallel_corpus(40), parallel_corpus(80)
    before = split(small, {"train": 0.7, "test": 0.3})["test"].queries["group"].to_pylist()
    after = split(large, {"train": 0.7, "test": 0.3})["test"].queries["group"].to_pylist()
    assert set(before) == {g for g in after if int(g[1:]) < 20}


@pytest.mark.parametrize("parts", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}])
def test_bad_shares_are_refused(corpus: Corpus, parts: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="sum to 1"):
        split(corpus, parts)


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot be split: its part .* has \d groups for the shares"):
        split(parallel_corpus(2), {"a": 0.001, "b": 0.999})


def test_other_files_are_not_replaced(tmp_path, corpus: Corpus) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years")
    (tmp_path / "file").write_text("x")
    for place, message in ((tmp_path / "precious", "holds other files"), (tmp_path / "file", "is a file")):
        with pytest.raises(BabelmixError, match=message):
            corpus.save(place)
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years"
    (tmp_path / "empty").mkdir()
    corpus.save(tmp_path / "empty")
    assert Corpus.load(tmp_path / "empty").fingerprint() == corpus.fingerprint()


def test_two_processes_make_one_cached_folder(tmp_path) -> None:
    with replacing_folder(tmp_path / "c", ["m"], keep_existing=True) as slow:
        (slow / "m").write_text("slow")
        with replacing_folder(tmp_path / "c", ["m"], keep_existing=True) as fast:
            (fast / "m").write_text("fast")
    assert (tmp_path / "c" / "m").read_text() == "fast"
    with replacing_folder(tmp_path / "c", ["m"]) as later:
        (later / "m").write_text("later")
    assert (tmp_path / "c" / "m").read_text() == "later"
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_fingerprints_tell_corpora_apart(corpus: Corpus) -> None:
    rng = np.random.default_rng(0)
    others = [corpus.only_langs(["de", "en"]), corpus.reversed(), sparse_corpus(rng, 10, ("de", "en"), 1.0)]
    assert len({c.fingerprint() for c in [corpus, *others]}) == 4


def test_parts_of_a_column_change_nothing(monkeypatch, corpus: Corpus) -> None:
    whole = with_negatives(corpus, [(0, 1), (5, 6)]).fingerprint()
    monkeypatch.setattr("babelmix.corpus.schema.ROWS_AT_ONCE", 7)
    assert with_negatives(corpus, [(0, 1), (5, 6)]).fingerprint() == whole
    texts = corpus.queries["text"].to_pylist()
    texts[23] = " "
    blank = corpus.queries.set_column(2, "text", pa.array(texts))
    with pytest.raises(CorpusError, match="queries, row 24, column 'text': is empty"):
        Corpus(blank, corpus.passages, corpus.qrels)


def test_languages() -> None:
    assert is_language_tag("zh-TW")
    assert is_language_tag("zxx")
    assert not is_language_tag("xx-notalang")
    assert find_language("en", ["de", "en-US"]) == "en-US"
    assert find_language("en", ["en", "en-US"]) == "en"
    assert find_language("en", ["en-GB", "en-US"]) is None


def test_importing_corpus_is_light() -> None:
    heavy = ("PIL", "datasets", "langcodes", "pydantic", "rich", "scipy", "torch", "transformers")
    code = f"import sys, babelmix.corpus; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
