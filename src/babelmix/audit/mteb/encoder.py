"""An encoder for `mteb.evaluate` that embeds each text once, whatever number of subsets and tasks it occurs in."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from mteb.models import SentenceTransformerEncoderWrapper
from mteb.types import PromptType

from babelmix.audit.mteb.names import model_name
from babelmix.encoders import encode, fingerprint

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.types import Array, BatchedInput
    from sentence_transformers import SentenceTransformer
    from torch.utils.data import DataLoader

_KINDS = {PromptType.query: "query", PromptType.document: "document"}


class CachedEncoder(SentenceTransformerEncoderWrapper):
    """A `SentenceTransformer` as mteb's `EncoderProtocol`, with embeddings kept by weights, prompt type and text.

    mteb's own cache knows a text but not whether it was a query or a document (mteb#5383), and without a cache mteb
    embeds a pool once a subset. What is no query and no document, or has a prompt for its task, goes to mteb's own
    wrapper and is not kept.

    Args:
        encoder: the encoder, with weights that no longer change.
        name: what results call it.
        store: see `cached_encoder`.

    """

    def __init__(self, encoder: SentenceTransformer, name: str, *, store: bool = True) -> None:
        with warnings.catch_warnings():
            # mteb calls its own deprecated parameters here.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            super().__init__(encoder)
        self.encoder = encoder
        self.store = store
        self.key = fingerprint(encoder)
        facts = {"name": model_name(name), "revision": self.key[:40]}
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
        """Embed what mteb's loader gives: a document's title and text are already one text there.

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
        return encode(
            self.encoder,
            texts,
            _KINDS[prompt_type],
            batch_size=kwargs.get("batch_size") or 32,
            store=self.store,
            key=self.key,
            label=f"encoding {hf_subset}",
        )

    def _has_usual_prompt(self, task_metadata: TaskMetadata, prompt_type: PromptType) -> bool:
        if list(task_metadata.modalities) != ["text"]:
            return False
        name = self.get_prompt_name(task_metadata, prompt_type)
        return name is None or name == prompt_type.value


def cached_encoder(encoder: SentenceTransformer, name: str = "encoder", *, store: bool = True) -> CachedEncoder:
    """Make an encoder ready for `mteb.evaluate`: each distinct text of a kind is embedded once.

    Args:
        encoder: the encoder; its prompts for queries and documents are used, as mteb uses them.
        name: what results call it; `organisation/model` stays as it is.
        store: keep embeddings in the user's cache. Without it only copies within one call are spared: for static
            encoders, which are faster than a disk.

    """
    return CachedEncoder(encoder, name, store=store)
