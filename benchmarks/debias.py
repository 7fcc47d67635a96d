"""Remove language from an encoder without training: the effect of each method of `babelmix debias` on a benchmark.

python benchmarks/debias.py libreoffice-help=PATH xquad-r=PATH
python benchmarks/debias.py libreoffice-help=PATH xquad-r=PATH --model FOLDER --table debias-trained

Each method is fitted on the passages and queries of the first corpus and audited on the second. The methods have seen neither
the texts of the second corpus nor its languages, except for those that both corpora have. As an upper bound, each method is
also fitted on the second corpus itself. No method is given the language of a text. Embeddings are cached, so that a second run
continues. Writes its table into docs/results.md.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from finetuned import TESTED
from marked import write
from results import COLUMNS, ROOT, shown, table
from sentence_transformers import SentenceTransformer

from babelmix.corpus import Corpus, open_corpus
from babelmix.encoders import load_encoder
from babelmix.encoders.debias import debiased, usual_rank
from babelmix.evaluation import measures
from babelmix.evaluation.scoring import rank_table
from babelmix.evaluation.systems import EncoderSystem
from babelmix.search import open_rows
from babelmix.search.documents import sampled_queries, sampled_texts

METHODS = (
    ("centred", 10), ("centred", 0), ("subspace", 5), ("subspace", 10), ("whiten", 0), ("means", 0), ("components", 1),
    ("components", 5),
)  # fmt: skip
"""Each with its rank; 0: the usual."""
RANKED = ("centred", "subspace", "components")
SHOWN = (*TESTED, "bias/same-language share@10")


def main() -> None:
    """Fit, audit, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("benchmark")
    parser.add_argument("--model", default="e5-small-offline")
    parser.add_argument("--texts", type=int, default=200, help="of a language")
    parser.add_argument("--max-seq-length", type=int, default=128, help="of the texts that are fitted on")
    parser.add_argument("--backend", default="torch", help="as of `babelmix audit`")
    parser.add_argument(
        "--table", default="debias", help="of docs/results.md, to write; debias-trained for a trained encoder"
    )
    arguments = parser.parse_args()
    benchmark = open_corpus(arguments.benchmark)
    encoder = load_encoder(arguments.model, backend=arguments.backend)
    sides = EncoderSystem(encoder, store=True).embed(benchmark)
    limit = encoder.max_seq_length
    rows = [["nothing taken away", "", *cells(benchmark, *sides)]]
    for source in (arguments.corpus, arguments.benchmark):
        given = open_rows(source)
        texts, queries = sampled_texts(given, arguments.texts), sampled_queries(given, arguments.texts)
        on = f"{source.split('=')[0]}, {len(texts)} languages"
        for method, rank in METHODS:
            if rank == 0 and (method, usual_rank(method, len(texts))) in METHODS:
                continue
            encoder.max_seq_length = min(arguments.max_seq_length, limit)
            made = debiased(encoder, texts, queries=queries, method=method, rank=rank)
            label = f"`{method}`" + (
                f", {rank or usual_rank(method, len(texts))} directions" if method in RANKED else ""
            )
            rows.append([label, on, *cells(benchmark, *(tail(made, len(encoder), side) for side in sides))])
            print(*rows[-1], flush=True)
    written = table(["method", "fitted on", *(COLUMNS[key] for key in SHOWN)], rows)
    print(written)
    write(ROOT / "docs" / "results.md", {arguments.table: written})


def tail(encoder: SentenceTransformer, start: int, vectors: Any) -> Any:
    """The embeddings after the modules from `start` on."""
    features = {"sentence_embedding": torch.from_numpy(np.asarray(vectors, dtype=np.float32))}
    with torch.inference_mode():
        for module in list(encoder)[start:]:
            features = module(features)
    return features["sentence_embedding"].numpy()


def cells(corpus: Corpus, queries: Any, passages: Any) -> list[str]:
    """The cells of one row of the table."""
    found = measures(rank_table(corpus, queries, passages), ["mAP"])
    return [shown(key, found[key].macro()) for key in SHOWN]


if __name__ == "__main__":
    main()
