"""The sections that an audit's and a comparison's report are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix._tables import Table
from babelmix.evaluation import Audit, crowding, language_shares
from babelmix.evaluation.audit_tables import (
    bias_table,
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


def bias_section(audit: Audit) -> Section:
    """Every bias metric, with intervals."""
    note = (
        "Rank distance: how many places lie between the best and the worst placed translation of the same answer. "
        "Median: over queries, where a few that find nothing decide the mean. Log: how often the list must be doubled to get "
        "from the best to the worst (best: log2 of the languages). Relative: over the size of the pool; over chance: over what "
        "a shuffled pool gives (1: as by chance). Mean rank correlation: whether a question in another language orders its "
        "answers alike (1: yes). PEER: how well the ranks agree with no difference between languages (near 0: they differ). "
        "Same-language preference: how often the answer in the query's own language stands before a translation of it "
        "(0.5: no preference). Excess: share in the first k over the language's share of the pool (1: no preference)."
    )
    return Section("Language bias", note, tables=[bias_table(audit.estimates)])


def pair_matrix(audit: Audit, metric: str = "mAP") -> tuple[Floats, list[str], list[str]]:
    """Mean of a metric by query language and passage language; the diagonal is the monolingual setting."""
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
    """Heatmap query language x passage language."""
    matrices = {name: pair_matrix(audit) for name, audit in audits.items()}
    _, rows, columns = next(iter(matrices.values()))
    planes = {name: matrix for name, (matrix, _, _) in matrices.items()}
    tables = [matrix_table(plane, rows, columns, f"{name}: query \\ passage") for name, plane in planes.items()]
    return Section(
        "Each pair of languages",
        "mAP of queries in one language (row) against passages of one language (column). The diagonal is monolingual.",
        figures.heatmaps(
            planes, rows, columns, row_label="query language", column_label="passage language", low=0, high=1
        ),
        "Heatmap of mAP by query language and passage language; the table below holds the numbers.",
        tables,
    )


def shares_section(audits: Mapping[str, Audit]) -> Section:
    """Bars: how many of the first answers are in the query's own language."""
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
        figure = figures.grouped_bars(series, langs, value_label=f"share of the first {SHARE_AT}", fair=fair)
    details = [
        matrix_table(
            language_shares(a.table, SHARE_AT), a.table.query_langs, a.table.passage_langs, f"{n}: query \\ answer"
        )
        for n, a in audits.items()
    ]
    return Section(
        f"Whose language are the first {SHARE_AT} answers in?",
        f"Share of the first {SHARE_AT} answers, out of a pool of all languages, that are in the query's own language. The "
        "black line is that language's share of the pool.",
        figure,
        "Bars of the same-language share by query language, with the fair share as a line.",
        [table, *details] if langs else details,
    )


def crowding_section(audits: Mapping[str, Audit]) -> Section:
    """Heatmap: which languages stand before the answer, by query language."""
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
        "How many passages of a language (column) stand before a relevant passage, on average over the languages that the "
        "relevant passage may be in, for queries in one language (row). A bright diagonal: the query's own language crowds "
        "out answers in other languages.",
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
    """How many tokens a character takes in each language, and what is cut; None if the audit does not know."""
    tokens = audit.table.about.tokens
    if not tokens:
        return None
    table, limit = tokens_table(tokens, short=False), tokens["limit"]
    return Section(
        table.title,
        f"Of up to {tokens['sample']:,} queries and passages a language, drawn at random: tokens a character, and the share of "
        "texts that are longer than the encoder reads "
        f"({'it has no limit' if limit is None else f'{limit:,} tokens, with prompt and special tokens'}). A language with more "
        "tokens a character is cut earlier and costs more.",
        tables=[table],
    )


def score_levels_section(audit: Audit) -> Section | None:
    """How comparable scores are between languages; None if the audit does not know."""
    found = audit.table.about.calibration
    if not found:
        return None
    table = score_levels_table(found)
    pairs = [
        [name, *(optional(cell[key]) for key in ("irrelevant", "relevant", "auc"))]
        for name, cell in found["pairs"].items()
    ]
    # Of 0.01, 0.05, 0.25, 0.5, 0.75, 0.95 and 0.99 the five that make a box.
    boxes = {
        f"{sort} passages": [lang[sort] and lang[sort]["quantiles"][1:-1] for lang in found["langs"].values()]
        for sort in ("irrelevant", "relevant")
    }
    return Section(
        table.title,
        f"{table.note} By the language of {'the passage' if found['side'] == 'passages' else 'the query'}, from "
        f"up to {found['sample']:,} relevant pairs, and as many irrelevant ones, of each query language and passage language. "
        "Shift: by how many standard deviations the best 1 % of irrelevant passages begin above the mean over languages. "
        "Passing: the share of irrelevant passages above the one threshold that 1 % of all are above.",
        figures.boxes(boxes, list(found["langs"]), value_label="score"),
        "Boxes of the scores of irrelevant and of relevant passages by language; the table below holds the numbers.",
        [
            replace(table, note="Mean ± standard deviation."),
            Table(["query > passage", "irrelevant, mean", "relevant, mean", "AUC"], pairs),
        ],
    )


def perturb_section(noise: Mapping[str, Any]) -> Section:
    """What noise on the queries costs.

    Args:
        noise: what `babelmix.evaluation.perturb.perturb_loss` returns.

    """
    table = noise_table(noise)
    return Section(
        table.title,
        "mAP in the pool of all languages, by query language: of the queries as they are, and by how much noise changes it, with "
        "95 % paired bootstrap intervals over groups; the mean counts every language the same. "
        f"Typos in {noise['rate']:.0%} of letters, seed {noise['seed']}; docs/audit.md says what each kind does.",
        tables=[table],
    )


def pool_section(audit: Audit) -> Section | None:
    """What was left out of the corpus, excluded for a query, and copied; None if there is none of it."""
    table = pool_table(audit.table.about)
    if table is None:
        return None
    return Section(
        table.title,
        "What could not be used was left out when the data were read. A query that stands in its own pool is, for example, "
        "excluded for itself. A copy has the very text, or picture, of a right answer and belongs to another item: no encoder "
        "can tell the two apart. Figures in the literature count copies as wrong; the option --copies counts them as relevant "
        "or leaves them out of the pool.",
        tables=[table],
    )
