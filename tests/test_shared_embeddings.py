"""An audit and an index of one encoder share the embeddings in the user's cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import parallel_corpus

from babelmix.encoders import encode, load_encoder
from babelmix.encoders import store as stores
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
