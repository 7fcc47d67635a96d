#!/usr/bin/env bash
# ranx 0.3.21 (with numba 0.68.1)
#
# Expected (written before the run): fusion by Condorcet's rule is a function of its runs. A document that both lists place above
#   another stays above it, and the same runs give the same list in every process.
# Observed: for two runs neither holds. Documents on which the two lists disagree have one vote each, and the comparison says that
#   its first argument wins, whichever that is. So it is no order, and what the sort makes of it depends on the order of a set of
#   strings, which differs between processes. Of the pairs on which both lists agree, some are turned round, and a metric of the
#   fused list changes from process to process.
# For a user of retrieval: results of `fuse(method="condorcet")` over two runs (a dense and a lexical one) cannot be repeated, and
#   a pair of systems compared in two processes differs by chance. Use RRF or Borda, or an odd number of full lists.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ranx==0.3.21 numba==0.68.1 numpy==2.4.6 pandas==3.1.1
cd "$work"
cat >once.py <<'PY'
import json
import random
import warnings

warnings.filterwarnings("ignore")
from ranx import Run, fuse

names = [f"d{i:02}" for i in range(20)]
lists = [random.Random(seed).sample(names, 20) for seed in (1, 2)]
runs = [Run({"1": {name: float(20 - place) for place, name in enumerate(order)}}) for order in lists]
order = list(fuse(runs, norm=None, method="condorcet").run["1"])
agreed = [(x, y) for x in names for y in names if x != y and all(one.index(x) < one.index(y) for one in lists)]
turned = sum(order.index(x) > order.index(y) for x, y in agreed)
print(json.dumps([order, turned, len(agreed), order.index(lists[0][0]) + 1]))
PY
for seed in 0 1; do PYTHONHASHSEED=$seed venv/bin/python once.py; done >found
venv/bin/python - <<'PY'
import json

with open("found") as lines:
    found = [json.loads(line) for line in lines]
for order, turned, agreed, rank in found:
    print(f"first three {order[:3]}; pairs turned round {turned} of {agreed} on which both lists agree; rank of the first list's best {rank}")
assert len({tuple(order) for order, *_ in found}) > 1, "the fused list is the same in every process now"
assert any(turned for _, turned, *_ in found), "pairs on which both lists agree keep their order now"
PY
