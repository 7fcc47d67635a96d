"""The keyword arguments of `babelmix.audit`, by what is audited."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from babelmix.api._folders import Out


class AuditOptions(TypedDict, total=False):
    """The keyword arguments of `audit` for encoders and other systems of exact scores."""

    out: Out
    against: str | Path | None
    langs: str | Sequence[str] | None
    part: str
    metrics: str | Sequence[str] | None
    batch_size: int
    max_seq_length: int | None
    bf16: bool
    backend: str
    copies: str | None
    perturb: str | Sequence[str] | None
    typo_rate: float | None
    perturb_seed: int | None
    mteb: str | Path | None
    card: bool
    trust_code: bool
    dimensions: int | Sequence[int] | None
    precision: str | Sequence[str] | None
    fail_if: str | Sequence[str] | None
    significant: bool
    junit: str | Path | None
    summary: str | Path | None
    depth: int | None
    queries: int | None
    qrels: str | Path | None
    queries_from: str | Path | None


class ListOptions(TypedDict, total=False):
    """The keyword arguments of `babelmix.audit` for ranked lists."""

    out: Out
    against: str | Path | None
    langs: str | Sequence[str] | None
    part: str
    metrics: str | Sequence[str] | None
    copies: str | None
    depth: int | None
    queries: int | None
    qrels: str | Path | None
    fail_if: str | Sequence[str] | None
    significant: bool
    junit: str | Path | None
    summary: str | Path | None
    queries_from: str | Path | None


__all__ = ["AuditOptions", "ListOptions"]
