"""Run an exported transformer: token ids to token embeddings, without torch.

A folder of an export holds the graph of a transformer as an engine reads it: `graph.onnx` for ONNX Runtime, `graph.xml` for
OpenVINO; and the weights in `graph.bin`, which the engines map into memory.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix.encoders import onnx_engine, openvino_engine
from babelmix.encoders.backend_names import parse_backend, spec_of
from babelmix.encoders.token_arrays import Ids, Run, TokenVectors
from babelmix.errors import BabelmixError, EncoderError, first_line

LAYOUT = 4
"""Version of the export. A higher number makes older cached exports and embeddings invalid."""

TOKENS = 256
"""Approximate tokens in a part of a batch: enough to keep a core busy, few enough that its texts have similar lengths."""

PASS = 128
"""The smallest batch, in texts. Batches are then split into parts by tokens."""

_ENGINES: dict[str, ModuleType] = {"openvino": openvino_engine, "onnx": onnx_engine}


class Graph:
    """An exported transformer, open and ready to run. Threads may share it.

    The texts of a batch are sorted by length and split into parts, so that a short text is not padded to the longest. The parts
    run at the same time, each on one core. This is faster than one part on all cores.

    Args:
        backend: engine and precision, as in `onnx-int8`.
        whole: runs one part on all cores.
        parts: runs a part on one core; each core runs one part at a time.
        cores: the number of cores.
        limit: the most tokens of a text, if texts are to be padded to few different lengths; None: they are not.

    """

    def __init__(self, backend: str, whole: Run, parts: Run, cores: int, limit: int | None = None) -> None:
        self.backend = backend
        self._whole, self._parts = _padded(whole, limit), _padded(parts, limit)
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="forward") if cores > 1 else None

    def __deepcopy__(self, memo: dict[int, Any]) -> Graph:
        """Return itself: it never changes, and engines cannot be copied."""
        return self

    def embed(self, ids: Ids, mask: Ids) -> TokenVectors:
        """Embed tokens. The embeddings of padding have no meaning.

        Args:
            ids: token ids, shape (texts, tokens).
            mask: 1 for a token and 0 for padding, shape (texts, tokens).

        Returns:
            Shape (texts, tokens, dimension).

        """
        lengths = mask.sum(axis=1)
        padded_right = bool((mask[:, :-1] >= mask[:, 1:]).all())
        cuts = _cuts(lengths, TOKENS) if padded_right else [np.arange(len(ids))]
        if len(cuts) == 1:
            return self._whole(ids, mask)

        def run(rows: npt.NDArray[np.intp]) -> TokenVectors:
            longest = int(lengths[rows].max())
            return self._parts(np.ascontiguousarray(ids[rows, :longest]), np.ascontiguousarray(mask[rows, :longest]))

        found = map(run, cuts) if self._pool is None else self._pool.map(run, cuts)
        result: TokenVectors | None = None
        for rows, part in zip(cuts, found, strict=True):
            if result is None:
                result = np.zeros((*ids.shape, part.shape[2]), dtype=np.float32)
            result[rows, : part.shape[1]] = part
        assert result is not None
        return result


def _padded(run: Run, limit: int | None) -> Run:
    """The same function, for lengths that are rounded up to the next one of `_length`."""
    if limit is None:
        return run

    def padded(ids: Ids, mask: Ids) -> TokenVectors:
        length = ids.shape[1]
        more = ((0, 0), (0, max(0, min(_length(length), limit) - length)))
        # Padding on the left would move the tokens.
        if more[1][1] == 0 or (mask[:, :-1] < mask[:, 1:]).any():
            return run(ids, mask)
        return run(np.pad(ids, more), np.pad(mask, more))[:, :length]

    return padded


def _length(tokens: int) -> int:
    """A number of tokens, rounded up to a multiple of 8; above 128 to one of eight lengths between two powers of two.

    Examples:
        >>> [_length(tokens) for tokens in (3, 8, 17, 130, 300)]
        [8, 8, 24, 144, 320]

    """
    step = max(8, 1 << max(0, (tokens - 1).bit_length() - 4))
    return -(-tokens // step) * step


def _cuts(lengths: npt.NDArray[np.int64], tokens: int) -> list[npt.NDArray[np.intp]]:
    """Split rows into parts of about this many tokens, padding included. The longest texts are first."""
    order = np.argsort(-lengths, kind="stable")
    cuts = []
    start = 0
    while start < len(order):
        count = max(1, round(tokens / max(1, int(lengths[order[start]]))))
        cuts.append(order[start : start + count])
        start += count
    return cuts


def engine_of(backend: str) -> ModuleType:
    """The module that runs the graphs of a backend: `onnx_engine` or `openvino_engine`.

    Args:
        backend: engine and precision, as in `onnx-int8`.

    Raises:
        EncoderError: the backend has no graph.

    """
    engine, _ = parse_backend(spec_of(backend))
    if engine not in _ENGINES:
        raise EncoderError(f"the backend {backend!r} has no exported graph; use {', '.join(_ENGINES)}")
    return _ENGINES[engine]


def graph_files(backend: str) -> tuple[str, ...]:
    """The names of the files of a graph in the folder of an export.

    Args:
        backend: engine and precision, as in `onnx-int8`.

    Raises:
        EncoderError: the backend has no graph.

    Examples:
        >>> graph_files("onnx-int8"), graph_files("openvino-fp32")
        (('graph.onnx', 'graph.bin'), ('graph.xml', 'graph.bin'))

    """
    files: tuple[str, ...] = engine_of(backend).FILES
    return files


def open_graph(folder: Path, backend: str, cores: int, limit: int | None = None) -> Graph:
    """Open the graph of an export.

    Args:
        folder: the folder of the export.
        backend: engine and precision of the export, as in `onnx-int8`.
        cores: the number of cores that it may use.
        limit: the most tokens of a text that the encoder takes; None: unknown. With a limit, an engine that keeps code for each
            shape gets few different shapes: its memory stays small, and fewer texts wait until their shape is compiled.

    Raises:
        EncoderError: there is no graph, it is damaged, or its files lie elsewhere.
        MissingExtraError: the engine is not installed.

    """
    engine = engine_of(backend)
    for name in engine.FILES:
        if not (folder / name).is_file():
            raise EncoderError(f"{folder / name}: is not there; export the encoder again")
        # A folder may come from anywhere: its graph reads no other file.
        if (folder / name).resolve().parent != folder.resolve():
            raise EncoderError(f"{folder / name}: leads to a file elsewhere; put the file itself into the folder")
    try:
        whole, parts = engine.load(folder, cores)
    except BabelmixError:
        raise
    except Exception as error:  # each engine raises types of its own
        raise EncoderError(
            f"{folder}: the graph cannot be read ({type(error).__name__}: {first_line(error)}); export the encoder again"
        ) from error
    return Graph(backend, whole, parts, cores, limit if engine.KEEPS_SHAPES else None)


__all__ = ["LAYOUT", "PASS", "TOKENS", "Graph", "engine_of", "graph_files", "open_graph"]
