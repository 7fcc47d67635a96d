"""Training by rows against torch's own sparse gradients and SparseAdam."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from babelmix.training.rows import RowAdam, RowEmbeddingBag, row_gradients


def bags(seed: int, vocabulary: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Bags of 0 to 9 ids, many of them repeated."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, 10, (count,), generator=generator)
    ids = torch.randint(0, vocabulary, (int(lengths.sum()),), generator=generator)
    return ids, lengths.cumsum(0) - lengths


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), vocabulary=st.integers(1, 40), count=st.integers(1, 12))
def test_gradients_equal_torch_s(seed: int, vocabulary: int, count: int) -> None:
    ids, offsets = bags(seed, vocabulary, count)
    weight = torch.randn(vocabulary, 5, generator=torch.Generator().manual_seed(seed))
    stock = torch.nn.EmbeddingBag.from_pretrained(weight.clone(), freeze=False, mode="mean", sparse=True)
    ours = RowEmbeddingBag(torch.nn.Parameter(weight.clone()))
    direction = torch.randn(count, 5, generator=torch.Generator().manual_seed(seed + 1))
    outputs = []
    for module in (stock, ours):
        output = module(ids, offsets)
        (output * direction).sum().backward()
        outputs.append(output)
    assert torch.equal(*outputs)
    assert ours.weight.grad._indices()[0].tolist() == sorted(set(ids.tolist()))
    torch.testing.assert_close(ours.weight.grad.to_dense(), stock.weight.grad.to_dense())


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.9)])
def test_steps_equal_sparse_adam(betas: tuple[float, float]) -> None:
    weight = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0))
    stock, ours = (torch.nn.Parameter(weight.clone()) for _ in range(2))
    optimizers = [cls([p], lr=0.05, betas=betas) for cls, p in ((torch.optim.SparseAdam, stock), (RowAdam, ours))]
    for step in range(6):
        generator = torch.Generator().manual_seed(step)
        # More rows than a block, some of them twice, and most of the vocabulary untouched in some steps.
        rows = torch.randint(0, 2000 if step % 2 else 300, (1500,), generator=generator)
        values = torch.randn(1500, 3, generator=generator)
        for parameter, optimizer in zip((stock, ours), optimizers, strict=True):
            parameter.grad = torch.sparse_coo_tensor(rows[None], values.clone(), (2000, 3), check_invariants=False)
            optimizer.param_groups[0]["lr"] = 0.05 / (step + 1)
            optimizer.step()
    torch.testing.assert_close(ours, stock, rtol=1e-5, atol=1e-6)
    assert (ours != weight).any(dim=1).sum() > 1000


def test_a_saved_optimizer_goes_on_as_if_nothing_had_happened() -> None:
    def move(parameter: torch.nn.Parameter, optimizer: RowAdam, step: int) -> None:
        rows = torch.tensor([[step, 3, 7]])
        parameter.grad = torch.sparse_coo_tensor(rows, torch.ones(3, 2) * (step + 1), (9, 2), check_invariants=False)
        optimizer.step()

    straight = torch.nn.Parameter(torch.zeros(9, 2))
    optimizer = RowAdam([straight], lr=0.1)
    move(straight, optimizer, 0)
    resumed = torch.nn.Parameter(straight.detach().clone())
    other = RowAdam([resumed], lr=0.9)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in (1, 2):
        move(straight, optimizer, step)
        move(resumed, other, step)
    assert torch.equal(straight, resumed)


def test_the_encoder_is_as_it_was_afterwards(tiny_static) -> None:
    before = tiny_static[0].embedding
    with row_gradients(tiny_static):
        assert isinstance(tiny_static[0].embedding, RowEmbeddingBag)
        assert tiny_static[0].embedding.weight is before.weight
    assert tiny_static[0].embedding is before
