"""Where a reader's files come from: a folder here, or a data set on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from babelmix.corpus.languages import check_distinct, match_languages
from babelmix.errors import ReaderError

Loaded = TypeVar("Loaded")


def is_hub_name(path: str) -> bool:
    """Whether `path` is the name of a hub data set, such as `miracl/miracl`, rather than a folder here."""
    return path.count("/") == 1 and not path.startswith((".", "/", "~")) and not Path(path).exists()


def ask_hub(repository: str, load: Callable[[], Loaded]) -> Loaded:
    """Do what needs the hub.

    Raises:
        ReaderError: it failed: there is no such data set, it may not be read, or the hub does not answer.

    """
    try:
        return load()
    except Exception as error:  # the hub's libraries raise many unrelated types
        raise ReaderError(
            f"is no folder here and cannot be loaded from the hub ({type(error).__name__}); check the name and the "
            "network, or give a folder",
            file=repository,
        ) from error


def source_folder(path: str, patterns: Sequence[str], what: str) -> Path:
    """The folder of a source: `path` itself, or a download of the hub's data set of that name.

    Args:
        path: a folder, or the name of a hub data set.
        patterns: the files to download, as in `*.json`.
        what: what the folder should be, as the end of an error's sentence.

    Raises:
        ReaderError: there is no such folder, or the hub cannot give it.

    """
    if not is_hub_name(path):
        if not Path(path).is_dir():
            raise ReaderError(f"is not a folder; {what}", file=path)
        return Path(path)
    from huggingface_hub import snapshot_download

    download = partial(snapshot_download, path, repo_type="dataset", allow_patterns=list(patterns))
    return Path(ask_hub(path, download))


def pick_langs(langs: str | Sequence[str] | None, available: Sequence[str], file: str | Path) -> list[str]:
    """The tags of `available` that `langs` asks for, in its order; all of them if it is None.

    Raises:
        ReaderError: a language is not there, there is none at all, or two of `available` are one language.

    """
    if langs is None:
        check_distinct(available, str(file), ReaderError)
        return list(available)
    picked = match_languages(langs, available, str(file), ReaderError)
    check_distinct(picked, str(file), ReaderError)
    return picked
