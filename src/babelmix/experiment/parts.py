"""The corpora of an experiment, and the checks that training and test data share nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow.compute as pc

from babelmix._processes import world_size
from babelmix.corpus import Corpus, open_corpus, split
from babelmix.corpus.leaks import leaked_rows, refuse_leak, without_leaks
from babelmix.errors import ConfigError
from babelmix.evaluation.measure_info import BIAS, SETTINGS
from babelmix.experiment.config import Experiment
from babelmix.training import TrainingData, refuse_evaluation_only

_SHOWN = 3
"""Rows that a message names."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The corpora of an experiment.

    Args:
        train: the training part of the experiment's corpus.
        test: the corpus that every encoder is tested on.
        sources: further training corpora.
        tuning: the corpus that settings are tuned on; None without tuning.
        stopping: the validation corpus of early stopping; None without early stopping.
        benchmarks: further test corpora.

    """

    train: Corpus
    test: Corpus
    sources: tuple[Corpus, ...] = ()
    tuning: Corpus | None = None
    stopping: Corpus | None = None
    benchmarks: tuple[Corpus, ...] = ()

    @property
    def training(self) -> dict[str, Corpus]:
        """All training corpora by name."""
        return {corpus.name.removesuffix("/train"): corpus for corpus in (self.train, *self.sources)}

    @property
    def tested(self) -> tuple[Corpus, ...]:
        """All test corpora; the first is `test`."""
        return self.test, *self.benchmarks


def corpora(experiment: Experiment) -> Parts:
    """Open the corpora of an experiment.

    Raises:
        ConfigError: training data share a group or a passage with other data, or a corpus is named twice.
        TrainingError: a training corpus is for evaluation only.

    """
    data = experiment.data
    whole = open_corpus(data.corpus)
    for_training = open_corpus(data.corpus, **data.train_options) if data.train_options else whole
    other = open_corpus(data.test) if data.test else None
    refuse_evaluation_only(for_training)

    def of(corpus: Corpus) -> Corpus:
        return corpus.only_langs(data.langs) if data.langs else corpus

    # Split before languages are filtered: the filter could change which groups are connected, and so the split.
    own = {name: of(part) for name, part in split(whole, data.split, seed=data.split_seed).items()}
    other = other and of(other)
    stopping = None
    if experiment.stops_early:
        stopping = open_corpus(data.validation) if data.validation else own["validation"]
    test = other or own["test"]
    for corpus in (test, for_training):
        if corpus.is_images("queries"):
            raise ConfigError(f"{corpus.name}: its queries are pictures; give the corpus with captions as queries")
    benchmarks: list[Corpus] = []
    for spec in data.benchmarks:
        benchmarks += both_ways(open_corpus(spec))
    parts = Parts(
        train=of(split(for_training, data.split, seed=data.split_seed)["train"]),
        test=test,
        sources=tuple(open_corpus(spec) for spec in data.sources),
        tuning=own["validation"] if experiment.tune.grid else None,
        stopping=stopping,
        benchmarks=(*([test.reversed()] if test.has_images else []), *benchmarks),
    )
    if len(parts.training) <= len(parts.sources):
        raise ConfigError(
            "data.sources: two corpora have one name: one is listed twice, is the experiment's own, or has another's file name"
        )
    if len({corpus.name for corpus in parts.tested}) <= len(parts.benchmarks):
        raise ConfigError(
            "data.benchmarks: two corpora have one name: one is listed twice, or has another's file name"
        )
    if data.drop_leaks:
        parts = _without_leaks(parts)
    for name, training in parts.training.items():
        refuse_evaluation_only(training)
        for part in (parts.tuning, parts.stopping, *parts.tested):
            if part is not None:
                refuse_leak([training], [part])
                refuse_overlap(name, training, part, groups=training is parts.train and part in own.values())
    return parts


def _without_leaks(parts: Parts) -> Parts:
    others = [part for part in (parts.tuning, parts.stopping, *parts.tested) if part is not None]
    sources = tuple(without_leaks(source, others) for source in parts.sources)
    return replace(parts, train=without_leaks(parts.train, others), sources=sources)


def refuse_plans(experiment: Experiment, parts: Parts) -> None:
    """Raise if the data cannot fill the batches of a strategy. All strategies are checked before the first is trained.

    Raises:
        PlanError: the message names the language that is too small.

    """
    seed = experiment.compare.seeds[0]
    runs = [experiment.run_settings(strategy, seed) for strategy in experiment.compare.strategies]
    stages = [runs, [experiment.tower_settings(seed)] if experiment.tower.strategy else []]
    for same in filter(None, stages):
        data = TrainingData.of(parts.training, same[0])
        for settings in same:
            data.plan(settings, world_size())


def fitted(experiment: Experiment, parts: Parts) -> Experiment:
    """The experiment with the default tests of its test corpus, which has texts or pictures."""
    return experiment.model_copy(update={"compare": experiment.compare.on(pictures=parts.test.has_images)})


def refuse_unmeasured(experiment: Experiment, parts: Parts) -> None:
    """Raise if a ranking measure to test or to tune on has no pool, such as `mono/mAP` of captions and pictures.

    Raises:
        ConfigError: the message names the measure and the settings that the corpus has.

    """
    tested = set().union(*map(settings_of, parts.tested))
    wanted = {"compare.tests": (experiment.compare.tests or [], tested, "the test corpora")}
    if parts.tuning is not None and "measures" in experiment.tune.model_fields_set:
        wanted["tune.measures"] = (experiment.tune.measures, settings_of(parts.tuning), "the validation part")
    for key, (names, there, where) in wanted.items():
        for name in names:
            if not name.startswith(BIAS) and name.partition("/")[0] not in there:
                pools = ", ".join(setting for setting in SETTINGS if setting in there) or "no setting"
                raise ConfigError(
                    f"{key}: {name} is not measured on {where}, which have {pools}; leave {name} out, or leave {key} out for the "
                    "defaults of such a corpus"
                )


def settings_of(corpus: Corpus) -> set[str]:
    """The settings in which a corpus has right answers: in the query's language, in another one, and in all."""
    found: set[str] = set()
    langs: list[dict[str, set[str]]] = [{}, {}]
    for of_side, side in zip(langs, ("query", "passage"), strict=True):
        # A pool may have millions of passages that answer nothing.
        table = corpus.queries if side == "query" else corpus.passages
        table = table.filter(pc.is_in(table["item"], value_set=corpus.qrels[f"{side}_item"]))
        for item, lang in zip(table["item"].to_pylist(), table["lang"].to_pylist(), strict=True):
            of_side.setdefault(item, set()).add(lang)
    asked, answers = langs
    pairs = zip(corpus.qrels["query_item"].to_pylist(), corpus.qrels["passage_item"].to_pylist(), strict=True)
    for query, passage in pairs:
        own, theirs = asked.get(query, set()), answers.get(passage, set())
        if own and theirs:
            found |= (
                {"multi"} | ({"mono"} if own & theirs else set()) | ({"cross"} if len(own | theirs) > 1 else set())
            )
        if len(found) == len(SETTINGS):
            break
    return found


def both_ways(corpus: Corpus) -> list[Corpus]:
    """A corpus and, if it has pictures, the corpus with queries and passages swapped."""
    return [corpus, corpus.reversed()] if corpus.has_images else [corpus]


def refuse_overlap(
    source: str, training: Corpus, other: Corpus, groups: bool, drop: str = "data.drop_leaks = true"
) -> None:
    """Raise if a training corpus shares data with a corpus for testing, tuning or early stopping.

    Args:
        source: the name of the training corpus.
        training: the training corpus.
        other: the corpus for testing, tuning or early stopping.
        groups: whether the two are parts of one corpus. Such parts must not share a group either.
        drop: what the user sets to train without what is shared.

    Raises:
        ConfigError: the two share a passage or, if they are parts of one corpus, a group.

    """
    both = (training, other)
    if groups:
        found = [{g for t in (c.queries, c.passages) for g in t["group"].unique().to_pylist()} for c in both]
        if shared := found[0] & found[1]:
            raise ConfigError(f"{source}: the group {min(shared)!r} is in the training part and in {other.name}")
    if leaked := leaked_rows(training, other):
        rows = ", ".join(leaked[:_SHOWN]) + (f" and {len(leaked) - _SHOWN:,} more" if len(leaked) > _SHOWN else "")
        raise ConfigError(
            f"{len(leaked):,} passages of {source} are trained on and are also in {other.name}: {rows}; with "
            f"{drop} their groups are left out of training"
        )


def size_of(corpus: Corpus) -> str:
    """Name, items and languages of a corpus as text."""
    return f"{corpus.name} ({corpus.qrels.num_rows:,} items, {len(corpus.langs)} languages)"


__all__ = [
    "Parts", "both_ways", "corpora", "fitted", "refuse_overlap", "refuse_plans", "refuse_unmeasured", "settings_of", "size_of",
]  # fmt: skip
