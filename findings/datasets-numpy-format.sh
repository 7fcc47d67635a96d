#!/usr/bin/env bash
# datasets 5.2.0, numpy 2.4.6
#
# Expected (written before the run): `with_format("numpy")` gives arrays of the types that the data set declares. Eight-bit codes
#   stay eight-bit integers, packed bits stay bytes, and scores in double precision keep their digits.
# Observed: all whole numbers become 64-bit integers and all other numbers 32-bit floats, whatever was declared. Eight-bit
#   vectors take eight times the memory that they take on the disk; the bits of packed codes cannot be unpacked (numpy asks
#   for bytes); and scores that differ in the eighth digit become ties, so a run that is sorted by them has another order than
#   the same run read as Python numbers.
# For a user of retrieval: read vectors and scores by the format "arrow", or name the type: with_format("numpy", dtype=np.int8).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check datasets==5.2.0 numpy==2.4.6
cd "$work"
HF_HOME="$work/cache" HF_HUB_OFFLINE=1 venv/bin/python - <<'PY'
import numpy as np
from datasets import Dataset, Features, List, Value

rng = np.random.default_rng(0)
codes = rng.integers(-127, 128, (1000, 384)).astype(np.int8)
bits = rng.integers(0, 256, (1000, 48)).astype(np.uint8)
scores = 0.8 + np.arange(1000) * 1e-9  # the last document is the best
features = Features({"codes": List(Value("int8"), length=384), "bits": List(Value("uint8"), length=48), "score": Value("float64")})
data = Dataset.from_dict({"codes": list(codes), "bits": list(bits), "score": scores}, features=features)
print("declared:", data.features)

read = data.with_format("numpy")[:]
types = {name: str(column.dtype) for name, column in read.items()}
print("read as: ", types, f"{read['codes'].nbytes / codes.nbytes:.0f} times the memory of the codes")
assert types == {"codes": "int64", "bits": "int64", "score": "float32"}
try:
    np.unpackbits(read["bits"], axis=1)
except TypeError as error:
    print("bits:    ", error)
else:
    raise SystemExit("packed bits can be unpacked now")

plain = np.array(data["score"][:])
best = int(plain.argmax()), int(read["score"].argmax())
print("distinct scores:", len(np.unique(plain)), "as Python numbers,", len(np.unique(read["score"])), "in the format numpy; best document:", best)
assert best[0] == 999 and len(np.unique(plain)) == 1000, "Python numbers are not what they were"
assert best[1] != 999 and len(np.unique(read["score"])) < 100, "scores keep their digits now"

named = data.select_columns("codes").with_format("numpy", dtype=np.int8)[:]["codes"]
assert named.dtype == np.int8 and (named == codes).all(), "the type can no longer be named"
print("named:   ", named.dtype)
PY
