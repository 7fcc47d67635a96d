"""Audits of a service of ours over HTTP."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from babelmix.api.list_auditing import audit_service
from babelmix.api.through_auditing import audit_through
from babelmix.corpus import Corpus
from babelmix.errors import AuditError, ConfigError, SearchError
from babelmix.evaluation.lists import audit_lists
from babelmix.search import remote
from babelmix.search.remote import ServiceSystem, is_service


def corpus() -> Corpus:
    rows = [{"item": f"i{i}", "lang": lang, "text": f"{i} {lang}"} for i in range(6) for lang in ("de", "en")]
    return Corpus.from_rows(rows, rows, [(f"i{i}", f"i{i}") for i in range(6)], name="pairs")


class Fake:
    """A service that prefers the query's language; under `balanced` it takes turns."""

    def __init__(self, busy: int = 0, key: str = "", status: int = 200) -> None:
        self.busy, self.key, self.status = busy, key, status
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return httpx.Response(401, json={"error": "give a key"})
        if request.url.path == "/about":
            return httpx.Response(200, json={"encoder": "e", "langs": {"de": 6, "en": 9}, "rows": 15, "version": "1"})
        if self.busy > 0:
            self.busy -= 1
            return httpx.Response(503, json={"error": "too many requests"})
        if self.status != 200:
            return httpx.Response(self.status, json={"error": "the request is malformed"})
        body = json.loads(request.content)
        self.asked.append(body)
        number, lang = body["query"].split()
        other = {"de": "en", "en": "de"}[lang]
        order = [(i, lang) for i in range(6)] + [(i, other) for i in range(6)]
        if body["policy"] == "balanced":
            order = [(i, one) for i in range(6) for one in (lang, other)]
        order.sort(key=lambda pair: pair[0] != int(number))
        hits = [{"item": f"i{i}", "lang": one, "score": -n} for n, (i, one) in enumerate(order[: body["k"]])]
        return httpx.Response(200, json={"hits": hits})


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Any:
    def serve(fake: Fake) -> Fake:
        client = httpx.Client
        monkeypatch.setattr(
            remote, "_httpx", lambda: type("Faked", (), {
                "HTTPError": httpx.HTTPError, "Limits": httpx.Limits,
                "Client": lambda **options: client(transport=httpx.MockTransport(fake), **{
                    name: value for name, value in options.items() if name != "limits"
                }),
            }),
        )  # fmt: skip
        return fake

    return serve


def test_a_service_is_told_from_an_index() -> None:
    assert is_service("http://localhost:8765")
    assert is_service("https://example.org/search/")
    assert not is_service("http://localhost:19530/my_index")
    assert not is_service("my-index")


def test_policies_of_a_service_are_compared(served, tmp_path) -> None:
    fake = served(Fake(busy=3))
    report = audit_service("http://x:1", corpus(), policies=["any", "balanced"], k=10, out=tmp_path / "out")
    assert list(report.audits) == ["any", "balanced"]
    assert report.about["pool"] == 15
    assert report.macro("bias/same-language share@10", "any") > report.macro("bias/same-language share@10", "balanced")
    assert {one["k"] for one in fake.asked} == {10, 100}
    assert report.cost["any"]["median"] > 0
    assert {(one.first, one.second) for one in report.comparisons} == {("any", "balanced")}
    assert audit_through("http://x:1", corpus(), depth=10).about["k"] == 10


def test_a_service_is_told_mode_weight_and_languages(served) -> None:
    fake = served(Fake())
    report = audit_through(
        "http://x:1", corpus(), policies="any", mode="hybrid", words_weight=0.2, query_langs="known"
    )
    assert all((one["mode"], one["words_weight"]) == ("hybrid", 0.2) for one in fake.asked)
    assert all(one["query_lang"] == one["query"].split()[1] for one in fake.asked)
    assert (
        report.about["systems"]["any"].items()
        >= {"mode": "hybrid", "words_weight": 0.2, "query_langs": "known"}.items()
    )
    # Older services refuse fields that they do not know.
    served(plain := Fake())
    audit_through("http://x:1", corpus(), policies="any")
    assert {name for one in plain.asked for name in one} == {"query", "k", "policy"}
    with pytest.raises(ConfigError, match="query_lang: is for an index; leave it out for a function"):
        audit_through("no_module:search", corpus(), query_langs="known")


def test_refusals_have_a_sentence(served, monkeypatch) -> None:
    served(Fake(key="secret"))
    with pytest.raises(
        SearchError,
        match=r"refuses the request \(status 401: give a key\); set the key of the service in BABELMIX_KEY",
    ):
        audit_service("http://x:1", corpus())
    monkeypatch.setenv("BABELMIX_KEY", "secret")
    audit_lists({"any": ServiceSystem("http://x:1")}, corpus(), k=10)
    served(Fake(status=422))
    with pytest.raises(
        AuditError, match=r"the query 'i0' in de \('0 de'\): http://x:1: refuses the request \(status 422"
    ):
        audit_lists({"any": ServiceSystem("http://x:1", key="")}, corpus(), k=10)
    served(Fake(busy=1000))
    with pytest.raises(AuditError, match=r"failed 2 times: _BusyError: status 503: too many requests"):
        audit_lists({"any": ServiceSystem("http://x:1", key="", tries=2, pause=0.001)}, corpus(), k=10)
    with pytest.raises(ConfigError, match="depth: a service gives at most 100 answers"):
        audit_service("http://x:1", corpus(), depth=200)
    with pytest.raises(ConfigError, match="policy: is for an index; leave it out for a function"):
        audit_through("no_module:search", corpus(), policies="any")
