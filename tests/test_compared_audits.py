"""Comparisons of finished audits by exact scores, in memory and from folders, and what rules call fair there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import parallel_corpus

import babelmix as bm
from babelmix.corpus import Corpus
from babelmix.errors import AuditError, ConfigError
from babelmix.evaluation.systems import ScoreMatrix
from babelmix.evaluation.verdict import fair_shares


def test_reports_in_memory_are_compared_as_their_folders_are(tmp_path: Path) -> None:
    corpus = parallel_corpus(items=12)
    rng = np.random.default_rng(0)
    shape = (corpus.queries.num_rows, corpus.passages.num_rows)
    reports = [bm.audit(ScoreMatrix(name, rng.random(shape, dtype=np.float32)), corpus) for name in ("a", "b")]
    folders = [report.save(tmp_path / report.name) and tmp_path / report.name for report in reports]
    asked = {
        "tests": ["multi/R@7", "bias/TLR@3"],
        "against": "a",
        "fail_if": ["multi/R@7 < before - 1", "bias/TLR@3 < 0"],
    }
    of_reports, of_folders = bm.compare(reports, **asked), bm.compare(folders, **asked)
    assert of_reports.comparisons == of_folders.comparisons
    assert [one.measure for one in of_reports.comparisons] == asked["tests"]
    assert of_reports.gate.passed
    with pytest.raises(AuditError, match="'foo' is no measure; name it with its setting"):
        bm.compare(folders, tests="foo")


def test_a_rule_and_the_verdict_have_one_fair_share() -> None:
    texts = [
        {"item": f"{side}{n}", "lang": lang, "text": f"{lang} {n}"}
        for side in "ab"
        for n in range(9)
        for lang in ("de", "en")
    ]
    queries = [{"item": f"a{n}", "lang": lang, "text": f"q {n}"} for n in range(9) for lang in ("de", "en")]
    texts = [row for row in texts if row["lang"] == "de" or row["item"].startswith("a")]
    corpus = Corpus.from_rows(queries, texts, [(f"a{n}", f"a{n}") for n in range(9)], name="copied")
    scores = np.random.default_rng(0).random((len(queries), len(texts)), dtype=np.float32)
    report = bm.audit(ScoreMatrix("a", scores), corpus, copies="excluded")
    fair = fair_shares(report.audit.table)
    assert fair["de"] < report.audit.table.pool_sizes[0] / report.audit.table.pool_sizes.sum()
    gate = bm.check(report, "any language own-language share@10 > fair")
    assert {one.cell: one.limit for one in gate.decisions} == pytest.approx(fair)


def test_what_is_no_encoder_is_said() -> None:
    with pytest.raises(ConfigError, match="None is no encoder"):
        bm.audit(None, parallel_corpus(items=4))
