#!/usr/bin/env bash
# pyarrow 25.0.0 and 26.0.1
#
# Expected (written before the run): pyarrow.compute.utf8_normalize(column, form="NFC") composes, as unicodedata.normalize("NFC")
#   does: the documentation names the four forms of Unicode, and NFC is the one that corpora are stored in.
# Observed: up to 25.0.0 the form NFC gives NFD, and NFKC gives NFKD: é, ế and 가 become two or three code points. 26.0.1 composes.
#   NFD and NFKD are right in both. ASCII and unaccented texts are the same in all forms, so a look at English shows nothing.
# For a user of retrieval: a collection that was "normalised to NFC" by pyarrow holds decomposed texts. A typed query matches none of
#   its Korean, Vietnamese or accented words in a keyword index, joins by text lose those rows, language detectors take them for
#   other languages, and a count of texts that are not in NFC calls every composed text wrong and every decomposed one right.
#   Normalise by unicodedata, or require pyarrow 26.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 25.0.0 26.0.1; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install --quiet --no-compile --disable-pip-version-check "pyarrow==$version"
done
cat > "$work/look.py" <<'PY'
import sys
import unicodedata

import pyarrow as pa
import pyarrow.compute as pc

# As people type them: composed.
words = {
    "en": ["filter", "reset"], "ko": ["검색", "언어"], "vi": ["tiếng", "Việt"], "fr": ["réinitialiser", "état"],
    "de": ["zurücksetzen", "Gerät"], "ja": ["ガイド", "データ"], "hi": ["भाषा", "खोज"],
}  # fmt: skip
right = {}
for form in ("NFC", "NFKC", "NFD", "NFKD"):
    column = pa.array([word for listed in words.values() for word in listed])
    made = pc.utf8_normalize(column, form=form).to_pylist()
    wanted = [unicodedata.normalize(form, word) for word in column.to_pylist()]
    right[form] = sum(one == other for one, other in zip(made, wanted, strict=True))
found = {}
for lang, listed in words.items():
    index = set(pc.utf8_normalize(pa.array(listed), form="NFC").to_pylist())
    found[lang] = sum(word in index for word in listed)
print(f"pyarrow {pa.__version__}: right of 14 by form {right}; typed words found in an index normalised to NFC, of 2: {found}")
if sys.argv[1] == "old":
    assert right["NFC"] == right["NFKC"] == 4 and right["NFD"] == right["NFKD"] == 14, "pyarrow 25 has changed"
    assert [lang for lang, number in found.items() if not number] == ["ko", "vi", "fr", "de", "ja"], "words are found"
else:
    assert set(right.values()) == {14} and set(found.values()) == {2}, "pyarrow 26 has changed"
PY
"$work/25.0.0/bin/python" "$work/look.py" old
"$work/26.0.1/bin/python" "$work/look.py" new
