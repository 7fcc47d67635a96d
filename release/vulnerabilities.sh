#!/usr/bin/env bash
# Known vulnerabilities of the packages in .venv, by pip-audit, with the data of the package index. It asks that service, so it needs
# the internet and not only a mirror of packages.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check pip-audit
# A build of torch for CPUs is the release of the same number.
.venv/bin/pip freeze --exclude-editable | sed 's/+cpu$//' > "$place/installed.txt"
"$place/venv/bin/pip-audit" --no-deps --disable-pip --requirement "$place/installed.txt" | tee "$place/found.txt"
if grep -q 'could not be audited' "$place/found.txt"; then
  echo 'The service did not know these packages: nothing is said about them.' >&2
  exit 2
fi
