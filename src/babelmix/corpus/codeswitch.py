"""Code-switching: pseudo-renderings of texts in other languages, word by word from bilingual lexicons (arXiv 2305.05295).

Litschko, Artemova and Plank (Findings of ACL 2023) trained rerankers on such texts. Here they are rows of a corpus, so that there
are cross-lingual batches without translations.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import pyarrow as pa

from babelmix.corpus.languages import in_range
from babelmix.corpus.lexicons import WORD, Lexicon
from babelmix.corpus.model import Corpus
from babelmix.errors import ConfigError, CorpusError

MIXED = "mul"
"""BCP 47's tag for several languages: that of texts switched into all of them."""

Mode = Literal["bilingual", "multilingual"]
SIDES = {"query": ("queries",), "passage": ("passages",), "both": ("queries", "passages")}


def code_switched(
    corpus: Corpus,
    lexicons: Sequence[Lexicon],
    *,
    mode: Mode = "bilingual",
    share: float = 0.5,
    side: Literal["query", "passage", "both"] = "both",
    seed: int = 0,
) -> Corpus:
    """The corpus with switched texts beside its own, as further renderings of their items.

    `bilingual` makes of each text in the lexicons' source language one rendering a lexicon, under the lexicon's target
    language: every word that the lexicon has is replaced with probability `share`. `multilingual` makes one rendering under
    `mul`: every word is chosen with probability `share`, gets one of the target languages, all alike, and is replaced if that
    lexicon has it. A word in capitals, or with a capital, keeps it. What is between words stays.

    An item that has a text in a target language keeps that alone. A text none of whose words was replaced gives no rendering.
    Chance is pure in the seed, the text, its item, side and language, whatever other rows there are.

    `meta["code_switching"]` has the settings, the lexicons with their fingerprints, and by target language how many texts, words,
    words that the lexicon has and words replaced there were; `meta["machine_made"]` has the target languages.

    Args:
        corpus: with texts in the source language.
        lexicons: from one source language, one a target language.
        mode: see above.
        share: of the words, in (0, 1].
        side: whose texts are switched.
        seed: another seed switches other words.

    Raises:
        ConfigError: the lexicons have several source languages, one target language twice, or the share is out of range.
        CorpusError: the corpus has no text in the source language on a side that is to be switched.

    """
    if not 0 < share <= 1:
        raise ConfigError(f"the share of words to be switched is above 0 and at most 1, not {share}")
    sources, targets = {lexicon.source for lexicon in lexicons}, [lexicon.target for lexicon in lexicons]
    if len(sources) != 1 or len(set(targets)) < len(targets):
        raise ConfigError("lexicons are from one language into several others, one for each; name at least one")
    source = sources.pop()
    counts: dict[str, Counter[str]] = {}
    tables = {"queries": corpus.queries, "passages": corpus.passages}
    for name in SIDES[side]:
        tables[name] = _with_switched(tables[name], corpus.name, name, source, lexicons, mode, share, seed, counts)
    made = targets if mode == "bilingual" else [MIXED]
    facts = {
        "mode": mode, "share": share, "side": side, "seed": seed, "source": source,
        "lexicons": [lexicon.about() for lexicon in lexicons],
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
        text: in the lexicons' source language.
        lexicons: one of them, all alike, is asked for each word.
        share: probability of a word to be replaced, if the lexicon has it.
        chance: two numbers of it are drawn a word, used or not.
        counts: `words`, `known` (to the lexicon asked) and `switched` are added to.

    Returns:
        The text, and how many words were replaced.

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
    """Counts, the share of words that were switched and the share that the lexicon asked does not have."""
    words = found["words"]
    return {
        **{name: found[name] for name in ("texts", "unchanged", "words", "known", "switched")},
        "switch_rate": found["switched"] / words if words else 0.0,
        "oov_rate": 1 - found["known"] / words if words else 0.0,
    }  # fmt: skip


__all__ = ["MIXED", "code_switched", "switch"]
