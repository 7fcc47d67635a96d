"""Indexing with the nodes of a Ray cluster on one machine: its cost, and the cost of a killed node.

python benchmarks/nodes.py libreoffice-help=PATH --keep /tmp/nodes

Runs `babelmix index` on a part of a corpus in turn: with one process; with two workers on one node; with two workers on two
nodes; and the same with one node killed (SIGKILL of its raylet and its workers) when a third of the rows is written. Each run
writes into a folder and, where the packages `milvus` and `pymilvus` are installed, into a real Milvus server, to which the
workers write themselves. Every index is compared with that of the single process. Writes the table of docs/scaling.md.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import marked
import numpy as np

from babelmix import search
from babelmix.corpus import open_corpus
from babelmix.search import Changes, Index, Where, indexing, workers
from babelmix.search.documents import rows_of_corpus
from babelmix.search.rows import Vectors

HERE = Path(__file__).resolve().parent
RECORD = "BABELMIX_NODES_RECORD"
"""The environment variable with the file in which every process notes which batch it begins, and which is written."""

BATCH = "BABELMIX_NODES_BATCH"
"""The environment variable with the rows of a batch."""

KILLED_AT = 1 / 3
TIES = 1e-4
"""Scores of one row in two indexes: another number of threads adds up in another order."""


@dataclass(frozen=True)
class Way:
    """A way to make an index.

    Args:
        name: its row in the table.
        nodes: nodes of the cluster; 0: no cluster.
        cpus: CPUs of each node, as Ray counts them; a worker takes one.
        kill: kill the last node in the middle.

    """

    name: str
    nodes: int = 0
    cpus: int = 0
    kill: bool = False


WAYS = (
    Way("one process"),
    Way("two nodes, a worker each", 2, 1),
    Way("the same, one killed, no CPU left for its worker", 2, 1, kill=True),
    Way("the same, one killed, a CPU left for its worker", 2, 2, kill=True),
    Way("one node, 2 workers", 1, 2),
)


def main() -> None:
    """Run all ways in turn, and write the table after each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--model", default="e5-small-offline")
    parser.add_argument("--max-seq-length", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128, help="rows of a batch; the command itself takes 512")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--keep", type=Path, required=True, help="a folder for the results; a run that was interrupted goes on"
    )
    parser.add_argument("--folder-only", action="store_true", help="leave Milvus out")
    arguments = parser.parse_args()
    arguments.keep.mkdir(parents=True, exist_ok=True)
    folder = arguments.keep.resolve()
    results, reference = folder / "results.jsonl", folder / "reference.json"
    os.environ[BATCH] = str(arguments.batch)
    with tempfile.TemporaryDirectory() as name, servers(Path(name), arguments.folder_only) as targets:
        if not (folder / "rows.jsonl").is_file():
            rows_of(arguments.corpus, arguments.rows, folder / "rows.jsonl")
        command = [
            str(folder / "rows.jsonl"), "--model", arguments.model, "--max-seq-length", str(arguments.max_seq_length), "--json",
        ]  # fmt: skip
        for turn in range(arguments.rounds):
            for target, prefix in targets.items():
                for number, way in enumerate(WAYS):
                    done = [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []
                    if (turn, target, way.name) in [(one["turn"], one["target"], one["way"]) for one in done]:
                        continue
                    address = f"{prefix}{turn}_{number}"
                    outcome = run(way, [*command, "--to", address], Path(name) / "record.jsonl", arguments.rows)
                    there, counts = contents(address)
                    if not reference.is_file():
                        reference.write_text(json.dumps(there), encoding="utf-8")
                    right = json.loads(reference.read_text(encoding="utf-8"))
                    same = sum(counts.values()) == len(there) == arguments.rows and alike(there, right)
                    remove(address)
                    facts = {"turn": turn, "target": target, "way": way.name, "same": same, "load": os.getloadavg()[1]}
                    with results.open("a", encoding="utf-8") as record:
                        record.write(json.dumps(facts | outcome) + "\n")
                    print(facts | outcome, flush=True)
                    write(arguments, [*done, facts | outcome])


def write(arguments: argparse.Namespace, done: list[dict[str, Any]]) -> None:
    """Write the table of the finished runs."""
    langs = {
        json.loads(line)["lang"] for line in (arguments.keep / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    }
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in sorted(
        done, key=lambda one: (one["target"] != "a folder", [way.name for way in WAYS].index(one["way"]))
    ):
        found.setdefault((one["way"], one["target"]), []).append(one)
    lines = [
        f"{arguments.rows:,} passages of {Path(arguments.corpus.partition('=')[0]).name} in {len(langs)} languages, "
        f"`{arguments.model}`, the first {arguments.max_seq_length} tokens, {done[0]['batches']} batches of about "
        f"{arguments.batch} rows; everything on one machine of {os.cpu_count()} cores, one thread per worker, beside other work "
        f"(median load {statistics.median(one['load'] for one in done):.0f}). Medians of the runs, lowest and highest in "
        "brackets. Rows/s count from the start of the first batch until the last one is written. Seconds are of the whole "
        "command: wall time, and the time of all cores that it and its workers used.",
        "",
        "| | into | runs | rows/s | s, clock | s, cores | batches begun again | the same index |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for (way, target), runs in found.items():
        same = sum(run["same"] for run in runs)
        cells = " | ".join(spread(runs, name) for name in ("rate", "clock", "cores", "again"))
        lines.append(f"| {way} | {target} | {len(runs)} | {cells} | {same} of {len(runs)} |")
    print("\n".join(lines))
    marked.write(HERE.parent / "docs" / "scaling.md", {"nodes": "\n".join(lines)})


def spread(runs: list[dict[str, Any]], name: str) -> str:
    """Median, minimum and maximum of a value over some runs."""
    values = [run[name] for run in runs]
    middle = f"{statistics.median(values):.0f}"
    return middle if len(values) == 1 else f"{middle} [{min(values):.0f}, {max(values):.0f}]"


def rows_of(corpus: str, count: int, file: Path) -> None:
    """Write some rows of a corpus, with its items in random order."""
    items = list(rows_of_corpus(open_corpus(corpus)).items())
    chosen: list[dict[str, str | None]] = []
    for number in np.random.default_rng(0).permutation(len(items)):
        rows = [{"item": row.item, "lang": row.lang, "text": row.text, "group": row.group} for row in items[number]]
        chosen += rows[: count - len(chosen)]
    file.write_text("\n".join(json.dumps(row) for row in chosen), encoding="utf-8")


@contextlib.contextmanager
def servers(folder: Path, folder_only: bool) -> Iterator[dict[str, str]]:
    """The stores to write to: by name, the prefix of their addresses."""
    sys.path.append(str(HERE.parent / "tests"))
    from milvus_server import TOKEN, RunningServer

    from babelmix.search.engines import milvus_server

    targets = {"a folder": f"{folder / 'index_'}"}
    if folder_only or not all(importlib.util.find_spec(package) for package in ("milvus", "pymilvus")):
        yield targets
        return
    server = RunningServer(folder / "milvus", "standalone")
    try:
        server.begin()
        os.environ[milvus_server.TOKEN] = TOKEN
        yield targets | {"Milvus": f"{server.url}/nodes_"}
    finally:
        server.stop()


def run(way: Way, given: list[str], record: Path, rows: int) -> dict[str, Any]:
    """One run of the command: rows per second, seconds, and the number of batches that were started again."""
    record.write_text("")
    environment = os.environ | {
        RECORD: str(record),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray lets workers wait for everyone else; here all are to have the same share of a core.
        "RAY_worker_niceness": "0",
    }
    with contextlib.ExitStack() as stack:
        victim = None
        if way.nodes:
            address, victim = stack.enter_context(cluster(way, environment))
            given = [*given, "--ray", address, "--workers", "2"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        with (record.parent / "log").open("w+", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, str(HERE / "nodes.py"), "index", *given], env=environment, stdout=log, stderr=log
            )
            killed = 0.0
            while process.poll() is None:
                time.sleep(0.1)
                if way.kill and not killed and sum(n["rows"] for n in notes(record, "written")) >= KILLED_AT * rows:
                    assert victim is not None
                    kill(victim)
                    killed = time.perf_counter() - began
            seconds = time.perf_counter() - began
            log.seek(0)
            said = log.read()
        if process.returncode:
            raise SystemExit(f"{way.name}: {said}")
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun, written = notes(record, "begun"), notes(record, "written")
        told = json.loads(said.splitlines()[-1])
        assert told["written"] == rows, told
        of_workers = {n["pid"]: n["cpu"] for n in (*begun, *written) if n["pid"] != process.pid}
        return {
            "rate": rows / (max(n["time"] for n in written) - min(n["time"] for n in begun)),
            "clock": seconds,
            "cores": sum(of_workers.values()) + used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime,
            "again": len(begun) - len({n["batch"] for n in begun}),
            "batches": len({n["batch"] for n in begun}),
            "nodes": len({n["node"] for n in begun}),
            "killed after": round(killed, 1),
        }


@contextlib.contextmanager
def cluster(way: Way, environment: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """A cluster of nodes on this machine: its address, and its last node."""
    os.environ.update(environment)
    from ray.cluster_utils import Cluster

    options = {"num_cpus": way.cpus, "object_store_memory": 200 << 20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=options)
    try:
        last = made.head_node
        for _ in range(1, way.nodes):
            last = made.add_node(num_cpus=way.cpus, object_store_memory=200 << 20)
        made.wait_for_nodes()
        yield made.address, last
    finally:
        made.shutdown()


def kill(node: Any) -> None:
    """Send SIGKILL to a node's raylet and to all processes that it started, among them all workers."""
    import psutil

    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    for process in [raylet, *raylet.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def contents(address: str) -> tuple[dict[str, tuple[str, str, float]], dict[str, int]]:
    """By id, the item, digest and score for a fixed query of each row of an index; and the number of rows of each language."""
    with Index.open(address) as index:
        rows = index.engine.digests(sorted(index.items()))
        query = np.random.default_rng(0).standard_normal((1, index.about.dimension), dtype=np.float32)
        hits = index.engine.nearest(query, [Where()], len(rows) + 1, exact=True)[0]
        assert len(hits) == len({hit.id for hit in hits})
        scores = {hit.id: hit.score for hit in hits}
        return {name: (*row, scores[name]) for name, row in rows.items()}, index.langs()


def alike(there: dict[str, tuple[str, str, float]], right: dict[str, tuple[str, str, float]]) -> bool:
    """Whether two indexes hold the same rows with the same vectors up to rounding."""
    return there.keys() == right.keys() and all(
        there[name][:2] == tuple(row[:2]) and abs(there[name][2] - row[2]) < TIES for name, row in right.items()
    )


def remove(address: str) -> None:
    """Remove an index from a server. Folders are removed with the run."""
    if address.startswith("http"):
        from babelmix.search.engines.milvus_server import Place, Server

        server = Server(Place.parse(address))
        for name in (server.place.name, f"{server.place.name}_facts"):
            server.call("drop_collection", name)
        server.close()


def note(what: str, changes: Changes) -> None:
    """Append a line to the record."""
    node = ""
    if (ray := sys.modules.get("ray")) is not None and ray.is_initialized():
        node = ray.get_runtime_context().get_node_id()
    line = {
        "what": what,
        "batch": changes.points[0].id,
        "rows": len(changes.points),
        "node": node,
        "pid": os.getpid(),
        "time": time.time(),
        "cpu": time.process_time(),
    }
    with Path(os.environ[RECORD]).open("a", encoding="utf-8") as record:
        record.write(json.dumps(line) + "\n")


def notes(record: Path, what: str) -> list[dict[str, Any]]:
    """The lines of the record about one thing. The last line may be incomplete."""
    lines = record.read_text(encoding="utf-8").split("\n")[:-1]
    return [found for line in lines if (found := json.loads(line))["what"] == what]


class Counted(workers.EncodingWorker):
    """A worker that records which batches it starts and which it has written itself."""

    def __call__(self, payload: bytes) -> bytes:
        """See `EncodingWorker`."""
        import pickle

        changes = pickle.loads(payload)
        note("begun", changes)
        result = super().__call__(payload)
        if self._index is not None:
            note("written", changes)
        return result


def command() -> None:
    """`babelmix` with a record of what it starts and writes."""
    import nodes

    from babelmix.cli import main as babelmix

    plain_write, plain_encode = Index.write, indexing.PointEncoder.__call__

    def write(self: Index, changes: Changes, vectors: Vectors) -> None:
        plain_write(self, changes, vectors)
        note("written", changes)

    def encode(self: Any, points: Any) -> Vectors:
        note("begun", Changes(points, [], 0))
        return plain_encode(self, points)

    size = int(os.environ[BATCH])
    search.index_rows = partial(indexing.index_rows, size=size)
    workers.index_with_workers = partial(workers.index_with_workers, size=size)
    Index.write = write  # type: ignore[method-assign]
    indexing.PointEncoder.__call__ = encode  # type: ignore[method-assign]
    workers.EncodingWorker = nodes.Counted  # type: ignore[misc]
    babelmix()


if __name__ == "__main__":
    if sys.argv[1:2] == ["index"]:
        command()
    else:
        main()
