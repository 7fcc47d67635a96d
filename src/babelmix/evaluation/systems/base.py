"""What is audited: everything that answers queries with passages.

A system of exact scores (an encoder, a matrix of scores) knows the rank of every passage: it is an `ExactSystem` and gives a
rank table. A system of ranked lists (an index, and later a file of runs or a service) knows its first answers only: it is a
`ListSystem`, and `babelmix.evaluation.lists.audit_lists` measures what it gives.

These are protocols: a class needs the attributes and methods, not the base. A new kind is a file here and a line in
`babelmix.evaluation.systems.SYSTEMS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import pyarrow as pa

from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.ranks import RankTable


class System(Protocol):
    """Answers queries with passages."""

    @property
    def name(self) -> str:
        """What reports call the system."""
        ...

    def facts(self, corpus: Corpus, *, copies: Copies = "wrong") -> AuditFacts:
        """The facts by which a finished audit of this system on a corpus is recognised, without ranking anything.

        Args:
            corpus: the corpus.
            copies: what copies of right answers count as; see `babelmix.corpus.copies`.

        """
        ...


@runtime_checkable
class ExactSystem(System, Protocol):
    """Scores every query against every passage, so that all ranks are known."""

    def rank(self, corpus: Corpus, *, copies: Copies = "wrong") -> RankTable:
        """Rank all passages for every query.

        Args:
            corpus: the corpus.
            copies: what copies of right answers count as.

        Returns:
            The rank table; its `about` has the facts of the system, and findings that are not ranks.

        Raises:
            AuditError: the system cannot rank this corpus.

        """
        ...


class Answer(NamedTuple):
    """One answer of a ranked list.

    Args:
        item: the item of the passage.
        lang: the language of the passage. Item and language together say which passage it is.
        score: the score; None if the system gives none. The order of the list counts, not the scores.

    """

    item: str
    lang: str
    score: float | None = None


@runtime_checkable
class ListSystem(System, Protocol):
    """Gives the first answers of every query, the best first."""

    @property
    def depth(self) -> int | None:
        """How many answers to a query it gives at most; None: as many as asked for."""
        ...

    def retrieve(self, queries: pa.Table, k: Sequence[int]) -> Iterator[Sequence[Answer]]:
        """The answers to each query, in the order of the queries.

        It is an iterator so that a system can answer one query at a time: `audit_lists` takes turns between several systems.

        Args:
            queries: some rows of a corpus's queries: `item`, `group`, `lang`, `text`.
            k: how many answers each query should have at most; never more than `depth`.

        Yields:
            The answers to one query, the best first; fewer than k where there are no more.

        """
        ...


__all__ = ["Answer", "ExactSystem", "ListSystem", "System"]
