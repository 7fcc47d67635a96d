"""Add your own parts to babelmix without changing it.

Each function registers one thing under a name. Everything that takes such a name then knows it: Python functions, commands
and TOML files. A module with such calls is a plugin. There are three ways to load one:

- Import it, from Python.
- `babelmix --plugin my_plugin.py audit ...`, on the command line.
- Install it as a package with an entry point in the group `babelmix.plugins` that names the module.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from babelmix.errors import BabelmixError, first_line

T = TypeVar("T")


def engine(scheme: str) -> Callable[[T], T]:
    """Register a search engine: a store of vectors behind an index.

    Write it as a subclass of `babelmix.search.engines.Engine`, and test it with
    `babelmix.search.engines.contract.check_engine`.

    Args:
        scheme: of the addresses of its indexes: `memory` for `memory://my-index`.

    Returns:
        A decorator for the class.

    Raises:
        ConfigError: the scheme is malformed, or that of an engine of babelmix.

    Example:
        >>> from babelmix.search.engines import Engine, exists
        >>> @engine("nowhere")
        ... class NowhereEngine(Engine):
        ...     @classmethod
        ...     def exists(cls, address):
        ...         return False
        >>> exists("nowhere://my-index")
        False

    """
    from babelmix.search.engines.opening import register_engine

    def register(made: T) -> T:
        register_engine(scheme, made)  # type: ignore[arg-type]
        return made

    return register


def load_plugin(plugin: str | Path) -> None:
    """Run a plugin: a Python file, or a module that is installed.

    The code runs with all rights of this process: load only what you trust.

    Args:
        plugin: the path of a `.py` file, or the dotted name of a module.

    Raises:
        BabelmixError: there is no such file or module, or its code fails.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "my_plugin.py")
        ...     _ = file.write_text("print('registered')")
        ...     load_plugin(file)
        registered

    """
    file = Path(plugin)
    try:
        if file.suffix != ".py":
            importlib.import_module(str(plugin))
            return
        spec = importlib.util.spec_from_file_location(file.stem, file)
        if spec is None or spec.loader is None or not file.is_file():
            raise BabelmixError(f"the plugin {plugin}: there is no such file")
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(file.stem, module)
        spec.loader.exec_module(module)
    except BabelmixError:
        raise
    except Exception as error:  # the plugin's own code may raise anything
        raise BabelmixError(f"the plugin {plugin} fails: {type(error).__name__}: {first_line(error)}") from error


__all__ = ["engine", "load_plugin"]
