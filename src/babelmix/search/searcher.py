"""Search an index: with text in any language or a picture, under a language policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, overload

from babelmix._lists import as_inputs
from babelmix.encoders.embed import encode_batch
from babelmix.encoders.runtime import backend_of, same_vectors
from babelmix.errors import ArgumentError, SearchError
from babelmix.search.asking import Asked, check_search, checked_vectors, is_one, opened, shown
from babelmix.search.filters import typed_filters
from babelmix.search.foreign.engine import ForeignEngine
from babelmix.search.fusion import WeightLike
from babelmix.search.hits import Hits
from babelmix.search.index import Index
from babelmix.search.index_encoder import index_with_encoder
from babelmix.search.options import Mode, SearchOptions, Show, checked_query_langs, told_langs
from babelmix.search.policies import Policy
from babelmix.search.reading import by_reader
from babelmix.search.reranking.opening import open_reranker
from babelmix.search.reranking.stage import Stage, needs_levels
from babelmix.search.rows import Value, Vectors, Where

if TYPE_CHECKING:
    from PIL.Image import Image

    from babelmix.encoders.protocol import Encoder
    from babelmix.search.reranking.base import Reranker

Filter = Where | Mapping[str, Value | Sequence[Value]] | str | Sequence[str]
"""The type of a filter in `Searcher.search`."""


class Searcher:
    """An open index together with its encoder; `open_index` makes one. It closes the index at the end of a `with` block.

    Args:
        index: the index.
        encoder: the encoder that the index was made with.
        reranker: scores the first rows of a search again; None: nothing does.

    Raises:
        SearchError: the index was made with another encoder.

    """

    def __init__(self, index: Index, encoder: Encoder, reranker: Reranker | None = None) -> None:
        index.check_encoder(encoder)
        self.index, self.encoder, self.reranker = index, encoder, reranker
        self._stage = None if reranker is None else Stage.on(index.engine, reranker)
        self._closes_reranker = False

    @classmethod
    def open(
        cls,
        address: str | Path,
        *,
        model: str | Encoder | None = None,
        device: str | None = None,
        backend: str | None = None,
        trust_code: bool = False,
        rerank: str | Path | Reranker | None = None,
    ) -> Self:
        """Open an index and load its encoder; see `open_index`. The encoder may be one that is loaded."""
        index, encoder = index_with_encoder(
            str(address), model=model, device=device, backend=backend, trust_code=trust_code
        )
        try:
            if rerank is None or not isinstance(rerank, (str, Path)):
                return cls(index, encoder, rerank)
            found = cls(index, encoder, open_reranker(rerank, device=device, trust_code=trust_code))
            found._closes_reranker = True
            return found
        except BaseException:
            index.close()
            raise

    @property
    def notes(self) -> list[str]:
        """What to know about the scores: that other backends embed queries and rows, or how a collection is read."""
        now, then, engine = backend_of(self.encoder), self.index.backend, self.index.engine
        if isinstance(engine, ForeignEngine):
            return engine.notes
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
        query_langs: str | Sequence[str | None] | None = ..., words_weight: WeightLike | None = ...,
        fusion: str | None = ..., show: Show = ..., rerank: bool | None = ...,
    ) -> Hits: ...  # fmt: skip
    @overload
    def search(
        self, queries: Sequence[str | Path | Image], *, k: int = ..., policy: Policy | str = ...,
        langs: str | Sequence[str] | None = ..., where: Filter | None = ..., mode: Mode = ..., once: bool = ...,
        exact: bool = ..., vectors: Vectors | None = ..., query_langs: str | Sequence[str | None] | None = ...,
        words_weight: WeightLike | None = ..., fusion: str | None = ..., show: Show = ..., rerank: bool | None = ...,
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
        words_weight: WeightLike | None = None,
        fusion: str | None = None,
        show: Show = "found",
        rerank: bool | None = None,
    ) -> Hits | list[Hits]:
        """Find the best k rows for each query.

        Args:
            queries: text in any language, an opened picture, the `Path` of a picture, or a list of these.
            k: the most rows per query, 1 to 1,000.
            policy: the language policy, such as `balanced` or `only=de,fr`; see `babelmix.search.policies`.
            langs: only rows in these languages; `en` means en-US too.
            where: only rows with these metadata: `{"year": [2024, 2025]}`, or the text `year=2024,2025`, or a list of such
                texts, or the result of `Index.where`.
            mode: `dense` compares vectors; `words` is BM25; `hybrid` fuses both.
            once: each item once, in its best rendering; under `quota=N` in another one if a language is missing otherwise.
            exact: compare with every vector, without the graph.
            vectors: the queries' vectors, if `embed` was called already, float32, shape (queries, dimension).
            query_langs: the language of all queries, or of each, which a removal kept with the index uses, and the policy `own`:
                a tag; `detect`: from the text, by the extra `detect`; None: unknown, so that a removal tells it from the vector.
            words_weight: with `hybrid`: the weight of the list of words, 0 (meaning alone) to 10; that of the list of vectors is
                1. BM25 finds nearly only the query's own language, so that less weight means less of it. `"0.2,de=0.6"`
                or `{"*": 0.2, "de": 0.6}`: 0.6 for German rows. None: 0.2.
            fusion: with `hybrid`: how the two lists are merged, such as `rrf:k=20`; see `babelmix.search.fusion`.
            show: `found`: the rows as they are found. `mine`: one row of each item, in a language that the searcher reads; see
                `babelmix.search.showing`.
            rerank: score the first rows again with the reranker that the index was opened with. None: if there is one.

        Returns:
            The hits of a query, best first. For a list of queries, a list with the hits of each. `Hits` is a list that prints as
            a table.

        Raises:
            SearchError: k, policy, mode, filter, language or weight are wrong, a picture cannot be read, or the engine has no
                BM25.
            EncoderError: a query is a picture, and the encoder cannot embed pictures.
            MissingExtraError: a language is to be detected, and the extra `detect` is not installed.

        """
        given = [queries] if is_one(queries) else as_inputs(queries, SearchError)
        options = SearchOptions(mode, words_weight, None, fusion, show, rerank)
        found = [Hits((), shown(query)) for query in given]
        for numbers, asked in self._asked(
            given, policy, langs, where, vectors, query_langs, options, k=k, once=once, exact=exact
        ):
            for number, hits in zip(numbers, asked.hits(), strict=True):
                found[number].extend(hits)
        return found[0] if is_one(queries) else found

    def _asked(
        self,
        queries: Sequence[str | Path | Image],
        policy: Policy | str,
        langs: str | Sequence[str] | None,
        where: Filter | None,
        vectors: Vectors | None,
        query_langs: str | Sequence[str | None] | None,
        options: SearchOptions,
        *,
        k: int,
        once: bool,
        exact: bool,
    ) -> list[tuple[list[int], Asked]]:
        """Check the arguments of a search, and embed its queries. For each group of `by_reader` its numbers, and its search."""
        inputs = [opened(query) for query in queries]
        chosen = check_search(
            inputs,
            k=k,
            policy=policy,
            embedded=vectors is not None,
            query_langs=query_langs,
            options=options,
            once=once,
            exact=exact,
        )
        k = int(k)
        if vectors is not None:
            vectors = checked_vectors(vectors, len(inputs), self.index.about.dimension)
        if options.mode == "hybrid" and options.weight.is_zero:
            options = replace(options, mode="dense", words_weight=None, fusion=None)
        if options.mode != "dense" and not self.index.engine.has_words:
            raise SearchError(f"{self.index.address}: this engine has no BM25; use the mode 'dense'")
        if options.rerank and self.reranker is None:
            raise ArgumentError("rerank", "there is no reranker; name one where the index is opened")
        stage = None if options.rerank is False else self._stage
        needed = vectors is None or chosen.needs_query_lang or options.show == "mine"
        told = self.query_langs(inputs, query_langs) if needed or (stage and needs_levels(chosen)) else None
        tags, known = list(self.index.langs()), told or [None] * len(inputs)
        groups = by_reader(chosen, self._filter(langs, where), known, tags, self.index.address, options.show)
        if options.mode == "words":
            vectors = None
        elif vectors is None:
            vectors = self.embed(inputs, told)
        return [
            (
                group.numbers,
                Asked(
                    self.index, [inputs[number] for number in group.numbers],
                    None if vectors is None else vectors[group.numbers],
                    None if told is None else [told[number] for number in group.numbers],
                    group.policy, group.where, tags, k, options, once, exact, stage, group.reader,
                ),
            )
            for group in groups
        ]  # fmt: skip

    def _filter(self, langs: str | Sequence[str] | None, where: Filter | None) -> Where:
        if isinstance(where, Where):
            if langs is not None and where.langs is not None:
                raise ArgumentError("langs", "give the languages once: as langs, or in where")
            return where if langs is None else Where(self.index.where(langs, {}).langs, where.fields)
        if where is None or isinstance(where, Mapping):
            return self.index.where(langs, where or {})
        return self.index.where(langs, typed_filters(where, self.index.columns))

    def close(self) -> None:
        """Close the index, and the reranker if it was opened with it."""
        self.index.close()
        if self.reranker is not None and self._closes_reranker:
            self.reranker.close()

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
    rerank: str | Path | Reranker | None = None,
) -> Searcher:
    """Open an index and load its encoder, to search it.

    Args:
        address: a folder, `postgresql://HOST/DATABASE/NAME`, or `http://HOST:PORT/NAME` of a Milvus server.
        model: the new path of the encoder, if it was moved after the index was made.
        device: a torch device; by default the best there is.
        backend: the backend that runs the encoder; by default the one that embedded the rows. Another
            backend gives nearly the same scores: see docs/serve.md.
        trust_code: run Python code that the encoder contains or refers to; see `load_encoder`.
        rerank: a reranker that scores the first rows of each search again: its name, folder or URL, see
            `babelmix.search.reranking`; None: there is none.

    Returns:
        The index, open. Use it in a `with` block, or call `close()`: one process at a time has a folder open.

    Raises:
        SearchError: there is no index, or it was made with another encoder.
        EncoderError: the encoder cannot be loaded, or the backend cannot run it.
        MissingExtraError: the backend or the engine is not installed.

    Examples:
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
    return Searcher.open(address, model=model, device=device, backend=backend, trust_code=trust_code, rerank=rerank)
