"""`xflickrco`: xFlickr&CO (IGLUE, Bugliarello et al., 2022): 2,000 pictures with a caption in each of 8 languages.

The source is `mteb/xflickrco` or `floschne/xflickrco` on the Hugging Face hub (one split for each language), a copy of one of
them, or a folder with IGLUE's `LANG/test.jsonl` or `LANG.jsonl`, and the pictures of Flickr30k and COCO in any sub-folder.
IGLUE and later papers call a model zero-shot if it was trained on English captions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from babelmix.corpus.languages import is_language_tag
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._captions import HUMAN, Caption, corpus_of_captions
from babelmix.corpus.readers._pictures import Folder, image_id, is_data_set, read_language_splits, texts_of
from babelmix.corpus.readers._records import get_text, json_lines, text_lines
from babelmix.corpus.readers._sources import pick_langs
from babelmix.errors import ReaderError

META = {
    "source": "xFlickr&CO", "evaluation_only": True,
    "licence": "CC BY 4.0, says the hub (mteb's label is CC BY-SA 4.0); pictures: Flickr30k's and COCO's terms",
}  # fmt: skip


def read(path: str, *, langs: str | Sequence[str] | None = None) -> Corpus:
    """Read xFlickr&CO.

    Args:
        path: the folder, or `mteb/xflickrco` on the Hugging Face hub.
        langs: the languages to read; by default all.

    Raises:
        ReaderError: a file or a field is missing or malformed, or no picture can be used.

    """
    found: list[Caption]
    if is_data_set(path):
        found, columns = read_language_splits(path, langs, id="id", captions="sentences", provenance=HUMAN)
        return corpus_of_captions(found, columns, name="xflickrco", file=path, meta=META)
    folder = Folder(path, "xFlickr&CO is a folder of captions and pictures")
    files = {lang: file for lang, file in folder.in_folders("test.jsonl").items() if is_language_tag(lang)}
    files |= {name[1]: file for name, file in folder.matching(r"([^.]+)\.jsonl(?:\.gz)?", is_language_tag)}
    if not files:
        raise ReaderError("holds no captions: no file such as de/test.jsonl or de.jsonl", file=path)
    found = []
    names: dict[str, None] = {}
    for lang in pick_langs(langs, sorted(files), path):
        file = files[lang]
        for name, caption in parse(json_lines(text_lines(file), file), lang, file):
            names[name] = None
            found.append(caption)
    return corpus_of_captions(found, folder.pictures(names), name="xflickrco", file=path, meta=META)


def parse(rows: Iterable[tuple[int, dict[str, Any]]], lang: str, file: Path) -> Iterator[tuple[str, Caption]]:
    """Yield the captions of records with `sentences` and `img_path`, each with the name of its picture's file (a pure function).

    Raises:
        ReaderError: a field is missing or of another type.

    """
    for number, row in rows:
        name = get_text(row, "img_path", file=file, row=number)
        for text in texts_of(row, "sentences", file, number):
            yield name, Caption(image_id(name), lang, text)
