"""Search an index: with text in any language or a picture, under a language policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeGuard, overload

from babelmix._lists import as_inputs
from babelmix.corpus.images import bytes_of, open_picture
from babelmix.encoders.embed import encode_batch
from babelmix.encoders.runtime import backend_of, same_vectors
from babelmix.errors import ArgumentError, PictureError, SearchError
from babelmix.search.applying import Retriever, Scale, WordScale, apply_policy, with_quota
from babelmix.search.correcting import OneSearch
from babelmix.search.filters import typed_filters
from babelmix.search.hits import Hits
from babelmix.search.index import Index
from babelmix.search.index_encoder import encoder_of
from babelmix.search.merging import DEEPER, distinct_items, fused, remembering
from babelmix.search.options import EQUAL, Mode, check_mode, checked_query_langs, told_langs
from babelmix.search.own_places import fill_places
from babelmix.search.policies import Policy
from babelmix.search.rows import Hit, Value, Vectors, Where

if TYPE_CHECKING:
    from PIL.Image import Image

    from babelmix.encoders.protocol import Encoder

MAX_K = 1000
"""The most rows that a search returns."""

NO_WORDS = "a picture has no words to search by; use the mode 'dense'"
"""The error message for a search by words with a picture as the query."""

_LEAST = 50
"""The least number of rows to retrieve for each list that is fused."""

Filter = Where | Mapping[str, Value | Sequence[Value]] | str | Sequence[str]
"""The type of a filter in `Searcher.search`."""


class Searcher:
    """An open index together with its encoder; `open_index` makes one. It closes the index at the end of a `with` block.

    Args:
        index: the index.
        encoder: the encoder that the index was made with.

    Raises:
        SearchError: the index was made with another encoder.

    """

    def __init__(self, index: Index, encoder: Encoder) -> None:
        index.check_encoder(encoder)
        self.index, self.encoder = index, encoder

    @classmethod
    def open(
        cls,
        address: str | Path,
        *,
        model: str | None = None,
        device: str | None = None,
        backend: str | None = None,
        trust_code: bool = False,
    ) -> Self:
        """Open an index and load its encoder; see `open_index`."""
        index = Index.open(str(address))
        try:
            encoder = encoder_of(index, model=model, device=device, backend=backend, trust_code=trust_code)
            return cls(index, encoder)
        except BaseException:
            index.close()
            raise

    @property
    def notes(self) -> list[str]:
        """A sentence if queries and rows are embedded by different backends: scores then differ a little."""
        now, then = backend_of(self.encoder), self.index.backend
        if same_vectors(now, then):
            return []
        return [
            f"Queries are embedded by {now}, and {self.index.address} by {then}: scores differ a little (see docs/serve.md)."
        ]

    def embed(
        self,
        queries: str | Image | Sequence[str | Image],
        langs: Sequence[str | None] | None = None,
        *,
        batch_size: int = 32,
    ) -> Vectors:
        """Embed queries as the index compares them.

        Args:
            queries: one text or opened picture, or a list of them.
            langs: the language of each query, as `query_langs` returns them; None: unknown.
            batch_size: the number of queries per forward pass.

        Returns:
            float32, shape (queries, dimension).

        Raises:
            EncoderError: a query is a picture, and the encoder cannot embed pictures.

        """
        advice = "search with words, or use an encoder with an image tower"
        vectors = encode_batch(
            self.encoder, as_inputs(queries, SearchError), "query", batch_size=batch_size, advice=advice
        )
        return self.index.ready(vectors, langs, "query")

    def query_langs(
        self, queries: Sequence[str | Image], given: str | Sequence[str | None] | None
    ) -> list[str | None] | None:
        """The languages of queries, as tags: given, or detected among the languages of the index.

        Args:
            queries: texts or opened pictures.
            given: see `query_langs` of `search`.

        Returns:
            One tag for each query, or None where it is unknown. None if all are unknown.

        Raises:
            SearchError: a language is not a tag, or there are not as many languages as queries.
            MissingExtraError: a language is to be detected, and the extra `detect` is not installed.

        """
        return told_langs(queries, checked_query_langs(given, len(queries)), list(self.index.langs()))

    @overload
    def search(  # type: ignore[overload-overlap]
        self, queries: str | Path | Image, *, k: int = ..., policy: Policy | str = ..., langs: str | Sequence[str] | None = ...,
        where: Filter | None = ..., mode: Mode = ..., once: bool = ..., exact: bool = ..., vectors: Vectors | None = ...,
        query_langs: str | Sequence[str | None] | None = ..., words_weight: float | None = ...,
    ) -> Hits: ...  # fmt: skip
    @overload
    def search(
        self, queries: Sequence[str | Path | Image], *, k: int = ..., policy: Policy | str = ...,
        langs: str | Sequence[str] | None = ..., where: Filter | None = ..., mode: Mode = ..., once: bool = ...,
        exact: bool = ..., vectors: Vectors | None = ..., query_langs: str | Sequence[str | None] | None = ...,
        words_weight: float | None = ...,
    ) -> list[Hits]: ...  # fmt: skip
    def search(
        self,
        queries: str | Path | Image | Sequence[str | Path | Image],
        *,
        k: int = 10,
        policy: Policy | str = "any",
        langs: str | Sequence[str] | None = None,
        where: Filter | None = None,
        mode: Mode = "dense",
        once: bool = False,
        exact: bool = False,
        vectors: Vectors | None = None,
        query_langs: str | Sequence[str | None] | None = None,
        words_weight: float | None = None,
    ) -> Hits | list[Hits]:
        """Find the best k rows for each query.

        Args:
            queries: text in any language, an opened picture, the `Path` of a picture, or a list of these.
            k: the most rows per query, 1 to 1,000.
            policy: the language policy, such as `balanced` or `only=de,fr`; see `babelmix.search.policies`.
            langs: only rows in these languages; `en` means en-US too.
            where: only rows with these metadata: `{"year": [2024, 2025]}`, or the text `year=2024,2025`, or a list of such
                texts, or the result of `Index.where`.
            mode: `dense` compares vectors; `words` is BM25; `hybrid` fuses both (reciprocal rank fusion).
            once: each item once, in its best rendering.
            exact: compare with every vector, without the graph.
            vectors: the queries' vectors, if `embed` was called already, float32, shape (queries, dimension).
            query_langs: the language of all queries, or of each, which a removal kept with the index uses, and the policy `own`:
                a tag; `detect`: from the text, by the extra `detect`; None: unknown, so that a removal tells it from the vector.
            words_weight: with `hybrid`: the weight of the list of words, 0 (meaning alone) to 1; that of the list of vectors is
                1. BM25 finds nearly only the query's own language, so that less weight means less of it. None: 1.

        Returns:
            The hits of a query, best first. For a list of queries, a list with the hits of each. `Hits` is a list that prints as
            a table.

        Raises:
            SearchError: k, policy, mode, filter, language or weight are wrong, a picture cannot be read, or the engine has no
                BM25.
            EncoderError: a query is a picture, and the encoder cannot embed pictures.
            MissingExtraError: a language is to be detected, and the extra `detect` is not installed.

        """
        one = _is_one(queries)
        found = self._search(
            [queries] if _is_one(queries) else as_inputs(queries, SearchError), k, policy, langs, where, mode, once, exact,
            vectors, query_langs, EQUAL if words_weight is None and mode == "hybrid" else words_weight,
        )  # fmt: skip
        return found[0] if one else found

    def _search(
        self,
        queries: Sequence[str | Path | Image],
        k: int,
        policy: Policy | str,
        langs: str | Sequence[str] | None,
        where: Filter | None,
        mode: Mode,
        once: bool,
        exact: bool,
        vectors: Vectors | None,
        query_langs: str | Sequence[str | None] | None,
        weight: float | None,
    ) -> list[Hits]:
        opened = [_opened(query) for query in queries]
        chosen = check_search(
            opened, k=k, policy=policy, mode=mode, embedded=vectors is not None, query_langs=query_langs, words_weight=weight
        )  # fmt: skip
        if mode == "hybrid" and weight == 0:
            mode, weight = "dense", None
        if mode != "dense" and not self.index.engine.has_words:
            raise SearchError(f"{self.index.address}: this engine has no BM25; use the mode 'dense'")
        own_langs = list(self.index.langs())
        chosen, filter_ = self._among(own_langs, chosen, self._filter(langs, where))
        retrievers: list[tuple[Retriever, Scale | WordScale]] = []
        told = self.query_langs(opened, query_langs) if vectors is None or chosen.places else None
        if mode != "words":
            embedded = vectors = self.embed(opened, told) if vectors is None else vectors
            retrievers.append((self._dense(embedded, exact), self._scale(embedded, exact)))
        if mode != "dense":
            words = [query if isinstance(query, str) else "" for query in opened]
            retrievers.append((self._words(words), WordScale()))
        if once:
            retrievers = [(remembering(retrieve), scale) for retrieve, scale in retrievers]

        def retrieve_top(count: int) -> list[list[Hit]]:
            # A row far down one list may be high in the fused list.
            depth = count if mode != "hybrid" else max(_LEAST, DEEPER * count)
            lists = [
                apply_policy(chosen, retrieve, len(queries), filter_, depth, own_langs, scale)
                for retrieve, scale in retrievers
            ]
            if len(lists) == 1:
                return lists[0]
            # Only a quota needs rows beyond `count`.
            weights = [1.0, EQUAL if weight is None else weight]
            merged = [fused(both, None if chosen.languages else count, weights) for both in zip(*lists, strict=True)]
            return [with_quota(hits[:count], hits[count:], chosen.languages) for hits in merged]

        found = distinct_items(retrieve_top, k, chosen.languages) if once else retrieve_top(k)
        if chosen.places and told is not None:

            def in_own(numbers: Sequence[int], tags: Sequence[str], count: int) -> list[list[Hit]]:
                own = None if vectors is None else vectors[list(numbers)]
                some = [queries[number] for number in numbers]
                again = self._search(
                    some, count, "any", None, filter_.only(tags), mode, once, exact, own, None, weight
                )
                return [list(hits) for hits in again]

            allowed = [lang for lang in own_langs if filter_.langs is None or lang in filter_.langs]
            found = fill_places(found, told, allowed, in_own, chosen.places, k=k, once=once)
        return [Hits(hits, _shown(query)) for query, hits in zip(queries, found, strict=True)]

    def _filter(self, langs: str | Sequence[str] | None, where: Filter | None) -> Where:
        if isinstance(where, Where):
            if langs is not None and where.langs is not None:
                raise ArgumentError("langs", "give the languages once: as langs, or in where")
            return where if langs is None else Where(self.index.where(langs, {}).langs, where.fields)
        if where is None or isinstance(where, Mapping):
            return self.index.where(langs, where or {})
        return self.index.where(langs, typed_filters(where, self.index.columns))

    def _among(self, langs: list[str], policy: Policy, where: Where) -> tuple[Policy, Where]:
        """Policy and filter with the tags of the index in place of language ranges."""
        if not langs:
            return policy, where
        policy, where = policy.among(langs, self.index.address), where.among(langs, self.index.address)
        if policy.name == "only" and where.langs is not None and not set(policy.langs) & set(where.langs):
            raise SearchError(
                f"the policy {policy} and the filter by {', '.join(where.langs)} leave no language; leave out one of them"
            )
        return policy, where

    def _scale(self, vectors: Vectors, exact: bool) -> Scale:
        # An exact search compares with the rows of each language once, so that nothing can be saved.
        one_search = OneSearch(self.index.corrected, vectors) if not exact else None
        return Scale(lambda: self.index.calibration, vectors, one_search)

    def _dense(self, vectors: Vectors, exact: bool) -> Retriever:
        engine = self.index.engine
        return lambda numbers, wheres, k: engine.nearest(vectors[list(numbers)], wheres, k, exact=exact)

    def _words(self, words: Sequence[str]) -> Retriever:
        engine = self.index.engine
        return lambda numbers, wheres, k: engine.with_words([words[i] for i in numbers], wheres, k)

    def close(self) -> None:
        """Close the index."""
        self.index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_index(
    address: str | Path,
    *,
    model: str | None = None,
    device: str | None = None,
    backend: str | None = None,
    trust_code: bool = False,
) -> Searcher:
    """Open an index and load its encoder, to search it.

    Args:
        address: a folder, or `http://HOST:PORT/NAME` of a Milvus server.
        model: the new path of the encoder, if it was moved after the index was made.
        device: a torch device; by default the best there is.
        backend: the backend that runs the encoder; by default the one that embedded the rows. Another
            backend gives nearly the same scores: see docs/serve.md.
        trust_code: run Python code that the encoder contains or refers to; see `load_encoder`.

    Returns:
        The index, open. Use it in a `with` block, or call `close()`: one process at a time has a folder open.

    Raises:
        SearchError: there is no index, or it was made with another encoder.
        EncoderError: the encoder cannot be loaded, or the backend cannot run it.
        MissingExtraError: the backend or the engine is not installed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from babelmix.encoders import static
        >>> from babelmix.search import Row
        >>> with TemporaryDirectory() as folder:
        ...     encoder = static.from_scratch("a cat eine Katze a dog", vocabulary=40, dimension=8)
        ...     encoder.save(f"{folder}/model")
        ...     with Index.create(f"{folder}/index", encoder, f"{folder}/model") as made:
        ...         rows = [Row("a", "en", "a cat"), Row("a", "de", "eine Katze"), Row("b", "en", "a dog")]
        ...         made.write(made.changes(rows), encoder.encode([row.text for row in rows]))
        ...     with open_index(f"{folder}/index") as index:
        ...         hits = index.search("a dog", k=1, langs="en")
        >>> hits[0].item, hits.query
        ('b', 'a dog')

    """
    return Searcher.open(address, model=model, device=device, backend=backend, trust_code=trust_code)


def check_search(
    queries: Sequence[str | Path | Image],
    *,
    k: int = 10,
    policy: Policy | str = "any",
    mode: str = "dense",
    embedded: bool = False,
    query_langs: str | Sequence[str | None] | None = None,
    words_weight: float | None = None,
) -> Policy:
    """Check the arguments of a search, before the index is opened.

    Args:
        queries: see `Searcher.search`.
        k: see `Searcher.search`.
        policy: see `Searcher.search`.
        mode: see `Searcher.search`.
        embedded: whether the queries' vectors are given. If so, the queries themselves may be empty.
        query_langs: see `Searcher.search`.
        words_weight: see `Searcher.search`.

    Returns:
        The policy, parsed.

    Raises:
        SearchError: k, policy, mode, language or weight are wrong, a query is empty, a picture cannot be read, or a picture is
            searched by words.
        MissingExtraError: a language is to be detected, and the extra `detect` is not installed.

    """
    if not 1 <= k <= MAX_K:
        raise SearchError(f"k is {k}; ask for 1 to {MAX_K:,} rows")
    check_mode(mode, words_weight)
    checked_query_langs(query_langs, len(queries))
    chosen = Policy.parse(policy) if isinstance(policy, str) else policy
    if chosen.places and query_langs is None:
        raise SearchError(f"the policy {chosen} needs the language of the query: give one, such as de, or detect")
    for query in map(_opened, queries):
        if mode == "words" and not isinstance(query, str):
            raise SearchError(NO_WORDS)
        if not embedded and isinstance(query, str) and not query.strip():
            raise SearchError("a query is empty; give words to search by")
    return chosen


def _is_one(queries: str | Path | Image | Sequence[str | Path | Image]) -> TypeGuard[str | Path | Image]:
    # `getpixel` tells a picture of Pillow from a sequence, without an import of Pillow.
    return isinstance(queries, (str, Path)) or hasattr(queries, "getpixel")


def _opened(query: str | Path | Image) -> str | Image:
    if not isinstance(query, Path):
        return query
    try:
        return open_picture(bytes_of({"path": str(query)}))
    except PictureError as error:
        raise SearchError(f"{query}: {error}") from error


def _shown(query: str | Path | Image) -> str:
    return str(query) if isinstance(query, (str, Path)) else "(a picture)"
