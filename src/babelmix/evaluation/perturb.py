"""Perturbed queries: how much mAP each language loses by typos, case, script and spacing."""

from __future__ import annotations

import random
import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from babelmix._lists import as_list
from babelmix.corpus import Corpus
from babelmix.corpus.copies import check_copies
from babelmix.encoders import encode
from babelmix.errors import AuditError
from babelmix.evaluation.measure_info import MULTI_MAP
from babelmix.evaluation.measures import Measure, measures
from babelmix.evaluation.run import Audit
from babelmix.evaluation.scoring import rank_table
from babelmix.evaluation.significance import Estimate, estimates
from babelmix.evaluation.systems import EncoderSystem

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PERTURBATIONS = ("typos", "case", "script", "spacing")
TYPOS = 0.05
"""The default share of letters with a typo."""
_SPACES = 0.2


def perturb(text: str, kind: str, *, seed: int = 0, rate: float = TYPOS) -> str:
    """Add noise to a text; the result depends on the arguments only.

    - `typos`: each letter, with probability `rate`, is swapped with the next character, dropped, or doubled.
    - `case`: upper case becomes lower case and lower case upper case; scripts without case do not change.
    - `script`: compatibility variants (full width, ligatures) become plain (NFKD); accents and the points of Hebrew and Arabic
      are dropped (canonical combining classes 200 and above, and 10 to 35); the rest is composed again (NFC).
    - `spacing`: each space, with probability 0.2, is dropped or doubled.

    A text that would become blank is returned unchanged.

    Args:
        text: the text.
        kind: `typos`, `case`, `script` or `spacing`.
        seed: the seed of the noise.
        rate: the probability of a typo in each letter, from 0 to 1.

    Returns:
        The text with noise.

    Examples:
        >>> perturb("Café", "case"), perturb("Café", "script")
        ('cAFÉ', 'Cafe')

    Raises:
        AuditError: there is no such kind, or the rate is not between 0 and 1.

    """
    if kind not in PERTURBATIONS:
        raise AuditError(f"there is no perturbation {kind!r}; there are {', '.join(PERTURBATIONS)}")
    if not 0 <= rate <= 1:
        raise AuditError(f"the rate of typos {rate} is not between 0 and 1")
    rng = random.Random(f"{seed} {kind} {text}")
    if kind == "case":
        return text.swapcase()
    if kind == "script":
        result = _plain(text)
    elif kind == "spacing":
        result = "".join(rng.choice(("", 2 * c)) if c == " " and rng.random() < _SPACES else c for c in text)
    else:
        result = _typos(text, rng, rate)
    return result if result.strip() else text


def _plain(text: str) -> str:
    classes = ((c, unicodedata.combining(c)) for c in unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFC", "".join(c for c, number in classes if number < 200 and not 10 <= number <= 35))


def _typos(text: str, rng: random.Random, rate: float) -> str:
    result: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if not char.isalpha() or rng.random() >= rate:
            result.append(char)
            continue
        what = rng.choice(("swap", "drop", "double"))
        if what == "double":
            result += [char, char]
        elif what == "swap":
            result += [text[at : at + 1], char]
            at += 1
    return "".join(result)


def perturb_loss(
    encoder: SentenceTransformer,
    corpus: Corpus,
    clean: Audit,
    kinds: str | Sequence[str] = PERTURBATIONS,
    *,
    seed: int = 0,
    rate: float = TYPOS,
    batch_size: int = 32,
    store: bool = True,
    bf16: bool = False,
) -> dict[str, Any]:
    """Measure how much multilingual mAP each query language loses if its queries are perturbed.

    The results on clean queries come from the audit. With `store`, the embeddings of passages come from the user's cache, so
    only the perturbed queries are embedded.

    Args:
        encoder: the encoder of the audit.
        corpus: the corpus of the audit, of texts.
        clean: the audit on the unchanged queries.
        kinds: kinds of noise; see `perturb`.
        seed: the seed of the noise.
        rate: the probability of a typo in each letter.
        batch_size: texts per forward pass.
        store: keep embeddings in the user's cache.
        bf16: encode in bfloat16 mixed precision; use the value of the audit.

    Returns:
        `seed`, `rate`, `clean` (mAP by language), and `kinds`. For each kind, `kinds` has by language: `changed` (the share of
        queries that the noise changed), `mAP`, `lost` (clean minus perturbed) and `interval` (low and high end for `lost`). It
        also has `mean`: the mean loss over languages, `lost`, with its `low` and `high`. Intervals are 95 % paired bootstrap
        intervals over groups: the same groups are drawn for clean and perturbed queries.

    Raises:
        AuditError: the corpus has pictures or is not the corpus of the audit, there is no such kind, or the list of kinds is
            empty.

    """
    if corpus.has_images:
        raise AuditError(f"{corpus.name}: noise is for queries and passages that are texts, not pictures")
    kinds = as_list(kinds, "kinds", AuditError, empty=False)
    for kind in kinds:
        perturb("", kind, rate=rate)
    similarity = EncoderSystem(encoder).similarity
    copies = check_copies(clean.table.about.count_copies_as)
    how: dict[str, Any] = {"batch_size": batch_size, "store": store, "bf16": bf16}
    passages = encode(encoder, corpus.passages["text"].to_pylist(), "document", label="encoding passages", **how)
    undisturbed = _measure(clean)
    before = _by_language(undisturbed)
    texts = corpus.queries["text"].to_pylist()
    langs = corpus.queries["lang"].to_pylist()
    found: dict[str, Any] = {}
    for kind in kinds:
        noisy = [perturb(text, kind, seed=seed, rate=rate) for text in texts]
        queries = encode(encoder, noisy, "query", label=f"encoding queries, {kind}", **how)
        place = corpus.queries.column_names.index("text")
        field = corpus.queries.schema.field("text")
        other = replace(corpus, queries=corpus.queries.set_column(place, field, pa.array(noisy, field.type)))
        ranks = rank_table(other, queries, passages, similarity=similarity, copies=copies)
        disturbed = _measure(Audit(ranks, measures(ranks, ["mAP"]), {}))
        after = _by_language(disturbed)
        mean, lost = _lost(undisturbed, disturbed)
        changed: dict[str, list[bool]] = {}
        for lang, old, new in zip(langs, texts, noisy, strict=True):
            changed.setdefault(lang, []).append(old != new)
        found[kind] = {
            "changed": {lang: sum(changed[lang]) / len(changed[lang]) for lang in before},
            "mAP": after,
            "lost": {lang: before[lang] - after[lang] for lang in before},
            "interval": {lang: [one.low, one.high] for lang, one in lost.items()},
            "mean": {"lost": mean.value, "low": mean.low, "high": mean.high},
        }
    return {"seed": seed, "rate": rate, "clean": before, "kinds": found}


def _measure(audit: Audit) -> Measure:
    measure = audit.measures.get(MULTI_MAP) or measures(audit.table, ["mAP"]).get(MULTI_MAP)
    if measure is None:
        raise AuditError("noise is measured by mAP in a pool of several languages, and this corpus has no such pool")
    return measure


def _by_language(measure: Measure) -> dict[str, float]:
    return dict(zip(measure.cells, measure.cell_values().tolist(), strict=True))


def _lost(clean: Measure, noisy: Measure) -> tuple[Estimate, dict[str, Estimate]]:
    """The mean loss over languages, and the loss in each language, from the difference of each query's two values."""
    same = clean.cells == noisy.cells and np.array_equal(clean.cell, noisy.cell)
    if not same or not np.array_equal(clean.group, noisy.group):
        raise AuditError("the audit is of another corpus than the one whose queries noise is for; audit it first")
    lost = replace(clean, values=clean.values - noisy.values)
    return estimates({lost.name: lost})[lost.name]


def __getattr__(name: str) -> Any:
    if name == "noise_loss":
        warnings.warn("perturb.noise_loss is now perturb_loss", DeprecationWarning, stacklevel=2)
        return perturb_loss
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
