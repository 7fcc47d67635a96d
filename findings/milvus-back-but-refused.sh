#!/usr/bin/env bash
# pymilvus 3.0.2, milvus-lite 3.2.2, grpcio 1.85.3
#
# Expected (written before the run): once a server is back, a new MilvusClient connects to it; "dedicated=True" gives it a
#   connection of its own.
# Observed: while the process holds an older client of that address, gRPC hands the older one's wait to the new one, and the new
#   one fails at once with "connection refused" for seconds after the server listens; another process connects meanwhile. The
#   wait grows with the length of the outage, up to two minutes. "grpc.use_local_subchannel_pool" ends it.
# For a user of retrieval: a service that opens a fresh client after a restart of the vector database, as retries do, is told
#   that there is no server. Pass grpc_options={"grpc.use_local_subchannel_pool": 1}, and cap "grpc.max_reconnect_backoff_ms".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile --disable-pip-version-check pymilvus==3.0.2 milvus-lite==3.2.2 grpcio==1.85.3 setuptools==80.9.0
cd "$work"
GRPC_VERBOSITY=NONE venv/bin/python - <<'PY'
import logging
import socket
import subprocess
import sys
import time
import warnings

warnings.filterwarnings("ignore")
from pymilvus import MilvusClient, MilvusException

logging.disable(logging.CRITICAL)
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
URI = f"http://127.0.0.1:{port}"
OWN = {"grpc.use_local_subchannel_pool": 1}


def serve():
    command = [sys.executable, "-u", "-m", "milvus_lite.cmdline", "server", "--data-dir", "data", "--host", "127.0.0.1"]
    server = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.PIPE, text=True)
    assert "listening" in server.stdout.readline()
    return server


def connects(**options):
    try:
        MilvusClient(uri=URI, timeout=5, dedicated=True, **options).close()
    except MilvusException:
        return False
    return True


server = serve()
older = MilvusClient(uri=URI, timeout=5, dedicated=True)
older.list_collections()
server.terminate()
server.wait()
away = time.monotonic() + 10
while time.monotonic() < away:
    try:
        older.list_collections(timeout=1)
    except MilvusException:
        time.sleep(0.1)
server = serve()
try:
    plain = connects()
    other = subprocess.run([sys.executable, "-c", f"import pymilvus; pymilvus.MilvusClient(uri={URI!r}, timeout=5)"]).returncode
    own = connects(grpc_options=OWN)
finally:
    server.terminate()
print(f"the server listens; a new client connects: {plain}, of another process: {not other}, with a pool of its own: {own}")
assert not plain, "a new client no longer waits because an older one does"
assert own and not other, "the server does not answer at all"
PY
