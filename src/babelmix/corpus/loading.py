"""Load a corpus from a name, a path or a table in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._lists import as_list
from babelmix.corpus.asking import ask
from babelmix.corpus.copies import with_copies
from babelmix.corpus.model import Corpus
from babelmix.corpus.opening import has_option, open_corpus, open_path
from babelmix.corpus.splitting import split
from babelmix.errors import ArgumentError, ReaderError

if TYPE_CHECKING:
    import polars as pl

    Source = str | Path | Corpus | pl.DataFrame | Sequence[Mapping[str, Any]]

PARTS = {"train": 0.8, "test": 0.2}
"""The parts into which a corpus is split if its reader has no parts, and the share of the groups in each part."""


def load_corpus(
    source: Source,
    *,
    langs: str | Sequence[str] | None = None,
    part: str = "all",
    queries_from: str | Path | None = None,
    **options: Any,
) -> Corpus:
    """Make a corpus from a name, a path, a table in memory or another corpus.

    Args:
        source: one of:

            - A string as for `open_corpus`: a path, a reader's name, or `"xquad-r=path"`.
            - A `Path` to a file or folder.
            - A polars `DataFrame` (or another Arrow table), or a list of dicts. The columns are those of the reader `table`:
              `query_en`, `passage_de`, ... (one row for each item), or `item`, `lang`, `query`, `passage` (one row for each
              text).
            - A `Corpus`.
        langs: keep only these languages; `"en"` also keeps en-US and en-GB. By default all.
        part: `"all"`, `"train"` or `"test"`. A reader with the option `part` reads that part. Any other source is split by group
            into 80 % for training and 20 % for testing, always in the same way.
        queries_from: the queries, if the source is a collection without any: `titles`, `headings`, `sentences` or `auto`, which
            ask for the rest of their texts; `templates`, `cloze` or `mixed`, which make questions of them; or a file with a log
            of queries or clicks. See `babelmix.corpus.asking`.
        options: options of the reader, such as `check=False`.

    Returns:
        The corpus. `meta` says what was left out and counts copies of right answers, as for `open_corpus`. `meta["notes"]`
        lists notes about the source for the user.

    Raises:
        ArgumentError: there is no such part, or the source is of an unknown type.
        ConfigError: the corpus is too small to split, or the list of languages is empty.
        CorpusError: a language is not in the corpus, or the source breaks the data model.
        ReaderError: there is no such reader or path, the source is malformed, or the reader has no such option.

    Examples:
        >>> rows = [{"query_en": "a pet that barks", "passage_de": "Hund"}, {"query_en": "it purrs", "passage_de": "Katze"}]
        >>> load_corpus(rows)
        Corpus('table': 2 queries, 2 passages, 2 qrels, 2 languages)

    """
    if part not in ("all", *PARTS):
        raise ArgumentError("part", f"{part!r} is unknown; use all, {' or '.join(PARTS)}")
    wanted = None if langs is None else as_list(langs, "langs", empty=False)
    if queries_from is not None:
        if not isinstance(source, (str, Path, Corpus)):
            raise ArgumentError("queries_from", "is for a file, a folder or a corpus; save the table to a file first")
        corpus, rest = with_copies(ask(source, queries_from, langs=wanted, **options)), part
    elif part != "all" and isinstance(source, str) and "part" not in options and has_option(source, "part"):
        corpus, rest = open_corpus(source, part=part, **options), "all"
    else:
        corpus, rest = _opened(source, options), part
    # Split before languages are selected: the languages may change which groups are connected.
    found = corpus if rest == "all" else split(corpus, PARTS)[rest]
    if wanted is not None:
        found = found.only_langs(wanted)
    return found if found is corpus else with_copies(found)


def _opened(source: Any, options: dict[str, Any]) -> Corpus:
    if isinstance(source, str):
        return open_corpus(source, **options)
    if isinstance(source, Path):
        return open_path(source, **options)
    if options:
        raise ReaderError(f"a {type(source).__name__} takes no options of a reader: leave out {', '.join(options)}")
    if isinstance(source, Corpus):
        return source
    from babelmix.corpus.readers import table
    from babelmix.corpus.readers._tables import table_of_frame, table_of_records

    if hasattr(source, "__arrow_c_stream__"):
        return with_copies(table.corpus_of(table_of_frame(source)))
    if isinstance(source, Sequence) and all(isinstance(row, Mapping) for row in source):
        return with_copies(table.corpus_of(table_of_records(source)))
    raise ArgumentError(
        "source",
        f"give a reader's name, a path, a DataFrame, a list of dicts or a Corpus, not {type(source).__name__}",
    )


__all__ = ["PARTS", "load_corpus"]
