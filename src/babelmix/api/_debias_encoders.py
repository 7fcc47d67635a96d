"""Take language out of an encoder: fitted on texts, or by a removal that is fitted already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._files import check_output_folder, recorded, replacing_folder, slug, write_json, write_text
from babelmix._lists import as_list
from babelmix._tables import Result, Table
from babelmix.api._debias_vectors import RECORD, check_fits, choice_lines, opened_removal
from babelmix.api._folders import Out, folder_of
from babelmix.api._loading import loaded
from babelmix.corpus import Corpus
from babelmix.encoders.removal import RemovalOptions
from babelmix.errors import ArgumentError, EncoderError

if TYPE_CHECKING:
    import polars as pl
    from sentence_transformers import SentenceTransformer

    from babelmix.api.frontier_reports import FrontierReport
    from babelmix.encoders.removal import AnyRemoval
    from babelmix.search.documents import RowSource


TEXTS = 500
"""The default of the most texts of one language that a removal is fitted on."""


@dataclass(frozen=True, eq=False)
class DebiasedModel(Result):
    """An encoder whose embeddings have language taken out.

    Args:
        encoder: the encoder, ready to use. Its last modules remove language.
        base: the name of the original encoder.
        facts: `method`, `rank`, `on` (the name of the texts for fitting), `texts` and `queries` (their numbers by language).
        folder: the folder of the saved encoder; None if it is not saved.
        frontier: how alpha was chosen; None if it was not.

    """

    encoder: SentenceTransformer
    base: str
    facts: dict[str, Any]
    folder: Path | None = None
    frontier: FrontierReport | None = None

    def tables(self) -> list[Table]:
        """An empty list: `lines` has the number of texts for fitting."""
        return []

    def headline(self) -> Table:
        """The numbers of texts and queries for fitting, by language."""
        rows = [[lang, f"{texts:,}", f"{queries:,}"] for lang, texts, queries in self.to_frame().iter_rows()]
        return Table(["language", "texts", "queries"], rows)

    def to_frame(self) -> pl.DataFrame:
        """The numbers of texts and queries for fitting: columns `lang`, `texts` and `queries`, one row per language."""
        import polars as pl

        texts, queries = self.facts["texts"], self.facts["queries"]
        counts = [queries.get(lang, 0) for lang in texts]
        return pl.DataFrame({"lang": list(texts), "texts": list(texts.values()), "queries": counts})

    def as_json(self) -> dict[str, Any]:
        """The folder and the facts."""
        return {"folder": str(self.folder) if self.folder is not None else None, **self.facts}

    def lines(self) -> list[str]:
        """How alpha was chosen; and a sentence: the numbers of texts, queries and languages for fitting."""
        chosen = choice_lines(self.facts)
        if not self.facts["texts"]:
            langs = self.facts.get("langs", [])
            return [
                *chosen,
                f"{self.facts['on']}: {self.facts['method']}, alpha {self.facts['alpha']:g}, {len(langs)} languages",
            ]
        texts, asked = self.facts["texts"], sum(self.facts["queries"].values())
        queries = f" and {asked:,} queries" if asked else ""
        return [*chosen, f"fitted on {sum(texts.values()):,} texts{queries} in {len(texts)} languages"]

    def places(self) -> dict[str, str]:
        """The folder of the encoder, and the command that audits it; empty if it is not saved."""
        if self.folder is None:
            return {}
        return {"encoder": f"{self.folder}   measure it with  babelmix audit {self.folder} --corpus CORPUS"}

    def save(self, folder: str | Path) -> DebiasedModel:
        """Save the encoder as a folder.

        `SentenceTransformer(path)` loads it, except for the methods `means` and `components`: load these with
        `babelmix.load_model`.

        Args:
            folder: a new folder, an empty one, or a folder that `debias` wrote, which is replaced.

        Returns:
            A copy of the result that knows its folder.

        Raises:
            BabelmixError: the folder holds other files.

        """
        place = Path(folder)
        check_output_folder(place, [RECORD])
        with replacing_folder(place, [RECORD]) as temporary:
            self.encoder.save(str(temporary), create_model_card=False)
            write_json(temporary / RECORD, {"base": self.base, **self.facts})
            if self.frontier is not None:
                write_text(temporary / "README.md", f"# {self.base} without language\n\n{self.frontier.card()}")
                write_text(temporary / "frontier.svg", self.frontier.figure())
        return replace(self, folder=place)


def debias_encoder(
    model: str | Path | SentenceTransformer,
    on: str | Path | Corpus,
    *,
    method: str | None,
    rank: int | None,
    texts: int | None,
    langs: str | Sequence[str] | None,
    out: Out,
    batch_size: int,
    max_seq_length: int | None,
    trust_code: bool,
    alpha: float | None,
    options: RemovalOptions,
) -> DebiasedModel:
    from babelmix.encoders.debias import debiased, fitted_removal, with_removal
    from babelmix.encoders.limits import cut_after, length_limit
    from babelmix.encoders.removal import removal_method

    method = method or "centred"
    removal = removal_method(method)
    # Check before anything is loaded: some methods have no rank.
    removal.rank_for(method, rank or 0, 2)
    folder = folder_of_model(out, model)
    where, found, given = fitting_texts(on, texts or TEXTS, langs, pairs=removal.needs_pairs)
    asked = given["queries"]
    encoder, name = loaded(model, trust_code=trust_code)
    options = with_shipped(options, method, encoder, name)
    own_limit = length_limit(encoder)
    cut_after(encoder, max_seq_length or 0)
    how: dict[str, Any] = {
        **given, "method": method, "rank": rank or 0, "options": options, "batch_size": batch_size,
    }  # fmt: skip
    if alpha is None:
        made = debiased(encoder, found, **how)
    else:
        made = with_removal(encoder, fitted_removal(encoder, found, **how).with_alpha(alpha))
    if own_limit is not None:
        # Fitting cut the texts to save time. The result has the encoder's own limit again.
        made.max_seq_length = own_limit
    facts = {
        "method": method, "rank": removal.rank_for(method, rank or 0, len(found)), "on": where,
        "texts": _counts(found), "queries": _counts(asked), **({} if alpha is None else {"alpha": alpha}),
    }  # fmt: skip
    result = DebiasedModel(made, name, facts)
    return result if folder is None else result.save(folder)


def fitting_texts(
    on: str | Path | Corpus, texts: int, langs: str | Sequence[str] | None, *, pairs: bool
) -> tuple[str, dict[str, list[str]], dict[str, Any]]:
    """The name of the texts to fit on, the texts by language, and `queries`, `items` and `query_items` of `fitted_removal`.

    With `pairs`, only texts and queries that have translations.
    """
    from babelmix.encoders.debias import LEAST
    from babelmix.search.documents import sampled_queries, sampled_texts

    if pairs:
        where, (found, items), (asked, query_items) = _fitting_pairs(on, texts, langs)
        return where, found, {"queries": asked, "items": items, "query_items": query_items}
    rows = _fitting_rows(on, langs)
    found, asked = sampled_texts(rows, texts), sampled_queries(rows, texts)
    asked = {lang: some for lang, some in asked.items() if lang in found and len(some) >= LEAST}
    return rows.name, found, {"queries": asked, "items": None, "query_items": None}


def with_shipped(options: RemovalOptions, method: str, encoder: SentenceTransformer, name: str) -> RemovalOptions:
    """The options of a method; those of `auto` with the removal that babelmix has for the encoder, if none is given."""
    from babelmix.search.removal import shipped

    if method != "auto" or options.pairs is not None:
        return options
    return replace(options, pairs=shipped(encoder, name))


_Pairs = tuple[dict[str, list[str]], dict[str, list[str]]]
"""Texts by language, and the item of each."""


def _fitting_pairs(
    on: str | Path | Corpus, texts: int, langs: str | Sequence[str] | None
) -> tuple[str, _Pairs, _Pairs]:
    """The name of the texts to fit on, the texts that have translations, and the queries that have."""
    from babelmix.encoders.debias import LEAST
    from babelmix.search.documents import sampled_pairs, sampled_query_pairs

    rows = _fitting_rows(on, langs)
    found, items = sampled_pairs(rows, texts)
    if not found:
        raise EncoderError(f"{rows.name}: has no translations: no item is in two languages; use own-means or centred")
    asked, query_items = sampled_query_pairs(rows, texts)
    if any(len(asked.get(lang, ())) < LEAST for lang in found):
        asked, query_items = {}, {}
    asked = {lang: some for lang, some in asked.items() if lang in found}
    return rows.name, (found, items), (asked, query_items)


def _fitting_rows(on: str | Path | Corpus, langs: str | Sequence[str] | None) -> RowSource:
    from babelmix.search import open_rows
    from babelmix.search.documents import rows_of_corpus

    wanted = None if langs is None else as_list(langs, "langs", empty=False)
    if isinstance(on, Corpus):
        return rows_of_corpus(on if wanted is None else on.only_langs(wanted))
    return open_rows(str(on), langs=wanted)


def with_fitted(
    model: str | Path | SentenceTransformer,
    removal: str | Path | AnyRemoval | None,
    alpha: float | None,
    out: Out,
    trust_code: bool,
) -> DebiasedModel:
    """An encoder with a removal that is fitted already: the given one, or the one that babelmix has for it."""
    from babelmix.encoders.debias import with_removal

    found = opened_removal(removal)
    folder = folder_of_model(out, model)
    encoder, name = loaded(model, trust_code=trust_code)
    found = found or known_removal(encoder, name)
    dimension = encoder.get_embedding_dimension() or found.dimension
    similarity = "cosine" if str(encoder.similarity_fn_name) == "cosine" else "dot"
    check_fits(found, dimension, similarity, f"the embeddings of {name}")
    found = found if alpha is None else found.with_alpha(alpha)
    facts = {
        **dict(found.facts), "method": found.method, "alpha": found.alpha, "rank": 0, "langs": list(found.langs), "texts": {},
        "queries": {}, "on": f"the removal {removal}" if isinstance(removal, (str, Path)) else f"the removal for {name}",
    }  # fmt: skip
    result = DebiasedModel(with_removal(encoder, found), name, facts)
    return result if folder is None else result.save(folder)


def folder_of_model(out: Out, model: str | Path | SentenceTransformer) -> Path | None:
    folder = folder_of(
        out,
        f"debiased-{slug(str(model))}",
        lambda place: Path(recorded(place / RECORD, "base") or str(model)) != Path(str(model)),
    )
    if folder is not None:
        check_output_folder(folder, [RECORD])
    return folder


def known_removal(encoder: SentenceTransformer, name: str) -> AnyRemoval:
    """The removal that comes with babelmix for an encoder.

    Raises:
        ArgumentError: there is none.

    """
    from babelmix.search.removal import shipped

    found = shipped(encoder, name)
    if found is None:
        raise ArgumentError(
            "on",
            f"is missing: babelmix has no removal for {name}; say which texts to fit on; see  babelmix debias --help",
        )
    return found


def _counts(texts: dict[str, list[str]]) -> dict[str, int]:
    return {lang: len(some) for lang, some in texts.items()}


__all__ = [
    "DebiasedModel",
    "debias_encoder",
    "fitting_texts",
    "folder_of_model",
    "known_removal",
    "with_fitted",
    "with_shipped",
]
