"""Real Milvus servers for tests, each in a process that ends when this one does.

`lite_server` is `milvus-lite server` of the package `milvus-lite`: written in Python, quick to start, with BM25, without tokens.
`milvus_server` is the standalone server in the package `milvus`, of 2023: the server itself, with tokens, without BM25.

Started as a script, it starts a server with its data in the folder given, prints its port, and obeys lines of its input: `kill`
kills the server, `start` starts it again on the same data. At the end of its input it stops the server and removes the data.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

TOKEN = "root:Milvus"
"""Of a new server that asks for one."""

QUICKER = {
    "proxy.timeTickInterval": 20, "queryCoord.checkInterval": 100, "queryCoord.distPullInterval": 50, "common.session.ttl": 20,
}  # fmt: skip
"""Shorter waits: for reading what was just written, for loading a collection, for the session of a killed server."""


class RunningServer:
    """A server that can be killed and started again.

    Args:
        folder: of its data.
        how: `lite`, `standalone`, or `standalone` with the waits of `QUICKER`, `quicker`.

    """

    def __init__(self, folder: Path, how: str = "quicker") -> None:
        self._log = (folder.parent / f"{folder.name}.log").open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve()), str(folder), how], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip
        self.url = ""

    def begin(self) -> None:
        self.url = f"http://127.0.0.1:{self._answer()}"

    def kill(self) -> None:
        self._ask("kill")

    def start(self) -> None:
        self._ask("start")

    def stop(self) -> None:
        self._process.communicate()
        self._log.close()

    def _ask(self, word: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        assert answer, f"the server does not start: {Path(self._log.name).read_text(encoding='utf-8')[-2000:]}"
        return answer


@contextmanager
def milvus_server(folder: Path) -> Iterator[RunningServer]:
    """Run a standalone server that asks for a token, or skip."""
    with _running(folder, "quicker", "milvus") as server:
        yield server


@contextmanager
def lite_server(folder: Path) -> Iterator[RunningServer]:
    """Run the server of Milvus Lite, or skip."""
    with _running(folder, "lite", "milvus_lite") as server:
        yield server


@contextmanager
def _running(folder: Path, how: str, package: str) -> Iterator[RunningServer]:
    for name in (package, "pymilvus"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the package {name} is not installed, so that there is no Milvus server to test with")
    server = RunningServer(folder, how)
    try:
        server.begin()
        yield server
    finally:
        server.stop()


class _Server(Protocol):
    """What `_main` runs."""

    port: int

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def stop(self) -> None: ...


class _Lite:
    """`milvus-lite server`, which says on its output when it listens."""

    def __init__(self, folder: str) -> None:
        (self.port,) = _free_ports(1)
        self._command = [
            sys.executable, "-m", "milvus_lite.cmdline", "server", "--data-dir", folder, "--host", "127.0.0.1", "--port",
            str(self.port),
        ]  # fmt: skip
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert "listening" in line, f"milvus-lite does not start: {line}"

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    stop = kill


class _Standalone:
    """The server of the package `milvus`."""

    def __init__(self, folder: str, *, quicker: bool) -> None:
        from milvus import MilvusServer, MilvusServerConfig

        class Config(MilvusServerConfig):
            def try_bind_port(self, port: int) -> socket.socket | None:
                # The package's own refuses ports that a killed server has left a moment ago.
                try:
                    return socket.create_server(("127.0.0.1", port))
                except OSError:
                    return None

        config = Config()
        names = [name for name in config.configurable_items if name.endswith("_port")]
        self._server = MilvusServer(config, **dict(zip(names, _free_ports(len(names)), strict=True)))
        self._server.set_base_dir(folder)
        self._server.config.set("authorization_enabled", True)
        for name, wait in QUICKER.items() if quicker else ():
            self._server.config.set(name, wait)
        self._server.webservice_port, client, peer = _free_ports(3)
        # Its etcd takes ports that the package does not know of.
        etcd = Path(folder) / "etcd.yaml"
        urls = {"client": f"http://127.0.0.1:{client}", "peer": f"http://127.0.0.1:{peer}"}
        etcd.write_text(
            f"listen-client-urls: {urls['client']}\nadvertise-client-urls: {urls['client']}\n"
            f"listen-peer-urls: {urls['peer']}\ninitial-advertise-peer-urls: {urls['peer']}\n"
            f"initial-cluster: default={urls['peer']}\n",
            encoding="utf-8",
        )
        os.environ["ETCD_CONFIG_PATH"] = str(etcd)

    @property
    def port(self) -> int:
        return self._server.listen_port

    def start(self) -> None:
        self._server.start()

    def kill(self) -> None:
        self._server.server_proc.kill()
        self._server.stop()

    def stop(self) -> None:
        self._server.stop()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _main(folder: str, how: str) -> None:
    # What servers print is not for the process that reads the port.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    server: _Server = _Lite(folder) if how == "lite" else _Standalone(folder, quicker=how == "quicker")
    try:
        server.start()
        print(server.port, file=out, flush=True)
        for line in sys.stdin:
            if line.strip() == "kill":
                server.kill()
            else:
                server.start()
            print("done", file=out, flush=True)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
