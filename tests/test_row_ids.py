"""The ids of a corpus's rows, and the rows that ids from elsewhere mean."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from babelmix.corpus import Corpus
from babelmix.corpus.row_ids import rows_of_ids, spelled_ids


def corpus_of(*rows: tuple[str, str]) -> Corpus:
    made = [{"item": item, "lang": lang, "text": f"{item} {lang} {n}"} for n, (item, lang) in enumerate(rows)]
    return Corpus.from_rows(made, made, [(rows[0][0], rows[0][0])])


def test_a_row_is_its_item_and_its_language_and_a_number_from_the_second_on() -> None:
    corpus = corpus_of(("a/1", "de"), ("a/1", "en"), ("a/1", "de"), ("b", "zh-Hant"))
    assert corpus.row_ids("passages") == ["a/1/de", "a/1/en", "a/1/de/2", "b/zh-Hant"]


def test_another_tag_of_the_language_and_an_item_with_one_row_are_understood() -> None:
    corpus = corpus_of(("a/1", "de"), ("a/1", "en"), ("a/1", "de"), ("b", "en"), ("c/de", "en"))
    ids = ["b", "a/1/deu/2", "a/1", "b/eng", "b/en/2", "b/de", "", "c/de", "a/1/xx"]
    found = rows_of_ids(pl.Series(ids), corpus.passages)
    assert found.to_list() == [3, 2, None, 3, None, None, None, 4, None]


def test_an_id_comes_before_an_item_that_looks_like_it() -> None:
    corpus = corpus_of(("a", "de"), ("a/de", "en"))
    assert rows_of_ids(pl.Series(["a/de", "a/de/en"]), corpus.passages).to_list() == [0, 1]


@given(st.lists(st.tuples(st.sampled_from(["a", "a/de", "a/de/2", "2"]), st.sampled_from(["de", "en"])), min_size=1))
def test_ids_are_distinct_and_lead_back(rows: list[tuple[str, str]]) -> None:
    corpus = corpus_of(*rows)
    ids = corpus.row_ids("queries")
    assert len(set(ids)) == len(ids)
    assert rows_of_ids(pl.Series(ids), corpus.queries).to_list() == list(range(len(ids)))
    assert spelled_ids(*(pl.Series(column) for column in zip(*rows, strict=True))).to_list() == ids
