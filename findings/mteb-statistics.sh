#!/usr/bin/env bash
# mteb 2.26.24 (only its files of descriptive statistics are read, so that its dependencies are not needed)
#
# Expected (written before the run): the statistics that mteb ships of each task fit together. The least number of relevant
#   documents a query is not above the average, and documents are not counted as queries.
# Observed: in 103 tasks the least number is above the average. The files count every judged document in the least number,
#   grade 0 too, and only relevant ones in the average: TREC DL 2019 has at least 132 and on average 95. Mr. TyDi's Japanese
#   part is listed with 880 documents and 6,999,867 queries, so documents stand among the queries, and in the sums over
#   languages too.
# For a user of retrieval: a cut-off, a number of negatives or a table of data sets taken from these files is wrong for judged
#   pools (TREC, NeuCLIR, re-ranking) and for Mr. TyDi. Count from the judgements themselves.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check mteb==2.26.24 --no-deps
cd "$work"
venv/bin/python - <<'PY'
import json
import pathlib

shipped = next(pathlib.Path("venv/lib").glob("python3*/site-packages/mteb/descriptive_stats"))
tasks, odd = set(), {}
for file in sorted(shipped.rglob("*.json")):
    for split, whole in json.loads(file.read_text()).items():
        for part in (whole, *(whole.get("hf_subset_descriptive_stats") or {}).values()):
            relevant = part.get("relevant_docs_statistics") or {}
            if "min_relevant_docs_per_query" in relevant:
                tasks.add(file.stem)
                if relevant["min_relevant_docs_per_query"] > relevant["average_relevant_docs_per_query"] + 1e-9:
                    odd.setdefault(file.stem, (relevant["min_relevant_docs_per_query"], round(relevant["average_relevant_docs_per_query"], 1)))
print(f"tasks with these statistics: {len(tasks)}; least number above the average: {len(odd)}, for example", dict(list(odd.items())[:3]), "TRECDL2019:", odd.get("TRECDL2019"))
tydi = json.loads((shipped / "Retrieval" / "MrTidyRetrieval.json").read_text())["test"]
parts = {lang: (part["num_documents"], part["num_queries"]) for lang, part in tydi["hf_subset_descriptive_stats"].items()}
print("Mr. TyDi, documents and queries:", parts["japanese"], "Japanese,", parts["korean"], "Korean,", (tydi["num_documents"], tydi["num_queries"]), "all")
assert odd["TRECDL2019"] == (132, 95.4) and len(odd) > 50, "the least number no longer counts grade 0"
assert parts["japanese"] == (880, 6999867), "Mr. TyDi's Japanese numbers are mended"
PY
