"""`squadshifts`: SQuADShifts (Miller et al., ICML 2020), English questions on paragraphs of four new domains.

The source is a folder of SQuAD JSON files whose names begin with `new_wiki`, `nyt`, `reddit` or `amazon`, or a Hugging Face
data set with these configurations. The query is the question, and the passage is its paragraph. Equal paragraphs are one item.
The group is the article if it has a title, else the paragraph. The hybrid-batch paper uses these data for early stopping.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._building import SideBuilder, corpus_from_tables
from babelmix.corpus.readers._records import get_text, json_document
from babelmix.corpus.readers._sources import ask_hub, is_hub_name, source_folder
from babelmix.corpus.readers._squad import squad_rows
from babelmix.errors import ReaderError

DOMAINS = ("new_wiki", "nyt", "reddit", "amazon")


def read(path: str) -> Corpus:
    """Read all domains of SQuADShifts that the source has.

    Args:
        path: the folder, or a Hugging Face data set such as `ludwigschmidt/squadshifts`.

    Raises:
        ReaderError: there is no such folder, or a file is malformed.

    """
    if is_hub_name(path):
        from datasets import load_dataset

        hub = {domain: ask_hub(path, partial(load_dataset, path, domain, split="test")) for domain in DOMAINS}
        rows = {domain: enumerate(dataset, 1) for domain, dataset in hub.items()}
        return parse(rows, {domain: f"{path}/{domain}" for domain in DOMAINS}, file=path)
    folder = source_folder(path, [], "SQuADShifts is a folder of files such as nyt_v1.0.json")
    files: dict[str, str] = {}
    for file in sorted(folder.glob("*.json")):
        domain = next((domain for domain in DOMAINS if file.stem.startswith(domain)), None)
        if domain is None:
            continue
        if domain in files:
            raise ReaderError(
                f"has the domain {domain}, and so has {Path(files[domain]).name}; remove one of them", file=file
            )
        files[domain] = str(file)
    if not files:
        raise ReaderError(f"holds no JSON file of {', '.join(DOMAINS)}, such as nyt_v1.0.json", file=folder)
    documents = {domain: squad_rows(json_document(Path(file)), file) for domain, file in files.items()}
    return parse(documents, files, file=path)


def parse(
    rows: Mapping[str, Iterable[tuple[int, Mapping[str, Any]]]], files: Mapping[str, str], *, file: str = "squadshifts"
) -> Corpus:
    """Turn questions into a corpus (a pure function).

    Args:
        rows: the rows of each domain, with their numbers. They have `id`, `question`, `context` and optionally `title`.
        files: the name of each domain's source in errors.
        file: the name of the whole source in errors.

    Raises:
        ReaderError: a field is missing, or an id occurs twice.

    """
    queries, passages = SideBuilder(), SideBuilder()
    qrels: dict[tuple[str, str], int] = {}
    for domain, questions in rows.items():
        seen: set[str] = set()
        contexts: dict[str, tuple[str, str]] = {}
        for number, row in questions:
            name, question, context = (
                get_text(row, key, file=files[domain], row=number) for key in ("id", "question", "context")
            )
            if name in seen:
                raise ReaderError(f"{name!r} occurs twice", file=files[domain], row=number, field="id")
            seen.add(name)
            if context not in contexts:
                item = f"{domain}/paragraph-{len(contexts) + 1}"
                title = row.get("title")
                group = f"{domain}/{title.strip()}" if isinstance(title, str) and title.strip() else item
                contexts[context] = item, group
                passages.add(item, "en", context, group)
            item, group = contexts[context]
            queries.add(f"{domain}/{name}", "en", question, group)
            qrels[f"{domain}/{name}", item] = 1
    meta = {"source": "SQuADShifts", "licence": "CC BY 4.0", "domains": list(rows), "evaluation_only": True}
    return corpus_from_tables(queries.table(), passages.table(), qrels, [], name="squadshifts", meta=meta, file=file)
