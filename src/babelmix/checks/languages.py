"""Checks of languages: their tags, sizes and topics."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from babelmix.checks.base import NotCheckedError, Problem, Subject, by_language
from babelmix.corpus import IMAGE
from babelmix.corpus.languages import renamed_languages
from babelmix.corpus.model import READ_AS

_RATIO = 10
"""The largest language may have so many times the passages of the smallest one."""
_SHARED = 0.5
"""The share of a language's items that should exist in another language too."""


def aliases(subject: Subject) -> Iterator[Problem]:
    """Tags that are read as other tags."""
    read_as = subject.data.meta.get(READ_AS, {})
    if read_as:
        yield Problem(
            f"language tags have another usual form: {'; '.join(renamed_languages(read_as)[:5])}",
            len(read_as),
            None,
            "babelmix reads them as one language. Write the usual tag, because a filter or a join elsewhere does not.",
            serious=False,
        )


def topics(subject: Subject) -> Iterator[Problem]:
    """Languages whose texts exist in no other language: language and topic cannot be told apart."""
    rows = subject.texts.filter((pl.col("side") == "passages") & ~pl.col("lang").is_in([IMAGE, "und"]))
    langs = rows["lang"].n_unique()
    if langs < 2:
        return
    judged = subject.has("labels")
    if judged:
        joins = subject.data.joins
        # If translations are not joined, the check `unjoined` says so. If most answers are in several languages, all is well.
        if joins.note() is not None or joins.several >= _SHARED * joins.queries:
            return
    shared = (
        rows.select("lang", "item", "group")
        .unique()
        .with_columns(
            ((pl.col("lang").n_unique().over("item") > 1) | (pl.col("lang").n_unique().over("group") > 1)).alias(
                "shared"
            )
        )
    )
    shares = [
        (lang, 1 - share)
        for lang, share in shared.group_by("lang").agg(pl.col("shared").mean()).iter_rows()
        if share < _SHARED
    ]
    if shares:
        yield Problem(
            f"languages share few texts with the others ({by_language(shares)} of the items are in no other language): "
            "their topics may differ",
            len(shares),
            langs,
            "Fit a removal on parallel texts, not on these (debias --on): language means would hold topics too. Compare "
            "languages only on items that both have.",
            serious=judged,
        )


def unknown(subject: Subject) -> Iterator[Problem]:
    """Texts whose language is not known."""
    if subject.index is not None and not subject.has("labels"):
        raise NotCheckedError("a corpus")  # the check `no language` counts the rows of an index
    rows = subject.texts
    number = rows.filter(pl.col("lang") == "und").height
    if number:
        yield Problem(
            "texts have the language und, unknown: they count as a language of their own",
            number,
            rows.height,
            "Give them their language; py3langid detects it (extra: detect).",
        )


def sizes(subject: Subject) -> Iterator[Problem]:
    """Languages of very different numbers of passages."""
    counts = subject.texts.filter(pl.col("side") == "passages").group_by("lang").len().sort("len", "lang")
    if counts.height > 1 and counts["len"][-1] >= _RATIO * counts["len"][0]:
        small = counts.filter(pl.col("len") * _RATIO <= counts["len"][-1])
        named = ", ".join(f"{lang} {number:,}" for lang, number in small.head(5).iter_rows())
        yield Problem(
            f"languages have a tenth of the largest language's passages or fewer ({named}; {counts['lang'][-1]} "
            f"{counts['len'][-1]:,}): their own-language share is low by chance alone",
            small.height,
            counts.height,
            "Read shares beside their chance level (audit prints it), and recall of searches in one language for each language.",
            serious=False,
        )


def machine_made(subject: Subject) -> Iterator[Problem]:
    """Languages that were translated by machines."""
    langs = sorted(set(subject.data.meta.get("machine_made") or []) & set(subject.data.langs))
    if langs:
        yield Problem(
            f"languages are machine-translated: {', '.join(langs)}",
            len(langs),
            len(subject.data.langs),
            "Their words follow the source text, so that cross-lingual figures are too good. Say so beside the figures.",
            serious=False,
        )


__all__ = ["aliases", "machine_made", "sizes", "topics", "unknown"]
