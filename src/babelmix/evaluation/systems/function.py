"""A function of your own as a system: it asks any search engine, one query at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa

from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies
from babelmix.errors import AuditError, BabelmixError, first_line
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.judged_lists import Unknown
from babelmix.evaluation.systems.base import Answer

SearchFunction = Callable[[str, str, int], Sequence[Any]]
"""Takes the text of a query, its language, and k; returns at most k answers, the best first."""


@dataclass(eq=False)
class Search:
    """A search engine behind a function: a `ListSystem`. See docs/ranked-lists.md for complete examples.

    The function is called in several threads at once. A call that fails is tried again, after a pause that doubles.

    Args:
        function: takes the text of a query, its language and k; returns at most k answers, the best first. An answer is the id
            of a passage (see `Corpus.row_ids`), a pair `(item, lang)` or `(id, score)`, a triple `(item, lang, score)`, or a dict
            with `id` or with `item` and `lang`, and perhaps with `score`.
        name: the name of the system in reports.
        depth: the largest k that the engine accepts; None: no limit.
        workers: the most calls at the same time.
        tries: how often a call is tried before the audit stops.
        pause: seconds before the second try.
        unknown: what to do with answers whose passages are not in the corpus: `"error"`, or `"wrong"`, which counts them as
            wrong.
        version: a text that says which state of the engine it is. Answers of an interrupted audit are only used again for the
            same version.

    Examples:
        >>> import babelmix as bm
        >>> rows = [{"item": item, "lang": lang, "text": f"{item} {lang}"} for item in "ab" for lang in ("de", "en")]
        >>> corpus = bm.Corpus.from_rows(rows, rows, [("a", "a"), ("b", "b")], name="two")
        >>> def search(text, lang, k):
        ...     return [f"{text[0]}/{lang}", f"{text[0]}/de", f"{text[0]}/en"][:: 2 if lang == "de" else 1][:2]
        >>> report = bm.audit(bm.Search(search, name="own first"), corpus)
        >>> report.macro("bias/same-language preference@100")
        1.0

    """

    function: SearchFunction
    name: str = "search"
    depth: int | None = None
    workers: int = 4
    tries: int = 4
    pause: float = 0.5
    unknown: Unknown = "error"
    version: str = ""
    seconds: list[float] = field(default_factory=list, init=False)
    """The time of each call that was answered, in the order of the queries."""

    def facts(self, corpus: Corpus, *, copies: Copies = "wrong") -> AuditFacts:
        """The name, the version and the corpus."""
        del copies
        return AuditFacts(
            encoder=self.name,
            corpus=corpus.name,
            fingerprint=corpus.fingerprint(),
            queries=corpus.queries.num_rows,
            passages=corpus.passages.num_rows,
            extra={"function": getattr(self.function, "__qualname__", "function"), "version": self.version},
        )

    def retrieve(self, queries: pa.Table, k: Sequence[int]) -> Iterator[Sequence[Answer]]:
        """Ask for one query after the other, some of them at the same time.

        Raises:
            AuditError: a call fails again and again, or returns something else than answers.

        """
        rows = zip(queries.select(["item", "lang", "text"]).to_pylist(), k, strict=True)
        with ThreadPoolExecutor(self.workers, thread_name_prefix="search") as pool:
            waiting: deque[Future[tuple[list[Answer], float]]] = deque()
            try:
                for row, most in islice(rows, 2 * self.workers):
                    waiting.append(pool.submit(self._ask, row, most))
                while waiting:
                    found, seconds = waiting.popleft().result()
                    for row, most in islice(rows, 1):
                        waiting.append(pool.submit(self._ask, row, most))
                    self.seconds.append(seconds)
                    yield found
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, row: dict[str, Any], k: int) -> tuple[list[Answer], float]:
        """The answers to a query, and the seconds of the call."""
        import tenacity

        asked = f"the query {row['item']!r} in {row['lang']} ({_short(row['text'])})"
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.tries),
            wait=tenacity.wait_exponential(self.pause, max=60) + tenacity.wait_random(0, self.pause / 2),
            # A sentence of our own says what is wrong with the request: it will be wrong again.
            retry=tenacity.retry_if_not_exception_type((BabelmixError, NotImplementedError, TypeError, NameError)),
            reraise=True,
        )
        try:
            began = time.perf_counter()
            for attempt in retrying:
                with attempt:
                    began = time.perf_counter()
                    given = self.function(row["text"], row["lang"], k)
            seconds = time.perf_counter() - began
        except BabelmixError as error:
            raise AuditError(f"{self.name}: {asked}: {error}") from error
        except Exception as error:  # the function is not ours
            tried = retrying.statistics.get("attempt_number", 1)
            times = f" {tried} times" if tried > 1 else ""
            raise AuditError(
                f"{self.name}: {asked} failed{times}: {type(error).__name__}: {first_line(error)}"
            ) from error
        if isinstance(given, (str, bytes, dict)) or not hasattr(given, "__iter__"):
            raise AuditError(
                f"{self.name}: {asked}: the function returned {type(given).__name__}, not a list of answers"
            )
        return [self._answer(one, asked) for one in list(given)[:k]], seconds

    def _answer(self, given: Any, asked: str) -> Answer:
        match given:
            case Answer():
                return given
            case str():
                return Answer(given, "")
            case int() if not isinstance(given, bool):
                return Answer(str(given), "")
            case [str() | int() as name, float() | int() as score]:
                return Answer(str(name), "", float(score))
            case [str() | int() as name, str() as lang]:
                return Answer(str(name), lang)
            case [str() | int() as name, str() as lang, float() | int() as score]:
                return Answer(str(name), lang, float(score))
            case {"id": str() | int() as name}:
                return Answer(str(name), "", _score(given))
            case {"item": str() | int() as name, "lang": str() as lang}:
                return Answer(str(name), lang, _score(given))
        raise AuditError(
            f"{self.name}: {asked}: {given!r} is no answer; an answer is an id, (id, score), (item, lang), (item, lang, score), "
            "or a dict with id, or with item and lang"
        )


def _score(given: Any) -> float | None:
    value = given.get("score")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _short(text: str | None, most: int = 40) -> str:
    words = " ".join((text or "").split())
    return repr(words if len(words) <= most else f"{words[:most]}…")


__all__ = ["Search", "SearchFunction"]
