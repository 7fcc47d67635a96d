"""A corpus as a folder (Parquet or Arrow) and as a Hugging Face dataset, both ways."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from babelmix._checksums import CHECKSUMS, damaged_file, has_checksums, write_checksums
from babelmix._files import replacing_folder, write_json
from babelmix.corpus.images import pieces_with_bytes, with_bytes
from babelmix.corpus.model import OPTIONAL, QREL_COLUMNS, ROW_COLUMNS, Corpus
from babelmix.errors import ConfigError, CorpusError, ReaderError, first_line

if TYPE_CHECKING:
    from datasets import DatasetDict

TABLES = ("queries", "passages", "qrels")
MARKER = "corpus.json"
"""The file that makes a folder a corpus."""
_FILES = [MARKER, *(f"{name}.{ending}" for name in (*TABLES, *OPTIONAL) for ending in ("arrow", "parquet"))]


def save_corpus(corpus: Corpus, folder: Path, format: str, *, keep_existing: bool = False) -> None:
    """See `Corpus.save`; with `keep_existing` a folder that another process made meanwhile stays."""
    if format not in ("parquet", "arrow"):
        raise ConfigError(f"format {format!r} is unknown; use 'parquet' or 'arrow'")
    with replacing_folder(folder, [MARKER], keep_existing=keep_existing) as temporary:
        for name in _tables_of(corpus):
            table = getattr(corpus, name)
            with contextlib.ExitStack() as files:
                out: Any
                if format == "parquet":
                    file = str(temporary / f"{name}.parquet")
                    out = files.enter_context(pq.ParquetWriter(file, table.schema, compression="zstd"))
                else:
                    sink = files.enter_context(pa.OSFile(str(temporary / f"{name}.arrow"), "wb"))
                    out = files.enter_context(pa.ipc.new_file(sink, table.schema))
                for piece in pieces_with_bytes(table):
                    out.write_table(piece)
        write_json(
            temporary / MARKER,
            {"name": corpus.name, "fingerprint": corpus.fingerprint(), "meta": dict(corpus.meta)},
        )
        write_checksums(temporary)


def _tables_of(corpus: Corpus) -> tuple[str, ...]:
    return (*TABLES, *(name for name in OPTIONAL if getattr(corpus, name).num_rows))


def is_corpus_folder(folder: Path) -> bool:
    """Whether `folder` looks like one that `Corpus.save` wrote."""
    return (folder / MARKER).is_file()


def load_corpus(folder: Path) -> Corpus:
    """See `Corpus.load`."""
    if not is_corpus_folder(folder):
        raise ReaderError("is not a babelmix corpus: there is no corpus.json", file=folder)
    # An earlier version wrote none.
    if has_checksums(folder) and (name := damaged_file(folder, _FILES)) is not None:
        if not (folder / name).is_file():
            raise ReaderError(f"{name} is missing; make the corpus again", file=folder)
        raise ReaderError(
            f"is not as babelmix wrote it: damaged, or changed by hand; make the corpus again, or remove {CHECKSUMS} if you "
            "changed it",
            file=folder / name,
        )
    try:
        about = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        queries, passages, qrels = (_load_table(folder, name) for name in TABLES)
        others = {
            name: _load_table(folder, name)
            for name in OPTIONAL
            if any((folder / f"{name}.{format}").is_file() for format in ("arrow", "parquet"))
        }
        return Corpus(queries, passages, qrels, about["name"], about["meta"], **others)
    except CorpusError as error:
        raise error if isinstance(error, ReaderError) else ReaderError(str(error), file=folder) from error
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise ReaderError(f"cannot be read as a corpus ({error})", file=folder) from error


def _load_table(folder: Path, name: str) -> pa.Table:
    arrow, parquet = folder / f"{name}.arrow", folder / f"{name}.parquet"
    if arrow.is_file():
        return pa.ipc.open_file(pa.memory_map(str(arrow))).read_all()
    if parquet.is_file():
        return pq.read_table(parquet)
    raise ReaderError(f"{name}.parquet or {name}.arrow is missing", file=folder)


def to_datasets(corpus: Corpus) -> DatasetDict:
    """The corpus as a Hugging Face `DatasetDict` with a split a table, the optional tables only if they have rows.

    The Arrow tables are shared, not copied; pictures are of the feature `Image`. Name, meta and fingerprint are not part
    of a `DatasetDict`.
    """
    from datasets import Dataset, DatasetDict, Image

    sides = {name: Dataset(with_bytes(getattr(corpus, name))) for name in _tables_of(corpus)}
    return DatasetDict(
        {n: side.cast_column("image", Image()) if "image" in side.column_names else side for n, side in sides.items()}
    )


def from_datasets(datasets: DatasetDict, *, name: str = "corpus") -> Corpus:
    """A corpus from a `DatasetDict` with the splits `queries`, `passages`, `qrels`, and perhaps `negatives` and `excluded`.

    Raises:
        ReaderError: a split is missing.
        CorpusError: a split breaks the data model.

    """
    for split in TABLES:
        if split not in datasets:
            raise ReaderError(
                f"the data set has no split {split!r}; it has {', '.join(map(str, datasets))}", file=name
            )
    others = [other for other in OPTIONAL if other in datasets]
    splits = (*TABLES, *others)
    columns = {split: datasets[split].with_format("arrow")[:] for split in splits}
    for split in splits:
        needed = ROW_COLUMNS if split in ("queries", "passages") else QREL_COLUMNS
        absent = [column for column in needed if column not in columns[split].column_names]
        if absent:
            raise ReaderError("is missing", file=f"{name}/{split}", field=absent[0])
    tables = {other: columns[other] for other in others}
    return Corpus(columns["queries"], columns["passages"], columns["qrels"], name, **tables)


def push_to_hub(corpus: Corpus, repository: str, *, private: bool = True) -> None:
    """Upload the corpus to the Hugging Face hub, one configuration a table.

    Negatives and excluded pairs that an earlier corpus left in the repository are removed if this one has none.
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

    Raises:
        ReaderError: the hub has no such data set, does not answer, or the data set is not a corpus.

    """
    from datasets import DatasetDict, get_dataset_config_names, load_dataset

    try:
        there = get_dataset_config_names(repository, revision=revision)
        names = (*TABLES, *(name for name in OPTIONAL if name in there))
        splits = {name: load_dataset(repository, name, split=name, revision=revision) for name in names}
    except Exception as error:
        raise ReaderError(
            f"cannot be loaded from the hub ({type(error).__name__}: {first_line(error)}); "
            "check the name and the network, or give a local path",
            file=repository,
        ) from error
    return from_datasets(DatasetDict(splits), name=repository)
