"""Write the tables about a fine-tuned pretrained encoder into docs/results.md, from finished experiments.

babelmix compare e5-libreoffice       -c libreoffice-help=blocks.parquet --benchmark xquad-r=PATH
babelmix compare e5-libreoffice-alpha -c libreoffice-help=blocks.parquet --benchmark xquad-r=PATH
python benchmarks/remedies.py runs/e5-libreoffice
python benchmarks/finetuned.py runs

The part of the document that belongs to an experiment is left as it is when the experiment has not been run.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from marked import write
from results import COLUMNS, IMAGES, ROOT, Experiment, differences, headline, pictures, shown, table
from sentence_transformers import SentenceTransformer

from babelmix._files import slug
from babelmix.encoders import load_encoder
from babelmix.evaluation import Comparison, Measure, RankTable, compare_all, holm, measures
from babelmix.training.weights import copied, trained

BENCHMARK = "xquad-r"
UNSEEN = ("ar", "th")
TESTED = ("mono/mAP", "cross/mAP", "multi/mAP", "bias/rank distance")
AIMS = {"mono/mAP": "at most .010 below the start", "multi/mAP": ".550 or more", "bias/rank distance": "under 450"}


def start_of(experiment: Experiment) -> dict[str, Measure]:
    """The measures of the encoder before training."""
    return measures(RankTable.load(experiment.folder / "start" / experiment.audit), ["mAP"])


def against_start(experiments: Mapping[str, Experiment]) -> str:
    """Every strategy minus the start; Holm's correction covers all corpora and strategies together."""
    found: list[tuple[str, Comparison]] = []
    for corpus, experiment in experiments.items():
        systems = {"start": [start_of(experiment)], **experiment.measures}
        # The start is first of each pair, so signs are turned below.
        found += [(corpus, c) for c in compare_all(systems, TESTED, against="start")]
    corrected = holm([c for _, c in found])
    rows = []
    for (corpus, _), c in zip(found, corrected, strict=True):
        value, low, high = -c.difference.value, -c.difference.high, -c.difference.low
        rows.append([
            f"`{c.second}`", corpus, COLUMNS[c.measure],
            f"{'+' if value > 0 else ''}{shown(c.measure, value)} [{shown(c.measure, low)}, {shown(c.measure, high)}]",
            f"{-c.effect:+.2f}", f"{c.p:.4f}", f"{c.p_holm:.4f}",
        ])  # fmt: skip
    return table(
        ["batches minus start", "on", "measure", "difference [95 %]", "effect size", "p", "p after Holm"], rows
    )


def aims(experiment: Experiment) -> str:
    """The target on the benchmark, and what each strategy reached."""
    start = start_of(experiment)
    rows = []
    for name, runs in experiment.measures.items():
        means = {measure: float(np.mean([run[measure].macro() for run in runs])) for measure in AIMS}
        reached = {
            "mono/mAP": means["mono/mAP"] >= start["mono/mAP"].macro() - 0.01,
            "multi/mAP": means["multi/mAP"] >= 0.55,
            "bias/rank distance": means["bias/rank distance"] < 450,
        }
        rows.append([
            f"`{name}`",
            *(f"{shown(measure, means[measure])} ({'yes' if reached[measure] else 'no'})" for measure in AIMS),
        ])  # fmt: skip
    return table(["batches", *(f"{COLUMNS[measure]}: {aim}" for measure, aim in AIMS.items())], rows)


def remedies(experiment: Experiment) -> str:
    """Every remedy that was tried, between the start and the trained encoders of the same seed."""
    systems = {"the start": start_of(experiment)}
    systems |= {f"`{name}`, nothing done": experiment.measures[name][0] for name in ("hybrid", "cross")}
    for folder in sorted((experiment.folder / "remedies").glob("*/audit")):
        found = RankTable.load(folder)
        systems[found.about.system] = measures(found, ["mAP"])
    shown_ = (*TESTED, "bias/same-language share@10")
    rows = [[name, *(shown(key, found[key].macro()) for key in shown_)] for name, found in systems.items()]
    return table(["encoder", *(COLUMNS[key] for key in shown_)], rows)


def moved(experiment: Experiment) -> str:
    """The distance of the trained weights of the first seed from those of the start, over the norm of those of the start."""
    config = tomllib.loads((experiment.folder / "config.toml").read_text(encoding="utf-8"))
    start = copied(trained(load_encoder(config["encoder"]["name"])))
    rows = []
    for name in experiment.strategies:
        folder = experiment.folder / "runs" / slug(name) / f"seed-{config['compare']['seeds'][0]}" / "model"
        now = trained(SentenceTransformer(str(folder), device="cpu"))
        # Frozen token vectors have not moved, and do not count as what could have.
        changed = [key for key in now if not torch.equal(now[key], start[key])]
        squares = sum(float((now[key] - start[key]).square().sum()) for key in changed)
        rows.append(
            [f"`{name}`", f"{(squares / sum(float(start[key].square().sum()) for key in changed)) ** 0.5:.4f}"]
        )
    return table(["batches", "distance from the start, relative"], rows)


def languages(experiment: Experiment, names: Sequence[str]) -> str:
    """Monolingual and multilingual mAP by query language, of the start and of some strategies."""
    systems = {"start": [start_of(experiment)], **{name: experiment.measures[name] for name in names}}
    cells = next(iter(systems.values()))[0]["mono/mAP"].cells
    rows = []
    for lang in sorted(cells, key=lambda tag: (tag in UNSEEN, tag)):
        row = [lang + (" (unseen)" if lang in UNSEEN else "")]
        for measure in ("mono/mAP", "multi/mAP"):
            for runs in systems.values():
                values = [run[measure].cell_values()[run[measure].cells.index(lang)] for run in runs]
                row.append(shown(measure, float(np.mean(values))))
        rows.append(row)
    head = [f"{COLUMNS[measure]}, `{name}`" for measure in ("mono/mAP", "multi/mAP") for name in systems]
    return table(["queries in", *head], rows)


def main() -> None:
    """Rewrite the marked parts and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="the folder that holds the experiments")
    runs = parser.parse_args().runs
    corpora = {"unseen pages": "", "XQuAD-R": BENCHMARK}
    main_, alpha = (
        {label: Experiment(runs / name, benchmark) for label, benchmark in corpora.items()}
        if (runs / name / "results.json").is_file()
        else {}
        for name in ("e5-libreoffice", "e5-libreoffice-alpha")
    )
    parts: dict[str, str] = {"e5-start": against_start(main_)}
    for label, short in (("unseen pages", "pages"), ("XQuAD-R", "xquad")):
        parts |= {
            f"e5-{short}-headline": headline(main_[label]),
            f"e5-{short}-tests": differences(main_[label]),
            f"e5-{short}-finding": main_[label].results["finding"],
        }
        if alpha:
            parts[f"e5-{short}-alpha"] = headline(alpha[label])
            pictures(alpha[label], f"e5-{short}")
    parts["e5-moved"] = moved(main_["XQuAD-R"])
    parts["e5-remedies"] = remedies(main_["XQuAD-R"])
    parts["e5-aims"] = aims(main_["XQuAD-R"])
    parts["e5-languages"] = languages(main_["XQuAD-R"], ["mono", "cross", "hybrid"])
    write(ROOT / "docs" / "results.md", parts)
    print(f"docs/results.md and {IMAGES.name} are up to date")


if __name__ == "__main__":
    main()
