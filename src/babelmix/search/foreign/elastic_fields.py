"""The fields of an index of OpenSearch or Elasticsearch that are id, item, language, text and metadata; and filters by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from babelmix.errors import SearchError
from babelmix.search.facts import ColumnType
from babelmix.search.foreign.address import LANG_NAMES, Address
from babelmix.search.foreign.elastic_vectors import Mapped, text_of, values_at
from babelmix.search.foreign.row import Asked, ForeignRow
from babelmix.search.rows import Value

_OFTEN = ("lang", "language")
TEXT = ("text", "body", "content", "passage", "document", "chunk")
"""The fields that are the text if the address does not name it."""

_KINDS: dict[str, ColumnType] = {
    **dict.fromkeys(("keyword", "constant_keyword", "wildcard", "date", "text", "ip", "version"), "text"),
    **dict.fromkeys(("long", "integer", "short", "byte", "unsigned_long"), "integer"),
    **dict.fromkeys(("double", "float", "half_float", "scaled_float"), "number"),
    "boolean": "boolean",
}
_WORDS = ("text", "match_only_text", "annotated_text", "search_as_you_type")
_LONGEST = 1024
"""Longer texts are no metadata: they are left out."""

_MOST_IDS = 65_536
"""The most values of a filter: the usual `index.max_terms_count`."""


@dataclass(frozen=True)
class Fields:
    """The fields of an index that an address names.

    Args:
        where: the address, for messages.
        id: the field of the id; empty: `_id`, the document's own.
        item: the field that joins translations; empty: the id.
        lang: the field of the language; empty: there is none.
        texts: the fields of the text: one, or one for each language.
        pattern: the name of the field of the text with `{lang}` in it; empty: there is one for all languages.
        shown: the fields of metadata.
        columns: the types of those by which a filter is possible.
        exact: the field that is compared, by the name of the field that is meant.
        searched: the fields of the text that can be searched by words.

    """

    where: str
    id: str
    item: str
    lang: str
    texts: tuple[str, ...]
    pattern: str
    shown: tuple[str, ...]
    columns: dict[str, ColumnType]
    exact: dict[str, str] = field(repr=False)
    searched: tuple[str, ...] = ()

    @classmethod
    def read(cls, address: Address, mapping: Mapping[str, Any], vectors: tuple[str, ...]) -> Fields:
        """Find the fields.

        Args:
            address: the address.
            mapping: the mapping of the index.
            vectors: the fields of vectors.

        Raises:
            SearchError: a field that the address names is not there, or cannot be used for what it is named for.

        """
        where, mapped = str(address), Mapped.read(mapping)
        if (mapping.get("_source") or {}).get("enabled") is False:
            raise SearchError(
                f"{where}: the index does not keep its documents (_source is off), so no text can be read"
            )
        given = address.options

        def usual(option: str, names: tuple[str, ...]) -> str:
            return given.get(option) or next((name for name in names if name in mapped.specs), "")

        own, item, lang = given.get("id", ""), given.get("item", ""), given.get("lang", "")
        # Rarer names are only taken where they can be compared.
        lang = lang or next((n for n in LANG_NAMES if n in mapped.specs and (n in _OFTEN or mapped.exact(n))), "")
        own = "" if own == "_id" else own
        exact: dict[str, str] = {}
        for option, name in (("id", own), ("item", item), ("lang", lang)):
            if not name:
                continue
            mapped.check(where, option, name)
            found = mapped.exact(name)
            if found is None:
                raise SearchError(
                    f"{where}: the field {name!r} is of the type text and has no sub-field of the type keyword, so that rows "
                    f"cannot be counted or chosen by it; add one to the mapping, or name another field:  ?{option}=FIELD"
                )
            exact[name] = found
        text = usual("text", TEXT)
        texts = cls._texts(where, mapped, text)
        shown, columns = cls._metadata(mapped, exact, {own, item, lang, *texts, *vectors})
        searched = tuple(name for name in texts if mapped.specs[name].get("type") in _WORDS)
        return cls(where, own, item, lang, texts, text if "{lang}" in text else "", shown, columns, exact, searched)

    @staticmethod
    def _texts(where: str, mapped: Mapped, text: str) -> tuple[str, ...]:
        if not text:
            return ()
        if "{lang}" not in text:
            mapped.check(where, "text", text)
            return (text,)
        head, _, tail = text.partition("{lang}")
        found = tuple(
            name
            for name, spec in mapped.specs.items()
            if name.startswith(head) and name.endswith(tail) and len(name) > len(head + tail) and spec.get("type") in _WORDS
            and "." not in name[len(head) : len(name) - len(tail)]
        )  # fmt: skip
        if not found:
            raise SearchError(f"{where}: no field of the type text has a name like {text}")
        return found

    @staticmethod
    def _metadata(
        mapped: Mapped, exact: dict[str, str], used: set[str]
    ) -> tuple[tuple[str, ...], dict[str, ColumnType]]:
        shown, columns = [], {}
        for name, spec in mapped.specs.items():
            kind = _KINDS.get(spec.get("type", ""))
            if kind is None or name in used or not (name.isidentifier() and name.isascii() and len(name) <= 64):
                continue
            shown.append(name)
            compared = mapped.exact(name)
            if compared is not None and name not in ("item", "group"):
                columns[name], exact[name] = kind, compared
        return tuple(shown), columns

    @property
    def sources(self) -> list[str]:
        """The fields of documents that a hit needs."""
        return [*self._keys, *self.texts, *self.shown]

    @property
    def _keys(self) -> list[str]:
        return [name for name in (self.id, self.item, self.lang) if name]

    def needed(self, *, texts: bool) -> list[str]:
        """The fields of documents that a row needs."""
        return self.sources if texts else self._keys

    def row(self, hit: Mapping[str, Any], *, texts: bool = True) -> ForeignRow:
        """A row of a hit.

        Raises:
            SearchError: the document has no id or item, or several languages.

        """
        source = hit.get("_source") or {}
        row_id = self._one(hit, source, self.id) if self.id else str(hit["_id"])
        item = self._one(hit, source, self.item) if self.item else row_id
        lang = self.lang_of(hit)
        if not texts:
            return ForeignRow(row_id, item, lang)
        return ForeignRow(row_id, item, lang, self._text(source, lang), self._fields(source))

    def lang_of(self, hit: Mapping[str, Any]) -> str | None:
        """The language of a hit as its document writes it; None: it has none.

        Raises:
            SearchError: it has several.

        """
        langs = values_at(hit.get("_source") or {}, self.lang) if self.lang else []
        if len(langs) > 1:
            raise SearchError(
                f"{self.where}: the document {hit['_id']} has {len(langs)} languages in {self.lang!r}; one document has one "
                "language here: index the passages of a document as documents of their own"
            )
        return text_of(langs[0]) if langs else None

    def _one(self, hit: Mapping[str, Any], source: Any, name: str) -> str:
        found = values_at(source, name)
        if len(found) != 1:
            raise SearchError(
                f"{self.where}: the document {hit['_id']} has {len(found)} values in {name!r}, and needs one"
            )
        return text_of(found[0])

    def _text(self, source: Any, lang: str | None) -> str | None:
        own = self.pattern.replace("{lang}", lang or "") if self.pattern else ""
        for name in (own, *self.texts) if own else self.texts:
            # A text may be a list of paragraphs.
            if found := [text_of(value) for value in values_at(source, name)]:
                return "\n".join(found)
        return None

    def _fields(self, source: Any) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for name in self.shown:
            values = values_at(source, name)
            if len(values) == 1 and isinstance(values[0], (str, int, float, bool)):
                value = values[0]
                if not isinstance(value, str) or len(value) <= _LONGEST:
                    found[name] = value
        return found

    def words_in(self, asked: Asked) -> tuple[str, ...]:
        """The fields that a search by words looks at: those of the languages that pass."""
        if not self.pattern or asked.langs is None:
            return self.searched
        names = {self.pattern.replace("{lang}", lang or "") for lang in asked.langs}
        return tuple(name for name in self.searched if name in names)

    def clause(self, asked: Asked) -> dict[str, Any] | None:
        """A filter; None: all rows pass.

        Raises:
            SearchError: the filter has too many values.

        """
        parts: list[dict[str, Any]] = []
        if asked.langs is not None:
            parts.append(self._lang_clause(asked.langs))
        if asked.ids is not None:
            parts.append(self._values("", asked.ids))
        for name, allowed in asked.fields.items():
            column = self.item if name == "item" else name
            parts.append(self._values(column, allowed))
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else {"bool": {"filter": parts}}

    def _lang_clause(self, langs: tuple[str | None, ...]) -> dict[str, Any]:
        compared = self.exact[self.lang]
        named = [lang for lang in langs if lang is not None]
        stated = {"terms": {compared: named}}
        if None not in langs:
            return stated
        unstated = {"bool": {"must_not": [{"exists": {"field": compared}}]}}
        return unstated if not named else {"bool": {"should": [stated, unstated], "minimum_should_match": 1}}

    def _values(self, name: str, values: tuple[Any, ...]) -> dict[str, Any]:
        """A filter by the values of a field; of the empty name: by ids."""
        if len(values) > _MOST_IDS:
            raise SearchError(
                f"{self.where}: a filter by {len(values):,} values is too large for the server; if languages are detected, "
                "write them into a field of the documents and name it:  ?lang=FIELD"
            )
        name = name or self.id
        return (
            {"terms": {self.exact[name]: list(values)}} if name else {"ids": {"values": [str(one) for one in values]}}
        )


__all__ = ["Fields"]
