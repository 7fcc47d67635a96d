"""MIRACL and Mr. TyDi: Wikipedia passages, a pool a language."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from test_readers import write

from babelmix.corpus import open_corpus, split
from babelmix.errors import ReaderError

DOCS = {
    "sw": [("7#0", "Simba", "Mnyama."), ("7#1", "Simba", "Anakula."), ("8#0", "Samaki", "Majini.")],
    "te": [("7#0", "సింహం", "ఒక జంతువు."), ("9#0", "చేప", "నీటిలో.")],
}
TOPICS = {"sw": "1\tsimba ni nini?\n2\tsamaki yuko wapi?\n", "te": "1\tసింహం అంటే?\n"}
JUDGED = {"sw": "1 Q0 7#0 1\n1\tQ0\t8#0\t0\n1 Q0 7#1 2\n2 Q0 8#0 1\n", "te": "1 Q0 7#0 1\n1 Q0 9#0 0\n"}


def packed(records: list[dict]) -> bytes:
    # Without a time the same records make the same bytes, and tests the same names.
    return gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode(), mtime=0)


def miracl_folder(folder: Path, split: str = "dev") -> str:
    for lang, docs in DOCS.items():
        records = [dict(zip(("docid", "title", "text"), doc, strict=True)) for doc in docs]
        write(folder, f"miracl-corpus-v1.0-{lang}/docs-0.jsonl.gz", packed(records[:1]))
        write(folder, f"miracl-corpus-v1.0-{lang}/docs-10.jsonl.gz", packed(records[2:]))
        write(folder, f"miracl-corpus-v1.0-{lang}/docs-2.jsonl.gz", packed(records[1:2]))
        write(folder, f"miracl-v1.0-{lang}/topics/topics.miracl-v1.0-{lang}-{split}.tsv", TOPICS[lang])
        write(folder, f"miracl-v1.0-{lang}/qrels/qrels.miracl-v1.0-{lang}-{split}.tsv", JUDGED[lang])
    return f"miracl={folder}"


def test_miracl_folder(tmp_path) -> None:
    corpus = open_corpus(miracl_folder(tmp_path), check=False)
    assert corpus.name == "miracl/dev"
    assert corpus.counts().rows() == [("sw", 2, 3), ("te", 1, 2)]
    assert corpus.passages["text"].to_pylist()[:3] == ["Simba Mnyama.", "Simba Anakula.", "Samaki Majini."]
    assert corpus.passages["item"].to_pylist()[2:4] == ["sw/8#0", "te/7#0"]
    assert corpus.passages["group"].to_pylist()[:2] == ["sw/article/7"] * 2
    assert corpus.queries["group"].to_pylist() == corpus.queries["item"].to_pylist() == ["sw/1", "sw/2", "te/1"]
    assert [tuple(row.values()) for row in corpus.qrels.to_pylist()] == [
        ("sw/1", "sw/7#0", 1), ("sw/1", "sw/7#1", 2), ("sw/2", "sw/8#0", 1), ("te/1", "te/7#0", 1),
    ]  # fmt: skip
    assert [tuple(row.values()) for row in corpus.negatives.to_pylist()] == [("sw/1", "sw/8#0"), ("te/1", "te/9#0")]
    assert corpus.meta["evaluation_only"]
    assert corpus.meta["metrics"] == ["nDCG@10", "R@100"]
    assert open_corpus(f"miracl={tmp_path}", check=False, langs=["te"]).langs == ("te",)
    with pytest.raises(ReaderError, match="has no de; it has sw, te"):
        open_corpus(f"miracl={tmp_path}", langs=["de"])
    with pytest.raises(ReaderError, match=r"topics\.miracl-v1\.0-sw-train\.tsv: is missing"):
        open_corpus(f"miracl={tmp_path}", split="train")
    train = open_corpus(miracl_folder(tmp_path, "train"), split="train", check=False)
    assert not train.meta["evaluation_only"]


def test_a_miracl_pool_must_be_whole(tmp_path) -> None:
    with pytest.raises(ReaderError, match=r"miracl-corpus-v1\.0-sw: has 3 passages, but MIRACL has 131,924"):
        open_corpus(miracl_folder(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("topics", "1\tq\n1\tq\n", "row 2, field 'qid': '1' occurs twice"),
        ("topics", "1 q\n", "row 1: has 1 cells, not qid, query"),
        ("topics", "1\t \n", "row 1, field 'query': is empty"),
        ("topics", b"1\tq\n2\t\xff\n", "row 2: is not UTF-8"),
        ("qrels", "3 Q0 7#0 1\n", "no relevant pair .left out: judgements of queries that are nowhere: 1"),
        ("qrels", "1 Q0 7#0\n", "row 1: has 3 cells, not qid, Q0, docid, relevance"),
        ("qrels", "1 Q0 7#0 high\n", "row 1, field 'relevance': 'high' is not a whole number"),
        ("qrels", "1 Q0 7#0 1\n1 Q0 7#0 0\n", "left out: judgements that a later one contradicts: 1"),
        ("qrels", "1 Q0 5#0 1\n", "left out: judgements of passages that are not in the pool: 1"),
        ("qrels", "1 Q0 7#0 0\n", "holds no relevant pair"),
        ("docs", packed([{"docid": "7#0", "title": "t"}]), "row 1, field 'text': is missing"),
        ("docs", packed([{"docid": 7, "title": "t", "text": "x"}]), "row 1, field 'docid': holds 7, but a text"),
        ("docs", packed([{"docid": "8#0", "title": "t", "text": "x"}]), "sw, field 'docid': '8#0' occurs twice"),
        ("docs", gzip.compress(b'{"docid": \n', mtime=0), "row 1: is not JSON"),
        ("docs", packed([{"docid": f"{i}#1", "title": "t", "text": f"{i}"} for i in range(99)])[:-20], "cut short"),
        ("docs", b"no gzip", r"docs-0\.jsonl\.gz.*is damaged or cut short"),
    ],
)
def test_bad_miracl_files(tmp_path, name: str, content, message: str) -> None:
    place = {
        "topics": "miracl-v1.0-sw/topics/topics.miracl-v1.0-sw-dev.tsv",
        "qrels": "miracl-v1.0-sw/qrels/qrels.miracl-v1.0-sw-dev.tsv",
        "docs": "miracl-corpus-v1.0-sw/docs-0.jsonl.gz",
    }[name]
    spec = miracl_folder(tmp_path)
    write(tmp_path, place, content)
    if name == "docs":  # what replaces it lacks a passage that is judged
        write(tmp_path, "miracl-v1.0-sw/qrels/qrels.miracl-v1.0-sw-dev.tsv", "2 Q0 8#0 1\n")
    with pytest.raises(ReaderError, match=message):
        open_corpus(spec, langs=["sw"], check=False)


def test_an_empty_passage_of_miracl_is_left_out(tmp_path) -> None:
    spec = miracl_folder(tmp_path)
    write(tmp_path, "miracl-corpus-v1.0-sw/docs-0.jsonl.gz", packed([{"docid": "7#0", "title": " ", "text": ""}]))
    write(tmp_path, "miracl-v1.0-sw/qrels/qrels.miracl-v1.0-sw-dev.tsv", "2 Q0 8#0 1\n")
    corpus = open_corpus(spec, langs=["sw"], check=False)
    assert corpus.meta["left_out"] == {"empty passages": 1}
    assert "sw/7#0" not in corpus.passages["item"].to_pylist()


def test_miracl_folders_that_are_not(tmp_path) -> None:
    with pytest.raises(ReaderError, match=r"holds no folder miracl-v1\.0-LANG"):
        open_corpus(f"miracl={tmp_path}")
    with pytest.raises(ReaderError, match="is not a folder; MIRACL is"):
        open_corpus(f"miracl={tmp_path}/absent")
    (tmp_path / "miracl-v1.0-sw").mkdir()
    with pytest.raises(ReaderError, match=r"miracl-corpus-v1\.0-sw: holds no passages"):
        open_corpus(f"miracl={tmp_path}")


def test_miracl_from_the_hub(tmp_path, monkeypatch) -> None:
    with pytest.raises(ReaderError, match=r"90 million passages .* option langs"):
        open_corpus("miracl=miracl/miracl")
    with pytest.raises(ReaderError, match="has no xx; it has ar, bn"):
        open_corpus("miracl=miracl/miracl", langs=["xx"])
    with pytest.raises(
        ReaderError, match=r"^miracl/miracl: is no local folder and cannot be loaded from the hub .* or give a folder$"
    ):
        open_corpus("miracl=miracl/miracl", langs=["sw"])
    miracl_folder(tmp_path)
    asked = {}

    def snapshot(name: str, *, repo_type: str, allow_patterns: list[str]) -> str:
        asked[name] = allow_patterns
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert open_corpus("miracl=miracl/miracl", langs=["sw"], check=False).langs == ("sw",)
    assert asked == {
        "miracl/miracl": ["miracl-v1.0-sw/*-dev.tsv"],
        "miracl/miracl-corpus": ["miracl-corpus-v1.0-sw/*.jsonl.gz"],
    }


# --- Mr. TyDi


def passage(docid: str, text: str = "x") -> dict[str, str]:
    return {"docid": docid, "title": f"Title {docid}", "text": text}


def record(query: str, positives: list[str], negatives: list[str]) -> dict:
    return {
        "query_id": query,
        "query": f"what is {query}?",
        "positive_passages": [passage(name) for name in positives],
        "negative_passages": [passage(name) for name in negatives],
    }


RECORDS = [record("1", ["5#1", "6#0"], ["7#0", "7#0", "8#0"]), record("2", ["7#0"], []), record("3", ["6#0"], ["5#2"])]


def mr_tydi_folder(folder: Path, records: list[dict] = RECORDS, split: str = "train") -> str:
    write(folder, f"mrtydi-v1.1-swahili/{split}.jsonl.gz", packed(records))
    return f"mr-tydi={folder}"


def test_mr_tydi_folder(tmp_path) -> None:
    spec = mr_tydi_folder(tmp_path)
    write(tmp_path, "mrtydi-v1.1-korean/train.jsonl.gz", packed(RECORDS[:1]))
    corpus = open_corpus(spec)
    assert corpus.name == "mr-tydi/train"
    assert not corpus.meta["evaluation_only"]
    assert corpus.langs == ("ko", "sw")
    corpus = corpus.only_langs(["sw"])
    assert corpus.passages["item"].to_pylist() == ["sw/5#1", "sw/6#0", "sw/7#0", "sw/5#2"]
    assert corpus.passages["text"].to_pylist()[0] == "Title 5#1 x"
    assert corpus.queries["group"].to_pylist() == ["sw/article/5", "sw/article/7", "sw/article/6"]
    assert [tuple(row.values()) for row in corpus.negatives.to_pylist()] == [("sw/1", "sw/7#0"), ("sw/3", "sw/5#2")]
    assert open_corpus(spec, negatives=0, langs=["sw"]).negatives.num_rows == 0
    many = open_corpus(spec, negatives=9, langs=["sw"])
    assert many.negatives["passage_item"].to_pylist() == ["sw/7#0", "sw/8#0", "sw/5#2"]
    with pytest.raises(ReaderError, match="has no de; it has ko, sw"):
        open_corpus(spec, langs=["de"])
    mr_tydi_folder(tmp_path, [record("1", ["5#1"], [])], "dev")
    assert open_corpus(spec, split="dev").meta["evaluation_only"]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([record("1", ["5#1"], []), record("1", ["5#1"], [])], "row 2, field 'query_id': '1' occurs twice"),
        (
            [record("1", [], []) | {"positive_passages": [passage("5#1", "\udfff")]}],
            "row 1, field 'text': holds half a character",
        ),
        ([record("1", [], [])], "no relevant pair .left out: queries without a relevant passage: 1"),
        ([record("1", ["5#1"], []) | {"query": " "}], "row 1, field 'query': is empty"),
        ([record("1", ["5#1"], []) | {"negative_passages": None}], "field 'negative_passages': is missing"),
        ([record("1", ["5#1"], []) | {"positive_passages": ["5#1"]}], "row 1, field 'docid': is missing"),
        (
            [record("1", ["5#1"], []), record("2", [], []) | {"positive_passages": [passage("5#1", "y")]}],
            "row 2: passage '5#1' has another text",
        ),
    ],
)
def test_bad_mr_tydi_records(tmp_path, records: list[dict], message: str) -> None:
    with pytest.raises(ReaderError, match=message):
        open_corpus(mr_tydi_folder(tmp_path, records))


def test_mr_tydi_sources_that_are_not(tmp_path, monkeypatch) -> None:
    with pytest.raises(ReaderError, match=r"holds no file such as mrtydi-v1\.1-english/train\.jsonl\.gz"):
        open_corpus(f"mr-tydi={tmp_path}")
    with pytest.raises(ReaderError, match="there is no split 'all'; there are train, dev, test"):
        open_corpus(f"mr-tydi={tmp_path}", split="all")
    with pytest.raises(ReaderError, match=r"^castorini/mr-tydi: is no local folder and cannot be loaded from the hub"):
        open_corpus("mr-tydi=castorini/mr-tydi")
    write(tmp_path, "mrtydi-v1.1-thai/train.jsonl.gz", packed(RECORDS)[:60])
    with pytest.raises(ReaderError, match=r"cut short .* download it again"):
        open_corpus(f"mr-tydi={tmp_path}")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: mr_tydi_folder(tmp_path).split("=")[1])
    assert open_corpus("mr-tydi=castorini/mr-tydi", langs=["sw"]).queries.num_rows == 3


def test_a_split_of_mr_tydi_keeps_queries_with_their_passages(tmp_path) -> None:
    records = [record(str(i), [f"{i}#0"], [f"{i}#1"]) for i in range(60)]
    parts = split(open_corpus(mr_tydi_folder(tmp_path, records)), {"train": 0.5, "test": 0.5})
    assert sum(part.qrels.num_rows for part in parts.values()) == 60
    assert sum(part.negatives.num_rows for part in parts.values()) == 60  # of the same articles here
