"""`flickr8k-multilingual`: Flickr8k's photographs with captions in eight languages, from the repositories that publish them.

The source is a folder with Flickr8k's photographs (`1000268201_693b08cb0e.jpg`), or some of them, and any of these caption files,
plain or packed by gzip, in any sub-folders. Nothing of them is in babelmix.

| files | from | language | captions |
|---|---|---|---|
| `flickr8kenc.caption.txt` or `Flickr8k.token.txt` | Flickr8k | en | five, written by people |
| `flickr8kzhc.caption.txt` | github.com/li-xirong/flickr8kcn | zh | five, written by people |
| `train.de`, `train.fr`, `train.cs`, `val.*`, `test_2016_flickr.*` with `train.txt`, `val.txt`, `test_2016_flickr.txt` | \
github.com/multi30k/dataset, task 1 | de, fr, cs | one, translated by people |
| `train.pt`, `val.pt`, `test_2016_flickr.pt` | github.com/FrameNetBrasil/framed-multi30k, Multi30K's task 1 | pt-BR | one, \
translated by people |
| `Flickr8k.arabic.full.txt` | github.com/ObeidaElJundi/Arabic-Image-Captioning | ar | three, translated by machine, checked |
| `Clean-5Sentences.txt` or `Clean-1Sentences.txt` | github.com/rathiankit03/ImageCaptionHindi | hi | translated by machine, \
cleaned |

Multi30K names the same photographs of Flickr by their number alone: the part before the underscore joins them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from babelmix.corpus.model import Corpus
from babelmix.corpus.near_pictures import group_near_pictures
from babelmix.corpus.readers._captions import HUMAN, MACHINE, TRANSLATED, Caption, corpus_of_captions
from babelmix.corpus.readers._folds import part_of_fold
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._pictures import Folder, aligned_captions, name_lines
from babelmix.corpus.readers._records import text_lines
from babelmix.corpus.readers._sources import pick_langs
from babelmix.errors import ReaderError

LICENCE = "the photographs are their photographers', on Flickr; research use only; see also the repository of each caption file"
_PICTURE = re.compile(r"(\d+)_[0-9a-f]+\.jpg")
_LINE = re.compile(r"(\d+)_([0-9a-f]+)(?:\.jpg(?:\.\d)?)?(?:#(?:[a-z]+#)?\d+)?[\t ]+(.*)")
_SPLITS = ("train", "val", "test_2016_flickr")


@dataclass(frozen=True)
class _OwnNames:
    """Caption files whose lines begin with the name of the photograph. The first that exists is read."""

    files: tuple[str, ...]
    provenance: str


_OWN = {
    "en": _OwnNames(("Flickr8k.token.txt", "flickr8kenc.caption.txt"), HUMAN),
    "zh": _OwnNames(("flickr8kzhc.caption.txt",), HUMAN),
    "ar": _OwnNames(("Flickr8k.arabic.full.txt", "Flickr8k.arabic.txt"), MACHINE),
    "hi": _OwnNames(("Clean-5Sentences.txt", "Clean-1Sentences.txt"), MACHINE),
}
_ALIGNED = {"de": "de", "fr": "fr", "cs": "cs", "pt-BR": "pt"}
"""Languages of Multi30K's task 1, with the suffixes of their files."""


def read(
    path: str,
    *,
    langs: str | Sequence[str] | None = None,
    captions: str = "all",
    part: str = "",
    fold: int = 0,
) -> Corpus:
    """Read Flickr8k with captions in several languages.

    Args:
        path: the folder.
        langs: the languages to read; by default all whose files are there.
        captions: `all`, `first` (one of each picture and language), or the number to keep of each picture and language.
        part: `train`, `test`, `fit` or `validation` of a fold, see `babelmix.corpus.readers._folds`; by default everything.
        fold: 0 to 4, with a part; by default 0.

    Raises:
        ReaderError: there is no photograph or no caption file, a line is malformed, or no picture can be used.
        MissingExtraError: the extra `images` is not installed.

    """
    folder = Folder(path, "Flickr8k is a folder of its photographs and of caption files")
    names = {found[1]: found[0] for found, _ in folder.matching(_PICTURE.pattern)}
    if not names:
        raise ReaderError("holds no photograph of Flickr8k, such as 1000268201_693b08cb0e.jpg", file=path)
    left_out = LeftOut()
    # A language is there if a file of it is.
    there = [lang for lang, own in _OWN.items() if folder.file(*own.files)]
    there += [lang for lang, suffix in _ALIGNED.items() if any(folder.file(f"{split}.{suffix}") for split in _SPLITS)]
    if not there:
        raise ReaderError(f"holds no caption file, such as {_OWN['en'].files[0]} or train.de", file=path)
    found: list[Caption] = []
    for lang in pick_langs(langs, there, path):
        found += _own_names(folder, lang, names, left_out) if lang in _OWN else _aligned(folder, lang, names)
    corpus = corpus_of_captions(
        found, folder.pictures(names.values()), name="flickr8k-multilingual", file=path, keep=captions, left_out=left_out,
        meta={"source": "Flickr8k", "licence": LICENCE},
    )  # fmt: skip
    return part_of_fold(group_near_pictures(corpus), fold, part)


def _own_names(folder: Folder, lang: str, names: dict[str, str], left_out: LeftOut) -> list[Caption]:
    own = _OWN[lang]
    file = folder.needed(*own.files)
    lines: list[re.Match[str] | None] = []
    for number, line in enumerate(text_lines(file), 1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            if not lines:
                raise ReaderError(
                    f"does not begin with the name of a photograph: {line[:60]!r}", file=file, row=number
                )
            # A word may be broken too, so that the two lines cannot be joined.
            left_out.add("captions that are broken over two lines", f"{lang}, row {number}")
            lines[-1] = None
        else:
            lines.append(found)
    kept: list[Caption] = []
    for found in lines:
        if found is None:
            continue
        # The number alone could be another photographer's picture.
        image, stem = names.get(found[1]), f"{found[1]}_{found[2]}"
        if image is None or Path(image).stem != stem:
            left_out.add("captions of photographs that are not there", f"{lang} {stem}")
        else:
            kept.append(Caption(stem, lang, found[3], provenance=own.provenance))
    return kept


def _aligned(folder: Folder, lang: str, names: dict[str, str]) -> Iterator[Caption]:
    for split in _SPLITS:
        file = folder.file(f"{split}.{_ALIGNED[lang]}")
        if file is None:
            continue
        listed = name_lines(folder.needed(f"{split}.txt"))
        for caption in aligned_captions(file, listed, lang, TRANSLATED):
            # Most of Multi30K's photographs are not in Flickr8k.
            image = names.get(caption.image.partition("_")[0])
            if image is not None:
                yield Caption(Path(image).stem, lang, caption.text, provenance=TRANSLATED)


__all__ = ["read"]
