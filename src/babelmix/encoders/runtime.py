"""Which backend runs an encoder. Nothing here needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from babelmix.encoders.backend_names import is_float32, same_vectors, spec_of
from babelmix.encoders.graph import LAYOUT, PASS, Graph

if TYPE_CHECKING:
    import hashlib

    from babelmix.encoders.exported.facts import ExportFacts


class Engine(Protocol):
    """What stands in for a transformers model: `babelmix.encoders.torch_runtime.Runtime`."""

    engine: Graph

    def weights(self) -> hashlib._Hash:
        """A copy of the digest of the encoder's float32 weights; the caller may add to it."""
        ...


def runtime_of(encoder: Any) -> Engine | None:
    """The engine that runs the encoder's transformer; None for torch.

    Args:
        encoder: any encoder.

    """
    children = getattr(encoder, "children", None)
    model = getattr(next(iter(children()), None), "model", None) if children is not None else None
    return model if isinstance(getattr(model, "engine", None), Graph) else None


def export_of(encoder: Any) -> ExportFacts | None:
    """The facts of an exported encoder; None for an encoder of torch."""
    found: ExportFacts | None = getattr(encoder, "export_facts", None)
    return found


def backend_of(encoder: Any) -> str:
    """`torch`, or engine and precision, as in `onnx-int8`; see `babelmix.encoders.backend_names`."""
    if (facts := export_of(encoder)) is not None:
        return facts.backend
    found = runtime_of(encoder)
    return "torch" if found is None else found.engine.backend


def store_suffix(encoder: Any) -> str:
    """Added to the fingerprint in the cache, so that engines do not share embeddings; empty for float32."""
    backend = backend_of(encoder)
    if is_float32(backend):
        return ""
    facts = export_of(encoder)
    return f"-{backend}-{LAYOUT if facts is None else facts.layout}"


__all__ = ["PASS", "Engine", "backend_of", "export_of", "runtime_of", "same_vectors", "spec_of", "store_suffix"]
