"""Test with the newest releases of all packages, or with the oldest that pyproject.toml allows.

    python release/versions.py newest     # each package as new as the others allow
    python release/versions.py oldest     # each package of pyproject.toml as old as it and the others allow, chosen by uv
    python release/versions.py newest -- tests/test_batches.py -x      # further arguments of pytest

torch stays at the release of constraints.txt, the one with a build for CPUs on the package index. Prints the releases that differ
from constraints.txt, and runs the quick tests, with warnings as errors for the newest only: old releases warn about themselves.
"""

from __future__ import annotations

import argparse
import subprocess

from environment import PINNED, ROOT, TORCH, Environment, environment

EXTRAS = "train,offline,images,search,scale,fast,detect,docs,dev"
"""Those of `make install`."""


def oldest(env: Environment) -> str:
    """Constraints with the oldest releases that go together, one in a line."""
    env.install("uv")
    extras = [word for extra in EXTRAS.split(",") for word in ("--extra", extra)]
    (env.folder / "torch.txt").write_text(TORCH + "\n", encoding="utf-8")
    options = ["--quiet", "--no-annotate", "--no-header", "--resolution", "lowest-direct", "-c", "torch.txt", *extras]
    return env.run("uv", "pip", "compile", *options, ROOT / "pyproject.toml")


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
        limits.write_text(oldest(env) if arguments.which == "oldest" else TORCH + "\n", encoding="utf-8")
        checkout = env.folder / "checkout"
        # Tests read the repository, and what they write must not touch it.
        subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
        env.install(f"{checkout}[{EXTRAS}]", constraints=limits, editable=True)
        found = installed(env)
        for name, version in sorted(PINNED.items()):
            if found.get(name, version) != version:
                print(f"{name} {found[name]} (constraints.txt: {version})", flush=True)
        lenient = ["-W", "default"] if arguments.which == "oldest" else []
        words = ["pytest", "-n", "auto", "--dist", "loadfile", "-q", "-m", "not slow", *lenient, *arguments.pytest]
        raise SystemExit(env.status("python", "-m", *words, folder=checkout))


if __name__ == "__main__":
    main()
