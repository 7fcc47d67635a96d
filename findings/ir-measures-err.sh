#!/usr/bin/env bash
# ir-measures 0.4.3 (its ERR and its nDCG(dcg="exp-log2") are run by a script of TREC; the system needs perl)
#
# Expected (written before the run): ERR takes the highest grade of the judgements, as its definition does: with grades 0 and
#   1 a relevant first document gives (2^1 - 1) / 2^1 = .5. Any text can be the id of a query.
# Observed: the scale is always 0 to 4. With binary judgements and one relevant document a perfect list has ERR 1/16, .0625.
#   The ids of queries must be numbers ("q1" raises an error), and values have five decimals. nDCG with exponential gains has
#   the same bound on ids; nDCG(gains={...}) asks trec_eval instead, takes any id, and gives the same value.
# For a user of retrieval: ERR of ir-measures on binary or 0-to-3 judgements cannot be compared with a paper's or another
#   library's.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ir-measures==0.4.3 pytrec-eval-terrier==0.5.11 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import ir_measures
from ir_measures import ERR, nDCG


def value(measure, grades, order, query="1"):
    qrels = [ir_measures.Qrel(query, document, grade) for document, grade in grades.items()]
    run = [ir_measures.ScoredDoc(query, document, float(-i)) for i, document in enumerate(order)]
    return ir_measures.calc_aggregate([measure], qrels, run)[measure]


binary, graded = {"a": 1, "b": 0}, {"a": 3, "b": 1, "c": 2, "d": 0}
print("ERR@10, binary, relevant first:", value(ERR @ 10, binary, "ab"), "by definition 0.5")
print("ERR@10, binary, relevant second:", value(ERR @ 10, binary, "ba"), "by definition 0.25")
perl, trec = value(nDCG(dcg="exp-log2") @ 4, graded, "badc"), value(nDCG(gains={1: 1, 2: 3, 3: 7}) @ 4, graded, "badc")
print(f"nDCG@4 with exponential gains: {perl} by dcg='exp-log2', {trec} by gains")
assert value(ERR @ 10, binary, "ab") == 0.0625 and value(ERR @ 10, binary, "ba") == 0.03125, "ERR has another scale now"
assert perl != trec and abs(perl - trec) < 1e-5, "the two ways to exponential gains differ in another way now"
assert value(nDCG(gains={1: 1, 2: 3, 3: 7}) @ 4, graded, "badc", "q1") == trec
try:
    value(ERR @ 10, binary, "ab", "q1")
except Exception as error:
    print("a query named q1:", type(error).__name__)
else:
    raise AssertionError("ERR takes any id now")
PY
