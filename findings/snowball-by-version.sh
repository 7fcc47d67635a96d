#!/usr/bin/env bash
# PyStemmer 3.1.0, py-rust-stemmers 0.1.8 (used by fastembed), nltk 3.10.4
#
# Expected (written before the run): "the Snowball stemmer for German" (Russian, Dutch, Romanian) is one algorithm, so three
#   packages give the same stems up to rare words.
# Observed: they carry different years of it. German: PyStemmer takes "ue" and "oe" for umlauts also where they are none
#   ("aktuell" aktull, "zuerst" zurst), and so joins "groesse" with "größe"; the others do neither. Dutch: "lopende" is loop,
#   lopend, lopend. Russian: py-rust-stemmers does not stem a word with ё at all ("ёлка" stays, "елка" is елк), so the two
#   spellings of one word part. Romanian: ş and ţ with a cedilla are the letters ș and ț for PyStemmer only.
# For a user of retrieval: documents stemmed by one package and queries by another miss each other silently, and BM25
#   baselines "with Snowball" differ by package. Record the package and its version with an index, and stem queries with the
#   same one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check PyStemmer==3.1.0 py-rust-stemmers==0.1.8 nltk==3.10.4
cd "$work"
venv/bin/python - <<'PY'
import Stemmer
from nltk.stem.snowball import SnowballStemmer as Nltk
from py_rust_stemmers import SnowballStemmer as Rust

words = {
    "german": ["aktuell", "zuerst", "groesse", "größe"],
    "dutch": ["lopende", "huizen", "kinderen"],
    "russian": ["ёлка", "елка", "книгами"],
    "romanian": ["oraşe", "orașe"],
    "french": ["maisons", "naturellement"],
}
found = {}
for language, texts in words.items():
    new, rust, nltk = Stemmer.Stemmer(language), Rust(language), Nltk(language)
    for word in texts:
        found[word] = new.stemWord(word), rust.stem_word(word), nltk.stem(word)
        print(f"{language:9} {word:14} PyStemmer {found[word][0]:14} py-rust-stemmers {found[word][1]:14} nltk {found[word][2]}")
assert found["aktuell"] == ("aktull", "aktuell", "aktuell") and found["zuerst"] == ("zurst", "zuerst", "zuerst")
assert [found["groesse"][i] == found["größe"][i] for i in range(3)] == [True, False, False]
assert found["lopende"] == ("loop", "lopend", "lopend")
assert found["ёлка"] == ("елк", "ёлка", "елк") and found["елка"] == ("елк", "елк", "елк")
assert [found["oraşe"][i] == found["orașe"][i] for i in range(3)] == [True, False, False]
assert len(set(found["maisons"])) == len(set(found["книгами"])) == 1
PY
