"""Static encoders: the mean of token vectors. They are made from scratch, or from the token vectors of a transformer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
from tokenizers import Tokenizer

from babelmix.encoders import e5_offline, unigram
from babelmix.encoders.composing import composing
from babelmix.encoders.kinds import kind_named
from babelmix.encoders.known import E5_OFFLINE, STATIC_FROM_E5, STATIC_FROM_SCRATCH, STATIC_PREFIX
from babelmix.encoders.own_kinds import STATIC_LEARNING_RATE
from babelmix.encoders.token_memory import TokenMemory, remember_tokens
from babelmix.errors import EncoderError

FROM_SCRATCH = STATIC_FROM_SCRATCH
FROM_E5 = STATIC_FROM_E5

LEARNING_RATE = STATIC_LEARNING_RATE
VOCABULARY = 32_000
"""The default for the largest number of pieces of a learned vocabulary."""
DIMENSION = 256
"""The default dimension of vectors from scratch."""

_RARITY = 1e-3


def is_static(encoder: torch.nn.Module) -> bool:
    """Whether an encoder is the mean of token vectors, without further layers."""
    return any(isinstance(module, StaticEmbedding) for module in encoder.children())


def from_scratch(
    texts: str | Iterable[str], *, vocabulary: int = VOCABULARY, dimension: int = DIMENSION, seed: int = 0
) -> SentenceTransformer:
    """Make a static encoder with random vectors. Its Unigram vocabulary is learned from texts.

    Args:
        texts: training texts in all languages.
        vocabulary: the largest number of pieces.
        dimension: the dimension of the vectors.
        seed: the seed of the vectors.

    Returns:
        The encoder, on the CPU.

    Raises:
        EncoderError: no vocabulary can be learned from the texts.

    Examples:
        >>> encoder = from_scratch(["a dog", "ein Hund", "un chien"], dimension=16)
        >>> encoder.encode(["a dog", "chien"]).shape
        (2, 16)

    """
    tokenizer = composing(unigram.learn(texts, vocabulary))
    encoder = _encoder(tokenizer, torch.empty(tokenizer.get_vocab_size(), dimension))
    initialise(encoder, seed)
    return encoder


def initialise(encoder: SentenceTransformer, seed: int) -> None:
    """Replace the vectors of a static encoder by random ones, normally distributed with an expected squared length of 1."""
    for module in encoder.children():
        if isinstance(module, StaticEmbedding):
            weight = module.embedding.weight
            generator = torch.Generator().manual_seed(seed)
            weight.data = torch.randn(weight.shape, generator=generator) / weight.shape[1] ** 0.5


def from_transformer(
    tokenizer: Tokenizer,
    vectors: npt.NDArray[np.float32],
    texts: Iterable[str] | None,
    memory: TokenMemory | None = None,
) -> SentenceTransformer:
    """Make a static encoder from the token vectors of a transformer. Vectors are centred, and rare tokens get more weight.

    The weight of a piece is a / (a + p) with a = 1e-3. p is the probability of the piece in a Unigram vocabulary. Other
    vocabularies are assumed to be ordered by frequency: p then follows Zipf's law.

    Source: smooth inverse frequency, Arora et al., ICLR 2017.

    Args:
        tokenizer: the tokenizer of the transformer; it is changed.
        vectors: its input embeddings, float32, shape (vocabulary, dimension).
        texts: keep only single characters and the pieces that these texts use. The encoder becomes about ten times smaller, and
            these texts have the same tokens as before. None: keep all pieces.
        memory: is filled with the token ids of `texts`.

    Returns:
        The encoder, on the CPU.

    Raises:
        EncoderError: `texts` are given, and the vocabulary is not Unigram.

    """
    composing(tokenizer).no_truncation()
    model = json.loads(tokenizer.to_str())["model"]
    if model["type"] == "Unigram":
        names = [piece for piece, _ in model["vocab"]]
        probability = np.exp(np.array([score for _, score in model["vocab"]], dtype=np.float64))
    else:
        names = [tokenizer.id_to_token(i) or "" for i in range(tokenizer.get_vocab_size())]
        rank = np.arange(1, len(names) + 1)
        probability = 1.0 / (rank * (1.0 / rank).sum())
    vectors = vectors[: len(names)]
    vectors = vectors - vectors.mean(axis=0)
    vectors = (vectors * (_RARITY / (_RARITY + probability))[:, None]).astype(np.float32)
    if texts is None:
        return _encoder(tokenizer, torch.from_numpy(vectors))
    keep = _used(tokenizer, texts, len(names), memory)
    keep |= np.fromiter((len(piece.lstrip("▁")) <= 1 for piece in names), dtype=bool, count=len(names))
    # The tokenizer refers to its special tokens, so they stay.
    keep[[token_id for token_id in tokenizer.get_added_tokens_decoder() if token_id < len(names)]] = True
    kept = np.flatnonzero(keep)
    if memory is not None:
        memory.renumber(np.cumsum(keep) - 1)
    return _encoder(_pruned(tokenizer, kept), torch.from_numpy(vectors[kept]))


def from_e5(texts: Iterable[str] | None, memory: TokenMemory | None = None) -> SentenceTransformer:
    """Make a static encoder from the token vectors of `e5-small-offline`; see `from_transformer`.

    Raises:
        MissingExtraError: the extra `offline` is not installed.

    """
    folder = e5_offline.folder()
    with safe_open(str(folder / "model.safetensors"), framework="np") as weights:
        vectors = weights.get_tensor("embeddings.word_embeddings.weight")
    return from_transformer(Tokenizer.from_file(str(folder / "tokenizer.json")), vectors, texts, memory)


def from_encoder(
    encoder: SentenceTransformer, texts: Iterable[str] | None, memory: TokenMemory | None = None
) -> SentenceTransformer:
    """Make a static encoder from the token vectors of another encoder; see `from_transformer`.

    Raises:
        EncoderError: the encoder is no transformer, or has no fast tokenizer.

    """
    transformer: Any = getattr(encoder[0], "auto_model", None)
    tokenizer = getattr(encoder.tokenizer, "backend_tokenizer", None)
    if transformer is None or not isinstance(tokenizer, Tokenizer):
        raise EncoderError("a static encoder can start only from a transformer with a fast tokenizer")
    vectors = transformer.get_input_embeddings().weight.detach().cpu().numpy()
    return from_transformer(Tokenizer.from_str(tokenizer.to_str()), vectors, texts, memory)


def _encoder(tokenizer: Tokenizer, weights: torch.Tensor) -> SentenceTransformer:
    embedding = StaticEmbedding(tokenizer, embedding_weights=weights.to(torch.float32))
    return SentenceTransformer(modules=[embedding, Normalize()], device="cpu")


def _used(tokenizer: Tokenizer, texts: Iterable[str], size: int, memory: TokenMemory | None) -> npt.NDArray[np.bool_]:
    used = np.zeros(size, dtype=bool)
    for batch in _batches(texts, 4096):
        for text, encoding in zip(batch, tokenizer.encode_batch_fast(batch, add_special_tokens=False), strict=True):
            used[encoding.ids] = True
            if memory is not None:
                memory.add(text, encoding.ids)
    return used


def _batches(texts: str | Iterable[str], size: int) -> Iterator[list[str]]:
    batch: list[str] = []
    for text in [texts] if isinstance(texts, str) else texts:
        batch.append(text)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _pruned(tokenizer: Tokenizer, kept: npt.NDArray[np.int64]) -> Tokenizer:
    """A copy of a Unigram tokenizer with only these pieces, among them all special tokens. Ids are renumbered in order."""
    description: dict[str, Any] = json.loads(tokenizer.to_str())
    if description["model"]["type"] != "Unigram":
        raise EncoderError(
            f"a vocabulary of type {description['model']['type']} cannot be pruned; only a Unigram vocabulary can"
        )
    pieces = description["model"]["vocab"]
    number = {pieces[old][0]: new for new, old in enumerate(kept)}
    description["model"]["unk_id"] = number[pieces[description["model"]["unk_id"]][0]]
    description["model"]["vocab"] = [pieces[old] for old in kept]
    for token in description["added_tokens"]:
        token["id"] = number[token["content"]]
    for name, entry in (description["post_processor"] or {}).get("special_tokens", {}).items():
        entry["ids"] = [number[name]]
    return Tokenizer.from_str(json.dumps(description))


def load_static(name: str, *, device: str | None, revision: str | None, trust_code: bool) -> SentenceTransformer:
    """Make an encoder of pretrained token vectors with its whole vocabulary; an error for `static`, which has none."""
    del device, revision
    if name == FROM_SCRATCH:
        raise EncoderError(f"{name!r} has no weights before training: use  babelmix train --model {name}")
    return make_static(name, None, trust_code=trust_code)


def make_static(
    name: str,
    texts: Iterable[str] | None,
    *,
    vocabulary: int | None = None,
    dimension: int | None = None,
    seed: int = 0,
    trust_code: bool = False,
    memory: TokenMemory | None = None,
) -> SentenceTransformer:
    """Make `static`, whose vocabulary is learned from texts, or `static-e5` or `static:NAME`, whose vocabulary is pruned to them.

    Args:
        name: the name of the encoder.
        texts: the training texts; None: keep the whole vocabulary of a pretrained encoder.
        vocabulary: the largest number of pieces of a learned vocabulary; None: `VOCABULARY`.
        dimension: the dimension of vectors from scratch; None: `DIMENSION`.
        seed: not used. Vectors from scratch are those of seed 0; `initialise` draws others.
        trust_code: see `load_encoder`.
        memory: is filled with the token ids of the texts, if they are needed here anyway.

    Raises:
        EncoderError: there is no such encoder, or it has no token vectors to start from.

    """
    del seed
    if name == FROM_SCRATCH:
        return from_scratch(texts or (), vocabulary=vocabulary or VOCABULARY, dimension=dimension or DIMENSION)
    source = name.removeprefix(STATIC_PREFIX)
    if name == FROM_E5 or source == E5_OFFLINE:
        return from_e5(texts, memory)
    transformer = kind_named(source).load(source, device=None, revision=None, trust_code=trust_code)
    return from_encoder(transformer, texts, memory)


def reset(encoder: SentenceTransformer, name: str, seed: int) -> None:
    """Draw the vectors of `static` with a seed; others keep theirs."""
    if name == FROM_SCRATCH:
        initialise(encoder, seed)


__all__ = [
    "DIMENSION", "FROM_E5", "FROM_SCRATCH", "LEARNING_RATE", "VOCABULARY", "TokenMemory", "from_e5",
    "from_encoder", "from_scratch", "from_transformer", "initialise", "is_static", "load_static", "make_static",
    "remember_tokens", "reset",
]  # fmt: skip
