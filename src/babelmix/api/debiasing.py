"""Take language out of an encoder's embeddings: `babelmix debias`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from babelmix._files import recorded, slug
from babelmix.api._debias_encoders import DebiasedModel, debias_encoder, with_fitted
from babelmix.api._debias_fitting import check_texts
from babelmix.api._debias_index import DebiasedIndex, debias_index
from babelmix.api._debias_validating import Validation, validated_encoder, validated_vectors
from babelmix.api._debias_vectors import (
    RECORD,
    DebiasedVectors,
    check_alpha,
    debias_vectors,
    opened_removal,
)
from babelmix.api._folders import Out, folder_of
from babelmix.api._loading import check_unfit, opened
from babelmix.corpus import Corpus
from babelmix.encoders.removal import RemovalOptions
from babelmix.errors import ArgumentError
from babelmix.evaluation.systems import Vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from babelmix.encoders.removal import AnyRemoval

USUAL = "own-means"
"""The default method for vectors and indexes."""

BATCH, LENGTH = 32, 128
"""The defaults of `batch_size` and `max_seq_length`."""

AUTO = "auto"
"""The method that chooses between own means and a removal that was fitted on translations."""


@overload
def debias(model: Vectors, on: str | Path | Corpus | None = None, **options: Any) -> DebiasedVectors: ...
@overload
def debias(
    model: str | Path | SentenceTransformer, on: str | Path | Corpus | None = None, **options: Any
) -> DebiasedModel: ...
def debias(  # type: ignore[misc]
    model: str | Path | SentenceTransformer | Vectors,
    on: str | Path | Corpus | None = None,
    *,
    method: str | None = None,
    alpha: float | None = None,
    pivot: str | None = None,
    ridge: float | None = None,
    seed: int | None = None,
    rank: int | None = None,
    removal: str | Path | AnyRemoval | None = None,
    fit_on: Vectors | None = None,
    fit_corpus: str | Path | Corpus | None = None,
    queries_langs: str | Path | None = None,
    passages_langs: str | Path | None = None,
    dtype: str | None = None,
    validate: str | Path | Corpus | None = None,
    keep_same_language: float | None = None,
    surely: bool = False,
    best: str | None = None,
    mix: str | Path | None = None,
    texts: int | None = None,
    langs: str | Sequence[str] | None = None,
    out: Out = None,
    batch_size: int = 32,
    max_seq_length: int | None = 128,
    trust_code: bool = False,
) -> DebiasedModel | DebiasedVectors:
    """Take language out of embeddings, without training: out of those that an encoder makes, or out of vectors from elsewhere.

    Of an encoder, the difference between languages is fitted on texts of any kind and saved as the encoder's last modules. The
    language of a query need not be known.

    Of vectors, it is fitted on the vectors themselves or on others of the same encoder (`fit_on`), with the languages of the
    rows. Files are corrected chunk by chunk; with `out`, an interrupted call goes on where it stopped.

    Args:
        model: a name or a folder, see `babelmix.load_model`; an encoder; or `Vectors`, where one side may be None.
        on: of an encoder, the texts to fit on: a file of documents (columns `item`, `lang`, `text`), or a corpus, whose passages
            and queries are used. The texts need not be translations of each other. Do not fit on your test data. None: the
            removal that babelmix ships for this encoder. Of vectors, the corpus whose rows they are; None: their languages are in
            `queries_langs` and `passages_langs`, or in ids such as `page-7/de`.
        method: one of `babelmix.encoders.removal.METHODS`, or a method of a plugin. None: `centred` for an encoder, `own-means`
            for vectors.
        alpha: how much is taken out, from 0 to 1. None: 1, or that of the removal.
        pivot: with methods that have one: move languages to the `mean` of all, or to a language.
        ridge: with linear maps: how strongly they are drawn towards the identity.
        seed: with a method that is trained.
        rank: how many language directions to remove, for methods that have a rank. None: the method's default.
        removal: a removal that is fitted already, or its file, or the folder of one; then nothing is fitted. With the method
            `auto` it is what is taken if the languages differ in topic; of an encoder, None is the one that babelmix ships.
        fit_on: for vectors: others to fit on, such as those of translations with ids `ITEM/LANG`, or of a query log.
        fit_corpus: the corpus whose rows `fit_on` are.
        queries_langs: for vectors: a table with the languages of the queries (columns `lang`, and `id` or `item`).
        passages_langs: for vectors: the same for the passages.
        dtype: for vectors: the type of the values, `float32` (the default) or `float16`.
        validate: choose alpha on half of the queries of this corpus, which has right answers, and test it on the other half; see
            `babelmix.frontier`. Of vectors it is the corpus whose rows they are.
        keep_same_language: with `validate`: keep this share of same-language recall@10; 0.98 if nothing else is said.
        surely: with `keep_same_language`: the lower end of the 95 % interval must keep it too.
        best: with `validate`: choose the best value of this measure, such as `multi/mAP`.
        mix: with `validate`: choose by what users ask and want: a file of queries, or shares such as `same=0.8,other=0.2`.
        texts: of an encoder: the largest number of texts of one language. None: 500.
        langs: fit only these languages.
        out: save the result into this folder; None: nothing is saved, see `save` of the result.
        batch_size: texts in one forward pass.
        max_seq_length: tokens to read of each text while fitting; None: the encoder's own limit.
        trust_code: run code that the model contains or names; see `babelmix.load_model`.

    Returns:
        The encoder, or the vectors, without language.

    Raises:
        EncoderError: there is no such method, the rank is too large, or there are too few texts, vectors or languages.
        ArgumentError: an argument does not go with what is given, or the list of languages is empty.
        VectorsError: a file of vectors cannot be read, or the language of a passage is unknown.
        BabelmixError: `out` holds other files.

    Source:
        `offsets`: SHIFT, arXiv 2606.18801. The other methods name theirs in `babelmix.encoders.removal.METHODS`.

    Examples:
        >>> import numpy as np
        >>> import babelmix as bm
        >>> rng = np.random.default_rng(0)
        >>> vectors, ids = rng.standard_normal((60, 8)), [f"{n}/{lang}" for lang in ("de", "en", "fr") for n in range(20)]
        >>> vectors[:20, 0] += 3
        >>> made = bm.debias(bm.Vectors(None, vectors, passage_ids=ids), method="own-means")
        >>> print(made.lines()[0])
        own-means, alpha 1: fitted on 60 passages in 3 languages
        >>> debias("e5-small-offline", "texts.jsonl", out="my-encoder")  # doctest: +SKIP

    """
    of_vectors = {
        "alpha": alpha, "pivot": pivot, "ridge": ridge, "seed": seed, "fit_on": fit_on, "fit_corpus": fit_corpus,
        "queries_langs": queries_langs, "passages_langs": passages_langs, "dtype": dtype,
    }  # fmt: skip
    chosen = Validation.of(validate, keep_same_language=keep_same_language, surely=surely, best=best, mix=mix)
    if chosen is not None:
        check_unfit("is chosen on the corpus that validate names; leave one of them out", alpha=alpha)
    if not isinstance(model, Vectors):
        check_alpha(alpha)
        fitted = on is None
        check_unfit(
            "is for vectors; name them in place of an encoder",
            **{name: value for name, value in of_vectors.items() if name not in ("alpha", "pivot", "ridge", "seed")},
        )
        if fitted:
            check_unfit(
                "is for a fit; say which texts to fit on", method=method, rank=rank, texts=texts, langs=langs, pivot=pivot,
                ridge=ridge, seed=seed, max_seq_length=_other(max_seq_length, LENGTH),
                batch_size=None if chosen is not None else _other(batch_size, BATCH),
            )  # fmt: skip
        elif method != AUTO:
            check_unfit("is fitted already; leave out the texts to fit on", removal=removal)
        check_texts(texts)
        pairs = opened_removal(removal) if method == AUTO else None
        options = _options(rank=rank, pivot=pivot, ridge=ridge, seed=seed, pairs=pairs)
        if chosen is not None:
            return validated_encoder(
                model, on, chosen, method=method, rank=rank, texts=texts, langs=langs, out=out, options=options,
                removal=None if method == AUTO else removal, batch_size=batch_size, max_seq_length=max_seq_length,
                trust_code=trust_code,
            )  # fmt: skip
        if on is None:
            return with_fitted(model, removal, alpha, out, trust_code)
        return debias_encoder(
            model, on, method=method, rank=rank, texts=texts, langs=langs, out=out, batch_size=batch_size, alpha=alpha,
            options=options, max_seq_length=max_seq_length, trust_code=trust_code,
        )  # fmt: skip
    check_unfit(
        "is for encoders; vectors are made already", texts=texts, batch_size=_other(batch_size, BATCH), trust_code=trust_code,
        max_seq_length=_other(max_seq_length, LENGTH),
    )  # fmt: skip
    pairs = None
    if method == AUTO:
        pairs, removal = opened_removal(removal), None
    if removal is not None:
        why = "the removal is fitted already; leave this out"
        fixed = ("pivot", "ridge", "seed", "fit_on", "fit_corpus")
        check_unfit(why, method=method, rank=rank, langs=langs, **{name: of_vectors[name] for name in fixed})
    if fit_corpus is not None and fit_on is None:
        raise ArgumentError("fit_corpus", "is the corpus of the vectors to fit on; name those with fit_on")
    check_alpha(alpha)
    options = _options(rank=rank, pivot=pivot, ridge=ridge, seed=seed, pairs=pairs)
    if chosen is not None:
        on, removal = validated_vectors(
            model, on, chosen, method=method or USUAL, options=options, removal=removal, fit_on=fit_on,
            fit_corpus=fit_corpus, langs=langs,
        )  # fmt: skip
    return debias_vectors(
        model,
        None if on is None else opened(on),
        method=method or USUAL,
        alpha=1.0 if alpha is None else alpha,
        options=options,
        langs=langs,
        removal=opened_removal(removal, alpha),
        fit_on=fit_on,
        fit_corpus=None if fit_corpus is None else opened(fit_corpus),
        queries_langs=queries_langs,
        passages_langs=passages_langs,
        dtype=dtype or "float32",
        out=folder_of(
            out,
            f"debiased-{slug(model.name)}",
            lambda place: recorded(place / RECORD, "vectors") not in (None, model.name),
        ),
    )


def _other(value: int | None, usual: int) -> int | None:
    """A value that is not the default."""
    return None if value == usual else value


def _options(**given: Any) -> RemovalOptions:
    """The options of a method that were given."""
    return RemovalOptions(**{name: value for name, value in given.items() if value is not None})


__all__ = ["RECORD", "USUAL", "DebiasedIndex", "DebiasedModel", "DebiasedVectors", "debias", "debias_index"]
