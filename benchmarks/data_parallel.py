"""Data-parallel training: which rank holds which languages, the speed-up by two processes, and the cost of preparing a step.

python benchmarks/data_parallel.py --corpus libreoffice-help=blocks.parquet
python benchmarks/data_parallel.py --parts ranks          # no timing: any machine will do
python benchmarks/data_parallel.py --quick                # a short run, to see that everything works

Each measurement is a run of its own under `torch.distributed.run` (gloo, CPU).

Ranks: sentence-transformers' trainer with one data set per language and its own samplers, and babelmix's trainer. Both train a
small encoder. Both are observed at the same place: the texts that reach the data collator of each rank.

Throughput: `babelmix.training.train`, called as a user calls it, with a fixed number of threads per process. The first steps
are not timed, and the set-ups take turns. Two processes with one thread each are compared with one process with one thread, at
the same number of pairs per process: this is the case that data parallelism is for. The table also has one process with two
threads.

Feeding: the time for the plan, for reading texts and for the collator (tokenisation) in all timed steps of the same runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from texts import corpus, in_processes, labelled_corpus, leave, save_small_encoder

LANGS = ("de", "en", "fr")
GLOBAL_BATCHES = 120
"""Of all ranks and languages together, as in the published count of sentence-transformers' samplers."""
PER_RANK = 8
ITEMS = GLOBAL_BATCHES // len(LANGS) * PER_RANK
# Name in the table, whose, sampler or strategy, whether accelerate splits batches.
SAMPLERS = (
    ("sentence-transformers, `round_robin`", "theirs", "round_robin", False),
    ("sentence-transformers, `proportional` (its default)", "theirs", "proportional", False),
    ("the same with `split_batches`", "theirs", "proportional", True),
    ("babelmix, `mono`", "ours", "mono", False),
    ("babelmix, `hybrid`", "ours", "hybrid", False),
)
# Processes, threads of each, pairs a step in units of `--batch`.
SETUPS = ((1, 1, 1), (2, 1, 2), (1, 2, 1), (1, 2, 2))
MADE_ITEMS = 2048
WATCHED = ("plan", "texts", "collator")


def callback(collated: Callable[[Any], Any], step_end: Callable[[], None] = lambda: None) -> Any:
    """A callback that replaces the data loader's collator by `collated(collate_fn)` before the first step."""
    from transformers import TrainerCallback

    class Between(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **_: Any) -> None:
            # Accelerate wraps the loader that does the work.
            loader = getattr(train_dataloader, "base_dataloader", train_dataloader)
            loader.collate_fn = collated(loader.collate_fn)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            step_end()

    return Between()


def languages_of(rows: list[dict[str, str]]) -> str:
    """The language of a batch if all its texts have the same one, otherwise `several`."""
    langs = {row[side].split()[0] for row in rows for side in ("query", "passage")}
    return langs.pop() if len(langs) == 1 else "several"


def held(job: dict[str, Any]) -> dict[str, list[str]]:
    """What this rank receives at each step, for each sampler."""
    import torch

    from babelmix import _processes
    from babelmix._progress import quiet_transformers
    from babelmix.encoders import load_encoder

    torch.set_num_threads(job["threads"])
    _processes.join(cpu=True)
    data = labelled_corpus(LANGS, ITEMS)
    found: dict[str, list[str]] = {}
    for label, whose, name, split in SAMPLERS:
        seen = found.setdefault(label, [])

        def watched(collate: Callable[[Any], Any], seen: list[str] = seen) -> Callable[[Any], Any]:
            def call(rows: Any) -> Any:
                if len(rows) != PER_RANK:
                    raise SystemExit(f"a rank was given {len(rows)} rows, not {PER_RANK}")
                seen.append(languages_of(rows))
                return collate(rows)

            return call

        encoder, watch = load_encoder(job["encoder"], device="cpu"), callback(watched)
        with tempfile.TemporaryDirectory() as place, quiet_transformers():
            if whose == "ours":
                ours(encoder, data, name, job["steps"], Path(place), watch)
            else:
                theirs(encoder, data, name, split, job["steps"], place, watch)
    return found


def ours(encoder: Any, data: Any, strategy: str, steps: int, place: Path, watch: Any) -> None:
    """Train with babelmix."""
    from babelmix import _processes
    from babelmix.training import TrainingSettings, train

    batch = PER_RANK * _processes.world_size()
    train(
        encoder,
        data,
        TrainingSettings(strategy=strategy, steps=steps, batch_size=batch, schedule={"checkpoint_every": 0}),
        place / "m",
        callbacks=[watch],
    )


def theirs(encoder: Any, data: Any, sampler: str, split: bool, steps: int, place: str, watch: Any) -> None:
    """Train with sentence-transformers: one data set per language, negatives gathered from all ranks."""
    from datasets import Dataset, DatasetDict
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers import PrinterCallback

    from babelmix import _processes

    sides = {"query": data.queries, "passage": data.passages}
    sets = {}
    for lang in LANGS:
        keep = {
            side: [row["text"] for row in table.to_pylist() if row["lang"] == lang] for side, table in sides.items()
        }
        sets[lang] = Dataset.from_dict(keep)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=place, max_steps=steps, use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True,
        per_device_train_batch_size=PER_RANK * (_processes.world_size() if split else 1), seed=0,
        multi_dataset_batch_sampler=sampler, dataloader_pin_memory=False, ddp_backend="gloo",
        accelerator_config={"split_batches": split}, logging_strategy="no",
    )  # fmt: skip
    trainer = SentenceTransformerTrainer(
        encoder, arguments, train_dataset=DatasetDict(sets), callbacks=[watch],
        loss=MultipleNegativesRankingLoss(encoder, gather_across_devices=True),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def ranks_table(worlds: list[int], folder: Path) -> None:
    """The number of steps in which the ranks hold different languages."""
    print("### What the ranks hold\n")
    print("| batches | ranks | steps | of one language in each rank | steps in which ranks hold different ones |")
    print("|---|---|---|---|---|")
    rows = []
    save_small_encoder([*LANGS, "answer", *map(str, range(ITEMS))], folder / "small")
    for world in worlds:
        steps = GLOBAL_BATCHES // world
        job = {"part": "ranks", "steps": steps, "encoder": str(folder / "small")}
        found = in_processes(__file__, job, folder, processes=world, threads=1)
        for order, (label, *_) in enumerate(SAMPLERS):
            # A loader may fetch a batch more than is used.
            each = [one[label][:steps] for one in found]
            if any(len(one) != steps for one in each):
                raise SystemExit(f"{label}: {[len(one) for one in each]} batches for {steps} steps")
            together = [set(step) for step in zip(*each, strict=True)]
            mono = sum("several" not in step for step in together)
            differ = sum(len(step) > 1 for step in together)
            rows.append((order, f"| {label} | {world} | {steps} | {mono} | {differ} |"))
    for _, row in sorted(rows, key=lambda one: one[0]):
        print(row)
    print(
        "\nIf ranks differ and the loss gathers negatives from all, a batch in one language has negatives in others."
    )
    print(
        "`split_batches` is a setting of accelerate; the batch size per rank is then multiplied by hand.\n", flush=True
    )


def measured(job: dict[str, Any]) -> dict[str, Any]:
    """One run of babelmix's training: seconds of the timed steps, and of preparing them."""
    import torch

    from babelmix.batches import BatchPlan
    from babelmix.encoders import load_encoder
    from babelmix.training import StepTexts, TrainingSettings, train

    torch.set_num_threads(job["threads"])
    spent: Counter[str] = Counter()
    marks: list[tuple[float, Counter[str]]] = []

    def timed(function: Callable[..., Any], what: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            start = time.perf_counter()
            result = function(*arguments)
            spent[what] += time.perf_counter() - start
            return result

        return call

    # The texts of a step ask the plan themselves.
    BatchPlan.__getitem__ = timed(BatchPlan.__getitem__, "plan")  # type: ignore[method-assign]
    StepTexts.__getitem__ = timed(StepTexts.__getitem__, "plan and texts")  # type: ignore[method-assign]
    watch = callback(
        lambda collate: timed(collate, "collator"), lambda: marks.append((time.perf_counter(), spent.copy()))
    )
    settings = TrainingSettings(
        strategy="hybrid", steps=job["warm"] + job["steps"], batch_size=job["batch"], max_seq_length=job["length"],
        weights={"freeze_embeddings": True}, schedule={"checkpoint_every": 0}, bf16=job["bf16"],
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        encoder = load_encoder(job["encoder"], device="cpu")
        train(encoder, corpus(job["corpus"], MADE_ITEMS), settings, Path(place) / "model", callbacks=[watch])
    if torch.get_num_threads() != job["threads"]:
        raise SystemExit(f"training changed the number of threads to {torch.get_num_threads()}")
    (start, before), (end, after) = marks[job["warm"] - 1], marks[-1]
    took = {what: (after[what] - before[what]) / job["steps"] for what in after}
    return {
        "step": (end - start) / job["steps"], "plan": took["plan"], "texts": took["plan and texts"] - took["plan"],
        "collator": took["collator"],
    }  # fmt: skip


def throughput_tables(asked: argparse.Namespace, folder: Path) -> None:
    """Pairs per second of each set-up, and the share of a step that its preparation takes."""
    rate_lines, feeding_lines = [], []
    for precision in asked.precision:
        results: dict[tuple[int, int, int], list[dict[str, float]]] = {setup: [] for setup in SETUPS}
        for _ in range(asked.rounds):
            for processes, threads, unit in SETUPS:
                job = {
                    "part": "rate", "encoder": asked.encoder, "corpus": asked.corpus, "length": asked.length,
                    "batch": asked.batch * unit, "bf16": precision == "bfloat16", "warm": asked.warm, "steps": asked.steps,
                }  # fmt: skip
                ranks = in_processes(__file__, job, folder, processes=processes, threads=threads)
                # All ranks take a step together; the slowest at feeding is the one the others wait for.
                slowest = max(ranks, key=lambda rank: sum(rank[what] for what in WATCHED))
                results[processes, threads, unit].append(slowest | {"rate": asked.batch * unit / ranks[0]["step"]})
        alone = [run["rate"] for run in results[SETUPS[0]]]
        for (processes, threads, unit), runs in results.items():
            middle = {what: statistics.median(run[what] for run in runs) for what in runs[0]}
            ratios = [run["rate"] / one for run, one in zip(runs, alone, strict=True)]
            share = [sum(run[what] for what in WATCHED) / run["step"] for run in runs]
            start = f"| {precision} | {processes} | {threads} | {asked.batch * unit} | "
            rate_lines.append(
                start + f"{middle['step']:.2f} | {middle['rate']:.1f} | {statistics.median(ratios):.2f} | "
                f"{min(ratios):.2f} to {max(ratios):.2f} |"
            )
            feeding = " | ".join(f"{1000 * middle[what]:.2f}" for what in WATCHED)
            feeding_lines.append(
                start + f"{1000 * middle['step']:.0f} | {feeding} | {100 * statistics.median(share):.2f}% |"
            )
    texts = f"texts of {asked.corpus.partition('=')[0]}" if asked.corpus else "made texts"
    print(
        f"### Throughput\n\n`{asked.encoder}`, token vectors frozen, at most {asked.length} tokens, {texts}, {asked.steps} "
        f"steps after {asked.warm} without timing; medians of {asked.rounds} rounds.\n"
    )
    start = "| precision | processes | threads of each | pairs a step | "
    print(start + "seconds a step | pairs a second | times one process of one thread | range |\n|" + "---|" * 8)
    print("\n".join(rate_lines))
    print("\n### The share of feeding in a step\n\nFrom the same runs.\n")
    print(start + "step, ms | plan, ms | texts, ms | tokenisation, ms | share of the step |\n|" + "---|" * 9)
    print("\n".join(feeding_lines))


def main() -> None:
    """Print the selected parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=("ranks", "rate"), default=["ranks", "rate"])
    parser.add_argument("--corpus", help="NAME=PATH; by default made texts")
    parser.add_argument("--encoder", default="e5-small-offline")
    parser.add_argument("--length", type=int, default=48, help="tokens a text at most")
    parser.add_argument("--batch", type=int, default=16, help="pairs a process")
    parser.add_argument("--precision", nargs="+", choices=("float32", "bfloat16"), default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", type=int, default=3, help="steps that are not timed")
    parser.add_argument("--steps", type=int, default=20, help="steps that are timed")
    parser.add_argument("--quick", action="store_true", help="the smallest sizes: does it run?")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        job = json.loads(asked.worker.read_text(encoding="utf-8"))
        leave(job, held(job) if job["part"] == "ranks" else measured(job))
        return
    if asked.quick:
        asked.rounds, asked.warm, asked.steps, asked.batch, asked.length = 1, 1, 2, 4, 16
        asked.precision = asked.precision[:1]
    with tempfile.TemporaryDirectory() as folder:
        if "ranks" in asked.parts:
            ranks_table([2] if asked.quick else [2, 4], Path(folder))
        if "rate" in asked.parts:
            throughput_tables(asked, Path(folder))


if __name__ == "__main__":
    main()
