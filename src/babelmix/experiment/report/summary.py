"""What a report of an audit shows first: the verdict, three real queries, what would help, and the bias measures."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace

from babelmix._tables import Table
from babelmix.corpus import IMAGE
from babelmix.evaluation import Audit, Estimate
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.audit_tables import bias_table, further_bias_tables
from babelmix.evaluation.bias import left_out as left_out_of
from babelmix.evaluation.measure_info import (
    MONO_MAP,
    MULTI_MAP,
    RANK_DISTANCE,
    SAME_LANGUAGE_SHARE,
    SHARE_AT,
    measure_info,
    titles,
)
from babelmix.evaluation.samples import SampledQuery
from babelmix.evaluation.verdict import Verdict, fair_shares, lean, percent
from babelmix.experiment.report import figures
from babelmix.experiment.report.page import Hero, LeftOut, Section, Tile

ESTIMATED = {"now": "as it is", "removal": "without language (debias)", "balanced": "policy balanced"}
"""The systems of the section on what would help, and their names in it."""


def hero_of(audit: Audit, colours: Mapping[str, str] | None = None) -> Hero | None:
    """The verdict of an audit with its tiles, and the own share by query language beside it; None for pictures.

    Args:
        audit: the audit.
        colours: the colour of each system; see `babelmix.experiment.report.figures.colours_of`.

    """
    found = audit.verdict
    if found is None:
        return None
    figure = alt = ""
    cells = audit.estimates[SAME_LANGUAGE_SHARE][1] if SAME_LANGUAGE_SHARE in audit.estimates else {}
    fair = fair_shares(audit.table)
    langs = [lang for lang in cells if fair.get(lang, 0) > 0]
    if langs and len(audit.table.passage_langs) > 1:
        name = audit.table.about.system
        figure = figures.grouped_bars(
            {name: [cells[lang].value for lang in langs]}, langs, value_label=f"share of the first {SHARE_AT}",
            fair=[fair[lang] for lang in langs], colours=colours, size=(max(5.6, 0.26 * len(langs) + 1.2), 3.0),
        )  # fmt: skip
        shown = ", ".join(f"{lang} {percent(cells[lang].value)} (fair {percent(fair[lang])})" for lang in langs)
        alt = f"Bars: how many of the first {SHARE_AT} answers are in the query's own language. {shown}."
    whom = _whom({lang: cells[lang].value for lang in langs}, fair)
    return Hero(found.level, found.word, _sentence(found), tiles_of(audit), figure, alt, whom)


def _whom(shares: Mapping[str, float], fair: Mapping[str, float]) -> tuple[tuple[str, str], ...]:
    """The query languages with the most and the least answers in their own language, against the fair share; none below two."""
    if len(shares) < 2:
        return ()
    order = sorted(shares, key=lambda lang: lean(shares[lang], fair[lang]))
    # Fair shares that hardly differ explain nothing.
    same = max(fair[lang] for lang in shares) - min(fair[lang] for lang in shares) < 0.05
    return tuple(
        (lang, percent(shares[lang]) + ("" if same else f", fair {percent(fair[lang])}"))
        for lang in (order[-1], order[0])
    )


def _sentence(found: Verdict) -> str:
    """What the verdict says about answers, in plain words."""
    words = {
        "biased": "Which answers come first depends on their language, not only on what they say.",
        "slightly biased": "Which answers come first depends a little on their language.",
        "even": "Answers come first in each language as often as its share of the pool.",
        "cannot tell": "The data do not show whether answers come first because of their language.",
    }
    if found.share is None and found.distance is None:
        return f"{words[found.level]} Reason: {'; '.join(found.reasons)}."
    quality = "" if found.judged else " This is no claim about quality: there are no relevance judgements."
    return words[found.level] + quality


def tiles_of(audit: Audit) -> list[Tile]:
    """The own share, the rank distance, and mAP within a language and in the pool of all; as many as the audit has."""
    found, tiles = audit.verdict, []
    estimates = audit.estimates
    if found is not None and found.share is not None and found.fair is not None:
        tiles.append(
            Tile(
                percent(found.share.value),
                f"of the first {found.k} answers are in the query's own language",
                f"fair would be {percent(found.fair)}",
                f"[{percent(found.share.low)}, {percent(found.share.high)}]",
            )
        )
    if RANK_DISTANCE in estimates:
        info, one = measure_info(RANK_DISTANCE), estimates[RANK_DISTANCE][0]
        pool = f"{int(audit.table.pool_sizes.sum()):,}"
        interval = f"[{info.shown(one.low)}, {info.shown(one.high)}]"
        tiles.append(
            Tile(info.shown(one.value), f"of {pool} places lie between translations of one answer", "", interval)
        )
    if MULTI_MAP in estimates:
        info, one = measure_info(MULTI_MAP), estimates[MULTI_MAP][0]
        value, label = info.shown(one.value), "mAP in the pool of all languages"
        if MONO_MAP in estimates:
            value = f"{info.shown(estimates[MONO_MAP][0].value)} → {value}"
            label = "mAP within a language → in the pool of all languages"
        tiles.append(Tile(value, label, "", f"[{info.shown(one.low)}, {info.shown(one.high)}]"))
    return tiles


def queries_section(audit: Audit) -> Section | LeftOut:
    """A few real queries with the languages of their first answers."""
    samples = audit.table.about.samples
    if not samples:
        return LeftOut("Three real queries", _no_samples(audit))
    title = "Three real queries" if len(samples) == 3 else "Real queries"
    found = [SampledQuery.of(one) for one in samples]
    green = "; green is a right one" if any(one.right for one in found) else ". There are no relevance judgements"
    return Section(
        title,
        "A hash of language and item drew these queries, so nobody chose them, and every audit of this corpus shows the same "
        f"ones. Each box is one of the first answers, by its language{green}.",
        queries=found,
    )


def _no_samples(audit: Audit) -> str:
    if IMAGE in (*audit.table.query_langs, *audit.table.passage_langs):
        return "the corpus has pictures"
    return "the audit was saved by an earlier version, which kept no queries; run it again"


def remedies_section(audit: Audit) -> Section | LeftOut:
    """What removal of language and the policy `balanced` would change, with the commands."""
    title, found = "What would help", audit.table.about.remedies
    if not found:
        return LeftOut(title, _no_remedies(audit))
    langs = list(found["systems"]["now"].get(SAME_LANGUAGE_SHARE, {}).get("cells", {}))
    fair = fair_shares(audit.table)
    systems = {name: found["systems"][name] for name in ESTIMATED if name in found["systems"]}
    names = [name for name in (SAME_LANGUAGE_SHARE, MULTI_MAP, RANK_DISTANCE) if name in systems["now"]]
    caution = ": see that mAP does not fall" if MULTI_MAP in names else ""
    rows = [
        [ESTIMATED[system], *(measure_info(name).with_interval(_estimate(measured[name])) for name in names)]
        for system, measured in systems.items()
    ]
    figure = ""
    if langs:
        colours = figures.colours_of(ESTIMATED.values())
        figure = figures.grouped_bars(
            {ESTIMATED[s]: [one[SAME_LANGUAGE_SHARE]["cells"][lang]["value"] for lang in langs] for s, one in systems.items()},
            langs, value_label=f"share of the first {SHARE_AT}", fair=[fair[lang] for lang in langs], colours=colours,
        )  # fmt: skip
    whole = Table(["", *titles(names)], rows, "Macro-averages with 95 % bootstrap intervals over groups.")
    cells = [
        [lang, percent(fair[lang]), *(percent(one[SAME_LANGUAGE_SHARE]["cells"][lang]["value"]) for one in systems.values())]
        for lang in langs
    ]  # fmt: skip
    by_lang = Table(
        ["query language", "fair share", *(ESTIMATED[s] for s in systems)], cells, title="Own share by language"
    )
    left_out = "".join(f" {_capital(ESTIMATED[s])} was not tried: {why}." for s, why in found["left_out"].items())
    return Section(
        title,
        f"{_gains(systems)}{left_out} Estimated from the embeddings at hand, on {found['queries']:,} queries that a hash drew, "
        "against all passages. Removal was fitted on this corpus: use other texts, and audit the result. The policy balanced "
        f"gives every language the same chance, whatever its answers are worth{caution}.",
        figure,
        f"Bars of the own share by query language: {', '.join(ESTIMATED[s] for s in systems)}, with the fair share as a line.",
        [whole, by_lang] if figure else [whole],
        commands=[
            command
            for system, command in _commands(audit.table.about).items()
            if ("removal" if system == "audit" else system) in systems
        ],
    )


def _gains(systems: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """What each remedy changes, one sentence each."""
    now, found = systems["now"], []
    for system, measured in systems.items():
        changes = []
        if system != "now":
            for name, words in (
                (SAME_LANGUAGE_SHARE, "own share"),
                (MULTI_MAP, "mAP"),
                (RANK_DISTANCE, "rank distance"),
            ):
                if name in measured:
                    shown = percent if name == SAME_LANGUAGE_SHARE else measure_info(name).shown
                    changes.append(f"{words} from {shown(now[name]['value'])} to {shown(measured[name]['value'])}")
            found.append(f"{_capital(ESTIMATED[system])}: {', '.join(changes)}.")
    return " ".join(found)


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


_CENTRED = """\
import babelmix as bm
import numpy as np

corpus = bm.load_corpus("CORPUS")
for side, file in {files}:
    vectors = np.load(file).astype("float32")
{unit}{langs}    for lang in set(langs.tolist()):
        vectors[langs == lang] -= vectors[langs == lang].mean(axis=0)
    np.save(f"{{side}}-centred.npy", vectors)
{ids}"""
_UNIT = "    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)\n"
_LANGS = {
    "row": """    langs = np.array(getattr(corpus, side)["lang"].to_pylist())
""",
    "id": """    ids = open(file[:-4] + ".ids.txt", encoding="utf-8").read().splitlines()  # the id of each vector
    lang_of = dict(zip(corpus.row_ids(side), getattr(corpus, side)["lang"].to_pylist()))
    langs = np.array([lang_of[one] for one in ids])
""",
    "either": """    own = corpus.row_ids(side)
    ids = open(file[:-4] + ".ids.txt", encoding="utf-8").read().splitlines() if side == "SIDE" else own
    lang_of = dict(zip(own, getattr(corpus, side)["lang"].to_pylist()))
    langs = np.array([lang_of[one] for one in ids])
""",
}
_IDS = """    with open(f"{side}-centred.ids.txt", "w", encoding="utf-8") as lines:
        lines.write("\\n".join(ids) + "\\n")
"""


def _of_vectors(about: AuditFacts) -> dict[str, tuple[str, str]]:
    """The same for vectors from files, whose encoder babelmix does not have: numpy, and words."""
    sides = about.extra["vectors"]
    balanced = (
        "The policy balanced, in your own engine: send each query once for each language, with a filter on the language of the "
        "passages. From each score subtract the mean score of this query with passages of that language, divide by the "
        "standard deviation, and merge the lists by the result. A random sample of 1,000 passages of each language is enough. "
        "Audit the merged lists with --run."
    )
    if any(one["type"] == "packed bits" for one in sides.values()):
        return {
            "removal": ("Packed bits cannot be centred: subtract each language's mean before you make bits of the vectors.", ""),
            "balanced": (balanced, ""),
        }  # fmt: skip
    # Arrays have no file: a name stands for them.
    named = {side: one["file"] if one["file"].endswith(".npy") else f"{side}.npy" for side, one in sides.items()}
    by_id = [side for side, one in sides.items() if one["matched by"] == "id"]
    langs = _LANGS[("row", "either", "id")[len(by_id)]].replace("SIDE", by_id[0] if by_id else "")
    similarity = "" if about.similarity == "cosine" else f" --similarity {about.similarity}"
    name = shlex.quote(f"{about.system}-centred")
    code = _CENTRED.format(
        files=tuple(named.items()), unit=_UNIT if about.similarity == "cosine" else "",
        langs=langs, ids=_IDS if by_id else "",
    )  # fmt: skip
    other = (
        ""
        if all(one["file"].endswith(".npy") for one in sides.values())
        else " Put your way to read them for np.load."
    )
    other += " Multiply int8 by its scales first." if any(one["type"] == "int8" for one in sides.values()) else ""
    return {
        "removal": (
            "Subtract each language's mean from the vectors of both sides, with numpy. CORPUS: the corpus of this audit. Keep "
            f"the means: new queries and passages need the same subtraction, and so the language of a query.{other}",
            code.rstrip("\n"),
        ),
        "audit": (
            "Then audit the result:",
            f"babelmix audit --vectors {name}=queries-centred.npy passages-centred.npy -c CORPUS{similarity}",
        ),
        "balanced": (balanced, ""),
    }


def _commands(about: AuditFacts) -> dict[str, tuple[str, str]]:
    """For each remedy what the command does, and the command."""
    if about.extra.get("vectors"):
        return _of_vectors(about)
    # Vectors from files have no fingerprint of an encoder: the name is that of a file.
    model = shlex.quote(about.encoder) if about.encoder_fingerprint and about.encoder else "ENCODER"
    whose = "" if model != "ENCODER" else " ENCODER is the one that made the vectors."
    return {
        "removal": (
            f"Take language out of the encoder. TEXTS: a corpus, or documents with the columns item, lang and text.{whose}",
            f"babelmix debias {model} --on TEXTS --out debiased\nbabelmix audit debiased --corpus CORPUS",
        ),
        "balanced": (
            f"Search under the policy balanced; the index is of your documents.{whose}",
            f"babelmix index DOCUMENTS --model {model} --to my-index\n"
            "babelmix search 'your words' --in my-index --policy balanced\n"
            "babelmix audit --corpus CORPUS --through my-index --policy any --policy balanced",
        ),
    }


def _no_remedies(audit: Audit) -> str:
    if IMAGE in (*audit.table.query_langs, *audit.table.passage_langs):
        return "the corpus has pictures"
    if len(audit.table.passage_langs) < 2:
        return "the pool has one language"
    return "it is estimated from embeddings, and this audit has ranks alone, or is of an earlier version"


def measures_section(audit: Audit) -> Section | LeftOut:
    """Four bias measures with the value of an unbiased system; the others are folded, by their groups."""
    names = [name for name in audit.estimates if measure_info(name).is_bias]
    if not names:
        return LeftOut("Language bias", "no bias measure is defined on this corpus")
    rest = further_bias_tables(audit.estimates, audit.table)
    count = sum(len(table.rows) for table in rest)
    left_out = "".join(f" {why}" for why in left_out_of(audit.table).values())
    return Section(
        "Language bias",
        "Ideal is the value of a system that finds every right answer and favours no language. A system that ranks everything "
        "equally low has a small rank distance, so read it together with mAP. docs/audit.md explains each measure."
        f"{left_out}",
        tables=[replace(bias_table(audit.estimates, audit.table), note="")],
        folded=(f"{count} further measures of language bias", rest) if rest else ("", ()),
    )


def _estimate(found: Mapping[str, float]) -> Estimate:
    return Estimate(found["value"], found["low"], found["high"])


__all__ = ["ESTIMATED", "hero_of", "measures_section", "queries_section", "remedies_section", "tiles_of"]
