"""Does language bias grow when embeddings are cut short or made coarser? Two encoders on XQuAD-R; writes docs/results.md.

python benchmarks/precision.py xquad-r=PATH
python benchmarks/precision.py xquad-r=PATH --questions 0      # all questions

Every passage is in the pool; the questions are every fifth one, in all languages. Embeddings are kept in the user's cache, so a
second run is fast. Neither encoder was trained to be cut short (Matryoshka).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from marked import write
from results import shown, table

import babelmix as bm
from babelmix.encoders import load_encoder
from babelmix.evaluation import compare_all
from babelmix.evaluation.systems import EncoderSystem

FILE = Path(__file__).resolve().parents[1] / "docs" / "results.md"
ENCODERS = ("e5-small-offline", "static-e5")
DIMENSIONS = (256, 128, 64, 32)
PRECISIONS = ("float16", "int8", "binary")
BOTH = ((128, "int8"), (128, "binary"))
"""Cut and coarser at once, as small indexes are."""
COLUMNS = {
    "mono/mAP": "mono mAP", "cross/mAP": "cross mAP", "multi/mAP": "multi mAP", "bias/rank distance": "rank distance",
    "bias/log rank distance": "log2", "bias/same-language share@10": "own language @10",
}  # fmt: skip


def sampled(corpus: bm.Corpus, questions: int) -> bm.Corpus:
    """The corpus with about so many of its questions, evenly spread, each in all languages, and with all passages."""
    items = np.array(sorted(set(corpus.queries["item"].to_pylist())))
    kept = (
        items[np.linspace(0, len(items) - 1, questions).round().astype(int)] if 0 < questions < len(items) else items
    )
    some = pa.array(kept.tolist(), pa.large_string())
    queries = corpus.queries.filter(pc.is_in(corpus.queries["item"], some))
    qrels = corpus.qrels.filter(pc.is_in(corpus.qrels["query_item"], some))
    return bm.Corpus(queries, corpus.passages, qrels, corpus.name, dict(corpus.meta))


CENTRED = "binary, mean of the passages subtracted"


def cases(width: int) -> list[tuple[str, int | None, str | None, float]]:
    """A name, dimensions and precision for each row of the table, and the bytes of a vector."""
    found: list[tuple[str, int | None, str | None, float]] = [("float32", None, None, 4 * width)]
    found += [(f"{n} dimensions", n, None, 4 * n) for n in DIMENSIONS]
    sizes = {"float16": 2.0, "int8": 1.0, "binary": 1 / 8}
    found += [(name, None, name, sizes[name] * width) for name in PRECISIONS]
    found.append((CENTRED, None, "binary", width / 8))
    return found + [(f"{n} dimensions, {name}", n, name, sizes[name] * n) for n, name in BOTH]


def constant(passages: np.ndarray) -> float:
    """The share of dimensions with one sign in more than nine tenths of the passages."""
    positive = (passages > 0).mean(axis=0)
    return float(np.mean((positive > 0.9) | (positive < 0.1)))


def tied(queries: np.ndarray, passages: np.ndarray) -> float:
    """The share of passages whose binary score equals that of another passage, for a query, averaged over some queries."""
    bits = [np.where(side > 0, 1, -1).astype(np.float32) for side in (queries[::37], passages)]
    scores = bits[0] @ bits[1].T
    return float(np.mean([1 - len(np.unique(row)) / len(row) for row in scores]))


def measured(name: str, corpus: bm.Corpus) -> str:
    """The table of one encoder."""
    sides = EncoderSystem(load_encoder(name), name).embed(corpus)
    audits: dict[str, Any] = {}
    rows = cases(sides.passages.shape[1])
    mean = sides.passages.mean(axis=0)
    for label, dimensions, precision, _ in rows:
        stored = [side - mean for side in sides] if label == CENTRED else sides
        vectors = bm.Vectors(*stored, name=label, dimensions=dimensions, precision=precision)
        audits[label] = bm.audit(vectors, corpus).audit
    whole = rows[0][0]
    tests = compare_all({label: [one.measures] for label, one in audits.items()}, list(COLUMNS), against=whole)
    lines = []
    for label, _, _, size in rows:
        cells = []
        for measure in COLUMNS:
            text = shown(measure, audits[label].macro(measure))
            p = next((t.p_holm for t in tests if t.second == label and t.measure == measure), None)
            cells.append(text + ("" if p is None or p >= 0.05 else "*"))
        lines.append([label, f"{size:,.0f}", *cells])
    backwards = corpus_backwards(corpus)
    turned = bm.audit(bm.Vectors(sides.queries, sides.passages[::-1], name="backwards", precision="binary"), backwards)
    effect = ", ".join(
        f"{COLUMNS[m]} {shown(m, audits['binary'].macro(m))} and {shown(m, turned.macro(m))}"
        for m in ("multi/mAP", "bias/rank distance", "bias/same-language share@10")
    )
    return (
        f"### {name}\n\n{table(['stored as', 'bytes a vector', *COLUMNS.values()], lines)}\n\n"
        f"{constant(sides.passages):.0%} of the dimensions have one sign in more than nine tenths of the passages. "
        f"Binary scores tie: {tied(*sides):.1%} of the passages have the score of another one, and ties keep the order of the "
        f"corpus. With the corpus forwards and backwards: {effect}."
    )


def corpus_backwards(corpus: bm.Corpus) -> bm.Corpus:
    """The same corpus with its passages in the opposite order."""
    order = np.arange(corpus.passages.num_rows)[::-1]
    return bm.Corpus(corpus.queries, corpus.passages.take(order), corpus.qrels, corpus.name, dict(corpus.meta))


def main() -> None:
    """Write the part `precision` of docs/results.md, or print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--questions", type=int, default=238, help="how many, each in all languages; 0: all")
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS))
    parser.add_argument(
        "--quick", action="store_true", help="two languages, twenty questions, prints only: does it run?"
    )
    options = parser.parse_args()
    corpus = bm.load_corpus(options.corpus, langs=["de", "th"] if options.quick else None)
    corpus = sampled(corpus, 20 if options.quick else options.questions)
    fair = 1 / len(corpus.langs)
    parts = [measured(name, corpus) for name in options.encoders]
    note = (
        f"{corpus.queries.num_rows:,} queries ({len(set(corpus.queries['item'].to_pylist())):,} questions in "
        f"{len(corpus.langs)} languages), {corpus.passages.num_rows:,} passages in one pool. A star: different from float32 with "
        f"all dimensions, p < .05 after Holm's correction over the table. A fair share of the query's language is about "
        f"{fair:.0%}."
    )
    text = "\n\n".join([*parts, note])
    if options.quick:
        print(text)
        return
    write(FILE, {"precision": text})
    print(text)


if __name__ == "__main__":
    main()
