"""Data sets as they are published: what their own files hold that no tidy test data do."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from test_readers import write

from babelmix.corpus import Corpus, open_corpus
from babelmix.errors import AuditError, ReaderError
from babelmix.evaluation import RankTable, rank_table
from babelmix.experiment import compare_audits


def jsonl(folder: Path, name: str, *records: dict) -> None:
    write(folder, name, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def folder(path: Path, documents: list[dict], queries: list[dict], **qrels: str) -> str:
    """A BEIR folder whose files have no language."""
    jsonl(path, "corpus.jsonl", *documents)
    jsonl(path, "queries.jsonl", *queries)
    for split, rows in qrels.items():
        write(path, f"qrels/{split}.tsv", rows)
    return f"beir={path}?lang=en"


def small(path: Path, qrels: str, **fields) -> str:
    documents = [{"_id": f"d{i}", "title": "", "text": f"document {i}", "metadata": {}} | fields for i in range(4)]
    return folder(
        path, documents, [{"_id": f"q{i}", "text": f"query {i}", "metadata": {}} for i in range(3)], test=qrels
    )


def qrels_of(corpus: Corpus) -> list[tuple[str, str, int]]:
    return sorted(tuple(row.values()) for row in corpus.qrels.to_pylist())


HEAD = "query-id\tcorpus-id\tscore\n"


# --- BEIR


def test_a_split_is_the_queries_that_its_qrels_name(tmp_path) -> None:
    documents = [{"_id": str(i), "title": "", "text": f"answer {i}", "metadata": {}} for i in range(5)]
    queries = [{"_id": f"q{i}", "text": f"question {i}", "metadata": {}} for i in range(8)]
    # As FiQA: 6,648 queries in one file, 648 of them in the test part.
    spec = folder(
        tmp_path, documents, queries, test=HEAD + "q6\t1\t1\nq7\t2\t1\nq7\t3\t0\n", train=HEAD + "q0\t0\t1\n",
        dev="".join([HEAD, *(f"q{i}\t{i % 5}\t1\n" for i in range(1, 6))]),
    )  # fmt: skip
    for split, names in (("test", {"q6", "q7"}), ("train", {"q0"}), ("dev", {f"q{i}" for i in range(1, 6)})):
        corpus = open_corpus(f"{spec}&split={split}")
        assert set(corpus.queries["item"].to_pylist()) == names
        assert corpus.passages.num_rows == 5
        assert corpus.meta["left_out"] == {"queries of other splits": 8 - len(names)}
        assert corpus.meta["protocol"] == {"split": split}
    with pytest.raises(
        ReaderError, match="no judgements of the split 'valid'; its splits are dev, test, train: say which"
    ):
        open_corpus(f"{spec}&split=valid")


def test_translations_of_a_judged_query_are_of_its_split(tmp_path) -> None:
    queries = [
        {"_id": name, "item": item, "text": name, "lang": lang}
        for name, item, lang in (("q-en", "q", "en"), ("q-de", "q", "de"), ("r-de", "r", "de"))
    ]
    documents = [{"_id": "d", "text": "text", "lang": "en"}]
    corpus = open_corpus(folder(tmp_path, documents, queries, test="q-en\td\t1\n").partition("?")[0])
    assert sorted(corpus.queries["text"].to_pylist()) == ["q-de", "q-en"]


def test_what_cannot_be_used_is_left_out_and_counted(tmp_path, babelmix) -> None:
    documents = [
        {"_id": "a", "title": None, "text": "no title", "metadata": {"url": "x"}},
        {"_id": "b", "title": "only a title", "text": ""},
        {"_id": "c", "title": "", "text": ""},
        {"_id": "d", "title": " ", "text": None},
        {"_id": 5, "text": "no title field"},
        {"_id": 5, "text": "no title field"},
    ]
    queries = [{"_id": 1, "text": "one"}, {"_id": "2", "text": " "}, {"_id": "3", "text": "three", "lang": None}]
    rows = "1\ta\t1\n1\tb\t2\n1\tc\t1\n2\ta\t1\n3\t5\t1\n3\tnowhere\t1\nnobody\ta\t1\n1\ta\t1\n3\tb\t1\n3\tb\t0\n"
    spec = folder(tmp_path, documents, queries, test=HEAD + rows)
    corpus = open_corpus(spec)
    assert corpus.passages.select(["item", "text", "lang"]).to_pylist() == [
        {"item": "a", "text": "no title", "lang": "en"},
        {"item": "b", "text": "only a title", "lang": "en"},
        {"item": "5", "text": "no title field", "lang": "en"},
    ]
    assert corpus.queries["item"].to_pylist() == ["1", "3"]
    assert qrels_of(corpus) == [("1", "a", 1), ("1", "b", 2), ("3", "5", 1)]
    assert corpus.meta["left_out"] == {
        "repeated judgements": 1, "judgements that a later one contradicts": 1, "empty queries": 1, "empty documents": 2,
        "repeated documents": 1, "judgements of empty documents": 1, "judgements of empty queries": 1,
        "judgements of documents that are nowhere": 1, "judgements of queries that are nowhere": 1,
    }  # fmt: skip
    examples = corpus.meta["left_out_examples"]
    assert examples["empty documents"] == ["corpus.jsonl, row 3: 'c'", "corpus.jsonl, row 4: 'd'"]
    assert examples["judgements of documents that are nowhere"] == ["test.tsv: '3', 'nowhere'"]
    code, out, _ = babelmix("data", spec)
    assert code == 0
    assert "left out: empty documents: 2 (corpus.jsonl, row 3: 'c'; corpus.jsonl, row 4: 'd')" in " ".join(out.split())


@pytest.mark.parametrize(
    "rows",
    [
        f"{HEAD}q0\td0\t2\nq1\td1\t0\nq1\td2\t1\nq2\td3\t-1\n",
        "q0\td0\t2\nq1\td1\t0\nq1\td2\t1\nq2\td3\t-1\n",
        "q0\t0\td0\t2\nq1\t0\td1\t0\nq1\t0\td2\t1\nq2\tQ0\td3\t-1\n",
        "q0 Q0 d0 2\nq1 Q0 d1 0\n\nq1 Q0 d2 1\nq2 Q0 d3 -1\n",
        "query_id\tdoc_id\trelevance\r\nq0\td0\t2.0\r\nq1\td1\t0\r\nq1\td2\t1\r\nq2\td3\t-1\r\n",
    ],
    ids=["header", "none", "trec", "trec with spaces", "another header"],
)
def test_forms_of_qrels(tmp_path, rows: str) -> None:
    corpus = open_corpus(small(tmp_path, rows))
    assert qrels_of(corpus) == [("q0", "d0", 2), ("q1", "d2", 1)]
    assert corpus.queries.num_rows == 3  # a query that only a wrong document is judged for is of the split


def test_packed_files(tmp_path) -> None:
    plain = open_corpus(small(tmp_path, HEAD + "q0\td0\t1\n"))
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        (tmp_path / name).unlink()
    assert open_corpus(f"beir={tmp_path}?lang=en").fingerprint() == plain.fingerprint()
    assert open_corpus(str(tmp_path), lang="en").fingerprint() == plain.fingerprint()


def test_a_missing_language_names_the_option(tmp_path) -> None:
    spec = small(tmp_path, HEAD + "q0\td0\t1\n")
    with pytest.raises(ReaderError, match=rf"queries\.jsonl, row 1, field 'lang': .*beir={tmp_path}\?lang=en"):
        open_corpus(spec.partition("?")[0])
    with pytest.raises(ReaderError, match="the option lang: 'xyz9' is not a BCP 47 language tag"):
        open_corpus(f"{spec[:-2]}xyz9")


def test_a_query_in_its_own_pool(tmp_path) -> None:
    # ArguAna's layout: each query is a document, and its own id names it there.
    documents = [
        {"_id": name, "title": "", "text": f"argument {name}"} for name in ("x-pro", "x-con", "y-pro", "y-con")
    ]
    queries = [{"_id": name, "text": f"argument {name}"} for name in ("x-pro", "y-pro", "y-con")]
    spec = folder(tmp_path, documents, queries, test=HEAD + "x-pro\tx-con\t1\ny-pro\ty-con\t1\ny-con\ty-con\t1\n")
    corpus = open_corpus(spec)
    # What is judged relevant stays, whatever its id.
    assert {tuple(row.values()) for row in corpus.excluded.to_pylist()} == {("x-pro", "x-pro"), ("y-pro", "y-pro")}
    assert "is not in its pool, as in BEIR's own evaluation" in corpus.meta["protocol"]["self"]
    kept = open_corpus(f"{spec}&self=keep")
    assert kept.excluded.num_rows == 0
    assert "is in its pool" in kept.meta["protocol"]["self"]
    vectors = {row["text"]: vector for row, vector in zip(corpus.passages.to_pylist(), np.eye(4), strict=True)}
    sides = [np.array([vectors[t] for t in getattr(corpus, s)["text"].to_pylist()]) for s in ("queries", "passages")]
    # Nothing but the query itself stands before the answer; of equal scores the lower row is first.
    assert rank_table(kept, *sides).rank_in_all().tolist() == [1, 3, 0]
    assert rank_table(corpus, *sides).rank_in_all().tolist() == [0, 2, 0]
    with pytest.raises(ReaderError, match="the option self is exclude or keep, not 'both'"):
        open_corpus(f"{spec}&self=both")


def test_a_folder_of_beir_folders_names_them(tmp_path) -> None:
    for name in ("android", "english"):
        small(tmp_path / "cqadupstack" / name, HEAD + "q0\td0\t1\n")
    with pytest.raises(
        ReaderError, match=r"holds the BEIR folders android, english, each .*beir=.*cqadupstack/android"
    ):
        open_corpus(f"beir={tmp_path / 'cqadupstack'}?lang=en")


# --- mteb


def test_a_query_in_its_own_pool_of_an_mteb_task() -> None:
    from test_mteb_reader import part, task_of

    data = {
        lang: part({"1": f"{lang} one", "2": f"{lang} two", "3": f"{lang} three"}, {"1": f"{lang} one", "3": f"{lang} q"}, {
            "1": {"2": 1}, "3": {"3": 1},
        })
        for lang in ("sw", "ja")
    }  # fmt: skip
    from babelmix.corpus.readers.mteb_task import corpus_of_task

    def excluded(ignored: bool, option: str) -> set[tuple[str, str]]:
        task = task_of("MIRACLRetrieval", data, "dev")
        task.ignore_identical_ids = ignored
        corpus = corpus_of_task(task, self=option)
        assert ("self" in corpus.meta.get("protocol", {})) == bool(corpus.excluded.num_rows)
        return {tuple(row.values()) for row in corpus.excluded.to_pylist()}

    own = {("sw:1", "sw:1"), ("ja:1", "ja:1")}
    assert excluded(True, "") == excluded(False, "exclude") == own
    assert excluded(False, "") == excluded(True, "keep") == set()
    with pytest.raises(ReaderError, match="the option self is exclude or keep, not 'all'"):
        excluded(False, "all")


# --- Wikipedia's passages


def test_miracl_judges_what_is_not_in_its_pool(tmp_path) -> None:
    from test_readers_wikipedia import miracl_folder, packed

    spec = miracl_folder(tmp_path)
    plain = open_corpus(spec, langs=["sw"], check=False)
    place = tmp_path / "miracl-v1.0-sw" / "qrels" / "qrels.miracl-v1.0-sw-dev.tsv"
    # As Yoruba's first judgements did.
    write(tmp_path, str(place.relative_to(tmp_path)), place.read_text() + "1 Q0 23260#4 1\n99 Q0 8#0 1\n")
    empty = packed([{"docid": "77#0", "title": " ", "text": ""}])
    (tmp_path / "miracl-corpus-v1.0-sw" / "docs-99.jsonl.gz").write_bytes(empty)
    corpus = open_corpus(spec, langs=["sw"], check=False)
    assert corpus.fingerprint() == plain.fingerprint()
    assert corpus.meta["left_out"] == {
        "empty passages": 1, "judgements of queries that are nowhere": 1, "judgements of passages that are not in the pool": 1,
    }  # fmt: skip


def test_english_under_two_names(tmp_path) -> None:
    from test_readers_captions import add_pictures

    # As in github.com/visheratin/nllb-clip.
    for name in ("eng_Latn.txt", "eng_captions.txt"):
        write(tmp_path, name, "A dog.\n")
    write(tmp_path, "filenames.txt", "1.jpg\n")
    add_pictures(tmp_path, "1.jpg")
    assert open_corpus(f"flickr30k-200={tmp_path}").queries["text"].to_pylist() == ["A dog."]
    write(tmp_path, "eng_captions.txt", "A cat.\n")
    with pytest.raises(ReaderError, match=r"is in 'en', and so is eng_Latn\.txt; remove one of them"):
        open_corpus(f"flickr30k-200={tmp_path}")


# --- what an audit says of it


def test_an_audit_says_what_was_left_out_and_what_copies_count_as(tmp_path, tiny_static, babelmix) -> None:
    tiny_static.save(str(tmp_path / "encoder"))
    texts = ["rot blau", "gruen gelb", "rot blau", ""]
    documents = [{"_id": name, "text": text} for name, text in zip("abcd", texts, strict=True)]
    queries = [{"_id": name, "text": text} for name, text in (("q", "blau"), ("r", "gelb"), ("b", "gruen"))]
    # "c" is a copy of the answer to q; the document "b" has the id of a query.
    spec = folder(tmp_path / "data", documents, queries, test=HEAD + "q\ta\t1\nr\tb\t1\nb\ta\t1\nr\td\t1\n")
    ranked = {}
    for copies in ("wrong", "relevant", "excluded"):
        out = tmp_path / copies
        code, said, _ = babelmix("audit", str(tmp_path / "encoder"), "-c", spec, "--copies", copies, "--out", str(out))
        assert code == 0
        about = json.loads((out / "metrics.json").read_text())["about"]
        assert about["left_out"] == {"empty documents": 1, "judgements of empty documents": 1}
        assert about["excluded"] == 1
        assert about["copies"] == {"queries": 2, "passages": 1, "pairs": 2, "count_as": copies}
        report = (out / "report.html").read_text()
        for words in (
            "What the pool holds",
            "left out: empty documents",
            "copies of right answers, counted as ",
            "2 of 3",
        ):
            assert words in report
            assert words in " ".join(said.split())
        table = RankTable.load(out)
        ranked[copies] = dict(zip(zip(table.pair_query.tolist(), table.pair_passage.tolist(), strict=True),
                                  table.rank_in_all().tolist(), strict=True))  # fmt: skip
    assert set(ranked["relevant"]) - set(ranked["wrong"]) == {(0, 2), (2, 2)}
    assert set(ranked["excluded"]) == set(ranked["wrong"])
    # Equal vectors: the lower row is first.
    assert ranked["relevant"][0, 2] == ranked["relevant"][0, 0] + 1
    code, _, said = babelmix("audit", str(tmp_path / "encoder"), "-c", spec, "--copies", "right")
    assert (code, said.strip()) == (
        1,
        "error: copies of right answers count as wrong, relevant or excluded, not 'right'",
    )
    with pytest.raises(
        AuditError, match=r"counts copies of right answers as relevant, but .* as wrong; audit both with the same"
    ):
        compare_audits([tmp_path / "wrong", tmp_path / "relevant"])
