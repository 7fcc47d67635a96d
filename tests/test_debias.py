"""Taking language out of embeddings: each method against its definition, and on an encoder that is saved and loaded."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import parallel_corpus
from sentence_transformers import SentenceTransformer

from babelmix import extend
from babelmix.encoders import load_encoder
from babelmix.encoders.debias import (
    METHODS,
    LanguageRemoval,
    affine,
    centred_subspace,
    debiased,
    language_subspace,
    usual_rank,
    whitening,
)
from babelmix.encoders.removal import Embedded, RemovalOptions, removal_method
from babelmix.encoders.removal.module import module_of
from babelmix.errors import ArgumentError, ConfigError, EncoderError
from babelmix.evaluation import audit

BUILT_IN = tuple(METHODS)


def drawn(langs: int = 4, each: int = 300, dimension: int = 12, apart: float = 5.0) -> Embedded:
    """Meaning and noise around a mean of each language."""
    rng = np.random.default_rng(0)
    centres = 1 + apart * rng.standard_normal((langs, dimension))
    lang = np.repeat(np.arange(langs), each)
    vectors = centres[lang] + rng.standard_normal((len(lang), dimension)) * np.linspace(0.5, 1.5, dimension)
    return Embedded(vectors, lang, np.zeros_like(lang), tuple("abcd"[:langs]), similarity="dot")


def module(method: str, embedded: Embedded, rank: int = 0) -> torch.nn.Module:
    return module_of(removal_method(method).fit_removal(embedded, RemovalOptions(rank=rank)))


def texts(langs: tuple[str, ...] = ("de", "en", "fr", "ja")) -> dict[str, list[str]]:
    corpus = parallel_corpus()
    return {lang: corpus.only_langs([lang]).passages["text"].to_pylist() for lang in langs}


def items() -> dict[str, list[int]]:
    """The texts of the corpus are translations, in one order."""
    return {lang: list(range(len(some))) for lang, some in texts().items()}


def test_the_subspace_holds_all_differences_of_means_and_nothing_they_share() -> None:
    means = drawn().means_of_langs()
    directions = language_subspace(means, 3)
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), atol=1e-9)
    left = means - means @ directions.T @ directions
    # Four means differ in three directions: what is left is the same for all.
    np.testing.assert_allclose(left, np.broadcast_to(left.mean(axis=0), left.shape), atol=1e-9)
    # It is the point of their plane that is nearest to 0.
    assert np.abs(left.mean(axis=0) @ (means - means[0]).T).max() < 1e-8


def test_fewer_directions_take_the_largest_differences() -> None:
    means = drawn().means_of_langs()
    left = []
    for rank in (1, 2, 3):
        directions = language_subspace(means, rank)
        rest = means - means @ directions.T @ directions
        left.append(((rest - rest.mean(axis=0)) ** 2).sum())
    assert left[0] > left[1] > left[2]
    assert left[2] < 1e-9 * left[0]


def test_centred_takes_all_means_to_zero() -> None:
    drawn_once = drawn()
    kind = np.arange(len(drawn_once.lang)) % 2
    # A prompt moves queries, and those of each language a little more.
    moved = drawn_once.vectors + kind[:, None] * (7 + np.linspace(0, 1, 4)[drawn_once.lang, None] * np.arange(12))
    members = Embedded(moved, drawn_once.lang, kind).members()
    means = np.array([[some.mean(axis=0) for some in kinds] for kinds in members])
    # 4 languages of 2 kinds differ in 6 directions at most, beside those of the kinds.
    directions = centred_subspace(members, 6)
    np.testing.assert_allclose(directions @ directions.T, np.eye(8), atol=1e-9)
    np.testing.assert_allclose(means @ (np.eye(12) - directions.T @ directions), 0, atol=1e-9)
    fewer = centred_subspace(members, 2)
    np.testing.assert_allclose(means.mean(axis=0) @ (np.eye(12) - fewer.T @ fewer), 0, atol=1e-9)
    # The largest differences of languages go first.
    left = [
        np.linalg.norm(means @ (np.eye(12) - d.T @ d)) for d in (centred_subspace(members, r) for r in range(1, 7))
    ]
    assert left == sorted(left, reverse=True)


def test_centred_with_one_kind_and_all_directions_is_subspace_and_the_mean() -> None:
    directions = centred_subspace(drawn().members(), 3)
    means = drawn().means_of_langs()
    other = np.linalg.qr(np.concatenate([means.mean(axis=0)[None], language_subspace(means, 3)]).T)[0].T
    np.testing.assert_allclose(directions.T @ directions, other.T @ other, atol=1e-8)


def test_whitened_vectors_have_no_correlations() -> None:
    vectors = drawn().vectors
    matrix, offset = whitening(vectors)
    white = vectors @ matrix.T + offset
    np.testing.assert_allclose(np.cov(white, rowvar=False), np.eye(12), atol=1e-9)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-9)


def test_means_are_those_of_the_language_that_the_embedding_tells() -> None:
    embedded = drawn()
    removal = module("means", embedded)
    x = torch.from_numpy(embedded.vectors).float()
    found = removal({"sentence_embedding": x})["sentence_embedding"].numpy()
    expected = embedded.vectors - embedded.means_of_langs()[embedded.lang]
    # Languages so far apart are told without a doubt.
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_what_may_be_of_two_languages_loses_half_of_each_mean() -> None:
    embedded = drawn(langs=2)
    removal = module("means", embedded)
    means = embedded.means_of_langs()
    between = torch.from_numpy(means.mean(axis=0, keepdims=True)).float()
    found = removal({"sentence_embedding": between})["sentence_embedding"].numpy()
    np.testing.assert_allclose(found, 0, atol=1e-3)


def test_components_are_the_first_principal_directions_of_the_language() -> None:
    embedded = drawn()
    removal = module("components", embedded, 2)
    x = torch.from_numpy(embedded.vectors).float()
    found = removal({"sentence_embedding": x})["sentence_embedding"].numpy()
    for lang in range(4):
        some = embedded.vectors[embedded.lang == lang]
        values, directions = np.linalg.eigh(some.T @ some)
        kept = directions[:, np.argsort(-values)[2:]]
        np.testing.assert_allclose(found[embedded.lang == lang], some @ kept @ kept.T, atol=1e-3)


@pytest.mark.parametrize("method", list(METHODS))
def test_an_encoder_without_language_is_saved_and_loaded(tiny_static, tmp_path: Path, method: str) -> None:
    before = copy.deepcopy(tiny_static.state_dict())
    rank = 3 if usual_rank(method, 4) else 0
    found = debiased(tiny_static, texts(), items=items(), method=method, rank=rank)
    assert all(torch.equal(before[name], value) for name, value in tiny_static.state_dict().items())
    found.save(str(tmp_path / "saved"))
    again = load_encoder(str(tmp_path / "saved"))
    asked = ["Katze 3", "cat", "猫"]
    np.testing.assert_allclose(again.encode_query(asked), found.encode_query(asked), atol=1e-6)
    assert np.abs(found.encode_query(asked) - tiny_static.encode_query(asked)).max() > 0.01
    if method in ("centred", "subspace", "whiten"):
        plain = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
        np.testing.assert_allclose(plain.encode_query(asked), found.encode_query(asked), atol=1e-6)


@pytest.mark.parametrize("what", ["a mapping", "another module"])
def test_nothing_else_is_trusted_with_it(tiny_static, tmp_path: Path, what: str) -> None:
    folder = tmp_path / "saved"
    debiased(tiny_static, texts(), method="means").save(str(folder))
    if what == "a mapping":
        (folder / "config.json").write_text('{"auto_map": {"AutoModel": "modeling.Evil"}}')
    else:
        modules = (folder / "modules.json").read_text()
        (folder / "modules.json").write_text(modules.replace("sentence_transformers.", "os.", 1))
    with pytest.raises(EncoderError, match="babelmix loads no code and nothing unknown"):
        load_encoder(str(folder))


def test_a_program_beside_it_is_not_run(tiny_static, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    debiased(tiny_static, texts(), method="means").save(str(folder))
    (folder / "debias.py").write_text("raise SystemExit")
    assert any(isinstance(module, LanguageRemoval) for module in load_encoder(str(folder)))


def test_it_takes_bias_away(tiny_static) -> None:
    corpus = parallel_corpus()
    # An encoder with a strong accent.
    accented = copy.deepcopy(tiny_static)
    rng = np.random.default_rng(0)
    for lang in ("de", "en", "fr", "ja"):
        tokens = [t for text in texts()[lang] for t in accented.tokenizer.encode(text).ids]
        offset = torch.from_numpy(3 * rng.standard_normal(16)).float()
        with torch.no_grad():
            accented[0].embedding.weight[sorted(set(tokens))] += offset
    shares = {
        name: audit(encoder, corpus, name=name, store=False).macro("bias/same-language share@10")
        for name, encoder in (
            ("before", accented),
            *((m, debiased(accented, texts(), method=m)) for m in ("centred", "subspace", "means")),
        )
    }
    for method in ("centred", "subspace", "means"):
        assert shares[method] < shares["before"] - 0.1


def test_queries_and_passages_are_told_apart_where_their_prompts_differ(tiny_bert: Path) -> None:
    encoder = SentenceTransformer(str(tiny_bert), device="cpu")
    encoder.prompts = {"query": "cat ", "document": "dog "}
    removal = debiased(encoder, texts(), method="means")[-2]
    assert isinstance(removal, LanguageRemoval)
    assert removal.clusters == 8
    encoder.prompts = {}
    assert debiased(encoder, texts(), method="means")[-2].clusters == 4


def test_queries_are_fitted_on_as_such(tiny_static) -> None:
    asked = {lang: [f"{text}?" for text in some] for lang, some in texts().items()}
    plain = debiased(tiny_static, texts())
    same = debiased(tiny_static, texts(), queries=texts())
    apart = debiased(tiny_static, texts(), queries=asked)
    matrices = [made[-2].linear.weight.detach().numpy() for made in (plain, same, apart)]
    np.testing.assert_array_equal(matrices[0], matrices[1])
    # A direction more: from passages to queries.
    assert [round(16 - np.trace(matrix)) for matrix in matrices] == [4, 4, 5]
    # Too few of a language, or a language that is not asked for, are as none.
    few = debiased(tiny_static, texts(), queries={"en": asked["en"][:19], "pl": asked["de"]})
    np.testing.assert_array_equal(few[-2].linear.weight.detach().numpy(), matrices[0])
    some = debiased(tiny_static, texts(), queries={"en": asked["en"]})
    assert np.abs(some[-2].linear.weight.detach().numpy() - matrices[2]).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "magic"}, "'magic' is unknown"), ({"rank": 4}, "4 languages differ in at most 3"), ({"rank": -1}, "rank -1"),
        ({"method": "components", "rank": 16}, "below the dimension, 16"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(tiny_static, options: dict, words: str) -> None:
    with pytest.raises(EncoderError, match=words):
        debiased(tiny_static, texts(), **options)


def test_too_little_is_refused(tiny_static) -> None:
    with pytest.raises(EncoderError, match="texts in 1 languages"):
        debiased(tiny_static, texts(("de",)))
    with pytest.raises(EncoderError, match="19 texts in 'en'"):
        debiased(tiny_static, {"de": ["a"] * 20, "en": ["a"] * 19})


@pytest.mark.parametrize(("method", "ranks"), [("centred", [1, 1, 14]), ("subspace", [1, 1, 10]), ("components", [1, 1, 10]),
                                               ("means", [0, 0, 0]), ("whiten", [0, 0, 0])])  # fmt: skip
def test_the_usual_rank_is_of_the_method(method: str, ranks: list[int]) -> None:
    assert [usual_rank(method, langs) for langs in (1, 2, 15)] == ranks
    assert removal_method(method).takes_away


@pytest.mark.parametrize("method", ["means", "whiten"])
def test_a_method_without_directions_takes_no_rank(tiny_static, method: str) -> None:
    with pytest.raises(
        ArgumentError, match=f"rank: {method} takes no directions away; it is of centred, subspace, comp"
    ):
        debiased(tiny_static, texts(), method=method, rank=2)


@pytest.fixture
def own_methods() -> Iterator[None]:
    yield
    for name in [name for name in METHODS if name not in BUILT_IN]:
        METHODS.unregister(name)


@pytest.mark.parametrize("returned", ["matrix", "pair", "module"])
def test_an_own_method(own_methods: None, tiny_static, tmp_path: Path, returned: str) -> None:
    given = {}

    @extend.removal("own", takes_away="the mean of English", usual_rank=lambda langs: langs - 1)
    def own(passages, queries, rank):  # type: ignore[no-untyped-def]
        given["passages"], given["queries"], given["rank"] = passages, queries, rank
        mean = passages["en"].mean(axis=0)
        if returned == "matrix":
            return np.eye(16) - np.outer(mean, mean) / (mean @ mean)
        return (np.eye(16), -mean) if returned == "pair" else affine(np.eye(16), -mean.astype(np.float64))

    asked = {lang: [f"{text}?" for text in some] for lang, some in texts().items()}
    found = debiased(tiny_static, texts(), queries=asked, method="own")
    assert list(given["passages"]) == list(given["queries"]) == ["de", "en", "fr", "ja"]
    assert given["rank"] == 3
    plain = tiny_static.encode_document(texts()["en"])
    np.testing.assert_allclose(given["passages"]["en"], plain, atol=1e-6)
    assert np.abs(given["queries"]["en"] - plain).max() > 1e-3
    mean = plain.mean(axis=0)
    expected = plain - mean if returned != "matrix" else plain - np.outer(plain @ mean, mean) / (mean @ mean)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found.encode_document(texts()["en"]), expected, atol=1e-4)
    # It is one matrix, and needs neither the function nor babelmix to load.
    found.save(str(tmp_path), create_model_card=False)
    np.testing.assert_allclose(load_encoder(str(tmp_path)).encode(["cat"]), found.encode(["cat"]), atol=1e-6)


def test_queries_of_an_own_method_are_the_passages_where_both_are_embedded_alike(
    own_methods: None, tiny_static
) -> None:
    @extend.removal("own")
    def own(passages, queries, rank):  # type: ignore[no-untyped-def]
        assert all((passages[lang] == queries[lang]).all() for lang in texts())
        assert rank == 0
        return np.eye(16)

    debiased(tiny_static, texts(), method="own")


@pytest.mark.parametrize(
    ("returned", "words"),
    [(np.eye(3), r"shapes \(3, 3\) and \(16,\)"), ((np.eye(16), np.zeros(3)), r"\(16, 16\) and \(3,\)"),
     (np.full((16, 16), np.nan), "NaN or infinite")],
)  # fmt: skip
def test_what_an_own_method_returns_is_checked(own_methods: None, tiny_static, returned, words: str) -> None:
    extend.removal("own")(lambda passages, queries, rank: returned)
    with pytest.raises(EncoderError, match=words):
        debiased(tiny_static, texts(), method="own")
    with pytest.raises(ConfigError, match="part of babelmix"):
        extend.removal("centred")(lambda passages, queries, rank: returned)
