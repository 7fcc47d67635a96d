"""Make queries for a collection that has none: `babelmix data make-queries`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from babelmix._files import check_output_folder
from babelmix._lists import as_list
from babelmix.api._loading import opened
from babelmix.api.describing import CorpusSummary
from babelmix.corpus import Corpus
from babelmix.corpus.copies import with_copies
from babelmix.corpus.known_items import ASKS
from babelmix.corpus.readers.folder import FACTS, write
from babelmix.errors import ArgumentError, CorpusError


def make_queries(
    collection: str | Path | Corpus,
    *,
    queries_from: str | Path = "auto",
    out: str | Path | None = None,
    items: int | None = None,
    lang: str = "",
    min_clicks: int | None = None,
    grades: str | None = None,
    langs: str | list[str] | None = None,
) -> CorpusSummary:
    r"""Make a corpus of a collection without queries: parts of its texts ask for the rest, or a log of queries or clicks asks.

    Args:
        collection: a table of documents (`item`, `lang`, `text`, and optionally `title` and `group`; or `text_de`, `title_de`,
            ...), a folder with `passages.jsonl`, a corpus, whose passages are taken, or the address of an index or of someone
            else's collection, as in `postgresql://HOST/DATABASE/TABLE`.
        queries_from: `titles`, `headings` or `sentences` ask for the rest of their texts; `auto`: for each item, the first of
            these that all its languages have; `templates`, `cloze` or `mixed`: questions that are made of these, see
            `babelmix.corpus.pseudo_questions`. Or a file with a log of queries (`text`, `lang`, optionally `item`) or of clicks
            (`query`, `clicked_id`, optionally `count`, `lang`, `item`, `position`). Columns with other names are named with
            it: `clicks.csv?query=COLUMN&clicked_id=COLUMN`.
        out: write the corpus into this folder as JSON lines, which people can read and `babelmix.load_corpus` reads. None:
            nothing is written.
        items: the most items that parts of texts ask for, drawn by a hash of their names; 0: all; None: 2,000.
        lang: the language of texts and queries without one of their own.
        min_clicks: with clicks: so many make a passage relevant; None: 1.
        grades: with clicks: `one` or `log2`, see `babelmix.corpus.readers.folder`; None: `one`.
        langs: keep only these languages.

    Returns:
        A description of the corpus. `corpus` is the corpus, and its `meta` says what was left out and why.

    Raises:
        ArgumentError: `queries_from` is neither a part of texts nor a file, or an argument is for clicks only.
        CorpusError: the collection cannot be read, or no query is left.
        BabelmixError: `out` holds other files.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> rows = ["item,lang,title,text", "1,en,Reset it,Hold the button for ten seconds until it blinks twice."]
        >>> rows += ["1,de,Neustart,Halten Sie die Taste zehn Sekunden lang gedrückt bis es blinkt."]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "articles.csv"
        ...     _ = file.write_text("\n".join(rows), encoding="utf-8")
        ...     made = make_queries(file, queries_from="titles", out=Path(folder) / "made")
        ...     sorted(one.name for one in (Path(folder) / "made").iterdir())
        ['meta.json', 'passages.jsonl', 'qrels.jsonl', 'queries.jsonl']
        >>> made.corpus.queries["text"].to_pylist()
        ['Reset it', 'Neustart']

    """
    folder = None if out is None else Path(out)
    if folder is not None:
        check_output_folder(folder, [FACTS])
    of_clicks: dict[str, Any] = {
        name: value for name, value in (("min_clicks", min_clicks), ("grades", grades)) if value is not None
    }
    if of_clicks and isinstance(queries_from, str) and queries_from in ASKS:
        raise ArgumentError(next(iter(of_clicks)), "is for a log of clicks; name its file as queries_from")
    options: dict[str, Any] = {**of_clicks, **({"lang": lang} if lang else {})}
    if items is not None:
        options["items"] = items
    if isinstance(collection, (str, Path)) and _is_index(str(collection)):
        from babelmix.search.known_items import corpus_at

        found = with_copies(corpus_at(str(collection), queries_from, langs=langs, **options))
        found = found if langs is None else found.only_langs(langs)
    else:
        found = opened(collection, langs=langs, queries_from=queries_from, **options)
    if not found.queries.num_rows:
        raise CorpusError(
            f"{found.name}: no query is left in {', '.join(as_list(langs or (), 'langs')) or 'it'}; choose other languages"
        )
    if folder is not None:
        write(found, folder)
    return CorpusSummary(found, folder)


def _is_index(address: str) -> bool:
    """Whether it is the address of an index: a folder with an index, or a server."""
    return "://" in address or (Path(address) / "index.json").is_file()


__all__ = ["make_queries"]
