"""The data types of an index: rows, filters and hits."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix._lists import as_list
from babelmix.corpus import IMAGE, canonical_language, is_language_tag
from babelmix.corpus.images import digest_of, open_picture
from babelmix.corpus.languages import match_languages, not_a_tag
from babelmix.corpus.readers._records import is_unicode
from babelmix.corpus.readers._rows import MAX_NAME, MAX_TEXT
from babelmix.errors import PictureError, SearchError

Value = str | int | float | bool
"""A value of a metadata column."""

Vectors = npt.NDArray[np.float32]

MAX_ITEM = MAX_NAME
"""Maximum length of an item's name in characters."""

MAX_ROWS_OF_AN_ITEM = 1000
"""Maximum number of rows of an item."""

THUMBNAIL = 256
"""Longest side of a thumbnail in pixels."""

_MAX_FIELD = 1024

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Row:
    """One rendering of an item: in one language, or as a picture.

    Args:
        item: the name of the item; all its rows have the same meaning.
        lang: BCP 47, stored in canonical form; `zxx` for a picture.
        text: the passage; None for a picture.
        image: an encoded picture; None for a text.
        group: the page or article that the item is part of; by default the item itself.
        fields: metadata for filters.

    Raises:
        SearchError: a value is missing, malformed or too long.

    """

    item: str
    lang: str
    text: str | None = None
    image: bytes | None = field(default=None, repr=False)
    group: str = ""
    fields: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= len(self.item) <= MAX_ITEM:
            raise SearchError(f"item {self.item[:60]!r}: has to have 1 to {MAX_ITEM} characters")
        check_characters(self.item, f"item {self.item[:60]!r}")
        where = f"item {self.item!r}"
        if not is_language_tag(self.lang):
            raise SearchError(f"{where}: {not_a_tag(self.lang)}")
        object.__setattr__(self, "lang", canonical_language(self.lang))
        if (self.text is None) == (self.image is None):
            raise SearchError(f"{where}: has a text or a picture; this one has {'both' if self.text else 'neither'}")
        if (self.lang == IMAGE) != (self.image is not None):
            raise SearchError(f"{where}: a picture's language is {IMAGE!r}, and nothing else has it")
        if self.text is not None:
            if not self.text.strip():
                raise SearchError(f"{where}: the text is empty; leave the row out")
            if (size := len(self.text.encode("utf-8", "replace"))) > MAX_TEXT:
                raise SearchError(
                    f"{where}: the text has {size:,} bytes; cut it into passages of at most {MAX_TEXT:,}"
                )
            check_characters(self.text, f"{where}, its text", controls=True)
        object.__setattr__(self, "group", self.group or self.item)
        if len(self.group) > MAX_ITEM:
            raise SearchError(f"{where}: its group has {len(self.group):,} characters; at most {MAX_ITEM}")
        check_characters(self.group, f"{where}, its group")
        for name, value in self.fields.items():
            if name in ("item", "group"):
                raise SearchError(f"{where}: a metadata column cannot be named {name!r}, which the row itself has")
            check_field(name, value, where)


def check_length(item: str, size: int, most: int | None) -> None:
    """Check that an engine can hold a text.

    Args:
        item: the item of the text.
        size: the bytes of the text.
        most: the most bytes that the engine can hold; None: no limit of its own.

    Raises:
        SearchError: the text is too long.

    """
    if most is not None and size > most:
        raise SearchError(
            f"item {item!r}: the text has {size:,} bytes, and this engine holds at most {most:,}; cut it into passages, or use "
            "an index in a folder"
        )


def check_characters(text: str, where: str, *, lines: bool = False, controls: bool = False) -> None:
    """Raise if a text cannot be stored, because it has a lone surrogate or a control character (Unicode category Cc).

    Spaces of all kinds, joiners and direction marks are allowed.

    Args:
        text: the text.
        where: the beginning of the message.
        lines: whether tabs and line breaks are allowed.
        controls: whether all control characters are allowed.

    Raises:
        SearchError: the message names the character and its position.

    """
    for found in _CONTROLS.finditer(text):
        character = found[0]
        if is_unicode(character) and (controls or (lines and character in "\t\n\r")):
            continue
        kind = "a control character" if is_unicode(character) else "half of a surrogate pair"
        raise SearchError(f"{where}: character {found.start() + 1} is U+{ord(character):04X}, {kind}; take it out")


def check_field(name: str, value: object, where: str) -> None:
    """Check the name and a value of a metadata column.

    Raises:
        SearchError: the name or the value cannot be stored.

    """
    try:
        check_column_name(name)
    except SearchError as error:
        raise SearchError(f"{where}: {error}") from error
    if not isinstance(value, (str, int, float, bool)):
        raise SearchError(f"{where}, column {name!r}: is a text, a number, true or false, not {type(value).__name__}")
    if isinstance(value, str):
        if len(value) > _MAX_FIELD:
            raise SearchError(f"{where}, column {name!r}: has {len(value):,} characters; at most {_MAX_FIELD:,}")
        check_characters(value, f"{where}, column {name!r}", lines=True)
    if isinstance(value, float) and not np.isfinite(value):
        raise SearchError(f"{where}, column {name!r}: is not a finite number")
    if isinstance(value, int) and abs(value) >= 1 << 63:
        raise SearchError(f"{where}, column {name!r}: {value} is larger than 64 bits hold")


@lru_cache(maxsize=4096)
def check_column_name(name: str) -> None:
    """Check the name of a metadata column.

    Raises:
        SearchError: the name is not an ASCII identifier of at most 64 characters.

    """
    if not name.isidentifier() or not name.isascii() or len(name) > 64:
        raise SearchError(f"the column {name[:70]!r} has to have a name of at most 64 letters, digits and _")


@dataclass(frozen=True)
class Point:
    """A row as an engine stores it.

    Args:
        id: a UUID computed from the item, the language, and the position among the rows of this item and language.
        digest: the digest of all stored content. A row with the same digest need not be written again.
        row: the row.
        vector: float32, shape (dimension,); None until the row is encoded.
        thumbnail: a small WebP picture in base64; empty for a text.
        corrected: the corrected vector, float32, shape (dimension,); None: it has none. See `babelmix.search.corrected`.

    """

    id: str
    digest: str
    row: Row
    vector: Vectors | None = field(default=None, repr=False)
    thumbnail: str = field(default="", repr=False)
    corrected: Vectors | None = field(default=None, repr=False)


def stored_point(name: str, digest: str, facts: Mapping[str, Any], vector: Any) -> Point:
    """A row as an engine gives it back.

    Args:
        name: the row's UUID.
        digest: the stored digest.
        facts: `item`, `lang`, `group`, `text` or `thumbnail`, `fields`.
        vector: shape (dimension,).

    """
    text, thumbnail = facts.get("text") or None, facts.get("thumbnail") or ""
    image = None if text is not None else base64.b64decode(thumbnail) or b"-"
    row = Row(facts["item"], facts["lang"], text, image, facts["group"], facts.get("fields") or {})
    return Point(name, digest, row, np.array(vector, dtype=np.float32), thumbnail)


@dataclass(frozen=True)
class Where:
    """A filter: which rows a search may find.

    Args:
        langs: the allowed languages, each a range (`en` includes en-US); None: all.
        fields: for each metadata column (or `item`, `group`) the allowed values; a row has to match in every column.

    """

    langs: tuple[str, ...] | None = None
    fields: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.langs is not None:
            object.__setattr__(self, "langs", tuple(as_list(self.langs, "langs", SearchError)))
        if any(isinstance(values, str) for values in self.fields.values()):
            whole = {name: (values,) if isinstance(values, str) else values for name, values in self.fields.items()}
            object.__setattr__(self, "fields", whole)

    def among(self, langs: Iterable[str], where: str) -> Where:
        """The same filter, with the tags of an index in place of language ranges.

        Args:
            langs: the tags of the index.
            where: the name of the index, for the message.

        Raises:
            SearchError: a range matches no tag, or the list is empty.

        """
        if self.langs is None:
            return self
        return Where(tuple(match_languages(self.langs, langs, where, SearchError)), self.fields)

    def only(self, langs: str | Iterable[str]) -> Where:
        """The same filter with fewer languages."""
        wanted = tuple(as_list(langs, "langs", SearchError))
        return Where(
            wanted if self.langs is None else tuple(lang for lang in wanted if lang in self.langs), self.fields
        )


@dataclass(frozen=True)
class Hit:
    """A row that a search found.

    Args:
        id: the row's UUID.
        score: higher is better; its scale depends on mode and policy.
        item: the item of the row.
        lang: the language of the row.
        group: the group of the row.
        text: the text of the row; None for a picture.
        thumbnail: a small WebP picture in base64; empty for a text.
        fields: the metadata of the row.
        also: the other languages of the item, sorted; only a search with `show="mine"` says them.

    """

    id: str
    score: float
    item: str
    lang: str
    group: str
    text: str | None
    thumbnail: str = field(default="", repr=False)
    fields: Mapping[str, Value] = field(default_factory=dict)
    also: tuple[str, ...] = ()

    def scored(self, score: float) -> Hit:
        """The same row with another score."""
        # Many times as fast as `dataclasses.replace`; a search does this for thousands of rows.
        return Hit(self.id, score, self.item, self.lang, self.group, self.text, self.thumbnail, self.fields, self.also)


def points_of(rows: Sequence[Row]) -> list[Point]:
    """Give ids and digests to rows, which have to include all rows of each item.

    Raises:
        SearchError: an item has too many rows.

    """
    seen: Counter[tuple[str, str]] = Counter()
    sizes: Counter[str] = Counter()
    points = []
    for row in rows:
        place = seen[row.item, row.lang]
        seen[row.item, row.lang] += 1
        sizes[row.item] += 1
        if sizes[row.item] > MAX_ROWS_OF_AN_ITEM:
            raise too_many_rows(row.item)
        name = hashlib.blake2b(f"{row.item}\x1f{row.lang}\x1f{place}".encode(), digest_size=16).digest()
        points.append(Point(str(uuid.UUID(bytes=name)), digest_of_row(row), row))
    return points


def too_many_rows(item: str) -> SearchError:
    """The error for an item with too many rows."""
    return SearchError(f"item {item!r} has more than {MAX_ROWS_OF_AN_ITEM:,} rows; make several items of it")


def digest_of_row(row: Row, fields: Mapping[str, Value] | None = None) -> str:
    """The digest of the stored content of a row, optionally with other metadata."""
    content = digest_of(row.image) if row.image is not None else row.text
    facts = [content, row.group, sorted((row.fields if fields is None else fields).items())]
    return digest_of(json.dumps(facts, ensure_ascii=False).encode())


def thumbnail_of(data: bytes) -> str:
    """A small copy of a picture, WebP in base64.

    Raises:
        PictureError: see `open_picture`.

    """
    picture = open_picture(data)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    sink = io.BytesIO()
    picture.save(sink, "WEBP", quality=80)
    if len(sink.getvalue()) > 40_000:
        sink = io.BytesIO()
        picture.save(sink, "WEBP", quality=30)
    if len(sink.getvalue()) > 44_000:
        raise PictureError("cannot be made small enough to be shown; use one with less noise")
    return base64.b64encode(sink.getvalue()).decode("ascii")
