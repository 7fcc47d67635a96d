"""Write a collection into an index, with many workers of a Ray cluster that encode.

The calling process reads the collection, compares it with the index, and sends the changes to the workers in batches of whole
items. Each worker has the encoder. If several processes may have the index open, the workers write to it. Otherwise (a folder)
they return vectors and the calling process writes. A batch is done when the index holds it. There is no other record of
progress: an interrupted run finds the remaining rows by the digests in the index.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from babelmix._cluster import spread
from babelmix.encoders import fingerprint, load_encoder
from babelmix.encoders.backend_names import is_float32, same_vectors
from babelmix.encoders.exported.facts import is_export
from babelmix.encoders.exported.finding import open_known
from babelmix.encoders.runtime import backend_of
from babelmix.errors import EncoderError
from babelmix.search.changes import Changes
from babelmix.search.documents import RowSource
from babelmix.search.encoding import encode_points
from babelmix.search.index import Index
from babelmix.search.indexing import ROWS, Indexed, bring_up_to_date


class EncodingWorker:
    """A worker: encodes rows that have changed, and writes them if the index is shared.

    Args:
        name: the name or path of the encoder.
        revision: the revision of the encoder on the Hugging Face hub.
        max_seq_length: the length limit of the index's encoder.
        key: the fingerprint of the encoder that the index was made for.
        batch_size: the number of texts per forward pass.
        address: the address of the index that the worker writes to. None: the worker returns the vectors.
        backend: the backend that runs the encoder, with its precision, as in `onnx-int8`.
        trust_code: run Python code that the encoder contains or refers to; see `load_encoder`.
        threads: threads that the encoder may use.

    Raises:
        EncoderError: the encoder cannot be loaded here, or is not the one of the index.
        SearchError: the index cannot be opened.

    """

    def __init__(
        self,
        name: str,
        revision: str | None,
        max_seq_length: int | None,
        key: str,
        batch_size: int,
        address: str | None,
        backend: str,
        trust_code: bool,
        threads: int,
    ) -> None:
        torch.set_num_threads(threads)
        self._batch_size = batch_size

        def load(one: str) -> Any:
            return load_encoder(one, max_seq_length=max_seq_length, revision=revision, trust_code=trust_code)

        moved = name if is_export(name) else None
        # A worker with a GPU, or rows of torch: torch.
        asked = None if moved or not is_float32(backend) else "torch"
        self._encoder = open_known(
            name, key=key, rows=backend, load=load, backend=asked, moved_to=moved, cores=threads
        )
        if not same_vectors(runs := backend_of(self._encoder), backend):
            raise EncoderError(
                f"{name}: is run by {runs} on a worker's machine, and the index's rows are of {backend}; use processors of one "
                "kind, or make the index with --backend torch"
            )
        if fingerprint(self._encoder) != key:
            raise EncoderError(
                f"{name}: is another encoder on a worker's machine than here (weights, tokenizer, prompts or length limit "
                "differ); give every machine the same files"
            )
        self._index = None if address is None else Index.open(address)

    def __call__(self, payload: bytes) -> bytes:
        """Encode the changes that `pack` serialised.

        Returns:
            The vectors, float32, points x dimension, row by row; empty if the worker has written them.

        Raises:
            CorpusError: a picture is damaged.
            EncoderError: a row is a picture, and the encoder cannot embed pictures.
            SearchError: the index cannot be written to.

        """
        changes: Changes = pickle.loads(payload)
        vectors = encode_points(self._encoder, changes.points, batch_size=self._batch_size)
        if self._index is None:
            return np.ascontiguousarray(vectors, dtype=np.float32).tobytes()
        self._index.write(changes, vectors)
        return b""


def pack(changes: Changes) -> bytes:
    """Serialise changes for `EncodingWorker`, without columns: only the calling process stores the facts of the index."""
    return pickle.dumps(replace(changes, columns={}))


def index_with_workers(
    index: Index,
    rows: RowSource,
    name: str,
    *,
    key: str,
    address: str = "local",
    workers: int = 0,
    batch_size: int = 32,
    prune: bool = False,
    size: int = ROWS,
    checked: bool = False,
    trust_code: bool = False,
) -> Indexed:
    """Do what `index_rows` does, with many workers.

    Args:
        index: the index to write to.
        rows: the items, with all their rows; this process reads them.
        name: the name or path of the encoder on every worker's machine.
        key: the encoder's fingerprint.
        address: the Ray cluster: `local`, `auto`, `HOST:PORT` or `ray://HOST:PORT`; see `babelmix._cluster.connected`.
        workers: the number of workers. 0: one per GPU, or without GPUs half the number of CPUs.
        batch_size: the number of texts per forward pass.
        prune: remove all other items.
        size: the approximate number of rows of a batch.
        checked: whether `check_rows` has been called already.
        trust_code: run Python code that the encoder contains or refers to; see `load_encoder`.

    Raises:
        SearchError: the index was made by another encoder, or cannot be written, or no cluster answers, or a worker failed.
        EncoderError: a worker cannot load the encoder, or loads another.
        CorpusError: a picture is damaged.
        MissingExtraError: Ray is not installed.

    """
    about = index.about
    revision = about.revision if name == about.encoder else None
    shared = index.engine.shared
    make = partial(
        EncodingWorker,
        name,
        revision,
        about.max_seq_length,
        key,
        batch_size,
        index.address if shared else None,
        index.backend,
        trust_code,
    )

    def remembered(changed: Iterator[Changes]) -> Iterator[Changes]:
        for changes in changed:
            # Store the columns before the batch is written: the next batches must use the same types.
            index.remember_columns(changes.columns)
            yield changes

    def write(changed: Iterator[Changes]) -> Iterator[Changes]:
        for changes, result in spread(remembered(changed), pack, make, address, workers=workers):
            if not shared:
                vectors = np.frombuffer(result, dtype=np.float32).reshape(len(changes.points), about.dimension)
                index.write(changes, vectors)
            yield changes

    return bring_up_to_date(index, rows, write, prune=prune, size=size, checked=checked)
