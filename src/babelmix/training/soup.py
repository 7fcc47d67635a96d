"""A model soup: the average of the weights after several audits of one run, chosen on the validation corpus.

Source: the greedy soup of Wortsman et al. (ICML 2022), Recipe 1. There the ingredients are the results of several runs; here they
are the best audits of one run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Soup:
    """The weights that were saved, as an average.

    Args:
        steps: the steps whose weights were averaged, in the order in which they were added.
        score: the score of the average on the validation corpus.

    """

    steps: tuple[int, ...]
    score: float


def greedy_soup(
    steps: Sequence[int],
    best: float,
    load: Callable[[int], Weights],
    score: Callable[[Weights], float],
    *,
    lower_is_better: bool = False,
) -> tuple[Soup, Weights]:
    """Add weights to an average one after another, and keep each that does not make the score of the average worse.

    Args:
        steps: the steps whose weights are tried, the best one first. It starts the soup.
        best: the score of the first.
        load: gives the weights of a step.
        score: gives the score of weights.
        lower_is_better: whether a lower score is better.

    Returns:
        The soup, and its weights.

    Examples:
        >>> found = {4: torch.tensor([1.0]), 2: torch.tensor([3.0]), 6: torch.tensor([-9.0])}
        >>> soup, weights = greedy_soup(
        ...     [4, 2, 6], 1.0, lambda step: {"w": found[step]}, lambda weights: abs(float(weights["w"]) - 2.0),
        ...     lower_is_better=True,
        ... )
        >>> soup, weights["w"].item()
        (Soup(steps=(4, 2), score=0.0), 2.0)

    """
    kept, total = [steps[0]], {name: tensor.double() for name, tensor in load(steps[0]).items()}
    average = load(steps[0])
    for step in steps[1:]:
        more = {name: total[name] + tensor.double() for name, tensor in load(step).items()}
        mean = {name: (tensor / (len(kept) + 1)).to(average[name].dtype) for name, tensor in more.items()}
        found = score(mean)
        if found <= best if lower_is_better else found >= best:
            kept, total, average, best = [*kept, step], more, mean, found
    return Soup(tuple(kept), best), average


def weights_file(folder: Path) -> Path:
    """The file of a soup in the folder of a run's checkpoints."""
    return folder / "soup.safetensors"


__all__ = ["Soup", "greedy_soup", "weights_file"]
