"""Start and memory of a search: whole processes of this build and of an earlier one, in turn.

python benchmarks/start.py INDEX CORPUS [--before WORKTREE] [--before-python PYTHON] [--only search serve ...]

Measures `babelmix search` from start to end, `babelmix serve` from start to its first answer, the memory of the service after
many requests, a query text to its vector on one core, and `--help`. Each build has a copy of the index, because one process at a
time has a folder open. Without `--before`, the commit of the earlier build is checked out in a folder that is removed at the end.
Writes the table of docs/benchmarks.md; with `--only` it prints the rows and writes nothing.

CPU seconds hardly depend on other processes, but seconds do.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
import marked

ROOT = Path(__file__).resolve().parents[1]
BEFORE = "172f684"
"""The last commit whose search and service need torch."""
PARTS = ("search", "serve", "memory", "query", "help", "size")
QUERIES = 200
BLOCK = 20
BACKENDS = ("openvino", "onnx")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Build:
    """A checkout of babelmix, the Python that runs it, and the copy of the index that it searches."""

    name: str
    root: Path
    python: str
    index: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its processes."""
        return os.environ | {"PYTHONPATH": str(self.root / "src")}

    def command(self, *words: str) -> list[str]:
        """A command of its `babelmix`."""
        return [self.python, "-m", "babelmix", *words]


@dataclass(frozen=True)
class Row:
    """A line of the table: what was measured of both builds, and the ratio that is the target."""

    title: str
    before: list[float]
    now: list[float]
    digits: int
    target: float | None = None

    def __str__(self) -> str:
        cells = [
            self.title,
            self._cell(self.before),
            self._cell(self.now),
            "",
            f"{self.target:g}" if self.target else "",
        ]
        if self.before and self.now:
            cells[3] = f"{statistics.median(self.now) / statistics.median(self.before):.3f}"
        return f"| {' | '.join(cells)} |"

    def _cell(self, values: list[float]) -> str:
        if not values:
            return ""
        middle = f"{statistics.median(values):,.{self.digits}f}"
        if len(values) == 1:
            return middle
        return f"{middle} ({min(values):,.{self.digits}f} to {max(values):,.{self.digits}f})"


def main() -> None:
    """Measure each part, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", nargs="?", help="a folder that `babelmix index` made")
    parser.add_argument("corpus", nargs="?", help="the queries are its")
    parser.add_argument("--before", type=Path, help=f"a worktree of the earlier build; by default commit {BEFORE}")
    parser.add_argument("--before-python", default=sys.executable, help="the Python of the earlier build")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, help="these parts; writes nothing. `size` runs only if named"
    )
    parser.add_argument(
        "--with-size", action="store_true", help="also install babelmix[search] into a new environment"
    )
    parser.add_argument("--quick", action="store_true", help="one round, to see that it runs; writes nothing")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(*given.worker)
        return
    if not (given.index and given.corpus):
        parser.error("give INDEX and CORPUS")
    if given.quick:
        given.rounds, given.requests = 1, 1000
    parts = given.only or [part for part in PARTS if part != "size" or given.with_size]
    texts = queries_of(given.corpus)
    busy = os.getloadavg()[0]
    lines = [f"| | earlier build ({BEFORE}) | this build | ratio | target |", "|---|---:|---:|---:|---:|"]
    with tempfile.TemporaryDirectory() as place, earlier(given.before, Path(place)) as root:
        builds = []
        for name, where, python in (("before", root, given.before_python), ("now", ROOT, sys.executable)):
            builds.append(Build(name, where.resolve(), python, Path(place) / name))
            shutil.copytree(given.index, builds[-1].index)
        for part in parts:
            for row in MEASURES[part](builds, texts, given):
                lines.append(str(row))
                print(row, file=sys.stderr, flush=True)
        about = json.loads((builds[-1].index / "index.json").read_text(encoding="utf-8"))
    rows = sum(about.get("calibration", {}).get("counts", {}).values())
    lines = [
        f"`{about['encoder']}` by {about['backend']}, {rows:,} rows. Medians of {given.rounds} processes each, in turn, with the "
        f"lowest and the highest. The memory is that of one process after {given.requests:,} requests. Ratio of the medians.",
        "",
        *lines,
        "",
        f"{machine.note()} Load at the beginning: {busy:.1f}.",
    ]
    print("\n".join(lines))
    if not (given.quick or given.only):
        marked.write(ROOT / "docs" / "benchmarks.md", {"start": "\n".join(lines)})


def queries_of(corpus: str) -> list[str]:
    """The different queries of a corpus."""
    from babelmix.corpus import open_corpus

    return list(dict.fromkeys(open_corpus(corpus).queries["text"].to_pylist()))


@contextlib.contextmanager
def earlier(worktree: Path | None, place: Path) -> Iterator[Path]:
    """The folder of the earlier build."""
    if worktree is not None:
        yield worktree
        return
    git = ["git", "-C", str(ROOT), "worktree"]
    folder = place / "worktree"
    if subprocess.run([*git, "add", "--quiet", "--detach", str(folder), BEFORE], check=False).returncode:
        raise SystemExit(f"commit {BEFORE} cannot be checked out: name a folder of it with --before")
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=False)


def in_turn(builds: list[Build], rounds: int, measure: Callable[[Build, int], list[float]]) -> list[list[list[float]]]:
    """Measure the builds in turn. The first process of each, which writes caches, is not counted.

    Returns:
        The values of each build: one list for each value that `measure` returns.

    """
    found: list[list[list[float]]] = [[] for _ in builds]
    for number in range(rounds + 1):
        order = range(len(builds)) if number % 2 else reversed(range(len(builds)))
        for which in order:
            values = measure(builds[which], number)
            print(f"{builds[which].name} {number}: {values}", file=sys.stderr, flush=True)
            if number:
                found[which].append(values)
    return [[list(column) for column in zip(*some, strict=True)] for some in found]


def run(build: Build, command: list[str]) -> list[float]:
    """Seconds and CPU seconds of a process and its children."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=build.environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}: {output.read().decode()}")
    return [seconds, usage.ru_utime + usage.ru_stime]


def search(builds: list[Build], texts: list[str], given: argparse.Namespace) -> Iterator[Row]:
    """A search on the command line, start to end."""

    def one(build: Build, number: int) -> list[float]:
        return run(build, build.command("search", texts[number], "--in", str(build.index)))

    (before, before_cpu), (now, now_cpu) = in_turn(builds, given.rounds, one)
    yield Row("`babelmix search`, start to end: s", before, now, 2, 1 / 8)
    yield Row("the same: CPU seconds", before_cpu, now_cpu, 2)


def serve(builds: list[Build], texts: list[str], given: argparse.Namespace) -> Iterator[Row]:
    """A service, start to first answer."""
    import serving

    def one(build: Build, number: int) -> list[float]:
        process, _, seconds = serving.started(
            str(build.index), texts[number], "", python=build.python, environment=build.environment
        )
        cpu = cpu_seconds(process.pid)
        serving.stop(process)
        return [seconds, cpu]

    (before, before_cpu), (now, now_cpu) = in_turn(builds, given.rounds, one)
    yield Row("`babelmix serve`, start to first answer: s", before, now, 2, 1 / 8)
    yield Row("the same: CPU seconds", before_cpu, now_cpu, 2)


def memory(builds: list[Build], texts: list[str], given: argparse.Namespace) -> Iterator[Row]:
    """Memory of a service after many requests."""
    import serving

    found: list[list[list[float]]] = []
    for build in builds:
        process, address, _ = serving.started(
            str(build.index), texts[0], "", python=build.python, environment=build.environment
        )
        try:
            first = serving.resident(process.pid)
            # The first query is asked once more, but not soon.
            took, after = asyncio.run(
                serving.soak(address, serving.endless(texts[1:] + texts[:1]), process.pid, given.requests)
            )
        finally:
            serving.stop(process)
        found.append([[first], [after[-1]], [given.requests / took]])
    before, now = found
    yield Row("`serve`, memory without files after the first answer: MiB", before[0], now[0], 0)
    yield Row(f"the same after {given.requests:,} requests: MiB", before[1], now[1], 0, 1 / 4)
    yield Row("those requests, 8 at once, one build after the other: requests/s", before[2], now[2], 0)


def query(builds: list[Build], texts: list[str], given: argparse.Namespace) -> Iterator[Row]:
    """A query text to its vector, on one core."""
    some = texts[:: max(1, len(texts) // QUERIES)][: BLOCK if given.quick else QUERIES]
    blocks = [some[start : start + BLOCK] for start in range(0, len(some), BLOCK)]
    for backend in BACKENDS:
        times: list[list[float]] = [[] for _ in builds]
        with contextlib.ExitStack() as stack:
            workers = [stack.enter_context(Worker(build, backend)) for build in builds]
            for worker in workers:
                worker([f"{text} warm" for text in blocks[0]])
            for number, block in enumerate(blocks):
                for which in range(len(builds)) if number % 2 else reversed(range(len(builds))):
                    times[which].append(statistics.median(workers[which](block)))
        title = f"one query to its vector, {backend} int8, one core, {len(blocks)} blocks of {BLOCK}: ms"
        yield Row(title, *times, 2, 0.8)


class Worker:
    """A process that embeds queries on one core, with the encoder as a build opens it for the index."""

    def __init__(self, build: Build, backend: str) -> None:
        one_core = dict.fromkeys(THREADS, "1")
        self._process = subprocess.Popen(
            [build.python, __file__, "--worker", str(build.index), backend], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=build.environment | one_core,
        )  # fmt: skip

    def __call__(self, texts: list[str]) -> list[float]:
        """Milliseconds of each query."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(texts) + "\n")
        self._process.stdin.flush()
        found: list[float] = json.loads(self._process.stdout.readline())
        return found

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()


def work(index: str, backend: str) -> None:
    """Embed the queries that `main` sends, one by one."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from babelmix.search.searcher import Searcher

    with Searcher.open(index, backend=backend) as searcher:
        for line in sys.stdin:
            took = []
            for text in json.loads(line):
                began = time.perf_counter()
                searcher.embed([text])
                took.append(1e3 * (time.perf_counter() - began))
            print(json.dumps(took), flush=True)


def helping(builds: list[Build], texts: list[str], given: argparse.Namespace) -> Iterator[Row]:
    """CPU seconds of the help and of the import."""
    del texts
    for title, words in (
        ("`babelmix --help`", ("-m", "babelmix", "--help")),
        ("`import babelmix`", ("-c", "import babelmix")),
    ):
        (_, before), (_, now) = in_turn(
            builds,
            given.rounds,
            lambda build, _, words=words: run(build, [build.python, *words]),  # type: ignore[misc]
        )
        yield Row(f"{title}: CPU seconds", before, now, 2)


def size(builds: list[Build], texts: list[str], given: argparse.Namespace) -> Iterator[Row]:
    """The size of a new environment with `babelmix[search]`, without pip. The extra is new, so the earlier build has none."""
    del texts, given
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(Path(place) / "bin" / "python"), "install", "--quiet"]
        constraints = ROOT / "constraints.txt"
        subprocess.run([*pip, "-c", str(constraints), f"{builds[-1].root}[search]"], check=True)
        whole = sum(512 * file.lstat().st_blocks for file in Path(place).rglob("*"))
    yield Row("`pip install 'babelmix[search]'`: MB (target: less than 400)", [], [whole / 1e6], 0)


def cpu_seconds(process: int) -> float:
    """CPU seconds of a running process, of all its threads."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


MEASURES: dict[str, Callable[[list[Build], list[str], Any], Iterator[Row]]] = {
    "search": search, "serve": serve, "memory": memory, "query": query, "help": helping, "size": size,
}  # fmt: skip
"""By the name of the part."""


if __name__ == "__main__":
    main()
