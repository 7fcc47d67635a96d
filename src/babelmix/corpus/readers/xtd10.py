"""`xtd10`: XTD10 (Aggarwal and Kale, 2020): 1,000 pictures of COCO with a caption in each of 11 languages.

The source is a folder with the files of github.com/adobe-research/Cross-lingual-Test-Dataset-XTD10, in any sub-folders:
`test_image_names.txt`, `test_1kcaptions_LANG.txt` with captions in the same order, and the pictures. `jp` is Japanese.

800 of the 1,000 pictures are from COCO's train2014, as `meta["contains"]` says. A model that was trained on COCO has seen them.
"""

from __future__ import annotations

from collections.abc import Sequence

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._captions import HUMAN, TRANSLATED, corpus_of_captions
from babelmix.corpus.readers._pictures import Folder, aligned_captions, language_of, name_lines
from babelmix.corpus.readers._sources import pick_langs
from babelmix.errors import ReaderError

WRITTEN = ("en", "ja")
"""The languages whose captions are not translated: those of COCO and STAIR."""


def read(path: str, *, langs: str | Sequence[str] | None = None) -> Corpus:
    """Read XTD10.

    Args:
        path: the folder.
        langs: the languages to read; by default all in the folder.

    Raises:
        ReaderError: a file is missing, a file has more or fewer lines than there are pictures, or no picture can be used.

    """
    folder = Folder(path, "XTD10 is a folder of its captions and pictures")
    files = {language_of(m[1], file): file for m, file in folder.matching(r"test_1kcaptions_([^.]+)\.txt(?:\.gz)?")}
    if not files:
        raise ReaderError("holds no file test_1kcaptions_LANG.txt, such as test_1kcaptions_en.txt", file=path)
    names = name_lines(folder.needed("test_image_names.txt"))
    captions = [
        caption
        for lang in pick_langs(langs, list(files), path)
        for caption in aligned_captions(files[lang], names, lang, HUMAN if lang in WRITTEN else TRANSLATED)
    ]
    meta = {
        "source": "XTD10", "licence": "Adobe Research License: non-commercial; pictures: Flickr's terms",
        "evaluation_only": True,
    }  # fmt: skip
    return corpus_of_captions(captions, folder.pictures(names), name="xtd10", file=path, meta=meta)
