"""Rerank the first rows of a search by a model that reads query and text together.

| module | content |
|---|---|
| `base` | the protocol `Reranker` |
| `cross_encoder` | a cross-encoder of sentence-transformers, in this process |
| `service` | a service by URL |
| `opening` | `open_reranker`: either of them, by its name |
| `levels` | the level of a reranker's scores in each language |
| `stage` | the stage of a search: which rows are scored, and their order under each policy |
"""

from babelmix.search.reranking.base import Reranker
from babelmix.search.reranking.opening import open_reranker

__all__ = ["Reranker", "open_reranker"]
