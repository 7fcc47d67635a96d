"""mMARCO: the first pairs of many triples, in parallel languages."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_readers import write

from babelmix.corpus import open_corpus, split
from babelmix.corpus.readers import mmarco
from babelmix.errors import ReaderError

TRIPLES = "1\t10\t90\n2\t20\t91\n1\t10\t92\n1\t11\t90\n2\t20\t91\n3\t20\t93\n1\t10\t94\n"


def folder_of(folder: Path, langs: tuple[str, ...] = ("english", "german"), triples: str = TRIPLES) -> str:
    write(folder, "data/triples.train.ids.small.tsv", triples)
    for lang in langs:
        queries = "".join(f"{i}\tquery {i} in {lang}\n" for i in (3, 2, 1, 7))
        passages = "".join(f"{i}\tpassage {i} in {lang}\twith a tab\n" for i in (10, 11, 20, 90, 91, 92, 93, 94, 99))
        write(folder, f"data/google/queries/train/{lang}_queries.train.tsv", queries)
        write(folder, f"data/google/collections/{lang}_collection.tsv", passages)
    return f"mmarco={folder}"


def pairs(table) -> list[tuple[str, str]]:
    return [(row["query_item"], row["passage_item"]) for row in table.to_pylist()]


def test_mmarco_folder(tmp_path) -> None:
    corpus = open_corpus(folder_of(tmp_path))
    assert corpus.langs == ("de", "en")
    assert pairs(corpus.qrels) == [("q1", "p10"), ("q2", "p20"), ("q1", "p11"), ("q3", "p20")]
    assert pairs(corpus.negatives) == [("q1", "p90"), ("q2", "p91"), ("q3", "p93")]
    assert corpus.counts().rows() == [("de", 3, 6), ("en", 3, 6)]  # 92, 94 and 99 are not used
    assert "query 1 in german" in corpus.queries["text"].to_pylist()
    assert "passage 10 in english\twith a tab" in corpus.passages["text"].to_pylist()
    groups = {(row["item"], row["lang"]): row["group"] for row in corpus.passages.to_pylist()}
    assert {groups[item, lang] for item in ("p10", "p11", "p90") for lang in corpus.langs} == {"q1"}
    assert (groups["p20", "de"], groups["p93", "de"]) == ("q2", "q3")
    assert corpus.meta["machine_made"] == ["de"]
    assert not corpus.meta.get("evaluation_only")
    assert open_corpus(f"mmarco={tmp_path}", langs=["de"]).langs == ("de",)


def test_pairs_and_negatives_are_taken_in_the_order_of_the_file(tmp_path) -> None:
    spec = folder_of(tmp_path)
    two = open_corpus(spec, pairs=2, negatives=2)
    assert pairs(two.qrels) == [("q1", "p10"), ("q2", "p20")]
    assert pairs(two.negatives) == [("q1", "p90"), ("q1", "p92"), ("q2", "p91")]
    none = open_corpus(spec, pairs=0, negatives=0)
    assert (none.qrels.num_rows, none.negatives.num_rows) == (4, 0)
    for value in ("many", 1.5, True, -1):
        with pytest.raises(ReaderError, match=f"the option pairs .* is a whole number from 0 on, not {value!r}"):
            open_corpus(spec, pairs=value)


def test_reading_stops_when_there_is_enough() -> None:
    read = []

    def triples():
        for number in range(1, 100):
            read.append(number)
            yield number, [str(number % 10), str(number % 10 + 100), str(number + 1000)]

    taken = mmarco.take_pairs(triples(), 3, 1)
    assert (len(taken), len(read)) == (3, 3)
    assert mmarco.take_pairs(triples(), 3, 2)["1", "101"] == ["1001", "1011"]
    assert len(read) == 3 + 13
    assert len(mmarco.take_pairs(triples(), 0, 1)) == 10


def test_a_split_tears_no_query_from_its_passages(tmp_path) -> None:
    folder_of(tmp_path, triples="".join(f"{i}\t{i}\t{i + 100}\n" for i in range(60)))
    write(tmp_path, "data/google/queries/train/english_queries.train.tsv", "".join(f"{i}\tq {i}\n" for i in range(60)))
    write(tmp_path, "data/google/collections/english_collection.tsv", "".join(f"{i}\tp {i}\n" for i in range(160)))
    parts = split(open_corpus(f"mmarco={tmp_path}", langs=["en"]), {"train": 0.5, "test": 0.5})
    assert sum(part.qrels.num_rows for part in parts.values()) == 60
    assert sum(part.negatives.num_rows for part in parts.values()) == 60


def test_what_is_dropped_is_counted(tmp_path) -> None:
    folder_of(tmp_path, ("english", "french"), "1\t10\t90\n2\t20\t10\n2\t10\t91\n")
    for lang in ("english", "french"):
        write(
            tmp_path, f"data/google/collections/{lang}_collection.tsv",
            f"10\tten\n20\t \n90\t{'ninety' if lang == 'english' else ''}\n91\tx\n",
        )  # fmt: skip
    corpus = open_corpus(f"mmarco={tmp_path}")
    assert pairs(corpus.qrels) == [("q1", "p10"), ("q2", "p10")]  # 20 is empty in both languages
    assert pairs(corpus.negatives) == [("q1", "p90"), ("q2", "p91")]
    assert corpus.meta["left_out"] == {"empty translations": 3, "pairs without a text": 1}
    write(tmp_path, "data/triples.train.ids.small.tsv", "2\t91\t10\n2\t10\t91\n")
    corpus = open_corpus(f"mmarco={tmp_path}")
    assert corpus.negatives.num_rows == 0
    assert corpus.meta["left_out"]["negatives that are relevant"] == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("triples.train.ids.small.tsv", "1\t10\n", "row 1: has 2 cells, not query, relevant passage, other passage"),
        ("triples.train.ids.small.tsv", "", "holds no relevant pair"),
        ("google/collections/german_collection.tsv", "10\tx\n10\ty\n", "row 2, field 'id': '10' occurs twice"),
        ("google/collections/german_collection.tsv", "10\tx\n", "holds no text of 5 ids of the triples, such as '11'"),
        ("google/collections/german_collection.tsv", "10 x\n", "row 1: has 1 cells, not id, text"),
        ("google/queries/train/german_queries.train.tsv", b"1\t\xff\n", "row 1: is not UTF-8"),
    ],
)
def test_bad_mmarco_files(tmp_path, name: str, content, message: str) -> None:
    spec = folder_of(tmp_path)
    write(tmp_path, f"data/{name}", content)
    with pytest.raises(ReaderError, match=message):
        open_corpus(spec)


def test_mmarco_sources_that_are_not(tmp_path, monkeypatch) -> None:
    with pytest.raises(ReaderError, match=r"holds no file such as data.google.collections.english_collection\.tsv"):
        open_corpus(f"mmarco={tmp_path}")
    with pytest.raises(ReaderError, match="download of gigabytes; name languages with the option langs"):
        open_corpus("mmarco=unicamp-dl/mmarco")
    with pytest.raises(ReaderError, match="has no th; it has ar, de"):
        open_corpus("mmarco=unicamp-dl/mmarco", langs=["th"])
    with pytest.raises(ReaderError, match=r"^unicamp-dl/mmarco: is no local folder and cannot be loaded from the hub"):
        open_corpus("mmarco=unicamp-dl/mmarco", langs=["de"])
    folder_of(tmp_path)
    asked = []

    def snapshot(name: str, *, repo_type: str, allow_patterns: list[str]) -> str:
        asked.extend(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert open_corpus("mmarco=unicamp-dl/mmarco", langs=["de"]).langs == ("de",)
    assert asked == [
        "data/triples.train.ids.small.tsv",
        "data/google/queries/train/german_queries.train.tsv",
        "data/google/collections/german_collection.tsv",
    ]
    (tmp_path / "data/google/queries/train/german_queries.train.tsv").unlink()
    with pytest.raises(ReaderError, match=r"german_queries\.train\.tsv: is missing"):
        open_corpus(f"mmarco={tmp_path}")
