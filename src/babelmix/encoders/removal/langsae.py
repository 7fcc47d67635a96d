"""`langsae`: a sparse autoencoder, whose units that belong to languages are switched off.

A vector is encoded by few of many units. A unit belongs to languages if the language of a text explains much of how strongly it
is active. What these units decode to is subtracted. No language need be known.

It differs from the source in size (units for a CPU, not half a billion weights), and so in two more points. The mean is taken off
before encoding, because all embeddings share most of it. The residual, which is not reconstructed, is kept: few units reconstruct
too little, and on XQuAD-R retrieval from reconstructions alone breaks down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix._vectors import unit_length
from babelmix.encoders.removal import Embedded, RemovalMethod, RemovalOptions
from babelmix.encoders.removal.files import KINDS, write_removal
from babelmix.encoders.removal.fitted import ANY
from babelmix.errors import EncoderError

Floats = npt.NDArray[np.float32]

FORM = "sparse"
EXPANSION, ACTIVE = 4, 32
"""Units for each dimension, and units that encode one vector."""
STEPS, BATCH, RATE = 300, 512, 2e-3
EXPLAINED = 0.2
"""A unit belongs to languages if they explain more than this share of the variance of its activation."""


@dataclass(frozen=True, eq=False)
class SparseRemoval:
    """Subtracts what the language units of a sparse autoencoder decode to: `x - alpha decoder (mask * a)`.

    `a` are the `active` largest of `max(0, encoder (x - mean))`; the others are 0.

    Args:
        encoder: float32, shape (units, dimension).
        decoder: float32, shape (units, dimension): what each unit adds.
        mask: 1 for the units that belong to languages, else 0; float32, shape (units,).
        mean: float32, shape (dimension,).
        active: units that encode one vector.
        alpha: how much of it is applied.
        similarity: `cosine` or `dot`.
        facts: how it was fitted.
        method: the name of the method.

    Raises:
        EncoderError: shapes do not fit together, or a value is not finite.

    """

    encoder: Floats
    decoder: Floats
    mask: Floats
    mean: Floats
    active: int
    alpha: float = 1.0
    similarity: str = "cosine"
    facts: Mapping[str, Any] = field(default_factory=dict)
    method: str = "langsae"

    def __post_init__(self) -> None:
        units, dimension = self.encoder.shape
        shapes = (self.decoder.shape, self.mask.shape, self.mean.shape)
        if shapes != ((units, dimension), (units,), (dimension,)) or not 1 <= self.active <= units:
            raise EncoderError(f"a sparse removal of {units} units has arrays of the shapes {shapes}")
        if not all(np.isfinite(one).all() for one in self._arrays().values()):
            raise EncoderError("a sparse removal has values that are not finite")

    @property
    def langs(self) -> tuple[str, ...]:
        """All languages are treated alike."""
        return (ANY,)

    @property
    def dimension(self) -> int:
        """The dimension of the vectors."""
        return int(self.encoder.shape[1])

    def with_alpha(self, alpha: float) -> SparseRemoval:
        """The same removal, applied by another share."""
        return replace(self, alpha=alpha)

    def with_facts(self, facts: Mapping[str, Any]) -> SparseRemoval:
        """The same removal, with other facts."""
        return replace(self, facts=facts)

    def not_fitted(self, langs: Sequence[str | None]) -> list[str]:
        """An empty list: no language need be known."""
        del langs
        return []

    def activations(self, vectors: Floats) -> Floats:
        """How strongly each unit is active, float32, shape (vectors, units)."""
        raw = np.maximum((vectors - self.mean) @ self.encoder.T, 0)
        if self.active < raw.shape[1]:
            least = np.partition(raw, -self.active, axis=1)[:, -self.active, None]
            raw[raw < least] = 0
        return raw

    def apply(self, vectors: npt.ArrayLike, langs: Sequence[str | None] | str | None, kind: str) -> Floats:
        """Take language out of vectors; see `Removal.apply`. The languages are not used.

        Raises:
            EncoderError: the dimension is another, or the kind is unknown.

        """
        del langs
        if kind not in KINDS:
            raise EncoderError(f"the kind {kind!r} is unknown; use {' or '.join(KINDS)}")
        x = np.asarray(vectors, dtype=np.float32)
        if x.ndim != 2 or x.shape[1] != self.dimension:
            raise EncoderError(f"vectors of the shape {x.shape} do not fit a removal of dimension {self.dimension}")
        x = self._ready(x)
        taken = (self.activations(x) * self.mask) @ self.decoder
        return self._ready((x - self.alpha * taken).astype(np.float32))

    def _ready(self, x: Floats) -> Floats:
        return unit_length(x) if self.similarity == "cosine" else x

    def _arrays(self) -> dict[str, Floats]:
        return {"encoder": self.encoder, "decoder": self.decoder, "mask": self.mask, "mean": self.mean}

    def save(self, file: str | Path, *, dtype: str = "float32") -> Path:
        """Write a safetensors file, which `load_removal` reads."""
        about = {
            "method": self.method, "langs": [ANY], "alpha": self.alpha, "similarity": self.similarity,
            "facts": dict(self.facts), "active": self.active,
        }  # fmt: skip
        return write_removal(file, FORM, about, self._arrays(), dtype)

    @classmethod
    def from_file(cls, place: Path, about: Mapping[str, Any], arrays: Mapping[str, Floats]) -> SparseRemoval:
        """The removal of the content of a file; see `babelmix.encoders.removal.files.read_removal`.

        Raises:
            EncoderError: the content is not that of such a file.

        """
        try:
            return cls(
                **arrays, active=int(about["active"]), alpha=float(about["alpha"]), similarity=about["similarity"],
                facts=about["facts"], method=about["method"],
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise EncoderError(f"{place}: is damaged ({error!r}); make it again") from error


def train(vectors: Floats, units: int, active: int, *, steps: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Train a sparse autoencoder: the mean squared error of the reconstruction, by Adam.

    Args:
        vectors: shape (texts, dimension).
        units: the number of units.
        active: units that encode one vector.
        steps: batches of `BATCH` vectors.
        seed: of the first weights and the batches.

    Returns:
        `encoder`, `decoder` and `mean` of `SparseRemoval`.

    """
    import torch

    draw = torch.Generator().manual_seed(seed)
    mean = torch.from_numpy(vectors.mean(axis=0))
    given = torch.from_numpy(vectors) - mean
    scale = given.norm(dim=1).mean()
    start = torch.randn(units, vectors.shape[1], generator=draw)
    start /= start.norm(dim=1, keepdim=True)
    encoder, decoder = start.clone().requires_grad_(), start.clone().requires_grad_()
    optimizer = torch.optim.Adam([encoder, decoder], lr=RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, steps)
    for _ in range(steps):
        batch = given[torch.randint(len(given), (min(BATCH, len(given)),), generator=draw)] / scale
        raw = torch.relu(batch @ encoder.T)
        values, places = raw.topk(active, dim=1)
        sparse = torch.zeros_like(raw).scatter(1, places, values)
        loss = ((sparse @ decoder - batch) ** 2).sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    # The scale goes through: max(0, .) and the order of units do not depend on it.
    return encoder.detach().numpy(), decoder.detach().numpy(), mean.numpy()


def language_units(activations: Floats, lang: npt.NDArray[np.int64], explained: float) -> Floats:
    """The units that belong to languages: 1, else 0.

    The share of a unit's variance that the language explains is the variance of its means by language, which count alike, over
    this and the mean variance within a language.

    Args:
        activations: shape (texts, units).
        lang: numbers of languages, shape (texts,).
        explained: the least share.

    """
    some = [activations[lang == one].astype(np.float64) for one in np.unique(lang)]
    between = np.var([one.mean(axis=0) for one in some], axis=0)
    within = np.mean([one.var(axis=0) for one in some], axis=0)
    found: Floats = (between > explained * np.maximum(between + within, 1e-12)).astype(np.float32)
    return found


def fit(embedded: Embedded, options: RemovalOptions) -> SparseRemoval:
    """Train the autoencoder on all vectors, and find the units that belong to languages.

    `options.rank` is the number of units for each dimension, and `options.seed` that of the training.
    """
    vectors = embedded.vectors.astype(np.float32)
    units = (options.rank or EXPANSION) * vectors.shape[1]
    active = min(ACTIVE, units // 4)
    encoder, decoder, mean = train(vectors, units, active, steps=STEPS, seed=options.seed)
    made = SparseRemoval(encoder, decoder, np.zeros(units, dtype=np.float32), mean, active, 1.0, embedded.similarity)
    found = made.activations(vectors)
    masks = [
        language_units(found[embedded.kind == kind], embedded.lang[embedded.kind == kind], EXPLAINED)
        for kind in range(int(embedded.kind.max()) + 1)
    ]
    error = ((found @ decoder - (vectors - mean)) ** 2).sum() / ((vectors - mean) ** 2).sum()
    mask = np.maximum.reduce(masks)
    facts = {
        "units": units, "active": active, "language_units": int(mask.sum()), "unexplained": round(float(error), 4),
        "seed": options.seed,
    }  # fmt: skip
    return replace(made, mask=mask, facts=facts)


METHOD = RemovalMethod(
    fit,
    "the units of a sparse autoencoder that belong to languages",
    "LangSAE: arXiv 2601.04768, at the size of a CPU",
    usual_rank=lambda langs: EXPANSION,
)

__all__ = ["METHOD", "SparseRemoval", "fit", "language_units", "train"]
