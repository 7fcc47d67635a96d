"""`m3c`: Multi30K and multilingual MSCOCO captions, on which M3P, UC2 and their successors are compared.

We know of no published benchmark with this name. The composite here follows the protocol of M3P:

| part | languages | pictures |
|---|---|---|
| `multi30k` | en and de with five captions per picture (task 2), fr and cs with one (task 1) | 1,000 of 2016 |
| `mscoco` | en, ja (STAIR) | the first 1,000 of Karpathy's test part |
| `coco-cn` | zh | 1,000 of COCO-CN's test part |

Each part has its own pool and is a corpus of its own. A result for the whole is the mean over the parts, reported together with
them. The source is a folder with `multi30k/` and `mscoco/`, as the readers of these names take them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers import mscoco, multi30k
from babelmix.corpus.readers._pictures import Folder
from babelmix.errors import ReaderError

DEFINITION = (
    "Multi30K (en, de, fr, cs) + MSCOCO captions (en, ja: 1K; zh: COCO-CN test), M3P protocol: a composite defined by "
    "babelmix; no published benchmark of the name is known"
)
TASKS = {"en": 2, "de": 2, "fr": 1, "cs": 1}


def _multi30k(path: Path, split: str) -> Corpus:
    folder = Folder(path, "the part multi30k is a folder of Multi30K's captions and pictures")
    protocol = {"split": split, "task": "2 for en and de (five captions), 1 for fr and cs (one)"}
    return multi30k.read_folder(folder, split, TASKS, "all", name="m3c/multi30k", protocol=protocol)


def _mscoco(path: Path, split: str) -> Corpus:
    images, name = ("1k", "m3c/mscoco-1k") if split == "test" else ("5k", f"m3c/mscoco-{split}")
    return mscoco.read(str(path), langs=["en", "ja"], split=split, images=images, captions="5").named(name)


def _coco_cn(path: Path, split: str) -> Corpus:
    return mscoco.read(str(path), langs=["zh"], split=split).named("m3c/coco-cn")


PARTS: dict[str, tuple[str, Callable[[Path, str], Corpus]]] = {
    "multi30k": ("multi30k", _multi30k),
    "mscoco": ("mscoco", _mscoco),
    "coco-cn": ("mscoco", _coco_cn),
}
"""The folder of each part, and the function that reads it."""


def read(path: str, *, part: str = "", split: str = "test") -> Corpus:
    """Read one part of M3C.

    Args:
        path: the folder with `multi30k/` and `mscoco/`.
        part: `multi30k`, `mscoco` or `coco-cn`.
        split: `test`, `validation` or `train`. The last two have all pictures of COCO's part.

    Raises:
        ReaderError: there is no such part, or its files are missing or malformed.

    """
    if part not in PARTS:
        raise ReaderError(
            f"each part of M3C has its own pool: name one with the option part, {', '.join(PARTS)}",
            file=path,
        )
    folder, reading = PARTS[part]
    corpus = reading(Path(path) / folder, split)
    return corpus.named(corpus.name, composite=DEFINITION, part=part)
