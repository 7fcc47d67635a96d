"""Run the commands of docs/tutorial.md as they stand there, in an empty folder, and write the table of the page.

python benchmarks/tutorial.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from marked import write
from readme import COLUMNS, row, shown

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
BASH = "```bash\n"


def commands(page: str) -> str:
    """The blocks to run, in order."""
    return "".join(part.partition("```")[0] for part in page.split(BASH)[1:])


def main() -> None:
    """Run them, then write the numbers before and after."""
    from babelmix.evaluation import Audit

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shutil.copy(PAGE.with_name("shop.csv"), folder)
        script = f'babelmix() {{ "{sys.executable}" -m babelmix "$@"; }}\n' + commands(
            PAGE.read_text(encoding="utf-8")
        )
        subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=os.environ, check=True)
        lines = [row(["", *(title for _, title in COLUMNS)]), row(["---"] + ["---:"] * len(COLUMNS))]
        for name in ("before", "without-language", "after"):
            found = Audit.load(folder / name)
            lines.append(
                row([name.replace("-", " "), *(shown(measure, found.macro(measure)) for measure, _ in COLUMNS)])
            )
    write(PAGE, {"tutorial": "\n".join(lines)})


if __name__ == "__main__":
    main()
