"""Texts of an index to search with: what the page offers before the first search."""

from __future__ import annotations

from babelmix.corpus import IMAGE
from babelmix.corpus.openings import TITLES, first_heading, first_sentence, one_line
from babelmix.errors import BabelmixError
from babelmix.search.index import Index
from babelmix.search.rows import Hit, Where
from babelmix.search.service.models import Example

LANGS = 5
"""Languages that examples are in: those with the most rows."""

_TRIED = 4
"""Rows of a language that are looked at."""


_SHORTEST, _LONGEST = 3, 80
"""Characters of an example."""


def examples_of(index: Index) -> list[Example]:
    """Choose a title or a first sentence in each of a few languages.

    Args:
        index: the index.

    Returns:
        At most one example a language, the languages with the most rows first. The same index gives the same ones. An engine that
        cannot give rows has none.

    """
    counts = index.langs()
    langs = sorted((lang for lang in counts if lang != IMAGE), key=lambda lang: (-counts[lang], lang))
    found: dict[str, Example] = {}
    for lang in langs[:LANGS]:
        try:
            vectors = index.engine.sample(lang, _TRIED)
            # Each vector finds its own row.
            hits = index.engine.nearest(vectors, [Where((lang,))] * len(vectors), 1) if len(vectors) else []
        except BabelmixError:
            continue
        texts = [text for some in hits for hit in some if len(text := _asked(hit)) >= _SHORTEST and text not in found]
        if texts:
            found[texts[0]] = Example(text=texts[0], lang=lang)
    return list(found.values())


def _asked(hit: Hit) -> str:
    """The title of a row, its heading or its first sentence; only the first words of a long one."""
    text = hit.text or ""
    title = next((str(hit.fields[name]) for name in TITLES if hit.fields.get(name)), "")
    heading = None if title else first_heading(text)
    asked = one_line(title or (heading.asked if heading else first_sentence(text[:2000]).asked))
    if len(asked) <= _LONGEST:
        return asked
    whole, space, _ = asked[: _LONGEST + 1].rpartition(" ")
    return whole if space else asked[:_LONGEST]


__all__ = ["examples_of"]
