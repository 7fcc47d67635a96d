"""Experiments that come with babelmix, by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def recipe(name: str) -> Path | None:
    """The file of a bundled recipe, or None if there is no such one."""
    file = Path(str(resources.files(__name__).joinpath(f"{name}.toml")))
    return file if file.is_file() else None


def names() -> list[str]:
    """Names of the bundled recipes."""
    return sorted(file.stem for file in Path(str(resources.files(__name__))).glob("*.toml"))
