"""What search needs of an encoder: a `SentenceTransformer` has it, and an exported encoder has it too, without torch."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Encoder(Protocol):
    """Embeds queries and documents."""

    prompts: dict[str, Any]

    @property
    def similarity_fn_name(self) -> Any:
        """How vectors are compared: `cosine` or `dot`."""

    @property
    def max_seq_length(self) -> Any:
        """The limit in tokens; None or infinity: there is none."""

    def get_embedding_dimension(self) -> int | None:
        """The dimension of the vectors."""

    def supports(self, modality: Any) -> bool:
        """Whether inputs of this sort can be embedded: `text`, `image`."""

    def encode_query(self, *inputs: Any, **options: Any) -> npt.NDArray[np.float32]:
        """Embed queries, float32, shape (texts, dimension)."""

    def encode_document(self, *inputs: Any, **options: Any) -> npt.NDArray[np.float32]:
        """Embed documents, float32, shape (texts, dimension)."""


__all__ = ["Encoder"]
