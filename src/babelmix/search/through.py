"""An audit through an index: the answers that users get under each language policy, and the cost of a search.

The pool is the index. The ranks are those of its searches, so the measures include the errors of its graph. The first k answers
are those of a search for k, which is what users see: a policy such as `quota=3` holds within them. Behind them are the answers of
a deeper search, for metrics with larger cut-offs. A relevant passage that is not among them counts as if it had the next rank.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from babelmix._files import check_output_folder, write_json
from babelmix._tables import Result, Table
from babelmix.corpus import IMAGE, Corpus
from babelmix.corpus.labels import CLICK_FACTS, LABELS, labels_of, what_labels_mean
from babelmix.corpus.query_groups import groups_of_corpus
from babelmix.errors import SearchError
from babelmix.evaluation import Comparison, Estimate, Measure, compare, estimates, holm
from babelmix.evaluation.audit_tables import Estimates, estimates_frame, tests_tables
from babelmix.evaluation.lists import audit_lists, checked_metrics
from babelmix.evaluation.measure_info import SHARE_AT, measure_info, unfolded
from babelmix.evaluation.systems import ListSystem
from babelmix.evaluation.systems.shown import AsShown
from babelmix.evaluation.verdict import Verdict, verdict
from babelmix.search.asking import MAX_K
from babelmix.search.foreign.engine import ForeignEngine
from babelmix.search.foreign.given import GivenVectors
from babelmix.search.foreign.matching import Matching
from babelmix.search.options import SearchOptions
from babelmix.search.policies import Policy
from babelmix.search.reading import READER, READER_LEGEND, assumed_reader
from babelmix.search.searcher import Searcher
from babelmix.search.system import IndexSystem, QueryVectors, check_holds
from babelmix.search.variants import Validated, shared_facts, variants, with_and_without_reranker

DEFAULT_POLICIES = ("any", "balanced")
"""The policies that are compared by default. Every policy is tested against the first."""

SHOWN = 10
"""The number of answers that users see, by default: a policy is judged on a search for so many."""

DEPTH = 100
"""The number of answers that are judged by default. Those after the first k come from a deeper search."""

FILE = "policies.json"
"""The results in the folder of an audit through an index."""

_LEGEND = (
    "macro-averages over query languages, from a pool of all languages; same-language preference: how often the answer in the "
    "query's language stands before a translation of it (0.5: no preference); languages: of the first answers; right languages: "
    "of the right ones among them; the time of a search is without embedding the query"
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PolicyAudit:
    """The measures of a corpus's queries under one policy.

    Args:
        measures: the measures by `setting/metric`. The cells are query languages, and the groups are those of the corpus.
        seconds: the time of each search, without embedding its query, float64, shape (queries,).

    """

    measures: dict[str, Measure]
    seconds: Floats

    def estimates(self) -> dict[str, tuple[Estimate, dict[str, Estimate]]]:
        """For each measure, the macro-average over query languages and the value of each cell, with intervals."""
        return estimates(self.measures)

    def milliseconds(self) -> dict[str, float]:
        """The `median` and the 95th percentile `p95` of the time of a search."""
        return {"median": 1000 * float(np.median(self.seconds)), "p95": 1000 * float(np.quantile(self.seconds, 0.95))}


@dataclass(frozen=True, eq=False)
class PolicyComparison(Result):
    """Language policies on one index, compared.

    Args:
        about: `corpus`, `fingerprint`, `index`, `encoder`, `queries`, `passages`, `pool` (rows of the index), `k` (answers that
            users see), `depth` (answers that were judged), and perhaps `notes`.
        found: the estimates of the measures of each policy.
        cost: the milliseconds of a search under each policy: `median` and `p95`.
        comparisons: the tests of each policy against the first, after Holm's correction.
        pool_shares: the share of each language in the pool.
        measured: the measures of each policy.
        searched: the policy and the options of each column; see `Variant.facts`.

    """

    about: Mapping[str, Any]
    found: Mapping[str, Estimates]
    cost: Mapping[str, Mapping[str, float]]
    comparisons: Sequence[Comparison]
    pool_shares: Mapping[str, float]
    measured: Mapping[str, Mapping[str, Measure]] = field(default_factory=dict)
    searched: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def tables(self) -> list[Table]:
        """The measures by policy, then the tests of each policy."""
        about, measured = self.about, list(self.found.values())
        where = f"{about['index']} ({about['encoder']}, {about['pool']:,} rows)"
        title = f"{about['queries']:,} queries of {about['corpus']}, {where}, {about['k']} answers a search"
        rows = [
            [measure_info(name).title, *(measure_info(name).shown(one[name][0].value) for one in measured)]
            for name in unfolded(measured[0])
        ]
        rows += [
            [f"ms a search, {words}", *(f"{self.cost[policy][key]:.1f}" for policy in self.found)]
            for key, words in (("median", "median"), ("p95", "p95"))
        ]
        shown = unfolded(measured[0])
        tests = tests_tables([one for one in self.comparisons if one.measure in shown])
        tables = [Table(["", *self.found], rows, title=title), *tests]
        reader = f"; {READER_LEGEND.format(about[READER])}" if READER in about else ""
        more = "; Holm's correction is over all tests, also those of the report" if tests else ""
        return [*tables[:-1], replace(tables[-1], note=_LEGEND + reader + more)]

    def lead(self) -> str:
        """The verdict on the first policy."""
        return next(iter(self.verdicts().values())).line()

    def verdicts(self) -> dict[str, Verdict]:
        """The verdict on each policy; see `babelmix.evaluation.verdict`."""
        return {policy: verdict(measured, self.pool_shares) for policy, measured in self.found.items()}

    def lines(self) -> list[str]:
        """The verdict on each policy, and the finding in a sentence."""
        ranking = next((name for name in next(iter(self.found.values())) if not measure_info(name).is_bias), None)
        parts = []
        for policy, measured in self.found.items():
            of = "no labels" if ranking is None else f"{ranking.partition('/')[2]} {measured[ranking][0].value:.3f}"
            parts.append(f"{policy}: {of}, {self.cost[policy]['median']:.1f} ms a search")
        return [
            *(f"{policy}: {found.line()}" for policy, found in self.verdicts().items()),
            f"{'; '.join(parts)}.",
            *self._best(ranking),
            *self._notes(),
            *(f"Note: {note}." for note in self.about.get("notes", ())),
        ]

    def _best(self, ranking: str | None) -> list[str]:
        """Which weight of words or mode is best, if several were compared."""
        several = len({json.dumps({**one, "policy": ""}) for one in self.searched.values()}) > 1
        if ranking is None or not several or not self.measured:
            return []
        best = Validated.of({name: one[ranking] for name, one in self.measured.items()})
        return [] if best is None else [best.line(ranking.partition("/")[2], next(iter(self.found)))]

    def _notes(self) -> list[str]:
        """What the labels are, and policies that hold within more answers than the shares count."""
        labels = what_labels_mean(self.about.get(LABELS), self.about.get(CLICK_FACTS))
        return [*([labels] if labels else []), *self._wide_policies()]

    def _wide_policies(self) -> list[str]:
        k = int(self.about["k"])
        policies = {name: self.searched.get(name, {}).get("policy", name) for name in self.found}
        wide = [name for name, policy in policies.items() if Policy.parse(policy).depends_on_k]
        if not wide or k <= SHARE_AT:
            return []
        return [
            f"{', '.join(wide)}: holds within the {k} answers of a search; the shares and languages are of the first {SHARE_AT}. "
            f"If users see {SHARE_AT}, audit with  -k {SHARE_AT}"
        ]

    def to_frame(self) -> pl.DataFrame:
        """One row per number: policy, measure, cell (null for the macro-average), value, low, high."""
        return pl.concat(
            estimates_frame(one).select(pl.lit(policy).alias("policy"), pl.all()) for policy, one in self.found.items()
        )

    def as_json(self) -> dict[str, Any]:
        """The content of `policies.json`."""
        return {
            "about": dict(self.about),
            "policies": {
                policy: {
                    **self.searched.get(policy, {}),
                    "macro": {name: asdict(macro) for name, (macro, _) in measured.items()},
                    "cells": {
                        name: {lang: asdict(one) for lang, one in cells.items()}
                        for name, (_, cells) in measured.items()
                    },
                    "milliseconds": dict(self.cost[policy]),
                }
                for policy, measured in self.found.items()
            },
            "tests": [one.as_json() for one in self.comparisons],
        }

    def save(self, folder: str | Path) -> Path:
        """Write `policies.json` into a folder.

        Returns:
            The folder.

        Raises:
            BabelmixError: the folder holds other files, or cannot be written to.

        """
        check_output_folder(Path(folder), [FILE])
        write_json(Path(folder) / FILE, self.as_json())
        return Path(folder)


def audit_through(
    index: str | Path | Searcher,
    corpus: Corpus,
    *,
    policies: str | Sequence[str] = DEFAULT_POLICIES,
    k: int = SHOWN,
    queries: pa.Table | None = None,
    count: int = 0,
    metrics: str | Sequence[str] | None = None,
    batch_size: int = 32,
    store: bool = True,
    model: str | None = None,
    backend: str | None = None,
    trust_code: bool = False,
    say: Callable[[str], None] | None = None,
    depth: int | None = None,
    held: bool = False,
    options: SearchOptions | Sequence[SearchOptions] | None = None,
    rerank: str | None = None,
    query_vectors: str | Path | None = None,
) -> PolicyComparison:
    """Compare language policies on an index: search for the queries of a corpus under each policy, and test the differences.

    Args:
        index: the address of the index, or an open one. It holds the passages of the corpus.
        corpus: the corpus with its queries and qrels.
        policies: language policies, such as `balanced`. Each is tested against the first.
        k: the number of answers that users see, 10 to 1,000: each policy is applied to a search for so many, and it is timed.
        queries: the rows of the corpus's queries to use; by default all.
        count: the most queries to use. They are drawn at random, the same ones each time. 0: all.
        metrics: ranking metrics with cut-offs of at most `depth`; by default mAP@depth and nDCG@10.
        batch_size: the number of texts per forward pass.
        store: keep the queries' embeddings in the user's cache.
        model: the new path of the encoder, if it was moved after the index was made.
        backend: the backend that runs the encoder; by default the one that embedded the rows.
        trust_code: run Python code that the encoder contains or refers to; see `load_encoder`.
        held: whether the passages are known to be the rows of the index, so that this need not be checked.
        say: a function that gets the notes of the index, such as that another backend embeds the queries.
        depth: the number of answers that are judged, k to 1,000. Those after the first k come from a second search. By default
            100, or k if it is larger.
        options: the mode, the weight of words, the fusion, what is shown, and what is said of the languages of the queries;
            several are compared, under each policy; see `babelmix.search.variants`. None: the defaults.
        rerank: a reranker; see `open_index`. Each policy is audited without and with it, unless `options` say which.
        query_vectors: a file with the vectors of the corpus's queries, in place of the encoder of someone else's collection.

    Returns:
        The measures of each policy, the cost of a search, and the tests.

    Raises:
        SearchError: the index does not hold the passages of the corpus, queries are pictures, there are none, or k or a
            policy is wrong.
        ConfigError: there is no such metric, or its cut-off is too large.

    """
    # Parse the policies before an encoder is loaded, to fail early.
    options = options or SearchOptions()
    chosen = variants(policies, options)
    if not isinstance(index, Searcher):
        given = None if query_vectors is None else GivenVectors(query_vectors, corpus)
        with Searcher.open(
            index, model=given or model, backend=backend, trust_code=trust_code, rerank=rerank
        ) as opened:
            if say is not None:
                for note in opened.notes:
                    say(note)
            return audit_through(
                opened, corpus, policies=policies, k=k, queries=queries, count=count, metrics=metrics, batch_size=batch_size,
                store=store, depth=depth, held=held, options=options,
            )  # fmt: skip
    if index.reranker is not None:
        options = with_and_without_reranker(options)
        chosen = variants(policies, options)
    asked = corpus.queries if queries is None else queries
    if 0 < count < asked.num_rows:
        asked = asked.take(np.sort(np.random.default_rng(0).permutation(asked.num_rows)[:count]))
    audits = audit_policies(
        index, corpus, policies, k=k, metrics=metrics, asked=asked, batch_size=batch_size, store=store, depth=depth, held=held,
        options=options,
    )  # fmt: skip
    how = next(iter(chosen.values())).options
    reads = assumed_reader((one.policy for one in chosen.values()), how)
    sizes = index.index.langs()
    pool = sum(sizes.values())
    about: dict[str, Any] = {
        "corpus": corpus.name, "fingerprint": corpus.fingerprint(), "index": index.index.address,
        "encoder": index.index.about.encoder, "queries": asked.num_rows, "passages": corpus.passages.num_rows, "pool": pool,
        "k": k, "depth": depth_of(k, depth), **shared_facts(chosen), **({READER: ",".join(reads)} if reads else {}),
    }  # fmt: skip
    if index.reranker is not None:
        about["reranker"] = index.reranker.name
    engine = index.index.engine
    notes = [groups_of_corpus(corpus, asked).note(), *(engine.notes if isinstance(engine, ForeignEngine) else ())]
    if said := [note for note in notes if note]:
        about["notes"] = said
    if (labels := labels_of(corpus.meta, corpus.qrels.num_rows)) is not None:
        about |= {LABELS: labels} | ({CLICK_FACTS: corpus.meta[CLICK_FACTS]} if CLICK_FACTS in corpus.meta else {})
    return PolicyComparison(
        about,
        {policy: one.estimates() for policy, one in audits.items()},
        {policy: one.milliseconds() for policy, one in audits.items()},
        tested(audits),
        {lang: size / pool for lang, size in sizes.items()},
        {policy: one.measures for policy, one in audits.items()},
        {name: one.facts() for name, one in chosen.items()},
    )


def tested(audits: Mapping[str, PolicyAudit]) -> list[Comparison]:
    """The tests of each policy against the first, after Holm's correction over all of them."""
    base, *others = audits
    tests: list[Comparison] = []
    for name in others:
        pair = compare([audits[name].measures], [audits[base].measures], list(audits[base].measures))
        tests += [replace(one, first=name, second=base) for one in pair]
    return holm(tests)


def audit_policies(
    searcher: Searcher,
    corpus: Corpus,
    policies: str | Sequence[str] = DEFAULT_POLICIES,
    *,
    k: int = SHOWN,
    metrics: str | Sequence[str] | None = None,
    asked: pa.Table | None = None,
    batch_size: int = 32,
    store: bool = True,
    depth: int | None = None,
    held: bool = False,
    options: SearchOptions | Sequence[SearchOptions] | None = None,
) -> dict[str, PolicyAudit]:
    """Search an index for a corpus's queries under each policy in turn, one query at a time.

    The measures are those of `babelmix.evaluation.lists.audit_lists`, in the pool of the index.

    Args:
        searcher: the index, which holds the corpus's passages, and its encoder.
        corpus: the corpus with its queries and qrels.
        policies: language policies as the user writes them.
        k: the number of answers that users see, 10 to 1,000: each policy is applied to a search for so many, and it is timed.
        metrics: ranking metrics with cut-offs of at most `depth`; by default mAP@depth and nDCG@10.
        asked: the rows of the corpus's queries to use; by default all.
        batch_size: the number of texts per forward pass.
        store: keep the queries' embeddings in the user's cache.
        depth: the number of answers that are judged; see `audit_through`.
        held: whether the passages are known to be the rows of the index, so that this need not be checked.
        options: see `audit_through`.

    Returns:
        For each policy, its measures and the time of each search.

    Raises:
        SearchError: the index does not hold the passages, queries are pictures, there are none, or k, depth or a policy is wrong.
        ConfigError: there is no such metric, or its cut-off is too large.

    """
    depth = depth_of(k, depth)
    checked_metrics(metrics, depth, cut=True)
    chosen = variants(policies, options or SearchOptions())
    how = next(iter(chosen.values())).options
    reads = assumed_reader((one.policy for one in chosen.values()), how)
    queries = corpus.queries if asked is None else asked
    if queries.num_rows == 0 or IMAGE in queries["lang"].to_pylist():
        raise SearchError(f"{corpus.name}: has no queries that are texts; an index is audited with texts")
    engine, matching = searcher.index.engine, None
    if isinstance(engine, ForeignEngine):
        matching = Matching.of(engine, corpus)
    elif not held:
        check_holds(searcher.index, corpus)
    vectors = QueryVectors(searcher, batch_size=batch_size, store=store)
    timed, deeper = (
        {
            name: IndexSystem(searcher, one.policy, vectors=vectors, options=one.options, matching=matching)
            for name, one in chosen.items()
        }
        for _ in range(2)
    )
    systems: dict[str, ListSystem] = {
        name: one if depth == k else AsShown(one, deeper[name], shown=k, judged=depth) for name, one in timed.items()
    }
    # What the searcher's languages alone would give.
    alone = IndexSystem(
        searcher, Policy("any", reads=reads), vectors=vectors, options=replace(how, show="found"), matching=matching, once=True
    )  # fmt: skip
    found = audit_lists(
        systems,
        corpus,
        k=depth,
        metrics=metrics,
        queries=queries,
        reads=reads,
        alone=alone if how.show == "mine" else None,
    )
    return {name: PolicyAudit(one.measures, np.array(timed[name].seconds)) for name, one in found.items()}


def depth_of(k: int, depth: int | None) -> int:
    """The number of answers to judge.

    Raises:
        SearchError: k or depth is too small or too large.

    """
    if not SHARE_AT <= k <= MAX_K:
        raise SearchError(f"k is {k}; an audit through an index looks at the first {SHARE_AT} to {MAX_K:,} answers")
    if depth is None:
        return max(k, DEPTH)
    if not k <= depth <= MAX_K:
        raise SearchError(
            f"depth is {depth}; an audit judges at least the k = {k} answers of a search, and at most {MAX_K:,}"
        )
    return depth
