"""The audit of a log of `babelmix serve --log`: its numbers by hand, what it leaves out, and what it refuses."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import parallel_corpus
from typer.testing import CliRunner

import babelmix as bm
from babelmix.api.log_auditing import MOST_GROUPS, audit_log
from babelmix.cli.app import app
from babelmix.errors import AuditError, ConfigError, ReaderError
from babelmix.search.request_lines import HEADER

Write = Callable[..., Path]

POOL = {"de": 30, "en": 60, "en-GB": 0, "fr": 10}


def header(**langs: int) -> dict[str, Any]:
    return {
        HEADER: 1,
        "time": "2026-11-30T00:00:00.000Z",
        "index": "my-index",
        "encoder": "tiny",
        "langs": langs or POOL,
    }


def search(lang: str | None, answers: str | Sequence[tuple[str, str]], **more: Any) -> dict[str, Any]:
    """A line; answers are languages separated by blanks, or items with languages."""
    pairs = [(f"i{n}", one) for n, one in enumerate(answers.split())] if isinstance(answers, str) else answers
    return {
        "time": "2026-11-30T12:00:00.000Z", "policy": "any", "policy_from": "default", "mode": "dense", "k": 10,
        "query_lang": lang, "took_ms": 2.0,
        "answers": [{"item": item, "lang": one, "score": 1 - n / 100} for n, (item, one) in enumerate(pairs)], **more,
    }  # fmt: skip


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def made(*lines: dict[str, Any], name: str = "requests.jsonl") -> Path:
        file = tmp_path / name
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        if name.endswith(".gz"):
            file.write_bytes(gzip.compress(text.encode()))
        else:
            file.write_text(text, encoding="utf-8")
        return file

    return made


def test_the_numbers_by_hand(write: Write) -> None:
    file = write(
        header(),
        search("de", "de de en en"),  # 0.5
        search("de", "de de de de"),  # 1
        search("en", "en-GB en de fr"),  # regions are the same language: 0.5
        search("en", "fr fr fr fr " * 2 + "fr fr en en en en"),  # only the first 10 count: 0
        search(None, "de en"),
        search("fr", ""),
        search("de", "de", langs=["de"]),
        search("de", "de", policy="only=de,en"),
        search("de", "de", policy="balanced,reads=own,en"),
    )
    report = audit_log(file)
    about = report.about
    assert about["left_out"] == {"unknown": 1, "empty": 1, "restricted": 3}
    assert about["pool_shares"] == pytest.approx({"de": 0.3, "en": 0.6, "en-GB": 0.6, "fr": 0.1})
    macro, cells = report.estimates["bias/same-language share@10"]
    assert (macro.value, cells["de"].value, cells["en"].value) == pytest.approx((0.5, 0.75, 0.25))
    assert cells["de"].low <= 0.75 <= cells["de"].high
    assert (cells["de"].low, cells["de"].high) == pytest.approx((0.5, 1.0))
    assert report.estimates["bias/same-language share@1"][1]["en"].value == 0.5
    assert report.estimates["bias/same-language excess@10"][1]["de"].value == pytest.approx(0.75 / 0.3)
    assert report.estimates["bias/languages@10"][1]["de"].value == pytest.approx(1.5)
    assert report.mix["unknown"] == {"de": 1, "en": 1}
    assert report.mix["de"] == {"de": 9, "en": 2}
    assert report.mix["fr"] == {}
    policies = {(one["policy"], one["mode"]): one for one in report.policies}
    assert policies["any", "dense"]["searches"] == 7
    assert policies["any", "dense"]["empty"] == 1
    assert policies["only=de,en", "dense"]["own"] == 1
    text = str(report)
    for words in ("9 searches of my-index", "1 of 9 searches did not state the language", "No claim about quality"):
        assert words in text.replace("\n", " ")


def test_a_policy_alone_and_its_rules(write: Write) -> None:
    file = write(header(), *[search("de", "de de"), search("de", "en en", policy="only=de,en")] * 20)
    assert bm.audit_log(file).estimates["bias/same-language share@10"][0].value == 1
    report = audit_log(file, policies="only=de,en", fail_if=["own-language share@10 < 0.5", "languages@10 < 1"])
    assert report.estimates["bias/same-language share@10"][0].value == 0
    assert report.gate is not None
    assert not report.gate.passed
    assert audit_log(file, fail_if="own-language share@10 > 2 * fair + 0.5").gate.passed is True  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="no search under balanced; it has any, only=de,en"):
        audit_log(file, policies="balanced")
    with pytest.raises(ConfigError, match="before"):
        audit_log(file, fail_if="own-language share@10 > before")
    with pytest.raises(ConfigError, match="mAP"):
        audit_log(file, fail_if="multi/mAP@10 < 0.1")


def test_many_policies_are_counted_by_name(write: Write) -> None:
    langs = ["de", "en", "fr", "ja", "it", "es", "pt", "nl", "pl", "cs", "sv", "da", "fi"]
    file = write(
        *[search("de", "de", policy=f"prefer={lang}") for lang in langs], search("de", "de", policy="any,reads=de")
    )
    assert [(one["policy"], one["searches"]) for one in audit_log(file).policies] == [
        ("prefer=...", 13),
        ("any,reads=...", 1),
    ]


def test_several_files_and_states_of_the_index(write: Write) -> None:
    old = write(header(de=1, en=1), search("de", "de"), name="requests.jsonl.1.gz")
    new = write(header(de=9, en=1), search("de", "en"))
    report = audit_log([old, new])
    assert (report.about["searches"], report.about["states"]) == (2, 2)
    assert report.pool_shares() == {"de": 0.9, "en": 0.1}
    assert "had 2 states" in str(report)


def test_a_log_without_a_header_compares_with_nothing(write: Write) -> None:
    report = audit_log(write(search("de", "de en")))
    assert "bias/same-language excess@10" not in report.estimates
    assert report.pool_shares() == {}
    assert "does not say what the index holds" in str(report)
    assert report.judged()
    with pytest.raises(AuditError, match="the languages of the pool are not known, so there is no fair share"):
        audit_log(write(search("de", "de en")), fail_if="own-language share@10 < fair")


def test_nothing_to_measure_is_said(write: Write, tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="has no searches yet"):
        audit_log(write(header()))
    file = write(header(), search(None, "de en"))
    report = audit_log(file, out=tmp_path / "out")
    assert "No search could be measured" in str(report)
    assert (tmp_path / "out" / "report.html").is_file()
    with pytest.raises(ConfigError, match="has no texts to detect"):
        audit_log(file, query_langs="detect")


def test_languages_are_detected_from_texts(write: Write) -> None:
    pytest.importorskip("py3langid", reason="the extra 'detect' is not installed")
    text = "Wie speichere ich ein Bild auf meinem Rechner?"
    file = write(header(), search(None, "de de en en", query=text), search(None, "fr", query="42"))
    assert audit_log(file).measures == {}
    report = audit_log(file, query_langs="detect")
    assert report.estimates["bias/same-language share@10"][1]["de"].value == 0.5
    assert report.about["left_out"] == {"unknown": 1}


def test_more_searches_than_groups(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("babelmix.api.log_auditing.MOST_GROUPS", 50)
    assert MOST_GROUPS > 50
    report = audit_log(write(header(), *[search("de", "de en" if n % 2 else "de de") for n in range(300)]))
    assert max(report.measures["bias/same-language share@10"].group) == 49
    assert report.estimates["bias/same-language share@10"][0].value == pytest.approx(0.75)


def test_the_folder(write: Write, tmp_path: Path) -> None:
    file = write(
        header(), *[search("de", "de de en fr"), search("en", "en en en de", policy="balanced", mode="hybrid")] * 5
    )
    report = audit_log(file, out=tmp_path / "out")
    found = json.loads((tmp_path / "out" / "log.json").read_text(encoding="utf-8"))
    assert found == json.loads(json.dumps(report.as_json()))
    assert found["mix"]["de"] == {"de": 10, "en": 5, "fr": 5}
    assert found["cells"]["bias/same-language share@10"]["en"]["value"] == pytest.approx(0.75)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for words in ("The mix of languages", "balanced", "hybrid", "<figure"):
        assert words in page
    frame = report.to_frame()
    assert frame.filter(measure="answers", cell="de > fr")["value"].to_list() == [5]
    audit_log(file, out=tmp_path / "out")  # the folder of an earlier report


def test_searches_that_are_queries_of_a_corpus_are_judged(write: Write, tmp_path: Path) -> None:
    """Each policy is a system; only what was asked under both is judged, by the last search."""
    corpus = parallel_corpus(items=6)
    rows = corpus.queries.to_pylist()
    lines = []
    for row in rows[:8]:
        right = [(row["item"], lang) for lang in ("de", "en", "fr", "ja")]
        others = [(one["item"], one["lang"]) for one in rows if one["item"] != row["item"]][:6]
        facts = {"query": f"  {row['text']} ", "k": 10}
        lines.append(search(row["lang"], others + right, **facts))  # an earlier one
        lines.append(search(row["lang"], right + others, **facts))
        lines.append(search(row["lang"], others + right, policy="balanced", **facts))
    lines.append(search(rows[9]["lang"], "de " * 10, query=rows[9]["text"]))  # under one policy only
    lines.append(search("de", "de " * 10, query="no query of the corpus"))
    lines.append(search(rows[1]["lang"], "de", query=rows[1]["text"], k=1))  # too few
    file = write(header(), *lines)
    report = audit_log(file, corpus, out=tmp_path / "out")
    judged = report.judged_lists
    assert judged is not None
    assert judged.about["queries"] == 8
    assert set(judged.audits) == {"any", "balanced"}
    assert judged.macro("multi/mAP@10", "any") == pytest.approx(1)
    assert judged.macro("multi/mAP@10", "balanced") < 0.5
    assert (tmp_path / "out" / "judged" / "report.html").is_file()
    assert json.loads((tmp_path / "out" / "log.json").read_text(encoding="utf-8"))["judged"]["about"]["queries"] == 8
    audit_log(file, corpus, policies="any", out=tmp_path / "out")
    with pytest.raises(ConfigError, match="has no texts, so no search can be judged"):
        audit_log(write(header(), search("de", "de")), corpus)
    with pytest.raises(ConfigError, match="was asked in"):
        audit_log(write(header(), search("de", "de", query="other")), corpus)


def test_the_command(write: Write, tmp_path: Path) -> None:
    file = write(header(), *[search("de", "de de")] * 30)
    run = CliRunner().invoke
    arguments = ["audit", "--log", str(file), "--out", str(tmp_path / "out")]
    done = run(app, [*arguments, "--fail-if", "own-language share@10 > 0.9"])
    assert done.exit_code == 3
    assert "1 of 1 rule broken" in done.output
    done = run(app, [*arguments, "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["about"]["searches"] == 30


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--mode", "words"], "is not for a log"),
        (["--through", "x"], "is not for a log"),
        (["model"], "log"),
        (["--part", "test"], "part: is not for a log"),
        (["--backend", "onnx-fp32"], "backend: is not for a log"),
        (["--query-vectors", "nowhere.npy"], "query_vectors: is not for a log"),
        (["--batch-size", "7"], "batch_size: is not for a log"),
        (["--trust-code"], "trust_code: is not for a log"),
        (["--qrels", "nowhere.trec"], "qrels: judge the queries of a corpus"),
        (["--query-lang", "de"], "query_lang: 'de' is unknown"),
    ],
)
def test_what_is_not_for_a_log(write: Write, more: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        CliRunner().invoke(app, ["audit", "--log", str(write(header())), *more], catch_exceptions=False)


def test_a_damaged_log_is_named(write: Write) -> None:
    file = write(header(), search("de", "de"))
    file.write_text(file.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    with pytest.raises(ReaderError, match=r"requests\.jsonl, row 2"):
        audit_log(file)
