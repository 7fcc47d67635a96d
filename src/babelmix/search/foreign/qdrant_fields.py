"""The payload of someone else's points in Qdrant: which fields there are, and filters on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from babelmix.search.facts import ColumnType
from babelmix.search.foreign.address import LANG_NAMES, Address
from babelmix.search.foreign.row import Asked
from babelmix.search.rows import Value

LANG = (*LANG_NAMES, *(f"metadata.{name}" for name in LANG_NAMES))
TEXT = ("text", "body", "content", "page_content", "passage", "document", "chunk")
"""The fields that are the language and the text if the address does not name them."""

_LONGEST = 1024
_SCHEMA: dict[str, ColumnType] = {
    **dict.fromkeys(("keyword", "text", "uuid", "datetime"), "text"),
    "integer": "integer", "float": "number", "bool": "boolean",
}  # fmt: skip


class Fields:
    """The fields of a payload.

    Args:
        models: the module `qdrant_client.models`.
        address: the address; it may name the fields `id`, `item`, `lang` and `text`, each with or without `payload.` before it.
        schema: the type of each field that has an index, as the collection says it.
        some: the payloads of some points.

    """

    def __init__(self, models: Any, address: Address, schema: Mapping[str, str], some: Iterable[Any]) -> None:
        self._models = models
        values: dict[str, set[type]] = defaultdict(set)
        for payload in some:
            for name, value in flat(payload):
                values[name].add(type(value))
        self.there = sorted({*values, *schema})

        def named(option: str, usual: Sequence[str] = ()) -> str:
            given = address.options.get(option, "").removeprefix("payload.")
            return given or next((name for name in usual if name in self.there), "")

        self.id, self.item, self.lang, self.text = named("id"), named("item"), named("lang", LANG), named("text", TEXT)
        taken = {self.id, self.item, self.lang, self.text, "item", "group"}
        kinds = {name: _kind(types) for name, types in values.items()} | {
            name: _SCHEMA[kind] for name, kind in schema.items() if kind in _SCHEMA
        }
        self.kinds: dict[str, ColumnType] = {
            name: kind for name, kind in sorted(kinds.items()) if kind is not None and name not in taken
        }

    def missing(self) -> tuple[str, str] | None:
        """An option and the field that it names, but no point has; None: all are there."""
        named = (("id", self.id), ("item", self.item), ("lang", self.lang), ("text", self.text))
        return next((one for one in named if one[1] and one[1] not in self.there), None)

    def needed(self, *, texts: bool) -> Any:
        """The payload to read of a point."""
        return True if texts else [name for name in (self.id, self.item, self.lang) if name] or False

    def id_of(self, point: Any) -> str:
        """What identifies a point, as a text."""
        found = at(point.payload, self.id) if self.id else point.id
        return str(point.id if found is None else found)

    def item_of(self, point: Any) -> str:
        """The item of a point."""
        found = at(point.payload, self.item) if self.item else None
        return self.id_of(point) if found is None else str(found)

    def lang_of(self, point: Any) -> str | None:
        """The language as the payload has it; None: it has none."""
        found = at(point.payload, self.lang) if self.lang else None
        return None if found is None or found == [] else found if isinstance(found, str) else str(found)

    def text_of(self, point: Any) -> str | None:
        """The text of a point."""
        found = at(point.payload, self.text) if self.text else None
        return found if isinstance(found, str) else None

    def fields_of(self, point: Any) -> dict[str, Value]:
        """The metadata of a point."""
        return {
            name: value
            for name, value in flat(point.payload)
            if name in self.kinds and not (isinstance(value, str) and len(value) > _LONGEST)
        }

    def conditions(self, asked: Asked) -> list[Any]:
        """The conditions of a filter, all of which have to be true."""
        found = []
        if asked.langs is not None:
            either = []
            if langs := [lang for lang in asked.langs if lang is not None]:
                either.append(self._any(self.lang, langs))
            if None in asked.langs:
                empty = self._models.PayloadField(key=self.lang)
                either.append(self._models.IsEmptyCondition(is_empty=empty))
            found.append(either[0] if len(either) == 1 else self._models.Filter(should=either))
        if asked.ids is not None:
            found.append(self._ids(asked.ids))
        for name, values in asked.fields.items():
            if name == "item":
                texts = [str(value) for value in values]
                found.append(self._keys(self.item, texts) if self.item else self._ids(texts))
            else:
                found.append(self._any(name, list(values)))
        return found

    def _ids(self, ids: Sequence[str]) -> Any:
        if self.id:
            return self._keys(self.id, ids)
        return self._models.HasIdCondition(has_id=[int(one) if one.isdecimal() else one for one in ids])

    def _keys(self, name: str, keys: Sequence[str]) -> Any:
        """A payload that is one of some keys: these are texts here, and may be numbers there."""
        numbers = [int(key) for key in keys if key.isdecimal() and len(key) < 19]
        if not numbers:
            return self._any(name, list(keys))
        return self._models.Filter(should=[self._any(name, list(keys)), self._any(name, numbers)])

    def _any(self, name: str, values: Sequence[Value]) -> Any:
        models = self._models
        if all(isinstance(value, str) for value in values) or all(type(value) is int for value in values):
            return models.FieldCondition(key=name, match=models.MatchAny(any=list(values)))
        each = [
            models.FieldCondition(key=name, match=models.MatchValue(value=value))
            if isinstance(value, (bool, str))
            else models.FieldCondition(key=name, range=models.Range(gte=value, lte=value))
            for value in values
        ]
        return models.Filter(should=each)


def at(payload: Any, path: str) -> Any:
    """A value in a payload, by the names on the way to it; a name may hold dots itself."""
    if isinstance(payload, dict) and path in payload:
        return payload[path]
    for part in path.split("."):
        payload = payload.get(part) if isinstance(payload, dict) else None
    return payload


def flat(payload: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """The names and values of a payload that are no lists, with dots in the names of nested ones."""
    for name, value in (payload or {}).items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{name}.")
        elif isinstance(value, (str, int, float)):
            yield f"{before}{name}", value


def _kind(types: set[type]) -> ColumnType | None:
    if types == {str}:
        return "text"
    if types == {bool}:
        return "boolean"
    if types == {int}:
        return "integer"
    return "number" if types <= {int, float} else None


__all__ = ["LANG", "TEXT", "Fields"]
