"""A gate: rules are read, decided by value, interval or test, and written for a CI server."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import pytest

from babelmix.errors import AuditError, ConfigError
from babelmix.evaluation import BIAS_METRICS, METRICS, holm
from babelmix.evaluation.gates import ALPHA, REVERSED, Rule, Status, check, parse_rules
from babelmix.evaluation.measure_info import measure_info
from babelmix.evaluation.measures import Measure
from babelmix.evaluation.significance import Comparison, Estimate, compare, estimates

SHARE = "bias/same-language share@10"


@pytest.mark.parametrize(
    ("text", "measure", "comparison", "limit", "where"),
    [
        ("multi/mAP < 0.5", "multi/mAP", "<", ("", 1, 0.5), ""),
        ("  multilingual   mAP<=.5 ", "multi/mAP", "<=", ("", 1, 0.5), ""),
        ("multi mAP < 50%", "multi/mAP", "<", ("", 1, 0.5), ""),
        ("MULTI/map@20 < 50 %", "multi/mAP@20", "<", ("", 1, 0.5), ""),
        ("own-language share@10 > 0.4", SHARE, ">", ("", 1, 0.4), ""),
        ("own language share@10 > 0.4", SHARE, ">", ("", 1, 0.4), ""),
        ("same-language share@10 >= 1", SHARE, ">=", ("", 1, 1.0), ""),
        ("bias/same-language share@10 > 0.4", SHARE, ">", ("", 1, 0.4), ""),
        ("own lang.@10 > 0.4", SHARE, ">", ("", 1, 0.4), ""),
        ("[de] multi/nDCG@10 < 0.5", "multi/nDCG@10", "<", ("", 1, 0.5), "de"),
        ("[ de>zh-CN ] cross/R@1 < 0.5", "cross/R@1", "<", ("", 1, 0.5), "de > zh-CN"),
        ("any language rank distance > 100", "bias/rank distance", ">", ("", 1, 100), "any"),
        ("Any pair cross/mAP < 0.1", "cross/mAP", "<", ("", 1, 0.1), "any"),
        ("multi/mAP < before", "multi/mAP", "<", ("before", 1, 0), ""),
        ("multi/mAP < before - 0.02", "multi/mAP", "<", ("before", 1, -0.02), ""),
        ("multi/mAP < before-2%", "multi/mAP", "<", ("before", 1, -0.02), ""),
        ("rank distance > 1.1 * before + 5", "bias/rank distance", ">", ("before", 1.1, 5), ""),
        ("rank distance > before*110%", "bias/rank distance", ">", ("before", 1.1, 0), ""),
        ("own-language share@10 > 2*fair", SHARE, ">", ("fair", 2, 0), ""),
        ("own-language share@10 > fair + 25 %", SHARE, ">", ("fair", 1, 0.25), ""),
        ("same-language preference > 0.75", "bias/same-language preference", ">", ("", 1, 0.75), ""),
        ("own-language preference@100 > fair", "bias/same-language preference@100", ">", ("fair", 1, 0), ""),
        ("TLR@50 < 0.3", "bias/TLR@50", "<", ("", 1, 0.3), ""),
        ("tlr@20 < 0.3", "bias/TLR@20", "<", ("", 1, 0.3), ""),
        ("language-aware nDCG(0.3)@10 < 0.3", "bias/language-aware nDCG(0.3)@10", "<", ("", 1, 0.3), ""),
        ("first answer: wrong, same language > 0.3", "bias/first answer wrong same-language", ">", ("", 1, 0.3), ""),
        ("languages@10 < 3", "bias/languages@10", "<", ("", 1, 3), ""),
        ("mean rank correlation < -0.1", "bias/mean rank correlation", "<", ("", 1, -0.1), ""),
    ],
)
def test_a_rule_is_read(text: str, measure: str, comparison: str, limit: tuple[str, float, float], where: str) -> None:
    rule = Rule.parse(text)
    assert (rule.measure, rule.comparison, rule.where) == (measure, comparison, where)
    assert rule.limit.base == limit[0]
    assert (rule.limit.factor, rule.limit.shift) == pytest.approx(limit[1:])
    assert Rule.parse(rule.text) == rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a rule is MEASURE < LIMIT"),
        ("multi/mAP", "a rule is MEASURE < LIMIT"),
        ("multi/mAP = 0.5", "a rule is MEASURE < LIMIT"),
        ("< 0.5", "a rule is MEASURE < LIMIT"),
        ("multi/mAP < ", "'' is no limit"),
        ("multi/mAP < 0,5", "write decimals with a point"),
        ("rank distance > 1,215", "thousands without a comma"),
        ("multi/mAP < after", "'after' is no limit"),
        ("multi/mAP < 2 * before * 3", "is no limit"),
        ("multi/mAP < before - fair", "is no limit"),
        ("multi/mAP << 0.5", "is no limit"),
        ("0.3 < multi/mAP < 0.5", "no measure '0.3'"),
        ("multi/mAPP < 0.5", "the nearest are multi/mAP,"),
        ("own-languag share@10 > 0.4", f"the nearest are {SHARE}"),
        ("rank distanse > 3", "bias/rank distance"),
        ("mAP < 0.5", "mono/mAP"),
        ("xyzzy < 0.5", "name one such as"),
        ("own-language share > 0.4", f"needs a cut-off, such as {SHARE}"),
        ("multi/R < 0.4", "needs a cut-off, such as multi/R@10"),
        ("rank std@10 > 4", "has no cut-off; write bias/rank std"),
        ("multi/nDCG@0 < 0.4", "multi/nDCG"),
        ("[de multi/mAP < 0.5", "the [ has no ]"),
        ("[] multi/mAP < 0.5", "write  [de]"),
        ("[de > en] multi/mAP < 0.5", "which has a value for languages; write  [de]"),
        ("[de] cross/mAP < 0.5", "pairs of languages, query > passage; write  [de > en]"),
        ("any language cross/mAP < 0.5", "write  any pair"),
        ("any pair multi/mAP < 0.5", "write  any language"),
        ("own-language share@10 > 40", "is from 0 to 1, so the limit 40 says nothing; write 0.4 or 40 %"),
        ("multi/mAP < 0", "the limit 0 says nothing"),
        ("multi/mAP < -0.1", "says nothing"),
        ("own-language share@10 > 100 %", "says nothing"),
        ("multi/mAP < fair", "has no fair value"),
        ("rank distance > 2 * fair", "has no fair value"),
    ],
)
def test_what_is_no_rule_is_refused_with_a_sentence(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Rule.parse(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("rule '")
    assert "\n" not in str(caught.value)


def test_every_measure_is_found_by_its_name_and_by_its_title() -> None:
    names = [f"{setting}/{base}" for setting in ("mono", "cross", "multi") for base in METRICS]
    names += [f"bias/{base}" for base in BIAS_METRICS]
    for name in names:
        for k in ("", "@10"):
            try:
                info = measure_info(name + k)
            except ConfigError:
                continue
            assert Rule.parse(f"{info.name} > before").measure == info.name
            titled = Rule.parse(f"{info.title} > before").measure
            # The title of a measure with an option says the value of the option.
            assert titled == info.name or measure_info(titled).title == info.title


def test_a_rule_twice_is_one_and_none_is_refused() -> None:
    assert len(parse_rules(["multi/mAP < 0.5", " multi/mAP <  0.5"])) == 1
    assert parse_rules("multi/mAP < 0.5") == [Rule.parse("multi/mAP < 0.5")]
    with pytest.raises(ConfigError, match="the list is empty"):
        parse_rules([])


def measure(
    values: Any, cell: Any, name: str = "multi/mAP", cells: tuple[str, ...] = ("de", "en"), **more: Any
) -> Measure:
    """A measure with one value a group and cell."""
    values, cell = np.asarray(values, dtype=float), np.asarray(cell)
    group = np.concatenate([np.arange((cell == number).sum()) for number in range(len(cells))])
    setting, _, metric = name.partition("/")
    return Measure(setting, metric, cells, cell, group, values, **more)


DE, EN = [0.1, 0.2, 0.3, 0.4], [0.7, 0.8, 0.9, 1.0]
ONE = {"mine": {"multi/mAP": measure([*DE, *EN], [0] * 4 + [1] * 4)}}


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        ("multi/mAP < 0.56", True),  # the mean over languages is 0.55
        ("multi/mAP < 0.55", False),
        ("multi/mAP <= 0.55", True),
        ("multi/mAP > 0.54", True),
        ("[de] multi/mAP < 0.3", True),
        ("[DE] multi/mAP < 0.3", True),
        ("[en] multi/mAP < 0.3", False),
        ("any language multi/mAP < 0.3", True),
        ("any language multi/mAP < 0.2", False),
    ],
)
def test_the_value_decides(rule: str, broken: bool) -> None:
    found = check(rule, ONE)
    assert found.passed is not broken
    assert len(found.broken) == broken
    assert found.inconclusive == []


def test_the_interval_decides_if_only_what_is_significant_counts() -> None:
    macro, cells = estimates(ONE["mine"])["multi/mAP"]
    for comparison, limit, status in [
        ("<", macro.high + 1e-6, Status.BROKEN),
        ("<", macro.high, Status.INCONCLUSIVE),
        ("<=", macro.high, Status.BROKEN),
        ("<", macro.low, Status.PASSED),
        ("<=", macro.low, Status.INCONCLUSIVE),
        (">", macro.low - 1e-6, Status.BROKEN),
        (">", macro.low, Status.INCONCLUSIVE),
        (">=", macro.low, Status.BROKEN),
        (">", macro.high, Status.PASSED),
    ]:
        (one,) = check(f"multi/mAP {comparison} {limit:.17f}", ONE, significant=True).decisions
        assert one.status is status, (comparison, limit)
        assert one.value == macro
    by_cell = check("any language multi/mAP < 0.3", ONE, significant=True)
    assert {one.cell: one.value for one in by_cell.decisions} == cells
    assert [one.status for one in by_cell.decisions] == [Status.INCONCLUSIVE, Status.PASSED]
    assert by_cell.passed
    assert [outcome.status for outcome in by_cell.inconclusive] == [Status.INCONCLUSIVE]


def test_one_group_is_never_significant() -> None:
    """Its interval has no width, as every resample is the same."""
    one = Measure("multi", "mAP", ("de",), np.zeros(3, int), np.zeros(3, int), np.array([0.1, 0.2, 0.3]))
    for rule in ("multi/mAP < 0.9", "multi/mAP < 0.1", "multi/mAP < before - 0.5"):
        found = check(rule, {"x": {"multi/mAP": one}}, {"x": {"multi/mAP": one}}, significant=True)
        assert [decision.status for decision in found.decisions] == [Status.INCONCLUSIVE]
    assert not check("multi/mAP < 0.9", {"x": {"multi/mAP": one}}).passed


def test_intervals_are_those_of_the_whole_audit() -> None:
    """A measure of fewer groups is drawn with all groups of the audit, as in its report."""
    few = measure([0.1, 0.5, 0.9], [0, 0, 0], "bias/rank distance", ("de",))
    judged = {"multi/mAP": measure(np.linspace(0, 1, 9), [0] * 9, cells=("de",)), few.name: few}
    (one,) = check("rank distance > 0.4", {"mine": judged}, significant=True).decisions
    assert one.value == estimates(judged)[few.name][0]
    assert one.value != estimates({few.name: few})[few.name][0]


def test_nan_is_never_a_pass() -> None:
    nothing = {"mine": {"multi/mAP": measure([np.nan, 0.5], [0, 0], cells=("de",))}}
    for rule in ("multi/mAP < 0.1", "multi/mAP > 0.9", "any language multi/mAP < 0.1"):
        for significant in (False, True):
            found = check(rule, nothing, significant=significant)
            assert not found.passed
            assert "no value" in found.lines()[0]
            assert found.as_json()["rules"][0]["value"] is None
    full = {"mine": {"multi/mAP": measure([0.5, 0.5], [0, 0], cells=("de",))}}
    found = check("multi/mAP < before - 0.1", full, nothing, significant=True)
    assert not found.passed
    assert "not known" in found.lines()[0]


def exact_p(differences: np.ndarray) -> float:
    """The p-value of the two-sided paired randomisation test over all swaps of whole groups."""
    signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    return float((np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12).mean())


@pytest.mark.parametrize(("drop", "status"), [(0.3, Status.BROKEN), (0.0, Status.PASSED), (0.1, Status.INCONCLUSIVE)])
def test_against_before_the_paired_test_decides(drop: float, status: Status) -> None:
    """The test is of the differences from the limit of each query: before - 0.1."""
    rng = np.random.default_rng(0)
    old = rng.uniform(0.4, 0.6, 10)
    noise = rng.normal(0, 0.02, 10)
    new = old - drop + noise
    now = {"mine": {"multi/mAP": measure(new, [0] * 10, cells=("de",))}}
    before = {"old": {"multi/mAP": measure(old, [0] * 10, cells=("de",))}}
    (one,) = check("multi/mAP < before - 0.1", now, before, significant=True).decisions
    assert one.status is status
    assert one.reference == pytest.approx(old.mean())
    assert one.limit == pytest.approx(old.mean() - 0.1)
    # One comparison: Holm's correction changes nothing.
    assert one.p == pytest.approx(exact_p(new - (old - 0.1)), abs=0.01)
    (plain,) = check("multi/mAP < before - 0.1", now, before).decisions
    assert plain.p is None
    assert plain.status is (Status.BROKEN if new.mean() < old.mean() - 0.1 else Status.PASSED)


def test_a_factor_and_a_median_are_tested_too() -> None:
    old, new = np.arange(1.0, 11), np.arange(1.0, 11) * 1.5
    before = {"old": {"bias/rank distance": measure(old, [0] * 10, "bias/rank distance", ("de",))}}
    now = {"mine": {"bias/rank distance": measure(new, [0] * 10, "bias/rank distance", ("de",))}}
    (one,) = check("rank distance > 1.1 * before", now, before, significant=True).decisions
    assert (one.status, one.limit) == (Status.BROKEN, pytest.approx(1.1 * 5.5))
    assert one.p == pytest.approx(exact_p(new - 1.1 * old), abs=0.01)
    name = "bias/median rank distance"
    median = [
        {"x": {name: measure(values, [0] * 10, name, ("de",), aggregate="median")}} for values in (new + 100, old)
    ]
    (one,) = check("median rank distance > before + 10", *median, significant=True).decisions
    assert one.status is Status.BROKEN
    assert one.value.value == pytest.approx(np.median(new) + 100)


def test_holm_is_over_all_cells_of_all_rules_and_systems() -> None:
    rng = np.random.default_rng(1)
    old = rng.uniform(0, 1, 40)
    before = {"old": {"multi/mAP": measure(old, [0] * 20 + [1] * 20)}}
    now = {
        name: {"multi/mAP": measure(old + rng.normal(-0.02, 0.05, 40), [0] * 20 + [1] * 20)} for name in ("one", "two")
    }
    rules = ["any language multi/mAP < before", "multi/mAP < before"]
    found = check([*rules, "multi/mAP < 0.1"], now, before, significant=True)
    tested = [one for one in found.decisions if one.p is not None]
    assert len(tested) == 6
    alone = [
        check(rule, {system: now[system]}, before, significant=True).decisions for rule in rules for system in now
    ]
    # A rule alone has fewer comparisons: the raw p-values are those of a rule in one cell.
    raw = {}
    for lang in ("de", "en"):
        for system in now:
            (one,) = check(f"[{lang}] multi/mAP < before", {system: now[system]}, before, significant=True).decisions
            raw[system, lang] = one.p
    for decisions in alone[2:]:
        raw[decisions[0].system, ""] = decisions[0].p
    fake = [Comparison("x", Estimate(0, 0, 0), 0.0, raw[one.system, one.cell] or 0, 0.0) for one in tested]
    assert [one.p for one in tested] == pytest.approx([one.p_holm for one in holm(fake)])


def test_nothing_changed_is_certain() -> None:
    for rule, status in (("multi/mAP < before", Status.PASSED), ("multi/mAP <= before", Status.BROKEN)):
        (one,) = check(rule, ONE, ONE, significant=True).decisions
        assert one.status is status
        assert one.p == 1


def test_so_many_cells_can_still_be_significant(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 10,000 swaps the smallest p-value is 0.0001: Holm's correction over 600 cells would let nothing through."""
    drawn: dict[str, int] = {}

    def fewer(*given: Any, **options: int) -> list[Comparison]:
        drawn.update(options)
        return compare(*given, flips=10, resamples=10)

    monkeypatch.setattr("babelmix.evaluation.gates.deciding.compare_measures", fewer)
    cells = tuple(f"l{number}" for number in range(600))
    many = {"x": {"multi/mAP": measure(np.zeros(1200), np.repeat(np.arange(600), 2), cells=cells)}}
    check("any language multi/mAP < before", many, many, significant=True)
    for count in drawn.values():
        assert 600 / (1 + count) < ALPHA
    check("multi/mAP < before", many, many, significant=True)
    assert set(drawn.values()) == {10_000}


def test_what_is_fair() -> None:
    share = measure([0.4, 0.4, 0.5, 0.5], [0, 0, 1, 1], SHARE)
    preference = measure([0.8, 0.8, 0.4, 0.4], [0, 0, 1, 1], "bias/same-language preference")
    excess = measure([1.2, 1.2, 1.0, 1.0], [0, 0, 1, 1], "bias/same-language excess@10")
    judged = {"mine": {one.name: one for one in (share, preference, excess)}}
    pool = {"de": 0.2, "en": 0.3, "fr": 0.5}
    for rule, limits, statuses in [
        ("own-language share@10 > 2 * fair", [0.5], ["passed"]),
        ("own-language share@10 > fair + 10 %", [0.35], ["FAILED"]),
        ("any language own-language share@10 > 1.9 * fair", [0.38, 0.57], ["FAILED", "passed"]),
        ("any language same-language preference > fair + 0.1", [0.6, 0.6], ["FAILED", "passed"]),
        ("same-language excess@10 > 1.05 * fair", [1.05], ["FAILED"]),
    ]:
        found = check(rule, judged, pool_shares=pool)
        assert [one.limit for one in found.decisions] == pytest.approx(limits)
        assert [one.status for one in found.decisions] == statuses
    with pytest.raises(AuditError, match="languages of the pool are not known"):
        check("own-language share@10 > fair", judged)


@pytest.mark.parametrize(
    ("rule", "before", "message"),
    [
        ("mono/mAP < 0.5", None, "mine has no mono/mAP on this corpus; there are multi/mAP"),
        ("[fr] multi/mAP < 0.5", None, r"has no \[fr\]; there are de, en"),
        ("multi/mAP < before", None, "there is no audit to compare with"),
        ("multi/mAP < before", {"old": {}}, "the audit to compare with has no multi/mAP"),
        (
            "multi/mAP < before",
            {"old": {"multi/mAP": measure([0.5, 0.5], [0, 1])}},
            "are not of the same queries; audit both on one corpus",
        ),
    ],
)
def test_a_rule_that_cannot_be_checked_is_an_error_never_a_pass(rule: str, before: Any, message: str) -> None:
    with pytest.raises(AuditError, match=message):
        check(rule, ONE, before)


def test_a_measure_that_one_of_two_systems_lacks_is_an_error_but_a_direction_of_pictures_may_lack_it() -> None:
    hits = measure([1.0, 0.0], [0, 0], "multi/hit@1", ("de",))
    with pytest.raises(AuditError, match=r"mine has no multi/hit@1"):
        check("multi/hit@1 < 0.4", {**ONE, "other": {"multi/hit@1": hits}})
    there = {"clip": {"multi/hit@1": hits}, "clip" + REVERSED: {"multi/mAP": ONE["mine"]["multi/mAP"]}}
    found = check(["multi/hit@1 < 0.4", "multi/mAP < before - 0.1"], there, there)
    assert [one.system for one in found.decisions] == ["clip", "clip" + REVERSED]
    assert found.passed


RULES = ["multi/mAP < 0.5 ", "any language multi/mAP < 0.3", "[en] multi/mAP < 0.1"]


def test_a_line_for_each_rule(capsys: pytest.CaptureFixture[str]) -> None:
    found = check(RULES, ONE, significant=True, subject="toy")
    first, second, third, last = found.lines()
    assert first.startswith("inconclusive  multi/mAP < 0.5: 0.550 [0.")
    assert first.endswith(", limit 0.500")
    assert second.startswith("inconclusive  any language multi/mAP < 0.3: 1 of 2: de 0.250 [0.")
    assert third.startswith("passed        [en] multi/mAP < 0.1: 0.850 [0.")
    assert last == "gate: 0 of 3 rules broken, 2 inconclusive"
    table = found.tables()[0]
    assert [row[:2] for row in table.rows] == [["multi/mAP < 0.5", "all"], ["any language multi/mAP < 0.3", "de"]]
    # No line is broken at the width of a terminal.
    assert all(line in str(found).splitlines() for line in found.lines())
    json.dumps(found.as_json(), allow_nan=False)
    assert found.to_frame()["cell"].to_list() == [None, "de", "en", "en"]
    plain = check(RULES[:1], ONE)
    assert plain.tables() == []
    assert plain.lines()[-1] == "gate: 0 of 1 rule broken"
    two = check("multi/mAP < 0.6", {**ONE, "other": ONE["mine"]})
    assert two.lines()[1].startswith("FAILED        other: multi/mAP < 0.6: 0.550")
    assert two.lines()[-1] == "gate: 2 of 2 checks broken"


def test_the_summary_is_appended_to_the_file_of_a_github_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    found = check(["multi/mAP < 0.6", "[en] multi/mAP < 0.1"], ONE, subject="toy")
    assert found.write_summary() is None
    for _ in range(2):
        found.write_summary(tmp_path / "own.md")
    text = (tmp_path / "own.md").read_text(encoding="utf-8")
    assert text.startswith("### babelmix gate: 1 of 2 rules broken (toy)\n")
    assert "| :x: **FAILED** | `multi/mAP < 0.6` | 0.550 [" in text
    assert "| :white_check_mark: passed | `[en] multi/mAP < 0.1` |" in text
    assert text.count("###") == 1
    step = tmp_path / "step.md"
    step.write_text("of another command\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    found.write_summary()
    found.write_summary(step)
    assert step.read_text(encoding="utf-8").startswith("of another command\n### babelmix")
    assert step.read_text(encoding="utf-8").count("###") == 2


# The schema junit-10.xsd of Jenkins's xUnit plugin: the attributes of each element, those needed in capitals, and its children.
SCHEMA = {
    "testsuites": ("name time tests failures errors", "testsuite"),
    "testsuite": (
        "NAME TESTS FAILURES ERRORS group time skipped timestamp hostname id package file log url",
        "testsuite properties testcase system-out system-err",
    ),
    "testcase": ("NAME time classname group", "skipped error failure system-out system-err"),
    "failure": ("type message", ""),
    "skipped": ("type message", ""),
    "system-out": ("", ""),
}


def valid(element: Xml.Element) -> None:
    attributes, children = SCHEMA[element.tag]
    assert set(element.attrib) <= set(attributes.lower().split()), element.tag
    assert {name.lower() for name in attributes.split() if name.isupper()} <= set(element.attrib), element.tag
    for child in element:
        assert child.tag in children.split(), child.tag
        valid(child)


def test_junit_is_what_jenkins_reads_and_what_pytest_writes(tmp_path: Path) -> None:
    nasty = "[en] multi/mAP < 0.1"
    judged = {"a <b> \x1b&": ONE["mine"], "two": ONE["mine"]}
    found = check(["multi/mAP < 0.6", "any language multi/mAP < 0.3", nasty], judged, significant=True, subject="toy")
    root = Xml.parse(found.write_junit(tmp_path / "sub" / "junit.xml")).getroot()
    valid(root)
    assert root.attrib | {"time": ""} == {"name": "babelmix", "tests": "8", "failures": "0", "errors": "0", "time": ""}
    one, two = root
    assert one.attrib["name"] == "a <b> \\x1b& on toy"
    assert {name: two.attrib[name] for name in ("tests", "failures", "skipped")} == {
        "tests": "4", "failures": "0", "skipped": "2",
    }  # fmt: skip
    broken = check("multi/mAP < 0.6", ONE)
    failed = Xml.parse(broken.write_junit(tmp_path / "failed.xml")).getroot()
    valid(failed)
    assert failed[0].attrib["failures"] == "1"
    assert failed[0][0][0].attrib["message"].startswith("0.550 [")
    # pytest's own file has the same elements, with the same attributes and more.
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_a(): print('x')\ndef test_b(): assert 0\ndef test_c(): pytest.skip('no')\n",
        encoding="utf-8",
    )
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--junitxml=by.xml", "test_it.py", "-o", "junit_logging=all"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    theirs: dict[str, set[str]] = {}
    for element in Xml.parse(tmp_path / "by.xml").iter():
        theirs.setdefault(element.tag, set()).update(element.attrib)
    for tree in (root, failed):
        for element in tree.iter():
            extra = set(element.attrib) - theirs[element.tag]
            # pytest names neither the kind of a failure nor the counts of all suites; the schema has both.
            assert extra <= {"type", "tests", "failures", "errors", "time"}, element.tag
