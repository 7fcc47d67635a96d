#!/usr/bin/env bash
# milvus-lite 3.2.2, pymilvus 3.0.2
#
# Expected (written before the run): 'lang != "de"', 'not (lang == "de")' and 'lang not in ["de"]' are three spellings of one
#   filter.
# Observed: a row without the field lang (it is dynamic, so that rows may lack it) passes the third and neither of the others.
# For a user of retrieval: "everything but German" drops or keeps the passages of unknown language by the spelling of the
#   filter, in a search as in a count. Store a language for every row ("und" where it is unknown), or say which you want with
#   "exists".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pymilvus==3.0.2 milvus-lite==3.2.2 setuptools==80.9.0
cd "$work"
venv/bin/python - <<'PY'
import logging
import warnings

warnings.filterwarnings("ignore")
from pymilvus import MilvusClient

logging.disable(logging.CRITICAL)
client = MilvusClient("milvus.db")
client.create_collection("c", dimension=4, metric_type="COSINE")
rows = [{"id": 1, "lang": "de"}, {"id": 2, "lang": "en"}, {"id": 3}]
client.insert("c", [{**row, "vector": [1.0, 0.1 * row["id"], 0.0, 0.0]} for row in rows])
found = {}
for text in ('lang != "de"', 'not (lang == "de")', 'lang not in ["de"]'):
    queried = sorted(row["id"] for row in client.query("c", filter=text))
    searched = sorted(hit["id"] for hit in client.search("c", [[1.0, 0.0, 0.0, 0.0]], filter=text, limit=10)[0])
    found[text] = queried, searched
    print(f"{text:20} query {queried}, search {searched}")
client.close()
assert found['lang != "de"'] == found['not (lang == "de")'] == ([2], [2]), "a row without a language passes now"
assert found['lang not in ["de"]'] == ([2, 3], [2, 3]), "a row without a language no longer passes"
PY
