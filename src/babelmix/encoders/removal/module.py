"""The last modules of an encoder: what a fitted removal is at the end of one."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.module import Module
from torch.nn import Identity

from babelmix.encoders.removal import AnyRemoval, Array, Removal
from babelmix.encoders.removal.fitted import ANY
from babelmix.encoders.removal.langsae import SparseRemoval
from babelmix.errors import EncoderError

_WHERE = ("subfolder", "token", "cache_folder", "revision", "local_files_only")
_TASKS = {"query": 0, "document": 1}


class SavedModule(Module):  # type: ignore[misc,unused-ignore]
    """A module that is saved as its configuration and its weights."""

    forward_kwargs: set[str] = {"task"}  # noqa: RUF012 - as in the base class

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **options: Any) -> None:
        """Write configuration and weights into a folder."""
        del args, options
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)

    @classmethod
    def load(cls, model_name_or_path: str, **options: Any) -> Self:  # type: ignore[override,unused-ignore]
        """Read what `save` wrote."""
        where = {name: value for name, value in options.items() if name in _WHERE}
        module = cls(**cls.load_config(model_name_or_path=model_name_or_path, **where))
        return cls.load_torch_weights(model_name_or_path=model_name_or_path, model=module, **where)


class LanguageRemoval(SavedModule):
    """A `Removal` at the end of an encoder: the language of a text is told from its embedding.

    `x - alpha sum_c p(c | x) (offset_c - left_c right_c x - shared_c x)`. A cluster c is a language and a kind (query, passage).
    p(c | x) is the softmax of `discriminants x + biases`. It is taken over the clusters of the kind, if the encoder is told the
    kind (`encode_query`, `encode_document`), otherwise over all clusters.

    Args:
        dimension: the dimension of the embeddings.
        langs: the languages.
        kinds: 2 if queries and passages have arrays of their own, 1 if they share them.
        rank: the rank of the linear part; 0: there is none.
        alpha: how much of the removal is applied.
        shares: 1 if there is a linear part that the languages of a kind share, else 0.
        clusters: kinds times languages.

    """

    config_keys: list[str] = ["dimension", "langs", "kinds", "rank", "alpha", "shares", "clusters"]  # noqa: RUF012

    def __init__(
        self, dimension: int, langs: list[str], kinds: int, rank: int, alpha: float = 1.0, shares: int = 0,
        clusters: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()  # type: ignore[no-untyped-call]
        self.dimension, self.langs, self.kinds, self.rank, self.alpha = dimension, list(langs), kinds, rank, alpha
        self.clusters = kinds * len(self.langs)
        self.shares = shares
        if clusters not in (0, self.clusters) or kinds not in (1, 2) or shares not in (0, 1):
            raise EncoderError(f"a removal of {len(self.langs)} languages and {kinds} kinds has {clusters} clusters")
        self.register_buffer("means", torch.zeros(self.clusters, dimension))
        self.register_buffer("left", torch.zeros(self.clusters, dimension, rank))
        self.register_buffer("right", torch.zeros(self.clusters, rank, dimension))
        self.register_buffer("shared", torch.zeros(kinds * shares, dimension, dimension))
        self.register_buffer("discriminants", torch.zeros(self.clusters, dimension))
        self.register_buffer("offsets", torch.zeros(self.clusters))

    @classmethod
    def of(cls, removal: Removal) -> LanguageRemoval:
        """The module of a removal.

        Raises:
            EncoderError: the removal cannot tell the language of a vector.

        """
        if removal.langs != (ANY,) and removal.discriminants is None:
            raise EncoderError(
                f"the removal {removal.method!r} cannot tell the language of a text; fit it on texts in two or more languages"
            )
        arrays = {
            "means": removal.offsets, "left": removal.left, "right": removal.right,
            # Without them, as of one map for all languages, a text has an equal share of each kind.
            "discriminants": removal.discriminants, "offsets": removal.biases,
            "shared": removal.shared,
        }  # fmt: skip
        given = {name: array for name, array in arrays.items() if array is not None}
        kinds = 1 if all(np.array_equal(array[0], array[1]) for array in given.values()) else 2
        rank = removal.left.shape[-1] if removal.left is not None else 0
        made = cls(removal.dimension, list(removal.langs), kinds, rank, removal.alpha, int(removal.shared is not None))
        for name, array in given.items():
            buffer = getattr(made, name)
            buffer.copy_(torch.from_numpy(np.ascontiguousarray(array[:kinds])).reshape(buffer.shape))
        return made

    def forward(self, features: dict[str, Any], task: str | None = None, **options: Any) -> dict[str, Any]:
        """Replace `sentence_embedding`, float32, shape (texts, dimension)."""
        del options
        x = features["sentence_embedding"]
        kind = _TASKS.get(task or "") if self.kinds == len(_TASKS) else None
        some = slice(None) if kind is None else slice(kind * len(self.langs), (kind + 1) * len(self.langs))
        shares = torch.softmax(x @ self.discriminants[some].T + self.offsets[some], dim=-1)
        taken = shares @ self.means[some]
        if self.rank:
            along = torch.einsum("crd,td->tcr", self.right[some], x) * shares[..., None]
            taken = taken - torch.einsum("tcr,cdr->td", along, self.left[some])
        if self.shares:
            of_kind = shares.reshape(len(x), -1, len(self.langs)).sum(dim=2)
            sides = self.shared if kind is None else self.shared[kind : kind + 1]
            taken = taken - torch.einsum("tk,kde,te->td", of_kind, sides, x)
        features["sentence_embedding"] = x - self.alpha * taken
        return features


class SparseModule(SavedModule):
    """A `SparseRemoval` at the end of an encoder.

    Args:
        dimension: the dimension of the embeddings.
        units: the number of units.
        active: units that encode one text.
        alpha: how much of the removal is applied.

    """

    config_keys: list[str] = ["dimension", "units", "active", "alpha"]  # noqa: RUF012

    def __init__(self, dimension: int, units: int, active: int, alpha: float = 1.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dimension, self.units, self.active, self.alpha = dimension, units, active, alpha
        if not 1 <= active <= units:
            raise EncoderError(f"a sparse removal of {units} units has {active} active ones")
        self.register_buffer("encoder", torch.zeros(units, dimension))
        self.register_buffer("decoder", torch.zeros(units, dimension))
        self.register_buffer("mask", torch.zeros(units))
        self.register_buffer("mean", torch.zeros(dimension))

    @classmethod
    def of(cls, removal: SparseRemoval) -> SparseModule:
        """The module of a removal."""
        made = cls(removal.dimension, len(removal.mask), removal.active, removal.alpha)
        for name in ("encoder", "decoder", "mask", "mean"):
            getattr(made, name).copy_(torch.from_numpy(getattr(removal, name)))
        return made

    def forward(self, features: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Replace `sentence_embedding`, float32, shape (texts, dimension)."""
        del options
        x = features["sentence_embedding"]
        raw = torch.relu((x - self.mean) @ self.encoder.T)
        least = raw.topk(self.active, dim=1).values[:, -1:]
        active = torch.where(raw < least, 0, raw)
        features["sentence_embedding"] = x - self.alpha * ((active * self.mask) @ self.decoder)
        return features


def affine(matrix: Array, offset: Array) -> Dense:
    """`matrix x + offset` as a module of sentence-transformers, which loads without babelmix.

    Args:
        matrix: shape (dimension, dimension).
        offset: shape (dimension,).

    """
    return Dense(
        matrix.shape[1], matrix.shape[0], activation_function=Identity(),
        init_weight=torch.from_numpy(matrix).float(), init_bias=torch.from_numpy(offset).float(),
    )  # fmt: skip


def module_of(removal: AnyRemoval) -> torch.nn.Module:
    """The module that does to the embeddings of an encoder what a removal does to vectors whose languages are unknown.

    Args:
        removal: the removal. One that treats all languages and kinds alike becomes a `Dense`.

    Raises:
        EncoderError: there is no such module.

    """
    if isinstance(removal, SparseRemoval):
        return SparseModule.of(removal)
    if not isinstance(removal, Removal):
        raise EncoderError(f"the removal {removal.method!r} works on vectors only; it is no part of an encoder")
    arrays = (removal.offsets, removal.left, removal.right, removal.shared)
    if removal.langs != (ANY,) or any(one is not None and not np.array_equal(one[0], one[1]) for one in arrays):
        return LanguageRemoval.of(removal)
    matrix = np.eye(removal.dimension)
    if removal.left is not None and removal.right is not None:
        matrix += removal.alpha * (removal.left[0, 0].astype(np.float64) @ removal.right[0, 0])
    if removal.shared is not None:
        matrix += removal.alpha * removal.shared[0].astype(np.float64)
    return affine(matrix, -removal.alpha * removal.offsets[0, 0].astype(np.float64))


__all__ = ["LanguageRemoval", "SavedModule", "SparseModule", "affine", "module_of"]
