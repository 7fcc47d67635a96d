"""Taking language out of embeddings without training: fitted on unlabelled texts, saved as the encoder's last modules.

| method | what is taken away | source |
|---|---|---|
| `centred` | the directions of the mean of all texts, from queries to passages, and in which languages differ | see below |
| `subspace` | the directions in which the means of languages differ | LSAR: Xie et al., EMNLP 2022, Algorithm 1 |
| `whiten` | the mean, and all correlations | Su et al., arXiv 2103.15316 |
| `means` | the mean of the text's language | Libovický et al., Findings of EMNLP 2020 |
| `components` | the first principal directions of the text's language | LIR: Yang et al., EMNLP 2021 |

The first three are one matrix for all texts: a `Dense` of sentence-transformers, which loads without babelmix. The last two need
the language of a text: it is told from the embedding itself, by a linear discriminant, and what is taken away is weighted by
the probabilities, so that no one has to say in which language a query is. They are loaded by `load_encoder`.

`centred` is `subspace` with two directions more. Embeddings lie around a mean that is far from zero, where all cosines are alike
(Mu and Viswanath, ICLR 2018, who subtract it; texts of another kind lie around another mean in much the same direction, so
that taking the direction away does better on them); and queries and passages, other texts under other prompts, lie apart, as
languages do.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.base.modules.module import Module
from sentence_transformers.sentence_transformer.modules import Normalize
from torch.nn import Identity

from babelmix._lists import as_list
from babelmix.corpus.languages import check_distinct
from babelmix.encoders.embed import KINDS, encode
from babelmix.encoders.limits import forget_last_batch
from babelmix.errors import EncoderError

Array = npt.NDArray[np.float64]

METHODS = ("centred", "subspace", "whiten", "means", "components")

LEAST = 20
"""Texts of a language at least."""

SHRINKAGE = 0.1
"""Of the discriminant's covariance towards that of a sphere."""

_WHERE = ("subfolder", "token", "cache_folder", "revision", "local_files_only")


class LanguageRemoval(Module):  # type: ignore[misc,unused-ignore]
    """Takes from an embedding what is its language's, weighted by the probability of each language.

    `x - sum_c p(c | x) (mean_c + directions_c' directions_c x)`, where c is a language and a kind (query or passage), and
    p(c | x) is the softmax of `discriminants x + offsets`.

    Args:
        dimension: of the embeddings.
        clusters: how many languages and kinds there are.
        rank: directions of each.

    """

    config_keys: list[str] = ["dimension", "clusters", "rank"]  # noqa: RUF012

    def __init__(self, dimension: int, clusters: int, rank: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dimension, self.clusters, self.rank = dimension, clusters, rank
        self.register_buffer("means", torch.zeros(clusters, dimension))
        self.register_buffer("directions", torch.zeros(clusters, rank, dimension))
        self.register_buffer("discriminants", torch.zeros(clusters, dimension))
        self.register_buffer("offsets", torch.zeros(clusters))

    def forward(self, features: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Replace `sentence_embedding`, float32, shape (texts, dimension)."""
        del options
        x = features["sentence_embedding"]
        shares = torch.softmax(x @ self.discriminants.T + self.offsets, dim=-1)
        taken = shares @ self.means
        if self.rank:
            along = torch.einsum("crd,td->tcr", self.directions, x)
            taken = taken + torch.einsum("tc,tcr,crd->td", shares, along, self.directions)
        features["sentence_embedding"] = x - taken
        return features

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


@dataclass(frozen=True)
class Embedded:
    """What is fitted on.

    Args:
        vectors: float64, shape (texts, dimension).
        lang: number of each text's language, int64, shape (texts,).
        kind: 0 for those embedded as queries, 1 for passages, int64, shape (texts,).

    """

    vectors: Array
    lang: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]

    def means_of_langs(self) -> Array:
        """Shape (languages, dimension); both kinds count alike."""
        return np.stack([np.mean([some.mean(axis=0) for some in kinds], axis=0) for kinds in self.members()])

    def members(self) -> list[list[Array]]:
        """The embeddings of each language, by kind."""
        return [
            [self.vectors[(self.lang == lang) & (self.kind == kind)] for kind in range(self.kind.max() + 1)]
            for lang in range(self.lang.max() + 1)
        ]


def debiased(
    encoder: SentenceTransformer,
    texts: Mapping[str, str | Sequence[str]],
    *,
    queries: Mapping[str, str | Sequence[str]] | None = None,
    method: str = "centred",
    rank: int = 0,
    batch_size: int = 32,
) -> SentenceTransformer:
    """A copy of an encoder that ends in taking language out.

    Args:
        encoder: it is not changed.
        texts: by language; what they say does not matter, and no text needs a translation.
        queries: texts by language as people ask; of a language that has too few, `texts` are embedded as queries too.
        method: one of `METHODS`.
        rank: directions taken away, of `centred` and `subspace` in all, of `components` for each language; 0: see `usual_rank`.
        batch_size: texts a forward pass.

    Raises:
        EncoderError: the method is unknown, there are too few languages or texts, or the rank is too large.

    """
    if method not in METHODS:
        raise EncoderError(f"the method {method!r} is unknown; use {', '.join(METHODS)}")
    check_distinct(texts, "texts", EncoderError)
    texts = {lang: as_list(some, f"texts in {lang}", EncoderError) for lang, some in texts.items()}
    asked = {lang: as_list(some, f"queries in {lang}", EncoderError) for lang, some in (queries or {}).items()}
    if len(texts) < 2:
        raise EncoderError(f"there are texts in {len(texts)} languages; what languages differ in needs two or more")
    for lang, some in texts.items():
        if len(some) < LEAST:
            raise EncoderError(f"there are {len(some)} texts in {lang!r}; each language needs {LEAST} or more")
    embedded = _embedded(encoder, texts, asked, batch_size)
    removal = _fitted(embedded, method, rank or usual_rank(method, len(texts)))
    made = copy.deepcopy(encoder)
    # Whether there was a last batch depends on what is in the cache.
    forget_last_batch(made)
    # Cosine compares what is of length one; the next encoder in line may count on it.
    last = [Normalize()] if str(encoder.similarity_fn_name) == "cosine" else []
    first = [] if not last or isinstance(made[-1], Normalize) else [Normalize()]
    for module in (*first, removal, *last):
        made.append(module.to(encoder.device))
    return made


def _embedded(
    encoder: SentenceTransformer,
    texts: Mapping[str, Sequence[str]],
    queries: Mapping[str, Sequence[str]],
    batch_size: int,
) -> Embedded:
    asked = {lang: queries[lang] if len(queries.get(lang, ())) >= LEAST else some for lang, some in texts.items()}
    # The same texts with one prompt for both kinds, or none, are embedded alike.
    alike = asked == dict(texts) and len({encoder.prompts.get(kind) or "" for kind in KINDS}) == 1
    kinds = dict(zip(KINDS[:1] if alike else KINDS, (asked, texts), strict=False))
    vectors, langs = [], []
    for kind, by_lang in kinds.items():
        together = [text for some in by_lang.values() for text in some]
        found = encode(encoder, together, kind, batch_size=batch_size, label=f"encoding as {kind}").astype(np.float64)
        if str(encoder.similarity_fn_name) == "cosine":
            found /= np.linalg.norm(found, axis=1, keepdims=True)
        vectors.append(found)
        langs.append(np.repeat(np.arange(len(by_lang)), [len(some) for some in by_lang.values()]))
    return Embedded(
        np.concatenate(vectors), np.concatenate(langs), np.repeat(np.arange(len(kinds)), [len(v) for v in vectors])
    )


def usual_rank(method: str, langs: int) -> int:
    """How many directions a method takes away unless told: all in which so many languages can differ, or 10 at most."""
    return max(1, langs - 1 if method == "centred" else min(10, langs - 1))


def _fitted(embedded: Embedded, method: str, rank: int) -> Module:
    dimension = embedded.vectors.shape[1]
    if method in ("centred", "subspace"):
        langs = len(embedded.means_of_langs())
        if not 1 <= rank < min(langs, dimension):
            raise EncoderError(
                f"rank {rank} is too large or too small: {langs} languages differ in at most {langs - 1} directions"
            )
        directions = (
            centred_subspace(embedded.members(), rank)
            if method == "centred"
            else language_subspace(embedded.means_of_langs(), rank)
        )
        return affine(np.eye(dimension) - directions.T @ directions, np.zeros(dimension))
    if method == "whiten":
        return affine(*whitening(embedded.vectors))
    if method == "components" and not 1 <= rank < dimension:
        raise EncoderError(f"rank {rank} is to be 1 or more, and below the dimension, {dimension}")
    return removal_by_language(embedded, 0 if method == "means" else rank)


def language_subspace(means: Array, rank: int) -> Array:
    """The directions in which languages differ.

    Source: Xie et al., EMNLP 2022, Algorithm 1: the means M are split into a part that all languages share and one of low rank,
    orthogonal to it.

    Args:
        means: of languages, shape (languages, dimension).
        rank: how many directions, below the number of languages.

    Returns:
        Orthonormal, shape (rank, dimension).

    """
    columns = means.T
    mean = columns.mean(axis=1, keepdims=True)
    u, s, v = np.linalg.svd(columns - mean, full_matrices=False)
    near = mean + (u[:, :rank] * s[:rank]) @ v[:rank]
    shared = np.linalg.pinv(near).sum(axis=0, keepdims=True).T
    shared /= (shared**2).sum()
    directions: Array = np.linalg.svd(near - shared, full_matrices=False)[0][:, :rank].T
    return directions


def centred_subspace(members: Sequence[Sequence[Array]], rank: int) -> Array:
    """The directions of the mean, in which queries and passages differ, and in which languages do.

    Languages are compared within a kind, so that what a prompt does to each is seen too.

    Args:
        members: the embeddings of each language, by kind, each of shape (texts, dimension).
        rank: how many directions of languages.

    Returns:
        Orthonormal, shape (rank + kinds, dimension). In the mean, all languages and kinds count alike.

    """
    means = np.array([[some.mean(axis=0) for some in kinds] for kinds in members])
    of_kinds = means.mean(axis=0)
    # The means of the kinds span their own mean and the directions between them.
    both = np.linalg.qr(of_kinds.T)[0].T
    apart = (means - of_kinds).reshape(-1, means.shape[-1])
    apart = apart - apart @ both.T @ both
    directions = np.concatenate([both, np.linalg.svd(apart, full_matrices=False)[2][:rank]])
    # Directions in which nothing differs any more need not be at right angles to the others.
    return np.linalg.qr(directions.T)[0].T


def whitening(vectors: Array) -> tuple[Array, Array]:
    """Matrix and offset that make of these vectors ones with mean 0 and covariance 1.

    Source: Su et al., arXiv 2103.15316, with the symmetric root, which turns embeddings least. Directions in which the vectors
    hardly differ are not stretched beyond what a thousandth of the mean variance would be.
    """
    mean = vectors.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(vectors, rowvar=False))
    floor = 1e-3 * variances.mean()
    matrix = (directions / np.sqrt(np.maximum(variances, floor))) @ directions.T
    return matrix, -matrix @ mean


def removal_by_language(embedded: Embedded, rank: int) -> LanguageRemoval:
    """Means (rank 0) or first principal directions of each language and kind, and a linear discriminant between them."""
    dimension = embedded.vectors.shape[1]
    members = [some for kinds in embedded.members() for some in kinds]
    means = np.stack([some.mean(axis=0) for some in members])
    within = sum(((some - mean).T @ (some - mean) for some, mean in zip(members, means, strict=True)), np.zeros(()))
    within = within / len(embedded.vectors)
    within = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / dimension * np.eye(dimension)
    discriminants = np.linalg.solve(within, means.T).T
    made = LanguageRemoval(dimension, len(members), rank)
    values = {"discriminants": discriminants, "offsets": -(discriminants * means).sum(axis=1) / 2}
    if rank:
        # Not centred, as in the source: the first direction is nearly the mean's.
        values["directions"] = np.stack([np.linalg.svd(some, full_matrices=False)[2][:rank] for some in members])
    else:
        values["means"] = means
    for name, value in values.items():
        getattr(made, name).copy_(torch.from_numpy(value))
    return made


def affine(matrix: Array, offset: Array) -> Dense:
    """`matrix x + offset` as a stock module."""
    return Dense(
        matrix.shape[1], matrix.shape[0], activation_function=Identity(),
        init_weight=torch.from_numpy(matrix).float(), init_bias=torch.from_numpy(offset).float(),
    )  # fmt: skip


__all__ = [
    "METHODS",
    "LanguageRemoval",
    "affine",
    "centred_subspace",
    "debiased",
    "language_subspace",
    "removal_by_language",
    "usual_rank",
    "whitening",
]
