"""Checks of texts: how they are written."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator

import polars as pl

from babelmix.checks.base import Problem, Subject, by_language, examples_of, shares_of
from babelmix.corpus.nfc import is_composed

_INVISIBLE = (
    r"[\u{ad}\u{34f}\u{61c}\u{180e}\u{3164}\u{200b}-\u{200f}\u{202a}-\u{202e}\u{2060}-\u{2064}\u{2066}-\u{2069}\u{feff}"
    r"\u{e0020}-\u{e007f}]"
)
_EMOJI = r"\p{Extended_Pictographic}[\u{fe0f}\u{1f3fb}-\u{1f3ff}]*[\u{200d}\u{e0020}-\u{e007f}]+"
_BROKEN = (
    r"\u{fffd}|[\u{0}-\u{8}\u{b}\u{c}\u{e}-\u{1f}\u{7f}-\u{9f}]|Ã[\u{80}-\u{bf}œŒŸž€ƒ„…†‡ˆ‰Š‹‘’“”•–—™š›]|â€"
    r"|&(?:amp|lt|gt|quot|nbsp|#\d+);"
)
"""A sign for lost bytes, control characters, UTF-8 that was read as Latin-1, and what HTML writes for characters."""
_NO_WORDS = r"https?://\S+|\S+@\S+\.\S+|`[^`]*`"
_LETTERS = 10
"""A text with fewer letters may well be a name in another script."""
_FOREIGN = 0.01
"""The share of a language's texts in another script from which on it is a problem."""
_MANY = 0.01
"""The share of texts from which on texts without words are a problem."""
_COPIES = 100
"""Copies of one text from which on they may fill the neighbourhood of a graph."""
_FEW_UNSPACED = 0.01
_MANY_QUOTED = 0.2
"""The share of the texts of a side in double quotes from which on the file is suspected."""
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]{8}"
"""Eight letters in a row of a script that is written without spaces."""
_MANY_LANGUAGES = frozenset({"und", "mul", "mis", "zxx"})
_ALSO: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "grc": (("Grek",), ()), "arc": (("Syrc",), ("Armi", "Hebr")), "ryu": (("Hira", "Kana", "Hani"), ()),
    "nan": (("Hani", "Latn"), ()), "hak": (("Hani", "Latn"), ()), "crh": (("Cyrl", "Latn"), ()),
    "shi": (("Tfng",), ("Latn", "Arab")), "kab": (("Latn",), ("Tfng",)), "sr": (("Cyrl",), ("Latn",)),
    "bs": (("Latn",), ("Cyrl",)), "uz": (("Latn",), ("Cyrl", "Arab")), "az": (("Latn",), ("Cyrl", "Arab")),
    "kk": (("Cyrl",), ("Arab", "Latn")), "tt": (("Cyrl",), ("Latn", "Arab")), "mn": (("Cyrl",), ("Mong",)),
    "ku": (("Latn",), ("Arab", "Cyrl")), "pa": (("Guru",), ("Arab",)), "sd": (("Arab",), ("Deva",)),
    "ks": (("Arab",), ("Deva",)), "bal": (("Arab",), ("Latn",)), "ha": (("Latn",), ("Arab",)),
    "ms": (("Latn",), ("Arab",)), "iu": (("Cans",), ("Latn",)), "mni": (("Beng",), ("Mtei",)),
}  # fmt: skip
"""Scripts of languages that are written in several, or that CLDR gives another: the usual ones, and the others."""
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
    # Joiners and tags make one emoji of several.
    plain = rows["text"].str.replace_all(_EMOJI, "")
    bad = rows.with_columns(plain.alias("plain")).filter(pl.col("plain").str.contains(_INVISIBLE))
    if not bad.height:
        return
    signs = Counter(sign for some in bad["plain"].str.extract_all(_INVISIBLE).to_list() for sign in some)
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
    bad = rows.filter(pl.col("text").str.contains(r"(?:^|[^\u{1000}-\u{109f}\u{200b}])\u{1031}"))
    if bad.height:
        most = bad.height >= _MANY * rows.height
        yield Problem(
            f"Burmese texts {'are' if most else 'may be'} written in Zawgyi: encoders know Unicode's order of letters only",
            bad.height,
            rows.height,
            "Convert them to Unicode, for example with the package myanmartools; more texts than these may be concerned.",
            serious=most,
            examples=examples_of(bad),
        )


def broken(subject: Subject) -> Iterator[Problem]:
    """Texts with characters that were lost or read in a wrong encoding."""
    rows = subject.texts
    bad = rows.filter(pl.col("text").str.contains(_BROKEN))
    if bad.height:
        yield Problem(
            "texts have broken characters: lost bytes, control characters, a wrong encoding, or HTML's names of characters",
            bad.height,
            rows.height,
            "Read the source again as UTF-8, and unescape HTML before the texts are indexed.",
            serious=bad.height >= _MANY * rows.height,
            examples=examples_of(bad),
        )


def untranslated(subject: Subject) -> Iterator[Problem]:
    """Texts that are the same in two languages of one item."""
    rows = subject.texts.filter(pl.col("text").str.count_matches(r"\p{L}") >= _LETTERS)
    bad = rows.filter(pl.col("lang").n_unique().over("side", "item", "text") > 1)
    if bad.height:
        shares = shares_of(bad, subject.texts)
        yield Problem(
            f"texts are the same in two languages of their item ({by_language(shares)} of the language's texts)",
            bad.height,
            subject.texts.height,
            "Leave those out that nobody translated: such a text finds itself in the other language.",
            serious=bad.height >= _MANY * subject.texts.height,
            examples=examples_of(bad),
        )


def scripts(subject: Subject) -> Iterator[Problem]:
    """Texts without a letter of their language's script: a wrong tag, or a text that nobody translated."""
    found, other = [], []
    for (lang,), rows in subject.texts.group_by("lang", maintain_order=True):
        own, also = _scripts(str(lang))
        if not own:
            continue
        # Few texts have no letter of their own script: the slower counts are for these.
        some = rows.filter(~pl.col("text").str.contains(_of(own)))
        some = some.with_columns(pl.col("text").str.replace_all(_NO_WORDS, "").alias("words"))
        some = some.filter(pl.col("words").str.count_matches(r"\p{L}") >= _LETTERS)
        second = pl.col("words").str.contains(_of(also)) if also else pl.lit(False)
        found.append(some.filter(~second))
        other.append(some.filter(second))
    for parts, what, remedy, may_be_serious in (
        (found, "texts have no letter of their language's script", _WRONG_SCRIPT, True),
        (other, "texts are in another script than their language tag means", _OTHER_SCRIPT, False),
    ):
        bad = pl.concat(parts) if parts else subject.texts.clear()
        if bad.height:
            shares = shares_of(bad, subject.texts)
            yield Problem(
                f"{what} ({by_language(shares)} of the language's texts)",
                bad.height,
                subject.texts.height,
                remedy,
                serious=may_be_serious and max(share for _, share in shares) >= _FOREIGN,
                examples=examples_of(bad),
            )


_WRONG_SCRIPT = (
    "Correct the language, or translate the text: it counts for the wrong language. Texts with fewer than ten letters are not "
    "looked at."
)
_OTHER_SCRIPT = "Name the script in the tag, as in sr-Latn: the two scripts are two languages for most encoders."


def _of(names: tuple[str, ...]) -> str:
    return "[" + "".join(rf"\p{{sc={name}}}" for name in names) + "]"


def _scripts(lang: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Unicode's scripts of a language, and others that it is written in too; both empty if they are not known."""
    import langcodes
    from langcodes.data_dicts import LIKELY_SUBTAGS

    tag = langcodes.Language.get(lang)
    base = tag.language or ""
    if tag.script is None and base in _ALSO:
        own, also = _ALSO[base]
        return own, also
    if tag.script is None and (base not in LIKELY_SUBTAGS or base in _MANY_LANGUAGES):
        return (), ()
    script = tag.maximize().script
    if script in (None, "Zyyy", "Zinh", "Zxxx", "Zzzz"):
        return (), ()
    return _SEVERAL.get(script, (script,)), ()


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
    # Names and quotations in another language are no reason for an analyzer.
    shares = [(lang, share) for lang, share in shares_of(bad, rows) if share >= _FEW_UNSPACED]
    if shares:
        bad = bad.filter(pl.col("lang").is_in([lang for lang, _ in shares]))
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
    for side, rows in subject.texts.group_by("side", maintain_order=True):
        within = rows.filter(pl.col("text").str.contains(r'(?s)^".+"$'))
        # A quote inside such a cell is written twice.
        sure = within.filter(pl.col("text").str.contains(r'(?s)^".*"".*"$'))
        bad = sure if sure.height else within
        if sure.height or within.height >= _MANY_QUOTED * rows.height:
            yield Problem(
                f"{side[0]} begin and end with a double quote"
                + (", and have quotes written twice inside" if sure.height else "")
                + ": if the file is a TSV, it is perhaps a CSV with tabs",
                bad.height,
                rows.height,
                "Save such a table as CSV: the quotes are part of the texts now.",
                serious=bool(sure.height),
                examples=examples_of(bad),
            )


def repeated(subject: Subject) -> Iterator[Problem]:
    """Passages of one text, so many that their equal vectors hide others from the graph of an index."""
    rows = subject.texts.filter(pl.col("side") == "passages")
    bad = rows.filter(pl.len().over("lang", "text") >= _COPIES)
    if bad.height:
        shares = shares_of(bad, rows)
        yield Problem(
            f"passages have a text that occurs {_COPIES} times or more in its language ({by_language(shares)} of the passages): "
            "equal vectors hide others from the graph of an index",
            bad.height,
            rows.height,
            "Index a text once, with all places that have it; or leave boilerplate out.",
            serious=max(share for _, share in shares) >= _MANY,
            examples=examples_of(bad.unique("text", maintain_order=True)),
        )


__all__ = [
    "broken", "decomposed", "invisible", "quoted", "repeated", "scripts", "unspaced", "untranslated", "wordless", "zawgyi",
]  # fmt: skip
