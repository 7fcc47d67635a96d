"""What all foreign collections share: they are only read, their languages become tags, and an encoder has to fit."""

from __future__ import annotations

import pytest

from babelmix.errors import SearchError
from babelmix.search.foreign.languages import Languages, tag_of
from babelmix.search.foreign.postgres_collection import PostgresCollection


def test_languages_become_tags() -> None:
    values = ["de", "EN_us", "zh-hant-tw", "ger", "German", " ", None, "x-klingon"]
    assert [tag_of(value) for value in values] == ["de", "en-US", "zh-Hant-TW", "de", "und", "und", "und", "und"]
    found = Languages({"en": 3, "EN": 1, "de": 2, None: 1, "Deutsch": 5})
    assert found.rows == {"de": 2, "en": 4, "und": 6}
    assert sorted(found.values(["en"]), key=str) == ["EN", "en"]
    assert set(found.values(["und"])) == {None, "Deutsch"}
    assert "6 of 12 rows" in (found.note() or "")
    assert "'Deutsch'" in (found.note() or "")
    assert Languages({"de": 1}).note() is None


def test_nothing_is_made() -> None:
    with pytest.raises(SearchError, match="read-only"):
        PostgresCollection.create("postgresql://localhost/shop/articles", 8, {})
