#!/usr/bin/env bash
# ir-measures 0.4.3 (with pytrec-eval-terrier 0.5.11)
#
# Expected (written before the run): in one call of one library, RR and RR@10 of a list of three documents are equal: the cut
#   does not cut.
# Observed: with equal scores they differ. RR goes to trec_eval, which puts equal scores in reverse order of document id;
#   RR@10, Compat and Accuracy go to other code, which puts them in order of id or leaves them as given. The same tied list
#   has RR 1/3 and RR@10 1, and the reverse for another id. In one table AP and RR@10 belong to two different rankings.
# For a user of retrieval: BM25 over short texts, binary codes and rounded scores tie often, and MRR@10 is the headline number
#   of MS MARCO. Break ties yourself (subtract the rank from the score) before any evaluator sees the run.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ir-measures==0.4.3 pytrec-eval-terrier==0.5.11 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import ir_measures
from ir_measures import AP, RR, Compat, Success, nDCG

measures = [RR, RR @ 10, AP, nDCG @ 10, Success @ 1, Compat]


def values(relevant):
    qrels = [ir_measures.Qrel("1", document, int(document == relevant)) for document in "abc"]
    run = [ir_measures.ScoredDoc("1", document, 1.0) for document in "abc"]
    found = ir_measures.calc_aggregate(measures, qrels, run)
    print(f"three equal scores, {relevant} relevant:", {str(m): round(found[m], 3) for m in measures})
    return found


first, last = values("a"), values("c")
assert round(first[RR], 3) == 0.333 and first[RR @ 10] == 1, "RR and RR@10 treat ties alike now"
assert last[RR] == 1 and round(last[RR @ 10], 3) == 0.333, "RR and RR@10 treat ties alike now"
assert first[Success @ 1] == 0 and first[RR @ 10] == 1, "Success@1 and RR@10 see one ranking now"
PY
