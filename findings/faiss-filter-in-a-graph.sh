#!/usr/bin/env bash
# faiss-cpu 1.15.1, hnswlib 0.8.0
#
# Expected (written before the run): faiss and hnswlib hold the same kind of graph. Under a filter on a small language both lose
#   rows. (For faiss this came true. That hnswlib loses none is the surprise.)
# Observed: for a query in another language hnswlib finds all and faiss a part. faiss spends the width on rows that the filter
#   rejects, gives worse rows and pads the answer with -1; hnswlib goes on until the width is full of accepted rows. Recall@10
#   in faiss: .9 for the language with 37 % of the rows, .7 with 6 %, .5 with 1 %, .4 with .4 %. hnswlib: 1.0 for each. Queries
#   in the language of the filter hide it, since their neighbours pass the filter.
# For a user of retrieval: "answers in Swahili to an English question" is what such a filter is for, and it fails for the small
#   languages only. Give efSearch in the order of the number of rows, or search a small language by brute force.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check faiss-cpu==1.15.1 hnswlib==0.8.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import faiss
import hnswlib
import numpy as np

faiss.omp_set_num_threads(1)
rng = np.random.default_rng(0)
count, dimension, languages, topics, width = 6000, 64, 30, 60, 100
share = 1 / np.arange(1, languages + 1) ** 1.3
sizes = (share / share.sum() * count).astype(int)
sizes[0] += count - sizes.sum()
places, subjects = (rng.normal(size=(many, dimension)) / 8 for many in (languages, topics))


def draw(of):
    vectors = 0.7 * places[of] + 0.7 * subjects[rng.integers(topics, size=len(of))] + rng.normal(size=(len(of), dimension)) / 16
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


lang = rng.permutation(np.repeat(np.arange(languages), sizes))
vectors = draw(lang)
graph = faiss.IndexHNSWFlat(dimension, 16, faiss.METRIC_INNER_PRODUCT)
graph.hnsw.efConstruction = 200
graph.add(vectors)
other = hnswlib.Index("cosine", dimension)
other.init_index(count, random_seed=1, M=16, ef_construction=200)
other.set_num_threads(1)
other.add_items(vectors, np.arange(count))
other.set_ef(width)


def recall(found, exact):
    return float(np.mean([len(set(row) & set(best)) / len(best) for row, best in zip(found.tolist(), exact.tolist(), strict=True)]))


seen = {}
for member in (0, 3, 14, 29):
    rows = np.flatnonzero(lang == member)
    allowed = set(rows.tolist())
    selector = faiss.SearchParametersHNSW(sel=faiss.IDSelectorBatch(rows), efSearch=width)
    for name, asked in (("own", np.full(60, member)), ("foreign", np.setdiff1d(np.arange(languages), [member]).repeat(2))):
        queries = draw(asked)
        exact = rows[np.argsort(-(queries @ vectors[rows].T), axis=1)[:, :10]]
        one = graph.search(queries, 10, params=selector)[1]
        two = other.knn_query(queries, 10, filter=allowed.__contains__)[0]
        seen[member, name] = recall(one, exact), recall(two, exact)
        print(f"language of {len(rows):4} rows, {name:7} queries: faiss {seen[member, name][0]:.2f} with {float((one < 0).sum(axis=1).mean()):.1f} of 10 places empty; hnswlib {seen[member, name][1]:.2f}")
assert all(two > 0.97 for _, two in seen.values()), "hnswlib loses rows under a filter"
assert seen[14, "foreign"][0] < 0.8 and seen[29, "foreign"][0] < 0.6, "faiss finds most of a small language now"
PY
