"""`mscoco`: captions of COCO's pictures in English, Japanese and Chinese.

The source is a folder with some of these files, in any sub-folder:

- `dataset_coco.json`: the English captions, and the usual split (Karpathy and Fei-Fei, 2015);
- `stair_captions_v1.2_train.json` and `stair_captions_v1.2_val.json`: STAIR's Japanese captions (Yoshikawa et al., 2017),
  with the same split;
- `imageid.human-written-caption.txt` and `coco-cn_train.txt`, `coco-cn_val.txt`, `coco-cn_test.txt`: Chinese captions
  written by people (COCO-CN, Li et al., 2019), with a split of their own;
- the pictures, named as in COCO's 2014 release (`COCO_val2014_000000391895.jpg`).

The Japanese captions are STAIR's; some papers use YJCaptions, which are other data. COCO-CN's test part has 1,000 other
pictures with 1,053 captions. It is a corpus of its own, because no published protocol uses a common pool. The training parts of
all three languages can be read together: pictures in the test or validation part of any language are left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._captions import HUMAN, Caption, corpus_of_captions, is_evaluation
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._pictures import Folder, image_id, name_lines
from babelmix.corpus.readers._records import get_field, json_document, table_lines
from babelmix.corpus.readers._sources import pick_langs
from babelmix.errors import ReaderError

KARPATHY, COCO_CN = "dataset_coco.json", "imageid.human-written-caption.txt"
STAIR = ("stair_captions_v1.2_train.json", "stair_captions_v1.2_val.json")
SPLITS = {"train": ("train", "restval"), "validation": ("val",), "val": ("val",), "test": ("test",)}
"""The parts of Karpathy's split for each value of the option `split`."""

IMAGES = {"5k": 0, "1k": 1000}
"""The number of pictures of Karpathy's test part, in the order of the file; 0 is all."""

META = {
    "source": "MSCOCO",
    "licence": "English and Japanese captions CC BY 4.0, COCO-CN on request for research; pictures: Flickr's terms",
}


@dataclass
class Parts:
    """The content of a split.

    Args:
        names: the file names of the pictures of each language, in the order of the source.
        held_out: the ids of pictures in the test or validation part of any language.
        karpathy: the document of English captions. It is large, so it is read once.

    """

    names: dict[str, list[str]] = field(default_factory=dict)
    held_out: set[str] = field(default_factory=set)
    karpathy: Any = None


def read(
    path: str,
    *,
    langs: str | Sequence[str] | None = None,
    split: str = "test",
    images: str = "5k",
    captions: str = "all",
) -> Corpus:
    """Read COCO's captions.

    Args:
        path: the folder.
        langs: `en`, `ja` or `zh`; by default all, except that `test` and `validation` leave out Chinese if there are others.
        split: `test`, `validation` or `train`. `train` includes the pictures that Karpathy calls restval.
        images: `5k`, or `1k` for the first 1,000 pictures of Karpathy's test part. Not for Chinese.
        captions: `all`, `first` (one of each picture and language), or the number to keep of each picture and language. A few
            pictures have more than five captions, and most published results use five.

    Raises:
        ReaderError: a file is missing or malformed, there is no such split or language, or no picture can be used.

    """
    if split not in SPLITS:
        raise ReaderError(f"MSCOCO has the splits test, validation and train, not {split!r}", file=path)
    if images not in IMAGES:
        raise ReaderError(f"the option images is '5k' or '1k', not {images!r}", file=path)
    folder = Folder(path, "MSCOCO is a folder of its captions and pictures")
    picked = _languages(folder, langs, split)
    if images == "1k" and (split != "test" or "zh" in picked):
        raise ReaderError("the option images=1k is of Karpathy's test part, without Chinese; leave it out", file=path)
    parts = _parts(folder, picked, split)
    if images == "1k":
        parts.names |= {lang: parts.names[lang][: IMAGES[images]] for lang in ("en", "ja") if lang in parts.names}
    names = dict.fromkeys(name for lang in picked for name in parts.names[lang])
    leaked = {name for name in names if split == "train" and image_id(name) in parts.held_out}
    found = [
        caption
        for lang in picked
        for caption in _captions(folder, lang, [n for n in parts.names[lang] if n not in leaked], parts.karpathy)
    ]
    sources = {"en": "Karpathy's", "ja": "STAIR's", "zh": "COCO-CN's, human-written"}
    pool: dict[str, Any] = {"split": split, "captions of": {lang: sources[lang] for lang in picked}}
    if "zh" not in picked and split == "test":
        pool["images"] = images
    left_out = LeftOut({"pictures of a test or validation part of any language": len(leaked)})
    facts = {**META, "split": split, "evaluation_only": is_evaluation(split)}
    return corpus_of_captions(
        found, folder.pictures(name for name in names if name not in leaked), name="mscoco", file=path, keep=captions,
        meta=facts, protocol=pool, left_out=left_out,
    )  # fmt: skip


def _languages(folder: Folder, langs: str | Sequence[str] | None, split: str) -> list[str]:
    there = [lang for lang, name in (("en", KARPATHY), ("ja", STAIR[0]), ("zh", COCO_CN)) if folder.file(name)]
    if "ja" not in there and folder.file(STAIR[1]):
        there.append("ja")
    if not there:
        raise ReaderError(f"holds none of {KARPATHY}, {STAIR[1]} and {COCO_CN}", file=folder.path)
    if langs is None and split != "train" and len(there) > 1:
        return [lang for lang in there if lang != "zh"]
    picked = pick_langs(langs, there, folder.path)
    if split != "train" and "zh" in picked and len(picked) > 1:
        raise ReaderError(
            "Chinese (COCO-CN) has test pictures of its own: read it alone with the option langs=zh, and the other "
            "languages without it",
            file=folder.path,
        )
    return picked


def _parts(folder: Folder, langs: Sequence[str], split: str) -> Parts:
    parts = Parts()
    if "en" in langs or "ja" in langs or (split == "train" and folder.file(KARPATHY)):
        file = folder.needed(KARPATHY)
        parts.karpathy = json_document(file)
        names, held_out = karpathy_parts(parts.karpathy, SPLITS[split], file)
        parts.names |= {lang: names for lang in ("en", "ja") if lang in langs}
        parts.held_out |= held_out
    if "zh" in langs:
        part = SPLITS[split][0]
        parts.names["zh"] = [_with_suffix(name) for name in name_lines(folder.needed(f"coco-cn_{part}.txt"))]
    if split == "train":
        for part in ("val", "test"):
            if (listed := folder.file(f"coco-cn_{part}.txt")) is not None:
                parts.held_out |= {image_id(_with_suffix(name)) for name in name_lines(listed)}
    return parts


def _with_suffix(name: str) -> str:
    return name if name.endswith(".jpg") else f"{name}.jpg"


def _captions(folder: Folder, lang: str, names: Sequence[str], karpathy: Any) -> Iterator[Caption]:
    if lang == "en":
        return english(karpathy, names, folder.needed(KARPATHY))
    if lang == "ja":
        files = [file for name in STAIR if (file := folder.file(name)) is not None]
        return japanese({file: json_document(file) for file in files}, names)
    file = folder.needed(COCO_CN)
    return chinese(table_lines(file, ("id", "caption")), names, file)


def karpathy_parts(document: Any, wanted: Sequence[str], file: Path) -> tuple[list[str], set[str]]:
    """The file names of some parts, and the ids of the pictures in the test and validation parts (a pure function).

    Raises:
        ReaderError: a field is missing, or no picture is of these parts.

    """
    names: list[str] = []
    held_out: set[str] = set()
    for number, image in enumerate(get_field(document, "images", list, file=file, row=None), 1):
        part = get_field(image, "split", str, file=file, row=number, unit="image")
        name = get_field(image, "filename", str, file=file, row=number, unit="image")
        if part in wanted:
            names.append(name)
        if part in ("val", "test"):
            held_out.add(image_id(name))
    if not names:
        raise ReaderError(f"holds no picture whose split is {' or '.join(wanted)}", file=file)
    return names, held_out


def english(document: Any, names: Iterable[str], file: Path) -> Iterator[Caption]:
    """Yield the English captions of some pictures (a pure function).

    Raises:
        ReaderError: a field is missing or of another type.

    """
    wanted = set(names)
    for number, image in enumerate(document["images"], 1):
        if image["filename"] not in wanted:
            continue
        for sentence in get_field(image, "sentences", list, file=file, row=number, unit="image"):
            text = get_field(sentence, "raw", str, file=file, row=number, unit="image")
            yield Caption(image_id(image["filename"]), "en", text, provenance=HUMAN)


def japanese(documents: Mapping[Path, Any], names: Iterable[str]) -> Iterator[Caption]:
    """Yield STAIR's captions of some pictures, in the order of the pictures (a pure function).

    Args:
        documents: the JSON of each file, with `images` (`id`, `file_name`) and `annotations` (`image_id`, `caption`).
        names: the file names of the pictures.

    Raises:
        ReaderError: a field is missing or of another type, or an annotation names a picture that does not exist.

    """
    texts: dict[str, list[str]] = {image_id(name): [] for name in names}
    for file, document in documents.items():
        ids: dict[int, str] = {}
        for number, image in enumerate(get_field(document, "images", list, file=file, row=None), 1):
            key = get_field(image, "id", int, file=file, row=number, unit="image")
            ids[key] = image_id(get_field(image, "file_name", str, file=file, row=number, unit="image"))
        for number, note in enumerate(get_field(document, "annotations", list, file=file, row=None), 1):
            key = get_field(note, "image_id", int, file=file, row=number, unit="annotation")
            if key not in ids:
                raise ReaderError(
                    f"names picture {key}, which does not exist", file=file, row=number, field="image_id"
                )
            if ids[key] in texts:
                texts[ids[key]].append(get_field(note, "caption", str, file=file, row=number, unit="annotation"))
    for image, found in texts.items():
        for text in found:
            yield Caption(image, "ja", text, provenance=HUMAN)


def chinese(rows: Iterable[tuple[int, Sequence[str]]], names: Iterable[str], file: Path) -> Iterator[Caption]:
    """Yield COCO-CN's captions of some pictures (a pure function).

    Args:
        rows: rows of an id, such as `COCO_train2014_000000000025#0`, and a caption, with their line numbers.
        names: the file names of the pictures.
        file: the name of the source in errors.

    Raises:
        ReaderError: an id is empty.

    """
    wanted = {image_id(name) for name in names}
    for number, (key, text) in rows:
        name = key.partition("#")[0].strip()
        if not name:
            raise ReaderError("is empty", file=file, row=number, field="id")
        if (image := image_id(_with_suffix(name))) in wanted:
            yield Caption(image, "zh", text, provenance=HUMAN)
