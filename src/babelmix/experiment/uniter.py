"""UNITER as a reference row of a comparison on pictures: trained on English captions and on patches of the image tower.

The tower is trained before, as section [tower] says, or it is the locked tower of the starting encoder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer

from babelmix._progress import progress_bar
from babelmix.batches import BatchPlan, CorpusIndex, strategy
from babelmix.corpus import Corpus, match_languages
from babelmix.corpus.images import Pictures
from babelmix.encoders import uniter
from babelmix.encoders.image_tower import patches_of, pixels_of
from babelmix.encoders.opening import open_encoder
from babelmix.encoders.towers import tower_of
from babelmix.errors import ConfigError
from babelmix.evaluation import Audit, audit
from babelmix.evaluation.run import finished
from babelmix.evaluation.systems import EncoderSystem, ScoreMatrix
from babelmix.experiment.config import Experiment
from babelmix.experiment.folder import tower_folder
from babelmix.experiment.keys import heads_of
from babelmix.experiment.parts import Parts
from babelmix.experiment.pictures import translated_to_english
from babelmix.experiment.results import Entry
from babelmix.training.uniter import UniterTrainingSettings, checkpoint_of, train_uniter

NAME = "UNITER, grid features (english)"

Scores = Callable[[], npt.NDArray[np.float32]]


class UniterRun(NamedTuple):
    """A trained UNITER.

    Args:
        unchanged: two audits, from captions to pictures and from pictures to captions. With a trained tower, UNITER scores the
            top k of that tower's encoder; otherwise every pair.
        translated: the same two audits with captions translated to English. UNITER scores every pair.

    """

    unchanged: list[Audit]
    translated: list[Audit]


def uniter_run(experiment: Experiment, seed: int, start: SentenceTransformer, parts: Parts, output: Path) -> UniterRun:
    """Train and audit a UNITER from random weights, or load a finished one.

    The regions of a picture are the patches of the image tower of this seed, and the first stage is the encoder of that tower; or
    the patches of the starting encoder's locked tower, without a first stage. Translated captions are the English ones, so each
    distinct pair is scored once.

    Args:
        experiment: an experiment with the section [uniter], and [tower] or a locked image tower.
        seed: the seed of the run.
        start: the encoder that all runs start from.
        parts: the corpora; the passages of `parts.test` are pictures.
        output: the experiment's folder.

    """
    folder = output / "uniter" / f"seed-{seed}"
    first = start
    if experiment.tower.strategy:
        tower = str(tower_folder(output, seed))
        first, _ = open_encoder(tower, device="cpu", trust_code=experiment.encoder.trust_code)
    if not (folder / "model" / "training.json").is_file():
        _train(experiment, seed, first, parts.train, folder / "model")
    checkpoint_of(folder / "model").unlink(missing_ok=True)
    model = uniter.load(folder / "model")
    test, settings = parts.test, experiment.uniter
    regions: list[uniter.Regions] = []

    def regions_of_test() -> list[uniter.Regions]:
        if not regions:
            regions.extend(grid_of(first, test))
        return regions

    def unchanged(query: Any) -> npt.NDArray[np.float32]:
        captions = test.queries["text"].to_pylist()
        if not experiment.tower.strategy:
            return full(captions)
        queries, pictures = EncoderSystem(first, batch_size=32, store=True).embed(test)
        return uniter.score_matrix(
            model,
            captions,
            regions_of_test(),
            mode="rerank-topk",
            first_stage=queries @ pictures.T,
            k=settings.k,
            query=query,
        ).scores

    found: dict[tuple[str, ...], npt.NDArray[np.float32]] = {}

    def full(texts: list[str]) -> npt.NDArray[np.float32]:
        distinct = tuple(dict.fromkeys(texts))
        if distinct not in found:
            found[distinct] = uniter.score_matrix(model, list(distinct), regions_of_test()).scores
        row = {text: number for number, text in enumerate(distinct)}
        return found[distinct][[row[text] for text in texts]]

    english = translated_to_english(test)

    def translated() -> npt.NDArray[np.float32]:
        return full(english.queries["text"].to_pylist())

    def audits(prefix: str, to_pictures: Scores, to_captions: Scores, corpus: Corpus, mode: str) -> list[Audit]:
        name = f"{NAME}, seed {seed}{', translate-test' if prefix else ''}"
        return [
            _audited(folder / f"{prefix}to-pictures", to_pictures, corpus, name, mode, experiment),
            _audited(folder / f"{prefix}to-captions", to_captions, corpus.reversed(), name, mode, experiment),
        ]

    top = f"rerank-topk, k = {settings.k}, first stage: its image tower's encoder"
    mode = top if experiment.tower.strategy else "full"
    return UniterRun(
        audits("", lambda: unchanged("text"), lambda: unchanged("image").T, test, mode),
        audits("translated-", translated, lambda: translated().T, english, "full"),
    )


def _audited(
    folder: Path,
    scores: Scores,
    corpus: Corpus,
    name: str,
    mode: str,
    experiment: Experiment,
) -> Audit:
    system = ScoreMatrix(name, scores, mode, experiment.uniter.model_dump())
    metrics = experiment.compare.metrics
    done = finished(folder, system.facts(corpus), metrics)
    if done is None:
        done = audit(system, corpus, metrics=metrics)
        done.save(folder)
    return done


def grid_of(encoder: SentenceTransformer, corpus: Corpus) -> list[uniter.Regions]:
    """The regions of a corpus's pictures: the patches of an encoder's image tower, one `Regions` per picture."""
    tower, pictures = tower_of(encoder, "image"), Pictures(corpus.passages)
    found: list[uniter.Regions] = []
    with torch.inference_mode(), progress_bar("grid features", len(pictures), "pictures") as bar:
        for start in range(0, len(pictures), 64):
            some = range(start, min(start + 64, len(pictures)))
            patches = patches_of(tower, pixels_of(tower, (pictures[row] for row in some))).float().numpy()
            found += [uniter.grid_regions(grid) for grid in patches]
            bar.advance(len(some))
    return found


def _train(experiment: Experiment, seed: int, first: SentenceTransformer, corpus: Corpus, output: Path) -> None:
    english, settings = (
        corpus.only_langs(match_languages("en", corpus.langs, f"uniter: {corpus.name}", ConfigError)),
        experiment.uniter,
    )
    texts = english.queries["text"].to_pylist()
    regions = grid_of(first, english)
    vocabulary = uniter.learn_vocabulary(texts, settings.vocabulary, lowercase=True)
    config = uniter.UniterConfig(
        vocab_size=len(vocabulary), hidden_size=settings.width, layers=settings.layers, heads=heads_of(settings.width),
        intermediate_size=4 * settings.width, region_size=regions[0].features.shape[1], max_positions=64, dropout=0.0,
        attention_dropout=0.0, lowercase=True,
    )  # fmt: skip
    model = uniter.Uniter(config, vocabulary, seed=seed)
    plan = BatchPlan(CorpusIndex(english), strategy("mono"), settings.batch_size, seed=seed)

    def batch(step: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        drawn = plan[step]
        return drawn.query_rows, drawn.passage_rows

    run = UniterTrainingSettings(
        pretrain_steps=settings.pretrain_steps, rank_steps=settings.rank_steps, learning_rate=settings.learning_rate,
        hard_negatives=settings.hard_negatives, hard_pool=settings.hard_pool, checkpoint_every=200, seed=seed,
    )  # fmt: skip
    train_uniter(model, texts, regions, batch, run, output)


def uniter_entries(experiment: Experiment, runs: list[UniterRun], corpora: int) -> list[list[Entry]]:
    """Rows of the comparison. Only the first two corpora, the test corpus in both directions, have an entry."""
    if not runs:
        return []
    way = "rerank-topk" if experiment.tower.strategy else "full"
    names = {
        f"{NAME}, {way}": [run.unchanged for run in runs],
        f"{NAME}, translate-test, full": [run.translated for run in runs],
    }
    return [
        [Entry.of(name, "reference", [audits[place] for audits in found]) for place in range(min(2, corpora))]
        for name, found in names.items()
    ]


__all__ = ["NAME", "UniterRun", "grid_of", "uniter_entries", "uniter_run"]
