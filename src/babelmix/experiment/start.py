"""What the runs of a comparison start from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path

from sentence_transformers import SentenceTransformer

from babelmix import _processes
from babelmix._files import replacing_folder
from babelmix._progress import quiet_transformers
from babelmix.corpus import Corpus
from babelmix.encoders import dual, load_encoder, static
from babelmix.encoders.loading import cut_after, is_made, make_static
from babelmix.encoders.opening import open_encoder
from babelmix.experiment.config import Experiment


def start_of(
    experiment: Experiment, training: Mapping[str, Corpus], output: Path, say: Callable[[str], None]
) -> SentenceTransformer:
    """The encoder that all runs start from; one that is made from the training texts is kept in the folder.

    Args:
        experiment: what is run.
        training: everything that is trained on.
        output: the experiment's folder.
        say: told what happens, in a line.

    """
    settings = experiment.encoder
    both = dual.is_dual_name(settings.name)
    if not is_made(settings.name) and not both:
        return load_encoder(
            settings.name, max_seq_length=settings.max_seq_length or None, trust_code=settings.trust_code
        )
    folder = output / "start" / "model"
    memory = static.TokenMemory()

    def make() -> None:
        if not (folder / "modules.json").is_file():
            say(f"making the starting encoder {settings.name}")
            texts = [t for c in training.values() for s in (c.queries, c.passages) for t in s["text"].to_pylist() if t]
            whole = settings.vocabulary == "full" and settings.name != static.FROM_SCRATCH
            made = (
                dual.make_dual(
                    settings.name,
                    texts,
                    size=settings.size,
                    dimension=settings.dimension,
                    trust_code=settings.trust_code,
                )
                if both
                else make_static(
                    settings.name,
                    None if whole else texts,
                    memory,
                    size=settings.size,
                    dimension=settings.dimension,
                    trust_code=settings.trust_code,
                )
            )
            with replacing_folder(folder, ["modules.json"]) as place, quiet_transformers():
                made.save_pretrained(str(place), create_model_card=False)

    # Of several processes one makes it: transformers writes files in the first only.
    _processes.main_only(make)
    # Static encoders are faster on the CPU; two towers go where encoders go.
    encoder, _ = open_encoder(str(folder), device=None if both else "cpu", trust_code=settings.trust_code)
    if both:
        cut_after(encoder, settings.max_seq_length)
    static.remember_tokens(encoder, memory)
    return encoder


def tower_folder(output: Path, seed: int) -> Path:
    """Where an experiment keeps the encoder whose image tower a seed starts from."""
    return output / "tower" / f"seed-{seed}" / "model"


def begin_with(
    experiment: Experiment, start: SentenceTransformer, seed: int, output: Path, tower_seed: int | None = None
) -> SentenceTransformer:
    """A copy of the start for one run: with its seed's random weights and image tower, if there are such.

    Args:
        experiment: what is run.
        start: what all runs start from.
        seed: of the run.
        output: the experiment's folder.
        tower_seed: of the image tower, if another.

    """
    encoder = copy.deepcopy(start)
    name = experiment.encoder.name
    if name == static.FROM_SCRATCH:
        static.initialise(encoder, seed)
    if dual.is_dual_name(name):
        dual.initialise(encoder, name, seed)
    place = tower_folder(output, seed if tower_seed is None else tower_seed)
    if experiment.tower.strategy and place.is_dir():
        other, _ = open_encoder(str(place), device=str(encoder.device), trust_code=experiment.encoder.trust_code)
        encoder = dual.with_image_tower(encoder, other)
    return encoder
