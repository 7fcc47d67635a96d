"""What follows the graph of an exported encoder, in numpy: pooling, Dense, removal of language, length one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from babelmix.encoders.exported.facts import (
    DenseStep,
    LayerNormStep,
    NormalizeStep,
    PoolingStep,
    RemovalStep,
    SparseStep,
    Step,
)
from babelmix.errors import EncoderError

Floats = npt.NDArray[np.float32]
Arrays = Mapping[str, Floats]
Transform = Callable[[Floats, str], Floats]
"""A step after pooling: from vectors, float32, shape (texts, dimension), and the kind of text."""

KINDS = ("query", "document")
_SMALLEST = np.float32(1e-12)


def _gelu(x: Floats) -> Floats:
    # numpy has no error function; texts are few, and math.erf is exact.
    return (0.5 * x * (1 + np.vectorize(math.erf, otypes=[np.float64])(x / math.sqrt(2)))).astype(np.float32)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), dtype=np.float32)


ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "GELU": _gelu,
    "Sigmoid": _sigmoid,
    "SiLU": lambda x: x * _sigmoid(x),
}
"""The activations of a Dense step, by the names of their classes in torch; each with its default arguments."""


def pool(tokens: Floats, mask: npt.NDArray[np.int64], step: PoolingStep, kind: str) -> Floats:
    """The vectors of texts from those of their tokens, as sentence-transformers pools.

    Args:
        tokens: float32, shape (texts, tokens, dimension).
        mask: 1 for tokens, 0 for padding; shape (texts, tokens).
        step: how to pool.
        kind: `query` or `document`.

    Returns:
        float32, shape (texts, dimension of all modes together).

    """
    before = mask.argmax(axis=1)
    positions = np.arange(mask.shape[1])
    used = mask
    if prompt := step.prompt_lengths.get(kind, 0):
        used = np.where(positions < (before + prompt)[:, None], 0, mask)
    rows = np.arange(len(tokens))
    found: list[Floats] = []
    for mode in step.modes:
        if mode == "cls":
            found.append(tokens[rows, used.argmax(axis=1)])
        elif mode == "lasttoken":
            last = used.shape[1] - 1 - used[:, ::-1].argmax(axis=1)
            found.append(tokens[rows, last] * used[rows, last][:, None].astype(np.float32))
        elif mode == "max":
            found.append(np.where(used[..., None] == 0, -np.inf, tokens).max(axis=1).astype(np.float32))
        else:
            weights = used.astype(np.float32)
            if mode == "weightedmean":
                weights = weights * (positions - before[:, None] + 1).astype(np.float32)
            # One product a text: no copy of all tokens.
            total = np.matmul(weights[:, None, :], tokens)[:, 0]
            count = np.maximum(weights.sum(axis=1, keepdims=True), np.float32(1e-9))
            found.append(total / (np.sqrt(count) if mode == "mean_sqrt_len_tokens" else count))
    return found[0] if len(found) == 1 else np.concatenate(found, axis=1)


def normalized(x: Floats) -> Floats:
    """Vectors of length one; a vector of zeros stays."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), _SMALLEST)


def transforms(steps: Sequence[Step], arrays: Arrays, where: str) -> list[Transform]:
    """The functions of all steps but pooling.

    Args:
        steps: the steps.
        arrays: the arrays of all steps, named `NUMBER.NAME`.
        where: the folder, for messages.

    Raises:
        EncoderError: an array is missing or of another shape, or an activation is unknown.

    """
    made = []
    for number, step in enumerate(steps):
        own = {
            name.partition(".")[2]: array for name, array in arrays.items() if name.partition(".")[0] == str(number)
        }
        if not isinstance(step, PoolingStep):
            try:
                made.append(_transform(step, own))
            except (KeyError, ValueError) as error:
                raise EncoderError(
                    f"{where}: step {number} ({step.type}) is damaged ({type(error).__name__}: {error}); export the encoder again"
                ) from error
    return made


def _transform(step: Step, arrays: Arrays) -> Transform:
    if isinstance(step, NormalizeStep):
        return lambda x, _: normalized(x)
    if isinstance(step, DenseStep):
        return _dense(step, arrays)
    if isinstance(step, LayerNormStep):
        return _layer_norm(step, arrays["weight"], arrays["bias"])
    if isinstance(step, RemovalStep):
        return _removal(step, arrays)
    assert isinstance(step, SparseStep)
    return _sparse(step, arrays)


def _dense(step: DenseStep, arrays: Arrays) -> Transform:
    weight, bias, activation = arrays["weight"].T, arrays.get("bias"), ACTIVATIONS[step.activation]

    def dense(x: Floats, kind: str) -> Floats:
        del kind
        product = x @ weight
        return activation(product if bias is None else product + bias)

    return dense


def _layer_norm(step: LayerNormStep, weight: Floats, bias: Floats) -> Transform:
    def layer_norm(x: Floats, kind: str) -> Floats:
        del kind
        centred = x - x.mean(axis=1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(axis=1, keepdims=True) + np.float32(step.eps))
        return centred / spread * weight + bias

    return layer_norm


def _removal(step: RemovalStep, arrays: Arrays) -> Transform:
    clusters, dimension = arrays["means"].shape
    left, right, shared = arrays["left"], arrays["right"], arrays["shared"]
    discriminants, biases = arrays["discriminants"], arrays["offsets"]
    if clusters != step.langs * step.kinds or discriminants.shape != (clusters, dimension) or len(biases) != clusters:
        raise ValueError(f"{clusters} clusters for {step.langs} languages and {step.kinds} kinds")

    def removal(x: Floats, kind: str) -> Floats:
        which = KINDS.index(kind) if step.kinds == len(KINDS) and kind in KINDS else None
        some = slice(None) if which is None else slice(which * step.langs, (which + 1) * step.langs)
        scores = x @ discriminants[some].T + biases[some]
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares = scores / scores.sum(axis=1, keepdims=True)
        taken = shares @ arrays["means"][some]
        if left.shape[2]:
            along = np.einsum("crd,td->tcr", right[some], x) * shares[..., None]
            taken = taken - np.einsum("tcr,cdr->td", along, left[some])
        if len(shared):
            of_kind = shares.reshape(len(x), -1, step.langs).sum(axis=2)
            for number, side in enumerate(shared if which is None else shared[which : which + 1]):
                taken = taken - of_kind[:, number, None] * (x @ side.T)
        return np.asarray(x - np.float32(step.alpha) * taken, dtype=np.float32)

    return removal


def _sparse(step: SparseStep, arrays: Arrays) -> Transform:
    encoder, decoder, mask, mean = (arrays[name] for name in ("encoder", "decoder", "mask", "mean"))
    if encoder.shape != decoder.shape or len(mask) != len(encoder) or step.active > len(encoder):
        raise ValueError(f"{len(encoder)} units, of which {step.active} are active")

    def sparse(x: Floats, kind: str) -> Floats:
        del kind
        raw = np.maximum((x - mean) @ encoder.T, 0)
        least = np.partition(raw, -step.active, axis=1)[:, -step.active, None]
        active = np.where(raw < least, 0, raw)
        return np.asarray(x - np.float32(step.alpha) * ((active * mask) @ decoder), dtype=np.float32)

    return sparse


__all__ = ["ACTIVATIONS", "KINDS", "Arrays", "Floats", "Transform", "normalized", "pool", "transforms"]
