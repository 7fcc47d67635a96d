"""Write docs/licences.md: the licence of every package that babelmix or one of its extras installs.

    pip install pip-licenses && python release/licences.py      # in an environment that `make install` made

Packages for developers alone are left out. Names of licences are those that the packages state; several are one licence.
"""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires

from environment import PROJECT, ROOT
from packaging.requirements import Requirement

FOR_DEVELOPERS = ("dev", "docs", "benchmarks", "serve")
PAGE = ROOT / "docs" / "licences.md"


def key(name: str) -> str:
    """The name of a package as the index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(lines: list[str]) -> Iterator[str]:
    """The packages that requirements install, with what they require themselves."""
    seen, left = set(), [Requirement(line) for line in lines]
    while left:
        one = left.pop()
        if key(one.name) == "babelmix":
            left += [Requirement(line) for extra in one.extras for line in PROJECT["optional-dependencies"][extra]]
            continue
        if (key(one.name), frozenset(one.extras)) in seen:
            continue
        seen.add((key(one.name), frozenset(one.extras)))
        yield key(one.name)
        try:
            further = [Requirement(line) for line in requires(one.name) or []]
        except PackageNotFoundError:
            raise SystemExit(f"{one.name} is not installed: run  make install") from None
        for line in further:
            if line.marker is None or any(line.marker.evaluate({"extra": extra}) for extra in (one.extras or {""})):
                left.append(line)


def main() -> None:
    """Write the page."""
    listed = subprocess.run(
        [sys.executable, "-m", "piplicenses", "--format", "json", "--from", "mixed", "--with-system"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    known = {key(row["Name"]): row for row in json.loads(listed)}
    extras: dict[str, set[str]] = {name: {""} for name in closure(PROJECT["dependencies"])}
    for extra, lines in PROJECT["optional-dependencies"].items():
        if extra not in FOR_DEVELOPERS:
            for name in closure(lines):
                extras.setdefault(name, set()).add(extra)
    rows = []
    for name, of in sorted(extras.items()):
        licence = known[name]["License"].replace(";", ",").replace("UNKNOWN", "states none")
        where = "every command" if "" in of else ", ".join(f"`{extra}`" for extra in sorted(of))
        rows.append(f"| {name} | {licence} | {where} |")
    table = "\n".join(["| package | licence, as it states | comes with |", "| --- | --- | --- |", *rows])
    runpy.run_path(str(ROOT / "benchmarks" / "marked.py"))["write"](PAGE, {"licences": table})
    print(f"{PAGE.name}: {len(rows)} packages")


if __name__ == "__main__":
    main()
