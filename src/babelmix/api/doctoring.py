"""Examine a corpus, an encoder and an index: `babelmix doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._tables import Result, Table
from babelmix.api._loading import loaded
from babelmix.checks import CHECKS, NotCheckedError, Problem, Subject, found_by
from babelmix.corpus import Corpus, load_corpus
from babelmix.corpus.model import READ_AS
from babelmix.errors import ArgumentError

if TYPE_CHECKING:
    import polars as pl
    from sentence_transformers import SentenceTransformer

    from babelmix.search.foreign.engine import ForeignEngine
    from babelmix.search.index import Index

MOST_ROWS = 100_000
"""The most rows of an index whose texts are read."""


@dataclass(frozen=True, eq=False)
class Examination(Result):
    """What the checks found.

    Args:
        examined: what was examined: `corpus`, `encoder`, `index`, as far as they were given.
        found: the problems by check; an empty list if all is well.
        not_checked: what the other checks need, by check.

    """

    examined: Mapping[str, str]
    found: Mapping[str, list[Problem]]
    not_checked: Mapping[str, list[str]]

    @property
    def problems(self) -> list[Problem]:
        """What changes figures or answers."""
        return [one for found in self.found.values() for one in found if one.serious]

    @property
    def notes(self) -> list[Problem]:
        """What is good to know."""
        return [one for found in self.found.values() for one in found if not one.serious]

    def lead(self) -> str:
        """The numbers of problems, notes and checks."""
        problems, notes, checks = len(self.problems), len(self.notes), len(self.found)
        return (
            f"{', '.join(self.examined.values())}: {problems} {'problem' if problems == 1 else 'problems'} and {notes} "
            f"{'note' if notes == 1 else 'notes'} in {checks} checks"
        )

    def tables(self) -> list[Table]:
        """The problems, then the notes: what there is, and what to do."""
        head = ["check", "what", "what to do"]
        tables = []
        for title, serious in (("Problems", True), ("Notes", False)):
            rows = [
                [name, one.sentence, one.remedy]
                for name, found in self.found.items()
                for one in found
                if one.serious is serious
            ]
            if rows:
                tables.append(Table(head, rows, title=title, left=(0, 1, 2)))
        return tables

    def headline(self) -> Table:
        """Problems and notes in one table."""
        frame = self.to_frame().select("check", "kind", "what", "what to do")
        return Table(frame.columns, [list(row) for row in frame.iter_rows()], left=(0, 1, 2, 3))

    def lines(self) -> list[str]:
        """Examples, the checks without a finding, and those that were not run."""
        lines = [
            f"{name}: {'; '.join(one.examples)}" for name, found in self.found.items() for one in found if one.examples
        ]
        if fine := [CHECKS[name].fine for name, found in self.found.items() if not found]:
            lines.append(f"Fine: {', '.join(fine)}.")
        missing: dict[str, list[str]] = {}
        for name, needs in self.not_checked.items():
            missing.setdefault(" and ".join(needs), []).append(name)
        return lines + [f"Not checked without {needs}: {', '.join(names)}." for needs, names in missing.items()]

    def to_frame(self) -> pl.DataFrame:
        """Columns `check`, `kind` (`problem` or `note`), `number`, `of`, `what`, `what to do` and `examples`."""
        import polars as pl

        rows = [
            (name, "problem" if p.serious else "note", p.number, p.of, p.sentence, p.remedy, list(p.examples))
            for name, found in self.found.items()
            for p in found
        ]
        schema: dict[str, Any] = {
            "check": pl.String, "kind": pl.String, "number": pl.Int64, "of": pl.Int64,
            "what": pl.String, "what to do": pl.String, "examples": pl.List(pl.String),
        }  # fmt: skip
        return pl.DataFrame(rows, schema=schema, orient="row")

    def as_json(self) -> dict[str, Any]:
        """What was examined, and by check the problems; and the checks that were not run, with what they need."""
        return {
            "examined": dict(self.examined),
            "checks": {name: [asdict(one) for one in found] for name, found in self.found.items()},
            "not_checked": dict(self.not_checked),
        }


def doctor(
    corpus: str | Path | Corpus | None = None,
    *,
    model: str | Path | SentenceTransformer | None = None,
    through: str | None = None,
    langs: str | list[str] | None = None,
    part: str = "all",
    trust_code: bool = False,
) -> Examination:
    """Examine a corpus, an encoder and an index, as `babelmix doctor` does: what of them will hurt, and what to do.

    Args:
        corpus: see `babelmix.load_corpus`; or a table of documents, as for an index. None: the texts of the index, if one is
            given.
        model: an encoder, see `babelmix.load_model`. Nothing of an index's own encoder is loaded without it.
        through: the address of an index, or of a collection that babelmix did not make; it is only read.
        langs: see `babelmix.load_corpus`.
        part: see `babelmix.load_corpus`.
        trust_code: run code that the model contains or names; see `babelmix.load_model`.

    Returns:
        The findings. `problems` change figures or answers; `notes` are good to know.

    Raises:
        ArgumentError: there is nothing to examine.
        CorpusError: the corpus cannot be read.
        EncoderError: the encoder cannot be loaded.
        SearchError: there is no such index, or it fails.

    Examples:
        >>> from babelmix import Corpus
        >>> rows = [{"item": "1", "lang": "en", "text": "A toad"}, {"item": "1", "lang": "th", "text": "Not translated"}]
        >>> found = doctor(Corpus.from_rows(rows, rows, [("1", "1")], name="toads"))
        >>> [one.number for one in found.problems]
        [2, 2]

    """
    if corpus is None and model is None and through is None:
        raise ArgumentError(
            "corpus", "is missing: name a corpus, an encoder or an index, as in  babelmix doctor -c my.csv"
        )
    if corpus is None and (langs is not None or part != "all"):
        raise ArgumentError("langs" if langs is not None else "part", "is for a corpus; name one")
    with ExitStack() as stack:
        data = None if corpus is None else _opened(corpus, langs, part)
        index = None if through is None else stack.enter_context(closing(_opened_index(through)))
        encoder, name = (None, "") if model is None else loaded(model, trust_code=trust_code)
        examined = {} if data is None else {"corpus": data.name}
        examined |= {} if encoder is None else {"encoder": name}
        examined |= {} if index is None else {"index": index.address}
        if data is None and index is not None:
            data = _texts_of(index)
        subject = Subject(data, encoder, name, index)
        found: dict[str, list[Problem]] = {}
        not_checked: dict[str, list[str]] = {}
        for check in CHECKS:
            try:
                found[check] = found_by(check, subject)
            except NotCheckedError as error:
                not_checked[check] = error.needs
        return Examination(examined, found, not_checked)


def _opened(corpus: str | Path | Corpus, langs: str | list[str] | None, part: str) -> Corpus:
    """A corpus, or a table of documents as passages without queries."""
    from babelmix.corpus.readers._rows import layout_of
    from babelmix.corpus.readers._tables import is_table, read_table

    file = None if isinstance(corpus, Corpus) else Path(corpus)
    if file is None or part != "all" or not (is_table(file) and file.is_file()):
        return load_corpus(corpus, langs=langs, part=part)
    if layout_of(read_table(file)) != "documents":
        return load_corpus(corpus, langs=langs, part=part)
    from babelmix.search.documents import open_rows

    chosen = [langs] if isinstance(langs, str) else langs
    source = open_rows(str(file), langs=chosen)
    rows = [
        {"item": row.item, "lang": row.lang, "text": row.text, "group": row.group or row.item}
        for item in source.items()
        for row in item
        if row.text is not None
    ]
    return Corpus.from_rows(
        [], rows, [], name=file.stem, meta={READ_AS: dict(source.read_as)} if source.read_as else {}
    )


def _opened_index(address: str) -> Index | ForeignEngine:
    from babelmix.search.engines.opening import foreign_engine
    from babelmix.search.index import Index

    kind = foreign_engine(address)
    return Index.open(address) if kind is None else kind.open(address)


def _texts_of(index: Index | ForeignEngine) -> Corpus:
    """The texts of an index as passages without queries."""
    from babelmix.search.known_items import documents_of_index

    rows = [
        {"item": one.item, "lang": one.lang, "text": one.text, "group": one.group}
        for one in islice(documents_of_index(index), MOST_ROWS)
    ]
    return Corpus.from_rows([], rows, [], name=index.address)


__all__ = ["Examination", "doctor"]
