"""The pieces of a large Unigram vocabulary, read from a memory-mapped table.

`tokenizers` needs 0.6 seconds and 280 MB to load a vocabulary of 250,000 pieces. A text uses only pieces that are part of it. So
`tokenizers` keeps the steps around the model (normalisation, splitting into words, added tokens). The pieces of each word come
from a table on disk: sorted hashes, and for each hash the score, the id and the text of its piece.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

FACTS = "pieces.json"
"""The file of the steps around the model, and of the numbers that the table needs."""
FILES = ("pieces-hashes.npy", "pieces-scores.npy", "pieces-ids.npy", "pieces-ends.npy", "pieces-texts.npy")
"""The files of the table: sorted hashes; the score, the id and the end of the text of each hash's piece; all texts."""
FEWEST = 4096
"""A vocabulary with fewer pieces needs no table: it loads within milliseconds."""

_PENALTY = 10.0
"""An unknown character scores this much less than the lowest score of all pieces. It is a constant of `tokenizers`."""
_BLOCK = 4096
"""Characters whose pieces are looked up at once."""
_MANY = 1 << 13
"""Parts of a text from which on a filter pays."""
_FILTER_BITS = 21
_FILTER_SHIFT = np.uint64(64 - _FILTER_BITS)
_MOST_KNOWN = 10_000
"""Words whose pieces are remembered."""
_LONGEST_KNOWN = 24
"""Longer words, in characters, are not remembered: they hardly return."""
_FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F)
"""Odd numbers. The first that gives every piece a hash of its own is used."""
_WORD = "\ue000word\ue000"
"""The only piece of the model that stays in `tokenizers`. All words are unknown to it, so it returns each word as it is."""
_IS_WORD = 0
"""The token of words in that model. Every other token is an added one."""
_BETWEEN = ("\n", "\0", "\uffff", "\ufffe", "\U000ffffe", "\U0010ffff")
"""Characters to put between words. The first that is part of no piece is used."""
_CHARACTERS = 0x110000
_MOST_CHARACTERS = 256
"""A vocabulary with a longer piece gets no table: every part of a text up to this length is looked up."""
_PROBES = (
    "", " ", "a", "The quick brown fox, 1234!", "Müller's naïve café", "Как сохранить изображение?", "如何保存图像？",
    "画像を保存する方法は？", "이미지를 저장하려면?", "كيف أحفظ الصورة؟", "चित्र कैसे सहेजें?", "วิธีบันทึกภาพ", "Πώς αποθηκεύω",
    "👩‍👩‍👧‍👦 🇨🇭 e\u0301 \u200b\0\t\n  two  spaces", "<s> </s> <unk> <pad> <mask> ▁▁ ##a [UNK]", "𒀀𒀁𓀀 \U000e0041 ꧁꧂",
)  # fmt: skip
"""Texts on which the table is compared with the whole tokenizer before it is kept."""


class Pieces:
    """Splits texts into the pieces of a Unigram vocabulary. Any number of threads may use it.

    Args:
        folder: where `write_pieces` wrote the table.

    """

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        self.before: list[int] = facts["before"]
        """The tokens before a text."""
        self.after: list[int] = facts["after"]
        """The tokens after a text."""
        self._around = Tokenizer.from_str(json.dumps(facts["around"]))
        added: Mapping[str, int] = facts["added"]
        self._added = {token: added[one.content] for token, one in self._around.get_added_tokens_decoder().items()}
        self._unknown: int = facts["unknown"]
        self._unknown_text: str = facts["unknown_text"]
        self._byte_ids: list[int] | None = facts["bytes"]
        self._between: str = facts["between"]
        self._longest: int = facts["longest"]
        self._powers, self._inverses = _powers(facts["factor"], _BLOCK + self._longest)
        # As plain arrays: each access to a `numpy.memmap` costs microseconds more.
        self._hashes, self._scores, self._ids, self._ends, self._texts = (
            np.load(folder / name, mmap_mode="r").view(np.ndarray) for name in FILES
        )
        self._count = len(self._hashes) - 1
        self._known: dict[str, list[int]] = {}

    @classmethod
    def in_folder(cls, folder: Path) -> Self | None:
        """The pieces that are in a folder; None if `write_pieces` wrote none."""
        return cls(folder) if (folder / FACTS).is_file() else None

    def ids(self, texts: Sequence[str], most: int | None = None) -> list[list[int]]:
        """The ids of the tokens of each text, without special tokens.

        Args:
            texts: the texts.
            most: return only so many tokens of each text, and no time for the rest; None: all.

        """
        # Not `encode_batch_fast`: it leaves out the words.
        read = self._around.encode_batch(list(texts), add_special_tokens=False)
        # Each word has one token or more, so `most` words are enough.
        parts = [list(zip(one.ids[:most], one.tokens[:most], strict=True)) for one in read]
        if len(self._known) > _MOST_KNOWN:
            # Another thread may still read the old one.
            self._known = {}
        known = self._known
        words = list({word: None for part in parts for token, word in part if token == _IS_WORD and word not in known})
        found_now = dict(zip(words, self.split(words), strict=True))
        known |= {word: ids for word, ids in found_now.items() if len(word) <= _LONGEST_KNOWN}
        found: list[list[int]] = []
        for part in parts:
            ids: list[int] = []
            for token, word in part:
                if token == _IS_WORD:
                    ids += known.get(word) or found_now[word]
                else:
                    ids.append(self._added[token])
            found.append(ids[:most])
        return found

    def split(self, words: Sequence[str]) -> list[list[int]]:
        """The ids of the pieces of each word: those with the largest sum of scores.

        Args:
            words: parts of texts after the steps before the model; none is empty.

        """
        if not words:
            return []
        found = self._split(words, check=False)
        # None: a part of a text has the hash of another piece. With 64 bits this practically never happens.
        return self._split(words, check=True) or [] if found is None else found

    def _split(self, words: Sequence[str], *, check: bool) -> list[list[int]] | None:
        text = self._between.join(words) + self._between
        best, came, by = [-np.inf] * (len(text) + 1), [0] * (len(text) + 1), [0] * (len(text) + 1)
        ends: list[int] = []
        start = 0
        for word in words:
            best[start] = 0.0
            ends.append(start + len(word))
            start = ends[-1] + 1
        codes = np.frombuffer((text + self._between * self._longest).encode("utf-32-le"), dtype="<u4")
        for begins, stops, scores, places in self._candidates(codes, np.array(ends), check=check):
            for begin, stop, score, place in zip(begins, stops, scores, places, strict=True):
                total = best[begin] + score
                # Of two equal sums the longer last piece wins, as in `tokenizers`: it is the first that is met.
                if total > best[stop]:
                    best[stop], came[stop], by[stop] = total, begin, place
        path: list[int] = []
        bounds: list[int] = []
        start = 0
        for end in ends:
            back, at = [], end
            while at > start:
                back.append(at)
                at = came[at]
            if at < start:
                return None
            path += reversed(back)
            bounds.append(len(path))
            start = end + 1
        chosen = np.array([by[at] for at in path])
        if not self._are_pieces(chosen, np.array([came[at] for at in path]), np.array(path), codes).all():
            return None
        ids: list[int] = self._ids[chosen].tolist()
        found = [ids[a:b] for a, b in zip([0, *bounds], bounds, strict=False)]
        if self._unknown in ids:
            begins = [came[at] for at in path]
            for i, (a, b) in enumerate(zip([0, *bounds], bounds, strict=False)):
                if self._unknown in found[i]:
                    found[i] = self._fused(text, found[i], begins[a:b], path[a:b])
        return found

    def _candidates(
        self, codes: npt.NDArray[np.uint32], gaps: npt.NDArray[np.int64], *, check: bool
    ) -> Iterator[tuple[list[int], list[int], list[float], list[int]]]:
        """All pieces that are part of a text, by where they begin, short ones first: begin, end, score, place in the table.

        Where no single character begins, there is an unknown one. Its place is the table's last.

        Args:
            codes: the characters of the text, and as many more as the longest piece has.
            gaps: where a word ends and none begins.
            check: compare the texts, not only their hashes.

        """
        longest = self._longest
        for low in range(0, len(codes) - longest, _BLOCK):
            # One more, so that U+0000 counts too.
            part = codes[low : low + _BLOCK + longest].astype(np.uint64) + np.uint64(1)
            size = len(part) - longest
            sums = np.zeros(len(part) + 1, dtype=np.uint64)
            np.cumsum(part * self._powers[: len(part)], out=sums[1:])
            # Row i, column k: the sum up to the end of the part that begins at i and has k + 1 characters.
            reach = np.ndarray((size, longest), np.uint64, sums, offset=8, strides=(8, 8))
            hashes = ((reach - sums[:size, None]) * self._inverses[:size, None]).ravel()
            place, hit = self._find(hashes)
            if check:
                at = np.flatnonzero(hit)
                begins = at // longest + low
                hit[at] = self._are_pieces(place[at], begins, begins + at % longest + 1, codes)
            alone = np.flatnonzero(~hit[::longest]) * longest
            hit[alone] = True
            place[alone] = self._count
            hit[(gaps[(gaps >= low) & (gaps < low + size)] - low) * longest] = False
            at = np.flatnonzero(hit)
            begin, place = at // longest + low, place[at]
            yield begin.tolist(), (begin + at % longest + 1).tolist(), self._scores[place].tolist(), place.tolist()

    def _find(self, hashes: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The place of each hash in the table, and whether it is there.

        Args:
            hashes: shape (parts,).

        """
        if len(hashes) < _MANY:
            place = self._hashes.searchsorted(hashes)
            return place, (self._hashes[place] == hashes) & (place < self._count)
        likely = np.flatnonzero(self._filter.take((hashes >> _FILTER_SHIFT).view(np.int64)))
        place, hit = np.zeros(len(hashes), dtype=np.int64), np.zeros(len(hashes), dtype=np.bool_)
        some = hashes[likely]
        place[likely] = found = self._hashes.searchsorted(some)
        hit[likely] = (self._hashes[found] == some) & (found < self._count)
        return place, hit

    @functools.cached_property
    def _filter(self) -> npt.NDArray[np.bool_]:
        """Whether a hash with these first bits is in the table: most parts of a text are no piece, and are not searched for."""
        found = np.zeros(1 << _FILTER_BITS, dtype=np.bool_)
        found[(self._hashes[: self._count] >> _FILTER_SHIFT).view(np.int64)] = True
        return found

    def _are_pieces(
        self,
        places: npt.NDArray[np.int64],
        begins: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
        codes: npt.NDArray[np.uint32],
    ) -> npt.NDArray[np.bool_]:
        """Whether each part of a text is the piece at a place of the table, or a character that is in no piece.

        Args:
            places: of the pieces, shape (parts,).
            begins: of the parts of the text.
            ends: of the parts of the text.
            codes: the characters of the text.

        """
        first = np.where(places > 0, self._ends[places - 1], 0).astype(np.int64)
        length = self._ends[places] - first
        right = np.where(places == self._count, ends - begins == 1, length == ends - begins)
        same = np.flatnonzero(right & (places < self._count))
        count = length[same]
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        differs = codes[np.repeat(begins[same], count) + within] != self._texts[np.repeat(first[same], count) + within]
        right[np.repeat(same, count)[differs]] = False
        return right

    def _fused(self, text: str, ids: list[int], begins: list[int], ends: list[int]) -> list[int]:
        """The ids of a word with unknown characters: those beside each other are one token, or one token a byte."""
        fused: list[int] = []
        i = 0
        while i < len(ids):
            if ids[i] != self._unknown:
                fused.append(ids[i])
                i += 1
                continue
            start = begins[i]
            while i < len(ids) and ids[i] == self._unknown:
                i += 1
            fused += self._unknown_ids(text[start : ends[i - 1]])
        return fused

    def _unknown_ids(self, part: str) -> list[int]:
        if self._byte_ids is None or part == self._unknown_text:
            return [self._unknown]
        return [self._byte_ids[byte] for byte in part.encode()]


def ends_of(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The special tokens that a tokenizer puts before a text, and those after it."""
    read = tokenizer.encode("a")
    inside = [i for i, special in enumerate(read.special_tokens_mask) if not special]
    return (read.ids[: inside[0]], read.ids[inside[-1] + 1 :]) if inside else (read.ids, [])


def _powers(factor: int, count: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The powers of a factor, and those of its inverse modulo 2^64 times a number that spreads short texts over all hashes."""
    powers = np.full(count, factor, dtype=np.uint64)
    powers[0] = 1
    inverses = np.full(count, pow(factor, -1, 1 << 64), dtype=np.uint64)
    inverses[0] = 0xBF58476D1CE4E5B9
    return np.cumprod(powers, dtype=np.uint64), np.cumprod(inverses, dtype=np.uint64)


def write_pieces(tokenizer_json: Path, folder: Path) -> bool:
    """Write the table of a tokenizer with a large Unigram vocabulary, without padding and truncation.

    Args:
        tokenizer_json: the tokenizer, as `tokenizers` saves it.
        folder: an existing folder. `FACTS` and `FILES` are written there.

    Returns:
        Whether a table was written. A tokenizer of another kind, a small one, or one for which the table does not give exactly
        the same tokens gets none: it has to be loaded as a whole.

    """
    described: dict[str, Any] = json.loads(tokenizer_json.read_text(encoding="utf-8"))
    model = described["model"]
    if (
        model.get("type") != "Unigram"
        or len(model["vocab"]) < FEWEST
        or described.get("truncation")
        or model.get("alpha")
    ):
        return False
    whole = Tokenizer.from_file(str(tokenizer_json))
    whole.no_padding()
    facts = _facts(described, whole)
    if facts is None:
        return False
    # Of two pieces with one text `tokenizers` uses the last.
    found = {text: (score, number) for number, (text, score) in enumerate(model["vocab"]) if text}
    hashed = _hashed(list(found))
    if hashed is None:
        return False
    facts["factor"], hashes = hashed
    order = np.argsort(hashes)
    entries = list(found.items())
    texts = [entries[i][0] for i in order]
    scores = [*(entries[i][1][0] for i in order), facts.pop("lowest") - _PENALTY]
    ids = [*(entries[i][1][1] for i in order), facts["unknown"]]
    ends = np.cumsum([*map(len, texts), 0])
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype="<u4")
    # One more: the place of a hash above all others, and of unknown characters.
    arrays: tuple[npt.NDArray[Any], ...] = (
        np.append(hashes[order], np.uint64(2**64 - 1)),
        np.array(scores, dtype=np.float64),
        np.array(ids, dtype=np.int32),
        ends.astype(np.uint32),
        codes,
    )
    for name, array in zip(FILES, arrays, strict=True):
        np.save(folder / name, array)
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    if _agrees(Pieces(folder), whole):
        return True
    for name in (FACTS, *FILES):
        (folder / name).unlink()
    return False


def _facts(described: dict[str, Any], whole: Tokenizer) -> dict[str, Any] | None:
    """Everything but the table and the factor of its hashes; None if the vocabulary has a property that the table cannot have."""
    model = described["model"]
    vocabulary: list[tuple[str, float]] = model["vocab"]
    unknown = model.get("unk_id")
    lowest = min(score for _, score in vocabulary)
    longest = max(len(text) for text, _ in vocabulary)
    if unknown is None or not -np.inf < lowest <= 0 or longest > _MOST_CHARACTERS:
        return None
    characters = {character for text, _ in vocabulary for character in text}
    between = next((character for character in _BETWEEN if character not in characters), None)
    name = vocabulary[unknown][0]
    # A run of unknown characters is looked up as one piece. It is none, unless a piece holds the name of the unknown piece.
    if between is None or sum(name in text for text, _ in vocabulary) > 1:
        return None
    byte_ids = None
    if model.get("byte_fallback"):
        found = [whole.token_to_id(f"<0x{byte:02X}>") for byte in range(256)]
        if None in found:
            return None
        byte_ids = found
    before, after = ends_of(whole)
    around = {**described, "padding": None, "model": {"type": "Unigram", "unk_id": 0, "vocab": [[_WORD, 0.0]]}}
    return {
        "around": around,
        "before": before,
        "after": after,
        "added": {token.content: number for number, token in whole.get_added_tokens_decoder().items()},
        "unknown": unknown,
        "unknown_text": name,
        "bytes": byte_ids,
        "between": between,
        "longest": longest,
        "lowest": lowest,
    }


def _hashed(texts: list[str]) -> tuple[int, npt.NDArray[np.uint64]] | None:
    """A factor that gives each text a hash of its own, and the hashes; None if there is none."""
    lengths = np.array([len(text) for text in texts])
    starts = np.cumsum(lengths) - lengths
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype="<u4").astype(np.uint64) + np.uint64(1)
    within = np.arange(len(codes)) - np.repeat(starts, lengths)
    for factor in _FACTORS:
        powers, inverses = _powers(factor, int(lengths.max()))
        hashes = np.add.reduceat(codes * powers[within], starts)
        # The hash of a single character is its number: no longer piece may have it.
        if len(np.unique(hashes)) == len(texts) and (hashes[lengths > 1] > _CHARACTERS).all():
            return factor, hashes * inverses[0]
    return None


def _agrees(pieces: Pieces, whole: Tokenizer) -> bool:
    """Whether a table and a whole tokenizer give the same tokens of some texts, with special tokens and without."""
    for text in _PROBES:
        (ids,) = pieces.ids([text])
        if ids != whole.encode(text, add_special_tokens=False).ids:
            return False
        if [*pieces.before, *ids, *pieces.after] != whole.encode(text).ids:
            return False
    return True


__all__ = ["FACTS", "FEWEST", "FILES", "Pieces", "ends_of", "write_pieces"]
