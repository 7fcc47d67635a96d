"""Every method on vectors of known languages: against its formula, and against the encoder that it makes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import parallel_corpus
from sentence_transformers import SentenceTransformer

from babelmix import extend
from babelmix.encoders import load_encoder
from babelmix.encoders.debias import debiased, with_removal
from babelmix.encoders.removal import METHODS, Embedded, Removal, RemovalOptions, load_removal, removal_method
from babelmix.encoders.removal.centred import centred_subspace
from babelmix.encoders.removal.embedded import complete
from babelmix.encoders.removal.subspace import language_subspace
from babelmix.encoders.removal.whitening import whitening
from babelmix.errors import EncoderError

BUILT_IN = tuple(METHODS)


def drawn(langs: int = 3, each: int = 80, dimension: int = 12) -> Embedded:
    """Meaning, an offset of each language and kind, and noise; two kinds, translations."""
    rng = np.random.default_rng(0)
    meaning = rng.standard_normal((each, dimension))
    offsets = 1 + 2 * rng.standard_normal((2, langs, dimension))
    kind, lang, item = (part.ravel() for part in np.meshgrid(range(2), range(langs), range(each), indexing="ij"))
    vectors = meaning[item] + offsets[kind, lang] + 0.1 * rng.standard_normal((len(kind), dimension))
    return Embedded(vectors, lang, kind, ("de", "en", "ja")[:langs], item, "dot")


def by_hand(method: str, embedded: Embedded, lang: int, kind: int) -> np.ndarray:
    """What a method makes of the vectors of one language and kind."""
    x = embedded.vectors[(embedded.lang == lang) & (embedded.kind == kind)]
    if method in ("means", "own-means"):
        return x - x.mean(axis=0)
    if method == "components":
        values, directions = np.linalg.eigh(x.T @ x)
        kept = directions[:, np.argsort(-values)[2:]]
        return x @ kept @ kept.T
    if method == "whiten":
        matrix, offset = whitening(embedded.vectors)
        return x @ matrix.T + offset
    means = embedded.means_of_langs()
    directions = centred_subspace(embedded.members(), 2) if method == "centred" else language_subspace(means, 2)
    return x - x @ directions.T @ directions


@pytest.mark.parametrize("method", ["means", "own-means", "components", "whiten", "centred", "subspace"])
def test_a_fitted_removal_is_the_methods_formula(method: str) -> None:
    embedded = drawn()
    removal = removal_method(method).fit_removal(embedded, RemovalOptions(rank=2))
    for kind, name in enumerate(("query", "passage")):
        for lang, tag in enumerate(embedded.langs):
            x = embedded.vectors[(embedded.lang == lang) & (embedded.kind == kind)]
            found = removal.apply(x, tag, name)
            np.testing.assert_allclose(found, by_hand(method, embedded, lang, kind), atol=2e-4)
            half = removal.with_alpha(0.5).apply(x, tag, name)
            np.testing.assert_allclose(half, (found + x) / 2, atol=2e-4)
    assert removal.langs == (("*",) if method in ("whiten", "centred", "subspace") else embedded.langs)


@cache
def texts(langs: tuple[str, ...] = ("de", "en", "fr", "ja")) -> dict[str, list[str]]:
    corpus = parallel_corpus()
    return {lang: corpus.only_langs([lang]).passages["text"].to_pylist() for lang in langs}


@pytest.mark.parametrize("method", BUILT_IN)
@pytest.mark.parametrize("kinds", [1, 2])
def test_an_encoder_does_what_the_removal_does_without_languages(
    tiny_bert: Path, tmp_path: Path, method: str, kinds: int
) -> None:
    encoder = SentenceTransformer(str(tiny_bert), device="cpu")
    encoder.prompts = {"query": "cat ", "document": "dog "} if kinds == 2 else {}
    items = {lang: range(len(some)) for lang, some in texts().items()}
    options = RemovalOptions(rank=3 if METHODS[method].usual_rank else 0, ridge=1.0)
    made = debiased(encoder, texts(), items=items, method=method, options=options)
    embedded = Embedded(
        np.concatenate([f(texts()[lang]) for f in (encoder.encode_query, encoder.encode_document) for lang in texts()])
        .astype(np.float64), np.tile(np.repeat(range(4), 40), 2), np.repeat([0, 1], 160), tuple(texts()),
        np.tile(np.arange(40), 8),
    )  # fmt: skip
    embedded = replace(embedded, vectors=embedded.vectors / np.linalg.norm(embedded.vectors, axis=1, keepdims=True))
    if kinds == 1:
        embedded = embedded.only(embedded.kind == 1)
    removal = METHODS[method].fit_removal(embedded, options)
    removal = load_removal(removal.save(tmp_path / "removal.safetensors"))
    made.save(str(tmp_path / "encoder"), create_model_card=False)
    again = load_encoder(tmp_path / "encoder", device="cpu")
    asked = [*texts()["de"][:3], *texts()["ja"][-3:], "cat"]
    for one in (made, again, with_removal(encoder, removal)):
        for kind, new, old in (
            ("query", one.encode_query, encoder.encode_query),
            ("passage", one.encode_document, encoder.encode_document),
        ):
            np.testing.assert_allclose(new(asked), removal.apply(old(asked), None, kind), atol=2e-4)
    # Without a kind, the encoder tells it too.
    assert np.isfinite(again.encode(asked)).all()


def test_a_removal_of_another_dimension_does_not_fit_an_encoder(tiny_static) -> None:
    with pytest.raises(EncoderError, match="dimension 12 does not fit embeddings of dimension 16"):
        with_removal(tiny_static, removal_method("own-means").fit_removal(drawn()))
    told = Removal("x", ("de", "en"), np.zeros((2, 2, 16), dtype=np.float32))
    with pytest.raises(EncoderError, match="cannot tell the language"):
        with_removal(tiny_static, told)


def test_queries_that_are_missing_are_passages_that_are_moved() -> None:
    embedded = drawn()
    few = embedded.only(~((embedded.kind == 0) & (embedded.lang == 2) & (np.arange(len(embedded.lang)) % 9 > 0)))
    whole, moved = complete(few)
    assert moved == ["ja"]
    assert whole.counts().tolist() == [[80, 80]] * 3
    members = few.members()
    apart = np.mean([members[n][0].mean(axis=0) - members[n][1].mean(axis=0) for n in (0, 1)], axis=0)
    np.testing.assert_allclose(whole.members()[2][0], members[2][1] + apart)
    for method in ("own-means", "offsets"):
        removal = removal_method(method).fit_removal(few)
        assert removal.facts["queries_from_passages"] == ["ja"]
    none = embedded.only(embedded.kind == 1)
    removal = removal_method("own-means").fit_removal(none)
    assert isinstance(removal, Removal)
    np.testing.assert_array_equal(removal.offsets[0], removal.offsets[1])


def test_too_little_is_refused() -> None:
    embedded = drawn()
    few = embedded.only((embedded.lang != 1) | (np.arange(len(embedded.lang)) % 8 == 0))
    with pytest.raises(EncoderError, match="10 passages in 'en'; each language needs 20"):
        removal_method("own-means").fit_removal(few)
    with pytest.raises(EncoderError, match="texts in 1 languages"):
        removal_method("own-means").fit_removal(embedded.only(embedded.lang == 0))
    with pytest.raises(EncoderError, match="fitted on translations"):
        removal_method("offsets").fit_removal(replace(embedded, item=None))


def test_translations_of_an_encoder_are_named_by_items(tiny_static) -> None:
    with pytest.raises(EncoderError, match="say with `items` which texts are translations"):
        debiased(tiny_static, texts(), method="offsets")
    with pytest.raises(EncoderError, match="items: there are 40 texts in 'en', and the items of 3"):
        debiased(tiny_static, texts(), method="offsets", items={"de": range(40), "en": range(3)})
    items = {lang: [f"text {n}" for n in range(40)] for lang in texts()}
    asked = {lang: [f"{text}?" for text in some][::-1] for lang, some in texts().items()}
    plain = debiased(tiny_static, texts(), method="offsets", items=items)
    # Queries without items are no translations of anything.
    same = debiased(tiny_static, texts(), method="offsets", items=items, queries=asked)
    turned = {lang: some[::-1] for lang, some in items.items()}
    apart = debiased(tiny_static, texts(), method="offsets", items=items, queries=asked, query_items=turned)
    means = [made[-2].means.numpy() for made in (plain, same, apart)]
    np.testing.assert_array_equal(means[0], means[1])
    assert [len(some) for some in means] == [4, 4, 8]
    np.testing.assert_allclose(means[2][4:], means[0], atol=1e-6)


@pytest.fixture
def own_methods() -> Iterator[None]:
    yield
    for name in [name for name in METHODS if name not in BUILT_IN]:
        METHODS.unregister(name)


@pytest.mark.parametrize("returned", ["matrix", "pair", "removal", "module"])
def test_an_own_method_works_on_vectors(own_methods: None, tiny_static, returned: str) -> None:
    @extend.removal("own", usual_rank=lambda langs: langs - 1)
    def own(passages, queries, rank):  # type: ignore[no-untyped-def]
        assert rank in (2, 3)
        dimension = passages["en"].shape[1]
        if returned == "removal":
            offsets = np.array([[some[lang].mean(axis=0) for lang in some] for some in (queries, passages)])
            return Removal("own", tuple(passages), offsets.astype(np.float32), similarity="dot")
        matrix = 2 * np.eye(dimension)
        return {"matrix": matrix, "pair": (matrix, np.ones(dimension)), "module": torch.nn.Identity()}[returned]

    embedded = drawn()
    if returned == "module":
        with pytest.raises(EncoderError, match="returned a module, which works in an encoder only"):
            removal_method("own").fit_removal(embedded)
        return
    removal = removal_method("own").fit_removal(embedded)
    x = embedded.vectors[(embedded.lang == 1) & (embedded.kind == 1)]
    expected = {"matrix": 2 * x, "pair": 2 * x + 1, "removal": x - x.mean(axis=0)}[returned]
    np.testing.assert_allclose(removal.apply(x, "en", "passage"), expected, atol=1e-5)
    assert removal.facts == {}
