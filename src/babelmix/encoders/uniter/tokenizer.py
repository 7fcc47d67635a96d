"""BERT's WordPiece tokenizer, with a vocabulary from a file or learned from texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from babelmix._files import write_text
from babelmix._lists import as_list
from babelmix.encoders.composing import composing
from babelmix.encoders.uniter.config import SPECIAL_TOKENS
from babelmix.errors import EncoderError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_REPEATED = 1000
"""How often a word is repeated in one text for the trainer."""


class WordPiece:
    """BERT's tokenizer (Devlin et al., NAACL 2019).

    Args:
        pieces: the vocabulary, in the order of the token ids.
        lowercase: put texts into lower case and remove accents.

    Raises:
        EncoderError: a special token is missing, or a piece occurs twice.

    """

    def __init__(self, pieces: Sequence[str], *, lowercase: bool = False) -> None:
        numbers = {piece: number for number, piece in enumerate(pieces)}
        if len(numbers) < len(pieces):
            twice = next(piece for number, piece in enumerate(pieces) if numbers[piece] != number)
            raise EncoderError(f"the vocabulary has {twice!r} twice")
        if missing := [token for token in SPECIAL if token not in numbers]:
            raise EncoderError(f"the vocabulary lacks {', '.join(missing)}: it is not one of BERT's")
        self.pieces = tuple(pieces)
        self.pad, self.unknown, self.first, self.last, self.mask = (numbers[token] for token in SPECIAL)
        self._tokenizer = _tokenizer(numbers, lowercase)
        self._tokenizer.post_processor = processors.BertProcessing(("[SEP]", self.last), ("[CLS]", self.first))

    @classmethod
    def from_file(cls, path: Path, *, lowercase: bool = False) -> WordPiece:
        """Read a `vocab.txt`, with one piece per line.

        Raises:
            EncoderError: there is no such file, or it is no vocabulary.

        """
        try:
            # Not splitlines: a piece may be a character that Python takes for the end of a line.
            pieces = path.read_bytes().decode().removesuffix("\n").split("\n")
            return cls([piece.removesuffix("\r") for piece in pieces], lowercase=lowercase)
        except (OSError, UnicodeDecodeError) as error:
            raise EncoderError(f"{path}: cannot be read as a vocabulary ({error})") from error
        except EncoderError as error:
            raise EncoderError(f"{path}: {error}") from error

    def save(self, path: Path) -> None:
        """Write a `vocab.txt`, atomically."""
        write_text(path, "\n".join(self.pieces) + "\n")

    def __len__(self) -> int:
        return len(self.pieces)

    def encode(self, texts: str | Sequence[str], *, max_text: int = 60) -> list[npt.NDArray[np.int64]]:
        """Tokenise texts. [CLS] is the first token, [SEP] the last.

        Args:
            texts: the texts.
            max_text: the largest number of word pieces of a text, without [CLS] and [SEP]. Longer texts are cut.

        Returns:
            Token ids of each text, int64, shape (tokens,).

        Raises:
            EncoderError: a text has no word pieces. The message has its row.

        """
        texts = as_list(texts, "texts", EncoderError)
        self._tokenizer.enable_truncation(max_text + SPECIAL_TOKENS)
        encoded = [np.array(encoding.ids, dtype=np.int64) for encoding in self._tokenizer.encode_batch_fast(texts)]
        for row, tokens in enumerate(encoded):
            if len(tokens) <= SPECIAL_TOKENS:
                raise EncoderError(f"text {row} is empty: {texts[row]!r} has no word pieces")
        return encoded


def learn_vocabulary(texts: str | Iterable[str], size: int, *, lowercase: bool = False) -> WordPiece:
    """Learn a WordPiece vocabulary from texts. The order of the texts does not matter.

    Args:
        texts: texts in all languages.
        size: the largest number of pieces, with special tokens. If there are more characters, the rarest are left out.
        lowercase: see `WordPiece`.

    Returns:
        The tokenizer.

    Raises:
        EncoderError: `size` leaves no room for pieces, or there is no text.

    Examples:
        >>> tokenizer = learn_vocabulary(["a red dog", "ein roter Hund"], 60)
        >>> [len(tokens) for tokens in tokenizer.encode(["a dog", "ein Hund"])]
        [4, 4]

    """
    texts = [texts] if isinstance(texts, str) else texts
    room = size - len(SPECIAL)
    if room < 2:
        raise EncoderError(f"a vocabulary of {size} has no room for pieces beside {len(SPECIAL)} special tokens")
    tokenizer = _tokenizer({"[UNK]": 0}, lowercase)
    words: Counter[str] = Counter()
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text)
        words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal))
    if not words:
        raise EncoderError("there is no text to learn a vocabulary from")
    characters: Counter[str] = Counter()
    for word, times in words.items():
        for character in word:
            characters[character] += times
    kept = sorted(characters, key=lambda character: (-characters[character], character))[: room // 2]
    inside = {character for word in words for character in word[1:]}.intersection(kept)
    # The trainer breaks ties by the id of a piece. Without this, ids would follow the order of a hash table.
    pieces = sorted(kept) + sorted(f"##{character}" for character in inside)
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=1,
        special_tokens=[*SPECIAL, *pieces],
        limit_alphabet=len(kept),
        initial_alphabet=kept,
        continuing_subword_prefix="##",
        show_progress=False,
    )
    repeated = (
        " ".join([word] * min(_REPEATED, times - start))
        for word, times in words.items()
        for start in range(0, times, _REPEATED)
    )
    tokenizer.train_from_iterator(repeated, trainer)
    learned = sorted(set(tokenizer.get_vocab()) - {*SPECIAL, *pieces})
    return WordPiece([*SPECIAL, *pieces, *learned], lowercase=lowercase)


def _tokenizer(numbers: dict[str, int], lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=lowercase)
    composing(tokenizer)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer
