"""Audits of ranked lists: retrieval and language bias in the first k answers of a system.

No rank beyond the first k answers is known. A relevant passage that is not among them counts as if it had rank k (from 0).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from babelmix._lists import as_list
from babelmix._progress import progress_bar
from babelmix.corpus import Corpus
from babelmix.corpus.schema import QREL_COLUMNS
from babelmix.errors import AuditError, ConfigError
from babelmix.evaluation.measure_info import SHARE_AT, measure_info
from babelmix.evaluation.measures import Measure
from babelmix.evaluation.metrics import RankedLists, parse_metric
from babelmix.evaluation.ranks import numbered
from babelmix.evaluation.significance import Estimate, estimates
from babelmix.evaluation.systems.base import Answer, ListSystem

LANGUAGES = f"languages@{SHARE_AT}"
RIGHT_LANGUAGES = f"right languages@{SHARE_AT}"

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ListAudit:
    """The measures of the ranked lists of a system.

    Args:
        measures: the measures by `setting/metric`. Cells are query languages; groups are the groups of the corpus.

    """

    measures: dict[str, Measure]

    def estimates(self) -> dict[str, tuple[Estimate, dict[str, Estimate]]]:
        """For each measure, the macro-average over query languages and the cells, with intervals."""
        return estimates(self.measures)


def audit_lists(
    systems: Mapping[str, ListSystem],
    corpus: Corpus,
    *,
    k: int = 100,
    metrics: str | Sequence[str] | None = None,
    queries: pa.Table | None = None,
    label: str = "searching",
) -> dict[str, ListAudit]:
    """Send the queries of a corpus to systems, and measure the ranked lists that they return.

    The systems take turns: each query goes to every system before the next query. The measures, where r_l is the rank of the
    best relevant passage in language l, or k if it is not among the first k:

    - `multi/METRIC`, by default mAP@k and nDCG@10, in the pool of the system.
    - `bias/same-language share@10`: the share of the first 10 answers that are in the query's language.
    - `bias/same-language preference@k`: the mean over other languages l of 1 if r_own < r_l, 0 if r_l < r_own, and 1/2 if
      neither is among the first k; 1/2 is no preference.
    - `bias/languages@10`: the number of languages among the first 10 answers.
    - `bias/right languages@10`: the number of languages among the relevant ones of the first 10 answers.

    Args:
        systems: the systems by name. Each must search the passages of the corpus.
        corpus: the corpus, with its qrels.
        k: the number of answers to judge, 10 or more.
        metrics: ranking metrics with cut-offs of k at most.
        queries: the rows of `corpus.queries` to send; by default all.
        label: the words before the progress bar.

    Returns:
        The audits by name.

    Raises:
        AuditError: k is below 10 or more than a system gives, there is no system or no query, or a system does not answer all
            queries.
        ConfigError: there is no such metric, or its cut-off is larger than k.

    Example:
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
    names = checked_metrics(metrics, k)
    for name, system in systems.items():
        if system.depth is not None and system.depth < k:
            raise AuditError(
                f"{name}: gives at most {system.depth:,} answers per query; set k to {system.depth:,} or less, not {k:,}"
            )
    rows = corpus.queries if queries is None else queries
    if rows.num_rows == 0:
        raise AuditError(f"{corpus.name}: there are no queries")
    judge = _Judge(corpus, rows, k)
    answers = {name: judge.no_answers() for name in systems}
    # Ask for more answers than k: answers that are excluded for a query are dropped.
    wanted = [k + judge.excluded_rows(row) for row in range(rows.num_rows)]
    lists = {
        name: system.retrieve(rows, wanted if system.depth is None else [min(n, system.depth) for n in wanted])
        for name, system in systems.items()
    }
    with progress_bar(label, rows.num_rows, "queries") as bar:
        for row in range(rows.num_rows):
            for name, found in lists.items():
                if (answered := next(found, None)) is None:
                    raise AuditError(f"{name}: answered {row:,} of {rows.num_rows:,} queries; give one list per query")
                judge.take(answers[name], row, answered)
            bar.advance()
    return {name: ListAudit(judge.measures(found, names)) for name, found in answers.items()}


def checked_metrics(metrics: str | Sequence[str] | None, k: int) -> list[str]:
    """The ranking metrics of an audit of the first k answers; None: mAP@k and nDCG@10.

    Raises:
        AuditError: k is below 10.
        ConfigError: there is no such metric, its cut-off is larger than k, or the list is empty.

    """
    if k < SHARE_AT:
        raise AuditError(f"k is {k}; an audit of ranked lists judges the first {SHARE_AT} answers at least")
    names = as_list((f"mAP@{k}", "nDCG@10") if metrics is None else metrics, "metrics", empty=False)
    for name in names:
        _, cutoff = parse_metric(name)
        if cutoff is None or cutoff > k:
            raise ConfigError(f"{name}: only the first {k} answers are known; name a cut-off of {k} at most")
    return names


class _Answers(NamedTuple):
    """Languages of the answers, -1 where there is none, and their grades, 0 where wrong: int64, shape (queries, k)."""

    langs: Integers
    grades: Integers


class _Judge:
    """Compares ranked lists with the qrels of a corpus.

    Args:
        corpus: passages and qrels.
        queries: the rows of its queries that are sent to the systems.
        k: the number of answers to judge.

    """

    def __init__(self, corpus: Corpus, queries: pa.Table, k: int) -> None:
        self._k = k
        self._lang, self._item = (np.array(queries[name].to_pylist(), dtype=object) for name in ("lang", "item"))
        self._group = numbered(np.array(queries["group"].to_pylist(), dtype=object))
        self._numbers: dict[str, int] = {}
        self._grades: dict[str, dict[str, int]] = {}
        columns = (corpus.qrels[name].to_pylist() for name in ("query_item", "passage_item", "grade"))
        for query, passage, grade in zip(*columns, strict=True):
            self._grades.setdefault(query, {})[passage] = grade
        self._excluded: dict[str, set[str]] = {}
        for query, passage in zip(*(corpus.excluded[name].to_pylist() for name in QREL_COLUMNS), strict=True):
            self._excluded.setdefault(query, set()).add(passage)
        passages = pl.DataFrame(pl.from_arrow(corpus.passages.select(["item", "lang"])))
        self._sizes: dict[str, dict[str, int]] = {}
        for item, lang, count in passages.group_by("item", "lang").len().iter_rows():
            self._sizes.setdefault(item, {})[lang] = count
            self._number(lang)

    def _number(self, lang: str) -> int:
        return self._numbers.setdefault(lang, len(self._numbers))

    def no_answers(self) -> _Answers:
        shape = (len(self._item), self._k)
        return _Answers(np.full(shape, -1, dtype=np.int64), np.zeros(shape, dtype=np.int64))

    def excluded_rows(self, row: int) -> int:
        """The number of passages that are excluded for a query."""
        return sum(sum(self._sizes.get(item, {}).values()) for item in self._excluded.get(self._item[row], ()))

    def take(self, answers: _Answers, row: int, found: Sequence[Answer]) -> None:
        """Keep the first k answers to a query, without the passages that are excluded for it."""
        grades, excluded = self._grades.get(self._item[row], {}), self._excluded.get(self._item[row], ())
        kept = [answer for answer in found if answer.item not in excluded][: self._k]
        answers.langs[row, : len(kept)] = [self._number(answer.lang) for answer in kept]
        answers.grades[row, : len(kept)] = [grades.get(answer.item, 0) for answer in kept]

    def measures(self, answers: _Answers, metrics: Sequence[str]) -> dict[str, Measure]:
        """All measures that have a value, by name."""
        rows, lists = self._ranked(answers)
        found: list[Measure] = []
        for name in metrics:
            function, cutoff = parse_metric(name)
            found.append(self._measure(f"multi/{name}", rows, function(lists, cutoff)))
        own = np.array([self._numbers.get(lang, -1) for lang in self._lang])
        first = answers.langs[:, :SHARE_AT]
        given = np.maximum((first >= 0).sum(axis=1), 1)
        known = np.flatnonzero(own >= 0)
        share = (first == own[:, None]).sum(axis=1) / given
        found.append(self._measure(f"bias/same-language share@{SHARE_AT}", known, share[known]))
        rows, preference = self._preference(answers, own)
        found.append(self._measure(f"bias/same-language preference@{self._k}", rows, preference))
        everyone, right = np.arange(len(own)), answers.grades[:, :SHARE_AT] > 0
        for name, langs in ((LANGUAGES, first), (RIGHT_LANGUAGES, np.where(right, first, -1))):
            # The number of distinct languages: in a sorted row, count each increase. -1 stands for no answer.
            several = (np.diff(np.sort(langs, axis=1), axis=1, prepend=-1) > 0).sum(axis=1)
            found.append(self._measure(f"bias/{name}", everyone, several.astype(np.float64)))
        return {measure.name: measure for measure in found if len(measure.values)}

    def _ranked(self, answers: _Answers) -> tuple[Integers, RankedLists]:
        """Queries with relevant passages, and the ranks of these passages. A passage that was not found has rank k."""
        rows: list[int] = []
        ranks: list[int] = []
        grades: list[int] = []
        starts: list[int] = []
        for row, item in enumerate(self._item):
            wanted = Counter[int]()
            for passage, grade in self._grades.get(item, {}).items():
                wanted[grade] += sum(self._sizes.get(passage, {}).values())
            if wanted.total():
                rows.append(row)
                starts.append(len(ranks))
                at = np.flatnonzero(answers.grades[row])
                there = answers.grades[row, at].tolist()
                rest = list((wanted - Counter(there)).elements())
                ranks += [*at.tolist(), *[self._k] * len(rest)]
                grades += [*there, *rest]
        as_array = partial(np.array, dtype=np.int64)
        return as_array(rows), RankedLists(as_array(ranks), as_array(starts), as_array(grades))

    def _preference(self, answers: _Answers, own: Integers) -> tuple[Integers, Floats]:
        """Queries with relevant passages in their own language and in another, and their same-language preference."""
        rows, values = [], []
        for row, item in enumerate(self._item):
            langs = {
                self._numbers[lang] for passage in self._grades.get(item, {}) for lang in self._sizes.get(passage, {})
            }
            if own[row] in langs and len(langs) > 1:
                at = np.flatnonzero(answers.grades[row])
                first = dict(zip(answers.langs[row, at[::-1]].tolist(), at[::-1].tolist(), strict=True))
                mine = first.get(own[row], self._k)
                others = [first.get(lang, self._k) for lang in langs - {own[row]}]
                rows.append(row)
                values.append(np.mean([(1 + np.sign(other - mine)) / 2 for other in others]))
        return np.array(rows, dtype=np.int64), np.array(values, dtype=np.float64)

    def _measure(self, name: str, rows: Integers, values: Floats) -> Measure:
        cells, cell = np.unique(self._lang[rows].astype(str), return_inverse=True)
        setting, _, metric = name.partition("/")
        better = measure_info(name).lower_is_better
        return Measure(setting, metric, tuple(cells.tolist()), cell, self._group[rows], values, better)


__all__ = ["LANGUAGES", "RIGHT_LANGUAGES", "ListAudit", "audit_lists", "checked_metrics"]
