"""Load saved encoders: a folder, a model of the hub, or an encoder from a PyPI package."""

from __future__ import annotations

from pathlib import Path

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.transformer import Transformer

from babelmix._progress import console
from babelmix.encoders import e5_offline, use_offline
from babelmix.encoders.composing import compose_first
from babelmix.encoders.kinds import MODEL
from babelmix.encoders.limits import fit_limits
from babelmix.encoders.opening import open_encoder
from babelmix.encoders.origin import Origin, remember
from babelmix.encoders.prompts import published_prompts, why_prompts_may_be_missing

_IN_PACKAGES = {e5_offline.NAME: e5_offline.folder, use_offline.NAME: use_offline.folder}
"""For each encoder in a PyPI package: the function that returns its folder."""


def load_saved(name: str, *, device: str | None, revision: str | None, trust_code: bool) -> SentenceTransformer:
    """Load a saved encoder with its own prompts.

    Args:
        name: a folder, a hub name, `e5-small-offline` or `use-multilingual-offline`.
        device: a torch device; None: the best one that is available.
        revision: branch, tag or commit of a hub model.
        trust_code: see `load_encoder`.

    Raises:
        EncoderError: see `load_encoder`.
        MissingExtraError: an encoder from a PyPI package needs the extra `offline`.

    """
    encoder, folder = open_encoder(
        str(_IN_PACKAGES[name]()) if name in _IN_PACKAGES else name,
        called=name, device=device, revision=revision, trust_code=trust_code,
    )  # fmt: skip
    assumed = not (folder / "modules.json").is_file()
    remember(encoder, Origin(name, MODEL, _with_prompts(encoder, name, folder), assumed))
    fit_limits(encoder)
    _pad_as_trained(encoder)
    compose_first(encoder)
    return encoder


def _with_prompts(encoder: SentenceTransformer, name: str, folder: Path) -> str:
    """If an encoder saved no prompts, give it the prompts of its publication. Returns where its prompts come from."""
    source = "saved with the encoder"
    if not any(encoder.prompts.values()):
        source = ""
        if (found := published_prompts(name, folder)) is not None:
            encoder.prompts, source = dict(found.prompts), found.source
        elif (why := why_prompts_may_be_missing(folder)) is not None:
            console.print(
                f"{name}: has no prompts, but {why}. If it needs 'query: ' and 'passage: ', save it with them:  "
                'load_encoder(FOLDER, prompts={"query": "query: ", "document": "passage: "}).save(NEW_FOLDER); '
                "see docs/audit.md",
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip
    _name_document_prompt(encoder, folder)
    return source


def _name_document_prompt(encoder: SentenceTransformer, folder: Path) -> None:
    """Use the prompt `passage` or `corpus` for documents, where `document` is empty.

    If prompts have no `document`, sentence-transformers adds an empty one and uses it.
    """
    other = encoder.prompts.get("passage") or encoder.prompts.get("corpus")
    # An encoder that babelmix trained with an empty prompt keeps it.
    if other and not encoder.prompts.get("document") and not (folder / "training.json").is_file():
        encoder.prompts = {**encoder.prompts, "document": other}


def _pad_as_trained(encoder: SentenceTransformer) -> None:
    """Pad the texts of a SigLIP to its full length.

    It reads the last position. With less padding, an embedding would depend on the other texts of its batch.
    """
    for module in encoder.modules():
        if isinstance(module, Transformer) and module.config.model_type in ("siglip", "siglip2"):
            given = dict(module.processing_kwargs or {})
            module.processing_kwargs = {**given, "text": {"padding": "max_length", **given.get("text", {})}}


__all__ = ["load_saved"]
