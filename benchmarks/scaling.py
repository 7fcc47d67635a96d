"""The plan for a billion passages, on paper: a calculation from assumptions, each of which is an option.

python benchmarks/scaling.py

Writes the table of docs/scaling.md. It measures nothing.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import marked

GIB, TIB = 1 << 30, 1 << 40


def main() -> None:
    """Calculate and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--passages", type=float, default=1e9)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument(
        "--links", type=int, default=24, help="of a row in the graph; twice as many on the lowest level"
    )
    parser.add_argument("--text", type=int, default=500, help="bytes of a passage with its metadata")
    parser.add_argument("--gpu-rate", type=float, default=5000, help="passages a second that one GPU embeds")
    parser.add_argument("--gpus", type=int, default=16)
    parser.add_argument(
        "--asking-rate", type=float, default=5000, help="rows a second that the asking process hands out"
    )
    parser.add_argument("--memory", type=int, default=512, help="GiB of a query machine")
    parser.add_argument("--used", type=float, default=0.7, help="share of that memory that holds vectors and graph")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--gpu-price", type=float, default=2.0, help="of an hour")
    parser.add_argument("--machine-price", type=float, default=4.0, help="of an hour")
    given = parser.parse_args()
    rows = given.passages
    graph = rows * 2 * given.links * 4
    lines = [
        f"{rows:,.0f} passages of {given.text} bytes, {given.dimension} dimensions, {given.links} links a row; a GPU embeds "
        f"{given.gpu_rate:,.0f} a second and costs {given.gpu_price:g} an hour, a machine of {given.memory} GiB costs "
        f"{given.machine_price:g} and is filled to {given.used:.0%}, {given.replicas} replicas. All of these are assumptions.",
        "",
        "| | float32 | int8 |",
        "|---|---:|---:|",
    ]
    cells: dict[str, list[str]] = {}
    for size in (4, 1):
        vectors = rows * given.dimension * size
        machines = given.replicas * math.ceil((vectors + graph) / (given.memory * GIB * given.used))
        month = machines * given.machine_price * 730
        for name, value in {
            "vectors, TiB": f"{vectors / TIB:.2f}",
            "graph, TiB": f"{graph / TIB:.2f}",
            "texts on disk, TiB": f"{rows * given.text / TIB:.2f}",
            "query machines": f"{machines}",
            "their cost a month": f"{month:,.0f}",
            "the same for a million passages": f"{month / rows * 1e6:.2f}",
        }.items():
            cells.setdefault(name, []).append(value)
    lines += [f"| {name} | {' | '.join(values)} |" for name, values in cells.items()]
    hours = rows / given.gpu_rate / 3600
    asking = rows / given.asking_rate / 3600
    lines += [
        "",
        f"Embedding takes {hours:,.0f} hours of a GPU, {hours / given.gpus:.1f} hours on {given.gpus}, and costs "
        f"{hours * given.gpu_price:,.0f}, {hours * given.gpu_price / rows * 1e6:.2f} for a million. A single driver that "
        f"hands out {given.asking_rate:,.0f} rows a second needs {asking:,.0f} hours: with {given.gpus} GPUs it "
        "is what breaks first.",
    ]
    print("\n".join(lines))
    marked.write(Path(__file__).resolve().parents[1] / "docs" / "scaling.md", {"plan": "\n".join(lines)})


if __name__ == "__main__":
    main()
