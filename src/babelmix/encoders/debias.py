"""Take language out of embeddings without training. It is fitted on texts by language, and saved as the encoder's last modules.

| method | what is taken away | source |
|---|---|---|
| `centred` | three sorts of directions: of the mean, from queries to passages, and between languages | babelmix |
| `subspace` | the directions in which the means of languages differ | LSAR: Xie et al., EMNLP 2022, Algorithm 1 |
| `whiten` | the mean, and all correlations | Su et al., arXiv 2103.15316 |
| `means` | the mean of the text's language | Libovický et al., Findings of EMNLP 2020 |
| `components` | the first principal directions of the text's language | LIR: Yang et al., EMNLP 2021 |

The first three are one matrix for all texts: a `Dense` of sentence-transformers, which loads without babelmix. The last two
estimate the language of a text from its embedding; load such an encoder with `load_encoder`. `extend.removal` adds a method.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.module import Module
from sentence_transformers.sentence_transformer.modules import Normalize

from babelmix._lists import as_list
from babelmix.corpus.languages import check_distinct
from babelmix.encoders.embed import INPUT_KINDS, encode
from babelmix.encoders.limits import forget_last_batch
from babelmix.encoders.removal import METHODS, Embedded, removal_method
from babelmix.errors import EncoderError

LEAST = 20
"""The smallest number of texts of a language."""

_WHERE = ("subfolder", "token", "cache_folder", "revision", "local_files_only")


class LanguageRemoval(Module):  # type: ignore[misc,unused-ignore]
    """Subtracts the mean or the main directions of its language from an embedding, weighted by the probability of each language.

    `x - sum_c p(c | x) (mean_c + directions_c' directions_c x)`. A cluster c is a language and a kind (query or passage).
    p(c | x) is the softmax of `discriminants x + offsets`.

    Args:
        dimension: the dimension of the embeddings.
        clusters: the number of clusters.
        rank: the number of directions of each cluster; 0 for means.

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


def debiased(
    encoder: SentenceTransformer,
    texts: Mapping[str, str | Sequence[str]],
    *,
    queries: Mapping[str, str | Sequence[str]] | None = None,
    method: str = "centred",
    rank: int = 0,
    batch_size: int = 32,
) -> SentenceTransformer:
    """A copy of an encoder without language in its embeddings.

    Args:
        encoder: any encoder; it is not changed.
        texts: texts by language, at least `LEAST` each. They need no translations, and any topic will do.
        queries: texts by language that look like queries. A language that has fewer than `LEAST` uses `texts` as queries too.
        method: one of `METHODS`.
        rank: the number of language directions to take away: for all languages together with `centred` and `subspace`, for each
            language with `components`. In addition, `centred` takes away the direction of the mean, and the direction from
            queries to passages if they are embedded differently. 0: see `usual_rank`.
        batch_size: texts per forward pass.

    Returns:
        A copy of the encoder with the new module at its end. If the encoder compares by cosine, the module has a `Normalize`
        before it and after it, so that embeddings have length one again.

    Raises:
        EncoderError: the method is unknown, there are too few languages or texts, or the rank is too large.
        ArgumentError: the method has no rank, and one is given.

    Example:
        >>> from babelmix.encoders import static
        >>> texts = {"en": [f"dog number {n}" for n in range(20)], "de": [f"Hund Nummer {n}" for n in range(20)]}
        >>> encoder = static.from_scratch([*texts["en"], *texts["de"]], dimension=8)
        >>> without = debiased(encoder, texts)
        >>> without.encode(["dog"]).shape, len(without) - len(encoder)
        ((1, 8), 2)

    """
    removal = removal_method(method)
    check_distinct(texts, "texts", EncoderError)
    texts = {lang: as_list(some, f"texts in {lang}", EncoderError) for lang, some in texts.items()}
    asked = {lang: as_list(some, f"queries in {lang}", EncoderError) for lang, some in (queries or {}).items()}
    if len(texts) < 2:
        raise EncoderError(f"there are texts in {len(texts)} languages; two or more are needed")
    for lang, some in texts.items():
        if len(some) < LEAST:
            raise EncoderError(f"there are {len(some)} texts in {lang!r}; each language needs {LEAST} or more")
    rank = removal.rank_for(method, rank, len(texts))
    fitted = removal.fit(_embedded(encoder, texts, asked, batch_size), rank)
    made = copy.deepcopy(encoder)
    # The tokenizer keeps settings of the last batch, which depend on the texts that were in the cache.
    forget_last_batch(made)
    # Cosine is computed from embeddings of length one.
    last = [Normalize()] if str(encoder.similarity_fn_name) == "cosine" else []
    first = [] if not last or isinstance(made[-1], Normalize) else [Normalize()]
    for module in (*first, fitted, *last):
        made.append(module.to(encoder.device))
    return made


def _embedded(
    encoder: SentenceTransformer,
    texts: Mapping[str, Sequence[str]],
    queries: Mapping[str, Sequence[str]],
    batch_size: int,
) -> Embedded:
    asked = {lang: queries[lang] if len(queries.get(lang, ())) >= LEAST else some for lang, some in texts.items()}
    # Queries and passages have equal embeddings if their texts and their prompts are equal. Then embed them once.
    alike = asked == dict(texts) and len({encoder.prompts.get(kind) or "" for kind in INPUT_KINDS}) == 1
    kinds = dict(zip(INPUT_KINDS[:1] if alike else INPUT_KINDS, (asked, texts), strict=False))
    vectors, langs = [], []
    for kind, by_lang in kinds.items():
        together = [text for some in by_lang.values() for text in some]
        found = encode(encoder, together, kind, batch_size=batch_size, label=f"encoding as {kind}").astype(np.float64)
        if str(encoder.similarity_fn_name) == "cosine":
            found /= np.linalg.norm(found, axis=1, keepdims=True)
        vectors.append(found)
        langs.append(np.repeat(np.arange(len(by_lang)), [len(some) for some in by_lang.values()]))
    return Embedded(
        np.concatenate(vectors),
        np.concatenate(langs),
        np.repeat(np.arange(len(kinds)), [len(v) for v in vectors]),
        tuple(texts),
    )


def usual_rank(method: str, langs: int) -> int:
    """The default number of language directions that a method takes away; 0 for a method without rank.

    Args:
        method: one of `METHODS`.
        langs: the number of languages.

    """
    return removal_method(method).rank_for(method, 0, langs)


# Functions that were in this module before each method had a module of its own.
_HOMES = {
    "affine": "affine",
    "centred_subspace": "centred",
    "language_subspace": "subspace",
    "removal_by_language": "by_language",
    "whitening": "whitening",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"babelmix.encoders.removal.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["LEAST", "METHODS", "LanguageRemoval", "debiased", "usual_rank"]
