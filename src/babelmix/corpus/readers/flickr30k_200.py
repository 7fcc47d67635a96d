"""`flickr30k-200`: Flickr30k-200 and XTD-200 (Visheratin, 2023): English captions machine-translated into 200 languages.

The source is a folder with the files of github.com/visheratin/nllb-clip: the pictures, in any sub-folder; their names in
`filenames.txt` or `test_image_names.txt`; and captions in the same order in `CODE.txt`, with a FLORES-200 code such as
`deu_Latn`. English is not translated; its file is `eng_Latn.txt` or `eng_captions.txt`. XTD-200 has the pictures of XTD10, of
which most are in COCO's training part.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._captions import HUMAN, MACHINE, corpus_of_captions
from babelmix.corpus.readers._pictures import Folder, aligned_captions, are_same, name_lines
from babelmix.corpus.readers._sources import pick_langs
from babelmix.corpus.readers.belebele import flores_tag
from babelmix.errors import ReaderError

LISTS = ("filenames.txt", "test_image_names.txt")
ENGLISH = "eng_captions"
_OWN = {"twi_Latn": "tw", "prs_Arab": "prs"}
"""Languages that would otherwise get the tag of another of the 200 languages."""


def read(path: str, *, langs: str | Sequence[str] | None = None) -> Corpus:
    """Read Flickr30k-200 or XTD-200.

    Args:
        path: the folder.
        langs: the languages to read, as BCP 47 tags; by default all in the folder.

    Raises:
        ReaderError: the name of a file is no language, a file has more or fewer lines than there are pictures, or no picture
            can be used.

    """
    folder = Folder(path, "it is a folder of files such as deu_Latn.txt, a list of pictures, and the pictures")
    listed = folder.needed(*LISTS)
    names = name_lines(listed)
    files: dict[str, Path] = {}
    for found, file in folder.matching(r"([^.]+)\.txt(?:\.gz)?"):
        if file.name.removesuffix(".gz") in LISTS:
            continue
        tag = "en" if found[1] == ENGLISH else _OWN.get(found[1]) or flores_tag(found[1])
        if tag is None:
            raise ReaderError("has a name that is not a FLORES-200 code, such as deu_Latn.txt", file=file)
        if tag in files:
            if are_same([files[tag], file]):  # English is published under two names
                continue
            raise ReaderError(f"is in {tag!r}, and so is {files[tag].name}; remove one of them", file=file)
        files[tag] = file
    if not files:
        raise ReaderError("holds no captions: no file such as deu_Latn.txt", file=path)
    captions = [
        caption
        for lang in pick_langs(langs, sorted(files), path)
        for caption in aligned_captions(files[lang], names, lang, HUMAN if lang == "en" else MACHINE)
    ]
    name, source = ("xtd-200", "XTD-200") if listed.name == LISTS[1] else ("flickr30k-200", "Flickr30k-200")
    meta = {
        "source": source, "evaluation_only": True,
        "licence": "that of the pictures and English captions: Flickr30k's or XTD10's, both non-commercial",
    }  # fmt: skip
    return corpus_of_captions(captions, folder.pictures(names), name=name, file=path, meta=meta)
