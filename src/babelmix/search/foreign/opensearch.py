"""Someone else's index of OpenSearch or Elasticsearch, as an engine that is only read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np

from babelmix.errors import SearchError
from babelmix.search.foreign.address import Address
from babelmix.search.foreign.elastic_client import ElasticClient, RefusedError
from babelmix.search.foreign.elastic_fields import Fields
from babelmix.search.foreign.elastic_vectors import MOST, Mapped, VectorField, values_at
from babelmix.search.foreign.engine import OPTIONS, ForeignEngine
from babelmix.search.foreign.row import Asked, ForeignRow
from babelmix.search.rows import Hit, Vectors, Where

MARKS = "babelmix"
"""The key of our marks in the `_meta` of a mapping: the mark of each field of vectors that babelmix added."""

_PAGE = 1000
_SOME = 200
"""The rows whose lengths say whether Euclidean distances order as cosines do."""

_LANGUAGES = 1000
_ALIKE = 1e-3
_KINDS = ("dense_vector", "knn_vector")


class OpenSearchCollection(ForeignEngine):
    """See `ForeignEngine`. It reads indices of both products.

    Args:
        address: `opensearch://[USER@]HOST:9200/INDEX` or `elasticsearch://...`; `opensearch+https://` or the option `tls=true`
            encrypts. Its options: `id` (a field, without it the document's `_id`), `item`, `lang` (without it one of
            `LANG_NAMES`), `text` (without it `text`, `body` or `content`; `body_{lang}` is one field for each language), `vector`
            (without it the only one), `similarity` (`cosine` or `dot`; without it that of the mapping) and `candidates` (the rows
            that a shard looks at: `num_candidates` or `ef_search`). For a login see `ElasticClient`.

    """

    what = "an index of OpenSearch or Elasticsearch"
    options = (*OPTIONS, "tls", "candidates")

    def _open(self, address: Address) -> None:
        address.only(self.options)
        self._client = ElasticClient(address)
        try:
            self._read_mapping(address)
        except BaseException:
            self._client.close()
            raise

    @property
    def titles(self) -> Sequence[str]:
        """See `ForeignEngine`. A field of the type text is no filter, but hits have it."""
        return self._fields.shown

    def _read_mapping(self, address: Address) -> None:
        client, options = self._client, address.options
        names = vector_names(client.mapping)
        self._field = vector_field(client, address)
        self._fields = Fields.read(address, client.mapping, names)
        self.columns, self.has_words = dict(self._fields.columns), bool(self._fields.searched)
        self.detects = not self._fields.lang
        if self.detects:
            if not self._fields.texts:
                raise SearchError(
                    f"{self.address}: has neither a field of languages nor one of texts to detect them from; name one of them:  "
                    "?lang=FIELD  or  ?text=FIELD"
                )
            self._detected.check(Mapped.read(client.mapping).specs)
        self.dimension = self._field.dimension
        self._candidates = _number(self.address, "candidates", options.get("candidates"))
        asked = options.get("similarity")
        if asked not in (None, "cosine", "dot"):
            raise SearchError(f"{self.address}: similarity is cosine or dot, not {asked!r}")
        self.similarity = cast("Literal['cosine', 'dot']", asked or self._field.similarity or "cosine")
        self._halved: bool | None = True if self._field.tells_scale else None
        self._scripted = not self._field.has_graph
        if asked is None and self._field.similarity is None:
            self.check_euclidean(self.draw(Asked(), _SOME))
        if self._scripted:
            self.say(f"The field {self._field.name} has no index of vectors: each search compares with all rows.")
        elif asked is not None and asked != self._field.similarity:
            self._scripted = True
            self.say(
                f"The index of the field {self._field.name} compares otherwise ({self._field.space}), so that it is not used."
            )

    def count_languages(self) -> Mapping[str | None, int]:
        """See `ForeignEngine`.

        Raises:
            SearchError: documents have several languages.

        """
        exists = {"exists": {"field": self._field.name}}
        if not self._fields.lang:
            return {None: int(self._client.post(f"/{self._client.index}/_count", {"query": exists})["count"])}
        compared = self._fields.exact[self._fields.lang]
        answer = self._client.search({
            "size": 0, "track_total_hits": True, "query": exists,
            "aggs": {"langs": {"terms": {"field": compared, "size": _LANGUAGES}}, "none": {"missing": {"field": compared}}},
        })  # fmt: skip
        found, none = answer["aggregations"]["langs"], answer["aggregations"]["none"]["doc_count"]
        counts: dict[str | None, int] = {str(one["key"]): int(one["doc_count"]) for one in found["buckets"]}
        if found.get("sum_other_doc_count"):
            raise SearchError(
                f"{self.address}: the field {self._fields.lang!r} has more than {_LANGUAGES:,} values; name the field of "
                "languages:  ?lang=FIELD"
            )
        more = sum(counts.values()) + int(none) - int(answer["hits"]["total"]["value"])
        if more > 0:
            raise SearchError(
                f"{self.address}: documents have several languages in {self._fields.lang!r} ({more:,} too many); one document "
                "has one language here: index the passages of a document as documents of their own"
            )
        return counts | ({None: int(none)} if none else {})

    def rows(self, *, texts: bool = False) -> Iterator[ForeignRow]:
        """See `ForeignEngine`."""
        body = {"query": {"exists": {"field": self._field.name}}, "_source": self._fields.needed(texts=texts)}
        for hits in self._client.pages(body, _PAGE):
            for hit in hits:
                yield self._fields.row(hit, texts=texts)

    def draw(self, asked: Asked, count: int) -> Vectors:
        """See `ForeignEngine`. The server's own random order, with a fixed seed, says which rows."""
        if asked.nothing:
            return np.zeros((0, self.dimension), dtype=np.float32)
        clause = self._fields.clause(asked)
        clauses = [{"exists": {"field": self._field.name}}, *([] if clause is None else [clause])]
        answer = self._client.search({
            "size": min(count, MOST), **vectors_asked(self._client, self._field.name),
            "query": {"function_score": {
                "query": {"bool": {"filter": clauses}}, "random_score": {"seed": 0, "field": "_seq_no"},
                "boost_mode": "replace",
            }},
        })  # fmt: skip
        return vectors_of(self.address, answer["hits"]["hits"], self._field)

    def some_texts(self, count: int) -> list[tuple[str, str | None, Vectors]]:
        """See `ForeignEngine`."""
        if not self._fields.texts:
            return []
        clauses = [{"exists": {"field": self._field.name}}]
        asked = {"size": count, "query": {"bool": {"filter": clauses}}}
        hits = self._client.search({**asked, **vectors_asked(self._client, self._field.name)})["hits"]["hits"]
        stored = dict(zip((str(hit["_id"]) for hit in hits), vectors_of(self.address, hits, self._field), strict=True))
        rows = [
            (str(hit["_id"]), self._fields.row(hit))
            for hit in self._found({"query": {"ids": {"values": list(stored)}}}, len(stored))
        ]
        return [(row.text, row.lang, stored[key]) for key, row in rows if row.text]

    def nearest(self, vectors: Vectors, wheres: Sequence[Where], k: int, *, exact: bool = False) -> list[list[Hit]]:
        """See `Engine`. A search through an index that gives too few rows, because few pass the filter, is done again exactly."""
        return [self._nearest(vector, where, k, exact) for vector, where in zip(vectors, wheres, strict=True)]

    def _nearest(self, vector: Any, where: Where, k: int, exact: bool) -> list[Hit]:
        asked = self.asked(where)
        if asked.nothing:
            return []
        clause, k = self._fields.clause(asked), min(k, MOST)
        if not np.any(vector):
            return self._all(clause, k)
        exact = exact or self._scripted or (clause is not None and not self._field.filters)
        wanted = np.asarray(vector, dtype=np.float32).tolist()
        if not exact:
            body = self._field.near(wanted, k, clause, self._candidates)
            hits = self._found(body, k)
            if len(hits) >= min(k, self._most(asked)):
                halved = self._halves(wanted, hits)
                return self.best(
                    (self._hit(one, self._field.value_of_graph(one["_score"], halved=halved)) for one in hits), k
                )
        assert self.similarity is not None
        hits = self._found(self._field.exactly(wanted, clause, self.similarity), k)
        return self.best(
            (self._hit(one, self._field.value_of_script(one["_score"], self.similarity)) for one in hits), k
        )

    def _most(self, asked: Asked) -> int:
        """The most rows that can pass a filter."""
        if asked.ids is not None:
            return len(asked.ids)
        counts = self._counted().counts
        return sum(counts.values() if asked.langs is None else (counts.get(lang, 0) for lang in asked.langs))

    def _all(self, clause: dict[str, Any] | None, k: int) -> list[Hit]:
        """Rows for a query of length zero: every score is 0."""
        clauses = [{"exists": {"field": self._field.name}}, *([] if clause is None else [clause])]
        return self.best((self._hit(hit, 0.0) for hit in self._found({"query": {"bool": {"filter": clauses}}}, k)), k)

    def _halves(self, vector: list[float], hits: Sequence[Mapping[str, Any]]) -> bool:
        """Whether scores of cosines are (1 + cos) / 2. The worst hit is compared again exactly, until it tells."""
        if self._halved is None and hits:
            worst = min(hits, key=lambda hit: float(hit["_score"]))
            clause = {"ids": {"values": [worst["_id"]]}}
            exact = self._found(self._field.exactly(vector, clause, "cosine"), 1)
            if exact:
                cosine, score = self._field.value_of_script(exact[0]["_score"], "cosine"), worst["_score"]
                off = [abs(self._field.value_of_graph(score, halved=halved) - cosine) for halved in (True, False)]
                if abs(off[0] - off[1]) < _ALIKE:
                    return True
                self._halved = off[0] < off[1]
        return self._halved is not False

    def with_words(self, texts: Sequence[str], wheres: Sequence[Where], k: int) -> list[list[Hit]]:
        """See `Engine`. Words are split as the mapping says, in each language by its own field if the address has `{lang}`.

        Raises:
            SearchError: the field of the text is not of the type text.

        """
        if not self.has_words:
            return super().with_words(texts, wheres, k)
        return [self._with_words(text, where, k) for text, where in zip(texts, wheres, strict=True)]

    def _with_words(self, text: str, where: Where, k: int) -> list[Hit]:
        asked = self.asked(where)
        fields = self._fields.words_in(asked)
        if asked.nothing or not fields:
            return []
        clause = self._fields.clause(asked)
        clauses = [{"exists": {"field": self._field.name}}, *([] if clause is None else [clause])]
        matches = [{"match": {name: {"query": text}}} for name in fields]
        query = {"bool": {"should": matches, "minimum_should_match": 1, "filter": clauses}}
        return self.best(
            (self._hit(hit, float(hit["_score"])) for hit in self._found({"query": query}, min(k, MOST))), k
        )

    def _found(self, body: Mapping[str, Any], k: int) -> list[dict[str, Any]]:
        asked = {"size": k, "_source": self._fields.sources, "track_total_hits": False, **body}
        return cast("list[dict[str, Any]]", self._client.search(asked)["hits"]["hits"])

    def _hit(self, found: Mapping[str, Any], score: float) -> Hit:
        row = self._fields.row(found)
        return self.hit(row.id, score, row.item, row.lang, row.text, row.fields)

    def close(self) -> None:
        """See `Engine`."""
        self._client.close()


def vector_names(mapping: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields of vectors of a mapping."""
    return tuple(name for name, spec in Mapped.read(mapping).specs.items() if spec.get("type") in _KINDS)


def vector_field(client: ElasticClient, address: Address) -> VectorField:
    """The field of vectors that an address names, or the only one that babelmix did not add.

    Raises:
        SearchError: there is none, or several, or it cannot be searched.

    """
    mapped, names = Mapped.read(client.mapping), vector_names(client.mapping)
    marks = (client.mapping.get("_meta") or {}).get(MARKS) or {}
    others = [name for name in names if name not in marks]
    name = address.options.get("vector") or (others[0] if len(others) == 1 else "")
    if not name:
        raise SearchError(
            f"{address}: has {len(others)} fields of vectors ({', '.join(others) or 'none'}); name one:  ?vector=FIELD"
        )
    spec = mapped.check(str(address), "vector", name)
    return VectorField.read(str(address), client.product, name, spec, knn=_has_knn(client))


def _has_knn(client: ElasticClient) -> bool:
    """Whether an index of OpenSearch has graphs (`index.knn`). Some users may not ask; then it is taken for granted."""
    if client.product != "opensearch":
        return True
    try:
        found = client.get(f"/{client.index}/_settings")
    except RefusedError:
        return True
    settings: dict[str, Any] = next(iter(found.values()))["settings"]
    value = settings.get("index", {}).get("knn", settings.get("index.knn", False))
    return str(value).lower() == "true"


def vectors_asked(client: ElasticClient, name: str) -> dict[str, Any]:
    """What asks for vectors: Elasticsearch leaves them out of `_source` since 9.2, OpenSearch gives them there."""
    if client.product == "elasticsearch":
        return {"_source": False, "fields": [name]}
    return {"_source": [name]}


def vectors_of(address: str, hits: Sequence[Mapping[str, Any]], field: VectorField) -> Vectors:
    """The vectors of hits, float32, shape (hits, dimension).

    Raises:
        SearchError: a document has no vector, or one of another dimension.

    """
    found = np.zeros((len(hits), field.dimension), dtype=np.float32)
    for row, hit in enumerate(hits):
        values = values_at({**(hit.get("_source") or {}), **(hit.get("fields") or {})}, field.name)
        if len(values) != field.dimension:
            raise SearchError(
                f"{address}: the document {hit['_id']} gives {len(values)} numbers for its vector {field.name!r}, not "
                f"{field.dimension}"
            )
        found[row] = values
    return found


def _number(where: str, option: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise SearchError(f"{where}: {option} is a number from 1 to {MOST:,}, not {text!r}")
    return int(text)


__all__ = ["MARKS", "OpenSearchCollection", "vector_field", "vector_names", "vectors_asked", "vectors_of"]
