"""An index: rows of a collection with the vectors of one encoder, and facts about both."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from babelmix._lists import as_list
from babelmix._vectors import unit_length
from babelmix.corpus.readers._records import is_unicode
from babelmix.encoders import fingerprint
from babelmix.encoders.runtime import backend_of, same_vectors, spec_of
from babelmix.errors import SearchError
from babelmix.search.calibration import Calibration
from babelmix.search.changes import Changes, is_there
from babelmix.search.columns import add_types, as_type, spellings, together, widened
from babelmix.search.correcting import CorrectedRows
from babelmix.search.engines import Engine, create_engine, exists, open_engine
from babelmix.search.facts import IndexFacts, facts_of
from babelmix.search.removal import check_removal, packed, unpacked
from babelmix.search.rows import (
    Row,
    Value,
    Vectors,
    Where,
    check_length,
    points_of,
    thumbnail_of,
)

if TYPE_CHECKING:
    from babelmix.encoders.protocol import Encoder
    from babelmix.encoders.removal import AnyRemoval

_STALE = 0.1
"""A calibration is fitted again if the rows of a language have changed by more than this share."""


class Index:
    """Rows with vectors, in an engine. Its constructors are `create` and `open`.

    Items are written as a whole: a write replaces all rows of the item.
    """

    def __init__(self, engine: Engine, about: IndexFacts) -> None:
        self.engine = engine
        self._about = about
        self._calibration: Calibration | None = None
        self._removal: AnyRemoval | None = None
        self._remembering, self._calibrating = threading.RLock(), threading.Lock()
        self.corrected = CorrectedRows(self)

    @classmethod
    def create(
        cls,
        address: str,
        encoder: Encoder,
        name: str,
        *,
        revision: str | None = None,
        removal: AnyRemoval | None = None,
    ) -> Self:
        """Make an empty index for an encoder.

        Args:
            address: a folder, `postgresql://HOST/DATABASE/NAME`, or `http://HOST:PORT/NAME` of a Milvus server.
            encoder: the encoder that makes its vectors.
            name: the name or path that loads the encoder again.
            revision: the revision of the encoder on the Hugging Face hub.
            removal: what takes language out of all its rows and queries; None: nothing does.

        Raises:
            SearchError: there is an index already, the index cannot be made at this address, or the encoder's similarity is
                neither cosine nor dot product.

        """
        if exists(address):
            raise SearchError(f"{address}: there is an index already; choose another place, or open it")
        return cls.create_with(address, facts_of(encoder, name, revision), removal)

    @classmethod
    def create_with(cls, address: str, about: IndexFacts, removal: AnyRemoval | None) -> Self:
        """Make an empty index with the facts of another, and a removal; see `create`."""
        if removal is not None:
            check_removal(removal, about.dimension, about.similarity, address)
            about = about.with_removal(packed(removal, address))
        return cls(create_engine(address, about.dimension, about.as_json()), about)

    @classmethod
    def open(cls, address: str, *, unfinished: bool = False) -> Self:
        """Open an index.

        Args:
            address: a folder, `postgresql://HOST/DATABASE/NAME`, or `http://HOST:PORT/NAME` of a Milvus server.
            unfinished: also open one that a killed  babelmix debias  left.

        Raises:
            SearchError: there is no index, it is damaged, made by a newer babelmix, or open in another process.

        """
        engine = open_engine(address)
        try:
            about = IndexFacts.from_json(address, engine.about())
            if about.unfinished is not None and not unfinished:
                raise SearchError(
                    f"{address}: is not complete; run the same  babelmix debias  again, which goes on with it"
                )
            return cls(engine, about)
        except BaseException:
            engine.close()
            raise

    @property
    def address(self) -> str:
        """The address of the index: a folder or a URL."""
        return self.engine.address

    @property
    def about(self) -> IndexFacts:
        """The facts: encoder, dimension, similarity, metadata columns and calibration."""
        return self._about

    @property
    def backend(self) -> str:
        """The backend that embedded the rows: `torch`, or engine and precision, as in `onnx-int8`."""
        return self._about.backend

    @property
    def columns(self) -> Mapping[str, str]:
        """The metadata columns and their types: `text`, `integer`, `number` or `boolean`."""
        return self._about.columns

    @property
    def removal(self) -> AnyRemoval | None:
        """What takes language out of rows and queries; None: nothing does.

        Raises:
            SearchError: it is damaged.

        """
        with self._remembering:
            if self._removal is None and self._about.removal is not None:
                self._removal = unpacked(self._about.removal, self.address)
            return self._removal

    def langs(self) -> dict[str, int]:
        """The number of rows of each language, sorted by language."""
        return self.engine.langs()

    def check_encoder(self, encoder: Encoder, *, backend: bool = False) -> None:
        """Raise unless the index holds this encoder's vectors.

        Args:
            encoder: the encoder.
            backend: whether to check the backend too. Rows must all be embedded by one backend; queries may use another.

        Raises:
            SearchError: the rows were embedded by another encoder, or with other weights, prompts, length limit or backend.

        """
        if fingerprint(encoder) == self._about.fingerprint:
            if backend and not same_vectors(runs := backend_of(encoder), self.backend):
                advice = "leave out --backend, or make the index again"
                if spec_of(runs) == spec_of(self.backend):
                    advice = "use a processor of the kind that made it, or make the index again"
                raise SearchError(
                    f"{self.address}: its rows were embedded by {self.backend}, and these would be by {runs}; {advice}"
                )
            return
        now = facts_of(encoder, self._about.encoder, None)
        for fact in ("dimension", "prompts", "max_seq_length"):
            if (given := getattr(now, fact)) != (own := getattr(self._about, fact)):
                raise SearchError(
                    f"{self.address}: was made by {self._about.encoder} with {fact.replace('_', ' ')} {own}, and this "
                    f"encoder has {given}; use that encoder, or make the index again"
                )
        raise SearchError(
            f"{self.address}: was made by {self._about.encoder} with other weights than this encoder has; use that "
            "encoder, or make the index again"
        )

    def changes(self, rows: Sequence[Row]) -> Changes:
        """Compare rows with the index.

        Args:
            rows: all rows of some items.

        Raises:
            SearchError: a metadata column had another type before, or a text is longer than the engine can hold.

        """
        if (most := self.engine.max_text) is not None:
            for row in rows:
                check_length(row.item, len((row.text or "").encode("utf-8", "replace")), most)
        columns = self.with_types_of(rows)
        points = points_of(rows)
        there = self.engine.digests(list({row.item for row in rows}))
        new = [point for point in points if not is_there(point, there.get(point.id), columns)]
        stale = sorted(set(there) - {point.id for point in points})
        return Changes(new, stale, len(points) - len(new), columns)

    def with_types_of(self, rows: Sequence[Row]) -> dict[str, str]:
        """The metadata columns and their types, including those of the given rows.

        A column of whole numbers becomes a column of numbers at the first value that is not whole. No other type changes.

        Raises:
            SearchError: a value is not of its column's type.

        """
        if not {name for row in rows for name in row.fields} <= set(self.columns):
            self._reread()
        columns = dict(self.columns)
        for row in rows:
            add_types(columns, row)
        return columns

    def check_columns(self, columns: Mapping[str, str]) -> None:
        """Raise unless the index can hold metadata columns of these types.

        Raises:
            SearchError: a column of the index has another type.

        """
        self._reread()
        for name, kind in columns.items():
            if widened(known := self.columns.get(name, kind), kind) is None:
                raise SearchError(
                    f"{self.address}: the column {name!r} is of the type {known}, and the new values are of the type {kind}; "
                    "write them so, or give the column another name"
                )

    def write(self, changes: Changes, vectors: Vectors) -> None:
        """Write changes. When this returns, they survive a kill of the process.

        Args:
            changes: the result of `changes`.
            vectors: float32, shape (points of the changes, dimension), as the encoder returns them.

        Raises:
            SearchError: a vector is not finite or of another dimension, or the engine cannot write.

        """
        ready = self.ready(vectors, [point.row.lang for point in changes.points], "passage")
        pictures = (p.row.image for p in changes.points)
        thumbnails = [thumbnail_of(image) if image is not None else "" for image in pictures]
        # Store the columns before the rows: a kill in between must not leave a column without a type.
        self.remember_columns(changes.columns)
        with self.corrected.of(ready, [point.row.lang for point in changes.points]) as corrected:
            self.engine.put(
                [
                    replace(point, vector=vector, thumbnail=thumbnail, corrected=also)
                    for point, vector, thumbnail, also in zip(
                        changes.points, ready, thumbnails, corrected, strict=True
                    )
                ]
            )
        self.engine.remove(changes.stale)

    def delete(self, items: str | Iterable[str]) -> int:
        """Remove items. When this returns, they stay removed after a kill of the process.

        Args:
            items: the names of the items; see `items_named`.

        Returns:
            The number of items that were removed.

        """
        named = self.items_named(items)
        there = self.engine.digests([item for found in named.values() for item in found])
        self.engine.remove(sorted(there))
        return len({item for item, _ in there.values()})

    def items_named(self, names: str | Iterable[str]) -> dict[str, list[str]]:
        """For each name, the item with exactly this name, or else the items whose names are equal in Unicode (NFC, NFD)."""
        wanted = as_list(names, "items", SearchError)
        forms = {name: spellings(name) if is_unicode(name) else () for name in wanted}
        asked = dict.fromkeys(form for some in forms.values() for form in some)
        there = {item for item, _ in self.engine.digests(list(asked)).values()}
        return {name: [name] if name in there else [form for form in forms[name] if form in there] for name in wanted}

    def ready(self, vectors: Vectors, langs: Sequence[str | None] | str | None = None, kind: str = "query") -> Vectors:
        """Vectors as the index compares them: of length one if the similarity is cosine, and without language by its removal.

        Args:
            vectors: as the encoder returns them, shape (vectors, dimension).
            langs: the language of each, or of all; None: unknown. An index without a removal needs none.
            kind: `query` or `passage`.

        Raises:
            SearchError: a vector is not finite or of another dimension.

        """
        vectors = np.asarray(vectors, dtype=np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self._about.dimension:
            raise SearchError(f"vectors of shape {vectors.shape} do not fit dimension {self._about.dimension}")
        if not np.isfinite(vectors).all():
            raise SearchError(f"{self._about.encoder} gave a vector that is not finite")
        if self._about.similarity != "dot":
            vectors = unit_length(vectors)
        return vectors if self.removal is None else self.removal.apply(vectors, langs, kind)

    def where(self, langs: str | Sequence[str] | None, fields: Mapping[str, Value | Sequence[Value]]) -> Where:
        """Make a filter, and check it against the languages and metadata columns of the index.

        Args:
            langs: a language or several, each a range: `en` includes en-US; None: all.
            fields: for each column the allowed values; texts in any Unicode form (NFC, NFD).

        Raises:
            SearchError: there is no such language or column, no language is named, or a value is of another type.

        """
        made: dict[str, tuple[Value, ...]] = {}
        for name, given in fields.items():
            if isinstance(given, (bytes, Mapping)) or not isinstance(given, (int, float, Collection)):
                raise SearchError(f"the filter {name!r} is {given!r:.60}; give a value, or a list of values")
            values = [given] if isinstance(given, (str, int, float)) else list(given)
            if name not in ("item", "group", *self.columns):
                self._reread()
            kind = "text" if name in ("item", "group") else self.columns.get(name)
            if kind == "integer" and any(isinstance(value, float) for value in values):
                # Another process may have made it a column of numbers.
                self._reread()
                kind = self.columns[name]
            if kind is None:
                there = ", ".join(["item", "group", *self.columns])
                raise SearchError(f"there is no column {name!r} to filter by; there are {there}")
            if not values:
                raise SearchError(f"the filter {name!r} has no values")
            if len(values) > 1000:
                raise SearchError(f"the filter {name!r} has more than 1,000 values")
            typed = [as_type(value, kind, name) for value in values]
            forms = (spellings(value) if isinstance(value, str) else (value,) for value in typed)
            made[name] = tuple(dict.fromkeys(form for some in forms for form in some))
        wanted = Where(None if langs is None else tuple(as_list(langs, "langs", SearchError, empty=False)), made)
        own = self.langs() if langs is not None else {}
        return wanted.among(own, self.address) if own else wanted

    @property
    def calibration(self) -> Calibration:
        """The distribution of scores in each language; fitted at the first use, and again when many rows are new.

        Raises:
            SearchError: the index is empty.

        """
        # Searches that run at the same time must not all fit the calibration.
        with self._calibrating:
            if not self.is_calibrated:
                self.calibrate()
            assert self._calibration is not None
            return self._calibration

    @property
    def is_calibrated(self) -> bool:
        """Whether the stored calibration still fits the rows: counts by language have changed by a tenth at most."""
        if self._calibration is None and (kept := self._about.calibration):
            # A calibration that cannot be read is fitted again from the rows.
            with contextlib.suppress(SearchError):
                self._calibration = Calibration.from_json(kept)
        return self._calibration is not None and not self._calibration.is_stale(self.langs(), _STALE)

    def calibrate(self) -> None:
        """Fit the calibration to the rows of the index, and store it with the index.

        Raises:
            SearchError: the index is empty.

        """
        counts = self.langs()
        if not counts:
            raise SearchError(f"{self.address}: is empty; there is nothing to calibrate scores on")
        self._calibration = Calibration.fit(self.engine.sample, counts)
        self._remember(calibration=self._calibration.as_json())

    def remember_columns(self, columns: Mapping[str, str]) -> None:
        """Store the types of metadata columns that are new or have become columns of numbers."""
        with self._remembering:
            if together(self.columns, columns) != self.columns:
                self._remember(columns)

    def remember_corrections(self, corrections: Any) -> None:
        """Store the corrections of the corrected vectors: `Corrections.as_json`."""
        self._remember(corrections=corrections)

    def remember_finished(self) -> None:
        """Store that the index is complete."""
        self._remember(unfinished=None)

    def _remember(self, columns: Mapping[str, str] | None = None, **facts: Any) -> None:
        # A calibration must not overwrite columns that a write stores at the same time, here or in another process.
        with self._remembering:
            self._reread()
            facts["columns"] = together(self.columns, columns or {})
            about = self._about.model_copy(update=facts)
            if not self.engine.read_only:
                self.engine.remember(about.as_json())
            self._about = about

    def _reread(self) -> None:
        """Read the facts that other processes have stored."""
        if self.engine.shared:
            with self._remembering:
                self._about = IndexFacts.from_json(self.address, self.engine.about())

    def settle(self) -> None:
        """Build the graphs of the rows written since the last call, so that searches are fast."""
        self.corrected.settle()
        self.engine.settle()

    def items(self) -> Iterator[str]:
        """The names of all items, each once, in any order."""
        return self.engine.items()

    def close(self) -> None:
        """Release files and connections."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
