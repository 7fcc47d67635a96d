"""Scores of pairs: every one, or those that a first stage thinks best.

A cross-encoder has to read every pair. What does not depend on the other half is made once all the same: each text is
tokenised once, each image's regions are embedded once. Pairs are read in batches of about one length, so that little is
padding.
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
"""Texts whose pairs are sorted by length together, and whose tokens are embedded at once."""

_IMAGES = 256
"""Images embedded at once."""

_EXACT = 1 << 23
"""Below it float32 has every whole number and every half."""


@dataclass(frozen=True, eq=False)
class UniterScores:
    """Scores of texts and images, and how they were made: figures of the two ways are not comparable.

    Args:
        scores: float32, shape (texts, images): the higher, the better; see `score_matrix`.
        mode: `"full"`: every pair was read; `"rerank-topk"`: the best `k` of a first stage only.
        k: how many of each query's answers were read; None in full mode.
        query: what `k` answers were read for each of: `"text"` or `"image"`; None in full mode.
        pairs: how many were read.
        seconds: it took.

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
    """Scores of some pairs, as UNITER's ranking head gives them (arXiv 1909.11740, section 4).

    Args:
        model: what reads them; it is in evaluation mode meanwhile.
        texts: all texts.
        regions: of all images.
        pairs: integers, shape (pairs, 2): a text's row and an image's.
        batch_size: pairs a forward pass.

    Returns:
        float32, shape (pairs,): logits, of which the higher means the better; before the sigmoid, which would round the
        best ones to one number.

    Raises:
        EncoderError: a text or image is empty or does not fit the model, a pair names a row that is not there, or a score
            is not finite.

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
    # Here, where an image's row is still the caller's.
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
    """Scores of every text with every image.

    Mode `"full"` reads every pair, as the paper does (arXiv 1909.11740). Mode `"rerank-topk"` reads for each text the `k`
    images that `first_stage` thinks best (of equals those in the lower rows), or for each image the `k` best texts. Its
    scores are UNITER's for what was read, and for all else whole numbers below every score that was read: with `lowest`
    the greatest whole number not above any of those, a query's next best answer by the first stage has `lowest - 1`, the
    one after it `lowest - 2`, and so on; answers that are equal in the first stage are so here. A stable sort of a query's
    answers by descending score thus gives what was read in UNITER's order, and then all others in the first stage's.

    Args:
        model: what reads the pairs; it is in evaluation mode meanwhile.
        texts: all texts.
        regions: of all images.
        mode: see above.
        first_stage: floating, shape (texts, images): scores of another model; for `"rerank-topk"`.
        k: answers read for each query; all of them if there are fewer.
        query: whose answers are ranked: a text's images, or an image's texts.
        batch_size: pairs a forward pass.

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
            raise EncoderError("mode 'full' reads every pair and has no use for first-stage scores")
        scores = _full(model, texts, regions, batch_size)
        return UniterScores(scores, mode, None, None, scores.size, time.perf_counter() - started)
    if mode != "rerank-topk":
        raise EncoderError(f"there is no mode {mode!r}; use 'full' or 'rerank-topk'")
    if query not in ("text", "image"):
        raise EncoderError(f"the query is {query!r}, neither 'text' nor 'image'")
    if k < 1:
        raise EncoderError(f"the best {k} answers of each query cannot be read")
    if first_stage is None:
        raise EncoderError("mode 'rerank-topk' needs first-stage scores: of a dual encoder, for instance")
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
    """Scores that put what was read first; all of shape (queries, ...)."""
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
    """Evaluation mode without gradients; each module's own mode is restored."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, training in before:
            module.training = training


class _Reader:
    """Reads pairs of texts and images whose regions are embedded beforehand.

    One table holds the tokens of some texts at its start and the regions of all images after them.
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
        """Scores of pairs, float32, shape (pairs,); of at most `_TEXTS` distinct texts."""
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
