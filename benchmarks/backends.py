"""Run an encoder on a CPU with several backends: texts per second, time of one query, and the effect of int8 on an audit.

python benchmarks/backends.py CORPUS [--langs ar,de,...] [--rounds 5]

Half of the texts are queries of the corpus, half are passages. Each backend runs in its own process. The processes take turns,
so that other programs on the machine slow all of them alike; CPU seconds are hardly affected by other programs. Writes the
tables of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import marked
import numpy as np

ENCODER = "e5-small-offline"
PLAIN, BARE = "sentence-transformers", "bare"
CONTESTANTS = {
    PLAIN: "sentence-transformers, `encode` as it is",
    "torch": "torch, float32",
    "torch-bf16": "torch, bfloat16",
    "onnx-fp32": "ONNX Runtime, float32",
    "openvino-fp32": "OpenVINO, float32",
    "onnx": "ONNX Runtime, int8",
    "openvino": "OpenVINO, int8",
    BARE: "torch, float32: the forward pass alone, tokens given and sorted by length",
}
# Those in float32 share the embeddings that torch keeps: an audit of them would be one of torch.
AUDITED = ("torch", "onnx", "openvino")
SETTINGS = ("mono", "cross", "multi")
PARTS = ("backends", "backends-query", "backends-audit", "backends-bits")
TOKENS = 20
BATCH = 32


def main() -> None:
    """Measure the backends in turn, then audit with each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--langs", default="", help="of the audits; all unless told")
    parser.add_argument("--texts", type=int, default=600, help="of a turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="the others stay as they are"
    )
    parser.add_argument("--quick", action="store_true", help="few texts, no audit: does it run? Writes nothing")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return
    if arguments.quick:
        arguments.texts, arguments.rounds, arguments.parts = 20, 1, ["backends", "backends-query", "backends-bits"]
    tables = {"backends": throughput, "backends-query": one_query, "backends-audit": audits, "backends-bits": bits}
    for name in arguments.parts:
        part = f"{tables[name](arguments)}\n\n{machine.note()}"
        print(part, end="\n\n", flush=True)
        if not arguments.quick:
            marked.write(Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md", {name: part})


class Child:
    """One backend in a process of its own."""

    def __init__(self, name: str, arguments: argparse.Namespace, threads: int | None = None) -> None:
        given = [arguments.corpus, "--langs", arguments.langs, "--texts", str(arguments.texts), "--child", name]
        environment = dict(os.environ) | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
        self._process = subprocess.Popen(
            [sys.executable, __file__, *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.ready: dict[str, Any] = self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args} ended with {self._process.wait()}")
        return json.loads(line)

    def ask(self, what: str) -> Any:
        """Send a request and wait for the result."""
        assert self._process.stdin is not None
        print(what, file=self._process.stdin, flush=True)
        return self._read()

    def end(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


def child(arguments: argparse.Namespace) -> None:
    """Load the encoder, then read requests from standard input and write the answers as lines of JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from babelmix.corpus import open_corpus
    from babelmix.encoders.embed import encode, encode_batch

    name = arguments.child
    corpus = open_corpus(arguments.corpus)
    rng = np.random.default_rng(0)
    began = time.perf_counter()
    encoder = loaded(name)
    seconds = time.perf_counter() - began
    texts = {}
    for kind, table in (("query", corpus.queries), ("document", corpus.passages)):
        known = table["text"].to_pylist()
        # The first part warms up.
        drawn = rng.choice(len(known), min(len(known), arguments.texts // 2 + 64), replace=False)
        texts[kind] = [known[i] for i in drawn]
    asked = corpus.queries["text"].to_pylist()
    tokens = [len(ids) for ids in encoder.tokenizer([f"query: {text}" for text in asked[:4000]])["input_ids"]]
    short = [text for text, count in zip(asked, tokens, strict=False) if count == TOKENS][:60]

    def batches(start: int, stop: int | None) -> None:
        for kind, some in texts.items():
            if name == PLAIN:
                method = encoder.encode_query if kind == "query" else encoder.encode_document
                method(some[start:stop])
            else:
                encode(encoder, some[start:stop], kind, store=False, bf16=name == "torch-bf16")

    def timed(work: Callable[[], object]) -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    # Batches of the same sizes, of queries and of documents, the first part apart.
    ready = [features(encoder, texts, start, stop) for start, stop in ((0, 64), (64, None))] if name == BARE else []

    def turn() -> list[float]:
        count = sum(map(len, texts.values())) - 128
        busy = time.process_time()
        seconds = timed((lambda: forward(encoder, ready[1])) if name == BARE else (lambda: batches(64, None)))
        return [count / seconds, count / (time.process_time() - busy)]

    def queries() -> list[float]:
        if name == BARE:
            each = [features(encoder, {"query": [text]}, 0, None) for text in short]
            return [timed(lambda one=one: forward(encoder, one)) for one in each]
        return [timed(lambda text=text: encode_batch(encoder, [text], "query")) for text in short]

    def audit() -> dict[str, float]:
        from babelmix.evaluation import audit as run

        some = corpus.only_langs(arguments.langs.split(",")) if arguments.langs else corpus
        found = run(encoder, some, name=name, metrics=["mAP"])
        return {setting: found.macro(f"{setting}/mAP") for setting in SETTINGS}

    def answer(value: object) -> None:
        print(json.dumps(value), file=answers, flush=True)

    if name == BARE:
        forward(encoder, ready[0])
    else:
        batches(0, 64)
    answer({"seconds": seconds, "count": sum(map(len, texts.values())) - 128, "short": len(short)})
    for line in sys.stdin:
        answer({"turn": turn, "queries": queries, "audit": audit}[line.strip()]())


def features(encoder: Any, texts: dict[str, list[str]], start: int, stop: int | None) -> list[Any]:
    """Token tensors of texts in batches; the texts of a batch have nearly the same length."""
    made = []
    for kind, some in texts.items():
        prompt = encoder.prompts.get(kind) or ""
        ids = encoder.tokenizer([prompt + text for text in some[start:stop]], truncation=True)["input_ids"]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        for first in range(0, len(order), BATCH):
            part = [some[start:stop][i] for i in order[first : first + BATCH]]
            made.append(encoder.preprocess(part, prompt=prompt))
    return made


def forward(encoder: Any, batches: list[Any]) -> None:
    """Run the encoder's first module on tokens, without tokenising."""
    import torch

    with torch.inference_mode():
        for batch in batches:
            encoder[0](dict(batch))


def loaded(name: str) -> Any:
    """The encoder of a backend."""
    from babelmix.encoders import load_encoder

    return load_encoder(ENCODER, backend="torch" if name.startswith("torch") or name in (PLAIN, BARE) else name)


def throughput(arguments: argparse.Namespace) -> str:
    """Texts per second of every backend."""
    children = {name: Child(name, arguments) for name in CONTESTANTS}
    rates: dict[str, list[float]] = {name: [] for name in children}
    busy: dict[str, list[float]] = {name: [] for name in children}
    for number in range(arguments.rounds):
        for name, one in children.items():
            rate, of_cores = one.ask("turn")
            rates[name].append(rate)
            busy[name].append(of_cores)
        print(f"round {number + 1}: " + ", ".join(f"{n} {r[-1]:.0f}" for n, r in rates.items()), file=sys.stderr)
    count = children[PLAIN].ready["count"]
    for one in children.values():
        one.end()
    lines = [
        f"`{ENCODER}`, {machine.processor()}, {os.cpu_count()} cores, load {machine.load():.1f} over the last 15 minutes; "
        f"{count} texts of `{arguments.corpus.split('=')[0]}` a turn, {arguments.rounds} turns each, medians.",
        "",
        "| | texts/s | lowest to highest | times sentence-transformers, by the clock | by seconds of cores |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, title in CONTESTANTS.items():
        # Within a round, the machine has been the same for both.
        by_clock, by_cores = (
            statistics.median(ours / plain for ours, plain in zip(some[name], some[PLAIN], strict=True))
            for some in (rates, busy)
        )
        middle = statistics.median(rates[name])
        low, high = min(rates[name]), max(rates[name])
        lines.append(f"| {title} | {middle:.0f} | {low:.0f} to {high:.0f} | {by_clock:.2f} | {by_cores:.2f} |")
    return "\n".join(lines)


def one_query(arguments: argparse.Namespace) -> str:
    """Milliseconds for one query, on one core and on all cores."""
    cores = os.cpu_count() or 1
    names = ("torch", "onnx-fp32", "openvino-fp32", "onnx", "openvino", BARE)
    took: dict[tuple[str, int], list[float]] = {}
    children = {(name, threads): Child(name, arguments, threads) for name in names for threads in (1, cores)}
    for _ in range(arguments.rounds):
        for key, one in children.items():
            took.setdefault(key, []).extend(one.ask("queries"))
    count = children["torch", 1].ready["short"]
    for one in children.values():
        one.end()
    lines = [
        f"One query of {TOKENS} tokens at a time, {count} queries {arguments.rounds} times: milliseconds from text to vector.",
        "",
        f"| | one core: median | p95 | {cores} cores: median | p95 |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in names:
        cells = [f"{1000 * np.quantile(took[name, threads], q):.1f}" for threads in (1, cores) for q in (0.5, 0.95)]
        lines.append(f"| {CONTESTANTS[name]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def audits(arguments: argparse.Namespace) -> str:
    """Mean average precision by backend."""
    found: dict[str, dict[str, float]] = {}
    for name in AUDITED:
        one = Child(name, arguments)
        found[name] = one.ask("audit")
        one.end()
        print(name, found[name], file=sys.stderr)
    langs = arguments.langs or "all languages"
    lines = [
        f"mAP on `{arguments.corpus.split('=')[0]}`, {langs}; in brackets the difference from float32.",
        "",
        "| | within a language | across two | pool of all |",
        "|---|---:|---:|---:|",
    ]
    for name, values in found.items():
        cells = [
            f"{values[setting]:.4f}"
            + ("" if name == "torch" else f" ({values[setting] - found['torch'][setting]:+.4f})")
            for setting in SETTINGS
        ]
        lines.append(f"| {CONTESTANTS[name]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def bits(arguments: argparse.Namespace) -> str:
    """Weights of eight and of seven bits against float32: cosines, nearest neighbours, and texts per CPU second."""
    from babelmix.corpus import open_corpus
    from babelmix.encoders import load_encoder, onnx_engine
    from babelmix.encoders.embed import encode_batch

    known = open_corpus(arguments.corpus).passages["text"].to_pylist()
    drawn = np.random.default_rng(0).choice(len(known), min(len(known), arguments.texts), replace=False)
    texts = [known[i] for i in drawn]
    saturates = onnx_engine.precision() == "int7"
    right = encode_batch(load_encoder(ENCODER, device="cpu"), texts, "document")
    best = _neighbours(right)
    lines = [
        f"{len(texts)} passages of `{arguments.corpus.split('=')[0]}`; products of eight bits "
        f"{'saturate' if saturates else 'are exact'} on this processor, so that `--backend onnx` takes "
        f"{'seven' if saturates else 'eight'}.",
        "",
        "| weights | cosine with float32: mean | lowest | same nearest neighbour | same of the nearest ten | texts/s of cores |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    own = onnx_engine._saturates
    encoders = {}
    for title, seven in (("eight bits", False), ("seven bits", True)):
        onnx_engine._saturates = lambda seven=seven: seven
        encoders[title] = load_encoder(ENCODER, backend="onnx")
    onnx_engine._saturates = own
    rates: dict[str, list[float]] = {title: [] for title in encoders}
    vectors = {}
    for _ in range(arguments.rounds):
        for title, encoder in encoders.items():
            busy = time.process_time()
            vectors[title] = encode_batch(encoder, texts, "document")
            rates[title].append(len(texts) / (time.process_time() - busy))
    for title, mine in vectors.items():
        cosine, near = (mine * right).sum(axis=1), _neighbours(mine)
        ten = np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(near, best, strict=True)])
        cells = [
            f"{cosine.mean():.4f}",
            f"{cosine.min():.4f}",
            f"{(near[:, 0] == best[:, 0]).mean():.3f}",
            f"{ten:.3f}",
        ]
        lines.append(f"| {title} | {' | '.join(cells)} | {statistics.median(rates[title]):.0f} |")
    return "\n".join(lines)


def _neighbours(vectors: Any) -> Any:
    """The ten nearest other texts of each text."""
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -9)
    return np.argsort(-scores, axis=1)[:, :10]


if __name__ == "__main__":
    main()
