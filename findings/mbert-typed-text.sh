#!/usr/bin/env bash
# blingfire 0.1.8 (its copy of multilingual BERT, cased: 119,547 pieces)
#
# Expected (put into words afterwards; seen in the unknown tokens of the table of tokenizers): multilingual BERT was made from Wikipedia in 104 languages, so it knows the quotation
#   marks, apostrophes and dashes of printed text, and both spellings that Unicode has for a Hindi or Bengali letter.
# Observed: the vocabulary has none of ’ “ ” – — … : each is [UNK], while the typewriter's ' " - are known. French and Italian
#   text with printed apostrophes ("l’eau") has an unknown token in every elided word. Hindi and Bengali letters with a dot
#   (ज़, फ़, ড়, য়) are known only as two code points. Written as one code point, which NTREX has in 23 % of its Hindi
#   sentences and 59 % of its Bengali ones, the whole word is [UNK]. NFC, which elsewhere composes, turns these letters into two.
# For a user of retrieval: the same word copied from a book or typed on a phone is another text to the encoder, or none.
#   Put text into NFC and printed marks into ASCII before multilingual BERT, for queries and documents alike.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check blingfire==0.1.8 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import unicodedata
from pathlib import Path

import blingfire
import numpy as np

folder = Path(blingfire.__file__).parent
model = blingfire.load_model(str(folder / "bert_multi_cased.bin"))
names = blingfire.load_model(str(folder / "bert_multi_cased.i2w"))
vocabulary = {blingfire.ids_to_text(names, np.array([i], dtype=np.int32), skip_special_tokens=False) for i in range(119547)}
UNK = 100


def ids(text):
    return blingfire.text_to_ids(model, text, 128, UNK, no_padding=True).tolist()


printed = dict(zip("’‘“”–—…", "''\"\"--.", strict=True))
print("in the vocabulary:", {mark: mark in vocabulary for mark in [*printed, *sorted(set(printed.values()))]})
assert not any(mark in vocabulary for mark in printed) and all(mark in vocabulary for mark in printed.values())
for text in ("L’eau qu’il boit n’est pas chère.", "Dov’è l’uscita dell’albergo?", "Er sagte: “Heute – vielleicht.”"):
    plain = "".join(printed.get(letter, letter) for letter in text)
    print(f"{text}  unknown: {ids(text).count(UNK)} of {len(ids(text))}; with ASCII marks: {ids(plain).count(UNK)}")
    assert ids(text).count(UNK) == sum(letter in printed for letter in text) > 0 and ids(plain).count(UNK) == 0
one = {"hi": ["\u095b\u093f\u0902\u0926\u0917\u0940", "\u095e\u094b\u0928", "\u0938\u095c\u0915"], "bn": ["\u09b8\u09ae\u09df", "\u09ac\u09be\u09dc\u09bf", "\u09a8\u09bf\u09df\u09c7"]}
for lang, words in one.items():
    for word in words:
        composed = unicodedata.normalize("NFC", word)
        print(f"{lang} {word}: one code point {ids(word)}, after NFC {ids(composed)}")
        assert ids(word) == [UNK] and UNK not in ids(composed) and len(composed) > len(word)
PY
