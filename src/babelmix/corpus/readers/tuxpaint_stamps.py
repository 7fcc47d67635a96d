"""`tuxpaint-stamps`: the stamps of Tux Paint, pictures of things with a sentence in up to 78 languages, translated by people.

The source is the installed Debian package `tuxpaint-stamps-default` (GPL-2), or its folder `stamps`. A stamp is a PNG file and a
text file of the same name: the first line is English, and the others are `LOCALE.utf8=SENTENCE`. Most stamps without `symbols`,
road signs, flags and cartoons are photographs of one thing, cut out.

If several stamps have one English sentence ("A flower."), each of their sentences finds all of them.

The group of a stamp is its family: stamps of one folder whose names begin with the same word (`lion`, `lion_cub`), stamps with
the same English sentence, and stamps that look the same (`babelmix.corpus.near_pictures`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from babelmix._components import NamedSets
from babelmix.corpus.languages import canonical_language, is_language_tag
from babelmix.corpus.model import Corpus
from babelmix.corpus.near_pictures import group_near_pictures
from babelmix.corpus.readers._captions import HUMAN, TRANSLATED, Caption, Source, corpus_of_captions
from babelmix.corpus.readers._folds import part_of_fold
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._sources import pick_langs
from babelmix.corpus.readers._wide_texts import check_choice
from babelmix.corpus.schema import table_of_qrels
from babelmix.errors import ReaderError

DEBIAN_FOLDER = Path("/usr/share/tuxpaint/stamps")
KINDS = PHOTOS, OBJECTS, ALL = ("photos", "objects", "all")
"""Which stamps: without symbols, road signs, flags and cartoons; the same with cartoons; or all."""

_NO_OBJECTS = frozenset({"symbols", "roadsigns", "flags"})
_CARTOON = "cartoon"
_LINE = re.compile(r"([A-Za-z]{2,3}(?:_[A-Z]{2})?(?:@[a-z]+)?)\.utf8=(.*)")
_MODIFIERS = {"latin": "Latn", "cyrillic": "Cyrl"}
_WORD = re.compile(r"[A-Za-z][a-z]*|[A-Z]+")
_ENGLISH = "en"


def read(
    path: str | None = None,
    *,
    langs: str | Sequence[str] | None = None,
    kind: str = PHOTOS,
    part: str = "",
    fold: int = 0,
) -> Corpus:
    """Read Tux Paint's stamps.

    Args:
        path: the folder `stamps`; by default Debian's.
        langs: the languages to read; by default all. British and Australian English are left out: they hardly differ.
        kind: `photos` (without symbols, road signs, flags and cartoons), `objects` (with cartoons) or `all`.
        part: `train`, `test`, `fit` or `validation` of a fold, see `babelmix.corpus.readers._folds`; by default everything.
        fold: 0 to 4, with a part; by default 0.

    Raises:
        ReaderError: there is no such folder, an option is unknown, a text file is malformed, or no picture can be used.
        MissingExtraError: the extra `images` is not installed.

    """
    check_choice("kind", kind, KINDS)
    folder = DEBIAN_FOLDER if path is None else Path(path)
    if not folder.is_dir():
        if path is None:
            raise ReaderError(
                "Tux Paint's stamps are not installed: run  apt install tuxpaint-stamps-default, or give their folder",
                file=folder,
            )
        raise ReaderError("is not a folder; give the folder  stamps  of Tux Paint", file=folder)
    left_out = LeftOut()
    pictures: dict[str, Source] = {}
    captions: list[Caption] = []
    for file in sorted(folder.rglob("*.png")):
        place = PurePosixPath(file.relative_to(folder).as_posix())
        if not _wanted(place, kind):
            continue
        text = file.with_suffix(".txt")
        if not text.is_file():
            left_out.add("pictures without a text", str(place))
            continue
        item = str(place.with_suffix(""))
        pictures[item] = file
        captions += _captions(item, text.read_text(encoding="utf-8", errors="strict"), text, left_out)
    if not pictures:
        raise ReaderError("holds no stamp: a PNG file with a text file of the same name", file=folder)
    captions = _grouped(captions)
    kept = captions
    if langs is not None:
        picked = set(pick_langs(langs, sorted({one.lang for one in captions}), str(folder)))
        kept = [one for one in captions if one.lang in picked]
    found = corpus_of_captions(
        kept, pictures, name="tuxpaint-stamps", file=folder, left_out=left_out,
        meta={"source": "Tux Paint's stamps (package tuxpaint-stamps-default)", "licence": "GPL-2"}, protocol={"kind": kind},
    )  # fmt: skip
    return part_of_fold(group_near_pictures(_with_equals(found, captions)), fold, part)


def _wanted(place: PurePosixPath, kind: str) -> bool:
    folders = set(place.parts[:-1])
    return kind == ALL or not (folders & _NO_OBJECTS or (kind == PHOTOS and _CARTOON in folders))


def _captions(item: str, text: str, file: Path, left_out: LeftOut) -> Iterator[Caption]:
    """The sentences of a stamp. One that is the English one was not translated."""
    lines = text.splitlines()
    english = lines[0].strip() if lines else ""
    if not english:
        raise ReaderError("has no English sentence in its first line", file=file, row=1)
    yield Caption(item, _ENGLISH, english, provenance=HUMAN)
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise ReaderError(f"is not  LOCALE.utf8=SENTENCE: {line[:60]!r}", file=file, row=number)
        lang, sentence = _tag(found[1]), found[2].strip()
        if lang is None:
            raise ReaderError(f"{found[1]!r} is no locale of a known language", file=file, row=number)
        if lang.startswith("en-"):
            continue
        if sentence == english:
            left_out.add("sentences that were not translated", f"{lang} {item}")
        else:
            yield Caption(item, lang, sentence, provenance=TRANSLATED)


def _tag(locale: str) -> str | None:
    """The language tag of a locale; None if there is none.

    Examples:
        >>> _tag("pt_BR"), _tag("sr@latin"), _tag("ca@valencia")
        ('pt-BR', 'sr-Latn', 'ca-valencia')

    """
    place, _, modifier = locale.partition("@")
    lang, _, region = place.partition("_")
    tag = "-".join(part for part in (lang, _MODIFIERS.get(modifier, ""), region) if part)
    if modifier and modifier not in _MODIFIERS:
        tag += f"-{modifier}"
    return canonical_language(tag) if is_language_tag(tag) else None


def _grouped(captions: Sequence[Caption]) -> list[Caption]:
    """The captions with the families of their stamps as groups."""
    families: dict[str, str] = {}
    by_sentence: dict[str, str] = {}
    for one in captions:
        families.setdefault(one.image, _family(one.image))
    # Stamps with one English sentence are one family too, with the name that is first in the alphabet.
    sets = NamedSets(families.values())
    for one in captions:
        if one.lang == _ENGLISH:
            family = families[one.image]
            same = (sets.name(family), sets.name(by_sentence.setdefault(one.text.lower(), family)))
            sets.merge(min(same), max(same))
    return [Caption(one.image, one.lang, one.text, sets.name(families[one.image]), one.provenance) for one in captions]


def _with_equals(corpus: Corpus, captions: Sequence[Caption]) -> Corpus:
    """The corpus where a sentence also finds the other stamps with the same English sentence."""
    there = set(corpus.passages["item"].to_pylist())
    by_sentence: dict[str, list[str]] = {}
    for one in captions:
        if one.lang == _ENGLISH and one.image in there:
            by_sentence.setdefault(one.text.lower(), []).append(one.image)
    pairs = [(one, other) for items in by_sentence.values() for one in items for other in items]
    asked = set(corpus.queries["item"].to_pylist())
    qrels = table_of_qrels([pair for pair in pairs if pair[0] in asked])
    return Corpus(corpus.queries, corpus.passages, qrels, corpus.name, corpus.meta)


def _family(item: str) -> str:
    """The folder of a stamp and the first word of its name. Planets, which begin with a number, are one family.

    Examples:
        >>> _family("animals/mammals/cats/lion_cub"), _family("food/fruit/cartoon/apple2"), _family("space/planets/4_mars")
        ('animals/mammals/cats/lion', 'food/fruit/apple', 'space/planets')

    """
    *folders, name = item.split("/")
    word = _WORD.match(name)
    return "/".join([folder for folder in folders if folder != _CARTOON] + ([word[0].lower()] if word else []))


__all__ = ["KINDS", "read"]
