#!/usr/bin/env bash
# trectools 0.0.50, ir-measures 0.4.3
#
# Expected (written before the run): a mean is over the queries that are judged, or over those that are both judged and answered.
#   Judging one run by the judgements of one language gives the score of that language.
# Observed: trectools sums over the judged queries and divides by the number of queries of the run. A run of four languages that
#   answers everything rightly scores .25 in each of them. A run that leaves out the three languages that it is bad at scores 1
#   over all four, because queries that it does not answer count nothing.
# For a user of retrieval: scores by language, by topic or by split are wrong by the share of the part unless the run is cut to
#   the queries of the judgements first, and a run without a list for a query is rewarded. P, AP, RR and nDCG do it alike.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check trectools==0.0.50 ir-measures==0.4.3 setuptools==80.9.0 numpy==2.4.6 pandas==3.1.1
cd "$work"
venv/bin/python - <<'PY'
import warnings

warnings.filterwarnings("ignore")
import ir_measures
from trectools import TrecEval, TrecQrel, TrecRun

languages = ("de", "en", "hi", "zh")
queries = [f"{language}{i}" for language in languages for i in range(25)]


def scores(asked, judged):
    """trectools' AP, nDCG@10, RR and P@1, and AP and nDCG@10 of ir-measures, of a run that puts the right document first."""
    with open("run", "w") as out:
        out.writelines(f"{query} Q0 right-{query} 1 2.0 x\n{query} Q0 wrong-{query} 2 1.0 x\n" for query in asked)
    with open("qrels", "w") as out:
        out.writelines(f"{query} 0 right-{query} 1\n" for query in judged)
    e = TrecEval(TrecRun("run"), TrecQrel("qrels"))
    ours = tuple(round(float(value), 4) for value in (e.get_map(), e.get_ndcg(10), e.get_reciprocal_rank(), e.get_precision(1)))
    found = ir_measures.calc_aggregate([ir_measures.AP, ir_measures.nDCG @ 10], ir_measures.read_trec_qrels("qrels"), ir_measures.read_trec_run("run"))
    return ours, tuple(round(value, 4) for value in found.values())


by_language = {language: scores(queries, [query for query in queries if query.startswith(language)]) for language in languages}
for language, (theirs, other) in by_language.items():
    print(f"{language}: trectools {theirs}, ir-measures {other}")
german_only = scores([query for query in queries if query.startswith("de")], queries)
print("a run of German queries only, judged by all:", german_only)
assert all(found == ((0.25,) * 4, (1, 1)) for found in by_language.values()), "the mean is no longer over the queries of the run"
assert german_only == ((1,) * 4, (0.25, 0.25)), "queries without a list count now"
PY
