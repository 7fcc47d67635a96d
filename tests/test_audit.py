"""An audit's folder: what is written, what is read again, and when it counts as finished."""

from __future__ import annotations

import copy
import json
import tracemalloc
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import parallel_corpus
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer

from babelmix.corpus import Corpus
from babelmix.errors import AuditError, ConfigError
from babelmix.evaluation import Audit, RankTable, audit
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.ranks import numbered
from babelmix.evaluation.run import finished, is_finished
from babelmix.evaluation.systems import EncoderSystem
from babelmix.evaluation.tokens import tokens_of


@pytest.mark.parametrize("grades", [[1], [3], [1, 2]])
def test_a_loaded_table_is_the_saved_one(table: RankTable, tmp_path: Path, grades: list[int]) -> None:
    # Languages in an order that their queries do not have.
    saved = replace(
        table,
        pair_grade=np.resize(np.array(grades), len(table.pair_query)),
        query_lang=np.array([2, 1, 2, 0, 0, 1]),
        about={"encoder": "Käse", "n": 1},
    )
    saved.save(tmp_path)
    assert ("grade" in pq.read_schema(tmp_path / "ranks.parquet").names) == (grades != [1])
    loaded = RankTable.load(tmp_path)
    for field in fields(RankTable):
        was, found = getattr(saved, field.name), getattr(loaded, field.name)
        assert type(was) is type(found), field.name
        assert np.array_equal(was, found), field.name
        assert getattr(was, "dtype", None) == getattr(found, "dtype", None), field.name


def test_folders_that_are_no_audit_say_so(table: RankTable, tmp_path: Path) -> None:
    for missing in ("ranks.parquet", "queries.parquet"):
        table.save(tmp_path)
        (tmp_path / missing).unlink()
        with pytest.raises(AuditError, match=f"is not a finished audit \\(there is no {missing}\\)"):
            RankTable.load(tmp_path)
    table.save(tmp_path)
    other = pq.read_table(tmp_path / "queries.parquet").drop(["group"])
    pq.write_table(other, tmp_path / "queries.parquet")
    with pytest.raises(AuditError, match="files are damaged"):
        RankTable.load(tmp_path)


def test_files_of_two_audits_are_no_audit(table: RankTable, tmp_path: Path) -> None:
    for folder, encoder in (("before", "x"), ("after", "y")):
        # A number that is none is kept too, and is not equal to itself.
        replace(table, about={"encoder": encoder, "n": float("nan")}).save(tmp_path / folder)
        assert RankTable.load(tmp_path / folder).about.encoder == encoder
    (tmp_path / "after" / "ranks.parquet").replace(tmp_path / "before" / "ranks.parquet")
    with pytest.raises(AuditError, match="are of two audits, as the second was stopped"):
        Audit.load(tmp_path / "before")
    with pytest.raises(AuditError, match=r"there is no ranks\.parquet"):
        Audit.load(tmp_path / "after")


def test_a_long_name_is_held_once(table: RankTable) -> None:
    names = table.query_group.copy()
    names[names == "b"] = "b" * (1 << 22)
    long = replace(table, query_item=names, query_group=names, cutoffs=(3, 10))
    tracemalloc.start()
    try:
        found = Audit.of(long).summary()
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()
    short = replace(table, query_item=table.query_group, cutoffs=(3, 10))
    assert json.dumps(found) == json.dumps(Audit.of(short).summary())


@given(st.lists(st.text("aZé猫😀﷐ ", max_size=3)))
def test_names_are_numbered_in_their_order(names: list[str]) -> None:
    found = numbered(np.array(names, dtype=object))
    assert found.dtype == np.int64
    assert found.tolist() == [sorted(set(names)).index(name) for name in names]


def test_the_summary_says_what_the_audit_found(table: RankTable, tmp_path: Path) -> None:
    done = Audit.of(replace(table, top=table.top[:, [0, 0, 1]], cutoffs=(3, 10, 20), about={"encoder": "x"}), ["MRR"])
    done.save(tmp_path)
    summary = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert summary == json.loads(json.dumps(done.summary()))
    assert {key: summary[key] for key in ("about", "level", "resamples", "groups")} == {
        "about": {"encoder": "x"}, "level": 0.95, "resamples": 1000, "groups": 3,
    }  # fmt: skip
    assert (summary["query_langs"], summary["passage_langs"]) == (["de", "en", "fr"], ["de", "en", "it"])
    assert summary["pool_sizes"] == [6, 4, 2]
    assert summary["language_share@10"] == [[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3], [0, 1, 0]]
    assert summary["crowding"][2] == [[2, 1, 0], [1, 0, 0], [None, None, None]]
    assert set(summary["macro"]) == set(summary["cells"]) == set(done.measures)
    macro = summary["macro"]["multi/MRR"]
    assert macro["value"] == done.macro("multi/MRR") == pytest.approx((11 / 18 + 1 + 1 / 2) / 3)
    assert macro["low"] <= macro["value"] <= macro["high"]
    assert {cell: e["value"] for cell, e in summary["cells"]["mono/MRR"].items()} == {"de": 0.5, "en": 1.0}
    with pytest.raises(AuditError, match="this audit has no mono/mAP"):
        done.macro("mono/mAP")
    assert "mono/R@1" in Audit.load(tmp_path, ["R@1"]).measures
    assert "mono/nDCG@10" in Audit.load(tmp_path).measures


def test_an_audit_is_finished_if_all_its_facts_are_those_asked_for(table: RankTable, tmp_path: Path) -> None:
    about = {"encoder": "x", "prompts": {"query": "q: "}, "langs": ("de", "en")}
    assert not is_finished(tmp_path, about)
    Audit.of(replace(table, cutoffs=(3, 10), about=about | {"more": 1})).save(tmp_path)
    assert is_finished(tmp_path, about)
    assert is_finished(tmp_path, {})
    for other in ({"encoder": "y"}, {"prompts": {}}, {"langs": ["de"]}, {"new": 1}):
        assert not is_finished(tmp_path, about | other)
    for text in ("{", "[]", "{}", '{"about": 1}', '{"about": null}'):
        (tmp_path / "metrics.json").write_text(text)
        assert not is_finished(tmp_path, about)


def test_a_kill_while_writing_leaves_no_finished_audit(table: RankTable, tmp_path: Path, monkeypatch) -> None:
    done = Audit.of(replace(table, cutoffs=(3, 10)))
    done.save(tmp_path)
    assert is_finished(tmp_path, {})

    def killed(self: RankTable, folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RankTable, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        done.save(tmp_path)
    assert not is_finished(tmp_path, {})


def test_an_audit_keeps_its_facts(tiny_static, tmp_path: Path) -> None:
    corpus = parallel_corpus(6)
    corpus = Corpus(corpus.queries, corpus.passages, corpus.qrels, name="toy", meta={"machine_made": ["de", "fr"]})
    about = EncoderSystem(tiny_static, "tiny").facts(corpus).as_json()
    assert about == {
        "encoder": "tiny", "encoder_fingerprint": about["encoder_fingerprint"], "prompts": dict(tiny_static.prompts),
        "max_seq_length": None, "similarity": "cosine", "corpus": "toy", "fingerprint": corpus.fingerprint(),
        "queries": 24, "passages": 24, "machine_made": ["de", "fr"], "precision": None,
    }  # fmt: skip
    done = audit(tiny_static, corpus, name="tiny", store=False, metrics=["MRR"], about={"note": "n"})
    facts = {"note": "n", "zero_vectors": {"queries": 0, "passages": 0}, "tokens": tokens_of(tiny_static, corpus)}
    measured = ("calibration", "remedies", "samples")
    assert {key: value for key, value in done.table.about.as_json().items() if key not in measured} == about | facts
    assert "multi/MRR" in done.measures
    assert "multi/mAP" not in done.measures
    assert EncoderSystem(tiny_static, store=False).rank(corpus).about.encoder == "the encoder"


def test_facts_are_written_in_their_order_and_without_those_that_are_absent() -> None:
    facts = AuditFacts(
        encoder="x", encoder_fingerprint="f", copies={"count_as": "relevant"}, extra={"note": 1}, calibration={"std": 1},
        zero_vectors={"queries": 0}, tokens={"limit": 1},
    )  # fmt: skip
    written = facts.as_json()
    assert list(written) == [
        "encoder", "encoder_fingerprint", "max_seq_length", "copies", "precision", "tokens", "note", "zero_vectors",
        "calibration",
    ]  # fmt: skip
    assert (written["max_seq_length"], written["precision"]) == (None, None)
    assert AuditFacts.of(written) == facts
    assert AuditFacts.of(facts) is facts
    assert AuditFacts.of(None).as_json() == AuditFacts(encoder=None).as_json() == {}
    assert (facts.count_copies_as, AuditFacts().count_copies_as, AuditFacts().system) == (
        "relevant", "wrong", "the encoder",
    )  # fmt: skip


def test_facts_can_still_be_read_as_a_dictionary(table: RankTable) -> None:
    facts = replace(table, about={"encoder": "x", "note": 1}).about
    with pytest.warns(DeprecationWarning, match=r"read \.encoder, not \['encoder'\]"):
        assert facts["encoder"] == "x"
    with pytest.warns(DeprecationWarning, match=r"read \.note"):
        assert facts.get("note") == 1
    with pytest.warns(DeprecationWarning, match="record"), pytest.raises(KeyError):
        _ = facts["corpus"]


def test_a_finished_audit_is_found_again_by_its_facts(tiny_static, tmp_path: Path) -> None:
    corpus, system = parallel_corpus(6), EncoderSystem(tiny_static, "tiny")
    assert finished(tmp_path, system.facts(corpus)) is None
    audit(system, corpus, metrics="MRR").save(tmp_path)
    found = finished(tmp_path, system.facts(corpus), ["R@1"])
    assert found is not None
    assert "multi/R@1" in found.measures
    assert finished(tmp_path, EncoderSystem(tiny_static, "other").facts(corpus)) is None
    # A damaged audit is none: it is made again.
    (tmp_path / "checksums.json").unlink()
    (tmp_path / "ranks.parquet").write_bytes(b"no table")
    assert finished(tmp_path, system.facts(corpus)) is None


@pytest.mark.parametrize("metrics", [[], "", ",", ["mAP", "x"]])
def test_metrics_are_checked_before_anything_is_embedded(tiny_static, metrics, monkeypatch) -> None:
    monkeypatch.setattr(EncoderSystem, "embed", lambda *_: pytest.fail("it was embedded"))
    with pytest.raises(ConfigError, match=r"the list is empty|there is no metric"):
        audit(tiny_static, parallel_corpus(3), metrics=metrics)


def test_the_encoders_own_similarity_counts(tiny_static) -> None:
    corpus = parallel_corpus(6)
    lengths_differ = copy.deepcopy(tiny_static[0])
    lengths_differ.embedding.weight.data[::2] *= 9
    other = SentenceTransformer(modules=[lengths_differ], similarity_fn_name="cosine")
    cosine = EncoderSystem(other, store=False).rank(corpus)
    other.similarity_fn_name = "dot"
    dot = EncoderSystem(other, store=False).rank(corpus)
    assert dot.about.similarity == "dot"
    assert not np.array_equal(cosine.outranking_counts, dot.outranking_counts)
    other.similarity_fn_name = "euclidean"
    with pytest.raises(AuditError, match="the encoder scores by euclidean; only cosine and dot product"):
        EncoderSystem(other, store=False).rank(corpus)


def test_vectors_of_nothing_are_counted(tiny_static) -> None:
    other = copy.deepcopy(tiny_static)
    other[0].embedding.weight.data[:] = 0
    found = EncoderSystem(other, store=False).rank(parallel_corpus(3))
    assert found.about.zero_vectors == {"queries": 12, "passages": 12}


@pytest.mark.parametrize("store", [False, True])
def test_embeddings_are_kept_if_asked_for(tiny_static, tmp_path: Path, monkeypatch, store: bool) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path))
    audit(tiny_static, parallel_corpus(3), name="tiny", store=store)
    assert bool(list(tmp_path.rglob("*.npy"))) == store
