"""A collection of Milvus as someone else may have made it, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

LANGS = ("de", "EN", "ja")
DIMENSION = 8


def client_of(url: str, token: str = "") -> Any:
    from pymilvus import MilvusClient

    return MilvusClient(uri=url, token=token, timeout=20, dedicated=True)


def rows(count: int = 300, dimension: int = DIMENSION) -> tuple[list[str], np.ndarray]:
    """Languages and vectors with an offset of their language; every 50th row has no language."""
    rng = np.random.default_rng(0)
    offsets = rng.standard_normal((3, dimension))
    vectors = offsets[np.arange(count) % 3] + 0.5 * rng.standard_normal((count, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    langs = [LANGS[n % 3] for n in range(count)]
    langs[::50] = [""] * len(langs[::50])
    return langs, vectors.astype(np.float32)


def filled(
    client: Any, name: str, *, metric: str = "COSINE", words: bool = False, text_key: bool = False
) -> np.ndarray:
    """A collection with a key, a language, a text, metadata and a vector, loaded.

    Returns:
        The vectors.

    """
    from pymilvus import DataType, Function, FunctionType

    schema = client.create_schema(description="articles of a shop")
    key = {"datatype": DataType.VARCHAR, "max_length": 40} if text_key else {"datatype": DataType.INT64}
    schema.add_field("sku", is_primary=True, **key)
    schema.add_field("lang", DataType.VARCHAR, max_length=20)
    schema.add_field("body", DataType.VARCHAR, max_length=2000, **({"enable_analyzer": True} if words else {}))
    schema.add_field("year", DataType.INT32)
    schema.add_field("sold", DataType.BOOL)
    schema.add_field("meta", DataType.JSON)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=DIMENSION)
    if words:
        schema.add_field("weights", DataType.SPARSE_FLOAT_VECTOR)
        schema.add_function(Function("bm25", FunctionType.BM25, ["body"], ["weights"]))
    client.create_collection(name, schema=schema, consistency_level="Strong")
    indexes = [("embedding", "HNSW", metric, {"M": 8, "efConstruction": 64})]
    indexes += [("weights", "SPARSE_INVERTED_INDEX", "BM25", {})] if words else []
    for field, kind, how, parameters in indexes:
        index = client.prepare_index_params()
        index.add_index(field, index_name=f"of_{field}", index_type=kind, metric_type=how, params=parameters)
        client.create_index(name, index, sync=False)
    client.load_collection(name)
    langs, vectors = rows()
    data = [
        {
            "sku": f"it's {n}" if text_key else n * 7, "lang": lang, "body": f"text {n} {'even' if n % 2 == 0 else 'odd'}",
            "year": 2000 + n % 4, "sold": n % 2 == 0, "meta": {"lang": lang.lower(), "doc": f"d{n // 3}"},
            "embedding": vectors[n],
        }
        for n, lang in enumerate(langs)
    ]  # fmt: skip
    client.upsert(name, data)
    return vectors
