"""`xquad-r` and `mlqa-r`'s format: LAReQA's JSON (Roy et al., EMNLP 2020), one SQuAD-style file a language.

Every sentence of every paragraph is a candidate. The relevant sentence of a question is the one whose
[start, end) in `sentence_breaks` holds `answer_start`. Sentences are not aligned beyond that (a paragraph has another
number of sentences in another language), so each sentence is an item of its own with one rendering, and a question is
relevant to one such item a language: exactly the paper's eleven parallel answers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from babelmix.corpus.languages import is_language_tag
from babelmix.corpus.model import Corpus
from babelmix.errors import ReaderError

CANDIDATES = {
    "ar": 1222, "de": 1276, "el": 1234, "en": 1180, "es": 1215, "hi": 1244,
    "ru": 1219, "th": 852, "tr": 1167, "vi": 1209, "zh": 1196,
}  # fmt: skip
"""Candidate sentences per language in XQuAD-R (arXiv 2408.10536, Table 10); 13,014 in all."""
QUESTIONS = 1190
"""Questions per language in XQuAD-R (arXiv 2408.10536, Table 10)."""


def read(path: str | None = None, *, check: bool = True) -> Corpus:
    """Read a folder of LAReQA JSON files named by language.

    Args:
        path: the folder, such as LAReQA's `xquad-r`; a hub name with a slash is downloaded.
        check: hold the counts against the published table. Turn it off for other data in the same format.

    Raises:
        ReaderError: no path was given, a file is malformed, or a count differs from the published one.

    """
    if path is None:
        raise ReaderError("xquad-r needs its folder: write  --corpus xquad-r=PATH  (LAReQA's xquad-r folder)")
    folder = Path(path)
    if not folder.is_dir() and "/" in path and not folder.is_absolute() and not path.startswith("."):
        folder = _download(path)
    if not folder.is_dir():
        raise ReaderError("is not a folder; XQuAD-R is a folder of files such as en.json", file=path)
    files = sorted(file for file in folder.glob("*.json") if is_language_tag(file.stem))
    if not files:
        raise ReaderError("holds no JSON file named by language, such as en.json", file=folder)
    corpus = parse({file.stem: _load(file) for file in files}, {file.stem: str(file) for file in files})
    if check:
        _check_counts(corpus, folder)
    return corpus


def parse(documents: dict[str, Any], files: dict[str, str] | None = None) -> Corpus:
    """Parse LAReQA documents, one a language (a pure function over parsed JSON).

    Args:
        documents: the parsed JSON by language.
        files: what to call each of them in an error.

    Raises:
        ReaderError: a field is missing, sentences and breaks disagree, or an answer lies in no sentence.

    """
    files = files or {lang: f"{lang}.json" for lang in documents}
    queries: list[dict[str, str]] = []
    passages: list[dict[str, str]] = []
    qrels: list[tuple[str, str]] = []
    for lang, document in documents.items():
        number = 0
        seen: set[str] = set()
        for article_number, article in enumerate(_get(document, "data", files[lang], None, list)):
            group = f"article-{article_number:03d}"
            for paragraph in _get(article, "paragraphs", files[lang], None, list):
                number += 1
                sentences = _get(paragraph, "sentences", files[lang], number, list)
                breaks = _get(paragraph, "sentence_breaks", files[lang], number, list)
                if len(sentences) != len(breaks):
                    raise ReaderError(
                        f"paragraph has {len(sentences)} sentences but {len(breaks)} breaks",
                        file=files[lang], row=number, field="sentence_breaks",
                    )  # fmt: skip
                for sentence, span in zip(sentences, breaks, strict=True):
                    if not isinstance(sentence, str) or not (
                        isinstance(span, list) and len(span) == 2 and all(isinstance(end, int) for end in span)
                    ):
                        raise ReaderError(
                            f"a sentence is a text and its break two numbers, not {sentence!r} and {span!r}",
                            file=files[lang], row=number, field="sentence_breaks",
                        )  # fmt: skip
                names = [f"{lang}/{number}/{i}" for i in range(len(sentences))]
                passages += [
                    {"item": name, "lang": lang, "text": text, "group": group}
                    for name, text in zip(names, sentences, strict=True)
                ]
                for question in _get(paragraph, "qas", files[lang], number, list):
                    item = _get(question, "id", files[lang], number, str)
                    if item in seen:
                        raise ReaderError(f"question {item!r} occurs twice", file=files[lang], row=number, field="id")
                    seen.add(item)
                    text = _get(question, "question", files[lang], number, str)
                    queries.append({"item": item, "lang": lang, "text": text, "group": group})
                    answers = _get(question, "answers", files[lang], number, list)
                    start = _get(answers[0] if answers else {}, "answer_start", files[lang], number, int)
                    holders = [i for i, (first, end) in enumerate(breaks) if first <= start < end]
                    if not holders:
                        raise ReaderError(
                            f"the answer of question {item!r} at {start} lies in no sentence",
                            file=files[lang], row=number, field="answer_start",
                        )  # fmt: skip
                    qrels.append((item, names[holders[0]]))
    return Corpus.from_rows(
        queries,
        passages,
        qrels,
        name="xquad-r",
        meta={"source": "LAReQA", "licence": "CC BY-SA 4.0", "unit": "sentence", "evaluation_only": True},
    )


def _get(record: Any, key: str, file: str, row: int | None, kind: type) -> Any:
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, kind):
        found = "missing" if value is None else f"not a {kind.__name__}"
        raise ReaderError(f"{found} in paragraph {row}" if row else found, file=file, row=row, field=key)
    return value


def _load(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ReaderError(f"is not UTF-8 at byte {error.start}", file=file) from error
    except json.JSONDecodeError as error:
        raise ReaderError(f"is not JSON: {error.msg}", file=file, row=error.lineno) from error


def _check_counts(corpus: Corpus, folder: Path) -> None:
    for lang, queries, passages in corpus.counts().iter_rows():
        if lang not in CANDIDATES:
            raise ReaderError(
                f"XQuAD-R has no language {lang!r}; its languages are {', '.join(CANDIDATES)}", file=folder
            )
        if (queries, passages) != (QUESTIONS, CANDIDATES[lang]):
            raise ReaderError(
                f"has {queries} questions and {passages} candidates, but XQuAD-R has {QUESTIONS} and "
                f"{CANDIDATES[lang]} (arXiv 2408.10536, Table 10)",
                file=folder / f"{lang}.json",
            )


def _download(repository: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, repo_type="dataset", allow_patterns=["*.json"]))
    except Exception as error:
        raise ReaderError(
            f"cannot be loaded from the hub ({type(error).__name__}); check the name and the network, or give a folder",
            file=repository,
        ) from error
