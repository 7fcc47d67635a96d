"""Unigram tokenizers: sentencepiece learns and compiles, `tokenizers` runs.

sentencepiece's trainer gives the same pieces for the same texts; that of `tokenizers` does not.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

_LONGEST = 1 << 20
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


def learn(texts: Iterable[str], size: int) -> Tokenizer:
    """Learn a Unigram vocabulary from texts, NFKC-normalised; at most `size` pieces, the first two `<unk>` and `<pad>`."""
    model = _train(
        # A line break would end the text for sentencepiece.
        (" ".join(text.split()) for text in texts),
        vocab_size=size,
        max_sentence_length=_LONGEST,
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
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=sink,
        hard_vocab_limit=False,
        minloglevel=3,
        num_threads=1,
        **options,
    )
    parsed = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    parsed.ParseFromString(sink.getvalue())
    return parsed
