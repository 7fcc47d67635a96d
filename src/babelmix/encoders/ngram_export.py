"""Export the network of the Universal Sentence Encoder for an engine."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from babelmix.encoders.graph import engine_of, open_graph
from babelmix.encoders.ngram_network import ORDERS, NGramNetwork
from babelmix.encoders.onnx_export import quiet
from babelmix.encoders.token_arrays import sampled_tokens
from babelmix.errors import BabelmixError, EncoderError, first_line

_MOST = {"fp32": 1e-4, "int8": 0.5, "int7": 0.5}
"""The largest difference of a value, between -1 and 1, from torch's. Rounding errors are some hundredths of it."""


class _Padded(torch.nn.Module):
    """The network for padded texts: a graph for an engine has no loops over blocks of tokens."""

    def __init__(self, network: NGramNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        network = self.network
        mask = attention_mask.to(torch.float32)[:, :, None]
        vectors = network.embedding(input_ids)
        projected = network.projection_norm(network.projection(vectors)).split(network.width, dim=2)
        parts = [vectors]
        for x, (size, before), first, second in zip(projected, ORDERS, network.first, network.second, strict=True):
            x = x * mask
            x = (torch.relu(first(_ngrams(x, size, before))) + x) * mask
            parts.append(torch.relu(second(_ngrams(x, size, before))) + x)
        sums = (network.norm(torch.cat(parts, dim=2)) * mask).sum(dim=1)
        return network.embed_sums(sums, attention_mask.sum(dim=1))[:, None]


def _ngrams(x: torch.Tensor, size: int, before: int) -> torch.Tensor:
    """The features of each n-gram, one token after the other; those beyond the text's end are 0."""
    tokens = x.shape[1]
    padded = torch.nn.functional.pad(x, (0, 0, before, size - 1 - before))
    return torch.cat([padded[:, k : k + tokens] for k in range(size)], dim=2)


def export_ngram(network: NGramNetwork, folder: Path, backend: str) -> None:
    """Write the graph of a network, for any number of texts of any length, and compare it with the network.

    The graph takes `input_ids` and `attention_mask`, shape (texts, tokens). It returns the embeddings before normalisation, shape
    (texts, 1, dimension), as if each text had one token. So the pooling for it takes the first token.

    Args:
        network: the network, in float32 on the CPU.
        folder: an existing folder. `babelmix.encoders.graph.graph_files(backend)` are written there.
        backend: engine and precision, as in `onnx-fp32`.

    Raises:
        EncoderError: the network cannot be exported, or the graph gives other embeddings.
        MissingExtraError: a package for the export is not installed.

    """
    engine, precise = engine_of(backend), backend.partition("-")[2]
    ids = torch.arange(1, 23).reshape(2, 11) % network.vocabulary
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    dynamic = torch.export.Dim.DYNAMIC
    shapes = {name: {0: dynamic, 1: dynamic} for name in ("input_ids", "attention_mask")}
    try:
        with tempfile.TemporaryDirectory(dir=folder) as other, quiet():
            program = torch.onnx.export(
                _Padded(network).eval(), (ids, mask), dynamo=True, dynamic_shapes=shapes, opset_version=20, verbose=False,
                input_names=list(shapes), output_names=["sentence_embeddings"],
            )  # fmt: skip
            assert program is not None
            program.save(Path(other) / "float32.onnx", external_data=True)
            engine.write(Path(other) / "float32.onnx", folder, precise, sampled_tokens(network.vocabulary))
        graph = open_graph(folder, backend, 1)
    except BabelmixError:
        raise
    except Exception as error:  # exporters raise many unrelated types
        raise EncoderError(
            f"the network cannot be exported for {backend} ({type(error).__name__}: {first_line(error)}); use --backend torch"
        ) from error
    with torch.inference_mode():
        right = network({"input_ids": ids, "attention_mask": mask})["sentence_embedding"].numpy()
    if (most := float(np.abs(graph.embed(ids.numpy(), mask.numpy())[:, 0] - right).max())) > _MOST[precise]:
        raise EncoderError(f"{backend} would give other embeddings (difference {most:.2g}); use --backend torch")


__all__ = ["export_ngram"]
