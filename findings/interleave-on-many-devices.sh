#!/usr/bin/env bash
# datasets 5.2.0 (with torch 2.13.0, which reading a stream by workers needs)
#
# Expected (from the documentation; a first look showed otherwise, this script confirms it): interleave_datasets with
#   probabilities draws a language for each row, and split_dataset_by_node gives each device its own part of the result. A batch
#   over 8 devices is 64 draws: with a share of 5 %, Swahili is in 96 % of the batches.
# Observed: every device draws the same languages in the same order. Only the rows differ. A batch of 8 times 8 rows is 8 draws,
#   each taken 8 times: Swahili is in 35 % of the batches, and its number of rows varies by 4.9 instead of 1.7. It happens in
#   the case that the documentation calls most optimised, where the number of shards is a multiple of the devices; with 7 shards
#   the draws are 64. The seed is shifted for each worker of a loader, not for each device. The next epoch has other draws,
#   again common.
# For a user of retrieval: contrastive training with negatives from all devices sees few languages a step, and small ones
#   seldom, in large steps. The shares over an epoch are right and hide it. Split first and interleave then with the seed plus
#   the rank, or count the languages of whole batches.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check datasets==5.2.0 torch==2.13.0 numpy==2.4.6
cd "$work"
HF_HOME="$work/cache" HF_HUB_OFFLINE=1 venv/bin/python - <<'PY'
from itertools import islice

import numpy as np
from datasets import Dataset, interleave_datasets
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader

share = {"en": 0.5, "de": 0.3, "th": 0.15, "sw": 0.05}
devices, rows, steps = 8, 8, 200


def parts(shards):
    return [Dataset.from_dict({"lang": [lang] * 8000, "row": range(8000)}).to_iterable_dataset(num_shards=shards) for lang in share]


def mixed(several, seed=0):
    return interleave_datasets(several, probabilities=list(share.values()), seed=seed)


def together(shards, epoch=0):
    whole = mixed(parts(shards))
    streams = [split_dataset_by_node(whole, rank=rank, world_size=devices) for rank in range(devices)]
    for stream in streams:
        stream.set_epoch(epoch)
    return streams


def apart(shards):
    several = parts(shards)
    return [mixed([split_dataset_by_node(one, rank=rank, world_size=devices) for one in several], seed=rank) for rank in range(devices)]


def look(title, streams):
    read = [list(islice(stream, rows * steps)) for stream in streams]
    langs = [[row["lang"] for row in some] for some in read]
    assert len({(row["lang"], row["row"]) for some in read for row in some}) == devices * rows * steps, "a row comes twice"
    one = float(np.mean([len(set(drawn)) == 1 for drawn in zip(*langs, strict=True)]))
    counts = {lang: [sum(some[i * rows : (i + 1) * rows].count(lang) for some in langs) for i in range(steps)] for lang in share}
    with_swahili = float(np.mean([n > 0 for n in counts["sw"]]))
    print(f"{title}: all devices have one language at {one:.0%} of the draws; Swahili is in {with_swahili:.0%} of the batches, rows of it {np.mean(counts['sw']):.1f} on average, standard deviation {np.std(counts['sw']):.1f}")
    return one, with_swahili, langs[0]


print(f"64 independent draws: Swahili in {1 - 0.95**64:.0%} of the batches, 3.2 on average, standard deviation {(64 * 0.05 * 0.95) ** 0.5:.1f}")
common, later = look("8 shards", together(8)), look("8 shards, second epoch", together(8, epoch=1))
uneven, split_first = look("7 shards", together(7)), look("8 shards, split first, seed + rank", apart(8))
assert common[0] == later[0] == 1 and common[1] < 0.5, "the devices draw for themselves now"
assert common[2] != later[2], "each epoch has the same draws now"
assert uneven[1] > 0.9 and split_first[1] > 0.9, "these ways no longer give independent draws"

loader = DataLoader(mixed(parts(8)), batch_size=50, num_workers=2)
workers = [batch["lang"] for batch in islice(loader, 2)]
print("two workers of one loader draw the same languages:", workers[0] == workers[1])
assert workers[0] != workers[1]
PY
