"""Build an index from a collection, or bring it up to date."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._lists import as_list
from babelmix._tables import Result, Table
from babelmix.corpus import Corpus
from babelmix.corpus.languages import renamed_languages
from babelmix.corpus.model import READ_AS
from babelmix.encoders import fingerprint
from babelmix.errors import ArgumentError, SearchError
from babelmix.search.documents import RowSource, open_rows, rows_of_corpus
from babelmix.search.engines import exists
from babelmix.search.engines.opening import engine_of
from babelmix.search.index import Index
from babelmix.search.index_encoder import encoder_of, encoder_of_new
from babelmix.search.indexing import Indexed, check_rows, index_rows
from babelmix.search.removal import removal_for

if TYPE_CHECKING:
    import polars as pl

    from babelmix.encoders.removal import AnyRemoval

_NAMED = 20
"""Maximum missing items that `lines` names; `as_json` names all."""


@dataclass(frozen=True)
class IndexReport(Result):
    """The report of a run: the changes to the index, and the content of the index.

    Args:
        address: the address of the index.
        encoder: the encoder's name or path.
        dimension: the dimension of the vectors.
        similarity: `cosine` or `dot`.
        columns: the metadata columns and their types.
        langs: rows by language.
        counts: what was done: `written`, `unchanged` and `removed` rows, and `decomposed` if some texts are not composed
            (NFC); or `items_removed`.
        not_there: the items that were not removed because the index did not have them. None if nothing was to be removed.
        read_as: language tags that were replaced by their canonical form, as in a corpus's `meta["languages_read_as"]`.
        notes: sentences about columns that are left out, or cells that may be meant differently.
        removal: what takes language out of rows and queries; empty: nothing does.

    """

    address: str
    encoder: str
    dimension: int
    similarity: str
    columns: Mapping[str, str]
    langs: Mapping[str, int]
    counts: Mapping[str, int]
    not_there: Sequence[str] | None = None
    read_as: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    removal: str = ""

    @classmethod
    def of(cls, index: Index, counts: Mapping[str, int], **more: Any) -> IndexReport:
        """The report of an open index."""
        about = index.about
        if (kept := about.removal) is not None:
            more["removal"] = f"{kept['method']}, alpha {kept['alpha']:g}"
        return cls(
            index.address,
            about.encoder,
            about.dimension,
            about.similarity,
            dict(about.columns),
            index.langs(),
            counts,
            **more,
        )

    def tables(self) -> list[Table]:
        """Rows by language."""
        rows = [[lang, f"{count:,}"] for lang, count in self.langs.items()]
        return [Table(["language", "rows"], rows, title=f"{self.address} ({self.encoder})")]

    def lines(self) -> list[str]:
        """The counts, the items that were not there, and the language tags that were replaced."""
        found = [", ".join(f"{name.replace('_', ' ')}: {count:,}" for name, count in self.counts.items())]
        if self.not_there:
            more = f", and {len(self.not_there) - _NAMED:,} more" if len(self.not_there) > _NAMED else ""
            found.append(f"not there: {', '.join(map(repr, self.not_there[:_NAMED]))}{more}")
        if self.removal:
            found.append(f"language is taken out of rows and queries: {self.removal}")
        return [*found, *renamed_languages(self.read_as)]

    def places(self) -> dict[str, str]:
        """The address of the index, and the command that searches it."""
        return {"index": f"{self.address}   search it with  babelmix search 'your words' --in {self.address}"}

    def to_frame(self) -> pl.DataFrame:
        """One row per language: lang, rows."""
        import polars as pl

        return pl.DataFrame(
            {"lang": list(self.langs), "rows": list(self.langs.values())}, schema={"lang": pl.String, "rows": pl.Int64}
        )

    def as_json(self) -> dict[str, Any]:
        """Address, counts, rows by language, and the facts of the index."""
        not_there = {} if self.not_there is None else {"not_there": list(self.not_there)}
        read_as = {READ_AS: dict(self.read_as)} if self.read_as else {}
        return {
            "index": self.address, **self.counts, **not_there, **read_as, "langs": dict(self.langs), "encoder": self.encoder,
            "dimension": self.dimension, "similarity": self.similarity, "columns": dict(self.columns),
            **({"removal": self.removal} if self.removal else {}),
        }  # fmt: skip


def build_index(
    source: str | Path | Corpus | RowSource,
    to: str | Path,
    *,
    model: str | None = None,
    langs: str | Sequence[str] | None = None,
    prune: bool = False,
    batch_size: int = 32,
    max_seq_length: int | None = None,
    revision: str | None = None,
    backend: str | None = None,
    removal: str | Path | AnyRemoval | None = None,
    ray: str | None = None,
    workers: int = 0,
    trust_code: bool = False,
    say: Callable[[str], None] | None = None,
) -> IndexReport:
    r"""Put a collection into an index, or bring an index up to date.

    Everything is checked before the first row is written. Only rows that are new or have changed are encoded. Each batch is
    safe once it is written: after an interruption, the same call continues where it stopped.

    Args:
        source: a file of documents, a corpus as in `open_corpus`, a `Corpus`, or the result of `open_rows`.
        to: a folder, `postgresql://HOST/DATABASE/NAME`, or `http://HOST:PORT/NAME` of a Milvus server.
        model: the encoder; needed if the index is new.
        langs: only these languages, each a range: `en` means en-US too. The index loses other languages of the same items.
        prune: remove items that the source does not have.
        batch_size: the number of texts per forward pass.
        max_seq_length: tokens of a text; by default the encoder's own limit.
        revision: the revision of the encoder on the Hugging Face hub.
        backend: the backend that runs the encoder, see `load_encoder`. By default `auto`: for a new index the fastest that agrees
            with float32, see `babelmix.encoders.exported.choosing`; for one that is there the fastest whose vectors are those of
            its rows.
        removal: of a new index: what takes language out of all its rows and queries: a removal, its file, or `auto`, which is
            the one that babelmix has for the encoder. See `babelmix.debias` and `babelmix.debias_index`.
        ray: encode by many workers of a Ray cluster: `local`, `auto`, `HOST:PORT` or `ray://HOST:PORT`.
        workers: with `ray`: the number of workers. 0: one per GPU, or without GPUs half the number of CPUs.
        trust_code: run Python code that the encoder contains or refers to; see `load_encoder`.
        say: a function that gets each note as soon as it is known, such as a column that is left out. The report has the notes
            too.

    Returns:
        A report of the rows that were written and of the content of the index. It prints like `babelmix index`.

    Raises:
        ArgumentError: `model` is missing, `removal` is given for an index that is there, `workers` is given without `ray`, or
            `langs` for a `RowSource`.
        SearchError: a row breaks a rule, the index was made by another encoder, or it cannot be written.
        CorpusError: the source cannot be read, or a picture is damaged.
        EncoderError: the encoder cannot be loaded.
        MissingExtraError: an engine, a backend or Ray is not installed.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> from babelmix.encoders import static
        >>> with TemporaryDirectory() as folder:
        ...     documents, model = Path(folder, "documents.csv"), str(Path(folder, "model"))
        ...     _ = documents.write_text("item,lang,text\na,en,a cat\na,de,eine Katze\nb,en,a dog\n")
        ...     static.from_scratch("a cat eine Katze a dog", vocabulary=40, dimension=8).save(model)
        ...     report = build_index(documents, Path(folder, "index"), model=model)
        >>> print(report.to_markdown())
        | language | rows |
        | --- | ---: |
        | de | 1 |
        | en | 2 |

    """
    if workers and not ray:
        raise ArgumentError("workers", "is for a Ray cluster; name one with  ray, such as  local")
    address = str(to)
    opened = Index.open(address) if exists(address) else None
    try:
        if opened is not None and removal is not None:
            raise ArgumentError(
                "removal", f"is for a new index; make one of {address} with  babelmix debias --index {address}"
            )
        rows = _rows_of(source, langs, opened)
        if say is not None:
            for note in rows.notes:
                say(note)
        name = model or (opened.about.encoder if opened is not None else None)
        if name is None:
            raise ArgumentError(
                "model", f"{address} is a new index; say which encoder it is for, as in  e5-small-offline"
            )
        # Check the rows before an encoder is loaded or an index made: otherwise an error could come after hours of encoding.
        check_rows(rows, opened, max_text=engine_of(address).max_text)
        asked: dict[str, Any] = {"backend": backend, "trust_code": trust_code}
        if opened is None:
            encoder = encoder_of_new(name, max_seq_length=max_seq_length, revision=revision, **asked)
        else:
            encoder = encoder_of(opened, model=model, max_seq_length=max_seq_length, revision=revision, **asked)
        if opened is None:
            chosen = removal_for(removal, encoder, name)
            opened = Index.create(address, encoder, name, revision=revision, removal=chosen)
        if ray:
            from babelmix.search.workers import index_with_workers

            opened.check_encoder(encoder, backend=True)
            done = index_with_workers(
                opened, rows, name, key=fingerprint(encoder), address=ray, workers=workers, batch_size=batch_size,
                prune=prune, checked=True, trust_code=trust_code,
            )  # fmt: skip
        else:
            done = index_rows(opened, encoder, rows, batch_size=batch_size, prune=prune, checked=True)
        return IndexReport.of(opened, _counts(done), read_as=rows.read_as, notes=rows.notes)
    finally:
        if opened is not None:
            opened.close()


def delete_items(address: str | Path, items: str | Sequence[str]) -> IndexReport:
    r"""Remove items from an index, with all their rows.

    Args:
        address: the address of the index.
        items: the names of the items.

    Returns:
        A report of the number of removed items, and of the items that were not there.

    Raises:
        SearchError: there is no index, no item is named, or the index cannot be written to.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> from babelmix.encoders import static
        >>> with TemporaryDirectory() as folder:
        ...     documents, model = Path(folder, "documents.csv"), str(Path(folder, "model"))
        ...     _ = documents.write_text("item,lang,text\na,en,a cat\na,de,eine Katze\nb,en,a dog\n")
        ...     static.from_scratch("a cat eine Katze a dog", vocabulary=40, dimension=8).save(model)
        ...     _ = build_index(documents, Path(folder, "index"), model=model)
        ...     report = delete_items(Path(folder, "index"), "a")
        >>> print(report.to_markdown())
        | language | rows |
        | --- | ---: |
        | en | 1 |

    """
    names = list(dict.fromkeys(as_list(items, "items", SearchError, empty=False)))
    with Index.open(str(address)) as index:
        found = index.items_named(names)
        removed = index.delete(names)
        index.settle()
        return IndexReport.of(index, {"items_removed": removed}, not_there=[name for name in names if not found[name]])


def _rows_of(
    source: str | Path | Corpus | RowSource, langs: str | Sequence[str] | None, index: Index | None
) -> RowSource:
    wanted = None if langs is None else as_list(langs, "langs", SearchError, empty=False)
    if isinstance(source, Corpus):
        return rows_of_corpus(source if wanted is None else source.only_langs(wanted))
    if isinstance(source, RowSource):
        if wanted is not None:
            raise ArgumentError("langs", "give them to open_rows: its rows are read already")
        return source
    return open_rows(str(source), langs=wanted, columns=None if index is None else index.columns)


def _counts(done: Indexed) -> dict[str, int]:
    counts = {"written": done.written, "unchanged": done.unchanged, "removed": done.removed}
    return counts | ({"decomposed": done.decomposed} if done.decomposed else {})
