"""Texts to train on, encoders to train, and a process of its own for every measurement of a training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from babelmix._progress import quiet_transformers
from babelmix.corpus import Corpus, open_corpus

SYLLABLES = {
    "de": "be ge ver an sch ein ung lich wort haus tag zeit kraft werk land recht stell satz bild fahr",
    "el": "και το των με για από που στο δεν μια ένα θα είναι ως πρό λόγ χρόν μέρ έργ κόσμ",
    "en": "the ing re tion con light house work time ment ness stand side point hand part mark line form ship",
    "fr": "le de ment tion con pré jour temps main port voi fer lieu pas mont clé ville ligne point part",
    "ja": "日 本 語 時 間 手 紙 文 字 書 画 面 行 入 出 力 表 示 設 定",
    "ru": "по на при вы раз воз мест дом ход час день сло код вид дело стол лист ряд знак пол",
}
QUERY_WORDS, PASSAGE_WORDS = 5, 60


def corpus(source: str | None, items: int) -> Corpus:
    """A corpus of a reader, `NAME=PATH`; or generated texts: words of two syllables, in six languages."""
    if source:
        return open_corpus(source)
    rng = np.random.default_rng(0)
    drawn = rng.integers(20, size=(items, PASSAGE_WORDS, 2))
    made = {lang: line.split() for lang, line in SYLLABLES.items()}
    queries, passages = [], []
    for item, picks in enumerate(drawn):
        for lang, syllables in made.items():
            words = [syllables[first] + syllables[second] for first, second in picks]
            queries.append({"item": str(item), "lang": lang, "text": " ".join(words[:QUERY_WORDS])})
            passages.append({"item": str(item), "lang": lang, "text": " ".join(words)})
    return Corpus.from_rows(queries, passages, [(str(i), str(i)) for i in range(items)], name="made")


def labelled_corpus(langs: tuple[str, ...], items: int) -> Corpus:
    """Texts whose first word names their language."""
    queries = [{"item": str(i), "lang": lang, "text": f"{lang} {i}"} for i in range(items) for lang in langs]
    passages = [row | {"text": row["text"] + " answer"} for row in queries]
    return Corpus.from_rows(queries, passages, [(str(i), str(i)) for i in range(items)], name="labelled")


def save_small_encoder(words: list[str], folder: Path) -> None:
    """Save a BERT with two small layers over whole words, laid out like a model from the hub."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(str(folder))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64,
    )  # fmt: skip
    with quiet_transformers():
        BertModel(config).save_pretrained(str(folder))


def in_processes(script: str, job: Mapping[str, Any], folder: Path, *, processes: int = 1, threads: int) -> list[Any]:
    """Run `script --worker JOB`, alone or under torchrun, and read the result of each rank from `OUT-RANK.json`."""
    file, out = folder / "job.json", folder / "out"
    file.write_text(json.dumps({**job, "threads": threads, "out": str(out)}), encoding="utf-8")
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    # Rayon: the threads of the tokenizer.
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true",
        "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    command = [sys.executable, *(launcher if processes > 1 else []), script, "--worker", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [json.loads(Path(f"{out}-{rank}.json").read_text(encoding="utf-8")) for rank in range(processes)]


def leave(job: Mapping[str, Any], found: Any) -> None:
    """Write the result of a worker where `in_processes` reads it."""
    rank = os.environ.get("RANK", "0")
    Path(f"{job['out']}-{rank}.json").write_text(json.dumps(found), encoding="utf-8")
