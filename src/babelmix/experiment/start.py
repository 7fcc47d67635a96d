"""The encoders that the runs of a comparison start from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path

from sentence_transformers import SentenceTransformer

from babelmix import _processes
from babelmix._files import replacing_folder
from babelmix._progress import quiet_transformers
from babelmix.corpus import Corpus
from babelmix.encoders import load_encoder
from babelmix.encoders.kinds import kind_named, make_encoder
from babelmix.encoders.limits import cut_after
from babelmix.encoders.opening import open_encoder
from babelmix.encoders.token_memory import TokenMemory, remember_tokens
from babelmix.encoders.towers import with_image_tower
from babelmix.experiment.config import Experiment
from babelmix.experiment.folder import tower_folder


def start_of(
    experiment: Experiment, training: Mapping[str, Corpus], output: Path, say: Callable[[str], None]
) -> SentenceTransformer:
    """The encoder that all runs start from. If it is made from the training texts, it is saved in the experiment's folder.

    Args:
        experiment: the experiment.
        training: the training corpora by name.
        output: the experiment's folder.
        say: called with a line about each stage.

    """
    settings = experiment.encoder
    kind = kind_named(settings.name)
    if kind.make is None:
        return load_encoder(
            settings.name, max_seq_length=settings.max_seq_length or None, trust_code=settings.trust_code
        )
    folder = output / "start" / "model"
    memory = TokenMemory()

    def make() -> None:
        if not (folder / "modules.json").is_file():
            say(f"making the starting encoder {settings.name}")
            texts = [t for c in training.values() for s in (c.queries, c.passages) for t in s["text"].to_pylist() if t]
            whole = settings.vocabulary == "full" and kind.pretrained(settings.name)
            made = make_encoder(
                settings.name, None if whole else texts, vocabulary=settings.size, dimension=settings.dimension,
                trust_code=settings.trust_code, memory=memory,
            )  # fmt: skip
            with replacing_folder(folder, ["modules.json"]) as place, quiet_transformers():
                made.save_pretrained(str(place), create_model_card=False)

    # One process makes the encoder: transformers writes files in rank 0 only.
    _processes.main_only(make)
    encoder, _ = open_encoder(str(folder), device=kind.device, trust_code=settings.trust_code)
    cut_after(encoder, settings.max_seq_length)
    remember_tokens(encoder, memory)
    return encoder


def begin_with(
    experiment: Experiment, start: SentenceTransformer, seed: int, output: Path, tower_seed: int | None = None
) -> SentenceTransformer:
    """A copy of the starting encoder for one run. It has new random weights and an image tower of its seed, if it has such parts.

    Args:
        experiment: the experiment.
        start: the encoder that all runs start from.
        seed: the seed of the run.
        output: the experiment's folder.
        tower_seed: the seed of the image tower; by default the seed of the run.

    """
    encoder = copy.deepcopy(start)
    kind_named(experiment.encoder.name).reset(encoder, experiment.encoder.name, seed)
    place = tower_folder(output, seed if tower_seed is None else tower_seed)
    if experiment.tower.strategy and place.is_dir():
        other, _ = open_encoder(str(place), device=str(encoder.device), trust_code=experiment.encoder.trust_code)
        encoder = with_image_tower(encoder, other)
    return encoder
