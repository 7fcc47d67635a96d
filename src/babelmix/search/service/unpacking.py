"""A budget of pixels that are decoded at the same time: a small file may become sixty megabytes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class PixelBudget:
    """A budget of decoded pixels. Pictures without room wait, first come, first served.

    It is a semaphore with weights. asyncio's own semaphore acquires one unit at a time.

    Args:
        pixels: the budget; a single larger picture is decoded when there is no other.

    """

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels
        self.taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def within(self, pixels: int, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run work that decodes a number of pixels, once the budget has room for them.

        The room is held until the work is done, even if the client gives up: a thread cannot be stopped.

        Args:
            pixels: the number of pixels of the picture.
            work: the function to run.

        """
        wanted = min(pixels, self.pixels)
        await self._room(wanted)
        task = asyncio.create_task(work())

        def done(_: asyncio.Task[T]) -> None:
            if not task.cancelled():
                # Retrieve the exception here: the caller may be gone, and asyncio would log it as never retrieved.
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
                # It got its turn at the same moment.
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
