"""Search: a query in any language, or a picture, against an index, under a language policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sentence_transformers import SentenceTransformer

from babelmix.encoders import load_encoder
from babelmix.errors import EncoderError, SearchError
from babelmix.search.index import Index
from babelmix.search.policies import Look, Policy, Scale, WordScale, choose, with_quota
from babelmix.search.rows import Hit, Vectors, Where

if TYPE_CHECKING:
    from PIL.Image import Image

Mode = Literal["dense", "words", "hybrid"]
MODES: tuple[Mode, ...] = ("dense", "words", "hybrid")

MAX_K = 1000
"""Rows a search gives at most."""

RRF = 60
"""The constant of reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009."""

_DEEPER = 5
_LEAST = 50


class Searcher:
    """An index and the encoder it was made with.

    Args:
        index: the index.
        encoder: the encoder.

    Raises:
        SearchError: the index was made with another encoder.

    """

    def __init__(self, index: Index, encoder: SentenceTransformer) -> None:
        index.check_encoder(encoder)
        self.index, self.encoder = index, encoder

    @classmethod
    def open(cls, address: str, *, model: str | None = None, device: str | None = None) -> Self:
        """Open an index and load its encoder.

        Args:
            address: of the index.
            model: where the encoder is now, if not where it was when the index was made.
            device: a torch device; by default the best there is.

        Raises:
            SearchError: there is no index, or it was made with another encoder.
            EncoderError: the encoder cannot be loaded.

        """
        index = Index.open(address)
        about = index.about
        name = model or about["encoder"]
        try:
            encoder = load_encoder(
                name,
                device=device,
                max_seq_length=about["max_seq_length"],
                revision=about["revision"] if name == about["encoder"] else None,
            )
            return cls(index, encoder)
        except BaseException:
            index.close()
            raise

    def embed(self, queries: Sequence[str | Image], *, batch_size: int = 32) -> Vectors:
        """Vectors of queries, float32, shape (queries, dimension), as the index compares them.

        Raises:
            EncoderError: the encoder cannot embed pictures, and there are some.

        """
        vectors = np.empty((len(queries), self.index.about["dimension"]), dtype=np.float32)
        texts = [i for i, query in enumerate(queries) if isinstance(query, str)]
        pictures = [i for i, query in enumerate(queries) if not isinstance(query, str)]
        for places in (texts, pictures):
            if not places:
                continue
            batch: list[Any] = [queries[i] for i in places]
            try:
                vectors[places] = self.encoder.encode_query(
                    batch, batch_size=batch_size, show_progress_bar=False, convert_to_numpy=True
                )
            except (ValueError, TypeError, KeyError) as error:
                if places is texts:
                    raise
                raise EncoderError(
                    "this index's encoder cannot embed pictures; search with words, or use an encoder with an image tower"
                ) from error
        return self.index.ready(vectors)

    def search(
        self,
        queries: Sequence[str | Image],
        *,
        k: int = 10,
        policy: Policy | str = "any",
        where: Where | None = None,
        mode: Mode = "dense",
        once: bool = False,
        exact: bool = False,
    ) -> list[list[Hit]]:
        """The first k rows for each query.

        Args:
            queries: texts in any language, or opened pictures.
            k: rows a query at most.
            policy: the language policy; see `babelmix.search.policies`.
            where: which rows may be found; `Index.where` makes one.
            mode: `dense` compares vectors; `words` is BM25; `hybrid` fuses both (RRF).
            once: each item once, in the rendering that comes first.
            exact: compare with every vector, not through a graph.

        Returns:
            For each query its rows, best first.

        Raises:
            SearchError: k, policy or mode are wrong, or the engine has no BM25.
            EncoderError: the encoder cannot embed pictures, and there are some.

        """
        vectors = self.embed(queries) if mode != "words" else None
        return self.search_vectors(
            queries, vectors, k=k, policy=policy, where=where, mode=mode, once=once, exact=exact
        )

    def search_vectors(
        self,
        queries: Sequence[str | Image],
        vectors: Vectors | None,
        *,
        k: int = 10,
        policy: Policy | str = "any",
        where: Where | None = None,
        mode: Mode = "dense",
        once: bool = False,
        exact: bool = False,
    ) -> list[list[Hit]]:
        """`search` with vectors that `embed` gave; they are not needed for the mode `words`.

        Raises:
            SearchError: see `search`.

        """
        if not 1 <= k <= MAX_K:
            raise SearchError(f"k is {k}; ask for 1 to {MAX_K:,} rows")
        if mode not in MODES:
            raise SearchError(f"the mode {mode!r} is unknown; use {', '.join(MODES)}")
        chosen = Policy.parse(policy) if isinstance(policy, str) else policy
        filter_ = where or Where()
        words = [query if isinstance(query, str) else "" for query in queries]
        if mode != "dense" and not self.index.engine.has_words:
            raise SearchError(f"{self.index.address}: this engine has no BM25; use the mode 'dense'")
        if mode == "words" and not all(words):
            raise SearchError("a picture has no words to search by; use the mode 'dense'")
        langs = list(self.index.langs())

        def first(count: int) -> list[list[Hit]]:
            lists = []
            # Places far down one list may be first in the fused one.
            depth = count if mode != "hybrid" else max(_LEAST, _DEEPER * count)
            if vectors is not None and mode != "words":
                scale = Scale(lambda: self.index.calibration, vectors)
                lists.append(choose(chosen, self._dense(vectors, exact), len(queries), filter_, depth, langs, scale))
            if mode != "dense":
                lists.append(choose(chosen, self._words(words), len(queries), filter_, depth, langs, WordScale()))
            if len(lists) == 1:
                return lists[0]
            merged = [fused(both) for both in zip(*lists, strict=True)]
            return [with_quota(hits[:count], hits[count:], chosen.languages) for hits in merged]

        return first(k) if not once else _once(first, k)

    def _dense(self, vectors: Vectors, exact: bool) -> Look:
        engine = self.index.engine
        return lambda numbers, wheres, k: engine.nearest(vectors[list(numbers)], wheres, k, exact=exact)

    def _words(self, words: Sequence[str]) -> Look:
        engine = self.index.engine
        return lambda numbers, wheres, k: engine.with_words([words[i] for i in numbers], wheres, k)


def fused(lists: Sequence[Sequence[Hit]]) -> list[Hit]:
    """Reciprocal rank fusion: the score of a row is the sum of 1 / (60 + rank) over the lists that have it.

    Source: Cormack, Clarke and Büttcher, SIGIR 2009, with ranks from 1.
    """
    scores: dict[str, float] = {}
    hits: dict[str, Hit] = {}
    for found in lists:
        for rank, hit in enumerate(found, start=1):
            scores[hit.id] = scores.get(hit.id, 0.0) + 1 / (RRF + rank)
            hits.setdefault(hit.id, hit)
    ordered = sorted(scores, key=lambda name: (-scores[name], name))
    return [replace(hits[name], score=scores[name]) for name in ordered]


def _once(first: Any, k: int) -> list[list[Hit]]:
    """Rows of k different items: looks further down until there are so many, or no more."""
    depth = min(4 * k, MAX_K)
    while True:
        found = first(depth)
        kept = [_first_of_items(hits)[:k] for hits in found]
        enough = all(len(some) == k or len(hits) < depth for some, hits in zip(kept, found, strict=True))
        if enough or depth == MAX_K:
            return kept
        depth = min(2 * depth, MAX_K)


def _first_of_items(hits: Sequence[Hit]) -> list[Hit]:
    first: dict[str, Hit] = {}
    for hit in hits:
        first.setdefault(hit.item, hit)
    return list(first.values())
