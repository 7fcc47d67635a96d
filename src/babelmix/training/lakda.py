"""LaKDA: the score distributions of two translations should be the same, by a divergence in one direction.

Source: Yang et al. (MRL 2024, arXiv 2509.06195): `(1 - a) * InfoNCE + a * KL(p_b | p_a)`. p_a is the distribution of a query over
the documents of the batch, p_b that of its translation. The scores are cosines without a temperature, and both sides have
gradients, as in the code of MIMO (arXiv 2605.31171), where a = 0.5. The authors compare queries; passages are compared as in
`consistency`.
"""

from __future__ import annotations

import torch
from torch.nn.functional import log_softmax

from babelmix.training.consistency import BetweenRenderings, answer_or_other
from babelmix.training.data import is_query
from babelmix.training.terms import StepEmbeddings


class LaKDA(BetweenRenderings):
    """The divergences in one direction, of cosines without a temperature."""

    def of_rows(self, step: StepEmbeddings, name: str, query: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """The divergence of each row, shape (rows,)."""
        scores = query @ step.unit_pool.T
        if is_query(name):
            first, second = log_softmax(scores, dim=1), log_softmax(other @ step.unit_pool.T, dim=1)
        else:
            first, second = answer_or_other(scores, (query * other).sum(1), step.own)
        return (second.exp() * (second - first)).sum(1)


__all__ = ["LaKDA"]
