"""A run file as a system: the ranked lists that a search engine gave, read from a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from babelmix._checksums import checksum
from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies
from babelmix.corpus.readers._unpacking import stem_of
from babelmix.corpus.row_ids import rows_of_ids
from babelmix.errors import AuditError
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.judged_lists import AnswerTable, Integers, Judge, Unknown
from babelmix.evaluation.run_files import RunLines, read_run
from babelmix.evaluation.systems.base import Answer

_HINT = "an id is ITEM/LANG, as in  page-7/de  (in Python, Corpus.row_ids), or the row's own id"


@dataclass(eq=False)
class Run:
    """A run file: a `ListSystem` whose lists are known already. See docs/ranked-lists.md for its formats.

    Args:
        file: the run file.
        name: the name of the system in reports; by default the name of the file, without its suffix.
        unknown: what to do with passages that are not in the corpus: `"error"`, or `"wrong"`, which counts them as wrong answers
            in an unknown language.

    Raises:
        ReaderError: the file is missing or malformed; raised at the first use.

    Examples:
        >>> import pathlib, tempfile
        >>> import babelmix as bm
        >>> rows = [{"item": item, "lang": lang, "text": f"{item} {lang}"} for item in "ab" for lang in ("de", "en")]
        >>> corpus = bm.Corpus.from_rows(rows, rows, [("a", "a"), ("b", "b")], name="two")
        >>> lines = [f"{query} Q0 {query[0]}/de 1 0.5 mine" for query in corpus.row_ids("queries")]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "mine.trec")
        ...     _ = file.write_text(chr(10).join(lines))
        ...     report = bm.audit(bm.Run(file), corpus)
        >>> report.macro("bias/same-language share@10")
        0.5

    """

    file: str | Path
    name: str = ""
    unknown: Unknown = "error"
    notes: list[str] = field(default_factory=list, init=False)
    """Sentences on what the file holds that a reader may not expect, from the last call of `answers`."""
    longest: int = field(default=0, init=False)
    """The length of the longest list, from the last call of `answers`."""

    depth = None

    def __post_init__(self) -> None:
        self.file = Path(self.file)
        self.name = self.name or stem_of(self.file)
        self._lines: RunLines | None = None

    def facts(self, corpus: Corpus, *, copies: Copies = "wrong") -> AuditFacts:
        """The name, the file with its checksum, and the corpus."""
        del copies
        return AuditFacts(
            encoder=self.name,
            corpus=corpus.name,
            fingerprint=corpus.fingerprint(),
            queries=corpus.queries.num_rows,
            passages=corpus.passages.num_rows,
            extra={"run": str(self.file), "checksum": checksum(Path(self.file)), "unknown": self.unknown},
        )

    def answers(self, judge: Judge) -> AnswerTable:
        """All lists at once.

        Args:
            judge: the corpus whose rows the ids of the file name, and the queries whose lists count.

        Raises:
            ReaderError: the file is missing or malformed.
            AuditError: ids name no row of the corpus, or a passage is twice in a list.

        """
        if self._lines is None:
            self._lines = read_run(self.file)
        lines, corpus = self._lines, judge.whole
        self.notes.clear()
        asked = self._rows(lines.query, corpus, "queries")
        passage = self._rows(lines.passage, corpus, "passages")
        row = _numbers_of(judge.queries, corpus.queries)[asked]
        kept = np.flatnonzero(row >= 0)
        order = kept[_order(row[kept], lines, kept, self)]
        self._note_missing(row[order], judge.queries)
        score = None if lines.score is None else lines.score[order]
        found = AnswerTable(row[order], passage[order], score=score)
        self.longest = int(np.bincount(found.query).max(initial=0))
        judge.check_distinct(self.name, found, lambda place: f"{self.file}, line {lines.line(int(order[place])):,}")
        return found

    def retrieve(self, queries: pa.Table, k: Sequence[int]) -> Iterator[Sequence[Answer]]:
        """The answers to one query after the other, as the file names them: the item of an answer is an id without a language."""
        if self._lines is None:
            self._lines = read_run(self.file)
        lines = self._lines
        rows = rows_of_ids(lines.query, queries).fill_null(-1).to_numpy().astype(np.int64)
        kept = np.flatnonzero(rows >= 0)
        order = kept[_order(rows[kept], lines, kept, self)]
        ends = np.searchsorted(rows[order], np.arange(queries.num_rows + 1))
        for row, most in enumerate(k):
            places = order[int(ends[row]) : int(min(ends[row + 1], ends[row] + most))]
            scores = [None] * len(places) if lines.score is None else lines.score[places].tolist()
            yield [
                Answer(name, "", score)
                for name, score in zip(lines.passage.gather(places).to_list(), scores, strict=True)
            ]

    def _rows(self, ids: pl.Series, corpus: Corpus, side: str) -> Integers:
        """The rows of a side that ids name; -1 for passages that are none, if they may be."""
        rows = rows_of_ids(ids, getattr(corpus, side))
        if rows.has_nulls():
            assert self._lines is not None
            places = rows.is_null().arg_true()
            names = ids.gather(places)
            number, first = names.n_unique(), int(places[0])
            what = "query" if side == "queries" else "passage"
            sentence = (
                f"{number:,} of {ids.n_unique():,} {what} ids name no {what} of {corpus.name}, first {ids[first]!r} in "
                f"line {self._lines.line(first):,}"
            )
            if side == "queries" or self.unknown == "error":
                there = corpus.row_ids(side)[:1]
                like = f"; the first {what} of the corpus is {there[0]!r}" if there else ""
                more = (
                    ""
                    if side == "queries"
                    else "; if the engine holds more than the corpus, count them as wrong with  --unknown-ids wrong"
                )
                raise AuditError(f"{self.file}: {sentence}{like}; {_HINT}{more}")
            if number == ids.n_unique():
                raise AuditError(
                    f"{self.file}: none of its {number:,} passage ids names a passage of {corpus.name}; {_HINT}"
                )
            self.notes.append(f"{self.name}: {sentence}; they count as wrong answers in an unknown language")
        return rows.fill_null(-1).to_numpy().astype(np.int64)

    def _note_missing(self, row: Integers, queries: pa.Table) -> None:
        there = np.zeros(queries.num_rows, dtype=bool)
        there[row] = True
        if (gone := np.flatnonzero(~there)).size:
            first = queries.slice(int(gone[0]), 1).select(["item", "lang"]).to_pylist()[0]
            self.notes.append(
                f"{self.name}: has no answers to {len(gone):,} of {queries.num_rows:,} queries, first {first['item']!r} in "
                f"{first['lang']}; they count as empty lists, as in  trec_eval -c"
            )


def _numbers_of(queries: pa.Table, everything: pa.Table) -> Integers:
    """For each query row of the corpus, its number among the queries that are asked; -1 if it is not."""
    if queries is everything:
        return np.arange(everything.num_rows)
    names = ["item", "lang", "text"]
    asked, all_rows = (
        cast(pl.DataFrame, pl.from_arrow(table.select(names))).with_columns(
            pl.int_range(pl.len()).over(names).alias("nth")
        )
        for table in (queries, everything)
    )
    found = all_rows.join(
        asked.with_row_index("number"), on=[*names, "nth"], how="left", maintain_order="left", nulls_equal=True
    )
    return found["number"].cast(pl.Int64).fill_null(-1).to_numpy().astype(np.int64)


def _order(row: Integers, lines: RunLines, kept: Integers, run: Run) -> Integers:
    """The order of answers by query, then as trec_eval orders them. Notes of ties and ranks are added to the run."""
    if lines.score is None:
        if lines.rank is None:
            return np.argsort(row, kind="stable")
        return np.lexsort((lines.rank[kept], row))
    # trec_eval reads scores as float32, so equal scores of it are equal here.
    score = lines.score[kept].astype(np.float32)
    order = np.arange(len(row))
    next_row, next_score = row[1:] == row[:-1], score[1:] <= score[:-1]
    if not ((row[1:] > row[:-1]) | (next_row & next_score)).all():
        order = np.lexsort((-score, row))
        row, score = row[order], score[order]
        next_row = row[1:] == row[:-1]
    tie = next_row & (score[1:] == score[:-1])
    if tie.any():
        run.notes.append(
            f"{run.name}: {len(np.unique(row[1:][tie])):,} queries have answers with equal scores; among these the greater "
            "passage id is first, as in trec_eval"
        )
        order = _ties_broken(order, tie, lines, kept)
    if lines.rank is not None:
        rank = lines.rank[kept][order]
        against = next_row & ~tie & (rank[1:] < rank[:-1])
        if against.any():
            place = int(np.flatnonzero(against)[0]) + 1
            run.notes.append(
                f"{run.name}: the ranks of {len(np.unique(row[1:][against])):,} queries disagree with the scores, first in line "
                f"{lines.line(int(kept[order[place]])):,}; the scores count, as in trec_eval"
            )
    return order


def _ties_broken(order: Integers, tie: npt.NDArray[np.bool_], lines: RunLines, kept: Integers) -> Integers:
    """An order in which answers with equal scores are by their passage ids, descending."""
    tied = np.zeros(len(order), dtype=bool)
    tied[1:] |= tie
    tied[:-1] |= tie
    places = np.flatnonzero(tied)
    group = np.cumsum(~np.r_[False, tie])[places]
    frame = pl.DataFrame({"group": group, "id": lines.passage.gather(kept[order[places]]), "place": places})
    again = frame.sort("group", "id", descending=[False, True], maintain_order=True)["place"].to_numpy()
    order = order.copy()
    order[places] = order[again]
    return order


__all__ = ["Run"]
