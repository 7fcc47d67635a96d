"""The frontier of language removal: the parts, the points against a slow reference, the choice against brute force."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from babelmix.corpus import Corpus
from babelmix.encoders.removal import Embedded, Removal, RemovalOptions, removal_method
from babelmix.errors import ArgumentError, AuditError, ConfigError, EncoderError, ReaderError
from babelmix.evaluation.frontier import (
    MEASURES,
    OTHER_RECALL,
    SAME_RECALL,
    UNTOUCHED,
    Mix,
    Point,
    Rule,
    Searched,
    Setting,
    check_removals,
    held_out,
    mix_of,
    settings_of,
    sweep,
)
from babelmix.evaluation.measures import Measure
from babelmix.evaluation.ratios import ratio, weighted
from babelmix.evaluation.significance import Estimate

LANGS = ("de", "en", "fr")
Floats = npt.NDArray[np.float32]


def made(items: int = 48, groups: int = 12, seed: int = 0) -> tuple[Corpus, Searched, Removal]:
    """A parallel corpus whose vectors are meaning, an offset of each language, and noise; and the removal of the offsets."""
    rng = np.random.default_rng(seed)
    rows = [
        {"item": f"i{item}", "lang": lang, "text": f"{item} {lang}", "group": f"g{item % groups}"}
        for item in range(items)
        for lang in LANGS
    ]
    corpus = Corpus.from_rows(rows, rows, [(f"i{item}", f"i{item}") for item in range(items)], name="made")
    meaning = rng.standard_normal((items, 12))
    offsets = 3 * rng.standard_normal((3, 12)).astype(np.float32)

    def side() -> Floats:
        noise = rng.standard_normal((items, 3, 12))
        return (meaning[:, None] + offsets + noise).reshape(-1, 12).astype(np.float32)

    removal = Removal("offsets", LANGS, np.stack([offsets, offsets]), similarity="dot")
    return corpus, Searched(side(), side(), "dot", "made"), removal


def reference(corpus: Corpus, scores: Floats, rows: npt.NDArray[np.int64]) -> dict[str, float]:
    """Recall@10 of answers in the own and in other languages: each query in turn, then each language alike."""
    passages = list(zip(corpus.passages["item"].to_pylist(), corpus.passages["lang"].to_pylist(), strict=True))
    items, langs = corpus.queries["item"].to_pylist(), corpus.queries["lang"].to_pylist()
    found: dict[str, dict[str, list[float]]] = {SAME_RECALL: {}, OTHER_RECALL: {}}
    for row in rows.tolist():
        first = np.argsort(-scores[row], kind="stable")[:10].tolist()
        for name, own in ((SAME_RECALL, True), (OTHER_RECALL, False)):
            right = {
                n for n, (item, lang) in enumerate(passages) if item == items[row] and (lang == langs[row]) == own
            }
            found[name].setdefault(langs[row], []).append(len(right & set(first)) / len(right))
    return {name: float(np.mean([np.mean(some) for some in cells.values()])) for name, cells in found.items()}


def balanced_scores(corpus: Corpus, scores: Floats) -> Floats:
    lang = np.array(corpus.passages["lang"].to_pylist())
    out = np.empty_like(scores)
    for one in LANGS:
        some = scores[:, lang == one].astype(np.float64)
        out[:, lang == one] = (some - some.mean(axis=1, keepdims=True)) / some.std(axis=1, keepdims=True)
    return out


def adaptive_scores(corpus: Corpus, scores: Floats) -> Floats:
    lang = np.array(corpus.passages["lang"].to_pylist())
    out = np.empty_like(scores)
    for one in LANGS:
        some = scores[:, lang == one]
        out[:, lang == one] = some - np.sort(some, axis=1)[:, -10:].mean(axis=1, keepdims=True)
    return out


def with_places(scores: Floats, own: npt.NDArray[np.bool_], places: int) -> Floats:
    """Scores after the last of the first 10 in other languages have given way, one by one."""
    changed = scores.copy()
    for row in range(len(scores)) if places else ():
        order = np.argsort(-scores[row], kind="stable").tolist()
        first, rest = order[:10], order[10:]
        while sum(own[row, n] for n in first) < places:
            last = [n for n in first if not own[row, n]][-1]
            came = next(n for n in rest if own[row, n])
            rest.remove(came)
            first.remove(last)
            first.append(came)
            rest.insert(0, last)
        changed[row, first] = 1000 - np.arange(10)
    return changed


def test_no_group_is_in_both_parts_and_the_pool_stays_whole() -> None:
    corpus, _, _ = made()
    for seed in range(5):
        validation, test = held_out(corpus, validation=0.4, seed=seed)
        groups = [set(part.corpus.queries["group"].to_pylist()) for part in (validation, test)]
        assert not groups[0] & groups[1]
        assert len(groups[0] | groups[1]) == 12
        assert np.array_equal(
            np.sort(np.concatenate([validation.rows, test.rows])), np.arange(corpus.queries.num_rows)
        )
        for part in (validation, test):
            assert part.corpus.passages.num_rows == corpus.passages.num_rows
            assert part.corpus.queries["text"].to_pylist() == corpus.queries["text"].take(part.rows).to_pylist()
        assert abs(len(validation.rows) / corpus.queries.num_rows - 0.4) < 0.1
    assert not np.array_equal(held_out(corpus, seed=0)[0].rows, held_out(corpus, seed=1)[0].rows)
    assert np.array_equal(held_out(corpus, seed=1)[0].rows, held_out(corpus, seed=1)[0].rows)


def test_groups_that_a_qrel_connects_stay_together() -> None:
    rows = [{"item": f"i{n}", "lang": "en", "text": f"{n}", "group": f"g{n}"} for n in range(20)]
    chained = [(f"i{n}", f"i{n}") for n in range(20)] + [(f"i{n}", f"i{n + 1}") for n in range(0, 20, 2)]
    parts = held_out(Corpus.from_rows(rows, rows, chained))
    items = [set(part.corpus.queries["item"].to_pylist()) for part in parts]
    for n in range(0, 20, 2):
        assert ({f"i{n}", f"i{n + 1}"} <= items[0]) != ({f"i{n}", f"i{n + 1}"} <= items[1])
    all_joined = [(f"i{n}", "i0") for n in range(20)]
    with pytest.raises(ConfigError, match="cannot be divided"):
        held_out(Corpus.from_rows(rows, rows, all_joined))


def test_a_limit_leaves_whole_groups_out_of_the_validation_part_only() -> None:
    corpus, _, _ = made()
    whole, test = held_out(corpus)
    few, same = held_out(corpus, limit=30)
    assert len(few.rows) <= 30 < len(whole.rows)
    assert few.of == len(whole.rows)
    assert np.array_equal(test.rows, same.rows)
    assert set(few.rows) < set(whole.rows)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        held_out(corpus, validation=1)
    with pytest.raises(AuditError, match="no qrels"):
        held_out(Corpus(corpus.queries, corpus.passages, corpus.qrels.slice(0, 0)))


def test_points_are_those_of_a_slow_reference() -> None:
    corpus, searched, removal = made()
    part = held_out(corpus)[0]
    policies = {"any": (0.0, 0.7), "balanced": (0.0, 0.5), "adaptive": (0.0,)}
    settings = settings_of(["offsets"], [0.5, 1], policies, [4])
    points = sweep(searched, part, {"offsets": removal}, settings=settings)
    assert [point.setting for point in points] == settings
    langs, passages = corpus.queries["lang"].to_pylist(), corpus.passages["lang"].to_pylist()
    own = np.array(langs)[:, None] == np.array(passages)[None, :]
    seen = set()
    for point in points:
        setting = point.setting
        taken = removal.with_alpha(setting.alpha)
        q, p = np.asarray(searched.queries), np.asarray(searched.passages)
        if setting.method != UNTOUCHED:
            q, p = taken.apply(q, langs, "query"), taken.apply(p, passages, "passage")
        scores = q @ p.T
        scores = balanced_scores(corpus, scores) if setting.policy == "balanced" else scores
        scores = adaptive_scores(corpus, scores) if setting.policy == "adaptive" else scores
        scores = scores + np.float32(setting.own) * own
        expected = reference(corpus, with_places(scores, own, setting.places), part.rows)
        for name, value in expected.items():
            assert point.value(name) == pytest.approx(value, abs=1e-9), (str(setting), name)
        seen.add(round(point.value(OTHER_RECALL), 6))
        assert point.kept is not None
        assert point.kept.value == pytest.approx(point.value(SAME_RECALL) / points[0].value(SAME_RECALL))
        assert point.kept.low <= point.kept.value <= point.kept.high
    assert len(seen) > 4
    assert set(MEASURES) == set(points[0].measures)


def test_vectors_that_do_not_fit_in_memory_give_the_same_points() -> None:
    corpus, searched, removal = made()
    part = held_out(corpus)[0]
    settings = settings_of(["offsets"], [0.5], {"any": (0.0,)})
    one, other = (
        sweep(searched.in_memory(memory), part, {"offsets": removal}, settings=settings, memory=memory)
        for memory in (1 << 30, 0)
    )
    for a, b in zip(one, other, strict=True):
        assert a.as_json() == b.as_json()


def point(alpha: float, kept: float, low: float, value: float, number: int = 0) -> Point:
    zero = np.zeros(1, dtype=np.int64)
    measure = Measure("multi", "mAP", ("de",), zero, zero, np.array([value]))
    setting = Setting(UNTOUCHED, 0.0) if alpha == 0 else Setting(f"m{number}", alpha)
    estimate = Estimate(value, value, value)
    named = {"multi/mAP": (estimate, {"de": estimate}), "bias/rank distance": (Estimate(-value, 0, 0), {})}
    return Point(setting, {"multi/mAP": measure}, named, Estimate(kept, low, 1.0))


def test_the_choice_is_that_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        points = [point(0, 1, 1, rng.random())]
        for n in range(12):
            kept = rng.uniform(0.9, 1.05)
            points.append(
                point(round(rng.random(), 1) or 0.1, kept, kept - rng.random() * 0.05, round(rng.random(), 1), n)
            )
        for surely in (False, True):
            rule = Rule(keep=0.98, surely=surely)
            best = -1
            for n, one in enumerate(points):
                assert one.kept is not None
                allowed = n == 0 or (one.kept.low if surely else one.kept.value) >= 0.98
                if allowed and (best < 0 or one.value("multi/mAP") > points[best].value("multi/mAP")):
                    best = n
            chosen = rule.choose(points)
            assert points[chosen].value("multi/mAP") == points[best].value("multi/mAP")
            equal = [
                one.setting.alpha
                for one in points
                if rule.keeps(one) and one.value("multi/mAP") == points[chosen].value("multi/mAP")
            ]
            assert points[chosen].setting.alpha == min(equal)
        free = Rule()
        assert points[free.choose(points)].value("multi/mAP") == max(one.value("multi/mAP") for one in points)
        # Lower is better: the values are those of mAP with another sign.
        lowest = Rule(best="bias/rank distance")
        assert lowest.choose(points) == free.choose(points)


def test_wrong_rules_are_refused() -> None:
    for arguments, error, words in (
        ({"keep": 1.2}, ArgumentError, "no share"),
        ({"best": "multi/nonsense"}, ConfigError, "nonsense"),
        ({"best": "bias/same-language preference"}, ArgumentError, "neither high nor low"),
        ({"surely": True}, ArgumentError, "goes with a share"),
    ):
        with pytest.raises(error, match=words):
            Rule(**arguments)  # type: ignore[arg-type]
    lost = replace(point(0.5, 1, 1, 0.3), kept=None)
    with pytest.raises(AuditError, match="own language"):
        Rule(keep=0.98).choose([point(0, 1, 1, 0.3), lost])
    with pytest.raises(AuditError, match="no value on this corpus"):
        Rule(best="mono/mAP").choose([lost])


def test_the_mix_is_its_formula(tmp_path: Path) -> None:
    corpus, searched, removal = made()
    part = held_out(corpus)[0]
    points = sweep(searched, part, {"offsets": removal}, settings=settings_of(["offsets"], [1], {"any": (0.0,)}))
    log = tmp_path / "log.csv"
    log.write_text(
        "query,lang,answer_lang,count\na,de,de,3\nb,de,en,1\nc,en,fr,2\nd,en,,2\ne,pt_BR,EN,2\n", encoding="utf-8"
    )
    mix = mix_of(log, LANGS, {"de": 1 / 3, "en": 1 / 3, "fr": 1 / 3})
    assert mix.queries == {"de": 0.5, "en": 0.5}
    assert mix.same == {"de": 0.75, "en": 0.0}
    assert mix.left_out == {"pt-BR": 0.2}
    one = points[1]
    same, other = (
        {cell: value.value for cell, value in one.estimates[name][1].items()} for name in (SAME_RECALL, OTHER_RECALL)
    )
    expected = 0.5 * (0.75 * same["de"] + 0.25 * other["de"]) + 0.5 * other["en"]
    found = mix.value(one)
    assert found.value == pytest.approx(expected)
    assert found.low < found.value < found.high
    log.write_text("lang\nde\nen\nen\n", encoding="utf-8")
    assert mix_of(log, LANGS, {"de": 0.2, "en": 0.3}).same == {"de": 0.2, "en": 0.3}
    assert mix_of("same=0.8,other=0.2", LANGS, {}).share == pytest.approx(0.8)
    own = Mix(dict.fromkeys(LANGS, 1 / 3), dict.fromkeys(LANGS, 1.0), "")
    assert own.value(one).value == pytest.approx(one.value(SAME_RECALL))
    values = [mix.value(each).value for each in points]
    assert Rule(mix=mix).choose(points) == int(np.argmax(values))


def test_wrong_mixes_are_refused(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    for text in ("same=0.8,other=0.3", "same=x", "mine=1", "same=1.5"):
        with pytest.raises(ArgumentError, match="sum to 1"):
            mix_of(text, LANGS, {})
    for text, said in ((tmp_path / "none.csv", "none.csv': there is no such file"), ("none", "neither a file")):
        with pytest.raises(ArgumentError, match=said):
            mix_of(text, LANGS, {})
    for content, words in (
        ("query\na\n", "no column"),
        ("lang\nklingonian\n", "row 2, field 'lang'"),
        ("lang\npt\n", "queries in pt"),
        ("lang,count\nde,-1\n", "no number of queries"),
    ):
        log.write_text(content, encoding="utf-8")
        with pytest.raises(ReaderError, match=words):
            mix_of(log, LANGS, {})


def test_removals_that_do_not_fit_are_refused() -> None:
    corpus, searched, removal = made()
    check_removals({"offsets": removal}, corpus, searched)
    two = Removal("offsets", LANGS[:2], removal.offsets[:, :2], similarity="dot")
    with pytest.raises(EncoderError, match="was not fitted on fr"):
        check_removals({"two": two}, corpus, searched)
    with pytest.raises(EncoderError, match="and made has 12"):
        check_removals(
            {"short": Removal("x", LANGS, np.zeros((2, 3, 5), np.float32), similarity="dot")}, corpus, searched
        )
    with pytest.raises(EncoderError, match="cosine"):
        check_removals({"other": replace(removal, similarity="cosine")}, corpus, searched)
    with pytest.raises(AuditError, match="one language"):
        check_removals({}, corpus.only_langs("de"), searched)


def test_without_answers_in_the_own_language_nothing_is_kept() -> None:
    rows = [{"item": f"{lang}{n}", "lang": lang, "text": f"{lang}{n}"} for n in range(20) for lang in ("de", "en")]
    other = {"de": "en", "en": "de"}
    corpus = Corpus.from_rows(rows, rows, [(f"{lang}{n}", f"{other[lang]}{n}") for n in range(20) for lang in other])
    vectors = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    removal = Removal("x", ("de", "en"), np.ones((2, 2, 6), np.float32))
    settings = settings_of(["x"], [1], {"any": (0.0,)})
    points = sweep(Searched(vectors, vectors), held_out(corpus)[0], {"x": removal}, settings=settings)
    assert points[1].kept is None
    with pytest.raises(AuditError, match="own language"):
        Rule(keep=0.98).choose(points)
    assert Rule(best="multi/mAP").choose(points) in (0, 1)


def test_a_ratio_is_paired_and_a_weighted_mean_leaves_out_empty_cells() -> None:
    rng = np.random.default_rng(0)
    cell, group = np.repeat([0, 1], 50), np.tile(np.arange(25), 4)
    whole = Measure("multi", "mAP", ("de", "en"), cell, group, rng.random(100) + 0.5)
    half = replace(whole, values=0.5 * whole.values + 0.01 * rng.random(100))
    found = ratio(half, whole)
    assert found.value == pytest.approx(half.macro() / whole.macro())
    # Paired: far narrower than the interval of either.
    assert found.high - found.low < 0.01
    with pytest.raises(AuditError, match="zero"):
        ratio(half, replace(whole, values=np.zeros(100)))
    mean = weighted({"a": (whole, {"de": 3.0}), "b": (half, {"en": 1.0})})
    expected = 0.75 * whole.cell_values()[0] + 0.25 * half.cell_values()[1]
    assert mean.value == pytest.approx(expected)
    with pytest.raises(AuditError, match="weights are zero"):
        weighted({"a": (whole, {})})


def test_the_frontier_of_a_fitted_removal_rises() -> None:
    corpus, searched, _ = made()
    lang, item = np.tile(np.arange(3), 48), np.repeat(np.arange(48), 3)
    embedded = Embedded(np.asarray(searched.passages, dtype=np.float64), lang, np.zeros_like(lang), LANGS, item, "dot")
    method = removal_method("offsets")
    removal = method.fit_removal(embedded, RemovalOptions())  # type: ignore[misc]
    points = sweep(
        searched, held_out(corpus)[0], {"offsets": removal}, settings=settings_of(["offsets"], [0.5, 1], {"any": (0,)})
    )
    others = [one.value(OTHER_RECALL) for one in points]
    assert others[0] < others[1] < others[2]
