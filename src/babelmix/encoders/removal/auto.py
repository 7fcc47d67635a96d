"""`auto`: a removal that is fitted on translations where the languages of a collection differ in topic, else its own means.

The mean of a language is topic as well as language. Means are the better removal where all languages are about the same things,
because they fit the collection itself; elsewhere they take topics away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from babelmix.encoders.removal import AnyRemoval, Array, Embedded, RemovalMethod, RemovalOptions
from babelmix.encoders.removal.linear_map import USUAL_CENTRE
from babelmix.encoders.removal.offsets import LEAST_PAIRS

CLUSTERS = 20
"""Clusters of texts that stand for topics."""

MOST_TEXTS = 500
"""The most texts of a language that the test of topics reads."""

LARGEST = 0.1
"""Languages differ in topic if more than this share of a language's texts would have to change their cluster."""

ENOUGH_TEXTS = 200
"""With fewer texts of a language, its mean is too uncertain."""

ENOUGH_PAIRS = 1000
"""With fewer items, `offsets` are fitted, not a `linear-map`."""

SHUFFLES = 200


@dataclass(frozen=True)
class TopicDifference:
    """The result of `topic_difference`.

    Args:
        effect: the largest share of texts of a language that would have to change their cluster so that the language has the
            clusters of all others, beyond what chance makes; from 0 to 1.
        p: the share of random labellings with as large an effect.
        lang: the language with this effect.
        verdict: whether the languages differ in topic.

    """

    effect: float
    p: float
    lang: str
    verdict: bool


def topic_difference(embedded: Embedded, removal: AnyRemoval, *, seed: int = 0) -> TopicDifference:
    """Test whether the languages of a collection are about different things.

    Language is taken out by a removal that was fitted on translations, so that topics are left. The passages of all languages are
    clustered together. For each language, the clusters of its texts are compared with those of the other languages: total
    variation distance. Chance makes this distance positive, so the mean over random labellings is subtracted.

    Args:
        embedded: texts of the collection, with known languages.
        removal: fitted on translations, of these or of other texts.
        seed: of the sample, the clusters and the labellings.

    """
    from scipy.cluster.vq import kmeans2

    draw = np.random.default_rng(seed)
    rows = []
    for one in range(len(embedded.langs)):
        here = np.flatnonzero((embedded.lang == one) & (embedded.kind == embedded.kind.max()))
        rows.append(here if len(here) <= MOST_TEXTS else draw.choice(here, MOST_TEXTS, replace=False))
    some = embedded.only(np.concatenate(rows))
    vectors = removal.apply(some.vectors, [embedded.langs[n] for n in some.lang], "passage").astype(np.float64)
    count = min(CLUSTERS, max(2, len(vectors) // 20))
    cluster = kmeans2(vectors, count, iter=20, minit="++", rng=draw)[1]
    langs = len(embedded.langs)
    found = _distances(some.lang, cluster, langs, count)
    shuffled = np.stack([_distances(draw.permutation(some.lang), cluster, langs, count) for _ in range(SHUFFLES)])
    chance = shuffled.mean(axis=0)
    effects = found - chance
    worst = int(effects.argmax())
    effect = float(max(effects[worst], 0.0))
    # Counted with the observed labelling.
    p = float((1 + ((shuffled - chance).max(axis=1) >= effects[worst]).sum()) / (1 + SHUFFLES))
    return TopicDifference(effect, p, embedded.langs[worst], effect > LARGEST and p < 0.05)


def _distances(lang: npt.NDArray[np.integer], cluster: npt.NDArray[np.integer], langs: int, clusters: int) -> Array:
    table = np.zeros((langs, clusters))
    np.add.at(table, (lang, cluster), 1)
    own = table.sum(axis=1, keepdims=True)
    others = table.sum(axis=0) - table
    shares = others / np.maximum(others.sum(axis=1, keepdims=True), 1)
    found: Array = np.abs(table / np.maximum(own, 1) - shares).sum(axis=1) / 2
    return found


def fit(embedded: Embedded, options: RemovalOptions) -> AnyRemoval:
    """Choose and fit; `facts` say under `chosen` what, and under `because` why.

    The removal from translations is `options.pairs`, or is fitted on the translations among the texts.
    """
    from babelmix.encoders.removal import removal_method

    def made(name: str, why: str, tested: TopicDifference | None = None) -> AnyRemoval:
        removal = pairs if name == "pairs" else removal_method("own-means").fit(embedded, options)
        assert removal is not None
        facts = {**removal.facts, "chosen": removal.method, "because": why}
        if tested is not None:
            facts |= {
                "topic_effect": round(tested.effect, 4),
                "topic_p": round(tested.p, 4),
                "topic_lang": tested.lang,
            }
        return removal.with_facts(facts)

    pairs = options.pairs
    if pairs is None:
        items = _paired(embedded)
        if items >= LEAST_PAIRS:
            name = "linear-map" if items >= ENOUGH_PAIRS else "offsets"
            centre = USUAL_CENTRE if options.centre is None and name == "offsets" else options.centre
            pairs = removal_method(name).fit(embedded, replace(options, centre=centre))
    if pairs is None:
        return made("own", "there are no translations; whether the languages differ in topic was not tested")
    missing = pairs.not_fitted(embedded.langs)
    if missing:
        return made(
            "own", f"the translations lack {', '.join(missing)}; whether the languages differ in topic was not tested"
        )
    counts = embedded.counts().max(axis=1)
    if counts.min() < ENOUGH_TEXTS:
        few = embedded.langs[int(counts.argmin())]
        return made("pairs", f"there are {counts.min()} texts in {few}; means of a language need {ENOUGH_TEXTS}")
    tested = topic_difference(embedded, pairs, seed=options.seed)
    if tested.verdict:
        share = f"{100 * tested.effect:.0f} % of the texts in {tested.lang} are about other things than the other languages"
        return made("pairs", share, tested)
    return made("own", "the languages are about the same things", tested)


def _paired(embedded: Embedded) -> int:
    """The number of items that the language with the fewest shares with others, in each kind."""
    if embedded.item is None:
        return 0
    found = []
    for kind in range(int(embedded.kind.max()) + 1):
        some = embedded.only(embedded.kind == kind)
        assert some.item is not None
        _, item = np.unique(some.item, return_inverse=True)
        has = np.zeros((len(embedded.langs), item.max() + 1), dtype=bool)
        has[some.lang, item] = True
        found.append(int((has & (has.sum(axis=0) >= 2)).sum(axis=1).min()))
    return min(found)


METHOD = RemovalMethod(
    fit,
    "the mean of the text's language, or its difference to translations where languages differ in topic",
    "babelmix",
)

__all__ = ["METHOD", "TopicDifference", "fit", "topic_difference"]
