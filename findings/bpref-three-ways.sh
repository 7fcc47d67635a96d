#!/usr/bin/env bash
# pytrec-eval-terrier 0.5.11 (trec_eval itself), ranx 0.3.21, trectools 0.0.50
#
# Expected (written before the run): bpref is one formula, so three evaluators agree. A grade below 0 (TREC's "junk") counts
#   as not relevant, like grade 0.
# Observed: they agree only while there are grades 0. Where only relevant documents are judged, as in most retrieval sets,
#   bpref of one and the same run is 1 (trec_eval), not a number (ranx) and 0 (trectools). Grades of -1 or -2 are "not judged"
#   for trec_eval's bpref and for trectools' counts, and "not relevant" for ranx, so the same list scores 1.0, .25 and 0.
# For a user of retrieval: a bpref without the evaluator's name says nothing. Raise grades below 0 to 0 first, and do not
#   report bpref on sets that list positives only (MS MARCO, MIRACL's or BEIR's usual files).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pytrec-eval-terrier==0.5.11 ranx==0.3.21 trectools==0.0.50 setuptools==80.9.0 numpy==2.4.6 pandas==3.1.1
cd "$work"
venv/bin/python - <<'PY'
import math
import warnings

warnings.filterwarnings("ignore")
import pytrec_eval
from ranx import Qrels, Run, evaluate
from trectools import TrecEval, TrecQrel, TrecRun

run = {"1": {"x": 5.0, "a": 4.0, "y": 3.0, "b": 2.0, "z": 1.0}}
with open("run", "w") as out:
    out.writelines(f"1 Q0 {document} {rank} {score} name\n" for rank, (document, score) in enumerate(run["1"].items(), 1))


def three(grades):
    with open("qrels", "w") as out:
        out.writelines(f"1 0 {document} {grade}\n" for document, grade in grades.items())
    first = pytrec_eval.RelevanceEvaluator({"1": grades}, {"bpref"}).evaluate(run)["1"]["bpref"]
    return first, float(evaluate(Qrels({"1": grades}), Run(run), "bpref")), float(TrecEval(TrecRun("run"), TrecQrel("qrels")).get_bpref())


cases = {
    "x and y judged 0": {"a": 1, "b": 1, "x": 0, "y": 0},
    "only positives": {"a": 1, "b": 1},
    "x and y judged -1": {"a": 1, "b": 1, "x": -1, "y": -1},
    "x and y judged -2": {"a": 1, "b": 1, "x": -2, "y": -2},
}
found = {name: three(grades) for name, grades in cases.items()}
for name, values in found.items():
    print(f"{name:18} trec_eval {values[0]}, ranx {values[1]}, trectools {values[2]}")
assert found["x and y judged 0"] == (0.25, 0.25, 0.25), "the three no longer agree on grade 0"
one, two, three_ = found["only positives"]
assert one == 1 and math.isnan(two) and three_ == 0, "a set of positives is scored in another way now"
assert found["x and y judged -1"] == found["x and y judged -2"] == (1, 0.25, 0), "grades below 0 are read in another way now"
PY
