#!/usr/bin/env bash
# duckdb 2.0.1, lancedb 0.40.0, hnswlib 0.8.0
#
# Expected (written before the run): a zero vector (an empty text under a static model) has cosine 0 with everything, so it
#   stands in the middle or at the end of a ranking.
# Observed: hnswlib does so (distance 1). In DuckDB its similarity is not a number, and ORDER BY similarity DESC puts that
#   first: the empty document is the best answer to every query. In LanceDB the row is in no result, even when more rows are
#   asked for than there are, and a query that is zero finds nothing at all.
# For a user of retrieval: one empty document ruins rank 1 of every query in the one, and the count of results in the other.
#   Leave out zero vectors before they are stored, and check the query's length.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check duckdb==2.0.1 lancedb==0.40.0 hnswlib==0.8.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import duckdb
import hnswlib
import lancedb
import numpy as np

vectors = np.array([[1, 0, 0, 0], [0.8, 0.6, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]], np.float32)
query = np.array([1, 0, 0, 0], np.float32)

index = hnswlib.Index("cosine", 4)
index.init_index(10)
index.add_items(vectors, np.arange(4))
labels, distances = index.knn_query(query, 4)
print("hnswlib:", dict(zip(labels[0].tolist(), distances[0].round(3).tolist())))

db = duckdb.connect()
db.execute("create table t (id integer, v float[4])")
db.executemany("insert into t values (?, ?)", [(i, v.tolist()) for i, v in enumerate(vectors)])
rows = db.execute("select id, array_cosine_similarity(v, ?::float[4]) as similarity from t order by similarity desc", [query.tolist()]).fetchall()
print("DuckDB: ", rows)

table = lancedb.connect("lance").create_table("t", [{"id": i, "vector": v.tolist()} for i, v in enumerate(vectors)])
lance = [row["id"] for row in table.search(query.tolist()).distance_type("cosine").limit(10).to_list()]
nothing = table.search([0.0] * 4).distance_type("cosine").limit(10).to_list()
euclid = [row["id"] for row in table.search(query.tolist()).distance_type("l2").limit(10).to_list()]
print("LanceDB:", lance, "by cosine,", euclid, "by l2; a zero query finds", len(nothing), "rows")
assert distances[0][labels[0].tolist().index(2)] == 1
assert rows[0][0] == 2 and np.isnan(rows[0][1]), "DuckDB no longer ranks the zero vector first"
assert lance == [0, 1, 3] and sorted(euclid) == [0, 1, 2, 3] and nothing == [], "LanceDB treats zero vectors in another way now"
PY
