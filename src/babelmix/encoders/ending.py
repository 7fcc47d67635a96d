"""Removals of language at the end of an encoder: they move embeddings that the encoder before them has made.

Where these are in the user's cache, an audit of the encoder with a removal moves them, and no text is encoded again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from babelmix.encoders.store import Embeddings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_CHUNK = 1024


class Ending(NamedTuple):
    """The two parts of an encoder.

    Args:
        before: the encoder before the removal. It shares the modules.
        modules: the removal, and each `Normalize` beside it.

    """

    before: SentenceTransformer
    modules: tuple[Any, ...]

    def move(self, vectors: Embeddings, kind: str) -> Embeddings:
        """The embeddings of the whole encoder, from those of the encoder before the removal.

        Args:
            vectors: float32, shape (texts, dimension).
            kind: `"query"` or `"document"`.

        """
        import torch

        moved = np.empty_like(vectors)
        for start in range(0, len(vectors), _CHUNK):
            part = torch.from_numpy(np.array(vectors[start : start + _CHUNK])).to(self.before.device)
            features: dict[str, Any] = {"sentence_embedding": part}
            with torch.inference_mode():
                for module in self.modules:
                    options = {"task": kind} if "task" in getattr(module, "forward_kwargs", ()) else {}
                    features = module(features, **options)
            moved[start : start + _CHUNK] = features["sentence_embedding"].cpu().numpy()
        return moved


_endings: WeakKeyDictionary[Any, tuple[Ending, ...]] = WeakKeyDictionary()


def endings_of(encoder: SentenceTransformer) -> tuple[Ending, ...]:
    """The ways to part an encoder that ends with a removal of language.

    Args:
        encoder: any encoder.

    Returns:
        Two ways if there is a `Normalize` before the removal: it may have come with the removal. None if the last module, or the
        last before a `Normalize`, is no removal.

    """
    if not hasattr(encoder, "modules") or encoder.truncate_dim is not None:
        return ()
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize

    modules = list(encoder)
    last = len(modules) - 1 - isinstance(modules[-1], Normalize)
    if last < 1 or not _is_removal(modules[last]):
        return ()
    known = _endings.get(encoder, ())
    if not known or [*known[0].before, *known[0].modules] != modules:
        starts = [last, last - 1] if last > 1 and isinstance(modules[last - 1], Normalize) else [last]
        own, device = encoder.similarity_fn_name, str(encoder.device)
        known = _endings[encoder] = tuple(
            Ending(
                SentenceTransformer(modules=modules[:start], device=device, similarity_fn_name=own),
                tuple(modules[start:]),
            )
            for start in starts
        )
    for ending in known:
        ending.before.prompts = dict(encoder.prompts)
    return known


def _is_removal(module: Any) -> bool:
    from sentence_transformers.base.modules.dense import Dense
    from torch.nn import Identity

    from babelmix.encoders.removal.module import SavedModule

    if isinstance(module, SavedModule):
        return True
    # What one matrix takes away is saved as a plain `Dense`.
    return (
        isinstance(module, Dense)
        and isinstance(module.activation_function, Identity)
        and module.in_features == module.out_features
    )


__all__ = ["Ending", "endings_of"]
