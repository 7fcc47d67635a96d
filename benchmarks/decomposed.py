"""Decomposed questions (NFD, as in macOS file names and texts from PDFs): R@1 with and without composing them first.

python benchmarks/decomposed.py --xquad-r PATH --libreoffice-help PATH [--questions 100]

The passages are used as published. The questions are given in NFC and in NFD. *As given* removes the composing step from the
tokenizer, which is how the encoder worked before. The candidates of a question are the passages in its language. Writes the
table of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import unicodedata
from pathlib import Path
from typing import Any

import machine
import marked
import numpy as np
from tokenizers import Tokenizer

from babelmix.corpus import Corpus, open_corpus
from babelmix.encoders import load_encoder
from babelmix.encoders.composing import without_composing
from babelmix.encoders.embed import encode_batch
from babelmix.encoders.limits import cut_after

ENCODER = "e5-small-offline"
LANGS = {"xquad-r": {"vi": "Vietnamese", "el": "Greek"}, "libreoffice-help": {"ko": "Korean", "ja": "Japanese"}}
FORMS = ("NFC", "NFD")


def main() -> None:
    """Ask in both forms, with and without the composing step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--xquad-r", required=True)
    parser.add_argument("--libreoffice-help", required=True)
    parser.add_argument("--questions", type=int, default=100, help="of a language")
    parser.add_argument("--passages", type=int, default=300, help="of a language, the right ones among them")
    parser.add_argument("--quick", action="store_true", help="few questions: does it run? Writes nothing")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.questions, arguments.passages = 4, 8
    encoder, plain = load_encoder(ENCODER, device="cpu"), load_encoder(ENCODER, device="cpu")
    for one in (encoder, plain):
        cut_after(one, 128)
    as_given(plain)
    lines = [
        f"`{ENCODER}`, {arguments.questions} questions a language among {arguments.passages} passages: share whose first answer "
        "is right.",
        "",
        "| | questions in NFC | in NFD, as given | in NFD, composed | that composing changes |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, langs in LANGS.items():
        corpus = open_corpus(f"{name}={getattr(arguments, name.replace('-', '_'))}")
        for lang, title in langs.items():
            questions, passages, right = asked(corpus, lang, arguments.questions, arguments.passages)
            pool = encode_batch(encoder, passages, "document")
            found: dict[str, float] = {}
            for form in FORMS:
                given = [unicodedata.normalize(form, question) for question in questions]
                for how, vectors in (
                    ("composed", encode_batch(encoder, given, "query")),
                    ("as given", plain.encode_query(given, show_progress_bar=False)),
                ):
                    found[f"{form} {how}"] = float(((vectors @ pool.T).argmax(axis=1) == right).mean())
            changed = sum(not unicodedata.is_normalized("NFC", unicodedata.normalize("NFD", q)) for q in questions)
            cells = [f"{found[key]:.3f}" for key in ("NFC composed", "NFD as given", "NFD composed")]
            lines.append(f"| {title} ({name}) | {' | '.join(cells)} | {changed / len(questions):.0%} |")
    part = "\n".join([*lines, "", machine.note()])
    print(part)
    if not arguments.quick:
        marked.write(Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md", {"decomposed": part})


def as_given(encoder: Any) -> None:
    """Remove the composing step from an encoder's tokenizer."""
    backend = encoder.tokenizer.backend_tokenizer
    description = json.loads(backend.to_str())
    description["normalizer"] = without_composing(description["normalizer"])
    backend.normalizer = Tokenizer.from_str(json.dumps(description)).normalizer


def asked(corpus: Corpus, lang: str, questions: int, passages: int) -> tuple[list[str], list[str], np.ndarray]:
    """Questions with distinct relevant passages, the passages in the same language, and the row of each relevant passage."""
    sides = [dict(_rows(table, lang)) for table in (corpus.queries, corpus.passages)]
    relevant: dict[str, str] = {}
    pairs = (corpus.qrels[name].to_pylist() for name in ("query_item", "passage_item"))
    for query, passage in zip(*pairs, strict=True):
        if passage in sides[1]:
            relevant.setdefault(query, passage)
    chosen: dict[str, str] = {}
    for query, text in sides[0].items():
        item = relevant.get(query)
        if item and item not in chosen and len(chosen) < questions and text not in chosen.values():
            chosen[item] = text
    others = [item for item in sides[1] if item not in chosen][: max(0, passages - len(chosen))]
    pool = [sides[1][item] for item in (*chosen, *others)]
    return list(chosen.values()), pool, np.arange(len(chosen))


def _rows(table: Any, lang: str) -> list[tuple[str, str]]:
    items, langs, texts = (table[name].to_pylist() for name in ("item", "lang", "text"))
    return [(item, text) for item, its, text in zip(items, langs, texts, strict=True) if its == lang]


if __name__ == "__main__":
    main()
