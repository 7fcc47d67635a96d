#!/usr/bin/env bash
# scikit-learn 1.9.1
#
# Expected (written before the run): a query without any relevant document adds 0, nothing or an error to
#   label_ranking_average_precision_score, as to mean average precision.
# Observed: it adds 1, the score of a perfect ranking; ndcg_score and average_precision_score of the same row are 0. A system
#   that ranks all else worst rises with every question that nobody could answer.
# For a user of retrieval: the function is often taken for MAP over a score matrix (with one label row a query). In a
#   cross-lingual cell many queries have no answer in that language, and the fewer have one, the better the number. Drop rows
#   without positives first.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import warnings

warnings.filterwarnings("ignore")
import numpy as np
from sklearn.metrics import average_precision_score, label_ranking_average_precision_score, ndcg_score

scores = np.array([[4.0, 3.0, 2.0, 1.0]] * 4)
relevant = np.array([[0, 0, 0, 1]] + [[0, 0, 0, 0]] * 3)  # one query, answered worst; three queries without answers
alone, together = (label_ranking_average_precision_score(relevant[:n], scores[:n]) for n in (1, 4))
print(f"LRAP of the one query with an answer: {alone}; with three unanswerable ones beside it: {together}")
print("of an unanswerable query alone:", label_ranking_average_precision_score(relevant[1:2], scores[1:2]), "ndcg_score:", ndcg_score(relevant[1:2], scores[1:2]), "average_precision_score:", average_precision_score(relevant[1], scores[1]))
assert alone == 0.25 and together == (0.25 + 3) / 4, "queries without answers no longer count as perfect"
assert ndcg_score(relevant[1:2], scores[1:2]) == 0
PY
