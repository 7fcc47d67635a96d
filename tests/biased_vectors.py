"""Vectors of an encoder with a language bias, and what own means make of them."""

from __future__ import annotations

import numpy as np

from babelmix.corpus import Corpus

Sides = tuple[np.ndarray, np.ndarray]
LANGS = ("de", "en", "fr", "ja")


def made_for(corpus: Corpus, apart: float = 2.0) -> Sides:
    """Vectors of an encoder with a language bias: meaning, and a direction of the language and the side."""
    rng = np.random.default_rng(3)
    sides = []
    for side in (corpus.queries, corpus.passages):
        offsets = dict(zip(LANGS, apart * rng.standard_normal((4, 16)), strict=True))
        meaning = {
            item: np.random.default_rng(int(item[1:])).standard_normal(16) for item in set(side["item"].to_pylist())
        }
        rows = zip(side["item"].to_pylist(), side["lang"].to_pylist(), strict=True)
        sides.append(np.array([meaning[item] + offsets[lang] for item, lang in rows], dtype=np.float32))
    return sides[0], sides[1]


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def without_means(x: np.ndarray, langs: list[str], alpha: float = 1.0) -> np.ndarray:
    x = unit(x.astype(np.float64))
    means = {lang: x[np.array(langs) == lang].mean(axis=0) for lang in set(langs)}
    return unit(x - alpha * np.stack([means[lang] for lang in langs]))
