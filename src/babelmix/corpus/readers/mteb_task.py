"""`mteb`: a multilingual retrieval task of mteb as one corpus (extra: mteb).

mteb evaluates each subset alone, and does not say which texts are translations of each other. This reader aligns them:

| task | queries | passages |
|---|---|---|
| MLQARetrieval | equal texts in one language are one item; nothing is parallel | the same |
| XQuADRetrieval | an id is one item in all subsets | paragraphs with the same questions are one item |
| others, with `aligned` | an id is one item in all subsets | an id is one item in all subsets |
| others, without `aligned` | nothing is parallel | nothing is parallel |

The ids of MLQA are not aligned: mteb numbered the texts of each subset in the random order of a Python set. But a question has a
subset for each language of its passages, so it has relevant passages in all of them. BelebeleRetrieval is refused, because its
texts are numbered in another order in each language. The reader `belebele` has the real ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import langcodes

from babelmix.corpus.languages import is_language_tag, match_languages
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._mteb_rows import IDS, LINKED, SUBSETS, TEXTS, Collected, Side, Subset
from babelmix.errors import ReaderError, require

PAIRS = ("passage-query", "query-passage")
SELF = {
    "exclude": "a passage that has the query's id is not in its pool, as mteb has it where a task says so, unless it is relevant",
    "keep": "a passage that has the query's id is in its pool",
}
"""How to treat a passage with the id of the query."""


@dataclass(frozen=True)
class Shape:
    """The alignment of the subsets of a task.

    Args:
        queries: how to find the item of a query, see `babelmix.corpus.readers._mteb_rows`.
        passages: how to find the item of a passage.
        pairs: the meaning of the two languages of a subset, one of `PAIRS`. Empty if each subset has one language.

    """

    queries: str
    passages: str
    pairs: str = ""


SHAPES = {
    "MLQARetrieval": Shape(TEXTS, TEXTS, "passage-query"),
    "XQuADRetrieval": Shape(IDS, LINKED),
}
_REFUSED = {
    "BelebeleRetrieval": "its ids in mteb are numbers in order, not the same in all languages; use the reader 'belebele'",
}


def read(
    path: str,
    *,
    split: str = "",
    langs: str | Sequence[str] | None = None,
    aligned: bool = False,
    pairs: str = "",
    self: str = "",
) -> Corpus:
    """Load a task with mteb, and make a corpus of it.

    Args:
        path: the name of the task, such as `MLQARetrieval`.
        split: a split of the task; by default `test`, or the first one if there is no `test`.
        langs: the languages to load, as ranges of BCP 47 tags. A subset is loaded if all of its languages are selected. By
            default all.
        aligned: see `corpus_of_task`.
        pairs: see `corpus_of_task`.
        self: see `corpus_of_task`.

    Raises:
        ReaderError: there is no such task, it is no retrieval task, or its data cannot be loaded.
        MissingExtraError: mteb is not installed.

    """
    mteb = require("mteb", "mteb", "Reading an mteb task")
    _refuse(path)
    try:
        task = mteb.get_task(path)
    except KeyError as error:
        hint = str(error.args[0]).rpartition("Did you mean: ")[2] if "Did you mean" in str(error) else ""
        raise ReaderError(f"mteb has no task {path!r}{f'; did you mean {hint}' if hint else ''}") from error
    if langs is not None and isinstance(task.metadata.eval_langs, dict):
        there = sorted({language_tag(code) for code in task.metadata.bcp47_codes})
        wanted = set(match_languages(langs, there, path, ReaderError))
        subsets = [s for s, codes in task.metadata.eval_langs.items() if {language_tag(c) for c in codes} <= wanted]
        if not subsets:
            raise ReaderError(
                f"{path} has no subset in {', '.join(sorted(wanted))} alone; its languages are {', '.join(there)}"
            )
        task.hf_subsets = subsets
    return corpus_of_task(task, split=split, aligned=aligned, pairs=pairs, self=self)


def corpus_of_task(task: Any, *, split: str = "", aligned: bool = False, pairs: str = "", self: str = "") -> Corpus:
    """Make a corpus of an mteb retrieval task.

    Args:
        task: an instance of `AbsTaskRetrieval`, with or without loaded data. The subsets in `task.hf_subsets` are used.
        split: a split of the task; by default `test`, or the first one if there is no `test`.
        aligned: an id is one item in all subsets, for queries and for passages. mteb does not say whether this is so: look at the
            ids first.
        pairs: the meaning of the two languages of a subset: `passage-query` or `query-passage`.
        self: `exclude` removes a passage from the pool of the query with the same id, unless it is judged relevant. `keep` keeps
            it. By default the task decides (`ignore_identical_ids`).

    Returns:
        The corpus.

    Raises:
        ReaderError: the task is no retrieval task of texts, its data cannot be loaded, its ids are not aligned, or `pairs` is
            needed and missing.
        MissingExtraError: mteb is not installed.

    """
    retrieval = require("mteb.abstasks.retrieval", "mteb", "Reading an mteb task").AbsTaskRetrieval
    name = task.metadata.name
    if not isinstance(task, retrieval):
        raise ReaderError(f"the mteb task {name} is of type {task.metadata.type}; only retrieval tasks are corpora")
    _refuse(name)
    if pairs and pairs not in PAIRS:
        raise ReaderError(f"pairs is {' or '.join(PAIRS)}, not {pairs!r}")
    if self not in ("", *SELF):
        raise ReaderError(f"the option self is {' or '.join(SELF)}, not {self!r}")
    exclude = self == "exclude" if self else bool(getattr(task, "ignore_identical_ids", False))
    splits = list(task.eval_splits)
    if split and split not in splits:
        raise ReaderError(f"{name} has no split {split!r}; it has {', '.join(splits)}")
    split = split or ("test" if "test" in splits else splits[0])
    if not task.data_loaded:
        _load(task, split)
    task.convert_v1_dataset_format_to_v2(num_proc=None)
    languages = {subset: task.metadata.hf_subsets_to_langscripts[subset] for subset in task.hf_subsets}
    about = {"source": f"mteb {name}", "licence": task.metadata.license, "revision": task.metadata.revision}
    missing = [subset for subset in task.hf_subsets if split not in task.dataset.get(subset, {})]
    if missing:
        raise ReaderError(f"{name}, subset {missing[0]}: mteb loaded no split {split!r}")
    data = {subset: task.dataset[subset][split] for subset in task.hf_subsets}
    shape = SHAPES.get(name) or _shape(languages, aligned, pairs, name)
    return parse(data, languages, shape, name=name, meta={**about, "split": split}, exclude_own=exclude)


def parse(
    data: Mapping[str, Mapping[str, Any]],
    languages: Mapping[str, Sequence[str]],
    shape: Shape,
    *,
    name: str,
    meta: Mapping[str, Any] | None = None,
    exclude_own: bool = False,
) -> Corpus:
    """Make a corpus of data that mteb loaded (a pure function).

    `meta["left_out"]` counts queries and passages without a text, and judgements of missing queries or passages. Queries and
    passages that qrels connect are one group.

    Args:
        data: for each subset, mteb's `corpus` and `queries` (columns `id`, `text`, and optionally `title` and `instruction`) and
            `relevant_docs` (query id to document id to score). A score of 0 or less is not relevant; others are grades.
        languages: the codes of each subset, such as `deu-Latn`.
        shape: the alignment of the subsets.
        name: the name of the corpus.
        meta: facts about the source.
        exclude_own: remove a passage from the pool of the query with the same id.

    Raises:
        ReaderError: see `corpus_of_task`.

    """
    subsets = []
    for subset, parts in data.items():
        passage_lang, query_lang = _sides(subset, languages[subset], shape, name)
        where = f"{name}, subset {subset}"
        subsets.append(
            Subset(
                subset,
                Side.of(parts["queries"], query_lang, "queries", where),
                Side.of(parts["corpus"], passage_lang, "corpus", where),
                parts["relevant_docs"],
            )
        )
    rows = Collected(subsets, shape.queries, shape.passages, name, exclude_own=exclude_own)
    if not rows.qrels:
        raise ReaderError(f"{name} holds no relevant pair of texts")
    facts = {**(meta or {}), "evaluation_only": True, **rows.left_out.facts()}
    if rows.excluded:
        facts["protocol"] = {"self": SELF["exclude"]}
    return Corpus.from_rows(rows.queries, rows.passages, rows.qrels, name=name, meta=facts, excluded=rows.excluded)


def language_tag(code: str) -> str:
    """The BCP 47 tag of a language code of mteb. The usual script of a language is left out.

    Raises:
        ReaderError: the code is no language.

    Examples:
        >>> language_tag("arb-Arab"), language_tag("zho-Hant"), language_tag("hin-Latn")
        ('ar', 'zh-Hant', 'hi-Latn')

    """
    try:
        language = langcodes.Language.get(code).prefer_macrolanguage()
        bare = langcodes.Language.make(language=language.language)
        tag = bare.to_tag() if bare.maximize().script == language.script else language.to_tag()
    except ValueError:
        tag = ""
    if not is_language_tag(tag):
        raise ReaderError(f"mteb's language {code!r} is not one that BCP 47 knows")
    return tag


def _refuse(name: str) -> None:
    if name in _REFUSED:
        raise ReaderError(f"{name}: {_REFUSED[name]}")


def _load(task: Any, split: str) -> None:
    task.filter_eval_splits([split])
    try:
        task.load_data()
    except Exception as error:  # the hub, datasets and mteb's own loaders raise many unrelated types
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ReaderError(
            f"the data of the mteb task {task.metadata.name} cannot be loaded ({type(error).__name__}: {first}); check the "
            "network"
        ) from error


def _shape(languages: Mapping[str, Sequence[str]], aligned: bool, pairs: str, name: str) -> Shape:
    """The alignment of an unknown task. If a language occurs in several subsets, equal texts in it are one item."""
    if aligned:
        return Shape(IDS, IDS, pairs)
    sides = [_sides(subset, codes, Shape(SUBSETS, SUBSETS, pairs), name) for subset, codes in languages.items()]
    passages, queries = (SUBSETS if len(set(side)) == len(side) else TEXTS for side in zip(*sides, strict=True))
    return Shape(queries, passages, pairs)


def _sides(subset: str, codes: Sequence[str], shape: Shape, name: str) -> tuple[str, str]:
    """The language of the passages, and that of the queries, of a subset."""
    tags = [language_tag(code) for code in codes]
    if len(set(tags)) == 1:
        return tags[0], tags[0]
    if len(tags) != 2:
        raise ReaderError(
            f"{name}, subset {subset}: has the languages {', '.join(codes)}, but mteb does not say which texts have which"
        )
    if shape.pairs not in PAIRS:
        raise ReaderError(
            f"{name}, subset {subset}: has two languages, and mteb does not say which is the queries'; pass pairs= "
            f"{' or '.join(PAIRS)}"
        )
    passage, query = tags if shape.pairs == "passage-query" else reversed(tags)
    return passage, query
