"""The result of `babelmix.frontier`: the points, the choice, and its test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._files import check_output_folder, replacing_folder, write_json, write_text
from babelmix._tables import Result, Table
from babelmix.encoders.removal import AnyRemoval
from babelmix.evaluation.audit_tables import estimates_frame
from babelmix.evaluation.frontier import SAME_RECALL, UNTOUCHED, Point, Rule, Setting, titles_of
from babelmix.evaluation.measure_info import MULTI_MAP, measure_info
from babelmix.evaluation.significance import LEVEL, Comparison, Estimate

if TYPE_CHECKING:
    import polars as pl

FILE = "frontier.json"
"""The file that marks a folder as written by `frontier`."""

REMOVAL = "removal.safetensors"
"""The file of the chosen removal, with the chosen alpha."""

KEPT = f"share of untouched {SAME_RECALL}"
"""The name of the kept share in the frame."""


@dataclass(frozen=True, eq=False)
class FrontierReport(Result):
    """The frontier of language removal, a choice made on a validation part, and its test on other queries.

    Args:
        system: the name of the vectors or the encoder.
        corpus: the name of the corpus.
        rule: how the point was chosen.
        points: the points on the validation part; the first one is untouched.
        number: the number of the chosen point.
        tested: on the test part, untouched and the chosen point.
        comparisons: chosen against untouched on the test part, with Holm's correction over the measures; empty if untouched was
            chosen.
        facts: the parts, what the removals were fitted on, and other facts, JSON-serialisable.
        removals: the removals by name.
        folder: the folder of the saved report; None if it is not saved.

    """

    system: str
    corpus: str
    rule: Rule
    points: Sequence[Point]
    number: int
    tested: tuple[Point, Point]
    comparisons: Sequence[Comparison]
    facts: Mapping[str, Any]
    removals: Mapping[str, AnyRemoval]
    folder: Path | None = None

    @property
    def chosen(self) -> Setting:
        """The chosen setting."""
        return self.points[self.number].setting

    @property
    def removal(self) -> AnyRemoval | None:
        """The chosen removal with the chosen alpha; None if untouched vectors were chosen."""
        if self.chosen.method == UNTOUCHED:
            return None
        return self.removals[self.chosen.method].with_alpha(self.chosen.alpha)

    def tables(self) -> list[Table]:
        """Untouched against the choice on the test part, and all points of the validation part."""
        return [self.test_table(), self.points_table()]

    def test_table(self) -> Table:
        """Each measure on the test part: untouched, the choice, the difference and its p-value after Holm's correction."""
        before, after = self.tested
        tests = {one.measure: one for one in self.comparisons}
        rows = []
        for name in before.estimates:
            info, cells = measure_info(name), []
            if self.number:
                test = tests[name]
                p = f"{test.p_holm:.4f}" if test.p_holm is not None else ""
                cells = [info.with_interval(after.estimate(name)), info.with_interval(test.difference), p]
            rows.append([*titles_of([name]), info.with_interval(before.estimate(name)), *cells])
        if self.number and after.kept is not None:
            rows.append([f"{titles_of([SAME_RECALL])[0]}, kept", "100 %", _share(after.kept), "", ""])
        head = ["test part", UNTOUCHED, *([str(self.chosen), "difference", "p Holm"] if self.number else [])]
        return Table(
            head, rows,
            f"value [{LEVEL:.0%} interval over groups]; p: paired randomisation test over groups, after Holm's correction over "
            "these measures",
            f"On {_count(self.facts['test'])}, which the choice has not seen",
        )  # fmt: skip

    def points_table(self) -> Table:
        """All points of the validation part; the choice is bold."""
        names = list(self.points[0].estimates)
        mix = self.rule.mix
        rows = []
        for point in self.points:
            values = [measure_info(name).shown(point.value(name)) for name in names]
            kept = ["", ""] if point.kept is None else [f"{point.kept.value:.1%}", f"{point.kept.low:.1%}"]
            more = [] if mix is None else [measure_info(SAME_RECALL).shown(mix.value(point).value)]
            rows.append([str(point.setting), *values, *kept, *more])
        head = ["validation part", *titles_of(names), "kept", "at least", *([] if mix is None else ["users' mix"])]
        return Table(
            head, rows,
            f"kept: same-language R@10 over that of untouched vectors; at least: the lower end of its {LEVEL:.0%} interval. "
            f"Chosen: {self.chosen}, {self.rule.words()}",
            f"On {_count(self.facts['validation'])}", [self.number],
        )  # fmt: skip

    def lead(self) -> str:
        """What was chosen, and what it does on the test part."""
        before, after = self.tested
        if not self.number:
            return f"No removal is better: untouched vectors were chosen as {self.rule.words()}."
        name = self.rule.best if self.rule.mix is None else MULTI_MAP
        parts = []
        if after.kept is not None:
            parts.append(
                f"keeps {after.kept.value:.1%} [{after.kept.low:.1%}, {after.kept.high:.1%}] of same-language recall@10"
            )
        for one in dict.fromkeys((name, MULTI_MAP)):
            if one in before.estimates and one != SAME_RECALL:
                info = measure_info(one)
                parts.append(f"{info.short} {info.shown(before.value(one))} -> {info.shown(after.value(one))}")
        setting = self.chosen
        what = f"alpha {setting.alpha:g} of {setting.method}" if setting.method != UNTOUCHED else "untouched vectors"
        what += "" if setting.policy == "any" else f" with the policy {setting.policy}"
        what += f", +{setting.own:g} for the query's language" if setting.own else ""
        what += f", {setting.places} of the first 10 in the query's language or more" if setting.places else ""
        return f"{what}: {', '.join(parts)} on {self.facts['test']['questions']:,} held-out questions."

    def lines(self) -> list[str]:
        """The rule, the mix, whether the choice keeps on the test part what was asked, and what was held out."""
        found = [f"Chosen as {self.rule.words()}, on {_count(self.facts['validation'])}."]
        keep, after = self.rule.keep, self.tested[1]
        if keep is not None and after.kept is not None and self.number:
            kept = f"{after.kept.value:.1%} [{after.kept.low:.1%}, {after.kept.high:.1%}]"
            if after.kept.value < keep:
                found.append(f"On the test part it keeps {kept}, less than the {keep:.1%} asked for.")
            elif after.kept.low < keep:
                found.append(f"On the test part it keeps {kept}: the interval reaches below the {keep:.1%} asked for.")
        if (mix := self.rule.mix) is not None:
            before, now = (mix.value(point) for point in self.tested)
            found.append(
                f"Recall@10 of users' mix on the test part: {before.value:.3f} [{before.low:.3f}, {before.high:.3f}] -> "
                f"{now.value:.3f} [{now.low:.3f}, {now.high:.3f}]; {mix.source}."
            )
        return [*found, *self.facts["notes"]]

    def places(self) -> dict[str, str]:
        """The paths of the report and of the chosen removal; empty if it is not saved."""
        if self.folder is None:
            return {}
        found = {"report": str(self.folder / "report.html")}
        if self.removal is not None:
            found["removal"] = str(self.folder / REMOVAL)
        return found

    def to_frame(self) -> pl.DataFrame:
        """One row per number: part, method, alpha, policy, own, measure, cell (null for the macro-average), value, low, high."""
        import polars as pl

        frames = []
        for part, points in (("validation", self.points), ("test", self.tested[: 2 if self.number else 1])):
            for point in points:
                found = dict(point.estimates)
                if point.kept is not None:
                    found[KEPT] = (point.kept, {})
                setting = [pl.lit(value).alias(name) for name, value in asdict(point.setting).items()]
                frames.append(estimates_frame(found).select(pl.lit(part).alias("part"), *setting, pl.all()))
        return pl.concat(frames)

    def as_json(self) -> dict[str, Any]:
        """The content of `frontier.json`."""
        mix = self.rule.mix
        return {
            "system": self.system, "corpus": self.corpus, "rule": self.rule.as_json(), "chosen": asdict(self.chosen),
            "level": LEVEL, **self.facts,
            "points": [point.as_json() for point in self.points],
            "tested": {
                name: {**point.as_json(), **({} if mix is None else {"mix": asdict(mix.value(point))})}
                for name, point in zip(("untouched", "chosen"), self.tested, strict=True)
            },
            "tests": [one.as_json() for one in self.comparisons],
        }  # fmt: skip

    def summary(self) -> dict[str, Any]:
        """What `debias` records of it: the rule, the choice, and its numbers on both parts, without the other points."""
        whole = self.as_json()
        start, point = (self.points[number].as_json() for number in (0, self.number))
        kept = ("corpus", "rule", "chosen", "level", "validation", "test", "held_out", "tested", "tests")
        return {
            **{key: whole[key] for key in kept},
            "validated": {"untouched": start, "chosen": point},
            "lines": [self.lead(), *self.lines()],
        }

    def card(self) -> str:
        """A section for a model card, in Markdown: the choice, its numbers on both parts, and what was held out."""
        start, point = self.points[0], self.points[self.number]
        names = list(start.estimates)
        rows = [
            [
                f"{part}, {one.setting}",
                *(measure_info(name).with_interval(one.estimate(name)) for name in names),
                _share(one.kept),
            ]
            for part, pair in (("validation", (start, point)), ("test", self.tested))
            for one in pair[: 2 if self.number else 1]
        ]
        table = Table(["part", *titles_of(names), "kept"], rows)
        lines = [self.lead(), *self.lines()]
        return "\n".join(["## How much language is taken out", "", " ".join(lines), "", table.to_markdown(), ""])

    def figure(self) -> str:
        """Same-language recall@10 against cross-language recall@10 on the validation part, as SVG."""
        from babelmix.experiment.report.frontier import frontier_figure

        return frontier_figure(self.points, self.number)

    def save(self, folder: str | Path) -> FrontierReport:
        """Write `frontier.json`, `frontier.parquet`, `frontier.svg`, `report.html` and the chosen removal.

        Args:
            folder: a new folder, an empty one, or a folder that `frontier` wrote, which is replaced.

        Returns:
            A copy of the report that knows its folder.

        Raises:
            BabelmixError: the folder holds other files.

        """
        from babelmix.experiment.report.frontier import write_frontier_report

        place = Path(folder)
        check_output_folder(place, [FILE])
        with replacing_folder(place, [FILE]) as temporary:
            write_json(temporary / FILE, self.as_json())
            self.to_frame().write_parquet(temporary / "frontier.parquet")
            write_text(temporary / "frontier.svg", self.figure())
            write_frontier_report(
                self.points, self.number, self.rule.words(), [self.test_table(), self.points_table()], self.comparisons,
                self._facts(), temporary / "report.html", lead=" ".join([self.lead(), *self.lines()]),
            )  # fmt: skip
            if self.removal is not None:
                self.removal.save(temporary / REMOVAL)
        return replace(self, folder=place)

    def _facts(self) -> list[tuple[str, str]]:
        facts = self.facts
        found = [("system", self.system), ("corpus", self.corpus), ("rule", self.rule.words())]
        found += [(f"{part} part", _count(facts[part])) for part in ("validation", "test")]
        found += [("held out", facts["held_out"])]
        return [*found, *((f"fitted: {name}", str(about)) for name, about in facts["fitted"].items())]


def _share(kept: Estimate | None) -> str:
    return "" if kept is None else f"{kept.value:.1%} [{kept.low:.1%}, {kept.high:.1%}]"


def _count(part: Mapping[str, int]) -> str:
    """The size of a part in words: `598 questions (6,578 queries, 26 groups)`."""
    return f"{part['questions']:,} questions ({part['queries']:,} queries, {part['groups']:,} groups)"


__all__ = ["FILE", "REMOVAL", "FrontierReport"]
