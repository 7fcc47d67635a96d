"""A running service: cold start, answers at a constant rate, and 20,000 requests in a row.

python benchmarks/serving.py INDEX CORPUS [--backends torch,onnx]

Starts `babelmix serve INDEX` and sends it queries of the corpus, each once; a number is appended where there are too few
queries. Writes the table of docs/benchmarks.md. The client runs on the same cores as the service.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import machine
import marked
import numpy as np
from measuring import cost

from babelmix.corpus import open_corpus
from babelmix.encoders import load_encoder
from babelmix.encoders.embed import encode_batch

POLICIES = ("any", "balanced")
AT_ONCE = 8
SAMPLE = 1000
STARTS = 3
EMBEDDED = 100


def main() -> None:
    """Start, ask, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index")
    parser.add_argument("corpus")
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="few requests, to see that it runs; writes nothing")
    parser.add_argument("--backends", default="torch,openvino,onnx", help="the last one answers the many requests")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seconds, arguments.requests = 2.0, 2 * SAMPLE
    queries = endless(open_corpus(arguments.corpus).queries["text"].to_pylist())
    rows = []
    backends = arguments.backends.split(",")
    for backend in backends:
        starts = []
        for number in range(STARTS):
            process, address, seconds = started(arguments.index, next(queries), backend)
            starts.append(seconds)
            print(f"{backend}: first answer after {seconds:.1f} s", flush=True)
            if number < STARTS - 1:
                stop(process)
        try:
            about = httpx.get(f"{address}/about").json()
            of_policy: dict[str, str] = {}
            for policy in POLICIES:
                latencies = asyncio.run(steady(address, queries, policy, arguments.rate, arguments.seconds))
                middle, p95, p99 = (1000 * np.quantile(latencies, share) for share in (0.5, 0.95, 0.99))
                of_policy[policy] = f"{middle:.1f} | {p95:.1f} | {p99:.1f}"
                print(backend, policy, of_policy[policy], flush=True)
            if backend == backends[-1]:
                took, memory = asyncio.run(soak(address, queries, process.pid, arguments.requests))
        finally:
            stop(process)
        alone = 1000 * embedding(about["encoder"], backend, [next(queries) for _ in range(EMBEDDED)])
        rows += [
            f"| {backend} | {statistics.median(starts):.1f} | `{policy}` | {cells} | {alone:.1f} |"
            for policy, cells in of_policy.items()
        ]
        print(rows[-1], flush=True)
    lines = [
        f"`{about['encoder']}`, {about['rows']:,} rows in {len(about['langs'])} languages. The start lasts until the first "
        f"answer of the process; median of {STARTS}.",
        "",
        f"| backend | start, s | policy | {arguments.rate:g} requests/s for {arguments.seconds:g} s: median, ms | p95, ms "
        "| p99, ms | one query embedded, nothing else: median, ms |",
        "|---|---:|---|---:|---:|---:|---:|",
        *rows,
    ]
    shown = range(0, len(memory), max(1, len(memory) // 10))
    lines += [
        "",
        f"{arguments.requests:,} requests by `{backends[-1]}`, {AT_ONCE} at once, every policy in turn, one in a hundred writes "
        f"and one deletes an item: {arguments.requests / took:.0f} requests/s. Resident memory, MiB:",
        "",
        "| after requests | " + " | ".join(f"{SAMPLE * i:,}" for i in shown) + " |",
        "|---|" + "---:|" * len(shown),
        "| MiB | " + " | ".join(f"{memory[i]:,.0f}" for i in shown) + " |",
    ]
    lines += ["", machine.note()]
    print("\n".join(lines))
    if not arguments.quick:
        marked.write(Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md", {"serving": "\n".join(lines)})


def embedding(name: str, backend: str, queries: list[str]) -> float:
    """Median seconds of embedding one query, which every answer needs; the first few queries are not counted."""
    encoder = load_encoder(name, backend=backend)
    took = [cost(lambda query=query: encode_batch(encoder, [query], "query"))[0].clock for query in queries]
    return statistics.median(took[len(took) // 10 :])


def endless(texts: list[str]) -> Iterator[str]:
    """Distinct queries without end, so that no vector is cached."""
    for turn in itertools.count():
        yield from (text if turn == 0 else f"{text} {turn}" for text in dict.fromkeys(texts))


def started(
    index: str, query: str, backend: str, *, python: str = sys.executable, environment: dict[str, str] | None = None
) -> tuple[subprocess.Popen[str], str, float]:
    """A service that has answered once: its address, and the seconds until then. An empty backend is the command's own."""
    began = time.perf_counter()
    command = [python, "-m", "babelmix", "serve", index, "--port", "0", *(["--backend", backend] if backend else [])]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    # Lines about the encoder may come first.
    line = next((line for line in process.stderr if " is served at " in line), "")
    if not line:
        raise SystemExit(f"{' '.join(command)} ended with {process.wait()}")
    address = line.split(" is served at ")[1].split()[0]
    httpx.post(f"{address}/search", json={"query": query}, timeout=60).raise_for_status()
    return process, address, time.perf_counter() - began


def stop(process: subprocess.Popen[str]) -> None:
    """End a service."""
    process.terminate()
    process.wait(30)


async def steady(address: str, queries: Iterator[str], policy: str, rate: float, seconds: float) -> list[float]:
    """Seconds until each answer, from the moment it was due: one that waits for others counts its waiting."""
    took: list[float] = []

    async def ask(client: httpx.AsyncClient, due: float) -> None:
        answer = await client.post(f"{address}/search", json={"query": next(queries), "policy": policy})
        answer.raise_for_status()
        took.append(time.perf_counter() - due)

    async with httpx.AsyncClient(timeout=30) as client, asyncio.TaskGroup() as group:
        began = time.perf_counter()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(ask(client, due))
    return took


async def soak(address: str, queries: Iterator[str], process: int, requests: int) -> tuple[float, list[float]]:
    """Seconds for all requests, and the service's memory in MiB at the beginning and after every thousand."""
    numbers = iter(range(requests))
    memory = [resident(process)]

    async def work(client: httpx.AsyncClient) -> None:
        for number in numbers:
            if number % 100 == 99:
                row = {"item": f"soak {number % 7}", "lang": "en", "text": next(queries)}
                answer = await client.post(f"{address}/items", json={"rows": [row]})
            elif number % 100 == 98:
                answer = await client.delete(f"{address}/items/soak {number % 7}")
            else:
                body = {"query": next(queries), "policy": ("any", "balanced", "quota=3", "prefer=de")[number % 4]}
                answer = await client.post(f"{address}/search", json=body)
            if answer.status_code not in (200, 404):
                raise SystemExit(f"{answer.status_code}: {answer.text}")
            if (number + 1) % SAMPLE == 0:
                memory.append(resident(process))
                print(f"{number + 1:,} requests, {memory[-1]:,.0f} MiB", flush=True)

    began = time.perf_counter()
    async with httpx.AsyncClient(timeout=60) as client, asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work(client))
    return time.perf_counter() - began, memory


def resident(process: int) -> float:
    """MiB of resident memory that no file backs."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon"))) / 1024


if __name__ == "__main__":
    main()
