"""Build a corpus from captions and pictures: a caption is a query, and its picture is the relevant passage."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from babelmix._progress import progress_bar
from babelmix.corpus.images import IMAGE_TYPE, bytes_of, digest_of, open_picture
from babelmix.corpus.languages import IMAGE, canonical_language
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._building import SideBuilder, corpus_from_tables
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.schema import PICTURE_SCHEMA
from babelmix.errors import PictureError, ReaderError

HUMAN, TRANSLATED, MACHINE, UNKNOWN = "human", "translated", "machine", "unknown"
"""The origin of a caption: written by a person, translated by a person, made by a machine, or unknown."""
EVALUATION_SPLITS = ("test", "val", "validation", "dev")

_BAR_FROM = 500
_TOGETHER = 256
_COCO = re.compile(r"COCO_(train|val)2014_\d{12}")


@dataclass(frozen=True)
class Caption:
    """One sentence about one picture.

    Args:
        image: the id of the picture, the same in all languages.
        lang: the language of the sentence, BCP 47.
        text: the sentence. A blank one is left out and counted.
        group: a split keeps pictures of one group together; by default the picture is its own group.
        provenance: `HUMAN`, `TRANSLATED`, `MACHINE` or `UNKNOWN`.

    """

    image: str
    lang: str
    text: str
    group: str = ""
    provenance: str = HUMAN


@dataclass(frozen=True)
class NoPicture:
    """Stands for a picture that cannot be used. `why` is a sentence."""

    why: str


Source = bytes | Path | NoPicture
"""The bytes or the file of a picture, or the reason why it cannot be used."""


class ColumnPictures(Mapping[str, Source]):
    """Pictures in Arrow columns, which may be memory-mapped files. They are not copied."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._chunks: list[pa.Array] = []
        self._column = pa.chunked_array([], IMAGE_TYPE)
        self._size = 0

    def add(self, ids: Sequence[str], column: pa.ChunkedArray) -> None:
        """Add the pictures of a column with the feature `datasets.Image`. Ids that were added before are skipped."""
        first: dict[str, int] = {}
        for row, name in enumerate(ids):
            first.setdefault(name, row)
        new = [row for name, row in first.items() if name not in self._rows]
        for start, stop in _runs(new):
            self._rows |= {ids[row]: self._size + row - start for row in range(start, stop)}
            self._chunks += column.slice(start, stop - start).cast(IMAGE_TYPE).chunks
            self._size += stop - start
        self._column = pa.chunked_array(self._chunks, IMAGE_TYPE)

    def __getitem__(self, image: str) -> bytes | Path:
        value = self._column[self._rows[image]].as_py() or {}
        if value.get("bytes") is None and value.get("path"):
            return Path(value["path"])
        return value.get("bytes") or b""

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def cells(self, images: Sequence[str]) -> pa.ChunkedArray:
        """The cells of some pictures, as slices of the columns."""
        parts = [self._column.slice(start, stop - start) for start, stop in _runs([self._rows[i] for i in images])]
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks], IMAGE_TYPE)


def _runs(rows: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Group consecutive row numbers. Yields the first row of each group and the row after the last."""
    start = stop = -1
    for row in rows:
        if row != stop:
            if stop > start:
                yield start, stop
            start = row
        stop = row + 1
    if stop > start:
        yield start, stop


def corpus_of_captions(
    captions: Iterable[Caption],
    pictures: Mapping[str, Source],
    *,
    name: str,
    file: str | Path,
    keep: str = "all",
    meta: Mapping[str, Any] | None = None,
    protocol: Mapping[str, Any] | None = None,
    left_out: LeftOut | None = None,
) -> Corpus:
    """Build a corpus from captions and pictures. Every picture is decoded once, to check it.

    A picture that cannot be used is left out together with its captions. `meta["left_out"]` counts such pictures, and
    `meta["left_out_examples"]` says why. A picture without a caption is left out too.

    Args:
        captions: the captions. The order matters if `keep` is not `all`.
        pictures: the picture of each image id.
        name: the name of the corpus.
        file: the name of the source in errors.
        keep: `all` captions, the `first` of each picture and language, or a number as text: the most captions to keep of each
            picture and language.
        meta: facts about the source.
        protocol: options of the reader that change results, for `meta["protocol"]`.
        left_out: the reader's own counts of left-out rows.

    Returns:
        A corpus whose items are image ids. `meta["provenance"]` counts the origins of the captions of each language.
        `meta["machine_made"]` lists the languages with machine-made captions. `meta["contains"]` counts the pictures of each part
        of COCO.

    Raises:
        ReaderError: no picture can be used, no caption is left, or a picture is in two groups.
        MissingExtraError: Pillow is not installed.

    """
    left_out = left_out or LeftOut()
    kept = _kept(captions, _limit(keep, file), left_out)
    groups: dict[str, str] = {}
    for caption in kept:
        group = caption.group or caption.image
        if groups.setdefault(caption.image, group) != group:
            raise ReaderError(
                f"picture {caption.image!r} is in the groups {groups[caption.image]!r} and {group!r}; it can be in one",
                file=file,
            )
    if not kept:
        raise ReaderError("has no caption", file=file)
    digests, unusable = _checked(pictures, groups, name)
    if not digests:
        raise ReaderError(f"none of {len(groups):,} pictures can be used; the first: {unusable[0]}", file=file)
    for sentence in unusable:
        left_out.add("pictures that cannot be used", sentence)
    queries = SideBuilder()
    made: dict[str, Counter[str]] = {}
    for caption in kept:
        if caption.image in digests:
            queries.add(caption.image, caption.lang, caption.text.strip(), groups[caption.image])
            # The corpus stores canonical tags.
            made.setdefault(canonical_language(caption.lang), Counter())[caption.provenance] += 1
        else:
            left_out.add("captions of such pictures")
    coco = Counter(f"mscoco-{found[1]}2014" for image in digests if (found := _COCO.match(image)))
    facts = {
        **(meta or {}),
        "protocol": {"captions": keep, **(protocol or {})},
        "provenance": {lang: dict(sorted(made[lang].items())) for lang in sorted(made)},
        "machine_made": sorted(lang for lang, counts in made.items() if counts[MACHINE]),
        "contains": dict(sorted(coco.items())),
        **left_out.facts(),
    }
    return corpus_from_tables(
        queries.table(), _passages(pictures, digests, groups), {(image, image): 1 for image in digests}, [],
        name=name, meta=facts, file=file,
    )  # fmt: skip


def is_evaluation(split: str) -> bool:
    """Whether a split is for evaluation, such as `val` or `test_2016_flickr`."""
    return split.split("_")[0] in EVALUATION_SPLITS


def _limit(keep: str, file: str | Path) -> int:
    if keep in ("all", "first"):
        return int(keep == "first")
    if not keep.isdecimal() or int(keep) == 0:
        raise ReaderError(f"the option captions is 'all', 'first' or a number from 1 on, not {keep!r}", file=file)
    return int(keep)


def _kept(captions: Iterable[Caption], limit: int, left_out: LeftOut) -> list[Caption]:
    kept: list[Caption] = []
    seen: Counter[tuple[str, str]] = Counter()
    for caption in captions:
        if not caption.text.strip():
            left_out.add(f"blank captions in {caption.lang}", caption.image)
            continue
        seen[caption.image, caption.lang] += 1
        if not limit or seen[caption.image, caption.lang] <= limit:
            kept.append(caption)
    return kept


def _checked(pictures: Mapping[str, Source], wanted: Mapping[str, str], name: str) -> tuple[dict[str, str], list[str]]:
    """Decode each picture. Returns the digests of the usable ones, and a sentence for each of the others."""
    left_out = [f"{image} has no picture" for image in wanted if image not in pictures]
    # The order of `pictures` keeps slices of a column together.
    there = [image for image in pictures if image in wanted]
    digests: dict[str, str] = {}
    bar = progress_bar(f"checking pictures of {name}", len(there), "pictures")
    with bar if len(there) > _BAR_FROM else nullcontext() as ticker:
        for image in there:
            source = pictures[image]
            if isinstance(source, NoPicture):
                left_out.append(source.why)
                continue
            is_file = isinstance(source, Path)
            try:
                data = bytes_of({"path": str(source)} if is_file else {"bytes": source})
                open_picture(data)
                digests[image] = digest_of(data)
            except PictureError as error:
                called = Path(str(source)).name if is_file else image
                left_out.append(f"{called} {str(error).removeprefix(str(source) + ' ') if is_file else error}")
            if ticker is not None:
                ticker.advance()
    return digests, left_out


def _passages(pictures: Mapping[str, Source], digests: Mapping[str, str], groups: Mapping[str, str]) -> pa.Table:
    images = list(digests)
    if isinstance(pictures, ColumnPictures):
        cells = pictures.cells(images)
    else:
        parts = []
        for start in range(0, len(images), _TOGETHER):
            sources = [pictures[image] for image in images[start : start + _TOGETHER]]
            parts.append(
                pa.array(
                    [{"path": str(s.absolute())} if isinstance(s, Path) else {"bytes": s} for s in sources], IMAGE_TYPE
                )
            )
        cells = pa.chunked_array(parts, IMAGE_TYPE)
    columns = {
        "item": images, "lang": [IMAGE] * len(images), "text": [None] * len(images),
        "group": [groups[image] for image in images], "image": cells, "digest": list(digests.values()),
    }  # fmt: skip
    return pa.table(columns, schema=PICTURE_SCHEMA)


__all__ = [
    "HUMAN",
    "MACHINE",
    "TRANSLATED",
    "UNKNOWN",
    "Caption",
    "ColumnPictures",
    "NoPicture",
    "Source",
    "corpus_of_captions",
    "is_evaluation",
]
