"""The three settings of a corpus as retrieval tasks for `mteb.evaluate`.

| setting | subsets | pool of a subset |
|---|---|---|
| mono | `LANG` | passages of the queries' language |
| cross | `QUERY-PASSAGE` | passages of one other language |
| multi | `LANG` of the queries | the passages of all languages, the same for each subset |
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.languages import check_language_code

from babelmix._lists import as_list
from babelmix.corpus import Corpus
from babelmix.errors import AuditError, ConfigError
from babelmix.evaluation.measure_info import SETTINGS
from babelmix.evaluation.mteb.names import CUTOFF, K_VALUES, SHARE_AT, SPLIT, subset_codes, subset_name, task_name
from babelmix.evaluation.ranks import relevant_pairs

if TYPE_CHECKING:
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData

_WORDS = {
    "mono": "queries look for passages in their own language",
    "cross": "queries look for passages in one other language; a subset is QUERY-PASSAGE",
    "multi": "queries look for passages in one pool of all languages; a subset is the queries' language",
}


class CorpusData:
    """A corpus in mteb's format, built once for all of its tasks."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.query_lang = np.array(corpus.queries["lang"].to_pylist(), dtype=object)
        self.passage_lang = np.array(corpus.passages["lang"].to_pylist(), dtype=object)
        self.query, self.passage, self.grade = relevant_pairs(corpus)
        self._documents: dict[str | None, Dataset] = {}

    @cached_property
    def document_ids(self) -> list[str]:
        """Ids that descend with the row: of equal scores, mteb ranks the greater id first, and an audit the earlier row."""
        rows = self.corpus.passages
        last, items = rows.num_rows - 1, rows["item"].to_pylist()
        width = len(str(last))
        return [
            f"{last - i:0{width}d} {lang} {item}"
            for i, (lang, item) in enumerate(zip(self.passage_lang, items, strict=True))
        ]

    @cached_property
    def lang_of_document(self) -> dict[str, str]:
        """The language of each document id."""
        return dict(zip(self.document_ids, self.passage_lang.tolist(), strict=True))

    def documents(self, lang: str | None) -> Dataset:
        """The pool of a language, or of all: columns `id` and `text`."""
        if lang not in self._documents:
            texts = self.corpus.passages["text"].to_pylist()
            rows = range(len(texts)) if lang is None else np.flatnonzero(self.passage_lang == lang)
            ids = self.document_ids
            self._documents[lang] = Dataset.from_dict({"id": [ids[i] for i in rows], "text": [texts[i] for i in rows]})
        return self._documents[lang]

    def subsets(self, setting: str) -> list[tuple[str, str | None]]:
        """The query language and the passage language (None: all) of each subset with a relevant passage."""
        found = {
            (self.query_lang[q], None if setting == "multi" else self.passage_lang[p])
            for q, p in zip(self.query, self.passage, strict=True)
        }
        return sorted(
            (q, p) for q, p in found if setting == "multi" or (setting == "mono") == (q == p)
        )  # fmt: skip

    def split(self, query_lang: str, passage_lang: str | None) -> RetrievalSplitData:
        """The data of a subset for mteb, without queries that have no relevant passage in the pool."""
        here = self.query_lang[self.query] == query_lang
        if passage_lang is not None:
            here &= self.passage_lang[self.passage] == passage_lang
        items, texts = (self.corpus.queries[name] for name in ("item", "text"))
        relevant: dict[str, dict[str, int]] = {}
        rows: dict[int, str] = {}
        for q, p, grade in zip(self.query[here], self.passage[here], self.grade[here], strict=True):
            name = rows.setdefault(int(q), f"{q} {query_lang} {items[int(q)].as_py()}")
            relevant.setdefault(name, {})[self.document_ids[p]] = int(grade)
        queries = Dataset.from_dict({"id": list(rows.values()), "text": [texts[q].as_py() for q in rows]})
        return {
            "corpus": self.documents(passage_lang),
            "queries": queries,
            "relevant_docs": relevant,
            "top_ranked": None,
        }


class CorpusTask(AbsTaskRetrieval):
    """A setting of a corpus as a task; made by `mteb_tasks`.

    Args:
        data: the corpus.
        setting: `mono`, `cross` or `multi`.
        cutoff: how many answers are kept per query.

    """

    metadata: ClassVar[TaskMetadata]  # type: ignore[misc]

    def __init__(self, data: CorpusData, setting: str, cutoff: int) -> None:
        self.k_values = _k_values(cutoff)
        super().__init__()
        self.data, self.setting, self.cutoff = data, setting, cutoff

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        """Load the subsets; subsets and tasks share the pools."""
        if self.data_loaded:
            return
        everything = {
            subset_name(q, p if self.setting == "cross" else None): (q, p) for q, p in self.data.subsets(self.setting)
        }
        self.dataset = {subset: {SPLIT: self.data.split(*everything[subset])} for subset in self.hf_subsets}
        self.data_loaded = True

    def task_specific_scores(
        self,
        scores: dict[str, dict[str, float]],
        qrels: Any,
        results: dict[str, dict[str, float]],
        hf_split: str,
        hf_subset: str,
    ) -> dict[str, float]:
        """In the pool of all languages, compute `rank_distance_at_K` and `same_language_share_at_10`.

        mteb keeps the first K answers only, by default 1,000. A relevant passage that is not among them counts as if it had
        rank K (from 0), so that the distance is never more than the exact distance of an audit.
        """
        if self.setting != "multi":
            return {}
        lang_of = self.data.lang_of_document
        distances, shares = [], []
        for query, found in results.items():
            order = sorted(found, key=lambda document: (found[document], document), reverse=True)
            rank = {document: i for i, document in enumerate(order)}
            best: dict[str, int] = {}
            for document in qrels[query]:
                lang = lang_of[document]
                best[lang] = min(rank.get(document, self.cutoff), best.get(lang, self.cutoff))
            if len(best) > 1:
                distances.append(max(best.values()) - min(best.values()))
            first = order[:SHARE_AT]
            shares.append(sum(lang_of[document] == hf_subset for document in first) / len(first))
        result = {f"rank_distance_at_{self.cutoff}": float(np.mean(distances))} if distances else {}
        if hf_subset in self.data.passage_lang:
            result[f"same_language_share_at_{SHARE_AT}"] = float(np.mean(shares))
        return result


def _k_values(cutoff: int) -> tuple[int, ...]:
    return (*(k for k in K_VALUES if k < cutoff), cutoff)


def mteb_tasks(
    corpus: Corpus, settings: str | Sequence[str] = SETTINGS, *, cutoff: int = CUTOFF
) -> list[AbsTaskRetrieval]:
    """Make tasks for `mteb.evaluate` from the settings of a corpus.

    The name of a task is that of the corpus with the setting, such as `XquadR-multi`. The dataset revision is the fingerprint
    of the corpus. Qrels keep their grades. The main score is mean average precision at the cut-off.

    Args:
        corpus: a corpus of texts.
        settings: some of `mono`, `cross` and `multi`; a setting without any pool is left out.
        cutoff: how many answers mteb keeps in memory per query. All scores are exact if it is at least the size of the pool.

    Returns:
        The tasks.

    Raises:
        AuditError: the corpus has images or a language that mteb does not know, or no setting has a query.
        ConfigError: there is no such setting, the list of settings is empty, or the cut-off is below 10.

    """
    settings = as_list(settings, "settings", empty=False)
    for setting in settings:
        if setting not in SETTINGS:
            raise ConfigError(f"there is no setting {setting!r}; name one of {', '.join(SETTINGS)}")
    if cutoff < SHARE_AT:
        raise ConfigError(f"the cut-off {cutoff} is below {SHARE_AT}, at which language shares are counted")
    data = CorpusData(corpus)
    tasks: list[AbsTaskRetrieval] = []
    for setting in settings:
        if subsets := data.subsets(setting):
            metadata = _metadata(data, setting, subsets, cutoff)
            # The metadata must be in the class: mteb removes those of an instance when it unloads the data.
            kind = type(metadata.name, (CorpusTask,), {"metadata": metadata, "__doc__": metadata.description})
            tasks.append(kind(data, setting, cutoff))
    if not tasks:
        raise AuditError(f"{corpus.name}: no query has a relevant passage in {' or '.join(settings)}")
    return tasks


def _metadata(data: CorpusData, setting: str, subsets: list[tuple[str, str | None]], cutoff: int) -> TaskMetadata:
    corpus = data.corpus
    pool = sorted(set(data.passage_lang))
    eval_langs: dict[str, list[str]] = {}
    for query_lang, passage_lang in subsets:
        subset = subset_name(query_lang, passage_lang if setting == "cross" else None)
        eval_langs[subset] = subset_codes(query_lang, pool if passage_lang is None else [passage_lang])
    for code in sorted({code for codes in eval_langs.values() for code in codes}):
        try:
            check_language_code(code)
        except ValueError as error:
            raise AuditError(f"{corpus.name}: mteb does not know the language {code} ({error})") from error
    return TaskMetadata(
        name=task_name(corpus.name, setting),
        description=f"{corpus.name}: {_WORDS[setting]}.",
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        dataset={"path": corpus.name, "revision": corpus.fingerprint()[:40]},
        eval_splits=[SPLIT],
        eval_langs=eval_langs,
        main_score=f"map_at_{cutoff}",
    )
