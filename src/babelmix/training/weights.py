"""The weights of an encoder: which are trained, saving and loading them, averages, LoRA adapters."""

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
from babelmix.encoders.towers import is_dual, picture_modules, tower_of
from babelmix.errors import DivergedError, TrainingError


def trained(encoder: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters that training changes, by name."""
    return {name: parameter for name, parameter in encoder.named_parameters() if parameter.requires_grad}


def copied(parameters: Mapping[str, torch.nn.Parameter]) -> dict[str, torch.Tensor]:
    """Copies of the parameters' values."""
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


def averaged(encoder: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The trained parameters that must be averaged with their starting values to average the encoder with its start.

    For a LoRA adapter, this is only the factor B, which starts at 0. Averaging both factors would not average their product.
    """
    return {name: one for name, one in trained(encoder).items() if ".lora_A." not in name}


def save_trained(encoder: torch.nn.Module, file: Path) -> None:
    """Save the trained parameters, whole or not at all. The others are those of the starting encoder."""
    save_tensors(trained(encoder), file)


def save_tensors(tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    """Save tensors by name, whole or not at all."""
    found = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing_file(file) as temporary:
        save_file(found, str(temporary))


def set_trained(encoder: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Set the trained parameters to tensors of the same names and shapes."""
    with torch.no_grad():
        for name, parameter in trained(encoder).items():
            parameter.copy_(tensors[name])


def read_trained(encoder: torch.nn.Module, file: Path, *, damaged: str, foreign: str) -> dict[str, torch.Tensor]:
    """Read what `save_trained` saved, and change nothing. For the arguments and errors see `load_trained`."""
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
    return tensors


def load_trained(encoder: torch.nn.Module, file: Path, *, damaged: str, foreign: str) -> None:
    """Load what `save_trained` saved.

    Args:
        encoder: an encoder with the same trained parameters.
        file: the saved parameters.
        damaged: the advice in the message if the file is damaged.
        foreign: the advice in the message if the file is of another encoder.

    Raises:
        TrainingError: the file is damaged, or of an encoder with other parameters.

    """
    set_trained(encoder, read_trained(encoder, file, damaged=damaged, foreign=foreign))


def average_with(
    parameters: Mapping[str, torch.nn.Parameter], start: Mapping[str, torch.Tensor], share: float
) -> None:
    """Set each parameter to `(1 - share) * parameter + share * start` (Wortsman et al., CVPR 2022)."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.lerp_(start[name].to(parameter.device), share)


@contextlib.contextmanager
def averaged_with(encoder: torch.nn.Module, start: Mapping[str, torch.Tensor], share: float) -> Iterator[None]:
    """Replace the trained parameters by the average of `average_with` while the block runs, and restore them afterwards."""
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
        DivergedError: a weight is NaN or infinite.

    """
    if any(not torch.isfinite(parameter).all() for parameter in encoder.parameters()):
        raise DivergedError(
            "training diverged: a weight is not finite; use a smaller learning rate or a higher temperature"
        )


def transformer_of(encoder: SentenceTransformer) -> Any:
    """The transformers model inside an encoder.

    Raises:
        TrainingError: the encoder has none.

    """
    first = tower_of(encoder, "text")[0] if is_dual(encoder) else encoder[0]
    model = getattr(first, "auto_model", None)
    if model is None:
        raise TrainingError(
            "this encoder holds no transformer, so LoRA, frozen embeddings and gradient checkpointing are not for it"
        )
    return model


def checkpoint_activations(encoder: SentenceTransformer, on: bool) -> None:
    """Switch gradient checkpointing on or off: activations are computed again in the backward pass.

    Raises:
        TrainingError: the encoder's transformer does not support it.

    """
    model = transformer_of(encoder)
    # Later releases of transformers 5 have another name for it, and warn of the old one.
    kind = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    if not on:
        getattr(model, f"{kind}_checkpointing_disable")()
        # Switching it on put a hook on the token embeddings; transformers 5.24 leaves it there.
        model.disable_input_require_grads()
        return
    try:
        getattr(model, f"{kind}_checkpointing_enable")({"use_reentrant": False})
    except ValueError as error:
        raise TrainingError(f"this encoder cannot do with fewer activations: {error}") from error


def freeze_embeddings(encoder: SentenceTransformer) -> None:
    """Freeze the token embeddings. They are most weights of a multilingual encoder, but a batch uses only few of them."""
    for parameter in transformer_of(encoder).get_input_embeddings().parameters():
        parameter.requires_grad_(False)


def freeze_image_tower(encoder: SentenceTransformer) -> None:
    """Freeze the image tower of a dual encoder, and the modules after both towers.

    Raises:
        EncoderError: the encoder has no image tower.

    """
    for module in picture_modules(encoder):
        module.requires_grad_(False)


def add_adapters(encoder: SentenceTransformer, rank: int) -> None:
    """Add LoRA adapters (Hu et al., ICLR 2022) to the transformer's linear layers, and freeze its other weights.

    In a dual encoder, the layer from the text tower to the common space is trained too: it may be new.
    """
    from peft import LoraConfig, TaskType, inject_adapter_in_model

    config = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules="all-linear",
    )
    # transformers' own `add_adapter` is not used: in transformers 5.24 it requires peft 0.22, which was not released then.
    inject_adapter_in_model(config, transformer_of(encoder))
    for module in list(encoder)[1:]:
        module.requires_grad_(False)
    if is_dual(encoder):
        freeze_image_tower(encoder)


def merge_adapters(encoder: SentenceTransformer) -> None:
    """Merge the adapters into their layers, which leaves a plain encoder."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    transformer = transformer_of(encoder)
    for name, module in list(transformer.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent = transformer.get_submodule(name.rpartition(".")[0]) if "." in name else transformer
            setattr(parent, name.rpartition(".")[2], module.get_base_layer())
    # With this attribute peft would assume that the adapters are still there.
    del transformer.peft_config


def set_pooling(encoder: SentenceTransformer, mode: str) -> None:
    """Set the pooling of token embeddings: `mean`, or `cls` for the first token.

    Raises:
        TrainingError: the encoder has no pooling.

    """
    for module in encoder.modules():
        if isinstance(module, Pooling):
            module.pooling_mode = cast(Any, mode)
            return
    raise TrainingError(f"the pooling cannot be {mode}: this encoder has none to set")
