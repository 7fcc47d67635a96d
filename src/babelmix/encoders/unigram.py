"""Unigram tokenizers: sentencepiece learns and compiles, `tokenizers` runs.

sentencepiece's trainer gives the same pieces for the same texts; that of `tokenizers` does not.
"""

from __future__ import annotations

import io
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from babelmix.errors import EncoderError

_LONGEST = 1 << 18
"""Bytes of a text that a vocabulary is learned from at most: what comes after is left out."""
_PIECE = 4096
"""Characters of a text that sentencepiece reads at once: its time grows with the square of what repeats itself in them."""
_MOST_TEXTS = 1_000_000


def unigram_tokenizer(pieces: Sequence[tuple[str, float]], unk: int, character_map: bytes) -> Tokenizer:
    """A tokenizer that segments as sentencepiece does: character map, white space folded, `▁` before each word.

    Args:
        pieces: with their log-probabilities; the position is the id.
        unk: id of the unknown piece.
        character_map: in sentencepiece's compiled form.

    """
    tokenizer = Tokenizer(models.Unigram(list(pieces), unk_id=unk, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(character_map), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    return tokenizer


def learn(texts: str | Iterable[str], size: int) -> Tokenizer:
    """Learn a Unigram vocabulary from texts, NFKC-normalised.

    A text of more than 4,096 characters is read in parts, cut at white space where there is any.

    Args:
        texts: of any length; what comes after the first 256 KiB of one is left out.
        size: pieces at most, the first two `<unk>` and `<pad>`.

    Raises:
        EncoderError: the texts are empty, or have more different characters than the vocabulary is to have pieces.

    """
    texts = [texts] if isinstance(texts, str) else texts
    model = _train(
        (part for text in texts for part in _parts(text)),
        vocab_size=size,
        # Bytes; nothing is to be skipped.
        max_sentence_length=4 * _PIECE + 1,
        input_sentence_size=_MOST_TEXTS,
        shuffle_input_sentence=True,
        character_coverage=0.9999,
        unk_id=0,
        pad_id=1,
        bos_id=-1,
        eos_id=-1,
    )
    pieces = [(piece.piece, float(piece.score)) for piece in model.pieces]
    return unigram_tokenizer(pieces, 0, bytes(model.normalizer_spec.precompiled_charsmap))


def _parts(text: str) -> Iterator[str]:
    """A text, composed, in parts of at most `_PIECE` characters, white space folded: a line break would end it."""
    if len(text) > _LONGEST // 4:
        text = text.encode()[:_LONGEST].decode(errors="ignore")
    text = " ".join(unicodedata.normalize("NFC", text).split())
    start = 0
    while len(text) - start > _PIECE:
        end = text.rfind(" ", start, start + _PIECE + 1)
        # Without white space it is cut where it has to be.
        end = end if end > start else start + _PIECE
        yield text[start:end].strip()
        start = end
    yield text[start:].strip()


def compile_map(characters: Mapping[str, str]) -> bytes:
    """A map of single characters to strings in sentencepiece's compiled form."""

    def hexadecimal(text: str) -> str:
        return " ".join(f"{ord(character):X}" for character in text)

    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.tsv"
        # U+0000 cannot stand in a rule file.
        lines = [f"{hexadecimal(a)}\t{hexadecimal(b)}" for a, b in sorted(characters.items()) if a != "\0"]
        rules.write_text("\n".join(lines) + "\n", encoding="utf-8")
        # The trainer is the only door to the compiler; what it learns from three letters is thrown away.
        model = _train(iter(["a b c"] * 4), vocab_size=16, normalization_rule_tsv=str(rules))
    return bytes(model.normalizer_spec.precompiled_charsmap)


def _train(texts: Iterable[str], **options: Any) -> Any:
    sink = io.BytesIO()
    sentencepiece.set_random_generator_seed(0)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=sink,
            hard_vocab_limit=False,
            minloglevel=3,
            num_threads=1,
            **options,
        )
    except RuntimeError as error:
        # What it says ends with the reason, behind a place in its source and the condition that does not hold.
        reason = str(error).strip().splitlines()[0].rpartition("]")[2].partition(". Increase")[0].strip()
        raise EncoderError(
            f"no vocabulary can be learned from these texts: {reason or 'there are too few'}"
        ) from error
    parsed = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    parsed.ParseFromString(sink.getvalue())
    return parsed
