"""Systems: everything that answers queries with passages and can be audited.

A system of exact scores (an encoder, a matrix of scores) knows the rank of every passage: it is an `ExactSystem` and gives a
rank table. A system of ranked lists (such as an index) knows its first answers only: it is a `ListSystem`, and
`babelmix.evaluation.lists.audit_lists` measures its lists.

`ExactSystem` and `ListSystem` are protocols: a class needs their attributes and methods, and need not inherit from them. To add
a kind of system, add a file here and a line to `babelmix.evaluation.systems.SYSTEMS`.
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
    """A system answers queries with passages."""

    @property
    def name(self) -> str:
        """The name of the system in reports."""
        ...

    def facts(self, corpus: Corpus, *, copies: Copies = "wrong") -> AuditFacts:
        """The facts by which a finished audit of this system on a corpus is recognised, without ranking anything.

        Args:
            corpus: the corpus.
            copies: how copies of right answers are counted; see `babelmix.corpus.copies`.

        """
        ...


@runtime_checkable
class ExactSystem(System, Protocol):
    """A system that scores every query against every passage, so that all ranks are known."""

    def rank(self, corpus: Corpus, *, copies: Copies = "wrong") -> RankTable:
        """Rank all passages for every query.

        Args:
            corpus: the corpus.
            copies: how copies of right answers are counted; see `babelmix.corpus.copies`.

        Returns:
            The rank table. Its `about` has the facts of the system, and findings that are not ranks.

        Raises:
            AuditError: the system cannot rank this corpus.

        """
        ...


class Answer(NamedTuple):
    """One answer of a ranked list.

    Args:
        item: the item of the passage.
        lang: the language of the passage. Item and language together say which passage it is. If it is empty, `item` is the id of
            the passage; see `babelmix.corpus.row_ids`.
        score: the score; None if the system gives none. Audits use the order of the list, not the scores.

    """

    item: str
    lang: str
    score: float | None = None


@runtime_checkable
class ListSystem(System, Protocol):
    """A system that gives the first answers to every query, the best first."""

    @property
    def depth(self) -> int | None:
        """The largest number of answers that the system can give to a query; None: no limit."""
        ...

    def retrieve(self, queries: pa.Table, k: Sequence[int]) -> Iterator[Sequence[Answer]]:
        """The answers to each query, in the order of the queries.

        The result is an iterator, so that a system can answer one query at a time: `audit_lists` sends each query to all systems
        before the next query.

        Args:
            queries: some rows of a corpus's queries: `item`, `group`, `lang`, `text`.
            k: the largest number of answers for each query; never more than `depth`.

        Yields:
            The answers to one query, the best first; fewer than k if there are no more.

        """
        ...


__all__ = ["Answer", "ExactSystem", "ListSystem", "System"]
