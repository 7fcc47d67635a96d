"""A reranker behind a URL: text-embeddings-inference, vLLM, Jina, Cohere, and what answers like them.

Two forms of a request are in use. text-embeddings-inference takes `texts` and answers with a list of `index` and `score`; the
others take `model` and `documents`, and answer with `results` of `index` and `relevance_score`.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import numpy as np

from babelmix.errors import EngineError, SearchError, first_line, require
from babelmix.search.reranking.base import DEPTH, Floats, Reranker, checked_depth, checked_scores

RERANK_KEY = "BABELMIX_RERANK_KEY"
"""The environment variable with the key of the service; it is sent as a bearer token."""

FORMS = ("texts", "documents")
SCALES = ("raw", "probability")

_URL = re.compile(r"https?://", re.IGNORECASE)
_OWN = ("depth", "form", "model", "scores")
_TIMEOUT, _TRIES, _PAUSE = 60.0, 4, 0.5
_BUSY = (429, 502, 503, 504)
_OTHER_FORM = (400, 404, 422)
_LEAST = 1e-7
"""Probabilities are kept this far from 0 and 1, so that their log-odds are finite."""


def is_url(name: str) -> bool:
    """Whether the name of a reranker is a URL."""
    return _URL.match(name) is not None


class _BusyError(Exception):
    """The service cannot answer now."""


class _RefusedError(EngineError):
    """The service refuses the form of a request."""


class ServiceReranker(Reranker):
    """A service that scores texts for a query. Several threads may use one instance.

    Options follow the URL after a question mark, and are not sent: `model=NAME`; `form=texts` or `form=documents`, by default
    `documents` with a model, and without one whatever the service accepts; `scores=raw` or `scores=probability`; `depth=N`, the
    rows of a query that are scored. Probabilities, the default of the form `documents`, are turned into log-odds, so that their
    means say something.

    Args:
        url: the URL of its endpoint.
        batch_size: the most texts per request; text-embeddings-inference allows 32 by default.
        key: the key; None: what the environment variable `BABELMIX_RERANK_KEY` holds.
        timeout: seconds that a request may take.
        tries: how often a request is tried.
        pause: seconds before the second try.

    Raises:
        SearchError: the URL or an option is wrong.
        MissingExtraError: the extra `search` is not installed.

    """

    def __init__(
        self,
        url: str,
        *,
        batch_size: int = 32,
        key: str | None = None,
        timeout: float = _TIMEOUT,
        tries: int = _TRIES,
        pause: float = _PAUSE,
    ) -> None:
        self._httpx: Any = require("httpx", "search", "A reranker behind a URL")
        self._endpoint, options, login = _parted(url)
        # What stands after the question mark may be a key.
        self.name = self._endpoint.partition("?")[0]
        self.batch_size, self._tries, self._pause = batch_size, tries, pause
        self._model = options.get("model")
        form = options.get("form") or ("documents" if self._model else None)
        for given, known, what in ((form, FORMS, "form"), (options.get("scores"), SCALES, "scores")):
            if given is not None and given not in known:
                raise SearchError(f"{self.name}: {what}={given[:40]} is unknown; use {' or '.join(known)}")
        self._form, self._scale = form, options.get("scores")
        if not (depth := options.get("depth", str(DEPTH))).isdecimal():
            raise SearchError(f"{self.name}: depth={depth[:40]} is no whole number")
        self.depth = checked_depth(int(depth))
        key = os.environ.get(RERANK_KEY, "") if key is None else key
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._client = self._httpx.Client(headers=headers, auth=login if not key else None, timeout=timeout)
        self._choosing = threading.Lock()

    def scores(self, query: str, texts: Sequence[str]) -> Floats:
        """See `Reranker.scores`."""
        parts = [
            self._scores(query, texts[start : start + self.batch_size])
            for start in range(0, len(texts), self.batch_size)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _scores(self, query: str, texts: Sequence[str]) -> Floats:
        if self._form is not None:
            return self._asked(query, texts, self._form)
        with self._choosing:
            if self._form is None:
                try:
                    found = self._asked(query, texts, "texts")
                    self._form = "texts"
                except _RefusedError as first:
                    try:
                        found = self._asked(query, texts, "documents")
                    except _RefusedError:
                        # The first refusal is about the form that needs no model.
                        raise first from None
                    self._form = "documents"
                return found
        return self._asked(query, texts, self._form)

    def _asked(self, query: str, texts: Sequence[str], form: str) -> Floats:
        """The scores, by one form of the request."""
        body: dict[str, Any] = {"query": query, form: list(texts)}
        if form == "texts":
            body |= {"raw_scores": True, "return_text": False, "truncate": True}
        else:
            body |= {"top_n": len(texts), "return_documents": False}
        if self._model:
            body["model"] = self._model
        scores = checked_scores(self._in_order(self._answer(body), len(texts)), len(texts), self.name)
        if (self._scale or ("raw" if form == "texts" else "probability")) == "raw":
            return scores
        if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
            raise EngineError(
                f"{self.name}: gave the score {float(scores.max()):g}, which is no probability; add  scores=raw  to the address"
            )
        kept = np.clip(scores.astype(np.float64), _LEAST, 1 - _LEAST)
        return np.log(kept / (1 - kept)).astype(np.float32)

    def _answer(self, body: Mapping[str, Any]) -> Any:
        """The JSON of an answer; a request is tried again while the service is busy."""
        import tenacity

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._tries),
            wait=tenacity.wait_exponential(self._pause, max=60) + tenacity.wait_random(0, self._pause / 2),
            retry=tenacity.retry_if_exception_type((_BusyError, self._httpx.TransportError)),
            reraise=True,
        )
        try:
            return retrying(self._once, body)
        except (_BusyError, self._httpx.HTTPError, self._httpx.InvalidURL) as error:
            why = first_line(error) or type(error).__name__
            raise EngineError(f"{self.name}: the reranker cannot be reached ({why})") from error

    def _once(self, body: Mapping[str, Any]) -> Any:
        response = self._client.post(self._endpoint, json=body)
        if response.status_code in _BUSY:
            raise _BusyError(f"status {response.status_code}")
        try:
            found = response.json()
        except ValueError:
            found = None
        if response.status_code != 200:
            said = _said(found)
            more = f"; set its key in {RERANK_KEY}" if response.status_code in (401, 403) else ""
            sentence = f"{self.name}: the reranker refuses the request (status {response.status_code}{said}){more}"
            raise (_RefusedError if response.status_code in _OTHER_FORM else EngineError)(sentence)
        if found is None:
            raise EngineError(f"{self.name}: answers, but not with JSON; is this the address of a reranker?")
        return found

    def _in_order(self, answer: Any, count: int) -> list[float]:
        """The scores in the order of the texts."""
        results = answer.get("results", answer.get("data")) if isinstance(answer, dict) else answer
        if not isinstance(results, list):
            raise EngineError(f"{self.name}: the answer has no list of results; is this the address of a reranker?")
        scores: dict[int, float] = {}
        for one in results:
            place = one.get("index") if isinstance(one, dict) else None
            score = one.get("relevance_score", one.get("score")) if isinstance(one, dict) else None
            if not _is_number(place) or not _is_number(score) or place not in range(count):
                raise EngineError(f"{self.name}: the answer has {str(one)[:80]}, which is no index with a score")
            if place in scores:
                raise EngineError(f"{self.name}: the answer has the text {place} twice")
            scores[int(place)] = float(score)
        if len(scores) < count:
            raise EngineError(f"{self.name}: the answer scores {len(scores):,} of {count:,} texts")
        return [scores[place] for place in range(count)]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _said(found: Any) -> str:
    """What an error says of itself."""
    told = (
        next((found[key] for key in ("error", "message", "detail") if found.get(key)), None)
        if isinstance(found, dict)
        else None
    )
    told = told.get("message", told) if isinstance(told, dict) else told
    return f": {' '.join(str(told).split())[:200]}" if told else ""


def _parted(url: str) -> tuple[str, dict[str, str], tuple[str, str] | None]:
    """The endpoint without options and login, the options, and the login."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise SearchError("the address of a reranker is malformed; write  https://HOST/rerank")
    login = (parts.username, parts.password or "") if parts.username else None
    given = parse_qsl(parts.query, keep_blank_values=True)
    options = {name: value for name, value in given if name in _OWN}
    rest = urlencode([(name, value) for name, value in given if name not in _OWN])
    place = f"[{host}]" if ":" in host else host
    netloc = place if port is None else f"{place}:{port}"
    return urlunsplit((parts.scheme.lower(), netloc, parts.path, rest, "")), options, login


__all__ = ["RERANK_KEY", "ServiceReranker", "is_url"]
