"""The sections of a comparison on pictures: mean recall by language, and what the strategies found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from babelmix.audit import Audit
from babelmix.corpus import IMAGE
from babelmix.experiment.report.page import Section, Strip, Table
from babelmix.experiment.results import Results

CUTOFFS = (1, 5, 10)


def mean_recall(forward: Sequence[Audit], backward: Sequence[Audit]) -> dict[str, float]:
    """Mean recall by language: the mean of hit@1, 5 and 10 from captions to pictures and back, averaged over audits.

    Args:
        forward: audits from captions to pictures, one a seed.
        backward: audits from pictures to captions, one a seed.

    Returns:
        By language, between 0 and 1.

    """
    found: dict[str, list[float]] = {}
    for audits, setting in ((forward, "multi"), (backward, "cross")):
        for audit in audits:
            for k in CUTOFFS:
                measure = audit.measures[f"{setting}/hit@{k}"]
                for cell, value in zip(measure.cells, measure.cell_values(), strict=True):
                    found.setdefault(cell.removeprefix(f"{IMAGE} > "), []).append(float(value))
    return {lang: float(np.mean(values)) for lang, values in sorted(found.items())}


def picture_sections(results: Results) -> list[Section]:
    """What a comparison on pictures shows besides; nothing for texts."""
    back = next((on for on in results.benchmarks.values() if on.entries[0].corpus.endswith("(image to text)")), None)
    wanted = [f"multi/hit@{k}" for k in CUTOFFS]
    if back is None or any(name not in results.entries[0].means for name in wanted):
        return []
    return [_recall_section(results, back), *_examples_section(results)]


def _recall_section(results: Results, back: Results) -> Section:
    unseen = set(results.experiment.training.get("text_only_langs") or [])
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
        note += f" Unseen: {', '.join(sorted(unseen))} never stood beside a picture in training, only beside other captions."
    return Section("Mean recall by language", note, tables=[Table(["encoder", *heads, *langs], rows)])


def _examples_section(results: Results) -> list[Section]:
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
            "The first five pictures for a query in each of some languages, by the first seed of each strategy. Queries were "
            "drawn by a hash, not chosen. Green: the right one.",
            strips=strips,
        )
    ]


__all__ = ["mean_recall", "picture_sections"]
