"""Write the tables and pictures of docs/results-image-text.md from the finished experiments on emoji.

babelmix compare emoji
babelmix compare emoji-joint
python benchmarks/image_text.py runs
"""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from marked import write
from results import IMAGES, ROOT, table

from babelmix.corpus import open_corpus
from babelmix.corpus.images import Pictures
from babelmix.evaluation import Comparison, Measure, compare_all
from babelmix.experiment import Results, run_experiment
from babelmix.experiment.config import parse_experiment
from babelmix.experiment.report import figures
from babelmix.experiment.report.pictures import mean_recall
from babelmix.experiment.results import Entry

TO, BACK = "to pictures", "to captions"
COLUMNS = {
    TO: ("multi/hit@1", "multi/hit@5", "multi/hit@10", "multi/mAP", "bias/rank distance over query languages",
         "bias/rank std over query languages", "bias/rank variance over query languages"),
    BACK: ("cross/hit@1", "cross/hit@5", "cross/hit@10", "multi/hit@1", "multi/mAP", "bias/rank distance", "bias/rank std",
           "bias/rank variance"),
}  # fmt: skip
HEADS = {
    "multi/hit@1": "hit@1", "multi/hit@5": "hit@5", "multi/hit@10": "hit@10", "multi/mAP": "mAP",
    "bias/rank distance over query languages": "rank distance", "bias/rank std over query languages": "rank std",
    "bias/rank variance over query languages": "rank variance", "bias/rank distance": "rank distance",
    "bias/rank std": "rank std", "bias/rank variance": "rank variance",
}  # fmt: skip
BACK_HEADS = HEADS | {
    "cross/hit@1": "hit@1, one language", "cross/hit@5": "hit@5", "cross/hit@10": "hit@10", "multi/hit@1": "hit@1, all languages",
    "multi/mAP": "mAP, all languages",
}  # fmt: skip
_HYBRID = re.compile(r"^hybrid\(([\d.]+)(?:, (\w+))?\)$")


def shown(name: str, value: float) -> str:
    """Format a value: ranks with one decimal, or none from 100 on; scores with three digits."""
    if name.startswith("bias"):
        return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
    return f"{value:.3f}"


def finished(folder: Path) -> Results:
    """The results of an experiment."""
    values = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
    return run_experiment(parse_experiment(values, "config.toml"), folder, lambda _: None)


def back_of(results: Results) -> Results:
    """The same from pictures to captions."""
    return next(on for name, on in results.benchmarks.items() if name.endswith("(image to text)"))


def headline(results: Results, way: str) -> str:
    """Every row: the mean over seeds, the interval over emoji, the deviation over seeds."""
    heads = HEADS if way == TO else BACK_HEADS
    rows = []
    for entry in results.entries:
        cells = []
        for name in COLUMNS[way]:
            mean = entry.means[name]
            text = shown(name, mean.value)
            if len(entry.audits) > 1:
                text += f" ± {shown(name, entry.seed_deviation[name])}"
            if name.endswith("hit@1") or name.startswith("bias/rank distance"):
                text += f" [{shown(name, mean.low)}, {shown(name, mean.high)}]"
            cells.append(text)
        rows.append([f"`{entry.name}`", *cells])
    return table(["batches", *(heads[name] for name in COLUMNS[way])], rows)


def recall(results: Results) -> str:
    """Mean recall by language; languages seen beside pictures are separate from the others."""
    unseen = set(results.experiment.training.pictures.text_only_langs)
    rows, langs = [], []
    for entry, back in zip(results.entries, back_of(results).entries, strict=True):
        by_seed = [mean_recall([a], [b]) for a, b in zip(entry.audits, back.audits, strict=True)]
        langs = sorted(by_seed[0], key=lambda lang: (lang in unseen, lang))
        row = [f"`{entry.name}`"]
        for group in ([lang for lang in langs if lang not in unseen], [lang for lang in langs if lang in unseen]):
            values = [np.mean([one[lang] for lang in group]) for one in by_seed]
            row.append(f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""))
        rows.append([*row, *(f"{np.mean([one[lang] for one in by_seed]):.2f}" for lang in langs)])
    return table(["batches", "seen", "unseen", *(lang + (" *" if lang in unseen else "") for lang in langs)], rows)


def of_cells(measure: Measure, langs: Sequence[str]) -> Measure:
    """A measure over some of its cells."""
    number = np.array([langs.index(cell) if cell in langs else -1 for cell in measure.cells])[measure.cell]
    keep = number >= 0
    return replace(
        measure, cells=tuple(langs), cell=number[keep], group=measure.group[keep], values=measure.values[keep]
    )


def tests(results: Results) -> str:
    """hit@1 on seen and unseen languages and both rank distances: every other strategy against the tested one."""
    unseen = list(results.experiment.training.pictures.text_only_langs)
    back = {entry.name: entry for entry in back_of(results).strategies()}
    systems = {}
    for entry in results.strategies():
        systems[entry.name] = [
            _tested(a.measures, b.measures, unseen) for a, b in zip(entry.audits, back[entry.name].audits, strict=True)
        ]
    names = list(next(iter(systems.values()))[0])
    found = compare_all(systems, names, against=results.experiment.compare.against)
    rows = [
        [f"`{c.second}`", c.measure, _difference(c), f"{c.p:.4f}", "" if c.p_holm is None else f"{c.p_holm:.4f}"]
        for c in found
    ]
    return table(
        [f"`{results.experiment.compare.against}` minus", "measure", "difference [95 %]", "p", "p after Holm"], rows
    )


def _shown_against_alpha(to: dict[str, Measure], unseen: Sequence[str]) -> dict[str, Measure]:
    hit = to["multi/hit@1"]
    return {
        "hit@1, seen": of_cells(hit, [lang for lang in hit.cells if lang not in unseen]),
        "hit@1, unseen": of_cells(hit, list(unseen)),
        "rank distance over query languages": to["bias/rank distance over query languages"],
    }


def _tested(to: dict[str, Measure], back: dict[str, Measure], unseen: Sequence[str]) -> dict[str, Measure]:
    return _shown_against_alpha(to, unseen) | {"rank distance of captions": back["bias/rank distance"]}


def _difference(c: Comparison) -> str:
    digits = 1 if "rank" in c.measure else 3
    value, low, high = (
        f"{number:+.{digits}f}" for number in (c.difference.value, c.difference.low, c.difference.high)
    )
    return f"{value} [{low}, {high}]"


def twins() -> str:
    """How many test pictures look almost like a training picture or another test picture."""
    sides = [open_corpus(f"emoji?part={part}").passages for part in ("test", "train")]
    test, train = (np.stack([np.asarray(p, dtype=np.float32).ravel() for p in Pictures(side)]) for side in sides)

    def close(other: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        squares = (test**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * test @ other.T
        # Sums of squares of bytes leave the digits of float32: what is near is looked at exactly.
        near = squares < 100 * test.shape[1]
        for row, column in np.argwhere(near):
            near[row, column] = ((test[row] - other[column]) ** 2).mean() < 1
        return near

    own = close(test)
    np.fill_diagonal(own, False)
    in_train, in_test = int(close(train).any(axis=1).sum()), int(own.any(axis=1).sum())
    return (
        f"{in_train} of the {len(test)} test pictures differ from a training picture of another name by at most one grey level "
        f"(root mean square over pixels and colours), and {in_test} from another test picture. They are pairs of people whose "
        "genders differ in a few pixels. No encoder can distinguish them reliably."
    )


def alpha_of(name: str) -> tuple[float, str] | None:
    """The alpha of a strategy, and the strategy of its other batches."""
    known = {"mono": (1.0, ""), "cross": (0.0, "cross"), "paired": (0.0, "paired"), "hybrid": (0.5, "cross")}
    if name in known:
        return known[name]
    match = _HYBRID.match(name)
    return (float(match.group(1)), match.group(2) or "cross") if match else None


def alpha_pictures(results: Results, prefix: str) -> None:
    """Pictures by alpha, for either kind of cross-lingual batch: hit@1 on seen and unseen languages, and rank distance."""
    unseen = list(results.experiment.training.pictures.text_only_langs)
    for kind in ("cross", "paired"):
        points: dict[float, Entry] = {}
        for entry in results.strategies():
            found = alpha_of(entry.name)
            if found is not None and found[1] in ("", kind):
                points[found[0]] = entry
        if len(points) < 3:
            continue
        series: dict[str, list[tuple[float, float, float]]] = {}
        for alpha in sorted(points):
            runs = [
                _tested(a.measures, a.measures | {"bias/rank distance": a.measures["multi/hit@1"]}, unseen)
                for a in points[alpha].audits
            ]
            for name in list(runs[0])[:3]:
                values = [run[name].macro() for run in runs]
                series.setdefault(name, []).append((float(np.mean(values)), min(values), max(values)))
        svg = figures.alpha_curves(sorted(points), series)
        (IMAGES / f"alpha-{prefix}-{kind}.svg").write_text(svg, encoding="utf-8")


def main() -> None:
    """Write the marked parts of the document, and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="the folder that holds the experiments")
    runs = parser.parse_args().runs
    parts: dict[str, str] = {"emoji-twins": twins()}
    for name in ("emoji", "emoji-joint"):
        if not (runs / name / "results.json").is_file():
            continue
        results = finished(runs / name)
        parts |= {
            f"{name}-to": headline(results, TO),
            f"{name}-back": headline(back_of(results), BACK),
            f"{name}-recall": recall(results),
            f"{name}-tests": tests(results),
            f"{name}-seconds": f"{results.seconds / 60:.0f} minutes of training in total, on one core.",
        }
        alpha_pictures(results, name)
    write(ROOT / "docs" / "results-image-text.md", parts)
    print(f"docs/results-image-text.md and {IMAGES.name} are up to date")


if __name__ == "__main__":
    main()
