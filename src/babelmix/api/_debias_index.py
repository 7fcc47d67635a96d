"""Take language out of an index: `babelmix debias --index`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from babelmix._lists import as_list
from babelmix._progress import progress_bar
from babelmix._tables import Result, Table
from babelmix.api._debias_fitting import MOST, Sample, fit, shares_of
from babelmix.api._debias_sides import open_sides
from babelmix.api._debias_vectors import check_alpha, fit_lines, fit_samples, opened_removal
from babelmix.corpus import Corpus
from babelmix.corpus.languages import match_languages
from babelmix.encoders.removal import RemovalOptions
from babelmix.errors import ArgumentError, SearchError
from babelmix.evaluation.systems import Vectors

if TYPE_CHECKING:
    import polars as pl

    from babelmix.encoders.removal import AnyRemoval
    from babelmix.search import Index
    from babelmix.search.rows import Point

TEXTS = 200
"""The most rows of a language that are embedded as queries, to fit the removal of queries."""


BATCH = 32
"""The default of `batch_size`."""


@dataclass(frozen=True, eq=False)
class DebiasedIndex(Result):
    """An index that was made from another one, without language in its vectors.

    Args:
        address: the address of the new index.
        source: the address of the old index, which is as it was.
        langs: rows by language.
        removal: what took language out of the rows. It is kept with the index, which corrects queries and new rows by it.
        facts: how it was fitted (`method`, `alpha`, `fitted_on`, `stand_in`), and the rows of languages that were not fitted, by
            language, which are as they were (`left`).

    """

    address: str
    source: str
    langs: dict[str, int]
    removal: AnyRemoval
    facts: dict[str, Any]

    def tables(self) -> list[Table]:
        """Rows by language."""
        rows = [[lang, f"{count:,}"] for lang, count in self.langs.items()]
        return [Table(["language", "rows"], rows, title=f"{self.address} (from {self.source})")]

    def to_frame(self) -> pl.DataFrame:
        """One row per language: lang, rows."""
        import polars as pl

        return pl.DataFrame({"lang": list(self.langs), "rows": list(self.langs.values())})

    def as_json(self) -> dict[str, Any]:
        """The addresses, rows by language, and the facts."""
        return {"index": self.address, "from": self.source, "langs": dict(self.langs), **self.facts}

    def lines(self) -> list[str]:
        """What was fitted on what, and the rows that are as they were."""
        found = fit_lines(self.facts)
        if left := self.facts["left"]:
            where = ", ".join(f"{lang} ({count:,})" for lang, count in left.items())
            found.append(
                f"{sum(left.values()):,} rows are in languages that were not fitted, and are as they were: {where}"
            )
        return found

    def places(self) -> dict[str, str]:
        """The address of the index, and the command that searches it."""
        return {"index": f"{self.address}   search it with  babelmix search 'your words' --in {self.address}"}


def debias_index(
    index: str | Path,
    to: str | Path,
    *,
    method: str | None = None,
    alpha: float | None = None,
    pivot: str | None = None,
    ridge: float | None = None,
    seed: int | None = None,
    rank: int | None = None,
    removal: str | Path | AnyRemoval | None = None,
    fit_on: Vectors | None = None,
    fit_corpus: str | Path | Corpus | None = None,
    texts: int | None = None,
    langs: str | Sequence[str] | None = None,
    model: str | None = None,
    batch_size: int = 32,
    trust_code: bool = False,
) -> DebiasedIndex:
    r"""Take language out of an index: write a new index with corrected vectors.

    The rows are not encoded again, and the old index stays as it is. The removal is kept with the new index: it corrects queries,
    and `babelmix index` corrects new rows by it. An interrupted call goes on where it stopped; until it has ended, the new index
    does not open.

    Args:
        index: the address of the old index.
        to: the address of the new one: a folder, or `http://HOST:PORT/NAME` of a Milvus server.
        method: `own-means` (None), `offsets` and others; see `babelmix.debias`. Rows of one item are translations of each other.
        alpha: how much is taken out, from 0 to 1. None: 1.
        pivot: see `babelmix.debias`.
        ridge: see `babelmix.debias`.
        seed: see `babelmix.debias`.
        rank: see `babelmix.debias`.
        removal: a removal that is fitted already, or its file, or `auto`: the one that babelmix has for the index's encoder.
        fit_on: vectors of the index's encoder to fit on in place of its rows; see `babelmix.debias`.
        fit_corpus: the corpus whose rows `fit_on` are.
        texts: rows of each language that are embedded as queries, to fit the removal of queries on them. None: 200, if the
            encoder embeds queries otherwise than passages, or else 0; 0: the mean of a language's rows stands in.
        langs: fit only these languages.
        model: the new path of the index's encoder, if it was moved.
        batch_size: the number of texts per forward pass.
        trust_code: run code that the encoder contains or names; see `babelmix.load_model`.

    Raises:
        SearchError: there is no such index, language is taken out of it already, or there is an index at `to`.
        EncoderError: there is no such method, or too few rows; or the encoder cannot be loaded.
        ArgumentError: an argument does not go with another.

    Examples:
        >>> debias_index("my-index", "new-index", alpha=0.5)  # doctest: +SKIP

    """
    from babelmix.api._loading import check_unfit, opened
    from babelmix.search import Index
    from babelmix.search.copying import begun_copy, copy_corrected
    from babelmix.search.removal import SHIPPED, removal_for

    check_alpha(alpha)
    given = {"rank": rank, "pivot": pivot, "ridge": ridge, "seed": seed}
    if removal is not None:
        check_unfit(
            "the removal is fitted already; leave this out",
            method=method,
            langs=langs,
            texts=texts,
            fit_on=fit_on,
            batch_size=None if batch_size == BATCH else batch_size,
            **given,
        )
    if fit_on is not None:
        check_unfit("is for rows that are embedded as queries; with fit_on there are none", texts=texts)
    if fit_corpus is not None and fit_on is None:
        raise ArgumentError("fit_corpus", "is the corpus of the vectors to fit on; name those with fit_on")
    options = RemovalOptions(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    method = method or "own-means"
    with Index.open(str(index)) as source:
        # The same call finds what it has begun by this key.
        asked = [str(index), method, alpha, repr(options), str(removal), repr(fit_on), str(fit_corpus), texts, langs]
        key = hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()
        with begun_copy(source, str(to), key) as begun:
            if begun is not None:
                made = begun.removal
                assert made is not None
            elif removal is not None and removal == SHIPPED:
                made = removal_for(removal, _encoder(source, model, trust_code), source.about.encoder)
                assert made is not None
                made = made if alpha is None else made.with_alpha(alpha)
            elif removal is not None:
                made = opened_removal(removal, alpha)
                assert made is not None
            else:
                samples = (
                    _samples(source, texts, langs, model, batch_size, trust_code)
                    if fit_on is None
                    else fit_samples(open_sides(fit_on, None if fit_corpus is None else opened(fit_corpus)), langs)
                )
                made, how = fit(
                    *samples, method=method, alpha=1.0 if alpha is None else alpha, options=options,
                    similarity=source.about.similarity,
                )  # fmt: skip
                if fit_on is None and _alike(source):
                    # Passages do not stand in for queries: they are embedded in the same way.
                    made = made.with_facts({**made.facts, **how, "stand_in": {}})
            target = copy_corrected(source, str(to), made, key, begun)
            with closing(target):
                counts = target.langs()
                left = {lang: counts[lang] for lang in made.not_fitted(list(counts))}
                facts = {**dict(made.facts), "method": made.method, "alpha": made.alpha, "left": left}
                return DebiasedIndex(str(to), str(index), counts, made, facts)


def _encoder(index: Index, model: str | None, trust_code: bool) -> Any:
    """The encoder of an index."""
    from babelmix.search.index_encoder import encoder_of

    encoder = encoder_of(index, model=model, trust_code=trust_code)
    index.check_encoder(encoder)
    return encoder


def _alike(index: Index) -> bool:
    """Whether the encoder of an index embeds queries and passages in the same way."""
    prompts = index.about.prompts
    return prompts.get("query", "") == prompts.get("document", "")


def _samples(
    index: Index,
    texts: int | None,
    langs: str | Sequence[str] | None,
    model: str | None,
    batch_size: int,
    trust_code: bool,
) -> tuple[Sample, Sample | None]:
    """The rows of an index to fit on, and some of them embedded as queries."""
    counts = index.langs()
    if langs is not None:
        wanted = match_languages(as_list(langs, "langs", empty=False), counts, index.address, SearchError)
        counts = {lang: counts[lang] for lang in wanted}
    limit = (0 if _alike(index) else TEXTS) if texts is None else texts
    points = list(_drawn(index, counts))
    names = tuple(counts)
    passages = _sample(points, names, np.array([point.vector for _, point in points], dtype=np.float32))
    asked = _first_texts(points, limit)
    if not asked:
        return passages, None
    from babelmix.encoders import encode

    encoder = _encoder(index, model, trust_code)
    found = encode(
        encoder,
        [point.row.text or "" for _, point in asked],
        "query",
        batch_size=batch_size,
        label="encoding as query",
    )
    return passages, _sample(asked, names, index.ready(found))


def _drawn(index: Index, counts: dict[str, int]) -> Iterator[tuple[float, Point]]:
    """Rows to fit on, each with a number of its item, uniform from 0 to 1; those of an item together."""
    names = list(counts)
    shares = dict(zip(names, shares_of(np.array([counts[name] for name in names]), MOST).tolist(), strict=True))
    with progress_bar("reading rows", sum(counts.values()), "rows") as bar:
        for point in index.engine.points(names):
            bar.advance(1)
            number = int.from_bytes(hashlib.blake2b(point.row.item.encode(), digest_size=6).digest(), "big") / (
                1 << 48
            )
            if number < shares[point.row.lang] and point.vector is not None and point.vector.any():
                yield number, point


def _first_texts(points: Sequence[tuple[float, Point]], limit: int) -> list[tuple[float, Point]]:
    """The texts with the smallest numbers, at most `limit` of each language."""
    found: list[tuple[float, Point]] = []
    counts: dict[str, int] = {}
    for number, point in sorted(points, key=lambda one: (one[0], one[1].id)):
        lang = point.row.lang
        if point.row.text is not None and counts.get(lang, 0) < limit:
            counts[lang] = counts.get(lang, 0) + 1
            found.append((number, point))
    return found


def _sample(points: Sequence[tuple[float, Point]], names: tuple[str, ...], vectors: Any) -> Sample:
    places = {name: place for place, name in enumerate(names)}
    lang = np.array([places[point.row.lang] for _, point in points], dtype=np.int64)
    item = np.unique([point.row.item for _, point in points], return_inverse=True)[1].astype(np.int64)
    return Sample(vectors, lang, names, item)


__all__ = ["TEXTS", "DebiasedIndex", "debias_index"]
