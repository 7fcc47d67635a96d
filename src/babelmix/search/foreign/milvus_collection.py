"""Someone else's collection of Milvus, as an engine that is only read."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, Literal, cast

import numpy as np

from babelmix.errors import SearchError
from babelmix.search.foreign.address import Address
from babelmix.search.foreign.engine import OPTIONS, ForeignEngine
from babelmix.search.foreign.milvus_fields import SIMILARITIES, Fields, server_of
from babelmix.search.foreign.row import Asked, ForeignRow
from babelmix.search.rows import Hit, Point, Row, Vectors, Where

_PAGE = 1000
_KEYS = 1000
_ANSWERS = 1024
_MOST = 16_384
"""The most rows of a search in Milvus."""

_DRAWN = 2000
"""Rows of each language that can be drawn as a sample."""

_SOME = 200
"""The rows whose lengths say whether distances order as cosines do."""

_LEAST_BEAM = 128


class MilvusCollection(ForeignEngine):
    """See `ForeignEngine`. Nothing is written, and the collection is not loaded: the owner decides what is in memory.

    Args:
        address: `milvus://HOST:PORT/COLLECTION`, or `.../DATABASE/COLLECTION`; an alias is a name too. Its options: `item`,
            `lang` (without it one of `LANG_NAMES`), `text` (without it `text`, `body` or `content`), `vector` (without it the
            only one), `similarity` (`cosine` or `dot`; without it that of the index), and `https=1`. A value in a field of JSON
            is `meta.lang`. The token is in the environment variable `BABELMIX_MILVUS_TOKEN`.

    """

    what = "a collection of Milvus"
    options = (*OPTIONS, "https")

    def _open(self, address: Address) -> None:
        address.only(self.options)
        self._server = server_of(address)
        try:
            self._read_collection(address)
        except BaseException:
            self._server.close()
            raise

    def _read_collection(self, address: Address) -> None:
        fields = self._fields = Fields(self._server, address)
        state = self._server.call("get_load_state", fields.name)["state"]
        if not fields.metric or getattr(state, "name", str(state)) != "Loaded":
            what = "is not loaded" if fields.metric else f"has no index of the field {fields.vector!r}"
            raise SearchError(f"{self.address}: {what}, so it cannot be searched; its owner has to do this first")
        self.dimension = fields.dimension
        self.columns = {name: kind for name, (_, kind) in fields.columns.items()}
        self.detects = fields.lang is None
        if self.detects:
            if fields.text is None:
                raise SearchError(
                    f"{self.address}: has neither a field of languages nor one of texts to detect them from; name one of them:  "
                    "?lang=FIELD  or  ?text=FIELD"
                )
            self._detected.check(fields.all)
        self._words = self._words_of()
        self.has_words = self._words is not None
        self._scanned: tuple[int, Counter[str | None], dict[str | None, list[Any]]] | None = None
        metric = SIMILARITIES.get(fields.metric)
        if metric is None:
            raise SearchError(
                f"{self.address}: the index of {fields.vector!r} compares by {fields.metric}, which is not possible here"
            )
        asked = address.options.get("similarity")
        if asked not in (None, "cosine", "dot"):
            raise SearchError(f"{self.address}: similarity is cosine or dot, not {asked!r}")
        self.similarity = cast("Literal['cosine', 'dot']", asked or {"l2": "cosine"}.get(metric, metric))
        if metric != self.similarity:
            # Where all vectors have length one, all three order alike.
            self.check_euclidean(self._vectors(self._first_keys(_SOME)))

    def _words_of(self) -> str | None:
        """The field of the BM25 of the texts; None: there is none."""
        text = self._fields.text.field if self._fields.text else None
        found = {
            function["input_field_names"][0]: function["output_field_names"][0]
            for function in self._fields.described.get("functions", ())
            if getattr(function["type"], "name", "") == "BM25"
        }
        return found.get(text or "") or next(iter(found.values()), None)

    def count_languages(self) -> Mapping[str | None, int]:
        """See `ForeignEngine`. Languages are read again only if the number of rows changed."""
        found = self._server.call(
            "query", self._fields.name, "", output_fields=["count(*)"], consistency_level="Strong"
        )
        total = int(found[0]["count(*)"])
        if self.detects:
            return {None: total}
        if self._scanned is None or self._scanned[0] != total:
            self._scanned = (total, *self._scan())
        return self._scanned[1]

    def _scan(self) -> tuple[Counter[str | None], dict[str | None, list[Any]]]:
        """The number of rows of each language, and keys of some of them: those with the smallest hashes."""
        counts: Counter[str | None] = Counter()
        heaps: dict[str | None, list[tuple[int, int, Any]]] = defaultdict(list)
        assert self._fields.lang is not None
        for row in self._pages("", self._fields.outputs(texts=False)):
            lang = _text(self._fields.lang.of(row))
            counts[lang] += 1
            entry = (-_hash(row[self._fields.key]), counts[lang], row[self._fields.key])
            if len(heaps[lang]) < _DRAWN:
                heapq.heappush(heaps[lang], entry)
            elif entry > heaps[lang][0]:
                heapq.heapreplace(heaps[lang], entry)
        return counts, {lang: [(-minus, key) for minus, _, key in heap] for lang, heap in heaps.items()}

    def rows(self, *, texts: bool = False) -> Iterator[ForeignRow]:
        """See `ForeignEngine`."""
        fields = self._fields
        for row in self._pages("", fields.outputs(texts=texts)):
            key = str(row[fields.key])
            lang = _text(fields.lang.of(row)) if fields.lang else None
            if texts:
                text = _text(fields.text.of(row)) if fields.text else None
                yield ForeignRow(key, fields.item_of(row, key), lang, text, fields.fields_of(row))
            else:
                yield ForeignRow(key, fields.item_of(row, key), lang)

    def _pages(self, filter_: str, outputs: list[str]) -> Iterator[Any]:
        fields = self._fields
        with closing(self._server.pages(fields.name, filter_ or fields.everything, outputs, _PAGE)) as pages:
            for page in pages:
                yield from page

    def draw(self, asked: Asked, count: int) -> Vectors:
        """See `ForeignEngine`. A hash of the key says which rows; at most 2,000 of a language."""
        fields = self._fields
        if asked.nothing:
            keys: list[Any] = []
        elif asked.ids is not None:
            keys = sorted(fields.keys(asked.ids), key=_hash)[:count]
        elif asked.langs is not None and not asked.fields:
            self.count_languages()
            assert self._scanned is not None
            held = [one for lang in asked.langs for one in self._scanned[2].get(lang, ())]
            keys = [key for _, key in sorted(held)[:count]]
        else:
            keys = self._first_keys(count, self._filter(asked) or "")
        return self._vectors(keys)

    def _first_keys(self, count: int, filter_: str = "") -> list[Any]:
        fields = self._fields
        pages = self._server.pages(fields.name, filter_ or fields.everything, [fields.key], min(count, _MOST))
        with closing(pages):
            return [row[fields.key] for row in next(pages, [])]

    def _vectors(self, keys: Sequence[Any]) -> Vectors:
        rows = self._with_keys(keys, [self._fields.key, self._fields.vector])
        found = [rows[key][self._fields.vector] for key in keys if key in rows]
        return np.array(found, dtype=np.float32) if found else np.zeros((0, self.dimension), dtype=np.float32)

    def _with_keys(self, keys: Sequence[Any], outputs: list[str]) -> dict[Any, Any]:
        """Rows by key."""
        found: dict[Any, Any] = {}
        for start in range(0, len(keys), _KEYS):
            # pymilvus does not quote the texts of  ids=  for the server.
            some = self._fields.with_keys(keys[start : start + _KEYS])
            rows = self._server.call(
                "query", self._fields.name, some, output_fields=outputs, consistency_level="Strong"
            )
            found |= {row[self._fields.key]: row for row in rows}
        return found

    def _filter(self, asked: Asked) -> str | None:
        """A filter in the language of Milvus; empty: every row passes; None: none can."""
        fields = self._fields
        if asked.nothing or not all(asked.fields.values()):
            return None
        made = []
        if asked.langs is not None and fields.lang is not None:
            known = self.count_languages() if None in asked.langs else ()
            made.append(fields.condition(fields.lang, asked.langs, known))
        if asked.ids is not None:
            made.append(fields.with_keys(fields.keys(asked.ids)))
        for name, values in asked.fields.items():
            if name != "item":
                made.append(fields.condition(fields.columns[name][0], values) if name in fields.columns else "")
                if not made[-1]:
                    return None
            elif fields.item is None:
                made.append(fields.with_keys(fields.keys(map(str, values))))
            else:
                kind = fields.kinds.get(fields.item.field)
                whole = kind not in ("VARCHAR", "JSON", None) and not fields.item.path
                made.append(fields.condition(fields.item, [int(v) if whole else v for v in values if _fits(v, whole)]))
        return " and ".join(made)

    def some_texts(self, count: int) -> list[tuple[str, str | None, Vectors]]:
        """See `ForeignEngine`."""
        fields = self._fields
        if fields.text is None:
            return []
        rows = islice(self._pages(fields.everything, [*fields.outputs(texts=True), fields.vector]), count)
        found = []
        for row in rows:
            text, lang = fields.text.of(row), fields.lang.of(row) if fields.lang else None
            if isinstance(text, str):
                vector = np.array(row[fields.vector], dtype=np.float32)
                found.append((text, lang if isinstance(lang, str) else None, vector))
        return found

    def nearest(self, vectors: Vectors, wheres: Sequence[Where], k: int, *, exact: bool = False) -> list[list[Hit]]:
        """See `Engine`. A search through an index that gives too few rows, because few pass the filter, is done again exactly."""
        groups: dict[str, list[int]] = {}
        for number, where in enumerate(wheres):
            if (filter_ := self._filter(self.asked(where))) is not None:
                groups.setdefault(filter_, []).append(number)
        result: list[list[Hit]] = [[] for _ in wheres]
        for filter_, numbers in groups.items():
            some = vectors[numbers]
            found = self._exact(some, filter_, k) if exact else self._near(some, filter_, k)
            if not exact and min(map(len, found)) < k and min(map(len, found)) < self._count(filter_):
                found = self._exact(some, filter_, k)
            for number, hits in zip(numbers, found, strict=True):
                result[number] = hits
        return result

    def _count(self, filter_: str) -> int:
        found = self._server.call("query", self._fields.name, filter_, output_fields=["count(*)"])
        return int(found[0]["count(*)"])

    def _near(self, vectors: Vectors, filter_: str, k: int) -> list[list[Hit]]:
        fields = self._fields
        parameters: dict[str, Any] = {"metric_type": fields.metric}
        if "HNSW" in fields.index_type:
            parameters["params"] = {"ef": min(max(_LEAST_BEAM, 2 * k), 32_768)}
        made: list[list[Hit]] = []
        step = max(1, _ANSWERS // k)
        for start in range(0, len(vectors), step):
            found = self._server.call(
                "search", fields.name, list(vectors[start : start + step]), anns_field=fields.vector, filter=filter_,
                limit=min(k, _MOST), output_fields=fields.outputs(texts=True), search_params=parameters,
            )  # fmt: skip
            made += [self._hits(hits, k) for hits in found]
        return made

    def _hits(self, hits: Any, k: int) -> list[Hit]:
        square = self._fields.metric == "L2"
        made = ((hit[self._fields.key], hit["entity"], hit["distance"]) for hit in hits)
        return self.best((self._hit(key, row, 1 - score / 2 if square else score) for key, row, score in made), k)

    def _hit(self, key: Any, row: Mapping[str, Any], score: float) -> Hit:
        fields, name = self._fields, str(key)
        lang = _text(fields.lang.of(row)) if fields.lang else None
        text = _text(fields.text.of(row)) if fields.text else None
        return self.hit(name, float(score), fields.item_of(row, name), lang, text, fields.fields_of(row))

    def _exact(self, vectors: Vectors, filter_: str, k: int) -> list[list[Hit]]:
        """Compare with every row here, because Milvus does so only without an index."""
        fields = self._fields
        best: list[dict[Any, float]] = [{} for _ in vectors]
        queries = _compared(vectors, self.similarity)
        pages = self._server.pages(fields.name, filter_ or fields.everything, [fields.key, fields.vector], _PAGE)
        for page in pages:
            keys = [row[fields.key] for row in page]
            held = _compared(np.array([row[fields.vector] for row in page]), self.similarity)
            for kept, scores in zip(best, (queries @ held.T).astype(np.float32), strict=True):
                near = (
                    np.flatnonzero(scores >= np.partition(scores, -k)[-k]) if len(scores) > k else range(len(scores))
                )
                kept |= {keys[i]: float(scores[i]) for i in near}
                for key in sorted(kept, key=lambda one: (-kept[one], str(one)))[k:]:
                    del kept[key]
        rows = self._with_keys(list({key for kept in best for key in kept}), fields.outputs(texts=True))
        return [
            self.best((self._hit(key, rows[key], score) for key, score in kept.items() if key in rows), k)
            for kept in best
        ]

    def with_words(self, texts: Sequence[str], wheres: Sequence[Where], k: int) -> list[list[Hit]]:
        """See `Engine`. The analyzer of the collection cuts texts into words, not babelmix."""
        if self._words is None:
            raise SearchError(f"{self.address}: this collection has no function of BM25; use the mode 'dense'")
        fields = self._fields
        result: list[list[Hit]] = []
        for text, where in zip(texts, wheres, strict=True):
            if (filter_ := self._filter(self.asked(where))) is None or not text.strip():
                result.append([])
                continue
            found = self._server.call(
                "search", fields.name, [text], anns_field=self._words, filter=filter_, limit=min(k, _MOST),
                output_fields=fields.outputs(texts=True), search_params={"metric_type": "BM25"},
            )  # fmt: skip
            # Milvus Lite gives the scores with a minus.
            hits = (self._hit(hit[fields.key], hit["entity"], abs(hit["distance"])) for hit in found[0])
            result.append(self.best(hits, k))
        return result

    def points(self, langs: Sequence[str] | None = None) -> Iterator[Point]:
        """See `Engine`. Rows without a text are left out."""
        fields = self._fields
        filter_ = self._filter(self.asked(Where(None if langs is None else tuple(langs))))
        if filter_ is None:
            return
        for row in self._pages(filter_, [*fields.outputs(texts=True), fields.vector]):
            hit = self._hit(row[fields.key], row, 0.0)
            if hit.text and hit.text.strip():
                vector = self.compared(np.array([row[fields.vector]], dtype=np.float32))
                if len(vector):
                    yield Point(hit.id, "", Row(hit.item, hit.lang, hit.text, fields=hit.fields), vector[0])

    def close(self) -> None:
        """See `Engine`."""
        self._server.close()


def _compared(vectors: Any, similarity: str | None) -> Any:
    """Vectors in double precision, of length one if they are compared by cosine."""
    vectors = np.asarray(vectors, dtype=np.float64)
    if similarity != "cosine":
        return vectors
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def _hash(key: Any) -> int:
    return int.from_bytes(hashlib.blake2b(str(key).encode(), digest_size=8).digest(), "big")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _fits(value: Any, whole: bool) -> bool:
    return not whole or str(value).removeprefix("-").isdigit()


__all__ = ["MilvusCollection"]
