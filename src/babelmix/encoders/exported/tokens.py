"""The tokens of texts, without torch: what sentence-transformers reads, in little memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from babelmix.encoders.exported.pieces import Pieces, ends_of
from babelmix.errors import EncoderError

TOKENIZER = "tokenizer.json"
"""The file of a whole tokenizer. It is not read if the folder has a table of pieces."""


class Tokens(Protocol):
    """The tokens of texts. Any number of threads may use one object."""

    def of(self, texts: Sequence[str]) -> list[npt.NDArray[np.int64]]:
        """The ids of each text's tokens, with special tokens, cut at the length limit."""
        ...


def open_tokens(
    folder: Path, *, max_length: int | None, add_special_tokens: bool = True, empty: int | None = None
) -> Tokens:
    """Open the tokenizer in a folder.

    Args:
        folder: it has a table of pieces (see `write_pieces`) or `TOKENIZER`.
        max_length: cut texts after this many tokens, special tokens included, as sentence-transformers does; None: keep all.
        add_special_tokens: put the tokens of the encoder before and after each text.
        empty: read a text without tokens as this one; None: as nothing but special tokens.

    Raises:
        EncoderError: there is no tokenizer, or it is damaged.

    """
    try:
        pieces = Pieces.in_folder(folder)
        if pieces is not None:
            return _FromTable(pieces, max_length, add_special_tokens=add_special_tokens, empty=empty)
        if not (folder / TOKENIZER).is_file():
            raise EncoderError(f"{folder}: has no {TOKENIZER}; export the encoder again")
        return _Whole(folder / TOKENIZER, max_length, add_special_tokens=add_special_tokens, empty=empty)
    except EncoderError:
        raise
    except Exception as error:  # `tokenizers` raises plain exceptions
        raise EncoderError(f"{folder}: its tokenizer cannot be read ({error}); export the encoder again") from error


class _Whole:
    """A tokenizer that `tokenizers` loads as a whole."""

    def __init__(self, file: Path, max_length: int | None, *, add_special_tokens: bool, empty: int | None) -> None:
        self._tokenizer = Tokenizer.from_file(str(file))
        self._tokenizer.no_padding()
        if max_length is not None:
            self._tokenizer.enable_truncation(max_length, strategy="longest_first", direction="right")
        self._add_special_tokens = add_special_tokens
        before, after = ends_of(self._tokenizer) if add_special_tokens else ([], [])
        self._only_ends = len(before) + len(after)
        self._empty = None if empty is None else np.array([*before, empty, *after], dtype=np.int64)

    def of(self, texts: Sequence[str]) -> list[npt.NDArray[np.int64]]:
        read = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=self._add_special_tokens)
        found = [np.array(one.ids, dtype=np.int64) for one in read]
        if self._empty is None:
            return found
        return [self._empty.copy() if len(ids) == self._only_ends else ids for ids in found]


class _FromTable:
    """A tokenizer whose pieces are in a table on disk."""

    def __init__(self, pieces: Pieces, max_length: int | None, *, add_special_tokens: bool, empty: int | None) -> None:
        self._pieces = pieces
        self._before, self._after = (pieces.before, pieces.after) if add_special_tokens else ([], [])
        ends = len(self._before) + len(self._after)
        self._most = None if max_length is None else max(max_length - ends, 0)
        self._empty = [] if empty is None else [empty]

    def of(self, texts: Sequence[str]) -> list[npt.NDArray[np.int64]]:
        found = self._pieces.ids(texts, self._most)
        return [np.array([*self._before, *(ids or self._empty), *self._after], dtype=np.int64) for ids in found]


__all__ = ["TOKENIZER", "Tokens", "open_tokens"]
