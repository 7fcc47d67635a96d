"""`mr-tydi`: Mr. TyDi (Zhang et al., MRL 2021), questions and Wikipedia passages in 11 languages, none parallel.

The source is a folder, or `castorini/mr-tydi` on the Hugging Face hub, with `mrtydi-v1.1-LANGUAGE/SPLIT.jsonl.gz`. A record has a
query, its relevant passages, and hard negatives, which are unjudged passages that BM25 found. dev and test have no
negatives. The corpus has only the passages of the records, not the whole Wikipedia on which Mr. TyDi is scored. An item is
`LANG/ID`. The text of a passage is its title, a space and its text. The group of a passage is its article, and that of a query
is the group of its first relevant passage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._building import SideBuilder, corpus_from_tables
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._records import get_field, get_text, json_lines, text_lines
from babelmix.corpus.readers._sources import is_hub_name, pick_langs, source_folder
from babelmix.corpus.readers._wikipedia import article_of, passage_text
from babelmix.errors import ReaderError

LANGUAGES = {
    "ar": "arabic", "bn": "bengali", "en": "english", "fi": "finnish", "id": "indonesian", "ja": "japanese",
    "ko": "korean", "ru": "russian", "sw": "swahili", "te": "telugu", "th": "thai",
}  # fmt: skip
"""The names of the languages in Mr. TyDi's files."""
SPLITS = ("train", "dev", "test")


def read(path: str, *, langs: str | Sequence[str] | None = None, split: str = "train", negatives: int = 1) -> Corpus:
    """Read Mr. TyDi.

    Args:
        path: the folder, or `castorini/mr-tydi` on the Hugging Face hub.
        langs: the languages to read; by default all.
        split: `train`, `dev` or `test`. The last two are for evaluation only.
        negatives: the number of hard negatives of each query, in the order of the source; 0 for none.

    Raises:
        ReaderError: a file is missing, damaged or malformed.

    """
    if split not in SPLITS:
        raise ReaderError(f"there is no split {split!r}; there are {', '.join(SPLITS)}", file=path)
    if is_hub_name(path):
        picked = pick_langs(langs, list(LANGUAGES), path)
        folder = source_folder(path, [_file(lang, split) for lang in picked], "")
    else:
        folder = source_folder(path, [], "Mr. TyDi is a folder that holds mrtydi-v1.1-english and others")
        available = [lang for lang in LANGUAGES if (folder / _file(lang, split)).is_file()]
        if not available:
            raise ReaderError(f"holds no file such as {_file('en', split)}", file=folder)
        picked = pick_langs(langs, available, path)
    files = {lang: folder / _file(lang, split) for lang in picked}
    records = {lang: json_lines(text_lines(file), file) for lang, file in files.items()}
    return parse(records, files, split=split, negatives=negatives, file=path)


def _file(lang: str, split: str) -> str:
    return f"mrtydi-v1.1-{LANGUAGES[lang]}/{split}.jsonl.gz"


def parse(
    records: Mapping[str, Iterable[tuple[int, dict[str, Any]]]],
    files: Mapping[str, Path],
    *,
    split: str = "train",
    negatives: int = 1,
    file: str = "mr-tydi",
) -> Corpus:
    """Turn records into a corpus (a pure function).

    Args:
        records: the records of each language, with their row numbers.
        files: the name of each language's source in errors.
        split: the name of the split.
        negatives: see `read`.
        file: the name of the whole source in errors.

    Raises:
        ReaderError: a field is missing, an id is repeated, or a passage has two texts.

    """
    queries = SideBuilder()
    pool = _Passages()
    qrels: dict[tuple[str, str], int] = {}
    not_relevant: list[tuple[str, str]] = []
    left_out = LeftOut()
    for lang, rows in records.items():
        seen: set[str] = set()
        for number, record in rows:
            query = get_text(record, "query_id", file=files[lang], row=number)
            if query in seen:
                raise ReaderError(f"{query!r} occurs twice", file=files[lang], row=number, field="query_id")
            seen.add(query)
            item = f"{lang}/{query}"
            text = get_text(record, "query", file=files[lang], row=number)
            found = get_field(record, "positive_passages", list, file=files[lang], row=number)
            named = (pool.add(passage, lang, files[lang], number) for passage in found)
            positives = dict.fromkeys(name for name in named if name)
            left_out.add("empty relevant passages", f"{lang}: {query!r}", len(found) - len(positives))
            if not positives:
                left_out.add("queries without a relevant passage", f"{lang}: {query!r}")
                continue
            queries.add(item, lang, text, pool.group(next(iter(positives))))
            qrels |= {(item, passage): 1 for passage in positives}
            kept: dict[str, None] = {}
            for passage in get_field(record, "negative_passages", list, file=files[lang], row=number):
                if len(kept) >= negatives:
                    break
                name = pool.add(passage, lang, files[lang], number)
                if not name or name in positives:
                    what = "negatives that are relevant" if name else "empty negatives"
                    left_out.add(what, f"{lang}: {query!r}")
                    continue
                kept[name] = None
            not_relevant += [(item, passage) for passage in kept]
    meta = {
        "source": "Mr. TyDi v1.1", "licence": "Apache-2.0", "split": split, "passage": "title and text",
        "evaluation_only": split != "train", **left_out.facts(),
    }  # fmt: skip
    return corpus_from_tables(
        queries.table(), pool.rows.table(), qrels, not_relevant, name=f"mr-tydi/{split}", meta=meta, file=file
    )


class _Passages:
    """The passages of all records, without repeats."""

    def __init__(self) -> None:
        self.rows = SideBuilder()
        self._seen: dict[str, tuple[str, str]] = {}

    def add(self, record: Any, lang: str, file: Path, number: int) -> str:
        """The item of a passage, empty if it has no text."""
        docid = get_text(record, "docid", file=file, row=number)
        text = passage_text(record, file=file, row=number)
        if not text:
            return ""
        item, group = f"{lang}/{docid}", article_of(lang, docid)
        if item not in self._seen:
            self._seen[item] = text, group
            self.rows.add(item, lang, text, group)
        elif self._seen[item][0] != text:
            raise ReaderError(f"passage {docid!r} has another text here than before", file=file, row=number)
        return item

    def group(self, item: str) -> str:
        return self._seen[item][1]
