"""Two towers in one `SentenceTransformer`: a router sends texts to the text tower and pictures to the image tower."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from babelmix.errors import EncoderError

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer


def join_towers(
    image: list[torch.nn.Module], text: list[torch.nn.Module], prompts: dict[str, str] | None = None
) -> SentenceTransformer:
    """Join two towers into one encoder, on the device of the text tower. Its embeddings have length one.

    Args:
        image: modules from pixels to an embedding.
        text: modules from tokens to an embedding of the same dimension.
        prompts: the texts to put before inputs, by name; see `SentenceTransformer`.

    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules.router import Router
    from sentence_transformers.sentence_transformer.modules import Normalize

    router = Router(
        {"text": text, "image": image},  # type: ignore[dict-item,arg-type,list-item,unused-ignore]
        route_mappings={(None, "text"): "text", (None, "image"): "image"},
    )
    place = next((str(parameter.device) for module in text for parameter in module.parameters()), "cpu")
    return SentenceTransformer(modules=[router, Normalize()], device=place, prompts=prompts or {})


def with_image_tower(encoder: SentenceTransformer, other: SentenceTransformer) -> SentenceTransformer:
    """A dual encoder with the image tower of another."""
    return join_towers(
        tower_of(other, "image"), tower_of(encoder, "text"), {k: p or "" for k, p in encoder.prompts.items()}
    )


def is_dual(encoder: torch.nn.Module) -> bool:
    """Whether an encoder has a text tower and an image tower, joined by a router."""
    from sentence_transformers.base.modules.router import Router

    first = next(iter(encoder.children()), None)
    return isinstance(first, Router) and "image" in first.sub_modules and "text" in first.sub_modules


def tower_of(encoder: torch.nn.Module, modality: str) -> list[torch.nn.Module]:
    """The modules of one tower of a dual encoder.

    Args:
        encoder: a dual encoder.
        modality: `"text"` or `"image"`.

    Raises:
        EncoderError: the encoder does not have two towers.

    """
    if not is_dual(encoder):
        raise EncoderError(
            "this encoder does not have two towers; make one that has, as in  openai/clip-vit-base-patch32+xlm-roberta-base"
        )
    router = cast(Any, next(iter(encoder.children())))
    return list(router.sub_modules[modality])


def picture_modules(encoder: torch.nn.Module) -> list[torch.nn.Module]:
    """All modules that a picture passes: the image tower, and the modules behind both towers, such as those of `debias`.

    Raises:
        EncoderError: the encoder does not have two towers.

    """
    return [*tower_of(encoder, "image"), *list(encoder.children())[1:]]


__all__ = ["is_dual", "join_towers", "picture_modules", "tower_of", "with_image_tower"]
