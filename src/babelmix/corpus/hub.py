"""A corpus as a Hugging Face data set, in memory and on the hub, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from babelmix.corpus.images import with_bytes
from babelmix.corpus.model import Corpus
from babelmix.corpus.schema import OPTIONAL, QREL_COLUMNS, REQUIRED, ROW_COLUMNS
from babelmix.errors import ReaderError, first_line

if TYPE_CHECKING:
    from datasets import DatasetDict


def to_datasets(corpus: Corpus) -> DatasetDict:
    """Convert a corpus to a Hugging Face `DatasetDict` with one split for each table.

    The Arrow tables are shared, not copied, but picture files are read into memory. Pictures have the feature `Image`. The name
    and `meta` are lost.

    Args:
        corpus: the corpus.

    Returns:
        The splits `queries`, `passages` and `qrels`, and `negatives` and `excluded` if they have rows.

    Raises:
        CorpusError: the file of a picture cannot be read or has changed.

    Examples:
        >>> rows = [{"item": "1", "lang": "en", "text": "dog"}]
        >>> list(to_datasets(Corpus.from_rows(rows, rows, [("1", "1")])))
        ['queries', 'passages', 'qrels']

    """
    from datasets import Dataset, DatasetDict, Image

    sides = {name: Dataset(with_bytes(table)) for name, table in corpus.tables().items()}
    return DatasetDict(
        {n: side.cast_column("image", Image()) if "image" in side.column_names else side for n, side in sides.items()}
    )


def from_datasets(datasets: DatasetDict, *, name: str = "corpus") -> Corpus:
    """Make a corpus from a Hugging Face `DatasetDict`.

    Args:
        datasets: the splits `queries`, `passages` and `qrels`, and optionally `negatives` and `excluded`, with the columns of
            `Corpus`.
        name: the name of the corpus.

    Returns:
        The corpus.

    Raises:
        ReaderError: a split or a column is missing.
        CorpusError: a split breaks the data model.

    Examples:
        >>> rows = [{"item": "1", "lang": "en", "text": "dog"}]
        >>> corpus = Corpus.from_rows(rows, rows, [("1", "1")])
        >>> from_datasets(to_datasets(corpus), name="pets")
        Corpus('pets': 1 queries, 1 passages, 1 qrels, 1 languages)

    """
    for split in REQUIRED:
        if split not in datasets:
            raise ReaderError(
                f"the data set has no split {split!r}; it has {', '.join(map(str, datasets))}", file=name
            )
    others = [other for other in OPTIONAL if other in datasets]
    splits = (*REQUIRED, *others)
    columns = {split: datasets[split].with_format("arrow")[:] for split in splits}
    for split in splits:
        needed = ROW_COLUMNS if split in ("queries", "passages") else QREL_COLUMNS
        absent = [column for column in needed if column not in columns[split].column_names]
        if absent:
            raise ReaderError("is missing", file=f"{name}/{split}", field=absent[0])
    tables = {other: columns[other] for other in others}
    return Corpus(columns["queries"], columns["passages"], columns["qrels"], name, **tables)


def push_to_hub(corpus: Corpus, repository: str, *, private: bool = True) -> None:
    """Upload a corpus to the Hugging Face hub, with one configuration for each table.

    If the corpus has no negatives or excluded pairs, those of an earlier upload are removed.

    Args:
        corpus: the corpus.
        repository: the name of the data set, such as `me/my-corpus`.
        private: whether a new data set is private.

    Examples:
        >>> push_to_hub(corpus, "me/my-corpus")  # doctest: +SKIP

    """
    from datasets import get_dataset_config_names
    from datasets.hub import delete_from_hub

    tables = to_datasets(corpus)
    for name, dataset in tables.items():
        dataset.push_to_hub(repository, config_name=name, split=name, private=private)
    missing = [name for name in OPTIONAL if name not in tables]
    there = get_dataset_config_names(repository) if missing else []
    for name in missing:
        if name in there:
            delete_from_hub(repository, name)


def from_hub(repository: str, *, revision: str | None = None) -> Corpus:
    """Download a corpus that `push_to_hub` uploaded.

    Args:
        repository: the name of the data set, such as `me/my-corpus`.
        revision: a branch, tag or commit of it; by default the newest.

    Returns:
        The corpus.

    Raises:
        ReaderError: the hub has no such data set or does not answer, or the data set is not a corpus.

    Examples:
        >>> from_hub("me/my-corpus")  # doctest: +SKIP

    """
    from datasets import DatasetDict, get_dataset_config_names, load_dataset

    try:
        there = get_dataset_config_names(repository, revision=revision)
        names = (*REQUIRED, *(name for name in OPTIONAL if name in there))
        splits = {name: load_dataset(repository, name, split=name, revision=revision) for name in names}
    except Exception as error:
        raise ReaderError(
            f"cannot be loaded from the hub ({type(error).__name__}: {first_line(error)}); "
            "check the name and the network, or give a local path",
            file=repository,
        ) from error
    return from_datasets(DatasetDict(splits), name=repository)
