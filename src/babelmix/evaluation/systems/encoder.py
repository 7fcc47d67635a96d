"""An encoder as a system: texts and pictures are embedded, and every query is scored against every passage."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from babelmix._files import recorded
from babelmix.corpus import IMAGE, Corpus
from babelmix.corpus.copies import Copies, check_copies
from babelmix.corpus.images import Pictures
from babelmix.corpus.seen import share_seen
from babelmix.encoders import encode, fingerprint
from babelmix.encoders.embed import INPUT_KINDS
from babelmix.encoders.kinds import kind_of
from babelmix.encoders.limits import length_limit
from babelmix.encoders.origin import origin_of
from babelmix.encoders.runtime import backend_of
from babelmix.encoders.store import Embeddings
from babelmix.errors import AuditError
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.coarser import coarser, settings_of
from babelmix.evaluation.ranks import RankTable
from babelmix.evaluation.systems.embedded import pool_facts, rank_embedded
from babelmix.evaluation.tokens import tokens_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_FEWEST_SEEN = 0.01
"""The least share of passages that were trained on that an audit tells. A few texts are everywhere, such as "Note:"."""


class Sides(NamedTuple):
    """Embeddings of a corpus.

    Args:
        queries: float32, shape (queries, dimension).
        passages: float32, shape (passages, dimension).

    """

    queries: Embeddings
    passages: Embeddings


@dataclass(eq=False)
class EncoderSystem:
    """An encoder; its prompts for queries and documents are used.

    The weights must not change while the system is in use: the facts, the embeddings and the ranks must belong together.

    Args:
        encoder: the encoder.
        name: its name in reports.
        batch_size: texts per forward pass; None: the default for its kind of encoder.
        store: keep embeddings in the user's cache, so that an interrupted audit can be continued. None: the default for its kind
            of encoder, which is False for static encoders, as they are faster than a disk.
        bf16: encode in bfloat16 mixed precision, which is faster on processors that support it; see docs/audit.md.
        details: also measure tokens per character and score levels, as `audit` does.
        extra: further facts to save with the audit.
        dimensions: rank by so many first dimensions of the embeddings; None: all.
        precision: rank by embeddings that are made coarser, see `babelmix.evaluation.coarser`; None: as they are.

    """

    encoder: SentenceTransformer
    name: str = "the encoder"
    batch_size: int | None = None
    store: bool | None = None
    bf16: bool = False
    details: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    dimensions: int | None = None
    precision: str | None = None

    @property
    def fingerprint(self) -> str:
        """A digest of the encoder's weights and settings."""
        return fingerprint(self.encoder)

    @property
    def similarity(self) -> str:
        """How two embeddings are compared: `cosine` or `dot`.

        Raises:
            AuditError: the encoder compares them in another way.

        """
        own = str(self.encoder.similarity_fn_name)
        if own not in ("cosine", "dot"):
            raise AuditError(f"{self.name} scores by {own}; only cosine and dot product are supported")
        return own

    def facts(self, corpus: Corpus, *, copies: Copies = "wrong") -> AuditFacts:
        """The facts by which a finished audit is recognised: name, weights, prompts, limits, corpus, copies, precision."""
        backend = backend_of(self.encoder)
        return AuditFacts(
            encoder=self.name,
            encoder_fingerprint=self.fingerprint,
            prompts=dict(self.encoder.prompts),
            max_seq_length=length_limit(self.encoder),
            similarity=str(self.encoder.similarity_fn_name),
            settings=settings_of(self.dimensions, self.precision),
            **pool_facts(corpus, copies),
            # None for float32 with torch: audits of older versions have no precision.
            precision="bfloat16" if self.bf16 else None if backend == "torch" else backend,
        )

    def embed(self, corpus: Corpus) -> Sides:
        """Embed the queries and the passages of a corpus.

        Raises:
            EncoderError: the corpus has pictures, and the encoder cannot embed pictures.

        """
        return Sides(
            *(
                self._embedded(table, kind, side)
                for table, kind, side in zip(
                    (corpus.queries, corpus.passages), INPUT_KINDS, ("queries", "passages"), strict=True
                )
            )
        )

    def rank(self, corpus: Corpus, *, copies: Copies = "wrong", sides: Sides | None = None) -> RankTable:
        """Embed a corpus and rank every passage for every query.

        Args:
            corpus: the corpus.
            copies: how copies of right answers are counted; see `babelmix.corpus.copies`.
            sides: the embeddings of the corpus, if `embed` has been called already.

        Returns:
            The rank table.

        Raises:
            AuditError: the encoder's similarity is neither cosine nor dot product, its embeddings are not finite, or the
                corpus has no query, no passage or no relevant passage.

        """
        check_copies(copies)
        facts, similarity = self.facts(corpus, copies=copies), self.similarity
        for side, rows in (("query", corpus.queries.num_rows), ("passage", corpus.passages.num_rows)):
            if rows == 0:
                raise AuditError(f"{corpus.name}: there is no {side} in {', '.join(corpus.langs) or 'it'}")
        queries, passages = self.embed(corpus) if sides is None else sides
        zero = {"queries": int((~queries.any(axis=1)).sum()), "passages": int((~passages.any(axis=1)).sum())}
        tokens = tokens_of(self.encoder, corpus) if self.details else None
        origin = origin_of(self.encoder)
        facts = replace(
            facts,
            tokens=tokens,
            trained_on=_trained_on(origin.name, corpus) if self.details and origin is not None else None,
            extra=self.extra,
            zero_vectors=zero,
            prompts_from=(origin and origin.prompts) or None,
        )
        left, right, similarity = coarser(
            queries,
            passages,
            similarity=similarity,
            dimensions=self.dimensions,
            precision=self.precision,
            name=self.name,
        )
        return rank_embedded(
            corpus, left, right, similarity=similarity, facts=facts, copies=copies, details=self.details
        )

    def _embedded(self, table: pa.Table, kind: str, side: str) -> Embeddings:
        is_picture = np.array([lang == IMAGE for lang in table["lang"].to_pylist()], dtype=bool)
        if not is_picture.any():
            return self._encoded(table["text"].to_pylist(), kind, side)
        if is_picture.all():
            return self._encoded(Pictures(table), kind, side)
        texts = self._encoded(table.filter(pa.array(~is_picture))["text"].to_pylist(), kind, side)
        pictures = self._encoded(Pictures(table.filter(pa.array(is_picture))), kind, side)
        both = np.empty((table.num_rows, texts.shape[1]), dtype=np.float32)
        both[~is_picture], both[is_picture] = texts, pictures
        return both

    def _encoded(self, inputs: Any, kind: str, side: str) -> Embeddings:
        own = kind_of(self.encoder)
        return encode(
            self.encoder, inputs, kind, batch_size=self.batch_size or own.batch_size,
            store=own.stored if self.store is None else self.store, label=f"encoding {side}", bf16=self.bf16,
        )  # fmt: skip


def _trained_on(name: str, corpus: Corpus) -> float | None:
    """About which share of the passages the encoder of a folder was trained on; None if it is none, or not known."""
    seen = recorded(Path(name) / "training.json", "corpus", "seen")
    if not isinstance(seen, dict):
        return None
    with suppress(ValueError):  # a damaged record says nothing
        share = share_seen(seen, corpus)
        return round(share, 4) if share >= _FEWEST_SEEN else None
    return None


__all__ = ["EncoderSystem", "Sides"]
