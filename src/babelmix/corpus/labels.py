"""Where the qrels of a corpus come from, if they are not judgements: a regime, which reports name beside every number.

`meta["labels"]` holds the regime as a text. Without this key the qrels are judgements, or there are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LABELS = "labels"
"""The key of `meta` with the regime."""

CLICK_FACTS = "clicks"
"""The key of `meta` with numbers about clicks; see `babelmix.corpus.readers.folder`."""

NONE = "none: queries and passages without qrels"
"""The regime of a corpus without qrels."""

LOST = "none left: the chosen languages or groups have no relevant pair"
"""The regime of a part of a corpus that has qrels, where the part has none."""

TRANSLATIONS = "translations of one text find each other"
"""The regime of a bitext: each text is query and passage, so in its own language it finds itself."""

NEXT = "a sentence asks for what follows it"
"""The regime of sentences that ask for the next sentences of their document."""

CLICKS = "clicks"
"""The regime of qrels that are made from clicks."""

KNOWN_ITEMS = "known items"
"""The beginning of the regimes of known items; what asks for what follows a colon."""


ITEM_NO_LABEL = "item joins translations of one query, and is no label; a clicked_id is one"
"""What the column `item` of a log of queries means."""

CONTAINED = "their text, which contains them"
"""The end of the regime of known items whose texts are as they were, as in an index."""


def known_item_labels(kinds: Mapping[str, int], contained: bool = False) -> str:
    """The regime of known items.

    Args:
        kinds: the number of items by what asks for them: `titles`, `headings`, `sentences`, `templates` or `cloze`.
        contained: whether texts still contain what asks for them.

    Examples:
        >>> known_item_labels({"titles": 7})
        'known items: titles ask for the rest of their text'

    """
    words = {
        "titles": "titles",
        "headings": "first headings",
        "sentences": "first sentences",
        "templates": "headings as questions",
        "cloze": "sentences without their key phrase",
    }
    asked = [words[kind] for kind in words if kinds.get(kind)]
    what = CONTAINED if contained else "the rest of their text"
    return f"{KNOWN_ITEMS}: {' and '.join(asked) or 'nothing'} ask for {what}"


def labels_of(meta: Mapping[str, Any], qrels: int) -> str | None:
    """The regime of a corpus; None for judgements.

    Args:
        meta: the `meta` of the corpus.
        qrels: the number of its qrels.

    """
    named = meta.get(LABELS)
    return str(named) if named else None if qrels else NONE


def what_labels_mean(labels: str | None, clicks: Mapping[str, Any] | None = None) -> str:
    """What the regime means for a reader of the numbers, in one or two sentences; empty for judgements.

    Args:
        labels: the regime, see `labels_of`.
        clicks: numbers about clicks, if the regime is clicks.

    Examples:
        >>> what_labels_mean(NONE)
        'There are no labels: nothing here says whether an answer is right.'

    """
    if labels is None:
        return ""
    if labels == NONE:
        return "There are no labels: nothing here says whether an answer is right."
    if labels.startswith(KNOWN_ITEMS):
        return (
            f"Labels: {labels}. Such questions share words with their answer, so they are easier than users' questions: compare "
            "languages and systems by them, but do not read mAP as quality."
        ) + (
            " The text in the query's own language contains the query word for word, so the preference for it is overstated."
            if labels.endswith(CONTAINED)
            else ""
        )
    if labels == TRANSLATIONS:
        return (
            f"Labels: {labels}. In its own language a text finds itself, so monolingual figures mean nothing: read the figures "
            "across languages, as bitext retrieval."
        )
    if labels.startswith(CLICKS):
        return f"Labels: {labels}. {_clicks(clicks or {})}"
    return f"Labels: {labels}."


def _clicks(facts: Mapping[str, Any]) -> str:
    said = (
        "What is shown first is clicked first, and a system that shows answers in the query's language gets clicks on them. So "
        "clicks can convict a system of language bias, but never acquit it."
    )
    own, fair = facts.get("own_language"), facts.get("own_language_in_pool")
    if own is not None and fair is not None:
        said += f" {own:.0%} of the clicks are on answers in the query's own language, which is {fair:.0%} of the passages."
    if (first := facts.get("at_first_position")) is not None:
        said += f" {first:.0%} of the clicks are on the answer that was shown first."
    return said


__all__ = [
    "CLICKS", "CLICK_FACTS", "ITEM_NO_LABEL", "KNOWN_ITEMS", "LABELS", "LOST", "NEXT", "NONE", "TRANSLATIONS",
    "known_item_labels", "labels_of", "what_labels_mean",
]  # fmt: skip
