"""Examples: for a query in each of some languages, the first pictures that an encoder finds."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from babelmix._files import write_json
from babelmix.corpus import Corpus
from babelmix.corpus.images import bytes_of
from babelmix.corpus.languages import in_range
from babelmix.evaluation.systems import EncoderSystem

LANGUAGES = 10
SHOWN = 5


@dataclass(frozen=True)
class Found:
    """A picture that was found: its item, an English caption or another, and the encoded picture."""

    item: str
    words: str
    picture: bytes


@dataclass(frozen=True)
class Example:
    """A query, and the first pictures an encoder finds for it."""

    item: str
    lang: str
    text: str
    top: list[Found]


def examples_of(encoder: SentenceTransformer, corpus: Corpus) -> list[Example]:
    """The first pictures for one query in each of at most ten languages; queries are drawn by a hash.

    Args:
        encoder: of two towers.
        corpus: captions as queries, pictures as passages.

    """
    rows = corpus.queries.select(["item", "lang", "text"]).to_pylist()
    # From the end of the alphabet and the middle alike: every so-many-th language.
    langs = sorted({row["lang"] for row in rows})
    langs = [langs[i] for i in np.linspace(0, len(langs) - 1, min(LANGUAGES, len(langs))).round().astype(int)]
    drawn = [
        min((r for r in rows if r["lang"] == lang), key=lambda r: _hash(f"{r['lang']} {r['item']}")) for lang in langs
    ]
    words: dict[str, str] = {}
    for row in rows:
        if in_range(row["lang"], "en"):
            words.setdefault(row["item"], row["text"])
    places = {(row["lang"], row["item"], row["text"]): number for number, row in enumerate(rows)}
    queries, pictures = EncoderSystem(encoder, batch_size=32, store=True).embed(corpus)
    items = corpus.passages["item"].to_pylist()
    examples = []
    for row in drawn:
        scores = pictures @ queries[places[row["lang"], row["item"], row["text"]]]
        best = np.argsort(-scores, kind="stable")[:SHOWN].tolist()
        top = [
            Found(items[i], words.get(items[i], items[i]), bytes_of(corpus.passages["image"][i].as_py())) for i in best
        ]
        examples.append(Example(row["item"], row["lang"], row["text"], top))
    return examples


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def save_examples(examples: list[Example], file: Path) -> None:
    """Write examples as JSON."""

    def plain(example: Example) -> dict[str, Any]:
        top = [{**asdict(one), "picture": base64.b64encode(one.picture).decode()} for one in example.top]
        return {**asdict(example), "top": top}

    write_json(file, [plain(example) for example in examples])


def load_examples(file: Path) -> list[Example]:
    """Read what `save_examples` wrote; nothing if there is no such file."""
    if not file.is_file():
        return []
    read = json.loads(file.read_text(encoding="utf-8"))
    return [
        Example(
            one["item"], one["lang"], one["text"],
            [Found(f["item"], f["words"], base64.b64decode(f["picture"])) for f in one["top"]],
        )
        for one in read
    ]  # fmt: skip


__all__ = ["Example", "Found", "examples_of", "load_examples", "save_examples"]
