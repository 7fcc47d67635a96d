#!/usr/bin/env bash
# Makes a table of docs/what-others-do.md:  bash findings/tables/run.sh NAME [--data FOLDER] [--write]
#
# NAME.py names its pinned packages in its first lines:  # packages: numpy==2.4.6 faiss-cpu==1.15.1
# They are installed in a temporary folder. A table whose line is  # packages: babelmix  runs in this checkout's .venv.
# Prints the Markdown; with --write it also goes between <!-- NAME --> and <!-- /NAME --> of the page.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
name=${1:?"usage: bash findings/tables/run.sh NAME [--data FOLDER] [--write]"}
shift
write= arguments=()
for argument in "$@"; do
    if [ "$argument" = --write ]; then write=yes; else arguments+=("$argument"); fi
done
script=$here/$name.py
[ -f "$script" ] || { echo "$script: there is no such table" >&2; exit 2; }
read -r -a packages <<<"$(sed -n 's/^# packages: *//p' "$script" | head -n 1)"
for i in "${!arguments[@]}"; do # the script runs in another folder
    [ -e "${arguments[$i]}" ] && arguments[i]=$(realpath "${arguments[$i]}")
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ "${packages[*]}" = babelmix ]; then
    python=$root/.venv/bin/python
else
    python3 -m venv "$work/venv"
    python=$work/venv/bin/python
    [ "${#packages[@]}" = 0 ] || "$python" -m pip install --quiet --no-compile --disable-pip-version-check "${packages[@]}"
fi
cd "$work" # -P: a table may have the name of a package
"$python" -P "$script" "${arguments[@]}" >table.md
cat table.md
if [ -n "$write" ]; then
    "$python" - "$root/docs/what-others-do.md" "$name" table.md <<'PY'
import re
import sys
from pathlib import Path

page, name, table = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).read_text(encoding="utf-8").strip()
text = page.read_text(encoding="utf-8")
place = re.compile(f"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)", re.DOTALL)
if not place.search(text):
    sys.exit(f"{page}: has no place <!-- {name} --> ... <!-- /{name} -->")
page.write_text(place.sub(lambda found: found[1] + "\n" + table + "\n\n" + found[2], text), encoding="utf-8")
PY
fi
