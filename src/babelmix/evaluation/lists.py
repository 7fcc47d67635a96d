"""Audits of ranked lists: retrieval and language bias in the first k answers of a system.

No rank beyond the list of a query is known. So each measure has bounds: what it can be at least and at most, as the missing
passages are somewhere in the rest of the pool. See docs/ranked-lists.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from babelmix._lists import as_list
from babelmix._progress import progress_bar
from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies
from babelmix.errors import AuditError, ConfigError
from babelmix.evaluation.judged_lists import AnswerTable, Integers, Judge, JudgedLists
from babelmix.evaluation.list_measures import LIST_MEASURES, Bounded
from babelmix.evaluation.measure_info import BIAS, SHARE_AT, measure_info
from babelmix.evaluation.measures import Measure
from babelmix.evaluation.metrics import parse_metric
from babelmix.evaluation.reader_measures import readable
from babelmix.evaluation.significance import Estimate, estimates
from babelmix.evaluation.systems.base import Answer, ListSystem

LANGUAGES = f"languages@{SHARE_AT}"
RIGHT_LANGUAGES = f"right languages@{SHARE_AT}"

_ALONE = "the searchers' languages alone"
"""The name of a system that is not audited itself."""

LIVE = 100
"""The most answers that a live system is asked for by default."""


@runtime_checkable
class KnownLists(Protocol):
    """A `ListSystem` that knows all its lists already, such as a run file."""

    def answers(self, judge: Judge) -> AnswerTable:
        """All lists at once, for `judge.queries` and the passages of `judge.corpus`."""
        ...


@dataclass(frozen=True, eq=False)
class Bounds:
    """What a measure can be at least and at most.

    Args:
        low: the measure if the ranks beyond the lists are as bad for it as they can be.
        high: the measure if they are as good as they can be.

    """

    low: Measure
    high: Measure

    def macro(self) -> tuple[float, float]:
        """The bounds of the macro-average."""
        return self.low.macro(), self.high.macro()

    def cells(self) -> dict[str, tuple[float, float]]:
        """The bounds of each cell."""
        ends = zip(self.low.cell_values().tolist(), self.high.cell_values().tolist(), strict=True)
        return dict(zip(self.low.cells, ends, strict=True))

    @property
    def exact(self) -> bool:
        """Whether nothing is unknown."""
        return bool(np.array_equal(self.low.values, self.high.values))


@dataclass(frozen=True, eq=False)
class ListAudit:
    """The measures of the ranked lists of a system.

    Args:
        measures: the measures by `setting/metric`. Cells are query languages; groups are the groups of the corpus.
        bounds: for each measure, what it can be at least and at most.
        rows: for each measure, the query row of each value, int64, shape (values,).
        lists: the judged lists.

    """

    measures: dict[str, Measure]
    bounds: dict[str, Bounds] = field(default_factory=dict)
    rows: dict[str, Integers] = field(default_factory=dict)
    lists: JudgedLists | None = None

    def estimates(self) -> dict[str, tuple[Estimate, dict[str, Estimate]]]:
        """For each measure, the macro-average over query languages and the cells, with intervals."""
        return estimates(self.measures)


def audit_lists(
    systems: Mapping[str, ListSystem],
    corpus: Corpus,
    *,
    k: int | None = 100,
    metrics: str | Sequence[str] | None = None,
    queries: pa.Table | None = None,
    copies: Copies = "wrong",
    label: str = "searching",
    reads: Sequence[str] = (),
    alone: ListSystem | None = None,
) -> dict[str, ListAudit]:
    """Send the queries of a corpus to systems, and measure the ranked lists that they return.

    The systems take turns: each query goes to every system before the next query. The measures, where r_l is the rank of the
    best relevant passage in language l, or k if it is not among the first k:

    - `multi/METRIC`, by default mAP@k and nDCG@10, in the pool of the system. A relevant passage that the list does not show
      counts as if it were at the end of the pool.
    - `bias/same-language share@10`: the share of the first 10 answers that are in the query's language.
    - `bias/same-language preference@k`: the mean over other languages l of 1 if r_own < r_l, 0 if r_l < r_own, and 1/2 if
      neither is among the first k; 1/2 is no preference.
    - `bias/rank distance@k`: the largest r_l - r_m of two languages l and m.
    - `bias/languages@10`: the number of languages among the first 10 answers.
    - `bias/right languages@10`: the number of languages among the relevant ones of the first 10 answers.
    - with `reads`: the measures of `babelmix.evaluation.reader_measures`.

    Args:
        systems: the systems by name. Each must search the passages of the corpus. If a system has an attribute `pool`, it says
            how many passages it holds in each language. An attribute `unknown` that is `"error"` refuses answers whose passages
            are not in the corpus; otherwise they count as wrong.
        corpus: the corpus, with its qrels. Without qrels, only the measures that need none have a value.
        k: the number of answers to judge, 10 or more. None: as many as every system has, at most 100 of a live system.
        metrics: ranking metrics with cut-offs of k at most, or without a cut-off.
        queries: the rows of `corpus.queries` to send; by default all.
        copies: how copies of right answers are counted; see `babelmix.corpus.copies`.
        label: the words before the progress bar.
        reads: the languages that searchers are assumed to read, as ranges; `own` is the language of the query. Empty: nothing is
            assumed.
        alone: with `reads`: a system that searches these languages alone. What the others find beyond it is measured. It has no
            audit of its own.

    Returns:
        The audits by name.

    Raises:
        AuditError: k is below 10 or more than a system gives, there is no system or no query, or a system does not answer all
            queries or gives a passage twice.
        ConfigError: there is no such metric, or its cut-off is larger than k.

    Examples:
        >>> from babelmix.corpus import Corpus
        >>> rows = [{"item": i, "lang": lang, "text": f"{i} {lang}"} for i in "ab" for lang in ("de", "en")]
        >>> corpus = Corpus.from_rows(rows, rows, [("a", "a"), ("b", "b")], name="two")
        >>> class AlwaysGerman:
        ...     name, depth = "German first", None
        ...     def facts(self, corpus, *, copies="wrong"):
        ...         return AuditFacts(encoder=self.name, corpus=corpus.name)
        ...     def retrieve(self, queries, k):
        ...         for item in queries["item"].to_pylist():
        ...             yield [Answer(item, "de"), Answer(item, "en")]
        >>> from babelmix.evaluation.audit_facts import AuditFacts
        >>> found = audit_lists({"german": AlwaysGerman()}, corpus, k=10)["german"]
        >>> found.measures["bias/same-language preference@10"].values.tolist()
        [1.0, 0.0, 1.0, 0.0]

    """
    if not systems:
        raise AuditError("name a system to audit")
    rows = corpus.queries if queries is None else queries
    if rows.num_rows == 0:
        raise AuditError(f"{corpus.name}: there are no queries")
    judge = Judge(corpus, queries, copies=copies)
    if alone is not None:
        systems = {**systems, _ALONE: alone}
    known = {name: system.answers(judge) for name, system in systems.items() if isinstance(system, KnownLists)}
    k = _k_of(systems, known) if k is None else k
    names = checked_metrics(metrics, k)
    for name, system in systems.items():
        if system.depth is not None and system.depth < k:
            raise AuditError(
                f"{name}: gives at most {system.depth:,} answers per query; set k to {system.depth:,} or less, not {k:,}"
            )
    # Ask for more answers than k: answers that are excluded for a query are dropped.
    wanted = (k + judge.excluded_rows()).tolist()
    asked = {
        name: system.retrieve(rows, wanted if system.depth is None else [min(n, system.depth) for n in wanted])
        for name, system in systems.items()
        if name not in known
    }
    for name, columns in _collected(asked, rows.num_rows, label).items():
        known[name] = judge.answers(name, *columns, unknown=getattr(systems[name], "unknown", "wrong"))
    judged = {name: judge.judge(known[name], k, getattr(system, "pool", None)) for name, system in systems.items()}
    if reads:
        judged = {name: replace(lists, reads=readable(lists, reads)) for name, lists in judged.items()}
        beside = judged.pop(_ALONE, None)
        judged = {name: replace(lists, alone=beside) for name, lists in judged.items()}
    return {name: measured(lists, names) for name, lists in judged.items()}


def _k_of(systems: Mapping[str, ListSystem], known: Mapping[str, AnswerTable]) -> int:
    """As many answers as the longest list of each system has, at most 100 of a live system, and 10 at least."""
    depths = [
        int(np.bincount(known[name].query).max(initial=0)) if name in known else min(LIVE, system.depth or LIVE)
        for name, system in systems.items()
    ]
    return max(SHARE_AT, min(depths))


def measured(lists: JudgedLists, metrics: Sequence[str]) -> ListAudit:
    """Compute the measures of judged lists, with their bounds. Measures without any value are left out.

    Args:
        lists: the judged lists.
        metrics: ranking metrics, checked by `checked_metrics`.

    """
    found: dict[str, Bounded] = {}
    if len(lists.pair_query):
        rows, worst = lists.ranked(best=False)
        _, best = lists.ranked(best=True) if (lists.pair_rank < 0).any() else (rows, worst)
        for name in metrics:
            function, cutoff = parse_metric(name)
            low = function(worst, cutoff)
            high = low if best is worst else function(best, cutoff)
            # A metric of someone's own may be higher for worse ranks.
            found[f"multi/{name}"] = Bounded(rows, low, np.minimum(low, high), np.maximum(low, high))
    for base, registered in LIST_MEASURES.items():
        if lists.judged or not registered.needs_qrels:
            for name, k in registered.names(base, lists.k).items():
                found[f"bias/{name}"] = registered.function(lists, k)
    audit = ListAudit({}, lists=lists)
    cells: dict[bytes, tuple[tuple[str, ...], Integers, Integers]] = {}
    for name, one in found.items():
        if not len(one.queries):
            continue
        key = one.queries.tobytes()
        if key not in cells:
            used, cell = np.unique(lists.query_lang[one.queries].astype(str), return_inverse=True)
            cells[key] = tuple(used.tolist()), cell, lists.group[one.queries]
        setting, _, metric = name.partition("/")
        measure = Measure(
            setting, metric, *cells[key], one.values, measure_info(name).lower_is_better, rows=one.queries
        )
        audit.measures[name] = measure
        audit.bounds[name] = Bounds(replace(measure, values=one.low), replace(measure, values=one.high))
        audit.rows[name] = one.queries
    return audit


def checked_metrics(metrics: str | Sequence[str] | None, k: int, *, cut: bool = False) -> list[str]:
    """The ranking metrics of an audit of the first k answers; None: mAP@k and nDCG@10.

    Args:
        metrics: the metrics.
        k: the number of answers.
        cut: whether each metric needs a cut-off. Without one, a metric is known within bounds only.

    Raises:
        AuditError: k is below 10.
        ConfigError: there is no such metric, its cut-off is larger than k, or the list is empty.

    """
    if k < SHARE_AT:
        raise AuditError(f"k is {k}; an audit of ranked lists judges the first {SHARE_AT} answers at least")
    names = as_list((f"mAP@{k}", "nDCG@10") if metrics is None else metrics, "metrics", empty=False)
    for name in names:
        if name.startswith(BIAS):
            raise ConfigError(
                f"{name}: audits of ranked lists have their bias measures without being asked, at k of their own; name ranking "
                "metrics"
            )
        if (known := within(name, k, cut=cut)) != name:
            raise ConfigError(
                f"{name}: only the first {k} answers are known; name a cut-off of {k} at most, such as {known}"
            )
    return names


def within(name: str, k: int, *, cut: bool) -> str:
    """The metric itself if the first k answers tell it, or else with the largest cut-off that they do.

    Args:
        name: the metric, such as `mAP` or `nDCG@10`.
        k: the number of answers.
        cut: whether a metric needs a cut-off.

    Examples:
        >>> within("mAP", 100, cut=True), within("mAP@500", 100, cut=False), within("nDCG@10", 100, cut=True)
        ('mAP@100', 'mAP@100', 'nDCG@10')

    """
    _, cutoff = parse_metric(name)
    known = not cut if cutoff is None else cutoff <= k
    return name if known else f"{name.partition('@')[0]}@{k}"


def measure_names(metrics: Sequence[str], k: int) -> list[str]:
    """The names of the measures of an audit of the first k answers. A measure without any value is left out of the audit.

    Args:
        metrics: ranking metrics, checked by `checked_metrics`.
        k: the number of answers.

    """
    names = [name for base, one in LIST_MEASURES.items() for name in one.names(base, k)]
    return [*(f"multi/{name}" for name in metrics), *(f"bias/{name}" for name in names)]


_Columns = tuple[list[int], list[str], list[str], list[float | None]]
"""The query, item, language and score of each answer."""


def _collected(asked: Mapping[str, Iterator[Sequence[Answer]]], queries: int, label: str) -> dict[str, _Columns]:
    """Ask every system for each query in turn."""
    columns: dict[str, _Columns] = {name: ([], [], [], []) for name in asked}
    if not asked:
        return columns
    with progress_bar(label, queries, "queries") as bar:
        for row in range(queries):
            for name, lists in asked.items():
                if (answered := next(lists, None)) is None:
                    raise AuditError(f"{name}: answered {row:,} of {queries:,} queries; give one list per query")
                numbers, items, langs, scores = columns[name]
                numbers += [row] * len(answered)
                items += [answer.item for answer in answered]
                langs += [answer.lang for answer in answered]
                scores += [answer.score for answer in answered]
            bar.advance()
    return columns


__all__ = [
    "LANGUAGES",
    "RIGHT_LANGUAGES",
    "Bounds",
    "ListAudit",
    "audit_lists",
    "checked_metrics",
    "measure_names",
    "measured",
]
