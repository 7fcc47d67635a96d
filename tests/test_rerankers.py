"""Rerankers: a cross-encoder that the tests train, folders that are refused, and services that a small server plays."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import WORDS

from babelmix.errors import EncoderError, EngineError, SearchError
from babelmix.search.reranking import Reranker, open_reranker
from babelmix.search.reranking.base import checked_scores
from babelmix.search.reranking.service import RERANK_KEY, ServiceReranker

# --- a cross-encoder


def test_a_cross_encoder_scores_pairs_that_it_has_learned(tiny_cross_encoder: Path) -> None:
    reranker = open_reranker(tiny_cross_encoder, device="cpu")
    ranks = []
    for i, word in enumerate(WORDS["de"]):
        scores = reranker.scores(word, WORDS["fr"])
        assert scores.shape == (12,)
        assert scores.dtype == np.float32
        ranks.append(int((scores > scores[i]).sum()))
    assert np.mean(ranks) < 1
    # Log-odds, not probabilities.
    assert scores.min() < 0


def test_the_scores_of_several_queries_are_those_of_each(tiny_cross_encoder: Path) -> None:
    reranker = open_reranker(tiny_cross_encoder, device="cpu", batch_size=3)
    lists = [WORDS["de"], [], ["cat"], WORDS["ja"][:5]]
    together = reranker.scores_of_lists(["cat", "dog", "Hund", "pain"], lists)
    assert [len(one) for one in together] == [12, 0, 1, 5]
    for query, texts, scores in zip(["cat", "dog", "Hund", "pain"], lists, together, strict=True):
        assert reranker.scores(query, texts) == pytest.approx(scores, abs=1e-5)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: reranker.scores("cat", WORDS["de"]), range(8)))
    assert all(one == pytest.approx(together[0], abs=1e-5) for one in found)
    assert reranker.scores_of_lists(["a"], [[]])[0].shape == (0,)


def test_a_name_may_end_with_a_depth(tiny_cross_encoder: Path, tmp_path: Path) -> None:
    assert open_reranker(tiny_cross_encoder, device="cpu").depth == 50
    found = open_reranker(f"{tiny_cross_encoder}:7", device="cpu", max_length=4)
    assert (found.name, found.depth) == (str(tiny_cross_encoder), 7)
    # Three of the tokens are not words.
    assert found.scores("cat", ["dog"])[0] == found.scores("cat", ["dog house river"])[0]
    for depth in (0, 1001):
        with pytest.raises(SearchError, match="rerank 1 to 1,000 rows"):
            open_reranker(f"{tiny_cross_encoder}:{depth}")


def copy(folder: Path, to: Path, **files: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a model's folder with changed configuration files."""
    shutil.copytree(folder, to)
    for name, change in files.items():
        file = to / f"{name}.json"
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))
    return to


def test_what_is_no_cross_encoder_is_refused(tiny_cross_encoder: Path, tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="neither a folder nor a model that the hub gave"):
        open_reranker("nobody/no-reranker")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EncoderError, match="is not a reranker's folder"):
        open_reranker(tmp_path / "empty")
    # A plain encoder would get a random head.
    with pytest.raises(EncoderError, match=r"has no weights for classifier\.\w+.*would rerank at random"):
        open_reranker(tiny_bert)


def test_an_encoder_or_a_classifier_is_no_reranker(tiny_cross_encoder: Path, tmp_path: Path) -> None:
    encoder = copy(
        tiny_cross_encoder, tmp_path / "encoder",
        config_sentence_transformers=lambda c: c.update(model_type="SentenceTransformer"),
    )  # fmt: skip
    with pytest.raises(EncoderError, match="is no reranker that returns one score per pair"):
        open_reranker(encoder)
    task = copy(
        tiny_cross_encoder, tmp_path / "task",
        sentence_bert_config=lambda c: c.update(transformer_task="text-generation"),
    )  # fmt: skip
    with pytest.raises(EncoderError, match="is no task of a reranker"):
        open_reranker(task)


def test_a_classifier_with_several_labels_is_refused(tiny_cross_encoder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    config = BertConfig.from_pretrained(str(tiny_cross_encoder), num_labels=3)
    BertForSequenceClassification(config).save_pretrained(str(tmp_path))
    AutoTokenizer.from_pretrained(str(tiny_cross_encoder)).save_pretrained(str(tmp_path))
    with pytest.raises(EncoderError, match="gives 3 scores per pair"):
        open_reranker(tmp_path, device="cpu")


@pytest.mark.parametrize("key", ["activation_fn", "sbert_ce_default_activation_function"])
def test_an_activation_is_not_imported_by_its_name(key: str, tiny_cross_encoder: Path, tmp_path: Path) -> None:
    # sentence-transformers calls whatever has a dotted name that begins with  torch.
    folder = copy(
        tiny_cross_encoder,
        tmp_path / "model",
        config_sentence_transformers=lambda c: c.update({key: "torch.hub.list"}),
    )
    with pytest.raises(EncoderError, match=f"{key} = 'torch.hub.list': is no activation that babelmix knows of"):
        open_reranker(folder)


def test_weights_in_a_pickle_are_refused(tiny_cross_encoder: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = copy(tiny_cross_encoder, tmp_path / "model")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match="has no weights as safetensors"):
        open_reranker(folder)


def test_scores_are_checked() -> None:
    assert checked_scores([1, 2.5], 2, "r").dtype == np.float32
    for given, why in (
        ([1.0], "shape"), ([[1.0, 2.0]], "shape"), ([1.0, np.nan], "NaN or infinite"), (["a", "b"], "in place of scores")
    ):  # fmt: skip
        with pytest.raises(EngineError, match=why):
            checked_scores(given, 2, "r")


# --- a service


class Fake:
    """What a service answers: by default, the length of each text as its score, in one of the two forms."""

    def __init__(self, form: str) -> None:
        self.form, self.bodies, self.headers, self.paths = form, [], [], []  # type: ignore[var-annotated]
        self.statuses: list[int] = []
        self.answer: Any = None

    def __call__(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        self.paths.append(path)
        self.headers.append(headers)
        self.bodies.append(body)
        if self.statuses:
            return self.statuses.pop(0), {"error": "not now"}
        if self.form not in body:
            return 422, {"detail": f"{self.form} is missing"}
        if self.answer is not None:
            return 200, self.answer
        order = sorted(range(len(body[self.form])), key=lambda i: -len(body[self.form][i]))
        lengths = [len(text) for text in body[self.form]]
        if self.form == "texts":
            return 200, [{"index": i, "score": lengths[i]} for i in order]
        return 200, {"results": [{"index": i, "relevance_score": lengths[i] / 100} for i in order], "model": "m"}


@pytest.fixture
def served() -> Iterator[Callable[[Fake], str]]:
    """A function that serves a fake on a local port, and returns its URL."""
    running = []

    def start(fake: Fake) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, answer = fake(self.path, dict(self.headers), body)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *words: object) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}/rerank"

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def opened(served: Callable[[Fake], str]) -> Iterator[Callable[..., ServiceReranker]]:
    """A function that serves a fake, and opens a reranker on it."""
    made = []

    def start(fake: Fake, options: str = "", **given: Any) -> ServiceReranker:
        made.append(ServiceReranker(served(fake) + options, pause=0, **given))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_a_service_of_either_form_is_asked_in_its_form(opened) -> None:
    fake = Fake("texts")
    found = opened(fake, batch_size=2)
    assert found.scores("q", ["a", "abcd", "ab"]).tolist() == [1, 4, 2]
    assert [body["texts"] for body in fake.bodies] == [["a", "abcd"], ["ab"]]
    assert all(body["query"] == "q" and body["raw_scores"] and body["truncate"] for body in fake.bodies)

    fake = Fake("documents")
    found = opened(fake)
    # The form `texts` is refused once.
    for _ in range(2):
        scores = found.scores("q", ["a" * 50, "a" * 90])
        assert scores == pytest.approx([0, np.log(9)], abs=1e-5)
    assert [("texts" in body) for body in fake.bodies] == [True, False, False]
    assert fake.bodies[-1]["top_n"] == 2
    assert found.scores("q", []).shape == (0,)


def test_the_options_of_an_address_are_not_sent(opened, monkeypatch) -> None:
    monkeypatch.setenv(RERANK_KEY, "secret")
    fake = Fake("documents")
    found = opened(fake, "?model=jina&scores=raw&depth=20&version=3")
    assert found.scores("q", ["a" * 50]) == pytest.approx([0.5])
    assert found.depth == 20
    assert fake.bodies[0]["model"] == "jina"
    assert fake.paths == ["/rerank?version=3"]
    assert fake.headers[0]["authorization"] == "Bearer secret"
    assert "?" not in found.name
    assert "secret" not in found.name


def test_a_busy_service_is_asked_again(opened) -> None:
    fake = Fake("texts")
    fake.statuses = [503, 429]
    assert opened(fake).scores("q", ["ab"]).tolist() == [2]
    fake.statuses = [503] * 9
    with pytest.raises(EngineError, match=r"cannot be reached \(status 503\)"):
        opened(fake, tries=2).scores("q", ["ab"])
    assert len(fake.statuses) == 7
    gone = ServiceReranker("http://user:hidden@127.0.0.1:1/rerank", tries=1)
    with pytest.raises(EngineError, match=r"^http://127.0.0.1:1/rerank: the reranker cannot be reached") as error:
        gone.scores("q", ["a"])
    assert "hidden" not in str(error.value)
    gone.close()


@pytest.mark.parametrize(
    ("status", "why"),
    [(401, f"status 401: not now.; set its key in {RERANK_KEY}"), (500, "status 500: not now"), (404, "status 404")],
)  # fmt: skip
def test_a_refusal_has_a_sentence(status: int, why: str, opened) -> None:
    fake = Fake("texts")
    fake.statuses = [status] * 2
    with pytest.raises(EngineError, match=why):
        opened(fake).scores("q", ["a"])


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"hits": []}, "no list of results"),
        ("words", "no list of results"),
        (b"<html>", "not with JSON"),
        ([{"index": 0, "score": 1}], "scores 1 of 2 texts"),
        ([{"index": 0, "score": 1}, {"index": 0, "score": 1}], "has the text 0 twice"),
        ([{"index": 0, "score": 1}, {"index": 2, "score": 1}], "no index with a score"),
        ([{"index": 0, "score": "high"}, {"index": 1, "score": 1}], "no index with a score"),
        ([{"index": 0, "score": True}, {"index": 1, "score": 1}], "no index with a score"),
        ([{"index": 0}, {"index": 1, "score": 1}], "no index with a score"),
        ([0.5, 0.7], "no index with a score"),
        (b'[{"index": 0, "score": NaN}, {"index": 1, "score": 1}]', "NaN or infinite"),
    ],
)
def test_a_wrong_answer_has_a_sentence(answer: Any, why: str, opened) -> None:
    fake = Fake("texts")
    fake.answer = answer
    with pytest.raises(EngineError, match=why):
        opened(fake).scores("q", ["a", "b"])


def test_scores_that_are_no_probabilities_are_told(opened) -> None:
    fake = Fake("documents")
    with pytest.raises(EngineError, match="scores=raw"):
        opened(fake, "?form=documents").scores("q", ["a" * 101])
    fake.answer = {"results": [{"index": 0, "relevance_score": 1.0}, {"index": 1, "relevance_score": 0}]}
    assert np.isfinite(opened(fake, "?form=documents").scores("q", ["a", "b"])).all()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://", "malformed"), ("http://host:port/rerank", "malformed"),
        ("https://host/rerank?form=both", "texts or documents"),
        ("https://host/rerank?scores=high", "raw or probability"), ("https://host/rerank?depth=all", "no whole number"),
        ("https://host/rerank?depth=0", "1 to 1,000"),
    ],
)  # fmt: skip
def test_a_wrong_address_is_told(url: str, why: str) -> None:
    with pytest.raises(SearchError, match=why):
        open_reranker(url)


def test_a_reranker_of_ones_own_needs_two_names() -> None:
    class Own(Reranker):
        name = "own"

        def scores(self, query: str, texts: Any) -> Any:
            return np.array([len(text) for text in texts], dtype=np.float32)

    own = Own()
    assert own.depth == 50
    assert [one.tolist() for one in own.scores_of_lists(["a", "b"], [["x"], ["xy", "z"]])] == [[1], [2, 1]]
    own.close()
