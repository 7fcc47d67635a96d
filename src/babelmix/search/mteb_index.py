"""An index as mteb's `SearchProtocol`: mteb then scores the index, with its approximations and the language policy."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mteb.models.model_meta import ModelMeta

from babelmix.corpus import is_language_tag
from babelmix.errors import SearchError
from babelmix.evaluation.mteb import cached_encoder
from babelmix.search.asking import MAX_K
from babelmix.search.hits import Hits
from babelmix.search.index import Index
from babelmix.search.indexing import write_rows
from babelmix.search.options import Mode
from babelmix.search.policies import Policy
from babelmix.search.rows import Row, Vectors
from babelmix.search.searcher import Searcher

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.types import CorpusDatasetType, QueryDatasetType, RetrievalOutputType
    from sentence_transformers import SentenceTransformer

UNKNOWN = "und"
"""The BCP 47 tag for an unknown language."""

_ROWS = 2048
_QUERIES = 32


def language_in_id(document: str) -> str:
    """The language of a document of `mteb_tasks`, whose ids are `ROW LANG ITEM`; `und` for documents of other tasks.

    >>> language_in_id("17 pt-BR help/save")
    'pt-BR'
    """
    words = document.split(" ", 2)
    if len(words) == 3 and words[0].isdigit() and is_language_tag(words[1]):
        return words[1]
    return UNKNOWN


class IndexSearch:
    """An encoder, an index in a temporary folder and a language policy, for `mteb.evaluate`.

    Args:
        encoder: the encoder. Its weights must not change afterwards.
        name: the name in results; the mode and the policy are appended.
        policy: the language policy.
        mode: `dense`, `words` or `hybrid`.
        exact: compare with every row, not through a graph.
        language_of: a function that returns the language of a document from its id. All policies except `any` need it.
        shown: the number of answers that users see. mteb asks for up to 1,000 and scores the first 10; a policy such as `quota=3`
            holds within the first `shown` of them. The scores of its answers are then their places.

    """

    def __init__(
        self,
        encoder: SentenceTransformer,
        name: str = "encoder",
        *,
        policy: str = "any",
        mode: Mode = "dense",
        exact: bool = False,
        language_of: Callable[[str], str] = language_in_id,
        shown: int = 10,
    ) -> None:
        self.encoder, self.policy, self.mode, self.exact = encoder, Policy.parse(policy), mode, exact
        self._shown = shown
        self._language_of = language_of
        meta = cached_encoder(encoder, name).mteb_model_meta
        full = f"{meta.name}-{mode}-{self.policy}".replace("=", "-").replace(",", "-").replace(":", "-")
        self._meta = meta.model_copy(update={"name": full})
        self._searcher: Searcher | None = None
        self._remove: Callable[[], object] | None = None

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """The description of the index and policy in mteb's results."""
        return self._meta

    def index(
        self,
        corpus: CorpusDatasetType,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        encode_kwargs: Any,
        num_proc: int | None,
        **kwargs: Any,
    ) -> None:
        """Put a pool into a new index; empty documents are left out.

        Raises:
            SearchError: a document has more than 1,000,000 bytes, or the task has pictures.

        """
        self.close()
        if list(task_metadata.modalities) != ["text"]:
            raise SearchError(f"{task_metadata.name}: has other modalities than text")
        folder = tempfile.mkdtemp(prefix="babelmix-mteb-")
        # Remove the folder even if close() is never called.
        self._remove = weakref.finalize(self, shutil.rmtree, folder, True)
        index = Index.create(str(Path(folder) / "index"), self.encoder, str(self._meta.name))
        self._searcher = Searcher(index, self.encoder)
        batch_size = (encode_kwargs or {}).get("batch_size") or 32
        rows: list[Row] = []
        for document in corpus:
            text = " ".join(part for part in (document.get("title"), document["text"]) if part).strip()
            if text:
                rows.append(Row(document["id"], self._language_of(document["id"]), text))
            if len(rows) == _ROWS:
                write_rows(index, self.encoder, rows, batch_size=batch_size)
                rows = []
        write_rows(index, self.encoder, rows, batch_size=batch_size)
        index.settle()

    def search(
        self,
        queries: QueryDatasetType,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        encode_kwargs: Any,
        top_ranked: Any = None,
        num_proc: int | None,
        **kwargs: Any,
    ) -> RetrievalOutputType:
        """Search the pool of the last call of `index`.

        Raises:
            SearchError: there is no pool, the task re-ranks, or it asks for more than 1,000 answers.

        """
        if self._searcher is None:
            raise SearchError("there is no index yet; mteb calls index() before search()")
        if top_ranked is not None:
            raise SearchError(f"{task_metadata.name}: re-ranks given documents; an index searches all of them")
        if top_k > MAX_K:
            raise SearchError(f"{task_metadata.name}: wants {top_k:,} answers; an index gives at most {MAX_K:,}")
        ids, texts = [str(query["id"]) for query in queries], [str(query["text"]) for query in queries]
        found: dict[str, dict[str, float]] = {}
        # In parts: all hits of all queries, with their texts, would fill the memory.
        for start in range(0, len(texts), _QUERIES):
            some = slice(start, start + _QUERIES)
            # With vectors, so that a task may have empty queries.
            vectors = None if self.mode == "words" else self._searcher.embed(texts[some])
            hits = self._hits(texts[some], vectors, top_k)
            if self.policy.depends_on_k and top_k > self._shown:
                first = self._hits(texts[some], vectors, self._shown)
                lists = [[hit.item for hit in (*shown, *rest)] for shown, rest in zip(first, hits, strict=True)]
                # mteb sorts by score, and the scores of both searches would mix their answers. A document keeps its first place.
                scores = [{item: -float(at) for at, item in enumerate(dict.fromkeys(items))} for items in lists]
            else:
                scores = [{hit.item: hit.score for hit in of} for of in hits]
            found |= dict(zip(ids[some], scores, strict=True))
        return found

    def _hits(self, texts: list[str], vectors: Vectors | None, k: int) -> list[Hits]:
        assert self._searcher is not None
        return self._searcher.search(texts, k=k, policy=self.policy, mode=self.mode, exact=self.exact, vectors=vectors)

    def close(self) -> None:
        """Remove the index."""
        if self._searcher is not None:
            self._searcher.index.close()
            self._searcher = None
        if self._remove is not None:
            self._remove()
            self._remove = None
