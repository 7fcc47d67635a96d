"""The processes of one run: who is who under `torchrun` and `accelerate launch`, and how they agree.

A process that was started alone is rank 0 of 1, and everything here costs it nothing.
"""

from __future__ import annotations

import atexit
import datetime
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from babelmix.errors import TrainingError

T = TypeVar("T")

_PATIENCE = datetime.timedelta(days=2)
"""How long a process waits for the others: rank 0 may audit a large corpus meanwhile."""


def world_size() -> int:
    """How many processes the run has."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_main() -> bool:
    """Whether this process writes files and speaks to people."""
    return rank() == 0


def join(cpu: bool) -> None:
    """Meet the other processes, once: gloo on a CPU, the device's own backend otherwise."""
    if world_size() > 1:
        from accelerate import PartialState

        PartialState(cpu=cpu, **({"backend": "gloo"} if cpu else {}), timeout=_PATIENCE)
        atexit.register(_leave)


def _leave() -> None:
    """End the group's threads while Python still runs: one that is still busy when it goes down aborts the process."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def share(value: T) -> T:
    """Rank 0's value, in every process; all have to call it."""
    if world_size() == 1:
        return value
    import torch.distributed as dist

    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def wait_for_all() -> None:
    """Go on when every process has come this far; all have to call it."""
    if world_size() > 1:
        import torch.distributed as dist

        dist.barrier()


def main_only(work: Callable[[], Any]) -> None:
    """Do something in rank 0 while the others wait; if it fails there, it fails in all.

    Raises:
        TrainingError: in the others, if it failed in rank 0, where the error itself is raised.

    """
    if world_size() == 1:
        work()
        return
    failure: str | None = None
    try:
        if is_main():
            work()
    except BaseException as error:
        failure = str(error) or type(error).__name__
        raise
    finally:
        failure = share(failure)
    if failure is not None:
        raise TrainingError(f"rank 0 failed: {failure}")


@contextmanager
def losing_a_process(advice: Callable[[], str]) -> Iterator[None]:
    """Turn the loss of another process into one clear sentence while the block runs.

    Args:
        advice: how to go on, asked for when it is needed.

    Raises:
        TrainingError: another process ended, or the launcher ended this one because of it.

    """
    if world_size() == 1:
        yield
        return

    def ended(signal_number: int, frame: object) -> None:
        raise TrainingError(
            f"rank {rank()}: ended by the launcher, as another process of the run has ended; {advice()}"
        )

    before = signal.signal(signal.SIGTERM, ended)
    try:
        yield
    except BaseException as error:
        # A thread may be left waiting for a process that is gone, and ending it would wait with it.
        atexit.unregister(_leave)
        if not isinstance(error, RuntimeError):
            raise
        # gloo and NCCL raise plain errors of C++; what they have in common is the vocabulary.
        if not any(
            word in str(error).lower() for word in ("connection", "gloo", "nccl", "peer", "socket", "timed out")
        ):
            raise
        raise TrainingError(f"rank {rank()}: lost another process of the run; {advice()}") from error
    finally:
        signal.signal(signal.SIGTERM, before)
