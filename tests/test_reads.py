"""Policies for a searcher who reads some languages, against the slow, obvious way."""

from __future__ import annotations

import pytest
from test_search import all_scores

from babelmix.corpus.languages import readable_languages
from babelmix.errors import SearchError
from babelmix.search import Searcher
from babelmix.search.policies import Policy
from babelmix.search.rows import Where


@pytest.mark.parametrize(
    "text",
    [
        "reads=own,en", "reads=de", "balanced,reads=de,en", "prefer=de,reads=de,en", "prefer=de:1.5,reads=own,en",
        "own=5,reads=own,en", "own=5:adaptive,reads=en", "quota=2,reads=de,en", "only=own", "only=own,en,reads=own,en",
        "prefer=own", "equal,reads=*",
    ],
)  # fmt: skip
def test_what_a_searcher_reads_is_written_as_it_is_read(text: str) -> None:
    assert str(Policy.parse(text)) == text
    assert Policy.parse(str(Policy.parse(text))) == Policy.parse(text)


def test_reads_alone_means_any() -> None:
    assert Policy.parse("any, reads=de , en,de") == Policy.parse("reads=de,en") == Policy("any", reads=("de", "en"))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("reads=", "write languages after it, as in  reads=own,en"),
        ("balanced,reads=", "write languages"),
        ("reads=german!", "not a BCP 47 language tag"),
        ("reads=de,balanced", "'balanced' is a policy; it stands before"),
        ("reads=de,own=5", "'own=5' is a policy"),
        ("reads=de,reads=en", "'reads=en' is not a BCP 47"),
        ("balanced;reads=de", "unknown"),
        ("balanced,en", "unknown"),
        ("best,reads=de", "the language policy 'best' is unknown"),
    ],
)
def test_wrong_languages_of_a_searcher_are_refused(text: str, match: str) -> None:
    with pytest.raises(SearchError, match=match):
        Policy.parse(text)


@pytest.mark.parametrize(
    ("reads", "found"),
    [
        (["en"], ["en", "en-US"]),
        (["en-US"], ["en-US", "en"]),
        (["de-AT", "sv"], ["de"]),
        (["zh-Hant-TW"], ["zh-Hant", "cmn"]),
        (["pt-BR"], []),
        (["*"], ["en", "de", "en-US", "pt-PT", "zh-Hant", "cmn"]),
        (["sv", "ger", "en-US", "en"], ["de", "en-US", "en"]),
    ],
)
def test_a_reader_reads_regions_and_what_a_region_is_part_of(reads: list[str], found: list[str]) -> None:
    assert readable_languages(reads, ["en", "de", "en-US", "pt-PT", "zh-Hant", "cmn"]) == found


@pytest.mark.parametrize(
    ("text", "lang", "found"),
    [
        ("balanced,reads=own,en", "ja", "balanced,reads=ja,en"),
        ("balanced,reads=en,own", "en", "balanced,reads=en"),
        ("balanced,reads=own,en", None, "balanced,reads=en"),
        ("balanced,reads=own", None, "balanced"),
        ("only=own", "de-AT", "only=de"),
        ("only=own", "sv", "only=sv"),
        ("only=own", None, "any"),
        ("prefer=own:2,reads=own", "de", "prefer=de:2,reads=de"),
        ("prefer=own:2", "sv", "any"),
        ("prefer=own,en", "sv", "prefer=en"),
        ("own=5,reads=de", "de", "own=5,reads=de"),
    ],
)
def test_own_is_the_language_of_the_query(text: str, lang: str | None, found: str) -> None:
    policy = Policy.parse(text).of_query(lang, ["de", "en", "ja"])
    assert policy == Policy.parse(found)
    assert not policy.names_own


def test_languages_that_the_index_does_not_have_count_for_nothing() -> None:
    policy = Policy.parse("balanced,reads=sv,en,de-AT").among(["de", "en-US", "ja"], "my-index")
    assert policy.reads == ("en-US", "de")
    assert policy.narrowed(Where(("ja", "de"))).langs == ("de",)
    only = Policy.parse("only=de,ja,reads=en,de").among(["de", "en", "ja"], "my-index")
    assert only.narrowed(Where()).langs == ("de",)
    with pytest.raises(
        SearchError, match=r"my-index has no text in a language that the searcher reads \(sv, fi\); it has de"
    ):
        Policy.parse("reads=sv,fi").among(["de"], "my-index")
