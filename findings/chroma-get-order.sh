#!/usr/bin/env bash
# chromadb 1.5.9, pymilvus 3.0.2, milvus-lite 3.2.2, qdrant-client 1.20.0
#
# Expected (written before the run): rows that are asked for by their ids come in the order of the ids: get(ids=ranking) gives the
#   texts of a ranking, for a reranker or a prompt.
# Observed: Chroma gives them in the order in which they were stored, whatever the order of the ids.
#   Milvus Lite and Qdrant's local mode keep the order of the ids.
# For a user of retrieval: texts joined with scores by position are those of other hits, without any error. Where documents were
#   stored language by language, the first of every list is in the language that was stored first. Join by the ids that come back.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check chromadb==1.5.9 pymilvus==3.0.2 milvus-lite==3.2.2 qdrant-client==1.20.0 numpy==2.4.6 setuptools==80.9.0
cd "$work"
venv/bin/python - <<'PY'
import logging
import warnings

warnings.filterwarnings("ignore")
import chromadb
import numpy as np
from chromadb.config import Settings
from pymilvus import MilvusClient
from qdrant_client import QdrantClient, models

logging.disable(logging.CRITICAL)
langs = ["sw", "en", "de", "fr"]
ids = [f"{lang}-{n}" for lang in langs for n in range(3)]
vectors = np.random.default_rng(0).standard_normal((len(ids), 8)).astype(np.float32)
ranking = ["fr-0", "sw-1", "de-2", "en-1"]

client = chromadb.EphemeralClient(settings=Settings(anonymized_telemetry=False))
chroma = client.create_collection("texts")
chroma.add(ids=ids, embeddings=vectors, documents=[f"text of {one}" for one in ids])
milvus = MilvusClient("milvus.db")
milvus.create_collection("texts", dimension=8, id_type="string", max_length=10, auto_id=False)
milvus.insert("texts", [{"id": one, "vector": row.tolist()} for one, row in zip(ids, vectors, strict=True)])
qdrant = QdrantClient(":memory:")
qdrant.create_collection("texts", vectors_config=models.VectorParams(size=8, distance="Cosine"))
points = [models.PointStruct(id=n, vector=row.tolist(), payload={"id": one}) for n, (one, row) in enumerate(zip(ids, vectors, strict=True))]
qdrant.upsert("texts", points)
found = {
    "Chroma": chroma.get(ids=ranking)["ids"],
    "Milvus Lite": [row["id"] for row in milvus.get("texts", ids=ranking)],
    "Qdrant, local": [row.payload["id"] for row in qdrant.retrieve("texts", [ids.index(one) for one in ranking])],
}
print(f"asked for {ranking}")
for name, rows in found.items():
    print(f"{name:14} {rows}")
assert found["Chroma"] == ["sw-1", "en-1", "de-2", "fr-0"], "Chroma keeps the order of the ids now"
assert found["Milvus Lite"] == found["Qdrant, local"] == ranking
milvus.close()
PY
