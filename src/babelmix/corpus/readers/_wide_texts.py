"""Wide tables of translated texts: find the columns of each language and check them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from babelmix.corpus.languages import check_distinct, is_language_tag, not_a_tag
from babelmix.corpus.pseudo_questions import HEADINGS, KINDS
from babelmix.corpus.readers._sources import pick_langs
from babelmix.corpus.readers._tables import Table, read_table
from babelmix.errors import ReaderError

ALL = "all"


def table_of(path: str | Path, name: str) -> Table:
    """Read the table of a source.

    Args:
        path: a table, or a folder with `name`.
        name: the name of the file in a folder.

    Raises:
        ReaderError: there is no such file, it is no table, or it has no rows.

    """
    file = Path(path)
    table = read_table(file / name if file.is_dir() else file)
    if not table.lines:
        raise ReaderError("has no rows", file=table.file)
    return table


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise unless an option has one of its values.

    Raises:
        ReaderError: it has another.

    """
    if value not in choices:
        raise ReaderError(f"the option {name} is {', '.join(choices[:-1])} or {choices[-1]}, not {value!r}")


def check_questions(questions: str, has_headings: bool) -> None:
    """Raise unless the option `questions` is known and fits.

    Args:
        questions: the option.
        has_headings: whether the items have headings; the parts of a bitext have none.

    Raises:
        ReaderError: it is unknown, or the items are parts of a bitext.

    """
    check_choice("questions", questions, KINDS)
    if questions != HEADINGS and not has_headings:
        raise ReaderError(f"the option questions={questions} is for unit=section: a bitext has no questions")


def chosen_langs(
    there: Sequence[str], langs: str | Sequence[str] | None, source_lang: str, table: Table
) -> tuple[list[str], list[str]]:
    """Choose languages of a table.

    Args:
        there: the languages that the table has.
        langs: the ranges to select; None: all.
        source_lang: the language from which the others were translated.
        table: the table, for errors.

    Returns:
        The chosen languages, and the languages to read: these and the source language.

    Raises:
        ReaderError: the table does not have the source language or a chosen one, or two tags mean the same language.

    """
    for lang in there:
        if not is_language_tag(lang):
            raise ReaderError(not_a_tag(lang), file=table.file, field=lang)
    check_distinct(there, "columns of texts", partial(ReaderError, file=table.file))
    if source_lang not in there:
        raise ReaderError(
            f"has no texts in the source language {source_lang!r}; say which language the others were translated from with the "
            f"option  source_lang; there are {', '.join(there) or 'none'}",
            file=table.file,
        )
    picked = pick_langs(langs, there, table.file)
    return picked, [lang for lang in there if lang in picked or lang == source_lang]


def machine_made_langs(option: str, there: Sequence[str], source_lang: str, table: Table) -> list[str]:
    """The languages whose texts are machine-made, as the option `machine_made` says.

    Args:
        option: language tags with commas between them; `all`: all but the source language; empty: none.
        there: the languages that the table has.
        source_lang: the language from which the others were translated.
        table: the table, for errors.

    Raises:
        ReaderError: the table does not have a language.

    """
    if option == ALL:
        return sorted(lang for lang in there if lang != source_lang)
    named = [lang.strip() for lang in option.split(",") if lang.strip()]
    return sorted(pick_langs(named, there, f"{table.file}: the option machine_made")) if named else []


def columns_of_texts(table: Table, names: Mapping[str, str]) -> dict[str, list[str | None]]:
    """The texts of columns, by language.

    Args:
        table: the table.
        names: the name of the column of each language.

    Returns:
        For each language a text per row. A blank text is None: it is not translated.

    Raises:
        ReaderError: a cell is not a text.

    """
    return {
        lang: [text.strip() or None if text is not None else None for text in table.texts(name)]
        for lang, name in names.items()
    }


__all__ = [
    "ALL",
    "check_choice",
    "check_questions",
    "chosen_langs",
    "columns_of_texts",
    "machine_made_langs",
    "table_of",
]
