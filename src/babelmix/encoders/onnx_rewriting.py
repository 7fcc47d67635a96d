"""Rewrite the ONNX graph of a transformer, so that it computes the same with fewer operations, or with int8 products."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix.errors import require

Values = npt.NDArray[Any]

CONTRIB = "com.microsoft"
"""The domain of ONNX Runtime's own operations."""


class Rewritten:
    """The nodes and the constants of an ONNX graph.

    Args:
        file: the graph.

    """

    def __init__(self, file: Path) -> None:
        onnx = require("onnx", "train", "--backend onnx")
        self._onnx, self._model = onnx, onnx.load(str(file))
        self.nodes: list[Any] = list(self._model.graph.node)
        self.constants: dict[str, Values] = {
            one.name: onnx.numpy_helper.to_array(one) for one in self._model.graph.initializer
        }

    def producers(self) -> dict[str, Any]:
        """The node that computes each value."""
        return {name: node for node in self.nodes for name in node.output}

    def consumers(self) -> defaultdict[str, list[Any]]:
        """The nodes that use each value; None stands for the output of the graph."""
        found = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                found[name].append(node)
        for output in self._model.graph.output:
            found[output.name].append(None)
        return found

    def products(self) -> list[Any]:
        """The matrix products whose right side is a constant."""
        return [
            node
            for node in self.nodes
            if node.op_type == "MatMul" and self.constants.get(node.input[1], np.zeros(0)).ndim == 2
        ]

    def constant(self, name: str, values: Values) -> str:
        """Add a constant; returns its name."""
        self.constants[name] = values
        return name

    def node(self, operation: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
        """Make a node of the graph, which is not added to it."""
        return self._onnx.helper.make_node(operation, inputs, outputs, **attributes)

    def replace(self, old: Any, new: list[Any]) -> None:
        """Put nodes in the place of another."""
        at = next(place for place, node in enumerate(self.nodes) if node is old)
        self.nodes[at : at + 1] = new

    def save(self, file: Path, outputs: list[str] | None = None) -> None:
        """Write the graph without the nodes and constants that nothing needs.

        Args:
            file: the file to write; the weights go beside it.
            outputs: values that the graph also returns.

        """
        graph, helper = self._model.graph, self._onnx.helper
        more = [helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, None) for name in outputs or []]
        needed = {output.name for output in [*graph.output, *more]}
        live = []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                live.append(node)
                needed.update(_inputs(node))
        constants = [
            self._onnx.numpy_helper.from_array(values, name)
            for name, values in self.constants.items()
            if name in needed
        ]
        made = helper.make_graph(live[::-1], "graph", list(graph.input), [*graph.output, *more], constants)
        opsets = [one for one in self._model.opset_import if one.domain != CONTRIB]
        opsets.append(helper.make_opsetid(CONTRIB, 1))
        model = helper.make_model(made, opset_imports=opsets, ir_version=self._model.ir_version)
        weights = f"{file.name}.data"
        self._onnx.save(model, str(file), save_as_external_data=True, location=weights, size_threshold=1024)


def _inputs(node: Any) -> Iterator[str]:
    """The values that a node uses, also in graphs inside it."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _inputs(inner)


def merge_products(graph: Rewritten) -> int:
    """Compute products of the same values as one: the queries, keys and values of an attention. Returns how many it made."""
    consumers = graph.consumers()
    groups: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    for node in graph.products():
        after = consumers[node.output[0]]
        if len(after) == 1 and after[0] is not None and after[0].op_type == "Add":
            bias = [name for name in after[0].input if name in graph.constants]
            if bias and graph.constants[bias[0]].shape == (graph.constants[node.input[1]].shape[1],):
                groups[node.input[0]].append((node, after[0]))
    merged = 0
    for value, pairs in groups.items():
        if len(pairs) < 2:
            continue
        weights = [graph.constants[node.input[1]] for node, _ in pairs]
        biases = [graph.constants[next(n for n in add.input if n in graph.constants)] for _, add in pairs]
        name = f"{pairs[0][0].input[1]}_merged"
        graph.constant(name, np.concatenate(weights, axis=1))
        graph.constant(f"{name}_bias", np.concatenate(biases))
        graph.constant(f"{name}_widths", np.array([some.shape[1] for some in weights], dtype=np.int64))
        made = [
            graph.node("MatMul", [value, name], [f"{name}_product"], name=name),
            graph.node("Add", [f"{name}_product", f"{name}_bias"], [f"{name}_sum"]),
            graph.node("Split", [f"{name}_sum", f"{name}_widths"], [add.output[0] for _, add in pairs], axis=-1),
        ]
        graph.replace(pairs[0][0], made)
        gone = {id(node) for pair in pairs for node in pair}
        graph.nodes = [node for node in graph.nodes if id(node) not in gone]
        merged += 1
    return merged


__all__ = ["CONTRIB", "Rewritten", "merge_products"]
