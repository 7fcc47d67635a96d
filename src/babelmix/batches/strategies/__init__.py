"""Batch strategies: they decide in which languages each batch of a plan is."""

from __future__ import annotations

from babelmix.batches.strategies.alpha import Alpha, parse_alpha
from babelmix.batches.strategies.base import Strategy
from babelmix.batches.strategies.cross import Cross
from babelmix.batches.strategies.english import English
from babelmix.batches.strategies.hybrid import Hybrid
from babelmix.batches.strategies.mixed import Mixed
from babelmix.batches.strategies.mono import Mono
from babelmix.batches.strategies.one_to_k import OneToK
from babelmix.batches.strategies.paired import Paired
from babelmix.batches.strategies.registry import STRATEGIES, strategy
from babelmix.batches.strategies.text_text import TextText, WithTextText

__all__ = [
    "STRATEGIES",
    "Alpha",
    "Cross",
    "English",
    "Hybrid",
    "Mixed",
    "Mono",
    "OneToK",
    "Paired",
    "Strategy",
    "TextText",
    "WithTextText",
    "parse_alpha",
    "strategy",
]
