"""Train an encoder: `babelmix train`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._files import check_output_folder, slug
from babelmix._progress import console
from babelmix._tables import Result, Table
from babelmix.api._folders import RUNS, Folder, Out, folder_of
from babelmix.api._loading import loaded, opened
from babelmix.corpus import Corpus
from babelmix.errors import ArgumentError, ConfigError

if TYPE_CHECKING:
    import polars as pl
    from sentence_transformers import SentenceTransformer

    from babelmix.training import TrainingData, TrainingResult, TrainingSettings
    from babelmix.training.resolving import ResolvedSettings


@dataclass(frozen=True, eq=False)
class TrainedModel(Result):
    """A trained encoder.

    Args:
        encoder: the encoder, ready to use.
        result: the settings with every default filled in, the losses, the seconds, and the audits of early stopping.
        trained_on: the name of the training data.
        langs: the languages of the training data.
        folder: the folder of the saved encoder, which `SentenceTransformer(path)` loads.

    """

    encoder: SentenceTransformer
    result: TrainingResult
    trained_on: str
    langs: tuple[str, ...]
    folder: Path

    @property
    def settings(self) -> TrainingSettings:
        """The settings, with every default filled in."""
        return self.result.settings

    def tables(self) -> list[Table]:
        """An empty list: `lines` describes the training in sentences."""
        return []

    def headline(self) -> Table:
        """The settings."""
        return Table(["setting", "value"], [list(row) for row in self.result.settings.rows()])

    def to_frame(self) -> pl.DataFrame:
        """Columns `step` and `loss`. The loss is the mean over the steps since the previous row."""
        import polars as pl

        return pl.DataFrame(self.result.losses, schema={"step": pl.Int64, "loss": pl.Float64}, orient="row")

    def as_json(self) -> dict[str, Any]:
        """The folder, the settings and the losses."""
        return {
            "folder": str(self.folder), "settings": self.result.settings.model_dump(), "losses": self.result.losses,
        }  # fmt: skip

    def lines(self) -> list[str]:
        """Steps, data, time and loss; with early stopping, which weights were kept."""
        result, settings = self.result, self.result.settings
        lines = [
            f"trained {result.steps} steps of {settings.batch_size} pairs, {settings.strategy} batches, on {self.trained_on} "
            f"({len(self.langs)} languages) in {result.seconds:.0f} s; loss {result.losses[0][1]:.3f} at first, "
            f"{result.losses[-1][1]:.3f} at last"
        ]
        if result.best is not None:
            lines.append(
                f"kept the weights of step {result.best.step}: {settings.schedule.stop_on} {result.best.score:.4f}, the best of "
                f"{len(result.evaluations)} audits on the validation corpus"
            )
        return lines

    def places(self) -> dict[str, str]:
        """The folder of the encoder, and the code that loads it."""
        return {"encoder": f"{self.folder}   load it with  SentenceTransformer({str(self.folder)!r})"}


def train(
    corpus: str | Path | Corpus | Sequence[str | Path | Corpus] | Mapping[str, Corpus],
    *,
    model: str | Path | SentenceTransformer = "e5-small-offline",
    out: Out = RUNS,
    langs: str | Sequence[str] | None = None,
    part: str = "all",
    validation: str | Path | Corpus | None = None,
    drop_leaks: bool = False,
    settings: TrainingSettings | None = None,
    trust_code: bool = False,
    **values: Any,
) -> TrainedModel:
    """Fine-tune an encoder with monolingual, cross-lingual or hybrid batches, and save it.

    An interrupted run continues from its last checkpoint with the same batches. Under `torchrun` several processes share a batch.

    Args:
        corpus: the training data, see `babelmix.load_corpus`. With several corpora, each batch is from one of them.
        model: the encoder to start from: a name or a folder, see `babelmix encoders`; `static` and `IMAGE+TEXT` are made from the
            training texts. Or an encoder, which is trained in place.
        out: the folder of the new encoder; by default `runs/MODEL-STRATEGY` or `runs/MODEL-RECIPE`.
        langs: see `babelmix.load_corpus`.
        part: see `babelmix.load_corpus`.
        validation: a corpus to audit on during training, in all of its languages. The weights with the best audit are saved.
        drop_leaks: train without the groups of passages that the validation corpus has too; by default they are an error.
        settings: the settings; by default they are made from `values`.
        trust_code: run code that the model or a teacher contains or names; see `babelmix.load_model`.
        values: settings by name, as in `recipe="best"`, `strategy="hybrid(0.25)"`, `steps=300`, `loss={"temperature": 0.05}`; see
            `babelmix.TrainingSettings`. Without a strategy the recipe `best` applies.

    Returns:
        The trained encoder with its settings and losses.

    Raises:
        ConfigError: a setting or an argument is wrong, or a passage of the validation corpus is also in the training data.
        PlanError: the corpus is too small for the batches of the strategy.
        TrainingError: the settings do not fit the encoder or the data, or the loss is not finite.

    Examples:
        >>> model = train("my.csv", recipe="best", out="my-model")  # doctest: +SKIP
        >>> model.encoder.encode(["What is a toad?"]).shape  # doctest: +SKIP
        (1, 384)

    """
    from babelmix.corpus.leaks import without_leaks
    from babelmix.encoders.limits import length_limit
    from babelmix.experiment.parts import refuse_overlap
    from babelmix.training import TrainingData, make_or_load_start, resolve, resolve_for_data
    from babelmix.training import train as run_training
    from babelmix.training.trainer import MARKERS

    wanted = _settings(settings, values)
    if validation is None:
        for name in wanted.schedule.model_fields_set & {"patience", "evaluate_every", "stop_on"}:
            raise ArgumentError(name, "is for audits during training; name a corpus to audit on with validation")
    folder = folder_of(out, f"{slug(str(model))}-{slug(wanted.strategy or str(wanted.recipe))}")
    if folder is None:
        raise ArgumentError("out", "a trained encoder needs a folder, for its checkpoints too")
    check_output_folder(folder, MARKERS)
    sources = _sources(corpus, langs, part)
    held_out = None if validation is None else opened(validation)
    if drop_leaks:
        if held_out is None:
            raise ArgumentError("drop_leaks", "is for a validation corpus; name one with validation")
        sources = {name: without_leaks(source, [held_out]) for name, source in sources.items()}
    data = TrainingData.of(sources, wanted)
    # Check before an encoder is loaded that the data can fill a batch.
    resolve_for_data(wanted, data, model if isinstance(model, str) else "")
    if held_out is not None:
        for name, source in sources.items():
            refuse_overlap(name, source, held_out, groups=False, drop="--drop-leaks (drop_leaks=True)")
    if isinstance(model, (str, Path)):
        name = str(model)
        encoder = make_or_load_start(name, _texts(sources), seed=wanted.seed, trust_code=trust_code)
    else:
        encoder, name = loaded(model)
    if length_limit(encoder) is None and "max_seq_length" in wanted.model_fields_set and wanted.max_seq_length:
        raise ArgumentError("max_seq_length", "this encoder has no limit, as static ones have none; leave it out")
    full = resolve(wanted, data, encoder, name, validation=held_out is not None)
    if isinstance(out, Folder):
        _refuse_to_replace(folder, full, data, name)
    _advise(encoder, full, data)
    result = run_training(encoder, sources, full, folder, base=name, validation=held_out, trust_code=trust_code)
    return TrainedModel(encoder, result, data.name, tuple(data.langs), folder)


def _settings(settings: TrainingSettings | None, values: Mapping[str, Any]) -> TrainingSettings:
    from pydantic import ValidationError

    from babelmix.experiment.config import describe
    from babelmix.training import TrainingSettings

    if settings is not None:
        if values:
            raise ConfigError(f"give settings, or {', '.join(values)} by name, not both")
        return settings
    try:
        return TrainingSettings(**values)
    except ValidationError as error:
        raise ConfigError(describe(error, TrainingSettings)) from error


def _sources(
    corpus: str | Path | Corpus | Sequence[str | Path | Corpus] | Mapping[str, Corpus],
    langs: str | Sequence[str] | None,
    part: str,
) -> dict[str, Corpus]:
    """The training corpora by name: the text that the caller gave or, for a `Corpus` object, its own name."""
    if isinstance(corpus, Mapping):
        return {name: opened(one, langs=langs, part=part) for name, one in corpus.items()}
    several = [corpus] if isinstance(corpus, (str, Path, Corpus)) else list(corpus)
    names = [one.name if isinstance(one, Corpus) else str(one) for one in several]
    if len(set(names)) < len(names):
        raise ArgumentError("corpus", "one is named twice")
    if not names:
        raise ArgumentError("corpus", "the list is empty; name one")
    return {name: opened(one, langs=langs, part=part) for name, one in zip(names, several, strict=True)}


def _texts(sources: Mapping[str, Corpus]) -> Iterator[str]:
    for corpus in sources.values():
        for side in (corpus.queries, corpus.passages):
            yield from (text for text in side["text"].to_pylist() if text)


def _refuse_to_replace(folder: Path, settings: ResolvedSettings, data: TrainingData, model: str) -> None:
    """Raise if the default folder holds an encoder with another base model, other training data or other settings."""
    from babelmix.training.resolving import trains_alike
    from babelmix.training.trainer import record_of

    if (before := record_of(folder)) is None:
        return
    same = (before["base"], before["corpus"]["fingerprint"]) == (model, data.fingerprint())
    if not same or not trains_alike(before["settings"], settings):
        raise ArgumentError("out", f"{folder} holds an encoder of another training; name another folder, or delete it")


def _advise(encoder: SentenceTransformer, settings: ResolvedSettings, data: TrainingData) -> None:
    """Print a hint if frozen token embeddings would make training several times faster."""
    from babelmix.encoders.kinds import kind_of

    weights = settings.weights
    if (
        str(encoder.device) == "cpu"
        and not data.has_images
        and kind_of(encoder).has_layers
        and not (weights.freeze_embeddings or weights.lora_rank)
    ):
        console.print("on a CPU, --freeze-embeddings makes a step several times faster", style="dim")


__all__ = ["TrainedModel", "train"]
