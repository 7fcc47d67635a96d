"""Which weights of an encoder are trained, how they are kept, and how they come back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling

from babelmix._files import replacing_file
from babelmix.encoders.towers import is_dual, tower_of, way_of_pictures
from babelmix.errors import DivergedError, TrainingError


def trained(encoder: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters that training changes, by name."""
    return {name: parameter for name, parameter in encoder.named_parameters() if parameter.requires_grad}


def copied(parameters: Mapping[str, torch.nn.Parameter]) -> dict[str, torch.Tensor]:
    """Values of parameters as they are now."""
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


def averaged(encoder: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The trained parameters whose average with their start is the average of the whole encoder with its start.

    Of adapters only the second factor, which starts at 0: a product of two averages is not the average of the products.
    """
    return {name: one for name, one in trained(encoder).items() if ".lora_A." not in name}


def save_trained(encoder: torch.nn.Module, file: Path) -> None:
    """Keep the trained parameters, whole or not at all; the others are the starting encoder's."""
    tensors = {name: parameter.detach().cpu().contiguous() for name, parameter in trained(encoder).items()}
    with replacing_file(file) as temporary:
        save_file(tensors, str(temporary))


def load_trained(encoder: torch.nn.Module, file: Path, *, damaged: str, foreign: str) -> None:
    """Put back what `save_trained` kept.

    Args:
        encoder: with the same parameters in training.
        file: of the weights.
        damaged: what to do if the file is damaged.
        foreign: what to do if it is of another encoder.

    Raises:
        TrainingError: the file is damaged, or of an encoder with other parameters.

    """
    try:
        tensors = load_file(str(file))
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{file}: is damaged ({type(error).__name__}); {damaged}") from error
    parameters = trained(encoder)
    wrong = sorted(set(tensors) ^ set(parameters)) or [
        name for name, parameter in parameters.items() if tensors[name].shape != parameter.shape
    ]
    if wrong:
        raise TrainingError(f"{file}: is of another encoder (they differ in {wrong[0]}); {foreign}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def average_with(
    parameters: Mapping[str, torch.nn.Parameter], start: Mapping[str, torch.Tensor], share: float
) -> None:
    """Move parameters to `(1 - share)` of what they are and `share` of what they were (Wortsman et al., CVPR 2022)."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.lerp_(start[name].to(parameter.device), share)


@contextlib.contextmanager
def averaged_with(encoder: torch.nn.Module, start: Mapping[str, torch.Tensor], share: float) -> Iterator[None]:
    """Have the average for a while, and then what was trained again; see `average_with`."""
    parameters = averaged(encoder) if share else {}
    own = copied(parameters)
    average_with(parameters, start, share)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(own[name])


def refuse_divergence(encoder: torch.nn.Module) -> None:
    """Raise unless all weights are finite.

    Raises:
        DivergedError: one is not.

    """
    if any(not torch.isfinite(parameter).all() for parameter in encoder.parameters()):
        raise DivergedError(
            "training diverged: a weight is not finite; use a smaller learning rate or a higher temperature"
        )


def transformer_of(encoder: SentenceTransformer) -> Any:
    """The transformers model inside.

    Raises:
        TrainingError: there is none.

    """
    first = tower_of(encoder, "text")[0] if is_dual(encoder) else encoder[0]
    model = getattr(first, "auto_model", None)
    if model is None:
        raise TrainingError(
            "this encoder holds no transformer, so LoRA, frozen embeddings and gradient checkpointing are not for it"
        )
    return model


def checkpoint_activations(encoder: SentenceTransformer, on: bool) -> None:
    """Compute activations again in the backward pass, or keep them.

    Raises:
        TrainingError: the encoder's transformer cannot do so.

    """
    model = transformer_of(encoder)
    # transformers 5 calls it by another name in its later releases, and warns of the former.
    kind = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    if not on:
        getattr(model, f"{kind}_checkpointing_disable")()
        return
    try:
        getattr(model, f"{kind}_checkpointing_enable")({"use_reentrant": False})
    except ValueError as error:
        raise TrainingError(f"this encoder cannot do with fewer activations: {error}") from error


def freeze_embeddings(encoder: SentenceTransformer) -> None:
    """Freeze the token vectors: most of a multilingual encoder's weights, of which a batch uses few."""
    for parameter in transformer_of(encoder).get_input_embeddings().parameters():
        parameter.requires_grad_(False)


def freeze_image_tower(encoder: SentenceTransformer) -> None:
    """Train nothing of the image tower of a dual encoder, nor of what stands behind both towers.

    Raises:
        EncoderError: it has none.

    """
    for module in way_of_pictures(encoder):
        module.requires_grad_(False)


def add_adapters(encoder: SentenceTransformer, rank: int) -> None:
    """Put low-rank adapters (Hu et al., ICLR 2022) beside the transformer's linear layers, and train nothing else in it.

    Of two towers the layer that joins the text tower to the other's space, which may be new, is trained whole.
    """
    from peft import LoraConfig, TaskType, inject_adapter_in_model

    config = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules="all-linear",
    )
    # Into the model itself, not by transformers' `add_adapter`, which wants a peft newer than the newest there is.
    inject_adapter_in_model(config, transformer_of(encoder))
    for module in list(encoder)[1:]:
        module.requires_grad_(False)
    if is_dual(encoder):
        freeze_image_tower(encoder)


def merge_adapters(encoder: SentenceTransformer) -> None:
    """Add the adapters to the layers they stand beside, which leaves a plain encoder."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    transformer = transformer_of(encoder)
    for name, module in list(transformer.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent = transformer.get_submodule(name.rpartition(".")[0]) if "." in name else transformer
            setattr(parent, name.rpartition(".")[2], module.get_base_layer())
    # peft would take it for adapters that are still there.
    del transformer.peft_config


def set_pooling(encoder: SentenceTransformer, mode: str) -> None:
    """Pool token vectors by their `mean`, or take the first one's, `cls`.

    Raises:
        TrainingError: the encoder has no pooling.

    """
    for module in encoder.modules():
        if isinstance(module, Pooling):
            module.pooling_mode = cast(Any, mode)
            return
    raise TrainingError(f"the pooling cannot be {mode}: this encoder has none to set")
