#!/usr/bin/env bash
# rank-bm25 0.2.2, bm25s 0.3.16, numpy 2.4.6
#
# Expected (written before the run): BM25 adds up over the query's words that a document has, so a document with none of them
#   scores 0, in every variant. (BM25+ and BM25L as published add their delta only for words that occur.)
# Observed: rank_bm25's BM25Plus, and the methods "bm25+" and "bm25l" of bm25s, give documents without any word of the query a
#   score well above 0: here half of what a matching document has. rank_bm25's BM25L and Okapi give 0. A query word that is in
#   exactly half of the documents scores 0 everywhere with rank_bm25's Okapi, so there match and no match look alike too.
# For a user of retrieval: "score above 0" does not mean "has the word", so an empty result cannot be told; and weighted
#   fusion adds the constant to every document of this list but to none that the list cut off. Drop documents without a query
#   word yourself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check rank-bm25==0.2.2 bm25s==0.3.16 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import bm25s
import numpy as np
from rank_bm25 import BM25L, BM25Okapi, BM25Plus

corpus = [text.split() for text in ("save a picture", "cook the dinner", "ride my bike", "save the whales")]
has = np.array(["save" in words for words in corpus])
scores = {model.__name__: model(corpus).get_scores(["save"]) for model in (BM25Okapi, BM25L, BM25Plus)}
for method in ("lucene", "bm25l", "bm25+"):
    index = bm25s.BM25(method=method)
    index.index(corpus, show_progress=False)
    scores["bm25s " + method] = index.get_scores(["save"])
for name, found in scores.items():
    print(f"{name:13} documents with the word {found[has].round(3).tolist()}, without {found[~has].round(3).tolist()}")
for name in ("BM25Plus", "bm25s bm25l", "bm25s bm25+"):
    assert scores[name][~has].min() > 0.3 * scores[name][has].max(), f"{name}: a document without the word scores about 0 now"
for name in ("BM25L", "bm25s lucene"):
    assert (scores[name][~has] == 0).all() and (scores[name][has] > 0).all(), f"{name} has changed"
assert (scores["BM25Okapi"] == 0).all(), "Okapi's weight of a word in half of the documents is no longer 0"
PY
