"""A service of `babelmix serve` as a system: the index behind it is audited over HTTP, under a language policy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies
from babelmix.errors import SearchError, require
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.systems.base import Answer, ListSystem
from babelmix.evaluation.systems.function import Search
from babelmix.evaluation.systems.shown import AsShown
from babelmix.search.options import KNOWN, SearchOptions
from babelmix.search.policies import Policy
from babelmix.search.reading import assumed_reader
from babelmix.search.variants import Variant

if TYPE_CHECKING:
    import httpx

KEY = "BABELMIX_KEY"
"""The environment variable with the key of a service that needs one."""

MAX_HITS = 100
"""The most answers that a service gives to a query."""

_TIMEOUT = 60.0
_BUSY = (429, 502, 503, 504)
_SERVICE = re.compile(r"https?://[^/?#\s]+/?|https?://[^?#\s]+/", re.IGNORECASE)


def is_service(address: str) -> bool:
    """Whether an address is that of a service: a URL without a path, or with one that ends with a slash.

    Examples:
        >>> is_service("http://localhost:8765"), is_service("https://example.org/search/")
        (True, True)
        >>> is_service("http://localhost:19530/my_index"), is_service("my-index")
        (False, False)

    """
    return _SERVICE.fullmatch(address) is not None


class _BusyError(Exception):
    """The service cannot answer now."""


@dataclass(eq=False)
class ServiceSystem:
    """A service under a language policy: a `ListSystem` with up to 100 answers per query.

    Args:
        url: the URL of the service, such as `http://localhost:8765`.
        policy: the language policy.
        workers: the most requests at the same time.
        tries: how often a request is tried.
        pause: seconds before the second try.
        key: the key, if the service needs one; None: what the environment variable `BABELMIX_KEY` holds.
        options: mode, weight of words, fusion, what is shown, and what is said of the languages of the queries.
        once: each item once.

    """

    url: str
    policy: Policy | str = "any"
    workers: int = 4
    tries: int = 4
    pause: float = 0.5
    key: str | None = None
    options: SearchOptions = field(default_factory=SearchOptions)
    once: bool = False
    seconds: list[float] = field(default_factory=list, init=False)
    """The time of each request, in the order of the queries; with the embedding of the query, and the network."""

    depth = MAX_HITS
    # The index may hold more than the corpus.
    unknown = "wrong"

    def __post_init__(self) -> None:
        self.policy = Policy.parse(self.policy) if isinstance(self.policy, str) else self.policy
        self.url = self.url.rstrip("/")

    @property
    def name(self) -> str:
        """The URL and the policy."""
        return f"{self.url}, {self.policy}"

    @cached_property
    def _client(self) -> httpx.Client:
        key = os.environ.get(KEY, "") if self.key is None else self.key
        headers = {"authorization": f"Bearer {key}"} if key else {}
        limits = _httpx().Limits(max_connections=self.workers)
        return _httpx().Client(base_url=self.url, headers=headers, timeout=_TIMEOUT, limits=limits)

    @cached_property
    def about(self) -> dict[str, Any]:
        """What the service says about its index: the encoder, the languages, the number of rows.

        Raises:
            SearchError: there is no such service, or it refuses.

        """
        try:
            return self._answer(self._client.get("/about"))
        except (_BusyError, OSError, _httpx().HTTPError) as error:
            raise SearchError(
                f"{self.url}: cannot be reached ({error}); is  babelmix serve  running there?"
            ) from error

    @property
    def pool(self) -> dict[str, int]:
        """How many passages the index has in each language."""
        return dict(self.about["langs"])

    def facts(self, corpus: Corpus, *, copies: Copies = "wrong") -> AuditFacts:
        """The encoder, the URL, the size of the index, the policy and the corpus."""
        del copies
        about = self.about
        return AuditFacts(
            encoder=str(about["encoder"]),
            corpus=corpus.name,
            fingerprint=corpus.fingerprint(),
            queries=corpus.queries.num_rows,
            passages=corpus.passages.num_rows,
            extra={
                "service": self.url,
                "policy": str(self.policy),
                "pool": about["langs"],
                "version": about["version"],
                **self.options.facts(),
            },
        )

    def retrieve(self, queries: pa.Table, k: Sequence[int]) -> Iterator[Sequence[Answer]]:
        """Send one query after the other, some of them at the same time.

        Raises:
            AuditError: the service refuses a query, or fails again and again.

        """
        found = Search(
            self._search, self.name, self.depth, workers=self.workers, tries=self.tries, pause=self.pause,
            unknown="wrong",
        )  # fmt: skip
        self.seconds = found.seconds
        return found.retrieve(queries, k)

    def _search(self, text: str, lang: str, k: int) -> list[Answer]:
        body = {"query": text, "k": k, "policy": str(self.policy), **self.options.facts()}
        body |= {"once": True} if self.once else {}
        # Older services do not know the field: it is sent only if it is needed.
        if (said := body.pop("query_langs", None)) is not None:
            body["query_lang"] = lang if said == KNOWN else said
        answer = self._answer(self._client.post("/search", json=body))
        return [Answer(hit["item"], hit["lang"], hit["score"]) for hit in answer["hits"]]

    def _answer(self, response: httpx.Response) -> dict[str, Any]:
        """The JSON of an answer.

        Raises:
            SearchError: the service refuses the request.

        """
        try:
            found = response.json()
        except ValueError:
            found = None
        if response.status_code == 200 and isinstance(found, dict):
            return found
        why = found.get("error") if isinstance(found, dict) else None
        sentence = f"status {response.status_code}{f': {why}' if why else ''}"
        if response.status_code in _BUSY:
            raise _BusyError(sentence)
        more = f"; set the key of the service in {KEY}" if response.status_code in (401, 403) else ""
        raise SearchError(f"{self.url}: refuses the request ({sentence}){more}")


def service_systems(
    url: str, chosen: Mapping[str, Variant], *, shown: int, judged: int
) -> tuple[dict[str, ListSystem], tuple[str, ...], ListSystem | None]:
    """A service under several policies.

    Args:
        url: the URL of the service.
        chosen: the ways to search, by name.
        shown: the number of answers that users see.
        judged: the number of answers to judge.

    Returns:
        The systems by name; what searchers are assumed to read (see `assumed_reader`); and the system that searches these
        languages alone, if there is something to compare with it.

    Raises:
        SearchError: a policy is wrong, the languages of the queries are needed, or the service cannot be reached.

    """
    options = next(iter(chosen.values())).options
    reads = assumed_reader((one.policy for one in chosen.values()), options)
    systems: dict[str, ListSystem] = {}
    for name, one in chosen.items():
        system, deeper = (ServiceSystem(url, one.policy, options=one.options) for _ in range(2))
        _ = system.about
        systems[name] = system if shown == judged else AsShown(system, deeper, shown=shown, judged=judged)
    if options.show != "mine":
        return systems, reads, None
    alone = Policy("any", reads=reads)
    return systems, reads, ServiceSystem(url, alone, options=replace(options, show="found"), once=True)


def _httpx() -> Any:
    return require("httpx", "search", "An audit through a service")


__all__ = ["KEY", "ServiceSystem", "is_service", "service_systems"]
