#!/usr/bin/env bash
# sentencepiece 0.2.3, tokenizers 0.23.3
#
# Expected (written before the run): the zero-width non-joiner inside Persian words (U+200C, between "می" and "خواهم" in
#   "می‌خواهم", "I want") is spelling, so text normalisers keep it, or all treat it alike. NFKC keeps it.
# Observed: three normalisers, three spellings. SentencePiece's default (nmt_nfkc, as in XLM-R and multilingual E5) puts a
#   space there: two words. BertNormalizer (multilingual BERT, LaBSE) deletes it: one word, other than the dictionary's. NFKC
#   and the rule "nfkc" of SentencePiece keep it. The zero-width joiner of Indic scripts is kept by SentencePiece and deleted
#   by BertNormalizer.
# For a user of retrieval: the same Persian query is other words to the lexical and the dense half of a hybrid search, and
#   counts of words or lengths differ by encoder. Decide once (a space is the usual choice) and normalise documents and
#   queries before any tokenizer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check sentencepiece==0.2.3 tokenizers==0.23.3
cd "$work"
venv/bin/python - <<'PY'
import io
import unicodedata

import sentencepiece
from tokenizers import normalizers

want, joined, spaced = "می\u200cخواهم", "میخواهم", "می خواهم"
model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["hello world " + want] * 20), model_writer=model, vocab_size=40, hard_vocab_limit=False, minloglevel=2)
plain = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["hello world " + want] * 20), model_writer=plain, vocab_size=40, hard_vocab_limit=False, minloglevel=2, normalization_rule_name="nfkc")


def pieces(data):
    return lambda text: sentencepiece.SentencePieceProcessor(model_proto=data.getvalue()).normalize(text).replace("\u2581", " ").strip()


ways = {
    "SentencePiece, default": pieces(model),
    "SentencePiece, nfkc": pieces(plain),
    "BertNormalizer": normalizers.BertNormalizer(lowercase=False).normalize_str,
    "unicodedata NFKC": lambda text: unicodedata.normalize("NFKC", text),
}
found = {name: way(want) for name, way in ways.items()}
for name, text in found.items():
    print(f"{name:22} {ascii(text)}  words: {len(text.split())}, kept: {chr(0x200c) in text}")
assert found["SentencePiece, default"] == spaced, "SentencePiece's default has changed"
assert found["BertNormalizer"] == joined, "BertNormalizer has changed"
assert found["SentencePiece, nfkc"] == found["unicodedata NFKC"] == want
joiner = "क्\u200dष"
assert ways["SentencePiece, default"](joiner) == joiner and ways["BertNormalizer"](joiner) == "क्ष", "the joiner is treated in another way"
PY
