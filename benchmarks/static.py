"""Train a static encoder: babelmix's sparse updates against sentence-transformers' own training, on the same batches.

python benchmarks/static.py --rounds 3

Both train `StaticEmbedding` with MultipleNegativesRankingLoss from the same vectors on the same batches. sentence-transformers
uses its trainer and its default optimiser (AdamW over all vectors); babelmix uses its trainer (SparseAdam over the vectors of a
batch). The two optimisers agree on the vectors that a batch uses. They differ on the other vectors, which AdamW's momentum
still moves.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from measuring import cost
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PrinterCallback, TrainerCallback

from babelmix._progress import quiet_transformers
from babelmix.batches import BatchPlan, CorpusIndex, strategy
from babelmix.corpus import Corpus
from babelmix.encoders import static
from babelmix.encoders.kinds import TEMPERATURE
from babelmix.training import TrainingSettings, train

DIMENSION = 256
BATCH = 256
ITEMS = 4096
WORDS = 30
WARM = 5
"""Steps at the start of a run that are not timed."""


def encoder(vocabulary: int) -> SentenceTransformer:
    """A static encoder over `vocabulary` whole words, with the same vectors every time."""
    words = {f"w{i}": i for i in range(vocabulary - 1)} | {"[UNK]": vocabulary - 1}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((vocabulary, DIMENSION), dtype=np.float32) / DIMENSION**0.5
    return SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=vectors), Normalize()], device="cpu"
    )


def corpus(vocabulary: int) -> Corpus:
    """Texts in two languages whose words follow Zipf's law. Query and passage of an item share half of their words."""
    rng = np.random.default_rng(1)
    share = 1 / np.arange(1, vocabulary)
    drawn = rng.choice(vocabulary - 1, size=(ITEMS, 2, WORDS + WORDS // 2), p=share / share.sum())
    queries, passages = [], []
    for i in range(ITEMS):
        for side, lang in enumerate(("de", "en")):
            words = [f"w{w}" for w in drawn[i, side]]
            queries.append({"item": str(i), "lang": lang, "text": " ".join(words[:WORDS])})
            passages.append({"item": str(i), "lang": lang, "text": " ".join(words[WORDS // 2 :])})
    return Corpus.from_rows(queries, passages, [(str(i), str(i)) for i in range(ITEMS)], name="words")


class Clock(TrainerCallback):
    """Records the time and the loss of every step."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.losses: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The end of a step."""
        self.times.append(time.perf_counter())
        control.should_log = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """The loss of a step."""
        if logs and "loss" in logs:
            self.losses.append(logs["loss"])

    def milliseconds(self) -> float:
        """Median time of a step."""
        return 1000 * statistics.median(np.diff(self.times)[WARM:])


def ours(data: Corpus, vocabulary: int, steps: int, remember: bool = False) -> Clock:
    """Train with babelmix."""
    model, clock = encoder(vocabulary), Clock()
    if remember:
        static.remember_tokens(model, static.TokenMemory())
    settings = TrainingSettings(
        strategy="mono", steps=steps, batch_size=BATCH, learning_rate=0.01, schedule={"warmup": 0.0}
    )
    with tempfile.TemporaryDirectory() as place:
        train(model, data, settings, Path(place) / "model", callbacks=[clock])
    return clock


def theirs(data: Corpus, vocabulary: int, steps: int) -> Clock:
    """Train with sentence-transformers on the same batches in the same order."""
    plan = BatchPlan(CorpusIndex(data), strategy("mono"), BATCH, seed=0)
    rows: dict[str, list[str]] = {"query": [], "passage": []}
    for step in range(steps):
        batch = plan[step]
        rows["query"] += data.queries["text"].take(batch.query_rows).to_pylist()
        rows["passage"] += data.passages["text"].take(batch.passage_rows).to_pylist()
    in_order = [list(range(step * BATCH, (step + 1) * BATCH)) for step in range(steps)]
    model, clock = encoder(vocabulary), Clock()
    with tempfile.TemporaryDirectory() as place, quiet_transformers():
        arguments = SentenceTransformerTrainingArguments(
            output_dir=place, max_steps=steps, per_device_train_batch_size=BATCH, learning_rate=0.01, weight_decay=0.0,
            max_grad_norm=0.0, use_cpu=True, save_strategy="no", report_to="none", disable_tqdm=True,
            dataloader_pin_memory=False, batch_sampler=lambda *_, **__: Fixed(in_order), logging_strategy="steps",
            logging_steps=1,
        )  # fmt: skip
        trainer = SentenceTransformerTrainer(
            model=model, args=arguments, train_dataset=Dataset.from_dict(rows), callbacks=[clock],
            loss=MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE),
        )  # fmt: skip
        # It prints every loss to standard output, which is for the table.
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock


def bare(data: Corpus, vocabulary: int, steps: int) -> float:
    """Median milliseconds of forward pass, loss and backward pass alone, on given tokens, without an update."""
    plan = BatchPlan(CorpusIndex(data), strategy("mono"), BATCH, seed=0)
    model = encoder(vocabulary)
    weights = model[0].embedding.weight.detach().clone().requires_grad_()
    took = []
    for step in range(steps):
        batch = plan[step]
        ids = [
            torch.tensor([[int(word[1:]) for word in text.split()] for text in table["text"].take(rows).to_pylist()])
            for table, rows in ((data.queries, batch.query_rows), (data.passages, batch.passage_rows))
        ]

        def work(ids: list[torch.Tensor] = ids) -> None:
            query, passage = (
                torch.nn.functional.normalize(
                    torch.nn.functional.embedding_bag(one, weights, mode="mean", sparse=True)
                )
                for one in ids
            )
            scores = query @ passage.T / TEMPERATURE
            torch.nn.functional.cross_entropy(scores, torch.arange(len(scores))).backward()
            weights.grad = None

        took.append(cost(work)[0].clock)
    return 1000 * statistics.median(took[WARM:])


class Fixed(torch.utils.data.Sampler[list[int]]):
    """Batches in a given order."""

    def __init__(self, batches: list[list[int]]) -> None:
        self.batches = batches

    def __iter__(self) -> Any:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def main() -> None:
    """Measure the three in turn, then print medians and ratios for each vocabulary size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.steps = 1, WARM + 3
    lines = [
        "| vocabulary | sentence-transformers, ms a step | babelmix, ms | ratio | babelmix with token memory, ms | ratio | "
        "forward and backward pass alone, ms | largest difference of the loss | loss at first and last |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for vocabulary in (2_000,) if arguments.quick else (10_000, 50_000, 250_000):
        data = corpus(vocabulary)
        found: list[tuple[float, ...]] = []
        for _ in range(arguments.rounds):
            clocks = [
                theirs(data, vocabulary, arguments.steps),
                ours(data, vocabulary, arguments.steps),
                ours(data, vocabulary, arguments.steps, remember=True),
            ]
            alone = bare(data, vocabulary, arguments.steps)
            found.append((*(clock.milliseconds() for clock in clocks), alone))
        stock, sparse, remembered, least = (statistics.median(column) for column in zip(*found, strict=True))
        ratios = [statistics.median(row[0] / row[i] for row in found) for i in (1, 2)]
        gap = max(abs(a - b) for a, b in zip(clocks[0].losses, clocks[1].losses, strict=True))
        lines.append(
            f"| {vocabulary:,} | {stock:.0f} | {sparse:.1f} | {ratios[0]:.1f} | {remembered:.1f} | {ratios[1]:.1f} | "
            f"{least:.1f} | {gap:.4f} | {clocks[1].losses[0]:.3f}, {clocks[1].losses[-1]:.3f} |"
        )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
