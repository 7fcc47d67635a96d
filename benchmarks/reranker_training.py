"""Train small rerankers for `reranking.py`: the first layers of e5-small-offline as a cross-encoder, on headings and their texts.

python benchmarks/reranker_training.py DATA --to FOLDER

DATA has the folders courses (machine-translated by its publishers) and libreoffice-help (translated by people). The rerankers
read the same items for as many steps, and differ in languages alone:

english   query and passages in English
one       query and passages in one language, another one each time, as published multilingual rerankers are trained
mixed     the query and each of its passages in a language of its own

A folder that is there is not trained again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from removal_data import ELEVEN

import babelmix as bm
from babelmix._files import replacing_folder
from babelmix.encoders import load_encoder

KINDS = ("english", "one", "mixed")
LAYERS, STEPS, QUERIES, NEGATIVES = 4, 100, 10, 3
TOKENS, CHARACTERS = 64, 160
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
HELP = ["de", "el", "en", "es", "hi", "ru", "tr", "vi"]
Item = dict[str, tuple[str, str]]
"""Heading and text by language."""


def items_of(data: Path) -> list[list[Item]]:
    """The items of each page that has several; each in English and in other languages of `ELEVEN`."""
    sections = pl.read_parquet(data / "courses" / "sections.parquet")
    pages: dict[str, list[Item]] = {}
    for row in sections.iter_rows(named=True):
        item = {lang: (row[f"heading_{lang}"], row[f"text_{lang}"]) for lang in ELEVEN}
        kept = {lang: pair for lang, pair in item.items() if all(pair)}
        if "en" in kept:
            pages.setdefault(f"{row['source']}/{row['page']}", []).append(kept)
    help_pages = bm.load_corpus(f"libreoffice-help={data}/libreoffice-help/blocks.parquet", langs=HELP)
    texts = {
        side: getattr(help_pages, side).select(["item", "lang", "text"]).to_pylist()
        for side in ("queries", "passages")
    }
    groups = dict(zip(help_pages.queries["item"].to_pylist(), help_pages.queries["group"].to_pylist(), strict=True))
    passages = {(row["item"], row["lang"]): row["text"] for row in texts["passages"]}
    found: dict[str, Item] = {}
    for row in texts["queries"]:
        if (row["item"], row["lang"]) in passages:
            lang = "en" if row["lang"].startswith("en") else row["lang"]
            found.setdefault(row["item"], {})[lang] = (row["text"], passages[row["item"], row["lang"]])
    for name, item in found.items():
        if len(item) > 4 and "en" in item:
            pages.setdefault(groups[name], []).append(item)
    return [items for items in pages.values() if len(items) > 1]


def rows_of(pages: list[list[Item]], kind: str, count: int, seed: int) -> list[tuple[str, list[str]]]:
    """Queries, each with its passage and others of the data, in this order."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        page = pages[rng.integers(len(pages))]
        item, others = page[rng.integers(len(page))], []
        lang = "en" if kind == "english" else str(rng.choice(sorted(item)))
        while len(others) < NEGATIVES:
            other = pages[rng.integers(len(pages))]
            others.append(other[rng.integers(len(other))])
        right, *wrong = (one.get(str(rng.choice(sorted(one))) if kind == "mixed" else lang) for one in (item, *others))
        # Another language would give a wrong passage away: one that is not translated is left out, and the last one counts more.
        texts = [text[:CHARACTERS] for _, text in (pair for pair in wrong if pair is not None)]
        if right is not None and texts:
            texts += texts[-1:] * (NEGATIVES - len(texts))
            rows.append((item[lang][0], [right[1][:CHARACTERS], *texts]))
    return rows


def start(layers: int) -> Any:
    """A cross-encoder that begins with the first layers of e5-small-offline; its head is random."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import BertForSequenceClassification

    encoder = load_encoder("e5-small-offline", device="cpu")
    body = encoder[0].model
    config = type(body.config)(
        **({**body.config.to_dict(), "num_hidden_layers": layers, "num_labels": 1} | NO_DROPOUT)
    )
    torch.manual_seed(0)
    model = BertForSequenceClassification(config)
    weights = {name: value for name, value in body.state_dict().items() if name in model.bert.state_dict()}
    model.bert.load_state_dict(weights, strict=False)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        encoder.tokenizer.save_pretrained(folder)
        return CrossEncoder(folder, device="cpu", local_files_only=True, max_length=TOKENS)


def train(pages: list[list[Item]], kind: str, to: Path, *, layers: int, steps: int, seed: int) -> float:
    """Train and save one reranker. Returns the CPU seconds."""
    from datasets import Dataset
    from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
    from sentence_transformers.cross_encoder.losses import ListNetLoss

    began = time.process_time()
    model = start(layers)
    # The table of words is most of the weights, and knows all languages already.
    model.model.bert.embeddings.requires_grad_(False)
    rows = rows_of(pages, kind, 2 * steps * QUERIES, seed)
    columns: dict[str, list[Any]] = {"query": [query for query, _ in rows], "passages": [some for _, some in rows]}
    # The softmax of these labels is all but one for the right passage.
    data = Dataset.from_dict(columns | {"labels": [[10.0] + [0.0] * NEGATIVES] * len(rows)})
    loss = ListNetLoss(model)
    with tempfile.TemporaryDirectory() as folder:
        arguments = CrossEncoderTrainingArguments(
            output_dir=folder, max_steps=steps, per_device_train_batch_size=QUERIES, learning_rate=2e-4,
            warmup_steps=10, lr_scheduler_type="constant_with_warmup", save_strategy="no", report_to=[], logging_steps=10,
            use_cpu=True, seed=seed, disable_tqdm=True, dataloader_pin_memory=False,
        )  # fmt: skip
        CrossEncoderTrainer(model=model, args=arguments, train_dataset=data, loss=loss).train()
    with replacing_folder(to, []) as part:
        model.save_pretrained(str(part), create_model_card=False)
    return time.process_time() - began


def main() -> None:
    """Train the rerankers that are not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    pages = items_of(given.data)
    print(f"{sum(map(len, pages)):,} items on {len(pages):,} pages", flush=True)
    for kind in given.kinds.split(","):
        folder = given.to / f"{kind}-{given.seed}"
        if not folder.exists():
            seconds = train(pages, kind, folder, layers=given.layers, steps=given.steps, seed=given.seed)
            print(f"{kind}: {given.steps} steps in {seconds:.0f} CPU seconds", flush=True)


if __name__ == "__main__":
    main()
