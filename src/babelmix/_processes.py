"""The processes of one run under `torchrun` or `accelerate launch`.

A process that was started alone is rank 0 of 1. It does not need torch for anything here.
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
"""The time that a process waits for the others. Rank 0 may audit a large corpus meanwhile."""


def world_size() -> int:
    """The number of processes of the run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_main() -> bool:
    """Whether this process is rank 0, which writes files and prints."""
    return rank() == 0


def join(cpu: bool) -> None:
    """Connect to the other processes, by gloo on a CPU and by the device's own backend otherwise. Called once."""
    if world_size() > 1:
        from accelerate import PartialState

        PartialState(cpu=cpu, **({"backend": "gloo"} if cpu else {}), timeout=_PATIENCE)
        atexit.register(_leave)


def _leave() -> None:
    """End the threads of the process group while Python still runs. A busy thread would abort the process at exit."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def share(value: T) -> T:
    """The value of rank 0, in every process. All processes must call this function."""
    if world_size() == 1:
        return value
    import torch.distributed as dist

    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def wait_for_all() -> None:
    """Wait until every process has called this function."""
    if world_size() > 1:
        import torch.distributed as dist

        dist.barrier()


def main_only(work: Callable[[], Any]) -> None:
    """Call a function in rank 0 while the other processes wait. If it fails, all processes fail.

    Raises:
        TrainingError: raised in the other processes if the function failed in rank 0, which raises the error itself.

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
    """Turn the loss of another process into a `TrainingError` while the block runs.

    Args:
        advice: returns the sentence that says how to go on. Called only for an error.

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
        # A thread may wait for the lost process, and ending the group would wait for the thread.
        atexit.unregister(_leave)
        if not isinstance(error, RuntimeError):
            raise
        # gloo and NCCL raise plain RuntimeErrors, which only their words tell apart from others.
        if not any(
            word in str(error).lower() for word in ("connection", "gloo", "nccl", "peer", "socket", "timed out")
        ):
            raise
        raise TrainingError(f"rank {rank()}: lost another process of the run; {advice()}") from error
    finally:
        signal.signal(signal.SIGTERM, before)
