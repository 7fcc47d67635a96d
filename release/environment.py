"""Fresh virtual environments, for the scripts in this folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line
)
"""The releases of constraints.txt, by package."""
TORCH = f"torch=={PINNED['torch']}"
"""The release of torch whose build for CPUs is used everywhere."""


class Environment:
    """A virtual environment, and an empty folder to run commands in.

    Args:
        place: a folder for both.

    """

    def __init__(self, place: Path) -> None:
        self.folder = place / "folder"
        self.folder.mkdir(parents=True)
        self._bin = place / "venv" / "bin"
        subprocess.run([sys.executable, "-m", "venv", place / "venv"], check=True)

    def install(
        self, *requirements: str, constraints: Path = ROOT / "constraints.txt", editable: bool = False
    ) -> None:
        """Install packages, and torch first where they need it, so that no package brings a build with CUDA."""
        pip: list[str | Path] = [
            self._bin / "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-c",
            constraints,
        ]
        if any(map(needs_torch, requirements)):
            subprocess.run([*pip, TORCH], check=True)
        subprocess.run([*pip, *(["--editable"] if editable else []), *requirements], check=True)

    def run(self, *command: str | Path, status: int = 0) -> str:
        """Run a command of the environment in the folder, and return what it printed.

        Raises:
            SystemExit: the command ended with another status, or with a traceback.

        """
        done = self._run(command, self.folder, capture_output=True)
        printed = done.stdout + done.stderr
        if done.returncode != status or "Traceback" in printed:
            raise SystemExit(f"{' '.join(map(str, command))}: status {done.returncode}, not {status}\n{printed}")
        return printed

    def status(self, *command: str | Path, folder: Path) -> int:
        """Run a command of the environment in another folder, let it print, and return its status."""
        return self._run(command, folder).returncode

    def _run(
        self, command: Sequence[str | Path], folder: Path, capture_output: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Without a network's hub, and without what is installed for this script."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        kept |= {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(self.folder.parent / "cache"), "NO_COLOR": "1"}
        kept["PATH"] = f"{self._bin}{os.pathsep}{kept['PATH']}"
        words = [str(self._bin / command[0]), *map(str, command[1:])]
        return subprocess.run(words, cwd=folder, env=kept, capture_output=capture_output, text=True)


def needs_torch(requirement: str) -> bool:
    """Whether a requirement names an extra that brings torch."""
    named = requirement.partition("[")[2].partition("]")[0].split(",")
    return any(name in named for name in ("train", "mteb", "benchmarks", "dev"))


@contextmanager
def environment() -> Iterator[Environment]:
    """An environment that is removed at the end."""
    with TemporaryDirectory() as place:
        yield Environment(Path(place))


def built(target: str, place: Path) -> Path:
    """Build a `wheel` or an `sdist` of this checkout into a folder, and return its file."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(place)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (file,) = [file for file in place.iterdir() if (file.suffix == ".whl") == (target == "wheel")]
    return file


def chosen(given: Sequence[str], all_of: Sequence[str]) -> list[str]:
    """The names that were given, or all."""
    if unknown := [name for name in given if name not in all_of]:
        raise SystemExit(f"there is no {unknown[0]!r}; there are {', '.join(all_of)}")
    return list(given or all_of)
