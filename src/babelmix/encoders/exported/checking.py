"""Does an export agree with float32? Both embed a small parallel set of questions and passages, and their mAP is compared.

The set is `check.tsv`: 60 everyday facts in 12 languages of 11 scripts, written for babelmix. Five facts share a subject, so that
a question has near misses.

mAP of so few questions jumps when two near scores change places: it differs by 0.003 between exports that are equally good. The
limit is 0.002, so the check takes the mean mAP of 16 random halves of the dimensions, for questions that look for passages and
for passages that look for questions. This mean moves smoothly: its noise is 0.0007 or less.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix._files import write_json
from babelmix._vectors import unit_length
from babelmix.errors import EncoderError

Floats = npt.NDArray[np.float32]
Vectors = Mapping[str, Floats]
"""Embeddings of the check set by kind, `query` and `document`, each of shape (texts, dimension)."""

LIMIT = 0.002
"""The largest difference in mAP from float32 that an export of `auto` may have, in each setting."""

SETTINGS = ("mono", "cross", "multi")
"""Where questions look: in their own language, in one other language, in all languages."""

FILE = "check.json"
"""The file of an export with its checks, by processor. It is not among the checksums, as it is written later."""

_SET = "check.tsv"
_DRAWS = 16
_METHOD = 1
"""Version of the comparison. Checks of another version are made again."""


@dataclass(frozen=True)
class CheckSet:
    """Questions and passages: every item in every language, ordered by item, then language.

    Args:
        items: the names of the items, such as `bread-2`: the second fact about bread.
        langs: the languages.
        questions: one for each item and language.
        passages: the passage that answers each question.
        key: a name for its contents; checks with another set are made again.

    """

    items: tuple[str, ...]
    langs: tuple[str, ...]
    questions: tuple[str, ...]
    passages: tuple[str, ...]
    key: str


@functools.cache
def check_set() -> CheckSet:
    """The check set that comes with babelmix.

    Examples:
        >>> found = check_set()
        >>> len(found.items), len(found.langs), found.questions[1]
        (60, 12, 'Wie lange darf ich ein geliehenes Buch behalten?')

    """
    data = (importlib.resources.files(__package__) / _SET).read_bytes()
    rows = [line.split("\t") for line in data.decode("utf-8").splitlines()[1:]]
    items, langs, questions, passages = zip(*rows, strict=True)
    key = f"{zlib.crc32(data):08x}-{_METHOD}"
    return CheckSet(tuple(dict.fromkeys(items)), tuple(dict.fromkeys(langs)), questions, passages, key)


@dataclass(frozen=True)
class Agreement:
    """How far an export is from float32 on the check set: differences in mAP, export minus float32.

    Args:
        mono: within a language; the mean of 16 halves of the dimensions, in both directions.
        cross: across two languages, likewise.
        multi: in a pool of all languages, likewise.
        plain: the differences in plain mAP, questions to passages in all dimensions. For readers only: it is too coarse to
            decide.
        langs: the number of languages.

    """

    mono: float
    cross: float
    multi: float
    plain: Mapping[str, float]
    langs: int

    @property
    def worst(self) -> float:
        """The largest difference of the three settings, without its sign."""
        return max(abs(self.mono), abs(self.cross), abs(self.multi))

    @property
    def passed(self) -> bool:
        """Whether all differences are within `LIMIT`."""
        return self.worst <= LIMIT

    def __str__(self) -> str:
        """The end of a sentence about the export."""
        how = "agrees with float32 to" if self.passed else "differs from float32 by"
        return f"{how} {self.worst:.4f} mAP in {self.langs} languages"


def embed_check_set(encoder: Any) -> dict[str, Floats]:
    """Embed the check set.

    Args:
        encoder: has the methods `encode_query` and `encode_document`.

    Returns:
        Float32, shape (texts, dimension), by kind.

    Raises:
        EncoderError: the encoder does not return one vector per text.

    """
    found = {}
    for kind, texts in (("query", check_set().questions), ("document", check_set().passages)):
        method = encoder.encode_query if kind == "query" else encoder.encode_document
        vectors = np.asarray(method(list(texts), batch_size=128, show_progress_bar=False, convert_to_numpy=True))
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise EncoderError(f"the encoder gives vectors of shape {vectors.shape} for {len(texts)} texts")
        found[kind] = vectors.astype(np.float32, copy=False)
    return found


def agreement(reference: Vectors, candidate: Vectors, *, similarity: str = "cosine") -> Agreement:
    """Compare the mAP of two encodings of the check set.

    Args:
        reference: the embeddings of the encoder in float32.
        candidate: those of an export.
        similarity: `cosine` or `dot`.

    Returns:
        The differences. If the export gave infinity or NaN, they are -1.

    Raises:
        EncoderError: the embeddings are not of the check set.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> exact = {kind: rng.normal(size=(720, 8)).astype(np.float32) for kind in ("query", "document")}
        >>> same = agreement(exact, exact)
        >>> same.passed, str(same)
        (True, 'agrees with float32 to 0.0000 mAP in 12 languages')

    """
    texts, langs = len(check_set().questions), len(check_set().langs)
    for vectors in (*reference.values(), *candidate.values()):
        if vectors.ndim != 2 or len(vectors) != texts:
            raise EncoderError(f"the check set has {texts} texts of each kind, not vectors of shape {vectors.shape}")
    if not all(np.isfinite(vectors).all() for vectors in candidate.values()):
        return Agreement(-1.0, -1.0, -1.0, dict.fromkeys(SETTINGS, -1.0), langs)
    (exact, plain), (other, other_plain) = (_measured(some, similarity) for some in (reference, candidate))
    mono, cross, multi = (float(value) for value in other - exact)
    differences = (float(value) for value in other_plain - plain)
    return Agreement(mono, cross, multi, dict(zip(SETTINGS, differences, strict=True)), langs)


def _measured(vectors: Vectors, similarity: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The mAP of the settings: the mean over halves and directions, and the plain one."""
    queries, documents = vectors["query"], vectors["document"]
    langs, dimension = len(check_set().langs), queries.shape[1]
    ready: Callable[[Floats], Floats] = unit_length if similarity == "cosine" else np.ascontiguousarray
    total = np.zeros(len(SETTINGS))
    rng = np.random.default_rng(0)
    for _ in range(_DRAWS):
        half = np.sort(rng.choice(dimension, -(-dimension // 2), replace=False))
        scores = ready(queries[:, half]) @ ready(documents[:, half]).T
        total += mean_average_precision(scores, langs) + mean_average_precision(scores.T, langs)
    return total / (2 * _DRAWS), mean_average_precision(ready(queries) @ ready(documents).T, langs)


def mean_average_precision(scores: Floats, langs: int) -> npt.NDArray[np.float64]:
    """The mAP of a parallel set in the three settings, as an audit computes it (`babelmix.evaluation`).

    Of equal scores, the lower row ranks first.

    Args:
        scores: of each query and passage, float32, shape (items x langs, items x langs), ordered by item, then language. A
            passage is relevant if it has the query's item.
        langs: the number of languages.

    Returns:
        `mono`, `cross` and `multi`, float64, shape (3,).

    Examples:
        >>> scores = np.array([[4, 3, 2, 1], [3, 4, 1, 2], [2, 1, 4, 3], [1, 2, 3, 4]], dtype=np.float32)
        >>> mean_average_precision(scores, langs=2).tolist()
        [1.0, 1.0, 1.0]

    """
    scores = np.ascontiguousarray(scores)
    rows = np.arange(len(scores))
    own = rows % langs
    within = np.empty((langs, langs))
    ranks = np.empty((len(scores), langs), dtype=np.int64)
    for lang in range(langs):
        relevant = rows - own + lang
        score = scores[rows, relevant][:, None]
        above = scores > score
        above |= (scores == score) & (rows[None, :] < relevant[:, None])
        ranks[:, lang] = np.count_nonzero(above, axis=1)
        in_lang = np.count_nonzero(above[:, lang::langs], axis=1)
        within[lang] = (1 / (in_lang + 1)).reshape(-1, langs).mean(axis=0)
    ranks.sort(axis=1)
    multi = ((np.arange(langs) + 1) / (ranks + 1)).mean()
    cross = within[~np.eye(langs, dtype=bool)].mean() if langs > 1 else 1.0
    return np.array([np.diag(within).mean(), cross, multi])


def kept_check(folder: Path, processor: str) -> Agreement | None:
    """The check of an export on a sort of processor, if it has been made with this check set.

    Args:
        folder: the folder of the export.
        processor: see `babelmix.encoders.exported.processors`.

    """
    try:
        known = json.loads((folder / FILE).read_bytes())[processor]
        if known["set"] != check_set().key:
            return None
        plain = {setting: float(known["plain"][setting]) for setting in SETTINGS}
        mono, cross, multi = (float(known[setting]) for setting in SETTINGS)
        return Agreement(mono, cross, multi, plain, int(known["langs"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        # Missing, damaged or of another version: the check is made again.
        return None


def keep_check(folder: Path, processor: str, found: Agreement, about: Mapping[str, str]) -> None:
    """Write the check of an export into its folder, beside those of other processors.

    Args:
        folder: the folder of the export.
        processor: the sort of processor that ran it.
        found: the check.
        about: further facts, such as the precision.

    """
    try:
        known = json.loads((folder / FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        known = {}
    known = known if isinstance(known, dict) else {}
    numbers = {setting: round(getattr(found, setting), 6) for setting in SETTINGS}
    plain = {setting: round(value, 6) for setting, value in found.plain.items()}
    entry = {**about, **numbers, "plain": plain, "langs": found.langs, "limit": LIMIT, "set": check_set().key}
    write_json(folder / FILE, {**known, processor: entry})


__all__ = [
    "FILE", "LIMIT", "SETTINGS", "Agreement", "CheckSet", "Vectors", "agreement", "check_set", "embed_check_set", "keep_check",
    "kept_check", "mean_average_precision",
]  # fmt: skip
