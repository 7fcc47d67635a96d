"""What a process of a data-parallel test does: trains a tiny encoder, and keeps what it saw.

Started by `tests/test_processes.py`, alone or by torchrun, with one argument: a JSON file of jobs.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from conftest import flat_settings, parallel_corpus, picture_corpus
from test_negatives import with_negatives
from transformers import Trainer, TrainerCallback, TrainerState

from babelmix.encoders import load_encoder
from babelmix.encoders.dual import make_dual
from babelmix.errors import BabelmixError
from babelmix.training import StepTexts, train, weights

RANK = int(os.environ.get("RANK", "0"))


class Spy(TrainerCallback):
    """Keeps the gradients of the first step, and the texts of every step."""

    def __init__(self) -> None:
        self.gradients: dict[str, torch.Tensor] = {}

    def on_pre_optimizer_step(self, args, state, control, model=None, optimizer=None, **kwargs):
        if not self.gradients:
            model = getattr(model, "module", model)
            named = dict(model.named_parameters())
            all_of_them = [p for group in optimizer.param_groups for p in group["params"]]
            named |= {
                f"of the loss {n}": p for n, p in enumerate(all_of_them) if not any(p is q for q in named.values())
            }
            self.gradients = {n: p.grad.clone() for n, p in named.items() if p.grad is not None}


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    # Registered first, so it runs last: whether the group was left before Python goes down.
    group = Path(f"{job['out']}.group-{RANK}")
    atexit.register(lambda: group.write_text("there" if torch.distributed.is_initialized() else "left"))
    corpus = picture_corpus() if job.get("pictures") else parallel_corpus()
    if job["negatives"]:
        corpus = with_negatives(corpus, np.random.default_rng(0))
    original = StepTexts.__getitem__

    def seen(self, step):
        rows = original(self, step)
        with Path(f"{job['out']}.steps-{RANK}.jsonl").open("a") as file:
            file.write(json.dumps([step, rows], default=torch.Tensor.tolist) + "\n")
        if job.get("kill") == [RANK, step] and not Path(f"{job['out']}.killed").exists():
            Path(f"{job['out']}.killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return rows

    StepTexts.__getitem__ = seen
    save_trained = weights.save_trained

    def saved(encoder, file):
        with Path(f"{job['out']}.saved-{RANK}").open("a") as names:
            names.write(f"{file.name}\n")
        save_trained(encoder, file)

    weights.save_trained = saved
    save_rng_state, save_to_json = Trainer._save_rng_state, TrainerState.save_to_json

    def late(self, folder):
        if RANK == 1:
            time.sleep(0.3)
        save_rng_state(self, folder)

    def whole(self, file):
        generators = len(list(Path(file).parent.glob("rng_state*.pth")))
        with Path(f"{job['out']}.generators").open("a") as counts:
            counts.write(f"{generators}\n")
        save_to_json(self, file)

    Trainer._save_rng_state, TrainerState.save_to_json = late, whole
    texts = corpus.queries["text"].to_pylist()
    # Before the processes know of each other: then only the first of them would write the files that a tower is made from.
    encoders = {
        name: make_dual("tiny-clip", texts, dimension=32, size=200)
        if job.get("pictures")
        else load_encoder(job["encoder"])
        for name in job["runs"]
    }
    for name, settings in job["runs"].items():
        encoder = encoders[name]
        for module in encoder.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        spy = Spy()
        try:
            result = train(
                encoder, corpus, flat_settings(**settings), Path(job["out"]) / name, callbacks=[spy],
                validation=parallel_corpus(16) if settings.get("evaluate_every") else None,
            )  # fmt: skip
        except BabelmixError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        torch.save((result.losses, spy.gradients), f"{job['out']}.{name}-{RANK}.pt")
        if job.get("pictures"):
            torch.save(encoder.state_dict(), f"{job['out']}.{name}-{RANK}.weights.pt")
        if result.best is not None:
            torch.save((encoder.state_dict(), result.evaluations), f"{job['out']}.{name}-{RANK}.best.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
