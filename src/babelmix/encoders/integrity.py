"""Check that a model's folder is complete: weights, configuration and tokenizer fit each other.

transformers fills missing weights with random numbers, and gives a tokenizer without files an empty vocabulary. Without this
check a damaged model would give wrong results, different ones each time. Sizes are compared before much memory is allocated.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from babelmix._progress import quiet_transformers
from babelmix.encoders.limits import word_table
from babelmix.encoders.ngram_network import NGramNetwork
from babelmix.encoders.trust import json_files, read_json
from babelmix.errors import EncoderError, first_line

_LAYERS = frozenset(
    {
        "decoder_layers", "depth", "encoder_layers", "inner_group_num", "n_layer", "n_layers", "n_routed_experts",
        "num_decoder_layers", "num_experts", "num_hidden_layers", "num_layers", "num_local_experts",
    }
)  # fmt: skip
_POSITIONS = frozenset({"max_position_embeddings", "n_positions", "n_ctx", "seq_length"})
_MOST_POSITIONS = 20_000_000
_MOST_LABELS = 100_000
_MOST_SPARE = 4
"""A model may have this many times as many weights as its files. The files may store other types, or only a part."""
_LEAST_NUMBERS = 1 << 20
_PRODUCTS = (
    ("in_features", "out_features"),
    ("in_word_embedding_dimension", "out_channels"),
    ("word_embedding_dimension", "hidden_dim", "num_layers"),
    ("dimension", "clusters"),
    ("dimension", "clusters", "rank"),
    ("dimension", "dimension", "shares"),
    ("dimension", "units"),
    ("vocabulary", "dimension"),
    ("num_hidden_layers",),
)
"""Sizes in a module's configuration. Their product cannot exceed the numbers in its weights."""
# Computed buffers that older versions saved with the weights.
_COMPUTED = frozenset({"position_ids", "token_type_ids", "inv_freq", "masked_bias", "relative_position_index"})
_SHOWN = 3


def check_before_loading(folder: Path, name: str) -> set[str]:
    """Compare the configurations in a folder with the weights, before loading takes memory or time.

    Args:
        folder: the folder of an encoder that `babelmix.encoders.trust.admit` accepted.
        name: the name of the encoder, for messages.

    Returns:
        Names of missing weights of a pooler that nothing uses.

    Raises:
        EncoderError: weights are missing, unexpected, misshapen or fewer than the configuration says.

    """
    spare: set[str] = set()
    for path in json_files(folder, name):
        where = f"{name}, {path.relative_to(folder).as_posix()}"
        content = read_json(path, where)
        files = weight_files(path.parent)
        if not isinstance(content, dict) or not files or path.name.startswith(("adapter_", "generation_")):
            continue
        sizes = _sizes_of(files, f"{name}, {files[0].relative_to(folder).as_posix()}")
        if path.name == "config.json" and isinstance(content.get("model_type"), str):
            _check_claims(content, len(sizes), where, files[0].name)
            spare |= _check_names(path.parent, sum(sizes.values()), name, where)
        else:
            _check_products(content, sum(sizes.values()), where, files[0].name)
    return spare


def check_after_loading(encoder: torch.nn.Module, name: str, spare: Iterable[str] = ()) -> None:
    """Check that an encoder's tokenizers have a vocabulary, and that every token has an embedding.

    Args:
        encoder: the loaded encoder.
        name: the name of the encoder, for messages.
        spare: the result of `check_before_loading`. These weights are set to 0, so that each loading gives the same weights.

    Raises:
        EncoderError: a tokenizer has no vocabulary, or ids beyond the embedding table; or an adapter has no trained weights.

    """
    missing = set(spare)
    for module in encoder.modules():
        if isinstance(module, StaticEmbedding):
            _check_ids(module.tokenizer.get_vocab(), module.embedding.num_embeddings, name)
        elif isinstance(module, NGramNetwork):
            _check_ids(module.tokenizer.get_vocab(), module.vocabulary, name)
        elif isinstance(module, Transformer):
            for key, parameter in module.model.named_parameters() if missing else ():
                if key in missing:
                    parameter.data.zero_()
            tokenizer: Any = module.tokenizer
            if tokenizer is None:
                continue
            known = tokenizer.get_vocab()
            files = getattr(tokenizer, "vocab_files_names", None)
            if files and len(known) <= len({*tokenizer.all_special_tokens, *tokenizer.added_tokens_encoder}):
                raise EncoderError(
                    f"{name}: its tokenizer has no vocabulary; the folder lacks the tokenizer's files "
                    f"({', '.join(sorted(set(files.values())))})"
                )
            table = word_table(module.model)
            if table is not None:
                _check_ids(known, table.num_embeddings, name)
            check_adapters(module.model, name)


def load_complete(kind: Any, folder: Path, name: str) -> Any:
    """Load a transformers model, or one tower of it, and check that all its weights are there.

    Args:
        kind: the class of the model or tower.
        folder: the folder of a model that `babelmix.encoders.trust.admit` accepted.
        name: the name of the model, for messages.

    Raises:
        EncoderError: weights are missing or have another shape.
        OSError, ValueError, RuntimeError, KeyError: the loader fails.

    """
    config = folder / "config.json"
    where = f"{name}, config.json"
    files = weight_files(folder)
    if files and config.is_file():
        _check_claims(
            read_json(config, where), len(_sizes_of(files, f"{name}, {files[0].name}")), where, files[0].name
        )
    model, found = kind.from_pretrained(
        str(folder), output_loading_info=True, ignore_mismatched_sizes=True, local_files_only=True
    )
    shapes = [f"{key} {tuple(given)}, not {tuple(right)}" for key, given, right in sorted(found["mismatched_keys"])]
    parameters = {key for key, _ in model.named_parameters()}
    _refuse(where, sorted(parameters & set(found["missing_keys"])), [], shapes)
    return model


def check_adapters(model: Any, name: str) -> None:
    """Raise if an adapter has no trained weights: `lora_B` is zero at the start, and changes nothing.

    Raises:
        EncoderError: an adapter has no trained weights.

    """
    second = [parameter for key, parameter in model.named_parameters() if ".lora_B." in key]
    if second and not any(bool(parameter.any()) for parameter in second):
        raise EncoderError(f"{name}: its adapter has no weights that fit the model; it would change nothing")


def weight_files(folder: Path) -> list[Path]:
    """The weight files that a loader reads from a folder: safetensors, or pickles if there are none."""
    for pattern in ("model*.safetensors", "pytorch_model*.bin"):
        whole = folder / pattern.replace("*", "")
        found = [whole] if whole.is_file() else sorted(folder.glob(pattern.replace("*", "-*-of-*")))
        if found:
            return found
    return []


def _sizes_of(files: Iterable[Path], where: str) -> dict[str, int]:
    """The number of values in each tensor, from the headers of the files."""
    sizes: dict[str, int] = {}
    for file in files:
        try:
            if file.suffix == ".safetensors":
                with safe_open(str(file), framework="pt") as weights:
                    for key in weights.keys():  # noqa: SIM118 - no mapping
                        sizes[key] = _product(weights.get_slice(key).get_shape())
            else:
                sizes |= {key: tensor.numel() for key, tensor in _pickled(file).items()}
        except Exception as error:  # both readers raise many types
            raise EncoderError(f"{where}: cannot be read as weights only ({first_line(error)})") from error
    return sizes


def _pickled(file: Path) -> Mapping[str, torch.Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = torch.load(file, map_location="meta", weights_only=True)
    if not isinstance(found, Mapping):
        raise TypeError("it holds no tensors by name")
    return {key: value for key, value in found.items() if isinstance(value, torch.Tensor)}


def _product(sizes: Iterable[int]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product


def _numbers(content: Any, above: str = "") -> Iterator[tuple[str, str, int]]:
    """Path, key and value of every integer in a configuration."""
    for key, value in content.items() if isinstance(content, dict) else ():
        if isinstance(value, dict):
            yield from _numbers(value, f"{above}{key}.")
        elif isinstance(value, int) and not isinstance(value, bool):
            yield f"{above}{key}", str(key), value


def _check_claims(content: Mapping[str, Any], tensors: int, where: str, file: str) -> None:
    for path, key, value in _numbers(content):
        if key in _LAYERS and value > max(tensors, 2):
            raise EncoderError(f"{where}, {path} = {value}: {file} has {tensors} tensors, which is too few for that")
        if key in _POSITIONS and value > _MOST_POSITIONS:
            raise EncoderError(f"{where}, {path} = {value}: no model has more than {_MOST_POSITIONS:,} positions")
        if key == "num_labels" and value > _MOST_LABELS:
            raise EncoderError(f"{where}, {path} = {value}: no encoder has more than {_MOST_LABELS:,} labels")


def _check_products(content: Mapping[str, Any], numbers: int, where: str, file: str) -> None:
    for keys in _PRODUCTS:
        sizes = [content[key] for key in keys if isinstance(content.get(key), int)]
        if sizes and min(sizes) > 0 and _product(sizes) > numbers:
            said = " x ".join(f"{key} {size}" for key, size in zip(keys, sizes, strict=False))
            raise EncoderError(f"{where}, {said}: {file} has {numbers:,} numbers, which is too few for that")


def _check_names(folder: Path, numbers: int, name: str, where: str) -> set[str]:
    """Let transformers match names and shapes on the meta device, without reading weights."""
    from transformers import AutoModel

    try:
        with quiet_transformers():
            model, found = AutoModel.from_pretrained(
                str(folder), output_loading_info=True, device_map="meta", ignore_mismatched_sizes=True,
                local_files_only=True, trust_remote_code=False,
            )  # fmt: skip
    except Exception as error:  # any of many types; the loader's message says what is missing
        raise EncoderError(
            f"{where}: cannot be loaded as an encoder ({type(error).__name__}: {first_line(error)})"
        ) from error
    wanted = sum(parameter.numel() for parameter in model.parameters())
    if wanted > _MOST_SPARE * numbers + _LEAST_NUMBERS:
        raise EncoderError(
            f"{where}: describes {wanted:,} weights, but the files have {numbers:,}; one of them is wrong"
        )
    parameters = {key for key, _ in model.named_parameters()}
    twice = bool(getattr(model.config, "is_encoder_decoder", False))
    missing = sorted(
        key for key in found["missing_keys"] if key in parameters and not (twice and "decoder" in key.split("."))
    )
    spare = {key for key in missing if _is_pooler(key)} if not _pools(folder) else set()
    missing = [key for key in missing if key not in spare]
    children = {key for key, _ in model.named_children()}
    foreign = sorted(key for key in found["unexpected_keys"] if _is_encoders(key, model.base_model_prefix, children))
    shapes = [f"{key} {tuple(given)}, not {tuple(right)}" for key, given, right in sorted(found["mismatched_keys"])]
    _refuse(where, missing, foreign, shapes)
    return spare


def _refuse(where: str, missing: list[str], foreign: list[str], shapes: list[str]) -> None:
    """Raise if any of these lists is not empty."""
    said = [
        f"{what} {_some(keys)}"
        for what, keys in (
            ("lack", missing),
            ("have, without a place in the model,", foreign),
            ("have other shapes:", shapes),
        )
        if keys
    ]
    if said:
        raise EncoderError(
            f"{where}: the weights beside it {'; they '.join(said)}; the folder is damaged, or the configuration belongs to "
            "another model"
        )


def _is_pooler(key: str) -> bool:
    return "pooler" in key.split(".")


def _pools(folder: Path) -> bool:
    """Whether the embedding comes from transformers' own pooler."""
    settings = folder / "sentence_bert_config.json"
    return settings.is_file() and "pooler_output" in settings.read_text(encoding="utf-8")


def _is_encoders(key: str, prefix: str, children: set[str]) -> bool:
    """Whether an unexpected weight belongs to the encoder itself, not to a head on top of it."""
    parts = key.removeprefix(f"{prefix}.").split(".")
    return parts[0] in children and parts[0] != "pooler" and not _COMPUTED & set(parts)


def _check_ids(vocabulary: Mapping[str, int], rows: int, name: str) -> None:
    last = max(vocabulary, key=lambda token: vocabulary[token], default=None)
    if last is not None and vocabulary[last] >= rows:
        raise EncoderError(
            f"{name}: its tokenizer has ids up to {vocabulary[last]} ({last!r}), but there are {rows} token embeddings; "
            "tokenizer and weights belong to different models"
        )


def _some(keys: list[str]) -> str:
    rest = len(keys) - _SHOWN
    return ", ".join(keys[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


__all__ = ["check_after_loading", "check_before_loading", "load_complete", "weight_files"]
