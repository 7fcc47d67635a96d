"""No module of babelmix needs itself, over whichever other modules."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SOURCE = Path(__file__).resolve().parents[1] / "src"


def modules(source: Path) -> dict[str, str]:
    """The text of each module below a folder, by its dotted name."""
    return {
        ".".join(file.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): file.read_text("utf-8")
        for file in source.rglob("*.py")
    }


def imported(name: str, text: str, known: set[str]) -> set[str]:
    """The modules that a module imports: at its top, in functions, and under TYPE_CHECKING."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: a relative import; name the module in full"
            # `from package import name` imports either a module of the package or the package itself.
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & known or {str(node.module)}
    return (found & known) - {name}


def circles(texts: dict[str, str]) -> set[frozenset[str]]:
    """The sets of modules of which each needs all others: strongly connected components of more than one module."""
    names = sorted(texts)
    place = {name: number for number, name in enumerate(names)}
    edges = [(place[n], place[other]) for n in names for other in imported(n, texts[n], set(names))]
    start, end = np.array(edges, dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(edges)), (start, end)), shape=(len(names), len(names)))
    _, labels = connected_components(graph, directed=True, connection="strong")
    groups: dict[int, set[str]] = defaultdict(set)
    for name, label in zip(names, labels, strict=True):
        groups[label].add(name)
    return {frozenset(group) for group in groups.values() if len(group) > 1}


def test_no_circle_of_imports() -> None:
    found = circles(modules(SOURCE))
    assert not found, f"modules import each other: {[sorted(circle) for circle in found]}"


@pytest.mark.parametrize(
    "way",
    [
        "import babelmix.a",
        "from babelmix import a",
        "from babelmix.a import x",
        "def later():\n    from babelmix.a import x",
        "if TYPE_CHECKING:\n    from babelmix.a import x",
    ],
)
def test_a_circle_is_found_however_it_is_imported(way: str) -> None:
    texts = {
        "babelmix": "",
        "babelmix.a": "import babelmix.b\nx = 1",
        "babelmix.b": "import babelmix.c",
        "babelmix.c": way,
    }
    assert circles(texts) == {frozenset({"babelmix.a", "babelmix.b", "babelmix.c"})}
    assert circles(texts | {"babelmix.c": "import babelmix"}) == set()
