"""UNITER's weights from published checkpoints, and folders of our own. Nothing in a file is ever executed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from babelmix._files import replacing_folder
from babelmix.encoders.uniter.config import MODEL_TYPE, UniterConfig
from babelmix.encoders.uniter.heads import Uniter
from babelmix.encoders.uniter.tokenizer import WordPiece
from babelmix.errors import EncoderError, first_line

CONFIG, WEIGHTS, VOCABULARY = "config.json", "model.safetensors", "vocab.txt"

_OLD_NAMES = {"gamma": "weight", "beta": "bias"}
"""What early BERT code calls the parameters of a layer normalisation."""

_TIED = {
    "cls.predictions.decoder.weight": "uniter.embeddings.word_embeddings.weight",
    "feat_regress.weight": "uniter.img_embeddings.img_linear.weight",
}
"""Weights that published checkpoints hold twice."""

_BUFFERS = ("uniter.embeddings.position_ids",)
_HEADS = ("cls", "feat_regress", "region_classifier", "itm_output", "rank_output")
_SHOWN = 6


def load_checkpoint(weights: Path, config: UniterConfig | Path, vocabulary: Path) -> Uniter:
    """Load a checkpoint with the published names (github.com/ChenRocks/UNITER), pre-trained or fine-tuned.

    A fine-tuned checkpoint's `rank_output` is kept; only where there is none is it a copy of row 1 of `itm_output`. Other
    heads may be absent, each as a whole: they have new weights then, and are named in the model's `new_heads`.

    Args:
        weights: a state dict, as safetensors or as PyTorch saves it; only tensors are read.
        config: the model's shape, or the file of a published configuration.
        vocabulary: `vocab.txt` of the model's tokenizer.

    Raises:
        EncoderError: a file cannot be read or holds anything but tensors; weights are missing, unknown, of the wrong shape
            or not finite; or neither `itm_output` nor `rank_output` is there.

    """
    shape = config if isinstance(config, UniterConfig) else UniterConfig.from_json(config)
    tokenizer = WordPiece.from_file(vocabulary, lowercase=shape.lowercase)
    state = _with_own_names(_read(weights), weights)
    return _filled(Uniter(shape, tokenizer), state, weights)


def save(model: Uniter, folder: Path) -> None:
    """Write a model's configuration, weights and vocabulary to a folder, whole or not at all.

    Args:
        model: what to save.
        folder: where; an older folder of a UNITER model there is replaced.

    Raises:
        BabelmixError: `folder` is a file or holds something else.

    """
    check_folder(folder)
    with replacing_folder(folder, (CONFIG,)) as place:
        write_model(model, place)


def check_folder(folder: Path) -> None:
    """Raise unless `folder` is absent, empty or a UNITER model's: of another model, config.json would be lost.

    Raises:
        EncoderError: it holds another model.

    """
    if not (folder / CONFIG).exists():
        return
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("model_type") != MODEL_TYPE:
        raise EncoderError(f"{folder}: holds another model, which would be lost; choose a new folder")


def write_model(model: Uniter, place: Path) -> None:
    """Write a model's three files to a folder that is there."""
    model.config.to_json(place / CONFIG)
    model.tokenizer.save(place / VOCABULARY)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, place / WEIGHTS, metadata={"format": "pt"})


def load(folder: Path, *, device: str | torch.device | None = None) -> Uniter:
    """Load a folder that `save` wrote, in evaluation mode.

    Args:
        folder: where.
        device: where the weights go; the CPU by default.

    Raises:
        EncoderError: a file is missing, damaged or does not fit the others.

    """
    for name in (CONFIG, WEIGHTS, VOCABULARY):
        if not (folder / name).is_file():
            raise EncoderError(f"{folder}: is not a folder of a UNITER model (there is no {name})")
    model = load_checkpoint(folder / WEIGHTS, folder / CONFIG, folder / VOCABULARY)
    return model.to(device) if device is not None else model


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        else:
            with warnings.catch_warnings():
                # Of a pickle that torch did not write; it is read, or refused, all the same.
                warnings.filterwarnings("ignore", message="Detected pickle protocol")
                found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader of pickles raises whatever its bytes lead to
        raise EncoderError(f"{path}: cannot be read as weights and nothing else ({first_line(error)})") from error
    if not isinstance(found, Mapping) or not found:
        raise EncoderError(f"{path}: is not a state dict of weights by name")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise EncoderError(f"{path}, {name!r}: is not a tensor; give the state dict alone")
    return dict(found)


def _with_own_names(state: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """Weights under this implementation's names, each once, as float32."""
    own: dict[str, torch.Tensor] = {}
    for given, tensor in state.items():
        name = given.removeprefix("module.")
        head, _, last = name.rpartition(".")
        name = f"{head}.{_OLD_NAMES.get(last, last)}" if head else name
        if name in own:
            raise EncoderError(f"{path}, {given}: is there twice, under another name too")
        if name not in _BUFFERS:
            own[name] = tensor.float() if tensor.is_floating_point() else tensor
    for copy, original in _TIED.items():
        if copy in own and original in own:
            if not torch.equal(own[copy], own[original]):
                raise EncoderError(f"{path}, {copy}: is not the same as {original}, as it is in UNITER")
            del own[copy]
    return own


def _filled(model: Uniter, state: dict[str, torch.Tensor], path: Path) -> Uniter:
    """The model with a checkpoint's weights."""
    wanted = model.state_dict()
    given = {name.partition(".")[0] for name in state}
    new = tuple(head for head in _HEADS if head not in given)
    if "itm_output" in new and "rank_output" in new:
        raise EncoderError(f"{path}: has neither itm_output nor rank_output, so that it cannot tell which pairs match")
    missing = [name for name in wanted if name not in state and name.partition(".")[0] not in new]
    foreign = [name for name in state if name not in wanted]
    if missing or foreign:
        said = [f"lacks {_some(missing)}"] * bool(missing) + [f"has {_some(foreign)}, which UNITER has not"] * bool(
            foreign
        )
        raise EncoderError(f"{path}: {' and '.join(said)}; is it a UNITER checkpoint, and the configuration its own?")
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape:
            raise EncoderError(
                f"{path}, {name}: has shape {tuple(tensor.shape)}, but the configuration says {tuple(wanted[name].shape)}"
            )
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise EncoderError(f"{path}, {name}: has values that are not finite numbers; the file is damaged")
    model.load_state_dict(wanted | state)
    if "rank_output" in new:
        model.initialise_ranking()
    model.new_heads = tuple(head for head in new if head != "rank_output")
    return model.eval()


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
