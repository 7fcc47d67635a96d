"""What does the language policy `balanced` change? `babelmix audit --through` on an index, under several policies in turn.

python benchmarks/policies.py xquad-r=PATH --model e5-small-offline --to /tmp/an-index

Passages and queries are embedded as in an audit, and cached. Writes the table of docs/search.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import marked

from babelmix.corpus import open_corpus
from babelmix.search.building import build_index
from babelmix.search.engines import exists

TITLES = {
    "multi/mAP@{depth}": "mAP@{depth}",
    "multi/nDCG@10": "nDCG@10",
    "bias/same-language share@10": "own language @10",
    "bias/same-language preference@{depth}": "same-language preference@{depth}",
    "bias/languages@10": "languages @10",
    "bias/right languages@10": "languages with a right answer @10",
}


def main() -> None:
    """Index, audit, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--model", default="e5-small-offline")
    parser.add_argument("--to", required=True, help="the index's folder; made if it is not there")
    parser.add_argument("--queries", type=int, default=2618, help="how many are asked")
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--policies", default="any,balanced,quota=5", help="separated by commas")
    arguments = parser.parse_args()
    if not exists(arguments.to):
        build_index(open_corpus(arguments.corpus), arguments.to, model=arguments.model)
    policies = [word for name in arguments.policies.split(",") for word in ("--policy", name)]
    asked = ["-k", str(arguments.k), *policies, "--queries", str(arguments.queries)]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                sys.executable, "-m", "babelmix", "audit", "-c", arguments.corpus, "--through", arguments.to, *asked, "--json",
                "--out", f"{folder}/out",
            ],
            stdout=subprocess.PIPE, check=True, text=True,
        )  # fmt: skip
    told = json.loads(done.stdout)
    about, found = told["about"], told["policies"]
    p = {(one["first"], one["measure"]): one["p_holm"] for one in told["tests"]}
    lines = [
        "```",
        f"babelmix audit -c {about['corpus']}=PATH --through INDEX {' '.join(asked)}",
        "```",
        "",
        f"{about['corpus']}, {about['queries']:,} queries, `{about['encoder']}`, {about['pool']:,} passages of all languages; "
        "macro-averages over query languages, 95 % intervals over groups. Bold: different from the first policy, p < .05 after "
        "Holm's correction.",
        "",
        f"| | {' | '.join(f'`{name}`' for name in found)} |",
        "|---|" + "---:|" * len(found),
    ]
    for measure, title in TITLES.items():
        name = measure.format(depth=about["depth"])
        cells = []
        for policy, one in found.items():
            estimate = one["macro"][name]
            mark = "**" if p.get((policy, name), 1.0) < 0.05 else ""
            cells.append(f"{mark}{estimate['value']:.3f}{mark} [{estimate['low']:.3f}, {estimate['high']:.3f}]")
        lines.append(f"| {title.format(depth=about['depth'])} | {' | '.join(cells)} |")
    for key, words in (("median", "ms a search, median"), ("p95", "ms a search, p95")):
        lines.append(f"| {words} | {' | '.join(format(one['milliseconds'][key], '.1f') for one in found.values())} |")
    print("\n".join(lines))
    marked.write(Path(__file__).resolve().parents[1] / "docs" / "search.md", {"policies": "\n".join(lines)})


if __name__ == "__main__":
    main()
