#!/usr/bin/env bash
# cld3-py 3.1.0 (the module gcld3: Google's CLD3)
#
# Expected (written before the run): text without a single letter ("2026", "12:30", "???") has no language: the answer is
#   unknown, or at least not reliable.
# Observed: it is Japanese, with is_reliable true and a probability of .78. Any number gives the same answer. Only a detector
#   made with a minimum length (min_num_bytes, 0 in the usual example for short text) says "und".
# For a user of retrieval: years, prices, part numbers and times are common queries. Filed by CLD3 they all become Japanese,
#   which is_reliable does not catch: a count by language shows Japanese users or documents that do not exist. Ask only when
#   the text has a letter.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check cld3-py==3.1.0
cd "$work"
venv/bin/python - <<'PY'
import gcld3

detector = gcld3.NNetLanguageIdentifier(0, 1000)
for text in ("2026", "12:30", "3.14", "???", "€ 5", "7"):
    found = detector.FindLanguage(text)
    print(f"{text!r}: {found.language}, reliable {found.is_reliable}, probability {found.probability:.2f}")
    assert found.language == "ja" and found.is_reliable and found.probability > 0.7, "text without letters is no longer Japanese"
found = gcld3.NNetLanguageIdentifier(10, 1000).FindLanguage("2026")
print(f"with min_num_bytes=10: {found.language}, reliable {found.is_reliable}")
assert found.language == "und" and not found.is_reliable
PY
