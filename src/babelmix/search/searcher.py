"""Search: a query in any language, or a picture, against an index, under a language policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from sentence_transformers import SentenceTransformer

from babelmix._lists import as_inputs
from babelmix.encoders import load_encoder
from babelmix.encoders.embed import encode_batch
from babelmix.errors import SearchError
from babelmix.search.index import Index
from babelmix.search.policies import Policy, Retriever, Scale, WordScale, apply_policy, with_quota
from babelmix.search.rows import Hit, Vectors, Where

if TYPE_CHECKING:
    from PIL.Image import Image

Mode = Literal["dense", "words", "hybrid"]
MODES: tuple[Mode, ...] = ("dense", "words", "hybrid")

MAX_K = 1000
"""Rows a search gives at most."""

RRF = 60
"""The constant of reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009."""

_DEEPEST = 8192
_DEEPER = 5
_AHEAD = 10
"""A list that was too short is asked for again at so many times the depth that is needed next, or at the deepest."""
_LEAST = 50


class Searcher:
    """An index and the encoder it was made with.

    Args:
        index: the index.
        encoder: the encoder.
        key: the encoder's fingerprint, if it is known already.

    Raises:
        SearchError: the index was made with another encoder.

    """

    def __init__(self, index: Index, encoder: SentenceTransformer, *, key: str | None = None) -> None:
        index.check_encoder(encoder, key=key)
        self.index, self.encoder = index, encoder

    @classmethod
    def open(
        cls,
        address: str,
        *,
        model: str | None = None,
        device: str | None = None,
        backend: str | None = None,
        trust_code: bool = False,
    ) -> Self:
        """Open an index and load its encoder.

        Args:
            address: of the index.
            model: where the encoder is now, if not where it was when the index was made.
            device: a torch device; by default the best there is.
            backend: what runs the encoder; by default what ran it when the index was made. Another is nearly as good: see
                docs/serve.md.
            trust_code: let code that the encoder brings, or names, run; see `load_encoder`.

        Raises:
            SearchError: there is no index, or it was made with another encoder.
            EncoderError: the encoder cannot be loaded, or the backend cannot run it.
            MissingExtraError: the backend is not installed.

        """
        index = Index.open(address)
        about = index.about
        name = model or about.encoder
        try:
            encoder = load_encoder(
                name,
                device=device,
                max_seq_length=about.max_seq_length,
                revision=about.revision if name == about.encoder else None,
                backend=backend or index.backend.partition("-")[0],
                trust_code=trust_code,
            )
            return cls(index, encoder)
        except BaseException:
            index.close()
            raise

    def embed(self, queries: str | Image | Sequence[str | Image], *, batch_size: int = 32) -> Vectors:
        """Vectors of queries, float32, shape (queries, dimension), as the index compares them.

        Raises:
            EncoderError: the encoder cannot embed pictures, and there are some.

        """
        advice = "search with words, or use an encoder with an image tower"
        vectors = encode_batch(
            self.encoder, as_inputs(queries, SearchError), "query", batch_size=batch_size, advice=advice
        )
        return self.index.ready(vectors)

    def search(
        self,
        queries: str | Image | Sequence[str | Image],
        *,
        k: int = 10,
        policy: Policy | str = "any",
        where: Where | None = None,
        mode: Mode = "dense",
        once: bool = False,
        exact: bool = False,
        vectors: Vectors | None = None,
    ) -> list[list[Hit]]:
        """The first k rows for each query.

        Args:
            queries: texts in any language, or opened pictures; one alone is a list of one.
            k: rows a query at most.
            policy: the language policy; see `babelmix.search.policies`.
            where: which rows may be found; `Index.where` makes one.
            mode: `dense` compares vectors; `words` is BM25; `hybrid` fuses both (RRF).
            once: each item once, in the rendering that comes first.
            exact: compare with every vector, not through a graph.
            vectors: what `embed` gave for these queries, if it was called already.

        Returns:
            For each query its rows, best first.

        Raises:
            SearchError: k, policy or mode are wrong, or the engine has no BM25.
            EncoderError: the encoder cannot embed pictures, and there are some.

        """
        if not 1 <= k <= MAX_K:
            raise SearchError(f"k is {k}; ask for 1 to {MAX_K:,} rows")
        if mode not in MODES:
            raise SearchError(f"the mode {mode!r} is unknown; use {', '.join(MODES)}")
        chosen = Policy.parse(policy) if isinstance(policy, str) else policy
        queries = as_inputs(queries, SearchError)
        words = [query if isinstance(query, str) else "" for query in queries]
        if mode != "dense" and not self.index.engine.has_words:
            raise SearchError(f"{self.index.address}: this engine has no BM25; use the mode 'dense'")
        if mode == "words" and not all(words):
            raise SearchError("a picture has no words to search by; use the mode 'dense'")
        langs = list(self.index.langs())
        chosen, filter_ = self._among(langs, chosen, where or Where())
        retrievers: list[tuple[Retriever, Scale | WordScale]] = []
        if mode != "words":
            embedded = self.embed(queries) if vectors is None else vectors
            retrievers.append((self._dense(embedded, exact), Scale(lambda: self.index.calibration, embedded)))
        if mode != "dense":
            retrievers.append((self._words(words), WordScale()))

        def top_k(count: int) -> list[list[Hit]]:
            # Places far down one list may be first in the fused one.
            depth = count if mode != "hybrid" else max(_LEAST, _DEEPER * count)
            lists = [
                apply_policy(chosen, retrieve, len(queries), filter_, depth, langs, scale)
                for retrieve, scale in retrievers
            ]
            if len(lists) == 1:
                return lists[0]
            # Rows further down are of use only to a quota.
            merged = [fused(both, None if chosen.languages else count) for both in zip(*lists, strict=True)]
            return [with_quota(hits[:count], hits[count:], chosen.languages) for hits in merged]

        if not once:
            return top_k(k)
        retrievers = [(_kept(retrieve), scale) for retrieve, scale in retrievers]
        return _once(top_k, k, chosen.languages)

    def _among(self, langs: list[str], policy: Policy, where: Where) -> tuple[Policy, Where]:
        """Policy and filter with the index's own tags in place of ranges."""
        if not langs:
            return policy, where
        policy, where = policy.among(langs, self.index.address), where.among(langs, self.index.address)
        if policy.name == "only" and where.langs is not None and not set(policy.langs) & set(where.langs):
            raise SearchError(
                f"the policy {policy} and the filter by {', '.join(where.langs)} leave no language; leave out one of them"
            )
        return policy, where

    def _dense(self, vectors: Vectors, exact: bool) -> Retriever:
        engine = self.index.engine
        return lambda numbers, wheres, k: engine.nearest(vectors[list(numbers)], wheres, k, exact=exact)

    def _words(self, words: Sequence[str]) -> Retriever:
        engine = self.index.engine
        return lambda numbers, wheres, k: engine.with_words([words[i] for i in numbers], wheres, k)


def fused(lists: Sequence[Sequence[Hit]], top_k: int | None = None) -> list[Hit]:
    """Reciprocal rank fusion: the score of a row is the sum of 1 / (60 + rank) over the lists that have it.

    Args:
        lists: rows, best first.
        top_k: how many to give; None: all.

    Source: Cormack, Clarke and Büttcher, SIGIR 2009, with ranks from 1.

    """
    scores: dict[str, float] = {}
    hits: dict[str, Hit] = {}
    for found in lists:
        for rank, hit in enumerate(found, start=1):
            scores[hit.id] = scores.get(hit.id, 0.0) + 1 / (RRF + rank)
            hits.setdefault(hit.id, hit)
    ordered = sorted((-score, name) for name, score in scores.items())[:top_k]
    return [hits[name].scored(-score) for score, name in ordered]


def _kept(retrieve: Retriever) -> Retriever:
    """The same, but what was found for a question is not looked for again: a longer list begins with the shorter ones."""
    found: dict[Any, tuple[int, list[Hit]]] = {}

    def kept(numbers: Sequence[int], wheres: Sequence[Where], k: int) -> list[list[Hit]]:
        keys = [
            (number, where.langs, tuple(where.fields.items())) for number, where in zip(numbers, wheres, strict=True)
        ]
        # A list that is shorter than was asked for has everything.
        new = [
            i for i, key in enumerate(keys)
            if key not in found or len(found[key][1]) == found[key][0] < k
        ]  # fmt: skip
        if new:
            # More than is asked for now: it will be asked for next.
            depth = k if not found else max(k, min(_AHEAD * k, _DEEPER * _DEEPEST))
            lists = retrieve([numbers[i] for i in new], [wheres[i] for i in new], depth)
            found.update((keys[i], (depth, hits)) for i, hits in zip(new, lists, strict=True))
        return [found[key][1][:k] for key in keys]

    return kept


def _once(top_k: Callable[[int], list[list[Hit]]], k: int, languages: int) -> list[list[Hit]]:
    """Rows of k different items: looks further down until there are so many, no more, or `_DEEPEST` rows were looked at.

    They are in at least so many languages, where there are so many.
    """
    depth = 4 * k
    while True:
        found = top_k(depth)
        kept = [_items_of(hits, k, languages) for hits in found]
        enough = all(len(some) == k or len(hits) < depth for some, hits in zip(kept, found, strict=True))
        if enough or depth >= _DEEPEST:
            return kept
        depth = min(2 * depth, _DEEPEST)


def _items_of(hits: Sequence[Hit], k: int, languages: int) -> list[Hit]:
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.item, hit)
    kept = list(best.values())[:k]
    items, langs = {hit.item for hit in kept}, {hit.lang for hit in kept}
    others = []
    for hit in hits:
        if hit.item not in items and hit.lang not in langs:
            others.append(hit)
            items.add(hit.item)
            langs.add(hit.lang)
    return with_quota(kept, others, languages)
