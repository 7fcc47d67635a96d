"""A cross-encoder of sentence-transformers as a reranker."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from babelmix.errors import EngineError, first_line, require
from babelmix.search.reranking.base import DEPTH, Floats, Reranker, checked_scores


class CrossEncoderReranker(Reranker):
    """A cross-encoder in this process. One instance may be used by several threads; they wait for each other.

    Its scores are log-odds: the sigmoid that many cross-encoders end with is left out, because it crowds scores at 0 and 1. The
    order of the texts is the same.

    Args:
        name: a folder, or a name of the Hugging Face hub.
        device: a torch device; None: the best one that is available.
        batch_size: the number of pairs per forward pass.
        max_length: cut pairs after this many tokens; None: the model's own limit.
        depth: the rows of a query that are scored.
        revision: branch, tag or commit of a hub model.
        trust_code: run code that the model contains or names; see `load_encoder`.

    Raises:
        EncoderError: there is no such cross-encoder, or it cannot be used; see `open_cross_encoder`.
        MissingExtraError: the extra `train` is not installed.

    """

    def __init__(
        self,
        name: str,
        *,
        device: str | None = None,
        batch_size: int = 32,
        max_length: int | None = None,
        depth: int = DEPTH,
        revision: str | None = None,
        trust_code: bool = False,
    ) -> None:
        require("sentence_transformers", "train", "A reranker in this process")
        from babelmix.encoders.cross_encoders import open_cross_encoder

        self.name, self.batch_size, self.depth = name, batch_size, depth
        self._lock = threading.Lock()
        self._model = open_cross_encoder(
            name, device=device, max_length=max_length, revision=revision, trust_code=trust_code
        )

    def scores(self, query: str, texts: Sequence[str]) -> Floats:
        """See `Reranker.scores`."""
        return self.scores_of_lists([query], [texts])[0]

    def scores_of_lists(self, queries: Sequence[str], lists: Sequence[Sequence[str]]) -> list[Floats]:
        """See `Reranker.scores_of_lists`; the pairs of all queries share forward passes."""
        from torch.nn import Identity

        pairs = [(query, text) for query, texts in zip(queries, lists, strict=True) for text in texts]
        if not pairs:
            return [np.zeros(0, dtype=np.float32) for _ in lists]
        try:
            with self._lock:
                given = self._model.predict(
                    pairs, batch_size=self.batch_size, show_progress_bar=False, activation_fn=Identity()
                )
        except RuntimeError as error:  # torch: out of memory, and the like
            raise EngineError(f"{self.name}: the reranker fails ({first_line(error)})") from error
        found = checked_scores(np.asarray(given).reshape(-1), len(pairs), self.name)
        ends = list(accumulate((len(texts) for texts in lists), initial=0))
        return [found[start:end] for start, end in pairwise(ends)]


__all__ = ["CrossEncoderReranker"]
