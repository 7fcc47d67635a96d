"""Encoding every text once: embeddings are kept by encoder, prompt and text, so that nothing is encoded twice."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, compress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from sentence_transformers import SentenceTransformer

from babelmix._cache import keeping
from babelmix._files import cache_folder, clear_leftovers, replacing_file, writing_to
from babelmix._progress import progress_bar
from babelmix.corpus.composition import composed
from babelmix.corpus.images import PICTURES, PIXELS_AT_ONCE, Pictures
from babelmix.encoders.image_tower import check_resized
from babelmix.encoders.loading import fingerprint
from babelmix.encoders.origin import named
from babelmix.encoders.precision import tell_if_bfloat16_is_slow
from babelmix.encoders.runtime import PASS, runtime_of, store_suffix
from babelmix.errors import BabelmixError, EncoderError, first_line

KINDS = ("query", "document")
_FLUSH_SECONDS = 10.0
_FLUSH_BYTES = 64 << 20
_CHUNK = 256
_COPIED = 65536
_SHOWN = 60

Embeddings = npt.NDArray[np.float32]

_NOTHING_STORED = pl.DataFrame(schema={"high": pl.UInt64, "low": pl.UInt64, "shard": pl.Int64, "row": pl.Int64})


class EmbeddingStore:
    """Embeddings of one encoder and one kind of text on disk, added to in shards that are whole or absent.

    Args:
        folder: where; several processes may share it.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._swept = False

    @classmethod
    def of(cls, name: str, kind: str) -> EmbeddingStore:
        """The user's cache of an encoder.

        Args:
            name: the encoder's fingerprint, and what else its embeddings depend on.
            kind: `query`, `document` or `image`.

        """
        return cls(cache_folder() / "embeddings" / name / (f"image-{PICTURES}" if kind == "image" else kind))

    def load(self) -> tuple[pl.DataFrame, list[Path]]:
        """What is stored: columns `high`, `low` (the text's key), `shard`, `row`; and the shards' vector files."""
        frames = [_NOTHING_STORED]
        files: list[Path] = []
        for key_file in sorted(self.folder.glob("*.keys.npy")):
            vector_file = key_file.with_name(key_file.name.replace(".keys.npy", ".vectors.npy"))
            try:
                keys = np.load(key_file, allow_pickle=False)
                vectors = np.load(vector_file, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError):
                continue  # a damaged shard is encoded again
            if (
                keys.dtype != np.uint64
                or keys.ndim != 2
                or keys.shape[1] != 2
                or vectors.ndim != 2
                or len(keys) != len(vectors)
            ):
                continue
            number = len(files)
            files.append(vector_file)
            frames.append(
                pl.DataFrame(
                    {
                        "high": keys[:, 0],
                        "low": keys[:, 1],
                        "shard": np.full(len(keys), number),
                        "row": np.arange(len(keys)),
                    }
                )
            )
        return pl.concat(frames).unique(["high", "low"], keep="first"), files

    def add(self, keys: npt.NDArray[np.uint64], vectors: Embeddings) -> None:
        """Add a shard; the key file gets its name last and makes it count.

        Raises:
            WriteError: the disk is full.
            OSError: the folder cannot be written to.

        """
        self._sweep()
        name = uuid.uuid4().hex
        key_file, vector_file = (self.folder / f"{name}.{kind}.npy" for kind in ("keys", "vectors"))
        with replacing_file(key_file) as for_keys, replacing_file(vector_file) as for_vectors:
            for place, array in ((for_keys, keys), (for_vectors, vectors)):
                with place.open("wb") as sink:
                    np.save(sink, array, allow_pickle=False)

    def _sweep(self) -> None:
        """Remove what processes that died left, once."""
        if self._swept:
            return
        self._swept = True
        vectors = list(self.folder.glob("*.vectors.npy"))
        clear_leftovers(self.folder)
        for file in vectors:
            keys = file.name.replace(".vectors.npy", ".keys.npy")
            # A process that still writes has begun its keys before the vectors got their name.
            if not any(self.folder.glob(f".{keys}.*")) and not (self.folder / keys).exists():
                file.unlink(missing_ok=True)


def text_keys(texts: Sequence[str]) -> npt.NDArray[np.uint64]:
    """128-bit keys of texts, uint64, shape (texts, 2)."""
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts)
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)


def encode(
    encoder: SentenceTransformer,
    texts: Sequence[str] | Pictures,
    kind: str,
    *,
    batch_size: int = 32,
    store: bool = True,
    key: str | None = None,
    label: str = "encoding",
    memory: int = 1 << 30,
    bf16: bool = False,
) -> Embeddings:
    """Embed texts or pictures, each distinct one once.

    With `store`, what is encoded is kept in the user's cache under the encoder's fingerprint, every ten seconds and on
    any interruption; another call goes on from there.

    Args:
        encoder: the encoder; its prompt for `kind` is used.
        texts: what to embed; pictures are opened as they are needed.
        kind: `"query"` or `"document"`; pictures are the same in both, and kept once.
        batch_size: texts a forward pass.
        key: the encoder's fingerprint, if it is known already.
        store: keep embeddings on disk. Static encoders are faster than a disk and are never stored.
        label: the words before the progress bar.
        memory: bytes; a larger result is memory-mapped from a file in the user's cache that is gone when the array is.
        bf16: run the encoder in bfloat16 mixed precision; such embeddings are stored apart. Where that is slower, it is said.

    Returns:
        float32, shape (texts, dimension), as the encoder gives them (not normalised again).

    Raises:
        EncoderError: the encoder's forward pass fails, or it gave something that is not one vector a text.

    """
    if kind not in KINDS:
        raise EncoderError(f"the kind {kind!r} is neither 'query' nor 'document'")
    if not texts:
        raise EncoderError("there is no text to encode")
    pictures = isinstance(texts, Pictures)
    # Before the keys: one text in two forms is embedded once.
    texts = texts if isinstance(texts, Pictures) else composed(texts)
    keys = texts.keys if isinstance(texts, Pictures) else text_keys(texts)
    frame = pl.DataFrame({"high": keys[:, 0], "low": keys[:, 1]}).with_row_index("at")
    unique = frame.unique(["high", "low"], keep="first", maintain_order=True)
    shelf = None
    if store:
        name = (key or fingerprint(encoder))[:32] + ("-bf16" if bf16 else "") + store_suffix(encoder)
        shelf = EmbeddingStore.of(name, "image" if pictures else kind)
    known, files = shelf.load() if shelf else (_NOTHING_STORED, [])
    wanted = unique.join(known, on=["high", "low"], how="left", maintain_order="left")
    missing = wanted.filter(pl.col("shard").is_null())["at"].to_numpy()
    stored = wanted.filter(pl.col("shard").is_not_null())

    def rows(dimension: int) -> Embeddings:
        return _empty((len(texts), dimension), memory)

    # Everything is written to its place at once: a second copy would take as much memory again.
    if len(missing):
        if bf16:
            tell_if_bfloat16_is_slow(encoder)
        with torch.autocast(encoder.device.type, dtype=torch.bfloat16, enabled=bf16):
            vectors = _encode_missing(encoder, texts, keys, missing, kind, batch_size, shelf, label, len(unique), rows)
    else:
        vectors = rows(np.load(files[0], mmap_mode="r").shape[1])
    for (shard,), part in stored.group_by("shard"):
        known_vectors = np.load(files[int(str(shard))], mmap_mode="r", allow_pickle=False)
        vectors[part["at"].to_numpy()] = known_vectors[part["row"].to_numpy()]
    if len(unique) < len(texts):
        first = frame.join(unique.rename({"at": "first"}), on=["high", "low"], maintain_order="left")[
            "first"
        ].to_numpy()
        copies = np.flatnonzero(first != np.arange(len(texts)))
        for start in range(0, len(copies), _COPIED):
            some = copies[start : start + _COPIED]
            vectors[some] = vectors[first[some]]
    return vectors


def _empty(shape: tuple[int, int], memory: int) -> Embeddings:
    """A float32 array, in memory or, above `memory` bytes, mapped from a file without a name."""
    if 4 * shape[0] * shape[1] <= memory:
        return np.empty(shape, dtype=np.float32)
    size = 4 * shape[0] * shape[1]
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=cache_folder())  # noqa: SIM115
    except OSError:
        file = tempfile.TemporaryFile()  # noqa: SIM115
    # The mapping keeps the file's contents after it is closed and removed.
    with file, writing_to(cache_folder()):
        if hasattr(os, "posix_fallocate"):
            # A disk that is full when a page of it is written would end the process without a word.
            os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)


def encode_batch(
    encoder: SentenceTransformer,
    inputs: Sequence[Any],
    kind: str,
    *,
    batch_size: int = 32,
    advice: str = "use one with an image tower",
) -> Embeddings:
    """Embed some texts and pictures at once, without a bar and without keeping anything.

    Args:
        encoder: the encoder; its prompt for `kind` is used.
        inputs: texts, opened pictures, and functions that open one, in any order. No more pictures are opened at once than
            have `PIXELS_AT_ONCE` pixels together.
        kind: `"query"` or `"document"`.
        batch_size: inputs a forward pass.
        advice: what to do, for the sentence that the encoder cannot embed pictures.

    Returns:
        float32, shape (inputs, dimension), as the encoder gives them.

    Raises:
        EncoderError: the encoder cannot embed pictures, and there are some, its forward pass fails, or it gave something
            that is not one vector a text.

    """
    method = encoder.encode_query if kind == "query" else encoder.encode_document
    if runtime_of(encoder) is not None:
        batch_size = max(batch_size, PASS)
    is_text = np.array([isinstance(one, str) for one in inputs], dtype=bool)
    parts: list[tuple[npt.NDArray[np.intp], Embeddings]] = []
    texts = np.flatnonzero(is_text)
    batches = ((rows, batch) for rows, batch in [(texts, composed(compress(inputs, is_text)))] if batch)
    for rows, batch in chain(batches, _opened(encoder, inputs, np.flatnonzero(~is_text), batch_size)):
        try:
            vectors = method(batch, batch_size=batch_size, show_progress_bar=False, convert_to_numpy=True)
        except BabelmixError:
            raise
        except Exception as error:  # a forward pass raises whatever its layers do
            if rows is texts or not isinstance(error, (ValueError, TypeError, KeyError)):
                raise EncoderError(_why_not_embedded(encoder, method, batch, error)) from error
            raise EncoderError(f"the encoder cannot embed pictures ({first_line(error)}); {advice}") from error
        if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or len(vectors) != len(batch):
            raise EncoderError("the encoder does not give one vector a text")
        parts.append((rows, vectors))
    if len(parts) == 1:
        return parts[0][1]
    dimension = parts[0][1].shape[1] if parts else int(encoder.get_embedding_dimension() or 0)
    result = np.empty((len(inputs), dimension), dtype=np.float32)
    for rows, vectors in parts:
        result[rows] = vectors
    return result


def _opened(
    encoder: SentenceTransformer, inputs: Sequence[Any], rows: npt.NDArray[np.intp], batch_size: int
) -> Iterator[tuple[npt.NDArray[np.intp], list[Any]]]:
    """Pictures in batches, with their rows: as many as a forward pass takes, or as have not too many pixels together."""
    modules = list(encoder.modules()) if len(rows) else []
    batch: list[Any] = []
    start = pixels = 0
    for place, row in enumerate(rows):
        picture = inputs[row]() if callable(inputs[row]) else inputs[row]
        width, height = picture.size
        check_resized(modules, picture)
        if batch and (pixels + width * height > PIXELS_AT_ONCE or len(batch) == batch_size):
            yield rows[start:place], batch
            start, pixels, batch = place, 0, []
        batch.append(picture)
        pixels += width * height
    if batch:
        yield rows[start:], batch


def _why_not_embedded(
    encoder: SentenceTransformer, method: Callable[..., Any], batch: Sequence[Any], error: Exception
) -> str:
    """What a forward pass raised, with the first input of the batch that raises something by itself."""
    said = f"{named(encoder)}: embedding fails ({type(error).__name__}: {first_line(error)})"
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return f"{said}; there is not enough memory, so use a smaller --batch-size or shorter texts (--max-seq-length)"
    if len(batch) == 1:
        return f"{said} at {_shown(batch[0])}"
    for one in batch:
        try:
            method([one], batch_size=1, show_progress_bar=False, convert_to_numpy=True)
        except Exception as alone:  # as above
            return f"{named(encoder)}: embedding fails ({type(alone).__name__}: {first_line(alone)}) at {_shown(one)}"
    return f"{said} at {len(batch)} inputs together, the first of them {_shown(batch[0])}"


def _shown(one: Any) -> str:
    """An input, short enough for a message."""
    if not isinstance(one, str):
        return "a picture"
    start = " ".join(one[:_SHOWN].split())
    return (
        f"the text {start!r}" if len(one) <= _SHOWN else f"the text of {len(one):,} characters that begins {start!r}"
    )


def _encode_missing(
    encoder: SentenceTransformer,
    texts: Sequence[str] | Pictures,
    keys: npt.NDArray[np.uint64],
    missing: npt.NDArray[np.integer],
    kind: str,
    batch_size: int,
    shelf: EmbeddingStore | None,
    label: str,
    total: int,
    rows: Callable[[int], Embeddings],
) -> Embeddings:
    """What `rows` gives for the encoder's dimension, with the embeddings of `texts[missing]` written to rows `missing`."""
    result: Embeddings | None = None
    # Chunks of one length are padded least; a fixed shuffle of the chunks keeps the ETA honest.
    pictures = isinstance(texts, Pictures)
    lengths = np.zeros(len(missing)) if pictures else [len(texts[i]) for i in missing]
    by_length = np.argsort(lengths, kind="stable")
    # Opened pictures are large: no more of them at once than a forward pass takes.
    size = batch_size if pictures else _CHUNK
    chunks = [by_length[i : i + size] for i in range(0, len(by_length), size)]
    np.random.default_rng(0).shuffle(chunks)
    unsaved: list[npt.NDArray[np.integer]] = []
    last = time.monotonic()

    def flush() -> None:
        nonlocal last
        if shelf and unsaved and result is not None:
            places = missing[np.concatenate(unsaved)]
            with keeping("embeddings"):
                shelf.add(keys[places], result[places])
        unsaved.clear()
        last = time.monotonic()

    try:
        with progress_bar(label, total, "pictures" if pictures else "texts", done=total - len(missing)) as bar:
            for chunk in chunks:
                at = [int(missing[i]) for i in chunk]
                # Pictures are opened where they are embedded.
                batch: list[Any] = [partial(texts.__getitem__, i) if pictures else texts[i] for i in at]
                vectors = encode_batch(encoder, batch, kind, batch_size=batch_size)
                if result is None:
                    result = rows(vectors.shape[1])
                result[missing[chunk]] = vectors
                unsaved.append(chunk)
                full = len(unsaved) * vectors.nbytes > _FLUSH_BYTES
                if full or time.monotonic() - last > _FLUSH_SECONDS:
                    flush()
                bar.advance(len(batch))
    finally:
        flush()
    assert result is not None
    return result
