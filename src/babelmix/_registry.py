"""Registries of named values that other packages may add to: metrics, readers, strategies, engines, encoder kinds, losses."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

from babelmix.errors import BabelmixError, ConfigError

T = TypeVar("T")

GROUP = "babelmix.plugins"
"""The entry point group of installed plugins. Each entry point names a module. Importing the module registers its values."""


@dataclass(frozen=True)
class Lazy:
    """A registered value that is imported at its first use.

    Args:
        path: `module:attribute`.

    """

    path: str

    def load(self) -> Any:
        """Import the value."""
        module, _, attribute = self.path.partition(":")
        return attrgetter(attribute)(importlib.import_module(module))


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names to values that other packages may add to.

    The built-in names come first, in their order. Installed plugins (entry points of the group `babelmix.plugins`) are
    imported when an unknown name is looked up, or when the names are listed.

    Args:
        what: the name of one value in messages, such as `ranking metric`.
        built_in: the values that babelmix itself has; a `Lazy` value is imported at its first use.

    Examples:
        >>> colours = Registry("colour", {"red": 1})
        >>> colours.register("blue", 2)
        >>> colours["blue"], list(colours)
        (2, ['red', 'blue'])

    """

    def __init__(self, what: str, built_in: Mapping[str, T | Lazy]) -> None:
        self.what = what
        self._values: dict[str, T | Lazy] = dict(built_in)
        self._built_in = frozenset(built_in)

    def register(self, name: str, value: T) -> None:
        """Add a value.

        Args:
            name: the name of the value. Registering the same name again replaces the value.
            value: the value.

        Raises:
            ConfigError: the name is built in.

        """
        if name in self._built_in:
            raise ConfigError(f"the {self.what} {name!r} is part of babelmix; register yours under another name")
        self._values[name] = value

    def unregister(self, name: str) -> None:
        """Remove a value that `register` added, for example at the end of a test."""
        if name in self._built_in:
            raise ConfigError(f"the {self.what} {name!r} is part of babelmix and cannot be removed")
        self._values.pop(name, None)

    def __getitem__(self, name: str) -> T:
        if name not in self._values:
            load_plugins()
        value = self._values[name]
        if isinstance(value, Lazy):
            loaded: T = value.load()
            self._values[name] = loaded
            return loaded
        return value

    def __contains__(self, name: object) -> bool:
        if name not in self._values:
            load_plugins()
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        load_plugins()
        return iter(tuple(self._values))

    def __len__(self) -> int:
        load_plugins()
        return len(self._values)


def meant(name: str, known: Iterable[str]) -> str:
    """The known name that is most like an unknown one, as the words ` (did you mean 'x'?)`; empty if none is like it."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


OWN_PART = "one of your own is known with  babelmix --plugin FILE"
"""The end of a message about a name that a plugin might have."""

_looked_for = False


def load_plugins() -> None:
    """Import every installed plugin, once per process.

    Raises:
        BabelmixError: a plugin cannot be imported; the message names its package.

    """
    global _looked_for
    if _looked_for:
        return
    # Before the imports: a plugin may look names up while it registers its own.
    _looked_for = True
    for point in importlib.metadata.entry_points(group=GROUP):
        try:
            point.load()
        except BabelmixError:
            raise
        except Exception as error:
            package = point.dist.name if point.dist is not None else point.value
            raise BabelmixError(
                f"the plugin {point.name!r} of the package {package!r} cannot be imported "
                f"({type(error).__name__}: {error}); repair it, or uninstall the package"
            ) from error


__all__ = ["GROUP", "OWN_PART", "Lazy", "Registry", "load_plugins", "meant"]
