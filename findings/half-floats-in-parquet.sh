#!/usr/bin/env bash
# fastparquet 2026.9.0 (with pandas 3.1.1), pyarrow 26.0.1, polars 2.1.0, duckdb 2.0.1
#
# Expected (written before the run): a Parquet file with half-precision vectors is read as numbers by every reader, or refused
#   with an error.
# Observed: pyarrow, polars and DuckDB give numbers. fastparquet gives byte strings (the raw halves), with no warning. pandas
#   takes fastparquet when it is asked for or when pyarrow is not there; ranx installs it.
# For a user of retrieval: embeddings stored at half size are unreadable or, turned into numbers by force, wrong. Name the
#   engine (engine="pyarrow").
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check fastparquet==2026.9.0 pyarrow==26.0.1 pandas==3.1.1 polars==2.1.0 duckdb==2.0.1 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import duckdb
import fastparquet
import numpy as np
import polars
import pyarrow as pa
import pyarrow.parquet as pq

values = np.array([0.5, -1.0, 0.125, 0.3], np.float16)
pq.write_table(pa.table({"x": pa.array(values)}), "v.parquet")
read = {
    "pyarrow": [float(x) for x in pq.read_table("v.parquet")["x"].to_pylist()],
    "polars": [float(x) for x in polars.read_parquet("v.parquet")["x"].to_list()],
    "duckdb": [float(row[0]) for row in duckdb.sql("select x from 'v.parquet'").fetchall()],
    "fastparquet": fastparquet.ParquetFile("v.parquet").to_pandas()["x"].tolist(),
}
for name, found in read.items():
    print(f"{name}: {found}")
assert all(read[name] == values.tolist() for name in ("pyarrow", "polars", "duckdb"))
assert all(isinstance(x, bytes) for x in read["fastparquet"]), "fastparquet reads half floats now"
PY
