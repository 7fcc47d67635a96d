"""Puts what a benchmark printed into docs/benchmarks.md, with the machine it ran on.

python benchmarks/static.py | python benchmarks/record.py static
"""

from __future__ import annotations

import datetime
import os
import platform
import re
import sys
from pathlib import Path

import torch
from marked import write

FILE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"


def processor() -> str:
    """The processor's name, where Linux tells it."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.is_file() else None
    return found.group(1) if found else platform.processor() or platform.machine()


def main() -> None:
    """Replace a marked part of the document by standard input."""
    name, printed = sys.argv[1], sys.stdin.read().strip()
    if "|" not in printed:
        raise SystemExit("the benchmark printed no table; nothing is written")
    # Under a heading of its own each, whatever level the benchmark printed.
    printed = re.sub(r"^#+ ", "### ", printed, flags=re.MULTILINE)
    note = f"{processor()}, {os.cpu_count()} cores, torch {torch.__version__}, {datetime.date.today()}."
    write(FILE, {name: f"{printed}\n\n{note}"})


if __name__ == "__main__":
    main()
