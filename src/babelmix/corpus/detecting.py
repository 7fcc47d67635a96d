"""Detect the language of a text, among the languages that it may have: by py3langid, the extra `detect`.

py3langid is small, has its model in its package, needs no network, and knows 97 languages. On two words or more it is as good as
detectors twenty times its size, if it need not choose among languages that a collection does not have: `benchmarks/detectors.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from babelmix._lists import as_list
from babelmix.corpus.languages import canonical_language
from babelmix.errors import CorpusError, require

LEAST = 0.5
"""A text whose likeliest language has a smaller share has no detected language: see `benchmarks/detectors.py`."""


def detect_languages(
    texts: str | Sequence[str], langs: str | Sequence[str], *, least: float = LEAST
) -> list[str | None]:
    """Detect the language of texts.

    Args:
        texts: one text or several.
        langs: the languages that the texts may have, as tags. A text in another language gets the most similar one.
        least: the smallest share of the likeliest language, 0 to 1, as the detector states it.

    Returns:
        One of `langs` for each text; None if it has no letters, or no language is likely enough.

    Raises:
        MissingExtraError: the extra `detect` is not installed.

    Examples:
        >>> detect_languages(["Wie speichere ich ein Bild?", "How do I save an image?", "42"], ["de", "en-GB"])
        ['de', 'en-GB', None]

    """
    # Regions and scripts of one language are not told apart: the first stands for them.
    tags: dict[str, str] = {}
    for lang in as_list(langs, "langs", CorpusError):
        tags.setdefault(canonical_language(lang).partition("-")[0], lang)
    known = tuple(sorted(set(tags) & _known()))
    detector = _detector(known) if known else None
    found: list[str | None] = []
    for text in as_list(texts, "texts", CorpusError):
        # A no-break space is a space for a reader; the detector takes it for a letter of some languages.
        text = text.replace("\u00a0", " ")
        lang, share = detector.classify(text) if detector is not None and any(map(str.isalpha, text)) else ("", 0.0)
        found.append(tags[lang] if lang and share >= least else None)
    return found


def check_detector() -> None:
    """Raise unless the detector is installed.

    Raises:
        MissingExtraError: the extra `detect` is not installed.

    """
    _library()


def known_languages() -> list[str]:
    """The languages that the detector knows, as tags.

    Raises:
        MissingExtraError: the extra `detect` is not installed.

    """
    return sorted(_known())


def _library() -> Any:
    return require("py3langid.langid", "detect", "Detecting the language of a text")


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    """The languages that the detector knows."""
    return frozenset(_library().LanguageIdentifier.from_model_file(_library().MODEL_FILE).labels)


@lru_cache(maxsize=32)
def _detector(langs: tuple[str, ...]) -> Any:
    library = _library()
    found = library.LanguageIdentifier.from_model_file(library.MODEL_FILE, norm_probs=True)
    found.set_languages(list(langs))
    return found


__all__ = ["LEAST", "check_detector", "detect_languages", "known_languages"]
