"""`xm3600`: Crossmodal-3600 (Thapliyal et al., 2022): 3,600 pictures, each with captions in 36 languages.

The source is `mteb/xm3600` or `floschne/xm3600` on the Hugging Face hub (one split for each language), a copy of one of them,
or a folder with the publisher's `captions.jsonl` and the pictures `KEY.jpg` in any sub-folder.

There are two protocols, whose results cannot be compared: clip_benchmark uses the first caption of each picture and language
(`captions=first`), and mteb uses all. They differ most for retrieval of texts by pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._captions import HUMAN, Caption, corpus_of_captions
from babelmix.corpus.readers._pictures import Folder, is_data_set, language_of, read_language_splits, texts_of
from babelmix.corpus.readers._records import get_text, json_lines, text_lines
from babelmix.corpus.readers._sources import pick_langs
from babelmix.errors import ReaderError

META = {
    "source": "Crossmodal-3600", "licence": "CC BY 4.0, says the publisher (mteb's label is CC BY-SA 4.0)",
    "evaluation_only": True,
}  # fmt: skip


def read(path: str, *, langs: str | Sequence[str] | None = None, captions: str = "all") -> Corpus:
    """Read Crossmodal-3600.

    Args:
        path: the folder, or `mteb/xm3600` on the Hugging Face hub.
        langs: the languages to read; by default all in the folder. A download needs them.
        captions: `all`, `first` (one of each picture and language), or the number to keep of each picture and language.

    Raises:
        ReaderError: a file or a field is missing or malformed, or no picture can be used.

    """
    if is_data_set(path):
        found, columns = read_language_splits(
            path, langs, id="image_id", captions="captions", provenance=HUMAN,
            needs_langs="each of the 36 languages is a download of all pictures",
        )  # fmt: skip
        return corpus_of_captions(found, columns, name="xm3600", file=path, keep=captions, meta=META)
    folder = Folder(path, "Crossmodal-3600 is a folder of captions.jsonl and pictures")
    file = folder.needed("captions.jsonl")
    found = list(parse(json_lines(text_lines(file), file), file))
    there = list(dict.fromkeys(caption.lang for caption in found))
    wanted = set(pick_langs(langs, there, file))
    found = [caption for caption in found if caption.lang in wanted]
    pictures = folder.pictures(f"{image}.jpg" for image in dict.fromkeys(caption.image for caption in found))
    return corpus_of_captions(found, pictures, name="xm3600", file=file, keep=captions, meta=META)


def parse(rows: Iterable[tuple[int, dict[str, Any]]], file: Path) -> Iterator[Caption]:
    """Yield the captions of records with `image/key` and an object with `caption` for each language (a pure function).

    Raises:
        ReaderError: a field is missing or of another type, or the name of an object is no language.

    """
    seen: set[str] = set()
    for number, row in rows:
        image = get_text(row, "image/key", file=file, row=number)
        if image in seen:
            raise ReaderError(f"{image!r} occurs twice", file=file, row=number, field="image/key")
        seen.add(image)
        for code, value in row.items():
            if not isinstance(value, dict):
                continue
            lang = language_of(code, file, code)
            for text in texts_of(value, "caption", file, number):
                yield Caption(image, lang, text)
