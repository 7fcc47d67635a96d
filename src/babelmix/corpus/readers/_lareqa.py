"""The JSON format of LAReQA (Roy et al., EMNLP 2020), read by `xquad-r` and `mlqa-r`: a SQuAD-style file for each language.

Every sentence of every paragraph is a candidate passage. The relevant sentence of a question is the one whose range [start,
end) in `sentence_breaks` contains `answer_start`. Sentences are not aligned, because a paragraph has different numbers of
sentences in different languages. So each sentence is an item with one row. A question has the same id in all its languages, and
one relevant sentence in each of them. These are the parallel answers of the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from babelmix._components import components
from babelmix.corpus.languages import is_language_tag
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._records import get_field, is_unicode, json_document
from babelmix.corpus.readers._sources import source_folder
from babelmix.errors import ReaderError

Counts = Mapping[str, tuple[int, int]]
"""The number of questions and of candidate sentences in each language."""


def files_of_folder(path: str, title: str) -> dict[str, Path]:
    """LAReQA's JSON files by language.

    Args:
        path: the folder, or the name of a Hugging Face data set with these files.
        title: the published name of the data set.

    Raises:
        ReaderError: there is no such folder, or it has no such file.

    """
    folder = source_folder(path, ["*.json"], f"{title} is a folder of files such as en.json")
    files = {file.stem: file for file in sorted(folder.glob("*.json")) if is_language_tag(file.stem)}
    if not files:
        raise ReaderError("holds no JSON file named by language, such as en.json", file=folder)
    return files


def read_sentences(
    files: Mapping[str, Path], title: str, counts: Counts | None, *, queries: Sequence[str], name: str, licence: str
) -> Corpus:
    """Read LAReQA's files, with sentences as passages.

    Args:
        files: the file of each language.
        title: the published name of the data set.
        counts: the published counts. None skips the comparison.
        queries: the languages whose queries are read.
        name: the name of the corpus.
        licence: the licence of the data.

    Raises:
        ReaderError: a file is malformed, or a count differs from the published one.

    """
    documents = {lang: json_document(file) for lang, file in files.items()}
    sources = {lang: str(file) for lang, file in files.items()}
    corpus = parse(documents, sources, queries=queries, name=name, licence=licence)
    if counts is not None:
        check_counts(corpus, title, counts, files, "candidates", queries)
    return corpus


def parse(
    documents: Mapping[str, Any],
    files: Mapping[str, str] | None = None,
    *,
    queries: Sequence[str] | None = None,
    name: str = "lareqa",
    licence: str = "unknown",
) -> Corpus:
    """Turn LAReQA documents into a corpus (a pure function).

    Args:
        documents: the parsed JSON of each language.
        files: the name of each language's source in errors.
        queries: the languages whose queries are read; by default all.
        name: the name of the corpus.
        licence: the licence of the data.

    Raises:
        ReaderError: a field is missing, sentences and breaks disagree, or an answer lies in no sentence.

    """
    files = files or {lang: f"{lang}.json" for lang in documents}
    asked: list[dict[str, str]] = []
    passages: list[dict[str, str]] = []
    qrels: list[tuple[str, str]] = []
    articles: list[str] = []
    first_article: dict[str, str] = {}
    edges: list[tuple[str, str]] = []
    for lang, document in documents.items():
        number = 0
        seen: set[str] = set()
        for article_number, article in enumerate(get_field(document, "data", list, file=files[lang], row=None)):
            group = f"{lang}/{article_number}"
            articles.append(group)
            for paragraph in get_field(article, "paragraphs", list, file=files[lang], row=None):
                number += 1
                names, breaks = _add_sentences(paragraph, lang, number, group, files[lang], passages)
                for question in _get(paragraph, "qas", list, files[lang], number):
                    item = _get(question, "id", str, files[lang], number)
                    if item in seen:
                        raise ReaderError(f"question {item!r} occurs twice", file=files[lang], row=number, field="id")
                    seen.add(item)
                    text = _get(question, "question", str, files[lang], number)
                    if queries is None or lang in queries:
                        asked.append({"item": item, "lang": lang, "text": text, "group": group})
                    edges.append((group, first_article.setdefault(item, group)))
                    holder = _holder(question, item, breaks, files[lang], number)
                    qrels.append((item, names[holder]))
    names_of_articles = _article_names(articles, edges)
    for row in (*asked, *passages):
        row["group"] = names_of_articles[row["group"]]
    items = {row["item"] for row in asked}
    judged = [pair for pair in qrels if pair[0] in items]
    meta = {"source": "LAReQA", "licence": licence, "unit": "sentence", "evaluation_only": True}
    return Corpus.from_rows(asked, passages, judged, name=name, meta=meta)


def _add_sentences(
    paragraph: Any, lang: str, number: int, group: str, file: str, passages: list[dict[str, str]]
) -> tuple[list[str], list[list[int]]]:
    sentences = _get(paragraph, "sentences", list, file, number)
    breaks = _get(paragraph, "sentence_breaks", list, file, number)
    if len(sentences) != len(breaks):
        raise ReaderError(
            f"paragraph has {len(sentences)} sentences but {len(breaks)} breaks",
            file=file, row=number, field="sentence_breaks",
        )  # fmt: skip
    for sentence, span in zip(sentences, breaks, strict=True):
        if not (isinstance(sentence, str) and is_unicode(sentence)) or not (
            isinstance(span, list) and len(span) == 2 and all(isinstance(end, int) for end in span)
        ):
            raise ReaderError(
                f"a sentence is a text and its break two numbers, not {sentence!r} and {span!r}",
                file=file, row=number, field="sentence_breaks",
            )  # fmt: skip
    names = [f"{lang}/{number}/{i}" for i in range(len(sentences))]
    passages += [
        {"item": name, "lang": lang, "text": text, "group": group} for name, text in zip(names, sentences, strict=True)
    ]
    return names, breaks


def _holder(question: Any, item: str, breaks: list[list[int]], file: str, number: int) -> int:
    answers = _get(question, "answers", list, file, number)
    start = _get(answers[0] if answers else {}, "answer_start", int, file, number)
    holders = [i for i, (first, end) in enumerate(breaks) if first <= start < end]
    if not holders:
        raise ReaderError(
            f"the answer of question {item!r} at {start} lies in no sentence",
            file=file, row=number, field="answer_start",
        )  # fmt: skip
    return holders[0]


def _get(record: Any, key: str, kind: type, file: str, number: int) -> Any:
    return get_field(record, key, kind, file=file, row=number, unit="paragraph")


def _article_names(articles: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Name articles of several languages by number. Articles that share a question have one name.

    In XQuAD-R an article has the same place in every file. In MLQA-R only the questions tell which articles are translations.

    Args:
        articles: the article of each language, in the order of the files.
        edges: pairs of articles that share a question.

    """
    number = {article: i for i, article in enumerate(articles)}
    labels = components([number[a] for a, _ in edges], [number[b] for _, b in edges], len(articles))
    return {article: f"article-{label:03d}" for article, label in zip(articles, labels.tolist(), strict=True)}


def check_counts(
    corpus: Corpus, title: str, published: Counts, files: Mapping[str, Path], what: str, queries: Sequence[str]
) -> None:
    """Compare the numbers of questions and passages with the published ones.

    Args:
        corpus: the corpus.
        title: the published name of the data set.
        published: the published counts by language.
        files: the file of each language.
        what: what the passages are, for errors.
        queries: the languages whose queries were read.

    Raises:
        ReaderError: a language is unknown, or a count differs.

    """
    for lang, *found in corpus.counts().iter_rows():
        if lang not in published:
            raise ReaderError(
                f"{title} has no language {lang!r}; its languages are {', '.join(published)}", file=files[lang].parent
            )
        questions, candidates = published[lang]
        if found != [questions if lang in queries else 0, candidates]:
            raise ReaderError(
                f"has {found[0]} questions and {found[1]} {what}, but {title} has {questions} and {candidates} "
                "(arXiv 2408.10536, Table 10)",
                file=files[lang],
            )
