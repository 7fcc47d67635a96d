#!/usr/bin/env bash
# hnswlib 0.8.0, usearch 2.26.6, faiss-cpu 1.15.1
#
# Expected (written before the run): many copies of one vector take room, and change nothing for the other vectors: each of
#   them still finds itself.
# Observed: they tear the graph. 2,000 different vectors, each looked up by itself with a search width of 100, are all found.
#   With 2,000 copies of one other vector in the index, 17 to 40 % of them are no longer found: the copies fill the lists of
#   neighbours, which then lead nowhere else. Exact search finds all.
# For a user of retrieval: crawls and translated collections are full of equal passages ("Page not found", licence texts,
#   empty pictures). They cost the recall of everything else. Store one vector a distinct text, and measure recall on your own
#   data, not on random vectors.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check hnswlib==0.8.0 usearch==2.26.6 faiss-cpu==1.15.1 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import faiss
import hnswlib
import numpy as np
from usearch.index import Index

faiss.omp_set_num_threads(1)
rng = np.random.default_rng(0)
many, dimension = 2000, 64
different = rng.normal(size=(many, dimension)).astype(np.float32)
copy = rng.normal(size=(1, dimension)).astype(np.float32)
different /= np.linalg.norm(different, axis=1, keepdims=True)
copy /= np.linalg.norm(copy)


def shares(copies):
    vectors = np.vstack([np.repeat(copy, copies, axis=0), different])
    own = np.arange(copies, copies + many)
    index = hnswlib.Index("cosine", dimension)
    index.init_index(len(vectors), random_seed=1)
    index.set_num_threads(1)
    index.add_items(vectors, np.arange(len(vectors)))
    index.set_ef(100)
    one = float((index.knn_query(different, 1)[0][:, 0] == own).mean())
    usearch = Index(ndim=dimension, metric="cos", dtype="f32", expansion_search=100)
    usearch.add(np.arange(len(vectors)), vectors, threads=1)
    two = float((usearch.search(different, 1, threads=1).keys[:, 0] == own).mean())
    graph = faiss.IndexHNSWFlat(dimension, 16, faiss.METRIC_INNER_PRODUCT)
    graph.add(vectors)
    graph.hnsw.efSearch = 100
    three = float((graph.search(different, 1)[1][:, 0] == own).mean())
    exact = float(((different @ vectors.T).argmax(1) == own).mean())
    return {"hnswlib": one, "usearch": two, "faiss": three, "exact": exact}


found = {copies: shares(copies) for copies in (0, 200, 2000)}
for copies, row in found.items():
    print(f"{copies:5} copies: found themselves", {name: f"{share:.1%}" for name, share in row.items()})
assert all(share > 0.995 for share in found[0].values()), "without copies not all are found"
assert found[2000]["exact"] == 1 and all(found[2000][name] < 0.95 for name in ("hnswlib", "usearch", "faiss")), "copies no longer cost recall"
PY
