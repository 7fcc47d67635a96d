"""Bilingual lexicons: words with one translation each, from two-column files and dictd dictionaries.

The files are not trusted: their sizes are limited, and an error names the file, the row and the field.
"""

from __future__ import annotations

import codecs
import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from gzip import GzipFile
from pathlib import Path

from babelmix.corpus.languages import canonical_language, check_language_tags
from babelmix.errors import ReaderError

MAX_FILE = 1 << 28
"""The largest size of a lexicon or an index, in bytes."""

MAX_ARTICLES = 1 << 29
"""The largest size of all articles of a dictionary, in bytes after decompression."""

MAX_ARTICLE = 1 << 20
"""The largest size of an article, in bytes."""

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
"""A word: letters, and apostrophes between letters."""

_DIGITS = {c: i for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}
_INDEX, _ARTICLES = ".index", (".dict.dz", ".dict")
_ABOUT = "00database"
"""The beginning of the headwords that describe the dictionary itself. The index has them without dashes."""
_HEAD = re.compile(r"\s*(?:/|<|\(|\[|$)")
_NOTES = re.compile(r"<[^>]*>|\[[^\]]*\]|\([^)]*\)")
_NUMBER = re.compile(r"^\s*\d+\.\s")
_READ = 1 << 11
"""The bytes of an article that are read. Its headword and its first sense are at the beginning."""

_LONGEST = 3
"""The most words of a translation. A longer text is an explanation."""


@dataclass(frozen=True)
class Lexicon:
    """A bilingual lexicon.

    Args:
        source: the language of the words, BCP 47.
        target: the language of the translations, BCP 47.
        words: the translation of each word. The words are lower case.
        file: the name of the file.
        sha256: the hash of the file, or of a dictionary's index and articles together.
        skipped: the number of entries that were left out: their headword is not one word, or their translation is not one to
            three words.

    """

    source: str
    target: str
    words: dict[str, str]
    file: str
    sha256: str
    skipped: int = 0

    def about(self) -> dict[str, object]:
        """The languages, the file and the number of words, for the `meta` of a corpus."""
        return {
            "langs": f"{self.source}:{self.target}", "file": self.file, "sha256": self.sha256,
            "words": len(self.words), "skipped": self.skipped,
        }  # fmt: skip


def read_lexicon(spec: str) -> Lexicon:
    """Read a lexicon.

    Args:
        spec: `SOURCE:TARGET=FILE`, such as `en:de=en-de.txt`. A file that ends in `.index` is a dictd dictionary, with its
            articles in a `.dict.dz` or `.dict` file beside it, such as FreeDict's in `/usr/share/dictd`. Any other file is text
            with a word and its translation on each line, separated by white space, such as MUSE's. If a word has several lines,
            the first one counts.

    Returns:
        The lexicon.

    Raises:
        CorpusError: a language tag is unknown.
        ReaderError: the specification or the file is malformed, or the file is too large or has no entry.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "en-de.txt").write_text("dog Hund")
        ...     lexicon = read_lexicon(f"en:de={folder}/en-de.txt")
        >>> lexicon.words
        {'dog': 'Hund'}

    """
    langs, equals, path = spec.partition("=")
    source, colon, target = langs.partition(":")
    same = canonical_language(source) == canonical_language(target)
    if not (equals and colon and source and target and path) or same:
        raise ReaderError("a lexicon is SOURCE:TARGET=FILE with two languages, as in en:de=en-de.txt", file=spec)
    check_language_tags([source, target], f"the lexicon {spec}")
    source, target = canonical_language(source), canonical_language(target)
    file = Path(path)
    lexicon = _read_dictd(file, source, target) if file.suffix == _INDEX else _read_columns(file, source, target)
    if not lexicon.words:
        raise ReaderError("has no word with a translation", file=file)
    return lexicon


def _read_columns(file: Path, source: str, target: str) -> Lexicon:
    data = _bytes(file)
    words: dict[str, str] = {}
    skipped = 0
    for row, line in enumerate(_lines(data, file), 1):
        fields = line.split("\t") if "\t" in line else line.split()
        if not line.strip():
            continue
        if len(fields) != 2 or not all(field.strip() for field in fields):
            raise ReaderError(f"has {len(fields)} fields, but needs a word and its translation", file=file, row=row)
        word, translation = (field.strip() for field in fields)
        if not WORD.fullmatch(word) or len(translation.split()) > _LONGEST:
            skipped += 1
        else:
            words.setdefault(word.lower(), translation)
    return Lexicon(source, target, words, file.name, hashlib.sha256(data).hexdigest(), skipped)


def _read_dictd(file: Path, source: str, target: str) -> Lexicon:
    index = _bytes(file)
    articles_file = next((a for end in _ARTICLES if (a := file.with_suffix(end)).is_file()), None)
    if articles_file is None:
        raise ReaderError(f"has no articles beside it, {file.stem}{' or '.join(_ARTICLES)}", file=file)
    articles = _articles(articles_file)
    words: dict[str, str] = {}
    best: dict[str, tuple[int, int]] = {}
    skipped = 0
    for row, line in enumerate(_lines(index, file), 1):
        headword, start, size = _entry(line, file, row)
        if start + size > len(articles):
            raise ReaderError(
                f"points at bytes {start} to {start + size}, but {articles_file.name} has {len(articles)}",
                file=file,
                row=row,
            )
        if headword.startswith(_ABOUT):
            continue
        word = headword.lower()
        if not WORD.fullmatch(word):
            skipped += 1
            continue
        translation, count = _translation(articles[start : start + min(size, _READ)], headword, articles_file, start)
        if not translation:
            skipped += 1
            continue
        # If a word has several articles, the longest one usually explains the most common sense. The others may explain phrases.
        worth = articles.count(b"\n", start, start + size), count
        if worth > best.get(word, (-1, -1)):
            words[word], best[word] = translation, worth
    digest = hashlib.sha256(index)
    digest.update(articles)
    return Lexicon(source, target, words, file.name, digest.hexdigest(), skipped)


def _entry(line: str, file: Path, row: int) -> tuple[str, int, int]:
    """The headword of an article, its first byte and its size in bytes."""
    fields = line.split("\t")
    if len(fields) not in (3, 4):
        raise ReaderError(f"has {len(fields)} fields, but needs headword, start and size", file=file, row=row)
    start, size = (_number(field, file, row, name) for field, name in zip(fields[1:3], ("start", "size"), strict=True))
    if size > MAX_ARTICLE:
        raise ReaderError(
            f"is {size} bytes, more than the {MAX_ARTICLE} of an article", file=file, row=row, field="size"
        )
    return fields[0], start, size


def _number(text: str, file: Path, row: int, field: str) -> int:
    """Parse a number in the base 64 of dictd, most significant digit first."""
    if not 0 < len(text) <= 8 or any(character not in _DIGITS for character in text):
        raise ReaderError(
            f"{text[:20]!r} is not a number of one to eight digits in base 64", file=file, row=row, field=field
        )
    value = 0
    for character in text:
        value = value * 64 + _DIGITS[character]
    return value


def _translation(article: bytes, headword: str, file: Path, start: int) -> tuple[str | None, int]:
    """The first translation of one to three words in an article, and the number of translations.

    The first line of an article is the headword with its pronunciation. The next line with text has the translations of the first
    sense. Returns (None, 0) if the headword is another one, or no translation is short enough.
    """
    try:
        # The incremental decoder drops a last character that the limit `_READ` has cut.
        first, _, rest = codecs.getincrementaldecoder("utf-8")().decode(article).partition("\n")
    except UnicodeDecodeError as error:
        raise ReaderError(f"the article at byte {start} is not UTF-8 ({error.reason})", file=file) from error
    if _HEAD.split(first, maxsplit=1)[0].strip().lower() != headword.lower():
        return None, 0
    line = rest.lstrip().partition("\n")[0]
    translations = re.split(r"[,;]", _NOTES.sub(" ", _NUMBER.sub("", line)))
    for part in translations:
        words = part.split()
        if 1 <= len(words) <= _LONGEST and all(WORD.fullmatch(word) for word in words):
            return " ".join(words), len(translations)
    return None, 0


def _bytes(file: Path) -> bytes:
    try:
        size = file.stat().st_size
        if size > MAX_FILE:
            raise ReaderError(f"is {size} bytes, more than the {MAX_FILE} that are read", file=file)
        return file.read_bytes()
    except OSError as error:
        raise ReaderError(f"cannot be read ({error.strerror})", file=file) from error


def _articles(file: Path) -> bytes:
    raw = _bytes(file)
    if file.suffix != ".dz":
        return raw
    try:
        with file.open("rb") as handle, GzipFile(fileobj=handle) as stream:
            data = stream.read(MAX_ARTICLES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ReaderError(f"is not a gzip file, or is damaged ({error})", file=file) from error
    if len(data) > MAX_ARTICLES:
        raise ReaderError(f"is more than {MAX_ARTICLES} bytes when decompressed", file=file)
    return data


def _lines(data: bytes, file: Path) -> Iterator[str]:
    lines = data.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    for row, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ReaderError(f"is not UTF-8 ({error.reason})", file=file, row=row) from error


__all__ = ["WORD", "Lexicon", "read_lexicon"]
