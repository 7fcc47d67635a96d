#!/usr/bin/env bash
# NTREX-128 (MicrosoftTranslator/NTREX, file newstest2019-ref.mya.txt), myanmartools 1.2.1
# Usage: bash findings/ntrex-burmese.sh FILE    the file of NTREX, or a sentences.parquet with a column `my`
#
# Expected (put into words afterwards; seen while tokens of two tokenizers were compared): a translation published in 2022 for machine translation is in Unicode.
# Observed: 1,996 of 1,997 Burmese sentences are in Zawgyi, an encoding that uses Unicode's Burmese code points in another order and
#   for other letters, so that it looks right only in a Zawgyi font. The README does not say so. 1,377 of the sentences change
#   under NFC, which sorts marks that stand in an order unknown to Unicode.
# For a user of retrieval: scores for Burmese on NTREX are those of Zawgyi text. The same word in Unicode is other code points, so
#   queries and documents must be converted to one of them. Look for Zawgyi in every Burmese corpus before you measure on it.
set -euo pipefail
[ -f "${1:-}" ] || { echo "usage: bash findings/ntrex-burmese.sh FILE" >&2; exit 2; }
file=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check myanmartools==1.2.1 pyarrow==26.0.1 setuptools==80.9.0
cd "$work"
venv/bin/python - "$file" <<'PY'
import sys
import unicodedata
from pathlib import Path

import pyarrow.parquet
from myanmartools import ZawgyiDetector

file = Path(sys.argv[1])
texts = pyarrow.parquet.read_table(file)["my"].to_pylist() if file.suffix == ".parquet" else file.read_text(encoding="utf-8").splitlines()
detector = ZawgyiDetector()
unicode = "မြန်မာနိုင်ငံသည် အရှေ့တောင်အာရှတွင် ရှိသည်"
assert detector.get_zawgyi_probability(unicode) < 0.05, "the detector has changed"
found = [detector.get_zawgyi_probability(text) for text in texts]
zawgyi, other = sum(one > 0.95 for one in found), sum(one < 0.05 for one in found)
moved = sum(unicodedata.normalize("NFC", text) != text for text in texts)
print(f"{len(texts)} sentences: Zawgyi {zawgyi}, Unicode {other}; changed by NFC {moved}")
# Unicode writes the vowel sign e (U+1031) after its consonant, Zawgyi before it.
first = sum(any(word.startswith("\u1031") for word in text.split()) for text in texts)
print(f"sentences with a word that begins with the vowel sign e: {first}")
assert zawgyi > 0.99 * len(texts) and first > 0.5 * len(texts), "the file is in Unicode now"
PY
