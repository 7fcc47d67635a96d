#!/usr/bin/env bash
# ranx 0.3.21
#
# Expected (written before the run): evaluate(..., return_mean=False) gives one number a query in the order in which the
#   queries stand in the judgements (and in the run, which has the same order here).
# Observed: it gives an array without names, in the alphabetical order of the ids: q1, q10, q2, q3. Judgements and run are
#   sorted when they are made; the dictionaries that were given keep their own order.
# For a user of retrieval: numbers a query, put beside languages, query lengths or another evaluator's numbers by position,
#   belong to other queries as soon as there are ten. Means stay right, so nothing looks wrong. Read run.scores[metric] by id
#   instead.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ranx==0.3.21 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import warnings

warnings.filterwarnings("ignore")
from ranx import Qrels, Run, evaluate

# The answer of q1 is at rank 1, of q2 at rank 2, of q3 at rank 3, of q10 at rank 4.
ranks = {"q1": 1, "q2": 2, "q3": 3, "q10": 4}
qrels = {query: {"answer": 1} for query in ranks}
run = {query: {("answer" if rank == i else f"other{i}"): 10.0 - i for i in range(1, 5)} for query, rank in ranks.items()}
made = Run(run)
found = evaluate(Qrels(qrels), made, "mrr", return_mean=False).tolist()
expected = [1 / rank for rank in ranks.values()]
print("queries as given:", list(ranks), "their reciprocal ranks:", expected)
print("ranx's array:    ", found, "order inside:", list(made.keys()))
print("by id:           ", {query: float(value) for query, value in made.scores["mrr"].items()})
assert found == [1 / ranks[query] for query in sorted(ranks)] != expected, "the array is in another order now"
assert {query: float(value) for query, value in made.scores["mrr"].items()} == dict(zip(ranks, expected)), "the scores by id have changed"
PY
