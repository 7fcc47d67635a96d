"""Data-parallel training: two processes do what one would have done, and survive the loss of one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import flat_settings, parallel_corpus
from sentence_transformers import SentenceTransformer

from babelmix import _processes
from babelmix.encoders import load_encoder
from babelmix.errors import TrainingError
from babelmix.training import train

WORKER = Path(__file__).with_name("process_worker.py")
BASE = {"strategy": "hybrid", "steps": 3, "batch_size": 8, "learning_rate": 1e-3}


def run(
    out: Path, encoder: Path, runs: dict[str, Any], processes: int, **job: Any
) -> subprocess.CompletedProcess[str]:
    file = out.with_suffix(".json")
    file.write_text(json.dumps({"out": str(out), "encoder": str(encoder), "runs": runs, "negatives": False} | job))
    launcher = (
        ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    )
    path = os.pathsep.join(filter(None, [str(WORKER.parent), os.environ.get("PYTHONPATH", "")]))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, *launcher, str(WORKER), str(file)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def steps_of(out: Path, rank: int) -> list[tuple[int, list[dict[str, str]]]]:
    lines = Path(f"{out}.steps-{rank}.jsonl").read_text().splitlines()
    return [(step, rows) for step, rows in map(json.loads, lines)]


def check_gradients_and_losses(alone: Path, two: Path, name: str, close: float, losses_close: float) -> None:
    """Both ranks of two have the gradients of one process, and log its losses."""
    losses, gradients = torch.load(f"{alone}.{name}-0.pt")
    halves = [torch.load(f"{two}.{name}-{rank}.pt") for rank in (0, 1)]
    for _, found in halves:
        assert found.keys() == gradients.keys()
        for parameter, gradient in gradients.items():
            assert torch.allclose(found[parameter], gradient, atol=close, rtol=1e-4), (name, parameter)
    assert max(g.abs().max() for g in gradients.values()) > 1e-3
    # The loss that is logged is the mean over the ranks.
    assert halves[0][0] == [pytest.approx(entry, abs=losses_close) for entry in losses]


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one(tiny_bert, tmp_path) -> None:
    runs = {
        "plain": BASE,
        "cached": BASE | {"mini_batch_size": 3},
        "cross": BASE | {"strategy": "cross", "seed": 3},
        "consistent": BASE | {"strategy": "cross", "consistency": 1.0, "consistency_of": "both"},
        "many": BASE | {"strategy": "one_to_k", "mini_batch_size": 2},
    }
    alone, two = tmp_path / "alone", tmp_path / "two"
    for out, processes in ((alone, 1), (two, 2)):
        done = run(out, tiny_bert, runs, processes, negatives=True)
        assert done.returncode == 0, done.stderr
    # A group that is still there when Python goes down aborts the process now and then.
    assert [Path(f"{two}.group-{rank}").read_text() for rank in (0, 1)] == ["left", "left"]
    for name in runs:
        check_gradients_and_losses(alone, two, name, 1e-6, 1e-5)
        weights = [SentenceTransformer(str(out / name)).state_dict() for out in (alone, two)]
        assert all(torch.allclose(a, weights[1][key], atol=2e-4) for key, a in weights[0].items())
    # Each step's halves make the batch of one process, negatives included, and both are of one kind.
    whole, parts = steps_of(alone, 0), [steps_of(two, rank) for rank in (0, 1)]
    assert [(step, rows) for step, rows in whole] == [
        (step, [*first, *second]) for (step, first), (_, second) in zip(*parts, strict=True)
    ]
    assert {len(row) for _, rows in whole for row in rows} == {3, 6}
    assert sorted(path.name for path in two.iterdir()) == ["cached", "consistent", "cross", "many", "plain"]


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one_for_every_term(tiny_bert, tiny_static, tmp_path) -> None:
    """Also those of the projection, which is not part of the encoder: `DistributedDataParallel` does not see it."""
    tiny_static.save(str(tmp_path / "teacher"))
    teacher = {"teacher": str(tmp_path / "teacher"), "share": 0.4, "relations": 0.7}
    terms = {"reverse": 0.3, "reverse_kl": 0.2, "lakda": 0.1, "consistency": 0.5, "consistency_of": "both"}
    base = {key: value for key, value in BASE.items() if key != "strategy"}
    runs = {
        "all": base | {"strategy": "cross", "distillation": teacher, "loss": terms},
        "cached": base | {"strategy": "one_to_k", "distillation": teacher, "loss": {**terms, "mini_batch_size": 2}},
        "taught": base | {"strategy": "mono", "distillation": {**teacher, "share": 1.0, "relations": 0.0}},
    }
    alone, two = tmp_path / "alone", tmp_path / "two"
    for out, processes in ((alone, 1), (two, 2)):
        done = run(out, tiny_bert, runs, processes, negatives=True)
        assert done.returncode == 0, done.stderr
    for name in runs:
        _, gradients = torch.load(f"{alone}.{name}-0.pt")
        assert sum("of the loss" in key for key in gradients) == 2
        check_gradients_and_losses(alone, two, name, 2e-6, 1e-4)
        weights = [SentenceTransformer(str(out / name)).state_dict() for out in (alone, two)]
        assert all(torch.allclose(a, weights[1][key], atol=2e-4) for key, a in weights[0].items())


@pytest.mark.slow
def test_two_processes_train_on_pictures_as_one_does(tmp_path) -> None:
    base = {
        "steps": 4,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "temperature": 0.07,
        "max_seq_length": 0,
        "weight_decay": 0.1,
    }
    runs = {
        "mixed": base | {"strategy": "hybrid(0.5, paired)", "text_share": 0.4, "seed": 1},
        "many": base | {"strategy": "one_to_k"},
        "locked": base | {"strategy": "cross", "lock_images": True},
    }
    alone, two = tmp_path / "alone", tmp_path / "two"
    for out, processes in ((alone, 1), (two, 2)):
        done = run(out, Path("none"), runs, processes, pictures=True)
        assert done.returncode == 0, done.stderr
    for name in runs:
        check_gradients_and_losses(alone, two, name, 1e-5, 1e-3)
        ranks = [torch.load(f"{two}.{name}-{rank}.weights.pt") for rank in (0, 1)]
        assert all(torch.equal(a, ranks[1][key]) for key, a in ranks[0].items())


@pytest.mark.slow
def test_a_killed_rank_is_named_and_the_run_goes_on(tiny_bert, tmp_path) -> None:
    runs = {"model": BASE | {"steps": 10, "checkpoint_every": 3}}
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert run(straight, tiny_bert, runs, 2).returncode == 0
    first = run(killed, tiny_bert, runs, 2, kill=[1, 7])
    assert first.returncode != 0
    assert "error: rank 0: " in first.stderr
    assert "start the same command again: it goes on from step 6" in first.stderr
    assert not (killed / "model").exists()
    # Leaving would wait for the one that is gone.
    assert Path(f"{killed}.group-0").read_text() == "there"
    assert run(killed, tiny_bert, runs, 2, kill=[1, 7]).returncode == 0
    for rank in (0, 1):
        expected, found = dict(steps_of(straight, rank)), steps_of(killed, rank)
        assert all(rows == expected[step] for step, rows in found)
        assert set(Counter(step for step, _ in found)) == set(range(10))
    weights = [SentenceTransformer(str(out / "model")).state_dict() for out in (straight, killed)]
    assert all(torch.allclose(a, weights[1][key], atol=1e-6) for key, a in weights[0].items())
    record = json.loads((killed / "model" / "training.json").read_text())
    assert record["processes"] == 2


@pytest.mark.slow
def test_all_ranks_stop_together_and_end_with_the_best_weights(tiny_bert, tmp_path) -> None:
    change = {"steps": 8, "evaluate_every": 2, "learning_rate": 3e-2, "start_share": 0.25, "checkpoint_every": 4}
    runs = {"model": BASE | change, "adapters": BASE | change | {"lora_rank": 2, "patience": 1, "steps": 40}}
    alone, two = tmp_path / "alone", tmp_path / "two"
    for out, processes in ((alone, 1), (two, 2)):
        done = run(out, tiny_bert, runs, processes)
        assert done.returncode == 0, done.stderr
    for name in runs:
        found = [torch.load(f"{two}.{name}-{rank}.best.pt", weights_only=False) for rank in (0, 1)]
        saved = SentenceTransformer(str(two / name)).state_dict()
        for weights, _ in found:
            assert all(torch.equal(weights[key], tensor) for key, tensor in saved.items())
        assert found[0][1] == found[1][1]
        _, expected = torch.load(f"{alone}.{name}-0.best.pt", weights_only=False)
        assert found[0][1][0].score == pytest.approx(expected[0].score, abs=1e-3)
    assert len(found[0][1]) < 20
    assert sorted(path.name for path in two.iterdir()) == ["adapters", "model"]
    # One process writes: two that write a file at once fail now and then.
    assert Path(f"{two}.saved-0").exists()
    assert not Path(f"{two}.saved-1").exists()
    # A checkpoint is whole when it has its state: every process has written its own part before.
    assert set(Path(f"{two}.generators").read_text().split()) == {"2"}


@pytest.mark.slow
def test_a_run_goes_on_under_another_number_of_processes(tiny_bert, tmp_path) -> None:
    runs = {"model": BASE | {"steps": 6, "checkpoint_every": 2}}
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    assert run(straight, tiny_bert, runs, 1).returncode == 0
    assert run(killed, tiny_bert, runs, 2, kill=[1, 5]).returncode != 0
    finished = run(killed, tiny_bert, runs, 1, kill=[1, 5])
    assert finished.returncode == 0, finished.stderr
    assert [step for step, _ in steps_of(killed, 0)][-2:] == [4, 5]
    weights = [SentenceTransformer(str(out / "model")).state_dict() for out in (straight, killed)]
    assert all(torch.allclose(a, weights[1][key], atol=2e-4) for key, a in weights[0].items())


def test_what_does_not_fit_several_processes_is_refused(tiny_static, tiny_bert, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match="a static encoder trains in one process"):
        train(tiny_static, parallel_corpus(), flat_settings(**BASE), tmp_path / "m")
    with pytest.raises(Exception, match="a batch of 7 cannot be shared by 2 ranks"):
        train(
            load_encoder(str(tiny_bert)),
            parallel_corpus(),
            flat_settings(**BASE | {"batch_size": 7}),
            tmp_path / "m",
        )


def test_a_lost_process_is_one_sentence(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(TrainingError, match="rank 1: lost another process of the run; do this"), \
            _processes.losing_a_process(lambda: "do this"):  # fmt: skip
        raise RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer")
    with pytest.raises(RuntimeError, match="out of memory"), _processes.losing_a_process(lambda: "do this"):
        raise RuntimeError("out of memory")


def test_a_process_that_the_launcher_ends_says_so() -> None:
    # In a process of its own: that of the tests is, now and then, ended by a signal although it is handled.
    lines = (
        "import signal",
        "from babelmix import _processes",
        "with _processes.losing_a_process(lambda: 'do this'):",
        "    signal.raise_signal(signal.SIGTERM)",
    )
    environment = os.environ | {"WORLD_SIZE": "2", "RANK": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "rank 1: ended by the launcher, as another process of the run has ended; do this" in done.stderr
