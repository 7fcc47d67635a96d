"""Milvus: an index on a server or a cluster, by URL.

An index is two collections: NAME holds the rows, NAME_facts the facts. Values that people write are compared by digests, so that
no filter holds a character of theirs. There is no BM25: servers before 2.5 have none.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from babelmix.errors import EngineError, SearchError, require
from babelmix.search.rows import MAX_ITEM, Hit, Point, Vectors, Where

TOKEN = "BABELMIX_MILVUS_TOKEN"
"""The environment variable with the server's token, `user:password` or a key."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}")
_FACTS = ("item", "lang", "group_name", "text", "thumbnail", "fields")
_LINKS, _WIDTH, _LOOK, _ALL = 24, 200, 128, 32_768
"""Of the graph: links of a row, rows looked at while it is built, while it is searched, and the most a server allows."""
_BYTES = 8 << 20
_PIECE = 60_000
_AT_ONCE = 1000
_FRESH = 5.0
_PATIENCE = 10.0


class MilvusEngine:
    """See `Engine`; made by `create` and `open`."""

    has_words = False
    shared = True

    def __init__(self, address: str, client: Any, name: str) -> None:
        self.address = address
        self._client, self._name = client, name
        self._known: set[str] = set()
        self._counted: tuple[float, dict[str, int]] | None = None

    @classmethod
    def create(cls, address: str, dimension: int, about: dict[str, Any]) -> MilvusEngine:
        """Make an empty index.

        Raises:
            SearchError: the address is malformed, or there is an index already.
            EngineError: the server does not answer.

        """
        client, name = _connected(address)
        made = cls(address, client, name)
        if made._head() is not None:
            client.close()
            raise SearchError(f"{address}: there is an index already; choose another name, or open it")
        with made._asking("made"):
            for collection in (name, _facts_of(name)):
                # What a killed run has left is no index: it has no facts.
                if client.has_collection(collection):
                    client.drop_collection(collection)
            _make_rows(client, name, dimension)
            _make_facts(client, _facts_of(name))
        made.remember(about)
        return made

    @classmethod
    def open(cls, address: str) -> MilvusEngine:
        """Open an index that `create` made.

        Raises:
            SearchError: the address is malformed, or there is no index.
            EngineError: the server does not answer.

        """
        client, name = _connected(address)
        made = cls(address, client, name)
        if made._head() is None:
            client.close()
            raise SearchError(f"{address}: there is no index; make one with  babelmix index")
        with made._asking("opened"):
            for collection in (name, _facts_of(name)):
                client.load_collection(collection)
        return made

    def about(self) -> dict[str, Any]:  # noqa: D102
        head = self._head()
        if head is None:
            raise EngineError(f"{self.address}: the index is gone")
        generation, count = head
        names = [_piece(generation, i) for i in range(count)]
        pieces = {row["name"]: row["value"] for row in self._facts(names)}
        try:
            return dict(json.loads("".join(pieces[name] for name in names)))
        except (KeyError, ValueError, TypeError) as error:
            raise EngineError(f"{self.address}: its facts cannot be read ({error!r})") from error

    def remember(self, about: dict[str, Any]) -> None:  # noqa: D102
        text = json.dumps(about, ensure_ascii=True)
        pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
        before = self._head()
        generation = (before[0] if before else 0) + 1
        self._put_facts({_piece(generation, i): piece for i, piece in enumerate(pieces)})
        # What makes them count: one row, written at once.
        self._put_facts({"head": json.dumps([generation, len(pieces)])})
        if before:
            with self._asking("written to"):
                self._client.delete(_facts_of(self._name), ids=[_piece(before[0], i) for i in range(before[1])])

    def digests(self, items: Sequence[str]) -> dict[str, tuple[str, str]]:  # noqa: D102
        found: dict[str, tuple[str, str]] = {}
        for some in _parts(list(items), _AT_ONCE):
            expression = f"item_key in {_listed([_key('item', item) for item in some])}"
            rows = self._query(expression, ["id", "item", "digest"])
            found |= {row["id"]: (row["item"], row["digest"]) for row in rows}
        return found

    def put(self, points: Sequence[Point]) -> None:  # noqa: D102
        self._know({point.row.lang for point in points})
        batch: list[dict[str, Any]] = []
        size = 0
        for point in points:
            row = _row(point)
            weight = 4 * len(row["vector"]) + 4 * len(row["text"]) + len(row["thumbnail"])
            if batch and size + weight > _BYTES:
                self._upsert(batch)
                batch, size = [], 0
            batch.append(row)
            size += weight
        if batch:
            self._upsert(batch)

    def remove(self, ids: Sequence[str]) -> None:  # noqa: D102
        for some in _parts(list(ids), _AT_ONCE):
            with self._asking("written to"):
                self._client.delete(self._name, ids=some)
        self._counted = None

    def nearest(  # noqa: D102
        self, vectors: Vectors, wheres: Sequence[Where], k: int, *, exact: bool = False
    ) -> list[list[Hit]]:
        found: list[list[Hit]] = [[] for _ in wheres]
        alike: dict[str | None, list[int]] = {}
        for number, where in enumerate(wheres):
            alike.setdefault(_expression(where), []).append(number)
        width = _ALL if exact else max(_LOOK, k)
        for expression, numbers in alike.items():
            if expression is None:
                continue
            with self._asking("searched"):
                answers = self._client.search(
                    self._name,
                    data=[vectors[number].tolist() for number in numbers],
                    anns_field="vector",
                    filter=expression,
                    limit=k,
                    output_fields=list(_FACTS),
                    search_params={"metric_type": "IP", "params": {"ef": width}},
                    # What this process has written is found; what others write, a moment later.
                    consistency_level="Session",
                )
            for number, hits in zip(numbers, answers, strict=True):
                found[number] = sorted(map(_hit, hits), key=lambda hit: (-hit.score, hit.id))
        return found

    def with_words(self, texts: Sequence[str], wheres: Sequence[Where], k: int) -> list[list[Hit]]:  # noqa: D102
        raise SearchError(f"{self.address}: this engine has no BM25; use the mode 'dense'")

    def sample(self, lang: str, count: int) -> Vectors:  # noqa: D102
        rows: list[dict[str, Any]] = []
        # A message has room for so many vectors.
        for page in self._pages(str(_expression(Where((lang,)))), ["vector"], _AT_ONCE):
            rows += page
            if len(rows) >= count:
                break
        return np.array([row["vector"] for row in rows[:count]], dtype=np.float32)

    def langs(self) -> dict[str, int]:  # noqa: D102
        # Other processes may write: a count is good for seconds.
        if self._counted is None or time.monotonic() - self._counted[0] > _FRESH:
            # Strong is slow, and is for what this process has just written.
            level = "Strong" if self._counted is None else "Bounded"
            counts = {lang: self._count(f'lang == "{lang}"', level) for lang in sorted(self._known_langs(level))}
            self._counted = time.monotonic(), {lang: count for lang, count in counts.items() if count}
        return dict(self._counted[1])

    def items(self) -> Iterator[str]:  # noqa: D102
        seen: set[str] = set()
        for page in self._pages("", ["item"], 10 * _AT_ONCE):
            for row in page:
                if row["item"] not in seen:
                    seen.add(row["item"])
                    yield row["item"]

    def settle(self) -> None:  # noqa: D102
        with self._asking("written to"):
            self._client.flush(self._name)

    def close(self) -> None:  # noqa: D102
        self._client.close()

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        with _failing(f"{self.address}: cannot be {what}"):
            yield

    def _query(self, expression: str, fields: list[str]) -> list[dict[str, Any]]:
        with self._asking("read"):
            return list(
                self._client.query(
                    self._name, filter=expression, output_fields=fields, consistency_level="Strong", limit=16_384
                )
            )

    def _pages(self, expression: str, fields: list[str], size: int) -> Iterator[list[dict[str, Any]]]:
        with self._asking("read"):
            pages = self._client.query_iterator(
                self._name, batch_size=size, filter=expression, output_fields=fields, consistency_level="Strong"
            )
        try:
            while True:
                with self._asking("read"):
                    page = pages.next()
                if not page:
                    return
                yield list(page)
        finally:
            pages.close()

    def _count(self, expression: str, level: str) -> int:
        with self._asking("read"):
            found = self._client.query(
                self._name, filter=expression, output_fields=["count(*)"], consistency_level=level
            )
        return int(found[0]["count(*)"])

    def _upsert(self, rows: list[dict[str, Any]]) -> None:
        with self._asking("written to"):
            self._client.upsert(self._name, data=rows)
        self._counted = None

    def _know(self, langs: set[str]) -> None:
        """Keep the languages there are: the server has no list of a column's values."""
        if new := langs - self._known:
            self._put_facts({f"lang:{lang}": lang for lang in new})
            self._known |= new

    def _known_langs(self, level: str) -> set[str]:
        with self._asking("read"):
            rows = self._client.query(
                _facts_of(self._name),
                filter='name like "lang:%"',
                output_fields=["value"],
                consistency_level="Session",
            )
        self._known |= {row["value"] for row in rows}
        return self._known

    def _head(self) -> tuple[int, int] | None:
        """Number of the facts that count, and of how many pieces they are; None: there is no index."""
        with self._asking("read"):
            if not self._client.has_collection(_facts_of(self._name)):
                return None
            self._client.load_collection(_facts_of(self._name))
        found = self._facts(["head"])
        if not found:
            return None
        generation, count = json.loads(found[0]["value"])
        return int(generation), int(count)

    def _facts(self, names: list[str]) -> list[dict[str, Any]]:
        with self._asking("read"):
            return list(
                self._client.query(
                    _facts_of(self._name), filter=f"name in {_listed(names)}", output_fields=["name", "value"],
                    consistency_level="Strong",
                )
            )  # fmt: skip

    def _put_facts(self, facts: dict[str, str]) -> None:
        with self._asking("written to"):
            for name, value in facts.items():
                row = {"name": name, "value": value, "nothing": [0.0, 0.0]}
                self._client.upsert(_facts_of(self._name), data=[row])


def exists(address: str) -> bool:
    """Whether there is an index.

    Raises:
        SearchError: the address is malformed.
        EngineError: the server does not answer.

    """
    client, name = _connected(address)
    try:
        return MilvusEngine(address, client, name)._head() is not None
    finally:
        client.close()


def _connected(address: str) -> tuple[Any, str]:
    """A client and the index's name."""
    parts = urlsplit(address)
    name = parts.path.strip("/")
    if parts.username or parts.password:
        raise SearchError(f"an address holds no password; put USER:PASSWORD into the environment variable {TOKEN}")
    try:
        right = bool(parts.hostname) and parts.port is not None and not parts.query and not parts.fragment
    except ValueError:  # a port that is no number
        right = False
    if parts.scheme not in ("http", "https") or not right or not _NAME.fullmatch(name):
        raise SearchError(
            f"{address}: an index on a Milvus server is written  http://HOST:PORT/NAME , the name of letters, digits and _"
        )
    milvus = require("pymilvus", "scale", "An index on a server")
    # It warns of what older servers do not tell.
    logging.getLogger("pymilvus").setLevel(logging.ERROR)
    server = f"{parts.scheme}://{parts.netloc}"
    with _failing(f"{server}: no Milvus server answers"):
        return milvus.MilvusClient(uri=server, token=os.environ.get(TOKEN, ""), timeout=_PATIENCE), name


@contextmanager
def _failing(what: str) -> Iterator[None]:
    """Turn what the client raises into one sentence."""
    import grpc
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except (MilvusException, grpc.RpcError, OSError, ValueError) as error:
        reason = str(getattr(error, "message", "") or error).strip().splitlines()
        raise EngineError(f"{what} ({reason[0][:200] if reason else type(error).__name__})") from error


def _make_rows(client: Any, name: str, dimension: int) -> None:
    from pymilvus import DataType, MilvusClient

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    text, key = DataType.VARCHAR, {"max_length": 32}
    schema.add_field("id", text, is_primary=True, max_length=36)
    schema.add_field("item", text, max_length=4 * MAX_ITEM)
    schema.add_field("item_key", text, **key)
    schema.add_field("lang", text, max_length=64)
    schema.add_field("group_name", text, max_length=4 * MAX_ITEM)
    schema.add_field("digest", text, **key)
    schema.add_field("text", text, max_length=65_535)
    schema.add_field("thumbnail", text, max_length=65_535)
    schema.add_field("fields", DataType.JSON)
    schema.add_field("keys", DataType.ARRAY, element_type=text, max_capacity=1024, **key)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    index = MilvusClient.prepare_index_params()
    index.add_index("vector", index_type="HNSW", metric_type="IP", params={"M": _LINKS, "efConstruction": _WIDTH})
    for column in ("item_key", "lang"):
        index.add_index(column, index_type="Trie")
    client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")


def _make_facts(client: Any, name: str) -> None:
    from pymilvus import DataType, MilvusClient

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("name", DataType.VARCHAR, is_primary=True, max_length=128)
    schema.add_field("value", DataType.VARCHAR, max_length=65_535)
    # A collection without vectors is not possible.
    schema.add_field("nothing", DataType.FLOAT_VECTOR, dim=2)
    index = MilvusClient.prepare_index_params()
    index.add_index("nothing", index_type="FLAT", metric_type="IP")
    client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")


def _row(point: Point) -> dict[str, Any]:
    row = point.row
    assert point.vector is not None
    keys = [_key("group", row.group), *(_key(name, value) for name, value in row.fields.items())]
    return {
        "id": point.id, "item": row.item, "item_key": _key("item", row.item), "lang": row.lang, "group_name": row.group,
        "digest": point.digest, "text": row.text or "", "thumbnail": point.thumbnail, "fields": dict(row.fields),
        "keys": keys, "vector": point.vector.tolist(),
    }  # fmt: skip


def _hit(found: Any) -> Hit:
    facts = found["entity"]
    return Hit(
        str(found["id"]), float(found["distance"]), facts["item"], facts["lang"], facts["group_name"],
        facts["text"] or None, facts["thumbnail"], facts["fields"] or {},
    )  # fmt: skip


def _expression(where: Where) -> str | None:
    """A filter in Milvus's language; None: nothing suits it."""
    parts = []
    if where.langs is not None:
        if not where.langs:
            return None
        parts.append(f"lang in {_listed([lang for lang in where.langs if re.fullmatch(r'[A-Za-z0-9-]+', lang)])}")
    for name, values in where.fields.items():
        keys = _listed([_key(name, value) for value in values])
        parts.append(f"item_key in {keys}" if name == "item" else f"array_contains_any(keys, {keys})")
    return " and ".join(parts)


def _key(name: str, value: object) -> str:
    """A digest of a column and a value of it: true, 1, 1.0 and '1' are four values."""
    text = f"{name}\x1f{type(value).__name__}\x1f{value!r}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _listed(values: Sequence[str]) -> str:
    return json.dumps(list(values))


def _facts_of(name: str) -> str:
    return f"{name}_facts"


def _piece(generation: int, number: int) -> str:
    return f"about:{generation}:{number}"


def _parts(values: list[str], size: int) -> Iterator[list[str]]:
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some
