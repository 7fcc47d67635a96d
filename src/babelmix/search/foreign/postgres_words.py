"""PostgreSQL's full text search over someone else's table: which documents, and which configuration for which language."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from babelmix.errors import SearchError, require
from babelmix.search.foreign.address import Address
from babelmix.search.foreign.postgres_columns import Columns

if TYPE_CHECKING:
    from psycopg import Connection, sql

_NAMES = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "et": "estonian", "eu": "basque", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian",
    "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian", "nb": "norwegian", "ne": "nepali", "nl": "dutch",
    "nn": "norwegian", "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian",
    "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
"""The configurations of PostgreSQL by language."""

_PLAIN = "simple"
"""The configuration of all other languages: words as they are written."""

_CONFIGURED = re.compile(r"'(?:\w+\.)?(\w+)'::regconfig")
_GENERATED = "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = %s AND adnum = %s"
_GIN = """
SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
WHERE i.indrelid = %s AND m.amname IN ('gin', 'gist') LIMIT 1
"""


class FullText:
    """The documents of a table that full text search looks in.

    They are a column of the type `tsvector`: the one that the option `words` names, or the only one. Without one, they are made
    of the column of texts, by the configuration of each row's language.

    Args:
        connection: an open connection.
        address: the address of the table.
        columns: its columns.

    Raises:
        SearchError: the option names no column of the type `tsvector`.

    """

    def __init__(self, connection: Connection[Any], address: Address, columns: Columns) -> None:
        self._sql = require("psycopg.sql", "postgres", "a table of PostgreSQL")
        self._columns = columns
        self._known = {name for (name,) in connection.execute("SELECT cfgname FROM pg_ts_config")}
        documents = columns.named_of("tsvector")
        named = address.options.get("words", "")
        if named and named not in documents:
            raise SearchError(
                f"{columns.where}: has no column {named!r} of the type tsvector; there are: {', '.join(documents) or 'none'}"
            )
        self._document = named or (documents[0] if len(documents) == 1 else "")
        self._only = ""
        if self._document:
            found = connection.execute(_GENERATED, [columns.oid, columns.number_of(self._document)]).fetchone()
            used = set(_CONFIGURED.findall(found[0])) if found else set()
            self._only = used.pop() if len(used) == 1 else ""
        self.there = bool(self._document) or columns.body is not None
        self.indexed = connection.execute(_GIN, [columns.oid]).fetchone() is not None

    def by_configuration(self, langs: Iterable[str]) -> dict[str, list[str]]:
        """The languages of each configuration."""
        found: dict[str, list[str]] = defaultdict(list)
        for lang in langs:
            name = self._only or _NAMES.get(lang.partition("-")[0], _PLAIN)
            found[name if name in self._known else _PLAIN].append(lang)
        return dict(found)

    def parts(self, configuration: str, text: str) -> dict[str, sql.Composable]:
        """The document of a row, and a query that any word of a text answers, as parts of a statement."""
        named = self._sql.SQL("{}::regconfig").format(self._sql.Literal(configuration))
        body = self._columns.quoted(self._document) if self._document else self._columns.body
        document = body if self._document else self._sql.SQL("to_tsvector({}, {})").format(named, body)
        asked = self._sql.SQL(
            "(SELECT string_agg(quote_literal(lexeme), ' | ')::tsquery FROM unnest(to_tsvector({}, {})))"
        ).format(named, self._columns.literal(text))
        return {"document": document, "asked": asked}


__all__ = ["FullText"]
