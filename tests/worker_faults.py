"""Run by test_workers.py: work spread over processes that are killed, and work that fails."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from babelmix._cluster import connected, spread
from babelmix.errors import BabelmixError, SearchError


def doubling(folder: str, threads: int) -> Callable[[bytes], bytes]:
    """Doubles numbers; the process that is first at 5 dies of it, and any process at -1 fails."""

    def work(payload: bytes) -> bytes:
        number = int(payload)
        with (Path(folder) / f"done-{number}").open("a") as record:
            record.write("x")
        if number == 5 and not (Path(folder) / "killed").exists():
            (Path(folder) / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number < 0:
            raise SearchError(f"cannot double {number}")
        time.sleep(0.02)
        return str(2 * number).encode()

    return work


def deadly(threads: int) -> Callable[[bytes], bytes]:
    """Dies of everything."""
    return lambda payload: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[func-returns-value,return-value]


def main() -> None:
    folder = sys.argv[1]
    make = partial(doubling, folder)
    told: dict[str, object] = {}
    with connected("local"):

        def pack(number: int) -> bytes:
            return str(number).encode()

        told["results"] = sorted(
            (number, int(result)) for number, result in spread(range(40), pack, make, "local", workers=2)
        )
        told["killed"] = (Path(folder) / "killed").exists()
        errors = []
        for pieces, maker in (([1, 2, -1, 3], make), ([1], deadly)):
            try:
                list(spread(pieces, pack, maker, "local", workers=1))
            except BabelmixError as error:
                errors.append(str(error))
        told["errors"] = errors
        told["nothing"] = list(spread([], pack, make, "local"))
    print(json.dumps(told))


if __name__ == "__main__":
    # Workers import this module by its name.
    import worker_faults

    worker_faults.main()
