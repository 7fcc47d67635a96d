#!/usr/bin/env bash
# ranx 0.3.21
#
# Expected (from the documentation; the source says otherwise, this script measures it): fuse(norm="zmuv") with the sum of
#   scores rewards what both lists find. An answer stands at least where it would stand if one list had not found it.
# Observed: a document that a list lacks gets 0 from it, and after this normalisation 0 is the list's average. A document in the
#   lower part of a list gets less than one that is not in it. The answer is among the first five of the dense list; if the
#   keyword list has it at 41 to 100, its MRR is .075, and .148 if the keyword list does not have it. With min-max the same hit
#   takes it from .17 to .25.
# For a user of retrieval: a query in another language than its answer often has just such weak keyword hits, by a name or a
#   number, and they push the answer down. Give missing documents the lowest score of the list before z-scores are summed, or
#   take min-max or RRF.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ranx==0.3.21 numpy==2.4.6 setuptools==80.9.0
cd "$work"
NUMBA_NUM_THREADS=1 venv/bin/python - <<'PY' 2>/dev/null
import numpy as np
from ranx import Run, fuse

queries, depth = 300, 100


def lists(best, last):
    """A dense list with the answer among its first five, a keyword list with the answer at these ranks, and the latter without it."""
    rng = np.random.default_rng(best)
    dense, keyword, without = {}, {}, {}
    for q in range(queries):
        near, hits = (np.sort(scores)[::-1].tolist() for scores in (rng.normal(0.5, 0.05, depth), rng.exponential(5, depth)))
        names = [f"d{i}" for i in range(depth - 1)]
        names.insert(int(rng.integers(5)), "answer")
        dense[f"q{q}"] = dict(zip(names, near, strict=True))
        # A quarter of the keyword list is in the dense list as well.
        others = [f"d{i}" if i < depth - 1 and rng.random() < 0.25 else f"k{i}" for i in rng.permutation(depth).tolist()]
        without[f"q{q}"] = dict(zip(others, hits, strict=True))
        place = int(rng.integers(best, last + 1)) - 1
        keyword[f"q{q}"] = dict(zip([*others[:place], "answer", *others[place : depth - 1]], hits, strict=True))
    return dense, keyword, without


def mrr(one, other, norm):
    fused = fuse([Run(one), Run(other)], method="sum", norm=norm).to_dict()
    return float(np.mean([1 / (1 + sum(score > found["answer"] for score in found.values())) for found in fused.values()]))


seen = {}
for norm in ("zmuv", "min-max"):
    for best, last in ((1, 10), (11, 40), (41, 100)):
        dense, keyword, without = lists(best, last)
        seen[norm, best] = mrr(dense, keyword, norm), mrr(dense, without, norm)
        print(f"{norm}, answer at {best} to {last} of the keyword list: MRR {seen[norm, best][0]:.3f}; the same without this keyword hit: {seen[norm, best][1]:.3f}")
assert seen["zmuv", 1][0] > seen["zmuv", 1][1], "a good hit no longer helps"
assert seen["zmuv", 41][0] < 0.7 * seen["zmuv", 41][1], "a weak hit no longer costs"
assert all(seen["min-max", best][0] > seen["min-max", best][1] for best in (1, 11, 41)), "with min-max a hit costs"
PY
