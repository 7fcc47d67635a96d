"""The sections of a comparison on pictures: mean recall by language, and examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from babelmix._tables import Table
from babelmix.corpus import IMAGE
from babelmix.evaluation import Audit
from babelmix.experiment.report.page import Section, Strip

if TYPE_CHECKING:
    from babelmix.experiment.results import Findings

CUTOFFS = (1, 5, 10)


def mean_recall(forward: Sequence[Audit], backward: Sequence[Audit]) -> dict[str, float]:
    """Mean recall by language: the mean of hit@1, 5 and 10 from captions to pictures and back, averaged over audits.

    Args:
        forward: audits from captions to pictures, one per seed.
        backward: audits from pictures to captions, one per seed.

    Returns:
        The mean recall by language, from 0 to 1.

    """
    found: dict[str, list[float]] = {}
    for audits, setting in ((forward, "multi"), (backward, "cross")):
        for audit in audits:
            for k in CUTOFFS:
                measure = audit.measures[f"{setting}/hit@{k}"]
                for cell, value in zip(measure.cells, measure.cell_values(), strict=True):
                    found.setdefault(cell.removeprefix(f"{IMAGE} > "), []).append(float(value))
    return {lang: float(np.mean(values)) for lang, values in sorted(found.items())}


def picture_sections(results: Findings) -> list[Section]:
    """The additional sections of a comparison on pictures; none for texts."""
    back = next((on for on in results.benchmarks.values() if on.entries[0].corpus.endswith("(image to text)")), None)
    measured = all(f"multi/hit@{k}" in results.entries[0].means for k in CUTOFFS)
    recall = [_recall_section(results, back), *m3c_sections(results)] if back is not None and measured else []
    return [*recall, *_examples_section(results)]


def m3c_sections(results: Findings) -> list[Section]:
    """Mean recall on the parts of M3C that were tested, and the mean over their languages; none if no part was tested.

    M3C is Multi30K and multilingual MSCOCO captions with M3P's protocol; see `babelmix.corpus.readers.m3c`.
    """
    ways = {on.strategies()[0].corpus: on for on in (results, *results.benchmarks.values())}
    parts = [name for name in ways if name.startswith("m3c/") and f"{name} (image to text)" in ways]
    if not parts:
        return []
    rows, heads = [], list[str]()
    for place, entry in enumerate(results.entries):
        found: dict[str, float] = {}
        for name in parts:
            both = (ways[name].entries[place].audits, ways[f"{name} (image to text)"].entries[place].audits)
            found |= {f"{name.removeprefix('m3c/')} {lang}": value for lang, value in mean_recall(*both).items()}
        heads = list(found)
        rows.append(
            [entry.name, f"{np.mean(list(found.values())):.3f}", *(f"{value:.3f}" for value in found.values())]
        )
    note = "Mean recall by part and language, and their mean. M3C: Multi30K and multilingual MSCOCO captions, M3P's protocol."
    return [Section("M3C", note, tables=[Table(["encoder", "mean", *heads], rows)])]


def _recall_section(results: Findings, back: Findings) -> Section:
    unseen = set(results.experiment.training.pictures.text_only_langs)
    rows, langs = [], []
    for forward, backward in zip(results.entries, back.entries, strict=True):
        recall = mean_recall(forward.audits, backward.audits)
        langs = list(recall)
        groups = [[lang for lang in langs if lang not in unseen], [lang for lang in langs if lang in unseen]]
        means = [f"{np.mean([recall[lang] for lang in group]):.3f}" for group in groups if group]
        rows.append([forward.name, *means, *(f"{recall[lang]:.3f}" for lang in langs)])
    heads = ["seen", "unseen"] if unseen else ["mean"]
    note = "Mean of hit@1, 5 and 10, from captions to pictures and back, averaged over seeds."
    if unseen:
        note += f" Unseen: in training, {', '.join(sorted(unseen))} had no pictures, only other captions."
    return Section("Mean recall by language", note, tables=[Table(["encoder", *heads, *langs], rows)])


def _examples_section(results: Findings) -> list[Section]:
    examples = results.examples
    if not examples:
        return []
    first = next(iter(examples.values()))
    strips = []
    for number, query in enumerate(first):
        rows = [
            Strip(name, [(p.picture, p.words, p.item == query.item) for p in found[number].top])
            for name, found in examples.items()
        ]
        strips.append((f"{query.lang}: {query.text}", rows))
    return [
        Section(
            "What they find",
            "The first five pictures for one query in each of some languages, from the first seed of each strategy. A hash chose "
            "the queries. Green: the right picture.",
            strips=strips,
        )
    ]


__all__ = ["m3c_sections", "mean_recall", "picture_sections"]
