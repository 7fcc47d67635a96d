"""Whether bfloat16 saves time on this processor. Without instructions for it, it is many times slower than float32."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from babelmix._progress import console
from babelmix.encoders.kinds import kind_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SLOW = 1.5
"""A note is printed if bfloat16 takes more than this many times as long as float32."""
_SIZE = (128, 384, 384)
_TURNS = 3


def tell_if_bfloat16_is_slow(encoder: SentenceTransformer) -> None:
    """Print a note, once per process, if the encoder is on a CPU that is clearly slower in bfloat16 than in float32."""
    if str(encoder.device) != "cpu" or not kind_of(encoder).has_layers:
        return
    _tell(bfloat16_time())


@functools.cache
def bfloat16_time() -> float:
    """The time of a matrix product in bfloat16, divided by its time in float32. Measured once; takes milliseconds."""
    import torch

    rows, inner, columns = _SIZE
    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        a, b = torch.ones(rows, inner, dtype=kind), torch.ones(inner, columns, dtype=kind)
        torch.mm(a, b)  # the first product of a type includes its setup
        turns = []
        for _ in range(_TURNS):
            began = time.perf_counter()
            torch.mm(a, b)
            turns.append(time.perf_counter() - began)
        # The minimum: other work on the machine only makes a turn longer.
        seconds[kind] = min(turns)
    return seconds[torch.bfloat16] / seconds[torch.float32]


@functools.cache
def _tell(times: float) -> None:
    if times > SLOW:
        console.print(
            f"bfloat16 takes {times:.0f} times as long as float32 on this processor, which has no instructions for it; "
            "leave bf16 out, unless you are short of memory",
            highlight=False,
        )


__all__ = ["bfloat16_time", "tell_if_bfloat16_is_slow"]
