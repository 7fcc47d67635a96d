"""Export a transformers model as an ONNX graph."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch


class _Tokens(torch.nn.Module):
    """A transformers model that returns only its last hidden state, for the export."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return output


def export(model: torch.nn.Module, file: Path) -> None:
    """Export a transformers model in float32, for any number of texts of any length.

    Args:
        model: a transformers model in evaluation mode, on the CPU.
        file: the file to write.

    """
    ids = torch.arange(4, 26).reshape(2, 11)
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    dynamic = torch.export.Dim.DYNAMIC
    shapes = {name: {0: dynamic, 1: dynamic} for name in ("input_ids", "attention_mask")}
    write(_Tokens(model), (ids, mask), shapes, "token_embeddings", file)


def write(
    module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], shapes: dict[str, Any], output: str, file: Path
) -> None:
    """Write a module as an ONNX graph of one output.

    Args:
        module: the module.
        inputs: an example of its inputs.
        shapes: the axes of each input whose length may differ, by the input's name.
        output: the name of the output.
        file: the file to write.

    """
    program = torch.onnx.export(
        module.eval(), inputs, dynamo=True, dynamic_shapes=shapes, opset_version=20, verbose=False,
        input_names=list(shapes), output_names=[output],
    )  # fmt: skip
    assert program is not None
    program.save(file)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings, notes and progress bars of the exporters."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


__all__ = ["export", "quiet", "write"]
