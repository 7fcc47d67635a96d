"""Resuming an interrupted run: its record and its last complete checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from babelmix import _processes
from babelmix._files import write_json
from babelmix.errors import TrainingError
from babelmix.training.resolving import ResolvedSettings, run_settings, trains_alike


def resumable(checkpoints: Path, about: Mapping[str, Any], settings: ResolvedSettings) -> str | None:
    """The last complete checkpoint of an interrupted run with the same settings, base and corpus; None if there is none.

    Args:
        checkpoints: the folder of the checkpoints.
        about: facts that must be equal, besides the settings, to resume a run, such as its corpus. They are written to the folder
            if the run saves checkpoints.
        settings: the settings of the run.

    Raises:
        TrainingError: the folder belongs to another run, or its record is damaged.

    """
    run = {"settings": run_settings(settings), **about}

    def look() -> str | None:
        record = checkpoints / "run.json"
        if record.is_file():
            try:
                before = json.loads(record.read_text(encoding="utf-8"))
            except ValueError as error:
                raise TrainingError(f"{record}: is damaged; delete {checkpoints} to start over") from error
            steps = {place: step_of(place) for place in checkpoints.glob("checkpoint-*")}
            if whole := {place: step for place, step in steps.items() if step is not None}:
                if not _same(before, run, settings):
                    raise TrainingError(
                        f"{checkpoints}: belongs to a run with other settings, another start or other data; delete it or "
                        "choose another output"
                    )
                return str(max(whole, key=lambda place: whole[place]))
        if settings.schedule.checkpoint_every:
            write_json(record, run)
        return None

    found: list[str | None] = []
    _processes.main_only(lambda: found.append(look()))
    return _processes.share(found[0] if found else None)


def _same(before: Any, run: dict[str, Any], settings: ResolvedSettings) -> bool:
    """Whether a record is of the same run. Older versions of babelmix wrote the settings without sections."""
    if not isinstance(before, dict) or not trains_alike(before.get("settings"), settings):
        return False
    return {**before, "settings": None} == {**run, "settings": None}


def step_of(checkpoint: Path) -> int | None:
    """The step of a checkpoint; None if the checkpoint is incomplete. The trainer writes its state last."""
    try:
        return int(json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["global_step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
