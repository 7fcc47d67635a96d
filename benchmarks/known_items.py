"""Do known items rank systems as labels do? Encoders are audited with labelled questions and with known items of one collection.

python benchmarks/known_items.py 'xquad-r=PATH?unit=paragraph' --models static-e5

The labelled audit is the corpus as its reader gives it. The audit without labels takes its passages only: first sentences ask for
the rest. Writes the table of docs/without-labels.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import marked

import babelmix as bm

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "without-labels.md"
MEASURES = {
    "multi/mAP": "multilingual mAP",
    "bias/rank distance over chance": "rank distance over chance",
    "bias/same-language share@10": "own language @10",
    "bias/same-language preference": "same-language preference",
}


def main() -> None:
    """Audit, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+")
    parser.add_argument(
        "--models", default="static-e5,e5-small-offline", help="each as it is, and debiased; by commas"
    )
    parser.add_argument("--langs", default="en,de,es,hi,zh")
    parser.add_argument("--items", type=int, default=500, help="known items; 0: all")
    parser.add_argument("--part", default="all")
    parser.add_argument("--quick", action="store_true", help="static-e5 alone; writes no document")
    arguments = parser.parse_args()
    names = ["static-e5"] if arguments.quick else arguments.models.split(",")
    langs = arguments.langs.split(",")
    lines = [
        f"| corpus | system | labels | {' | '.join(MEASURES.values())} |",
        f"|---|---|---|{'---:|' * len(MEASURES)}",
    ]
    agreements = []
    for source in arguments.corpora:
        labelled = bm.load_corpus(source, langs=langs, part=arguments.part)
        unlabelled = bm.load_corpus(labelled, queries_from="sentences", items=arguments.items)
        systems = {}
        for name in names:
            encoder = bm.load_model(name)
            systems[name] = encoder
            systems[f"{name}, debiased"] = bm.debias(encoder, labelled, method="centred").encoder
        found = {
            labels: {name: measured(system, corpus) for name, system in systems.items()}
            for labels, corpus in (("questions", labelled), ("known items", unlabelled))
        }
        for name in systems:
            for labels in found:
                cells = " | ".join(f"{found[labels][name][measure]:.3f}" for measure in MEASURES)
                lines.append(f"| {labelled.name} | {name} | {labels} | {cells} |")
        agreements.append(f"{labelled.name}: {agreement(found['questions'], found['known items'])}")
    text = "\n".join(
        [
            *lines,
            "",
            f"Languages: {', '.join(langs)}. Pairs of systems that both audits put into the same order: {'; '.join(agreements)}.",
        ]
    )
    print(text)
    if not arguments.quick:
        marked.write(DOCUMENT, {"known-items": text})


def measured(system: object, corpus: bm.Corpus) -> dict[str, float]:
    """The macro-averages of a system on a corpus."""
    report = bm.audit({"system": system}, corpus)
    return {measure: report.macro(measure) for measure in MEASURES}


def agreement(one: Mapping[str, Mapping[str, float]], other: Mapping[str, Mapping[str, float]]) -> str:
    """For each measure, how many pairs of systems are in the same order in both."""
    pairs = list(combinations(one, 2))
    parts = []
    for measure, title in MEASURES.items():
        same = sum((one[a][measure] < one[b][measure]) == (other[a][measure] < other[b][measure]) for a, b in pairs)
        parts.append(f"{title} {same} of {len(pairs)}")
    return ", ".join(parts)


if __name__ == "__main__":
    main()
