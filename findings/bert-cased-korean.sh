#!/usr/bin/env bash
# tokenizers 0.23.3, transformers 5.24.0
#
# Expected (put into words afterwards; seen while transformers-5-normaliser was written): a cased WordPiece tokenizer that was saved (tokenizer.json says lowercase false) is cased
#   when transformers loads the file.
# Observed: AutoTokenizer on a folder that has config.json (model_type bert) and this tokenizer.json puts lowercase true in place
#   of the file's false, because do_lower_case is named nowhere. Nothing warns. Lower case brings the stripping of accents,
#   which takes Korean syllables apart: each Korean word is [UNK]. German loses its umlauts, Russian й becomes и, Hindi and
#   Thai lose vowel signs. do_lower_case=False, and BertTokenizerFast(tokenizer_file=...), give the file's tokenizer.
# For a user of retrieval: English looks right, and every Korean text has the same few tokens, so that all Korean documents
#   get nearly one vector. Write do_lower_case into tokenizer_config.json, and count unknown tokens by language.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check transformers==5.24.0 tokenizers==0.23.3
cd "$work"
HF_HUB_OFFLINE=1 venv/bin/python - <<'PY' 2>/dev/null
import json
from pathlib import Path

from tokenizers import BertWordPieceTokenizer
from transformers import AutoTokenizer, BertTokenizerFast

texts = {"en": "how to save a picture", "de": "wie öffne ich die schönen bücher", "ko": "사진을 저장하는 방법", "hi": "चित्र कैसे सहेजें", "bn": "ছবি কীভাবে সংরক্ষণ", "th": "วิธี บันทึก รูปภาพ", "ru": "как сохранить мой файл"}
saved = BertWordPieceTokenizer(lowercase=False, strip_accents=False)
saved.train_from_iterator(list(texts.values()) * 5, vocab_size=600, min_frequency=1, show_progress=False)
folder = Path("encoder")
folder.mkdir()
saved.save(str(folder / "tokenizer.json"))
(folder / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": saved.get_vocab_size()}))
assert not json.loads((folder / "tokenizer.json").read_text())["normalizer"]["lowercase"]
ways = {
    "BertTokenizerFast": BertTokenizerFast(tokenizer_file="encoder/tokenizer.json"),
    "AutoTokenizer": AutoTokenizer.from_pretrained("encoder"),
    "with do_lower_case=False": AutoTokenizer.from_pretrained("encoder", do_lower_case=False),
}
unknown = {}
for lang, text in texts.items():
    assert saved.token_to_id("[UNK]") not in saved.encode(text).ids
    for name, tokenizer in ways.items():
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        unknown[lang, name] = sum(one == tokenizer.unk_token_id for one in ids) / len(ids)
    print(lang, "unknown tokens:", {name: f"{unknown[lang, name]:.0%}" for name in ways}, ways["AutoTokenizer"].tokenize(text)[:5])
for lang in texts:
    assert unknown[lang, "with do_lower_case=False"] == 0, "the named way is no longer the file's"
    assert unknown[lang, "BertTokenizerFast"] == 0, "BertTokenizerFast no longer keeps the file"
assert unknown["en", "AutoTokenizer"] == 0 and unknown["ko", "AutoTokenizer"] == 1, "Korean is read now"
assert ways["AutoTokenizer"].tokenize("bücher") != ways["with do_lower_case=False"].tokenize("bücher") == ["bücher"], "umlauts are kept now"
PY
