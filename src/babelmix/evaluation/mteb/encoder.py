"""An encoder for `mteb.evaluate` that embeds each text once, even if it is part of many subsets and tasks."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from mteb.models import SentenceTransformerEncoderWrapper
from mteb.types import PromptType

from babelmix.encoders import encode, fingerprint
from babelmix.encoders.composing import compose_first
from babelmix.evaluation.mteb.names import model_name

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.types import Array, BatchedInput
    from sentence_transformers import SentenceTransformer
    from torch.utils.data import DataLoader

_KINDS = {PromptType.query: "query", PromptType.document: "document"}


class CachedEncoder(SentenceTransformerEncoderWrapper):
    """A `SentenceTransformer` as mteb's `EncoderProtocol`, with a cache by weights, prompt type and text.

    Without a cache, mteb embeds a pool once per subset. The keys of mteb's own cache do not include the weights. Before
    mteb#5383 they did not include whether a text is a query or a document either. Texts that are neither query nor document, or
    that have a prompt for the task, go to mteb's own wrapper and are not cached.

    Args:
        encoder: the encoder; its weights must not change.
        name: its name in the results.
        store: see `cached_encoder`.

    """

    def __init__(self, encoder: SentenceTransformer, name: str, *, store: bool = True) -> None:
        with warnings.catch_warnings():
            # mteb calls its own deprecated parameters here.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            super().__init__(encoder)
        # Texts that go to mteb's own wrapper are composed by the tokenizer.
        compose_first(encoder)
        self.encoder = encoder
        self.store = store
        self._known: dict[str, dict[str, npt.NDArray[np.float32]]] = {kind: {} for kind in _KINDS.values()}
        facts = {"name": model_name(name), "revision": fingerprint(encoder)[:40]}
        self.mteb_model_meta = self.mteb_model_meta.model_copy(update=facts)

    def encode(
        self,
        inputs: DataLoader[BatchedInput],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        **kwargs: Any,
    ) -> Array:
        """Embed the texts of mteb's loader, which has joined the title and the text of a document.

        Returns:
            float32, shape (texts, dimension).

        """
        if prompt_type is None or not self._has_usual_prompt(task_metadata, prompt_type):
            return super().encode(
                inputs,
                task_metadata=task_metadata,
                hf_split=hf_split,
                hf_subset=hf_subset,
                prompt_type=prompt_type,
                **kwargs,
            )
        texts = [text for batch in inputs for text in batch["text"]]
        kind, batch_size = _KINDS[prompt_type], kwargs.get("batch_size") or 32
        if self.store:
            return self._encode(texts, kind, batch_size, hf_subset)
        known = self._known[kind]
        if new := [text for text in dict.fromkeys(texts) if text not in known]:
            known.update(zip(new, self._encode(new, kind, batch_size, hf_subset), strict=True))
        return np.stack([known[text] for text in texts])

    def _encode(self, texts: list[str], kind: str, batch_size: int, label: str) -> npt.NDArray[np.float32]:
        return encode(
            self.encoder,
            texts,
            kind,
            batch_size=batch_size,
            store=self.store,
            label=f"{label}: encoding {'queries' if kind == 'query' else 'documents'}",
        )

    def _has_usual_prompt(self, task_metadata: TaskMetadata, prompt_type: PromptType) -> bool:
        if list(task_metadata.modalities) != ["text"]:
            return False
        name = self.get_prompt_name(task_metadata, prompt_type)
        return name is None or name == prompt_type.value


def cached_encoder(encoder: SentenceTransformer, name: str = "encoder", *, store: bool = True) -> CachedEncoder:
    """Prepare an encoder for `mteb.evaluate`, so that each distinct query and document is embedded once.

    Args:
        encoder: the encoder; its prompts for queries and documents are used, as mteb uses them.
        name: its name in the results. A name of the form `organisation/model` is kept; others become `babelmix/NAME`.
        store: keep embeddings in the user's cache, where audits and later processes find them. Otherwise they are kept in memory
            while the returned encoder exists. Use False for static encoders, which are faster than a disk.

    Returns:
        The encoder for mteb.

    """
    return CachedEncoder(encoder, name, store=store)
