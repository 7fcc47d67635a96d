"""The measures of a searcher who reads some languages, against the slow, obvious way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import WORDS

from babelmix.corpus import Corpus
from babelmix.errors import SearchError
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.lists import audit_lists, measure_names
from babelmix.evaluation.measure_info import measure_info
from babelmix.evaluation.systems.base import Answer

LANGS = ("de", "en", "fr", "ja")
READER = ["item recall@10", "item nDCG@10", "item mAP@20", "readable share@10", "found through other languages@10"]


def partly_translated(seed: int = 0, items: int = 60) -> Corpus:
    """Items in some of four languages each; each query has some of them as answers."""
    draw = np.random.default_rng(seed)
    passages = []
    for number in range(items):
        for lang in draw.permutation(LANGS)[: draw.choice([1, 1, 2, 4])].tolist():
            for again in range(int(draw.integers(1, 3))):
                words = [WORDS[lang][word] for word in draw.integers(12, size=4)]
                passages.append({"item": f"i{number}", "lang": lang, "text": f"{' '.join(words)} {number} {again}"})
    queries = [
        {"item": f"q{n}", "lang": LANGS[n % 4], "text": f"{WORDS[LANGS[n % 4]][n % 12]} {n}"} for n in range(40)
    ]
    qrels = [(f"q{n}", f"i{item}") for n in range(40) for item in draw.choice(items, size=1 + n % 3, replace=False)]
    return Corpus.from_rows(queries, passages, qrels, name="partly translated")


class Drawn:
    """Ranked lists that are drawn: the right passages more often than others."""

    def __init__(self, corpus: Corpus, seed: int, langs: Sequence[str] = LANGS, length: int = 20) -> None:
        self.name, self.depth, self._length = f"drawn {seed}", None, length
        rows = corpus.passages.select(["item", "lang"]).to_pylist()
        self._rows = [row for row in rows if row["lang"] in langs]
        self._right: dict[str, set[str]] = {}
        for pair in corpus.qrels.to_pylist():
            self._right.setdefault(pair["query_item"], set()).add(pair["passage_item"])
        self._seed = seed

    def facts(self, corpus: Corpus, *, copies: str = "wrong") -> AuditFacts:
        return AuditFacts(encoder=self.name, corpus=corpus.name)

    def lists(self, queries: pa.Table) -> list[list[tuple[str, str]]]:
        draw = np.random.default_rng(self._seed)
        found = []
        for item in queries["item"].to_pylist():
            right = [3.0 if row["item"] in self._right.get(item, ()) else 0.0 for row in self._rows]
            order = np.argsort(-(draw.gumbel(size=len(right)) + np.array(right)), kind="stable")
            some = [self._rows[i] for i in order[: int(draw.integers(self._length // 2, self._length + 1))]]
            found.append([(row["item"], row["lang"]) for row in some])
        return found

    def retrieve(self, queries: pa.Table, k: Sequence[int]) -> Iterator[list[Answer]]:
        for answers, most in zip(self.lists(queries), k, strict=True):
            yield [Answer(item, lang) for item, lang in answers[:most]]


def slowly(corpus: Corpus, system: Drawn, alone: Drawn, reads: Sequence[str]) -> dict[str, dict[int, float]]:
    """The measures of each query, one at a time."""
    langs: dict[str, set[str]] = {}
    for row in corpus.passages.to_pylist():
        langs.setdefault(row["item"], set()).add(row["lang"])
    right: dict[str, set[str]] = {}
    for pair in corpus.qrels.to_pylist():
        right.setdefault(pair["query_item"], set()).add(pair["passage_item"])
    values: dict[str, dict[int, float]] = {name: {} for name in READER}
    lists = zip(corpus.queries.to_pylist(), system.lists(corpus.queries), alone.lists(corpus.queries), strict=True)
    for number, (query, answers, others) in enumerate(lists):
        mine = {query["lang"] if one == "own" else one for one in reads}
        first = answers[:10]
        values["readable share@10"][number] = sum(lang in mine for _, lang in first) / len(first)
        wanted = {item for item in right[query["item"]] if langs[item] & mine}
        if not wanted:
            continue

        def places(answers: list[tuple[str, str]], wanted: set[str] = wanted, mine: set[str] = mine) -> list[int]:
            found: dict[str, int] = {}
            for place, (item, lang) in enumerate(answers):
                if item in wanted and lang in mine:
                    found.setdefault(item, place)
            return sorted(found.values())

        ranks = places(answers)
        values["item recall@10"][number] = sum(rank < 10 for rank in ranks) / len(wanted)
        ideal = sum(1 / math.log2(2 + place) for place in range(min(10, len(wanted))))
        values["item nDCG@10"][number] = sum(1 / math.log2(2 + rank) for rank in ranks if rank < 10) / ideal
        precision = sum((nth + 1) / (rank + 1) for nth, rank in enumerate(ranks) if rank < 20)
        values["item mAP@20"][number] = precision / len(wanted)
        there = {item for item, lang in first if item in wanted and lang in mine}
        before = {item for item, lang in others[:10] if item in wanted and lang in mine}
        values["found through other languages@10"][number] = len(there - before) / len(wanted)
    return values


@pytest.mark.parametrize("reads", [["own", "en"], ["own"], ["fr", "ja"], ["*"]])
def test_the_measures_of_a_reader_are_those_of_the_slow_way(reads: list[str]) -> None:
    corpus = partly_translated()
    system, alone = Drawn(corpus, 1), Drawn(corpus, 2, length=30)
    found = audit_lists({"system": system}, corpus, k=20, reads=reads, alone=alone)
    assert list(found) == ["system"]
    expected = slowly(corpus, system, alone, list(LANGS) if reads == ["*"] else reads)
    audit = found["system"]
    for name in READER:
        measured = dict(
            zip(audit.rows[f"bias/{name}"].tolist(), audit.measures[f"bias/{name}"].values.tolist(), strict=True)
        )
        assert measured == pytest.approx(expected[name]), name
        assert len(set(measured.values())) >= 2 or (name, reads) == ("readable share@10", ["*"])
        bounds = audit.bounds[f"bias/{name}"]
        assert (bounds.low.values <= audit.measures[f"bias/{name}"].values + 1e-12).all()
        assert (audit.measures[f"bias/{name}"].values <= bounds.high.values + 1e-12).all()
        assert measure_info(f"bias/{name}").better == "higher"
        assert f"bias/{name}" in measure_names(["mAP@20"], 20)


def test_lists_without_a_reader_have_no_measures_of_one() -> None:
    corpus = partly_translated()
    found = audit_lists({"system": Drawn(corpus, 1)}, corpus, k=20)["system"]
    assert not {f"bias/{name}" for name in READER} & set(found.measures)
    found = audit_lists({"system": Drawn(corpus, 1)}, corpus, k=20, reads=["own"])["system"]
    assert "bias/item recall@10" in found.measures
    assert "bias/found through other languages@10" not in found.measures


def test_bounds_of_a_reader_hold_for_the_whole_list() -> None:
    corpus = partly_translated(seed=4, items=12)
    whole = Drawn(corpus, 3, length=200)
    full = audit_lists({"system": whole}, corpus, k=20, reads=["own", "en"], alone=Drawn(corpus, 5))["system"]

    class Short(Drawn):
        def retrieve(self, queries: pa.Table, k: Sequence[int]) -> Iterator[list[Answer]]:
            for answers in self.lists(queries):
                yield [Answer(item, lang) for item, lang in answers[:4]]

    short = audit_lists(
        {"system": Short(corpus, 3, length=200)}, corpus, k=20, reads=["own", "en"], alone=Drawn(corpus, 5)
    )["system"]
    for name in READER:
        bounds, true = short.bounds[f"bias/{name}"], full.measures[f"bias/{name}"].values
        assert (bounds.low.values <= true + 1e-12).all(), name
        assert (true <= bounds.high.values + 1e-12).all(), name


@pytest.fixture
def index(tmp_path: Path, tiny_static) -> str:
    pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")
    from babelmix.search import Index, index_rows
    from babelmix.search.documents import rows_of_corpus

    tiny_static.save(str(tmp_path / "model"))
    with Index.create(str(tmp_path / "index"), tiny_static, str(tmp_path / "model")) as made:
        index_rows(made, tiny_static, rows_of_corpus(partly_translated()))
    return str(tmp_path / "index")


def test_an_audit_sets_the_measures_of_a_reader_beside_the_others(index: str) -> None:
    import babelmix as bm
    from babelmix.api.index_auditing import audit_index

    corpus = partly_translated()
    policies = ["any", "balanced", "own=5,reads=own,en"]
    plain, mine = (
        audit_index(index, corpus, policies=policies, query_langs="known", show=show) for show in ("found", "mine")
    )
    for report, there in ((plain, READER[:2] + READER[3:4]), (mine, [*READER[:2], *READER[3:]])):
        frame = report.to_frame()
        assert set(frame["policy"]) == set(policies)
        assert {f"bias/{name}" for name in there} <= set(frame["measure"])
        assert report.comparison.about["reader"] == "own,en"
        assert "of a searcher who reads own,en" in report.tables()[-1].note

    def macro(report: object, policy: str, name: str) -> float:
        return report.comparison.found[policy][f"bias/{name}"][0].value  # type: ignore[attr-defined, no-any-return]

    # Items that are shown in the searcher's language say nothing about the language that they are found in.
    assert macro(mine, "any", "same-language share@10") > 0.5
    assert mine.lead().startswith("Cannot tell: items are shown in the searcher's language")
    assert not plain.lead().startswith("Cannot tell: items")
    assert macro(plain, "own=5,reads=own,en", "readable share@10") == 1 > macro(plain, "any", "readable share@10")
    assert macro(mine, "own=5,reads=own,en", "readable share@10") == 1
    assert "bias/found through other languages@10" not in plain.comparison.found["any"]
    # The recall of a searcher's languages alone, and what the others add to it and take from it, is the recall.
    with bm.open_index(index) as opened:
        queries = corpus.queries
        hits = opened.search(
            queries["text"].to_pylist(), policy="reads=own,en", once=True, query_langs=queries["lang"].to_pylist()
        )
        assert {hit.lang for one, lang in zip(hits, queries["lang"].to_pylist(), strict=True) for hit in one} <= set(
            LANGS
        )
        for one, lang in zip(hits, queries["lang"].to_pylist(), strict=True):
            assert {hit.lang for hit in one} <= {lang, "en"}
    with pytest.raises(
        SearchError, match="the policy reads=own needs the language of the query: audit with query_langs"
    ):
        audit_index(index, corpus, policies=["any", "reads=own"])
    with pytest.raises(SearchError, match="the policy any with show=mine needs the language"):
        audit_index(index, corpus, policies=["any"], show="mine")


def test_an_audit_of_a_service_has_the_measures_of_an_audit_of_its_index(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from starlette.testclient import TestClient

    import babelmix as bm
    from babelmix.api.index_auditing import audit_index
    from babelmix.api.list_auditing import audit_service
    from babelmix.search.remote import ServiceSystem
    from babelmix.search.service import Settings, create_app

    corpus, policies = partly_translated(), ["any", "own=5,reads=own,en"]
    how: dict[str, Any] = {
        "policies": policies,
        "query_langs": "known",
        "show": "mine",
        "depth": 20,
        "metrics": ["nDCG@10"],
    }
    expected = audit_index(index, corpus, **how)
    with (
        bm.open_index(index) as searcher,
        TestClient(create_app(searcher, Settings()), base_url="http://localhost") as client,
    ):
        monkeypatch.setattr(ServiceSystem, "_client", client)
        report = audit_service("http://localhost:8765", corpus, out=tmp_path / "report", **how)
    for name in (*READER[:2], *READER[3:]):
        measured = report.macro(f"bias/{name}", "own=5,reads=own,en")
        assert measured == pytest.approx(expected.comparison.found["own=5,reads=own,en"][f"bias/{name}"][0].value), (
            name
        )
    assert set(report.audits) == set(policies)
    with pytest.raises(SearchError, match="needs the language of the query"):
        audit_service("http://localhost:8765", corpus, policies=["reads=own"])
