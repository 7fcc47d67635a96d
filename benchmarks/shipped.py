"""Fit the removals that come with babelmix, on NTREX, and write them with their facts into the package.

python benchmarks/shipped.py --data DATA --encoder e5-small-offline
python benchmarks/shipped.py --data DATA --encoder e5-small-offline --compare torch      # are float32's offsets the same?

The options are those that `removal.py` uses; docs/remedies.md says how they were chosen.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import removal_data as data
from marked import write
from removal_rows import GOOD, SHIPPED_ALPHA, SHIPPED_RANK
from results import table

from babelmix._cache import place_for
from babelmix.encoders import load_encoder
from babelmix.encoders.embed import encode
from babelmix.encoders.fingerprints import fingerprint
from babelmix.encoders.removal import Embedded, Removal

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "src" / "babelmix" / "encoders" / "removal" / "shipped"
COMPARED, LANGS = 200, ("ar", "de", "en", "hi", "zh")
"""Sentences and languages of which offsets of two backends are compared."""


def fitted(given: argparse.Namespace) -> Removal:
    """The removal of an encoder, in all languages of NTREX."""
    file = given.data / "ntrex" / "sentences.parquet"
    langs = given.langs or sorted(set(pl.read_parquet_schema(file)) - {"document"})
    texts = data.ntrex(data.Store(given.encoder, given.backend, given.vectors / given.encoder), file, langs)
    made = GOOD(texts)
    assert isinstance(made, Removal)
    made = smaller(made, texts, SHIPPED_RANK)
    facts = {
        **made.facts, "rank": SHIPPED_RANK, "encoder": given.encoder, "backend": given.backend,
        "sentences": int(texts.item.max()) + 1,
        "source": "NTREX-128, https://github.com/MicrosoftTranslator/NTREX", "licence": "CC-BY-SA-4.0",
        "authors": "Federmann, Kocmi and Xin, SUMEVAL 2022", "made by": "benchmarks/shipped.py",
    }  # fmt: skip
    return replace(made, alpha=SHIPPED_ALPHA, facts=facts)


def smaller(removal: Removal, texts: Embedded, rank: int) -> Removal:
    """The same removal with maps of a low rank: the directions in which the texts of each language move most."""
    kinds = int(texts.kind.max()) + 1
    shape = (2, len(removal.langs), removal.dimension, rank)
    left, right = np.zeros(shape, dtype=np.float32), np.zeros((*shape[:2], rank, shape[2]), dtype=np.float32)
    offsets = removal.offsets.copy()
    for side in range(2):
        for one in range(len(removal.langs)):
            some = texts.vectors[(texts.lang == one) & (texts.kind == min(side, kinds - 1))]
            whole = np.zeros((removal.dimension,) * 2)
            if removal.left is not None and removal.right is not None:
                whole += removal.left[side, one] @ removal.right[side, one]
            if removal.shared is not None:
                whole += removal.shared[side]
            mean = some.mean(axis=0)
            values, vectors = np.linalg.eigh(np.cov(some, rowvar=False))
            moved = whole @ vectors * np.sqrt(np.maximum(values, 0))
            basis = np.linalg.svd(moved, full_matrices=False)[0][:, :rank]
            left[side, one], right[side, one] = basis, basis.T @ whole
            # The mean of the texts moves as before.
            offsets[side, one] += basis @ (basis.T @ (whole @ mean)) - whole @ mean
    return replace(removal, offsets=offsets, left=left, right=right, shared=None)


def compared(given: argparse.Namespace) -> str:
    """The cosine of each language's offset with two backends, and the length of the difference."""
    texts = pl.read_parquet(given.data / "ntrex" / "sentences.parquet")[:COMPARED]
    offsets = []
    for backend in (given.backend, given.compare):
        encoder = load_encoder(given.encoder, backend=backend)
        encoder.max_seq_length = data.TOKENS["ntrex"]
        vectors = np.stack([encode(encoder, texts[lang].to_list(), "document") for lang in LANGS]).astype(np.float64)
        vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
        means = vectors.mean(axis=1)
        offsets.append(means - means.mean(axis=0))
    first, second = offsets
    length = np.linalg.norm(first, axis=1)
    cosine = (first * second).sum(axis=1) / length / np.linalg.norm(second, axis=1)
    apart = np.linalg.norm(first - second, axis=1) / length
    rows = [[lang, f"{c:.4f}", f"{a:.1%}"] for lang, c, a in zip(LANGS, cosine, apart, strict=True)]
    head = ["language", "cosine of the offsets", "difference, of the offset's length"]
    return (
        f"Offsets of `{given.encoder}` by {COMPARED} sentences, with the backends `{given.backend}` and "
        f"`{given.compare}`:\n\n{table(head, rows)}"
    )


def main() -> None:
    """Fit and write, or compare two backends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", default="e5-small-offline")
    parser.add_argument("--backend", default="openvino")
    parser.add_argument("--vectors", type=Path, default=place_for("vectors", "benchmarks", "removal"))
    parser.add_argument("--langs", nargs="+", default=[], help="of NTREX; by default all")
    parser.add_argument("--compare", default="", help="another backend; writes docs/remedies.md")
    given = parser.parse_args()
    if given.compare:
        write(ROOT / "docs" / "remedies.md", {"shipped-backends": compared(given)})
        return
    file = fitted(given).save(FOLDER / f"{given.encoder}.safetensors", dtype="float16")
    known = FOLDER / "fingerprints.json"
    prints = json.loads(known.read_text(encoding="utf-8")) if known.exists() else {}
    prints[fingerprint(load_encoder(given.encoder))] = given.encoder
    known.write_text(json.dumps(prints, indent=1) + "\n", encoding="utf-8")
    print(f"{file}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
