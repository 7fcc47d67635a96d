"""A matrix of scores as a system, for models that have no embeddings, such as cross-encoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies
from babelmix.errors import AuditError
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.ranks import RankTable
from babelmix.evaluation.scoring import rank_table

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ScoreMatrix:
    """The scores of all pairs of a query and a passage of one corpus.

    Args:
        name: the name of the system in reports.
        scores: float32, shape (queries, passages), in the order of the corpus's rows; or a function that returns it. The
            function is called when the scores are needed, so not for a finished audit.
        mode: how the scores were computed, for the facts of the audit.
        settings: the settings of the system, for the facts of the audit.

    Examples:
        >>> import numpy as np
        >>> from babelmix.corpus import Corpus
        >>> rows = [{"item": i, "lang": "en", "text": i} for i in ("a", "b")]
        >>> corpus = Corpus.from_rows(rows, rows, [("a", "a"), ("b", "b")], name="two")
        >>> table = ScoreMatrix("mine", np.array([[0.9, 0.1], [0.8, 0.2]], dtype=np.float32)).rank(corpus)
        >>> table.rank_in_all().tolist()
        [0, 1]

    """

    name: str
    scores: Scores | Callable[[], Scores]
    mode: str | None = None
    settings: dict[str, Any] | None = None

    def facts(self, corpus: Corpus, *, copies: Copies = "wrong") -> AuditFacts:
        """The facts by which a finished audit is recognised: name, mode, settings and corpus."""
        return AuditFacts(
            encoder=self.name,
            corpus=corpus.name,
            fingerprint=corpus.fingerprint(),
            mode=self.mode,
            queries=corpus.queries.num_rows,
            passages=corpus.passages.num_rows,
            settings=self.settings,
        )

    def rank(self, corpus: Corpus, *, copies: Copies = "wrong") -> RankTable:
        """Rank the passages by their scores.

        Raises:
            AuditError: the matrix is not of the shape (queries, passages), or a score is not finite, or no passage is relevant.

        """
        scores = self.scores() if callable(self.scores) else self.scores
        shape = (corpus.queries.num_rows, corpus.passages.num_rows)
        if scores.shape != shape:
            raise AuditError(f"{self.name}: the scores have the shape {scores.shape}, but {corpus.name} needs {shape}")
        # The embeddings of passages are unit vectors, those of queries are rows of scores. So each dot product is one score.
        axes = np.eye(scores.shape[1], dtype=np.float32)
        return rank_table(
            corpus, scores, axes, similarity="dot", about=self.facts(corpus, copies=copies), copies=copies
        )


__all__ = ["ScoreMatrix"]
