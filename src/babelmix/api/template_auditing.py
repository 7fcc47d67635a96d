"""Measure a system that answers by a query template of the user's: `babelmix audit --through 'opensearch://...?template=FILE'`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix.api._loading import opened
from babelmix.api.list_auditing import audit_ranked
from babelmix.api.list_reports import ListReport
from babelmix.corpus import Corpus
from babelmix.errors import ArgumentError
from babelmix.search.foreign.address import Address
from babelmix.search.foreign.templates import Template, open_template

if TYPE_CHECKING:
    from babelmix.evaluation.systems.base import Answer

_EVERYTHING = 10_000


def audit_template(
    address: str,
    corpus: str | Path | Corpus,
    *,
    model: str | None = None,
    backend: str | None = None,
    trust_code: bool = False,
    depth: int | None = None,
    **options: Any,
) -> ListReport:
    """Measure the answers to a query of your own, by which the system itself embeds, ranks and fuses.

    Queries are sent in four threads. Answers that are no passages of the corpus count as wrong. An audit with `out` goes on after
    it was interrupted.

    Args:
        address: see `babelmix.search.foreign.templates.open_template`.
        corpus: see `babelmix.load_corpus`.
        model: the encoder, if the template has `vector`.
        backend: see `babelmix.audit`.
        trust_code: see `babelmix.audit`.
        depth: the number of answers to judge; None: 100.
        options: see `babelmix.api.list_auditing.audit_ranked`.

    Raises:
        ConfigError: the file is no template, or an encoder is missing or too many.
        SearchError: the system cannot be reached, or refuses.
        AuditError: a query fails.

    """
    from babelmix.evaluation.systems import Search

    whole = opened(corpus, part="all")
    template = open_template(address)
    try:
        if ("vector" in template.asks) != (model is not None):
            what = (
                "is missing: the template asks for vectors; name the encoder"
                if model is None
                else ("is not asked for: the template has no  vector")
            )
            raise ArgumentError("model", what)
        embed = None if model is None else _embedding(model, backend, trust_code=trust_code)
        function = _asking(template, sorted(set(whole.passages["lang"].to_pylist())), embed)
        name = str(Address.parse(address))
        system = Search(function, name, depth=_EVERYTHING, unknown="wrong", version=template.version)
        return audit_ranked(system, corpus, depth=depth or 100, **options)
    finally:
        template.close()


def _asking(
    template: Template, langs: list[str], embed: Callable[[str], list[float]] | None
) -> Callable[[str, str, int], Sequence[Answer]]:
    def search(text: str, lang: str, k: int) -> Sequence[Answer]:
        values: dict[str, Any] = {"query": text, "lang": lang, "langs": langs, "k": k}
        if embed is not None:
            values["vector"] = embed(text)
        return template(values)

    return search


def _embedding(name: str, backend: str | None, *, trust_code: bool) -> Callable[[str], list[float]]:
    from babelmix.encoders import encode
    from babelmix.search.index_encoder import encoder_of_new

    encoder, lock = encoder_of_new(name, backend=backend, trust_code=trust_code), threading.Lock()

    def embed(text: str) -> list[float]:
        with lock:
            vectors = encode(encoder, [text], "query", store=False)
        return [float(value) for value in vectors[0]]

    return embed


__all__ = ["audit_template"]
