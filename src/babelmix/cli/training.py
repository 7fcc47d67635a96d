"""`babelmix train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from babelmix.cli.options import (
    JsonOption,
    LangsOption,
    PartOption,
    TrustOption,
    listed,
    print_json,
    read_corpus,
    said,
)

if TYPE_CHECKING:
    from babelmix.training import ResolvedSettings, TrainingData, TrainingSettings


def train(
    context: typer.Context,
    corpus: Annotated[
        list[str],
        typer.Option(
            "--corpus",
            "-c",
            metavar="CORPUS",
            help="NAME, NAME=PATH or PATH: see `babelmix data`. Of several each batch holds one.",
        ),
    ],
    recipe: Annotated[
        Literal["best", "paper"],
        typer.Option(
            help="What holds of strategy, consistency and start-share unless they are given: what did best in our tests, or "
            "the paper's hybrid batches alone. Naming a strategy leaves the recipe out."
        ),
    ] = "best",
    strategy: Annotated[
        str,
        typer.Option(
            help="english, mixed, mono, cross, hybrid, hybrid(ALPHA) or, with an alpha that changes over the run, "
            "hybrid(FROM..TO); also one_to_k, one_to_k(K); for pictures paired, hybrid(ALPHA, paired), "
            "hybrid(ALPHA, text_text).  [default: the recipe's]"
        ),
    ] = "",
    model: Annotated[
        str, typer.Option(help="The encoder to start from: see `babelmix encoders`.")
    ] = "e5-small-offline",
    out: Annotated[
        Path | None,
        typer.Option(help="The new encoder's folder.  [default: runs/MODEL-STRATEGY or -RECIPE]"),
    ] = None,
    langs: LangsOption = "",
    part: PartOption = "all",
    steps: Annotated[int, typer.Option(min=0, help="Optimiser steps; 0: three passes, 30 to 500 steps.")] = 0,
    batch_size: Annotated[
        int, typer.Option(min=0, help="Pairs a batch, over all processes; 0: 64, or what the smallest language has.")
    ] = 0,
    learning_rate: Annotated[float, typer.Option(min=0, help="0: 2e-5, and 5e-3 for static encoders.")] = 0.0,
    temperature: Annotated[
        float,
        typer.Option(min=0, help="Of the InfoNCE loss; 0: 0.05, and for pictures 0.07, from which it is learned."),
    ] = 0.0,
    max_seq_length: Annotated[
        int,
        typer.Option(min=0, help="Tokens a text in training; 0: the encoder's own limit. Static encoders have none."),
    ] = 128,
    language_temperature: Annotated[float, typer.Option(min=0, help="0: languages uniform; 1: by size.")] = 0.0,
    source_temperature: Annotated[
        float, typer.Option(min=0, help="Of several corpora: 0: all alike; 1: by size.")
    ] = 1.0,
    hard_negatives: Annotated[bool, typer.Option(help="A hard negative a row, where the corpus has any.")] = True,
    pooling: Annotated[
        Literal["", "mean", "cls"], typer.Option(help="Of token vectors.  [default: the encoder's own]")
    ] = "",
    query_prompt: Annotated[str, typer.Option(help="Put before queries.  [default: the encoder's own]")] = "",
    passage_prompt: Annotated[str, typer.Option(help="Put before passages.  [default: the encoder's own]")] = "",
    mini_batch_size: Annotated[int, typer.Option(min=0, help="GradCache: texts a forward pass; 0: off.")] = 0,
    gradient_checkpointing: Annotated[bool, typer.Option(help="Less memory, more time.")] = False,
    lora_rank: Annotated[int, typer.Option(min=0, help="LoRA adapters of this rank; 0: all weights.")] = 0,
    freeze_embeddings: Annotated[
        bool, typer.Option(help="Leave a transformer's token vectors as they are: faster on a CPU.")
    ] = False,
    bf16: Annotated[bool, typer.Option(help="bfloat16 mixed precision.")] = False,
    start_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.99,
            help="Average the result with so much of the starting weights.  [default: the recipe's]",
        ),
    ] = None,
    lock_images: Annotated[bool, typer.Option(help="Pictures: train the text tower only (LiT).")] = False,
    text_share: Annotated[
        float, typer.Option(min=0, max=0.99, help="Pictures: share of steps that match captions with captions.")
    ] = 0.0,
    text_weight: Annotated[
        float, typer.Option(min=0, help="Pictures: of the term between two captions, in `paired` batches.")
    ] = 1.0,
    text_only_langs: Annotated[
        str,
        typer.Option(help="Pictures: languages that never stand beside one; needs --text-share.", metavar="fa,ko,..."),
    ] = "",
    distil_from: Annotated[
        str,
        typer.Option(
            help="An encoder whose embeddings of English texts all translations are to have; 'start': the encoder itself as "
            "it was. Pictures: with --lock-images.",
            metavar="MODEL",
        ),
    ] = "",
    distil_text: Annotated[
        str, typer.Option(help="What that encoder reads: english, or itself, the very text.", metavar="english|itself")
    ] = "english",
    distil_share: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of the distance from it in the loss; 1: no other loss.")
    ] = 1.0,
    consistency: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Weight of the term that gives translations of an answer the same place; 0: none.  [default: the recipe's]",
        ),
    ] = None,
    consistency_of: Annotated[
        Literal["passages", "queries", "both"], typer.Option(help="Whose translations.")
    ] = "passages",
    validation: Annotated[
        str,
        typer.Option(
            help="A corpus to audit on now and then, in all of its languages; keep the best.", metavar="CORPUS"
        ),
    ] = "",
    evaluate_every: Annotated[int, typer.Option(min=0, help="Steps between those audits; 0: ten in all.")] = 0,
    stop_on: Annotated[str, typer.Option(help="The measure that is watched.", metavar="SETTING/METRIC")] = "multi/mAP",
    patience: Annotated[
        int, typer.Option(min=0, help="Stop after so many audits without a better one; 0: never.")
    ] = 0,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(min=0, help="Steps between checkpoints; 0: none.  [default: 50; 0 for static encoders]"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the batches.")] = 0,
    trust_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Fine-tune an encoder with monolingual, cross-lingual or hybrid batches.

    The result is a folder that plain `SentenceTransformer(path)` loads. An interrupted run goes on from its last
    checkpoint with the same batches. Under `torchrun` several processes share each batch.
    """
    from babelmix._files import check_output_folder, slug
    from babelmix._processes import is_main
    from babelmix._progress import console
    from babelmix.cli.tables import print_training
    from babelmix.encoders.kinds import kind_of
    from babelmix.encoders.limits import length_limit
    from babelmix.errors import ConfigError
    from babelmix.experiment.parts import refuse_overlap
    from babelmix.training import TrainingData, make_or_load_start, resolve, resolve_for_data
    from babelmix.training import train as run_training
    from babelmix.training.trainer import MARKERS

    on_line = said(context)
    if not validation and on_line & {"patience", "evaluate_every", "stop_on"}:
        raise ConfigError(
            "--patience, --evaluate-every and --stop-on are of audits on a corpus that --validation names"
        )
    teacher = {"teacher": distil_from, "reads": distil_text, "share": distil_share}
    if not distil_from and on_line & {"distil_text", "distil_share"}:
        raise ConfigError(
            "--distil-text and --distil-share say how to learn from a teacher; name one by --distil-from"
        )
    settings = _checked(
        recipe=recipe, strategy=strategy or None, steps=steps or None, batch_size=batch_size or None,
        learning_rate=learning_rate or None, max_seq_length=max_seq_length, language_temperature=language_temperature,
        source_temperature=source_temperature, hard_negatives=hard_negatives, pooling=pooling or None,
        query_prompt=query_prompt or None, passage_prompt=passage_prompt or None,
        gradient_checkpointing=gradient_checkpointing, bf16=bf16, seed=seed, distillation=teacher if distil_from else None,
        loss={
            "temperature": temperature or None, "consistency": consistency, "consistency_of": consistency_of,
            "mini_batch_size": mini_batch_size or None,
        },
        pictures={
            "lock_images": lock_images, "text_share": text_share, "text_weight": text_weight,
            "text_only_langs": listed(text_only_langs),
        },
        weights={"lora_rank": lora_rank or None, "freeze_embeddings": freeze_embeddings, "start_share": start_share},
        schedule={
            "evaluate_every": evaluate_every or None, "stop_on": stop_on, "patience": patience or None,
            "checkpoint_every": checkpoint_every,
        },
    )  # fmt: skip
    folder = out or Path("runs") / f"{slug(model)}-{slug(strategy or recipe)}"
    check_output_folder(folder, MARKERS)
    if len(set(corpus)) < len(corpus):
        raise ConfigError("--corpus: one is named twice")
    sources = {spec: read_corpus(spec, langs, part) for spec in corpus}
    data = TrainingData.of(sources, settings)
    # Before an encoder is loaded: the data may not fill a batch.
    resolve_for_data(settings, data, model)
    held_out = read_corpus(validation, "", "all") if validation else None
    if held_out is not None:
        for name, source in sources.items():
            refuse_overlap(name, source, held_out, groups=False)
    texts = (t for c in sources.values() for s in (c.queries, c.passages) for t in s["text"].to_pylist() if t)
    encoder = make_or_load_start(model, texts, seed=seed, trust_code=trust_code)
    if length_limit(encoder) is None and max_seq_length and "max_seq_length" in on_line:
        raise ConfigError("--max-seq-length: this encoder reads whole texts, as static ones do; leave it out")
    settings = resolve(settings, data, encoder, model, validation=held_out is not None)
    if out is None:
        _refuse_to_replace(folder, settings, data, model)
    if (
        str(encoder.device) == "cpu"
        and not data.has_images
        and kind_of(encoder).has_layers
        and not (freeze_embeddings or lora_rank)
    ):
        console.print("on a CPU, --freeze-embeddings makes a step several times faster", style="dim")
    result = run_training(encoder, sources, settings, folder, base=model, validation=held_out, trust_code=trust_code)
    if not is_main():
        return
    if json_output:
        print_json({"folder": str(folder), "settings": result.settings.model_dump(), "losses": result.losses})
    else:
        print_training(result, folder, data)


def _checked(**values: Any) -> TrainingSettings:
    from pydantic import ValidationError

    from babelmix.errors import ConfigError
    from babelmix.experiment.config import describe
    from babelmix.training import TrainingSettings

    try:
        return TrainingSettings(**values)
    except ValidationError as error:
        raise ConfigError(describe(error)) from error


def _refuse_to_replace(folder: Path, settings: ResolvedSettings, data: TrainingData, model: str) -> None:
    """Raise if a folder that was not asked for by name holds an encoder that was trained otherwise."""
    from babelmix.errors import ConfigError
    from babelmix.training.resolve import trains_alike
    from babelmix.training.trainer import record_of

    if (before := record_of(folder)) is None:
        return
    if (before["base"], before["corpus"]["fingerprint"]) != (model, data.fingerprint()) or (
        not trains_alike(before["settings"], settings)
    ):
        raise ConfigError(
            f"{folder}: holds an encoder of another training; choose a folder with --out, or delete that one"
        )
