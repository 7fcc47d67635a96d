"""`babelmix debias --store`: language out of the vectors of a store, written beside the old ones."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._files import check_output_folder, recorded, replacing_folder, slug, write_json
from babelmix._lists import as_list
from babelmix._progress import progress_bar
from babelmix._tables import Result, Table
from babelmix.api._debias_vectors import check_alpha, opened_removal
from babelmix.api._folders import RUNS, Out, folder_of
from babelmix.corpus.languages import match_languages
from babelmix.encoders.removal import AnyRemoval, RemovalOptions, load_removal
from babelmix.errors import ArgumentError, EncoderError, SearchError

if TYPE_CHECKING:
    import polars as pl

    from babelmix.search.foreign import ForeignStore
    from babelmix.search.foreign.removing import Drawn

RECORD = "debias-store.json"
"""The file that marks a folder as written by `debias_store`."""

FILE = "removal.safetensors"
"""The file of the removal in this folder."""

TO_VECTOR = "embedding_debiased"
"""The default name of the new vector."""

TEXTS = 2000
"""The default of the most rows of one language that a removal is fitted on."""

USUAL = "own-means"
"""The default method."""

_MARK = "babelmix removal "


@dataclass(frozen=True, eq=False)
class DebiasedStore(Result):
    """What was written into a store, or would be.

    Args:
        store: the address, without password.
        vector: the name of the vector that was read.
        to_vector: the name of the new vector.
        rows: the number of rows by language.
        copied: the rows whose vectors are copied as they are, by language, because it was not fitted.
        written: the number of rows that this call wrote; None: it was not told to write.
        facts: `method`, `alpha`, `similarity`, `removal` (the checksum) and what the removal's facts say.
        steps: what to do next, each by a short description.
        folder: the folder of the removal; None if it is not saved.
        removal: the removal: `removal.apply(vectors, langs, "query")` corrects queries.

    """

    store: str
    vector: str
    to_vector: str
    rows: dict[str, int]
    copied: dict[str, int]
    written: int | None
    facts: dict[str, Any]
    steps: dict[str, str]
    folder: Path | None
    removal: AnyRemoval

    def tables(self) -> list[Table]:
        """The number of rows by language."""
        rows = [
            [lang, f"{count:,}", "copied as it is" if lang in self.copied else "corrected"]
            for lang, count in self.rows.items()
        ]
        return [Table(["language", "rows", "vector"], rows)]

    def to_frame(self) -> pl.DataFrame:
        """The number of rows by language: columns `lang`, `rows` and `corrected` (whether their vectors are)."""
        import polars as pl

        corrected = [lang not in self.copied for lang in self.rows]
        return pl.DataFrame({"lang": list(self.rows), "rows": list(self.rows.values()), "corrected": corrected})

    def as_json(self) -> dict[str, Any]:
        """All but the removal itself."""
        return {
            "store": self.store, "vector": self.vector, "to_vector": self.to_vector, "rows": self.rows,
            "copied": self.copied, "written": self.written, "folder": str(self.folder) if self.folder else None,
            "next": self.steps, **self.facts,
        }  # fmt: skip

    def lines(self) -> list[str]:
        """How many rows were written, and what was left alone."""
        kept = f"{self.facts['method']}, alpha {self.facts['alpha']:g}, {self.facts['similarity']}"
        name = self.vector or "(unnamed)"
        if self.written is None:
            found = [f"nothing was written: {name} -> {self.to_vector} ({kept}); write with  --write"]
        else:
            found = [f"{self.written:,} rows written: {name} -> {self.to_vector} ({kept}); {name} is as it was"]
        if self.copied:
            langs = ", ".join(self.copied)
            found.append(f"{sum(self.copied.values()):,} rows are copied as they are: no removal is known for {langs}")
        return found

    def places(self) -> dict[str, str]:
        """The removal, and what to do next."""
        if self.folder is None:
            return {}
        file = self.folder / FILE
        return {
            "removal": str(file),
            "queries": f"correct them by the lines of  babelmix debias --export {file}",
            **self.steps,
        }


def debias_store(
    store: str,
    *,
    method: str = USUAL,
    removal: str | Path | None = None,
    alpha: float | None = None,
    rank: int | None = None,
    ridge: float | None = None,
    seed: int | None = None,
    texts: int = TEXTS,
    langs: str | Sequence[str] | None = None,
    to_vector: str = TO_VECTOR,
    write: bool = False,
    replace: bool = False,
    out: Out = None,
) -> DebiasedStore:
    """Take language out of the vectors of a foreign store; the new vectors are written beside the old ones under another name.

    The old vectors are never written. Memory does not grow with the store. After a killed run, the same call goes on. Rows that
    were added later are written by the same call too.

    Args:
        store: an address, `postgresql://HOST/DATABASE/TABLE?vector=embedding&lang=lang` or
            `qdrant://HOST:6333/COLLECTION?lang=payload.lang`; see `babelmix.search.foreign.open_store`.
        method: how the removal is fitted on rows that are drawn from the store; it needs no translations: `own-means`.
        removal: use the removal of this file instead.
        alpha: the share of the removal that is applied; None: all of it, or what the file says.
        rank: of a method that has one; None: its default.
        ridge: of a method that has one; None: its default.
        seed: of a method that is trained.
        texts: the most rows of one language that it is fitted on.
        langs: fit and correct only these languages, each a range (`de` is de-DE too); the vectors of others are copied.
        to_vector: the name of the new column, or of the new named vector.
        write: write; False: only say what would be written.
        replace: if babelmix made a vector of this name already, remove it and begin again. What someone else made is never
            replaced.
        out: save the removal into this folder; None: into `runs/debiased-STORE` if anything is written.

    Raises:
        SearchError: the store does not answer or is not as the address says; or `to_vector` exists already.
        ArgumentError: the method needs translations or an encoder.
        EncoderError: there are too few rows or languages, or the file is not a removal.
        MissingExtraError: the client of the store is not installed.

    Examples:
        >>> debias_store("postgresql://localhost/shop/articles?id=sku", write=True)  # doctest: +SKIP

    """
    from babelmix.search.foreign import Address, open_store
    from babelmix.search.foreign.removing import draw, not_fitted, rewrite

    check_alpha(alpha)
    opened = open_store(store)
    try:
        if to_vector == opened.vector:
            raise ArgumentError(
                "to_vector", f"{to_vector!r} is the original vector, which is never written; choose another name"
            )
        mark = opened.mark(to_vector)
        if mark == "":
            raise ArgumentError(
                "to_vector",
                f"{opened.address} has {to_vector!r} already, and babelmix did not make it; choose another name",
            )
        where = folder_of(
            RUNS if out is None else out, f"debiased-{slug(f'{opened.address}-{to_vector}')}",
            lambda place: recorded(place / RECORD, "store") not in (None, opened.address),
        )  # fmt: skip
        assert where is not None
        if write:
            check_output_folder(where, [RECORD])
        begun = None if mark is None or replace else mark.removeprefix(_MARK)
        drawn = draw(opened, texts)
        column = Address.parse(store).options.get("lang", "")
        given = {"rank": rank, "ridge": ridge, "seed": seed}
        options = RemovalOptions(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
        fitted = _removal_of(opened, drawn, method, options, removal, alpha, langs, begun, where, column)
        rows = drawn.rows
        checksum = fingerprint(fitted)
        facts: dict[str, Any] = {
            "method": fitted.method,
            "alpha": fitted.alpha,
            "similarity": fitted.similarity,
            "removal": checksum,
        }
        written = None
        if write:
            if begun is None:
                with replacing_folder(where, [RECORD]) as temporary:
                    fitted.save(temporary / FILE)
                    write_json(temporary / RECORD, {
                        "store": opened.address, "vector": opened.vector, "to_vector": to_vector, "asked": method, **facts,
                    })  # fmt: skip
                if mark is not None:
                    opened.drop(to_vector)
                opened.add(to_vector, _MARK + checksum)
            with progress_bar("writing", sum(rows.values()), "rows") as ticker:
                done = rewrite(opened, to_vector, fitted, tick=ticker.advance)
            written = done.corrected.total() + done.copied.total()
        return DebiasedStore(
            opened.address, opened.vector, to_vector, rows, not_fitted(rows, fitted), written, facts,
            opened.next_steps(to_vector), where if write else None, fitted,
        )  # fmt: skip
    finally:
        opened.close()


def _removal_of(
    store: ForeignStore, drawn: Drawn, method: str, options: RemovalOptions, file: str | Path | None, alpha: float | None,
    langs: str | Sequence[str] | None, begun: str | None, folder: Path, column: str,
) -> AnyRemoval:  # fmt: skip
    """The removal of the file, of the killed run that left it in the folder, or a new one.

    `begun` is the checksum of the removal that the store's rows were written with; None: nothing is written yet. `column` is the
    column of languages, for messages.

    Raises:
        SearchError: rows were written with another removal.

    """
    from babelmix.search.foreign.removing import LEAST, fit, similarity_of, tag_or_text

    if file is None and begun is not None:
        kept = folder / FILE
        if not kept.is_file() or fingerprint(found := load_removal(kept)) != begun:
            raise SearchError(
                f"{store.address}: rows were written with the removal {begun} already, which is not in {folder}; go on with "
                "it by  --removal FILE  or  --out FOLDER, or begin again with  --replace"
            )
        if recorded(folder / RECORD, "asked") != method or (alpha is not None and alpha != found.alpha):
            raise SearchError(
                f"{store.address}: rows were written with {found.method}, alpha {found.alpha:g}; begin again with  --replace"
            )
        return found
    if file is not None:
        opened = opened_removal(file, alpha)
        assert opened is not None
        found = opened
        if found.dimension != store.dimension:
            raise SearchError(
                f"{file}: is for vectors of dimension {found.dimension}, and {store.address} has {store.dimension}"
            )
        if begun is not None and fingerprint(found) != begun:
            raise SearchError(
                f"{store.address}: rows were written with another removal, {begun}; begin again with  --replace"
            )
        return found
    wanted = None if langs is None else as_list(langs, "langs", empty=False)
    if wanted is not None:
        ranges = [tag_or_text(one) or one for one in wanted]
        named = match_languages(ranges, drawn.vectors, f"{store.address} (languages with {LEAST} rows)", EncoderError)
        drawn = replace(drawn, vectors={lang: some for lang, some in drawn.vectors.items() if lang in named})
    fitted = fit(drawn, method, options, similarity_of(store, drawn), column)
    return fitted if alpha is None else fitted.with_alpha(alpha)


def fingerprint(removal: AnyRemoval) -> str:
    """A checksum of the file of a removal."""
    with tempfile.TemporaryDirectory() as folder:
        content = removal.save(Path(folder) / FILE).read_bytes()
    return hashlib.sha256(content).hexdigest()[:16]


__all__ = ["FILE", "RECORD", "TEXTS", "TO_VECTOR", "USUAL", "DebiasedStore", "debias_store", "fingerprint"]
