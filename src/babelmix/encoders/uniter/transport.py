"""Word-region alignment: the cost of optimal transport from words to regions (arXiv 1909.11740, section 3.2)."""

from __future__ import annotations

import torch
from torch.nn import functional as F  # noqa: N812


def transport_plan(
    cost: torch.Tensor,
    sources: torch.Tensor,
    targets: torch.Tensor,
    *,
    beta: float = 0.5,
    iterations: int = 50,
    inner: int = 1,
) -> torch.Tensor:
    """The optimal transport plan between two uniform distributions, without gradients.

    Each iteration applies Sinkhorn steps to the last plan. The plan converges to the exact one, not to a smoothed one.

    Source: IPOT, Xie et al., UAI 2019, arXiv 1802.04307.

    Args:
        cost: floating, shape (problems, sources, targets).
        sources: which sources exist, bool, shape (problems, sources), at least one each.
        targets: which targets exist, bool, shape (problems, targets), at least one each.
        beta: inverse step size: the smaller, the larger a step.
        iterations: number of iterations.
        inner: Sinkhorn steps per iteration.

    Returns:
        The plan, not negative, shape (problems, sources, targets). It is zero where there is no source or target. Its sums over
        sources are exactly uniform; its sums over targets approach uniform with more iterations.

    """
    there = sources[:, :, None] & targets[:, None, :]
    with torch.no_grad():
        kernel = torch.exp(-cost / beta) * there
        share = sources.to(cost.dtype) / sources.sum(1, keepdim=True)
        target_share = targets.to(cost.dtype) / targets.sum(1, keepdim=True)
        plan = there.to(cost.dtype)
        right = target_share
        for _ in range(iterations):
            moved = kernel * plan
            for _ in range(inner):
                left = _divided(share, torch.einsum("bst,bt->bs", moved, right))
                right = _divided(target_share, torch.einsum("bst,bs->bt", moved, left))
            plan = left[:, :, None] * moved * right[:, None, :]
    return plan


def transport_distance(
    words: torch.Tensor,
    regions: torch.Tensor,
    is_word: torch.Tensor,
    is_region: torch.Tensor,
    *,
    beta: float = 0.5,
    iterations: int = 50,
    inner: int = 1,
) -> torch.Tensor:
    """The transport cost from the words of a text to the regions of an image. Gradients flow through costs, not the plan.

    Args:
        words: floating, shape (pairs, words, width).
        regions: floating, shape (pairs, regions, width).
        is_word: bool, shape (pairs, words).
        is_region: bool, shape (pairs, regions).
        beta: see `transport_plan`.
        iterations: see `transport_plan`.
        inner: see `transport_plan`.

    Returns:
        Floating, shape (pairs,), from 0 (all aligned) to 2. The cost of a word and a region is 1 minus their cosine.

    """
    cost = 1 - F.normalize(words, dim=-1, eps=1e-12) @ F.normalize(regions, dim=-1, eps=1e-12).transpose(1, 2)
    plan = transport_plan(
        cost.detach(), is_word, is_region, beta=beta, iterations=iterations, inner=inner,
    )  # fmt: skip
    return (cost * plan).sum((1, 2))


def _divided(share: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """`share / by`, and zero where `share` is zero."""
    return torch.where(share > 0, share / torch.where(share > 0, by, 1.0), 0.0)
