"""Packages whose names are imported on first use."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

PACKAGES = (
    "babelmix",
    "babelmix.corpus",
    "babelmix.encoders",
    "babelmix.evaluation",
    "babelmix.evaluation.systems",
    "babelmix.experiment",
    "babelmix.search",
    "babelmix.training",
)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_name_that_is_imported_on_first_use_is_a_module(package: str) -> None:
    """Once such a module is imported, the package has it under this name, in place of what is meant."""
    found = importlib.import_module(package)
    modules = {module.name for module in pkgutil.iter_modules(found.__path__)}
    # The module `babelmix.audit` can be called, as the function.
    assert set(found._HOMES) & modules <= {"audit"}
    for name in found._HOMES:
        assert getattr(found, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = found.nothing
