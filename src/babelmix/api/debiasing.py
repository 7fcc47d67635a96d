"""Take language out of an encoder's embeddings: `babelmix debias`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._files import check_output_folder, recorded, replacing_folder, slug, write_json
from babelmix._lists import as_list
from babelmix._tables import Result, Table
from babelmix.api._folders import Out, folder_of
from babelmix.api._loading import loaded
from babelmix.corpus import Corpus

if TYPE_CHECKING:
    import polars as pl
    from sentence_transformers import SentenceTransformer

RECORD = "debias.json"
"""The file that marks a folder as written by `debias`."""


@dataclass(frozen=True, eq=False)
class DebiasedModel(Result):
    """An encoder whose embeddings have language taken out.

    Args:
        encoder: the encoder, ready to use. Its last modules remove language.
        base: the name of the original encoder.
        facts: `method`, `rank`, `on` (the name of the texts for fitting), `texts` and `queries` (their numbers by language).
        folder: the folder of the saved encoder; None if it is not saved.

    """

    encoder: SentenceTransformer
    base: str
    facts: dict[str, Any]
    folder: Path | None = None

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
        """A sentence: the numbers of texts, queries and languages for fitting."""
        texts, asked = self.facts["texts"], sum(self.facts["queries"].values())
        queries = f" and {asked:,} queries" if asked else ""
        return [f"fitted on {sum(texts.values()):,} texts{queries} in {len(texts)} languages"]

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
        return replace(self, folder=place)


def debias(
    model: str | Path | SentenceTransformer,
    on: str | Path | Corpus,
    *,
    method: str = "centred",
    rank: int | None = None,
    texts: int = 500,
    langs: str | Sequence[str] | None = None,
    out: Out = None,
    batch_size: int = 32,
    max_seq_length: int | None = 128,
    trust_code: bool = False,
) -> DebiasedModel:
    """Take language out of an encoder's embeddings, without training.

    The difference between languages is fitted on texts of any kind and saved as the encoder's last modules. The language of a
    query need not be known.

    Args:
        model: a name or a folder, see `babelmix.load_model`; or an encoder.
        on: the texts to fit on: a file of documents (columns `item`, `lang`, `text`), or a corpus, whose passages and queries
            are used. The texts need not be translations of each other. Do not fit on your test data.
        method: `centred`, `subspace`, `whiten`, `means`, `components`, or a method of a plugin.
        rank: how many language directions to remove, for `centred`, `subspace` and `components`. None: one less than the number
            of languages; for `subspace` and `components` at most 10.
        texts: the largest number of texts of one language.
        langs: use only these languages.
        out: save the result into this folder; None: nothing is saved, see `DebiasedModel.save`.
        batch_size: texts in one forward pass.
        max_seq_length: tokens to read of each text while fitting; None: the encoder's own limit.
        trust_code: run code that the model contains or names; see `babelmix.load_model`.

    Raises:
        EncoderError: there is no such method, the rank is too large, or there are too few texts or languages.
        ArgumentError: a rank is given for a method without rank, or the list of languages is empty.
        BabelmixError: `out` holds other files.

    Example:
        >>> debias("e5-small-offline", "texts.jsonl", out="my-encoder")  # doctest: +SKIP

    """
    from babelmix.encoders.debias import LEAST, debiased
    from babelmix.encoders.limits import cut_after, length_limit
    from babelmix.encoders.removal import removal_method
    from babelmix.search import open_rows
    from babelmix.search.documents import rows_of_corpus, sampled_queries, sampled_texts

    removal = removal_method(method)
    # Check before anything is loaded: some methods have no rank.
    removal.rank_for(method, rank or 0, 2)
    folder = folder_of(
        out,
        f"debiased-{slug(str(model))}",
        lambda place: Path(recorded(place / RECORD, "base") or str(model)) != Path(str(model)),
    )
    if folder is not None:
        check_output_folder(folder, [RECORD])
    wanted = None if langs is None else as_list(langs, "langs", empty=False)
    rows = (
        rows_of_corpus(on if wanted is None else on.only_langs(wanted))
        if isinstance(on, Corpus)
        else open_rows(str(on), langs=wanted)
    )
    found, asked = sampled_texts(rows, texts), sampled_queries(rows, texts)
    asked = {lang: some for lang, some in asked.items() if lang in found and len(some) >= LEAST}
    encoder, name = loaded(model, trust_code=trust_code)
    own_limit = length_limit(encoder)
    cut_after(encoder, max_seq_length or 0)
    made = debiased(encoder, found, queries=asked, method=method, rank=rank or 0, batch_size=batch_size)
    if own_limit is not None:
        # Fitting cut the texts to save time. The result has the encoder's own limit again.
        made.max_seq_length = own_limit
    facts = {
        "method": method, "rank": removal.rank_for(method, rank or 0, len(found)), "on": rows.name,
        "texts": _counts(found), "queries": _counts(asked),
    }  # fmt: skip
    result = DebiasedModel(made, name, facts)
    return result if folder is None else result.save(folder)


def _counts(texts: dict[str, list[str]]) -> dict[str, int]:
    return {lang: len(some) for lang, some in texts.items()}


__all__ = ["RECORD", "DebiasedModel", "debias"]
