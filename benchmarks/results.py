"""Write the tables and pictures of docs/results.md and docs/language-bias.md from finished experiments.

babelmix compare libreoffice-scratch    -c libreoffice-help=blocks.parquet
babelmix compare libreoffice-pretrained -c libreoffice-help=blocks.parquet
babelmix compare libreoffice-long       -c libreoffice-help=blocks.parquet
python benchmarks/results.py runs
"""

from __future__ import annotations

import argparse
import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from marked import write

from babelmix._files import slug
from babelmix.evaluation import Measure, RankTable, compare_all, crowding, measures
from babelmix.experiment.report import figures

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
COLUMNS = {
    "mono/mAP": "mono mAP", "cross/mAP": "cross mAP", "multi/mAP": "multi mAP", "bias/rank distance": "rank distance",
    "bias/median rank distance": "median", "bias/log rank distance": "log2", "bias/same-language share@10": "own language @10",
}  # fmt: skip
TESTED = ("mono/mAP", "cross/mAP", "multi/mAP", "bias/rank distance", "bias/log rank distance")
PICTURED = ("mixed", "mono", "cross", "hybrid(0.5)")
LATIN = {"cs", "de", "en", "es", "fr", "id", "it", "tr"}


def shown(name: str, value: float) -> str:
    """Format a value: ranks without decimals, shares as percentages, scores with three digits."""
    if "share" in name:
        return f"{value:.0%}"
    if "log" in name:
        return f"{value:.2f}"
    return f"{value:,.0f}" if "rank" in name else f"{value:.3f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


class Experiment:
    """The folder of a finished experiment.

    Args:
        folder: the folder.
        benchmark: read the results on this further corpus instead of the test part.

    """

    def __init__(self, folder: Path, benchmark: str = "") -> None:
        self.folder = folder
        self.results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        self.audit = f"audit-{slug(benchmark)}" if benchmark else "audit"
        if benchmark:
            self.results = self.results["benchmarks"][benchmark]
        self.entries: dict[str, Any] = {entry["name"]: entry for entry in self.results["entries"]}
        self.strategies = [name for name, entry in self.entries.items() if entry["kind"] == "strategy"]

    def tables(self, strategy: str) -> list[RankTable]:
        """The rank tables of a strategy, one per seed."""
        folders = sorted((self.folder / "runs" / slug(strategy)).glob("seed-*"))
        return [RankTable.load(folder / self.audit) for folder in folders]

    @cached_property
    def measures(self) -> dict[str, list[dict[str, Measure]]]:
        """The measures of every strategy, one mapping per seed."""
        return {name: [measures(one, ["mAP"]) for one in self.tables(name)] for name in self.strategies}


def headline(experiment: Experiment) -> str:
    """Every strategy: mean over seeds with its deviation, and for the mAPs the interval over pages."""
    rows = []
    for name, entry in experiment.entries.items():
        cells = []
        for measure in COLUMNS:
            value = entry["macro"][measure]
            text = shown(measure, value["value"])
            if len(entry["seeds"]) > 1:
                text += f" ± {shown(measure, value['seed_deviation'])}"
            if measure.endswith("mAP") or measure == "bias/rank distance":
                text += f" [{shown(measure, value['low'])}, {shown(measure, value['high'])}]"
            cells.append(text)
        rows.append([f"`{name}`", *cells])
    return table(["batches", *COLUMNS.values()], rows)


def best(experiment: Experiment) -> str:
    """For each measure, the best strategy and those that are not significantly worse."""
    systems = experiment.measures
    rows = []
    tests = compare_all(systems, TESTED)
    for measure in TESTED:
        means = {name: float(np.mean([run[measure].macro() for run in runs])) for name, runs in systems.items()}
        sign = -1 if measure.startswith("bias/") else 1
        order = sorted(means, key=lambda name: -sign * means[name])
        with_first = {
            (c.first if c.second == order[0] else c.second): c
            for c in tests
            if c.measure == measure and order[0] in (c.first, c.second)
        }
        tied = [name for name in order[1:] if (with_first[name].p_holm or 0.0) >= 0.05]
        nearest = with_first[order[1]]
        rows.append([
            COLUMNS[measure], f"`{order[0]}` {shown(measure, means[order[0]])}",
            ", ".join(f"`{name}` {shown(measure, means[name])}" for name in tied) or "none",
            f"`{order[1]}` {shown(measure, means[order[1]])}, d = {abs(nearest.effect):.2f}, p = {nearest.p_holm:.4f}",
        ])  # fmt: skip
    note = f"Holm's correction over all {len(tests)} comparisons (each pair of strategies, {len(TESTED)} measures)."
    head = ["measure", "best", "not significantly worse", "the next one: effect size, p after Holm"]
    return f"{table(head, rows)}\n\n{note}"


def differences(experiment: Experiment) -> str:
    """The tested strategy against every other one."""
    rows = []
    for other, comparisons in experiment.results["tests"].items():
        for c in comparisons:
            d, name = c["difference"], c["measure"]
            rows.append([
                f"`{other}`", COLUMNS[name],
                f"{'+' if d['value'] > 0 else ''}{shown(name, d['value'])} [{shown(name, d['low'])}, {shown(name, d['high'])}]",
                f"{c['effect']:+.2f}", f"{c['p_bootstrap']:.4f}", f"{c['p']:.4f}", f"{c['p_holm']:.4f}",
            ])  # fmt: skip
    against = experiment.results["against"]
    return table(
        [f"`{against}` minus", "measure", "difference [95 %]", "effect size", "p, bootstrap", "p", "p after Holm"],
        rows,
    )


def tuned(experiment: Experiment) -> str:
    """The values that tuning chose for each strategy, and what the choice gained."""
    rows = []
    for name, tuning in experiment.results["tuning"].items():
        settings = tuning["best"]["settings"]
        scores = [trial["score"] for trial in tuning["trials"]]
        rows.append([
            f"`{name}`", f"{settings['learning_rate']:g}", f"{settings['temperature']:g}", f"{max(scores):.3f}",
            f"{min(scores):.3f}", ", ".join(edge.replace("_", " ") for edge in tuning["at_edge"]) or "none",
        ])  # fmt: skip
    head = ["batches", "learning rate", "temperature", "best score", "worst score", "at the edge of what was tried"]
    return table(head, rows)


def scripts(experiment: Experiment) -> str:
    """Cross-lingual mAP of language pairs with one script and with two scripts."""
    rows = []
    for name, runs in experiment.measures.items():
        same, other = [], []
        for run in runs:
            found = run["cross/mAP"]
            for cell, value in zip(found.cells, found.cell_values(), strict=True):
                pair = cell.split(" > ")
                (same if set(pair) <= LATIN else other).append(value)
        a, b = float(np.mean(same)), float(np.mean(other))
        rows.append([f"`{name}`", f"{a:.3f}", f"{b:.3f}", f"{a / b:.2f}"])
    return table(["batches", "both in Latin script", "not both", "ratio"], rows)


def pictures(experiment: Experiment, label: str) -> None:
    """The crowding matrices and the alpha curve as SVG."""
    planes = {}
    for name in [name for name in PICTURED if name in experiment.strategies]:
        tables = experiment.tables(name)
        planes[name] = np.nanmean([np.nanmean(crowding(one), axis=1) for one in tables], axis=0)
    langs = tables[0].passage_langs
    svg = figures.heatmaps(
        planes, tables[0].query_langs, langs, row_label="query language", column_label="crowding language", digits=0
    )
    (IMAGES / f"crowding-{label}.svg").write_text(svg, encoding="utf-8")
    alphas = {"cross": 0.0, "mono": 1.0}
    points = {alphas.get(name, float(re.sub(r"[^\d.]", "", name) or -1)): name for name in experiment.strategies}
    ordered = sorted(alpha for alpha in points if alpha >= 0)
    if len(ordered) > 3:
        series = {}
        for measure in ("mono/mAP", "cross/mAP", "multi/mAP", "bias/rank distance"):
            macros = [experiment.entries[points[alpha]]["macro"][measure] for alpha in ordered]
            series[COLUMNS[measure]] = [(m["value"], m["low"], m["high"]) for m in macros]
        (IMAGES / f"alpha-{label}.svg").write_text(figures.alpha_curves(ordered, series), encoding="utf-8")


def bias_table(experiment: Experiment) -> str:
    """A few numbers for a reader who has never heard of language bias."""
    head = ["batches", "mAP within a language", "mAP across two", "mAP with all in one index", "ranks between translations",
            "question's language in the first ten answers"]  # fmt: skip
    names = ("mono/mAP", "cross/mAP", "multi/mAP", "bias/rank distance", "bias/same-language share@10")
    rows = [
        [f"**{name}**", *(shown(measure, experiment.entries[name]["macro"][measure]["value"]) for measure in names)]
        for name in PICTURED
    ]
    fair = 1 / len(experiment.tables("cross")[0].passage_langs)
    seeds = len(experiment.entries["cross"]["seeds"])
    return (
        f"{table(head, rows)}\n\nMeans of {seeds} seeds on {experiment.entries['cross']['corpus']}; a fair share of the "
        f"question's language is about {fair:.0%}."
    )


def main() -> None:
    """Write the marked parts of both documents, and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="the folder that holds the three experiments")
    runs = parser.parse_args().runs
    parts: dict[str, str] = {}
    for label in ("scratch", "pretrained", "long"):
        experiment = Experiment(runs / f"libreoffice-{label}")
        parts |= {f"{label}-headline": headline(experiment), f"{label}-best": best(experiment)}
        if label != "long":
            pictures(experiment, label)
            parts |= {
                f"{label}-tests": differences(experiment), f"{label}-tuning": tuned(experiment),
                f"{label}-scripts": scripts(experiment), f"{label}-finding": experiment.results["finding"],
            }  # fmt: skip
        if label == "scratch":
            write(ROOT / "docs" / "language-bias.md", {"bias": bias_table(experiment)})
    write(ROOT / "docs" / "results.md", parts)
    print("docs/results.md, docs/language-bias.md and docs/images are up to date")


if __name__ == "__main__":
    main()
