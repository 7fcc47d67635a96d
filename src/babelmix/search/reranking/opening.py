"""Open a reranker by its name or URL."""

from __future__ import annotations

import re
from pathlib import Path

from babelmix.search.reranking.base import DEPTH, Reranker, checked_depth
from babelmix.search.reranking.service import ServiceReranker, is_url

_BATCH = 32
_WITH_DEPTH = re.compile(r"(.+):([0-9]{1,6})")


def open_reranker(
    name: str | Path,
    *,
    device: str | None = None,
    batch_size: int | None = None,
    max_length: int | None = None,
    trust_code: bool = False,
) -> Reranker:
    """Open a reranker.

    Args:
        name: a cross-encoder of sentence-transformers (a folder, or a name of the Hugging Face hub), or the URL of a service,
            such as `https://HOST/rerank` or `https://HOST/v1/rerank?model=NAME`; see `ServiceReranker`. `NAME:100` and
            `URL?depth=100` score the first 100 rows of a query; by default 50.
        device: a torch device for a cross-encoder; None: the best one that is available.
        batch_size: the number of pairs per forward pass, or per request; None: 32.
        max_length: cut pairs after this many tokens; None: the model's own limit. A service cuts by itself.
        trust_code: run code that a cross-encoder contains or names; see `load_encoder`.

    Returns:
        The reranker.

    Raises:
        EncoderError: there is no such cross-encoder, or its check refuses it.
        SearchError: the URL or the depth is wrong.
        MissingExtraError: the extra `train` (for a cross-encoder) or `search` (for a service) is not installed.

    """
    text = str(name)
    if is_url(text):
        return ServiceReranker(text, batch_size=batch_size or _BATCH)
    from babelmix.search.reranking.cross_encoder import CrossEncoderReranker

    depth = DEPTH
    if (found := _WITH_DEPTH.fullmatch(text)) and not Path(text).exists():
        text, depth = found[1], checked_depth(int(found[2]))
    return CrossEncoderReranker(
        text, device=device, batch_size=batch_size or _BATCH, max_length=max_length, depth=depth, trust_code=trust_code
    )


__all__ = ["open_reranker"]
