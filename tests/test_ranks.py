"""The rank table against sorting, and the metrics against slow references and the field's libraries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import parallel_corpus, png, sparse_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from babelmix.corpus import Corpus
from babelmix.errors import AuditError, ConfigError
from babelmix.evaluation import Audit, RankTable, crowding, language_shares, measures, rank_table
from babelmix.evaluation.measure_info import check_name
from babelmix.evaluation.metrics import RankedLists, metric, recall
from babelmix.evaluation.metrics.hit import hit
from babelmix.evaluation.ranks import relevant_pairs


def embeddings(rng: np.random.Generator, corpus: Corpus, dimension: int = 4, ties: bool = False):
    """Small integers give many ties; their dot products are exact."""
    shape = [(table.num_rows, dimension) for table in (corpus.queries, corpus.passages)]
    if ties:
        return [rng.integers(-2, 3, size=s).astype(np.float32) for s in shape]
    return [rng.standard_normal(s).astype(np.float32) for s in shape]


def slow_ranking(query: np.ndarray, passages: np.ndarray) -> list[int]:
    """Passage rows by falling score, ties by row: what a stable sort gives."""
    scores = [float(np.dot(query, p)) for p in passages]
    return sorted(range(len(passages)), key=lambda row: (-scores[row], row))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), items=st.integers(2, 12), keep=st.sampled_from([0.5, 0.8, 1.0]))
def test_table_equals_sorting_with_ties(seed: int, items: int, keep: float) -> None:
    rng = np.random.default_rng(seed)
    corpus = sparse_corpus(rng, items, ("de", "en", "fr"), keep)
    if corpus.qrels.num_rows == 0:
        return
    corpus = replace(corpus, qrels=corpus.qrels.take(rng.permutation(corpus.qrels.num_rows)))
    queries, passages = embeddings(rng, corpus, ties=True)
    table = rank_table(corpus, queries, passages, similarity="dot", cutoffs=(1, 3, 10), memory=1)
    langs = corpus.passages["lang"].to_pylist()
    order = [slow_ranking(q, passages) for q in queries]
    pairs = list(zip(*relevant_pairs(corpus)[:2], strict=True))
    qrels = set(zip(corpus.qrels["query_item"].to_pylist(), corpus.qrels["passage_item"].to_pylist(), strict=True))
    query_items, passage_items = corpus.queries["item"].to_pylist(), corpus.passages["item"].to_pylist()
    expected_pairs = [
        (q, p)
        for q in range(len(queries))
        for p in range(len(passages))
        if (query_items[q], passage_items[p]) in qrels
    ]
    assert pairs == expected_pairs
    for n, (q, p) in enumerate(pairs):
        before = order[q][: order[q].index(p)]
        expected = [sum(langs[row] == lang for row in before) for lang in table.passage_langs]
        assert table.outranking_counts[n].tolist() == expected
    assert table.rank_in_own().dtype == np.int64
    for q, ranking in enumerate(order):
        for c, k in enumerate((1, 3, 10)):
            expected = [sum(langs[row] == lang for row in ranking[:k]) for lang in table.passage_langs]
            assert table.top[q, c].tolist() == expected


def slow_metric(name: str, relevant_ranks: list[int], total: int) -> float:
    """Definitions written out over a full list of 0/1 relevances; ranks from 0."""
    base, _, cut = name.partition("@")
    k = int(cut) if cut else total
    relevances = [1 if r in relevant_ranks else 0 for r in range(total)]
    if base == "mAP":
        hits, value = 0, 0.0
        for i, relevance in enumerate(relevances[:k], 1):
            hits += relevance
            value += relevance * hits / i
        return value / min(sum(relevances), k)
    if base == "MRR":
        return next((1 / i for i, relevance in enumerate(relevances[:k], 1) if relevance), 0.0)
    if base == "R":
        return sum(relevances[:k]) / sum(relevances)
    if base == "hit":
        return float(any(relevances[:k]))
    gain = sum(relevance / np.log2(i + 1) for i, relevance in enumerate(relevances[:k], 1))
    return gain / sum(1 / np.log2(i + 1) for i in range(1, min(sum(relevances), k) + 1))


NAMES = ("mAP", "mAP@3", "MRR", "MRR@10", "nDCG", "nDCG@5", "R@1", "R@10", "hit@1", "hit@3")


@pytest.mark.parametrize("seed", range(4))
def test_metrics_equal_slow_references_in_all_settings(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corpus = sparse_corpus(rng, 15, ("de", "en", "fr"), 0.8)
    queries, passages = embeddings(rng, corpus)
    found = measures(rank_table(corpus, queries, passages), NAMES)
    qrels = set(zip(corpus.qrels["query_item"].to_pylist(), corpus.qrels["passage_item"].to_pylist(), strict=True))
    langs = corpus.passages["lang"].to_pylist()
    unit = passages / np.linalg.norm(passages, axis=1, keepdims=True)
    expected: dict[str, dict[str, list[float]]] = {}
    for q, (item, lang) in enumerate(
        zip(corpus.queries["item"].to_pylist(), corpus.queries["lang"].to_pylist(), strict=True)
    ):
        ranking = slow_ranking(queries[q] / np.linalg.norm(queries[q]), unit)
        pools = {"multi": (lang, ranking)}
        for other in set(langs):
            pool = [row for row in ranking if langs[row] == other]
            setting = "mono" if other == lang else "cross"
            pools[f"{setting} {other}"] = (lang if other == lang else f"{lang} > {other}", pool)
        for key, (cell, pool) in pools.items():
            ranks = [n for n, row in enumerate(pool) if (item, corpus.passages["item"][row].as_py()) in qrels]
            for name in NAMES if ranks else ():
                measure = f"{key.split()[0]}/{name}"
                expected.setdefault(measure, {}).setdefault(cell, []).append(slow_metric(name, ranks, len(pool)))
    assert expected
    for name, cells in expected.items():
        means = dict(zip(found[name].cells, found[name].cell_values(), strict=True))
        assert means == pytest.approx({cell: np.mean(values) for cell, values in cells.items()}, abs=1e-6)
        assert found[name].macro() == pytest.approx(np.mean([np.mean(v) for v in cells.values()]), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [("mAP", 1 / 2), ("mAP@1", 0), ("mAP@2", 1 / 2), ("MRR", 1 / 2), ("MRR@1", 0), ("MRR@2", 1 / 2),
     ("nDCG", 1 / np.log2(3)), ("nDCG@1", 0), ("nDCG@2", 1 / np.log2(3)), ("R@1", 0), ("R@2", 1), ("hit@1", 0), ("hit@2", 1)],
)  # fmt: skip
def test_metrics_of_one_list_and_of_none(name: str, value: float) -> None:
    second, nothing = np.array([1]), np.zeros(0, dtype=np.int64)
    assert metric(name)(RankedLists(second, np.array([0]), second)).tolist() == pytest.approx([value])
    assert metric(name)(RankedLists(nothing, nothing, nothing)).tolist() == []
    for uncut in (recall, hit):
        assert uncut(RankedLists(second, np.array([0]), second)).tolist() == [1]


# ranx is compiled when it is first called, and its compiler warns of a cast of its own.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*unsafe cast from uint64 to int64")
def test_metrics_equal_pytrec_eval_and_ranx() -> None:
    import pytrec_eval
    import ranx

    rng = np.random.default_rng(5)
    corpus = parallel_corpus(60)
    queries, passages = embeddings(rng, corpus, dimension=8)
    found = measures(rank_table(corpus, queries, passages), ("mAP", "MRR", "nDCG@10", "R@10"))
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (queries, passages)]
    scores = unit[0] @ unit[1].T
    items = corpus.passages["item"].to_pylist()
    qrels, run = {}, {}
    for q, item in enumerate(corpus.queries["item"].to_pylist()):
        qrels[f"q{q}"] = {f"d{d}": 1 for d, other in enumerate(items) if other == item}
        run[f"q{q}"] = {f"d{d}": float(scores[q, d]) for d in range(len(items))}
    evaluated = pytrec_eval.RelevanceEvaluator(qrels, {"map", "recip_rank", "ndcg_cut.10", "recall.10"}).evaluate(run)
    for name, theirs in (("mAP", "map"), ("MRR", "recip_rank"), ("nDCG@10", "ndcg_cut_10"), ("R@10", "recall_10")):
        expected = [evaluated[f"q{q}"][theirs] for q in range(len(queries))]
        assert found[f"multi/{name}"].values == pytest.approx(expected, abs=1e-6)
    # Each of its metrics takes long to compile.
    theirs = ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), ["map", "ndcg@10"], make_comparable=True)
    for name, key in (("mAP", "map"), ("nDCG@10", "ndcg@10")):
        assert found[f"multi/{name}"].values.mean() == pytest.approx(theirs[key], abs=1e-6)


def test_bias_metrics_by_brute_force() -> None:
    rng = np.random.default_rng(3)
    corpus = parallel_corpus(20)
    queries, passages = embeddings(rng, corpus)
    table = rank_table(corpus, queries, passages)
    found = measures(table)
    items, langs = corpus.passages["item"].to_pylist(), corpus.passages["lang"].to_pylist()
    unit = passages / np.linalg.norm(passages, axis=1, keepdims=True)
    distance, deviation, variance, preference, share = [], [], [], [], []
    rank_lists, query_langs = [], corpus.queries["lang"].to_pylist()
    for q, (item, lang) in enumerate(
        zip(corpus.queries["item"].to_pylist(), corpus.queries["lang"].to_pylist(), strict=True)
    ):
        ranking = slow_ranking(queries[q], unit)
        rank = {langs[row]: n for n, row in enumerate(ranking) if items[row] == item}
        rank_lists.append(np.array(list(rank.values())))
        distance.append(max(rank.values()) - min(rank.values()))
        deviation.append(np.std(list(rank.values())))
        variance.append(np.var(list(rank.values())))
        preference.append(np.mean([rank[lang] < other for key, other in rank.items() if key != lang]))
        share.append(np.mean([langs[row] == lang for row in ranking[:10]]))
    assert found["bias/rank distance"].values == pytest.approx(distance)
    best = [d.min() for d in rank_lists]
    worst = [d.max() for d in rank_lists]
    assert found["bias/median rank distance"].values == pytest.approx(distance)
    by_lang = [
        np.median([d for d, lang in zip(distance, query_langs, strict=True) if lang == own])
        for own in sorted(set(langs))
    ]
    assert found["bias/median rank distance"].macro() == pytest.approx(np.mean(by_lang))
    logs = [np.log2(w + 1) - np.log2(b + 1) for w, b in zip(worst, best, strict=True)]
    assert found["bias/log rank distance"].values == pytest.approx(logs)
    assert found["bias/relative rank distance"].values == pytest.approx(np.array(distance) / len(passages))
    assert found["bias/rank std"].values == pytest.approx(deviation)
    assert found["bias/rank variance"].values == pytest.approx(variance)
    assert found["bias/same-language preference"].values == pytest.approx(preference)
    assert found["bias/same-language share@10"].values == pytest.approx(share)
    assert found["bias/same-language excess@10"].values == pytest.approx(np.array(share) * 4)
    assert language_shares(table, 10).sum(axis=1) == pytest.approx(np.ones(4))
    full = crowding(table)
    assert full.shape == (4, 4, 4)
    one = [
        sum(langs[row] == "fr" for row in ranking[: ranking.index(target)])
        for q, (item, lang) in enumerate(
            zip(corpus.queries["item"].to_pylist(), corpus.queries["lang"].to_pylist(), strict=True)
        )
        if lang == "de"
        for ranking in [slow_ranking(queries[q], unit)]
        for target in [next(r for r in range(len(items)) if items[r] == item and langs[r] == "ja")]
    ]
    assert full[0, 3, 2] == pytest.approx(np.mean(one))


def test_a_perfect_and_an_unbiased_encoder() -> None:
    corpus = parallel_corpus(10)
    code = {item: i for i, item in enumerate(dict.fromkeys(corpus.queries["item"].to_pylist()))}
    one_hot = np.eye(10, dtype=np.float32)
    vectors = [one_hot[[code[i] for i in t["item"].to_pylist()]] for t in (corpus.queries, corpus.passages)]
    found = measures(rank_table(corpus, *vectors))
    for setting in ("mono", "cross", "multi"):
        assert found[f"{setting}/mAP"].macro() == 1.0
    assert found["bias/rank distance"].macro() == 3.0  # four parallel passages in the first four places


def test_saved_table_is_the_same(tmp_path, corpus: Corpus) -> None:
    queries, passages = embeddings(np.random.default_rng(0), corpus)
    table = rank_table(corpus, queries, passages, about={"encoder": "x"})
    Audit.of(table).save(tmp_path / "audit")
    loaded = RankTable.load(tmp_path / "audit")
    for name in ("outranking_counts", "top", "pair_query", "pair_passage", "pair_lang", "query_lang", "pool_sizes"):
        assert np.array_equal(getattr(table, name), getattr(loaded, name)), name
    assert loaded.query_langs == table.query_langs
    assert loaded.about.as_json() == {"encoder": "x"}
    assert Audit.load(tmp_path / "audit").macro("multi/mAP") == Audit.of(table).macro("multi/mAP")
    (tmp_path / "audit" / "ranks.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(AuditError, match="damaged"):
        RankTable.load(tmp_path / "audit")


def test_bad_embeddings_are_refused(corpus: Corpus) -> None:
    queries, passages = embeddings(np.random.default_rng(0), corpus)
    broken = passages.copy()
    broken[7, 1] = np.nan
    with pytest.raises(AuditError, match="passage row 8 is not finite"):
        rank_table(corpus, queries, broken)
    with pytest.raises(AuditError, match="passage rows"):
        rank_table(corpus, queries, passages[:-1])
    with pytest.raises(AuditError, match="dimensions"):
        rank_table(corpus, queries, passages[:, :3])
    with pytest.raises(AuditError, match="euclidean"):
        rank_table(corpus, queries, passages, similarity="euclidean")


def test_a_zero_vector_has_cosine_zero(corpus: Corpus) -> None:
    queries, passages = (np.abs(v) for v in embeddings(np.random.default_rng(0), corpus))
    passages[0] = 0.0
    table = rank_table(corpus, queries, passages)
    pair = int(np.flatnonzero(table.pair_passage == 0)[0])
    assert table.outranking_counts[pair].sum() == len(passages) - 1


@pytest.mark.parametrize("name", ["MAP", "R", "mAP@0", "nDCG@-1", "", "mAP@"])
def test_unknown_metrics_are_named(name: str, corpus: Corpus) -> None:
    table = rank_table(corpus, *embeddings(np.random.default_rng(0), corpus))
    with pytest.raises(ConfigError, match=r"there is no metric .* babelmix --plugin FILE$"):
        measures(table, [name])


def test_images_have_cross_lingual_and_multilingual_settings_only() -> None:
    rows = [{"item": f"i{i}", "lang": lang, "text": f"{lang} {i}"} for i in range(5) for lang in ("de", "en")]
    pictures = [{"item": f"i{i}", "lang": "zxx", "image": png((i, 0, 0))} for i in range(5)]
    corpus = Corpus.from_rows(rows, pictures, [(f"i{i}", f"i{i}") for i in range(5)])
    table = rank_table(corpus, *embeddings(np.random.default_rng(0), corpus))
    found = measures(table)
    # Queries stand in pairs of an item's two languages.
    ranks = table.rank_in_all().reshape(5, 2)
    distance = found["bias/rank distance over query languages"]
    assert distance.macro() == pytest.approx(np.abs(ranks[:, 0] - ranks[:, 1]).mean())
    assert not any(name.startswith("mono/") or "same-language" in name for name in found)
    assert found["cross/mAP"].cells == ("de > zxx", "en > zxx")
    assert found["cross/mAP"].macro() == pytest.approx(found["multi/mAP"].macro())
    assert "bias/mean rank correlation" not in found


def test_two_pictures_of_an_item_are_compared_as_two_passages_are() -> None:
    rows = [{"item": f"i{i}", "lang": lang, "text": f"{lang} {i}"} for i in range(5) for lang in ("de", "en")]
    pictures = [{"item": f"i{i}", "lang": "zxx", "image": png((i, 0, 0))} for i in range(5)]
    corpus = Corpus.from_rows(rows, pictures, [("i0", "i0"), ("i0", "i1")])
    table = rank_table(corpus, *embeddings(np.random.default_rng(0), corpus))
    found = measures(table)
    de, en = table.rank_in_all().reshape(2, 2)
    correlation = 1 if (de[0] < de[1]) == (en[0] < en[1]) else -1
    assert found["bias/mean rank correlation"].macro() == pytest.approx(correlation)
    assert "bias/rank std over query languages" in found


def test_measures_are_named_by_setting_and_metric() -> None:
    for name in ("mono/mAP", "cross/nDCG@10", "multi/hit@1", "bias/rank distance"):
        check_name(name)
    for name in ("bias/mAP", "multi/rank distance", "mAP", "any/mAP"):
        with pytest.raises(ConfigError):
            check_name(name)
    # What follows the first slash is the metric.
    with pytest.raises(ConfigError, match="'any/mAP'"):
        check_name("multi/any/mAP")
    with pytest.raises(ConfigError, match="'any/rank distance'"):
        check_name("bias/any/rank distance")


def test_the_former_name_of_the_counts_still_works(table: RankTable) -> None:
    with pytest.warns(DeprecationWarning, match="outranking_counts"):
        assert table.above is table.outranking_counts
