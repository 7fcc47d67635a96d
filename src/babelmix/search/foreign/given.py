"""The vectors of the queries of a corpus from a file, in place of an encoder that is not at hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from babelmix.corpus import Corpus
from babelmix.corpus.nfc import composed
from babelmix.corpus.row_ids import row_ids
from babelmix.errors import EncoderError, VectorsError
from babelmix.evaluation.vector_files import decoded, open_vectors
from babelmix.search.foreign.checking import GIVEN
from babelmix.search.rows import Vectors

_ALIKE = 1e-3
"""Vectors of one text that differ by more than this share of their length are two vectors."""


class GivenVectors:
    """An `Encoder` that knows the vectors of the queries of a corpus, and of no other text.

    Args:
        file: the vectors, in the forms of `babelmix audit --vectors`.
        corpus: the corpus with the queries.

    Raises:
        VectorsError: the file cannot be read, does not fit the corpus, or has two vectors of one text.

    """

    def __init__(self, file: str | Path, corpus: Corpus) -> None:
        source = decoded(open_vectors(file, "queries"), corpus, "queries")
        self.name = str(file)
        self.prompts: dict[str, Any] = {}
        self.similarity_fn_name = "cosine"
        self.max_seq_length = None
        # It answers like an export: it has no weights.
        self.export_facts = SimpleNamespace(backend=GIVEN)
        self._vectors: Vectors = np.asarray(source[:], dtype=np.float32)
        self._places: dict[str, int] = {}
        ids = row_ids(corpus.queries)
        for row, text in enumerate(composed(corpus.queries["text"].to_pylist())):
            first = self._places.setdefault(text, row)
            one, other = self._vectors[first], self._vectors[row]
            if first != row and np.linalg.norm(one - other) > _ALIKE * np.linalg.norm(one):
                raise VectorsError(
                    f"has two vectors of one text: the queries {ids[first]!r} and {ids[row]!r} are both {text[:60]!r}; one text "
                    "has one vector here",
                    file=file,
                )

    def fingerprint(self) -> str:
        """A digest of the vectors."""
        return hashlib.sha256(np.ascontiguousarray(self._vectors).tobytes()).hexdigest()

    def get_embedding_dimension(self) -> int:
        """The dimension of the vectors."""
        return int(self._vectors.shape[1])

    def supports(self, modality: object) -> bool:
        """Whether inputs of this sort have vectors: only `text`."""
        return modality == "text"

    def encode_query(self, texts: str | Sequence[str], **options: Any) -> Vectors:
        """The vectors of queries of the corpus, float32, shape (texts, dimension).

        Raises:
            EncoderError: a text is no query of the corpus.

        """
        del options
        asked = composed([texts] if isinstance(texts, str) else list(texts))
        missing = [text for text in asked if text not in self._places]
        if missing:
            raise EncoderError(f"{self.name}: has no vector of the query {missing[0][:60]!r}")
        found = self._vectors[[self._places[text] for text in asked]]
        return found[0] if isinstance(texts, str) else found

    encode_document = encode_query


__all__ = ["GivenVectors"]
