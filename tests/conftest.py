"""Small corpora and encoders, and fixtures that several test files share."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if "PYTEST_XDIST_WORKER" in os.environ:
    # There is one process per core already.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("POLARS_MAX_THREADS", "1")

from babelmix.corpus import Corpus

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from babelmix.evaluation import RankTable
    from babelmix.search import Searcher
    from babelmix.training import TrainingSettings

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("babelmix", deadline=None)
hypothesis.settings.load_profile("babelmix")

Serve = Callable[..., "TestClient"]

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
WORDS = {
    "en": ["cat", "dog", "house", "river", "bread", "light", "stone", "paper", "green", "seven", "wind", "salt"],
    "de": ["Katze", "Hund", "Haus", "Fluss", "Brot", "Licht", "Stein", "Papier", "grün", "sieben", "Wind", "Salz"],
    "fr": ["chat", "chien", "maison", "fleuve", "pain", "lumière", "pierre", "papier", "vert", "sept", "vent", "sel"],
    "ja": ["猫", "犬", "家", "川", "パン", "光", "石", "紙", "緑", "七", "風", "塩"],
}

# Query row, language of the relevant passage, and how many passages in de, en and it outrank this passage.
# Query 1 has a relevant passage in one language only. No passage is in the language of query 2. Query 3 has two relevant passages
# in its own language, query 4 has none at all, and query 5 has none in its own language.
SPARSE_PAIRS = [
    (0, "de", (1, 0, 0)), (0, "en", (2, 1, 1)),
    (1, "en", (0, 0, 0)),
    (2, "de", (2, 1, 0)), (2, "en", (1, 0, 0)),
    (3, "de", (3, 1, 1)), (3, "de", (1, 1, 0)), (3, "en", (0, 0, 0)), (3, "it", (4, 2, 1)),
    (5, "en", (1, 1, 0)), (5, "it", (3, 3, 0)),
]  # fmt: skip


def pytest_collection_finish() -> None:
    """Leave what was imported out of the garbage collector: it stays until the end, and was looked through again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_matplotlib(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep matplotlib's cache in the folder of the test run."""
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path_factory.getbasetemp() / "matplotlib"))


@pytest.fixture(autouse=True, scope="session")
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Use one cache for the whole test run: unpacking an encoder takes long."""
    place = tmp_path_factory.getbasetemp()
    # All pytest-xdist workers of a run use the same cache.
    place = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place
    os.environ.setdefault("BABELMIX_CACHE", str(place / "cache"))


@pytest.fixture(autouse=True, scope="session")
def _equal_figures_are_drawn_once() -> Iterator[None]:
    """Draw figures of equal numbers once in a process: many tests write the report of the same small audit."""
    from babelmix.experiment.report import figures

    drawn: dict[bytes, str] = {}

    def remembering(draw: Callable[..., str]) -> Callable[..., str]:
        def remembered(*given: Any, **options: Any) -> str:
            key = pickle.dumps((draw.__name__, given, options))
            if key not in drawn:
                drawn[key] = draw(*given, **options)
            return drawn[key]

        return remembered

    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "heatmaps",
            "grouped_bars",
            "boxes",
            "settings_overview",
            "differences",
            "curves",
            "alpha_curves",
        ):
            patch.setattr(figures, name, remembering(getattr(figures, name)))
        yield


def shared(path: str) -> Path:
    """A file of the development data; skips the test where the file is missing."""
    found = SHARED / path
    if not found.exists():
        pytest.skip(f"development data {path} is not on this machine")
    return found


def parallel_corpus(items: int = 40, langs: tuple[str, ...] = ("de", "en", "fr", "ja"), group_size: int = 2) -> Corpus:
    """A fully parallel corpus: the passage of item i has three words, its query two of them."""
    queries, passages = [], []
    for i in range(items):
        picks = [i % 12, (i // 12 + 5) % 12, (7 * i + 3) % 12]
        for lang in langs:
            words = [WORDS[lang][p] for p in picks]
            group = f"g{i // group_size}"
            queries.append({"item": f"i{i}", "lang": lang, "text": f"{words[0]} {words[2]} {i}", "group": group})
            passages.append({"item": f"i{i}", "lang": lang, "text": f"{' '.join(words)} {i} .", "group": group})
    return Corpus.from_rows(queries, passages, [(f"i{i}", f"i{i}") for i in range(items)], name="toy")


def flat_settings(**given: Any) -> TrainingSettings:
    """Training settings from names that are unique over all sections, such as `lora_rank`."""
    from babelmix.training import TrainingSettings
    from babelmix.training.flat import in_sections

    return TrainingSettings(**in_sections(given)[0])


def png(colour: tuple[int, int, int], size: int = 16) -> bytes:
    """A picture of one colour, as PNG."""
    from PIL import Image

    sink = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(sink, "PNG")
    return sink.getvalue()


def picture_corpus(items: int = 40, langs: tuple[str, ...] = ("de", "en", "fr", "ja"), captions: int = 1) -> Corpus:
    """Pictures of one colour each, with captions in every language: a word for the red value, one for the green value."""
    queries, passages = [], []
    for i in range(items):
        red, green = i % 12, i // 12
        row = {"item": f"i{i}", "group": f"g{i}"}
        passages.append({**row, "lang": "zxx", "image": png((20 * red, 60 * green, 0))})
        queries += [
            {**row, "lang": lang, "text": f"{WORDS[lang][red]} {WORDS[lang][(green + 5) % 12]}" + " ." * n}
            for lang in langs
            for n in range(captions)
        ]
    return Corpus.from_rows(queries, passages, [(f"i{i}", f"i{i}") for i in range(items)], name="colours")


def sparse_corpus(rng: np.random.Generator, items: int, langs: tuple[str, ...], keep: float) -> Corpus:
    """A corpus with random coverage. Some items share a text, and some queries have two relevant passages."""
    queries, passages, qrels = [], [], []
    for i in range(items):
        for lang in langs:
            if rng.random() < keep:
                queries.append(
                    {"item": f"q{i}", "lang": lang, "text": f"query {i if rng.random() > 0.1 else 0} {lang}"}
                )
            for copy in range(1 + (rng.random() < 0.2)):
                if rng.random() < keep:
                    text = f"passage {i if rng.random() > 0.1 else 0} {lang} {copy}"
                    passages.append({"item": f"p{i}", "lang": lang, "text": text})
    have_q, have_p = {q["item"] for q in queries}, {p["item"] for p in passages}
    for i in range(items):
        targets = {i, int(rng.integers(items))} if rng.random() < 0.2 else {i}
        qrels += [(f"q{i}", f"p{j}") for j in sorted(targets) if f"q{i}" in have_q and f"p{j}" in have_p]
    return Corpus.from_rows(queries, passages, qrels, name="sparse")


@pytest.fixture
def corpus() -> Corpus:
    return parallel_corpus()


@pytest.fixture
def table() -> RankTable:
    """A small rank table with sparse coverage: six queries in three languages, passages in de, en and it."""
    from babelmix.evaluation import RankTable

    query, langs, above = zip(*SPARSE_PAIRS, strict=True)
    first_three = [(2, 1, 0), (1, 1, 1), (0, 3, 0), (0, 0, 3), (3, 0, 0), (1, 2, 0)]
    return RankTable(
        query_langs=("de", "en", "fr"),
        passage_langs=("de", "en", "it"),
        pool_sizes=np.array([6, 4, 2]),
        query_item=np.array([f"i{q}" for q in range(6)], dtype=object),
        query_group=np.array(list("bacbac"), dtype=object),
        query_lang=np.array([0, 1, 2, 0, 0, 0]),
        pair_query=np.array(query),
        pair_passage=np.arange(len(SPARSE_PAIRS)),
        pair_lang=np.array([("de", "en", "it").index(lang) for lang in langs]),
        pair_grade=np.ones(len(SPARSE_PAIRS), dtype=np.int64),
        outranking_counts=np.array(above, dtype=np.int32),
        top=np.array([[first, (6, 4, 2)] for first in first_three], dtype=np.int32),
        cutoffs=(3, 20),
        about={},
    )


@pytest.fixture(scope="session")
def tiny_static(tmp_path_factory: pytest.TempPathFactory):
    """An untrained static encoder with a vocabulary from the toy corpus."""
    from babelmix.encoders import static

    toy = parallel_corpus()
    texts = [*toy.queries["text"].to_pylist(), *toy.passages["text"].to_pylist()]
    return static.from_scratch(texts, vocabulary=200, dimension=16)


def word_bert(folder: Path, words: Iterable[str]) -> Path:
    """Save a two-layer BERT of transformers with a word-level tokenizer, laid out like a model from the hub."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(dict.fromkeys(vocabulary))}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.save_pretrained(str(folder))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small BERT whose vocabulary is the words of the toy corpus."""
    words = [*(w for words in WORDS.values() for w in words), *map(str, range(60))]
    return word_bert(tmp_path_factory.mktemp("tiny-bert"), words)


@pytest.fixture(scope="session")
def tiny_cross_encoder(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """The folder of a small cross-encoder, trained from scratch to tell whether query and passage have words of one meaning."""
    import torch
    from datasets import Dataset
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
    from tokenizers import processors
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    start, place = tmp_path_factory.mktemp("untrained"), tmp_path_factory.mktemp("cross-encoder") / "model"
    tokenizer = AutoTokenizer.from_pretrained(str(tiny_bert), model_max_length=48)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save_pretrained(str(start))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, num_labels=1, initializer_range=0.05,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(str(start))
    model = CrossEncoder(str(start), device="cpu", local_files_only=True)
    rng, langs, rows = np.random.default_rng(0), list(WORDS), []
    for number in range(6000):
        first, second = rng.permutation(12)[:2]
        query, passage = rng.choice(langs, 2)
        right = number % 2
        rows.append((WORDS[query][first], WORDS[passage][first if right else second], float(right)))
    data = Dataset.from_dict({key: [row[i] for row in rows] for i, key in enumerate(("query", "passage", "label"))})
    arguments = CrossEncoderTrainingArguments(
        output_dir=str(start / "run"), num_train_epochs=6, per_device_train_batch_size=100, learning_rate=2e-3,
        save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True, seed=0, dataloader_pin_memory=False,
    )  # fmt: skip
    CrossEncoderTrainer(model=model, args=arguments, train_dataset=data, loss=BinaryCrossEntropyLoss(model)).train()
    model.save_pretrained(str(place), create_model_card=False)
    return place


@pytest.fixture
def searcher(tmp_path: Path, tiny_static) -> Iterator[Searcher]:
    """A searcher over an index of the toy corpus, in a folder."""
    from babelmix.search import Index, Searcher, index_rows
    from babelmix.search.documents import rows_of_corpus

    index = Index.create(str(tmp_path / "index"), tiny_static, "tiny")
    index_rows(index, tiny_static, rows_of_corpus(parallel_corpus()))
    yield Searcher(index, tiny_static)
    index.close()


@pytest.fixture
def serve(searcher: Searcher) -> Iterator[Serve]:
    """A function that starts a service with the given settings and returns a client for it."""
    from starlette.testclient import TestClient

    from babelmix.search.service import Settings, create_app

    with contextlib.ExitStack() as running:

        def made(**given: object) -> TestClient:
            app = create_app(searcher, Settings(**given))  # type: ignore[arg-type]
            return running.enter_context(TestClient(app, base_url="http://localhost"))

        yield made


@pytest.fixture(autouse=True)
def own_interrupts() -> Iterator[None]:
    """Restore the handling of Ctrl-C after a test that runs a command."""
    before = signal.getsignal(signal.SIGINT)
    yield
    if signal.getsignal(signal.SIGINT) is not before:
        signal.signal(signal.SIGINT, before)
    sys.unraisablehook = sys.__unraisablehook__


@pytest.fixture
def babelmix(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """A function that runs the command line in this process: it returns exit status, standard output and standard error."""
    from babelmix.cli import main

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["babelmix", *words])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run
