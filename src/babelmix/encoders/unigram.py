"""Unigram tokenizers: sentencepiece learns the vocabulary, `tokenizers` runs it.

The trainer of sentencepiece is deterministic. The trainer of `tokenizers` is not.
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
"""The largest number of bytes of a text that are read to learn a vocabulary. The rest of the text is ignored."""
_PIECE = 4096
"""Characters that sentencepiece reads at once. Its time is quadratic in the length of repeated text."""
_MOST_TEXTS = 1_000_000


def unigram_tokenizer(pieces: Sequence[tuple[str, float]], unk: int, character_map: bytes) -> Tokenizer:
    """Make a tokenizer that segments like sentencepiece: character map, single spaces, `▁` before each word.

    Args:
        pieces: pieces and their log-probabilities, in the order of their ids.
        unk: id of the unknown piece.
        character_map: the normalisation in sentencepiece's compiled form.

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
    """Learn a Unigram vocabulary from NFKC-normalised texts.

    Texts of more than 4,096 characters are split, at white space if possible.

    Args:
        texts: texts of any length. Only the first 256 KiB of each are read.
        size: the largest number of pieces, including `<unk>` and `<pad>`, the first two.

    Returns:
        The tokenizer.

    Raises:
        EncoderError: the texts are empty, or have more different characters than `size`.

    """
    texts = [texts] if isinstance(texts, str) else texts
    model = _train(
        (part for text in texts for part in _parts(text)),
        vocab_size=size,
        # In bytes, large enough that sentencepiece skips no text.
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
    """Split a text, in NFC, into parts of at most `_PIECE` characters. A line break becomes a space: it would end the text."""
    if len(text) > _LONGEST // 4:
        text = text.encode()[:_LONGEST].decode(errors="ignore")
    text = " ".join(unicodedata.normalize("NFC", text).split())
    start = 0
    while len(text) - start > _PIECE:
        end = text.rfind(" ", start, start + _PIECE + 1)
        # A part without white space is cut anywhere.
        end = end if end > start else start + _PIECE
        yield text[start:end].strip()
        start = end
    yield text[start:].strip()


def compile_map(characters: Mapping[str, str]) -> bytes:
    """Compile a map from characters to strings into sentencepiece's form."""

    def hexadecimal(text: str) -> str:
        return " ".join(f"{ord(character):X}" for character in text)

    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.tsv"
        # A rule file cannot contain U+0000.
        lines = [f"{hexadecimal(a)}\t{hexadecimal(b)}" for a, b in sorted(characters.items()) if a != "\0"]
        rules.write_text("\n".join(lines) + "\n", encoding="utf-8")
        # Only the trainer calls the compiler. The vocabulary that it learns here is not used.
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
        # The message is: source location, failed condition in brackets, reason.
        reason = str(error).strip().splitlines()[0].rpartition("]")[2].partition(". Increase")[0].strip()
        raise EncoderError(
            f"no vocabulary can be learned from these texts: {reason or 'there are too few'}"
        ) from error
    parsed = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    parsed.ParseFromString(sink.getvalue())
    return parsed
