"""`wit`: the retrieval part of WIT in IGLUE (Bugliarello et al., 2022): pictures of Wikipedia in 11 languages.

The source is `mteb/wit` on the Hugging Face hub (one split for each language), a copy of it, or a folder with IGLUE's
`test_LANG.jsonl` and the pictures in any sub-folder. The file of a picture is named like the last part of its `image_url`, with
or without percent-encoding.

Blank captions (the hub has two) are left out and counted. Few pictures have captions in two languages, and published results
use the pictures of one language as the pool. Read one language at a time to compare with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from babelmix.corpus.file_names import plain_name
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._captions import HUMAN, Caption, corpus_of_captions
from babelmix.corpus.readers._pictures import Folder, is_data_set, language_of, read_language_splits
from babelmix.corpus.readers._records import get_field, get_text, json_lines, text_lines
from babelmix.corpus.readers._sources import pick_langs
from babelmix.errors import ReaderError

META = {
    "source": "WIT (IGLUE)", "licence": "CC BY-SA 4.0; each picture has its own licence", "evaluation_only": True,
}  # fmt: skip


def read(path: str, *, langs: str | Sequence[str] | None = None, captions: str = "all") -> Corpus:
    """Read IGLUE's WIT.

    Args:
        path: the folder, or `mteb/wit` on the Hugging Face hub.
        langs: the languages to read; by default all.
        captions: `all`, `first` (one of each picture and language), or the number to keep of each picture and language.

    Raises:
        ReaderError: a file or a field is missing or malformed, or no picture can be used.

    """
    found: list[Caption]
    if is_data_set(path):
        found, columns = read_language_splits(path, langs, id="image_id", captions="captions", provenance=HUMAN)
        return corpus_of_captions(
            found, columns, name="wit", file=path, keep=captions, meta=META, protocol=_pool(found)
        )
    folder = Folder(path, "WIT is a folder of captions and pictures")
    files = {language_of(m[1], file): file for m, file in folder.matching(r"test_([^._]+)\.jsonl(?:\.gz)?")}
    if not files:
        raise ReaderError("holds no file test_LANG.jsonl, such as test_ar.jsonl", file=path)
    found = []
    names: dict[str, None] = {}
    for lang in pick_langs(langs, list(files), path):
        file = files[lang]
        for name, caption in parse(json_lines(text_lines(file), file), lang, file):
            names[name] = None
            found.append(caption)
    return corpus_of_captions(
        found,
        folder.pictures(names, whole=True),
        name="wit",
        file=path,
        keep=captions,
        meta=META,
        protocol=_pool(found),
    )


def _pool(captions: Sequence[Caption]) -> dict[str, Any]:
    langs = sorted({caption.lang for caption in captions})
    if len(langs) == 1:
        return {"pool": f"the pictures of {langs[0]}, as published"}
    return {"pool": f"the pictures of {len(langs)} languages together, not as published: read one language at a time"}


def parse(rows: Iterable[tuple[int, dict[str, Any]]], lang: str, file: Path) -> Iterator[tuple[str, Caption]]:
    """Yield the captions of IGLUE's records, each with the name of its picture's file (a pure function).

    Args:
        rows: records with `image_url` and `caption_reference_description`, with their line numbers.
        lang: the language of the captions.
        file: the name of the source in errors.

    Raises:
        ReaderError: a field is missing or of another type.

    """
    for number, row in rows:
        name = get_text(row, "image_url", file=file, row=number).rpartition("/")[2]
        text = get_field(row, "caption_reference_description", str, file=file, row=number)
        # Some names differ only in their suffix, so the id keeps it. Some records percent-encode the name.
        yield name, Caption(plain_name(name), lang, text)
