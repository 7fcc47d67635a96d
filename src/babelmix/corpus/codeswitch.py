"""Code-switching: replace words of a text by their translations in bilingual lexicons (arXiv 2305.05295).

Litschko, Artemova and Plank (Findings of ACL 2023) trained rerankers on such texts. Here the new texts are rows of a corpus, so
cross-lingual batches need no translations.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, get_args

import pyarrow as pa

from babelmix.corpus.languages import in_range
from babelmix.corpus.lexicons import WORD, Lexicon, read_lexicon
from babelmix.corpus.model import Corpus
from babelmix.errors import ConfigError, CorpusError

MIXED = "mul"
"""The language of a text with words of several languages (BCP 47's tag)."""

Mode = Literal["bilingual", "multilingual"]
SIDES = {"query": ("queries",), "passage": ("passages",), "both": ("queries", "passages")}


def code_switched(
    corpus: Corpus,
    lexicons: str | Lexicon | Sequence[str | Lexicon],
    *,
    mode: Mode = "bilingual",
    share: float = 0.5,
    side: Literal["query", "passage", "both"] = "both",
    seed: int = 0,
) -> Corpus:
    """Add code-switched texts to a corpus, as further rows of the same items.

    Every text in the source language of the lexicons is switched:

    - `bilingual`: one new text for each lexicon, in the lexicon's target language. A word that is in the lexicon is replaced with
      probability `share`.
    - `multilingual`: one new text with the language `mul`. A word is chosen with probability `share`, a lexicon is drawn
      uniformly, and the word is replaced if it is in that lexicon.

    A translation is capitalised like its word. Everything between words stays. A text in which no word is replaced is not added.
    An item that already has a text in the target language gets no new one in it. The random numbers of a text depend only on the
    seed, the text and its item, side and target language.

    Args:
        corpus: a corpus with texts in the source language.
        lexicons: one lexicon or several, of one source language and different target languages. A string is read by
            `read_lexicon`.
        mode: `bilingual` or `multilingual`.
        share: the probability that a word is replaced, in (0, 1].
        side: the texts to switch: `query`, `passage` or `both`.
        seed: another seed switches other words.

    Returns:
        The corpus with the new texts. `meta["code_switching"]` has the settings, the lexicons with their fingerprints and the
        counts of texts and words. `meta["machine_made"]` includes the languages of the new texts.

    Raises:
        ConfigError: the lexicons have several source languages or the same target language, the mode or side is unknown, or the
            share is out of range.
        CorpusError: a side that is to be switched has no text in the source language.

    Source:
        Litschko, Artemova and Plank, "Boosting Zero-shot Cross-lingual Retrieval by Training on Artificially Code-Switched Data",
        Findings of ACL 2023, section 3.

    Examples:
        >>> rows = [{"item": "1", "lang": "en", "text": "The dog barks."}]
        >>> lexicon = Lexicon("en", "de", {"dog": "Hund"}, "en-de.txt", "")
        >>> code_switched(Corpus.from_rows(rows, rows, [("1", "1")]), lexicon, share=1.0).queries["text"].to_pylist()
        ['The dog barks.', 'The Hund barks.']

    """
    if mode not in get_args(Mode):
        raise ConfigError(f"the mode {mode!r} of code-switching is unknown; use {' or '.join(get_args(Mode))}")
    if side not in SIDES:
        raise ConfigError(f"the side {side!r} is unknown; use {', '.join(SIDES)}")
    given = [lexicons] if isinstance(lexicons, str | Lexicon) else lexicons
    used = [read_lexicon(one) if isinstance(one, str) else one for one in given]
    if not 0 < share <= 1:
        raise ConfigError(f"the share of words to switch is above 0 and at most 1, not {share}")
    sources, targets = {lexicon.source for lexicon in used}, [lexicon.target for lexicon in used]
    if len(sources) != 1 or len(set(targets)) < len(targets):
        raise ConfigError(
            "give at least one lexicon; all must have the same source language and different target languages"
        )
    source = sources.pop()
    counts: dict[str, Counter[str]] = {}
    tables = {"queries": corpus.queries, "passages": corpus.passages}
    for name in SIDES[side]:
        tables[name] = _with_switched(tables[name], corpus.name, name, source, used, mode, share, seed, counts)
    made = targets if mode == "bilingual" else [MIXED]
    facts = {
        "mode": mode, "share": share, "side": side, "seed": seed, "source": source,
        "lexicons": [lexicon.about() for lexicon in used],
        "counts": {lang: _rates(found) for lang, found in counts.items()},
    }  # fmt: skip
    if before := corpus.meta.get("code_switching"):
        facts["before"] = before
    machine = sorted({*(corpus.meta.get("machine_made") or []), *made})
    return Corpus(
        tables["queries"], tables["passages"], corpus.qrels, f"{corpus.name} (switched)",
        {**corpus.meta, "machine_made": machine, "code_switching": facts}, corpus.negatives, corpus.excluded,
    )  # fmt: skip


def _with_switched(
    table: pa.Table,
    corpus: str,
    side: str,
    source: str,
    lexicons: Sequence[Lexicon],
    mode: Mode,
    share: float,
    seed: int,
    counts: dict[str, Counter[str]],
) -> pa.Table:
    rows = table.select(["item", "lang", "text", "group"]).to_pylist()
    own = [row for row in rows if in_range(row["lang"], source)]
    if not own:
        raise CorpusError(f"{corpus}: {side} has no text in {source}, the language of the lexicons")
    targets = [*(lexicon.target for lexicon in lexicons), MIXED]
    made_of = {tag: [lang for lang in targets if in_range(tag, lang)] for tag in table["lang"].unique().to_pylist()}
    there = {(row["item"], lang) for row in rows for lang in made_of[row["lang"]]}
    renderings = [(lexicon.target, [lexicon]) for lexicon in lexicons] if mode == "bilingual" else [(MIXED, lexicons)]
    made = []
    for lang, used in renderings:
        found = counts.setdefault(lang, Counter())
        for row in own:
            if (row["item"], lang) in there:
                continue
            chance = random.Random("\x1f".join((str(seed), side, lang, row["item"], row["text"])))
            text, switched = switch(row["text"], used, share, chance, found)
            found["texts" if switched else "unchanged"] += 1
            if switched:
                made.append({**row, "lang": lang, "text": text})
    return pa.concat_tables([table, pa.Table.from_pylist(made, schema=table.schema)])


def switch(
    text: str, lexicons: Sequence[Lexicon], share: float, chance: random.Random, counts: Counter[str]
) -> tuple[str, int]:
    """Replace words of a text.

    Args:
        text: a text in the source language of the lexicons.
        lexicons: for each word, one of them is drawn uniformly.
        share: the probability that a word in the drawn lexicon is replaced.
        chance: the random numbers. Two are drawn for each word, whether they are used or not.
        counts: a counter that is updated: `words`, `known` (in the drawn lexicon) and `switched`.

    Returns:
        The new text, and the number of words that were replaced.

    """
    switched = 0

    def replaced(match: Any) -> str:
        nonlocal switched
        word = match.group()
        drawn, which = chance.random(), chance.random()
        translation = lexicons[int(which * len(lexicons))].words.get(word.lower())
        counts["words"] += 1
        if translation is None:
            return word
        counts["known"] += 1
        if drawn >= share:
            return word
        switched += 1
        counts["switched"] += 1
        return _in_case_of(word, translation)

    return WORD.sub(replaced, text), switched


def _in_case_of(word: str, translation: str) -> str:
    if len(word) > 1 and word.isupper():
        return translation.upper()
    return translation[:1].upper() + translation[1:] if word[0].isupper() else translation


def _rates(found: Counter[str]) -> dict[str, int | float]:
    """The counts, the share of words that were replaced, and the share that were not in the drawn lexicon."""
    words = found["words"]
    return {
        **{name: found[name] for name in ("texts", "unchanged", "words", "known", "switched")},
        "switch_rate": found["switched"] / words if words else 0.0,
        "oov_rate": 1 - found["known"] / words if words else 0.0,
    }  # fmt: skip


__all__ = ["MIXED", "code_switched", "switch"]
