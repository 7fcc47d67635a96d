#!/usr/bin/env bash
# datasets 5.2.0 (with pandas 3.1.1), pyarrow 26.0.1, polars 2.1.0
#
# Expected (written before the run): a column of language codes in a CSV file is read as text, whichever reader it is.
# Observed: datasets' CSV loader (pandas behind it) takes "nan" for a missing number. "nan" is the ISO 639-3 code of Min Nan,
#   also called Taiwanese or Hokkien: all its rows lose their language. The texts "None", "null" and "NA" vanish in the same
#   way. pyarrow and polars keep all of them.
# For a user of retrieval: counts by language, filters and per-language scores leave Min Nan out without a word, and a passage
#   that is one of these words is an empty document. Pass keep_default_na=False to load_dataset("csv", ...), or use JSON lines
#   or Parquet.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check datasets==5.2.0 polars==2.1.0 pyarrow==26.0.1 pandas==3.1.1
cd "$work"
venv/bin/python - <<'PY'
import os

os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
import datasets
import polars
import pyarrow.csv

datasets.disable_progress_bars()
with open("corpus.csv", "w", encoding="utf-8") as out:
    out.write("id,lang,text\n1,nan,Lí hó\n2,de,null\n3,eng,None\n4,cmn,你好\n")
read = {
    "datasets": lambda **more: datasets.load_dataset("csv", data_files="corpus.csv", cache_dir="cache", **more)["train"].to_dict(),
    "pyarrow": lambda: pyarrow.csv.read_csv("corpus.csv").to_pydict(),
    "polars": lambda: polars.read_csv("corpus.csv").to_dict(as_series=False),
}
langs, texts = ["nan", "de", "eng", "cmn"], ["Lí hó", "null", "None", "你好"]
found = {name: reader() for name, reader in read.items()}
found["datasets, keep_default_na=False"] = read["datasets"](keep_default_na=False)
for name, columns in found.items():
    print(f"{name}: languages {columns['lang']}, texts {columns['text']}")
assert found.pop("datasets")["lang"] == [None, "de", "eng", "cmn"], "datasets keeps the code nan now"
assert all(columns["lang"] == langs and columns["text"] == texts for columns in found.values()), "another reader has changed"
PY
