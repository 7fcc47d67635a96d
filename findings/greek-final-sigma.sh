#!/usr/bin/env bash
# tantivy (tantivy-py) 0.27.0, tokenizers 0.23.3
#
# Expected (written before the run): a search that ignores case finds "οδος" for "ΟΔΟΣ"; a lower-casing normaliser gives the
#   same text as Python's str.lower.
# Observed: both lower each character for itself. Capital sigma becomes σ also at the end of a word, where Greek (and
#   str.lower) writes ς. So "ΟΔΟΣ" becomes "οδοσ": in tantivy it does not find "οδος", and behind tokenizers' Lowercase and
#   BertNormalizer it is another word of the vocabulary.
# For a user of retrieval: most Greek masculine nouns and names end in sigma. Titles in capitals and queries typed in capitals
#   miss them, in Greek only. Lower text with str.lower (or map ς to σ on both sides) before it is indexed or tokenised.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check tantivy==0.27.0 tokenizers==0.23.3
cd "$work"
venv/bin/python - <<'PY'
import tantivy
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

small, capital = "δρομος", "ΔΡΟΜΟΣ"
builder = tantivy.SchemaBuilder()
builder.add_text_field("text", stored=True)
index = tantivy.Index(builder.build())
writer = index.writer()
for text in (small, capital, "Straße", "STRASSE", "water", "WATER"):
    writer.add_document(tantivy.Document(text=text))
writer.commit()
index.reload()
searcher = index.searcher()


def search(query):
    return sorted(searcher.doc(a)["text"][0] for _, a in searcher.search(index.parse_query(query, ["text"]), 10).hits)


for query in ("WATER", small, capital):
    print("tantivy:", query, "->", search(query))
assert search("WATER") == ["WATER", "water"], "case matters in tantivy"
assert search(small) == [small] and search(capital) == [capital], "tantivy folds the final sigma now"

words = Tokenizer(models.WordLevel({"[UNK]": 0, small: 1}, unk_token="[UNK]"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
for normalizer in (normalizers.Lowercase(), normalizers.BertNormalizer(lowercase=True)):
    words.normalizer = normalizer
    print(type(normalizer).__name__, capital, "->", normalizer.normalize_str(capital), words.encode(capital).tokens, "str.lower:", capital.lower())
    assert words.encode(capital).tokens == ["[UNK]"] and words.encode(capital.lower()).tokens == [small], "the normaliser has changed"
PY
