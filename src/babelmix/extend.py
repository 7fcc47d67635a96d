"""Add your own parts to babelmix without changing it.

Each function registers one thing under a name. Everything that takes such a name then knows it: Python functions, commands
and TOML files. A module with such calls is a plugin. There are three ways to load one:

- Import it, from Python.
- `babelmix --plugin my_plugin.py audit ...`, on the command line.
- Install it as a package with an entry point in the group `babelmix.plugins` that names the module.
"""

from __future__ import annotations

__all__: list[str] = []
