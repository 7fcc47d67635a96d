"""The lines of a log of searches, as `babelmix serve --log` writes them and `babelmix audit --log` reads them.

The first line of a file is about the index: `{"babelmix requests": 1, "time", "index", "encoder", "langs": {LANG: ROWS}}`. Such a
line may come again, whenever the service starts. Every other line is a search:

| field | what it is |
|---|---|
| `time` | when it was answered, UTC |
| `policy`, `policy_from` | the language policy, and where it is from: `request`, `accept-language` or `default` |
| `mode`, `k` | the mode, and the number of answers that were asked for |
| `query_lang`, `query_lang_from` | the query's language or null, and where it is from: `request` or `detected` |
| `langs` | the languages that a filter allowed; left out: no such filter |
| `answers` | the answers, best first: `item`, `lang`, `score` |
| `took_ms` | milliseconds until the answer |
| `query` | the words, only with `--log-texts` |
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from babelmix.corpus.languages import in_range, is_language_tag, not_a_tag
from babelmix.corpus.readers._records import json_lines, text_lines
from babelmix.errors import ReaderError

HEADER = "babelmix requests"
"""The field by which a line about the index is known. Its value is the version of the format."""

VERSION = 1


def now() -> str:
    """The time as lines state it: UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def is_own(query_lang: str, answer_lang: str) -> bool:
    """Whether an answer is in the query's language: one is a region of the other, or they are the same.

    Examples:
        >>> is_own("en", "en-GB"), is_own("pt-BR", "pt"), is_own("de", "en")
        (True, True, False)

    """
    return in_range(answer_lang, query_lang) or in_range(query_lang, answer_lang)


@dataclass(frozen=True, slots=True)
class LoggedSearch:
    """A search, as a log states it.

    Args:
        time: when it was answered.
        policy: the language policy.
        mode: the mode.
        k: the number of answers that were asked for.
        query_lang: the query's language; None: unknown.
        langs: the languages of the answers, best first.
        items: their items; empty if they were not to be kept.
        scores: their scores; empty likewise.
        took_ms: milliseconds.
        only: the languages that a filter allowed; None: no such filter.
        query: the words; None: they were not logged.

    """

    time: str
    policy: str
    mode: str
    k: int
    query_lang: str | None
    langs: tuple[str, ...]
    items: tuple[str, ...]
    scores: tuple[float, ...]
    took_ms: float
    only: tuple[str, ...] | None = None
    query: str | None = None


@dataclass(frozen=True)
class RequestLines:
    """The searches of log files.

    Args:
        searches: the searches, in the order of the files and lines.
        headers: the lines about the index, in the same order.

    """

    searches: list[LoggedSearch] = field(default_factory=list)
    headers: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def pool(self) -> dict[str, int]:
        """The rows of each language, by the last line about the index; empty without one."""
        return dict(self.headers[-1].get("langs") or {}) if self.headers else {}


def read_request_lines(files: Sequence[Path], *, items: bool = False) -> RequestLines:
    """Read log files. They may be compressed with gzip, bzip2, xz or Zstandard.

    Args:
        files: the files, the oldest first.
        items: whether to keep items and scores of the answers.

    Raises:
        ReaderError: there is no such file, or a line is damaged. The message names file, line and field.

    """
    found = RequestLines()
    for file in files:
        if not file.is_file():
            raise ReaderError("there is no such file", file=file)
        for number, record in json_lines(text_lines(file), file):
            if HEADER in record:
                found.headers.append(_header(record, file, number))
            else:
                found.searches.append(_search(_Line(record, file, number), items))
    return found


def _header(record: Mapping[str, Any], file: Path, row: int) -> Mapping[str, Any]:
    if record[HEADER] != VERSION:
        raise ReaderError(
            f"is {record[HEADER]!r}, and this babelmix reads {VERSION}; use the version that wrote the log",
            file=file, row=row, field=HEADER,
        )  # fmt: skip
    langs = record.get("langs")
    if langs is not None and not (
        isinstance(langs, dict) and all(is_language_tag(tag) and _is_count(count) for tag, count in langs.items())
    ):
        raise ReaderError("is no number of rows by language", file=file, row=row, field="langs")
    return record


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


@dataclass(frozen=True)
class _Line:
    """A record, with errors that name its place."""

    record: Mapping[str, Any]
    file: Path
    row: int

    def wrong(self, name: str, what: str) -> ReaderError:
        return ReaderError(what, file=self.file, row=self.row, field=name)

    def text(self, name: str) -> str:
        value = self.record.get(name)
        if not isinstance(value, str) or not value:
            raise self.wrong(name, "is missing, or no text; is this a log of  babelmix serve --log?")
        return sys.intern(value) if name != "query" else value

    def number(self, name: str) -> float:
        value = self.record.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
            raise self.wrong(name, "is missing, or no number")
        return value

    def lang(self, name: str, value: object) -> str:
        if not isinstance(value, str) or not is_language_tag(value):
            raise self.wrong(name, not_a_tag(value if isinstance(value, str) else repr(value)))
        return sys.intern(value)

    def answers(self) -> Iterator[tuple[str, str, float]]:
        answers = self.record.get("answers")
        if not isinstance(answers, list):
            raise self.wrong("answers", "is missing, or no list; is this a log of  babelmix serve --log?")
        for place, answer in enumerate(answers, 1):
            where = f"answers, {place}"
            if not isinstance(answer, dict) or not isinstance(answer.get("item"), str):
                raise self.wrong(where, "has no item")
            score = answer.get("score")
            if isinstance(score, bool) or not isinstance(score, (int, float)):
                raise self.wrong(where, "has no score")
            yield answer["item"], self.lang(where, answer.get("lang")), float(score)


def _search(line: _Line, items: bool) -> LoggedSearch:
    answers = list(line.answers())
    given, only = line.record.get("query_lang"), line.record.get("langs")
    if only is not None and not isinstance(only, list):
        raise line.wrong("langs", "is no list of languages")
    return LoggedSearch(
        time=line.text("time"),
        policy=line.text("policy"),
        mode=line.text("mode"),
        k=int(line.number("k")),
        query_lang=None if given is None else line.lang("query_lang", given),
        langs=tuple(lang for _, lang, _ in answers),
        items=tuple(item for item, _, _ in answers) if items else (),
        scores=tuple(score for _, _, score in answers) if items else (),
        took_ms=line.number("took_ms"),
        only=None if only is None else tuple(line.lang("langs", lang) for lang in only),
        query=None if line.record.get("query") is None else line.text("query"),
    )


__all__ = ["HEADER", "VERSION", "LoggedSearch", "RequestLines", "is_own", "now", "read_request_lines"]
