"""Take language out of embeddings without training. It is fitted on texts by language, and saved as the encoder's last modules.

| method | what is taken away | source |
|---|---|---|
| `centred` | three sorts of directions: of the mean, from queries to passages, and between languages | babelmix |
| `subspace` | the directions in which the means of languages differ | LSAR: Xie et al., EMNLP 2022, Algorithm 1 |
| `whiten` | the mean, and all correlations | Su et al., arXiv 2103.15316 |
| `means` | the mean of the text's language | Libovický et al., Findings of EMNLP 2020 |
| `components` | the first principal directions of the text's language | LIR: Yang et al., EMNLP 2021 |
| `own-means` | the mean of the text's language in your collection | as `means`, with known languages |
| `offsets` | the mean difference of the text's language to its translations | SHIFT: arXiv 2606.18801 |
| `linear-map` | by a linear map, what tells the text's language from its translations | as Mikolov et al., arXiv 1309.4168 |
| `langsae` | the units of a sparse autoencoder that belong to languages | LangSAE: arXiv 2601.04768, at the size of a CPU |
| `auto` | as `own-means`, or as `offsets` or `linear-map` where languages differ in topic | babelmix |

The first three are one matrix for all texts: a `Dense` of sentence-transformers, which loads without babelmix. The others
estimate the language of a text from its embedding; load such an encoder with `load_encoder`. For vectors whose languages are
known, see `babelmix.encoders.removal`. `extend.removal` adds a method.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize

from babelmix._lists import as_list
from babelmix.corpus.languages import check_distinct
from babelmix.encoders.embed import INPUT_KINDS, encode
from babelmix.encoders.limits import forget_last_batch
from babelmix.encoders.removal import LEAST, METHODS, AnyRemoval, Embedded, RemovalOptions, removal_method
from babelmix.encoders.removal.module import LanguageRemoval, module_of
from babelmix.errors import EncoderError


def debiased(
    encoder: SentenceTransformer,
    texts: Mapping[str, str | Sequence[str]],
    *,
    queries: Mapping[str, str | Sequence[str]] | None = None,
    items: Mapping[str, Sequence[Hashable]] | None = None,
    query_items: Mapping[str, Sequence[Hashable]] | None = None,
    method: str = "centred",
    rank: int = 0,
    options: RemovalOptions | None = None,
    batch_size: int = 32,
) -> SentenceTransformer:
    """A copy of an encoder without language in its embeddings.

    Args:
        encoder: any encoder; it is not changed.
        texts: texts by language, at least `LEAST` each. Any topic will do. They need translations only for `offsets` and
            `linear-map`.
        queries: texts by language that look like queries. A language that has fewer than `LEAST` uses `texts` as queries too. A
            method that is fitted on translations uses them only with `query_items`.
        items: what each text says, by language, in the order of `texts`: texts with equal items are translations of each other.
        query_items: the same of `queries`.
        method: one of `METHODS`.
        rank: the number of language directions to take away: for all languages together with `centred` and `subspace`, for each
            language with `components`. In addition, `centred` takes away the direction of the mean, and the direction from
            queries to passages if they are embedded differently. 0: see `usual_rank`.
        options: more options of the method; `rank` here goes before its rank.
        batch_size: texts per forward pass.

    Returns:
        A copy of the encoder with the new module at its end. If the encoder compares by cosine, the module has a `Normalize`
        before it and after it, so that embeddings have length one again.

    Raises:
        EncoderError: the method is unknown, there are too few languages or texts, there are no translations for a method that
            needs them, or the rank is too large.
        ArgumentError: the method has no rank, and one is given.

    Examples:
        >>> from babelmix.encoders import static
        >>> texts = {"en": [f"dog number {n}" for n in range(20)], "de": [f"Hund Nummer {n}" for n in range(20)]}
        >>> encoder = static.from_scratch([*texts["en"], *texts["de"]], dimension=8)
        >>> without = debiased(encoder, texts)
        >>> without.encode(["dog"]).shape, len(without) - len(encoder)
        ((1, 8), 2)

    """
    embedded, chosen = _prepared(
        encoder, texts, queries, items, query_items, method, rank, options or RemovalOptions(), batch_size
    )
    removal = removal_method(method)
    if removal.fit_module is not None:
        return with_modules(encoder, removal.fit_module(embedded.ready(), chosen.rank))
    return with_removal(encoder, removal.fit_removal(embedded, chosen))


def fitted_removal(
    encoder: SentenceTransformer,
    texts: Mapping[str, str | Sequence[str]],
    *,
    queries: Mapping[str, str | Sequence[str]] | None = None,
    items: Mapping[str, Sequence[Hashable]] | None = None,
    query_items: Mapping[str, Sequence[Hashable]] | None = None,
    method: str = "centred",
    rank: int = 0,
    options: RemovalOptions | None = None,
    batch_size: int = 32,
) -> AnyRemoval:
    """The removal that is fitted on texts, for vectors of this encoder; see `debiased` for the arguments and errors."""
    embedded, chosen = _prepared(
        encoder, texts, queries, items, query_items, method, rank, options or RemovalOptions(), batch_size
    )
    return removal_method(method).fit_removal(embedded, chosen)


def _prepared(
    encoder: SentenceTransformer,
    given: Mapping[str, str | Sequence[str]],
    queries: Mapping[str, str | Sequence[str]] | None,
    items: Mapping[str, Sequence[Hashable]] | None,
    query_items: Mapping[str, Sequence[Hashable]] | None,
    method: str,
    rank: int,
    options: RemovalOptions,
    batch_size: int,
) -> tuple[Embedded, RemovalOptions]:
    """The embedded texts, and the options with the method's rank."""
    removal = removal_method(method)
    check_distinct(given, "texts", EncoderError)
    texts = {lang: as_list(some, f"texts in {lang}", EncoderError) for lang, some in given.items()}
    asked = {lang: as_list(some, f"queries in {lang}", EncoderError) for lang, some in (queries or {}).items()}
    if len(texts) < 2:
        raise EncoderError(f"there are texts in {len(texts)} languages; two or more are needed")
    for lang, some in texts.items():
        if len(some) < LEAST:
            raise EncoderError(f"there are {len(some)} texts in {lang!r}; each language needs {LEAST} or more")
    if removal.needs_pairs and items is None:
        raise EncoderError(
            f"{method} is fitted on translations; say with `items` which texts are translations of each other"
        )
    chosen = replace(options, rank=removal.rank_for(method, rank or options.rank, len(texts)))
    if items is not None:
        if query_items is None:
            asked = {}
        asked = {lang: some for lang, some in asked.items() if len(some) >= LEAST}
        items = {lang: _items_of(items, lang, some, "items") for lang, some in texts.items()}
        query_items = {lang: _items_of(query_items or {}, lang, some, "query_items") for lang, some in asked.items()}
    return _embedded(encoder, texts, asked, items, query_items, batch_size), chosen


def with_removal(encoder: SentenceTransformer, removal: AnyRemoval) -> SentenceTransformer:
    """A copy of an encoder with a fitted removal at its end. The language of a text is told from its embedding.

    Args:
        encoder: any encoder; it is not changed.
        removal: a removal for vectors of this encoder.

    Raises:
        EncoderError: the dimension is another, or the removal cannot tell the language of a text.

    """
    dimension = encoder.get_embedding_dimension()
    if dimension is not None and dimension != removal.dimension:
        raise EncoderError(
            f"a removal of dimension {removal.dimension} does not fit embeddings of dimension {dimension}"
        )
    return with_modules(encoder, module_of(removal))


def with_modules(encoder: SentenceTransformer, fitted: torch.nn.Module) -> SentenceTransformer:
    """A copy of an encoder with a module at its end, between two `Normalize` if it compares by cosine."""
    made = copy.deepcopy(encoder)
    # The tokenizer keeps settings of the last batch, which depend on the texts that were in the cache.
    forget_last_batch(made)
    # Cosine is computed from embeddings of length one.
    last = [Normalize()] if str(encoder.similarity_fn_name) == "cosine" else []
    first = [] if not last or isinstance(made[-1], Normalize) else [Normalize()]
    for module in (*first, fitted, *last):
        made.append(module.to(encoder.device))
    return made


def _items_of(
    items: Mapping[str, Sequence[Hashable]], lang: str, texts: Sequence[str], name: str
) -> Sequence[Hashable]:
    found = items.get(lang, ())
    if len(found) != len(texts):
        raise EncoderError(f"{name}: there are {len(texts)} texts in {lang!r}, and the items of {len(found)}")
    return found


def _embedded(
    encoder: SentenceTransformer,
    texts: Mapping[str, Sequence[str]],
    queries: Mapping[str, Sequence[str]],
    items: Mapping[str, Sequence[Hashable]] | None,
    query_items: Mapping[str, Sequence[Hashable]] | None,
    batch_size: int,
) -> Embedded:
    own = {lang for lang, some in queries.items() if len(some) >= LEAST}
    asked = {lang: queries[lang] if lang in own else some for lang, some in texts.items()}
    # Queries and passages have equal embeddings if their texts and their prompts are equal. Then embed them once.
    alike = asked == dict(texts) and len({encoder.prompts.get(kind) or "" for kind in INPUT_KINDS}) == 1
    kinds = dict(zip(INPUT_KINDS[:1] if alike else INPUT_KINDS, (asked, texts), strict=False))
    vectors, langs = [], []
    for kind, by_lang in kinds.items():
        together = [text for some in by_lang.values() for text in some]
        found = encode(encoder, together, kind, batch_size=batch_size, label=f"encoding as {kind}").astype(np.float64)
        vectors.append(found)
        langs.append(np.repeat(np.arange(len(by_lang)), [len(some) for some in by_lang.values()]))
    numbers = None
    if items is not None:
        of_queries = {lang: (query_items or {})[lang] if lang in own else items[lang] for lang in texts}
        names = [one for by_lang in (of_queries, items)[-len(kinds) :] for lang in texts for one in by_lang[lang]]
        known = {name: number for number, name in enumerate(dict.fromkeys(names))}
        numbers = np.array([known[name] for name in names], dtype=np.int64)
    return Embedded(
        np.concatenate(vectors),
        np.concatenate(langs),
        np.repeat(np.arange(len(kinds)), [len(v) for v in vectors]),
        tuple(texts),
        numbers,
        str(encoder.similarity_fn_name) if str(encoder.similarity_fn_name) == "cosine" else "dot",
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
    "affine": "module",
    "centred_subspace": "centred",
    "language_subspace": "subspace",
    "whitening": "whitening",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"babelmix.encoders.removal.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["LEAST", "METHODS", "LanguageRemoval", "debiased", "fitted_removal", "usual_rank", "with_removal"]
