"""How many pixels are unpacked at once: a small file may stand for sixty megabytes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class PixelBudget:
    """Room for pictures that are unpacked; those for which there is none wait, and go in the order in which they came.

    asyncio's semaphores count in ones.

    Args:
        pixels: of all pictures together at most; a picture that alone has more has room when there is no other.

    """

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels
        self.taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def within(self, pixels: int, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do what needs room for so many pixels, once there is.

        The room is held until the work is done, also if the one who asked for it gives up: a thread cannot be stopped.

        Args:
            pixels: of the picture.
            work: what to do.

        """
        wanted = min(pixels, self.pixels)
        await self._room(wanted)
        task = asyncio.create_task(work())

        def done(_: asyncio.Task[T]) -> None:
            if not task.cancelled():
                # Heard of here, where no one else may be left to hear of it.
                task.exception()
            self._give_back(wanted)

        task.add_done_callback(done)
        return await asyncio.shield(task)

    async def _room(self, wanted: int) -> None:
        if not self._waiting and self.taken + wanted <= self.pixels:
            self.taken += wanted
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # It had its turn in the same moment.
                self._give_back(wanted)
            else:
                self._let_in()
            raise

    def _give_back(self, pixels: int) -> None:
        self.taken -= pixels
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting:
            wanted, turn = self._waiting[0]
            if not turn.done() and self.taken + wanted > self.pixels:
                return
            self._waiting.popleft()
            if not turn.done():
                self.taken += wanted
                turn.set_result(None)


__all__ = ["PixelBudget"]
