"""Readers turn a source into a Corpus. A new one is a new module and a line in `READERS`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babelmix._lists import as_list
from babelmix.corpus.copies import with_copies
from babelmix.corpus.hub import from_hub
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers import (
    beir,
    belebele,
    captions,
    comfyui_docs,
    emoji,
    flickr30k_200,
    libreoffice_help,
    m3c,
    miracl,
    mlqa_r,
    mmarco,
    mr_tydi,
    mscoco,
    multi30k,
    parallel_qa,
    squadshifts,
    table,
    wit,
    xflickrco,
    xm3600,
    xquad_r,
    xtd10,
)
from babelmix.corpus.readers import mteb as mteb_task
from babelmix.corpus.storage import is_corpus_folder
from babelmix.errors import ReaderError


@dataclass(frozen=True)
class Reader:
    """A named source.

    Args:
        summary: what it is, in a line.
        read: the function that reads it.
        takes_path: whether it needs a path after its name, `required`, `optional` or `never`. Where its `read` says so, the path
            may also be the name of a hub data set.

    """

    summary: str
    read: Callable[..., Corpus]
    takes_path: str


READERS: dict[str, Reader] = {
    "comfyui-docs": Reader("ComfyUI node pages, 15 languages (extra: offline)", comfyui_docs.read, "optional"),
    "libreoffice-help": Reader(
        "LibreOffice help, 33 languages, from Debian's packages or blocks.parquet", libreoffice_help.read, "optional"
    ),
    "emoji": Reader("emoji names in 14 languages and their pictures (extra: images)", emoji.read, "never"),
    "xquad-r": Reader("LAReQA's XQuAD-R, 11 languages, evaluation only", xquad_r.read, "required"),
    "mlqa-r": Reader("LAReQA's MLQA-R, 7 languages, evaluation only", mlqa_r.read, "required"),
    "miracl": Reader(
        "MIRACL, 16 languages with a pool each, dev for evaluation only (a folder or miracl/miracl)",
        miracl.read,
        "required",
    ),
    "mr-tydi": Reader(
        "Mr. TyDi, 11 languages, with hard negatives (a folder or castorini/mr-tydi)", mr_tydi.read, "required"
    ),
    "mmarco": Reader(
        "mMARCO's training triples, 14 parallel languages (a folder or unicamp-dl/mmarco)", mmarco.read, "required"
    ),
    "belebele": Reader(
        "Belebele, 122 parallel languages, evaluation only (a folder or facebook/belebele)", belebele.read, "required"
    ),
    "squadshifts": Reader(
        "SQuADShifts, English, for early stopping (a folder or a hub name)", squadshifts.read, "required"
    ),
    "parallel-qa": Reader(
        "your own translated question-answer set, a file a language (a folder or a hub name)",
        parallel_qa.read,
        "required",
    ),
    "captions": Reader("your own pictures and captions, a JSON line a caption", captions.read, "required"),
    "multi30k": Reader(
        "Multi30K: pictures and captions in en, de, fr, cs (a folder or romrawinjp/multi30k)",
        multi30k.read,
        "required",
    ),
    "mscoco": Reader("COCO's pictures and captions in en, ja (STAIR), zh (COCO-CN)", mscoco.read, "required"),
    "m3c": Reader("Multi30K + multilingual MSCOCO as M3P has them, a part at a time", m3c.read, "required"),
    "xtd10": Reader("XTD10: 1,000 pictures of COCO in 11 languages, evaluation only", xtd10.read, "required"),
    "xm3600": Reader(
        "Crossmodal-3600: pictures in 36 languages, evaluation only (a folder or mteb/xm3600)", xm3600.read, "required"
    ),
    "xflickrco": Reader(
        "xFlickr&CO: pictures in 8 languages, evaluation only (a folder or mteb/xflickrco)", xflickrco.read, "required"
    ),
    "wit": Reader(
        "WIT of IGLUE: Wikipedia's pictures in 11 languages, evaluation only (a folder or mteb/wit)",
        wit.read,
        "required",
    ),
    "flickr30k-200": Reader(
        "Flickr30k-200 and XTD-200: machine-translated captions in 200 languages, evaluation only",
        flickr30k_200.read,
        "required",
    ),
    "beir": Reader("a BEIR folder whose queries and corpus have a language field", beir.read, "required"),
    "table": Reader("your own CSV, JSONL or Parquet, wide or long", table.read, "required"),
    "mteb": Reader("a multilingual retrieval task of mteb by its name (extra: mteb)", mteb_task.read, "required"),
    "hub": Reader("a corpus that babelmix pushed to the Hugging Face hub", lambda path: from_hub(path), "required"),
}


def open_corpus(spec: str, **options: Any) -> Corpus:
    """Read a corpus from what a person types.

    Args:
        spec: a path: a folder that `Corpus.save` wrote, a BEIR folder, or a table (`.csv`, `.tsv`, `.jsonl`, `.parquet`,
            `.arrow`; the first three also packed, as in `.csv.gz`). Or `NAME` or `NAME=PATH` with a name from `READERS` (PATH may
            name a hub data set for some of them), and then `?langs=de,en&pairs=1000` gives options of its reader. What exists is
            a path, though it is called `captions=de.csv` or `what?.csv`; `captions=./de.csv` is the reader, and `./emoji` a
            folder that is called as a reader is.
        options: passed to the reader; they come before those in `spec`.

    Returns:
        The corpus. What its reader left out is counted in `meta["left_out"]`, by kind, with the first of each in
        `meta["left_out_examples"]`; copies of right answers in `meta["copies"]`, see `babelmix.corpus.copies`.

    Raises:
        ReaderError: there is no such reader or path, the source is malformed, or the reader has no such option.

    """
    return with_copies(_open(spec, options))


def _open(spec: str, options: dict[str, Any]) -> Corpus:
    name, path, query = _parts(spec)
    if name in READERS:
        reader = READERS[name]
        if not path and reader.takes_path == "required":
            raise ReaderError(f"the reader {name!r} needs a path: write  {name}=PATH")
        return _read(name, reader.read, path or None, _options(name, reader.read, query) | options)
    if spec and not _exists(spec):
        raise ReaderError(f"there is no such corpus: give a file, a folder, or one of {', '.join(READERS)}", file=spec)
    file = Path(spec)
    if file.is_dir():
        if is_corpus_folder(file):
            return _read("corpus folder", Corpus.load, spec, options)
        if beir.is_beir_folder(file):
            return _read("beir", beir.read, spec, options)
        raise ReaderError("is neither a babelmix corpus (corpus.json) nor a BEIR folder (corpus.jsonl)", file=file)
    return _read("table", table.read, spec, options)


def _parts(spec: str) -> tuple[str, str, str]:
    """Reader, path and options of what a person typed; all of it is a path where there is a file or folder of that name."""
    # A bare name is a reader's, though there be a folder of that name: ./NAME is the folder.
    if spec not in READERS and _exists(spec):
        return "", spec, ""
    name, _, rest = spec.partition("=")
    if name in READERS and _exists(rest):
        return name, rest, ""
    source, _, query = spec.partition("?")
    if name in READERS and "?" in rest:
        # A file's name may have a question mark as well.
        before, _, after = rest.rpartition("?")
        if _exists(before):
            return name, before, after
    name, _, path = source.partition("=")
    return name, path, query


def _exists(path: str) -> bool:
    try:
        return bool(path) and Path(path).exists()
    except (OSError, ValueError):  # too long, or with a NUL
        return False


def has_option(spec: str, option: str) -> bool:
    """Whether the reader that a source names takes an option, and the source does not set it."""
    name, _, options = _parts(spec)
    query = options.split("&")
    return (
        name in READERS
        and any(p.name == option for p in _parameters(READERS[name].read))
        and not any(part.startswith(f"{option}=") for part in query)
    )


def _options(name: str, function: Callable[..., Corpus], query: str) -> dict[str, Any]:
    """Options written as `langs=de,en&pairs=1000`, each of the kind that the reader's own default is of."""
    defaults = {p.name: p.default for p in _parameters(function)}
    options: dict[str, Any] = {}
    for part in query.split("&") if query else []:
        option, equals, text = part.partition("=")
        if not option or not equals:
            raise ReaderError(f"the option {part!r} of the reader {name!r} is not written as name=value")
        default = defaults.get(option)
        value: Any = text
        if option == "langs":
            value = text.split(",")
        elif isinstance(default, bool):
            value = {"true": True, "false": False}.get(text, text)
        elif type(default) is int and text.isdecimal():
            value = int(text)
        options[option] = value
    return options


def _parameters(function: Callable[..., Corpus]) -> list[inspect.Parameter]:
    return [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]


def _read(name: str, function: Callable[..., Corpus], path: str | None, options: dict[str, Any]) -> Corpus:
    known = _parameters(function)
    for option, value in options.items():
        parameter = next((p for p in known if p.name == option), None)
        if parameter is None:
            there = ", ".join(p.name for p in known) or "none"
            raise ReaderError(f"the reader {name!r} has no such option: {option}; it has {there}")
        if isinstance(parameter.default, bool) and not isinstance(value, bool):
            raise ReaderError(f"the option {option} of the reader {name!r} is true or false, not {value!r}")
        if option == "langs" and value is not None:
            as_list(value, f"the option langs of the reader {name!r}", ReaderError, empty=False)
        if type(parameter.default) is int and not (type(value) is int and value >= 0):
            raise ReaderError(f"the option {option} of the reader {name!r} is a whole number from 0 on, not {value!r}")
        if isinstance(parameter.default, str) and not isinstance(value, str):
            raise ReaderError(f"the option {option} of the reader {name!r} is a text, not {value!r}")
    return function(path, **options)


__all__ = ["READERS", "Reader", "has_option", "open_corpus"]
