"""How rows are stored in PostgreSQL: the tables, rows as COPY takes them, filters, and the weights of words."""

from __future__ import annotations

import hashlib
import json
import uuid
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from babelmix.corpus.readers._records import is_unicode
from babelmix.errors import SearchError
from babelmix.search.engines.marks import mark_of, marks_of
from babelmix.search.rows import Hit, Point, Where
from babelmix.search.words import Words

LAYOUT = 1
MARK = "babelmix: rows of an index, layout "
"""The comment of our tables of rows, before the layout. A table without it was made by someone else."""

TERMS = 10**9
"""Words are numbered by a checksum, from 0 to this: the largest dimension of a `sparsevec`."""

LARGEST, LARGEST_GRAPH, LARGEST_HALF_GRAPH = 16_000, 2000, 4000
"""Dimensions that pgvector can store, put into a graph, and put into a graph of 16-bit numbers."""

_INLINE = 1900
"""Vectors of more dimensions do not fit beside the rest of a row in a page of 8 KiB, and are stored elsewhere."""

_MOST_TERMS = 16_000
"""Numbers other than zero that a `sparsevec` holds."""

_STATEMENTS = 1000
"""Statements that are remembered; each kind of filter has its own."""

_NUL, _SHOWN_NUL = "\x00", "\u2400"
_K, _B, _LENGTH = 1.2, 0.75, 64
"""BM25: saturation, the effect of length, and the average length of a passage in words, as in Qdrant Edge."""

FACTS = 'r.id::text, r.lang, r.item, r."group", r.text, r.nuls, r.thumbnail, r.fields'
"""What is read of a row for a hit, see `hit_of`."""

COLUMNS: dict[str, dict[str, str]] = {
    "rows": {
        "id": "bytea", "lang": "text", "item": "text", "group": "text", "digest": "text", "text": "text", "nuls": "int4[]",
        "thumbnail": "text", "fields": "bytea", "marks": "int8[]", "vector": "bytea",
    },
    "words": {"id": "bytea", "lang": "text", "terms": "int4[]", "weights": "bytea"},
    "corrected": {"id": "bytea", "lang": "text", "vector": "bytea"},
    "uncorrected": {"id": "bytea"},
}  # fmt: skip
"""The columns of the tables as COPY gets them. In binary form, an id is its 16 bytes, JSON its text, and a vector what pgvector
makes of it."""


class Tables:
    """The tables of an index, and statements with their names.

    Args:
        sql: the module `psycopg.sql`.
        schema: their schema; empty: the first of the search path.
        name: the name of the index.

    """

    def __init__(self, sql: Any, schema: str, name: str) -> None:
        self._sql = sql
        self._made: dict[Any, bytes] = {}

        def table(ending: str) -> Any:
            return sql.Identifier(*[part for part in (schema, name + ending) if part])

        endings = ("words", "facts", "corrected", "uncorrected", "graph", "corrected_graph")
        # An index is in the schema of its table, and may not be qualified where it is made.
        made = ("lang", "item", "group", "marks", "terms", "graph", "corrected_lang", "corrected_graph")
        self._names = {
            "rows": table(""),
            **{ending: table(f"_{ending}") for ending in endings},
            **{f"new_{ending}": sql.Identifier(f"{name}_{ending}") for ending in made},
        }

    def statement(self, text: str, **more: Any) -> bytes:
        """A statement with the names of the tables in braces; `more` are literals."""
        key = (text, *more.items())
        if (made := self._made.get(key)) is None:
            if len(self._made) > _STATEMENTS:
                self._made = {}
            literals = {name: self._sql.Literal(value) for name, value in more.items()}
            self._made[key] = made = self._sql.SQL(text).format(**self._names, **literals).as_bytes(None)
        return made

    def name(self, which: str) -> str:
        """The quoted name of a table or an index, as `to_regclass` takes it."""
        return str(self._names[which].as_string(None))

    def created(self, dimension: int) -> list[bytes]:
        """The statements that make the tables."""
        storage = "PLAIN" if dimension <= _INLINE else "EXTERNAL"
        return [
            self.statement(statement, size=dimension, mark=f"{MARK}{LAYOUT}")
            for statement in (
                # Vectors stand in the rows: a search that compares many of them would look up each.
                'CREATE TABLE {rows} (id uuid PRIMARY KEY, lang text NOT NULL, item text NOT NULL, "group" text NOT NULL, '
                "digest text NOT NULL, text text, nuls int[], thumbnail text NOT NULL, fields json NOT NULL, "
                "marks bigint[] NOT NULL, vector vector({size}) NOT NULL)",
                f"ALTER TABLE {{rows}} ALTER COLUMN vector SET STORAGE {storage}",
                "CREATE INDEX {new_lang} ON {rows} (lang, id)",
                "CREATE INDEX {new_item} ON {rows} (item)",
                'CREATE INDEX {new_group} ON {rows} ("group")',
                "CREATE INDEX {new_marks} ON {rows} USING gin (marks)",
                f"CREATE TABLE {{words}} (id uuid PRIMARY KEY, lang text NOT NULL, terms int[] NOT NULL, "
                f"weights sparsevec({TERMS}) NOT NULL)",
                "CREATE INDEX {new_terms} ON {words} USING gin (terms)",
                "CREATE TABLE {facts} (one boolean PRIMARY KEY DEFAULT true CHECK (one), about json NOT NULL, "
                "corrections text NOT NULL)",
                # Half the size: the codes of Qdrant Edge are coarser.
                "CREATE TABLE {corrected} (id uuid PRIMARY KEY, lang text NOT NULL, vector halfvec({size}) NOT NULL)",
                "CREATE INDEX {new_corrected_lang} ON {corrected} (lang)",
                f"ALTER TABLE {{corrected}} ALTER COLUMN vector SET STORAGE {storage}",
                "CREATE TABLE {uncorrected} (id uuid PRIMARY KEY)",
                "COMMENT ON TABLE {corrected} IS 'babelmix: corrected vectors of an index'",
                "COMMENT ON TABLE {uncorrected} IS 'babelmix: rows of an index without corrected vectors'",
                "COMMENT ON TABLE {words} IS 'babelmix: words of an index'",
                "COMMENT ON TABLE {facts} IS 'babelmix: facts of an index'",
                "COMMENT ON TABLE {rows} IS {mark}",
            )
        ]


def row_of(point: Point, vector: Any) -> tuple[Any, ...]:
    """A row as COPY takes it.

    Args:
        point: the row with its vector.
        vector: the class `pgvector.Vector`.

    """
    row = point.row
    text, nuls = without_nul(row.text)
    fields = json.dumps(dict(row.fields), ensure_ascii=False).encode()
    marks = [_number(mark) for mark in marks_of(row.fields)]
    return (
        raw(point.id), row.lang, row.item, row.group, point.digest, text, nuls, point.thumbnail, fields, marks,
        vector(point.vector).to_binary(),
    )  # fmt: skip


def corrections_of(about: dict[str, Any]) -> str:
    """A digest of the corrections among the facts of an index."""
    return hashlib.blake2b(json.dumps(about.get("corrections"), sort_keys=True).encode(), digest_size=12).hexdigest()


def raw(name: str) -> bytes:
    """The 16 bytes of an id."""
    return uuid.UUID(name).bytes


def words_of(point: Point, sparse: Any) -> tuple[Any, ...] | None:
    """The words of a row as COPY takes them; None: it has none.

    Args:
        point: the row.
        sparse: the class `pgvector.SparseVector`.

    """
    found = weights(point.row.text or "")
    if not found:
        return None
    kept = sorted(found) if len(found) <= _MOST_TERMS else sorted(sorted(found, key=found.__getitem__)[-_MOST_TERMS:])
    vector = sparse({term: found[term] for term in kept}, TERMS).to_binary()
    return raw(point.id), point.row.lang, kept, vector


def weights(text: str) -> dict[int, float]:
    """The BM25 weights of the words of a text, by the number of the word.

    Source: Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009, equation 3.15, with a fixed average length.
    """
    cut = Words.of(text)
    found: dict[int, float] = {}
    # Weighted separately: together they would double the length of the text.
    for words in (cut.characters, cut.words):
        norm = _K * (1 - _B + _B * len(words) / _LENGTH)
        found |= {_term(word): count * (_K + 1) / (count + norm) for word, count in Counter(words).items()}
    return found


def query_terms(text: str) -> list[int]:
    """The numbers of the words of a query, sorted."""
    cut = Words.of(text)
    return sorted({_term(word) for words in (cut.alone, cut.words) for word in words})


@lru_cache(maxsize=100_000)
def _term(word: str) -> int:
    return zlib.crc32(word.encode()) % TERMS


def _number(mark: str) -> int:
    """The first 64 bits of a mark."""
    return int.from_bytes(bytes.fromhex(mark[:16]), "big", signed=True)


def without_nul(text: str | None) -> tuple[str | None, list[int] | None]:
    """A text that PostgreSQL can hold: each NUL becomes the sign ␀. The places of the NULs go with it; None: there are none."""
    if text is None or _NUL not in text:
        return text, None
    return text.replace(_NUL, _SHOWN_NUL), [place for place, character in enumerate(text) if character == _NUL]


def with_nul(text: str | None, nuls: Sequence[int] | None) -> str | None:
    """The text that `without_nul` was given."""
    if text is None or not nuls:
        return text
    characters = list(text)
    for place in nuls:
        characters[place] = _NUL
    return "".join(characters)


def held(names: Iterable[str]) -> list[str]:
    """The names that PostgreSQL can hold. No row has any of the others."""
    return [name for name in names if _NUL not in name and is_unicode(name)]


@dataclass(frozen=True, eq=False)
class Condition:
    """A filter as SQL.

    Args:
        text: the condition on a row `r`.
        values: the values of its placeholders, by name.
        langs: whether it is only about languages.

    """

    text: str
    values: dict[str, Any]
    langs: bool


def condition_of(where: Where) -> Condition | None:
    """Convert a filter; None: no row passes it."""
    parts = ["true"]
    values: dict[str, list[str] | list[int]] = {}

    def passes(condition: str, allowed: list[str] | list[int]) -> None:
        values[f"allowed_{len(values)}"] = allowed
        parts.append(condition.replace("%s", f"%(allowed_{len(values) - 1})s"))

    if where.langs is not None:
        passes("r.lang = ANY(%s)", held(where.langs))
    for name, allowed in where.fields.items():
        if name in ("item", "group"):
            passes(f'r."{name}" = ANY(%s)', held(map(str, allowed)))
        else:
            passes("r.marks && %s::bigint[]", [_number(mark_of(name, value)) for value in allowed])
    return Condition(" AND ".join(parts), values, not where.fields) if all(values.values()) else None


def hit_of(found: Sequence[Any]) -> Hit:
    """The hit of a row: `FACTS`, then its score."""
    name, lang, item, group, text, nuls, thumbnail, fields, score = found
    return Hit(name, float(score), item, lang, group, with_nul(text, nuls), thumbnail, fields)


def check_dimension(dimension: int, address: str) -> None:
    """Raise if pgvector cannot hold vectors of a dimension.

    Raises:
        SearchError: it is too large.

    """
    if dimension > LARGEST:
        raise SearchError(
            f"{address}: pgvector holds vectors of at most {LARGEST:,} dimensions, and the encoder's have {dimension:,}; use an "
            "index in a folder"
        )


def layout_of(comment: str | None, address: str) -> int | None:
    """The layout of a table, from its comment; None: babelmix did not make the table.

    Raises:
        SearchError: a newer babelmix made it.

    """
    if comment is None or not comment.startswith(MARK):
        return None
    layout = comment.removeprefix(MARK)
    if layout != str(LAYOUT):
        raise SearchError(f"{address}: its rows are stored in the layout {layout}, and this version reads {LAYOUT}")
    return LAYOUT
