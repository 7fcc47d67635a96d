"""The sections of the reports of audits and comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix._tables import Table
from babelmix.evaluation import Audit, crowding, language_shares
from babelmix.evaluation.audit_tables import (
    languages_table,
    noise_table,
    optional,
    pool_table,
    score_levels_table,
    settings_table,
    tokens_table,
)
from babelmix.evaluation.measure_info import SHARE_AT, shown_number
from babelmix.experiment.report import figures
from babelmix.experiment.report.page import Section

Floats = npt.NDArray[np.float64]


def settings_section(audit: Audit) -> Section:
    """Every ranking metric in the three settings, with intervals."""
    return Section(
        "Three settings",
        "Monolingual: the pool holds the query's language only. Cross-lingual: one other language. Multilingual: all "
        "languages at once, as in a real mixed collection. Macro-averages, 95 % bootstrap intervals over groups.",
        tables=[settings_table(audit.estimates)],
    )


def pair_matrix(audit: Audit, metric: str = "mAP") -> tuple[Floats, list[str], list[str]]:
    """A metric by query language (rows) and passage language (columns), with their names. The diagonal is monolingual."""
    rows, columns = list(audit.table.query_langs), list(audit.table.passage_langs)
    matrix = np.full((len(rows), len(columns)), np.nan)
    for cell, estimate in audit.estimates.get(f"cross/{metric}", (None, {}))[1].items():
        query, _, passage = cell.partition(" > ")
        matrix[rows.index(query), columns.index(passage)] = estimate.value
    for lang, estimate in audit.estimates.get(f"mono/{metric}", (None, {}))[1].items():
        matrix[rows.index(lang), columns.index(lang)] = estimate.value
    return matrix, rows, columns


def matrix_table(matrix: Floats, rows: Sequence[str], columns: Sequence[str], corner: str) -> Table:
    """A matrix as a table."""
    body = [[row, *map(shown_number, matrix[i].tolist())] for i, row in enumerate(rows)]
    return Table([corner, *columns], body)


def pairs_section(audits: Mapping[str, Audit]) -> Section:
    """Heatmap of mAP by query language and passage language, on a colour scale that fits the data."""
    matrices = {name: pair_matrix(audit) for name, audit in audits.items()}
    _, rows, columns = next(iter(matrices.values()))
    planes = {name: matrix for name, (matrix, _, _) in matrices.items()}
    tables = [matrix_table(plane, rows, columns, f"{name}: query \\ passage") for name, plane in planes.items()]
    return Section(
        "Each pair of languages",
        "mAP of queries in one language (row) against passages of one language (column). The diagonal is monolingual.",
        figures.heatmaps(planes, rows, columns, row_label="query language", column_label="passage language"),
        "Heatmap of mAP by query language and passage language; the table below holds the numbers.",
        tables,
    )


def shares_section(audits: Mapping[str, Audit], colours: Mapping[str, str] | None = None) -> Section:
    """Bars: the share of the first answers in the query's own language.

    Args:
        audits: the audits by name.
        colours: the colour of each name; see `babelmix.experiment.report.figures.colours_of`.

    """
    first = next(iter(audits.values()))
    langs = [lang for lang in first.table.query_langs if lang in first.table.passage_langs]
    sizes = first.table.pool_sizes
    fair = [float(sizes[first.table.passage_langs.index(lang)] / sizes.sum()) for lang in langs]
    series: dict[str, list[float]] = {}
    for name, audit in audits.items():
        shares = language_shares(audit.table, SHARE_AT)
        series[name] = [
            float(shares[audit.table.query_langs.index(lang), audit.table.passage_langs.index(lang)]) for lang in langs
        ]
    table = Table(
        ["query language", "fair share", *series],
        [
            [lang, f"{fair[i]:.3f}", *(f"{values[i]:.3f}" for values in series.values())]
            for i, lang in enumerate(langs)
        ],
    )
    figure = ""
    if langs:
        figure = figures.grouped_bars(
            series, langs, value_label=f"share of the first {SHARE_AT}", fair=fair, colours=colours
        )
    details = [
        matrix_table(
            language_shares(a.table, SHARE_AT), a.table.query_langs, a.table.passage_langs, f"{n}: query \\ answer"
        )
        for n, a in audits.items()
    ]
    return Section(
        f"Whose language are the first {SHARE_AT} answers in?",
        f"Share of the first {SHARE_AT} answers, from a pool of all languages, in the query's own language. The black line is "
        "the share of that language in the pool.",
        figure,
        "Bars of the same-language share by query language, with the fair share as a line.",
        [table, *details] if langs else details,
    )


def crowding_section(audits: Mapping[str, Audit]) -> Section:
    """Heatmap: how many passages of each language rank before the answer, by query language."""
    planes: dict[str, Floats] = {}
    tables: list[Table] = []
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    for name, audit in audits.items():
        full = crowding(audit.table)
        rows, columns = audit.table.query_langs, audit.table.passage_langs
        with np.errstate(invalid="ignore"):
            known = ~np.isnan(full)
            planes[name] = np.where(known, full, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        tables.append(matrix_table(planes[name], rows, columns, f"{name}: query \\ crowding"))
        if len(audits) == 1:
            tables += [
                matrix_table(full[i], columns, columns, f"queries in {lang}: answer in \\ crowded by")
                for i, lang in enumerate(rows)
            ]
    return Section(
        "Which languages crowd the answer out?",
        "The number of passages of a language (column) that rank before a relevant passage, for queries in one language (row). "
        "It is an average over the languages of the relevant passage. A bright diagonal: the query's own language crowds out "
        "answers in other languages.",
        figures.heatmaps(
            planes, rows, columns, row_label="query language", column_label="crowding language", digits=0
        ),
        "Heatmap of the number of passages before the answer by query language and crowding language.",
        tables,
    )


def languages_section(audit: Audit) -> Section:
    """The headline measures by query language."""
    return Section(
        "Each query language",
        "The cross-lingual column is the mean over the other languages.",
        tables=[languages_table(audit.estimates, audit.table.query_langs, intervals=True)],
    )


def tokens_section(audit: Audit) -> Section | None:
    """The tokens per character in each language, and the share of truncated texts; None if the audit did not count tokens."""
    tokens = audit.table.about.tokens
    if not tokens:
        return None
    table, limit = tokens_table(tokens, short=False), tokens["limit"]
    return Section(
        table.title,
        f"Tokens per character, and the share of texts longer than the encoder's limit "
        f"({'it has none' if limit is None else f'{limit:,} tokens, with prompt and special tokens'}), in a random sample of up "
        f"to {tokens['sample']:,} queries and passages per language. A language with more tokens per character is truncated "
        "earlier and costs more.",
        tables=[table],
    )


def score_levels_section(audit: Audit) -> Section | None:
    """How comparable scores are between languages; None if the audit did not measure it."""
    found = audit.table.about.calibration
    if not found:
        return None
    table = score_levels_table(found)
    pairs = [
        [name, *(optional(cell[key]) for key in ("irrelevant", "relevant", "auc"))]
        for name, cell in found["pairs"].items()
    ]
    # A box needs the quantiles from 0.05 to 0.95, so leave out the first and the last.
    boxes = {
        f"{sort} passages": [lang[sort] and lang[sort]["quantiles"][1:-1] for lang in found["langs"].values()]
        for sort in ("irrelevant", "relevant")
    }
    return Section(
        table.title,
        f"{table.note} The languages are those of the {found['side']}. The sample has up to {found['sample']:,} relevant pairs, "
        "and as many irrelevant ones, of each query language and passage language. Shift: how many standard deviations the top "
        "1 % of irrelevant passages starts above the mean over languages. Passing: the share of irrelevant passages above one "
        "common threshold, which 1 % of all irrelevant passages exceed.",
        figures.boxes(boxes, list(found["langs"]), value_label="score"),
        "Boxes of the scores of irrelevant and of relevant passages by language; the table below holds the numbers.",
        [
            replace(table, note="Mean ± standard deviation."),
            Table(["query > passage", "irrelevant, mean", "relevant, mean", "AUC"], pairs),
        ],
    )


def perturb_section(noise: Mapping[str, Any]) -> Section:
    """How noise on the queries changes mAP.

    Args:
        noise: the result of `babelmix.evaluation.perturb.perturb_loss`.

    """
    table = noise_table(noise)
    return Section(
        table.title,
        "mAP in the pool of all languages, by query language: on clean queries, and how much noise changes it, with 95 % paired "
        "bootstrap intervals over groups. The mean gives every language the same weight. "
        f"Typos in {noise['rate']:.0%} of letters, seed {noise['seed']}; docs/audit.md says what each kind does.",
        tables=[table],
    )


def pool_section(audit: Audit) -> Section | None:
    """The numbers of rows left out by the reader, of excluded passages, and of copies of right answers; None if all are zero."""
    table = pool_table(audit.table.about)
    if table is None:
        return None
    return Section(
        table.title,
        "Rows that cannot be used are left out when the data are read. Excluded: for example, a query that is in its own pool is "
        "excluded for itself. A copy has the same text or picture as a right answer and belongs to another item: no encoder can "
        "tell the two apart. Results in the literature count copies as wrong. The option --copies counts them as relevant, or "
        "removes them from the pool.",
        tables=[table],
    )
