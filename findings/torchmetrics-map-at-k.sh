#!/usr/bin/env bash
# torchmetrics 1.9.0, torch 2.13.0, pytrec-eval-terrier 0.5.11
#
# Expected (written before the run): RetrievalMAP(top_k=10) is AP@10 as trec_eval has it (map_cut_10): what is not in the top ten
#   counts as not found.
# Observed: it is the mean over the relevant documents in the top ten, whatever their number: one answer of four, at rank 1, is 1.
#   Finding another one at rank 3 lowers it to .83. trec_eval gives .25 and .42.
# For a user of retrieval: in a pool of several languages an encoder that finds the answer in the query's own language and none
#   of its translations beats one that finds all: 1 against .71 where trec_eval has .25 against .71. Use AP without top_k, nDCG@k,
#   or another library.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 torchmetrics==1.9.0 pytrec-eval-terrier==0.5.11
cd "$work"
venv/bin/python - <<'PY'
import pytrec_eval
import torch
from torchmetrics.retrieval import RetrievalMAP

LENGTH, RELEVANT = 100, 4


def both(ranks):
    """AP@10 of a list whose relevant documents are at these ranks; all others come at the end."""
    ranks = [*ranks, *range(LENGTH - RELEVANT + len(ranks) + 1, LENGTH + 1)]
    relevant = torch.tensor([rank in ranks for rank in range(1, LENGTH + 1)])
    scores = torch.arange(LENGTH, 0, -1).float()
    measured = RetrievalMAP(top_k=10)(scores, relevant, indexes=torch.zeros(LENGTH, dtype=torch.long))
    qrels = {"q": {f"d{n}": int(one) for n, one in enumerate(relevant)}}
    run = {"q": {f"d{n}": float(one) for n, one in enumerate(scores)}}
    reference = pytrec_eval.RelevanceEvaluator(qrels, {"map_cut.10"}).evaluate(run)["q"]["map_cut_10"]
    return round(float(measured), 3), round(reference, 3)


found = {name: both(ranks) for name, ranks in {"own language": [1], "two": [1, 3], "all four": [1, 3, 5, 7]}.items()}
for name, (measured, reference) in found.items():
    print(f"{name:12}: torchmetrics AP@10 {measured}, trec_eval {reference}")
assert found["own language"] == (1.0, 0.25), "what is not in the top ten counts now"
assert found["two"] == (0.833, 0.417)
assert found["all four"] == (0.71, 0.71)
PY
