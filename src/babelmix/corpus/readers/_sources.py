"""Get the files of a source: from a local folder, or from a data set on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from babelmix.corpus.languages import check_distinct, match_languages
from babelmix.errors import ReaderError

Loaded = TypeVar("Loaded")


def is_hub_name(path: str) -> bool:
    """Whether `path` is the name of a hub data set, such as `miracl/miracl`, and not a local path."""
    return path.count("/") == 1 and not path.startswith((".", "/", "~")) and not Path(path).exists()


def ask_hub(repository: str, load: Callable[[], Loaded]) -> Loaded:
    """Call a function that uses the hub.

    Args:
        repository: the name of the data set, for errors.
        load: the function.

    Raises:
        ReaderError: the function fails: there is no such data set, access is denied, or the hub does not answer.

    """
    try:
        return load()
    except Exception as error:  # the hub's libraries raise many unrelated types
        raise ReaderError(
            f"is no local folder and cannot be loaded from the hub ({type(error).__name__}); check the name and the "
            "network, or give a folder",
            file=repository,
        ) from error


def source_folder(path: str, patterns: Sequence[str], what: str) -> Path:
    """The local folder of a source. A hub data set is downloaded.

    Args:
        path: a folder, or the name of a Hugging Face data set.
        patterns: the files to download, such as `*.json`.
        what: the expected content of the folder, as the last words of an error message.

    Raises:
        ReaderError: there is no such folder, or the hub does not provide the data set.

    """
    if not is_hub_name(path):
        if not Path(path).is_dir():
            raise ReaderError(f"is not a folder; {what}", file=path)
        return Path(path)
    from huggingface_hub import snapshot_download

    download = partial(snapshot_download, path, repo_type="dataset", allow_patterns=list(patterns))
    return Path(ask_hub(path, download))


def pick_langs(langs: str | Sequence[str] | None, available: Sequence[str], file: str | Path) -> list[str]:
    """Select languages of a source.

    Args:
        langs: the ranges to select, see `match_languages`. None selects all.
        available: the language tags of the source.
        file: the name of the source, for errors.

    Returns:
        The selected tags, in the order of `langs`.

    Raises:
        ReaderError: a range matches no language, the list is empty, or two selected tags mean the same language.

    """
    if langs is None:
        check_distinct(available, str(file), ReaderError)
        return list(available)
    picked = match_languages(langs, available, str(file), ReaderError)
    check_distinct(picked, str(file), ReaderError)
    return picked
