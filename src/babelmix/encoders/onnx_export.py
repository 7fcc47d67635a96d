"""Export a transformers model as an ONNX graph."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

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
    program = torch.onnx.export(
        _Tokens(model).eval(), (ids, mask), dynamo=True, dynamic_shapes=shapes, opset_version=20, verbose=False,
        input_names=list(shapes), output_names=["token_embeddings"],
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


__all__ = ["export", "quiet"]
