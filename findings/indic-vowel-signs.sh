#!/usr/bin/env bash
# bm25s 0.3.16, scikit-learn 1.9.1, apsw 3.54.1.0 (SQLite 3.54.1, FTS5 with its default tokenizer unicode61)
#
# Expected (written before the run): Hindi, Bengali and Tamil are written with spaces, so every tokenizer for "words" finds
#   their words.
# Observed: vowel signs and the virama are combining marks, which all three take for separators. "किताब" (book) falls apart
#   into single letters. bm25s and TfidfVectorizer then drop what has fewer than two letters: most words vanish, some
#   documents are empty. FTS5 keeps the letters and searches them as a phrase: "किताब" (book) also finds "कुतुब" (Qutb, a
#   name), which shares only its consonants.
# For a user of retrieval: BM25 baselines for Hindi, Bengali, Tamil, Telugu or Burmese from these defaults are not baselines.
#   Give a token pattern with marks, such as r"(?u)[\w\u0300-\u036f\u0900-\u0dff\u0e00-\u0eff\u1000-\u109f]+", or a word
#   breaker of ICU.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check bm25s==0.3.16 scikit-learn==1.9.1 apsw==3.54.1.0
cd "$work"
venv/bin/python - <<'PY'
import apsw
import bm25s
from sklearn.feature_extraction.text import TfidfVectorizer

texts = ["किताब पढ़ना", "हिन्दी भाषा", "বাংলা ভাষা", "தமிழ் மொழி", "read the book"]
tokens = bm25s.tokenize(texts, stopwords=None, return_ids=False, show_progress=False)
analyse = TfidfVectorizer().build_analyzer()
for text, found in zip(texts, tokens):
    print(f"{text!r}: {len(text.split())} words, bm25s {found}, scikit-learn {analyse(text)}")
assert [len(found) for found in tokens] == [1, 0, 0, 1, 3], "bm25s finds other words than before"
assert [analyse(text) for text in texts] == tokens, "scikit-learn finds other words than bm25s"

db = apsw.Connection(":memory:")
db.execute("create virtual table t using fts5(text)")
for text in ("किताब", "कुतुब", "मकान"):
    db.execute("insert into t values (?)", (text,))
hits = [row[0] for row in db.execute("select text from t where t match ? order by rowid", ('"किताब"',))]
print(f"FTS5 {apsw.sqlite_lib_version()}: 'किताब' finds {hits}")
assert hits == ["किताब", "कुतुब"], "FTS5 tells the two words apart now"
PY
