"""Time, memory and disk by size: of an audit, of training data, and of an index. Each size has a process of its own.

python benchmarks/growth.py
python benchmarks/growth.py --parts index --rows 10000 100000 300000 --keep
python benchmarks/growth.py --parts            # draw the saved results again

Audit: from stored embeddings to a saved audit. Training data: to the first batch; once with pairs that are numbers (such a plan
needs no memory per pair), once with a stored corpus of texts. Index: vectors are given instead of encoded, with variances like
those of an encoder, and written as `babelmix index` writes them. Memory is what no file backs, on Linux. Other processes hardly
change CPU seconds, so the exponents and the pictures use CPU seconds. Results are saved in growth.json, and the tables and
pictures of docs/benchmarks.md are made from this file.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import growing
import machine
import marked

from babelmix._files import write_json, write_text

ROOT = Path(__file__).resolve().parents[1]
KEPT = Path(__file__).with_name("growth.json")
IMAGES = ROOT / "docs" / "images"
MB = 1 << 20

Rows = list[dict[str, float]]
Prepare = Callable[[Path, int], None]
# Name, option of its sizes, what is written beforehand, what is measured.
PARTS: dict[str, tuple[str, Prepare, Callable[[Path, int], growing.Found]]] = {
    "audit": ("passages", growing.write_collection, lambda folder, _: growing.audit(folder)),
    "numbers": ("pairs", lambda *_: None, lambda folder, size: growing.plan(folder, size, False)),
    "items": ("pairs", growing.write_items, lambda folder, size: growing.plan(folder, size, True)),
    "stored": ("stored", growing.write_stored, lambda folder, _: growing.stored(folder)),
    "index": ("rows", growing.write_decaying, lambda folder, _: growing.index(folder)),
}
SIZES = {
    "passages": (10_000, 100_000, 1_000_000),
    "pairs": (1_000_000, 10_000_000, 100_000_000),
    "stored": (10_000, 100_000, 1_000_000),
    "rows": (10_000, 100_000, 1_000_000),
}
QUICK = {"passages": (2_000, 4_000), "pairs": (50_000, 100_000), "stored": (10_000, 20_000), "rows": (2_000, 4_000)}


def measured(part: str, size: int, place: Path | None) -> dict[str, float]:
    """Measure one size of a part, in a process of its own."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        for work in ("--prepare", "--measure"):
            command = [sys.executable, __file__, work, part, "--size", str(size), "--folder", folder]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{part}, {size:,}: ended with {done.returncode}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {"size": size, **found}


def power(rows: Rows, key: str) -> str:
    """The exponent by which something grew between the last two sizes: 1 is proportional, 0 is constant."""
    if len(rows) < 2 or min(row[key] for row in rows[-2:]) <= 0:
        return ""
    return f"{math.log(rows[-1][key] / rows[-2][key]) / math.log(rows[-1]['size'] / rows[-2]['size']):.2f}"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table of numbers."""
    return "\n".join(
        ["| " + " | ".join(line) + " |" for line in (head, ["---:"] * len(head), *lines)],
    )


def columns(rows: Rows, name: str, shown: dict[str, Callable[[dict[str, float]], str]], grown: dict[str, str]) -> str:
    """One row per size, and below them the exponent by which some columns grow."""
    lines = [[f"{row['size']:,}", *(show(row) for show in shown.values())] for row in rows]
    powers = ["power of the size", *(power(rows, grown[title]) if title in grown else "" for title in shown)]
    return table([name, *shown], [*lines, powers] if len(rows) > 1 else lines)


def seconds(key: str) -> Callable[[dict[str, float]], str]:
    """Format a time."""
    return lambda row: f"{row[key]:,.1f}" if row[key] >= 10 else f"{row[key]:.2g}"


def megabytes(key: str) -> Callable[[dict[str, float]], str]:
    """Format a size."""
    return lambda row: f"{row[key] / MB:,.0f}"


def audit_table(rows: Rows) -> str:
    """The table of the audit."""
    shown = {
        "embeddings, MB": megabytes("embeddings"), "corpus read, s": seconds("loading"), "CPU s": seconds("loading cores"),
        "rank table, s": seconds("scoring"), "CPU s, rank table": seconds("cores"),
        "times `torch.mm`": lambda r: f"{r['scoring'] / r['product']:.2f}",
        "by CPU time": lambda r: f"{r['cores'] / r['product cores']:.2f}", "measures and intervals, s": seconds("measures"),
        "CPU s, measures": seconds("measures cores"), "extra memory of the rank table, MB": megabytes("extra"),
        "of everything, MB": megabytes("memory"), "multi mAP": lambda r: f"{r['mAP']:.3f}",
    }  # fmt: skip
    grown = {
        "CPU s": "loading cores", "CPU s, rank table": "cores", "CPU s, measures": "measures cores",
        "extra memory of the rank table, MB": "extra", "of everything, MB": "memory",
    }  # fmt: skip
    head = f"{growing.QUERIES:,} queries, ten relevant passages each, {growing.DIMENSION} dimensions, 10 languages."
    return f"{head}\n\n" + columns(rows, "passages", shown, grown)


def training_table(name: str, rows: Rows) -> str:
    """The table of one kind of training data."""
    shown = {
        "first batch, s": seconds("first"), "CPU seconds": seconds("cores"), "memory at first batch, MB": megabytes("memory"),
        "after 500 more, MB": megabytes("memory later"), "CPU seconds a batch": lambda r: f"{r['batch']:.5f}",
    }  # fmt: skip
    grown = {"CPU seconds": "cores", "memory at first batch, MB": "memory", "CPU seconds a batch": "batch"}
    return columns(rows, name, shown, grown)


def index_table(rows: Rows) -> str:
    """The table of the index."""
    shown = {
        "written, s": seconds("written"), "CPU s": seconds("written cores"), "graph, s": seconds("graph"),
        "CPU s, graph": seconds("graph cores"), "calibrated, CPU s": seconds("calibrated cores"),
        "memory, MB": megabytes("memory"), "disk, MB": megabytes("disk"), "of which vectors, MB": megabytes("vectors"),
        "opened, CPU s": seconds("opening cores"), "a search, ms": lambda r: f"{1000 * r['search']:.2f}",
        "memory searched, MB": megabytes("memory searched"), f"recall@{growing.K}": lambda r: f"{r['recall']:.3f}",
    }  # fmt: skip
    grown = {
        "CPU s": "written cores", "CPU s, graph": "graph cores", "memory, MB": "memory", "disk, MB": "disk",
        "a search, ms": "search", "memory searched, MB": "memory searched", "opened, CPU s": "opening cores",
    }  # fmt: skip
    head = f"{growing.DIMENSION} dimensions, 10 languages, short texts; searches one by one for the first {growing.K}."
    return f"{head}\n\n" + columns(rows, "rows", shown, grown)


def points(rows: Rows, key: str, by: float = 1.0) -> list[tuple[float, float]]:
    """The points of a picture."""
    return [(row["size"], row[key] / by) for row in rows]


def draw(kept: dict[str, Any]) -> None:
    """Write the tables and the pictures from the saved results."""
    # Many libraries, which a process that only measures does without.
    import growth_figures

    found = {name: part["rows"] for name, part in kept.items()}
    notes = {name: part["note"] for name, part in kept.items()}
    parts: dict[str, str] = {}
    pictures: dict[str, tuple[str, list[growth_figures.Growth]]] = {}
    if rows := found.get("audit"):
        parts["growth"] = f"{audit_table(rows)}\n\n{notes['audit']}"
        times = {"rank table": "cores", "torch.mm": "product cores", "corpus read": "loading cores"}
        spent = {title: points(rows, key) for title, key in times.items()}
        memory = {"everything": points(rows, "memory", MB), "rank table": points(rows, "extra", MB)}
        pictures["audit"] = (
            "passages",
            [growth_figures.Growth("CPU seconds", spent, log=True), growth_figures.Growth("peak memory, MB", memory)],
        )
    kinds = {
        "numbers": "pairs, fully parallel", "items": "pairs with shared items, memory-mapped",
        "stored": "pairs of a stored corpus",
    }  # fmt: skip
    if there := [name for name in kinds if found.get(name)]:
        parts["growth-training"] = "\n\n".join(f"{training_table(kinds[n], found[n])}\n\n{notes[n]}" for n in there)
        pictures["training"] = (
            "pairs",
            [
                growth_figures.Growth(
                    "CPU seconds to the first batch", {kinds[n]: points(found[n], "cores") for n in there}, log=True
                ),
                growth_figures.Growth("memory, MB", {kinds[n]: points(found[n], "memory", MB) for n in there}),
            ],
        )  # fmt: skip
    if rows := found.get("index"):
        parts["growth-index"] = f"{index_table(rows)}\n\n{notes['index']}"
        pictures["index"] = (
            "rows",
            [
                growth_figures.Growth(
                    "CPU seconds", {name: points(rows, f"{name} cores") for name in ("written", "graph")}, log=True
                ),
                growth_figures.Growth(
                    "MB",
                    {
                        "memory while written": points(rows, "memory", MB),
                        "memory while searched": points(rows, "memory searched", MB),
                        "disk": points(rows, "disk", MB), "vectors alone": points(rows, "vectors", MB),
                    },
                    log=True,
                ),
                growth_figures.Growth("ms a search", {"through the graph": points(rows, "search", 1e-3)}),
            ],
        )  # fmt: skip
    for name, (label, panels) in pictures.items():
        if max(len(line) for line in panels[0].series.values()) < 2:
            continue
        write_text(IMAGES / f"growth-{name}.svg", growth_figures.growth_curves(panels, x_label=label))
        part = "growth" if name == "audit" else f"growth-{name}"
        # Not in the document itself: a picture of what has not been measured would be missing.
        parts[part] = f"![Against {label}](images/growth-{name}.svg)\n\n{parts[part]}"
    marked.write(ROOT / "docs" / "benchmarks.md", parts)
    print("\n\n".join(parts.values()))


def main() -> None:
    """Measure, save, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    for name, sizes in SIZES.items():
        parser.add_argument(f"--{name}", type=int, nargs="+", help=f"by default {', '.join(f'{s:,}' for s in sizes)}")
    parser.add_argument("--keep", action="store_true", help="measure only sizes that growth.json does not have")
    parser.add_argument("--quick", action="store_true", help="small sizes, only printed: does it run?")
    parser.add_argument("--folder", type=Path, help="where files go for the time being (6 GB for a million rows)")
    parser.add_argument("--prepare", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--measure", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prepare:
        PARTS[options.prepare][1](options.folder, options.size)
        return
    if options.measure:
        print(json.dumps(PARTS[options.measure][2](options.folder, options.size)))
        return
    kept: dict[str, Any] = {}
    if KEPT.is_file() and not options.quick:
        kept = json.loads(KEPT.read_text(encoding="utf-8"))
    for part in options.parts:
        name = PARTS[part][0]
        sizes = getattr(options, name) or (QUICK if options.quick else SIZES)[name]
        old = {row["size"]: row for row in kept.get(part, {}).get("rows", [])}
        rows = {size: old[size] for size in sizes if options.keep and size in old}
        for size in sizes:
            if size in rows:
                continue
            rows[size] = measured(part, size, options.folder)
            print(part, rows[size], file=sys.stderr, flush=True)
            note = f"{machine.note()} Load {machine.load():.1f} over the last 15 minutes."
            ordered = [rows[one] for one in sorted(rows)]
            kept[part] = {"note": note, "rows": ordered}
            if not options.quick:
                write_json(KEPT, kept)
    if options.quick:
        print(json.dumps(kept))
        return
    draw(kept)


if __name__ == "__main__":
    main()
