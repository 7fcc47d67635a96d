"""Rerankers: they read query and passage together, and score the first rows of a search again."""

from __future__ import annotations
