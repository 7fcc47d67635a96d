"""Named things that others may add to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from babelmix import _registry
from babelmix._registry import Lazy, Registry
from babelmix.errors import BabelmixError, ConfigError


@pytest.fixture
def colours() -> Registry[object]:
    return Registry("colour", {"red": 1, "join": Lazy("os.path:join")})


def test_built_in_values_are_there_and_lazy_ones_are_imported(colours: Registry[object]) -> None:
    import os

    assert list(colours) == ["red", "join"]
    assert (colours["red"], colours["join"], len(colours)) == (1, os.path.join, 2)
    assert "blue" not in colours
    with pytest.raises(KeyError):
        colours["blue"]


def test_what_is_registered_can_be_replaced_and_removed(colours: Registry[object]) -> None:
    colours.register("blue", 2)
    colours.register("blue", 3)
    assert dict(colours)["blue"] == 3
    colours.unregister("blue")
    assert "blue" not in colours


def test_what_is_built_in_stays(colours: Registry[object]) -> None:
    with pytest.raises(ConfigError, match="the colour 'red' is part of babelmix; register yours under another name"):
        colours.register("red", 2)
    with pytest.raises(ConfigError, match="cannot be removed"):
        colours.unregister("red")


def _install(folder: Path, name: str, code: str) -> None:
    """A package with an entry point, as pip leaves it."""
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[{_registry.GROUP}]\n{name} = {name}\n", encoding="utf-8")


def test_an_installed_plugin_is_imported_when_a_name_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colours: Registry[object]
) -> None:
    monkeypatch.setattr(_registry, "_looked_for", False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "the_colours", type(sys)("the_colours"))
    sys.modules["the_colours"].all = colours  # type: ignore[attr-defined]
    _install(tmp_path, "blue_plugin", "import the_colours\nthe_colours.all.register('blue', 7)\n")
    assert colours["red"] == 1
    assert "blue_plugin" not in sys.modules
    assert colours["blue"] == 7
    del sys.modules["blue_plugin"]


def test_a_plugin_that_cannot_be_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colours: Registry[object]
) -> None:
    monkeypatch.setattr(_registry, "_looked_for", False)
    monkeypatch.syspath_prepend(tmp_path)
    _install(tmp_path, "broken_plugin", "1 / 0\n")
    with pytest.raises(BabelmixError, match=r"'broken_plugin' of the package 'broken_plugin'.*ZeroDivisionError"):
        list(colours)
