"""How OpenSearch and Elasticsearch compare vectors: their fields, their queries, and their scores as cosines or dot products.

Sources: Elasticsearch's `dense_vector` and kNN search; OpenSearch's `knn_vector`, "Spaces", and "Exact k-NN with scoring script".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from babelmix.errors import SearchError
from babelmix.search.foreign.elastic_client import Product

Similarity = Literal["cosine", "dot"]

_KINDS = {"opensearch": "knn_vector", "elasticsearch": "dense_vector"}
_FLOATS = ("float", "float16", "half_float", "bfloat16")
_BY_NAME: dict[str, Similarity] = {
    "cosine": "cosine", "dot_product": "cosine", "max_inner_product": "dot",  # Elasticsearch; dot_product is of unit vectors
    "cosinesimil": "cosine", "innerproduct": "dot",  # OpenSearch
}  # fmt: skip
_EUCLIDEAN = ("l2_norm", "l2")
_CANDIDATES = 100
MOST = 10_000
"""The most rows and candidates of a search: both products' limit."""


@dataclass(frozen=True)
class VectorField:
    """A field of vectors.

    Args:
        product: whose it is.
        name: its name, with dots.
        spec: its mapping.
        dimension: the dimension.
        space: how its graph compares, in the words of the product.
        engine: what searches its graph, of OpenSearch: `lucene`, `faiss` or `nmslib`.
        has_graph: whether it has a graph at all; without one, every search compares with all rows.

    """

    product: Product
    name: str
    spec: Mapping[str, Any]
    dimension: int
    space: str
    engine: str = ""
    has_graph: bool = True

    @classmethod
    def read(
        cls, address: str, product: Product, name: str, spec: Mapping[str, Any], *, knn: bool = True
    ) -> VectorField:
        """Read the mapping of a field.

        Args:
            address: for messages.
            product: whose it is.
            name: the name of the field.
            spec: its mapping.
            knn: of OpenSearch: whether the index has graphs (`index.knn`).

        Raises:
            SearchError: the field has no vectors, or not of floats, or does not compare by cosine, dot product or Euclidean
                distance.

        """
        kind = _KINDS[product]
        if spec.get("type") != kind:
            raise SearchError(f"{address}: the field {name!r} is of the type {spec.get('type', 'object')}, not {kind}")
        if "'" in name or "\\" in name:
            raise SearchError(f"{address}: the field {name!r} has a quote in its name, which a script cannot write")
        of = spec.get("element_type" if product == "elasticsearch" else "data_type", "float")
        if of not in _FLOATS:
            raise SearchError(f"{address}: the vectors {name!r} are of the type {of}; only floats are possible here")
        found = cls._of_opensearch(spec, knn=knn) if product == "opensearch" else cls._of_elasticsearch(spec)
        dimension, space, engine, graph = found
        if not dimension:
            raise SearchError(f"{address}: the mapping of {name!r} has no dimension yet: no row has such a vector")
        if space not in (*_BY_NAME, *_EUCLIDEAN):
            raise SearchError(
                f"{address}: the vectors {name!r} are compared by {space}; only cosine, dot product and l2 are possible here"
            )
        return cls(product, name, spec, int(dimension), space, engine, graph)

    @staticmethod
    def _of_elasticsearch(spec: Mapping[str, Any]) -> tuple[int, str, str, bool]:
        return spec.get("dims", 0), spec.get("similarity", "cosine"), "", spec.get("index", True) is not False

    @staticmethod
    def _of_opensearch(spec: Mapping[str, Any], *, knn: bool) -> tuple[int, str, str, bool]:
        method = spec.get("method") or {}
        space = method.get("space_type") or spec.get("space_type") or "l2"
        trained = "model_id" in spec and not method
        # Without a method, the engine depends on the version; a trained model is of Faiss.
        engine = method.get("engine") or ("faiss" if trained else "")
        return spec.get("dimension", 0), space, engine, knn

    @property
    def similarity(self) -> Similarity | None:
        """How the graph compares; None: by Euclidean distance."""
        return _BY_NAME.get(self.space)

    @property
    def filters(self) -> bool:
        """Whether a search of the graph can have a filter."""
        return self.engine != "nmslib"

    @property
    def tells_scale(self) -> bool:
        """Whether the mapping says what scores mean. Scores of cosines by Faiss and nmslib have changed between versions."""
        return self.product == "elasticsearch" or self.space != "cosinesimil" or self.engine == "lucene"

    def near(self, vector: Sequence[float], k: int, clause: Any, candidates: int | None) -> dict[str, Any]:
        """A search of the graph.

        Args:
            vector: the query.
            k: the most rows.
            clause: the filter; None: none.
            candidates: the rows that a shard looks at; None: 100, or twice k if that is more.

        """
        if self.product == "elasticsearch":
            looked = min(MOST, max(k, candidates or max(_CANDIDATES, 2 * k)))
            knn = {"field": self.name, "query_vector": vector, "k": k, "num_candidates": looked}
            return {"knn": knn if clause is None else {**knn, "filter": clause}}
        asked: dict[str, Any] = {"vector": vector, "k": k}
        if clause is not None:
            asked["filter"] = clause
        if candidates is not None:
            asked["method_parameters"] = {"ef_search": min(MOST, max(k, candidates))}
        return {"query": {"knn": {self.name: asked}}}

    def exactly(self, vector: Sequence[float], clause: Any, similarity: Similarity) -> dict[str, Any]:
        """A search that compares with every row."""
        clauses = [{"exists": {"field": self.name}}, *([] if clause is None else [clause])]
        return {
            "query": {
                "script_score": {"query": {"bool": {"filter": clauses}}, "script": self._script(vector, similarity)}
            }
        }

    def _script(self, vector: Sequence[float], similarity: Similarity) -> dict[str, Any]:
        if self.product == "elasticsearch":
            text = (
                f"cosineSimilarity(params.query_value, '{self.name}') + 1.0"
                if similarity == "cosine"
                else f"double d = dotProduct(params.query_value, '{self.name}'); return d < 0 ? 1 / (1 - d) : d + 1"
            )
            return {"source": text, "params": {"query_value": vector}}
        params = {"field": self.name, "query_value": vector}
        if similarity == "cosine":
            # Painless, because the score of the script knn_score has been 1 + cos and (1 + cos) / 2.
            return {"source": "1.0 + cosineSimilarity(params.query_value, doc[params.field])", "params": params}
        return {"source": "knn_score", "lang": "knn", "params": {**params, "space_type": "innerproduct"}}

    def value_of_graph(self, score: float, *, halved: bool = True) -> float:
        """The cosine or dot product of a score of the graph.

        Args:
            score: the score.
            halved: of cosines in OpenSearch: whether the score is (1 + cos) / 2; else it is 1 / (2 - cos).

        """
        if self.space in _EUCLIDEAN:  # of vectors of length one
            return 1 - (1 / score - 1) / 2 if score > 0 else -1.0
        if _BY_NAME[self.space] == "dot":
            return _dot(score)
        if halved:
            return 2 * score - 1
        return 2 - 1 / score if score > 0 else -1.0

    @staticmethod
    def value_of_script(score: float, similarity: Similarity) -> float:
        """The cosine or dot product of a score of `exactly`."""
        return score - 1 if similarity == "cosine" else _dot(score)


def _dot(score: float) -> float:
    """The dot product of a score that is d + 1 for d >= 0, and 1 / (1 - d) below."""
    return score - 1 if score >= 1 else 1 - 1 / score if score > 0 else float("-inf")


@dataclass(frozen=True)
class Mapped:
    """The fields of an index.

    Args:
        specs: the mapping of each field and each sub-field, by its name with dots.
        nested: the names of nested objects: their fields are documents of their own.

    """

    specs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    nested: tuple[str, ...] = ()

    @classmethod
    def read(cls, mapping: Mapping[str, Any]) -> Mapped:
        """Read a mapping.

        Examples:
            >>> text = {"type": "text", "fields": {"raw": {"type": "keyword"}}}
            >>> list(Mapped.read({"properties": {"meta": {"properties": {"title": text}}}}).specs)
            ['meta.title', 'meta.title.raw']

        """
        specs: dict[str, Mapping[str, Any]] = {}
        nested = []
        left = [("", mapping)]
        while left:
            name, spec = left.pop(0)
            for part, inner in (spec.get("properties") or {}).items():
                full = f"{name}.{part}" if name else part
                if inner.get("type") == "nested":
                    nested.append(full)
                if "properties" in inner:
                    left.append((full, inner))
                    continue
                specs[full] = inner
                specs.update({f"{full}.{sub}": one for sub, one in (inner.get("fields") or {}).items()})
        return cls(specs, tuple(nested))

    def check(self, address: str, option: str, name: str) -> Mapping[str, Any]:
        """The mapping of a field that an address names.

        Raises:
            SearchError: there is no such field, or it is in nested documents.

        """
        inside = next((one for one in self.nested if name.startswith(f"{one}.")), None)
        if inside is not None:
            raise SearchError(
                f"{address}: {name!r} is in nested documents ({inside}), of which one document has several; babelmix reads one "
                "passage from a document: index the passages as documents of their own"
            )
        if name not in self.specs:
            names = ", ".join(name for name in list(self.specs)[:20])
            raise SearchError(
                f"{address}: has no field {name!r}; say which one it is with  ?{option}=FIELD  (fields: {names})"
            )
        return self.specs[name]

    def exact(self, name: str) -> str | None:
        """The field that compares whole values of a field: itself, or its sub-field of the type keyword. None: there is none."""
        kind = self.specs.get(name, {}).get("type", "")
        if kind not in ("text", "match_only_text", "semantic_text"):
            return name
        subs = [
            one for one, spec in self.specs.items() if one.startswith(f"{name}.") and spec.get("type") == "keyword"
        ]
        return subs[0] if subs else None


def values_at(source: Any, name: str) -> list[Any]:
    """The values of a field in a document, in lists or not, in objects or with a dotted name.

    Examples:
        >>> values_at({"a": {"b": "x"}}, "a.b"), values_at({"a.b": ["x", "y"]}, "a.b"), values_at({}, "a")
        (['x'], ['x', 'y'], [])

    """
    if isinstance(source, list):
        return [value for one in source for value in values_at(one, name)]
    if not isinstance(source, dict):
        return []
    if name in source:
        found = source[name]
        return (
            [] if found is None else [one for one in found if one is not None] if isinstance(found, list) else [found]
        )
    head, dot, rest = name.partition(".")
    while dot:
        if head in source:
            return values_at(source[head], rest)
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return []


def text_of(value: Any) -> str:
    """A value as a text, such as an id."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


__all__ = ["MOST", "Mapped", "Similarity", "VectorField", "text_of", "values_at"]
