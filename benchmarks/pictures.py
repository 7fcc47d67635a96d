"""Pictures: an audit in both directions beside sentence-transformers' evaluator; cached embeddings; a tower's features.

python benchmarks/pictures.py            # emoji: 1,000 pictures, 14 languages
python benchmarks/pictures.py --quick    # a short run, to see that everything works

The audit starts with an empty cache. The peer is one `InformationRetrievalEvaluator` per language and direction, which is how a
dual encoder is measured with it today; each of them encodes every picture again. Both use the same batch size and the same
encoder, `tiny-clip` with random weights, in turns. Cached embeddings are what a comparison of batch strategies reads instead of
pictures: rows of a sharded store in random order, while the file is in the system's memory.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from measuring import cost
from results import table
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

from babelmix.corpus import Corpus, open_corpus
from babelmix.corpus.images import Pictures
from babelmix.encoders import encode, load_encoder
from babelmix.encoders.dual import make_dual, tower_of
from babelmix.encoders.fingerprints import image_fingerprint
from babelmix.encoders.store import EmbeddingStore
from babelmix.evaluation import audit_both_ways

BATCH = 64


def forward(encoder: SentenceTransformer, corpus: Corpus) -> float:
    """Seconds of the forward passes that an audit in both directions needs: each picture and caption once, preprocessed."""
    captions = sorted(set(corpus.queries["text"].to_pylist()), key=len)
    texts = [encoder.preprocess(captions[i : i + BATCH]) for i in range(0, len(captions), BATCH)]
    unique = corpus.passages.take(np.unique(corpus.passages["digest"].to_pylist(), return_index=True)[1])
    shown = list(Pictures(unique))
    pictures = [encoder.preprocess(shown[i : i + BATCH]) for i in range(0, len(shown), BATCH)]
    with torch.inference_mode():
        return cost(lambda: [encoder.forward(dict(batch)) for batch in (*texts, *pictures)])[0].clock


@contextmanager
def counting(encoder: SentenceTransformer) -> Iterator[list[int]]:
    """Within this context, record the sizes of the picture batches of the image tower."""
    seen: list[int] = []
    hook = tower_of(encoder, "image")[0].register_forward_pre_hook(
        lambda module, inputs: seen.append(len(inputs[0]["pixel_values"]))
    )
    try:
        yield seen
    finally:
        hook.remove()


def stock(encoder: SentenceTransformer, corpus: Corpus) -> dict[str, float]:
    """hit@1 by language and direction, with one evaluator each."""
    pictures = dict(zip(corpus.passages["item"].to_pylist(), Pictures(corpus.passages), strict=True))
    found = {}
    for lang in (lang for lang in corpus.langs if lang != "zxx"):
        rows = [row for row in corpus.queries.select(["item", "lang", "text"]).to_pylist() if row["lang"] == lang]
        captions = {f"{number}": row["text"] for number, row in enumerate(rows)}
        to = {f"{number}": {row["item"]} for number, row in enumerate(rows)}
        back: dict[str, set[str]] = {}
        for number, row in enumerate(rows):
            back.setdefault(row["item"], set()).add(f"{number}")
        for name, queries, passages, relevant in (("to", captions, pictures, to), ("back", pictures, captions, back)):
            evaluator = InformationRetrievalEvaluator(
                queries, passages, relevant, accuracy_at_k=[1], mrr_at_k=[1], ndcg_at_k=[1], map_at_k=[1],
                precision_recall_at_k=[1], batch_size=BATCH, write_csv=False, show_progress_bar=False,
            )  # fmt: skip
            found[f"{name} {lang}"] = float(evaluator(encoder)["cosine_accuracy@1"])
    return found


def audits(pictures: int, rounds: int) -> str:
    """Time and number of encoded pictures of an audit in both directions: babelmix and the peer."""
    corpus = open_corpus("emoji")
    corpus = corpus.only_groups(sorted(set(corpus.passages["group"].to_pylist()))[:pictures])
    encoder = make_dual("tiny-clip", corpus.queries["text"].to_pylist())
    ways: dict[str, Any] = {
        "babelmix": lambda: audit_both_ways(encoder, corpus, name="x", batch_size=BATCH, store=False),
        "sentence-transformers": lambda: stock(encoder, corpus),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    encoded: dict[str, int] = {}
    alone: list[float] = []
    results: dict[str, Any] = {}
    for _ in range(rounds):
        for name, run in ways.items():
            with counting(encoder) as seen:
                spent, results[name] = cost(run)
            seconds[name].append(spent.clock)
            encoded[name] = sum(seen)
        alone.append(forward(encoder, corpus))
    ours: dict[str, float] = {}
    for prefix, audit, name in zip(("to", "back"), results["babelmix"], ("multi/hit@1", "cross/hit@1"), strict=True):
        measure = audit.measures[name]
        for cell, value in zip(measure.cells, measure.cell_values(), strict=True):
            ours[f"{prefix} {cell.rpartition(' > ')[2]}"] = float(value)
    apart = max(abs(ours[key] - value) for key, value in results["sentence-transformers"].items())
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    rows = [
        [name, f"{encoded[name]:,}", f"{medians[name]:.1f}", f"{min(values):.1f} to {max(values):.1f}"]
        for name, values in seconds.items()
    ]
    head = ["", "pictures encoded", "seconds, median", "range"]
    ratio = medians["sentence-transformers"] / medians["babelmix"]
    return "\n\n".join(
        [
            f"### Audit of {corpus.passages.num_rows:,} pictures in {len(corpus.langs) - 1} languages, in both directions",
            table(head, rows),
            f"{ratio:.1f} times the speed; hit@1 differs by at most {apart:.4f} in any language and direction ({rounds} "
            f"rounds in alternation, {torch.get_num_threads()} thread; ours includes all intervals). The forward passes alone, "
            f"each picture and each caption once: {statistics.median(alone):.1f} s.",
        ]
    )


class Cached(Pictures):
    """Pictures that are keys only; none is ever opened."""

    def __init__(self, keys: np.ndarray[Any, np.dtype[np.uint64]]) -> None:
        self._keys = keys

    @property
    def keys(self) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """See `Pictures.keys`."""
        return self._keys

    def __len__(self) -> int:
        return len(self._keys)


def reading(pictures: int, dimension: int, rounds: int) -> str:
    """Pictures per second whose embeddings are read from the cache."""
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 2**64, size=(pictures, 2), dtype=np.uint64)
    encoder = make_dual("tiny-clip", ["a b c d e f g h"] * 20, size=20)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BABELMIX_CACHE"] = folder
        name = image_fingerprint(encoder)
        store = EmbeddingStore.of(name[:32], "image")
        vectors = rng.standard_normal((pictures, dimension), dtype=np.float32)
        for start in range(0, pictures, 25_000):
            store.add(keys[start : start + 25_000], vectors[start : start + 25_000])
        order = rng.permutation(pictures)
        rates, least = [], []
        for _ in range(rounds):
            spent, found = cost(lambda: encode(encoder, Cached(keys[order]), "document"))
            rates.append(pictures / spent.clock)
            least.append(pictures / cost(lambda: vectors[order])[0].clock)
        if not np.array_equal(found, vectors[order]):
            raise SystemExit("the cache gave other embeddings than were put into it")
    rows = [
        [
            f"{pictures:,} x {dimension}",
            f"{statistics.median(rates):,.0f}",
            f"{min(rates):,.0f} to {max(rates):,.0f}",
            f"{statistics.median(least):,.0f}",
        ]
    ]
    return "### Reading embeddings of pictures from the cache\n\n" + table(
        ["embeddings", "pictures/s, median", "range", "rows copied within memory in that order, a second"], rows
    )


def features(pictures: int, rounds: int, cores: int) -> str:
    """Pictures per second of the image tower `lite0-offline`, from drawings of 300 x 300 pixels in PNG files."""
    corpus = open_corpus("emoji?size=300")
    shown = Pictures(corpus.passages.slice(0, pictures))
    with tempfile.TemporaryDirectory() as folder:
        make_dual("lite0-offline+static", ["a dog", "ein Hund"], size=60).save(folder, create_model_card=False)
        torch.set_num_threads(cores)
        ways = {
            backend: load_encoder(folder, device="cpu", backend=backend)
            for backend in ("torch", "onnx-fp32", "openvino-fp32")
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        found: dict[str, Any] = {}
        for _ in range(rounds):
            for name, encoder in ways.items():
                spent, found[name] = cost(lambda encoder=encoder: encoder.encode(list(shown), batch_size=32))
                rates[name].append(len(shown) / spent.clock)
    torch.set_num_threads(1)
    rows = [
        [
            f"`--backend {name}`",
            f"{statistics.median(some):.0f}",
            f"{min(some):.0f} to {max(some):.0f}",
            f"{statistics.median(one / plain for one, plain in zip(some, rates['torch'], strict=True)):.1f}",
            f"{np.abs(found[name] - found['torch']).max():.1g}",
        ]
        for name, some in rates.items()
    ]
    head = ["", "pictures/s, median", "range", "ratio", "largest difference from torch"]
    title = f"### Features of {len(shown):,} pictures by `lite0-offline`, {cores} threads"
    return f"{title}\n\n{table(head, rows)}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size, rounds = (20, 1) if arguments.quick else (1000, arguments.rounds)
    print(audits(size, rounds))
    print()
    print(reading(2_000 if arguments.quick else 200_000, 512, rounds))
    print()
    print(features(16 if arguments.quick else 1000, rounds, 1 if arguments.quick else os.cpu_count() or 1))


if __name__ == "__main__":
    main()
