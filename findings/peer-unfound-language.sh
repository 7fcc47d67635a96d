#!/usr/bin/env bash
# peer_measure 0.0.1 (the authors' package of PEER), ir-measures 0.3.3 (with 0.4.3 the package does not run)
#
# Expected (written before the run): PEER tests whether the relevant documents of all languages have equal expected ranks. A list
#   that shows no German document at all is the least fair of all, because what is not retrieved stands behind what is.
# Observed: a document that is not retrieved gets a rank that is made of the number of relevant documents, not of the depth of the
#   list. With two English documents at ranks 5 and 6 and two German ones nowhere, that rank is 5.5: PEER@20 is 1, perfectly fair.
#   The same list with the German documents found, at 7 and 8, is less fair: .12. With one relevant document a language, a list that
#   shows the German one at rank 2 and a list that never shows it have one PEER.
# For a user of retrieval: few relevant documents a query is the usual case of a parallel or translated set. A system that loses a
#   language can have the higher PEER. Report recall by language beside it, and compute the test on full rankings.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check peer_measure==0.0.1 ir-measures==0.3.3 numpy==2.4.6 scipy==1.17.1 setuptools==80.9.0
cd "$work"
venv/bin/python - <<'PY'
import warnings

warnings.filterwarnings("ignore")
import ir_measures
from peer_measure import PEER


def peer(english, german, unfound=0):
    """PEER@20 of a list of 20, with relevant documents at these ranks, and this many relevant German documents not in the list."""
    run = {f"d{rank:02}": float(-rank) for rank in range(1, 21)}
    language = {f"d{rank:02}": "de" if rank in german else "en" for rank in range(1, 21)}
    grades = {f"d{rank:02}": int(rank in english + german) for rank in range(1, 21)}
    for i in range(unfound):
        language[f"m{i}"], grades[f"m{i}"] = "de", 1
    measure = PEER(weights={1: 1.0}, lang_mapping=language) @ 20
    return float(ir_measures.calc_aggregate([measure], {"1": grades}, {"1": run})[measure])


lost, found = peer([5, 6], [], unfound=2), peer([5, 6], [7, 8])
first, alone, behind = peer([1], [], unfound=1), peer([20], [], unfound=1), peer([1], [2])
print(f"two a language: German never found {lost:.3f}, German found at ranks 7 and 8 {found:.3f}, interleaved {peer([5, 7], [6, 8]):.3f}")
print(f"one a language: English at rank 1 and German never found {first:.3f}, English at 20 {alone:.3f}, English 1 and German 2 {behind:.3f}")
assert lost > 0.999, "a language that is never found is no longer perfectly fair"
assert found < 0.15
assert abs(first - behind) < 1e-9, "one document a language is told apart now"
PY
