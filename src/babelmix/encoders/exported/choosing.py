"""`--backend auto`: the fastest backend whose export agrees with float32 on the check set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babelmix._cache import keeping
from babelmix.encoders.backend_names import STATIC, is_float32
from babelmix.encoders.exported.checking import (
    Agreement,
    Vectors,
    agreement,
    embed_check_set,
    keep_check,
    kept_check,
)
from babelmix.encoders.exported.processors import processor
from babelmix.encoders.graph import engine_of
from babelmix.errors import EncoderError, MissingExtraError

_PRECISIONS = {"fp32": "float32", "int8": "int8", "int7": "int8 (weights of seven bits)"}


@dataclass(frozen=True)
class Choice:
    """What runs an encoder, and why.

    Args:
        name: the name of the encoder.
        backend: engine and precision, as in `onnx-int8`; `torch` if no export will do.
        folder: the export; None for torch.
        check: how far the export is from float32; None for a backend in float32.
        why: what spoke against the backends that were tried before, each the beginning or the whole of a sentence.

    """

    name: str
    backend: str
    folder: Path | None
    check: Agreement | None
    why: tuple[str, ...]

    @property
    def line(self) -> str:
        """One line for the user: what runs the encoder, and why."""
        if self.folder is None:
            return f"{self.name} is run by torch: {'; '.join(self.why) or 'there is no export of it'}"
        if self.backend == STATIC:
            return f"{self.name} is run by numpy"
        precision = self.backend.partition("-")[2]
        how = f"{self.name} is run by {engine_of(self.backend).TITLE} in {_PRECISIONS.get(precision, precision)}"
        why = [str(self.check)] if self.check is not None else list(self.why)
        return f"{how}: {'; '.join(why)}" if why else how


def choose(
    name: str,
    candidates: Sequence[str],
    make_export: Callable[[str], Path | None],
    open_export: Callable[[Path], Any],
    reference_vectors: Callable[[], Vectors],
    *,
    similarity: str = "cosine",
) -> Choice:
    """Choose the first backend whose export agrees with float32.

    An int8 export embeds the check set once on each sort of processor, and its folder keeps the result. Exports in float32 need
    no check, so they end the search.

    Args:
        name: the name of the encoder, for messages.
        candidates: backends, the fastest one first, such as `fastest_first(processor())`.
        make_export: makes the export of a backend, or finds it; returns its folder, or None if the backend is not for this
            encoder or this processor.
        open_export: opens a folder as an encoder, with `encode_query` and `encode_document`.
        reference_vectors: embeds the check set in float32 (`embed_check_set`). It is called at most once.
        similarity: how the encoder's vectors are compared, `cosine` or `dot`.

    Returns:
        The choice. Its folder is None if no candidate will do: then torch runs the encoder.

    """
    why: list[str] = []
    reference: Vectors | None = None
    for backend in candidates:
        try:
            folder = make_export(backend)
            if folder is None:
                continue
            if is_float32(backend):
                return Choice(name, backend, folder, None, tuple(why))
            found = kept_check(folder, processor())
            if found is None:
                if reference is None:
                    reference = reference_vectors()
                found = agreement(reference, embed_check_set(open_export(folder)), similarity=similarity)
                with keeping("checks of exported encoders"):
                    keep_check(folder, processor(), found, {"precision": backend.partition("-")[2]})
        except (MissingExtraError, EncoderError) as error:
            # Both int8 exports of an engine fail for the same reason.
            if str(error) not in why:
                why.append(str(error))
            continue
        if found.passed:
            return Choice(name, backend, folder, found, tuple(why))
        why.append(f"{backend} {found}")
    return Choice(name, "torch", None, None, tuple(why))


__all__ = ["Choice", "choose"]
