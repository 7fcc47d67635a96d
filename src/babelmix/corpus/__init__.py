"""The data model (queries, passages and qrels in many languages), its readers and its splits."""

from __future__ import annotations

from babelmix.corpus.hub import from_datasets, from_hub, push_to_hub, to_datasets
from babelmix.corpus.languages import IMAGE, canonical_language, find_language, is_language_tag, match_languages
from babelmix.corpus.loading import load_corpus
from babelmix.corpus.model import Corpus
from babelmix.corpus.opening import open_corpus
from babelmix.corpus.readers import READERS, Reader
from babelmix.corpus.split import split

__all__ = [
    "IMAGE",
    "READERS",
    "Corpus",
    "Reader",
    "canonical_language",
    "find_language",
    "from_datasets",
    "from_hub",
    "is_language_tag",
    "load_corpus",
    "match_languages",
    "open_corpus",
    "push_to_hub",
    "split",
    "to_datasets",
]
