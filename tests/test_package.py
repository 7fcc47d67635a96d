"""What is installed: the wheel's content, and completion in a shell."""

from __future__ import annotations

import email
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
Run = Callable[..., tuple[int, str, str]]


def built(kind: str, place: Path) -> Path:
    pytest.importorskip("hatchling", reason="the build backend is not installed")
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(place)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = place.iterdir()
    return file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(built("wheel", tmp_path_factory.mktemp("wheel")))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    wanted = {name.removeprefix("src/") for name in tracked if (ROOT / name).is_file()}
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == wanted
    recipes = {
        f"babelmix/experiment/bundled/{file.name}" for file in ROOT.glob("src/babelmix/experiment/bundled/*.toml")
    }
    assert recipes | {"babelmix/py.typed", "babelmix/search/service/page.html"} <= held
    assert len(recipes) > 10


def test_the_wheel_says_what_it_is(wheel: zipfile.ZipFile) -> None:
    inside = {name.split(".dist-info/")[1]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert "babelmix = babelmix.cli:main" in wheel.read(inside["entry_points.txt"]).decode()
    assert "licenses/LICENSE" in inside
    about = email.message_from_bytes(wheel.read(inside["METADATA"]))
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ">=3.11"
    assert {"search", "serve", "data", "train", "offline", "images", "scale", "mteb"} <= set(
        about.get_all("Provides-Extra") or []
    )


def test_the_source_distribution_can_be_tested(tmp_path: Path) -> None:
    with tarfile.open(built("sdist", tmp_path)) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"tests/public.txt", "docs/tutorial.md", "docs/shop.csv", "mkdocs.yml", "SECURITY.md", "Makefile"} <= held
    assert {"constraints.txt", "CONTRIBUTING.md", "benchmarks/tutorial.py"} <= held


def test_a_shell_is_given_its_script(babelmix: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # Which shell it is, typer would else find out from the processes above this one.
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    for shell, sign in (("bash", "complete -o default"), ("zsh", "#compdef babelmix"), ("fish", "--command babelmix")):
        code, script, _ = babelmix("--show-completion", shell)
        assert code == 0
        assert sign in script
        assert "_BABELMIX_COMPLETE=complete_" in script


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("babelmix a", ["audit"]),
        ("babelmix se", ["search", "serve"]),
        ("babelmix audit --ma", ["--max-seq-length"]),
        ("babelmix train --pooling m", ["mean"]),
        ("babelmix audit --no-such", []),
    ],
)
def test_what_is_begun_is_completed(
    typed: str, offered: list[str], babelmix: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_BABELMIX_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    code, out, _ = babelmix()
    assert code == 0
    assert out.split() == offered
