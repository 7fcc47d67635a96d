"""An audit through an index: what a person is given under each language policy, and what it costs.

The pool is the index, the ranks are those of its searches, so its approximations count too. What is not among the first k counts
as the next.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from babelmix._lists import as_list
from babelmix._progress import progress_bar
from babelmix.corpus import IMAGE, Corpus
from babelmix.corpus.schema import QREL_COLUMNS
from babelmix.encoders import encode
from babelmix.errors import SearchError
from babelmix.evaluation import Estimate, Measure, estimates
from babelmix.evaluation.measure_info import SHARE_AT
from babelmix.evaluation.metrics import RankedLists, metric
from babelmix.evaluation.ranks import numbered
from babelmix.search.documents import rows_of_corpus
from babelmix.search.index import Index
from babelmix.search.indexing import batches_of
from babelmix.search.policies import Policy
from babelmix.search.rows import Hit
from babelmix.search.searcher import MAX_K, Searcher

DEFAULT_POLICIES = ("any", "balanced")
"""What is compared unless others are named; the others are tested against the first."""

LANGUAGES = f"languages@{SHARE_AT}"
RIGHT_LANGUAGES = f"right languages@{SHARE_AT}"

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PolicyAudit:
    """What the searches of a corpus's queries gave under one policy.

    Args:
        measures: by `setting/metric`; cells are query languages, groups those of the corpus.
        seconds: of each search, without embedding its query, float64, shape (queries,).

    """

    measures: dict[str, Measure]
    seconds: Floats

    def estimates(self) -> dict[str, tuple[Estimate, dict[str, Estimate]]]:
        """By measure, the macro-average over query languages and the cells, with intervals."""
        return estimates(self.measures)

    def milliseconds(self) -> dict[str, float]:
        """`median` and `p95` of a search."""
        return {"median": 1000 * float(np.median(self.seconds)), "p95": 1000 * float(np.quantile(self.seconds, 0.95))}


def check_holds(index: Index, corpus: Corpus) -> None:
    """Raise unless an index holds the passages of a corpus as they are; it may hold other items too.

    Raises:
        SearchError: passages are missing, differ, or are there in more renderings.

    """
    missing = more = 0
    for batch in batches_of(rows_of_corpus(corpus)):
        changes = index.changes(batch)
        missing += len(changes.points)
        more += len(changes.stale)
    if missing or more:
        raise SearchError(
            f"{index.address}: does not hold the passages of {corpus.name} as they are: of {corpus.passages.num_rows:,} "
            f"{missing:,} are missing or differ, and {more:,} rows of the same items are not in the corpus; bring it up to date "
            f"with  babelmix index CORPUS --to {index.address}"
        )


def audit_policies(
    searcher: Searcher,
    corpus: Corpus,
    policies: str | Sequence[str] = DEFAULT_POLICIES,
    *,
    k: int = 100,
    metrics: str | Sequence[str] | None = None,
    asked: pa.Table | None = None,
    batch_size: int = 32,
    store: bool = True,
) -> dict[str, PolicyAudit]:
    """Search an index for a corpus's queries under each policy in turn, one query at a time.

    Measures, with r_l the rank of the best relevant passage in language l, and k where it is not among the first k:

    - `multi/METRIC`, by default mAP@k and nDCG@10, in the pool of the index.
    - `bias/same-language share@10`: the share of the first 10 answers that are in the query's language.
    - `bias/same-language preference@k`: the mean over other languages l of 1 if r_own < r_l, 0 if r_l < r_own, and 1/2 if
      neither is among the first k; 1/2 is no preference.
    - `bias/languages@10` and `bias/right languages@10`: how many languages the first 10 answers have, and the right ones
      among them.

    Args:
        searcher: the index, which holds the corpus's passages, and its encoder.
        corpus: whose queries and qrels.
        policies: language policies as a person writes them.
        k: answers of a search, from 10 on.
        metrics: ranking metrics with cut-offs of k at most.
        asked: some of the corpus's queries; by default all.
        batch_size: texts a forward pass.
        store: keep the queries' embeddings in the user's cache.

    Returns:
        By policy, what it gave.

    Raises:
        SearchError: the index does not hold the passages, queries are pictures, there is none, or k or a policy is wrong.
        ConfigError: there is no such metric, or its cut-off is too large.

    """
    if not SHARE_AT <= k <= MAX_K:
        raise SearchError(f"k is {k}; an audit through an index looks at the first {SHARE_AT} to {MAX_K:,} answers")
    names = as_list((f"mAP@{k}", f"nDCG@{min(10, k)}") if metrics is None else metrics, "metrics")
    for name in names:
        metric(name)
        cutoff = name.partition("@")[2]
        if not cutoff or int(cutoff) > k:
            raise SearchError(f"{name}: only the first {k} answers are known; name a cut-off of {k} at most")
    chosen = {
        str(policy): policy for policy in map(Policy.parse, as_list(policies, "policies", SearchError, empty=False))
    }
    queries = corpus.queries if asked is None else asked
    if queries.num_rows == 0 or IMAGE in queries["lang"].to_pylist():
        raise SearchError(f"{corpus.name}: has no queries that are texts; an index is audited with texts")
    check_holds(searcher.index, corpus)
    texts = queries["text"].to_pylist()
    vectors = searcher.index.ready(
        encode(
            searcher.encoder, texts, "query", batch_size=batch_size, store=store, label="encoding queries",
        )
    )  # fmt: skip
    judge = _Judge(corpus, queries, k)
    answers = {name: judge.no_answers() for name in chosen}
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    for policy in chosen.values():
        # What is made ready by a first search is not a search's cost.
        searcher.search(texts[:1], vectors=vectors[:1], k=k, policy=policy)
    with progress_bar("searching", len(texts), "queries") as bar:
        for row in range(len(texts)):
            for name, policy in chosen.items():
                began = time.perf_counter()
                # Room for what is no candidate for the query.
                wanted = min(k + judge.excluded_rows(row), MAX_K)
                hits = searcher.search(texts[row : row + 1], vectors=vectors[row : row + 1], k=wanted, policy=policy)[
                    0
                ]
                seconds[name].append(time.perf_counter() - began)
                judge.take(answers[name], row, hits)
            bar.advance()
    return {name: PolicyAudit(judge.measures(answers[name], names), np.array(seconds[name])) for name in chosen}


class _Answers(NamedTuple):
    """Languages of the answers, -1 where there is none, and their grades, 0 where wrong: int64, shape (queries, k)."""

    langs: Integers
    grades: Integers


class _Judge:
    """Searches in, measures out.

    Args:
        corpus: passages and qrels.
        queries: those that are asked.
        k: answers of a search.

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
        """How many passages are no candidates for a query."""
        return sum(sum(self._sizes.get(item, {}).values()) for item in self._excluded.get(self._item[row], ()))

    def take(self, answers: _Answers, row: int, hits: Sequence[Hit]) -> None:
        grades, excluded = self._grades.get(self._item[row], {}), self._excluded.get(self._item[row], ())
        hits = [hit for hit in hits if hit.item not in excluded][: self._k]
        answers.langs[row, : len(hits)] = [self._number(hit.lang) for hit in hits]
        answers.grades[row, : len(hits)] = [grades.get(hit.item, 0) for hit in hits]

    def measures(self, answers: _Answers, metrics: Sequence[str]) -> dict[str, Measure]:
        rows, lists = self._ranked(answers)
        found = [self._measure("multi", name, rows, metric(name)(lists), better=False) for name in metrics]
        own = np.array([self._numbers.get(lang, -1) for lang in self._lang])
        first = answers.langs[:, :SHARE_AT]
        given = np.maximum((first >= 0).sum(axis=1), 1)
        known = np.flatnonzero(own >= 0)
        share = (first == own[:, None]).sum(axis=1) / given
        found.append(self._measure("bias", f"same-language share@{SHARE_AT}", known, share[known]))
        rows, preference = self._preference(answers, own)
        found.append(self._measure("bias", f"same-language preference@{self._k}", rows, preference))
        everyone, right = np.arange(len(own)), answers.grades[:, :SHARE_AT] > 0
        for name, langs in ((LANGUAGES, first), (RIGHT_LANGUAGES, np.where(right, first, -1))):
            # Of a sorted row, how often the next one is another, from -1 on.
            several = (np.diff(np.sort(langs, axis=1), axis=1, prepend=-1) > 0).sum(axis=1)
            found.append(self._measure("bias", name, everyone, several.astype(np.float64), better=False))
        return {measure.name: measure for measure in found if len(measure.values)}

    def _ranked(self, answers: _Answers) -> tuple[Integers, RankedLists]:
        """Queries with relevant passages, and the ranks of these, k where they were not found."""
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
        """See `audit_policies`: queries with relevant passages in their own language and in another."""
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

    def _measure(
        self, setting: str, name: str, rows: Integers, values: Floats, *, better: bool | None = None
    ) -> Measure:
        cells, cell = np.unique(self._lang[rows].astype(str), return_inverse=True)
        return Measure(setting, name, tuple(cells.tolist()), cell, self._group[rows], values, better)
