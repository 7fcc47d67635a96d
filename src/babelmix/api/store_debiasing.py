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
from babelmix.api._debias_fitting import check_texts
from babelmix.api._debias_vectors import check_alpha, check_fits, opened_removal
from babelmix.api._folders import RUNS, Out, folder_of
from babelmix.api._loading import check_unfit
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
        copied: the rows whose vectors are copied as they are, by language, because it was not fitted, or not
            asked for.
        written: the number of rows that this call wrote; None: it was not told to write.
        facts: `method`, `alpha`, `similarity`, `removal` (the checksum), and `langs` if only some are corrected.
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
            asked = ", ".join(self.facts.get("langs", []))
            why = f"only {asked} is corrected, not {langs}" if asked else f"no removal is known for {langs}"
            found.append(f"{sum(self.copied.values()):,} rows are copied as they are: {why}")
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
    method: str | None = None,
    removal: str | Path | None = None,
    alpha: float | None = None,
    rank: int | None = None,
    ridge: float | None = None,
    seed: int | None = None,
    texts: int | None = None,
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
        method: how the removal is fitted on rows that are drawn from the store; it needs no translations. None:
            `own-means`.
        removal: use the removal of this file, or of this folder, instead; nothing is fitted then.
        alpha: the share of the removal that is applied; None: all of it, or what the file says.
        rank: of a method that has one; None: its default.
        ridge: of a method that has one; None: its default.
        seed: of a method that is trained.
        texts: the most rows of one language that it is fitted on. None: 2000.
        langs: fit and correct only these languages, each a range (`de` is de-DE too); the vectors of others are copied. Correct
            queries in these languages only.
        to_vector: the name of the new column, or of the new named vector.
        write: write; False: only say what would be written.
        replace: if babelmix made a vector of this name already, remove it and begin again. What someone else made is never
            replaced.
        out: save the removal into this folder; None: into `runs/debiased-STORE` if anything is written.

    Raises:
        SearchError: the store does not answer or is not as the address says; or `to_vector` exists already.
        ArgumentError: the method needs translations or an encoder, or an argument does not go with another.
        EncoderError: there are too few rows or languages, or the file is not a removal, or one for other vectors.
        MissingExtraError: the client of the store is not installed.

    Examples:
        >>> debias_store("postgresql://localhost/shop/articles?id=sku", write=True)  # doctest: +SKIP

    """
    from babelmix.search.foreign import Address, open_store
    from babelmix.search.foreign.removing import draw, not_fitted, rewrite, tag_or_text

    check_alpha(alpha)
    given = {"rank": rank, "ridge": ridge, "seed": seed}
    if removal is not None:
        check_unfit("the removal is fitted already; leave this out", method=method, texts=texts, **given)
    check_texts(texts)
    options = RemovalOptions(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    ranges = None if langs is None else [tag_or_text(one) or one for one in as_list(langs, "langs", empty=False)]
    asked = _Asked(method or USUAL, removal, alpha, options, texts or TEXTS, ranges)
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
        drawn = draw(opened, asked.texts)
        column = Address.parse(store).options.get("lang", "")
        fitted = _removal_of(opened, drawn, asked, begun, where, column)
        rows = drawn.rows
        checksum = fingerprint(fitted)
        facts: dict[str, Any] = {
            "method": fitted.method,
            "alpha": fitted.alpha,
            "similarity": fitted.similarity,
            "removal": checksum,
            **({} if ranges is None else {"langs": ranges}),
        }
        written = None
        if write:
            if begun is None:
                with replacing_folder(where, [RECORD]) as temporary:
                    fitted.save(temporary / FILE)
                    write_json(temporary / RECORD, {
                        "store": opened.address, "vector": opened.vector, "to_vector": to_vector, **asked.record(), **facts,
                    })  # fmt: skip
                if mark is not None:
                    opened.drop(to_vector)
                opened.add(to_vector, _MARK + checksum + asked.mark)
            with progress_bar("writing", sum(rows.values()), "rows") as ticker:
                done = rewrite(opened, to_vector, fitted, ranges, tick=ticker.advance)
            written = done.corrected.total() + done.copied.total()
        return DebiasedStore(
            opened.address, opened.vector, to_vector, rows, not_fitted(rows, fitted, ranges), written, facts,
            opened.next_steps(to_vector), where if write else None, fitted,
        )  # fmt: skip
    finally:
        opened.close()


@dataclass(frozen=True)
class _Asked:
    """What a call asks for. `langs` are ranges; `file` is a removal that is fitted already."""

    method: str
    file: str | Path | None
    alpha: float | None
    options: RemovalOptions
    texts: int
    langs: list[str] | None

    @property
    def mark(self) -> str:
        """What stands behind the checksum in the mark of the new vector."""
        return "" if self.langs is None else f" of {','.join(sorted(self.langs))}"

    def record(self) -> dict[str, Any]:
        """What a call that goes on must ask for too, JSON-serialisable."""
        fit = {"texts": self.texts, **{name: getattr(self.options, name) for name in ("rank", "ridge", "seed")}}
        langs = None if self.langs is None else sorted(self.langs)
        return {
            "asked": self.method if self.file is None else None,
            "options": {"langs": langs, **(fit if self.file is None else {})},
        }


def _removal_of(
    store: ForeignStore, drawn: Drawn, asked: _Asked, begun: str | None, folder: Path, column: str
) -> AnyRemoval:
    """The removal of the file, of the killed run that left it in the folder, or a new one.

    `begun` is the mark of the vector that the store's rows were written with; None: nothing is written yet. `column` is the
    column of languages, for messages.

    Raises:
        SearchError: rows were written with another removal, or with other options.
        EncoderError: the removal of the file is for other vectors, or knows none of the languages.

    """
    from babelmix.search.foreign.removing import LEAST, NO_LANGUAGE, fit, not_fitted, similarity_of

    if asked.file is None and begun is not None:
        return _begun(store, asked, begun, folder)
    if asked.file is not None:
        opened = opened_removal(asked.file, asked.alpha)
        assert opened is not None
        # Without rows it cannot be told how a store compares that does not say so.
        told = store.similarity is not None or bool(drawn.vectors)
        similarity = similarity_of(store, drawn) if told else opened.similarity
        check_fits(opened, store.dimension, similarity, f"those of {store.address}")
        if begun is not None and fingerprint(opened) + asked.mark != begun:
            raise SearchError(
                f"{store.address}: rows were written with another removal, {begun}; begin again with  --replace"
            )
        if asked.langs is not None:
            left = not_fitted(drawn.rows, opened)
            known = [lang for lang in drawn.rows if lang not in left and lang != NO_LANGUAGE]
            match_languages(asked.langs, known, f"{store.address} (languages of {asked.file})", EncoderError)
        return opened
    if asked.langs is not None:
        where = f"{store.address} (languages with {LEAST} rows)"
        named = match_languages(asked.langs, drawn.vectors, where, EncoderError)
        drawn = replace(drawn, vectors={lang: some for lang, some in drawn.vectors.items() if lang in named})
    fitted = fit(drawn, asked.method, asked.options, similarity_of(store, drawn), column)
    return fitted if asked.alpha is None else fitted.with_alpha(asked.alpha)


def _begun(store: ForeignStore, asked: _Asked, begun: str, folder: Path) -> AnyRemoval:
    """The removal that a killed run left in the folder.

    Raises:
        SearchError: it is not there, or rows were written with other options.

    """
    kept = folder / FILE
    if not kept.is_file() or fingerprint(found := load_removal(kept)) != begun.partition(" ")[0]:
        raise SearchError(
            f"{store.address}: rows were written with the removal {begun} already, which is not in {folder}; go on with "
            "it by  --removal FILE  or  --out FOLDER, or begin again with  --replace"
        )
    own = asked.record()
    if recorded(folder / RECORD, "asked") != own["asked"] or (asked.alpha is not None and asked.alpha != found.alpha):
        raise SearchError(
            f"{store.address}: rows were written with {found.method}, alpha {found.alpha:g}; begin again with  --replace"
        )
    # An older run kept no options.
    options = recorded(folder / RECORD, "options") or own["options"]
    for name, value in own["options"].items():
        if name in options and options[name] != value:
            raise SearchError(
                f"{store.address}: rows were written with {name} {_words(options[name])}, and this call asks for {name} "
                f"{_words(value)}; begin again with  --replace"
            )
    return found


def _words(value: Any) -> str:
    return "not given" if value is None else ",".join(value) if isinstance(value, list) else f"{value:g}"


def fingerprint(removal: AnyRemoval) -> str:
    """A checksum of the file of a removal."""
    with tempfile.TemporaryDirectory() as folder:
        content = removal.save(Path(folder) / FILE).read_bytes()
    return hashlib.sha256(content).hexdigest()[:16]


__all__ = ["FILE", "RECORD", "TEXTS", "TO_VECTOR", "USUAL", "DebiasedStore", "debias_store", "fingerprint"]
