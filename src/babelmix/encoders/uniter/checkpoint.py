"""Load UNITER from published checkpoints and from our own folders, and save it. Nothing in a file is executed."""

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
"""Names of layer normalisation parameters in early BERT code."""

_TIED = {
    "cls.predictions.decoder.weight": "uniter.embeddings.word_embeddings.weight",
    "feat_regress.weight": "uniter.img_embeddings.img_linear.weight",
}
"""Weights that published checkpoints contain twice: the name of the copy, and the name of the original."""

_BUFFERS = ("uniter.embeddings.position_ids",)
_HEADS = ("cls", "feat_regress", "region_classifier", "itm_output", "rank_output")
_SHOWN = 6


def load_checkpoint(weights: Path, config: UniterConfig | Path, vocabulary: Path) -> Uniter:
    """Load a checkpoint with the published names (github.com/ChenRocks/UNITER), pre-trained or fine-tuned.

    If the checkpoint has no `rank_output`, it starts as a copy of row 1 of `itm_output`. Other heads may be missing as a whole;
    they get random weights, and `new_heads` of the model names them.

    Args:
        weights: a state dict, saved by safetensors or PyTorch. Only tensors are read.
        config: a configuration, or the file of a published one.
        vocabulary: `vocab.txt` of the tokenizer.

    Returns:
        The model, in evaluation mode, on the CPU.

    Raises:
        EncoderError: a file cannot be read or has other things than tensors; weights are missing, unknown, of the wrong shape
            or not finite; or both `itm_output` and `rank_output` are missing.

    """
    shape = config if isinstance(config, UniterConfig) else UniterConfig.from_json(config)
    tokenizer = WordPiece.from_file(vocabulary, lowercase=shape.lowercase)
    state = _with_own_names(_read(weights), weights)
    return _filled(Uniter(shape, tokenizer), state, weights)


def save(model: Uniter, folder: Path) -> None:
    """Save configuration, weights and vocabulary of a model in a folder, atomically.

    Args:
        model: the model.
        folder: the folder. An older UNITER model there is replaced.

    Raises:
        BabelmixError: `folder` is a file, or holds something else.

    """
    check_folder(folder)
    with replacing_folder(folder, (CONFIG,)) as place:
        write_model(model, place)


def check_folder(folder: Path) -> None:
    """Raise if a folder holds a model that is not a UNITER. Saving would overwrite its config.json.

    Raises:
        EncoderError: the folder holds another model.

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
    """Write the three files of a model into an existing folder."""
    model.config.to_json(place / CONFIG)
    model.tokenizer.save(place / VOCABULARY)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, place / WEIGHTS, metadata={"format": "pt"})


def load(folder: Path, *, device: str | torch.device | None = None) -> Uniter:
    """Load a folder that `save` wrote, in evaluation mode.

    Args:
        folder: the folder.
        device: a torch device; None: the CPU.

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
                # torch warns of a pickle that it did not write. The file is then read or refused as any other.
                warnings.filterwarnings("ignore", message="Detected pickle protocol")
                found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader of pickles raises any of many types
        raise EncoderError(f"{path}: cannot be read as weights only ({first_line(error)})") from error
    if not isinstance(found, Mapping) or not found:
        raise EncoderError(f"{path}: is not a state dict of weights by name")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise EncoderError(f"{path}, {name!r}: is not a tensor; give the state dict alone")
    return dict(found)


def _with_own_names(state: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """Rename weights to our names, drop copies, and convert to float32."""
    own: dict[str, torch.Tensor] = {}
    for given, tensor in state.items():
        name = given.removeprefix("module.")
        head, _, last = name.rpartition(".")
        name = f"{head}.{_OLD_NAMES.get(last, last)}" if head else name
        if name in own:
            raise EncoderError(f"{path}, {given}: occurs twice, under two names")
        if name not in _BUFFERS:
            own[name] = tensor.float() if tensor.is_floating_point() else tensor
    for copy, original in _TIED.items():
        if copy in own and original in own:
            if not torch.equal(own[copy], own[original]):
                raise EncoderError(f"{path}, {copy}: is not the same as {original}, as it is in UNITER")
            del own[copy]
    return own


def _filled(model: Uniter, state: dict[str, torch.Tensor], path: Path) -> Uniter:
    """Put the weights of a checkpoint into a model."""
    wanted = model.state_dict()
    given = {name.partition(".")[0] for name in state}
    new = tuple(head for head in _HEADS if head not in given)
    if "itm_output" in new and "rank_output" in new:
        raise EncoderError(f"{path}: has neither itm_output nor rank_output, so it cannot score pairs")
    missing = [name for name in wanted if name not in state and name.partition(".")[0] not in new]
    foreign = [name for name in state if name not in wanted]
    if missing or foreign:
        said = [f"lacks {_some(missing)}"] * bool(missing) + [
            f"has {_some(foreign)}, which UNITER does not have"
        ] * bool(foreign)
        raise EncoderError(f"{path}: {' and '.join(said)}; use a UNITER checkpoint with its own configuration")
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
