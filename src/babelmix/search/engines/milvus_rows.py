"""How rows are stored in Milvus: fields, filters, and the words of a text."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from babelmix.search.engines.milvus_server import Server
from babelmix.search.rows import Hit, Point, Value, Where
from babelmix.search.words import Words

ROWS = "babelmix: rows of an index"
"""The mark of our collections; a collection with another mark was made by someone else."""

SHOWN = ["item", "lang", "group", "text", "thumbnail", "fields"]
WORDS, CHARACTERS = "words", "characters"
"""The fields with the words of a text, and with its characters of scripts without spaces. In one field they would double its
length."""

BM25 = {WORDS: "words_bm25", CHARACTERS: "characters_bm25"}
"""The field of the term weights, which the server computes, by the field that they are computed from."""

_MOST = 65_535
"""The most bytes of a text in Milvus."""

_TERM = 8
"""Letters of a term."""

_GRAPH = {"M": 16, "efConstruction": 200}
_BEFORE_INVERTED, _BEFORE_BM25 = (2, 4), (2, 5)
"""The first versions with inverted indexes of texts, and with BM25."""


def can_search_words(server: Server) -> bool:
    """Whether the server has BM25."""
    return server.version >= _BEFORE_BM25


def schema(server: Server, dimension: int, *, words: bool) -> Any:
    """The schema of the collection of rows.

    Args:
        server: the server.
        dimension: the dimension of the vectors.
        words: with the fields of BM25.

    """
    library = server.library
    kind = library.DataType
    made = library.MilvusClient.create_schema(description=ROWS)
    made.add_field("id", kind.VARCHAR, is_primary=True, max_length=64)
    # Milvus counts bytes; a character has up to four.
    for name, size in (("item", 2048), ("lang", 256), ("group", 2048), ("digest", 256), ("text", _MOST)):
        made.add_field(name, kind.VARCHAR, max_length=size)
    made.add_field("thumbnail", kind.VARCHAR, max_length=_MOST)
    made.add_field("fields", kind.JSON)
    made.add_field("vector", kind.FLOAT_VECTOR, dim=dimension)
    for source, target in BM25.items() if words else ():
        made.add_field(
            source, kind.VARCHAR, max_length=_MOST, enable_analyzer=True, analyzer_params={"tokenizer": "standard"}
        )
        made.add_field(target, kind.SPARSE_FLOAT_VECTOR)
        made.add_function(library.Function(target, library.FunctionType.BM25, [source], [target]))
    return made


def indexes(server: Server, *, words: bool) -> dict[str, dict[str, Any]]:
    """The indexes of the collection of rows, by field."""
    scalar = "INVERTED" if server.version >= _BEFORE_INVERTED else "Trie"
    made: dict[str, dict[str, Any]] = {name: {"index_type": scalar} for name in ("item", "lang", "group")}
    made["vector"] = {"index_type": "HNSW", "metric_type": "IP", "params": _GRAPH}
    for target in BM25.values() if words else ():
        made[target] = {
            "index_type": "SPARSE_INVERTED_INDEX", "metric_type": "BM25", "params": {"bm25_k1": 1.2, "bm25_b": 0.75},
        }  # fmt: skip
    return made


def row_of(point: Point, *, words: bool) -> dict[str, Any]:
    """A row as the server gets it."""
    row = point.row
    made = {
        "id": point.id, "item": row.item, "lang": row.lang, "group": row.group, "digest": point.digest,
        "text": row.text or "", "thumbnail": point.thumbnail, "fields": dict(row.fields), "vector": point.vector,
    }  # fmt: skip
    if words:
        cut = Words.of(row.text or "")
        made |= {WORDS: terms(cut.words), CHARACTERS: terms(cut.characters)}
    return made


def asked_terms(text: str) -> dict[str, str]:
    """The terms of a query, by the field that they are searched in. Fields without any are left out."""
    cut = Words.of(text)
    return {field: terms(some) for field, some in ((WORDS, cut.words), (CHARACTERS, cut.alone)) if some}


def terms(words: Iterable[str]) -> str:
    """Words as a text of short terms that every analyzer leaves whole. What is over the limit of Milvus is left out."""
    text = " ".join(map(_term, words))
    return text if len(text) <= _MOST else text[: (_MOST + 1) // (_TERM + 1) * (_TERM + 1) - 1]


@lru_cache(1 << 16)
def _term(word: str) -> str:
    # Analyzers would split and change words of many scripts in their own ways.
    return base64.b32encode(hashlib.blake2b(word.encode(), digest_size=5).digest()).decode("ascii").lower()


def expression(where: Where, server: Server) -> str | None:
    """A filter in the language of Milvus; empty: every row matches; None: no row can match."""
    conditions: dict[str, Sequence[Value]] = {} if where.langs is None else {"lang": where.langs}
    if not all([*conditions.values(), *where.fields.values()]):
        return None
    made = [one_of(name, values) for name, values in conditions.items()]
    for name, values in where.fields.items():
        if name in ("item", "group"):
            made.append(one_of(name, values))
            continue
        made.append(one_in_json(f"fields[{_quoted(name)}]", values, server))
    return " and ".join(made)


def one_of(name: str, values: Sequence[Value]) -> str:
    """The condition that a field has one of some values."""
    return f"{name} in [{', '.join(map(_quoted, values))}]"


def one_in_json(name: str, values: Sequence[Value], server: Server) -> str:
    """The condition that a value in a field of JSON is one of some values."""
    # Milvus Lite has no  in  for these. Milvus compares many values faster with it.
    if not server.lite:
        return one_of(name, values)
    return f"({' or '.join(f'{name} == {_quoted(value)}' for value in values)})"


def _quoted(value: Value) -> str:
    # Milvus does not understand surrogate pairs of JSON, but accepts every character unescaped.
    return json.dumps(value, ensure_ascii=False)


def hit_of(name: str, score: float, facts: Any) -> Hit:
    """A row that the server found, with its stored content."""
    return Hit(
        name, float(score), facts["item"], facts["lang"], facts["group"], facts["text"] or None, facts["thumbnail"],
        facts["fields"],
    )  # fmt: skip
