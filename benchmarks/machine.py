"""The machine that a benchmark runs on: one line under each table, and a table of its own for all benchmarks."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
from pathlib import Path

LIBRARIES = ("torch", "sentence-transformers", "transformers", "numpy", "onnxruntime", "openvino", "qdrant-edge-py")


def processor() -> str:
    """The name of the processor; empty where the system does not tell it."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.is_file() else None
    return found.group(1) if found else platform.processor() or platform.machine()


def version(name: str) -> str:
    """The version of an installed package; empty if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def load() -> float:
    """The number of processes that ran or waited for a core, averaged over the last 15 minutes."""
    return os.getloadavg()[2]


def note() -> str:
    """The line under a table."""
    return f"{processor()}, {os.cpu_count()} cores, torch {version('torch')}, {datetime.date.today()}."


def table() -> str:
    """The machine and the installed packages, as a Markdown table."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kinds = {
        flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16") if flag in _flags()
    }
    facts = {
        "processor": processor() + (f" ({', '.join(sorted(kinds))})" if kinds else ""),
        "cores": str(os.cpu_count()),
        "memory, GiB": f"{memory:.0f}",
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "Python": platform.python_version(),
        **{name: found for name in LIBRARIES if (found := version(name))},
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items())])


def _flags() -> set[str]:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^flags\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.is_file() else None
    return set(found.group(1).split()) if found else set()
