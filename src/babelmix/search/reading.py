"""What each searcher of one call reads: its queries in groups, each with a policy and a filter in the tags of the index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from babelmix.corpus.languages import readable_languages
from babelmix.errors import SearchError
from babelmix.search.options import KNOWN, SearchOptions, Show
from babelmix.search.policies import OWN, Policy
from babelmix.search.rows import Where
from babelmix.search.showing import Reader

READER = "reader"
"""In the facts of an audit: what its searchers are assumed to read."""

READER_LEGEND = (
    "item recall, item nDCG, item mAP, readable share: of a searcher who reads {} (own: the query's language); an item counts "
    "once; found through other languages: the part of the item recall that a search in these languages alone does not give"
)


@dataclass(frozen=True)
class Readers:
    """Queries whose searchers read the same languages.

    Args:
        numbers: the numbers of the queries.
        policy: the policy, with tags of the index.
        where: the filter, with tags of the index, without the languages that the policy excludes.
        reader: with `show="mine"`: what is shown of an item; None: what was found.

    """

    numbers: list[int]
    policy: Policy
    where: Where
    reader: Reader | None = None


def by_reader(
    policy: Policy, where: Where, langs: Sequence[str | None], tags: Sequence[str], address: str, show: Show = "found"
) -> list[Readers]:
    """Group queries by what their searchers read.

    Args:
        policy: the policy as the user gave it.
        where: the filter as the user gave it.
        langs: the language of each query, None where it is unknown.
        tags: the languages of the index; none if it is empty.
        address: the name of the index, for messages.
        show: see `babelmix.search.options.SHOWS`.

    Raises:
        SearchError: the index does not have a language of the policy or of the filter, or none that a searcher reads, or policy
            and filter leave none.

    Examples:
        >>> groups = by_reader(Policy.parse("reads=own,en"), Where(), ["de", "en", "de"], ["de", "en", "ja"], "it")
        >>> [(group.numbers, group.where.langs) for group in groups]
        [([0, 2], ('de', 'en')), ([1], ('en',))]

    """
    if tags:
        where = where.among(tags, address)
    differ = policy.names_own or (show == "mine" and not policy.reads)
    groups: dict[str | None, list[int]] = {}
    for number, lang in enumerate(langs):
        groups.setdefault(lang if differ else None, []).append(number)
    return [_settled(numbers, policy, where, lang, tags, address, show) for lang, numbers in groups.items()]


def _settled(
    numbers: list[int], policy: Policy, where: Where, lang: str | None, tags: Sequence[str], address: str, show: Show
) -> Readers:
    policy = policy.of_query(lang, tags)
    policy = policy.among(tags, address) if tags else policy
    if show == "found":
        return Readers(numbers, policy, _narrowed(policy, where))
    reads = policy.reads or tuple(readable_languages([lang] if lang is not None else [], tags))
    reader = Reader(reads, strict=bool(policy.reads))
    if reader.strict:
        _narrowed(policy, where)
    # Rows of all languages are found; the reader decides what is shown.
    policy = replace(policy, reads=())
    return Readers(numbers, policy, _narrowed(policy, where), reader)


def _narrowed(policy: Policy, where: Where) -> Where:
    """The filter without the languages that the policy excludes.

    Raises:
        SearchError: no language is left.

    """
    found = policy.narrowed(where)
    if found.langs == () and where.langs != ():
        if where.langs is None:
            raise SearchError(f"the policy {policy} leaves no language: the searcher does not read those of  only=")
        raise SearchError(
            f"the policy {policy} and the filter by {', '.join(where.langs)} leave no language; leave out one of them"
        )
    return found


def assumed_reader(policies: Iterable[Policy], options: SearchOptions) -> tuple[str, ...]:
    """The languages that the searchers of an audit are assumed to read: those of the first policy that says so.

    Args:
        policies: the policies of the audit.
        options: how it searches. With `show="mine"`, searchers read the query's own language if no policy says more.

    Returns:
        Ranges, or `own`; empty if nothing is assumed.

    Raises:
        SearchError: the languages of the queries are needed, and nothing is said of them.

    """
    policies = list(policies)
    mine = options.show == "mine"
    for policy in policies:
        if options.query_langs is None and (policy.needs_query_lang or (mine and not policy.reads)):
            shown = " with show=mine" if mine else ""
            raise SearchError(
                f"the policy {policy}{shown} needs the language of the query: audit with query_langs (--query-lang) {KNOWN}, "
                "which are those of the corpus, or detect"
            )
    reads = next((policy.reads for policy in policies if policy.reads), ())
    return reads or ((OWN,) if mine else ())


__all__ = ["READER", "READER_LEGEND", "Readers", "assumed_reader", "by_reader"]
