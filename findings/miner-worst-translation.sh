#!/usr/bin/env bash
# sentence-transformers 6.2.0 (with torch 2.13.0; the "model" is a table of vectors)
#
# Expected (written before the run): `mine_hard_negatives` with a margin compares each negative with the positive of its own triplet.
#   Adding answers in one more language adds triplets, and those of the other languages stay.
# Observed: where a question has several answers (translations), the margin is that of its worst one, for all of them. With English,
#   German and French answers all 120 triplets come out. With Swahili answers too, which the encoder places badly, 52 of 160 come
#   out: two thirds of the English, German and French triplets are gone with the Swahili ones. The documentation says "the
#   positive pair", and an error or a warning does not come.
# For a user of retrieval: mined parallel data lose most where the encoder is worst, and take the well-served languages along, so
#   that what is left are the questions that need no training. Mine language by language, then join.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check torch==2.13.0 sentence-transformers==6.2.0 transformers==5.24.0 datasets==5.2.0 numpy==2.4.6
cd "$work"
TQDM_DISABLE=1 venv/bin/python - <<'PY'
import collections

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers.util import mine_hard_negatives

rng = np.random.default_rng(0)
questions = 40
spread = {"en": 0.3, "de": 0.3, "fr": 0.3, "sw": 3.0}  # how far an answer lies from its question
vectors = {}
for i in range(questions):
    vectors[f"question{i}"] = rng.normal(size=8)
    for language, noise in spread.items():
        vectors[f"{language}{i}"] = vectors[f"question{i}"] + noise * rng.normal(size=8)


class Vectors:
    device = torch.device("cpu")

    def encode_query(self, texts, **_):
        rows = np.array([vectors[text] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    encode_document = encode_query

    def similarity(self, one, other):
        return torch.as_tensor(one) @ torch.as_tensor(other).T

    def similarity_pairwise(self, one, other):
        return (torch.as_tensor(one) * torch.as_tensor(other)).sum(1)


def mined(languages, **margin):
    pairs = {"question": [], "answer": []}
    for i in range(questions):
        for language in languages:
            pairs["question"].append(f"question{i}")
            pairs["answer"].append(f"{language}{i}")
    found = mine_hard_negatives(Dataset.from_dict(pairs), Vectors(), num_negatives=1, verbose=False, **margin)
    return dict(collections.Counter(answer.rstrip("0123456789") for answer in found["answer"]))


for margin in ({"relative_margin": 0.05}, {"absolute_margin": 0.0}):
    three, four = mined(["en", "de", "fr"], **margin), mined(list(spread), **margin)
    print(f"{margin}: triplets by language of the answer {three}; with Swahili answers {four}")
    assert three == {"en": 40, "de": 40, "fr": 40}
    assert four["en"] == four["de"] == four["fr"] == four["sw"] < 20, "the margin is a positive's own now"
assert mined(list(spread)) == dict.fromkeys(spread, 40), "without a margin all come out"
PY
