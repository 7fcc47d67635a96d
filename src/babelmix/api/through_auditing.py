"""Audit what answers at an address: an index, a service of ours, or a search function: `babelmix audit --through`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from babelmix.api._folders import Out
from babelmix.api._loading import check_unfit, with_queries
from babelmix.api.list_auditing import audit_function, audit_service, is_adapter
from babelmix.corpus import Corpus
from babelmix.errors import ArgumentError

if TYPE_CHECKING:
    from babelmix.api.index_auditing import PolicyReport
    from babelmix.api.list_reports import ListReport
    from babelmix.search.options import Show
    from babelmix.search.variants import Weights


def audit_through(
    address: str,
    corpus: str | Path | Corpus | None = None,
    *,
    policies: str | Sequence[str] | None = None,
    k: int | None = None,
    depth: int | None = None,
    queries: int | None = None,
    out: Out = None,
    against: str | Path | None = None,
    langs: str | Sequence[str] | None = None,
    part: str = "all",
    metrics: str | Sequence[str] | None = None,
    copies: str | None = None,
    qrels: str | Path | None = None,
    batch_size: int = 32,
    model: str | None = None,
    backend: str | None = None,
    trust_code: bool = False,
    fail_if: str | Sequence[str] | None = None,
    significant: bool = False,
    junit: str | Path | None = None,
    summary: str | Path | None = None,
    queries_from: str | Path | None = None,
    mode: str | Sequence[str] | None = None,
    words_weight: Weights | None = None,
    query_langs: str | None = None,
    fusion: str | Sequence[str] | None = None,
    show: Show | None = None,
    rerank: str | None = None,
    query_vectors: str | Path | None = None,
) -> PolicyReport | ListReport:
    """Measure the answers of an index or a service under language policies, or those of a search function.

    Args:
        address: the address of an index; or of a collection that babelmix did not make, which is only read
            (`postgresql://HOST/DATABASE/TABLE?id=ID`, `qdrant://HOST:6333/COLLECTION`); the URL of a service of `babelmix serve`;
            or a function, as `FILE.py:FUNCTION` or `MODULE:FUNCTION`. The code of the function is run.
        corpus: see `babelmix.load_corpus`. None, with an index: its own rows; see `queries_from`.
        policies: language policies, of an index or a service; None: `any` and `balanced`.
        k: the number of answers that users see, of an index or a service; None: 10.
        depth: the number of answers to judge; None: 100.
        queries: the number of queries, drawn with a fixed seed; None: all.
        out: save the result into this folder; None: nothing is saved.
        against: the folder of a finished audit of a service or a function; the differences from it are tested.
        langs: judge only the queries in these languages.
        part: judge only the queries of this part; see `babelmix.load_corpus`.
        metrics: ranking metrics; None: mAP@depth and nDCG@10.
        copies: how copies of right answers are counted, of a service or a function; see `babelmix.audit`.
        qrels: a file of qrels that replace those of the corpus, of a service or a function.
        batch_size: texts in one forward pass, of an index.
        model: the name or folder of the encoder of an index, if it was moved; that of a collection, which does not name it.
        backend: the engine that runs the encoder of an index.
        trust_code: run code that the encoder of an index contains or names.
        fail_if: rules that say when the audit fails; see docs/ci.md.
        significant: with `fail_if`: see `babelmix.audit`.
        junit: with `fail_if`: see `babelmix.audit`.
        summary: with `fail_if`: see `babelmix.audit`.
        queries_from: the queries of a collection, or of an index, that has none: parts of its texts, or a log; see
            `babelmix.load_corpus`.
        mode: `dense`, `words` or `hybrid`, of an index or a service; several are compared. None: `dense`.
        words_weight: with `hybrid`: the weight of the list of words; several are compared. None: 0.2.
        query_langs: what is said of the languages of the queries, to an index or a service; see `babelmix.audit_index`.
        fusion: with `hybrid`: see `babelmix.audit_index`.
        show: of an index or a service: see `babelmix.audit_index`.
        rerank: of an index: see `babelmix.audit_index`.
        query_vectors: of a collection that babelmix did not make: see `babelmix.audit_index`.

    Raises:
        ConfigError: an argument is wrong, or does not go with what is at the address.
        SearchError: there is no such index or service, or it fails.
        CorpusError: the corpus cannot be read.
        AuditError: the function fails, or its answers are not in the corpus.

    """
    from babelmix.search.foreign.templates import has_template
    from babelmix.search.remote import is_service

    if corpus is not None and queries_from is not None:
        corpus, queries_from = with_queries(corpus, queries_from, langs), None
    if corpus is None and (is_adapter(address) or is_service(address) or has_template(address)):
        raise ArgumentError(
            "corpus", "is missing: only an index can ask for its own rows; name the corpus, as in  -c my.csv"
        )
    if is_adapter(address) and corpus is not None:
        check_unfit(
            "is for an index; leave it out for a function", policy=policies, k=k, model=model, backend=backend, mode=mode,
            words_weight=words_weight, query_lang=query_langs, fusion=fusion, show=show, rerank=rerank,
            query_vectors=query_vectors,
        )  # fmt: skip
        return audit_function(
            address, corpus, depth=depth, queries=queries, out=out, against=against, langs=langs, part=part, metrics=metrics,
            copies=copies, qrels=qrels, fail_if=fail_if, significant=significant, junit=junit, summary=summary,
        )  # fmt: skip
    if has_template(address) and corpus is not None:
        check_unfit(
            "is for an index; a template says itself what is asked", policy=policies, k=k, mode=mode, words_weight=words_weight,
            query_lang=query_langs, fusion=fusion, show=show, rerank=rerank, query_vectors=query_vectors,
        )  # fmt: skip
        from babelmix.api.template_auditing import audit_template

        return audit_template(
            address, corpus, model=model, backend=backend, trust_code=trust_code, depth=depth, queries=queries, out=out,
            against=against, langs=langs, part=part, metrics=metrics, copies=copies, qrels=qrels, fail_if=fail_if,
            significant=significant, junit=junit, summary=summary,
        )  # fmt: skip
    if is_service(address) and corpus is not None:
        check_unfit(
            "is for an index; the service has its own encoder", model=model, backend=backend, rerank=rerank,
            query_vectors=query_vectors,
        )  # fmt: skip
        return audit_service(
            address, corpus, policies=policies, k=k, depth=depth, queries=queries, out=out, against=against, langs=langs,
            part=part, metrics=metrics, copies=copies, qrels=qrels, fail_if=fail_if, significant=significant, junit=junit,
            summary=summary, mode=mode, words_weight=words_weight, query_langs=query_langs, fusion=fusion, show=show,
        )  # fmt: skip
    from babelmix.api.index_auditing import audit_index

    check_unfit("is for audits of an encoder; leave it out, or leave out --through", against=against, copies=copies)
    check_unfit("is for ranked lists and encoders; leave it out, or leave out --through", qrels=qrels)
    return audit_index(
        address, corpus, policies=policies, k=10 if k is None else k, depth=depth, queries=queries, out=out, langs=langs,
        part=part, metrics=metrics, batch_size=batch_size, model=model, backend=backend, trust_code=trust_code,
        fail_if=fail_if, significant=significant, junit=junit, summary=summary, queries_from=queries_from,
        mode=mode, words_weight=words_weight, query_langs=query_langs, fusion=fusion, show=show, rerank=rerank,
        query_vectors=query_vectors,
    )  # fmt: skip


__all__ = ["audit_through"]
