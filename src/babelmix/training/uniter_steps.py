"""The losses of UNITER for one batch (arXiv 1909.11740): the pre-training tasks, and ranking.

All random numbers come from a generator that is seeded by a key. The same key, batch and weights give the same loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F  # noqa: N812

from babelmix.batches.keyed import derive_key, uniform
from babelmix.encoders.uniter import Regions, Uniter
from babelmix.encoders.uniter.heads import alignment_loss, feature_loss, hard_label_loss, soft_label_loss
from babelmix.errors import TrainingError

TASKS = ("mlm", "itm", "mrfr", "mrc", "mrckl")
"""The pre-training tasks: masked words, matching with word-region alignment, and three for masked regions: their features, their
likeliest class, and their class probabilities."""

NEED_LABELS = ("mrc", "mrckl")
_LOOKED_AT = 64
"""The number of pairs per forward pass in the search for hard negatives."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PairBatch:
    """A batch: text `i` belongs to image `i` and to no other of the batch.

    Args:
        tokens: the tokens of each text, int64, shape (tokens,).
        regions: the regions of each image.

    """

    tokens: Sequence[Ints]
    regions: Sequence[Regions]

    def __len__(self) -> int:
        return len(self.tokens)

    def labelled(self) -> PairBatch:
        """The pairs whose image has soft labels."""
        kept = [row for row, image in enumerate(self.regions) if image.soft_labels is not None]
        return PairBatch([self.tokens[row] for row in kept], [self.regions[row] for row in kept])


def draw_task(tasks: Mapping[str, float], batch: PairBatch, seed: int, step: int) -> str:
    """Draw a pre-training task by weight. Tasks that need soft labels are left out if the batch has none.

    Raises:
        TrainingError: no task is left.

    """
    labelled = any(image.soft_labels is not None for image in batch.regions)
    names = [name for name in TASKS if tasks.get(name, 0) > 0 and (labelled or name not in NEED_LABELS)]
    if not names:
        raise TrainingError(
            f"step {step}: none of the tasks {', '.join(tasks)} can be trained, because no image of the batch has soft labels; "
            "add another task"
        )
    bounds = np.cumsum([tasks[name] for name in names])
    drawn = uniform(derive_key(seed, "task", step)) * bounds[-1]
    return names[min(int(np.searchsorted(bounds, drawn, side="right")), len(names) - 1)]


def pretraining_loss(
    model: Uniter, batch: PairBatch, task: str, key: int, *, mask_share: float = 0.15, alignment_weight: float = 0.1
) -> torch.Tensor:
    """The loss of one pre-training task, a scalar.

    Either words or regions are masked, never both ("conditional masking").

    Args:
        model: a model in training mode.
        batch: the pairs.
        task: one of `TASKS`.
        key: the key of the random numbers.
        mask_share: the share of words or regions that are masked; at least one of each text or image.
        alignment_weight: the weight of word-region alignment in the matching task.

    """
    rng = np.random.default_rng(key)
    if task == "mlm":
        return _masked_words(model, batch, rng, mask_share)
    if task == "itm":
        return _matching(model, batch, rng, alignment_weight)
    return _masked_regions(model, batch if task == "mrfr" else batch.labelled(), task, rng, mask_share)


def _own_pairs(batch: PairBatch) -> Ints:
    return np.repeat(np.arange(len(batch))[:, None], 2, axis=1)


def _some(rng: np.random.Generator, count: int, share: float) -> npt.NDArray[np.bool_]:
    """Choose each of `count` with probability `share`, but at least one; bool, shape (count,)."""
    chosen = rng.random(count) < share
    chosen[rng.integers(count)] |= not chosen.any()
    return chosen


def _masked_words(model: Uniter, batch: PairBatch, rng: np.random.Generator, share: float) -> torch.Tensor:
    tokenizer = model.tokenizer
    special = (tokenizer.pad, tokenizer.unknown, tokenizer.first, tokenizer.last, tokenizer.mask)
    words = np.setdiff1d(np.arange(len(tokenizer)), special)
    hidden, rows, places, wanted = [], [], [], []
    for row, tokens in enumerate(batch.tokens):
        # Without [CLS] and [SEP].
        at = 1 + np.flatnonzero(_some(rng, len(tokens) - 2, share))
        how = rng.random(len(at))
        changed = tokens.copy()
        changed[at[how < 0.8]] = tokenizer.mask
        replaced = at[how >= 0.9]
        changed[replaced] = rng.choice(words, len(replaced))
        hidden.append(changed)
        rows.append(np.full(len(at), row))
        places.append(at)
        wanted.append(tokens[at])
    body = model.uniter
    packed = body.pair(body.embed_texts(hidden), body.embed_regions(batch.regions), _own_pairs(batch))
    states = body(packed)[_on(model, np.concatenate(rows)), _on(model, np.concatenate(places))]
    return F.cross_entropy(model.word_logits(states), _on(model, np.concatenate(wanted)))


def _masked_regions(
    model: Uniter, batch: PairBatch, task: str, rng: np.random.Generator, share: float
) -> torch.Tensor:
    chosen = [_some(rng, len(image), share) for image in batch.regions]
    body = model.uniter
    texts = body.embed_texts(batch.tokens)
    packed = body.pair(texts, body.embed_regions(batch.regions, np.concatenate(chosen)), _own_pairs(batch))
    rows = np.concatenate([np.full(mask.sum(), row) for row, mask in enumerate(chosen)])
    places = np.concatenate(
        [len(text) + np.flatnonzero(mask) for text, mask in zip(batch.tokens, chosen, strict=True)]
    )
    states = body(packed)[_on(model, rows), _on(model, places)]
    source = "features" if task == "mrfr" else "soft_labels"
    hidden = [getattr(image, source)[mask] for image, mask in zip(batch.regions, chosen, strict=True)]
    wanted = _on(model, np.concatenate(hidden)).to(states.dtype)
    if task == "mrfr":
        return feature_loss(model.region_features(states), wanted)
    logits = model.region_logits(states)
    return hard_label_loss(logits, wanted) if task == "mrc" else soft_label_loss(logits, wanted)


def _matching(model: Uniter, batch: PairBatch, rng: np.random.Generator, alignment_weight: float) -> torch.Tensor:
    pairs = _own_pairs(batch)
    apart = rng.random(len(batch)) < 0.5
    # Any image of the batch except the text's own.
    shift = rng.integers(1, len(batch), len(batch))
    pairs[apart, 1] = (pairs[apart, 1] + shift[apart]) % len(batch)
    body = model.uniter
    packed = body.pair(body.embed_texts(batch.tokens), body.embed_regions(batch.regions), pairs)
    states = body(packed)
    together = _on(model, ~apart)
    loss = F.cross_entropy(model.match(body.pool(states)), together.long())
    return loss + alignment_weight * alignment_loss(states, packed, together) if alignment_weight else loss


def ranking_loss(
    model: Uniter,
    batch: PairBatch,
    key: int,
    *,
    margin: float = 0.2,
    positives: int = 0,
    negatives: int = 1,
    hard_negatives: int = 0,
    hard_pool: int = 0,
) -> torch.Tensor:
    """The ranking loss, a scalar: the mean of max(0, margin + score of a wrong pair - score of the right pair).

    Scores are between 0 and 1. Wrong images and wrong texts come from the batch, so the batches decide their languages. Hard
    negatives are those of a random pool that the current model scores highest.

    Args:
        model: a model in training mode.
        batch: the pairs.
        key: the key of the random numbers.
        margin: the margin between the scores.
        positives: the number of pairs that are trained on, the first of the batch. The others are negatives only. 0: all pairs.
        negatives: the number of random wrong images for each pair, and of wrong texts.
        hard_negatives: the number of hard wrong images for each pair, and of hard wrong texts.
        hard_pool: the size of the pool of hard negatives, without the random ones. 0: all the rest of the batch.

    """
    rng = np.random.default_rng(key)
    anchors = np.arange(min(positives or len(batch), len(batch)))
    wrong = [np.stack([_others(rng, len(batch), int(row)) for row in anchors]) for _ in range(2)]
    pools = [_beside(anchors, one[:, negatives:][:, : hard_pool or None], side) for side, one in enumerate(wrong)]
    pairs = [_beside(anchors, one[:, :negatives], side) for side, one in enumerate(wrong)]
    if hard_negatives and pools[0].size:
        pairs += _hardest(model, batch, pools, hard_negatives)
    wanted = np.concatenate([np.repeat(anchors[:, None, None], 2, axis=2), *pairs], axis=1)
    body = model.uniter
    packed = body.pair(
        body.embed_texts(batch.tokens), body.embed_regions(batch.regions), np.ascontiguousarray(wanted.reshape(-1, 2))
    )
    scores = model.rank(body.pool(body(packed, first_only=True))).sigmoid().view(wanted.shape[:2])
    return (margin + scores[:, 1:] - scores[:, :1]).clamp(min=0).mean()


def _others(rng: np.random.Generator, count: int, row: int) -> Ints:
    """All rows except one, in random order, int64, shape (count - 1,)."""
    order = rng.permutation(count - 1)
    return order + (order >= row)


def _beside(anchors: Ints, wrong: Ints, side: int) -> Ints:
    """The pairs of each anchor with wrong images (side 0) or wrong texts (side 1), int64, shape (anchors, wrong, 2)."""
    own = np.broadcast_to(anchors[:, None], wrong.shape)
    return np.stack([own, wrong] if side == 0 else [wrong, own], axis=2)


def _hardest(model: Uniter, batch: PairBatch, pools: list[Ints], count: int) -> list[Ints]:
    """The pairs of each pool with the highest scores; for each pool int64, shape (anchors, count, 2)."""
    body, training = model.uniter, model.training
    model.eval()
    with torch.no_grad():
        texts, images = body.embed_texts(batch.tokens), body.embed_regions(batch.regions)
        found = []
        for pool in pools:
            flat = pool.reshape(-1, 2)
            scores = [
                model.rank(body.pool(body(body.pair(texts, images, flat[at : at + _LOOKED_AT]), first_only=True)))
                for at in range(0, len(flat), _LOOKED_AT)
            ]
            best = torch.cat(scores).view(pool.shape[:2]).argsort(dim=1, descending=True, stable=True)[:, :count]
            found.append(np.take_along_axis(pool, best.cpu().numpy()[:, :, None], axis=1))
    model.train(training)
    return found


def _on(model: Uniter, array: npt.NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(array).to(model.device)
