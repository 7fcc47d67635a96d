#!/usr/bin/env bash
# usearch 2.26.6, numpy 2.4.6
#
# Expected (written before the run): an index of eight-bit integers (dtype="i8") gives about the distances of the index of
#   32-bit floats. The inner product sees the length of a vector, and so does the squared Euclidean distance.
# Observed: float vectors are brought to length one before they are rounded. Under "ip" a document of length 3 scores as one
#   of length 1: the inner product has become the cosine. Under "l2sq" the same direction at any length has distance 0. The
#   distances are those of the integers, thousands in place of ones. Half precision (f16) does none of this.
# For a user of retrieval: with encoders whose lengths mean something (dot-product models, vectors with a popularity prior)
#   switching the index to int8 changes which document is first, not only the third decimal. Quantise such vectors yourself,
#   or use f16 or bf16.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check usearch==2.26.6 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import numpy as np
from usearch.index import Index

query = np.array([1, 0, 0, 0], np.float32)
documents = np.array([[0.9, 0.1, 0, 0], [3 * 0.8, 3 * 0.6, 0, 0], [0.3, 0, 0, 0]], np.float32)
print("inner products:", (documents @ query).round(3).tolist(), " cosines:", (documents @ query / np.linalg.norm(documents, axis=1)).round(3).tolist())

order, distances = {}, {}
for metric in ("ip", "l2sq"):
    for dtype in ("f32", "f16", "i8"):
        index = Index(ndim=4, metric=metric, dtype=dtype)
        index.add(np.arange(3), documents)
        found = index.search(query, 3)
        order[metric, dtype], distances[metric, dtype] = found.keys.tolist(), dict(zip(found.keys.tolist(), found.distances.tolist()))
        print(f"{metric:5} {dtype:4} order {order[metric, dtype]} distances {found.distances.round(3).tolist()}")

assert order["ip", "f32"] == order["ip", "f16"] == [1, 0, 2], "the inner product of floats is not what it was"
assert order["ip", "i8"] == [2, 0, 1], "int8 no longer ranks by cosine under ip"
assert distances["l2sq", "f32"][2] > 0.4 and distances["l2sq", "i8"][2] == 0, "int8 no longer ignores length under l2sq"
PY
