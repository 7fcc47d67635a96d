"""Readers turn a source into a Corpus. A new one is a new module and a line in `READERS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers import beir, comfyui_docs, libreoffice_help, table, xquad_r
from babelmix.corpus.storage import from_hub, is_corpus_folder, load_corpus
from babelmix.errors import ReaderError


@dataclass(frozen=True)
class Reader:
    """A named source: what it is, and the function that reads it."""

    summary: str
    read: Callable[..., Corpus]
    takes_path: str


READERS: dict[str, Reader] = {
    "comfyui-docs": Reader("ComfyUI node pages, 15 languages (extra: offline)", comfyui_docs.read, "optional"),
    "libreoffice-help": Reader(
        "LibreOffice help, 33 languages, from Debian's packages or blocks.parquet", libreoffice_help.read, "optional"
    ),
    "xquad-r": Reader("LAReQA's XQuAD-R, 11 languages, evaluation only", xquad_r.read, "required"),
    "beir": Reader("a BEIR folder whose queries and corpus have a language field", beir.read, "required"),
    "table": Reader("your own CSV, JSONL or Parquet, wide or long", table.read, "required"),
    "hub": Reader("a corpus that babelmix pushed to the Hugging Face hub", lambda path: from_hub(path), "required"),
}


def open_corpus(spec: str, **options: Any) -> Corpus:
    """Read a corpus from what a person types.

    Args:
        spec: `NAME` or `NAME=PATH` with a name from `READERS`, or a path: a folder that `Corpus.save` wrote, a BEIR
            folder, or a `.csv`, `.tsv`, `.jsonl` or `.parquet` file.
        options: passed to the reader.

    Raises:
        ReaderError: there is no such reader or path, the source is malformed, or the reader has no such option.

    """
    name, _, path = spec.partition("=")
    if name in READERS:
        reader = READERS[name]
        if not path and reader.takes_path == "required":
            raise ReaderError(f"the reader {name!r} needs a path: write  {name}=PATH")
        try:
            return reader.read(path or None, **options)
        except TypeError as error:
            if options and "unexpected keyword argument" in str(error):
                raise ReaderError(f"the reader {name!r} has no such option: {error}") from error
            raise
    file = Path(spec)
    if file.is_dir():
        if is_corpus_folder(file):
            return load_corpus(file)
        if (file / "corpus.jsonl").is_file():
            return beir.read(spec, **options)
        raise ReaderError("is neither a babelmix corpus (corpus.json) nor a BEIR folder (corpus.jsonl)", file=file)
    if file.is_file():
        return table.read(spec, **options)
    raise ReaderError(f"there is no such corpus: give a file, a folder, or one of {', '.join(READERS)}", file=spec)


__all__ = ["READERS", "Reader", "open_corpus"]
