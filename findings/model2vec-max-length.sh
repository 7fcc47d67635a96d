#!/usr/bin/env bash
# model2vec 0.10.0
#
# Expected (written before the run): max_length of StaticModel.encode counts tokens, as its documentation says.
# Observed: the text is first cut to max_length times the median length of the vocabulary's tokens, in characters, spaces
#   counted too; only then come tokens. In a vocabulary of mostly short entries (Chinese characters) with long German words, a
#   German document of exactly max_length tokens keeps 1 of 20, and Chinese with spaces between keeps 10 of 20. No warning.
# For a user of retrieval: in a multilingual static model languages with longer words are read less far than others at the
#   same max_length: a language bias of the truncation. Pass max_length=None and cut by tokens yourself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check model2vec==0.10.0 tokenizers==0.23.3 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import numpy as np
from model2vec import StaticModel
from tokenizers import Tokenizer, models, pre_tokenizers

chinese = [chr(0x4E00 + i) for i in range(60)]
german = [f"wortungeheuer{chr(97 + i)}" for i in range(20)]
vocabulary = {word: i for i, word in enumerate(["[UNK]", "[PAD]", *chinese, *german])}
tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
vectors = np.eye(len(vocabulary), dtype=np.float32)  # so that an embedding shows which tokens were read
model = StaticModel(vectors, tokenizer, normalize=False)
read = {}
for name, words in (("Chinese", chinese[:20]), ("German", german)):
    text = " ".join(words)
    for limit in (20, 60, None):
        read[name, limit] = int((model.encode([text], max_length=limit)[0] > 0).sum())
    print(f"{name}: 20 tokens, {len(text)} characters; tokens read at max_length 20, 60, None: {[read[name, n] for n in (20, 60, None)]}")
assert read["German", None] == read["Chinese", None] == 20
assert read["German", 20] <= 3 and read["German", 60] <= 6, "max_length counts tokens now"
PY
