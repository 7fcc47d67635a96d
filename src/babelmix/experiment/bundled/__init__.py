"""The experiments that come with babelmix, as TOML files by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def bundled(name: str) -> Path | None:
    """The TOML file of a bundled experiment; None if there is no such one."""
    file = Path(str(resources.files(__name__).joinpath(f"{name}.toml")))
    return file if file.is_file() else None


def names() -> list[str]:
    """The names of the bundled experiments, sorted."""
    return sorted(file.stem for file in Path(str(resources.files(__name__))).glob("*.toml"))


__all__ = ["bundled", "names"]
