"""Exported encoders: what a search needs to embed texts, without torch."""
