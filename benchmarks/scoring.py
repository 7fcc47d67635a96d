"""From embeddings to all metrics: beside the bare matrix product and beside other evaluators, at XQuAD-R's size.

python benchmarks/scoring.py
python benchmarks/scoring.py --embeddings FOLDER

The folder holds a saved corpus in `corpus`, and `queries.npy` and `passages.npy`. Without a folder, random embeddings are made
of a meaning, a language and noise. The worst case is embeddings without a meaning: relevant passages are then in the middle of
the ranking. mteb is optional: pip install mteb.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measuring import Cost, cost, encoder_like, peak_extra_memory
from peers import METRICS, PEERS, Task

from babelmix.corpus import Corpus
from babelmix.evaluation import Measure, measures, rank_table
from babelmix.evaluation.ranks import relevant_pairs

LANGS = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
QUERIES = 1190
PASSAGES = (1222, 1276, 1234, 1180, 1215, 1244, 1219, 852, 1167, 1209, 1196)
BLOCK = 256
DIMENSIONS = (384, 768)

Embeddings = tuple[np.ndarray, np.ndarray]


def corpus() -> Corpus:
    """Eleven languages with the numbers of XQuAD-R: 13,090 queries, 13,014 passages, about eleven relevant passages per query."""
    asked = [{"item": str(i), "lang": lang, "text": f"{lang} {i}"} for lang in LANGS for i in range(QUERIES)]
    rows = [
        {"item": str(i), "lang": lang, "text": f"{lang} {i}"}
        for lang, count in zip(LANGS, PASSAGES, strict=True)
        for i in range(count)
    ]
    return Corpus.from_rows(asked, rows, [(str(i), str(i)) for i in range(QUERIES)], name="of XQuAD-R's size")


def drawn(data: Corpus, dimension: int, meaningful: bool) -> Embeddings:
    """Random embeddings of a corpus, with a meaning or without; both float32, shape (rows, dimension)."""
    rng = np.random.default_rng(0)
    sizes = (data.queries.num_rows, data.passages.num_rows)
    if not meaningful:
        first, second = (rng.standard_normal((size, dimension), dtype=np.float32) for size in sizes)
        return first, second
    item = np.concatenate([np.array(t["item"].to_pylist(), dtype=np.int64) for t in (data.queries, data.passages)])
    names = np.concatenate([t["lang"].to_pylist() for t in (data.queries, data.passages)])
    queries, passages = encoder_like(rng, item, np.unique(names, return_inverse=True)[1], dimension)
    return queries[: sizes[0]], passages[sizes[0] :]


def product(queries: np.ndarray, passages: np.ndarray) -> None:
    """The bare matrix product with `torch.mm`, block by block."""
    left, right = torch.from_numpy(queries), torch.from_numpy(passages).T
    # One output for all blocks: fresh memory for each would cost more than the product.
    scores = torch.empty(BLOCK, right.shape[1])
    for first in range(0, len(left), BLOCK):
        block = left[first : first + BLOCK]
        torch.mm(block, right, out=scores[: len(block)])


def onednn_product(queries: np.ndarray, passages: np.ndarray) -> None:
    """The same with oneDNN, which the rank table uses. It is much faster on processors that Intel did not make."""
    left, right = torch.from_numpy(queries), torch.from_numpy(passages).to_mkldnn()
    for first in range(0, len(left), BLOCK):
        torch.nn.functional.linear(left[first : first + BLOCK].to_mkldnn(), right)


def ours(data: Corpus, queries: np.ndarray, passages: np.ndarray) -> dict[str, Measure]:
    """All ranking metrics in all settings, and the bias metrics."""
    return measures(rank_table(data, queries, passages), METRICS)


def task(data: Corpus, vectors: Embeddings, query_lang: str | None, passage_lang: str | None) -> Task:
    """The queries of a language (None: all) against the passages of one language."""
    rows = []
    for table, lang in ((data.queries, query_lang), (data.passages, passage_lang)):
        langs = np.array(table["lang"].to_pylist())
        rows.append(np.flatnonzero(langs == lang) if lang else np.arange(len(langs)))
    place = [np.full(table.num_rows, -1) for table in (data.queries, data.passages)]
    for p, r in zip(place, rows, strict=True):
        p[r] = np.arange(len(r))
    relevant: list[list[int]] = [[] for _ in rows[0]]
    for q, p in zip(*(p[pair] for p, pair in zip(place, relevant_pairs(data)[:2], strict=True)), strict=True):
        if q >= 0 and p >= 0:
            relevant[q].append(int(p))
    asked = [q for q, found in enumerate(relevant) if found]
    return Task(vectors[0][rows[0][asked]], vectors[1][rows[1]], [relevant[q] for q in asked])


def median(costs: list[Cost]) -> Cost:
    """The medians of wall time and of CPU time."""
    return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))


def row(*cells: object) -> None:
    """A line of a Markdown table."""
    print(
        "| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |", flush=True
    )


def against_product(data: Corpus, sets: dict[str, Embeddings], rounds: int) -> None:
    """Measure in turns, then print medians and the medians of the ratios."""
    print("\n### Against the bare matrix product\n")
    row(
        "embeddings", "dimension", "torch.mm, s", "oneDNN, s", "all metrics, s",
        "times torch.mm", "by CPU time", "times oneDNN", "by CPU time",
    )  # fmt: skip
    row(*["---"] * 9)
    for name, vectors in sets.items():
        turns = []
        for _ in range(rounds):
            functions = (product, onednn_product, lambda *v: ours(data, *v))
            turns.append([cost(lambda f=f, v=vectors: f(*v))[0] for f in functions])
        clocks = [median(list(column)).clock for column in zip(*turns, strict=True)]
        ratios = [statistics.median(turn[2][i] / turn[bare][i] for turn in turns) for bare in (0, 1) for i in (0, 1)]
        row(name, vectors[0].shape[1], *clocks, *ratios)


def against_peers(data: Corpus, vectors: Embeddings, names: list[str], rounds: int) -> None:
    """The pool of all languages; and queries of one language against each language, as a sample of the other settings."""
    langs = data.langs
    print(f"\n### Against other evaluators, d = {vectors[0].shape[1]}\n")
    print(
        f"All settings: the pool, {len(langs)} times {langs[0]} within itself, and {len(langs) * (len(langs) - 1) // 2} times"
        f" {langs[0]} against {langs[1]} and against {langs[2]}. One round each; ours is the median of {rounds}, always with"
        " all settings and the bias.\n"
    )
    row("evaluator", "pool, s", "all settings, s", "times ours", "times ours, CPU time", "largest difference")
    row(*["---"] * 6)
    runs = [cost(lambda: ours(data, *vectors)) for _ in range(rounds)]
    mine, found = median([run[0] for run in runs]), runs[-1][1]
    row("babelmix", "", mine.clock, 1.0, 1.0, "")
    pool, ones = task(data, vectors, None, None), {lang: task(data, vectors, langs[0], lang) for lang in langs[:3]}
    for name in names:
        function = PEERS[name][1]
        few = Task(pool.queries[:50], pool.passages[:200], [[0]] * 50)
        function(few)  # imports and compilation
        times, values = cost(lambda f=function: f(pool))
        expected = {m: (float(found[f"multi/{m}"].values.mean()), values[m]) for m in METRICS}
        total = times
        for lang, one in ones.items():
            times_one, values = cost(lambda f=function, o=one: f(o))
            setting, cell = ("mono", lang) if lang == langs[0] else ("cross", f"{langs[0]} > {lang}")
            weight = len(langs) if setting == "mono" else len(langs) * (len(langs) - 1) / 2
            total = Cost(*(a + weight * b for a, b in zip(total, times_one, strict=True)))
            for m in METRICS:
                measure = found[f"{setting}/{m}"]
                expected[f"{cell} {m}"] = (float(measure.cell_values()[measure.cells.index(cell)]), values[m])
        difference = max(abs(a - b) for a, b in expected.values())
        row(name, times.clock, total.clock, total.clock / mine.clock, total.cores / mine.cores, f"{difference:.1e}")


def bfloat16(data: Corpus, sets: dict[str, Embeddings]) -> None:
    """What changes when products of values rounded to bfloat16 are summed in float32, as processors do."""
    print("\n### Products in bfloat16 (not offered)\n")
    print(
        "The largest change of a macro-average, first of those between 0 and 1, then of all; and the share of scores that"
        " rounding could move past a relevant passage. An exact method would have to compute these again.\n"
    )
    row("embeddings", "dimension", "largest, 0 to 1", "of", "largest", "of", "uncertain scores")
    row(*["---"] * 7)
    for name, vectors in sets.items():
        unit = [torch.nn.functional.normalize(torch.from_numpy(v)) for v in vectors]
        short = [v.bfloat16().float() for v in unit]
        full, rounded = (
            measures(rank_table(data, *(v.numpy() for v in pair), similarity="dot"), METRICS) for pair in (unit, short)
        )
        moved = {m: abs(full[m].macro() - rounded[m].macro()) for m in full}
        shares = {m: d for m, d in moved.items() if "rank" not in m and "excess" not in m}
        # |q p - q' p'| <= |q - q'| |p| + |q'| |p - p'|, on a sample of queries.
        query, passage, _ = relevant_pairs(data)
        some = np.flatnonzero(query % 97 == 0)
        scores = unit[0][query[some]] @ unit[1].T
        lost = [torch.linalg.vector_norm(a - b, dim=1) for a, b in zip(unit, short, strict=True)]
        bound = lost[0][query[some], None] + 1.01 * lost[1][None]
        own = torch.arange(len(some)), torch.from_numpy(passage[some])
        uncertain = (scores - scores[own][:, None]).abs() <= bound + bound[own][:, None]
        worst, largest = max(shares, key=lambda m: shares[m]), max(moved, key=lambda m: moved[m])
        row(
            name, vectors[0].shape[1], f"{shares[worst]:.1e}", worst, f"{moved[largest]:.1e}", largest,
            f"{float(uncertain.float().mean()):.1%}",
        )  # fmt: skip


def memory(names: list[str], dimension: int, folder: Path | None) -> None:
    """Peak extra memory of each, in a process of its own."""
    print(f"\n### Memory in the pool of all languages, d = {dimension}\n")
    row("evaluator", "peak extra memory, MB")
    row("---", "---")
    for name in ("babelmix", *names):
        command = [sys.executable, __file__, "--memory-of", name, "--dimension", str(dimension)]
        command += ["--embeddings", str(folder)] if folder else []
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        row(name, done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of the two that take seconds")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--embeddings", type=Path, help="a folder of real ones")
    parser.add_argument("--dimension", type=int, default=DIMENSIONS[0], help="in the comparison with other evaluators")
    parser.add_argument("--quick", action="store_true", help="one round, one peer, one dimension: does it run?")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = options.embeddings
    data = Corpus.load(folder / "corpus") if folder else corpus()

    def load(dimension: int) -> Embeddings:
        if folder:
            return np.load(folder / "queries.npy"), np.load(folder / "passages.npy")
        return drawn(data, dimension, True)

    if options.memory_of:
        vectors = load(options.dimension)
        pool = task(data, vectors, None, None)
        functions: dict[str, Callable[[], object]] = {"babelmix": lambda: ours(data, *vectors)}
        functions |= {name: lambda f=f: f(pool) for name, (_, f) in PEERS.items()}
        few = Task(pool.queries[:50], pool.passages[:200], [[0]] * 50)
        PEERS.get(options.memory_of, PEERS["sentence-transformers"])[1](few)  # imports are not scoring
        print(f"{peak_extra_memory(functions[options.memory_of]) / 2**20:.0f}")
        return
    if options.quick:
        options.rounds, options.peers = 1, ["sentence-transformers"]
    peers = [name for name in options.peers if importlib.util.find_spec(PEERS[name][0])]
    for name in set(options.peers) - set(peers):
        print(f"{name} is left out: pip install {name}", file=sys.stderr)
    if folder or options.quick:
        name = folder.name if folder else "meaning"
        sets = {name: load(options.dimension)}
    else:
        sets = {f"{'meaning' if m else 'random'}, {d}": drawn(data, d, m) for m in (True, False) for d in DIMENSIONS}
    against_product(data, sets, options.rounds)
    if not options.quick:
        bfloat16(data, sets)
    vectors = load(options.dimension)
    against_peers(data, vectors, peers, options.rounds)
    if not options.quick:
        memory(peers, vectors[0].shape[1], folder)


if __name__ == "__main__":
    main()
