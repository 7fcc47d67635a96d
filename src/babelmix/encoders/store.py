"""Embeddings on disk, by encoder, kind and text, each with a checksum."""

from __future__ import annotations

import contextlib
import hashlib
import time
import uuid
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from babelmix._cache import keeping, say_made_again
from babelmix._files import cache_folder, clear_leftovers, replacing_file
from babelmix.corpus.images import PICTURES

if TYPE_CHECKING:
    import polars as pl

Embeddings = npt.NDArray[np.float32]
Keys = npt.NDArray[np.uint64]

_COLUMNS = ("high", "low", "check")

FLUSH_SECONDS = 10.0
FLUSH_BYTES = 64 << 20
"""New embeddings are written after so many seconds or bytes."""


def nothing_stored() -> pl.DataFrame:
    """What `EmbeddingStore.load` returns for an empty store."""
    import polars as pl

    return pl.DataFrame(schema={**dict.fromkeys(_COLUMNS, pl.UInt64), "shard": pl.Int64, "row": pl.Int64})


class EmbeddingStore:
    """Embeddings of one encoder and one kind of input on disk.

    Embeddings are added in shards. A shard is a file of keys and a file of vectors, and is complete or absent. Each key has a
    checksum of the key and its vector. Shards of an older version have no checksums and are removed, as damaged ones are.

    Args:
        folder: the folder of the shards; several processes may share it.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._swept = False

    @classmethod
    def of(cls, name: str, kind: str) -> EmbeddingStore:
        """The store of an encoder in the user's cache.

        Args:
            name: the encoder's fingerprint, and what else its embeddings depend on, such as the precision.
            kind: `query`, `document` or `image`.

        """
        return cls(cache_folder() / "embeddings" / name / (f"image-{PICTURES}" if kind == "image" else kind))

    def load(self) -> tuple[pl.DataFrame, list[Path]]:
        """All stored keys, and the vector files of the shards.

        Returns:
            Columns `high` and `low` (the text's key), `check`, `shard` and `row`; and the files, by shard number.

        """
        import polars as pl

        frames = [nothing_stored()]
        files: list[Path] = []
        for key_file in sorted(self.folder.glob("*.keys.npy")):
            vector_file = key_file.with_name(key_file.name.replace(".keys.npy", ".vectors.npy"))
            try:
                keys, vectors = _mapped(key_file), _mapped(vector_file)
            except OSError:
                continue  # gone or unreadable: encoded again
            if (
                keys is None
                or vectors is None
                or keys.dtype != np.uint64
                or vectors.dtype != np.float32
                or keys.ndim != 2
                or keys.shape[1] != len(_COLUMNS)
                or vectors.ndim != 2
                or len(keys) != len(vectors)
            ):
                self._remove(vector_file)
                continue
            columns = {name: keys[:, place] for place, name in enumerate(_COLUMNS)}
            places = {"shard": np.full(len(keys), len(files)), "row": np.arange(len(keys))}
            files.append(vector_file)
            frames.append(pl.DataFrame(columns | places))
        return pl.concat(frames).unique(["high", "low"], keep="first"), files

    def read(self, file: Path, rows: pl.DataFrame) -> Embeddings | None:
        """The vectors of some rows of a shard; None if one of them is damaged, and the shard is then removed.

        Args:
            file: the vector file of the shard, from `load`.
            rows: rows of the shard, from `load`.

        Returns:
            float32, shape (rows, dimension).

        """
        try:
            found = _mapped(file)
        except OSError:
            return None
        if found is not None and found.dtype == np.float32 and found.ndim == 2:
            vectors: Embeddings = np.ascontiguousarray(found[rows["row"].to_numpy()])
            if (_checks(rows.select("high", "low").to_numpy(), vectors) == rows["check"].to_numpy()).all():
                return vectors
        self._remove(file)
        return None

    def add(self, keys: Keys, vectors: Embeddings) -> None:
        """Add a shard. Its key file is named last, and makes the shard valid.

        Args:
            keys: the keys of the texts, uint64, shape (texts, 2).
            vectors: float32, shape (texts, dimension).

        Raises:
            WriteError: the disk is full.
            OSError: the folder cannot be written to.

        """
        self._sweep()
        name = uuid.uuid4().hex
        key_file, vector_file = (self.folder / f"{name}.{kind}.npy" for kind in ("keys", "vectors"))
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        checked = np.column_stack([keys, _checks(keys, vectors)])
        with replacing_file(key_file) as for_keys, replacing_file(vector_file) as for_vectors:
            for place, array in ((for_keys, checked), (for_vectors, vectors)):
                with place.open("wb") as sink:
                    np.save(sink, array, allow_pickle=False)

    def _remove(self, vector_file: Path) -> None:
        say_made_again("embeddings", self.folder)
        for kind in ("keys", "vectors"):
            with contextlib.suppress(OSError):
                vector_file.with_name(vector_file.name.replace(".vectors.", f".{kind}.")).unlink()

    def _sweep(self) -> None:
        """Remove unfinished shards of processes that died, once."""
        if self._swept:
            return
        self._swept = True
        vectors = list(self.folder.glob("*.vectors.npy"))
        clear_leftovers(self.folder)
        for file in vectors:
            keys = file.name.replace(".vectors.npy", ".keys.npy")
            # A process that is still writing has started its key file before it named its vectors.
            if not any(self.folder.glob(f".{keys}.*")) and not (self.folder / keys).exists():
                file.unlink(missing_ok=True)


class OpenStore:
    """A store that is opened once and asked many times. Its keys are in memory, 20 bytes for each text.

    Args:
        store: the store.
        most: bytes of vectors to add at most; further ones are not kept.

    """

    def __init__(self, store: EmbeddingStore, *, most: int = 1 << 30) -> None:
        self._store, self._left = store, most
        known, self._files = store.load()
        self._known = known.sort("high", "low")
        self._high = self._known["high"].to_numpy()
        self._unsaved: list[tuple[Keys, Embeddings]] = []
        self._bytes, self._last = 0, time.monotonic()

    def find(self, keys: Keys) -> tuple[npt.NDArray[np.bool_], Embeddings | None]:
        """The embeddings that are kept for some keys.

        Args:
            keys: the keys of the texts, uint64, shape (texts, 2).

        Returns:
            Which keys are there, shape (texts,), and a float32 array of the shape (texts, dimension) that holds their embeddings
            in these rows. The array is None if no key is there.

        """
        import polars as pl

        there = np.zeros(len(keys), dtype=bool)
        # Two keys with equal first halves are next to each other, and so rare that a short look ahead finds them.
        start, end = (np.searchsorted(self._high, keys[:, 0], side=side) for side in ("left", "right"))
        low = self._known["low"].to_numpy()
        rows = np.full(len(keys), -1)
        for i in np.flatnonzero(end > start):
            at = start[i] + np.flatnonzero(low[start[i] : end[i]] == keys[i, 1])
            rows[i] = at[0] if len(at) else -1
        wanted = np.flatnonzero(rows >= 0)
        found: Embeddings | None = None
        some = self._known[rows[wanted]].with_columns(pl.Series("at", wanted))
        for (shard,), part in some.group_by("shard"):
            vectors = self._store.read(self._files[int(str(shard))], part)
            if vectors is None:
                continue
            if found is None:
                found = np.zeros((len(keys), vectors.shape[1]), dtype=np.float32)
            at = part["at"].to_numpy()
            found[at], there[at] = vectors, True
        return there, found

    def add(self, keys: Keys, vectors: Embeddings) -> None:
        """Keep embeddings. They are written every ten seconds, and when `flush` is called."""
        if vectors.nbytes > self._left:
            return
        self._left -= vectors.nbytes
        self._unsaved.append((keys, vectors))
        self._bytes += vectors.nbytes
        if self._bytes > FLUSH_BYTES or time.monotonic() - self._last > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was added. If the cache cannot be written to, a line says so."""
        if self._unsaved:
            with keeping("embeddings"):
                self._store.add(*(np.concatenate(parts) for parts in zip(*self._unsaved, strict=True)))
        self._unsaved.clear()
        self._bytes, self._last = 0, time.monotonic()


def text_keys(texts: Sequence[str]) -> Keys:
    """128-bit keys of texts, uint64, shape (texts, 2)."""
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts)
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)


def _mapped(file: Path) -> npt.NDArray[np.generic] | None:
    """Map an array into memory; None if it is damaged. NumPy compares the header with the size of the file.

    Raises:
        OSError: the file is gone or cannot be read.

    """
    try:
        found: npt.NDArray[np.generic] = np.load(file, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception:  # the header is a Python literal, and a damaged one raises any of many types
        return None
    return found


def _checks(keys: Keys, vectors: Embeddings) -> Keys:
    """CRC-32 of each key and its vector together, uint64, shape (keys,)."""
    starts = (zlib.crc32(key) for key in np.ascontiguousarray(keys))
    return np.fromiter(map(zlib.crc32, vectors, starts), dtype=np.uint64, count=len(vectors))


__all__ = ["FLUSH_BYTES", "FLUSH_SECONDS", "EmbeddingStore", "Embeddings", "OpenStore", "nothing_stored", "text_keys"]
