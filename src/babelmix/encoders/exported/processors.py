"""Sorts of processors, as far as they decide how fast and how exact int8 is. Nothing here imports an engine."""

from __future__ import annotations

import functools
import importlib
import platform
from pathlib import Path

AVX512_VNNI, AVX512, AVX_VNNI, AVX2, ARM, OTHER = "avx512-vnni", "avx512", "avx-vnni", "avx2", "arm", "other"

PROCESSORS = {
    AVX512_VNNI: "AVX-512 with VNNI",
    AVX512: "AVX-512 without VNNI",
    AVX_VNNI: "AVX2 with AVX-VNNI",
    AVX2: "AVX2 alone",
    ARM: "ARM",
    OTHER: "another processor",
}
"""The sorts of processors and their titles. VNNI adds products of eight bits in 32 bits, so that they do not saturate."""

_FLOAT32 = ("onnx-fp32", "openvino-fp32")
_ONNX_INT8 = ("onnx-int8", "onnx-int7")


@functools.cache
def processor() -> str:
    """The sort of this processor, one of `PROCESSORS`.

    Examples:
        >>> processor() in PROCESSORS
        True

    """
    machine = platform.machine().lower()
    if machine in ("arm64", "aarch64"):
        return ARM
    if machine not in ("x86_64", "amd64"):
        return OTHER
    known = _features()
    if any(name in known for name in ("AVX512VNNI", "AVX512_CLX", "AVX512_ICL", "AVX512_SPR", "avx512_vnni")):
        return AVX512_VNNI
    if known & {"AVX512F", "AVX512_SKX", "X86_V4", "avx512f"}:
        return AVX512
    if not known & {"AVX2", "X86_V3", "avx2"}:
        return OTHER
    return AVX_VNNI if "avx_vnni" in known else AVX2


def _features() -> set[str]:
    """The processor's instructions, by numpy's names and by those of Linux."""
    found: set[str] = set()
    try:
        known: dict[str, bool] = importlib.import_module("numpy._core._multiarray_umath").__cpu_features__
        found |= {name for name, there in known.items() if there}
    except (ImportError, AttributeError):  # of another version of numpy
        pass
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        flags = next((line for line in lines if line.startswith("flags")), "")
        own = set(flags.partition(":")[2].split())
        # An emulator shows the flags of the machine below it. numpy asks the processor.
        found |= own if not found else own & {"avx_vnni"}
    except OSError:  # not Linux
        pass
    return found


def fastest_first(sort: str) -> tuple[str, ...]:
    """The backends that `auto` tries on a sort of processor, the fastest one first; then those in float32.

    ONNX Runtime comes first: on AVX-512 with VNNI it embeds queries of changing lengths in less time than OpenVINO and batches in
    nearly the same (benchmarks/start.py, backends.py), and it is in the extra `search`. On other processors the order is the
    same, and has not been measured.

    Args:
        sort: one of `PROCESSORS`.

    Returns:
        Backends as an export names them. `onnx-int7` takes the place of `onnx-int8` where products of eight bits saturate.

    Examples:
        >>> fastest_first("avx2")[:3]
        ('onnx-int8', 'onnx-int7', 'openvino-int8')

    """
    del sort
    return (*_ONNX_INT8, "openvino-int8", *_FLOAT32)


__all__ = ["ARM", "AVX2", "AVX512", "AVX512_VNNI", "AVX_VNNI", "OTHER", "PROCESSORS", "fastest_first", "processor"]
