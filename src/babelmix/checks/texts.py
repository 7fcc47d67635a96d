"""Checks of texts: how they are written."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator

import polars as pl

from babelmix.checks.base import Problem, Subject, by_language, examples_of
from babelmix.corpus.nfc import is_composed

_INVISIBLE = r"[\u{ad}\u{200b}-\u{200f}\u{202a}-\u{202e}\u{2060}-\u{2064}\u{2066}-\u{2069}\u{feff}]"
_LETTERS = 10
"""A text with fewer letters may well be a name in another script."""
_FOREIGN = 0.01
"""The share of a language's texts in another script from which on it is a problem."""
_MANY = 0.01
"""The share of texts from which on texts without words are a problem."""
_COPIES = 100
"""Copies of one text from which on they may fill the neighbourhood of a graph."""
_MANY_QUOTED = 0.2
"""The share of texts in double quotes from which on the file is suspected."""
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]{8}"
"""Eight letters in a row of a script that is written without spaces."""
_SEVERAL = {"Jpan": ("Hani", "Hira", "Kana"), "Kore": ("Hang", "Hani"), "Hans": ("Hani",), "Hant": ("Hani", "Bopo")}
"""Scripts of several parts, and those that Unicode does not tell apart."""


def decomposed(subject: Subject) -> Iterator[Problem]:
    """Texts that are not in NFC."""
    rows = subject.texts
    bad = rows.filter(~pl.Series([is_composed(text) for text in rows["text"].to_list()], dtype=pl.Boolean))
    if bad.height:
        yield Problem(
            "texts are not in composed Unicode (NFC): most tokenizers read other words",
            bad.height,
            rows.height,
            "babelmix composes what it reads. Other tools do not: normalise the texts with NFC for these.",
            serious=False,
            examples=examples_of(bad),
        )


def invisible(subject: Subject) -> Iterator[Problem]:
    """Texts with invisible characters: joiners, soft hyphens, marks of direction."""
    rows = subject.texts
    bad = rows.filter(pl.col("text").str.contains(_INVISIBLE))
    if not bad.height:
        return
    signs = Counter(sign for some in bad["text"].str.extract_all(_INVISIBLE).to_list() for sign in some)
    named = ", ".join(f"{unicodedata.name(sign, hex(ord(sign))).lower()} {n:,}" for sign, n in signs.most_common(3))
    yield Problem(
        f"texts have invisible characters ({named})",
        bad.height,
        rows.height,
        "Tokenizers keep them, drop them or put a space there. Treat queries and passages alike; in Persian the "
        "non-joiner is part of the word.",
        serious=False,
        examples=examples_of(bad),
    )


def zawgyi(subject: Subject) -> Iterator[Problem]:
    """Burmese in Zawgyi, an encoding of its own in Unicode's places.

    In Unicode, the vowel sign U+1031 follows its consonant; in Zawgyi it stands before it, and so can begin a word.
    """
    rows = subject.texts.filter((pl.col("lang") == "my") | pl.col("lang").str.starts_with("my-"))
    bad = rows.filter(pl.col("text").str.contains(r"(?:^|[^\u{1000}-\u{109f}])\u{1031}"))
    if bad.height:
        yield Problem(
            "Burmese texts are written in Zawgyi: encoders and tokenizers know Unicode's order of letters only",
            bad.height,
            rows.height,
            "Convert them to Unicode, for example with the package myanmartools; more texts than these may be concerned.",
            examples=examples_of(bad),
        )


def scripts(subject: Subject) -> Iterator[Problem]:
    """Texts without a letter of their language's script: a wrong tag, or a text that nobody translated."""
    rows = subject.texts
    found = []
    for lang in rows["lang"].unique().sort().to_list():
        own = _scripts(lang)
        if not own:
            continue
        letters = pl.col("text").str.count_matches(r"\p{L}")
        of_own = pl.col("text").str.count_matches("[" + "".join(rf"\p{{sc={script}}}" for script in own) + "]")
        found.append(rows.filter((pl.col("lang") == lang) & (letters >= _LETTERS) & (of_own == 0)))
    bad = pl.concat(found) if found else rows.clear()
    if bad.height:
        total = dict(rows.group_by("lang").len().iter_rows())
        shares = [(lang, count / total[lang]) for lang, count in bad.group_by("lang").len().iter_rows()]
        yield Problem(
            f"texts have no letter of their language's script ({by_language(shares)} of the language's texts)",
            bad.height,
            rows.height,
            "Correct the language, or name the script in the tag (sr-Latn). A text that nobody translated counts for the wrong "
            "language.",
            serious=max(share for _, share in shares) >= _FOREIGN,
            examples=examples_of(bad),
        )


def _scripts(lang: str) -> tuple[str, ...]:
    """Unicode's scripts of a language; empty if they are not known."""
    import langcodes

    if lang == "und" or lang.startswith("und-"):
        return ()
    script = langcodes.Language.get(lang).maximize().script
    return () if script in (None, "Zyyy", "Zinh", "Zxxx") else _SEVERAL.get(script, (script,))


def wordless(subject: Subject) -> Iterator[Problem]:
    """Texts without a letter or a digit."""
    rows = subject.texts
    bad = rows.filter(~pl.col("text").str.contains(r"[\p{L}\p{N}]"))
    if bad.height:
        yield Problem(
            "texts have neither letters nor digits: encoders give all of them much the same vector",
            bad.height,
            rows.height,
            "Leave them out.",
            serious=bad.height >= _MANY * rows.height,
            examples=examples_of(bad),
        )


def unspaced(subject: Subject) -> Iterator[Problem]:
    """Texts without spaces between their words."""
    rows = subject.texts
    bad = rows.filter(pl.col("text").str.contains(_UNSPACED))
    if bad.height:
        total = dict(rows.group_by("lang").len().iter_rows())
        shares = [(lang, count / total[lang]) for lang, count in bad.group_by("lang").len().iter_rows()]
        yield Problem(
            f"texts have no spaces between words ({by_language(shares)} of the language's texts)",
            bad.height,
            rows.height,
            "Search by words in babelmix cuts them. In another engine, choose an analyzer of the language: the usual ones cut "
            "at spaces, and find such words only as whole sentences.",
            serious=False,
        )


def quoted(subject: Subject) -> Iterator[Problem]:
    """Texts in double quotes, as a spreadsheet writes them into a TSV."""
    rows = subject.texts
    bad = rows.filter(pl.col("text").str.contains(r'(?s)^".+"$'))
    if bad.height and bad.height >= _MANY_QUOTED * rows.height:
        yield Problem(
            "texts begin and end with a double quote: the file is perhaps a CSV with tabs, not a TSV",
            bad.height,
            rows.height,
            "Save the table as CSV: the quotes are part of the texts now.",
            examples=examples_of(bad),
        )


def repeated(subject: Subject) -> Iterator[Problem]:
    """Passages of one text, so many that their equal vectors hide others from the graph of an index."""
    rows = subject.texts.filter(pl.col("side") == "passages")
    bad = rows.filter(pl.len().over("text") >= max(_COPIES, int(_MANY * rows.height)))
    if bad.height:
        yield Problem(
            f"passages have one of {bad['text'].n_unique():,} texts that occur {_COPIES} times or more: equal vectors hide "
            "others from the graph of an index",
            bad.height,
            rows.height,
            "Index a text once, with all places that have it; or leave boilerplate out.",
            examples=examples_of(bad.unique("text", maintain_order=True)),
        )


__all__ = ["decomposed", "invisible", "quoted", "repeated", "scripts", "unspaced", "wordless", "zawgyi"]
