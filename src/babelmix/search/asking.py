"""One call of a search: its arguments, checked, and the stages that they pass: retrieve, fuse, rerank, show.

| stage | what it does | module |
|---|---|---|
| retrieve | finds rows by vectors, by words, or both, under the language policy | `applying`, `policies` |
| fuse | merges the list by vectors and the list by words | `fusion` |
| rerank | scores the first rows again with a reranker | `reranking` |
| show | one row of each item | `merging`, `spreading`, `showing` |
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from babelmix.corpus import canonical_language
from babelmix.corpus.images import bytes_of, open_picture
from babelmix.errors import PictureError, SearchError
from babelmix.search.applying import Retriever, Scale, WordScale, apply_policy, with_quota
from babelmix.search.correcting import OneSearch
from babelmix.search.index import Index
from babelmix.search.merging import DEEPER, DEEPEST, distinct_items, remembering
from babelmix.search.options import SearchOptions, check_truth, checked_query_langs
from babelmix.search.own_places import fill_places
from babelmix.search.policies import Policy
from babelmix.search.reranking.stage import Reranking, Stage
from babelmix.search.rows import Hit, Vectors, Where
from babelmix.search.showing import Reader, renderings, show_mine, with_also
from babelmix.search.spreading import rows_of_languages

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_K = 1000
"""The most rows that a search returns."""

NO_WORDS = "a picture has no words to search by; use the mode 'dense'"
"""The error message for a search by words with a picture as the query."""

_LEAST = 100
"""The least number of rows to retrieve for each list that is fused, as `benchmarks/fusion.py` measures."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A search that is checked and embedded.

    Args:
        index: the index.
        queries: texts or opened pictures.
        vectors: the queries' vectors as the index compares them, float32, shape (queries, dimension); None: by words alone.
        langs: the language of each query, None where it is unknown; None: all are unknown, or nothing needs them.
        policy: the policy, with tags of the index.
        where: the filter, with tags of the index, without the languages that the policy excludes.
        tags: the languages of the index.
        k: the most rows per query.
        options: mode, weight of words, fusion, what is shown, reranking.
        once: each item once.
        exact: compare with every vector.
        stage: scores the first rows again with a reranker; None: nothing does.
        reader: what is shown of each item, one row; None: the rows that were found.

    """

    index: Index
    queries: Sequence[str | Image]
    vectors: Vectors | None
    langs: Sequence[str | None] | None
    policy: Policy
    where: Where
    tags: Sequence[str]
    k: int
    options: SearchOptions
    once: bool = False
    exact: bool = False
    stage: Stage | None = None
    reader: Reader | None = None

    def hits(self) -> list[list[Hit]]:
        """The rows of each query, best first."""
        retrievers = self._retrievers()
        if self.once or self.reader is not None:
            retrievers = [(remembering(retrieve), scale) for retrieve, scale in retrievers]

        reranking = self._reranking()

        def retrieve_top(count: int, spread: Collection[int] = ()) -> list[list[Hit]]:
            if reranking is None:
                return self._fused(retrievers, count, spread)
            found = reranking.reordered(self._fused(retrievers, max(count, reranking.depth), spread))
            return found if spread else [self._first(hits, count) for hits in found]

        if self.reader is not None:
            found = show_mine(retrieve_top, self._rows_of, self.reader, self.where, self.k)
            return with_also(self._with_own_places(found), self._rows_of, self.where)
        if not self.once:
            return self._with_own_places(retrieve_top(self.k))
        # More languages than there are cannot be had.
        languages = min(self.policy.languages, len({canonical_language(lang) for lang in self._allowed}))
        return self._with_own_places(distinct_items(retrieve_top, self.k, languages))

    @property
    def _allowed(self) -> list[str]:
        """The languages of the index that the filter allows."""
        return [tag for tag in self.tags if self.where.langs is None or tag in self.where.langs]

    @property
    def _quota(self) -> int:
        """The least number of languages of rows. Where items come once, `distinct_items` sees to it."""
        return 0 if self.once and self.reader is None else self.policy.languages

    def _first(self, hits: Sequence[Hit], count: int) -> list[Hit]:
        return with_quota(hits[:count], hits[count:], self._quota)

    def _reranking(self) -> Reranking | None:
        if self.stage is None:
            return None
        texts = [query if isinstance(query, str) and query.strip() else None for query in self.queries]
        return Reranking(self.stage, self.policy, texts, self.langs, self.k)

    def _retrievers(self) -> list[tuple[Retriever, Scale | WordScale]]:
        found: list[tuple[Retriever, Scale | WordScale]] = []
        if self.vectors is not None:
            # An exact search compares with the rows of each language once, so that nothing can be saved.
            one_search = None if self.exact else OneSearch(self.index.corrected, self.vectors)
            scale = Scale(lambda: self.index.calibration, self.vectors, one_search)
            found.append((self._dense(self.vectors), scale))
        if self.options.mode != "dense":
            found.append((self._words(), WordScale()))
        return found

    def _dense(self, vectors: Vectors) -> Retriever:
        engine = self.index.engine
        return lambda numbers, wheres, k: engine.nearest(vectors[list(numbers)], wheres, k, exact=self.exact)

    def _words(self) -> Retriever:
        engine = self.index.engine
        texts = [query if isinstance(query, str) else "" for query in self.queries]
        return lambda numbers, wheres, k: engine.with_words([texts[i] for i in numbers], wheres, k)

    def _rows_of(self, numbers: Sequence[int], items: Sequence[Sequence[str]], where: Where) -> list[list[Hit]]:
        """The rows of known items for each of some queries, best first."""
        if self.vectors is not None:
            vectors = self.vectors[list(numbers)]
        else:
            # A search by words has no vectors. Rows that the words found come first anyway.
            vectors = np.tile(np.eye(1, self.index.about.dimension, dtype=np.float32), (len(numbers), 1))
        return renderings(self.index.engine, vectors, items, where, len(self.tags))

    def _fused(
        self, retrievers: Sequence[tuple[Retriever, Scale | WordScale]], count: int, spread: Collection[int] = ()
    ) -> list[list[Hit]]:
        """The first rows of each query; for those of `spread` also the rows of k items in each language."""
        # A row far down one list may be high in the fused list.
        depth = count if len(retrievers) == 1 else max(_LEAST, DEEPER * count)
        policy = self.policy if self._quota == self.policy.languages else Policy("any")
        lists = [
            apply_policy(policy, retrieve, len(self.queries), self.where, depth, self.tags, scale)
            for retrieve, scale in retrievers
        ]
        if spread:
            # Without `remembering`, which would retrieve more rows than are needed.
            lists = [
                rows_of_languages(retrieve, some, spread, self.where, self._allowed, self.k, DEEPEST)
                for (retrieve, _), some in zip(self._retrievers(), lists, strict=True)
            ]
        if len(lists) == 1:
            return lists[0]
        # Only a quota needs rows beyond `count`.
        fusion, top_k = self.options.fused_by, None if self._quota or spread else count
        merged = [fusion.fuse(both, top_k, (1.0, self.options.weight)) for both in zip(*lists, strict=True)]
        return merged if spread else [self._first(hits, count) for hits in merged]

    def _with_own_places(self, found: list[list[Hit]]) -> list[list[Hit]]:
        """The rows, with places for the query's own language if the policy keeps some."""
        if not self.policy.places or self.langs is None:
            return found

        def in_own(numbers: Sequence[int], tags: Sequence[str], count: int) -> list[list[Hit]]:
            vectors = None if self.vectors is None else self.vectors[list(numbers)]
            return replace(
                self, queries=[self.queries[number] for number in numbers], vectors=vectors, langs=None,
                policy=Policy("any"), where=self.where.only(tags), k=count, once=once, reader=None,
            ).hits()  # fmt: skip

        once = self.once or self.reader is not None
        allowed = self._allowed
        if self.reader is not None and self.reader.strict:
            allowed = [tag for tag in allowed if tag in self.reader.langs]
        return fill_places(found, self.langs, allowed, in_own, self.policy.places, k=self.k, once=once)


def check_search(
    queries: Sequence[str | Path | Image],
    *,
    k: int = 10,
    policy: Policy | str = "any",
    embedded: bool = False,
    query_langs: str | Sequence[str | None] | None = None,
    options: SearchOptions | None = None,
    once: bool = False,
    exact: bool = False,
) -> Policy:
    """Check the arguments of a search, before the index is opened.

    Args:
        queries: see `Searcher.search`.
        k: see `Searcher.search`.
        policy: see `Searcher.search`.
        embedded: whether the queries' vectors are given. If so, the queries themselves may be empty.
        query_langs: see `Searcher.search`.
        options: mode, weight of words, fusion and what is shown, which `SearchOptions` has checked; None: the defaults.
        once: see `Searcher.search`.
        exact: see `Searcher.search`.

    Returns:
        The policy, parsed.

    Raises:
        SearchError: an argument is of another type or out of its range, a query is empty, a picture cannot be read, or a
            picture is searched by words.
        MissingExtraError: a language is to be detected, and the extra `detect` is not installed.

    """
    # A bool is an int for Python.
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= MAX_K:
        raise SearchError(
            f"k is {str(k) if isinstance(k, np.integer) else repr(k):.60}; ask for 1 to {MAX_K:,} rows, a whole number"
        )
    for given, name in ((once, "once"), (exact, "exact")):
        check_truth(given, name)
    checked_query_langs(query_langs, len(queries))
    if not isinstance(policy, (str, Policy)):
        raise SearchError(f"the policy is {policy!r:.60}; give a text such as 'balanced', or a Policy")
    chosen = Policy.parse(policy) if isinstance(policy, str) else policy
    if query_langs is None:
        if chosen.needs_query_lang:
            raise SearchError(f"the policy {chosen} needs the language of the query: give one, such as de, or detect")
        if options is not None and options.show == "mine" and not chosen.reads:
            raise SearchError(
                "show 'mine' needs to know what the searcher reads: give a policy such as  any,reads=de,en, or the language of "
                "the query"
            )
    for query in map(opened, queries):
        if not is_one(query):
            raise SearchError(f"a query is {query!r:.60}; give a text, an opened picture, or the Path of a picture")
        if options is not None and options.mode == "words" and not isinstance(query, str):
            raise SearchError(NO_WORDS)
        if not embedded and isinstance(query, str) and not query.strip():
            raise SearchError("a query is empty; give words to search by")
    return chosen


def checked_vectors(vectors: Vectors, queries: int, dimension: int) -> Vectors:
    """The queries' vectors that a caller gives.

    Args:
        vectors: see `Searcher.search`.
        queries: the number of queries.
        dimension: the dimension of the index.

    Raises:
        SearchError: they are not one vector of this dimension for each query, or a number is not finite.

    """
    try:
        found = np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise SearchError(
            f"vectors: give an array of numbers, shape ({queries}, {dimension}), as embed returns it"
        ) from error
    if found.shape != (queries, dimension):
        raise SearchError(
            f"vectors have the shape {found.shape}; give one vector for each query, shape ({queries}, {dimension}), as embed "
            "returns them"
        )
    if not np.isfinite(found).all():
        raise SearchError("vectors: a number is not finite; give the vectors that embed returns")
    return found


def is_one(queries: str | Path | Image | Sequence[str | Path | Image]) -> TypeGuard[str | Path | Image]:
    """Whether this is one query, not a list."""
    # `getpixel` tells a picture of Pillow from a sequence, without an import of Pillow.
    return isinstance(queries, (str, Path)) or hasattr(queries, "getpixel")


def opened(query: str | Path | Image) -> str | Image:
    """A query, with the picture of a path opened.

    Raises:
        SearchError: the picture cannot be read.

    """
    if not isinstance(query, Path):
        return query
    try:
        return open_picture(bytes_of({"path": str(query)}))
    except PictureError as error:
        raise SearchError(f"{query}: {error}") from error


def shown(query: str | Path | Image) -> str:
    """The name of a query in tables."""
    return str(query) if isinstance(query, (str, Path)) else "(a picture)"
