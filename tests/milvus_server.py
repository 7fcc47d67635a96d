"""A real Milvus server for tests, from the package `milvus`."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The address of a server of our own; skips where it cannot be had."""
    pytest.importorskip("pymilvus", reason="the extra 'scale' is not installed")
    with warnings.catch_warnings():
        # The package is older than the Python it runs on.
        warnings.simplefilter("ignore")
        milvus = pytest.importorskip("milvus", reason="the package 'milvus', a server for tests, is not installed")
        server = milvus.MilvusServer()
        server.set_base_dir(str(folder))
        server.listen_port = _free_port()
        server.start()
    try:
        yield f"http://127.0.0.1:{server.listen_port}"
    finally:
        server.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
