"""Arguments of an audit that are checked before anything is encoded: noise on the queries, metrics, mteb's format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from babelmix._lists import as_list
from babelmix.corpus import Corpus
from babelmix.errors import ArgumentError, AuditError, ConfigError


def perturbations(perturb: str | Sequence[str] | None, typo_rate: float | None, perturb_seed: int | None) -> list[str]:
    """The kinds of noise, checked before anything is encoded."""
    from babelmix.evaluation.perturb import perturb as make_noise

    if perturb is None:
        for name, given in (("typo_rate", typo_rate), ("perturb_seed", perturb_seed)):
            if given is not None:
                raise ArgumentError(name, "is for noise on the queries: say which kind with perturb, such as typos")
        return []
    kinds = as_list(perturb, "perturb", empty=False)
    for kind in kinds:
        make_noise("", kind, rate=0.0 if typo_rate is None else typo_rate)
    if typo_rate is not None and "typos" not in kinds:
        raise ArgumentError("typo_rate", "is for typos only; add typos to perturb")
    return kinds


def metrics_for(data: Corpus, metrics: str | Sequence[str] | None) -> list[str]:
    """The metrics to measure, checked before anything is encoded; None: those that the corpus names, or else the default ones."""
    from babelmix.evaluation.measure_info import check_metrics
    from babelmix.evaluation.metrics import DEFAULT, PICTURES

    if data.is_images("queries"):
        raise ConfigError(
            f"{data.name}: its queries are pictures; an audit goes both ways, so give it with captions as queries"
        )
    if metrics is None:
        wanted = list(data.meta.get("metrics") or (PICTURES if data.has_images else DEFAULT))
    else:
        wanted = as_list(metrics, "metrics", empty=False)
    check_metrics(wanted)
    return wanted


def check_texts_only(data: Corpus, perturb: Sequence[str], mteb: str | Path | None) -> None:
    """Raise if an argument is given that is for texts or for labels, and the corpus has pictures or no labels."""
    from babelmix.evaluation.mteb.names import language_code

    for name, given in (("perturb", perturb), ("mteb", mteb)):
        if given and not data.qrels.num_rows:
            raise ArgumentError(name, f"{data.name} has no labels, and it needs them; leave it out")
    if perturb and data.has_images:
        raise ArgumentError("perturb", f"{data.name} has pictures; noise is for queries and passages that are texts")
    if mteb is None:
        return
    if data.has_images:
        raise ArgumentError("mteb", f"{data.name} has pictures; mteb's format is for results on texts")
    for lang in data.langs:
        try:
            language_code(lang)
        except AuditError as error:
            raise ArgumentError("mteb", f"{error}; leave the language out, or leave out mteb") from error


__all__ = ["check_texts_only", "metrics_for", "perturbations"]
