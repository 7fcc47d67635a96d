#!/usr/bin/env bash
# lancedb 0.40.0
#
# Expected (written before the run): in a hybrid search fused by LinearCombinationReranker(weight=w) the only document that
#   has the query's word gains (1 - w) of a score over the documents without it.
# Observed: it gains nothing. The scores of each list are spread from 0 to 1 by their least and greatest; the last keyword hit
#   gets 0, the same as documents that are no hit, and a single hit is its own last. With w=0.01 (words count 99 %) the one
#   match is still last here. RRFReranker, the default, puts it first.
# For a user of retrieval: rare words, names and part numbers have one hit, which is where keywords are worth most and where
#   this fusion ignores them. Use RRF, or fuse scores yourself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check lancedb==0.40.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import lancedb

words = ["red car", "blue car", "green boat", "part XK4471"]
vectors = [[1.0, 0.0], [0.9, 0.1], [0.5, 0.5], [0.0, 1.0]]
table = lancedb.connect("lance").create_table("t", [{"id": i, "vector": v, "text": t} for i, (v, t) in enumerate(zip(vectors, words))])
table.create_fts_index("text")
from lancedb.rerankers import LinearCombinationReranker, RRFReranker


def search(text, reranker):
    rows = table.search(query_type="hybrid").vector([1.0, 0.0]).text(text).distance_type("l2").limit(10).rerank(reranker).to_list()
    return {row["id"]: round(row["_relevance_score"], 4) for row in rows}


keyword = [row["id"] for row in table.search("XK4471", query_type="fts").limit(10).to_list()]
mostly_words, mostly_vectors, rrf = search("XK4471", LinearCombinationReranker(weight=0.01)), search("XK4471", LinearCombinationReranker(weight=0.7)), search("XK4471", RRFReranker())
print("keyword hits of 'XK4471':", keyword)
print("linear, vectors .01 and words .99:", mostly_words)
print("linear, vectors .7 and words .3:  ", mostly_vectors)
print("RRF:                              ", rrf)
assert keyword == [3] and next(iter(rrf)) == 3
assert mostly_words[3] == mostly_vectors[3] == 0 and list(mostly_words)[-1] == 3, "the only hit counts now"
PY
