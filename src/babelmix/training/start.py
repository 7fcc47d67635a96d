"""The encoder that a training run starts from: loaded, or made from the training texts."""

from __future__ import annotations

from collections.abc import Iterable

from sentence_transformers import SentenceTransformer

from babelmix.encoders import load_encoder
from babelmix.encoders.kinds import kind_named, make_encoder


def make_or_load_start(
    model: str, texts: Iterable[str], *, seed: int = 0, trust_code: bool = False
) -> SentenceTransformer:
    """Load an encoder, or make one that has no weights before training.

    Args:
        model: the encoder as `babelmix encoders` names it, or a folder. `static` and two towers (`tiny-clip`,
            `IMAGE+TEXT`) are made.
        texts: the training texts. An encoder without a vocabulary learns one from them. They are read only if the encoder is
            made.
        seed: the seed of random weights of two towers.
        trust_code: run Python code that the model contains or refers to; see `load_encoder`.

    Raises:
        EncoderError: the encoder cannot be found, loaded or trusted.
        MissingExtraError: an extra that the encoder needs is not installed.

    """
    if kind_named(model).pretrained(model):
        return load_encoder(model, trust_code=trust_code)
    return make_encoder(model, texts, seed=seed, trust_code=trust_code)


__all__ = ["make_or_load_start"]
