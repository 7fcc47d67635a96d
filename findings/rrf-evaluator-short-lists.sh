#!/usr/bin/env bash
# sentence-transformers 6.2.0 (with torch 2.13.0)
#
# Expected (written before the run): `ReciprocalRankFusionEvaluator` scores what a list found. One of ten relevant documents, at
#   rank 1, is AP .1. A longer list that begins alike has the same AP, and a list that finds more has a higher one.
# Observed: relevant documents that a list does not have are appended to it before AP and nDCG@10, as long as it has one of them. So
#   one of ten, in a list of one, is AP 1 and nDCG 1; with nine wrong ones behind it AP is .44; and a list of five with two of ten
#   found, at 1 and 5, is AP .67, below the one that found one. Fusion lengthens lists: the list of one fused with the list of ten
#   has AP .44, although the order of both is unchanged, so dense retrieval seems to lose half by it. A list without any is 0.
# For a user of retrieval: the documentation asks for documents "including positives", which retrieved lists never are in full. The
#   columns dense, sparse and fusion compare lengths of lists. Use ranked lists of one length with another evaluator.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 sentence-transformers==6.2.0 transformers==5.24.0 datasets==5.2.0 scikit-learn==1.9.1 numpy==2.4.6
cd "$work"
TQDM_DISABLE=1 venv/bin/python - <<'PY'
from sentence_transformers.sparse_encoder.evaluation import ReciprocalRankFusionEvaluator


def scores(dense, sparse, right):
    one, other = ([{"query_id": "1", "query": "?", "positive": right, "documents": documents}] for documents in (dense, sparse))
    found = ReciprocalRankFusionEvaluator(one, other, write_csv=False)()
    return {name: round(float(value), 3) for name, value in found.items()}


ten = [f"right{i}" for i in range(10)]
short, longer = ["right0"], ["right0", *(f"wrong{i}" for i in range(9))]
first = scores(short, longer, ten)
print("one of ten found, a list of 1: AP", first["dense_map"], "nDCG@10", first["dense_ndcg@10"], "; a list of 10: AP", first["sparse_map"], "nDCG@10", first["sparse_ndcg@10"])
more = scores(short, ["right0", "wrong0", "wrong1", "wrong2", "right1"], ten)
print("a list of 1 that finds one: AP", more["dense_map"], "; a list of 5 that finds two: AP", more["sparse_map"])
print("the two fused: AP", first["map"], "nDCG@10", first["ndcg@10"])
nothing = scores(["wrong0"], ["wrong0"], ten)
assert (first["dense_map"], first["dense_ndcg@10"]) == (1, 1) and nothing["dense_map"] == 0, "what is not found is no longer appended"
assert first["sparse_map"] == first["map"] < 0.5 and more["sparse_map"] < more["dense_map"]
PY
