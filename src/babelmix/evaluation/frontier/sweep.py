"""The frontier: what each share alpha of each removal keeps within a language, and finds in the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from babelmix._progress import progress_bar
from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies
from babelmix.encoders.removal import AnyRemoval
from babelmix.errors import AuditError, EncoderError
from babelmix.evaluation.frontier.applied import POLICIES, Policy, Sides, favouring_own, held, known_langs
from babelmix.evaluation.frontier.held_out import Part
from babelmix.evaluation.frontier.own_places import OwnPlaces, own_places
from babelmix.evaluation.matrix import Matrix
from babelmix.evaluation.measure_info import CROSS_MAP, MONO_MAP, MULTI_MAP, RANK_DISTANCE, measure_info
from babelmix.evaluation.measures import Measure, chosen
from babelmix.evaluation.ranks import IntArray, RankTable
from babelmix.evaluation.ratios import ratio
from babelmix.evaluation.relevant_ranks import UNKNOWN_LANGUAGES
from babelmix.evaluation.scoring import ScoreChange, rank_table
from babelmix.evaluation.significance import Estimate, estimates

ALPHAS = tuple(step / 10 for step in range(1, 11))
"""The shares of a removal that are tried; 0, which changes nothing, is always tried."""

SAME_RECALL = "bias/same-language recall@10"
OTHER_RECALL = "bias/cross-language recall@10"

MEASURES = (MONO_MAP, CROSS_MAP, MULTI_MAP, RANK_DISTANCE, SAME_RECALL, OTHER_RECALL)
"""The measures of each point."""

UNTOUCHED = "untouched"
"""The method of the point at which nothing is taken out."""

MEMORY = 1 << 30
"""Bytes up to which the vectors of a collection are held in memory. Larger ones are read again for each point."""


@dataclass(frozen=True)
class Setting:
    """What is applied at a point.

    Args:
        method: the name of the removal, or `untouched`.
        alpha: the share of it, from 0 to 1.
        policy: how scores are compared: `any`, `balanced`, or a name that the caller gave.
        own: the bonus of passages in the query's language; see `babelmix.evaluation.frontier.applied.favouring_own`.
        places: at least so many of the first 10 answers are in the query's language; see
            `babelmix.evaluation.frontier.own_places`.

    """

    method: str
    alpha: float
    policy: str = "any"
    own: float = 0.0
    places: int = 0

    @property
    def curve(self) -> str:
        """The name of the curve that the point is on: the method, and the policy unless it is `any`."""
        return self.method if self.policy == "any" else f"{self.method}, {self.policy}"

    @property
    def is_start(self) -> bool:
        """Whether nothing is changed."""
        return self == Setting(UNTOUCHED, 0.0)

    def __str__(self) -> str:
        alpha = "" if self.method == UNTOUCHED else f" {self.alpha:g}"
        return f"{self.method}{alpha}" + ("" if self.policy == "any" else f", {self.policy}") + self.favour

    @property
    def favour(self) -> str:
        """What is done for the query's language: `, own +0.5`, `, own 5 of 10`, or nothing."""
        return (f", own +{self.own:g}" if self.own else "") + (f", own {self.places} of 10" if self.places else "")


@dataclass(frozen=True, eq=False)
class Point:
    """A point of the frontier.

    Args:
        setting: what is applied.
        measures: the measures by name.
        estimates: for each measure the macro-average and the cells, with intervals over groups.
        kept: same-language recall@10 over that of untouched vectors, with its paired interval; None if no query has a relevant
            passage in its own language.

    """

    setting: Setting
    measures: Mapping[str, Measure]
    estimates: Mapping[str, tuple[Estimate, dict[str, Estimate]]]
    kept: Estimate | None

    def value(self, name: str) -> float:
        """The macro-average of a measure.

        Raises:
            AuditError: the corpus does not have it.

        """
        return self.estimate(name).value

    def estimate(self, name: str) -> Estimate:
        """The macro-average of a measure, with its interval.

        Raises:
            AuditError: the corpus does not have it.

        """
        if name not in self.estimates:
            raise AuditError(f"{name} has no value on this corpus; choose by one of {', '.join(self.estimates)}")
        return self.estimates[name][0]

    def as_json(self) -> dict[str, Any]:
        """The setting and the macro-averages with their intervals."""
        return {
            "setting": str(self.setting),
            **asdict(self.setting),
            "kept": None if self.kept is None else asdict(self.kept),
            "measures": {name: asdict(macro) for name, (macro, _) in self.estimates.items()},
        }


@dataclass(frozen=True, eq=False)
class Searched:
    """Vectors of a corpus, and how they are compared.

    Args:
        queries: shape (queries, dimension), in row order; may be memory-mapped.
        passages: shape (passages, dimension), in row order; may be memory-mapped.
        similarity: `cosine` or `dot`.
        name: what made them, for reports.

    """

    queries: Matrix
    passages: Matrix
    similarity: str = "cosine"
    name: str = "the vectors"

    def in_memory(self, memory: int = MEMORY) -> Searched:
        """The same; passages that need at most `memory` bytes are read now, once for all points."""
        if 4 * len(self.passages) * self.passages.shape[1] > memory:
            return self
        return Searched(self.queries, held(self.passages), self.similarity, self.name)

    def sides(self, part: Part) -> Sides:
        """The vectors of the queries of a part, and all passages."""
        langs = part.corpus.queries["lang"].to_pylist(), part.corpus.passages["lang"].to_pylist()
        return Sides(
            np.array(self.queries[part.rows], dtype=np.float32), self.passages, known_langs(langs[0]), known_langs(langs[1]),
            self.similarity, part.rows,
        )  # fmt: skip


def settings_of(
    removals: Iterable[str],
    alphas: Sequence[float],
    policies: Mapping[str, Sequence[float]],
    places: Sequence[int] = (0,),
) -> list[Setting]:
    """The settings of a sweep: untouched first, then policy by policy, and curve by curve.

    Args:
        removals: the names of the removals.
        alphas: the shares of each.
        policies: by the name of a policy, the bonuses for the query's language that are tried with it.
        places: the numbers of places for the query's language that are tried with each policy, without a bonus.

    """
    shares = sorted({float(alpha) for alpha in alphas} - {0.0})
    start = Setting(UNTOUCHED, 0.0)
    found = [start]
    for policy, bonuses in policies.items():
        favours = [(own, 0) for own in sorted({float(bonus) for bonus in bonuses})]
        favours += [(0.0, number) for number in sorted({int(one) for one in places} - {0})]
        for favour in favours:
            found.append(Setting(UNTOUCHED, 0.0, policy, *favour))
            found += [Setting(name, alpha, policy, *favour) for name in removals for alpha in shares]
    return list(dict.fromkeys(found))


def check_removals(removals: Mapping[str, AnyRemoval], corpus: Corpus, searched: Searched) -> None:
    """Raise unless each removal fits the vectors and knows the languages of the corpus.

    Raises:
        AuditError: the corpus has pictures, or passages in one language only.
        EncoderError: a removal is of another dimension or similarity, or was not fitted on a language of the corpus.

    """
    if corpus.has_images:
        raise AuditError(f"{corpus.name}: has pictures, which have no language; give a corpus of texts")
    pool = {lang for lang in corpus.passages["lang"].unique().to_pylist() if lang not in UNKNOWN_LANGUAGES}
    if len(pool) < 2:
        raise AuditError(f"{corpus.name}: all passages are in one language, so there is nothing to choose")
    for name, removal in removals.items():
        width = searched.passages.shape[1]
        if removal.dimension != width:
            raise EncoderError(
                f"{name} is for vectors of {removal.dimension} dimensions, and {searched.name} has {width}"
            )
        if removal.similarity != searched.similarity:
            raise EncoderError(
                f"{name} was fitted for {removal.similarity}, and {searched.name} compares by {searched.similarity}"
            )
        missing = [lang for lang in removal.not_fitted(list(corpus.langs)) if lang not in UNKNOWN_LANGUAGES]
        if missing:
            fitted = [lang for lang in corpus.langs if lang not in missing]
            raise EncoderError(
                f"{name} was not fitted on {', '.join(missing)}, which {corpus.name} has: fit it on these languages too, or "
                f"choose on the others only, with langs {','.join(fitted)}"
            )


def sweep(
    searched: Searched,
    part: Part,
    removals: Mapping[str, AnyRemoval],
    *,
    settings: Sequence[Setting],
    measures: Sequence[str] = MEASURES,
    policies: Mapping[str, Policy] = POLICIES,
    copies: Copies = "wrong",
    memory: int = MEMORY,
    label: str = "frontier",
) -> list[Point]:
    """Measure each setting on the queries of a part, by exact ranks among all passages.

    Args:
        searched: the vectors of the whole corpus.
        part: the queries.
        removals: the removals by name; each is applied with the share of a setting, whatever its own `alpha` is.
        settings: what is applied; the first one is untouched, under the policy `any`.
        measures: the measures, as `setting/metric`.
        policies: the policies that the settings name.
        copies: how copies of right answers are counted; see `babelmix.corpus.copies`.
        memory: bytes up to which passages with language taken out are held in memory.
        label: the words beside the progress bar.

    Returns:
        The points, in the order of `settings`.

    Raises:
        AuditError: the first setting is not untouched, or no passage is relevant to any query.
        ConfigError: there is no such measure.

    """
    if not settings or not settings[0].is_start:
        raise AuditError("the first setting of a sweep is untouched")
    start = searched.sides(part)
    searching = _Searching(part, start, copies)
    # All policies of one removal follow each other, so that it is applied once.
    order = sorted(range(len(settings)), key=lambda i: (i > 0, settings[i].method, settings[i].alpha))
    points: dict[int, Point] = {}
    before = settings[0]
    with progress_bar(label, len(settings), "points") as bar:
        for number in order:
            setting = settings[number]
            if (setting.method, setting.alpha) != (before.method, before.alpha):
                before = setting
                untouched = setting.method == UNTOUCHED
                sides = (
                    start if untouched else start.removed(removals[setting.method].with_alpha(setting.alpha), memory)
                )
                searching = _Searching(part, sides, copies)
            values = chosen(searching.ranked(setting, policies[setting.policy]), measures)
            first = values if number == 0 else points[0].measures
            own = values.get(SAME_RECALL)
            kept = None if own is None or first[SAME_RECALL].macro() == 0 else ratio(own, first[SAME_RECALL])
            points[number] = Point(setting, values, estimates(values), kept)
            bar.advance(1)
    return [points[number] for number in range(len(settings))]


class _Searching:
    """Searches with one removal, under several policies."""

    def __init__(self, part: Part, sides: Sides, copies: Copies) -> None:
        self.part, self.sides, self.copies = part, sides, copies
        self._changes: dict[str, ScoreChange | None] = {}
        self._places: dict[str, OwnPlaces] = {}

    def ranked(self, setting: Setting, policy: Policy) -> RankTable:
        """Rank all passages."""
        if setting.policy not in self._changes:
            self._changes[setting.policy] = policy(self.sides)
        change = self._changes[setting.policy]
        if setting.own:
            change = favouring_own(self.sides, change, setting.own)
        if setting.places:
            name = f"{setting.policy} {setting.own}"
            if name not in self._places:
                langs = self.sides.query_langs, self.sides.passage_langs
                self._places[name] = own_places(*langs, self._first, change)
            change = self._places[name].change(change, setting.places)
        return self._table(change)

    def _first(self, change: ScoreChange | None) -> IntArray:
        first = self._table(change).first
        assert first is not None
        return first.astype(np.int64)

    def _table(self, change: ScoreChange | None) -> RankTable:
        sides = self.sides
        return rank_table(
            self.part.corpus,
            sides.queries,
            sides.passages,
            similarity=sides.similarity,
            copies=self.copies,
            change=change,
        )


def titles_of(names: Sequence[str]) -> list[str]:
    """The column heads of measures: short ones, for a terminal."""
    short = {SAME_RECALL: "same R@10", OTHER_RECALL: "other R@10"}
    return [short.get(name) or measure_info(name).short for name in names]


__all__ = [
    "ALPHAS", "MEASURES", "MEMORY", "OTHER_RECALL", "SAME_RECALL", "UNTOUCHED", "Point", "Searched", "Setting", "check_removals",
    "settings_of", "sweep", "titles_of",
]  # fmt: skip
