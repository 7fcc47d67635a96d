"""Requests to OpenSearch and Elasticsearch over HTTP.

One small client serves both, because Elasticsearch's own client refuses to talk to OpenSearch. It is httpx, which the extra
`search` has already.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal
from urllib.parse import unquote

import tenacity

from babelmix.errors import SearchError, first_line, require
from babelmix.search.foreign.address import Address

Product = Literal["opensearch", "elasticsearch"]

_NAMES = {"opensearch": "OpenSearch", "elasticsearch": "Elasticsearch"}
_BUSY = (429, 502, 503, 504)
_TRIES = 5
_PAUSE = 0.5
_LONGEST = 30.0
_SECONDS = 60.0
_KEEP = "5m"
"""How long the server keeps a point in time, or a scroll, between two pages."""


class _BusyError(Exception):
    """The server cannot answer now. The argument is the sentence for the user, `after` the seconds that it asks to wait."""

    def __init__(self, sentence: str, after: float = 0.0) -> None:
        super().__init__(sentence)
        self.after = after


class RefusedError(SearchError):
    """The server refuses a request.

    Args:
        sentence: what was refused and why.
        status: the status of the answer.

    """

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class ElasticClient:
    """A connection to one index, or to an alias of one index.

    A login is in environment variables: `OPENSEARCH_USER` and `OPENSEARCH_PASSWORD`, or `OPENSEARCH_TOKEN` (a bearer token);
    `ELASTICSEARCH_USER` and `ELASTICSEARCH_PASSWORD`, or `ELASTICSEARCH_API_KEY`. User and password may be in the address too.
    The authority of a certificate of your own is the file of `SSL_CERT_FILE`.

    Requests are tried again, after a pause that doubles, if the server is busy or cannot be reached.

    Args:
        address: `opensearch://HOST:9200/INDEX` or `elasticsearch://HOST:9200/INDEX`; `+https` after the scheme, or the option
            `tls=true`, encrypts.

    Raises:
        SearchError: the server does not answer, wants another login, or is of the other product; or there is no such index.
        MissingExtraError: httpx is not installed.

    """

    def __init__(self, address: Address) -> None:
        self.address = str(address)
        scheme, _, way = address.scheme.partition("+")
        self.product: Product = "opensearch" if scheme == "opensearch" else "elasticsearch"
        self.called = _NAMES[self.product]
        tls = address.options.get("tls", "").lower()
        if tls not in ("", "true", "false"):
            raise SearchError(f"{self.address}: tls is true or false, not {tls!r}")
        self._httpx: Any = require("httpx", "search", f"an index of {self.called}")
        user, _, host = address.place.rpartition("@")
        self._client = self._httpx.Client(
            base_url=f"{'https' if way == 'https' or tls == 'true' else 'http'}://{host}/",
            timeout=_SECONDS,
            **self._login(user),
        )
        self._prefix = "".join(f"{part}/" for part in address.path[:-1])
        try:
            self._check_product()
            self.index, self.mapping = self._one_index(address.path[-1])
        except BaseException:
            self._client.close()
            raise

    def _login(self, user: str) -> dict[str, Any]:
        variable = self.product.upper()
        name, colon, password = user.partition(":")
        name = unquote(name) or os.environ.get(f"{variable}_USER", "")
        password = unquote(password) if colon else os.environ.get(f"{variable}_PASSWORD", "")
        self._key = f"{variable}_TOKEN" if self.product == "opensearch" else f"{variable}_API_KEY"
        key = os.environ.get(self._key, "")
        self._given = f"the user {name!r}" if name else self._key if key else ""
        if name:
            return {"auth": (name, password)}
        kind = "Bearer" if self.product == "opensearch" else "ApiKey"
        return {"headers": {"authorization": f"{kind} {key}"}} if key else {}

    def _check_product(self) -> None:
        try:
            found = self.get("/")
        except RefusedError as error:
            # Some users may search an index and not ask the server what it is.
            if error.status in (403, 404):
                return
            raise
        version = found.get("version")
        self.version = str(version.get("number", "")) if isinstance(version, dict) else ""
        is_opensearch = isinstance(version, dict) and version.get("distribution") == "opensearch"
        if is_opensearch != (self.product == "opensearch") and isinstance(version, dict):
            other = "opensearch" if is_opensearch else "elasticsearch"
            raise SearchError(f"{self.address}: the server is {_NAMES[other]}; the address begins with  {other}://")

    def _one_index(self, name: str) -> tuple[str, dict[str, Any]]:
        """The index behind a name, and its mapping."""
        found = self.get(f"/{name}/_mapping")
        if len(found) != 1:
            names = ", ".join(sorted(found)[:5]) or "none"
            raise SearchError(f"{self.address}: stands for {len(found)} indices ({names}); name one index")
        index, content = next(iter(found.items()))
        return index, content.get("mappings", {})

    def get(self, path: str) -> dict[str, Any]:
        """The answer to a GET request."""
        return self._request("GET", path, None)

    def post(self, path: str, body: Any = None) -> dict[str, Any]:
        """The answer to a POST request."""
        return self._request("POST", path, body)

    def put(self, path: str, body: Any) -> dict[str, Any]:
        """The answer to a PUT request."""
        return self._request("PUT", path, body)

    def search(self, body: Mapping[str, Any], options: str = "") -> dict[str, Any]:
        """The complete answer to a search of the index.

        Args:
            body: the request.
            options: what follows the question mark.

        Raises:
            SearchError: see `complete`.

        """
        return self.complete(self.post(f"/{self.index}/_search{options and '?'}{options}", body))

    def complete(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The same answer.

        Raises:
            SearchError: some shards did not answer, or the search ran out of time, so that rows may be missing.

        """
        shards = answer.get("_shards") or {}
        total, well = int(shards.get("total", 0)), int(shards.get("successful", 0))
        if int(shards.get("failed", 0)) or well < total:
            failures = shards.get("failures") or [{}]
            why = _reason(failures[0].get("reason")) or "the cluster is red?"
            raise SearchError(
                f"{self.address}: {total - well} of {total} shards did not answer, so rows are missing: {why}"
            )
        if answer.get("timed_out"):
            raise SearchError(f"{self.address}: the search ran out of the server's time, so rows may be missing")
        return answer

    def pages(self, body: Mapping[str, Any], size: int) -> Iterator[list[dict[str, Any]]]:
        """All hits of a query as they were when the first page was asked for, in pages of at most so many.

        Elasticsearch: a point in time with `search_after`. OpenSearch: a scroll, because its points in time have no order that
        tells all documents of several shards apart before version 3.3 (`_shard_doc`).

        """
        yield from (self._scrolled if self.product == "opensearch" else self._in_time)(body, size)

    def _in_time(self, body: Mapping[str, Any], size: int) -> Iterator[list[dict[str, Any]]]:
        point = self.post(f"/{self.index}/_pit?keep_alive={_KEEP}")["id"]
        after: dict[str, Any] = {}
        try:
            while True:
                asked = {"pit": {"id": point, "keep_alive": _KEEP}, "sort": [{"_shard_doc": "asc"}], **body, **after}
                answer = self.complete(self.post("/_search", {**asked, "size": size, "track_total_hits": False}))
                point = answer.get("pit_id", point)
                hits = answer["hits"]["hits"]
                if hits:
                    yield hits
                if len(hits) < size:
                    return
                after = {"search_after": hits[-1]["sort"]}
        finally:
            with suppress(SearchError):  # it ends by itself
                self._request("DELETE", "/_pit", {"id": point})

    def _scrolled(self, body: Mapping[str, Any], size: int) -> Iterator[list[dict[str, Any]]]:
        answer = self.search({**body, "sort": ["_doc"], "size": size}, f"scroll={_KEEP}")
        try:
            while hits := answer["hits"]["hits"]:
                yield hits
                asked = {"scroll": _KEEP, "scroll_id": answer["_scroll_id"]}
                answer = self.complete({**asked, **self.post("/_search/scroll", asked)})
        finally:
            with suppress(SearchError):
                self._request("DELETE", "/_search/scroll", {"scroll_id": answer["_scroll_id"]})

    def bulk(self, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Write documents.

        Args:
            lines: actions, each followed by what is written.

        Returns:
            The answer to each action: `status`, and `error` if it failed.

        """
        text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
        answer = self._request("POST", f"/{self.index}/_bulk", text)
        return [next(iter(item.values())) for item in answer["items"]]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _request(self, method: str, path: str, body: Any) -> dict[str, Any]:
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(_TRIES), wait=_wait, retry=tenacity.retry_if_exception_type(_BusyError), reraise=True
        )  # fmt: skip
        try:
            for attempt in retrying:
                with attempt, self._errors():
                    return self._answer(self._sent(method, path, body))
        except _BusyError as error:
            raise SearchError(f"{error} (tried {_TRIES} times)") from error
        raise AssertionError  # the loop returns or raises

    def _sent(self, method: str, path: str, body: Any) -> Any:
        path = f"{self._prefix}{path.lstrip('/')}"
        if isinstance(body, str):
            headers = {"content-type": "application/x-ndjson"}
            return self._client.request(method, path, content=body.encode(), headers=headers)
        return (
            self._client.request(method, path, json=body) if body is not None else self._client.request(method, path)
        )

    def _answer(self, response: Any) -> dict[str, Any]:
        status = response.status_code
        try:
            found = response.json()
        except ValueError:
            found = None
        if status < 400 and isinstance(found, dict):
            return found
        why = _reason(found.get("error") if isinstance(found, dict) else None)
        if status in _BUSY:
            after = response.headers.get("retry-after", "")
            raise _BusyError(
                f"{self.address}: the server is busy ({status}{why and ': '}{why})",
                float(after) if after.isdigit() else 0.0,
            )
        raise RefusedError(self._sentence(status, why, found), status)

    def _sentence(self, status: int, why: str, found: Any) -> str:
        if status == 401:
            if self._given:
                return f"{self.address}: the server does not accept {self._given}"
            return (
                f"{self.address}: the server wants a login: set the environment variables {self.product.upper()}_USER and "
                f"{self.product.upper()}_PASSWORD, or {self._key}"
            )
        if status == 403:
            return f"{self.address}: {self._given or 'nobody without a login'} may not do this: {why or 'forbidden'}"
        if status == 404 and why.startswith("no such index"):
            return f"{self.address}: there is no such index"
        if status < 400 or not isinstance(found, dict):
            return f"{self.address}: what answers there is not {self.called} (status {status})"
        return f"{self.address}: {why or 'the request was refused'} (status {status})"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._httpx.TimeoutException as error:
            raise SearchError(f"{self.address}: no answer within {_SECONDS:g} seconds") from error
        except (self._httpx.NetworkError, self._httpx.RemoteProtocolError) as error:
            raise _BusyError(f"{self.address}: {self.called} cannot be reached: {first_line(error)}") from error
        except (self._httpx.HTTPError, self._httpx.InvalidURL, UnicodeError) as error:
            raise SearchError(f"{self.address}: {first_line(error)}") from error


def _wait(state: tenacity.RetryCallState) -> float:
    """As long as the server asks for; else a pause that doubles."""
    error = state.outcome.exception() if state.outcome is not None else None
    after = error.after if isinstance(error, _BusyError) else 0.0
    return float(min(_LONGEST, after or _PAUSE * 2 ** (state.attempt_number - 1)))


def _reason(error: Any) -> str:
    """Why the server refuses, in its words, on one line."""
    if isinstance(error, str):
        return " ".join(error.split())
    if not isinstance(error, dict):
        return ""
    causes = error.get("root_cause") or [error]
    deepest: Any = error.get("caused_by")
    while isinstance(deepest, dict) and isinstance(deepest.get("caused_by"), dict):
        deepest = deepest["caused_by"]
    found = [causes[0].get("reason"), deepest.get("reason") if isinstance(deepest, dict) else None]
    return " ".join("; ".join(dict.fromkeys(str(one) for one in found if one)).split())[:300]


__all__ = ["ElasticClient", "Product", "RefusedError"]
