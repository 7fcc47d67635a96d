"""How an index is searched, besides the language policy: the mode, the weight of words, and the language of the queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from babelmix.corpus import canonical_language
from babelmix.corpus.detecting import check_detector, detect_languages
from babelmix.corpus.languages import is_language_tag, not_a_tag
from babelmix.errors import SearchError
from babelmix.search.fusion import DEFAULT_FUSION, DEFAULT_WEIGHT, Fusion, WeightLike, WordsWeight

Mode = Literal["dense", "words", "hybrid"]
MODES: tuple[Mode, ...] = ("dense", "words", "hybrid")

Show = Literal["found", "mine"]
SHOWS: tuple[Show, ...] = ("found", "mine")
"""What is shown of an item: the row that was found, or its row in a language that the searcher reads."""

DETECT = "detect"
"""The language of a query is detected from its text."""

KNOWN = "known"
"""In an audit: the language of a query is the one that the corpus states."""


@dataclass(frozen=True)
class SearchOptions:
    """How an index is searched, besides the policy.

    Args:
        mode: `dense`, `words` or `hybrid`.
        words_weight: with `hybrid`: see `Searcher.search`; None: 0.2.
        query_langs: in an audit, what is said of the language of the queries: None: nothing, as most users say nothing;
            `known`: the corpus's languages; `detect`: detect it from the text; or the language of all queries.
        fusion: with `hybrid`: how the two lists are merged; see `babelmix.search.fusion`. None: the default.
        show: see `SHOWS`.
        rerank: whether the reranker scores the first rows again; None: if there is one.

    Raises:
        SearchError: an option is wrong.
        MissingExtraError: `detect`, and the extra `detect` is not installed.

    Examples:
        >>> SearchOptions("hybrid", words_weight=0.2).facts()
        {'mode': 'hybrid', 'words_weight': 0.2}

    """

    mode: Mode = "dense"
    words_weight: WeightLike | None = None
    query_langs: str | None = None
    fusion: str | None = None
    show: Show = "found"
    rerank: bool | None = None

    def __post_init__(self) -> None:
        check_mode(self.mode, self.words_weight, self.fusion)
        if self.words_weight is not None:
            object.__setattr__(self, "words_weight", WordsWeight.parse(self.words_weight).value)
        if self.fusion is not None:
            if not isinstance(self.fusion, str):
                raise SearchError(f"the fusion is {self.fusion!r:.60}; give a text such as 'rrf:k=20'")
            object.__setattr__(self, "fusion", str(Fusion.parse(self.fusion)))
        if self.show not in SHOWS:
            raise SearchError(f"show is {self.show!r}; use {' or '.join(SHOWS)}")
        if self.rerank is not None:
            check_truth(self.rerank, "rerank")
        if self.query_langs is not None and self.query_langs != KNOWN:
            checked_query_lang(self.query_langs, "known, detect or a language")

    @property
    def fused_by(self) -> Fusion:
        """With `hybrid`: how the lists are merged."""
        return DEFAULT_FUSION if self.fusion is None else Fusion.parse(self.fusion)

    @property
    def weight(self) -> WordsWeight:
        """With `hybrid`: the weight of the list of words."""
        return WordsWeight.parse(DEFAULT_WEIGHT if self.words_weight is None else self.words_weight)

    def langs_of(self, langs: Sequence[str]) -> str | list[str] | None:
        """The argument `query_langs` of `Searcher.search` for queries of these languages."""
        return list(langs) if self.query_langs == KNOWN else self.query_langs

    def keywords(self) -> dict[str, Any]:
        """The options as arguments of `Searcher.search`, without the languages of the queries."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "query_langs"}

    def facts(self) -> dict[str, Any]:
        """The options that are not the default."""
        named: dict[str, Any] = {
            name: getattr(self, name) for name in ("words_weight", "query_langs", "fusion", "rerank")
        }
        named["show"] = None if self.show == "found" else self.show
        mode = {} if self.mode == "dense" else {"mode": self.mode}
        return mode | {name: value for name, value in named.items() if value is not None}


def check_truth(given: bool, name: str) -> None:
    """Raise unless an argument is True or False: a text such as `no` would count as True.

    Raises:
        SearchError: it is something else.

    """
    # numpy's own has another name in each release.
    if not isinstance(given, bool) and type(given).__name__ not in ("bool", "bool_"):
        raise SearchError(f"{name} is {given!r:.60}; give True or False")


def check_mode(mode: str, words_weight: WeightLike | None = None, fusion: str | None = None) -> None:
    """Raise unless there is such a mode, and weight and fusion go with it.

    Raises:
        SearchError: the mode is unknown, or a weight or a fusion is given with another mode than `hybrid`.

    """
    if mode not in MODES:
        raise SearchError(f"the mode {mode!r} is unknown; use {', '.join(MODES)}")
    for given, name in ((words_weight, "a weight of words"), (fusion, "a fusion")):
        if given is not None and mode != "hybrid":
            raise SearchError(f"{name} is for the mode 'hybrid', not {mode!r}; leave it out, or change the mode")


def checked_query_lang(lang: str, allowed: str = "detect or a language") -> str:
    """The language of a query as it is compared: `detect`, or the canonical form of a tag.

    Raises:
        SearchError: it is not a tag.
        MissingExtraError: `detect`, and the extra `detect` is not installed.

    """
    if lang == DETECT:
        check_detector()
        return lang
    if not isinstance(lang, str):
        raise SearchError(f"the language of a query is {lang!r:.60}; give {allowed}, as a text")
    if not is_language_tag(lang):
        raise SearchError(f"the language of a query: {not_a_tag(lang)}; give {allowed}")
    return canonical_language(lang)


def checked_query_langs(query_langs: str | Sequence[str | None] | None, queries: int) -> list[str | None] | None:
    """The language of each query: a tag, `detect`, or None if it is unknown. None: all are unknown.

    Raises:
        SearchError: a language is not a tag, or there are not as many languages as queries.
        MissingExtraError: `detect`, and the extra `detect` is not installed.

    """
    if query_langs is None:
        return None
    if not isinstance(query_langs, Iterable) or isinstance(query_langs, bytes):
        raise SearchError(
            f"the language of a query is {query_langs!r:.60}; give a text for all queries, or a list of texts"
        )
    given = [query_langs] * queries if isinstance(query_langs, str) else list(query_langs)
    if len(given) != queries:
        raise SearchError(
            f"there are {queries:,} queries, and the languages of {len(given):,}; give one for each query"
        )
    return [None if lang is None else checked_query_lang(lang) for lang in given]


def told_langs(
    queries: Sequence[object], langs: Sequence[str | None] | None, candidates: Sequence[str]
) -> list[str | None] | None:
    """The languages of queries, with those detected that are to be.

    Args:
        queries: texts; other inputs, such as pictures, have no language.
        langs: what `checked_query_langs` returned.
        candidates: the languages among which is detected.

    Returns:
        One tag for each query, or None where it is unknown. None if all are unknown.

    """
    if langs is None:
        return None
    told: list[str | None] = [None if lang == DETECT else lang for lang in langs]
    asked = [i for i, lang in enumerate(langs) if lang == DETECT and isinstance(queries[i], str)]
    if asked:
        for i, found in zip(asked, detect_languages([str(queries[i]) for i in asked], candidates), strict=True):
            told[i] = found
    return told


__all__ = [
    "DETECT",
    "KNOWN",
    "MODES",
    "SHOWS",
    "Mode",
    "SearchOptions",
    "Show",
    "check_mode",
    "check_truth",
    "checked_query_langs",
    "told_langs",
]
