#!/usr/bin/env bash
# tantivy (tantivy-py) 0.27.0
#
# Expected (written before the run): the default tokenizer cannot split Chinese or Japanese into words, so a phrase without
#   spaces is one token. A search for the very same phrase then finds it.
# Observed: a token of 40 bytes or more is dropped, from the document and from the query. In UTF-8 that is 14 characters of
#   Chinese or Japanese. A short phrase finds itself; a longer one is not in the index at all, and its own text finds nothing.
#   (Thai escapes: its tone marks are taken for separators, wherever they stand.)
# For a user of retrieval: with the default tokenizer most sentences of a Chinese or Japanese collection are not in the index,
#   and no error says so. Register an n-gram or dictionary tokenizer, and count the documents without any token.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check tantivy==0.27.0
cd "$work"
venv/bin/python - <<'PY'
import tantivy

texts = {
    "Chinese, 4": "保存图片",
    "Chinese, 13": "如何把图片保存为文件不改变",
    "Chinese, 14": "如何把图片保存为文件不改变它",
    "Japanese, 21": "どうすれば画像をファイルとして保存できますか",
    "Thai, 23": "แมวนั่งอยู่บนเสื่อในห้อง",
    "English": "how to save a picture without changing its size",
}
builder = tantivy.SchemaBuilder()
builder.add_text_field("text", stored=True)
index = tantivy.Index(builder.build())
writer = index.writer()
for text in texts.values():
    writer.add_document(tantivy.Document(text=text))
writer.commit()
index.reload()
searcher = index.searcher()

found = {}
for name, text in texts.items():
    hits = searcher.search(index.parse_query(text, ["text"]), 10).hits
    found[name] = text in [searcher.doc(address)["text"][0] for _, address in hits]
    print(f"{name:14} {len(text.encode()):3} bytes  finds itself: {found[name]}")
gone = {"Chinese, 14", "Japanese, 21"}
assert {name for name, there in found.items() if not there} == gone, "other texts are dropped than before"
PY
