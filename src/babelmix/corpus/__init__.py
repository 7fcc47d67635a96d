"""The data model (queries, passages and qrels in many languages), its readers and its splits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from babelmix._lazy import imported_name

if TYPE_CHECKING:
    from babelmix.corpus.hub import from_datasets, from_hub, push_to_hub, to_datasets
    from babelmix.corpus.languages import IMAGE, canonical_language, find_language, is_language_tag, match_languages
    from babelmix.corpus.loading import load_corpus
    from babelmix.corpus.model import Corpus
    from babelmix.corpus.opening import open_corpus
    from babelmix.corpus.readers import READERS, Reader
    from babelmix.corpus.splitting import split

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

# Imported on first use: a search needs languages and pictures, but neither polars nor pyarrow.
_HOMES = {
    "IMAGE": "languages",
    "READERS": "readers",
    "Corpus": "model",
    "Reader": "readers",
    "canonical_language": "languages",
    "find_language": "languages",
    "from_datasets": "hub",
    "from_hub": "hub",
    "is_language_tag": "languages",
    "load_corpus": "loading",
    "match_languages": "languages",
    "open_corpus": "opening",
    "push_to_hub": "hub",
    "split": "splitting",
    "to_datasets": "hub",
}


def __getattr__(name: str) -> Any:
    return imported_name(__name__, _HOMES, name)
