"""`debias` with a validation corpus: the share alpha is chosen on held-out queries, tested on others, and then applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from babelmix.api._debias_vectors import fit_vectors, opened_removal
from babelmix.api._folders import Out
from babelmix.api._loading import check_unfit, loaded, opened
from babelmix.api.frontier_reports import FrontierReport
from babelmix.api.frontiers import frontier
from babelmix.corpus import Corpus
from babelmix.encoders.removal import AnyRemoval, RemovalOptions
from babelmix.errors import ArgumentError
from babelmix.evaluation.systems import Vectors

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

    from babelmix.api._debias_encoders import DebiasedModel


@dataclass(frozen=True)
class Validation:
    """How alpha is chosen.

    Args:
        corpus: the corpus with right answers.
        keep_same_language: see `babelmix.frontier`.
        surely: see `babelmix.frontier`.
        best: see `babelmix.frontier`.
        mix: see `babelmix.frontier`.

    """

    corpus: str | Path | Corpus
    keep_same_language: float | None = None
    surely: bool = False
    best: str | None = None
    mix: str | Path | None = None

    @classmethod
    def of(cls, corpus: str | Path | Corpus | None, **rule: Any) -> Validation | None:
        """None without a corpus.

        Raises:
            ArgumentError: there is a rule, but no corpus.

        """
        if corpus is None:
            check_unfit("needs queries with right answers to choose on; name a corpus with validate", **rule)
            return None
        return cls(corpus, **rule)

    def chosen(self, model: Any, corpus: Corpus, removal: AnyRemoval, **options: Any) -> FrontierReport:
        """Sweep alpha of a removal, choose, and test."""
        return frontier(
            model, corpus, {removal.method: removal}, keep_same_language=self.keep_same_language, surely=self.surely,
            best=self.best, mix=self.mix, **options,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class AtTheEnd:
    """A removal as an encoder applies it, which knows no languages: by its last modules.

    Args:
        removal: the removal.

    """

    removal: AnyRemoval

    @property
    def method(self) -> str:
        """See `AnyRemoval`."""
        return self.removal.method

    @property
    def langs(self) -> tuple[str, ...]:
        """See `AnyRemoval`."""
        return self.removal.langs

    @property
    def alpha(self) -> float:
        """See `AnyRemoval`."""
        return self.removal.alpha

    @property
    def similarity(self) -> str:
        """See `AnyRemoval`."""
        return self.removal.similarity

    @property
    def facts(self) -> Mapping[str, Any]:
        """See `AnyRemoval`."""
        return self.removal.facts

    @property
    def dimension(self) -> int:
        """See `AnyRemoval`."""
        return self.removal.dimension

    def with_alpha(self, alpha: float) -> Self:
        """See `AnyRemoval`."""
        return replace(self, removal=self.removal.with_alpha(alpha))

    def with_facts(self, facts: Mapping[str, Any]) -> Self:
        """See `AnyRemoval`."""
        return replace(self, removal=self.removal.with_facts(facts))

    def not_fitted(self, langs: Sequence[str | None]) -> list[str]:
        """See `AnyRemoval`."""
        return self.removal.not_fitted(langs)

    def save(self, file: str | Path, *, dtype: str = "float32") -> Path:
        """See `AnyRemoval`."""
        return self.removal.save(file, dtype=dtype)

    @cached_property
    def _module(self) -> torch.nn.Module:
        from babelmix.encoders.removal.module import module_of

        return module_of(self.removal)

    def apply(
        self, vectors: npt.ArrayLike, langs: Sequence[str | None] | str | None, kind: str
    ) -> npt.NDArray[np.float32]:
        """Apply the modules; languages and kinds are not used."""
        import torch

        del langs, kind
        x = torch.from_numpy(np.array(vectors, dtype=np.float32))
        with torch.inference_mode():
            x = self._ready(x)
            moved = self._module({"sentence_embedding": x})["sentence_embedding"]
            found: npt.NDArray[np.float32] = self._ready(moved).numpy()
        return found

    def _ready(self, x: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.nn.functional.normalize(x, dim=1) if self.similarity == "cosine" else x


def validated_vectors(
    vectors: Vectors,
    corpus: str | Path | Corpus | None,
    validation: Validation,
    *,
    method: str,
    options: RemovalOptions,
    removal: str | Path | AnyRemoval | None,
    fit_on: Vectors | None,
    fit_corpus: str | Path | Corpus | None,
    langs: str | Sequence[str] | None,
) -> tuple[Corpus, AnyRemoval]:
    """Fit a removal, and choose alpha on the vectors of a corpus with right answers.

    Args:
        vectors: the vectors of both sides.
        corpus: the corpus whose rows they are; None: that of the validation.
        validation: how alpha is chosen.
        method: see `babelmix.debias`.
        options: of the method.
        removal: a removal that is fitted already; None: it is fitted.
        fit_on: see `babelmix.debias`.
        fit_corpus: see `babelmix.debias`.
        langs: see `babelmix.debias`.

    Returns:
        The corpus, and the removal with the chosen alpha.

    Raises:
        ArgumentError: the vectors are of another corpus, or have one side only.

    """
    if corpus is not None and not (corpus is validation.corpus or str(corpus) == str(validation.corpus)):
        raise ArgumentError(
            "validate",
            "names another corpus, and there are no vectors of it; vectors are validated on the corpus whose rows they are",
        )
    if vectors.queries is None or vectors.passages is None:
        raise ArgumentError("validate", "needs the vectors of the queries and those of the passages")
    data = opened(validation.corpus)
    fitted = opened_removal(removal) or fit_vectors(
        vectors, data, method=method, options=options, langs=langs, fit_on=fit_on,
        fit_corpus=None if fit_corpus is None else opened(fit_corpus),
    )  # fmt: skip
    report = validation.chosen(vectors, data, fitted)
    return data, _chosen(report, fitted)


def validated_encoder(
    model: str | Path | SentenceTransformer,
    on: str | Path | Corpus | None,
    validation: Validation,
    *,
    method: str | None,
    rank: int | None,
    texts: int | None,
    langs: str | Sequence[str] | None,
    removal: str | Path | AnyRemoval | None,
    out: Out,
    batch_size: int,
    max_seq_length: int | None,
    trust_code: bool,
    options: RemovalOptions,
) -> DebiasedModel:
    """Fit a removal on texts, choose alpha on a corpus with right answers, and put the removal at the end of the encoder."""
    from babelmix.api._debias_encoders import (
        TEXTS,
        DebiasedModel,
        fitting_texts,
        folder_of_model,
        known_removal,
        with_shipped,
    )
    from babelmix.encoders.debias import fitted_removal, with_removal
    from babelmix.encoders.limits import cut_after, length_limit
    from babelmix.encoders.removal import removal_method
    from babelmix.evaluation.systems import EncoderSystem

    method = method or "centred"
    chosen_method = removal_method(method)
    # Check before anything is loaded: some methods have no rank.
    chosen_method.rank_for(method, rank or 0, 2)
    folder = folder_of_model(out, model)
    data = opened(validation.corpus)
    found = opened_removal(removal)
    fit_on = None if on is None else fitting_texts(on, texts or TEXTS, langs, pairs=chosen_method.needs_pairs)
    encoder, name = loaded(model, trust_code=trust_code)
    counts: dict[str, Any] = {"texts": {}, "queries": {}}
    where = f"the removal {removal}" if isinstance(removal, (str, Path)) else f"the removal for {name}"
    if fit_on is not None:
        where, found_texts, given = fit_on
        own_limit = length_limit(encoder)
        cut_after(encoder, max_seq_length or 0)
        found = fitted_removal(
            encoder, found_texts, **given, method=method, rank=rank or 0, batch_size=batch_size,
            options=with_shipped(options, method, encoder, name),
        )  # fmt: skip
        if own_limit is not None:
            encoder.max_seq_length = own_limit
        counts = {
            side: {lang: len(some) for lang, some in by_lang.items()}
            for side, by_lang in (("texts", found_texts), ("queries", given["queries"]))
        }
    found = found or known_removal(encoder, name)
    report = validation.chosen(EncoderSystem(encoder, name, batch_size), data, AtTheEnd(found))
    chosen = _chosen(report, found)
    facts = {
        **dict(found.facts), "method": found.method, "alpha": chosen.alpha, "rank": rank or 0, "langs": list(found.langs),
        "on": where, **counts, "frontier": report.summary(),
    }  # fmt: skip
    result = DebiasedModel(with_removal(encoder, chosen), name, facts, frontier=report)
    return result if folder is None else result.save(folder)


def _chosen(report: FrontierReport, removal: AnyRemoval) -> AnyRemoval:
    """The removal with the chosen alpha, 0 if untouched vectors were chosen, and with the choice among its facts."""
    alpha = report.chosen.alpha
    return removal.with_alpha(alpha).with_facts({**dict(removal.facts), "frontier": report.summary()})


__all__ = ["AtTheEnd", "Validation", "validated_encoder", "validated_vectors"]
