"""Write the output of a benchmark into docs/benchmarks.md, with the machine that it ran on.

python benchmarks/static.py | python benchmarks/record.py static
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import machine
from marked import write

FILE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"


def record(name: str, printed: str, more: str = "") -> None:
    """Replace a marked part of the document.

    Args:
        name: name of the part.
        printed: Markdown with at least one table.
        more: text to append to the line under it.

    """
    printed = printed.strip()
    if "|" not in printed:
        raise SystemExit("the benchmark printed no table; nothing is written")
    # Under a heading of its own each, whatever level the benchmark printed.
    printed = re.sub(r"^#+ ", "### ", printed, flags=re.MULTILINE)
    write(FILE, {name: f"{printed}\n\n{machine.note()} {more}".rstrip()})


def main() -> None:
    """Replace a marked part of the document by standard input."""
    record(sys.argv[1], sys.stdin.read())


if __name__ == "__main__":
    main()
