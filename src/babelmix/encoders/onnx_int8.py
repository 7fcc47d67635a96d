"""Quantise an ONNX graph to int8: matrix products with a scale per token, and tables of embeddings with a scale per row.

Each token has scales of its own, so that an embedding does not depend on the other texts of its batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix.encoders.onnx_rewriting import CONTRIB, Rewritten
from babelmix.encoders.token_arrays import Ids
from babelmix.errors import require

ALPHAS = (0.35, 0.5, 0.65, 0.8)
"""How much of the range moves from activations to weights, from 0 to 1: for each product the best of these."""

BLOCK = 64
"""The channels in a block. Such products are slower, above all for many tokens."""

_LOOKED_UP = 1000
"""A table of embeddings with fewer rows stays in float32."""

_TOP = 127
_FLOAT = 1
"""The number of the type float32 in ONNX."""

Floats = npt.NDArray[np.float32]
Activations = Mapping[str, Floats]


def activations(graph: Rewritten, samples: Sequence[Ids], file: Path) -> dict[str, Floats]:
    """Record what the products with constants are given.

    Args:
        graph: the graph of a transformer, in float32.
        samples: batches of token ids. Random tokens will do: the same channels stand out in every text.
        file: a file that is written for the measurement.

    Returns:
        By the name of the left side of a product: shape (tokens, channels).

    """
    runtime: Any = require("onnxruntime", "search", "--backend onnx")
    names = list(dict.fromkeys(node.input[0] for node in graph.products()))
    graph.save(file, names)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    found: dict[str, list[Floats]] = defaultdict(list)
    for ids in samples:
        values = session.run(names, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        for name, some in zip(names, values, strict=True):
            found[name].append(some.reshape(-1, some.shape[-1]))
    return {name: np.concatenate(some) for name, some in found.items()}


def smooth_products(graph: Rewritten, given: Activations) -> None:
    """Divide the activations of each product by a scale per channel, and multiply its weights by it.

    Args:
        graph: it is changed, but computes the same.
        given: the result of `activations`.

    """
    for node in graph.products():
        (value, name), (result,) = node.input, node.output
        weights = graph.constants[name]
        scale = _channel_scales(given[value], weights, 0.5)
        inverse = graph.constant(f"{result}_inverse", 1 / scale)
        # Another product may share the weights.
        graph.constant(f"{result}_weights", weights * scale[:, None])
        product = graph.node("MatMul", [f"{result}_smooth", f"{result}_weights"], [result])
        graph.replace(node, [graph.node("Mul", [value, inverse], [f"{result}_smooth"]), product])


def quantise_products(graph: Rewritten, given: Activations, top: int) -> None:
    """Replace the products with constants by int8 products.

    The weights have a scale per output channel, and the activations one per token. For a product with fewer channels out than in,
    which follows an activation function, that is too coarse: few channels of a token are large. There both have a scale per block
    of channels.

    Args:
        graph: it is changed.
        given: the result of `activations`.
        top: the largest weight, 127; 63 if products of eight bits saturate.

    """
    for node in graph.products():
        weights, seen = graph.constants[node.input[1]], given[node.input[0]]
        if weights.shape[0] > weights.shape[1]:
            graph.replace(node, [_by_block(graph, node, top)])
            continue
        errors = {alpha: _error(seen, weights, alpha, top) for alpha in ALPHAS}
        best = min(errors, key=lambda alpha: errors[alpha])
        graph.replace(node, _by_token(graph, node, _channel_scales(seen, weights, best), top))


def _channel_scales(seen: Floats, weights: Floats, alpha: float) -> Floats:
    """What activations are divided by.

    Source: Xiao et al., SmoothQuant, ICML 2023, equation 4: the scale of a channel is max|x|^alpha / max|w|^(1 - alpha).
    """
    # The clamps keep the scale finite for channels that are always zero.
    of_activations = np.maximum(np.abs(seen).max(axis=0), 1e-5) ** alpha
    of_weights = np.maximum(np.abs(weights).max(axis=1), 1e-5) ** (1 - alpha)
    return np.asarray(of_activations / of_weights, dtype=np.float32)


def _error(seen: Floats, weights: Floats, alpha: float, top: int) -> float:
    """The squared error of a product with one scale per token, as a share of its square; for some of the tokens."""
    scale = _channel_scales(seen, weights, alpha)
    some = seen[:: max(1, len(seen) // 256)]
    right = some @ weights
    small, of_weights = _int8(weights * scale[:, None], 0, top)
    bytes_, of_tokens = _int8(some / scale, 1, _TOP)
    found = (bytes_.astype(np.float32) @ small.astype(np.float32)) * of_weights * of_tokens
    return float(((found - right) ** 2).sum() / max(float((right**2).sum()), 1e-30))


def _by_token(graph: Rewritten, node: Any, scale: Floats, top: int) -> list[Any]:
    """The nodes of a product with a scale per token of the activations, and per output channel of the weights."""
    (value, name), (result,) = node.input, node.output
    prefix = f"{result}_int8"
    last = graph.constant("last_axis", np.array([-1], dtype=np.int64))
    step = graph.constant("step", np.array(1 / _TOP, dtype=np.float32))
    middle = graph.constant("middle", np.array(128, dtype=np.uint8))
    small, scales = _int8(graph.constants[name] * scale[:, None], 0, top)
    inverse = graph.constant(f"{prefix}_inverse", 1 / scale)
    sides = [
        f"{prefix}_bytes", graph.constant(f"{prefix}_weights", small), step, graph.constant(f"{prefix}_scales", scales[0]),
        middle, graph.constant(f"{prefix}_zeros", np.zeros(small.shape[1], dtype=np.int8)),
    ]  # fmt: skip
    return [
        graph.node("Mul", [value, inverse], [f"{prefix}_smooth"]),
        graph.node("Abs", [f"{prefix}_smooth"], [f"{prefix}_sizes"]),
        graph.node("ReduceMax", [f"{prefix}_sizes", last], [f"{prefix}_largest"], keepdims=1),
        # A token of zeros becomes NaN, then any bytes, then zeros again, for the product is multiplied by zero.
        graph.node("Div", [f"{prefix}_smooth", f"{prefix}_largest"], [f"{prefix}_shares"]),
        graph.node("QuantizeLinear", [f"{prefix}_shares", step, middle], [f"{prefix}_bytes"]),
        graph.node("MatMulIntegerToFloat", sides, [f"{prefix}_product"], domain=CONTRIB),
        graph.node("Mul", [f"{prefix}_product", f"{prefix}_largest"], [result]),
    ]


def _by_block(graph: Rewritten, node: Any, top: int) -> Any:
    """A product with a scale per block of channels, of the activations of a token and of the weights."""
    (value, name), (result,) = node.input, node.output
    weights = graph.constants[name]
    rows, columns = weights.shape
    blocks = -(-rows // BLOCK)
    padded = np.zeros((columns, blocks * BLOCK), dtype=np.float32)
    padded[:, :rows] = weights.T
    small, scales = _int8(padded.reshape(columns, blocks, BLOCK), 2, top)
    zero = top + 1
    sides = [
        value,
        graph.constant(f"{result}_blocks", (small.astype(np.int16) + zero).astype(np.uint8)),
        graph.constant(f"{result}_scales", scales.reshape(-1)),
        graph.constant(f"{result}_zeros", np.full((columns, blocks), zero, dtype=np.uint8)),
    ]
    # The level of accuracy 4 means that activations are quantised to int8.
    return graph.node(
        "MatMulNBits", sides[: 3 if zero == 128 else 4], [result], domain=CONTRIB,
        K=rows, N=columns, bits=8, block_size=BLOCK, accuracy_level=4,
    )  # fmt: skip


def quantise_tables(graph: Rewritten) -> None:
    """Replace tables of embeddings by int8 with a scale per row. Only the rows of a text are read from the file."""
    for node in list(graph.nodes):
        table = graph.constants.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or table.ndim != 2 or len(table) < _LOOKED_UP or table.dtype != np.float32:
            continue
        if any(attribute.name == "axis" and attribute.i != 0 for attribute in node.attribute):
            continue
        (name, rows), (result,) = node.input, node.output
        small, scales = _int8(table, 1, 127)
        graph.constant(f"{name}_int8", small)
        graph.constant(f"{name}_scales", scales)
        graph.replace(
            node,
            [
                graph.node("Gather", [f"{name}_int8", rows], [f"{result}_int8"]),
                graph.node("Gather", [f"{name}_scales", rows], [f"{result}_scales"]),
                graph.node("Cast", [f"{result}_int8"], [f"{result}_whole"], to=_FLOAT),
                graph.node("Mul", [f"{result}_whole", f"{result}_scales"], [result]),
            ],
        )


def _int8(values: Floats, axis: int, top: int) -> tuple[npt.NDArray[np.int8], Floats]:
    """Whole numbers from -top to top, and their scales along an axis, which has then the length 1."""
    scales = np.abs(values).max(axis=axis, keepdims=True) / top
    scales[scales == 0] = 1
    return np.rint(values / scales).astype(np.int8), scales.astype(np.float32)


__all__ = [
    "ALPHAS",
    "BLOCK",
    "activations",
    "quantise_products",
    "quantise_tables",
    "smooth_products",
]
