"""Jobs that several processes share: each does what no other is doing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from babelmix._files import distinct_slugs
from babelmix._processes import world_size

T = TypeVar("T")


def shared(folder: Path, jobs: Mapping[str, Callable[[], T]]) -> dict[str, T]:
    """Do jobs whose results are kept, together with other processes that do the same.

    Args:
        folder: for a lock file a job.
        jobs: by name; one that was done before only loads what it left.

    Returns:
        What each job gave, in the order of `jobs`.

    """
    if world_size() > 1:
        # The ranks of one run go through the jobs in step.
        return {name: job() for name, job in jobs.items()}
    folder.mkdir(parents=True, exist_ok=True)
    done: dict[str, T] = {}
    files = distinct_slugs(jobs)
    # First what no other process is at, then what the others have done meanwhile, or left undone.
    for timeout in (0, -1):
        for name in [name for name in jobs if name not in done]:
            try:
                with FileLock(folder / f"{files[name]}.lock", timeout=timeout):
                    done[name] = jobs[name]()
            except Timeout:
                continue
    return {name: done[name] for name in jobs}


__all__ = ["shared"]
