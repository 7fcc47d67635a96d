"""`mlqa`: MLQA (Lewis et al., ACL 2020), questions on Wikipedia paragraphs in 7 languages, each in 4 of them on average.

The source is a folder with MLQA's own files, `SPLIT-context-LANG-question-LANG.json` in SQuAD's format, or `facebook/mlqa` on the
Hugging Face hub. The query is the question, and a passage is a whole paragraph. A question has the same id in all its languages,
and its paragraph in each of them is relevant. Paragraphs are not translations of each other, so each one is an item. Articles
that share a question are one group.

With `pool=shift` the corpus is SHIFT's pool MLQA-7 (arXiv 2606.18801), with the peculiarities of its code: `first_language`, and
with the queries of one language also `paired` and `merge`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._paragraphs import ParagraphPool, is_shift, pick_queries
from babelmix.corpus.readers._records import get_field, json_document
from babelmix.corpus.readers._sources import ask_hub, is_hub_name, pick_langs, source_folder
from babelmix.corpus.readers._squad import squad_rows
from babelmix.errors import ReaderError

LANGS = ("ar", "de", "en", "es", "hi", "vi", "zh")
SPLITS = {"test": "test", "dev": "validation"}
"""The names of the splits on the hub, by their names in MLQA's files."""

_FILE = re.compile(r"(?P<split>test|dev)-context-(?P<passage>[a-z]{2})-question-(?P<query>[a-z]{2})\.json")

Pair = tuple[str, str]
"""The language of the paragraphs, and the language of the questions."""


def read(
    path: str,
    *,
    split: str = "test",
    langs: Sequence[str] | None = None,
    queries: Sequence[str] | None = None,
    pool: str = "",
    first_language: bool = False,
    paired: bool = False,
    merge: bool = False,
) -> Corpus:
    """Read MLQA.

    Args:
        path: the folder, such as `MLQA_V1` or its `test`, or `facebook/mlqa` on the Hugging Face hub.
        split: `test` or `dev`.
        langs: the languages to read; by default all.
        queries: the languages whose queries are read, such as `en`; by default all.
        pool: `shift` reads SHIFT's pool: `first_language`, and for one language of queries also `paired` and `merge`.
        first_language: a paragraph that occurs in several languages is one passage, in the language that comes first.
        paired: read only the files whose questions are in one of the languages of `queries`. So the pool has no paragraphs
            without a question in these languages.
        merge: questions with the same text are one query, with the paragraphs of all of them. It needs one language of queries.

    Raises:
        ReaderError: there is no such folder, split or language, or a file is missing or malformed.

    """
    if split not in SPLITS:
        raise ReaderError(f"the option split is {' or '.join(SPLITS)}, not {split!r}", file=path)
    shift = is_shift(pool, path)
    hub = is_hub_name(path)
    files = {} if hub else _files(path, split)
    there = LANGS if hub else [lang for lang in LANGS if (lang, lang) in files]
    if not there:
        raise ReaderError(f"holds no file such as {split}-context-en-question-en.json", file=path)
    picked = pick_langs(langs, there, path)
    asked = pick_queries(queries, picked, path)
    one = len(asked) == 1
    if merge and not one:
        raise ReaderError("the option merge needs the queries of one language, as in queries=en", file=path)
    paired, merge = paired or (shift and one), merge or (shift and one)
    # A question has the same text whatever the language of the paragraph: without `paired`, the files of one language suffice.
    wanted = [(p, q) for p in picked for q in picked if (q in asked if paired else p == q)]
    rows: dict[Pair, Iterable[tuple[int, Mapping[str, Any]]]] = {}
    for pair in wanted:
        if hub:
            rows[pair] = enumerate(_from_hub(path, pair, split), 1)
        elif pair in files:
            rows[pair] = squad_rows(json_document(files[pair]), files[pair])
        else:
            name = f"{split}-context-{pair[0]}-question-{pair[1]}.json"
            raise ReaderError(f"is missing: {name}", file=path)
    sources = {pair: str(files.get(pair, f"{path}/mlqa.{pair[0]}.{pair[1]}")) for pair in wanted}
    quirks = {"first_language": first_language or shift, "paired": paired, "merge": merge}
    corpus = parse(rows, sources, queries=asked, first_language=quirks["first_language"], merge=merge, file=path)
    return corpus.named(corpus.name, split=split, **quirks, **({"pool": pool} if shift else {}))


def parse(
    rows: Mapping[Pair, Iterable[tuple[int, Mapping[str, Any]]]],
    files: Mapping[Pair, str],
    *,
    queries: Sequence[str],
    first_language: bool = False,
    merge: bool = False,
    file: str = "mlqa",
) -> Corpus:
    """Turn questions into a corpus (a pure function).

    Args:
        rows: the rows of each pair of languages, with their numbers. They have `id`, `question`, `context` and perhaps `title`.
        files: the name of each pair's source in errors.
        queries: the languages whose queries are read.
        first_language: see `read`.
        merge: see `read`.
        file: the name of the whole source in errors.

    Raises:
        ReaderError: a field is missing, an id occurs twice in a file, or has two texts in one language.

    """
    pool = ParagraphPool(first_language=first_language)
    texts: dict[tuple[str, str], str] = {}
    merged: dict[str, str] = {}
    answers: list[tuple[str, str, str, str]] = []
    for (lang, asked_in), questions in rows.items():
        source = files[lang, asked_in]
        seen: set[str] = set()
        for number, row in questions:
            item, question, context = (_text(row, key, source, number) for key in ("id", "question", "context"))
            if item in seen:
                raise ReaderError(f"{item!r} occurs twice", file=source, row=number, field="id")
            seen.add(item)
            if texts.setdefault((item, asked_in), question) != question:
                raise ReaderError(
                    f"{item!r} has another text than with the paragraphs of another language",
                    file=source, row=number, field="question",
                )  # fmt: skip
            title = row.get("title")
            # The hub's rows have no title.
            article = f"{lang}/{title if isinstance(title, str) and title.strip() else context}"
            answers.append((item, lang, context, article))
            if asked_in in queries:
                name = merged.setdefault(item, f"{asked_in}/{question.strip()}") if merge else item
                pool.ask(name, asked_in, question, article)
    for item, lang, context, article in answers:
        pool.add(merged.get(item, item), lang, context, article)
    meta = {"source": "MLQA", "licence": "CC BY-SA 3.0", "unit": "paragraph", "evaluation_only": True}
    return pool.corpus(joined=False, name="mlqa", meta=meta, file=file)


def _text(row: Any, key: str, file: str, number: int) -> str:
    text: str = get_field(dict(row), key, str, file=file, row=number)
    if not text.strip():
        raise ReaderError("is empty", file=file, row=number, field=key)
    return text


def _files(path: str, split: str) -> dict[Pair, Path]:
    """The files of a split, by their languages. They may be in a folder below."""
    folder = source_folder(path, [], "MLQA is a folder of files such as test-context-en-question-en.json")
    found: dict[Pair, Path] = {}
    for file in sorted(folder.rglob("*.json")):
        match = _FILE.fullmatch(file.name)
        if match is None or match["split"] != split:
            continue
        pair = match["passage"], match["query"]
        if pair in found:
            raise ReaderError(f"is there twice, also as {found[pair]}; remove one of them", file=file)
        found[pair] = file
    return found


def _from_hub(path: str, pair: Pair, split: str) -> Any:
    from datasets import load_dataset

    name = f"mlqa.{pair[0]}.{pair[1]}"

    def load() -> Any:
        try:
            return load_dataset(path, name, split=SPLITS[split])
        except RuntimeError:
            # The repository has a script, which `datasets` no longer runs; the hub keeps its rows as Parquet.
            return load_dataset(path, name, split=SPLITS[split], revision="refs/convert/parquet")

    return ask_hub(path, load)
