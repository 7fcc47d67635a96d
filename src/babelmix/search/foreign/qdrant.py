"""A collection of Qdrant. The new vector is a named vector of the same points."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np

from babelmix.errors import SearchError, first_line, require
from babelmix.search.foreign.address import Address
from babelmix.search.foreign.base import Floats, Key, Page
from babelmix.search.foreign.qdrant_fields import LANG, flat

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

_SOME = 200
"""The points that say which fields there are."""

OPTIONS = ("lang", "vector", "similarity", "https")
"""The options of an address."""

KEY = "QDRANT_API_KEY"
"""The environment variable of the API key."""

_MARK = "babelmix: "
"""What the keys of our marks in the metadata of a collection begin with."""

_SINCE = "1.18"
"""The first version that adds named vectors to a collection."""

_SECONDS = 120


class QdrantStore:
    """See `ForeignStore`. A point is identified by its id.

    Args:
        address: `qdrant://HOST:PORT/COLLECTION`, or `qdrant:///FOLDER/COLLECTION` for a folder of qdrant-client itself. Its
            option `lang` names the field of the payload (`payload.lang` without it), `vector` the vector (without it, the
            unnamed or only one); `https=1` encrypts. The API key is in the environment variable `QDRANT_API_KEY`.

    Raises:
        SearchError: the server does not answer, or the collection is not as the address says.
        MissingExtraError: qdrant-client is not installed.

    """

    def __init__(self, address: Address) -> None:
        self.address = str(address)
        address.only(OPTIONS)
        self.models: Any = require("qdrant_client.models", "qdrant", "a collection of Qdrant")
        self.name = address.name
        with self.errors():
            self.client = self._connected(address)
        try:
            with self.errors():
                self._read_collection(address)
        except BaseException:
            self.client.close()
            raise

    def _connected(self, address: Address) -> QdrantClient:
        client: type[QdrantClient] = require("qdrant_client", "qdrant", "a collection of Qdrant").QdrantClient
        if not address.place:
            folder = Path("/", *(unquote(part) for part in address.path[:-1]))
            # The client would make an empty folder.
            if not (folder / "meta.json").is_file():
                raise SearchError(f"{folder}: is not a folder of qdrant-client")
            return client(path=str(folder))
        secure = address.options.get("https", "0") not in ("", "0", "false")
        with warnings.catch_warnings():
            # It warns of a key without https, which is usual on one machine.
            warnings.simplefilter("ignore")
            return client(
                url=f"{'https' if secure else 'http'}://{address.place}",
                api_key=os.environ.get(KEY),
                timeout=_SECONDS,
                check_compatibility=False,  # it would warn from a thread
            )

    def _read_collection(self, address: Address) -> None:
        if not self.client.collection_exists(self.name):
            raise SearchError(f"{self.address}: there is no such collection")
        params = self._params()
        ours = [name for name in params if self.mark(name)]
        others = [name for name in params if name not in ours]
        named = address.options.get("vector")
        if named is None:
            named = "" if "" in params else others[0] if len(others) == 1 else None
        if named is None:
            raise SearchError(f"{self.address}: has the vectors {', '.join(others)}; say which:  ?vector=NAME")
        self.vector = named
        if self.vector not in params:
            there = ", ".join(name or "(unnamed)" for name in params) or "none"
            raise SearchError(f"{self.address}: has no dense vector {self.vector!r}; there are: {there}")
        self.dense = params[self.vector]
        if self.dense.multivector_config is not None:
            raise SearchError(
                f"{self.address}: the vector {self.vector!r} has several vectors in a point; that is not possible here"
            )
        self._given_lang = address.options.get("lang", "").removeprefix("payload.")
        self.dimension = int(self.dense.size)
        self.similarity = address.options.get("similarity")
        if self.similarity is None:
            self.similarity = {"Cosine": "cosine", "Dot": "dot"}.get(self.dense.distance.value)
        elif self.similarity not in ("cosine", "dot"):
            raise SearchError(f"{self.address}: similarity is cosine or dot, not {self.similarity!r}")

    @cached_property
    def lang(self) -> str:
        """The field of the language: that of the address, or one that the first points have."""
        if self._given_lang:
            return self._given_lang
        some = next(self.scrolled(None, _SOME, vectors=False, payload=True), [])
        there = {name for point in some for name, _ in flat(point.payload)}
        return next((name for name in LANG if name in there), "lang")

    def _params(self) -> dict[str, Any]:
        """The dense vectors of the collection by name; the unnamed one has the name ``."""
        found = self.client.get_collection(self.name).config.params.vectors
        return dict(found) if isinstance(found, dict) else {} if found is None else {"": found}

    def keys(self, size: int) -> Iterator[tuple[list[Key], list[str | None]]]:
        """See `ForeignStore`."""
        for points in self.scrolled(self.models.Filter(must=[self.has(self.vector)]), size, vectors=False):
            yield [point.id for point in points], [self._lang_of(point.payload) for point in points]

    def read(self, keys: Sequence[Key]) -> Floats:
        """See `ForeignStore`."""
        with self.errors():
            found = self.client.retrieve(self.name, list(keys), with_payload=False, with_vectors=[self.vector])
        vectors = {point.id: self._vector_of(point) for point in found}
        gone = [key for key in keys if vectors.get(key) is None]
        if gone:
            raise SearchError(
                f"{self.address}: the point {gone[0]} went away while points were read; run the command again"
            )
        return np.array([vectors[key] for key in keys], dtype=np.float32)

    def mark(self, name: str) -> str | None:
        """See `ForeignStore`. The mark is in the metadata of the collection."""
        with self.errors():
            config = self.client.get_collection(self.name).config
        vectors, sparse = config.params.vectors, config.params.sparse_vectors or {}
        if name not in sparse and name not in (vectors if isinstance(vectors, dict) else {"": vectors}):
            return None
        return str((config.metadata or {}).get(_MARK + name) or "")

    def add(self, name: str, mark: str) -> None:
        """See `ForeignStore`."""
        models = self.models
        dense = models.DenseVectorConfig(size=self.dimension, distance=self.dense.distance)
        if self.dense.datatype == models.Datatype.FLOAT16:
            dense.datatype = models.VectorStorageDatatype.FLOAT16
        with self.errors():
            # The mark comes first: a mark without a vector means nothing.
            self.client.update_collection(self.name, metadata={_MARK + name: mark})
            try:
                self.client.create_vector_name(self.name, name, models.DenseVectorNameConfig(dense=dense))
            except Exception as error:
                if getattr(error, "status_code", None) in (404, 405):
                    raise SearchError(
                        f"{self.address}: this server cannot add a vector to a collection; update it to Qdrant {_SINCE} or newer"
                    ) from error
                raise

    def drop(self, name: str) -> None:
        """See `ForeignStore`."""
        self._check_new(name)
        with self.errors():
            self.client.delete_vector_name(self.name, name)

    def left(self, name: str, size: int) -> Iterator[Page]:
        """See `ForeignStore`."""
        without = self.models.Filter(must=[self.has(self.vector)], must_not=[self.has(name)])
        for points in self.scrolled(without, size, vectors=True):
            vectors = np.array([self._vector_of(point) for point in points], dtype=np.float32)
            yield Page([point.id for point in points], [self._lang_of(point.payload) for point in points], vectors)

    def write(self, name: str, keys: Sequence[Key], vectors: Floats) -> None:
        """See `ForeignStore`."""
        self._check_new(name)
        points = [
            self.models.PointVectors(id=key, vector={name: vector})
            for key, vector in zip(keys, vectors.tolist(), strict=True)
        ]
        with self.errors():
            self.client.update_vectors(self.name, points, wait=True)

    def next_steps(self, name: str) -> dict[str, str]:
        """See `ForeignStore`."""
        old = f"using={self.vector!r}" if self.vector else "no  using"
        return {
            "index": f"Qdrant indexes {name!r} by itself; set its quantisation and on_disk as those of the old vector are",
            "search": f"client.query_points({self.name!r}, query=CORRECTED_QUERY_VECTOR, using={name!r})",
            "back": f"search with {old} and the query vector as it is; to remove it:  "
            f"client.delete_vector_name({self.name!r}, {name!r})",
        }

    def close(self) -> None:
        """See `ForeignStore`."""
        self.client.close()

    def scrolled(self, wanted: Any, size: int, *, vectors: bool, payload: Any = None) -> Iterator[list[Any]]:
        """Points that pass a filter, page by page.

        Args:
            wanted: the filter; None: all points.
            size: the most points of a page.
            vectors: whether to read the vector.
            payload: which payload to read, as in `with_payload` of the client; None: the language.

        """
        after: Any = None
        while True:
            with self.errors():
                points, after = self.client.scroll(
                    self.name, scroll_filter=wanted, limit=size, offset=after,
                    with_payload=[self.lang] if payload is None else payload,
                    with_vectors=[self.vector] if vectors else False,
                )  # fmt: skip
            if points:
                yield points
            if after is None:
                return

    def has(self, name: str) -> Any:
        """The condition that a point has a vector."""
        return self.models.HasVectorCondition(has_vector=name)

    def _vector_of(self, point: Any) -> Any:
        found = point.vector
        return found.get(self.vector) if isinstance(found, dict) else found

    def _lang_of(self, payload: Any) -> str | None:
        for part in self.lang.split("."):
            payload = payload.get(part) if isinstance(payload, dict) else None
        return payload if isinstance(payload, str) and payload else None

    def _check_new(self, name: str) -> None:
        if name == self.vector or not self.mark(name):
            raise SearchError(
                f"{self.address}: the vector {name!r} is not one that babelmix added, so it is not written"
            )

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Errors of the client as sentences."""
        try:
            yield
        except SearchError:
            raise
        except (ValueError, RuntimeError, OSError) as error:  # of the local mode, and of a wrong address
            raise SearchError(f"{self.address}: {first_line(error)}") from error
        except Exception as error:
            if type(error).__module__.startswith(("qdrant_client.", "httpx", "httpcore")):
                raise SearchError(f"{self.address}: {first_line(error)}") from error
            raise


__all__ = ["KEY", "OPTIONS", "QdrantStore"]
