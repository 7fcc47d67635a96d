"""Which backend runs an encoder. Nothing here needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from babelmix.encoders.backend_names import same_vectors, spec_of
from babelmix.encoders.graph import LAYOUT, PASS, Graph

if TYPE_CHECKING:
    import hashlib


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


def backend_of(encoder: Any) -> str:
    """`torch`, or engine and precision, as in `onnx-int8`; see `babelmix.encoders.backend_names`."""
    found = runtime_of(encoder)
    return "torch" if found is None else found.engine.backend


def store_suffix(encoder: Any) -> str:
    """Added to the fingerprint in the cache, so that engines do not share embeddings; empty for torch."""
    found = runtime_of(encoder)
    return "" if found is None else f"-{found.engine.backend}-{LAYOUT}"


__all__ = ["PASS", "Engine", "backend_of", "runtime_of", "same_vectors", "spec_of", "store_suffix"]
