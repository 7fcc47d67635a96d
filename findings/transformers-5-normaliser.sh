#!/usr/bin/env bash
# transformers 5.24.0 against 4.57.3, tokenizers 0.23.3 (0.22.1 beside 4.57.3)
#
# Expected (before a first look at one such tokenizer; this script confirms it, and adds BERT and version 4): a folder with a tokenizer.json gives the tokens of that file, whatever the version of
#   transformers. Its code says that the rebuilt tokenizer matches the file.
# Observed: where the folder's class is XLMRobertaTokenizer, version 5 builds the tokenizer anew and takes only SentencePiece's
#   own table (Precompiled) from the saved normaliser. NFKC, lower case, or any other normaliser is gone: the result has none.
#   BertTokenizer keeps its own BertNormalizer only, drops NFKC in front of it, and puts max_input_chars_per_word back to 100.
#   Nothing warns. Version 4 gives the tokens of the file in all these cases.
# For a user of retrieval: an encoder with a changed tokenizer (lower case for queries in capitals, NFKC for full-width
#   Japanese letters, NFC for decomposed Vietnamese) reads other tokens after an update, so new queries do not fit the old
#   index. Save it with the class PreTrainedTokenizerFast, and compare the tokens of a few texts after every update.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >show.py <<'PY'
import json
import sys
import tempfile
from pathlib import Path

import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

special = {"bos_token": "<s>", "cls_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "sep_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"}
pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁hello", *"abcdefghijklmnopqrstuvwxyz", "<mask>"]
unigram = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], 3))
unigram.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
unigram.pre_tokenizer = pre_tokenizers.Metaspace()
unigram.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
unigram.add_special_tokens(sorted(set(special.values())))

words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "ก", "##ก"]
wordpiece = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]", max_input_chars_per_word=500))
wordpiece.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.BertNormalizer(lowercase=True)])
wordpiece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
wordpiece.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
wordpiece.add_special_tokens(words[:5])


def loaded(tokenizer, name, **more):
    folder = Path(tempfile.mkdtemp(dir="."))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name, **more}))
    return transformers.AutoTokenizer.from_pretrained(str(folder))


kept = {}
for what, tokenizer, name, text in (
    ("capitals, XLM-R", unigram, "XLMRobertaTokenizer", "HELLO"),
    ("full width, XLM-R", unigram, "XLMRobertaTokenizer", "ｈｅｌｌｏ"),
    ("full width, BERT", wordpiece, "BertTokenizer", "ｈｅｌｌｏ"),
    ("a Thai word of 150 letters, BERT", wordpiece, "BertTokenizer", "ก" * 150),
):
    file = tokenizer.encode(text, add_special_tokens=False).ids
    here = loaded(tokenizer, name, **(special if name.startswith("XLM") else {"do_lower_case": True}))(text, add_special_tokens=False)["input_ids"]
    kept[what] = file == here
    print(f"transformers {transformers.__version__}, {what}: file {file[:4]}, loaded {here[:4]}, the same: {kept[what]}")
generic = loaded(unigram, "PreTrainedTokenizerFast", **special)("HELLO", add_special_tokens=False)["input_ids"]
assert generic == unigram.encode("HELLO", add_special_tokens=False).ids, "PreTrainedTokenizerFast no longer keeps the file"
assert set(kept.values()) == {sys.argv[1] == "4"}, "the loaded tokenizers have changed"
PY
for version in 4.57.3 5.24.0; do
    python3 -m venv "venv-$version"
    "venv-$version/bin/pip" install --quiet --no-compile --disable-pip-version-check "transformers==$version" "tokenizers==$([ "$version" = 5.24.0 ] && echo 0.23.3 || echo 0.22.1)"
    HF_HUB_OFFLINE=1 "venv-$version/bin/python" show.py "${version%%.*}" 2>/dev/null
done
