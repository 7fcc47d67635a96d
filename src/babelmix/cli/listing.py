"""The lists of readers and of known encoders; imports nothing slow."""

from __future__ import annotations

from dataclasses import replace

from babelmix._tables import Table
from babelmix.cli.output import out
from babelmix.corpus import READERS
from babelmix.encoders.known import KNOWN


def print_readers() -> None:
    """Print the readers by name."""
    _print(Table(["reader", "path", "what it reads"], [[n, r.takes_path, r.summary] for n, r in READERS.items()]))
    out.print("Write  NAME,  NAME=PATH  or just a path. Show one with  babelmix data CORPUS.", highlight=False)


def print_encoders() -> None:
    """Print the known encoders by name."""
    _print(Table(["encoder", "needs", "what it is"], [[name, one.needs, one.summary] for name, one in KNOWN.items()]))
    out.print("Any sentence-transformers or transformers encoder works too: a hub name or a folder.", highlight=False)


def _print(table: Table) -> None:
    out.print(replace(table, left=(0, 2)).as_rich())
