#!/usr/bin/env bash
# pythainlp 5.4.0, sentencepiece 0.2.3
#
# Expected (from the documentation; a first look showed otherwise, this script confirms it): NFKC, the usual clean-up of text
#   before indexing, changes wide letters and ligatures. Plain Thai stays as it is, or takes a form that a tokenizer made for
#   Thai knows.
# Observed: NFKC, and nmt_nfkc of SentencePiece, write the vowel ำ (am) as two signs that look the same. pythainlp's dictionary
#   has it as one sign, and word_tokenize does not fold the two: of the 3,517 words of the dictionary with ำ, 6 % come out whole
#   (newmm, the default; "longest" 5 %). The words around it break as well: ฉัน ทำงาน (I work) becomes ฉันท, ํา, งาน, where the
#   first is another word and the last means job or party. NFC does no harm, and pythainlp.util.normalize after NFKC gives the
#   words of the plain text again.
# For a user of retrieval: water, word, to do, to remember and important have this vowel, and the two forms cannot be told apart
#   on a screen. Clean documents by NFKC and not the queries, and these words are never found; clean both, and they are matched
#   by pieces. Cut Thai into words before NFKC, or call pythainlp.util.normalize after it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pythainlp==5.4.0 sentencepiece==0.2.3
cd "$work"
PYTHAINLP_DATA_DIR="$work/data" venv/bin/python - <<'PY'
import functools
import unicodedata

from pythainlp.corpus import thai_words
from pythainlp.tokenize import word_tokenize
from pythainlp.util import normalize
from sentencepiece import SentencePieceNormalizer

sentences = [
    "ฉันทำงานที่ธนาคาร", "ฉันดื่มน้ำทุกเช้า", "คำตอบนี้ถูกต้อง", "เรื่องนี้สำคัญมาก", "กรุณาจำรหัสผ่าน", "แม่ทำอาหารเย็น", "รถสีดำจอดหน้าบ้าน",
    "ตำรวจจับขโมยได้", "เราไปเที่ยวน้ำตก", "ครูแนะนำหนังสือใหม่", "เธอจำชื่อฉันไม่ได้", "ราคาทองคำลดลง", "หมอให้คำแนะนำประจำวัน", "วันนี้กำหนดส่งงาน",
]
nfkc = functools.partial(unicodedata.normalize, "NFKC")
pieces = SentencePieceNormalizer(rule_name="nmt_nfkc", add_dummy_prefix=False, escape_whitespaces=False)
forms = {"NFC": functools.partial(unicodedata.normalize, "NFC"), "NFKC": nfkc, "nmt_nfkc": pieces.normalize, "NFKC, then normalize": lambda text: normalize(nfkc(text))}
words = [word for word in thai_words() if "ำ" in word]
print(f"{len(words)} of {len(thai_words())} words of the dictionary have the vowel; one sign, two signs: {[len(form('ำ')) for form in forms.values()]}")
whole, cut = {}, {}
for engine in ("newmm", "longest"):
    for name, form in forms.items():
        whole[engine, name] = sum(word_tokenize(form(word), engine=engine) == [form(word)] for word in words) / len(words)
        # Words are compared after NFKC, so that a word counts as kept in either form.
        changed = [text for text in sentences if [nfkc(word) for word in word_tokenize(form(text), engine=engine)] != [nfkc(word) for word in word_tokenize(text, engine=engine)]]
        cut[engine, name] = len(changed)
        print(f"{engine}, {name}: {whole[engine, name]:.1%} of these words come out whole; {len(changed)} of {len(sentences)} sentences are cut elsewhere")
        if changed:
            print("   ", word_tokenize(changed[0], engine=engine), word_tokenize(form(changed[0]), engine=engine))
for engine in ("newmm", "longest"):
    for name in ("NFKC", "nmt_nfkc"):
        assert whole[engine, name] < 0.1 and cut[engine, name] >= 5, "the vowel in two signs is known now"
    for name in ("NFC", "NFKC, then normalize"):
        assert whole[engine, name] == 1 and cut[engine, name] == 0, "this form no longer keeps the words"
assert word_tokenize(nfkc("ฉันทำงาน")) == ["ฉันท", "ํา", "งาน"], "the example is cut in another way"
PY
