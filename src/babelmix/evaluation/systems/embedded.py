"""What all systems with embeddings share: from the embeddings of a corpus to its rank table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies, count_copies
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.matrix import Matrix
from babelmix.evaluation.ranks import RankTable
from babelmix.evaluation.remedies import remedies
from babelmix.evaluation.score_levels import score_levels
from babelmix.evaluation.scoring import rank_table
from babelmix.evaluation.union_correlation import union_correlation


def rank_embedded(
    corpus: Corpus,
    queries: Matrix,
    passages: Matrix,
    *,
    similarity: str,
    facts: AuditFacts,
    copies: Copies = "wrong",
    details: bool = False,
) -> RankTable:
    """Rank every passage for every query by their embeddings.

    Args:
        corpus: the corpus of the embeddings.
        queries: floating, shape (queries, dimension), in row order; may be memory-mapped.
        passages: floating, shape (passages, dimension), in row order; may be memory-mapped.
        similarity: `"cosine"` or `"dot"`.
        facts: the facts of the system and the corpus; they are kept with the table.
        copies: how copies of right answers are counted; see `babelmix.corpus.copies`.
        details: also measure what needs embeddings and not only ranks: MRC over the union of two lists, the
            score levels, and what would help against language bias.

    Returns:
        The rank table.

    Raises:
        NotFiniteError: an embedding is not finite.
        AuditError: see `babelmix.evaluation.scoring.rank_table`.

    """
    table = rank_table(corpus, queries, passages, similarity=similarity, about=facts, copies=copies)
    if not details:
        return table
    table = replace(table, values=union_correlation(table, queries, passages, similarity=similarity))
    levels = score_levels(table, corpus, queries, passages, similarity=similarity, copies=copies)
    helps = remedies(table, corpus, queries, passages, similarity=similarity, copies=copies)
    return replace(table, about=replace(table.about, calibration=levels, remedies=helps))


def pool_facts(corpus: Corpus, copies: Copies) -> dict[str, Any]:
    """The facts of a corpus by which a finished audit is recognised, as arguments of `AuditFacts`.

    Args:
        corpus: the corpus.
        copies: how copies of right answers are counted; see `babelmix.corpus.copies`.

    """
    counted = count_copies(corpus)
    return {
        "corpus": corpus.name,
        "fingerprint": corpus.fingerprint(),
        "queries": corpus.queries.num_rows,
        "passages": corpus.passages.num_rows,
        "machine_made": list(corpus.meta.get("machine_made") or []),
        "protocol": dict(corpus.meta["protocol"]) if corpus.meta.get("protocol") else None,
        "left_out": corpus.meta.get("left_out") or None,
        "excluded": corpus.excluded.num_rows or None,
        "copies": {**counted, "count_as": copies} if counted["pairs"] else None,
    }


__all__ = ["pool_facts", "rank_embedded"]
