"""`babelmix train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from babelmix.cli.options import JsonOption, LangsOption, PartOption, TrustOption, listed

NOT_SETTINGS = {"corpus", "model", "out", "langs", "part", "validation", "drop_leaks", "trust_code", "json_output"}
"""The parameters of the command that are not training settings."""

ZERO_IS_DEFAULT = {
    "steps", "batch_size", "learning_rate", "temperature", "mini_batch_size", "lora_rank", "evaluate_every", "patience",
}  # fmt: skip
"""The settings whose value 0 means the default."""

SECTIONS = {
    "distil_relations": "distillation.relations",
    "reverse": "loss.reverse",
    "reverse_kl": "loss.reverse_kl",
    "lakda": "loss.lakda",
    "soup": "schedule.soup",
    "distil_projection": "distillation.projection",
}
"""The dotted names of settings that never had a flat name, by option."""


def train(
    context: typer.Context,
    corpus: Annotated[
        list[str],
        typer.Option(
            "--corpus",
            "-c",
            metavar="CORPUS",
            help="NAME, NAME=PATH or PATH: see `babelmix data`. Of several corpora each batch holds one.",
        ),
    ],
    recipe: Annotated[
        Literal["best", "paper", "zero-shot"] | None,
        typer.Option(
            help="Where strategy, terms of the loss and start-share come from if they are not given: best did best on texts "
            "similar to the training texts, zero-shot on other texts; paper is hybrid batches alone. Naming a strategy leaves "
            "the recipe out.  [default: best]"
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="english, mixed, mono, cross, hybrid, hybrid(ALPHA) or, with an alpha that changes over the run, "
            "hybrid(FROM..TO); also one_to_k, one_to_k(K); for pictures paired, hybrid(ALPHA, paired), "
            "hybrid(ALPHA, text_text).  [default: the recipe's]"
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="The encoder to start from: see `babelmix encoders`.")
    ] = "e5-small-offline",
    out: Annotated[
        Path | None,
        typer.Option(help="The folder of the new encoder.  [default: runs/MODEL-STRATEGY or runs/MODEL-RECIPE]"),
    ] = None,
    langs: LangsOption = None,
    part: PartOption = "all",
    steps: Annotated[
        int | None, typer.Option(min=0, help="Optimiser steps; 0: three passes over the pairs, from 30 to 500 steps.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=0, help="Pairs in a batch, over all processes; 0: 64, or what the smallest language has."),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0, help="0: 2e-5, and 5e-3 for static encoders.")] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="info_nce, or a loss that a plugin registers.  [default: info_nce]", metavar="NAME"),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(min=0, help="Of the InfoNCE loss; 0: 0.05, and for pictures 0.07, from which it is learned."),
    ] = None,
    max_seq_length: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Tokens to read of each text in training; 0: the encoder's own limit. Static encoders have none.  "
            "[default: 128]",
        ),
    ] = None,
    language_temperature: Annotated[
        float | None,
        typer.Option(min=0, help="How languages are drawn. 0: all alike; 1: by size.  [default: 0]"),
    ] = None,
    source_temperature: Annotated[
        float | None,
        typer.Option(min=0, help="How several corpora are drawn. 0: all alike; 1: by size.  [default: 1]"),
    ] = None,
    hard_negatives: Annotated[
        bool | None,
        typer.Option(
            "--hard-negatives/--no-hard-negatives",
            help="Use a hard negative for each row, where the corpus has any.  [default: hard-negatives]",
        ),
    ] = None,
    pooling: Annotated[
        Literal["mean", "cls"] | None,
        typer.Option(help="Pooling of the token vectors.  [default: the encoder's own]"),
    ] = None,
    query_prompt: Annotated[
        str | None, typer.Option(help="Text before each query.  [default: the encoder's own]")
    ] = None,
    passage_prompt: Annotated[
        str | None, typer.Option(help="Text before each passage.  [default: the encoder's own]")
    ] = None,
    mini_batch_size: Annotated[
        int | None, typer.Option(min=0, help="GradCache: texts in one forward pass; 0: no GradCache.")
    ] = None,
    gradient_checkpointing: Annotated[bool, typer.Option(help="Less memory, more time.")] = False,
    lora_rank: Annotated[
        int | None, typer.Option(min=0, help="Train LoRA adapters of this rank; 0: train all weights.")
    ] = None,
    freeze_embeddings: Annotated[
        bool, typer.Option(help="Do not train a transformer's token vectors: faster on a CPU.")
    ] = False,
    bf16: Annotated[bool, typer.Option(help="Train in bfloat16 mixed precision.")] = False,
    dropout: Annotated[
        float | None, typer.Option(min=0, max=0.99, help="Rate of dropout; 0: none.  [default: the encoder's own]")
    ] = None,
    start_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.99,
            help="Share of the starting weights in the average that is saved.  [default: the recipe's]",
        ),
    ] = None,
    lock_images: Annotated[bool, typer.Option(help="Pictures: train the text tower only (LiT).")] = False,
    text_share: Annotated[
        float | None,
        typer.Option(
            min=0, max=0.99, help="Pictures: share of steps that match captions with captions.  [default: 0]"
        ),
    ] = None,
    text_weight: Annotated[
        float | None,
        typer.Option(
            min=0, help="Pictures: weight of the term between two captions, in `paired` batches.  [default: 1]"
        ),
    ] = None,
    text_only_langs: Annotated[
        str | None,
        typer.Option(
            help="Pictures: languages that are seen without pictures only; needs --text-share.", metavar="fa,ko,..."
        ),
    ] = None,
    distil_from: Annotated[
        str | None,
        typer.Option(
            help="A teacher: each translation learns the teacher's embedding of its English text. start: the encoder itself as "
            "it was. Pictures: with --lock-images.",
            metavar="MODEL",
        ),
    ] = None,
    distil_text: Annotated[
        Literal["english", "itself"] | None,
        typer.Option(help="What the teacher reads: the English text, or the text itself.  [default: english]"),
    ] = None,
    distil_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of the distance to the teacher in the loss, in the place of InfoNCE; 1: no InfoNCE.  [default: 1]",
        ),
    ] = None,
    distil_relations: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Weight of the term that gives each answer the probability that it has for the teacher in English.  "
            "[default: 0]",
        ),
    ] = None,
    distil_projection: Annotated[
        bool | None,
        typer.Option(
            "--distil-projection/--no-distil-projection",
            help="A linear map from the encoder's embeddings to the teacher's, in training only.  [default: where their "
            "dimensions differ]",
        ),
    ] = None,
    consistency: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Weight of the term that pulls translations of a text together; 0: no such term.  [default: the recipe's]",
        ),
    ] = None,
    consistency_of: Annotated[
        Literal["passages", "queries", "both"] | None,
        typer.Option(help="Whose translations consistency and LaKDA compare.  [default: passages]"),
    ] = None,
    reverse: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of reverse training in the loss: each passage finds its query.  [default: the recipe's]",
        ),
    ] = None,
    reverse_kl: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of the divergence between the reverse and the forward distributions in the loss.  [default: the "
            "recipe's]",
        ),
    ] = None,
    lakda: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of LaKDA's divergence between two translations in the loss; see --consistency-of.  [default: 0]",
        ),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            help="A corpus to audit on during training, in all of its languages; the best weights are saved.",
            metavar="CORPUS",
        ),
    ] = None,
    drop_leaks: Annotated[
        bool,
        typer.Option(
            "--drop-leaks",
            help="With --validation: train without the groups of passages that it has too; otherwise they are an error.",
        ),
    ] = False,
    evaluate_every: Annotated[
        int | None, typer.Option(min=0, help="With --validation: steps between audits; 0: ten audits in all.")
    ] = None,
    stop_on: Annotated[
        str | None,
        typer.Option(
            help="With --validation: the measure that decides.  [default: multi/mAP]", metavar="SETTING/METRIC"
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=0, help="With --validation: stop after so many audits without a better one; 0: never."),
    ] = None,
    soup: Annotated[
        int | None,
        typer.Option(
            min=0, help="With --validation: save the average of so many best audits, chosen greedily.  [default: 0]"
        ),
    ] = None,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(min=0, help="Steps between checkpoints; 0: none.  [default: 50; 0 for static encoders]"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the batches and of random weights.  [default: 0]")
    ] = None,
    trust_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Fine-tune an encoder with monolingual, cross-lingual or hybrid batches.

    The result is a folder that plain `SentenceTransformer(path)` loads. An interrupted run continues from its last
    checkpoint with the same batches. Under `torchrun` several processes share each batch.
    """
    from babelmix.errors import ArgumentError, require_train

    require_train("Training")
    from babelmix._processes import is_main
    from babelmix.api import training
    from babelmix.api._folders import RUNS
    from babelmix.cli.output import show
    from babelmix.training.flat import in_sections

    values = {
        name: value
        for name, value in context.params.items()
        if name not in NOT_SETTINGS and value is not None and not (name in ZERO_IS_DEFAULT and value == 0)
    }
    for name in ("distil_text", "distil_share", "distil_relations", "distil_projection"):
        if name in values and not distil_from:
            raise ArgumentError(name, "is for a teacher; name one with --distil-from")
    if text_only_langs is not None:
        values["text_only_langs"] = listed(text_only_langs)
    if loss is not None:
        values["loss"] = {"name": loss}
    for option in SECTIONS.keys() & values.keys():
        section, _, name = SECTIONS[option].partition(".")
        values[section] = {**values.get(section, {}), name: values.pop(option)}
    settings, _ = in_sections(values)
    made = training.train(
        corpus, model=model, out=out or RUNS, langs=listed(langs), part=part, validation=validation, drop_leaks=drop_leaks,
        trust_code=trust_code, **settings,
    )  # fmt: skip
    if is_main():
        show(made, json_output)
