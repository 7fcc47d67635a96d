"""`babelmix train` trains with the settings it always had: recorded for command lines before settings had sections."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import parallel_corpus, picture_corpus

from babelmix.training.flat import DEFAULTS, MOVED

GOLDEN = Path(__file__).with_name("golden_train_settings.json")

COMMANDS: dict[str, list[str]] = {
    "static, all by default": ["-c", "toy", "--model", "static"],
    "a transformer, all by default": ["-c", "toy", "--model", "bert"],
    "the paper's recipe": ["-c", "toy", "--model", "bert", "--recipe", "paper", "--batch-size", "8"],
    "a strategy is named": ["-c", "toy", "--model", "bert", "--strategy", "cross", "--steps", "7"],
    "terms over a recipe": [
        "-c", "toy", "--model", "bert", "--consistency", "0", "--start-share", "0.3", "--consistency-of", "passages",
        "--lora-rank", "2", "--max-seq-length", "0", "--checkpoint-every", "0",
    ],
    "one language": ["-c", "toy", "--langs", "de", "--model", "bert", "--mini-batch-size", "4", "--pooling", "cls"],
    "a teacher": [
        "-c", "toy", "--model", "bert", "--distil-from", "start", "--distil-text", "itself", "--distil-share", "0.5",
        "--query-prompt", "query: ", "--passage-prompt", "passage: ", "--temperature", "0.1", "--seed", "3",
    ],
    "audits on the way": [
        "-c", "toy", "--model", "static", "--validation", "other", "--patience", "2", "--stop-on", "cross/mAP",
        "--checkpoint-every", "9", "--consistency-of", "both",
    ],
    "audits at given steps, two corpora": [
        "-c", "toy", "-c", "third", "--model", "bert", "--validation", "other", "--evaluate-every", "5", "--steps", "20",
        "--source-temperature", "0.5", "--language-temperature", "0.7", "--no-hard-negatives",
    ],
    "pictures": ["-c", "pictures", "--model", "tiny-clip", "--text-share", "0.25", "--text-only-langs", "ja", "--bf16"],
    "pictures, locked": [
        "-c", "pictures", "--model", "tiny+bert", "--lock-images", "--strategy", "paired", "--text-weight", "0.5",
        "--learning-rate", "1e-3", "--freeze-embeddings", "--gradient-checkpointing",
    ],
    "a large corpus": ["-c", "large", "--model", "static"],
}  # fmt: skip


class _Resolved(Exception):
    """Ends a command when its settings are known."""


@pytest.fixture
def resolved_by(babelmix, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a command line resolves to, without any training."""
    parallel_corpus().save(tmp_path / "toy")
    parallel_corpus(600).save(tmp_path / "large")
    apart = parallel_corpus(90)
    apart.only_groups([f"g{n}" for n in range(20, 32)], "other").save(tmp_path / "other")
    apart.only_groups([f"g{n}" for n in range(32, 45)], "third").save(tmp_path / "third")
    picture_corpus().save(tmp_path / "pictures")
    (tmp_path / "bert").symlink_to(tiny_bert)
    monkeypatch.chdir(tmp_path)

    def resolved(command: list[str]) -> Any:
        found: list[Any] = []

        def caught(encoder: Any, settings: Any) -> None:
            found.append(settings)
            raise _Resolved

        monkeypatch.setattr("babelmix.training.trainer.prepare", caught)
        with pytest.raises(_Resolved):
            babelmix("train", *command)
        return found[0]

    return resolved


def flat(settings: Any) -> dict[str, Any]:
    """Settings as they were written before there were sections."""
    values = settings.model_dump()
    found = {name: value for name, value in values.items() if not isinstance(value, dict) or name == "source_weights"}
    for name, path in MOVED.items():
        section, _, key = path.partition(".")
        if values[section] is not None:
            found[name] = values[section][key]
    found |= {name: default for name, default in DEFAULTS.items() if found.get(name) is None}
    del found["recipe"], found["dropout"]
    found.pop("distillation", None)
    return {"distil_text": "english", "distil_share": 1.0, **found}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_settings_it_always_had(name: str, resolved_by: Any) -> None:
    assert flat(resolved_by(COMMANDS[name])) == json.loads(GOLDEN.read_text())[name]
