"""The metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

MOST_LANGS = 200
"""Maximum languages with a metric of their own: those with the most rows. The others are counted together."""

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
        self._registry.register(_Rows(langs))

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)


class _Rows(Collector):
    def __init__(self, langs: Callable[[], Mapping[str, int]]) -> None:
        self._langs = langs

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("babelmix_index_rows", "Rows of the index.", labels=["lang"])
        # A client with a write key may add any number of languages; each would be a time series forever.
        counts = sorted(self._langs().items(), key=lambda entry: (-entry[1], entry[0]))
        for lang, count in sorted(counts[:MOST_LANGS]):
            family.add_metric([lang], count)
        if len(counts) > MOST_LANGS:
            family.add_metric(["other"], sum(count for _, count in counts[MOST_LANGS:]))
        yield family

    def describe(self) -> Iterator[Metric]:
        # Without this, registration would count the rows of the index.
        yield GaugeMetricFamily("babelmix_index_rows", "Rows of the index.", labels=["lang"])
