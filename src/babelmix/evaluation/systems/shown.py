"""Ranked lists as users see them: the first answers of a search for as many as are shown, then those of a deeper search.

What a system answers first can depend on how many answers it is asked for: a language policy such as `quota=3` holds within them.
A metric such as mAP@100 needs more answers than anybody sees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.systems.base import Answer, ListSystem


@dataclass(frozen=True, eq=False)
class AsShown:
    """A `ListSystem` that asks another one twice, and puts the answers of the deeper search behind those that are shown.

    Args:
        system: the system, asked for the answers that are shown.
        deeper: the same system, asked for the further answers. It may be another object, so that each measures its own time.
        shown: the number of answers that users see.
        judged: the number of answers that the audit judges. Answers that are excluded for a query are asked for besides, by both
            searches.

    Examples:
        >>> class Three:
        ...     name, depth = "three", None
        ...     def facts(self, corpus, *, copies="wrong"):
        ...         return AuditFacts(encoder=self.name, corpus=corpus.name)
        ...     def retrieve(self, queries, k):
        ...         for most in k:
        ...             yield [Answer("quota", "de"), Answer("a", "en")] if most == 2 else [Answer(i, "en") for i in "abc"]
        >>> system = AsShown(Three(), Three(), shown=2, judged=3)
        >>> [answer.item for answer in next(system.retrieve(None, [3]))]
        ['quota', 'a', 'b']

    """

    system: ListSystem
    deeper: ListSystem
    shown: int
    judged: int

    def __getattr__(self, name: str) -> Any:
        # What a system may have besides the protocol, such as the times of its searches.
        return getattr(self.system, name)

    @property
    def depth(self) -> int | None:
        """The largest number of answers of the deeper search."""
        return self.deeper.depth

    @property
    def name(self) -> str:
        """The name of the system."""
        return self.system.name

    def facts(self, corpus: Corpus, *, copies: Copies = "wrong") -> AuditFacts:
        """The facts of the system."""
        return self.system.facts(corpus, copies=copies)

    def retrieve(self, queries: pa.Table, k: Sequence[int]) -> Iterator[Sequence[Answer]]:
        """The answers that are shown, then those of the deeper search that are not among them; at most k in all."""
        first = [min(most, self.shown + max(0, most - self.judged)) for most in k]
        pairs = zip(self.system.retrieve(queries, first), self.deeper.retrieve(queries, k), k, strict=True)
        for shown, further, most in pairs:
            # A passage is known by item and language, and there may be several of them.
            seen = Counter((answer.item, answer.lang) for answer in shown)
            rest: list[Answer] = []
            for answer in further:
                if seen[answer.item, answer.lang]:
                    seen[answer.item, answer.lang] -= 1
                else:
                    rest.append(answer)
            yield [*shown, *rest][:most]


__all__ = ["AsShown"]
