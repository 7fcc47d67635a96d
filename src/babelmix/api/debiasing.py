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
        encoder: ready to use; its last modules remove language.
        base: the name of the encoder it was made from.
        facts: `method`, `rank`, `on` (what it was fitted on), `texts` and `queries` (how many, by language).
        folder: where it was saved; None if it was not.

    """

    encoder: SentenceTransformer
    base: str
    facts: dict[str, Any]
    folder: Path | None = None

    def tables(self) -> list[Table]:
        """None: a sentence says how many texts it was fitted on."""
        return []

    def headline(self) -> Table:
        """Texts and queries by language."""
        rows = [[lang, f"{texts:,}", f"{queries:,}"] for lang, texts, queries in self.to_frame().iter_rows()]
        return Table(["language", "texts", "queries"], rows)

    def to_frame(self) -> pl.DataFrame:
        """Columns `lang`, `texts` and `queries`: how many it was fitted on, one row a language."""
        import polars as pl

        texts, queries = self.facts["texts"], self.facts["queries"]
        counts = [queries.get(lang, 0) for lang in texts]
        return pl.DataFrame({"lang": list(texts), "texts": list(texts.values()), "queries": counts})

    def as_json(self) -> dict[str, Any]:
        """The folder and the facts."""
        return {"folder": str(self.folder) if self.folder is not None else None, **self.facts}

    def lines(self) -> list[str]:
        """How many texts it was fitted on."""
        texts, asked = self.facts["texts"], sum(self.facts["queries"].values())
        queries = f" and {asked:,} queries" if asked else ""
        return [f"fitted on {sum(texts.values()):,} texts{queries} in {len(texts)} languages"]

    def places(self) -> dict[str, str]:
        """Where the encoder is, and how to measure it."""
        if self.folder is None:
            return {}
        return {"encoder": f"{self.folder}   measure it with  babelmix audit {self.folder} --corpus CORPUS"}

    def save(self, folder: str | Path) -> DebiasedModel:
        """Save the encoder as a folder that `SentenceTransformer(path)` loads.

        Args:
            folder: new, empty, or written by `debias` before.

        Returns:
            The same result, with its folder.

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

    The difference between languages is fitted on texts of any kind and saved as the encoder's last modules. A query's language
    need not be known.

    Args:
        model: a name or a folder, see `babelmix.load_model`; or an encoder.
        on: the texts to fit on: a file of documents (columns `item`, `lang`, `text`), or a corpus, whose passages and queries
            are used. They need no translations. Do not fit on what you test on.
        method: `centred`, `subspace`, `whiten`, `means`, `components`, or a method of a plugin.
        rank: how many directions to remove; None: one less than there are languages, at most 10 unless `centred`.
        texts: the most texts of one language.
        langs: use only these languages.
        out: save the result into this folder.
        batch_size: texts in one forward pass.
        max_seq_length: tokens to read of each text while fitting; None: the encoder's own limit.
        trust_code: let code that the model brings, or names, run; see `babelmix.load_model`.

    Raises:
        EncoderError: there is no such method, or too few texts or languages.
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
    # Before anything is loaded: a method may have no rank.
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
        # Shorter texts save time while fitting; the result reads longer ones again.
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
