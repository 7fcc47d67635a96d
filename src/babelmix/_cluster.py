"""Distribute work over a Ray cluster, with a Ray Data pipeline that gets pieces of work while it runs.

::

    this process  --pieces-->  keeper  --blocks-->  worker, worker, ...
                  <--results--         <--blocks--

The keeper is an actor on this node (or in the cluster, with Ray's client). It runs the pipeline: a streaming map over a pool of
worker actors. Each worker has at most a few pieces at a time, and a piece is dropped once its result has arrived here. So
memory does not depend on the number of pieces.

If the process of a worker dies, Ray starts it again, on another node if its node is lost, and it does its pieces again. If no
node has room for it, the pipeline is built again from the remaining nodes and gets the unfinished pieces.
"""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, Generic, TypeVar

from babelmix.errors import BabelmixError, SearchError, require

T = TypeVar("T")
Work = Callable[[bytes], bytes]

MEMORY = 1 << 30
"""The approximate size of all unfinished pieces, in bytes. A single piece may be larger."""

ATTEMPTS = 4
"""The number of times that a worker process may die while it works on the same piece."""

PATIENCE = 20.0
"""The seconds that Ray has to find another node for a worker whose node is lost."""

_RESTARTS = 3
_WAIT = 1.0
# With these settings Ray sends no usage statistics, makes no network requests of its own, and prints only work-related warnings.
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
}


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Yield the module `ray`, connected to a cluster. An existing connection is used and kept.

    Args:
        address: `local` starts a cluster on this machine. `auto` uses the cluster that runs on it. `HOST:PORT` is the cluster of
            another machine, with this machine as a node. `ray://HOST:PORT` is another cluster, reached by Ray's client.

    Raises:
        SearchError: no cluster answers.
        MissingExtraError: Ray is not installed.

    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray: Any = require("ray", "scale", "Work by many workers")
    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
        except Exception as error:  # Ray raises many unrelated types
            raise SearchError(
                f"{address}: no Ray cluster answers there ({_last_line(error)}); start one with  ray start --head , or use "
                "'local'"
            ) from error
        yield ray
    finally:
        ray.shutdown()


def spread(
    pieces: Iterable[T], pack: Callable[[T], bytes], make: Callable[[int], Work], address: str, *, workers: int = 0
) -> Iterator[tuple[T, bytes]]:
    """Run pieces of work on a cluster. Without pieces, no cluster is started.

    Args:
        pieces: the pieces. They are consumed while the work goes on.
        pack: converts a piece to the bytes for a worker. Called again if the piece must be sent again.
        make: called once in each worker process with its number of threads. Returns the function that does a piece. Every node
            must be able to import it by the same name. A `BabelmixError` of either function is raised here.
        address: see `connected`.
        workers: the number of workers. 0 means one for each GPU, or without GPUs half the number of CPUs. Each worker reserves
            one CPU.

    Yields:
        Each piece with its result, in the order in which they are finished.

    Raises:
        SearchError: no cluster answers, a worker failed, or worker processes died `ATTEMPTS` times at the same piece.
        MissingExtraError: Ray is not installed.

    """
    rest = iter(pieces)
    for first in rest:
        with connected(address) as ray:
            yield from _Spread(ray, pack, make, workers).results(chain([first], rest))


class _Spread(Generic[T]):
    """The part of `spread` in the calling process."""

    def __init__(self, ray: Any, pack: Callable[[T], bytes], make: Callable[[int], Work], workers: int) -> None:
        self._ray, self._pack, self._make = ray, pack, make
        there = ray.cluster_resources()
        cpus, gpus = int(there.get("CPU", 1)), int(there.get("GPU", 0))
        self._workers = workers or gpus or max(1, cpus // 2)
        self._gpus = min(1.0, gpus / self._workers)
        # Only half of the CPUs are reserved, so workers of lost nodes find a place. The threads use all CPUs.
        self._threads = int(os.environ.get("OMP_NUM_THREADS") or max(1, cpus // self._workers))
        self._flight: dict[int, tuple[T, int]] = {}
        self._keeper: Any = None

    def results(self, pieces: Iterator[T]) -> Iterator[tuple[T, bytes]]:
        numbered = enumerate(pieces)
        more, restarts = True, 0
        self._start()
        try:
            while True:
                while more and self._has_room():
                    number, piece = next(numbered, (-1, None))
                    if piece is None:
                        more = False
                    else:
                        self._offer(number, piece)
                if not self._flight:
                    return
                finished = self._wait()
                if finished is None:
                    restarts += 1
                    if restarts > _RESTARTS:
                        raise SearchError(
                            f"the cluster lost its workers {restarts} times in a row; what was written stays, and the same "
                            "command goes on from there"
                        )
                    self._start()
                    continue
                for number, result in finished:
                    restarts = 0
                    piece, _ = self._flight.pop(number)
                    yield piece, result
        finally:
            self._stop()

    def _has_room(self) -> bool:
        under_way = len(self._flight)
        return under_way < 2 * self._workers + 2 and (
            not under_way or sum(size for _, size in self._flight.values()) < MEMORY
        )

    def _offer(self, number: int, piece: T) -> None:
        payload = self._pack(piece)
        self._flight[number] = piece, len(payload)
        self._keeper.offer.remote(number, payload)

    def _start(self) -> None:
        """Start a new pipeline, and give it the unfinished pieces of the last one."""
        self._stop()
        ray = self._ray
        # The source, each worker and this process call the keeper at the same time.
        actor = ray.remote(num_cpus=0, max_concurrency=self._workers + 8)(Keeper)
        self._keeper = actor.options(scheduling_strategy=_this_node(ray)).remote(
            self._make, self._workers, self._gpus, self._threads
        )
        self._keeper.run.remote(self._keeper)
        for number, (piece, _) in self._flight.items():
            self._offer(number, piece)

    def _stop(self) -> None:
        if self._keeper is not None:
            # The workers end with the keeper.
            self._ray.kill(self._keeper)
            self._keeper = None

    def _wait(self) -> list[tuple[int, bytes]] | None:
        """The results since the last call; empty after a second without results; None if workers are lost."""
        try:
            finished, failure, lost = self._ray.get(self._keeper.finished.remote())
        except self._ray.exceptions.RayActorError:
            return None
        except self._ray.exceptions.RayError as error:
            raise SearchError(f"the cluster failed ({_last_line(error)})") from error
        if failure is not None:
            if isinstance(failure, BabelmixError):
                raise failure
            raise SearchError(f"a worker failed ({failure})")
        return None if lost else finished


class Keeper:
    """The actor that runs the pipeline.

    Args:
        make: see `spread`.
        workers: the number of workers.
        gpus: the share of a GPU for each worker.
        threads: the number of threads of each worker.

    """

    def __init__(self, make: Callable[[int], Work], workers: int, gpus: float, threads: int) -> None:
        self._make, self._workers, self._gpus, self._threads = make, workers, gpus, threads
        self._changed = threading.Condition()
        # The pieces in the order of their arrival; None once they are done.
        self._offered: list[tuple[int, bytes] | None] = []
        self._place: dict[int, int] = {}
        self._finished: list[tuple[int, bytes]] = []
        self._failure: BabelmixError | str | None = None
        self._attempts: dict[int, int] = {}
        self._nodes: dict[str, str] = {}
        self._lost_since: float | None = None
        self._looked = 0.0

    def offer(self, number: int, payload: bytes) -> None:
        """Add a piece."""
        with self._changed:
            self._place[number] = len(self._offered)
            self._offered.append((number, payload))
            self._changed.notify_all()

    def take(self, place: int) -> tuple[int, bytes]:
        """Wait for the piece that arrives as number `place`. Returns a negative number if it is already done."""
        with self._changed:
            self._changed.wait_for(lambda: place < len(self._offered))
            return self._offered[place] or (-1, b"")

    def attempt(self, number: int) -> int:
        """Count another attempt at a piece. Returns the number of attempts."""
        with self._changed:
            self._attempts[number] = self._attempts.get(number, 0) + 1
            return self._attempts[number]

    def here(self, worker: str, node: str) -> None:
        """Record the node on which a worker has started."""
        with self._changed:
            self._nodes[worker] = node

    def finished(self) -> tuple[list[tuple[int, bytes]], BabelmixError | str | None, bool]:
        """The results since the last call, the error that ended the pipeline, and whether workers are lost."""
        with self._changed:
            self._changed.wait_for(lambda: self._finished or self._failure is not None, timeout=_WAIT)
            finished, self._finished = self._finished, []
            return finished, self._failure, not finished and self._has_lost_workers()

    def _has_lost_workers(self) -> bool:
        now = time.monotonic()
        if now - self._looked > _WAIT:
            self._looked = now
            alive = {node["NodeID"] for node in _ray().nodes() if node["Alive"]}
            if alive.issuperset(self._nodes.values()):
                self._lost_since = None
            elif self._lost_since is None:
                self._lost_since = now
        return self._lost_since is not None and now - self._lost_since > PATIENCE

    def run(self, keeper: Any) -> None:
        """Run the pipeline. `keeper` is the handle of this actor."""
        try:
            for table in self._pipeline(keeper).iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=0
            ):
                for number, outcome in zip(table["number"].to_pylist(), table["outcome"].to_pylist(), strict=True):
                    if number >= 0:
                        self._keep(number, pickle.loads(outcome))
        except Exception as error:  # a worker or Ray may raise anything
            with self._changed:
                self._failure = _last_line(error)
                self._changed.notify_all()

    def _keep(self, number: int, outcome: bytes | BabelmixError) -> None:
        with self._changed:
            place = self._place.pop(number, None)
            # A worker that seemed dead may deliver a result again.
            if place is None:
                return
            self._offered[place] = None
            self._attempts.pop(number, None)
            if isinstance(outcome, BabelmixError):
                self._failure = outcome
            else:
                self._finished.append((number, outcome))
            self._changed.notify_all()

    def _pipeline(self, keeper: Any) -> Any:
        ray, data = _ray(), importlib.import_module("ray.data")
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        # Each piece is a block, so no piece waits until others fill a block.
        context.target_max_block_size = 1
        node = _this_node(ray)
        source = data.from_items([{"source": 0}]).map_batches(
            _source,
            batch_size=1,
            batch_format="pyarrow",
            fn_kwargs={"keeper": keeper},
            num_cpus=0,
            ray_remote_args_fn=lambda: {"scheduling_strategy": node},
        )
        return source.map_batches(
            _Worker,
            batch_size=1,
            batch_format="pyarrow",
            fn_constructor_args=(self._make, self._threads, keeper),
            compute=data.ActorPoolStrategy(size=self._workers),
            num_cpus=1,
            num_gpus=self._gpus or None,
        )


def _source(table: Any, keeper: Any) -> Iterator[Any]:
    """Yield the pieces while the pipeline runs."""
    del table
    ray, place = _ray(), 0
    while True:
        yield _table(*ray.get(keeper.take.remote(place)), name="payload")
        place += 1


class _Worker:
    """A worker of the pool."""

    def __init__(self, make: Callable[[int], Work], threads: int, keeper: Any) -> None:
        ray = _ray()
        context = ray.get_runtime_context()
        self._get, self._keeper = ray.get, keeper
        self._failure: BabelmixError | None = None
        ray.get(keeper.here.remote(context.get_actor_id(), context.get_node_id()))
        try:
            self._work = make(threads)
        except BabelmixError as error:
            self._failure = error

    def __call__(self, table: Any) -> Any:
        number, payload = table["number"][0].as_py(), table["payload"][0].as_py()
        if number < 0:
            return _table(number, b"", name="outcome")
        outcome: bytes | BabelmixError | None = self._failure
        if outcome is None:
            attempts = self._get(self._keeper.attempt.remote(number))
            if attempts > ATTEMPTS:
                outcome = SearchError(
                    f"{ATTEMPTS} workers died one after the other at the same work; they may have too little memory: try a "
                    "smaller --batch-size, or fewer workers"
                )
            else:
                try:
                    outcome = self._work(payload)
                except BabelmixError as error:
                    outcome = error
        return _table(number, pickle.dumps(outcome), name="outcome")


def _table(number: int, content: bytes, *, name: str) -> Any:
    import pyarrow as pa

    return pa.table({"number": pa.array([number], pa.int64()), name: pa.array([content], pa.large_binary())})


def _ray() -> Any:
    return importlib.import_module("ray")


def _this_node(ray: Any) -> Any:
    """A scheduling strategy that prefers this node."""
    strategies = importlib.import_module("ray.util.scheduling_strategies")
    return strategies.NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip()[:300]
