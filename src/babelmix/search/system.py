"""An index under a language policy as a system that can be audited."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies
from babelmix.encoders import encode
from babelmix.errors import SearchError
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.systems.base import Answer
from babelmix.search.asking import MAX_K
from babelmix.search.documents import rows_of_corpus
from babelmix.search.foreign.given import GivenVectors
from babelmix.search.foreign.matching import Matching
from babelmix.search.hits import Hits
from babelmix.search.index import Index
from babelmix.search.indexing import batches_of
from babelmix.search.options import SearchOptions
from babelmix.search.policies import Policy
from babelmix.search.rows import Vectors
from babelmix.search.searcher import Searcher


class QueryVectors:
    """The vectors of the queries of an audit, embedded once for all policies.

    Args:
        searcher: the index and its encoder.
        batch_size: the number of texts per forward pass.
        store: keep the embeddings in the user's cache.

    """

    def __init__(self, searcher: Searcher, *, batch_size: int = 32, store: bool = True) -> None:
        self._searcher, self._batch_size, self._store = searcher, batch_size, store
        self._last: tuple[list[str], list[str | None] | None, Vectors] | None = None

    def __call__(self, texts: list[str], langs: list[str | None] | None = None) -> Vectors:
        """Vectors as the index compares them, float32, shape (texts, dimension).

        Args:
            texts: the queries.
            langs: their languages, as `Searcher.query_langs` returns them.

        """
        if self._last is None or self._last[:2] != (texts, langs):
            encoder = self._searcher.encoder
            given = isinstance(encoder, GivenVectors)
            found = encoder.encode_query(texts) if given else encode(
                encoder, texts, "query", batch_size=self._batch_size, store=self._store, label="encoding queries",
            )  # fmt: skip
            self._last = texts, langs, self._searcher.index.ready(found, langs, "query")
        return self._last[2]


@dataclass(eq=False)
class IndexSystem:
    """An index under a language policy: a `ListSystem` with up to 1,000 answers per query.

    Args:
        searcher: the index and its encoder.
        policy: the language policy.
        exact: compare with every row, without the graph.
        vectors: the function that embeds the queries. Systems of one index may share it.
        options: mode, weight of words, fusion, what is shown, and what is said of the languages of the queries.
        matching: how the rows of someone else's collection are matched with the passages of the corpus; None: the index is ours.
        once: each item once.

    """

    searcher: Searcher
    policy: Policy | str = "any"
    exact: bool = False
    vectors: QueryVectors | None = None
    options: SearchOptions = field(default_factory=SearchOptions)
    matching: Matching | None = None
    once: bool = False
    seconds: list[float] = field(default_factory=list, init=False)
    """The time of each search, without the embedding of its query."""

    depth = MAX_K

    def __post_init__(self) -> None:
        self.policy = Policy.parse(self.policy) if isinstance(self.policy, str) else self.policy
        self.vectors = self.vectors or QueryVectors(self.searcher)

    @property
    def name(self) -> str:
        """The encoder and the policy."""
        return f"{self.searcher.index.about.encoder}, {self.policy}"

    def facts(self, corpus: Corpus, *, copies: Copies = "wrong") -> AuditFacts:
        """The encoder, the index, the policy and the corpus."""
        about = self.searcher.index.about
        return AuditFacts(
            encoder=about.encoder,
            encoder_fingerprint=about.fingerprint,
            prompts=about.prompts,
            max_seq_length=about.max_seq_length,
            similarity=about.similarity,
            corpus=corpus.name,
            fingerprint=corpus.fingerprint(),
            mode=self.options.mode,
            queries=corpus.queries.num_rows,
            passages=corpus.passages.num_rows,
            extra={"index": self.searcher.index.address, "policy": str(self.policy), "exact": self.exact}
            | self.options.facts(),
        )

    def retrieve(self, queries: pa.Table, k: Sequence[int]) -> Iterator[Sequence[Answer]]:
        """Search for one query after the other, and measure the time of each search.

        Args:
            queries: rows of a corpus's queries, which are texts.
            k: the most answers to each query.

        Yields:
            The answers to one query, best first.

        """
        texts = queries["text"].to_pylist()
        assert self.vectors is not None
        langs = self.searcher.query_langs(texts, self.options.langs_of(queries["lang"].to_pylist()))
        vectors = None if self.options.mode == "words" else self.vectors(texts, langs)
        for row, text in enumerate(texts):
            own = None if vectors is None else vectors[row : row + 1]
            lang = None if langs is None else [langs[row]]
            if row == 0:
                # The first search also does preparation, which is not part of the cost of a search. So it is run once untimed.
                self._search(text, k[0], own, lang)
            began = time.perf_counter()
            hits = self._search(text, k[row], own, lang)
            self.seconds.append(time.perf_counter() - began)
            yield (
                [Answer(hit.item, hit.lang, hit.score) for hit in hits]
                if self.matching is None
                else self.matching.answers(hits)
            )

    def _search(self, text: str, k: int, vectors: Vectors | None, lang: list[str | None] | None) -> Hits:
        return self.searcher.search(
            text,
            vectors=vectors,
            k=k,
            policy=self.policy,
            exact=self.exact,
            once=self.once,
            query_langs=lang,
            **self.options.keywords(),
        )


def check_holds(index: Index, corpus: Corpus) -> None:
    """Raise unless an index holds the passages of a corpus as they are; it may hold other items too.

    Raises:
        SearchError: passages are missing, differ, or have more renderings in the index.

    """
    missing = more = 0
    for batch in batches_of(rows_of_corpus(corpus)):
        changes = index.changes(batch)
        missing += len(changes.points)
        more += len(changes.stale)
    if missing or more:
        raise SearchError(
            f"{index.address}: does not hold the passages of {corpus.name} as they are: of {corpus.passages.num_rows:,} "
            f"{missing:,} are missing or differ, and {more:,} rows of the same items are not in the corpus; bring it up to date "
            f"with  babelmix index CORPUS --to {index.address}"
        )
