"""What users ask and want: the weights of languages, and of answers in the own language, from a query log or from a share.

The value of a point is the recall that users would see:

    sum over languages l of  v_l (s_l R_l + (1 - s_l) O_l)

- `v_l`: the share of the queries in language l.
- `s_l`: the share of the answers that are wanted in the query's own language.
- `R_l`, `O_l`: same-language and cross-language recall@10 of the queries in language l, in the pool of all languages.

A language whose queries have no answers in their own language has no `R_l`, and one without answers in others no `O_l`: this
weight is left out, and the others are scaled to sum to 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from babelmix.corpus.languages import canonical_language, is_language_tag, not_a_tag, respelled
from babelmix.corpus.readers._tables import read_table
from babelmix.errors import ArgumentError, ReaderError
from babelmix.evaluation.frontier.sweep import OTHER_RECALL, SAME_RECALL, Point
from babelmix.evaluation.ratios import weighted
from babelmix.evaluation.significance import Estimate

FORMULA = "sum over languages of v (s same-language recall@10 + (1 - s) cross-language recall@10)"
"""The value of a point, in words."""

ANSWER_LANG = "answer_lang"
"""The column of a log with the language of the answer that the user opened."""


@dataclass(frozen=True)
class Mix:
    """The weights of users' queries and answers.

    Args:
        queries: the share of the queries in each language; they sum to 1.
        same: for each of these languages, the share of answers that are wanted in it, from 0 to 1.
        source: where the weights are from, in words.
        left_out: shares of languages of the log that the queries at hand do not have.

    """

    queries: Mapping[str, float]
    same: Mapping[str, float]
    source: str
    left_out: Mapping[str, float] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The share of answers that are wanted in the query's own language, over all queries."""
        return sum(self.queries[lang] * self.same[lang] for lang in self.queries)

    def value(self, point: Point) -> Estimate:
        """The value of a point, with its interval over groups.

        Raises:
            AuditError: no query has an answer.

        """
        weights = {
            SAME_RECALL: {lang: share * self.same[lang] for lang, share in self.queries.items()},
            OTHER_RECALL: {lang: share * (1 - self.same[lang]) for lang, share in self.queries.items()},
        }
        found = {name: point.measures[name] for name in weights if name in point.measures}
        return weighted({name: (measure, weights[name]) for name, measure in found.items()})

    def as_json(self) -> dict[str, Any]:
        """The weights, the share and the formula."""
        return {**asdict(self), "share": self.share, "formula": FORMULA}


def mix_of(text: str | Path, langs: Sequence[str], pool: Mapping[str, float]) -> Mix:
    """Read weights.

    Args:
        text: `same=0.8,other=0.2`: these shares, for each language of the queries alike, and each language counts alike. Or a
            file of queries (CSV, TSV, JSON lines, Parquet, Arrow) with the column `lang`, and optionally `answer_lang`, the
            language of the answer that the user opened, and `count`. Without `answer_lang`, answers are wanted in the query's own
            language as often as the collection has texts in it.
        langs: the languages of the queries at hand.
        pool: the share of each language in the collection.

    Raises:
        ArgumentError: the text is neither, or the shares do not sum to 1.
        ReaderError: the file has no column `lang`, or none of its languages is among `langs`.

    """
    place = Path(text)
    if "=" in str(text) and not place.is_file():
        same = _same_of(str(text))
        return Mix(dict.fromkeys(langs, 1 / len(langs)), dict.fromkeys(langs, same), "given shares")
    if not place.is_file():
        if place.suffix or len(place.parts) > 1:
            raise ArgumentError(
                "mix", f"{str(text)!r}: there is no such file; shares are written as  same=0.8,other=0.2"
            )
        raise ArgumentError(
            "mix", f"{str(text)!r} is neither a file of queries nor shares, such as same=0.8,other=0.2"
        )
    return _of_log(place, langs, pool)


def _same_of(text: str) -> float:
    why = f"{text!r} are no shares; give two that sum to 1, such as same=0.8,other=0.2"
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            raise ArgumentError("mix", why) from None
    same = found.get("same", 1 - found.get("other", 0.0))
    if set(found) - {"same", "other"} or not 0 <= same <= 1 or abs(same + found.get("other", 1 - same) - 1) > 1e-6:
        raise ArgumentError("mix", why)
    return same


def _of_log(file: Path, langs: Sequence[str], pool: Mapping[str, float]) -> Mix:
    table = read_table(file)
    if "lang" not in table.names:
        raise ReaderError("has no column  lang , the language of each query", file=file)
    asked: Counter[str] = Counter()
    opened: Counter[str] = Counter()
    own: Counter[str] = Counter()
    for row, record in table.records():
        lang = _tag(record["lang"], file, row, "lang")
        count = _count(record.get("count"), file, row)
        if lang is None or count == 0:
            continue
        asked[lang] += count
        if (answer := _tag(record.get(ANSWER_LANG), file, row, ANSWER_LANG)) is not None:
            opened[lang] += count
            own[lang] += count * (answer == lang)
    known = {lang: asked[lang] for lang in langs if asked[lang] > 0}
    if not known:
        there = ", ".join(sorted(asked)) or "no language"
        raise ReaderError(f"has queries in {there}, and the corpus has queries in {', '.join(langs)}", file=file)
    total, here = sum(asked.values()), sum(known.values())
    together = sum(own.values()) / sum(opened.values()) if opened else None
    same = {
        lang: own[lang] / opened[lang] if opened[lang] else pool.get(lang, 0.0) if together is None else together
        for lang in known
    }
    how = f"the column {ANSWER_LANG}" if opened else "the shares of languages in the collection"
    return Mix(
        {lang: count / here for lang, count in known.items()}, same,
        f"{total:,} queries of {file.name}; wanted languages from {how}",
        {lang: count / total for lang, count in asked.items() if lang not in known},
    )  # fmt: skip


def _tag(value: object, file: Path, row: int, field: str) -> str | None:
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    found = respelled(text)
    if not is_language_tag(found):
        raise ReaderError(not_a_tag(text), file=file, row=row, field=field)
    return canonical_language(found)


def _count(value: object, file: Path, row: int) -> int:
    if value is None or value == "":
        return 1
    try:
        count = int(str(value))
    except ValueError:
        count = -1
    if count < 0:
        raise ReaderError(f"{value!r} is no number of queries", file=file, row=row, field="count")
    return count


__all__ = ["ANSWER_LANG", "FORMULA", "Mix", "mix_of"]
