"""Score pairs of texts and images with UNITER: all pairs, or the best answers of a first stage.

A cross-encoder must read the text and the image of a pair together, so all pairs pass through the transformer. Each text is
tokenised only once, and the regions of each image are embedded only once. Pairs of similar length share a batch, so that there
is little padding.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from babelmix._lists import as_list
from babelmix._progress import Ticker, progress_bar
from babelmix.encoders.uniter.heads import Uniter
from babelmix.encoders.uniter.model import Ints, check_regions, pack
from babelmix.encoders.uniter.regions import Regions
from babelmix.errors import EncoderError

Floats = npt.NDArray[np.float32]

_TEXTS = 256
"""Number of texts whose pairs are sorted by length together, and whose tokens are embedded at once."""

_IMAGES = 256
"""Number of images that are embedded at once."""

_EXACT = 1 << 23
"""Up to this number, float32 represents every integer and every half exactly."""


@dataclass(frozen=True, eq=False)
class UniterScores:
    """Scores of texts and images, and how they were computed. Results of the two modes are not comparable.

    Args:
        scores: float32, shape (texts, images). Higher is better; see `score_matrix`.
        mode: `"full"`: every pair was read. `"rerank-topk"`: only the best `k` answers of a first stage were read.
        k: number of answers that were read for each query; None in full mode.
        query: what a query is: `"text"` or `"image"`; None in full mode.
        pairs: number of pairs that were read.
        seconds: time of scoring.

    """

    scores: Floats
    mode: Literal["full", "rerank-topk"]
    k: int | None
    query: Literal["text", "image"] | None
    pairs: int
    seconds: float


def score_pairs(
    model: Uniter,
    texts: str | Sequence[str],
    regions: Sequence[Regions],
    pairs: npt.NDArray[np.integer],
    *,
    batch_size: int = 64,
) -> Floats:
    """Score pairs with the ranking head of UNITER.

    Source: arXiv 1909.11740, section 4.

    Args:
        model: the model. It is in evaluation mode during the call.
        texts: all texts.
        regions: the regions of all images.
        pairs: rows of the text and the image of each pair, integers, shape (pairs, 2).
        batch_size: pairs per forward pass.

    Returns:
        Logits, float32, shape (pairs,). Higher is better. They are taken before the sigmoid, which would round the best ones to
        1.

    Raises:
        EncoderError: a text or image is empty or does not fit the model, a row does not exist, or a score is not finite.

    """
    texts = as_list(texts, "texts", EncoderError)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise EncoderError(f"pairs are {pairs.dtype} of shape {pairs.shape}, not whole numbers of shape (pairs, 2)")
    own = pairs.astype(np.int64)
    for side, rows, what in ((0, len(texts), "texts"), (1, len(regions), "images")):
        outside = np.flatnonzero((own[:, side] < 0) | (own[:, side] >= rows))
        if len(outside):
            raise EncoderError(f"pair {outside[0]} names row {own[outside[0], side]} of {rows} {what}")
    scores = np.empty(len(own), dtype=np.float32)
    if len(own) == 0:
        return scores
    # Check here, so that messages have the caller's rows.
    check_regions(model.config, regions)
    with _reading(model), progress_bar("scoring", len(own), "pairs") as bar:
        used, images = np.unique(own[:, 1], return_inverse=True)
        reader = _Reader(model, texts, [regions[row] for row in used], batch_size, bar)
        by_text = np.argsort(own[:, 0], kind="stable")
        starts = np.flatnonzero(np.diff(own[by_text, 0], prepend=-1))[::_TEXTS]
        for chosen in np.split(by_text, starts[1:]):
            scores[chosen] = reader.read(own[chosen, 0], images[chosen])
    return scores


def score_matrix(
    model: Uniter,
    texts: str | Sequence[str],
    regions: Sequence[Regions],
    *,
    mode: Literal["full", "rerank-topk"] = "full",
    first_stage: Floats | None = None,
    k: int = 128,
    query: Literal["text", "image"] = "text",
    batch_size: int = 64,
) -> UniterScores:
    """Score every text with every image.

    Mode `"full"` reads every pair, as in the paper (arXiv 1909.11740). Mode `"rerank-topk"` reads, for each text, only the `k`
    images with the highest `first_stage` scores, or for each image the `k` best texts. Among equal scores, the answers in lower
    rows are read.

    In `"rerank-topk"`, answers that were read have UNITER's scores. All other answers have integers below these, in the order
    of the first stage: with `lowest` the floor of the lowest score that was read, the next best answer has `lowest - 1`, the
    one after it `lowest - 2`, and so on. Equal answers of the first stage stay equal. So a stable sort by descending score
    gives the answers that were read in UNITER's order, then all others in the order of the first stage.

    Args:
        model: the model. It is in evaluation mode during the call.
        texts: all texts.
        regions: the regions of all images.
        mode: see above.
        first_stage: scores of another model for `"rerank-topk"`, floating, shape (texts, images).
        k: number of answers that are read for each query; all answers if there are fewer.
        query: what a query is: `"text"`, whose answers are images, or `"image"`, whose answers are texts.
        batch_size: pairs per forward pass.

    Returns:
        The scores, and how they were computed.

    Raises:
        EncoderError: as `score_pairs`; an unknown mode; or first-stage scores that are missing, superfluous, not finite or
            of another shape.

    """
    texts = as_list(texts, "texts", EncoderError)
    started = time.perf_counter()
    shape = (len(texts), len(regions))
    if 0 in shape:
        raise EncoderError(f"there are {shape[0]} texts and {shape[1]} images: nothing to score")
    if mode == "full":
        if first_stage is not None:
            raise EncoderError("mode 'full' reads every pair; leave first-stage scores out")
        scores = _full(model, texts, regions, batch_size)
        return UniterScores(scores, mode, None, None, scores.size, time.perf_counter() - started)
    if mode != "rerank-topk":
        raise EncoderError(f"there is no mode {mode!r}; use 'full' or 'rerank-topk'")
    if query not in ("text", "image"):
        raise EncoderError(f"the query is {query!r}, neither 'text' nor 'image'")
    if k < 1:
        raise EncoderError(f"the best {k} answers of each query cannot be read")
    if first_stage is None:
        raise EncoderError("mode 'rerank-topk' needs first-stage scores, such as those of a dual encoder")
    if first_stage.shape != shape or not np.isfinite(first_stage).all():
        raise EncoderError(f"first-stage scores are not finite numbers of shape {shape}, but of {first_stage.shape}")
    by_query = first_stage if query == "text" else first_stage.T
    k = min(k, by_query.shape[1])
    answers = np.stack([np.argsort(-row, kind="stable")[:k] for row in by_query])
    pairs = np.stack([np.repeat(np.arange(len(answers)), k), answers.ravel()], axis=1)
    read = score_pairs(model, texts, regions, pairs if query == "text" else pairs[:, ::-1], batch_size=batch_size)
    scores = _before_all_others(by_query, answers, read.reshape(answers.shape))
    scores = scores if query == "text" else np.ascontiguousarray(scores.T)
    return UniterScores(scores, mode, k, query, len(pairs), time.perf_counter() - started)


def _before_all_others(first_stage: Floats, answers: Ints, read: Floats) -> Floats:
    """Scores in which answers that were read rank before all others; all arrays have shape (queries, ...)."""
    lowest = float(np.floor(read.min()))
    if abs(lowest) + first_stage.shape[1] > _EXACT:
        raise EncoderError(
            f"a score of {lowest:g} leaves no whole numbers for {first_stage.shape[1]} answers below it"
        )
    scores = np.empty(first_stage.shape, dtype=np.float32)
    for row, (before, best) in enumerate(zip(first_stage, answers, strict=True)):
        others = np.ones(len(before), dtype=bool)
        others[best] = False
        if others.any():
            _, place = np.unique(-before[others], return_inverse=True)
            scores[row, others] = lowest - 1 - place
        scores[row, best] = read[row]
    return scores


def _full(model: Uniter, texts: Sequence[str], regions: Sequence[Regions], batch_size: int) -> Floats:
    check_regions(model.config, regions)
    scores = np.empty((len(texts), len(regions)), dtype=np.float32)
    images = np.arange(len(regions))
    with _reading(model), progress_bar("scoring", scores.size, "pairs") as bar:
        reader = _Reader(model, texts, regions, batch_size, bar)
        for start in range(0, len(texts), _TEXTS):
            rows = np.arange(start, min(start + _TEXTS, len(texts)))
            read = reader.read(np.repeat(rows, len(images)), np.tile(images, len(rows)))
            scores[rows] = read.reshape(len(rows), len(images))
    return scores


@contextmanager
def _reading(model: Uniter) -> Iterator[None]:
    """Evaluation mode without gradients. Afterwards each module has its former mode."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, training in before:
            module.training = training


class _Reader:
    """Scores pairs of texts and images. The regions of all images are embedded at the start.

    One table has the tokens of some texts first, then the regions of all images.
    """

    def __init__(
        self, model: Uniter, texts: Sequence[str], regions: Sequence[Regions], batch_size: int, bar: Ticker
    ) -> None:
        if batch_size < 1:
            raise EncoderError(f"a batch of {batch_size} pairs is empty")
        self.model, self.batch_size, self.bar = model, batch_size, bar
        self.tokens = model.tokenizer.encode(texts, max_text=model.config.max_text)
        self.region_lengths = torch.tensor([len(image) for image in regions])
        longest = sorted((len(text) for text in self.tokens), reverse=True)
        self.room = sum(longest[:_TEXTS])
        self.region_starts = self.room + self.region_lengths.cumsum(0) - self.region_lengths
        body, width = model.uniter, model.config.hidden_size
        self.table = torch.empty(
            (self.room + int(self.region_lengths.sum()), width), dtype=body.dtype, device=body.device
        )
        place = self.room
        for start in range(0, len(regions), _IMAGES):
            values = body.embed_regions(regions[start : start + _IMAGES]).values
            self.table[place : place + len(values)] = values
            place += len(values)

    def read(self, text: Ints, image: Ints) -> Floats:
        """Scores of pairs with at most `_TEXTS` different texts, float32, shape (pairs,)."""
        rows, text = np.unique(text, return_inverse=True)
        parts = self.model.uniter.embed_texts([self.tokens[row] for row in rows])
        self.table[: len(parts.values)] = parts.values
        at_text, at_image = torch.from_numpy(text), torch.from_numpy(image)
        lengths = parts.lengths[at_text] + self.region_lengths[at_image]
        order = torch.sort(lengths, stable=True, descending=True).indices
        starts = parts.starts
        scores = torch.empty(len(text))
        found = []
        for chosen in torch.split(order, self.batch_size):
            a, b = at_text[chosen], at_image[chosen]
            packed = pack(self.table, starts[a], parts.lengths[a], self.region_starts[b], self.region_lengths[b])
            states = self.model.uniter(packed, first_only=True)
            found.append(self.model.rank(self.model.uniter.pool(states)))
            self.bar.advance(len(chosen))
        scores[order] = torch.cat(found).float().cpu()
        if not torch.isfinite(scores).all():
            bad = int((~torch.isfinite(scores)).nonzero()[0])
            raise EncoderError(
                f"the score of text {rows[text[bad]]} and an image is not finite: the weights are damaged"
            )
        return scores.numpy()
