#!/usr/bin/env bash
# qdrant-client 1.20.0 (local mode), qdrant-edge-py 0.9.0
#
# Expected (from the name; the formula had been seen): in a weighted reciprocal rank fusion the weight multiplies a list's share. The larger the
#   weight of a list, the higher its best hits; with a very large one the fused order is that list's order.
# Observed: the weight divides the rank instead, 1 / (k - 1 + rank / weight), ranks from 1. (The documentation gives this
#   formula, not what follows.) A share has a ceiling, 1 / (k - 1), which every hit of the heavy list nears. So a weight first
#   raises the heavy list's best hit, then lowers it: with k = 2 it is 2nd at weight 1, 1st at 3, 5th at 100, 11th at a
#   million, below ten documents that are 21st to 30th in the heavy list and stand in the other list too. With the usual
#   k = 60 no weight from 1 to a million changes a place.
# For a user of retrieval: a weight cannot say "trust the dense list, use keywords to break ties", and a search for the best
#   weight with k = 60 finds that weights do not matter. Use small weights (1 to 3) with a small k, or fuse the lists yourself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check qdrant-client==1.20.0 qdrant-edge-py==0.9.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import math
import tempfile

import qdrant_edge as edge
from qdrant_client import QdrantClient, models

# List a holds 1 to 30 in this order, list b holds 21 to 50: ten documents are in both.
ranks = {"a": {i: i for i in range(1, 31)}, "b": {i: i - 20 for i in range(21, 51)}}


def unit(angle):
    return [math.cos(angle), math.sin(angle)]


rows = {i: {name: unit(0.02 * of[i]) for name, of in ranks.items() if i in of} for i in range(1, 51)}
client = QdrantClient(":memory:")
one = models.VectorParams(size=2, distance=models.Distance.COSINE)
client.create_collection("c", vectors_config={"a": one, "b": one})
client.upsert("c", [models.PointStruct(id=i, vector=vectors) for i, vectors in rows.items()])
two = edge.EdgeVectorParams(size=2, distance=edge.Distance.Cosine)
shard = edge.EdgeShard.create(tempfile.mkdtemp(dir="."), edge.EdgeConfig(vectors={"a": two, "b": two}))
shard.update(edge.UpdateOperation.upsert_points([edge.Point(i, vectors, {}) for i, vectors in rows.items()]))


def fused(k, weight):
    fetch = [models.Prefetch(query=unit(0), using=name, limit=30) for name in "ab"]
    local = client.query_points("c", prefetch=fetch, query=models.RrfQuery(rrf=models.Rrf(k=k, weights=[weight, 1.0])), limit=50)
    fetch = [edge.Prefetch(limit=30, query=edge.Query.Nearest(unit(0), using=name)) for name in "ab"]
    other = shard.query(edge.QueryRequest(limit=50, prefetches=fetch, query=edge.Fusion.Rrf(k=k, weights=[weight, 1.0])))
    local = [point.id for point in local.points]
    assert local[:10] == [point.id for point in other][:10], "the two engines differ"
    return local


def multiplied(k, weight):
    shares = {i: sum(w / (k + ranks[name][i]) for name, w in (("a", weight), ("b", 1)) if i in ranks[name]) for i in rows}
    return sorted(shares, key=lambda i: -shares[i])


weights = (1.0, 3.0, 100.0, 1e6)
places = {}
for k in (2, 60):
    for weight in weights:
        order = fused(k, weight)
        places[k, weight] = order.index(1) + 1
        print(f"k {k:2}, weights {weight:9,.0f} to 1: best hit of list a is {places[k, weight]:2}., top 5 {order[:5]}; weight times share: {multiplied(k, weight)[:5]}")
assert [places[2, weight] for weight in weights] == [2, 1, 5, 11], "the best hit of the heavy list no longer falls"
assert len({tuple(fused(60, weight)[:12]) for weight in weights}) == 1, "a weight changes the order at k = 60 now"
assert multiplied(60, 100)[:12] == list(range(1, 13))
PY
