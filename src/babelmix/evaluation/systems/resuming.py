"""Keep the answers of a live system as they come, so that an interrupted audit goes on where it stopped."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from babelmix._files import writing_to
from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies
from babelmix.corpus.row_ids import row_ids
from babelmix.errors import AuditError
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.systems.base import Answer, ListSystem


@dataclass(eq=False)
class Resuming:
    """A `ListSystem` whose answers are kept in a file, a line for each query.

    The first line has the facts of the system and the corpus. A file with other facts is written anew.

    Args:
        system: the system that is asked.
        file: the file of the answers.
        corpus: the corpus whose queries are sent.

    """

    system: ListSystem
    file: Path
    corpus: Corpus

    def __getattr__(self, name: str) -> Any:
        # What a system may have besides the protocol: its pool, its times, what it does with unknown passages.
        return getattr(self.system, name)

    @property
    def name(self) -> str:
        """The name of the system."""
        return self.system.name

    @property
    def depth(self) -> int | None:
        """The largest number of answers that the system can give."""
        return self.system.depth

    def facts(self, corpus: Corpus, *, copies: Copies = "wrong") -> AuditFacts:
        """The facts of the system."""
        return self.system.facts(corpus, copies=copies)

    def known(self, most: int) -> dict[str, list[Answer]]:
        """The answers that the file has, by the id of the query; none if it is of another system, corpus or k."""
        if not self.file.is_file():
            return {}
        found: dict[str, list[Answer]] = {}
        # What a killed process wrote last may be half a line.
        with contextlib.suppress(ValueError, KeyError, TypeError), self.file.open(encoding="utf-8") as lines:
            if json.loads(next(lines, "null")) != self._head(most):
                return {}
            for line in lines:
                record = json.loads(line)
                found[record["query"]] = [Answer(*answer) for answer in record["answers"]]
        return found

    def retrieve(self, queries: pa.Table, k: Sequence[int]) -> Iterator[Sequence[Answer]]:
        """Yield the answers that the file has, and ask the system for the others."""
        most = max(k, default=0)
        found, ids = self.known(most), row_ids(queries).to_list()
        new = [row for row, name in enumerate(ids) if name not in found]
        asked = iter(()) if not new else self.system.retrieve(queries.take(new), [k[row] for row in new])
        with writing_to(self.file), self._appending(found, most) as out:
            for row, name in enumerate(ids):
                if name in found:
                    yield found[name][: k[row]]
                    continue
                try:
                    answers = next(asked, None)
                except AuditError as error:
                    raise AuditError(
                        f"{error}; the answers so far are in {self.file}: the same audit goes on from there"
                    ) from error
                if answers is None:
                    return
                out.write(_line({"query": name, "answers": [list(answer) for answer in answers]}))
                out.flush()
                yield answers

    @contextlib.contextmanager
    def _appending(self, found: dict[str, list[Answer]], most: int) -> Iterator[Any]:
        """The file, opened to add answers. It holds what is in `found`, and nothing else."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_name(f"{self.file.name}.part")
        with temporary.open("w", encoding="utf-8") as out:
            out.write(_line(self._head(most)))
            for name, answers in found.items():
                out.write(_line({"query": name, "answers": [list(answer) for answer in answers]}))
        temporary.replace(self.file)
        with self.file.open("a", encoding="utf-8") as out:
            yield out

    def _head(self, most: int) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(json.dumps(self.facts(self.corpus).as_json()))
        return {"k": most, **facts}


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


__all__ = ["Resuming"]
