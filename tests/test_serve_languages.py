"""What the service knows of languages: of its clients, in its metrics, in its examples, and in its log."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra 'search' is not installed")
pytest.importorskip("qdrant_edge", reason="the extra 'search' is not installed")

from conftest import Serve

from babelmix.errors import ConfigError, ReaderError
from babelmix.search import Searcher
from babelmix.search.request_lines import HEADER, LoggedSearch, is_own, read_request_lines
from babelmix.search.service import request_log
from babelmix.search.service.accept_language import MOST, accepted_languages, languages_among, policy_for
from babelmix.search.service.metrics import MOST_PAIRED, Metrics
from babelmix.search.serving import service_settings

LANGS = ["de", "en", "fr", "ja"]


@pytest.mark.parametrize(
    ("header", "langs"),
    [
        ("de", ["de"]), ("de-CH, de;q=0.9, en;q=0.8", ["de-CH", "de", "en"]), ("fr;q=0.5,de;q=0.9", ["de", "fr"]),
        ("EN-us,zh-hant-tw", ["en-US", "zh-Hant-TW"]), ("*", []), ("*;q=0.5, ja", ["ja"]), ("de;q=0, en", ["en"]),
        ("", []), (",,;;,", []), ("de;q=2, en", ["en"]), ("de;q=x;q=1, en", ["en"]), ("de; q=0.25 ,en ; Q=1.000", ["en", "de"]),
        ("<script>, de", ["de"]), ("de, de;q=0.1, en;q=0.5", ["de", "en"]), ("i" * 5000, []), ("de;level=1", []),
        ("de_DE,\u00e4,\x00,xx,en", ["en"]),
    ],
    ids=lambda value: ascii(value)[:30],
)  # fmt: skip
def test_accept_language(header: str, langs: list[str]) -> None:
    assert accepted_languages(header) == langs


def test_a_long_header_is_cut() -> None:
    many = ["aa", "ab", "af", "ak", "am", "an", "ar", "as", "av", "ay", "az", "ba"]
    assert accepted_languages(",".join(many)) == many[:MOST]


def test_languages_that_the_index_has() -> None:
    assert languages_among(["de-AT", "zh-Hant-TW", "sw", "en"], ["de", "en-GB", "en-US", "zh"]) == [
        "de", "zh", "en-GB", "en-US",
    ]  # fmt: skip
    # A reader of de-AT reads de too, whatever else there is.
    assert languages_among(["de-AT"], ["de", "de-AT", "de-CH"]) == ["de-AT", "de"]
    assert languages_among(["de-AT"], ["de-CH", "en"]) == ["de-CH"]
    assert policy_for("sw, *", LANGS, "prefer") is None
    assert policy_for("en-AU,en;q=0.9,ja;q=0.1", LANGS, "prefer") == "prefer=en,ja"


def test_the_header_gives_a_policy_to_searches_without_one(serve: Serve, searcher: Searcher) -> None:
    client = serve(accept_language="prefer")
    header = {"accept-language": "ja, de-CH;q=0.5, sw;q=0.1"}
    answer = client.post("/search", json={"query": "cat 3"}, headers=header)
    assert answer.headers["vary"] == "Accept-Language"
    assert answer.json()["policy"] == "prefer=ja,de"
    wanted = searcher.search("cat 3", policy="prefer=ja,de")
    assert [hit["id"] for hit in answer.json()["hits"]] == [hit.id for hit in wanted]
    for body, headers in (
        ({"policy": "any"}, header),
        ({}, {"accept-language": "sw"}),
        ({}, {"accept-language": "*"}),
    ):
        found = client.post("/search", json={"query": "cat 3", **body}, headers=headers)
        assert (found.json()["policy"], found.headers["vary"]) == ("any", "Accept-Language")
    quiet = serve().post("/search", json={"query": "cat 3"}, headers=header)
    assert quiet.json()["policy"] == "any"
    assert "vary" not in quiet.headers


def test_only_what_a_client_reads(serve: Serve) -> None:
    client = serve(accept_language="reads")
    body = {"query": "cat 3", "k": 20}
    found = client.post("/search", json=body, headers={"accept-language": "ja, fr;q=0.5"}).json()
    assert (found["policy"], {hit["lang"] for hit in found["hits"]}) == ("reads=ja,fr", {"ja", "fr"})
    own = client.post("/search", json={**body, "query_lang": "en", "k": 60}, headers={"accept-language": "ja"}).json()
    assert (own["policy"], {hit["lang"] for hit in own["hits"]}) == ("reads=own,ja", {"en", "ja"})
    mine = client.post("/search", json={**body, "show": "mine"}, headers={"accept-language": "ja"}).json()["hits"]
    assert {(hit["lang"], tuple(hit["also"])) for hit in mine} == {("ja", ("de", "en", "fr"))}


def samples(text: str, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The values of a metric by some of its labels."""
    found = re.findall(rf"^{name}{{(.*?)}} (\S+)$", text, re.MULTILINE)
    named = [(dict(re.findall(r'(\w+)="(.*?)"', pairs)), float(value)) for pairs, value in found]
    return {tuple(pairs[label] for label in labels or ("query_lang",)): value for pairs, value in named}


def test_answers_are_counted_by_languages(serve: Serve) -> None:
    client = serve()
    assert samples(client.get("/metrics").text, "babelmix_searches_total") == {}
    for lang, count in (("de", 2), ("xx-not-one", 0), ("sw", 1), (None, 1)):
        for _ in range(max(count, 1)):
            body = {"query": "Katze 3", "k": 5, **({"query_lang": lang} if lang else {})}
            body["policy"] = {"de": "only=de", "sw": "only=fr"}.get(str(lang), "any")
            assert client.post("/search", json=body).status_code == (200 if count else 400)
    text = client.get("/metrics").text
    assert samples(text, "babelmix_searches_total") == {("de",): 2, ("other",): 1, ("unknown",): 1}
    answers = samples(text, "babelmix_answers_total", "query_lang", "answer_lang", "own")
    assert sum(answers.values()) == 20
    assert answers["de", "de", "yes"] == 10
    assert answers["other", "fr", "no"] == 5
    assert {own for query, _, own in answers if query == "unknown"} == {"unknown"}


def test_labels_are_bounded() -> None:
    langs = {f"{first}{second}": 1000 - place for place, (first, second) in enumerate(
        (a, b) for a in "abcdefgh" for b in "abcdefghijklmnop"
    )}  # fmt: skip
    metrics = Metrics(lambda: langs)
    for lang in langs:
        metrics.count_answers(lang, [lang])
    text = metrics.text().decode()
    assert len(samples(text, "babelmix_searches_total")) <= MOST_PAIRED + 1
    assert samples(text, "babelmix_searches_total")["other",] == len(langs) - MOST_PAIRED


def test_regions_are_own() -> None:
    assert is_own("en", "en-US")
    assert is_own("pt-BR", "pt")
    assert not is_own("en-US", "en-GB")
    assert not is_own("de", "den")


def test_detected_only_if_asked(serve: Serve) -> None:
    pytest.importorskip("py3langid", reason="the extra 'detect' is not installed")
    body = {"query": "Wie speichere ich ein Bild auf meinem Rechner?"}
    plain, detecting = serve(), serve(detect=True)
    answers = [client.post("/search", json=body).json() for client in (plain, detecting)]
    assert answers[0]["hits"] == answers[1]["hits"]
    assert answers[1]["query_lang"] is None  # the answer is not touched
    assert list(samples(plain.get("/metrics").text, "babelmix_searches_total")) == [("unknown",)]
    assert list(samples(detecting.get("/metrics").text, "babelmix_searches_total")) == [("de",)]


def test_examples_are_of_the_index_and_always_the_same(serve: Serve, searcher: Searcher) -> None:
    first, second = (serve().get("/examples").json()["examples"] for _ in range(2))
    assert first == second
    assert [one["lang"] for one in first] == LANGS
    for one in first:
        best = searcher.search(one["text"], k=1, policy=f"only={one['lang']}")[0]
        assert best.text is not None
        assert best.text.startswith(one["text"])


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def closed(client: Any) -> None:
    """End the service, so that its log is complete."""
    client.__exit__(None, None, None)


def test_a_log_has_a_line_a_search_and_no_texts(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    client = serve(log=file)
    client.post("/search", json={"query": "geheim 3", "k": 3, "query_lang": "de", "where": {"group": ["g1"]}})
    client.post(
        "/search", json={"query": "cat", "policy": "only=de,ja", "mode": "words", "langs": ["de"], "once": True}
    )
    client.post("/search", json={"query": "cat", "policy": "fair"})  # an error has no answers
    closed(client)
    header, first, second = lines(file)
    assert header[HEADER] == 1
    assert header["langs"] == dict.fromkeys(LANGS, 40)
    assert first.keys() == {
        "time", "policy", "policy_from", "mode", "k", "query_lang", "query_lang_from", "where", "answers", "took_ms",
    }  # fmt: skip
    assert (first["policy"], first["policy_from"], first["k"]) == ("any", "default", 3)
    assert (first["query_lang"], first["query_lang_from"], first["where"]) == ("de", "request", ["group"])
    assert len(first["answers"]) == 3
    assert first["answers"][0].keys() == {"item", "lang", "score"}
    assert (second["policy_from"], second["mode"], second["query_lang"]) == ("request", "words", None)
    assert (second["langs"], second["once"]) == (["de"], True)
    assert "geheim" not in file.read_text(encoding="utf-8")
    assert file.stat().st_mode & 0o777 == 0o600 or os.name == "nt"


def test_texts_are_logged_if_asked_and_lines_are_added(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    for _ in range(2):
        client = serve(log=file, log_texts=True)
        client.post("/search", json={"query": "two\nlines, and „quotes“", "query_lang": "en"})
        closed(client)
    found = read_request_lines([file], items=True)
    assert [HEADER in line for line in lines(file)] == [True, False, True, False]
    assert [one.query for one in found.searches] == ["two\nlines, and „quotes“"] * 2
    assert found.pool == dict.fromkeys(LANGS, 40)
    assert len(found.searches[0].langs) == len(found.searches[0].items) == len(found.searches[0].scores) == 10


def written(file: Path, records: list[dict[str, Any]], move: Path | None = None) -> tuple[list[str], None]:
    counted: list[str] = []
    log = request_log.RequestLog(file, lambda: {"langs": {"de": 1}}, counted.append)
    log.add(records[0])
    while not counted:
        threading.Event().wait(0.01)
    if move is not None:
        file.rename(move)
    for record in records[1:]:
        log.add(record)
    log.close()
    return counted, None


def test_a_moved_log_is_begun_again(tmp_path: Path) -> None:
    file, moved = tmp_path / "requests.jsonl", tmp_path / "requests.jsonl.1"
    counted, _ = written(file, [{"n": n} for n in range(4)], moved)
    assert counted == ["written"] * 4
    assert [line.get("n") for line in lines(moved)] == [None, 0]
    assert [line.get("n") for line in lines(file)] == [None, 1, 2, 3]


def test_an_emptied_log_begins_with_its_header(tmp_path: Path) -> None:
    file, counted = tmp_path / "requests.jsonl", []
    log = request_log.RequestLog(file, dict, counted.append)
    for n in range(2):
        log.add({"n": n})
        while len(counted) <= n:
            threading.Event().wait(0.01)
        if not n:
            os.truncate(file, 0)
    log.close()
    assert [line.get("n") for line in lines(file)] == [None, 1]


def test_a_full_disk_costs_lines_not_searches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk is full for some lines, and has room for half of one."""
    file, real, calls = tmp_path / "requests.jsonl", os.write, []

    def full(descriptor: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) in (3, 4):
            raise OSError(28, "No space left on device")
        return real(descriptor, data[: len(data) // 2] if len(calls) == 5 else data)

    monkeypatch.setattr(request_log.os, "write", full)
    with caplog.at_level(logging.WARNING):
        counted, _ = written(file, [{"n": n, "text": "ä" * 50} for n in range(6)])
    assert counted == ["written", "lost", "lost", "lost", "written", "written"]
    assert [line.get("n") for line in lines(file)] == [None, 0, 4, 5]
    said = [record.getMessage() for record in caplog.records]
    assert [("No space left" in one, "3 searches are missing" in one) for one in said] == [
        (True, False),
        (False, True),
    ]


def test_a_slow_disk_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, real = threading.Event(), os.write
    monkeypatch.setattr(request_log, "WAITING", 3)
    monkeypatch.setattr(request_log.os, "write", lambda *given: (free.wait(), real(*given))[1])
    counted: list[str] = []
    log = request_log.RequestLog(tmp_path / "log", dict, counted.append)
    for n in range(20):
        log.add({"n": n})
    assert counted.count("lost") >= 16
    free.set()
    log.close()
    assert counted.count("written") == 20 - counted.count("lost")


@pytest.mark.skipif(os.name == "nt", reason="there are no such pipes")
def test_half_a_line_in_a_pipe_ends_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, real, calls = tmp_path / "pipe", os.write, []
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match="cannot write the log"):
        request_log.RequestLog(pipe, dict, print)  # nobody reads
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    def half(descriptor: int, data: bytes) -> int:
        calls.append(data)
        return real(descriptor, data[:4] if len(calls) == 2 else data)

    monkeypatch.setattr(request_log.os, "write", half)
    counted, _ = written(pipe, [{"n": n} for n in range(2)])
    assert counted == ["lost", "written"]
    assert os.read(reading, 1000).decode().splitlines()[1:] == ['{"n"', '{"n":1}']
    os.close(reading)


def test_a_log_that_cannot_be_written_is_said_at_once(tmp_path: Path, serve: Serve) -> None:
    with pytest.raises(ConfigError, match="cannot write the log"):
        serve(log=tmp_path / "nowhere" / "log")
    with pytest.raises(ConfigError, match="is for a log"):
        service_settings("127.0.0.1", log_texts=True)
    with pytest.raises(ConfigError, match="use prefer or reads"):
        service_settings("127.0.0.1", accept_language="only")


GOOD = {
    "time": "2026-11-30T12:00:00.000Z", "policy": "any", "mode": "dense", "k": 2, "query_lang": "de", "took_ms": 1.5,
    "answers": [{"item": "a", "lang": "de", "score": 1}, {"item": "b", "lang": "en", "score": 0.5}],
}  # fmt: skip


def test_a_good_line(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(json.dumps(GOOD) + "\n\n" + json.dumps({**GOOD, "query_lang": None}))
    first, second = read_request_lines([tmp_path / "log.jsonl"], items=True).searches
    assert first == LoggedSearch(
        GOOD["time"], "any", "dense", 2, "de", ("de", "en"), ("a", "b"), (1.0, 0.5), 1.5, None, None
    )
    assert second.query_lang is None
    assert read_request_lines([tmp_path / "log.jsonl"]).searches[0].items == ()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"time": "2026', "is not JSON"), ("[]", "is not a JSON object"), ({"k": None}, "field 'k': is missing"),
        ({"took_ms": float("inf")}, "field 'took_ms'"), ({"policy": ""}, "field 'policy'"),
        ({"query_lang": "??"}, "field 'query_lang'"),
        ({"answers": {}}, "field 'answers': is missing, or no list"),
        ({"answers": [{"item": 1}]}, "field 'answers, 1': has no item"),
        ({"answers": [{"item": "a", "lang": "de"}]}, "has no score"), ({"langs": "de"}, "is no list of languages"),
        ({"answers": [{"item": "a", "lang": "deutsch", "score": 1}]}, "is not a BCP 47"),
        ({HEADER: 2}, "is 2, and this babelmix"),
        ({HEADER: 1, "langs": {"de": -1}}, "is no number of rows"), ({"query": 3}, "field 'query'"),
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_line_is_named(tmp_path: Path, line: str | dict[str, Any], words: str) -> None:
    text = line if isinstance(line, str) else json.dumps({**GOOD, **line})
    (tmp_path / "log.jsonl").write_text(json.dumps(GOOD) + "\n" + text + "\n")
    with pytest.raises(ReaderError, match=re.escape(words)) as told:
        read_request_lines([tmp_path / "log.jsonl"])
    assert "log.jsonl" in str(told.value)
    assert "row 2" in str(told.value)
