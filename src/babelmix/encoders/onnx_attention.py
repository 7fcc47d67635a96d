"""Find the attention of a transformer in its ONNX graph, and compute it by one operation of ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np

from babelmix.encoders.onnx_rewriting import CONTRIB, Rewritten

_HEADS_FIRST, _TURNED = [0, 2, 1, 3], [0, 2, 3, 1]


class _OtherGraphError(Exception):
    """A part of a graph is not what an attention has there."""


def fuse_attention(graph: Rewritten) -> int:
    """Replace each attention that is exported as products, softmax and transpositions by one operation.

    An attention in another form, such as one with a bias for positions or with rotated queries, stays as it is.

    Args:
        graph: it is changed.

    Returns:
        The number of attentions that it replaced.

    """
    fused = 0
    finder = _Finder(graph)
    for softmax in [node for node in graph.nodes if node.op_type == "Softmax"]:
        try:
            last, node = finder.attention(softmax)
        except _OtherGraphError:
            continue
        graph.replace(last, [node])
        fused += 1
    return fused


class _Finder:
    def __init__(self, graph: Rewritten) -> None:
        self._graph = graph
        self._producers, self._consumers = graph.producers(), graph.consumers()

    def attention(self, softmax: Any) -> tuple[Any, Any]:
        """The last node of the attention around a softmax, and the operation that replaces it."""
        probabilities = self._without_nan(softmax)
        weighted = self._only_user(probabilities, "MatMul")
        _expect(weighted.input[0] == probabilities)
        turned = self._only_user(weighted.output[0], "Transpose")
        last = self._only_user(turned.output[0], "Reshape")
        _expect(_order(turned) == _HEADS_FIRST)
        scores, mask = softmax.input[0], ""
        if self._is(scores, "Add"):
            add = self._producers[scores]
            scores, mask = add.input if self._is(add.input[0], "MatMul") else reversed(add.input)
        product = self._made(scores, "MatMul")
        left, scale = self._unscaled(product.input[0])
        right, other = self._unscaled(product.input[1])
        query, size = self._heads(left)
        key, key_size = self._keys(right)
        value, value_size = self._heads(weighted.input[1])
        width = self._width(query)
        _expect(size == key_size == value_size and width == self._width(key) == self._width(value))
        _expect(width % size == 0 and self._sizes(last, 3)[-1] in (-1, width))
        node = self._graph.node(
            "MultiHeadAttention", [query, key, value, "", "", mask], [last.output[0]], domain=CONTRIB,
            num_heads=width // size, scale=scale * other,
        )  # fmt: skip
        return last, node

    def _without_nan(self, softmax: Any) -> str:
        """The probabilities, after the node that replaces NaN, which torch writes for texts that are all padding."""
        after = {node.op_type: node for node in self._consumers[softmax.output[0]] if node is not None}
        if set(after) != {"IsNaN", "Where"}:
            return str(softmax.output[0])
        where = after["Where"]
        _expect(where.input[0] == after["IsNaN"].output[0] and where.input[2] == softmax.output[0])
        return str(where.output[0])

    def _is(self, name: str, operation: str) -> bool:
        return name in self._producers and self._producers[name].op_type == operation

    def _made(self, name: str, operation: str) -> Any:
        _expect(self._is(name, operation))
        return self._producers[name]

    def _only_user(self, name: str, operation: str) -> Any:
        users = self._consumers[name]
        _expect(len(users) == 1 and users[0] is not None and users[0].op_type == operation)
        return users[0]

    def _unscaled(self, name: str) -> tuple[str, float]:
        """Values before they are multiplied by a number, and the number."""
        if not self._is(name, "Mul"):
            return name, 1.0
        node = self._producers[name]
        _expect(node.input[1] in self._graph.constants)
        factor = self._graph.constants[node.input[1]]
        _expect(factor.size == 1)
        return str(node.input[0]), float(factor.reshape(()))

    def _keys(self, name: str) -> tuple[str, int]:
        """Keys before they were split into heads and transposed, and the size of a head."""
        if not self._is(name, "Reshape"):
            return self._heads(name, _TURNED)
        # The transposition of the last two axes is exported with three axes, between two changes of shape.
        turned = self._made(self._made(name, "Reshape").input[0], "Transpose")
        _expect(_order(turned) == [0, 2, 1])
        return self._heads(str(self._made(turned.input[0], "Reshape").input[0]))

    def _heads(self, name: str, order: list[int] = _HEADS_FIRST) -> tuple[str, int]:
        """Values before they were split into heads and transposed, and the size of a head."""
        turned = self._made(name, "Transpose")
        _expect(_order(turned) == order)
        split = self._made(turned.input[0], "Reshape")
        size = self._sizes(split, 4)[-1]
        _expect(size > 0)
        return str(split.input[0]), size

    def _sizes(self, reshape: Any, axes: int) -> list[int]:
        """The shape that a node gives; 0 for sizes that are not constant."""
        name = reshape.input[1]
        if name in self._graph.constants:
            sizes = [int(size) for size in self._graph.constants[name]]
        else:
            sizes = []
            for part in self._made(name, "Concat").input:
                known = self._graph.constants.get(part, np.zeros(1))
                _expect(known.size == 1)
                sizes.append(int(known.reshape(())))
        _expect(len(sizes) == axes)
        return sizes

    def _width(self, name: str) -> int:
        """The number of channels of values that a linear layer gives."""
        _expect(self._is(name, "Add") or self._is(name, "MatMul"))
        node = self._producers[name]
        shapes = [self._graph.constants[one].shape for one in node.input if one in self._graph.constants]
        _expect(len(shapes) == 1 and len(shapes[0]) == (1 if node.op_type == "Add" else 2))
        return int(shapes[0][-1])


def _expect(holds: bool) -> None:
    if not holds:
        raise _OtherGraphError


def _order(transpose: Any) -> list[int]:
    return next((list(one.ints) for one in transpose.attribute if one.name == "perm"), [])


__all__ = ["fuse_attention"]
