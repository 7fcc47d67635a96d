#!/usr/bin/env bash
# lancedb 0.40.0
#
# Expected (written before the run): rows that are added after create_index are searched one by one and ranked among the
#   indexed ones on equal terms. So a fifth of the rows, added later, has a fifth of the places in the results. (A guess
#   beside it: the codes bias the distances, so that late rows have a few places more or fewer.)
# Observed: with the default index (IVF_PQ) they take half of the places in the top ten. The index gives its ten best by
#   rough codes, of which most are wrong; then exact distances decide between those and the ten best of the new rows. The new
#   rows have full recall, the old ones not. refine_factor(10) or IVF_SQ brings the share down to a fifth.
# For a user of retrieval: the language, the source or the year that came last is favoured until optimize() runs, which looks
#   like language bias of the encoder. Always set refine_factor with IVF_PQ, and run optimize() before anything is compared.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check lancedb==0.40.0 numpy==2.4.6
cd "$work"
venv/bin/python 2>lance.log - <<'PY' || { tail -5 "$work/lance.log"; exit 1; }
import lancedb
import numpy as np
import pyarrow as pa

rng = np.random.default_rng(0)
count, dimension, topics = 6000, 64, 60
subjects = rng.normal(size=(topics, dimension)) / 8


def draw(many):
    vectors = subjects[rng.integers(topics, size=many)] + rng.normal(size=(many, dimension)) / 10
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


vectors, queries = draw(count), draw(150)
early, late = np.arange(count) < 0.8 * count, np.arange(count) >= 0.8 * count  # one distribution
exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]


def rows(mask):
    ids = np.flatnonzero(mask)
    return pa.table({"id": ids, "v": pa.FixedSizeListArray.from_arrays(pa.array(vectors[ids].ravel()), dimension)})


def share(table, refine=None):
    hits, right = [], []
    for query, best in zip(queries, exact, strict=True):
        search = table.search(query, vector_column_name="v").distance_type("cosine").limit(10)
        ids = [row["id"] for row in (search.refine_factor(refine) if refine else search).select(["id", "_distance"]).to_list()]
        hits += [late[i] for i in ids]
        right.append(len(set(ids) & set(best.tolist())) / 10)
    return float(np.mean(hits)), float(np.mean(right))


db = lancedb.connect("lance")
found = {"exact": (float(late[exact].mean()), 1.0)}
for name, more in (("IVF_PQ", {}), ("IVF_SQ", {"index_type": "IVF_SQ"})):
    table = db.create_table(name.lower(), rows(early))
    table.create_index("cosine", vector_column_name="v", **more)
    table.add(rows(late))
    found[name] = share(table)
    if name == "IVF_PQ":
        found["IVF_PQ, refine_factor 10"] = share(table, 10)
        table.optimize()
        found["IVF_PQ, after optimize()"] = share(table)
for name, (places, right) in found.items():
    print(f"{name:25} the 20 % of rows added late: {places:.0%} of the top ten; recall@10 {right:.2f}")
assert found["exact"][0] < 0.23 and found["IVF_SQ"][0] < 0.23 and found["IVF_PQ, refine_factor 10"][0] < 0.25
assert found["IVF_PQ"][0] > 0.33, "rows added after the index are no longer favoured"
PY
