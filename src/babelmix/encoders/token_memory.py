"""A memory of token ids, so that several trainings of static encoders on the same texts tokenise them once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer


class TokenMemory:
    """Token ids by text.

    Args:
        limit: memory in bytes. Texts that do not fit are tokenised again at each use.

    """

    def __init__(self, limit: int = 256 << 20) -> None:
        self._ids: dict[str, npt.NDArray[np.int32]] = {}
        self._room = limit

    def add(self, text: str, ids: Sequence[int]) -> None:
        """Keep the ids of a text if there is room."""
        if self._room > 0 and text not in self._ids:
            self._ids[text] = np.array(ids, dtype=np.int32)
            self._room -= 4 * len(ids) + len(text)

    def renumber(self, number: npt.NDArray[np.int64]) -> None:
        """Replace every id by `number[id]`."""
        self._ids = {text: number[ids].astype(np.int32) for text, ids in self._ids.items()}

    def ids(self, tokenizer: Tokenizer, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        """The ids of each text, without special tokens."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._ids]
        encodings = tokenizer.encode_batch_fast(missing, add_special_tokens=False)
        fresh = {
            text: np.array(encoding.ids, dtype=np.int32) for text, encoding in zip(missing, encodings, strict=True)
        }
        for text, ids in fresh.items():
            self.add(text, ids.tolist())
        return [fresh[text] if text in fresh else self._ids[text] for text in texts]


def remember_tokens(encoder: SentenceTransformer, memory: TokenMemory) -> None:
    """Let a static encoder and its copies look token ids up in a memory.

    sentence-transformers tokenises each text at each use. This takes most of the time of a static encoder. The memory is
    not saved with the encoder.

    Args:
        encoder: it is changed if it is static.
        memory: the memory.

    """
    for module in encoder.children():
        if isinstance(module, StaticEmbedding):
            tokenizer = module.tokenizer

            def preprocess(inputs: list[str], prompt: str | None = None, **_: Any) -> dict[str, torch.Tensor]:
                texts = [prompt + text for text in inputs] if prompt else inputs
                ids = memory.ids(tokenizer, texts)  # noqa: B023  # an encoder has one such module
                offsets = np.cumsum([0, *(len(one) for one in ids[:-1])])
                flat = np.concatenate(ids) if ids else np.zeros(0, dtype=np.int32)
                return {"input_ids": torch.from_numpy(flat.astype(np.int64)), "offsets": torch.from_numpy(offsets)}

            module.preprocess = preprocess  # type: ignore[method-assign,assignment,unused-ignore]


__all__ = ["TokenMemory", "remember_tokens"]
