"""Jobs that several processes share: each process does a job that no other process is doing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from babelmix._files import distinct_slugs
from babelmix._processes import world_size

T = TypeVar("T")


def shared(folder: Path, jobs: Mapping[str, Callable[[], T]]) -> dict[str, T]:
    """Do jobs together with other processes that were started for the same jobs.

    Args:
        folder: the folder for lock files, one per job.
        jobs: the jobs by name. A job saves its result; called again, it loads the result.

    Returns:
        The result of each job, in the order of `jobs`.

    """
    if world_size() > 1:
        # In a distributed run, all processes do each job together.
        return {name: job() for name, job in jobs.items()}
    folder.mkdir(parents=True, exist_ok=True)
    done: dict[str, T] = {}
    files = distinct_slugs(jobs)
    # First do the jobs that no other process is doing. Then wait for each of the others, and load its result or finish it.
    for timeout in (0, -1):
        for name in [name for name in jobs if name not in done]:
            try:
                with FileLock(folder / f"{files[name]}.lock", timeout=timeout):
                    done[name] = jobs[name]()
            except Timeout:
                continue
    return {name: done[name] for name in jobs}


__all__ = ["shared"]
