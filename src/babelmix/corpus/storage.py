"""The folder of a corpus on disk: tables in Parquet or Arrow files, and `corpus.json`.

This module knows tables and files. `Corpus.save` and `Corpus.load` use it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from babelmix._checksums import CHECKSUMS, damaged_file, has_checksums, write_checksums
from babelmix._files import replacing_folder, write_json
from babelmix.corpus.images import pieces_with_bytes
from babelmix.corpus.schema import OPTIONAL, REQUIRED
from babelmix.errors import ConfigError, ReaderError

MARKER = "corpus.json"
"""The file that makes a folder a corpus."""
_FILES = [MARKER, *(f"{name}.{ending}" for name in (*REQUIRED, *OPTIONAL) for ending in ("arrow", "parquet"))]


def save_tables(
    folder: Path,
    tables: Mapping[str, pa.Table],
    about: Mapping[str, Any],
    format: str,
    *,
    keep_existing: bool = False,
) -> None:
    """Write a folder; see `Corpus.save`.

    Args:
        folder: where to write.
        tables: the tables by name.
        about: the content of `corpus.json`.
        format: `"parquet"` or `"arrow"`.
        keep_existing: keep the folder if another process made it first.

    """
    import pyarrow.parquet as pq

    if format not in ("parquet", "arrow"):
        raise ConfigError(f"format {format!r} is unknown; use 'parquet' or 'arrow'")
    with replacing_folder(folder, [MARKER], keep_existing=keep_existing) as temporary:
        for name, table in tables.items():
            with contextlib.ExitStack() as files:
                out: Any
                if format == "parquet":
                    file = str(temporary / f"{name}.parquet")
                    out = files.enter_context(pq.ParquetWriter(file, table.schema, compression="zstd"))
                else:
                    sink = files.enter_context(pa.OSFile(str(temporary / f"{name}.arrow"), "wb"))
                    out = files.enter_context(pa.ipc.new_file(sink, table.schema))
                for piece in pieces_with_bytes(table):
                    out.write_table(piece)
        write_json(temporary / MARKER, about)
        write_checksums(temporary)


def is_corpus_folder(folder: Path) -> bool:
    """Whether a folder has the marker of a saved corpus."""
    return (folder / MARKER).is_file()


def read_tables(folder: Path) -> tuple[dict[str, pa.Table], dict[str, Any]]:
    """Read a folder that `save_tables` wrote.

    Returns:
        The tables by name, and the content of `corpus.json`.

    Raises:
        ReaderError: the folder is not a corpus, or a file in it is damaged.

    """
    if not is_corpus_folder(folder):
        raise ReaderError("is not a babelmix corpus: there is no corpus.json", file=folder)
    # Earlier versions wrote no checksums.
    if has_checksums(folder) and (name := damaged_file(folder, _FILES)) is not None:
        if not (folder / name).is_file():
            raise ReaderError(f"{name} is missing; make the corpus again", file=folder)
        raise ReaderError(
            f"is not as babelmix wrote it: damaged, or changed by hand; make the corpus again, or remove {CHECKSUMS} if you "
            "changed it",
            file=folder / name,
        )
    try:
        about = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        tables = {name: _read_table(folder, name) for name in REQUIRED}
        tables |= {
            name: _read_table(folder, name)
            for name in OPTIONAL
            if any((folder / f"{name}.{format}").is_file() for format in ("arrow", "parquet"))
        }
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ReaderError(f"cannot be read as a corpus ({error})", file=folder) from error
    return tables, about


def _read_table(folder: Path, name: str) -> pa.Table:
    arrow, parquet = folder / f"{name}.arrow", folder / f"{name}.parquet"
    if arrow.is_file():
        return pa.ipc.open_file(pa.memory_map(str(arrow))).read_all()
    if parquet.is_file():
        import pyarrow.parquet as pq

        return pq.read_table(parquet)
    raise ReaderError(f"{name}.parquet or {name}.arrow is missing", file=folder)


__all__ = ["MARKER", "is_corpus_folder", "read_tables", "save_tables"]
