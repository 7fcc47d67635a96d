"""Training data without translations: `babelmix codeswitch`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from babelmix._files import check_output_folder
from babelmix._lists import as_list
from babelmix._tables import Table
from babelmix.api._loading import opened
from babelmix.corpus import Corpus
from babelmix.corpus.codeswitch import code_switched
from babelmix.corpus.lexicons import read_lexicon
from babelmix.corpus.storage import MARKER


def codeswitch(
    corpus: str | Path | Corpus,
    lexicons: str | Sequence[str],
    *,
    out: str | Path | None = None,
    langs: str | Sequence[str] | None = None,
    part: str = "all",
    mode: Literal["bilingual", "multilingual"] = "bilingual",
    share: float = 0.5,
    side: Literal["query", "passage", "both"] = "both",
    seed: int = 0,
) -> Corpus:
    r"""Add pseudo-translations to a corpus: words are replaced one by one from bilingual lexicons.

    The result is for training (`babelmix.train`), not for tests.

    Args:
        corpus: see `babelmix.load_corpus`.
        lexicons: one or several, each as `SOURCE:TARGET=FILE`: a text file of two columns (MUSE), or the `.index` file of
            a dictd dictionary (FreeDict).
        out: save the new corpus into this folder.
        langs: see `babelmix.load_corpus`.
        part: see `babelmix.load_corpus`.
        mode: `bilingual` makes one rendering for each target language; `multilingual` makes one rendering that mixes all of
            them, word by word.
        share: the share of the words to replace, in (0, 1].
        side: the texts to switch: of queries, of passages, or of both.
        seed: another seed replaces other words.

    Returns:
        The corpus with the new renderings; `meta["code_switching"]` has the settings and the counts.

    Raises:
        ConfigError: a lexicon cannot be read, lexicons have different source languages or the same target language, or the share
            is out of range.
        CorpusError: the corpus has no text in the lexicons' source language.

    Examples:
        >>> import tempfile, pathlib
        >>> folder = tempfile.TemporaryDirectory()
        >>> words = pathlib.Path(folder.name, "en-de.txt")
        >>> _ = words.write_text("toad Kröte\n", encoding="utf-8")
        >>> rows = [{"item": "1", "lang": "en", "text": "A toad"}]
        >>> corpus = Corpus.from_rows(rows, rows, [("1", "1")])
        >>> codeswitch(corpus, f"en:de={words}", share=1).langs
        ('de', 'en')
        >>> folder.cleanup()

    """
    folder = None if out is None else Path(out)
    if folder is not None:
        check_output_folder(folder, [MARKER])
    read = [read_lexicon(spec) for spec in as_list(lexicons, "lexicons", empty=False)]
    data = opened(corpus, langs=langs, part=part)
    made = code_switched(data, read, mode=mode, share=share, side=side, seed=seed)
    if folder is not None:
        made.save(folder)
    return made


def switching_table(facts: dict[str, Any]) -> Table:
    """The table that `babelmix codeswitch` prints, from `meta["code_switching"]`."""
    head = ["language", "texts made", "left out, unchanged", "words", "switched", "not in the lexicon"]
    rows = [
        [
            lang, f"{found['texts']:,}", f"{found['unchanged']:,}", f"{found['words']:,}", f"{found['switch_rate']:.1%}",
            f"{found['oov_rate']:.1%}",
        ]
        for lang, found in facts["counts"].items()
    ]  # fmt: skip
    return Table(head, rows)


__all__ = ["codeswitch", "switching_table"]
