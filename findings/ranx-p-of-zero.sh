#!/usr/bin/env bash
# ranx 0.3.21, scipy 1.17.1
#
# Expected (written before the run): the p-value of a randomisation test is never 0. The labels as observed are one of the
#   arrangements, so with 1,000 drawn ones the least is 1 in 1,001, as in scipy.stats.permutation_test.
# Observed: compare(..., stat_test="fisher") reports p = 0 (it divides the arrangements at least as extreme by the number
#   drawn). Even where the exact p-value is known it can say 0: with 12 queries that all improve it is 2 in 4,096, and most
#   seeds give 0.
# For a user of retrieval: a reported p of 0 passes every correction for many comparisons (0 times any number of languages is
#   0), where the test cannot say less than .001. Read 0 as "below .001", or draw more with n_permutations and add one to both
#   counts.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check ranx==0.3.21 scipy==1.17.1 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import warnings

warnings.filterwarnings("ignore")
import numpy as np
from ranx import Qrels, Run, compare
from scipy.stats import permutation_test

queries = [f"q{i:02}" for i in range(12)]
qrels = Qrels({query: {"answer": 1} for query in queries})
better = {query: {"answer": 2.0, "other": 1.0} for query in queries}
worse = {query: {"answer": 1.0, "other": 2.0} for query in queries}
found = []
for seed in range(20):
    report = compare(qrels, [Run(better, name="a"), Run(worse, name="b")], ["mrr"], stat_test="fisher", random_seed=seed)
    found.append(float(report.to_dict()["a"]["comparisons"]["b"]["mrr"]))
difference = (np.full(12, 0.5),)
exact = permutation_test(difference, np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
drawn = permutation_test(difference, np.mean, permutation_type="samples", n_resamples=1000, rng=np.random.default_rng(0)).pvalue
print(f"exact p {exact:.6f} (2 of 4096), scipy with 1,000 drawn {drawn:.6f}")
print(f"ranx over 20 seeds: {sorted(found)}; zeros: {found.count(0.0)}")
assert exact == 2 / 4096 and drawn > 0, "scipy has changed"
assert found.count(0.0) >= 5, "ranx no longer says 0"
PY
