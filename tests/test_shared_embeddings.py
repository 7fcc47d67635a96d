"""An audit and an index of one encoder share the embeddings in the user's cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from conftest import parallel_corpus
from sentence_transformers.sentence_transformer.modules import Normalize

from babelmix.encoders import encode, fingerprint, load_encoder
from babelmix.encoders import store as stores
from babelmix.encoders.debias import debiased
from babelmix.encoders.ending import endings_of
from babelmix.encoders.store import EmbeddingStore, OpenStore, text_keys
from babelmix.evaluation.systems import EncoderSystem
from babelmix.search import Index, index_rows
from babelmix.search.documents import rows_of_corpus

pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")


class Watched:
    """Counts the texts that an encoder embeds."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.encoder = load_encoder(str(folder))
        self.queries: list[str] = []
        self.documents: list[str] = []
        for name, seen in (("encode_query", self.queries), ("encode_document", self.documents)):
            method = getattr(self.encoder, name)

            def counting(texts, *, of=method, seen=seen, **options):
                seen.extend(texts)
                return of(texts, **options)

            monkeypatch.setattr(self.encoder, name, counting)

    def counts(self) -> tuple[int, int]:
        found = len(self.queries), len(self.documents)
        self.queries.clear()
        self.documents.clear()
        return found


@pytest.fixture
def watched(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path / "cache"))
    return Watched(tiny_bert, monkeypatch)


def test_an_audit_after_an_index_embeds_the_queries_alone(watched: Watched, tmp_path: Path) -> None:
    corpus = parallel_corpus(items=20)
    passages = corpus.passages.num_rows
    with Index.create(str(tmp_path / "index"), watched.encoder, "tiny") as index:
        index_rows(index, watched.encoder, rows_of_corpus(corpus))
    assert watched.counts() == (0, passages)
    system = EncoderSystem(watched.encoder, "tiny")
    reused = system.embed(corpus)
    assert watched.counts() == (len(set(corpus.queries["text"].to_pylist())), 0)
    fresh = EncoderSystem(watched.encoder, "tiny", store=False).embed(corpus)
    assert np.allclose(reused.passages, fresh.passages, atol=1e-6)
    assert (system.embed(corpus).passages == reused.passages).all()


def test_an_index_after_an_audit_embeds_nothing(watched: Watched, tmp_path: Path) -> None:
    corpus = parallel_corpus(items=20)
    sides = EncoderSystem(watched.encoder, "tiny").embed(corpus)
    watched.counts()
    texts = corpus.passages["text"].to_pylist()
    with Index.create(str(tmp_path / "index"), watched.encoder, "tiny") as index:
        assert index_rows(index, watched.encoder, rows_of_corpus(corpus), size=50).written == len(texts)
        assert watched.counts() == (0, 0)
        hits = index.engine.nearest(index.ready(sides.passages[:8]), [index.where(None, {})] * 8, 1, exact=True)
    assert [hit.text for (hit,) in hits] == texts[:8]


def test_another_encoder_and_a_static_one_share_nothing(watched: Watched, tmp_path: Path, tiny_static) -> None:
    corpus = parallel_corpus(items=6)
    with Index.create(str(tmp_path / "index"), watched.encoder, "tiny") as index:
        index_rows(index, watched.encoder, rows_of_corpus(corpus))
    watched.counts()
    watched.encoder.prompts = {"query": "", "document": "cat "}
    EncoderSystem(watched.encoder, "tiny").embed(corpus)
    assert watched.counts()[1] == corpus.passages.num_rows
    before = len(list(tmp_path.rglob("*.keys.npy")))
    with Index.create(str(tmp_path / "static"), tiny_static, "tiny") as index:
        index_rows(index, tiny_static, rows_of_corpus(corpus))
    with Index.create(str(tmp_path / "apart"), watched.encoder, "tiny") as index:
        index_rows(index, watched.encoder, rows_of_corpus(corpus), store=False)
    assert len(list(tmp_path.rglob("*.keys.npy"))) == before


def test_new_texts_are_embedded_and_kept(watched: Watched, tmp_path: Path) -> None:
    small, large = parallel_corpus(items=5), parallel_corpus(items=9)
    EncoderSystem(watched.encoder, "tiny").embed(small)
    watched.counts()
    with Index.create(str(tmp_path / "index"), watched.encoder, "tiny") as index:
        index_rows(index, watched.encoder, rows_of_corpus(large))
    assert watched.counts() == (0, large.passages.num_rows - small.passages.num_rows)
    encode(watched.encoder, large.passages["text"].to_pylist(), "document")
    assert watched.counts() == (0, 0)


def test_an_open_store_finds_what_it_holds(tmp_path: Path) -> None:
    place = EmbeddingStore(tmp_path)
    vectors = np.arange(12, dtype=np.float32).reshape(6, 2)
    place.add(text_keys(["a", "b", "c"]), vectors[:3])
    place.add(text_keys(["d", "e"]), vectors[3:5])
    store = OpenStore(place)
    there, found = store.find(text_keys(["e", "x", "a", "a"]))
    assert there.tolist() == [True, False, True, True]
    assert found is not None
    assert found[there].tolist() == vectors[[4, 0, 0]].tolist()
    assert store.find(text_keys(["x"]))[1] is None
    assert OpenStore(EmbeddingStore(tmp_path / "empty")).find(text_keys(["x"]))[0].tolist() == [False]
    # Keys whose first halves are equal are told apart.
    twins = np.array([[7, 1], [7, 2]], dtype=np.uint64)
    place.add(twins, vectors[:2])
    found = OpenStore(place).find(twins[::-1].copy())[1]
    assert found is not None
    assert found.tolist() == vectors[1::-1].tolist()
    # A damaged shard is as good as none.
    for file in tmp_path.glob("*.vectors.npy"):
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert not OpenStore(place).find(text_keys(["c", "e"]))[0].any()


def test_an_open_store_writes_up_to_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "FLUSH_BYTES", 0)
    place = EmbeddingStore(tmp_path)
    store = OpenStore(place, most=16)
    store.add(text_keys(["a"]), np.ones((1, 2), dtype=np.float32))
    assert len(list(tmp_path.glob("*.keys.npy"))) == 1
    store.add(text_keys(["b"]), np.ones((1, 2), dtype=np.float32))
    store.add(text_keys(["c"]), np.ones((1, 2), dtype=np.float32))
    store.flush()
    assert OpenStore(place).find(text_keys(["a", "b", "c"]))[0].tolist() == [True, True, False]


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BABELMIX_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("method", ["centred", "means", "langsae"])
@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.usefixtures("own_cache")
def test_an_encoder_without_language_moves_what_is_kept_of_the_encoder(
    method: str, normalised: bool, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, corpus = load_encoder(str(tiny_bert)), parallel_corpus(items=20)
    if normalised:
        encoder.append(Normalize())
    table = corpus.passages
    by_lang = {
        lang: table.filter(pc.equal(table["lang"], lang))["text"].to_pylist() for lang in ("de", "en", "fr", "ja")
    }
    EncoderSystem(encoder, "tiny").embed(corpus)
    made = debiased(encoder, by_lang, method=method)
    fresh = EncoderSystem(made, "tiny", store=False).embed(corpus)
    passes: list[int] = []
    forward = made.forward
    monkeypatch.setattr(made, "forward", lambda *given, **options: passes.append(1) or forward(*given, **options))
    moved = EncoderSystem(made, "tiny").embed(corpus)
    assert not passes
    again = EncoderSystem(made, "tiny").embed(corpus)
    for side in ("queries", "passages"):
        assert np.allclose(getattr(moved, side), getattr(fresh, side), atol=1e-6)
        assert np.array_equal(getattr(again, side), getattr(moved, side))
    texts = ["Katze Hund 5", corpus.queries["text"][0].as_py()]
    other = encode(made, texts, "query")
    assert len(passes) == 1  # one of the texts is new
    assert np.allclose(other, encode(made, texts, "query", store=False), atol=1e-6)


def test_an_encoder_is_parted_at_its_removal_alone(tiny_bert: Path) -> None:
    encoder = load_encoder(str(tiny_bert))
    texts = {lang: [f"{lang} {number}" for number in range(20)] for lang in ("de", "en")}
    assert endings_of(encoder) == ()
    made = debiased(encoder, texts)
    first = endings_of(made)
    assert endings_of(made) is first
    assert [fingerprint(ending.before) == fingerprint(encoder) for ending in first] == [False, True]
    made.prompts = {"query": "ask: "}
    assert fingerprint(endings_of(made)[1].before) != fingerprint(encoder)
    made.truncate_dim = 8
    assert endings_of(made) == ()
    made.truncate_dim = None
    made.append(Normalize())
    assert endings_of(made) == ()
