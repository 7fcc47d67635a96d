#!/usr/bin/env bash
# sqlite-vec 0.1.9, apsw 3.54.1.0, numpy 2.4.6
#
# Expected (written before the run): one float vector has one binary form, one bit a number, set where the number is above 0.
#   What vec_quantize_binary makes is what numpy.packbits makes (sentence-transformers packs its "ubinary" embeddings so).
# Observed: sqlite-vec fills each byte from its lowest bit, numpy.packbits from its highest. Each byte is mirrored. The
#   Hamming distance between the two forms of one vector is as large as between strangers, and nothing warns.
# For a user of retrieval: documents quantised inside SQLite and queries quantised in Python (or the reverse) give a random
#   ranking. Do both on one side, or pack with numpy.packbits(..., bitorder="little").
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check sqlite-vec==0.1.9 apsw==3.54.1.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import apsw
import numpy as np
import sqlite_vec

db = apsw.Connection(":memory:")
db.enable_load_extension(True)
db.load_extension(sqlite_vec.loadable_path())

vectors = np.random.default_rng(0).normal(size=(200, 256)).astype(np.float32)
theirs = [db.execute("select vec_quantize_binary(?)", (v.tobytes(),)).fetchone()[0] for v in vectors]
high = [np.packbits(v > 0).tobytes() for v in vectors]
low = [np.packbits(v > 0, bitorder="little").tobytes() for v in vectors]


def hamming(a, b):
    return db.execute("select vec_distance_hamming(vec_bit(?), vec_bit(?))", (a, b)).fetchone()[0]


own = np.mean([hamming(t, h) for t, h in zip(theirs, high)])
other = np.mean([hamming(theirs[i], theirs[i - 1]) for i in range(200)])
first = np.mean([min(range(200), key=lambda j: hamming(theirs[j], high[i])) == i for i in range(50)])
print(f"bits of a vector: 256; mean distance of its own two forms {own:.1f}, of two different vectors {other:.1f}")
print(f"a query packed by numpy.packbits finds its own document first: {first:.0%} of 50; packed with bitorder='little': equal bytes {theirs == low}")
assert theirs == low and theirs != high, "the order of the bits has changed"
assert abs(own - other) < 5 and first < 0.1, "the two forms are no longer strangers"
PY
