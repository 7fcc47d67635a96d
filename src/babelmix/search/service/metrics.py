"""The metrics for Prometheus."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from babelmix.corpus.languages import find_language
from babelmix.search.request_lines import is_own

MOST_LANGS = 200
"""Maximum languages with a metric of their own: those with the most rows. The others are counted together."""

MOST_PAIRED = 60
"""The same for pairs of a query's and an answer's language, because 200 languages have 40,000 pairs."""

UNKNOWN, OTHER = "unknown", "other"
"""The labels of a query without a language, and of languages beyond the most."""

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 120)


class Metrics:
    """The metrics of one service.

    Args:
        langs: returns the rows of the index by language.

    """

    def __init__(self, langs: Callable[[], Mapping[str, int]]) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "babelmix_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "babelmix_request_seconds", "Time to answer.", ["route"], buckets=_SECONDS, registry=self._registry
        )
        self.in_flight = Gauge("babelmix_requests_in_flight", "Requests being worked on.", registry=self._registry)
        self.encode_seconds = Histogram(
            "babelmix_encode_seconds", "Time of a forward pass.", ["kind"], buckets=_SECONDS, registry=self._registry
        )
        self.encode_batch = Histogram(
            "babelmix_encode_batch_size", "Inputs of a forward pass.", ["kind"], buckets=(1, 2, 4, 8, 16, 32),
            registry=self._registry,
        )  # fmt: skip
        self._searches = Counter(
            "babelmix_searches", "Searches by the query's language.", ["query_lang"], registry=self._registry
        )
        self._answers = Counter(
            "babelmix_answers", "Answers by the query's language and their own.", ["query_lang", "answer_lang", "own"],
            registry=self._registry,
        )  # fmt: skip
        self.log_lines = Counter("babelmix_log_lines", "Searches for the log.", ["result"], registry=self._registry)
        self._registry.register(_Rows(langs))
        self._langs = langs
        self._named: set[str] = set()

    def count_answers(self, query_lang: str | None, answers: Sequence[str]) -> None:
        """Count the answers to a query.

        Args:
            query_lang: the query's language; None: unknown. A language that the index does not have counts as `other`, because a
                client may name any number of languages.
            answers: the languages of the answers.

        """
        asked = UNKNOWN if query_lang is None else self._label(query_lang)
        self._searches.labels(asked).inc()
        for lang, count in Counts(answers).items():
            own = UNKNOWN if query_lang is None else "yes" if is_own(query_lang, lang) else "no"
            self._answers.labels(asked, self._label(lang), own).inc(count)

    def _label(self, lang: str) -> str:
        """A language of the index, if it is not one too many. A label stays as long as the service runs."""
        if lang in self._named:
            return lang
        langs = self._langs()
        found = find_language(lang, list(langs))
        if found is None or (found not in self._named and len(self._named) >= MOST_PAIRED):
            return OTHER
        self._named |= {found} & {one for one, _ in _by_rows(langs)[:MOST_PAIRED]}
        return found if found in self._named else OTHER

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)


class _Rows(Collector):
    def __init__(self, langs: Callable[[], Mapping[str, int]]) -> None:
        self._langs = langs

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("babelmix_index_rows", "Rows of the index.", labels=["lang"])
        # A client with a write key may add any number of languages; each would be a time series forever.
        counts = _by_rows(self._langs())
        for lang, count in sorted(counts[:MOST_LANGS]):
            family.add_metric([lang], count)
        if len(counts) > MOST_LANGS:
            family.add_metric([OTHER], sum(count for _, count in counts[MOST_LANGS:]))
        yield family

    def describe(self) -> Iterator[Metric]:
        # Without this, registration would count the rows of the index.
        yield GaugeMetricFamily("babelmix_index_rows", "Rows of the index.", labels=["lang"])


def _by_rows(langs: Mapping[str, int]) -> list[tuple[str, int]]:
    """Languages and their rows, those with the most rows first."""
    return sorted(langs.items(), key=lambda entry: (-entry[1], entry[0]))
