#!/usr/bin/env bash
# trectools 0.0.50 (with pandas 3.1.1)
#
# Expected (written before the run): ids in run files are text. At worst 007 and 7 are one document always, or never.
# Observed: a column of ids is read as numbers if all of it looks like numbers, and as text if one id does not, in the run and in the
#   judgements each for itself. The right answers 00000 to 00099 score AP 1 while the run holds digits only. One wrong answer to one query
#   with a letter in its id makes the whole run text, the judgements stay numbers, and AP is 0: no padded id matches. Ids with a decimal point lose trailing zeros: 2405.0010 is found as 2405.001.
# For a user of retrieval: padded numbers, and numbers with a point (arXiv), are usual ids. Pooling one language whose ids have letters
#   with others takes the scores of all of them away. Give every id a letter before trectools reads it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check trectools==0.0.50 setuptools==80.9.0 numpy==2.4.6 pandas==3.1.1
cd "$work"
venv/bin/python - <<'PY'
import warnings

warnings.filterwarnings("ignore")
from trectools import TrecEval, TrecQrel, TrecRun


def average_precision(extra=(), right="{:05}"):
    with open("run", "w") as out:
        out.writelines(f"q{i} Q0 {right.format(i)} 1 2.0 x\n" for i in range(100))
        out.writelines(f"q0 Q0 {document} 2 1.0 x\n" for document in extra)
    with open("qrels", "w") as out:
        out.writelines(f"q{i} 0 {right.format(i)} 1\n" for i in range(100))
    return float(TrecEval(TrecRun("run"), TrecQrel("qrels")).get_map())


found = {name: average_precision(extra) for name, extra in {"digits only": (), "one more wrong answer, 70000": ("70000",), "one more wrong answer, de-7": ("de-7",)}.items()}
found["ids with a letter, and de-7"] = average_precision(("de-7",), "d{:05}")
for name, value in found.items():
    print(f"{name}: AP {value}")
with open("run", "w") as out:
    out.write("1 Q0 2405.0010 1 2.0 x\n")
document = TrecRun("run").run_data["docid"][0]
print("2405.0010 is read as", document)
assert found["digits only"] == found["one more wrong answer, 70000"] == found["ids with a letter, and de-7"] == 1
assert found["one more wrong answer, de-7"] == 0, "ids are read as text now"
assert document == "2405.001"
PY
