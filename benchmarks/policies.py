"""What does the language policy `balanced` change? Searches an index as a user does, under `any` and `balanced` in turn.

python benchmarks/policies.py xquad-r=PATH --model e5-small-offline --to /tmp/an-index

Passages and queries are embedded as an audit does (and kept in the cache). Writes the table of docs/search.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import marked
import numpy as np

from babelmix.audit.metrics import RankedLists, metric
from babelmix.audit.run import encode_sides
from babelmix.corpus import open_corpus
from babelmix.encoders import load_encoder
from babelmix.search import Index, Searcher
from babelmix.search.documents import rows_of_corpus
from babelmix.search.engines import exists
from babelmix.search.indexing import batches_of

K = 20
POLICIES = ("any", "balanced")


def main() -> None:
    """Index, search, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--model", default="e5-small-offline")
    parser.add_argument("--to", required=True, help="the index's folder; made if it is not there")
    parser.add_argument("--every", type=int, default=5, help="every how manieth query is asked")
    arguments = parser.parse_args()
    corpus, encoder = open_corpus(arguments.corpus), load_encoder(arguments.model)
    queries, passages = encode_sides(encoder, corpus)
    if not exists(arguments.to):
        place = dict(zip(corpus.passages["text"].to_pylist(), range(len(passages)), strict=True))
        with Index.create(arguments.to, encoder, arguments.model) as index:
            for batch in batches_of(rows_of_corpus(corpus)):
                changes = index.changes(batch)
                index.write(changes, passages[[place[point.row.text or ""] for point in changes.points]])
            index.settle()
            index.calibrate()
    relevant: dict[str, set[str]] = {}
    for query, passage in zip(*(corpus.qrels[c].to_pylist() for c in ("query_item", "passage_item")), strict=True):
        relevant.setdefault(query, set()).add(passage)
    sizes = dict(zip(*np.unique(corpus.passages["item"].to_pylist(), return_counts=True), strict=True))
    asked = range(0, corpus.queries.num_rows, arguments.every)
    items, langs, texts = (corpus.queries[c].to_pylist() for c in ("item", "lang", "text"))
    found: dict[str, list[tuple[float, float, float]]] = {policy: [] for policy in POLICIES}
    took: dict[str, list[float]] = {policy: [] for policy in POLICIES}
    precision_of = metric(f"mAP@{K}")
    with Index.open(arguments.to) as index:
        searcher = Searcher(index, encoder)
        vectors = searcher.index.ready(queries)
        for row in asked:
            wanted = relevant[items[row]]
            for policy in POLICIES:
                start = time.perf_counter()
                hits = searcher.search([texts[row]], vectors=vectors[row : row + 1], k=K, policy=policy)[0]
                took[policy].append(time.perf_counter() - start)
                # What is not among the first K counts as the next.
                ranks = np.full(sum(int(sizes[item]) for item in wanted), K)
                right = [rank for rank, hit in enumerate(hits) if hit.item in wanted]
                ranks[: len(right)] = right
                precision = precision_of(RankedLists(ranks, np.zeros(1, dtype=np.int64), np.ones_like(ranks)))[0]
                own = [hit.lang == langs[row] for hit in hits[:10]]
                answers = {hit.lang for hit in hits[:10] if hit.item in wanted}
                found[policy].append((float(precision), float(np.mean(own)), len(answers)))
    lines = [
        f"{corpus.name}, {len(asked):,} queries, `{index.about['encoder']}`, {len(passages):,} passages of all languages:",
        "",
        f"| policy | mAP@{K} | own language @10 | languages with a right answer @10 | ms a search (median) |",
        "|---|---:|---:|---:|---:|",
    ]
    for policy in POLICIES:
        precision_, own_, answers_ = np.mean(found[policy], axis=0)
        milliseconds = 1000 * statistics.median(took[policy])
        lines.append(f"| `{policy}` | {precision_:.3f} | {own_:.1%} | {answers_:.2f} | {milliseconds:.1f} |")
    print("\n".join(lines))
    marked.write(Path(__file__).resolve().parents[1] / "docs" / "search.md", {"policies": "\n".join(lines)})


if __name__ == "__main__":
    main()
