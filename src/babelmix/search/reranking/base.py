"""The protocol of a reranker, which scores pairs of a query and a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from babelmix.errors import EngineError, SearchError

Floats = npt.NDArray[np.float32]

DEPTH = 50
"""The rows of a query that are scored, by default."""

MAX_DEPTH = 1000
"""The most rows of a query that are scored."""


class Reranker(Protocol):
    """A model that reads a query and a text together, and scores how well the text answers the query.

    Write your own as a subclass: only `name` and `scores` are needed. `babelmix serve` calls it from several threads at once.

    Examples:
        >>> class Shortest(Reranker):
        ...     name = "shortest"
        ...
        ...     def scores(self, query, texts):
        ...         return np.array([-len(text) for text in texts], dtype=np.float32)
        >>> Shortest().scores_of_lists(["a dog"], [["ein Hund", "un chien noir"]])
        [array([ -8., -13.], dtype=float32)]

    """

    name: str
    """The name for messages and reports: a model, or a URL without its secrets."""

    depth: int = DEPTH
    """The rows of a query that are scored; more if more are asked for."""

    def scores(self, query: str, texts: Sequence[str]) -> Floats:
        """The scores of some texts for a query. Higher is better.

        Scores of one query are compared with each other. To calibrate them per language, they are averaged, so that log-odds suit
        better than probabilities, which crowd at 0 and 1.

        Returns:
            float32, shape (texts,).

        Raises:
            EngineError: the reranker fails.

        """
        ...

    def scores_of_lists(self, queries: Sequence[str], lists: Sequence[Sequence[str]]) -> list[Floats]:
        """The scores of the texts of each query, as `scores` gives them; several queries together may be faster."""
        return [self.scores(query, texts) for query, texts in zip(queries, lists, strict=True)]

    def close(self) -> None:
        """Release connections."""
        return


def checked_depth(depth: int) -> int:
    """The depth of reranking.

    Raises:
        SearchError: it is too small or too large.

    """
    if not 1 <= depth <= MAX_DEPTH:
        raise SearchError(f"the depth of reranking is {depth}; rerank 1 to {MAX_DEPTH:,} rows of each query")
    return depth


def checked_scores(given: Any, count: int, name: str) -> Floats:
    """The scores of a reranker, if there is a finite one for each text.

    Args:
        given: what the reranker returned.
        count: the number of texts.
        name: the name of the reranker.

    Returns:
        float32, shape (count,).

    Raises:
        EngineError: the shape is wrong, or a score is not a finite number.

    """
    try:
        scores = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise EngineError(f"{name}: the reranker gave {type(given).__name__} in place of scores") from error
    if scores.shape != (count,):
        raise EngineError(f"{name}: the reranker gave scores of the shape {scores.shape} for {count:,} texts")
    if not np.isfinite(scores).all():
        raise EngineError(f"{name}: the reranker gave a score that is NaN or infinite")
    return scores


__all__ = ["DEPTH", "MAX_DEPTH", "Floats", "Reranker", "checked_depth", "checked_scores"]
