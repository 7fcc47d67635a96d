"""The sections that an audit's and a comparison's report are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix.evaluation import Audit, Comparison, crowding, language_shares, measure_info
from babelmix.evaluation.measure_info import (
    SETTINGS,
    SHARE_AT,
    headline,
    ranking_metrics,
    setting_title,
    shown_number,
    titles,
)
from babelmix.experiment.report import figures
from babelmix.experiment.report.page import Section, Table

Floats = npt.NDArray[np.float64]


def settings_section(audit: Audit) -> Section:
    """Every ranking metric in the three settings, with intervals."""
    settings = [s for s in SETTINGS if any(name.startswith(f"{s}/") for name in audit.estimates)]
    metrics = ranking_metrics(audit.estimates)
    rows = [
        [metric, *(measure_info(f"{s}/{metric}").with_interval(audit.estimates[f"{s}/{metric}"][0]) for s in settings)]
        for metric in metrics
    ]
    return Section(
        "Three settings",
        "Monolingual: the pool holds the query's language only. Cross-lingual: one other language. Multilingual: all "
        "languages at once, as in a real mixed collection. Macro-averages, 95 % bootstrap intervals over groups.",
        tables=[Table(["metric", *map(setting_title, settings)], rows)],
    )


def bias_section(audit: Audit) -> Section:
    """Every bias metric, with intervals."""
    infos = [info for info in map(measure_info, audit.estimates) if info.is_bias]
    rows = [[info.title, info.with_interval(audit.estimates[info.name][0])] for info in infos]
    note = (
        "Rank distance: how many places lie between the best and the worst placed translation of the same answer. "
        "Median: over queries, where a few that find nothing decide the mean. Log: how often the list must be doubled to get "
        "from the best to the worst (best: log2 of the languages). Relative: over the size of the pool; over chance: over what "
        "a shuffled pool gives (1: as by chance). Mean rank correlation: whether a question in another language orders its "
        "answers alike (1: yes). PEER: how well the ranks agree with no difference between languages (near 0: they differ). "
        "Same-language preference: how often the answer in the query's own language stands before a translation of it "
        "(0.5: no preference). Excess: share in the first k over the language's share of the pool (1: no preference)."
    )
    return Section("Language bias", note, tables=[Table(["measure", "all query languages"], rows)])


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
    """Per query language: the headline measures."""
    names = headline(audit.estimates)
    per_lang: dict[str, dict[str, str]] = {lang: {} for lang in audit.table.query_langs}
    for name in names:
        info, cells = measure_info(name), audit.estimates[name][1]
        for lang in per_lang:
            if name.startswith("cross/"):
                values = [e.value for cell, e in cells.items() if cell.split(" > ")[0] == lang]
                per_lang[lang][name] = info.shown(float(np.mean(values))) if values else ""
            else:
                per_lang[lang][name] = info.with_interval(cells[lang]) if lang in cells else ""
    rows = [[lang, *(values[name] for name in names)] for lang, values in per_lang.items()]
    return Section(
        "Each query language",
        "The cross-lingual column is the mean over the other languages.",
        tables=[Table(["query language", *titles(names)], rows)],
    )


def tokens_section(audit: Audit) -> Section | None:
    """How many tokens a character takes in each language, and what is cut; None if the audit does not know."""
    tokens = audit.table.about.tokens
    if not tokens:
        return None
    rows = []
    for lang, sides in sorted(tokens["langs"].items()):
        found = [sides.get(side) for side in ("queries", "passages")]
        rows.append(
            [
                lang,
                " + ".join(f"{one['texts'] if one else 0:,}" for one in found),
                *("" if one is None else f"{one['tokens_per_character']:.3f}" for one in found),
                *("" if one is None or one["cut"] is None else f"{one['cut']:.1%}" for one in found),
            ]
        )
    limit = tokens["limit"]
    return Section(
        "What the tokenizer makes of each language",
        f"Of up to {tokens['sample']:,} queries and passages a language, drawn at random: tokens a character, and the share of "
        "texts that are longer than the encoder reads "
        f"({'it has no limit' if limit is None else f'{limit:,} tokens, with prompt and special tokens'}). A language with more "
        "tokens a character is cut earlier and costs more.",
        tables=[
            Table(
                [
                    "language", "texts, queries + passages", "tokens a character, queries",
                    "tokens a character, passages", "cut, queries", "cut, passages",
                ],
                rows,
            )
        ],
    )  # fmt: skip


def calibration_section(audit: Audit) -> Section | None:
    """How comparable scores are between languages; None if the audit does not know."""
    found = audit.table.about.calibration
    if not found:
        return None
    rows = [
        [
            name,
            *("" if lang[sort] is None else f"{lang[sort]['mean']:.3f} ± {lang[sort]['std']:.3f}" for sort in _SORTS),
            "" if lang["shift"] is None else f"{lang['shift']:+.2f}",
            "" if lang["passing"] is None else f"{lang['passing']:.2%}",
            _optional(lang["auc"]),
        ]
        for name, lang in found["langs"].items()
    ]
    pairs = [[name, *(_optional(cell[key]) for key in (*_SORTS, "auc"))] for name, cell in found["pairs"].items()]
    # Of 0.01, 0.05, 0.25, 0.5, 0.75, 0.95 and 0.99 the five that make a box.
    boxes = {
        f"{sort} passages": [lang[sort] and lang[sort]["quantiles"][1:-1] for lang in found["langs"].values()]
        for sort in _SORTS
    }
    return Section(
        "Do scores mean the same in every language?",
        f"{calibration_lead(found)} By the language of {'the passage' if found['side'] == 'passages' else 'the query'}, from "
        f"up to {found['sample']:,} relevant pairs, and as many irrelevant ones, of each query language and passage language. "
        "Shift: by how many standard deviations the best 1 % of irrelevant passages begin above the mean over languages. "
        "Passing: the share of irrelevant passages above the one threshold that 1 % of all are above.",
        figures.boxes(boxes, list(found["langs"]), value_label="score"),
        "Boxes of the scores of irrelevant and of relevant passages by language; the table below holds the numbers.",
        [
            Table(
                ["language", "irrelevant", "relevant", "shift", "passing", "AUC"], rows, "Mean ± standard deviation."
            ),
            Table(["query > passage", "irrelevant, mean", "relevant, mean", "AUC"], pairs),
        ],
    )


def calibration_lead(found: Mapping[str, Any]) -> str:
    """What `babelmix.evaluation.calibration` found, in two sentences."""
    one, each, pair = (_optional(found["auc"][name]) for name in ("one_threshold", "each_language", "each_pair"))
    return (
        f"Mean scores of irrelevant passages differ by {found['uneven']:.2f} standard deviations between languages and by "
        f"{found['uneven_pairs']:.2f} between pairs of languages (0: a score means the same everywhere). A relevant passage "
        f"scores above an irrelevant one with probability {one} in any languages, {each} in one language, {pair} in one pair of "
        "languages (AUC); the differences are what one threshold for all costs."
    )


_SORTS = ("irrelevant", "relevant")


def _optional(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def noise_section(noise: Mapping[str, Any]) -> Section:
    """What `babelmix.evaluation.perturb.noise_loss` found."""
    kinds = noise["kinds"].values()
    rows = [
        [lang, f"{value:.3f}", *(_change(kind["lost"][lang], *kind["interval"][lang]) for kind in kinds)]
        for lang, value in noise["clean"].items()
    ]
    mean = f"{np.mean(list(noise['clean'].values())):.3f}"
    rows.append(
        ["mean", mean, *(_change(kind["mean"]["lost"], kind["mean"]["low"], kind["mean"]["high"]) for kind in kinds)]
    )
    return Section(
        "What noise on the queries costs",
        "mAP in the pool of all languages, by query language: of the queries as they are, and by how much noise changes it, with "
        "95 % paired bootstrap intervals over groups; the mean counts every language the same. "
        f"Typos in {noise['rate']:.0%} of letters, seed {noise['seed']}; docs/audit.md says what each kind does.",
        tables=[Table(["query language", "clean", *noise["kinds"]], rows)],
    )


def _change(lost: float, low: float, high: float) -> str:
    """What a loss with an interval does to the score; nought has no sign."""
    change, least, most = (f"{0.0 - value:+.3f}" for value in (lost, high, low))
    return f"{change} [{least}, {most}]".replace("-0.000", "0.000").replace("+0.000", "0.000")


def tests_table(comparisons: Sequence[Comparison]) -> Table:
    """Differences, effect sizes and p-values."""
    rows = [
        [
            f"{c.first} - {c.second}",
            measure_info(c.measure).title,
            measure_info(c.measure).with_interval(c.difference),
            "" if np.isnan(c.effect) else f"{c.effect:+.2f}",
            f"{c.p_bootstrap:.4f}",
            f"{c.p:.4f}",
            "" if c.p_holm is None else f"{c.p_holm:.4f}",
        ]
        for c in comparisons
    ]
    return Table(
        ["difference", "measure", "value [95 % interval]", "effect size", "p, bootstrap", "p", "p after Holm"],
        rows,
        "p: paired randomisation tests that swap whole groups, two-sided (medians: the paired bootstrap over groups); Holm's "
        "correction over all tests of this page. Values are averaged over seeds before pairing. Effect size: mean over "
        "standard deviation of the groups' differences.",
    )
