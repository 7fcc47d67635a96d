"""The model card of a trained encoder."""

from __future__ import annotations

from pathlib import Path

from babelmix.corpus import Corpus
from babelmix.training.settings import TrainingSettings

_CARD = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [sentence-transformers, babelmix, multilingual, retrieval]
language: [{langs}]
---
# {base}, trained with {strategy} batches

An encoder trained with [babelmix](https://pypi.org/project/babelmix) on `{corpus}` ({pairs:,} pairs of items,
{count} languages).

```python
from sentence_transformers import SentenceTransformer

encoder = SentenceTransformer("path/to/this/folder")
queries, passages = encoder.encode_query(["..."]), encoder.encode_document(["..."])
scores = encoder.similarity(queries, passages)
```

| setting | value |
|---|---|
{settings}
{notes}"""


def write_card(folder: Path, base: str, corpus: Corpus, settings: TrainingSettings) -> None:
    """Write `README.md`: what the encoder is, how to use it, and how it was trained."""
    machine_made = corpus.meta.get("machine_made") or []
    notes = (
        f"\nMachine-made training texts, by the source's own word: {', '.join(machine_made)}.\n"
        if machine_made
        else ""
    )
    card = _CARD.format(
        base=base,
        strategy=settings.strategy,
        corpus=corpus.name,
        pairs=corpus.qrels.num_rows,
        count=len(corpus.langs),
        langs=", ".join(f'"{lang}"' for lang in corpus.langs),
        settings="\n".join(f"| {name} | {value} |" for name, value in settings.model_dump().items()),
        notes=notes,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
