"""Parse the specification of a corpus, such as `NAME=PATH?option=value`, and open it."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from babelmix._lists import as_list
from babelmix.corpus.copies import with_copies
from babelmix.corpus.languages import is_language_tag
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers import NEVER, READERS, REQUIRED
from babelmix.corpus.storage import is_corpus_folder
from babelmix.errors import ReaderError

_LANGUAGES = ("langs", "queries")
"""The options that are lists of languages."""


def open_corpus(spec: str, **options: Any) -> Corpus:
    r"""Read a corpus from a path, or from a source that a reader knows.

    Args:
        spec: one of:

            - A path: a folder that `Corpus.save` wrote, a BEIR folder, a folder with passages and queries, or a table (`.csv`,
              `.tsv`, `.jsonl`, `.parquet`, `.arrow`; the first three also packed, as in `.csv.gz`).
            - `NAME` or `NAME=PATH`, where `NAME` is in `READERS`. Some readers also take the name of a Hugging Face data set as
              `PATH`. Options may follow: `?langs=de,en&pairs=1000`.

            If a file or folder has exactly this name, `spec` is a path, even if it looks like `captions=de.csv`. Only a bare
            reader's name is always the reader: write `./emoji` for a folder of that name.
        options: options of the reader. They override those in `spec`.

    Returns:
        The corpus. `meta["left_out"]` counts what the reader left out, by kind, and `meta["left_out_examples"]` names some of
        each. `meta["copies"]` counts copies of right answers, see `babelmix.corpus.copies`.

    Raises:
        ReaderError: there is no such reader or path, the source is malformed, or the reader has no such option.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "animals.csv"
        ...     _ = file.write_text("item,query_en,passage_de\n1,dog,Hund\n2,cat,Katze\n")
        ...     corpus = open_corpus(str(file))
        >>> corpus
        Corpus('animals': 2 queries, 2 passages, 2 qrels, 2 languages)

    """
    return with_copies(_open(spec, options))


def open_path(path: str | Path, **options: Any) -> Corpus:
    """As `open_corpus`, but `path` is always a file or a folder, whatever its name.

    Raises:
        ReaderError: there is no such file or folder, it is malformed, or its format has no such option.

    """
    return with_copies(_open_path(str(path), options))


def source_of(spec: str) -> Path | None:
    """The file or folder on this machine that a specification names; None if there is none."""
    _, path, _ = _parts(spec)
    return Path(path) if _exists(path) else None


def has_option(spec: str, option: str) -> bool:
    """Whether `spec` names a reader that takes an option, and does not set it."""
    name, _, options = _parts(spec)
    query = options.split("&")
    return (
        bool(name)
        and any(p.name == option for p in _parameters(READERS[name].function))
        and not any(part.startswith(f"{option}=") for part in query)
    )


def _open(spec: str, options: dict[str, Any]) -> Corpus:
    name, path, query = _parts(spec)
    if not name:
        return _open_path(spec, options)
    reader = READERS[name]
    if not path and reader.takes_path == REQUIRED:
        raise ReaderError(f"the reader {name!r} needs a path: write  {name}=PATH")
    if path and reader.takes_path == NEVER:
        raise ReaderError(f"the reader {name!r} takes no path: write  {name}")
    function = reader.function
    places = [] if reader.takes_path == NEVER else [path or None]
    return _read(name, function, places, _options(name, function, query) | options)


def _open_path(path: str, options: dict[str, Any]) -> Corpus:
    if path and not _exists(path):
        raise ReaderError(f"there is no such corpus: give a file, a folder, or one of {', '.join(READERS)}", file=path)
    folder = Path(path)
    if not folder.is_dir():
        return _read("table", READERS["table"].function, [path], options)
    if is_corpus_folder(folder):
        return _read("corpus folder", Corpus.load, [path], options)
    from babelmix.corpus.readers.beir import is_beir_folder, read

    if is_beir_folder(folder):
        return _read("beir", read, [path], options)
    from babelmix.corpus.readers.folder import is_plain_folder

    if is_plain_folder(folder):
        return _read("folder", READERS["folder"].function, [path], options)
    if langs := _named_by_language(folder):
        raise ReaderError(
            f"has a file for each language ({', '.join(langs)}): if they are translated questions and answers, read them with  "
            f"{shlex.quote(f'parallel-qa={path}')}  (files in SQuAD's format:  "
            f"{shlex.quote(f'parallel-qa={path}?passage=context&group=title')}  to find the paragraph)",
            file=folder,
        )
    raise ReaderError(
        "is neither a babelmix corpus (corpus.json), nor a BEIR folder (corpus.jsonl), nor a folder with passages and queries",
        file=folder,
    )


def _named_by_language(folder: Path) -> list[str]:
    """The names of the tables and JSON files of a folder, if at least two are languages and no other is there; else none."""
    from babelmix.corpus.readers._tables import is_table
    from babelmix.corpus.readers._unpacking import stem_of

    files = [file for file in sorted(folder.iterdir()) if is_table(file) or file.suffix.lower() == ".json"]
    return (
        [file.name for file in files]
        if len(files) > 1 and all(is_language_tag(stem_of(file)) for file in files)
        else []
    )


def _parts(spec: str) -> tuple[str, str, str]:
    """Cut a spec into reader, path and options. The reader is empty if all of the spec is a path."""
    name, _, rest = spec.partition("=")
    bare = spec.partition("?")[0]
    if _exists(spec) and spec not in READERS:
        return "", spec, ""
    if name in READERS:
        if _exists(rest):
            return name, rest, ""
        # The name of a file may contain a question mark.
        before, mark, after = rest.rpartition("?")
        if mark and _exists(before):
            return name, before, after
        source, _, query = spec.partition("?")
        return name, source.partition("=")[2], query
    # `NAME?option=value`: the first equals sign belongs to an option.
    return (bare, "", spec[len(bare) + 1 :]) if bare in READERS else ("", spec, "")


def _exists(path: str) -> bool:
    try:
        return bool(path) and Path(path).exists()
    except (OSError, ValueError):  # the path is too long, or has a NUL
        return False


def _options(name: str, function: Callable[..., Corpus], query: str) -> dict[str, Any]:
    """Parse options such as `langs=de,en&pairs=1000`. The default of an option says what type its value has."""
    defaults = {p.name: p.default for p in _parameters(function)}
    options: dict[str, Any] = {}
    for part in query.split("&") if query else []:
        option, equals, text = part.partition("=")
        if not option or not equals:
            raise ReaderError(f"the option {part!r} of the reader {name!r} is not written as name=value")
        default = defaults.get(option)
        value: Any = text
        if option in _LANGUAGES:
            value = text.split(",")
        elif isinstance(default, bool):
            value = {"true": True, "false": False}.get(text, text)
        elif type(default) is int and text.isdecimal():
            value = int(text)
        options[option] = value
    return options


def _parameters(function: Callable[..., Corpus]) -> list[inspect.Parameter]:
    return [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]


def _read(name: str, function: Callable[..., Corpus], places: list[str | None], options: dict[str, Any]) -> Corpus:
    """Check the options and call the reader's function."""
    known = _parameters(function)
    for option, value in options.items():
        parameter = next((p for p in known if p.name == option), None)
        if parameter is None:
            there = ", ".join(p.name for p in known) or "none"
            raise ReaderError(f"the reader {name!r} has no such option: {option}; it has {there}")
        if isinstance(parameter.default, bool) and not isinstance(value, bool):
            raise ReaderError(f"the option {option} of the reader {name!r} is true or false, not {value!r}")
        if option in _LANGUAGES and value is not None:
            as_list(value, f"the option {option} of the reader {name!r}", ReaderError, empty=False)
        if type(parameter.default) is int and not (type(value) is int and value >= 0):
            raise ReaderError(f"the option {option} of the reader {name!r} is a whole number from 0 on, not {value!r}")
        if isinstance(parameter.default, str) and not isinstance(value, str):
            raise ReaderError(f"the option {option} of the reader {name!r} is a text, not {value!r}")
    return function(*places, **options)


__all__ = ["has_option", "open_corpus", "open_path", "source_of"]
