"""Where an interrupted run goes on: its record and its last whole checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from babelmix import _processes
from babelmix._files import write_json
from babelmix.errors import TrainingError


def resumable(checkpoints: Path, run: dict[str, Any], will_save: bool) -> str | None:
    """The last whole checkpoint of an interrupted run of the same settings, base and corpus, if there is one.

    Args:
        checkpoints: their folder.
        run: what makes a run the same one; it is kept there.
        will_save: whether there will be checkpoints.

    Raises:
        TrainingError: the folder belongs to another run, or its record is damaged.

    """

    def look() -> str | None:
        record = checkpoints / "run.json"
        if record.is_file():
            try:
                before = json.loads(record.read_text(encoding="utf-8"))
            except ValueError as error:
                raise TrainingError(f"{record}: is damaged; delete {checkpoints} to start over") from error
            steps = {place: step_of(place) for place in checkpoints.glob("checkpoint-*")}
            if whole := {place: step for place, step in steps.items() if step is not None}:
                if before != run:
                    raise TrainingError(
                        f"{checkpoints}: belongs to a run with other settings, another start or other data; delete it or "
                        "choose another output"
                    )
                return str(max(whole, key=lambda place: whole[place]))
        if will_save:
            write_json(record, run)
        return None

    found: list[str | None] = []
    _processes.main_only(lambda: found.append(look()))
    return _processes.share(found[0] if found else None)


def step_of(checkpoint: Path) -> int | None:
    """The step of a checkpoint; None if it is not whole: the trainer writes its state last, and not at once."""
    try:
        return int(json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["global_step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
