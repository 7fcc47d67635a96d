"""Encode texts and pictures, and keep their embeddings in the user's cache, so that nothing is encoded twice."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain, compress
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from babelmix._cache import keeping
from babelmix._files import cache_folder, writing_to
from babelmix._lists import as_inputs
from babelmix._progress import progress_bar
from babelmix.corpus.images import PIXELS_AT_ONCE, Pictures
from babelmix.corpus.nfc import composed
from babelmix.encoders.ending import endings_of
from babelmix.encoders.fingerprints import fingerprint, image_fingerprint
from babelmix.encoders.kinds import kind_of
from babelmix.encoders.origin import named
from babelmix.encoders.precision import tell_if_bfloat16_is_slow
from babelmix.encoders.prompts import tell_if_prompts_are_missing
from babelmix.encoders.resizing import check_resized
from babelmix.encoders.runtime import PASS, export_of, runtime_of, store_suffix
from babelmix.encoders.store import (
    FLUSH_BYTES,
    FLUSH_SECONDS,
    Embeddings,
    EmbeddingStore,
    OpenStore,
    nothing_stored,
    text_keys,
)
from babelmix.errors import BabelmixError, EmbeddingError, EncoderError, first_line

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from babelmix.encoders.protocol import Encoder

INPUT_KINDS = ("query", "document")
"""The two ways to embed a text, each with its own prompt."""
_CHUNK = 256
_COPIED = 65536
_SHOWN = 60


def encode(
    encoder: Encoder,
    texts: str | Sequence[str] | Pictures,
    kind: str,
    *,
    batch_size: int = 32,
    store: bool = True,
    label: str = "encoding",
    memory: int = 1 << 30,
    bf16: bool = False,
) -> Embeddings:
    """Embed texts or pictures. Equal texts are encoded once.

    With `store`, embeddings are saved in the user's cache every ten seconds and on any interruption. The next call continues from
    there. The cache is keyed by the encoder's fingerprint. An encoder that ends with a removal of language moves what is kept of
    the encoder before it.

    Args:
        encoder: the encoder; its prompt for `kind` is used.
        texts: one text, several texts, or pictures, which are opened when they are needed.
        kind: `"query"` or `"document"`. A picture has the same embedding for both.
        batch_size: texts per forward pass.
        store: keep embeddings on disk. For a static encoder False is faster, see `babelmix.encoders.kinds`.
        label: the words before the progress bar.
        memory: bytes. A larger result is mapped from a temporary file in the user's cache, which disappears with the array.
        bf16: run the encoder in bfloat16 mixed precision. Such embeddings are stored separately. A note is printed where it is
            slower than float32.

    Returns:
        Embeddings as the encoder returns them, float32, shape (texts, dimension). One text, as a string, gives shape
        (1, dimension).

    Raises:
        EmbeddingError: the encoder's forward pass fails.
        EncoderError: there is no text, the kind is unknown, or the encoder does not return one vector per text.

    Examples:
        >>> from babelmix.encoders import static
        >>> encoder = static.from_scratch(["a dog", "ein Hund"], dimension=8)
        >>> encode(encoder, ["a dog", "ein Hund", "a dog"], "query", store=False).shape
        (3, 8)
        >>> encode(encoder, "a dog", "query", store=False).shape
        (1, 8)

    """
    import polars as pl

    if kind not in INPUT_KINDS:
        raise EncoderError(f"the kind {kind!r} is neither 'query' nor 'document'")
    texts = [texts] if isinstance(texts, str) else texts
    if not texts:
        raise EncoderError("there is no text to encode")
    pictures = isinstance(texts, Pictures)
    # Compose before computing keys: one text in two Unicode forms is embedded once.
    texts = texts if isinstance(texts, Pictures) else composed(texts)
    keys = texts.keys if isinstance(texts, Pictures) else text_keys(texts)
    frame = pl.DataFrame({"high": keys[:, 0], "low": keys[:, 1]}).with_row_index("at")
    unique = frame.unique(["high", "low"], keep="first", maintain_order=True)
    shelf = None
    if store:
        shelf = store_of(encoder, kind, pictures=pictures, bf16=bf16)
    known, files = shelf.load() if shelf else (nothing_stored(), [])
    wanted = unique.join(known, on=["high", "low"], how="left", maintain_order="left")
    missing = wanted.filter(pl.col("shard").is_null())["at"].to_numpy()
    vectors: Embeddings | None = None

    # All parts are written into one array: a second copy would double the memory.
    def rows(dimension: int) -> Embeddings:
        return _empty((len(texts), dimension), memory) if vectors is None else vectors

    damaged = [missing]
    for (shard,), part in wanted.drop_nulls("shard").group_by("shard"):
        found = shelf.read(files[int(str(shard))], part) if shelf else None
        if found is None:
            damaged.append(part["at"].to_numpy())
            continue
        vectors = rows(found.shape[1])
        vectors[part["at"].to_numpy()] = found
    missing = np.sort(np.concatenate(damaged))
    parted = shelf and len(missing) and not pictures and not bf16 and export_of(encoder) is None
    for ending in endings_of(cast("Any", encoder)) if parted else ():
        there, found = OpenStore(store_of(ending.before, kind)).find(keys[missing])
        if shelf and found is not None:
            places = missing[there]
            vectors = rows(found.shape[1])
            vectors[places] = ending.move(found[there], kind)
            with keeping("embeddings"):
                shelf.add(keys[places], vectors[places])
            missing = missing[~there]
        if not len(missing):
            break
    if len(missing):
        if export_of(encoder) is None:
            tell_if_prompts_are_missing(cast("SentenceTransformer", encoder))
            if bf16:
                tell_if_bfloat16_is_slow(cast("SentenceTransformer", encoder))
        with _precision(encoder, bf16):
            vectors = _encode_missing(encoder, texts, keys, missing, kind, batch_size, shelf, label, len(unique), rows)
    assert vectors is not None
    if len(unique) < len(texts):
        first = frame.join(unique.rename({"at": "first"}), on=["high", "low"], maintain_order="left")[
            "first"
        ].to_numpy()
        copies = np.flatnonzero(first != np.arange(len(texts)))
        for start in range(0, len(copies), _COPIED):
            some = copies[start : start + _COPIED]
            vectors[some] = vectors[first[some]]
    return vectors


def store_of(encoder: Encoder, kind: str, *, pictures: bool = False, bf16: bool = False) -> EmbeddingStore:
    """Where the embeddings of an encoder are kept in the user's cache: a change of its weights or its backend is another place.

    Args:
        encoder: the encoder.
        kind: `"query"` or `"document"`.
        pictures: the place for pictures, which is the same for both kinds.
        bf16: the place for embeddings in bfloat16 mixed precision.

    """
    name = _fingerprint(encoder, pictures)[:32] + ("-bf16" if bf16 else "") + store_suffix(encoder)
    return EmbeddingStore.of(name, "image" if pictures else kind)


def _precision(encoder: Encoder, bf16: bool) -> AbstractContextManager[Any]:
    """Of torch's forward passes: bfloat16 mixed precision or float32, also inside another `autocast`."""
    if export_of(encoder) is not None:
        return nullcontext()
    import torch

    return torch.autocast(cast("SentenceTransformer", encoder).device.type, dtype=torch.bfloat16, enabled=bf16)


def _fingerprint(encoder: Encoder, pictures: bool) -> str:
    """The fingerprint for the cache; for pictures that of the image tower, as the text tower does not change their embeddings."""
    of_torch: Any = encoder
    return image_fingerprint(of_torch) if pictures and kind_of(of_torch).has_image_tower else fingerprint(encoder)


def _empty(shape: tuple[int, int], memory: int) -> Embeddings:
    """An empty float32 array: in memory, or above `memory` bytes mapped from a temporary file."""
    if 4 * shape[0] * shape[1] <= memory:
        return np.empty(shape, dtype=np.float32)
    size = 4 * shape[0] * shape[1]
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=cache_folder())  # noqa: SIM115
    except OSError:
        file = tempfile.TemporaryFile()  # noqa: SIM115
    # The mapping keeps the contents after the file is closed and removed.
    with file, writing_to(cache_folder()):
        if hasattr(os, "posix_fallocate"):
            # Reserve the space now: a full disk would later kill the process without a message.
            os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)


def encode_batch(
    encoder: Encoder,
    inputs: Any,
    kind: str,
    *,
    batch_size: int = 32,
    advice: str = "use one with an image tower",
) -> Embeddings:
    """Embed a few texts and pictures, without a progress bar and without the cache.

    Args:
        encoder: the encoder; its prompt for `kind` is used.
        inputs: one or several inputs in any order: texts, opened pictures, and functions that open a picture. Open pictures never
            have more than `PIXELS_AT_ONCE` pixels together.
        kind: `"query"` or `"document"`.
        batch_size: inputs per forward pass.
        advice: the end of the message if the encoder cannot embed pictures.

    Returns:
        Embeddings as the encoder returns them, float32, shape (inputs, dimension).

    Raises:
        EmbeddingError: the encoder's forward pass fails.
        EncoderError: the encoder cannot embed pictures, or does not return one vector per text.

    """
    inputs = [inputs] if callable(inputs) else as_inputs(inputs, EncoderError)
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
        except Exception as error:  # a forward pass raises any of many types
            if rows is texts or not isinstance(error, (ValueError, TypeError, KeyError)):
                raise EmbeddingError(_why_not_embedded(encoder, method, batch, error)) from error
            raise EncoderError(f"the encoder cannot embed pictures ({first_line(error)}); {advice}") from error
        if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or len(vectors) != len(batch):
            raise EncoderError("the encoder does not return one vector per text")
        parts.append((rows, vectors))
    if len(parts) == 1:
        return parts[0][1]
    dimension = parts[0][1].shape[1] if parts else int(encoder.get_embedding_dimension() or 0)
    result = np.empty((len(inputs), dimension), dtype=np.float32)
    for rows, vectors in parts:
        result[rows] = vectors
    return result


def _opened(
    encoder: Encoder, inputs: Sequence[Any], rows: npt.NDArray[np.intp], batch_size: int
) -> Iterator[tuple[npt.NDArray[np.intp], list[Any]]]:
    """Opened pictures in batches, with their rows. A batch is limited in pictures and in pixels."""
    # An encoder without torch embeds no pictures.
    modules = list(encoder.modules()) if len(rows) and hasattr(encoder, "modules") else []
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


def _why_not_embedded(encoder: Encoder, method: Callable[..., Any], batch: Sequence[Any], error: Exception) -> str:
    """The message for an error of a forward pass. It names the first input of the batch that fails alone."""
    said = f"{named(encoder)}: embedding fails ({type(error).__name__}: {first_line(error)})"
    # By its name: this may be an encoder without torch.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
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
    encoder: Encoder,
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
    """Encode `texts[missing]`, and write them into these rows of the array that `rows` returns for the encoder's dimension."""
    result: Embeddings | None = None
    # Chunks of similar length need little padding. Their order is shuffled, so that the remaining time is predicted well.
    pictures = isinstance(texts, Pictures)
    lengths = np.zeros(len(missing)) if pictures else [len(texts[i]) for i in missing]
    by_length = np.argsort(lengths, kind="stable")
    # Opened pictures are large: a chunk has only as many as a forward pass.
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
                # encode_batch opens the pictures.
                batch: list[Any] = [partial(texts.__getitem__, i) if pictures else texts[i] for i in at]
                vectors = encode_batch(encoder, batch, kind, batch_size=batch_size)
                if result is None:
                    result = rows(vectors.shape[1])
                result[missing[chunk]] = vectors
                unsaved.append(chunk)
                full = len(unsaved) * vectors.nbytes > FLUSH_BYTES
                if full or time.monotonic() - last > FLUSH_SECONDS:
                    flush()
                bar.advance(len(batch))
    finally:
        flush()
    assert result is not None
    return result
