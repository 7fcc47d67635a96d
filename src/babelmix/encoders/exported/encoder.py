"""Run an exported encoder: tokens, a graph or token vectors, then numpy. Nothing here imports torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from babelmix._checksums import damaged_file, has_checksums
from babelmix.encoders.backend_names import STATIC
from babelmix.encoders.exported.facts import (
    ARRAYS,
    ExportFacts,
    PoolingStep,
    read_facts,
)
from babelmix.encoders.exported.static import open_vectors, static_vectors
from babelmix.encoders.exported.steps import Floats, pool, transforms
from babelmix.encoders.exported.tokens import open_tokens
from babelmix.encoders.graph import PASS, open_graph
from babelmix.encoders.origin import Origin, remember
from babelmix.errors import EncoderError, first_line

_DOCUMENT = ("document", "passage", "corpus")


class ExportedEncoder:
    """An encoder of texts that runs without torch. It gives the vectors of the encoder that was exported.

    It may be used by several threads.

    Args:
        folder: an export, see `babelmix.encoders.exported.making`.
        cores: threads of a forward pass; None: one for each core that this process may use.
        name: the name for messages and for facts; by default that of the encoder that was exported.
        checked: whether its files have just been written, or compared with their checksums; otherwise they are compared here.

    Raises:
        EncoderError: the export is damaged, or of a newer babelmix, or its engine refuses it.
        MissingExtraError: its engine is not installed.

    """

    def __init__(self, folder: str | Path, *, cores: int | None = None, name: str = "", checked: bool = False) -> None:
        self.folder = Path(folder)
        self.export_facts: ExportFacts = read_facts(self.folder)
        about = self.export_facts
        if not checked and has_checksums(self.folder) and (file := damaged_file(self.folder)) is not None:
            raise EncoderError(f"{self.folder / file}: is damaged; export the encoder again")
        self.prompts = dict(about.prompts)
        self.similarity_fn_name = about.similarity
        self.max_seq_length = about.max_seq_length
        pooling = [step for step in about.steps if isinstance(step, PoolingStep)]
        is_static = about.backend == STATIC
        if len(pooling) != (0 if is_static else 1) or (pooling and about.steps[0] is not pooling[0]):
            raise EncoderError(f"{self.folder}: its steps are damaged: pooling must come first; export it again")
        self._pooling = pooling[0] if pooling else PoolingStep(modes=["mean"])
        try:
            arrays = load_file(self.folder / ARRAYS) if (self.folder / ARRAYS).is_file() else {}
        except Exception as error:  # safetensors raises an exception of its own
            raise EncoderError(f"{self.folder / ARRAYS}: is damaged ({first_line(error)}); export it again") from error
        self._transforms = transforms(about.steps, arrays, str(self.folder))
        self._limits = {kind: about.max_lengths.get(kind, about.max_seq_length) for kind in ("query", "document")}
        self._tokens = {
            limit: open_tokens(self.folder, max_length=limit, add_special_tokens=not is_static, empty=about.empty)
            for limit in dict.fromkeys(self._limits.values())
        }
        self._vectors = open_vectors(self.folder) if is_static else None
        self._graph = (
            None if is_static else open_graph(self.folder, about.backend, cores or _cores(), about.max_seq_length)
        )
        remember(self, Origin(name or about.encoder, about.kind))

    def __repr__(self) -> str:
        return f"ExportedEncoder({str(self.folder)!r}, {self.export_facts.encoder!r}, {self.export_facts.backend!r})"

    def fingerprint(self) -> str:
        """That of the encoder that was exported; another one if prompts or limit were changed."""
        about = self.export_facts
        if (self.prompts, self.max_seq_length) == (about.prompts, about.max_seq_length):
            return about.fingerprint
        changed = repr([about.fingerprint, sorted(self.prompts.items()), self.max_seq_length])
        return hashlib.sha256(changed.encode()).hexdigest()

    def get_embedding_dimension(self) -> int:
        """The dimension of the vectors."""
        return min(self.export_facts.dimension, self.export_facts.truncate_dim or self.export_facts.dimension)

    def supports(self, modality: object) -> bool:
        """Whether inputs of this sort can be embedded: only `text`."""
        return modality == "text"

    def children(self) -> Iterator[Any]:
        """No modules of torch."""
        return iter(())

    modules = children

    def encode_query(self, texts: str | Sequence[str], **options: Any) -> npt.NDArray[np.float32]:
        """Embed queries.

        Args:
            texts: one text or several, at least one.
            options: those of sentence-transformers; a pass has a size of its own.

        Returns:
            float32, shape (texts, dimension); for one text (dimension,).

        """
        return self._encode_one_or_more(texts, "query", self.prompts.get("query") or "", options)

    def encode_document(self, texts: str | Sequence[str], **options: Any) -> npt.NDArray[np.float32]:
        """Embed passages; see `encode_query`."""
        name = next((name for name in _DOCUMENT if name in self.prompts), "")
        return self._encode_one_or_more(texts, "document", self.prompts.get(name) or "", options)

    def encode(
        self, texts: str | Sequence[str], *, prompt_name: str | None = None, prompt: str | None = None, **options: Any
    ) -> npt.NDArray[np.float32]:
        """Embed texts, with a prompt or without; see `encode_query`."""
        if prompt is None:
            prompt = self.prompts.get(prompt_name or "") or ""
        return self._encode_one_or_more(texts, "", prompt, options)

    def _encode_one_or_more(
        self, texts: str | Sequence[str], kind: str, prompt: str, options: dict[str, Any]
    ) -> npt.NDArray[np.float32]:
        if options.get("convert_to_tensor"):
            raise EncoderError("an exported encoder returns arrays of numpy; leave out convert_to_tensor")
        one = isinstance(texts, str)
        some: list[Any] = [texts] if one else list(texts)
        for text in some:
            if not isinstance(text, str):
                raise TypeError(f"{type(text).__name__} is no text, and this encoder embeds texts only")
        found = self._encode(some, kind, prompt)
        return found[0] if one else found

    def _encode(self, texts: list[str], kind: str, prompt: str) -> Floats:
        if not texts:
            return np.empty((0, self.get_embedding_dimension()), dtype=np.float32)
        limit = self._limits.get(kind, self.export_facts.max_seq_length)
        ids = self._tokens[limit].of([prompt + text for text in texts] if prompt else texts)
        if self._vectors is not None:
            found = static_vectors(self._vectors, ids)
        else:
            # As sentence-transformers sorts them: an engine whose scales depend on the batch gets the same batches.
            order = np.argsort([-len(text) for text in texts])
            parts = [order[start : start + PASS] for start in range(0, len(order), PASS)]
            first = self._forward([ids[row] for row in parts[0]], kind)
            found = np.empty((len(texts), first.shape[1]), dtype=np.float32)
            found[parts[0]] = first
            for part in parts[1:]:
                found[part] = self._forward([ids[row] for row in part], kind)
        for transform in self._transforms:
            found = transform(found, kind)
        about = self.export_facts
        if found.shape != (len(texts), about.dimension):
            raise EncoderError(
                f"{self.folder}: gives vectors of shape {found.shape}, not of {about.dimension} dimensions"
            )
        return np.ascontiguousarray(found[:, : about.truncate_dim], dtype=np.float32)

    def _forward(self, ids: list[npt.NDArray[np.int64]], kind: str) -> Floats:
        longest = max(1, max(map(len, ids)))
        padded = np.full((len(ids), longest), self.export_facts.pad, dtype=np.int64)
        mask = np.zeros_like(padded)
        for row, some in enumerate(ids):
            at = slice(longest - len(some), None) if self.export_facts.pad_left else slice(len(some))
            padded[row, at] = some
            mask[row, at] = 1
        assert self._graph is not None
        return pool(self._graph.embed(padded, mask), mask, self._pooling, kind)


def _cores() -> int:
    """The number of cores that this process may use."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(there, int(limit)) if limit.isdigit() and int(limit) else there


__all__ = ["ExportedEncoder"]
