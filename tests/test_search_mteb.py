"""mteb scores the search stack: index, policy and all."""

from __future__ import annotations

import pytest
from conftest import parallel_corpus
from mteb.models.models_protocols import SearchProtocol
from test_mteb import by_subset, evaluate

from babelmix.errors import SearchError
from babelmix.evaluation.mteb import cached_encoder, mteb_tasks
from babelmix.search.mteb_index import IndexSearch, language_in_id

pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")
pytestmark = [
    # mteb calls parameters and methods that it or sentence-transformers deprecated.
    pytest.mark.filterwarnings("ignore:The (fill_missing|compute_metadata) parameter:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*get_sentence_embedding_dimension.*"),
]


@pytest.mark.slow
def test_an_exact_search_scores_as_the_encoder_does(tiny_static) -> None:
    tasks = mteb_tasks(parallel_corpus(items=20), ["multi", "mono"], cutoff=100)
    search = IndexSearch(tiny_static, "tiny", exact=True)
    assert isinstance(search, SearchProtocol)
    found = evaluate(search, tasks)
    expected = evaluate(cached_encoder(tiny_static, "tiny", store=False), tasks)
    assert set(found) == set(expected)
    for name, result in expected.items():
        for subset, scores in by_subset(result).items():
            for metric in ("ndcg_at_10", "map_at_100", "recall_at_5"):
                # Equal scores may stand in another order.
                assert by_subset(found[name])[subset][metric] == pytest.approx(scores[metric], abs=0.02)
    search.close()


def test_a_policy_changes_what_mteb_sees(tiny_static) -> None:
    tasks = mteb_tasks(parallel_corpus(items=20), ["multi"], cutoff=20)
    found = evaluate(IndexSearch(tiny_static, "tiny", policy="only=de"), tasks)
    entries = by_subset(next(iter(found.values())))
    assert entries["de"]["same_language_share_at_10"] == 1
    assert entries["en"]["same_language_share_at_10"] == 0


def test_a_quota_holds_within_the_answers_that_mteb_scores(tiny_static) -> None:
    task = mteb_tasks(parallel_corpus(items=4), ["multi"], cutoff=20)[0]
    given = {"task_metadata": task.metadata, "hf_split": "test", "hf_subset": "de", "num_proc": None}
    rows = parallel_corpus(langs=("de", "en", "fr")).passages.to_pylist()
    documents = [{"id": f"{i} {row['lang']} {row['item']}", "text": row["text"]} for i, row in enumerate(rows)]
    queries = [{"id": str(i), "text": document["text"]} for i, document in enumerate(documents[:40])]

    def languages(policy: str, shown: int = 10) -> list[int]:
        search = IndexSearch(tiny_static, "tiny", policy=policy, exact=True, shown=shown)
        search.index(documents, encode_kwargs={}, **given)  # type: ignore[arg-type]
        found = search.search(queries, top_k=60, encode_kwargs={}, **given)  # type: ignore[arg-type]
        search.close()
        ranked = [sorted(scores, key=lambda name, of=scores: -of[name]) for scores in found.values()]
        assert all(len(set(names)) == len(names) == 60 for names in ranked)
        return [len({language_in_id(name) for name in names[:10]}) for names in ranked]

    assert set(languages("quota=3")) == {3}
    assert min(languages("any")) < 3
    assert languages("quota=3", shown=60) == languages("any")


def test_languages_are_read_from_our_ids() -> None:
    assert language_in_id("3 de an item") == "de"
    assert language_in_id("doc-7") == "und"
    assert language_in_id("a b c") == "und"


def test_what_an_index_cannot_do_is_said(tiny_static) -> None:
    task = mteb_tasks(parallel_corpus(items=4), ["multi"], cutoff=20)[0]
    given = {
        "task_metadata": task.metadata,
        "hf_split": "test",
        "hf_subset": "de",
        "encode_kwargs": {},
        "num_proc": None,
    }
    search = IndexSearch(tiny_static, "tiny")
    with pytest.raises(SearchError, match="no index yet"):
        search.search([], top_k=10, **given)  # type: ignore[arg-type]
    search.index([{"id": "a", "text": "cat"}, {"id": "b", "text": " "}], **given)  # type: ignore[arg-type]
    assert list(search.search([{"id": "q", "text": "cat"}], top_k=10, **given)["q"]) == ["a"]  # type: ignore[arg-type]
    with pytest.raises(SearchError, match="at most 1,000"):
        search.search([{"id": "q", "text": "cat"}], top_k=5000, **given)  # type: ignore[arg-type]
    search.close()


def test_the_old_name_of_the_module_warns() -> None:
    import babelmix.search.mteb as old

    with pytest.warns(DeprecationWarning, match="import IndexSearch from there"):
        assert old.IndexSearch is IndexSearch
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = old.nothing
