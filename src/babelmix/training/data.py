"""The training data: one corpus, or several with weights, and the texts of each step."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils.data import Dataset

from babelmix.batches import Batch, BatchPlan, CorpusIndex, Mixture, PairIndex, strategy
from babelmix.batches.strategies import WithTextText
from babelmix.corpus import Corpus
from babelmix.errors import TrainingError
from babelmix.training.settings import TrainingSettings


class TrainingData:
    """The corpora of a training run.

    Args:
        sources: a corpus, or several corpora by name. With several, each batch is from one of them.
        weights: how often each source is drawn, by name; by default from the sizes.
        temperature: without weights, the weight of a source is its size ** temperature.
        hard_negatives: whether pairs have a hard negative where their source has any.
        text_only: languages whose captions are never paired with a picture.

    Raises:
        TrainingError: there is no source, a source is a benchmark, or only some sources have pictures.
        PlanError: a weight or the temperature is wrong, or a source has no training pair.

    Examples:
        >>> from babelmix.batches import BatchPlan
        >>> rows = [{"item": str(n), "lang": lang, "text": f"{lang} {n}"} for n in range(8) for lang in ("de", "en")]
        >>> data = TrainingData(Corpus.from_rows(rows, rows, [(str(n), str(n)) for n in range(8)], name="toy"))
        >>> plan = BatchPlan(data.index, "mono", 4, seed=1)
        >>> StepTexts(data, plan)[0][0]
        {'query': ..., 'passage': ...}

    """

    def __init__(
        self,
        sources: Corpus | Mapping[str, Corpus],
        *,
        weights: Mapping[str, float] | None = None,
        temperature: float = 1.0,
        hard_negatives: bool = True,
        text_only: str | Sequence[str] = (),
    ) -> None:
        self.sources = {sources.name: sources} if isinstance(sources, Corpus) else dict(sources)
        if not self.sources:
            raise TrainingError("there is nothing to train on: name at least one corpus")
        for corpus in self.sources.values():
            refuse_evaluation_only(corpus)
        if len({corpus.has_images for corpus in self.sources.values()}) > 1:
            raise TrainingError("some corpora have pictures and some do not; train on one kind after the other")
        parts = {
            name: CorpusIndex(corpus, hard_negatives=hard_negatives and not corpus.has_images, text_only=text_only)
            for name, corpus in self.sources.items()
        }
        mixture = Mixture(parts, dict(weights) if weights else None, temperature=temperature)
        # A single source needs no mixture, but `Mixture` checks the weights.
        self.index: PairIndex = mixture if len(parts) > 1 else next(iter(parts.values()))

    @classmethod
    def of(cls, sources: Corpus | Mapping[str, Corpus], settings: TrainingSettings) -> TrainingData:
        """The training data of a run with these settings. It raises the same errors as the constructor."""
        return cls(
            sources, weights=settings.source_weights, temperature=settings.source_temperature,
            hard_negatives=settings.hard_negatives, text_only=settings.pictures.text_only_langs,
        )  # fmt: skip

    def plan(self, settings: TrainingSettings, ranks: int = 1) -> BatchPlan:
        """The batch plan of a run.

        Args:
            settings: settings with strategy, batch size and steps, as `resolve` fills them in.
            ranks: how many processes share each batch.

        Raises:
            PlanError: the data cannot fill the batches, or the processes cannot share them evenly.

        """
        assert settings.strategy is not None
        assert settings.batch_size is not None
        chosen, share = strategy(settings.strategy), settings.pictures.text_share
        return BatchPlan(
            self.index, WithTextText(chosen, share) if share else chosen, settings.batch_size,
            seed=settings.seed, language_temperature=settings.language_temperature, world_size=ranks,
            steps=settings.steps,
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The names of the corpora, joined by ` + `."""
        return " + ".join(corpus.name for corpus in self.sources.values())

    @property
    def has_images(self) -> bool:
        """Whether the passages are pictures."""
        return any(corpus.has_images for corpus in self.sources.values())

    @property
    def langs(self) -> tuple[str, ...]:
        """All languages, sorted."""
        return self.index.langs

    @property
    def pairs(self) -> int:
        """How many relevant pairs of items all sources have."""
        return sum(corpus.qrels.num_rows for corpus in self.sources.values())

    @property
    def machine_made(self) -> list[str]:
        """Languages whose texts are machine-made, as the sources say."""
        return sorted({lang for corpus in self.sources.values() for lang in corpus.meta.get("machine_made") or []})

    def fingerprint(self) -> str:
        """SHA-256 over the names and fingerprints of the sources in their order. A single source has its own fingerprint."""
        prints = {name: corpus.fingerprint() for name, corpus in self.sources.items()}
        if len(prints) == 1:
            return next(iter(prints.values()))
        return hashlib.sha256(repr(list(prints.items())).encode()).hexdigest()

    def batch(self, plan: BatchPlan, step: int, rank: int) -> tuple[str, Batch]:
        """The source of a step's batch, and the rank's part of the batch, with the row numbers of that source."""
        batch = plan[step].slice(rank, plan.world_size)
        if isinstance(self.index, Mixture):
            batch = self.index.local(batch)
        return batch.source or next(iter(self.sources)), batch

    def example(self) -> dict[str, list[str]]:
        """A row with the columns that the trainer expects."""
        corpus = next(iter(self.sources.values()))
        # The trainer looks at the names of the columns only.
        return {"query": [corpus.queries["text"][0].as_py()], "passage": [corpus.passages["text"][0].as_py() or ""]}


class StepTexts(Dataset[list[dict[str, Any]]]):
    """The texts of each step of a plan, for one rank: `[step] -> [{"query": ..., "passage": ...}, ...]`.

    Rows of a source with hard negatives have a third text, `negative`. In a `one_to_k` batch a row has the query in K languages:
    `query`, and after the other columns `query2`, `query3` and so on.

    Args:
        data: the training data.
        plan: a plan over `data.index`.
        rank: the process whose part of each batch is returned.

    """

    def __init__(self, data: TrainingData, plan: BatchPlan, rank: int = 0) -> None:
        # One chunk each: taking rows from a column of many chunks copies the whole column.
        self._texts = {
            name: tuple(table["text"].combine_chunks() for table in (corpus.queries, corpus.passages))
            for name, corpus in data.sources.items()
        }
        self._data, self.plan, self.rank = data, plan, rank

    def __getitem__(self, step: int) -> list[dict[str, Any]]:
        return self._rows(*self._data.batch(self.plan, step, self.rank))

    def _rows(self, name: str, batch: Batch) -> list[dict[str, Any]]:
        queries, passages = self._texts[name]
        several = len(batch.query_rows) // len(batch.passage_rows)
        columns: dict[str, list[Any]] = {
            "query": queries.take(batch.query_rows[::several]).to_pylist(),
            "passage": passages.take(batch.passage_rows).to_pylist(),
        }
        if batch.negative_rows is not None:
            columns["negative"] = passages.take(batch.negative_rows).to_pylist()
        for place, name in enumerate(query_columns(several)[1:], 1):
            columns[name] = queries.take(batch.query_rows[place::several]).to_pylist()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def query_columns(several: int) -> list[str]:
    """The names of the query columns of a row that has this many queries."""
    return ["query", *(f"query{number}" for number in range(2, several + 1))]


def is_query(column: str) -> bool:
    """Whether a column of this name holds queries."""
    return column == "other_query" or column.startswith("query")


def refuse_evaluation_only(corpus: Corpus) -> None:
    """Raise if a corpus is a benchmark.

    Raises:
        TrainingError: the reader of the corpus says that it is for evaluation only.

    """
    if corpus.meta.get("evaluation_only"):
        raise TrainingError(f"{corpus.name} is a benchmark: it is for evaluation only and is never trained on")
