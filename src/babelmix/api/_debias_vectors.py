"""Take language out of vectors: `babelmix debias --vectors`."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from babelmix._checksums import checksum
from babelmix._files import check_output_folder, recorded, replacing_folder, write_json
from babelmix._resumable import resumable_folder
from babelmix._tables import Result, Table
from babelmix.api._debias_fitting import Sample, fit, sample_of
from babelmix.api._debias_sides import Side, only, open_sides
from babelmix.api._debias_writing import DTYPES, chunks, finish, write_ids, write_side
from babelmix.corpus import Corpus
from babelmix.encoders.removal import RemovalOptions
from babelmix.errors import ArgumentError, EncoderError, VectorsError
from babelmix.evaluation.systems import Vectors
from babelmix.evaluation.vector_files.spool import Spool

if TYPE_CHECKING:
    import polars as pl

    from babelmix.encoders.removal import AnyRemoval

RECORD = "debias.json"
"""The file that marks a folder as written by `debias`."""

REMOVAL = "removal.safetensors"
"""The file of the removal in such a folder."""


@dataclass(frozen=True, eq=False)
class DebiasedVectors(Result):
    """Vectors that have language taken out.

    Args:
        vectors: the vectors, in the order of the input, ready for `babelmix.audit`.
        removal: what took language out. `removal.apply(vectors, langs, "query")` does the same to other vectors.
        facts: how it was fitted (`method`, `alpha`, `fitted_on`, `stand_in`), what it was applied to (`rows`), and the rows that
            were left as they are because their language was not fitted (`left`), or whose language was told from the vector
            (`told`).
        folder: the folder of the files; None if they are not saved.

    """

    vectors: Vectors
    removal: AnyRemoval
    facts: dict[str, Any]
    folder: Path | None = None

    def tables(self) -> list[Table]:
        """An empty list: `lines` has the numbers."""
        return []

    def headline(self) -> Table:
        """The rows of each language, and the vectors that the removal was fitted on."""
        frame = self.to_frame()
        return Table(
            ["language", *frame.columns[1:]], [[row[0], *(f"{n:,}" for n in row[1:])] for row in frame.rows()]
        )

    def to_frame(self) -> pl.DataFrame:
        """One row per language: `lang`, `queries` and `passages` (rows), `fitted_on_queries` and `fitted_on_passages`."""
        import polars as pl

        rows, fitted = self.facts["rows"], self.facts.get("fitted_on", {})
        counts = {
            **{side: rows.get(side, {}) for side in ("queries", "passages")},
            **{f"fitted_on_{side}": fitted.get(side, {}) for side in ("queries", "passages")},
        }
        langs = sorted({lang for some in counts.values() for lang in some})
        columns = {name: [some.get(lang, 0) for lang in langs] for name, some in counts.items()}
        return pl.DataFrame({"lang": pl.Series(langs, dtype=pl.String), **columns})

    def as_json(self) -> dict[str, Any]:
        """The folder and the facts."""
        return {"folder": str(self.folder) if self.folder is not None else None, **self.facts}

    def lines(self) -> list[str]:
        """What was fitted on what, and the rows that were left as they are."""
        return [*choice_lines(self.facts), *fit_lines(self.facts), *row_lines(self.facts)]

    def places(self) -> dict[str, str]:
        """The files, and the commands that audit them and print the lines of numpy; empty if they are not saved."""
        if self.folder is None:
            return {}
        files = [f"{self.folder / side}.npy" for side in ("queries", "passages") if side in self.facts["rows"]]
        audit = (
            f"   measure them with  babelmix audit --vectors {' '.join(files)} -c CORPUS" if len(files) == 2 else ""
        )
        return {
            "vectors": " ".join(files) + audit,
            "removal": f"{self.folder / REMOVAL}   for your own code:  babelmix debias --export {self.folder}",
        }

    def save(self, folder: str | Path) -> DebiasedVectors:
        """Save the vectors as `queries.npy` and `passages.npy`, with their ids, the removal and the facts.

        Args:
            folder: a new folder, an empty one, or a folder that `debias` wrote, which is replaced.

        Returns:
            A copy of the result that knows its folder.

        Raises:
            BabelmixError: the folder holds other files.

        """
        place = Path(folder)
        check_output_folder(place, [RECORD])
        given = self.vectors
        with replacing_folder(place, [RECORD]) as temporary:
            for side, values, ids in (
                ("queries", given.queries, given.query_ids),
                ("passages", given.passages, given.passage_ids),
            ):
                if values is None:
                    continue
                if isinstance(values, (str, Path)):
                    values = np.lib.format.open_memmap(values, mode="r")
                    beside = Path(given.queries if side == "queries" else given.passages).with_suffix(".ids.txt")
                    if beside.is_file():
                        (temporary / f"{side}.ids.txt").write_bytes(beside.read_bytes())
                np.save(temporary / f"{side}.npy", values)
                if ids is not None:
                    write_ids(ids, temporary / f"{side}.ids.txt")
            self.removal.save(temporary / REMOVAL)
            write_json(temporary / RECORD, self.facts)
        return replace(self, vectors=_saved(given, place), folder=place)


def debias_vectors(
    vectors: Vectors,
    corpus: Corpus | None,
    *,
    method: str,
    alpha: float = 1.0,
    options: RemovalOptions | None = None,
    langs: str | Sequence[str] | None = None,
    removal: AnyRemoval | None = None,
    fit_on: Vectors | None = None,
    fit_corpus: Corpus | None = None,
    queries_langs: str | Path | None = None,
    passages_langs: str | Path | None = None,
    dtype: str = "float32",
    out: Path | None = None,
) -> DebiasedVectors:
    """Take language out of vectors; see `babelmix.debias`.

    Args:
        vectors: the vectors. One side may be None.
        corpus: the corpus whose rows they are; see `open_sides` for what else tells the languages.
        method: see `babelmix.debias`.
        alpha: see `babelmix.debias`.
        options: the options of the method.
        langs: fit only these languages.
        removal: a removal that is fitted already; nothing is fitted then.
        fit_on: the vectors to fit on; None: `vectors`.
        fit_corpus: the corpus whose rows `fit_on` are.
        queries_langs: a table with the languages of the queries.
        passages_langs: a table with the languages of the passages.
        dtype: the type of the values to write, `float32` or `float16`.
        out: the folder to write; None: the result is in memory, or in a temporary file that disappears with it.

    """
    if dtype not in DTYPES:
        raise ArgumentError("dtype", f"{dtype!r} is unknown; use {' or '.join(DTYPES)}")
    sides = open_sides(vectors, corpus, queries_langs=queries_langs, passages_langs=passages_langs)
    there = [side for side in sides if side is not None]
    width = there[0].values.shape[1]

    def fitted() -> tuple[AnyRemoval, dict[str, Any]]:
        if removal is not None:
            return removal, {**dict(removal.facts), "method": removal.method, "alpha": removal.alpha}
        samples = _samples(sides, langs, fit_on, fit_corpus)
        return fit(
            *samples, method=method, alpha=alpha, options=options or RemovalOptions(), similarity=vectors.similarity
        )

    def facts_of(made: AnyRemoval, facts: Mapping[str, Any]) -> dict[str, Any]:
        check_fits(made, width, vectors.similarity)
        given = {"vectors": vectors.name, "corpus": None if corpus is None else corpus.name}
        # What a removal was applied to before is no fact of this run.
        own = {name: value for name, value in facts.items() if name not in ("rows", "left", "told", *given)}
        return {**given, **own, **_applied(made, there), "dimensions": width, "dtype": dtype}

    name = f"{vectors.name}, {removal.method if removal is not None else method}"
    if out is None:
        made, facts = fitted()
        facts = facts_of(made, facts)
        arrays = {side.kind: _in_memory(side, made, dtype) for side in there}
        result = Vectors(
            arrays.get("query"), arrays.get("passage"), name, vectors.similarity,
            query_ids=None if sides[0] is None else sides[0].ids,
            passage_ids=None if sides[1] is None else sides[1].ids,
            dimensions=vectors.dimensions, precision=vectors.precision,
        )  # fmt: skip
        return DebiasedVectors(result, made, facts)
    key = _key(
        [
            vectors.fingerprint, vectors.similarity, None if corpus is None else corpus.fingerprint(), method, alpha,
            repr(options), langs, [None if one is None else _digest(one) for one in (removal, options and options.pairs)],
            None if fit_on is None else fit_on.fingerprint, None if fit_corpus is None else fit_corpus.fingerprint(), dtype,
            [None if one is None else checksum(Path(one)) for one in (queries_langs, passages_langs)],
        ]
    )  # fmt: skip
    with resumable_folder(out, [RECORD], key) as folder:
        if (facts := recorded(folder / RECORD)) is None or not (folder / REMOVAL).is_file():
            made, facts = fitted()
            facts = facts_of(made, facts)
            made.save(folder / REMOVAL)
            write_json(folder / RECORD, facts)
        from babelmix.encoders.removal import load_removal

        # The same removal in every run: that of the file.
        made = load_removal(folder / REMOVAL)
        for side in there:
            write_side(side, made, folder, dtype)
        finish(folder)
    named = replace_name(vectors, name)
    return DebiasedVectors(_saved(named, out), made, facts, out)


def fit_vectors(
    vectors: Vectors,
    corpus: Corpus | None,
    *,
    method: str,
    options: RemovalOptions,
    langs: str | Sequence[str] | None = None,
    fit_on: Vectors | None = None,
    fit_corpus: Corpus | None = None,
) -> AnyRemoval:
    """Fit a removal as `debias_vectors` does, and apply it to nothing."""
    samples = _samples(open_sides(vectors, corpus), langs, fit_on, fit_corpus)
    return fit(*samples, method=method, alpha=1.0, options=options, similarity=vectors.similarity)[0]


def fit_lines(facts: Mapping[str, Any]) -> list[str]:
    """Sentences: what a removal was fitted on, and what stood in for what was missing."""
    fitted = facts.get("fitted_on") or {}
    counts = {side: sum(some.values()) for side, some in fitted.items() if some}
    langs = {lang for some in fitted.values() for lang in some}
    method = f"{facts['method']}, alpha {facts['alpha']:g}"
    if not counts:
        return [f"{method}: fitted before"]
    on = " and ".join(f"{count:,} {side}" for side, count in counts.items())
    found = [f"{method}: fitted on {on} in {len(langs)} languages"]
    if "chosen" in facts:
        found.append(f"{facts['chosen']} is chosen: {facts['because']}")
    stand_in: Mapping[str, str] = facts.get("stand_in") or {}
    if stand_in and "queries" in fitted:
        where = "" if len(stand_in) == len(langs) else f" in {', '.join(sorted(stand_in))}"
        found.append(f"queries{where}: no vectors of queries to fit on, so the passages of their language stand in")
    elif stand_in:
        found.append("passages: no vectors of passages to fit on, so the queries of their language stand in")
    return found


def choice_lines(facts: Mapping[str, Any]) -> list[str]:
    """Sentences: how alpha was chosen on a validation part, and what it does on the test part."""
    chosen = facts.get("frontier") or {}
    return list(chosen.get("lines", []))


def row_lines(facts: Mapping[str, Any]) -> list[str]:
    """Sentences: the rows that were left as they are, and those whose language was told from the vector."""
    found = []
    for side, left in (facts.get("left") or {}).items():
        where = ", ".join(f"{lang} ({count:,})" for lang, count in left.items())
        found.append(
            f"{sum(left.values()):,} {side} are in languages that were not fitted, and are left as they are: {where}"
        )
    found += [
        f"{count:,} {side} are in a language that is unknown or was not fitted; it is told from the vector"
        for side, count in (facts.get("told") or {}).items()
    ]
    return found


def check_fits(removal: AnyRemoval, dimension: int, similarity: str, where: str = "these") -> None:
    """Raise unless a removal is for vectors of a dimension and a similarity. `where` names the vectors in the message.

    Raises:
        EncoderError: it is for others.

    """
    if (removal.dimension, removal.similarity) != (dimension, similarity):
        raise EncoderError(
            f"the removal is for vectors of dimension {removal.dimension} that are compared by {removal.similarity}, and "
            f"{where} have {dimension} and are compared by {similarity}; use a removal that was fitted on vectors of this encoder"
        )


def check_alpha(alpha: float | None) -> None:
    """Raise unless a share is from 0 to 1.

    Raises:
        ArgumentError: it is not.

    """
    if alpha is not None and not 0 <= alpha <= 1:
        raise ArgumentError("alpha", f"{alpha:g} is no share; give a number from 0 (nothing is taken out) to 1")


def opened_removal(removal: str | Path | AnyRemoval | None, alpha: float | None = None) -> AnyRemoval | None:
    """A removal that is given as an object or as its file, or a folder that `debias` wrote; with another alpha if one is given.

    Raises:
        EncoderError: the file is not there, or is no removal.

    """
    from babelmix.encoders.removal import load_removal

    if isinstance(removal, (str, Path)):
        removal = load_removal(removal)
    return removal if removal is None or alpha is None else removal.with_alpha(alpha)


def replace_name(vectors: Vectors, name: str) -> Vectors:
    """The same vectors under another name."""
    return vectors.cut(name, vectors.dimensions, vectors.precision)


def _samples(
    sides: tuple[Side | None, Side | None],
    langs: str | Sequence[str] | None,
    fit_on: Vectors | None,
    fit_corpus: Corpus | None,
) -> tuple[Sample | None, Sample | None]:
    """The passages and the queries to fit on."""
    queries, passages = sides if fit_on is None else open_sides(fit_on, fit_corpus)
    if fit_on is not None:
        width = next(side.values.shape[1] for side in sides if side is not None)
        for side in (queries, passages):
            if side is not None and side.values.shape[1] != width:
                raise VectorsError(
                    f"has {side.values.shape[1]} values in a vector, and the vectors to correct have {width}; fit on vectors of "
                    "the same encoder",
                    file=side.values.source.place,
                )
        # A log of queries alone: the passages are those of the collection.
        passages = passages if passages is not None else sides[1]
    return fit_samples((queries, passages), langs)


def fit_samples(
    sides: tuple[Side | None, Side | None], langs: str | Sequence[str] | None = None
) -> tuple[Sample | None, Sample | None]:
    """The passages and the queries to fit on, in this order, of the queries and the passages that there are.

    Args:
        sides: queries and passages.
        langs: only these languages, each a range.

    Raises:
        ConfigError: a range means no language.

    """
    queries, passages = sides
    wanted = None
    if langs is not None:
        named = next(side for side in (passages, queries) if side is not None)
        wanted = only(named, langs if isinstance(langs, str) else list(langs))
    found = [None if side is None else sample_of(side, wanted) for side in (passages, queries)]
    return found[0], found[1] if found[1] is not None and len(found[1].lang) else None


def _applied(removal: AnyRemoval, sides: Sequence[Side]) -> dict[str, Any]:
    """The rows by language, those that are left as they are, and those whose language is told from the vector."""
    rows, left, told = {}, {}, {}
    for side in sides:
        counts = side.counts()
        unknown = counts.pop(None, 0)
        rows[side.plural] = {str(lang): count for lang, count in counts.items()}
        if unknown:
            rows[side.plural]["und"] = unknown
        missing = {lang: counts[lang] for lang in removal.not_fitted(list(counts))}
        if missing and side.kind == "query" and getattr(removal, "discriminants", None) is not None:
            unknown += sum(missing.values())
        elif missing:
            left[side.plural] = missing
        if unknown:
            told[side.plural] = unknown
    return {"rows": rows, "left": left, "told": told}


def _in_memory(side: Side, removal: AnyRemoval, dtype: str) -> Any:
    with Spool() as spool:
        for made in chunks(side, removal, dtype):
            spool.add(made)
        return spool.matrix()


def _saved(vectors: Vectors, folder: Path) -> Vectors:
    """The vectors of a folder that `debias` wrote."""
    queries, passages = (
        None if given is None else str(folder / f"{side}.npy")
        for side, given in (("queries", vectors.queries), ("passages", vectors.passages))
    )
    return Vectors(
        queries, passages, vectors.name, vectors.similarity, dimensions=vectors.dimensions, precision=vectors.precision
    )


def _digest(removal: Any) -> int:
    with tempfile.TemporaryDirectory() as folder:
        return checksum(removal.save(Path(folder) / REMOVAL))


def _key(facts: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()


__all__ = [
    "RECORD", "REMOVAL", "DebiasedVectors", "check_alpha", "check_fits", "choice_lines", "debias_vectors", "fit_lines",
    "fit_samples", "fit_vectors", "opened_removal", "row_lines",
]  # fmt: skip
