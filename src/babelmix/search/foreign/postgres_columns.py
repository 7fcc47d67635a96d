"""The columns of someone else's table in PostgreSQL, as parts of statements that read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from babelmix.errors import SearchError, require
from babelmix.search.facts import ColumnType
from babelmix.search.foreign.address import LANG_NAMES, Address
from babelmix.search.foreign.postgres import COLUMNS, KEYS, OPERATORS, TYPES, no_table
from babelmix.search.foreign.row import Asked
from babelmix.search.rows import Value

if TYPE_CHECKING:
    from psycopg import Connection, sql

TEXT = ("text", "body", "content", "passage", "document", "chunk")
"""The columns that are the text if the address does not name it."""

_KINDS: dict[str, ColumnType] = {
    **dict.fromkeys(
        ("text", "varchar", "bpchar", "name", "citext", "uuid", "date", "timestamp", "timestamptz"), "text"
    ),
    **dict.fromkeys(("int2", "int4", "int8"), "integer"),
    **dict.fromkeys(("float4", "float8", "numeric"), "number"),
    "bool": "boolean",
}
_CASTS = {"text": "text", "integer": "int8", "number": "float8", "boolean": "bool"}
_LONGEST = 1024
"""Longer texts are no metadata: they are not read."""

METRICS = {"cosine": ("cosine", "<=>"), "ip": ("dot", "<#>"), "l2": ("l2", "<->")}
"""The similarity and the operator by the name in an operator class, such as `vector_cosine_ops`."""


CELLS = """
SELECT coalesce((SELECT option_value::int FROM pg_options_to_table(c.reloptions) WHERE option_name = 'lists'), 100)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
WHERE i.indrelid = %s AND (i.indkey::int2[])[0] = %s AND m.amname = 'ivfflat' ORDER BY i.indexrelid LIMIT 1
"""
"""The number of lists of an index; 100 is pgvector's default."""


@dataclass(frozen=True)
class Vector:
    """The column of vectors.

    Args:
        name: its name.
        half: whether it is a `halfvec`.
        dimension: of its vectors; 0: the column does not say.
        method: the method of its index, `hnsw` or `ivfflat`; empty: it has none.
        metric: how the index compares: `cosine`, `dot` or `l2`; empty: there is none, or by another operator.
        cells: the number of lists of an `ivfflat` index; 0: it is none.

    """

    name: str
    half: bool
    dimension: int
    method: str
    metric: str
    cells: int = 0


class Columns:
    """The columns of a table that an address names.

    Args:
        connection: an open connection.
        address: the address.

    Raises:
        SearchError: the table is not as the address says.

    """

    def __init__(self, connection: Connection[Any], address: Address) -> None:
        self.where, self._connection = str(address), connection
        self._sql = require("psycopg.sql", "postgres", "a table of PostgreSQL")
        table = self._sql.Identifier(*(unquote(part) for part in address.path[-1].split(".")))
        self.table: sql.Composable = self._safe(table)
        found = self._one(
            "SELECT c.oid, c.relkind FROM pg_class c WHERE c.oid = to_regclass(%s)", [self.text_of(table)]
        )
        if found is None:
            raise no_table(connection, self.where)
        self.oid, kind = found
        if kind not in ("r", "p", "v", "m", "f"):
            raise SearchError(f"{self.where}: is no table and no view; name the table that the vectors are in")
        rows = connection.execute(COLUMNS, [self.oid]).fetchall()
        self._types: dict[str, str] = {row[0]: row[2] for row in rows}
        self._numbers: dict[str, int] = {row[0]: row[1] for row in rows}
        self.vector = self._vector_of(address, rows)
        options = address.options
        key = self._key_of(options.get("id", ""))
        self.key = self._joined(key)
        named = options.get("item")
        self.item = self.key if not named else self._as_text(self._column("item", named))
        lang = options.get("lang") or next((name for name in LANG_NAMES if name in self._types), "")
        self.lang_name = lang
        self.lang: sql.Composable | None = self._as_text(self._column("lang", lang)) if lang else None
        text = options.get("text") or next((name for name in TEXT if name in self._types), "")
        self.body: sql.Composable | None = self._as_text(self._column("text", text)) if text else None
        # The names item and group are taken in filters.
        left_out = {lang, text, "item", "group", *([named] if named else key)}
        self.kinds: dict[str, ColumnType] = {
            name: _KINDS[kind] for name, kind in self._types.items() if kind in _KINDS and name not in left_out
        }

    def _vector_of(self, address: Address, rows: Sequence[Any]) -> Vector:
        vectors = [row[0] for row in rows if row[2] in TYPES and not row[6].startswith("babelmix")]
        name = address.options.get("vector") or (vectors[0] if len(vectors) == 1 else "")
        if not name:
            raise SearchError(
                f"{self.where}: has {len(vectors)} columns of vectors ({', '.join(vectors)}); name one:  ?vector=COLUMN"
            )
        self._check("vector", name)
        if self._types[name] not in TYPES:
            raise SearchError(
                f"{self.where}: the column {name!r} is of the type {self._types[name]}, not {' or '.join(TYPES)}"
            )
        modifier = next(row[4] for row in rows if row[0] == name)
        method, operators = self._one(OPERATORS, [self.oid, self._numbers[name]]) or ("", "__")
        metric, _ = METRICS.get(operators.split("_")[1], ("", ""))
        cells = self._one(CELLS, [self.oid, self._numbers[name]]) if method == "ivfflat" else None
        return Vector(name, self._types[name] == "halfvec", max(modifier, 0), method, metric, cells[0] if cells else 0)

    def _key_of(self, named: str) -> list[str]:
        wanted = [name for name in named.split(",") if name]
        for name in wanted:
            self._column("id", name)
        if wanted:
            return wanted
        names = {number: name for name, number in self._numbers.items()}
        for primary, key in self._connection.execute(KEYS, [self.oid]).fetchall():
            if primary:
                return [names[number] for number in key]
        raise SearchError(f"{self.where}: has no primary key; name the column that identifies a row:  ?id=COLUMN")

    def _check(self, option: str, name: str) -> None:
        if name not in self._types:
            raise SearchError(
                f"{self.where}: has no column {name!r}; say which one it is with  ?{option}=COLUMN  (columns: "
                f"{', '.join(self._types)})"
            )

    def _column(self, option: str, name: str) -> sql.Composable:
        """A column; or a value in a column of JSON, as in `meta.lang`."""
        column, dot, path = name.partition(".")
        if name not in self._types and dot and self._types.get(column) in ("json", "jsonb"):
            steps = self._sql.Literal(path.split("."))
            return self._sql.SQL("({column} #>> {steps})").format(column=self.quoted(column), steps=self._safe(steps))
        self._check(option, name)
        return self.quoted(name)

    def quoted(self, *names: str) -> sql.Composable:
        """A quoted name, for statements with values: psycopg takes % for a placeholder in names too."""
        return self._safe(self._sql.Identifier(*names))

    def _safe(self, part: sql.Composable) -> sql.Composable:
        return self._sql.SQL(self.text_of(part).replace("%", "%%").replace("{", "{{").replace("}", "}}")).format()

    def _as_text(self, column: sql.Composable) -> sql.Composable:
        """A column as text. Texts are not cast, so that their indexes are used."""
        plain = {self.text_of(self.quoted(name)) for name, kind in self._types.items() if kind in ("text", "varchar")}
        text = self.text_of(column)
        return column if text in plain or text.startswith("(") else self._sql.SQL("{}::text").format(column)

    def _joined(self, names: Sequence[str]) -> sql.Composable:
        parts = [self._as_text(self._column("id", name)) for name in names]
        return (
            parts[0]
            if len(parts) == 1
            else self._sql.SQL("concat_ws('/', {})").format(self._sql.SQL(", ").join(parts))
        )

    def selected(self, *, texts: bool) -> sql.Composable:
        """The columns of a row: id, item, language, text, then the metadata in the order of `kinds`."""
        null = self._sql.SQL("NULL::text")
        parts = [self.key, self.item, self.lang or null]
        if texts:
            parts.append(self.body or null)
            for name, kind in self.kinds.items():
                column = self.quoted(name)
                if kind == "text":
                    cut = "CASE WHEN length({0}::text) <= " + str(_LONGEST) + " THEN {0}::text END"
                    column = self._sql.SQL(cut).format(column)
                elif kind == "number":
                    column = self._sql.SQL("{}::float8").format(column)
                parts.append(column)
        return self._sql.SQL(", ").join(parts)

    def fields_of(self, values: Sequence[Any]) -> dict[str, Value]:
        """The metadata of a row, from the values after its text; those that are NULL are left out."""
        return {name: value for name, value in zip(self.kinds, values, strict=True) if value is not None}

    def condition(self, asked: Asked) -> tuple[sql.Composable, list[Any]]:
        """The condition of a filter, with its values."""
        parts: list[sql.Composable] = [self._sql.SQL("{} IS NOT NULL").format(self.quoted(self.vector.name))]
        values: list[Any] = []
        if asked.nothing:
            parts.append(self._sql.SQL("false"))
        elif asked.langs is not None and self.lang is not None:
            # Literals, so that a partial index of one language is used.
            named = [self._safe(self._sql.Literal(lang)) for lang in asked.langs if lang is not None]
            either = []
            if named:
                one = self._sql.SQL("{} = {}") if len(named) == 1 else self._sql.SQL("{} IN ({})")
                either.append(one.format(self.lang, self._sql.SQL(", ").join(named)))
            if None in asked.langs:
                either.append(self._sql.SQL("{} IS NULL").format(self.lang))
            parts.append(self._sql.SQL("({})").format(self._sql.SQL(" OR ").join(either)))
        if asked.ids:
            parts.append(self._sql.SQL("{} = ANY(%s::text[])").format(self.key))
            values.append(list(asked.ids))
        for name, allowed in asked.fields.items():
            column = self.item if name == "item" else self.quoted(name)
            kind = "text" if name == "item" else self.kinds[name]
            if kind == "text" and name != "item":
                column = self._as_text(column)
            parts.append(self._sql.SQL("{} = ANY(%s::" + _CASTS[kind] + "[])").format(column))
            values.append(list(allowed))
        return self._sql.SQL(" AND ").join(parts), values

    @property
    def names(self) -> list[str]:
        """The names of all columns."""
        return list(self._types)

    def named_of(self, kind: str) -> list[str]:
        """The names of the columns of a type."""
        return [name for name, own in self._types.items() if own == kind]

    def number_of(self, name: str) -> int:
        """The number of a column in the catalogue."""
        return self._numbers[name]

    def literal(self, value: str) -> sql.Composable:
        """A text as a part of a statement that has placeholders. A text of PostgreSQL holds no character of the code 0."""
        return self._safe(self._sql.Literal(value.replace("\0", " ")))

    def text_of(self, part: sql.Composable) -> str:
        """A part of a statement as text."""
        return part.as_string(self._connection)

    def _one(self, query: str, values: Sequence[Any]) -> Any:
        return self._connection.execute(query, values).fetchone()


__all__ = ["METRICS", "Columns", "Vector"]
