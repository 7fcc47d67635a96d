"""Policies for a searcher who reads some languages, against the slow, obvious way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import WORDS
from test_search import all_scores, vectors_of

from babelmix.corpus.languages import readable_languages
from babelmix.errors import SearchError
from babelmix.search import Index, Row, Searcher, index_rows
from babelmix.search.documents import RowSource
from babelmix.search.policies import Policy
from babelmix.search.rows import Hit, Where
from babelmix.search.showing import with_also

pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")


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


def of_languages(searcher: Searcher, query: str, langs: set[str]) -> list[tuple[str, str]]:
    """Item and language of every passage in some languages, best first."""
    return [(item, lang) for _, item, lang in all_scores(searcher, query) if lang in langs]


def found(searcher: Searcher, query: str, **how: object) -> list[tuple[str, str]]:
    return [(hit.item, hit.lang) for hit in searcher.search(query, **how)]  # type: ignore[call-overload]


def test_a_searcher_gets_only_what_is_read(searcher: Searcher) -> None:
    best = of_languages(searcher, "Katze 3", {"de", "fr"})
    assert found(searcher, "Katze 3", policy="reads=de,fr,sv") == best[:10]
    assert found(searcher, "Katze 3", policy="reads=own,fr", query_langs="de") == best[:10]
    assert (
        found(searcher, "Katze 3", policy="only=own", query_langs="fr")
        == of_languages(searcher, "Katze 3", {"fr"})[:10]
    )
    for policy in ("balanced", "equal", "adaptive", "quota=2", "prefer=de", "own=5"):
        narrow = found(searcher, "Katze 3", policy=policy, langs=["de", "fr"], query_langs="de", k=60)
        assert found(searcher, "Katze 3", policy=f"{policy},reads=fr,own", query_langs="de", k=60) == narrow
        assert {lang for _, lang in narrow} == {"de", "fr"}
    for mode in ("words", "hybrid"):
        assert {lang for _, lang in found(searcher, "Katze chat", policy="reads=de", mode=mode)} == {"de"}
    # A place is not kept for a language that the searcher does not read.
    assert {lang for _, lang in found(searcher, "Katze 3", policy="own=5,reads=en", query_langs="de")} == {"en"}


def test_each_query_of_a_call_has_its_own_searcher(searcher: Searcher) -> None:
    queries, langs = ["Katze 3", "chien", "猫", "cat"], ["de", "fr", None, "de"]
    vectors = searcher.embed(queries)
    for policy in ("balanced,reads=own,en", "only=own", "prefer=own"):
        alone = [
            searcher.search(query, policy=policy, query_langs=[lang], vectors=vectors[i : i + 1])
            for i, (query, lang) in enumerate(zip(queries, langs, strict=True))
        ]
        ids = [[hit.id for hit in hits] for hits in alone]
        for given in (vectors, None):
            together = searcher.search(queries, policy=policy, query_langs=langs, vectors=given)
            assert [[hit.id for hit in hits] for hits in together] == ids
            assert [hits.query for hits in together] == queries
    # Of a query in an unknown language nothing is left out.
    assert len({lang for _, lang in found(searcher, "猫", policy="only=own", query_langs=[None], k=160)}) == 4


def test_languages_that_leave_nothing_are_errors(searcher: Searcher) -> None:
    with pytest.raises(SearchError, match="needs the language of the query"):
        searcher.search("Katze", policy="reads=own,en")
    with pytest.raises(
        SearchError, match=r"no text in a language that the searcher reads \(sv\); it has de, en, fr, ja"
    ):
        searcher.search("Katze", policy="reads=own", query_langs="sv")
    with pytest.raises(SearchError, match="the policy reads=de and the filter by en leave no language"):
        searcher.search("Katze", policy="reads=own", query_langs="de", langs="en")
    with pytest.raises(SearchError, match=r"only=en,reads=de leaves no language"):
        searcher.search("Katze", policy="only=en,reads=de")
    with pytest.raises(SearchError, match=r"show 'mine' needs to know what the searcher reads"):
        searcher.search("Katze", show="mine")


@pytest.fixture
def partly(tmp_path: Path, tiny_static) -> Iterator[tuple[Searcher, list[Row]]]:
    """An index of items in some of four languages each, with one or two rows in each, and its rows."""
    draw = np.random.default_rng(3)
    rows = []
    for number in range(60):
        for lang in draw.permutation(["de", "en", "fr", "ja"])[: draw.integers(1, 4)].tolist():
            for _ in range(int(draw.integers(1, 3))):
                words = [WORDS[lang][word] for word in draw.integers(12, size=4)]
                rows.append(Row(f"i{number}", lang, f"{' '.join(words)} {number}", fields={"even": number % 2 == 0}))
    index = Index.create(str(tmp_path / "partly"), tiny_static, "tiny")
    index_rows(index, tiny_static, RowSource("rows", len(rows), lambda: iter([rows])))
    yield Searcher(index, tiny_static), rows
    index.close()


def shown(
    searcher: Searcher, rows: list[Row], query: str, reads: list[str], *, strict: bool = True
) -> list[tuple[float, str, str, str, tuple[str, ...]]]:
    """Score, item, language, text and other languages of every item, best first: the slow, obvious way."""
    scores = vectors_of(searcher, [str(row.text) for row in rows]) @ searcher.embed([query])[0]
    best: dict[str, list[tuple[float, Row]]] = {}
    for score, row in zip(scores.tolist(), rows, strict=True):
        best.setdefault(row.item, []).append((score, row))
    answers = []
    for item, several in best.items():
        several.sort(key=lambda one: -one[0])
        mine = [row for lang in reads for _, row in several if row.lang == lang]
        if not mine and strict:
            continue
        row = mine[0] if mine else several[0][1]
        also = {other.lang for _, other in several} - {row.lang}
        answers.append((several[0][0], item, row.lang, str(row.text), tuple(sorted(also))))
    return sorted(answers, key=lambda one: -one[0])


def same(hits: Iterable[Hit], expected: list[tuple[float, str, str, str, tuple[str, ...]]]) -> None:
    hits = list(hits)
    assert [hit.score for hit in hits] == pytest.approx([one[0] for one in expected], abs=1e-5)
    assert [(hit.item, hit.lang, hit.text, hit.also) for hit in hits] == [one[1:] for one in expected]


@pytest.mark.parametrize("k", [1, 7, 200])
def test_items_are_found_in_any_language_and_shown_in_mine(partly: tuple[Searcher, list[Row]], k: int) -> None:
    searcher, rows = partly
    for query in ("Katze Hund", "river bread 7", "猫"):
        for reads in (["de", "en"], ["en", "de"], ["ja"]):
            expected = shown(searcher, rows, query, reads)
            assert len(expected) < 60
            same(searcher.search(query, k=k, policy=f"reads={','.join(reads)}", show="mine"), expected[:k])
        # Nothing is said of what the searcher reads: the query's language comes first, and nothing is left out.
        expected = shown(searcher, rows, query, ["fr"], strict=False)
        assert len(expected) == 60
        same(searcher.search(query, k=k, query_langs="fr", show="mine"), expected[:k])
        same(
            searcher.search(query, k=k, query_langs=[None], show="mine"),
            shown(searcher, rows, query, [], strict=False)[:k],
        )


def test_filters_hold_for_what_is_shown(partly: tuple[Searcher, list[Row]]) -> None:
    searcher, rows = partly
    even = [row for row in rows if row.fields["even"]]
    same(
        searcher.search("Katze", k=100, policy="reads=own,en", query_langs="de", show="mine", where={"even": True}),
        shown(searcher, even, "Katze", ["de", "en"]),
    )
    some = [row for row in rows if row.lang in ("de", "fr")]
    for how in ({"langs": ["fr", "de"]}, {"policy": "only=de,fr,reads=de,en"}):
        how = {"policy": "reads=de,en"} | how
        same(searcher.search("Katze", k=100, show="mine", **how), shown(searcher, some, "Katze", ["de"]))  # type: ignore[call-overload]


def test_every_policy_and_mode_shows_an_item_once_in_a_language_that_is_read(
    partly: tuple[Searcher, list[Row]],
) -> None:
    searcher, rows = partly
    there: dict[str, set[str]] = {}
    for row in rows:
        there.setdefault(row.item, set()).add(row.lang)
    for policy in ("balanced", "equal", "adaptive", "own=4", "quota=2", "prefer=fr"):
        for mode in ("dense", "words", "hybrid"):
            hits = searcher.search(
                ["Katze chat cat", "Hund Fluss"],
                k=15,
                policy=f"{policy},reads=own,en",
                mode=mode,
                query_langs="de",
                show="mine",
            )  # type: ignore[call-overload]
            for one in hits:
                assert len({hit.item for hit in one}) == len(one) > 5
                for hit in one:
                    assert hit.lang == ("de" if "de" in there[hit.item] else "en")
                    assert hit.also == tuple(sorted(there[hit.item] - {hit.lang}))
    # Items in the query's language get their places.
    plain = searcher.search("river", k=12, policy="balanced,reads=ja,en", show="mine")
    kept = searcher.search("river", k=12, policy="own=10,reads=ja,en", query_langs="ja", show="mine")
    assert sum(hit.lang == "ja" for hit in plain[:10]) < 10 == sum(hit.lang == "ja" for hit in kept[:10])
    assert len({hit.item for hit in kept}) == 12
    assert all(hit.also == tuple(sorted(there[hit.item] - {hit.lang})) for hit in kept)


def test_other_languages_stand_in_tables_frames_and_json(partly: tuple[Searcher, list[Row]]) -> None:
    searcher, _ = partly
    hits = searcher.search("Katze", policy="reads=de,en", show="mine")
    assert hits.tables()[0].head == ["score", "lang", "also in", "item", "text"]
    assert hits.to_frame()["also"].to_list() == [list(hit.also) for hit in hits]
    assert [one["also"] for one in hits.as_json()["hits"]] == [list(hit.also) for hit in hits]
    plain = searcher.search("Katze")
    assert "also" not in plain.to_frame().columns
    assert "also" not in plain.as_json()["hits"][0]


def test_a_picture_is_in_no_language() -> None:
    def rows_of(numbers: object, items: list[list[str]], where: Where) -> list[list[Hit]]:
        return [
            [Hit(item + lang, 0.0, item, lang, "", None) for item in some for lang in ("zxx", "en", "de")]
            for some in items
        ]

    lists = [[], [Hit("ade", 1.0, "a", "de", "", "Hund")]]
    assert [[hit.also for hit in hits] for hits in with_also(lists, rows_of, Where())] == [[], [("en",)]]  # type: ignore[arg-type]


def test_the_service_shows_items_in_the_searchers_language(partly: tuple[Searcher, list[Row]]) -> None:
    from starlette.testclient import TestClient

    from babelmix.search.service import Settings, create_app

    searcher, _ = partly
    asked = {"query": "Katze", "k": 7, "policy": "balanced,reads=own,en", "query_lang": "de", "show": "mine"}
    with TestClient(create_app(searcher, Settings()), base_url="http://localhost") as client:
        answer = client.post("/search", json=asked).json()
        refused = client.post("/search", json=asked | {"policy": "reads=sv"})
    expected = searcher.search("Katze", k=7, policy="balanced,reads=de,en", show="mine")
    assert [(hit["item"], hit["lang"], hit["also"]) for hit in answer["hits"]] == [
        (hit.item, hit.lang, list(hit.also)) for hit in expected
    ]
    assert (refused.status_code, "no text in a language" in refused.json()["error"]) == (400, True)
