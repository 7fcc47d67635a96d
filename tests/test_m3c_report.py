"""M3C in a report: its parts, and the mean beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import picture_corpus

from babelmix.encoders.dual import make_dual
from babelmix.evaluation import audit_both_ways
from babelmix.experiment.config import parse_experiment
from babelmix.experiment.report.pictures import m3c_sections
from babelmix.experiment.results import Entry, Findings


def test_the_parts_of_m3c_stand_beside_their_mean() -> None:
    corpora = [
        picture_corpus(12, ("de", "en")).named("m3c/multi30k"),
        picture_corpus(14, ("en", "ja")).named("m3c/mscoco-1k"),
        picture_corpus(12, ("en",)),
    ]
    tiny = make_dual("tiny-clip", corpora[0].queries["text"].to_pylist(), dimension=32, size=60)
    experiment = parse_experiment(
        {"name": "m3c", "data": {"corpus": "x"}, "compare": {"strategies": ["hybrid"]}}, "m3c"
    )
    found = []
    for corpus in corpora:
        for one in audit_both_ways(tiny, corpus, name="tiny", store=False):
            found.append(Findings(experiment, [Entry.of("hybrid", "strategy", [one])], {}, 0.0, {}))
    first, *others = found
    whole = replace(first, benchmarks={on.entries[0].corpus: on for on in others})
    table = m3c_sections(whole)[0].tables[0]
    assert table.head == ["encoder", "mean", "multi30k de", "multi30k en", "mscoco-1k en", "mscoco-1k ja"]
    name, mean, *parts = table.rows[0]
    assert name == "hybrid"
    assert float(mean) == pytest.approx(np.mean([float(part) for part in parts]), abs=1e-3)
    assert m3c_sections(replace(found[-2], benchmarks={"x": found[-1]})) == []
