"""An audit as tables and sentences, for the terminal, the notebook and the report."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from babelmix._tables import Table
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.bias import ideal_value
from babelmix.evaluation.measure_info import (
    ANSWER_OVERLAP,
    BIAS,
    HEADLINE_WITHOUT_LABELS,
    MULTI_HIT_1,
    RANK_DISTANCE,
    RANK_DISTANCE_OVER_QUERIES,
    SAME_LANGUAGE_SHARE,
    SETTINGS,
    SHARE_AT,
    MeasureInfo,
    headline,
    headline_bias,
    is_of_lists,
    measure_info,
    ranking_metrics,
    setting_title,
    titles,
)
from babelmix.evaluation.ranks import RankTable
from babelmix.evaluation.significance import Comparison, Estimate

Estimates = Mapping[str, tuple[Estimate, dict[str, Estimate]]]
"""For each measure, the macro-average and the cells by name, with intervals."""

LEGEND = (
    "mAP within a language (mono), across two (cross), in a pool of all (multi); rank dist.: places between translations "
    f"of one answer; own lang.@{SHARE_AT}: share of the first {SHARE_AT} answers in the query's language"
)

HIT_LEGEND = (
    "hit@k: a right one is among the first k, of the pool of all, or of what is in one language (one lang.); mAP in the pool of "
    "all; rank dist.: places between translations of one answer; of a picture, between its ranks for queries in several languages"
)

WITHOUT_LABELS_LEGEND = (
    f"own lang.@{SHARE_AT}: share of the first {SHARE_AT} answers in the query's language; excess: this over the language's "
    "share of the pool (1: no preference); languages: among the first answers; overlap: items that a question finds in two "
    "languages, over those that it finds in either"
)

TOKENS = "What the tokenizer makes of each language"
LEVELS = "Do scores mean the same in every language?"
IN_A_SENTENCE = (TOKENS, LEVELS)
"""The titles of tables that are not printed: a sentence says what they find."""

_WITHIN = {"mono": "within a language", "cross": "across two languages", "multi": "in a pool of all"}
_SORTS = ("irrelevant", "relevant")
_COUNTED = {
    "wrong": "counted as wrong",
    "relevant": "counted as relevant",
    "excluded": "counted as neither",
}


def legend(names: Collection[str]) -> str:
    """The explanation of the column heads of a headline table."""
    if names and set(names) <= set(HEADLINE_WITHOUT_LABELS) and len(names) > 1:
        return WITHOUT_LABELS_LEGEND
    return HIT_LEGEND if any("/hit@" in name for name in names) else LEGEND


def headline_table(audits: Mapping[str, Estimates], *, intervals: bool = False, more: Iterable[str] = ()) -> Table:
    """The headline measures, one row per audit.

    Args:
        audits: the estimates of each audit, by its name.
        intervals: show intervals and full titles, as in a report; otherwise values and short column heads, as on a terminal.
        more: further measures, which have columns if an audit has them.

    """
    names = headline_with({name for estimates in audits.values() for name in estimates}, more)
    rows = []
    for label, estimates in audits.items():
        cells = [""] * len(names)
        for place, name in enumerate(names):
            if name in estimates:
                info, (macro, _) = measure_info(name), estimates[name]
                cells[place] = info.with_interval(macro) if intervals else info.shown(macro.value)
        rows.append([label, *cells])
    if intervals:
        return Table(["encoder", *titles(names)], rows, "value [95 % interval over groups]")
    return Table(["", *(measure_info(name).short for name in names)], rows, legend(names))


def headline_with(present: Collection[str], more: Iterable[str]) -> list[str]:
    """The headline measures, and those of further measures that are present."""
    return list(dict.fromkeys([*headline(present), *(name for name in more if name in present)]))


def settings_table(estimates: Estimates) -> Table:
    """Every ranking metric in the settings that the corpus has, with intervals."""
    settings = [setting for setting in SETTINGS if any(name.startswith(f"{setting}/") for name in estimates)]
    rows = [
        [metric, *(measure_info(name).with_interval(estimates[name][0]) for name in names)]
        for metric in ranking_metrics(estimates)
        if (names := [f"{setting}/{metric}" for setting in settings])
    ]
    return Table(["metric", *map(setting_title, settings)], rows, title="Three settings")


def bias_table(estimates: Estimates, table: RankTable | None = None) -> Table:
    """The bias measures that are shown at once, with intervals, each beside its ideal value.

    Args:
        estimates: the estimates of the audit.
        table: the rank table of the audit; without it, ideal values that depend on the corpus are in words only.

    """
    names = headline_bias(estimates)
    further = sum(name.startswith(BIAS) for name in estimates) - len(names)
    note = f"{further} more bias measures are in the report, in metrics.json and in to_frame()." if further else ""
    return Table(_BIAS_HEAD, _bias_rows(names, estimates, table), note, "Language bias")


def further_bias_tables(estimates: Estimates, table: RankTable | None = None) -> list[Table]:
    """All other bias measures, a table for each group of them; see `bias_table`."""
    shown = headline_bias(estimates)
    groups: dict[str, list[str]] = {}
    for name in estimates:
        if name.startswith(BIAS) and name not in shown:
            groups.setdefault(measure_info(name).group or "Further measures", []).append(name)
    return [Table(_BIAS_HEAD, _bias_rows(names, estimates, table), title=group) for group, names in groups.items()]


_BIAS_HEAD = ("measure", "all query languages", "ideal")


def _bias_rows(names: Sequence[str], estimates: Estimates, table: RankTable | None) -> list[list[str]]:
    return [
        [info.title, info.with_interval(estimates[info.name][0]), ideal_text(info, table)]
        for info in map(measure_info, names)
    ]


def ideal_text(info: MeasureInfo, table: RankTable | None = None) -> str:
    """The ideal value of a bias measure, as a number where there is one, and in words: `10.0 (languages - 1)`.

    Args:
        info: the measure.
        table: the rank table of an audit; without it, values that depend on the corpus are in words only.

    """
    if info.ideal is not None:
        return info.ideal_words or f"{info.ideal:g}"
    name = info.name.removeprefix(BIAS)
    known = None if table is None or is_of_lists(name) else ideal_value(table, name)
    if known is None:
        return info.ideal_words
    # A recall of 1 that k does not limit needs no words.
    return f"{known:g}" if info.ideal_words == f"{known:g}" else f"{info.shown(known)} ({info.ideal_words})"


def languages_table(estimates: Estimates, query_langs: Sequence[str], *, intervals: bool = False) -> Table:
    """The headline measures by query language; cross-lingual ones are averaged over the other languages.

    Args:
        estimates: the estimates of the audit.
        query_langs: the languages of the queries.
        intervals: show intervals and full titles, as in a report; otherwise values and short column heads, as on a terminal.

    """
    names = headline(estimates)
    rows = []
    for lang in query_langs:
        cells = []
        for name in names:
            info, found = measure_info(name), estimates[name][1]
            if name.startswith("cross/"):
                values = [one.value for cell, one in found.items() if cell.split(" > ")[0] == lang]
                cells.append(info.shown(float(np.mean(values))) if values else "")
            elif lang not in found:
                cells.append("")
            else:
                cells.append(info.with_interval(found[lang]) if intervals else info.shown(found[lang].value))
        rows.append([lang, *cells])
    if intervals:
        return Table(["query language", *titles(names)], rows)
    return Table(["query language", *(measure_info(name).short for name in names)], rows, legend(names))


def tokens_table(tokens: Mapping[str, Any], *, short: bool = True) -> Table:
    """The number of texts, the tokens per character and the share of truncated texts, for each language.

    Args:
        tokens: the result of `babelmix.evaluation.tokens.tokens_of`.
        short: use short column heads, as on a terminal.

    """
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
    heads = ["language", "texts", "tokens/char q", "tokens/char p", "cut q", "cut p"] if short else [
        "language", "texts, queries + passages", "tokens a character, queries", "tokens a character, passages",
        "cut, queries", "cut, passages",
    ]  # fmt: skip
    return Table(heads, rows, title=TOKENS)


def tokens_line(tokens: Mapping[str, Any]) -> str:
    """The languages with the fewest and the most tokens a character, and what is cut, in a sentence."""
    side = next(one for one in ("passages", "queries") if any(one in sides for sides in tokens["langs"].values()))
    rates = {
        lang: sides[side]["tokens_per_character"] for lang, sides in sorted(tokens["langs"].items()) if side in sides
    }
    least, most = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
    cut = {
        f"{found['cut']:.0%} of the {one} in {lang}": found["cut"]
        for one in ("queries", "passages")
        for lang, sides in tokens["langs"].items()
        if (found := sides.get(one)) and found["cut"] and found["cut"] >= 0.005
    }
    worst = sorted(cut, key=lambda name: -cut[name])
    also = f" and {len(worst) - 3} more" if len(worst) > 3 else ""
    return (
        f"{side.capitalize()} have {rates[least]:.2f} tokens a character in {least} to {rates[most]:.2f} in {most}; "
        f"{'cut are ' + ', '.join(worst[:3]) + also if worst else 'next to nothing is cut'}."
    )


def score_levels_table(found: Mapping[str, Any]) -> Table:
    """How scores are distributed in each language.

    Args:
        found: the result of `babelmix.evaluation.score_levels.score_levels`.

    """
    rows = [
        [
            name,
            *("" if lang[sort] is None else f"{lang[sort]['mean']:.3f} ± {lang[sort]['std']:.3f}" for sort in _SORTS),
            "" if lang["shift"] is None else f"{lang['shift']:+.2f}",
            "" if lang["passing"] is None else f"{lang['passing']:.2%}",
            optional(lang["auc"]),
        ]
        for name, lang in found["langs"].items()
    ]
    head = ["language", "irrelevant", "relevant", "shift", "passing", "AUC"]
    return Table(head, rows, score_levels_lead(found), LEVELS)


def score_levels_line(found: Mapping[str, Any]) -> str:
    """How much the scores of irrelevant passages differ between languages, in a sentence."""
    return (
        f"Mean scores of irrelevant passages differ by {found['uneven']:.2f} standard deviations between languages and by "
        f"{found['uneven_pairs']:.2f} between pairs of languages (0: a score means the same everywhere)."
    )


def score_levels_lead(found: Mapping[str, Any]) -> str:
    """How comparable scores are between languages, in two sentences."""
    one, each, pair = (optional(found["auc"][name]) for name in ("one_threshold", "each_language", "each_pair"))
    return (
        f"{score_levels_line(found)} A relevant passage scores above an irrelevant one with probability {one} in any languages, "
        f"{each} in one language, {pair} in one pair of languages (AUC); the differences are what one threshold for all costs."
    )


def optional(value: float | None) -> str:
    """A share or a probability as text; None becomes `none`."""
    return "none" if value is None else f"{value:.3f}"


def pool_table(facts: AuditFacts) -> Table | None:
    """The numbers of rows left out by the reader, of excluded passages, and of copies of right answers; None if all are zero."""
    rows: list[list[str]] = []
    if isinstance(facts.left_out, Mapping):
        rows += [[f"left out: {what}", f"{number:,}"] for what, number in facts.left_out.items()]
    if facts.excluded:
        rows.append(["passages excluded for a query", f"{facts.excluded:,}"])
    if copies := facts.copies:
        rows += [
            [f"copies of right answers, {_COUNTED[facts.count_copies_as]}", f"{copies['passages']:,}"],
            ["queries with such a copy", f"{copies['queries']:,} of {facts.queries or 0:,}"],
            ["pairs of query and copy", f"{copies['pairs']:,}"],
        ]
    return Table(["what", "how many"], rows, title="What the pool holds") if rows else None


def audit_lead(table: RankTable, estimates: Estimates) -> str:
    """The finding of an audit in one sentence."""
    name = table.about.system
    macro = {measure: one.value for measure, (one, _) in estimates.items()}
    if RANK_DISTANCE_OVER_QUERIES in macro and MULTI_HIT_1 in macro:
        return (
            f"{name} puts the right picture first for {macro[MULTI_HIT_1]:.1%} of captions; "
            f"{macro[RANK_DISTANCE_OVER_QUERIES]:,.0f} places lie between the ranks of one picture for captions in different "
            "languages."
        )
    parts = [
        f"{macro[f'{setting}/mAP']:.3f} {words}" for setting, words in _WITHIN.items() if f"{setting}/mAP" in macro
    ]
    text = f"{name} retrieves with mAP {', '.join(parts)}" if parts else f"{name} was audited without labels"
    if RANK_DISTANCE in macro:
        text += f"; {macro[RANK_DISTANCE]:,.0f} places lie between translations of the same answer"
    if SAME_LANGUAGE_SHARE in macro:
        pool_share = table.pool_sizes / table.pool_sizes.sum()
        cells = estimates[SAME_LANGUAGE_SHARE][1]
        fair = sum(float(pool_share[table.passage_langs.index(lang)]) for lang in cells) / len(cells)
        own = f"{macro[SAME_LANGUAGE_SHARE]:.0%} of its first {SHARE_AT} answers are in the query's own language"
        text += f"; {own} (fair: about {fair:.0%})"
    if ANSWER_OVERLAP in macro and not parts:
        text += f"; of the items that a question finds in two languages, {macro[ANSWER_OVERLAP]:.0%} are found in both"
    return text + "."


TEST_HEAD = ("difference", "measure", "value [95 % interval]", "effect size", "p, bootstrap", "p", "p after Holm")


def tests_table(comparisons: Sequence[Comparison], family: str = "all tests of this page") -> Table:  # noqa: PT028 - no test
    """Differences, effect sizes and p-values.

    Args:
        comparisons: the tests.
        family: what Holm's correction is over, in words.

    """
    return Table(
        TEST_HEAD,
        [[f"{one.first} - {one.second}", *_test_cells(one)] for one in comparisons],
        "p: paired randomisation tests that swap whole groups, two-sided (medians: the paired bootstrap over groups); Holm's "
        f"correction over {family}. Values are averaged over seeds before pairing. Effect size: mean over "
        "standard deviation of the groups' differences.",
    )


def tests_tables(comparisons: Sequence[Comparison]) -> list[Table]:
    """Like `tests_table`, with short column heads and one table for each pair of systems, as on a terminal."""
    head = ["measure", "difference [95 %]", "effect", "p boot.", "p", "p Holm"]
    pairs = dict.fromkeys((one.first, one.second) for one in comparisons)
    return [
        Table(
            head, [_test_cells(one) for one in comparisons if (one.first, one.second) == pair], title=" - ".join(pair)
        )
        for pair in pairs
    ]


def _test_cells(one: Comparison) -> list[str]:
    info = measure_info(one.measure)
    return [
        info.title,
        info.with_interval(one.difference),
        "" if np.isnan(one.effect) else f"{one.effect:+.2f}",
        f"{one.p_bootstrap:.4f}",
        f"{one.p:.4f}",
        "" if one.p_holm is None else f"{one.p_holm:.4f}",
    ]


def estimates_frame(estimates: Estimates) -> pl.DataFrame:
    """All numbers of an audit: a row for each macro-average (cell null) and each cell.

    Returns:
        Columns `measure`, `cell`, `value`, `low`, `high`.

    """
    rows = [
        (name, cell, one.value, one.low, one.high)
        for name, (macro, cells) in estimates.items()
        for cell, one in [(None, macro), *cells.items()]
    ]
    schema = {"measure": pl.String, "cell": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def noise_table(noise: Mapping[str, Any]) -> Table:
    """How noise on the queries changes mAP, for each query language.

    Args:
        noise: the result of `babelmix.evaluation.perturb.perturb_loss`.

    """
    kinds = noise["kinds"].values()
    rows = [
        [lang, f"{value:.3f}", *(_change(kind["lost"][lang], *kind["interval"][lang]) for kind in kinds)]
        for lang, value in noise["clean"].items()
    ]
    mean = f"{np.mean(list(noise['clean'].values())):.3f}"
    rows.append(
        ["mean", mean, *(_change(kind["mean"]["lost"], kind["mean"]["low"], kind["mean"]["high"]) for kind in kinds)]
    )
    return Table(["query language", "clean", *noise["kinds"]], rows, title="What noise on the queries costs")


def _change(lost: float, low: float, high: float) -> str:
    """A loss and its interval as text, written as the change of the score. Zero has no sign."""
    change, least, most = (f"{0.0 - value:+.3f}" for value in (lost, high, low))
    return f"{change} [{least}, {most}]".replace("-0.000", "0.000").replace("+0.000", "0.000")


__all__ = [
    "Estimates", "audit_lead", "bias_table", "estimates_frame", "further_bias_tables", "headline_table", "ideal_text",
    "languages_table", "legend", "noise_table", "pool_table", "score_levels_lead", "score_levels_table", "settings_table",
    "tests_table", "tests_tables", "tokens_table",
]  # fmt: skip
