"""Test with the newest releases of all packages, or with the oldest that pyproject.toml allows.

    python release/versions.py newest     # each package as new as its own requirements allow
    python release/versions.py oldest     # each package of pyproject.toml at its lower bound
    python release/versions.py newest -- tests/test_batches.py -x      # further arguments of pytest

torch stays at the release of constraints.txt, the one with a build for CPUs on the package index. Prints the releases that differ
from constraints.txt, and runs the quick tests, with warnings as errors for the newest only: old releases warn about themselves.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from pathlib import Path

from environment import PROJECT, ROOT, TORCH, Environment, environment

EXTRAS = "train,offline,images,search,scale,fast,detect,docs,dev"
"""Those of `make install`."""


def bounds() -> list[str]:
    """The lower bound of each package in pyproject.toml, as a constraint: `numpy==2.0`; the highest of several."""
    lines = [
        *PROJECT["dependencies"],
        *(line for lines in PROJECT["optional-dependencies"].values() for line in lines),
    ]
    lowest: dict[str, tuple[int, ...]] = {}
    for line in lines:
        found = re.match(r"([\w.-]+)(?:\[[\w,]*\])?>=([\d.]+)", line)
        if found and found[1] != "torch":
            version = tuple(map(int, found[2].split(".")))
            lowest[found[1]] = max(lowest.get(found[1], version), version)
    return [f"{name}=={'.'.join(map(str, version))}" for name, version in sorted(lowest.items())]


def installed(env: Environment) -> dict[str, str]:
    """The releases in an environment, by package."""
    lines = env.run("pip", "list", "--format", "freeze").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def main() -> None:
    """Install, say what differs from constraints.txt, and run the quick tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=["newest", "oldest"])
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    arguments = parser.parse_args()
    with environment() as env:
        limits = env.folder / "limits.txt"
        limits.write_text(
            "\n".join([TORCH, *(bounds() if arguments.which == "oldest" else [])]) + "\n", encoding="utf-8"
        )
        checkout = env.folder / "checkout"
        # Tests read the repository, and what they write must not touch it.
        subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
        env.install(f"{checkout}[{EXTRAS}]", constraints=limits, editable=True)
        pinned = dict(
            line.split("==")
            for line in Path(ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
            if "==" in line
        )
        found = installed(env)
        for name, version in sorted(pinned.items()):
            if found.get(name, version) != version:
                print(f"{name} {found[name]} (constraints.txt: {version})", flush=True)
        lenient = ["-W", "default"] if arguments.which == "oldest" else []
        words = ["pytest", "-n", "auto", "--dist", "loadfile", "-q", "-m", "not slow", *lenient, *arguments.pytest]
        raise SystemExit(env.status("python", "-m", *words, folder=checkout))


if __name__ == "__main__":
    main()
