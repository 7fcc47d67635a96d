"""Static encoders: token vectors averaged, from scratch or started from a transformer's vocabulary."""

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
from babelmix.encoders.kinds import EncoderKind, kind_named
from babelmix.encoders.known import E5_OFFLINE, STATIC_FROM_E5, STATIC_FROM_SCRATCH, STATIC_PREFIX
from babelmix.encoders.token_memory import TokenMemory, remember_tokens
from babelmix.errors import EncoderError

FROM_SCRATCH = STATIC_FROM_SCRATCH
FROM_E5 = STATIC_FROM_E5

LEARNING_RATE = 5e-3
VOCABULARY = 32_000
"""Pieces of a learned vocabulary at most, by default."""
DIMENSION = 256
"""Of vectors from scratch, by default."""

_RARITY = 1e-3


def is_static(encoder: torch.nn.Module) -> bool:
    """Whether an encoder only averages token vectors."""
    return any(isinstance(module, StaticEmbedding) for module in encoder.children())


def from_scratch(
    texts: str | Iterable[str], *, vocabulary: int = VOCABULARY, dimension: int = DIMENSION, seed: int = 0
) -> SentenceTransformer:
    """A static encoder with random vectors whose Unigram vocabulary is learned from `texts`.

    Args:
        texts: training texts in all languages.
        vocabulary: pieces at most.
        dimension: of the vectors.
        seed: of the vectors.

    """
    tokenizer = composing(unigram.learn(texts, vocabulary))
    encoder = _encoder(tokenizer, torch.empty(tokenizer.get_vocab_size(), dimension))
    initialise(encoder, seed)
    return encoder


def initialise(encoder: SentenceTransformer, seed: int) -> None:
    """Give a static encoder new random vectors: normal, of expected length one."""
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
    """A static encoder that starts from a transformer's token vectors, centred and weighted by rarity.

    The weight of a piece is a / (a + p) with a = 1e-3: the smooth inverse frequency of Arora et al. (ICLR 2017). p is the
    piece's probability in the vocabulary's own Unigram model; for other vocabularies, which are ordered by frequency, by
    Zipf's law.

    Args:
        tokenizer: the transformer's.
        vectors: its input embeddings, float32, shape (vocabulary, dimension).
        texts: keep only the pieces that these texts use (and all single characters), which makes the encoder about ten
            times smaller and segments these texts as before; None keeps all.
        memory: filled with the token ids of `texts`, if given.

    Raises:
        EncoderError: the vocabulary is to be pruned and is not a Unigram one.

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
    # Special tokens stay, so that the tokenizer's own references to them hold.
    keep[[token_id for token_id in tokenizer.get_added_tokens_decoder() if token_id < len(names)]] = True
    kept = np.flatnonzero(keep)
    if memory is not None:
        memory.renumber(np.cumsum(keep) - 1)
    return _encoder(_pruned(tokenizer, kept), torch.from_numpy(vectors[kept]))


def from_e5(texts: Iterable[str] | None, memory: TokenMemory | None = None) -> SentenceTransformer:
    """`from_transformer` with `e5-small-offline`.

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
    """`from_transformer` with any encoder that has a fast tokenizer and input embeddings.

    Raises:
        EncoderError: it has not.

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
    """The tokenizer with some of its Unigram pieces (all special tokens among them), renumbered in order."""
    description: dict[str, Any] = json.loads(tokenizer.to_str())
    if description["model"]["type"] != "Unigram":
        raise EncoderError(f"a vocabulary of type {description['model']['type']} cannot be pruned; Unigram can")
    pieces = description["model"]["vocab"]
    number = {pieces[old][0]: new for new, old in enumerate(kept)}
    description["model"]["unk_id"] = number[pieces[description["model"]["unk_id"]][0]]
    description["model"]["vocab"] = [pieces[old] for old in kept]
    for token in description["added_tokens"]:
        token["id"] = number[token["content"]]
    for name, entry in (description["post_processor"] or {}).get("special_tokens", {}).items():
        entry["ids"] = [number[name]]
    return Tokenizer.from_str(json.dumps(description))


def _is_static_name(name: str) -> bool:
    return name in (FROM_E5, FROM_SCRATCH) or name.startswith(STATIC_PREFIX)


def _load(name: str, *, device: str | None, revision: str | None, trust_code: bool) -> SentenceTransformer:
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
    """Make `static` (learned from `texts`), `static-e5` or `static:NAME` (pruned to `texts`, or whole if None).

    Args:
        name: of the encoder.
        texts: the training texts.
        vocabulary: pieces of a learned vocabulary at most; None: `VOCABULARY`.
        dimension: of vectors from scratch; None: `DIMENSION`.
        seed: not used. Vectors from scratch are those of seed 0; `initialise` draws others.
        trust_code: see `load_encoder`.
        memory: filled with token ids where they are found anyway.

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


def _reset(encoder: SentenceTransformer, name: str, seed: int) -> None:
    if name == FROM_SCRATCH:
        initialise(encoder, seed)


KIND = EncoderKind(
    name="static",
    matches=_is_static_name,
    load=_load,
    recognises=is_static,
    make=make_static,
    pretrained=lambda name: name != FROM_SCRATCH,
    reset=_reset,
    learning_rate=lambda encoder, base, lock_images: LEARNING_RATE,
    batch_size=256,
    stored=False,
    checkpoints=False,
    has_layers=False,
    sparse_gradients=True,
    many_processes=False,
    device="cpu",
)
"""Token vectors, averaged."""

__all__ = [
    "DIMENSION", "FROM_E5", "FROM_SCRATCH", "KIND", "LEARNING_RATE", "VOCABULARY", "TokenMemory", "from_e5",
    "from_encoder", "from_scratch", "from_transformer", "initialise", "is_static", "make_static", "remember_tokens",
]  # fmt: skip
