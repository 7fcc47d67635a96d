"""Choose how much language to take out of vectors, on queries that are held out: `babelmix frontier`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from babelmix._files import check_output_folder, recorded, slug
from babelmix._lists import as_list
from babelmix.api._folders import Out, folder_of
from babelmix.api._frontier_removals import Removals, fitted_removals
from babelmix.api._loading import check_unfit, loaded, opened
from babelmix.api.frontier_reports import FILE, FrontierReport
from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies, check_copies
from babelmix.errors import ArgumentError
from babelmix.evaluation.frontier import (
    ALPHAS,
    KEEP,
    MEASURES,
    POLICIES,
    UNTOUCHED,
    Part,
    Policy,
    Rule,
    Searched,
    check_removals,
    check_rule,
    held_out,
    mix_of,
    settings_of,
    sweep,
)
from babelmix.evaluation.frontier.own_places import FIRST
from babelmix.evaluation.measure_info import MULTI_MAP
from babelmix.evaluation.significance import compare_all

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from babelmix.evaluation.systems import EncoderSystem, Vectors

BATCH = 32
"""The default of `batch_size`."""

QUERIES = 20_000
"""The most queries that the choice is made on."""


def frontier(
    model: str | Path | SentenceTransformer | EncoderSystem | Vectors | Searched,
    corpus: str | Path | Corpus,
    removals: Removals = "own-means",
    *,
    alphas: Sequence[float] = ALPHAS,
    policies: str | Sequence[str] | Mapping[str, Sequence[float]] = "any",
    own_places: int | Sequence[int] = 0,
    keep_same_language: float | None = None,
    best: str | None = None,
    mix: str | Path | None = None,
    surely: bool = False,
    validation: float = 0.5,
    seed: int = 0,
    queries: int = QUERIES,
    measures: str | Sequence[str] | None = None,
    langs: str | Sequence[str] | None = None,
    part: str = "all",
    copies: str | None = None,
    out: Out = None,
    batch_size: int = 32,
    max_seq_length: int | None = None,
    trust_code: bool = False,
    more_policies: Mapping[str, Policy] | None = None,
) -> FrontierReport:
    """Measure how much language to take out of vectors, choose on one part of the queries, and test the choice on the other.

    Each share alpha of each removal is a point: what it keeps of the right answers in the query's language, and what it finds in
    other languages. All points are measured by exact ranks on the validation part. The chosen one and untouched vectors are then
    measured on the test part, with intervals and paired tests. No group (page, article) is in both parts; all passages are in
    both pools. Nothing is chosen or fitted on the right answers of the test part.

    Args:
        model: an encoder: a name or a folder, see `babelmix.load_model`, or a `SentenceTransformer`. Or vectors from elsewhere,
            `babelmix.Vectors`.
        corpus: the corpus with right answers, see `babelmix.load_corpus`. Its languages are the known languages of the vectors.
        removals: what is tried: a fitted removal, its file, the folder of it, or the name of a method that needs no translations,
            such as `own-means`: it is fitted here, on the passages of the corpus and the queries of the validation part, without
            their right answers. Or several of these, as a list, or as a dictionary by name.
        alphas: the shares of each removal that are tried, from 0 to 1. 0, untouched vectors, is always tried.
        policies: how scores are compared: `any`, `balanced`, `adaptive`, or several. Or a dictionary: for each of them the
            bonuses that passages in the query's language get, in units of its scores.
        own_places: so many of the first 10 answers, at least, are in the query's language; one number or several, which are tried
            with each policy. 0, none, is always tried.
        keep_same_language: keep this share of the untouched vectors' same-language recall@10; 0.98 loses at most 2 %. It is 0.98
            if neither this nor `best` nor `mix` is given.
        best: choose the best value of this measure, such as `multi/mAP` (also None) or `bias/rank distance`.
        mix: choose by what users ask and want: a file of queries with the column `lang`, and optionally `answer_lang` and
            `count`, or shares such as `same=0.8,other=0.2`; see `babelmix.evaluation.frontier.mix` for the formula.
        surely: with `keep_same_language`: the lower end of the 95 % interval must keep it too.
        validation: the share of the queries that the choice is made on.
        seed: another seed divides the queries in another way.
        queries: the most queries that the choice is made on. If there are more, whole groups are left out, drawn by a hash.
        measures: further measures of each point, as `setting/metric`.
        langs: see `babelmix.load_corpus`.
        part: see `babelmix.load_corpus`.
        copies: how copies of right answers are counted; see `babelmix.audit`.
        out: save the report into this folder; None: nothing is saved, see `FrontierReport.save`.
        batch_size: texts in one forward pass.
        max_seq_length: tokens to read of each text; None: the encoder's own limit.
        trust_code: run code that a model contains or names; see `babelmix.load_model`.
        more_policies: further policies by name, which `policies` may name.

    Returns:
        The report. `removal` of it is the chosen removal, ready to use.

    Raises:
        ArgumentError: an argument is wrong, or a method needs translations.
        AuditError: the corpus has no right answers, or none in the query's language where they are to be kept.
        EncoderError: a removal does not fit the vectors, or was not fitted on a language of the corpus.

    Examples:
        >>> report = frontier("e5-small-offline", "my.csv", keep_same_language=0.98)  # doctest: +SKIP
        >>> print(report.lead())  # doctest: +SKIP
        >>> report.removal.apply(vectors, langs, "passage")  # doctest: +SKIP

    """
    counted: Copies = check_copies(copies or "wrong")
    if keep_same_language is None and best is None and mix is None:
        keep_same_language = KEEP
    check_rule(keep_same_language, best or MULTI_MAP, surely)
    if mix is not None and best is not None:
        raise ArgumentError("best", "does not go with mix, which chooses by its own value; leave one of them out")
    known = {**POLICIES, **(more_policies or {})}
    tried = _policies(policies, known)
    shares = _shares(alphas)
    places = [own_places] if isinstance(own_places, int) else list(own_places)
    if not all(0 <= number <= FIRST for number in places):
        raise ArgumentError("own_places", f"{places} are no numbers of the first {FIRST} answers; give 0 to {FIRST}")
    names = list(dict.fromkeys([*MEASURES, *as_list(measures or [], "measures"), *([best] if best else [])]))
    data = opened(corpus, langs=langs, part=part)
    folder = folder_of(
        out, f"frontier-{slug(_name_of(model))}-{slug(data.name)}",
        lambda place: (recorded(place / FILE, "system"), recorded(place / FILE, "corpus")) != (_name_of(model), data.name),
    )  # fmt: skip
    if folder is not None:
        check_output_folder(folder, [FILE])
    parts = held_out(data, validation=validation, seed=seed, limit=queries)
    searched = _searched(model, data, batch_size=batch_size, max_seq_length=max_seq_length, trust_code=trust_code)
    searched = searched.in_memory()
    fitted, facts = fitted_removals(removals, searched, data, parts[0])
    check_removals(fitted, data, searched)
    rule = Rule(
        keep_same_language, best or MULTI_MAP,
        None if mix is None else mix_of(mix, sorted(set(data.queries["lang"].to_pylist())), _pool(data)), surely,
    )  # fmt: skip
    settings = settings_of(fitted, shares, tried, places)
    points = sweep(
        searched, parts[0], fitted, settings=settings, measures=names, policies=known, copies=counted, label="frontier"
    )
    number = rule.choose(points)
    wanted = list(dict.fromkeys([settings[0], settings[number]]))
    tested = sweep(
        searched, parts[1], fitted, settings=wanted, measures=names, policies=known, copies=counted, label="test part"
    )
    comparisons = [] if len(tested) < 2 else compare_all(
        {str(tested[1].setting): [tested[1].measures], UNTOUCHED: [tested[0].measures]}, list(tested[0].measures)
    )  # fmt: skip
    about = {
        **{name: _size(one) for name, one in zip(("validation", "test"), parts, strict=True)},
        "held_out": (
            f"queries divided by group, seed {seed}; no group is in both parts; all {data.passages.num_rows:,} passages are in "
            "both pools, and their labels of the test part are not used for the choice"
        ),
        "fitted": facts,
        "alphas": shares,
        "policies": {name: list(bonuses) for name, bonuses in tried.items()},
        "own_places": places,
        "copies": counted,
        "notes": _notes(parts, facts),
    }  # fmt: skip
    report = FrontierReport(
        searched.name, data.name, rule, points, number, (tested[0], tested[-1]), comparisons, about, fitted
    )
    return report if folder is None else report.save(folder)


def _name_of(model: Any) -> str:
    return str(model) if isinstance(model, (str, Path)) else str(getattr(model, "name", "") or "the encoder")


def _searched(
    model: Any, corpus: Corpus, *, batch_size: int, max_seq_length: int | None, trust_code: bool
) -> Searched:
    """The vectors of a corpus.

    Raises:
        ArgumentError: the vectors are packed bits.

    """
    from babelmix.evaluation.systems import EncoderSystem
    from babelmix.evaluation.systems.vectors import Vectors, matrices

    if isinstance(model, (Searched, Vectors, EncoderSystem)):
        check_unfit(
            "is for encoders that are encoded with here; leave it out", max_seq_length=max_seq_length,
            batch_size=None if batch_size == BATCH else batch_size, trust_code=trust_code,
        )  # fmt: skip
    if isinstance(model, Searched):
        return model
    if isinstance(model, Vectors):
        if model.similarity == "hamming" or model.precision == "binary":
            raise ArgumentError(
                "model", "is of packed bits, out of which no language can be taken; give float vectors"
            )
        queries, passages, similarity = matrices(model, corpus)
        return Searched(queries, passages, similarity, model.name)
    if not isinstance(model, EncoderSystem):
        from babelmix.encoders.limits import cut_after

        encoder, name = loaded(model, trust_code=trust_code)
        if max_seq_length is not None:
            cut_after(encoder, max_seq_length)
        model = EncoderSystem(encoder, name, batch_size)
    sides = model.embed(corpus)
    return Searched(sides.queries, sides.passages, model.similarity, model.name)


def _policies(
    given: str | Sequence[str] | Mapping[str, Sequence[float]], known: Mapping[str, Policy]
) -> dict[str, tuple[float, ...]]:
    tried: dict[str, tuple[float, ...]] = (
        {name: tuple(map(float, bonuses)) for name, bonuses in given.items()}
        if isinstance(given, Mapping)
        else dict.fromkeys(as_list(given, "policies", empty=False), (0.0,))
    )
    for name, bonuses in tried.items():
        if name not in known:
            raise ArgumentError("policies", f"there is no policy {name!r} here; choose from {', '.join(known)}")
        if not bonuses or not np.isfinite(bonuses).all():
            raise ArgumentError("policies", f"{name} has the bonuses {list(bonuses)}; give numbers, such as 0 and 0.5")
    return tried


def _shares(alphas: Sequence[float]) -> list[float]:
    shares = sorted({float(alpha) for alpha in alphas})
    if not shares or not all(0 <= alpha <= 1 for alpha in shares):
        raise ArgumentError("alphas", f"{shares} are no shares; give numbers from 0 to 1, such as 0.25,0.5,1")
    return shares


def _pool(corpus: Corpus) -> dict[str, float]:
    langs, counts = np.unique(corpus.passages["lang"].to_pylist(), return_counts=True)
    return dict(zip(map(str, langs), (counts / counts.sum()).tolist(), strict=True))


def _size(part: Part) -> dict[str, int]:
    return {
        "questions": part.questions, "queries": part.corpus.queries.num_rows, "groups": part.groups, "queries_before": part.of
    }  # fmt: skip


def _notes(parts: tuple[Part, Part], facts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = []
    used, there = parts[0].corpus.queries.num_rows, parts[0].of
    if used < there:
        found.append(
            f"The choice is made on {used:,} of {there:,} queries of the validation part, whole groups drawn by a hash."
        )
    here = [
        name for name, about in facts.items() if "passages" in about and "without labels" in str(about["passages"])
    ]
    if here:
        found.append(f"{', '.join(here)} knows the passages of the collection, without their labels.")
    return found


__all__ = ["QUERIES", "Removals", "frontier"]
