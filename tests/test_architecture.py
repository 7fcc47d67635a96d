"""docs/architecture.md names files that exist, and leads through each journey."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "babelmix"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def files(text: str) -> list[str]:
    return re.findall(r"`((?:[\w*]+/)*[\w*]+\.py)`", text)


def test_every_file_and_folder_that_the_page_names_exists() -> None:
    named = files(PAGE) + re.findall(r"`((?:\w+/)+)`", PAGE)
    assert len(named) > 40
    for name in named:
        assert name == "src/babelmix/" or list(SOURCE.glob(name)), name


def test_every_room_is_named() -> None:
    rooms = {folder.name for folder in SOURCE.iterdir() if (folder / "__init__.py").is_file()}
    assert rooms == set(re.findall(r"^\| `(\w+)/` \|", section("The rooms"), re.MULTILINE))


def test_each_step_of_a_journey_names_what_its_file_defines() -> None:
    for title in (
        "From a query text to a cell of the report",
        "From a training pair to a gradient",
        "From an HTTP request to an answer",
    ):
        steps = re.findall(r"^\d+\. (.+)$", section(title), re.MULTILINE)
        assert len(steps) >= 10
        for step in steps:
            for file, names in re.findall(r"`([\w/]+\.py)` \(((?:`[\w.]+`(?:, )?)+)\)", step):
                source = (SOURCE / file).read_text(encoding="utf-8")
                for name in re.findall(r"[\w.]+", names):
                    assert re.search(rf"^ *(async )?(class|def) {name.split('.')[-1]}\b", source, re.MULTILINE), name
