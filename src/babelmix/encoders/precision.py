"""Whether bfloat16 saves any time on this processor: without instructions for it, it costs many times as much."""

from __future__ import annotations

import functools
import time

import torch
from sentence_transformers import SentenceTransformer

from babelmix._progress import console
from babelmix.encoders.kinds import kind_of

SLOW = 1.5
"""Times float32 from which one is told."""
_SIZE = (128, 384, 384)
_TURNS = 3


def tell_if_bfloat16_is_slow(encoder: SentenceTransformer) -> None:
    """Say so, once a process, if the encoder would be slower in bfloat16 than in float32 where it is."""
    if str(encoder.device) != "cpu" or not kind_of(encoder).has_layers:
        return
    _tell(bfloat16_time())


@functools.cache
def bfloat16_time() -> float:
    """How long a matrix product takes in bfloat16 on this processor, in times of float32; measured once, in milliseconds."""
    rows, inner, columns = _SIZE
    seconds = {}
    for kind in (torch.float32, torch.bfloat16):
        a, b = torch.ones(rows, inner, dtype=kind), torch.ones(inner, columns, dtype=kind)
        torch.mm(a, b)  # the first product of a kind sets up
        turns = []
        for _ in range(_TURNS):
            began = time.perf_counter()
            torch.mm(a, b)
            turns.append(time.perf_counter() - began)
        # Whatever else the machine does makes a turn longer, never shorter.
        seconds[kind] = min(turns)
    return seconds[torch.bfloat16] / seconds[torch.float32]


@functools.cache
def _tell(times: float) -> None:
    if times > SLOW:
        console.print(
            f"bfloat16 takes {times:.0f} times as long as float32 on this processor, which has no instructions for it; "
            "leave bf16 out, unless memory is what is short",
            highlight=False,
        )


__all__ = ["bfloat16_time", "tell_if_bfloat16_is_slow"]
