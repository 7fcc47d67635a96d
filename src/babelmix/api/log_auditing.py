"""Measure what a service answered, by its log: `babelmix audit --log`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from babelmix._files import check_output_folder, slug
from babelmix._lists import as_list
from babelmix.api._folders import Out, folder_of
from babelmix.api._loading import judged_by
from babelmix.api.gating import Gate
from babelmix.api.log_reports import FILE, JUDGED, UNKNOWN, LogReport
from babelmix.corpus import Corpus, canonical_language
from babelmix.errors import ArgumentError, AuditError

if TYPE_CHECKING:
    from babelmix.api.list_reports import ListReport
    from babelmix.evaluation.measures import Measure
    from babelmix.search.request_lines import LoggedSearch, RequestLines

SHOWN = 10
"""The first answers whose languages are measured."""

MOST_GROUPS = 20_000
"""Draws of the bootstrap. Of more searches, every 20,000th is drawn together."""

_RESTRICTED = re.compile(r"only=|(^|,)\s*reads=")
"""Policies that allow some languages only."""

_MOST_POLICIES = 12
"""Policies with a row of their own. If there are more, as by `--accept-language`, those of one name are counted together."""


def audit_log(
    log: str | Path | Sequence[str | Path],
    corpus: str | Path | Corpus | None = None,
    *,
    policies: str | Sequence[str] | None = None,
    query_langs: str | None = None,
    qrels: str | Path | None = None,
    out: Out = None,
    fail_if: str | Sequence[str] | None = None,
    significant: bool = False,
    junit: str | Path | None = None,
    summary: str | Path | None = None,
) -> LogReport:
    """Measure the languages of the answers that a service gave, by the log of `babelmix serve --log`.

    Args:
        log: the file, or several, the oldest first; they may be compressed.
        corpus: judge the searches whose words and language are those of a query of this corpus, as ranked lists; needs a log with
            texts. None: only languages are measured.
        policies: measure only searches under these policies; None: all.
        query_langs: `detect`: detect the language of queries that have none in the log; needs a log with texts and the extra
            `detect`. None: their language is unknown.
        qrels: a file of qrels that replace those of the corpus.
        out: save the report into this folder; None: nothing is saved.
        fail_if: rules on the languages of the answers, such as `own-language share@10 > 0.6`; see docs/ci.md.
        significant: with `fail_if`: see `babelmix.audit`.
        junit: with `fail_if`: see `babelmix.audit`.
        summary: with `fail_if`: see `babelmix.audit`.

    Returns:
        The report. Intervals are a bootstrap over searches.

    Raises:
        ReaderError: a line of a log is damaged. The message names file, line and field.
        AuditError: the log has no searches.
        ConfigError: an argument is wrong, or no search is a query of the corpus.
        MissingExtraError: `detect`, and the extra `detect` is not installed.

    Examples:
        >>> print(audit_log("requests.jsonl", fail_if="own-language share@10 > 0.6"))  # doctest: +SKIP

    """
    from babelmix.search.request_lines import read_request_lines

    gate = Gate.of(fail_if, significant, junit, summary)
    if gate is not None:
        gate.check_no_before("a log")
    if qrels is not None and corpus is None:
        raise ArgumentError("qrels", "judge the queries of a corpus; name it, as in  -c my.csv")
    if query_langs not in (None, "detect"):
        raise ArgumentError("query_langs", f"{query_langs!r} is unknown; a log says the languages, or use detect")
    files = [Path(one) for one in ([log] if isinstance(log, (str, Path)) else log)]
    if not files:
        raise ArgumentError("log", "name a file")
    folder = folder_of(out, f"audit-log-{slug(files[-1].stem)}")
    if folder is not None:
        check_output_folder(folder, [FILE])
    found = read_request_lines(files, items=corpus is not None)
    names = ", ".join(map(str, files))
    searches = _under(found.searches, policies, names)
    pool = found.pool
    if query_langs is not None:
        searches = _detected(searches, pool, names)
    measured, left_out = _measured(searches, policies is not None)
    judged = None if corpus is None else _judged(searches, corpus, qrels, folder, names)
    report = LogReport(
        about=_about(files, found, searches, left_out),
        measures=_measures(measured, pool),
        mix=_mix(searches),
        policies=_by_policy(searches),
        judged_lists=judged,
    )
    if gate is not None:
        gate.check_names(list(report.measures))
        report = replace(report, gate=gate.result(report, None, files[-1].name))
    return report if folder is None else report.save(folder)


def _under(
    searches: Sequence[LoggedSearch], policies: str | Sequence[str] | None, names: str
) -> Sequence[LoggedSearch]:
    if not searches:
        raise AuditError(f"{names}: has no searches yet")
    if policies is None:
        return searches
    wanted = as_list(policies, "policies", empty=False)
    found = [one for one in searches if one.policy in wanted]
    if not found:
        there = ", ".join(policy for policy, _ in Counter(one.policy for one in searches).most_common(10))
        raise ArgumentError("policies", f"{names} has no search under {', '.join(wanted)}; it has {there}")
    return found


def _detected(searches: Sequence[LoggedSearch], pool: Mapping[str, int], names: str) -> list[LoggedSearch]:
    from babelmix.corpus.detecting import detect_languages

    asked = sorted({one.query for one in searches if one.query_lang is None and one.query is not None})
    if not asked and any(one.query_lang is None for one in searches):
        raise ArgumentError("query_langs", f"{names} has no texts to detect a language from; see  serve --log-texts")
    langs = sorted(pool or {lang for one in searches for lang in one.langs})
    told = dict(zip(asked, detect_languages(asked, langs), strict=True))
    return [
        one if one.query_lang is not None or one.query is None else replace(one, query_lang=told[one.query])
        for one in searches
    ]


def _measured(searches: Sequence[LoggedSearch], by_policy: bool) -> tuple[list[LoggedSearch], dict[str, int]]:
    """The searches whose answers could be in any language, and the numbers of the others by reason."""
    left_out: Counter[str] = Counter()
    kept = []
    for one in searches:
        if one.only is not None or (not by_policy and _RESTRICTED.search(one.policy)):
            left_out["restricted"] += 1
        elif one.query_lang is None:
            left_out["unknown"] += 1
        elif not one.langs:
            left_out["empty"] += 1
        else:
            kept.append(one)
    return kept, dict(left_out)


def _own(one: LoggedSearch) -> list[bool]:
    from babelmix.search.request_lines import is_own

    lang = one.query_lang or ""
    return [is_own(lang, answer) for answer in one.langs[:SHOWN]]


def _measures(searches: Sequence[LoggedSearch], pool: Mapping[str, int]) -> dict[str, Measure]:
    """One value a search, with the query languages as cells."""
    from babelmix.evaluation.measure_info import BIAS, measure_info
    from babelmix.evaluation.measures import Measure

    if not searches:
        return {}
    shares = pool_shares(pool, {one.query_lang or "" for one in searches})
    langs, cell = np.unique([canonical_language(one.query_lang or "") for one in searches], return_inverse=True)
    share = np.array([np.mean(_own(one)) for one in searches])
    fair = np.array([shares.get(one.query_lang or "", 0.0) for one in searches])
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {
            f"same-language share@{SHOWN}": share,
            "same-language share@1": np.array([float(_own(one)[0]) for one in searches]),
            f"same-language excess@{SHOWN}": np.where(fair > 0, share / fair, np.nan),
            f"languages@{SHOWN}": np.array([float(len(set(one.langs[:SHOWN]))) for one in searches]),
        }
    found = {}
    group = np.arange(len(searches)) % MOST_GROUPS
    for name, value in values.items():
        there = np.isfinite(value)
        if not there.any():
            continue
        used, numbers = np.unique(cell[there], return_inverse=True)
        info = measure_info(f"{BIAS}{name}")
        found[info.name] = Measure(
            "bias",
            name,
            tuple(str(langs[one]) for one in used),
            numbers,
            group[there],
            value[there],
            info.lower_is_better,
        )
    return found


def pool_shares(pool: Mapping[str, int], langs: set[str]) -> dict[str, float]:
    """The share of the rows of an index that is in each of some languages; empty if the rows are unknown."""
    from babelmix.search.request_lines import is_own

    total = sum(pool.values())
    if not total:
        return {}
    return {lang: sum(rows for one, rows in pool.items() if is_own(lang, one)) / total for lang in sorted(langs)}


def _mix(searches: Sequence[LoggedSearch]) -> dict[str, dict[str, int]]:
    """The number of answers by the query's language and their own."""
    mix: dict[str, Counter[str]] = {}
    for one in searches:
        lang = UNKNOWN if one.query_lang is None else canonical_language(one.query_lang)
        mix.setdefault(lang, Counter()).update(one.langs)
    return {lang: dict(sorted(mix[lang].items())) for lang in sorted(mix, key=lambda lang: -sum(mix[lang].values()))}


def _by_policy(searches: Sequence[LoggedSearch]) -> list[dict[str, Any]]:
    """Facts about the searches of each policy and mode, those with the most searches first."""
    name_of = str if len({one.policy for one in searches}) <= _MOST_POLICIES else _policy_name
    by_name: dict[tuple[str, str], list[LoggedSearch]] = {}
    for one in searches:
        by_name.setdefault((name_of(one.policy), one.mode), []).append(one)
    rows = []
    for (policy, mode), some in sorted(by_name.items(), key=lambda entry: -len(entry[1])):
        own = [share for one in some if one.query_lang and one.langs for share in [float(np.mean(_own(one)))]]
        took = [one.took_ms for one in some]
        rows.append(
            {
                "policy": policy, "mode": mode, "searches": len(some),
                "own": float(np.mean(own)) if own else None,
                "languages": float(np.mean([len(set(one.langs[:SHOWN])) for one in some])),
                "empty": sum(not one.langs for one in some),
                "median": float(np.median(took)), "p95": float(np.quantile(took, 0.95)),
            }
        )  # fmt: skip
    return rows


def _policy_name(policy: str) -> str:
    """`prefer=...` for `prefer=de,fr`, so that the languages of many clients are one row."""
    base, _, reads = policy.partition(",reads=")
    name, _, given = base.partition("=")
    return (f"{name}=..." if given else name) + (",reads=..." if reads else "")


def _about(
    files: Sequence[Path], found: RequestLines, searches: Sequence[LoggedSearch], left_out: Mapping[str, int]
) -> dict[str, Any]:
    times = [one.time for one in searches]
    pool = found.pool
    last = found.headers[-1] if found.headers else {}
    langs = {one.query_lang for one in searches if one.query_lang} | set(pool)
    return {
        "files": [str(file) for file in files],
        "searches": len(searches),
        "from": min(times),
        "to": max(times),
        "index": last.get("index"),
        "encoder": last.get("encoder"),
        "pool": pool,
        "pool_shares": {canonical_language(lang): share for lang, share in pool_shares(pool, langs).items()},
        "k": {str(k): count for k, count in sorted(Counter(one.k for one in searches).items())},
        "left_out": dict(left_out),
        "short": sum(len(one.langs) < SHOWN for one in searches if one.langs),
        "states": len({str(sorted((header.get("langs") or {}).items())) for header in found.headers}),
    }


def _judged(
    searches: Sequence[LoggedSearch],
    corpus: str | Path | Corpus,
    qrels: str | Path | None,
    folder: Path | None,
    names: str,
) -> ListReport:
    """The searches that are queries of a corpus, as ranked lists: one system for each policy and mode."""
    from babelmix.api.list_auditing import audit_ranked
    from babelmix.corpus.loading import load_corpus
    from babelmix.evaluation.systems.function import Search

    if not any(one.query for one in searches):
        raise ArgumentError("corpus", f"{names} has no texts, so no search can be judged; see  serve --log-texts")
    whole = load_corpus(judged_by(corpus, qrels))
    texts = list(zip(whole.queries["text"].to_pylist(), whole.queries["lang"].to_pylist(), strict=True))
    by_text: dict[str, list[int]] = {}
    for row, (text, _) in enumerate(texts):
        by_text.setdefault(_plain(text or ""), []).append(row)
    asked: dict[str, dict[int, LoggedSearch]] = {}
    for one in searches:
        if one.query is None or one.k < SHOWN or one.only is not None:
            continue
        rows = [
            row for row in by_text.get(_plain(one.query), ())
            if one.query_lang is None or canonical_language(one.query_lang) == canonical_language(texts[row][1])
        ]  # fmt: skip
        if len(rows) == 1:  # the same words in two languages are two queries
            name = one.policy if one.mode == "dense" else f"{one.policy} {one.mode}"
            asked.setdefault(name, {})[rows[0]] = one
    shared = sorted(set.intersection(*(set(rows) for rows in asked.values()))) if asked else []
    if not shared:
        why = (
            f"under each of {', '.join(asked)}; name one policy" if len(asked) > 1 else f"for {SHOWN} answers or more"
        )
        raise ArgumentError("corpus", f"no query of {whole.name} was asked in {names} {why}")
    depth = min(rows[row].k for rows in asked.values() for row in shared)
    systems = {name: Search(_Logged({texts[row]: rows[row] for row in shared}), name, workers=1, unknown="wrong")
               for name, rows in asked.items()}  # fmt: skip
    return audit_ranked(systems, whole, rows=shared, depth=depth, out=None if folder is None else folder / JUDGED)


def _plain(text: str) -> str:
    return " ".join(text.split())


class _Logged:
    """A search function that gives the answers of a log."""

    def __init__(self, searches: Mapping[tuple[str, str], LoggedSearch]) -> None:
        self._searches = searches

    def __call__(self, text: str, lang: str, k: int) -> list[tuple[str, str, float]]:
        one = self._searches[text, lang]
        return list(zip(one.items, one.langs, one.scores, strict=True))[:k]


__all__ = ["audit_log", "pool_shares"]
