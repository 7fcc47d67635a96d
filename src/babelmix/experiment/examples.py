"""Examples for a report: the pictures that an encoder ranks first, for one query per language."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from babelmix._files import write_json
from babelmix.corpus import Corpus
from babelmix.corpus.images import bytes_of, open_picture
from babelmix.corpus.languages import in_range
from babelmix.evaluation.systems import EncoderSystem

LANGUAGES = 10
"""The largest number of languages with an example."""
SHOWN = 5
"""Pictures per example."""
PIXELS = 128
"""The width and the height of a picture in a report, at most."""


@dataclass(frozen=True)
class Found:
    """A retrieved picture: its item, its English caption (the item if there is none), and a small PNG."""

    item: str
    words: str
    picture: bytes


@dataclass(frozen=True)
class Example:
    """A query and the top pictures that an encoder retrieves for it."""

    item: str
    lang: str
    text: str
    top: list[Found]


def examples_of(encoder: SentenceTransformer, corpus: Corpus) -> list[Example]:
    """The top pictures for one query in each of at most ten languages. The query with the lowest hash is chosen.

    Args:
        encoder: an encoder of two towers.
        corpus: a corpus with captions as queries and pictures as passages.

    """
    rows = corpus.queries.select(["item", "lang", "text"]).to_pylist()
    # Choose languages at equal distances in their sorted order.
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
            Found(items[i], words.get(items[i], items[i]), _small(bytes_of(corpus.passages["image"][i].as_py())))
            for i in best
        ]
        examples.append(Example(row["item"], row["lang"], row["text"], top))
    return examples


def _small(picture: bytes) -> bytes:
    """A PNG of a picture, at most `PIXELS` wide and high: a report holds many."""
    small = open_picture(picture)
    small.thumbnail((PIXELS, PIXELS))
    made = io.BytesIO()
    small.save(made, "PNG")
    return made.getvalue()


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def save_examples(examples: list[Example], file: Path) -> None:
    """Write examples to a JSON file."""

    def plain(example: Example) -> dict[str, Any]:
        top = [{**asdict(one), "picture": base64.b64encode(one.picture).decode()} for one in example.top]
        return {**asdict(example), "top": top}

    write_json(file, [plain(example) for example in examples])


def load_examples(file: Path) -> list[Example]:
    """Read the file of `save_examples`; an empty list if there is none."""
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
