"""Write the README's table and picture, and the demo's table in docs/compare.md, from finished runs; either part or both.

babelmix audit e5-small-offline -c xquad-r=PATH --backend openvino --out runs/xquad-r
babelmix audit debiased:e5-small-offline -c xquad-r=PATH --backend openvino --out runs/xquad-r-debiased
babelmix compare demo
python benchmarks/readme.py --audit runs/xquad-r --debiased runs/xquad-r-debiased --demo runs/demo
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from marked import write

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = (
    ("mono/mAP", "within a language"),
    ("cross/mAP", "across two languages"),
    ("multi/mAP", "in a pool of all"),
)
COLUMNS = (
    ("mono/mAP", "mono mAP"), ("cross/mAP", "cross mAP"), ("multi/mAP", "multi mAP"), ("bias/rank distance", "rank distance"),
    ("bias/same-language share@10", "own language in first 10"),
)  # fmt: skip


def shown(name: str, value: float) -> str:
    """Format a value: ranks without decimals, scores with three, shares as percentages."""
    if "share" in name:
        return f"{value:.0%}"
    return f"{value:,.0f}" if "rank" in name else f"{value:.3f}"


def row(cells: list[str]) -> str:
    """A Markdown table row."""
    return "| " + " | ".join(cells) + " |"


def audit_table(folders: dict[str, Path]) -> str:
    """The audits of one encoder, by what was done to it: the headline measures with their intervals."""
    lines = []
    for title, folder in folders.items():
        summary = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        macro, about = summary["macro"], summary["about"]
        if not lines:
            head = [f"`{about['encoder']}` on {about['corpus']}", *(title for _, title in COLUMNS)]
            lines = [row(head), row(["---"] + ["---:"] * len(COLUMNS))]
        values = [macro[name] | {"name": name} for name, _ in COLUMNS]
        lines += [
            row([title, *(f"**{shown(one['name'], one['value'])}**" for one in values)]),
            row(
                [
                    "95 % interval",
                    *(" to ".join(shown(one["name"], one[end]) for end in ("low", "high")) for one in values),
                ]
            ),
        ]
    return "\n".join(lines)


def demo_table(folder: Path) -> str:
    """The demo: means over seeds with their standard deviations."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    lines = [row(["", *(title for _, title in COLUMNS)]), row(["---"] + ["---:"] * len(COLUMNS))]
    own = results["entries"][-1]["corpus"]
    for entry in results["entries"]:
        cells = []
        for name, _ in COLUMNS:
            value = entry["macro"][name]
            spread = f" ± {shown(name, value['seed_deviation'])}" if entry["seeds"] else ""
            cells.append(shown(name, value["value"]) + spread)
        label = entry["name"] + ("" if entry["corpus"] == own else " \\*")
        lines.append(row([f"**{label}**" if entry["name"] == results["against"] else label, *cells]))
    return "\n".join(lines) + f"\n\n{results['finding']}"


def main() -> None:
    """Write the marked parts of the README and of docs/compare.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audit", type=Path, help="folder of the audit on XQuAD-R")
    parser.add_argument("--debiased", type=Path, help="the same for the encoder without language, `debiased:NAME`")
    parser.add_argument("--demo", type=Path, help="folder of the demo")
    arguments = parser.parse_args()
    if arguments.audit:
        debiased = {"without language: `babelmix debias`": arguments.debiased} if arguments.debiased else {}
        write(ROOT / "README.md", {"audit": audit_table({"as it is": arguments.audit, **debiased})})
    if arguments.demo:
        write(ROOT / "docs" / "compare.md", {"demo": demo_table(arguments.demo)})
        shutil.copy(arguments.demo / "headline.svg", ROOT / "docs" / "images" / "demo.svg")


if __name__ == "__main__":
    main()
