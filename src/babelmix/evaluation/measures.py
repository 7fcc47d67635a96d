"""From a rank table to measures: one value per query, with its cell (a language, or a pair of languages) and its group.

| setting | pool | cells |
|---|---|---|
| mono | passages of the query's language | query languages |
| cross | passages of one other language | ordered pairs query language > passage language |
| multi | all passages | query languages |
| bias | all passages | query languages; for metrics over query languages, one cell with all pictures |

A query counts in a cell if it has a relevant passage in the pool of the cell. If not every item exists in every language, a
cross-lingual cell has only the questions that exist in both languages, as in arXiv 2408.10536 on MLQA-R.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from babelmix._lists import as_list
from babelmix.evaluation import bias
from babelmix.evaluation.measure_info import BIAS, SETTINGS, check_name, measure_info
from babelmix.evaluation.metrics import DEFAULT, RankedLists, metric
from babelmix.evaluation.ranks import RankTable

Function = Callable[[RankedLists], npt.NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Measure:
    """One value per query; in the cross-lingual setting one value per query and passage language.

    Args:
        setting: `mono`, `cross`, `multi` or `bias`.
        metric: the name of the metric.
        cells: the names of the cells; the macro-average is the mean over cells.
        cell: cell of each value, int64, shape (values,).
        group: group of each value, int64, shape (values,); all measures of one table have the same numbering.
        values: float64, shape (values,).
        lower_is_better: whether lower values are better; None if neither is.
        aggregate: how the values of a cell are aggregated: by their `mean` or their `median`.
        rows: the query row of each value, int64, shape (values,), where a system may have no value for some queries, such as
            those that it does not answer: systems are then compared on the queries of both. None: all queries have values.

    """

    setting: str
    metric: str
    cells: tuple[str, ...]
    cell: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    lower_is_better: bool | None = False
    aggregate: Literal["mean", "median"] = "mean"
    rows: npt.NDArray[np.int64] | None = None

    @property
    def name(self) -> str:
        """`setting/metric`."""
        return f"{self.setting}/{self.metric}"

    def paired(self, other: Measure) -> tuple[Measure, Measure]:
        """The measure, and that of another system, each with the values of the queries that have one in both."""
        if self.rows is None or other.rows is None or np.array_equal(self.rows, other.rows):
            return self, other
        both = np.intersect1d(self.rows, other.rows)
        return self.of_rows(both), other.of_rows(both)

    def of_rows(self, rows: npt.NDArray[np.int64]) -> Measure:
        """The values of these query rows, with the cells that they have."""
        assert self.rows is not None
        chosen = np.isin(self.rows, rows)
        used, cell = np.unique(self.cell[chosen], return_inverse=True)
        return replace(
            self, cells=tuple(self.cells[one] for one in used.tolist()), cell=cell, group=self.group[chosen],
            values=self.values[chosen], rows=self.rows[chosen],
        )  # fmt: skip

    def cell_values(self) -> npt.NDArray[np.float64]:
        """Mean (or median) of each cell, shape (cells,)."""
        if self.aggregate == "median":
            return np.array([np.median(self.values[self.cell == cell]) for cell in range(len(self.cells))])
        counts = np.bincount(self.cell, minlength=len(self.cells))
        return np.bincount(self.cell, self.values, minlength=len(self.cells)) / counts

    def macro(self) -> float:
        """Mean over the cells: every language (or ordered pair of languages) has the same weight."""
        return float(self.cell_values().mean())


def measures(table: RankTable, metrics: str | Sequence[str] = DEFAULT) -> dict[str, Measure]:
    """Compute all measures of a rank table; a setting without any query is left out.

    Args:
        table: the rank table.
        metrics: the ranking metrics of the three settings. All bias metrics are always computed, with their usual cut-offs;
            `bias/NAME` here adds another one, such as `bias/TLR@50` or `bias/language-aware nDCG(0.3)@10`.

    Returns:
        The measures by `setting/metric`.

    Raises:
        ConfigError: there is no such metric.
        AuditError: a metric's function returns values of another shape than it should.

    """
    names = as_list(metrics, "metrics")
    functions = {name: metric(name) for name in names if not name.startswith(BIAS)}
    more = [name.removeprefix(BIAS) for name in names if name.startswith(BIAS)]
    return _of_settings(table, dict.fromkeys(SETTINGS, functions)) | _of_bias(table, bias.per_query(table, more))


def chosen(table: RankTable, names: str | Sequence[str]) -> dict[str, Measure]:
    """Compute some measures of a rank table and no others; one without any query is left out.

    Args:
        table: the rank table.
        names: measures, as `setting/metric`.

    Returns:
        The measures by name, in the order of `names`.

    Raises:
        ConfigError: there is no such measure.
        AuditError: see `measures`.

    Examples:
        >>> chosen(table, ["multi/mAP", "bias/rank distance"])  # doctest: +SKIP

    """
    wanted = as_list(names, "measures")
    functions: dict[str, dict[str, Function]] = {setting: {} for setting in SETTINGS}
    biased = []
    for name in wanted:
        check_name(name)
        setting, _, what = name.partition("/")
        if name.startswith(BIAS):
            biased.append(what)
        else:
            functions[setting][what] = metric(what)
    found = _of_settings(table, functions) | _of_bias(table, bias.values_of(table, biased))
    return {name: found[name] for name in wanted if name in found}


def _of_settings(table: RankTable, functions: Mapping[str, Mapping[str, Function]]) -> dict[str, Measure]:
    """Ranking metrics, by setting and metric."""
    passage_index = {lang: i for i, lang in enumerate(table.passage_langs)}
    own = np.array([passage_index.get(lang, -1) for lang in table.query_langs])
    same = own[table.query_lang[table.pair_query]] == table.pair_lang
    result: dict[str, Measure] = {}
    for setting in SETTINGS:
        if setting == "multi":
            keep, ranks = np.ones(len(same), dtype=bool), table.rank_in_all()
        else:
            keep, ranks = (same if setting == "mono" else ~same), table.rank_in_own()
        if not keep.any() or not functions[setting]:
            continue
        width = len(table.passage_langs) if setting == "cross" else 1
        key = table.pair_query[keep] * width + (table.pair_lang[keep] if setting == "cross" else 0)
        order = np.lexsort((ranks[keep], key))
        key = key[order]
        starts = np.flatnonzero(np.diff(key, prepend=-1))
        lists = RankedLists(ranks[keep][order], starts, table.pair_grade[keep][order])
        query = key[starts] // width
        cell = table.query_lang[query] * width + (key[starts] % width)
        used, cell = np.unique(cell, return_inverse=True)
        cells = tuple(
            table.query_langs[c // width] + (f" > {table.passage_langs[c % width]}" if setting == "cross" else "")
            for c in used
        )
        for name, function in functions[setting].items():
            measure = Measure(setting, name, cells, cell, table.groups.number[query], function(lists))
            result[measure.name] = measure
    return result


def _of_bias(table: RankTable, values: Mapping[str, bias.BiasValues]) -> dict[str, Measure]:
    """Bias metrics, from their values by name."""
    result: dict[str, Measure] = {}
    for name, found in values.items():
        used, cell = np.unique(table.query_lang[found.query], return_inverse=True)
        cells = tuple(table.query_langs[c] for c in used)
        if found.of_items:
            cells, cell = ("all",), np.zeros(len(found.query), dtype=np.int64)
        group = table.groups.number[found.query]
        info = measure_info(f"{BIAS}{name}")
        measure = Measure("bias", name, cells, cell, group, found.values, info.lower_is_better, info.aggregate)
        result[measure.name] = measure
    return result
