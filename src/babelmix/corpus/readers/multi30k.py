"""`multi30k`: Multi30K (Elliott et al., 2016): Flickr30k's pictures with English, German, French and Czech captions.

The source is `romrawinjp/multi30k` on the Hugging Face hub (columns `en`, `cs`, `de`, `fr`, `image`), a copy of it, or a folder
with the files of github.com/multi30k/dataset, plain or compressed, and Flickr30k's pictures, in any sub-folders:

- task 1, one caption in each language, translated from English by people: `test_2016_flickr.LANG`, `train.LANG`, `val.LANG`, and
  the names of the pictures in the same order in `test_2016_flickr.txt`, `train.txt`, `val.txt`;
- task 2, five captions in English and German, written independently: `test_2016.N.LANG`, `train.N.LANG`, `val.N.LANG`, and the
  names of the pictures in `test_2016_images.txt` and so on, or in the files of task 1.

Most published results for English and German use the five captions of task 2, and those for French and Czech the one caption of
task 1. `meta["protocol"]` says what was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._captions import (
    HUMAN,
    TRANSLATED,
    Caption,
    ColumnPictures,
    corpus_of_captions,
    is_evaluation,
)
from babelmix.corpus.readers._pictures import (
    Folder,
    aligned_captions,
    data_set_rows,
    image_id,
    is_data_set,
    name_lines,
    texts_of,
)
from babelmix.corpus.readers._sources import pick_langs
from babelmix.errors import ReaderError

LANGS = ("en", "de", "fr", "cs")
TASK_2_LANGS = ("en", "de")
CAPTIONS_OF_TASK_2 = range(1, 6)
LICENCE = (
    "as Flickr30k: non-commercial research and education, says the publisher (labels on hubs, such as MIT, are wrong); "
    "the pictures are their photographers'"
)
_NAMES = {1: {"test": "test_2016_flickr", "validation": "val"}, 2: {"test": "test_2016", "validation": "val"}}


def read(
    path: str, *, split: str = "test", task: int = 1, langs: str | Sequence[str] | None = None, captions: str = "all"
) -> Corpus:
    """Read Multi30K.

    Args:
        path: the folder, or `romrawinjp/multi30k` on the Hugging Face hub.
        split: `test` (2016), `validation` or `train`. A folder may also have other splits, such as `test_2018_flickr`. All but
            `train` are for evaluation only.
        task: 1, one parallel caption in each language; or 2, five independent captions in English and German (only from a
            folder).
        langs: the languages to read; by default all.
        captions: `all`, `first` (one of each picture and language), or the number to keep of each picture and language.

    Raises:
        ReaderError: a file is missing, a file has more or fewer lines than there are pictures, or no picture can be used.

    """
    if task not in _NAMES:
        raise ReaderError(f"Multi30K has the tasks 1 and 2, not {task}", file=path)
    if is_data_set(path):
        if task == 2:
            raise ReaderError("holds task 1 only; for task 2 give a folder with its files", file=path)
        rows = data_set_rows(path, "validation" if split == "val" else split, (*LANGS, "image"))
        picked = pick_langs(langs, LANGS, path)
        ids = picture_ids([cell.as_py() for cell in rows["image"].combine_chunks().field("path")], split)
        found = caption_columns(rows.select(list(LANGS)).to_pylist(), ids, picked, f"{path}/{split}")
        pictures = ColumnPictures()
        pictures.add(ids, rows["image"])
        return corpus_of_captions(
            found,
            pictures,
            name="multi30k",
            file=path,
            keep=captions,
            meta=facts(split),
            protocol=protocol(split, task),
        )
    folder = Folder(path, "Multi30K is a folder of its captions and pictures")
    there = [
        lang for lang in LANGS if lang in (LANGS if task == 1 else TASK_2_LANGS) and _files(folder, split, task, lang)
    ]
    if not there:
        raise ReaderError(f"holds no file {_stem(split, task)}{'.1' if task == 2 else ''}.en", file=path)
    tasks = dict.fromkeys(pick_langs(langs, there, path), task)
    return read_folder(folder, split, tasks, captions, name="multi30k", protocol=protocol(split, task))


def read_folder(
    folder: Folder, split: str, tasks: dict[str, int], captions: str, *, name: str, protocol: dict[str, Any]
) -> Corpus:
    """Read languages of a folder. Each language may have its own task.

    Args:
        folder: the files.
        split: see `read`.
        tasks: the task of each language, 1 or 2.
        captions: see `read`.
        name: the name of the corpus.
        protocol: the value of `meta["protocol"]`.

    Raises:
        ReaderError: see `read`.

    """
    found: list[Caption] = []
    names: dict[str, None] = {}
    for lang, task in tasks.items():
        files = _files(folder, split, task, lang)
        if not files:
            raise ReaderError(f"holds no captions of task {task} in {lang!r} for {split!r}", file=folder.path)
        listed = _picture_names(folder, split, task)
        names |= dict.fromkeys(listed)
        made = HUMAN if task == 2 or lang == "en" else TRANSLATED
        columns = [list(aligned_captions(file, listed, lang, made)) for file in files]
        found += [caption for row in zip(*columns, strict=True) for caption in row]
    return corpus_of_captions(
        found, folder.pictures(names), name=name, file=folder.path, keep=captions, meta=facts(split), protocol=protocol
    )


def facts(split: str) -> dict[str, Any]:
    """The entries of `meta` for a split."""
    return {"source": "Multi30K", "split": split, "licence": LICENCE, "evaluation_only": is_evaluation(split)}


def protocol(split: str, task: int) -> dict[str, Any]:
    """The value of `meta["protocol"]`: the split and the captions, in which published results differ."""
    several = "five independent captions a picture, en and de" if task == 2 else "one parallel caption a language"
    return {"split": _stem(split, task), "task": f"{task}: {several}"}


def caption_columns(
    rows: Iterable[dict[str, Any]], ids: Sequence[str], langs: Sequence[str], file: str
) -> list[Caption]:
    """The captions of rows with a column for each language (a pure function).

    Raises:
        ReaderError: a caption is neither a text nor a list of texts.

    """
    return [
        Caption(name, lang, text, provenance=HUMAN if lang == "en" else TRANSLATED)
        for number, (name, row) in enumerate(zip(ids, rows, strict=True), 1)
        for lang in langs
        for text in texts_of(row, lang, file, number)
    ]


def picture_ids(paths: Sequence[str | None], split: str) -> list[str]:
    """Ids for rows that have none: the names of the picture files if all are different, else numbers."""
    names = [image_id(path) if path else "" for path in paths]
    if len(set(names)) == len(names) and "" not in names:
        return names
    return [f"{split}-{number}" for number in range(1, len(names) + 1)]


def _stem(split: str, task: int) -> str:
    return _NAMES[task].get(split, split)


def _files(folder: Folder, split: str, task: int, lang: str) -> list[Path]:
    stem = _stem(split, task)
    names = [f"{stem}.{lang}"] if task == 1 else [f"{stem}.{number}.{lang}" for number in CAPTIONS_OF_TASK_2]
    files = [folder.file(name) for name in names]
    return [file for file in files if file is not None] if None not in files else []


def _picture_names(folder: Folder, split: str, task: int) -> list[str]:
    first = [f"{_stem(split, 2)}_images.txt"] if task == 2 else []
    return name_lines(folder.needed(*first, f"{_stem(split, 1)}.txt"))
