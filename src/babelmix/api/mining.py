"""Hard negatives: `babelmix mine`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._files import check_output_folder
from babelmix.api._loading import loaded, opened
from babelmix.corpus import Corpus
from babelmix.corpus.storage import MARKER

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def mine(
    model: str | Path | SentenceTransformer,
    corpus: str | Path | Corpus,
    *,
    out: str | Path | None = None,
    langs: str | Sequence[str] | None = None,
    part: str = "all",
    number: int = 3,
    other_share: float = 0.5,
    margin: float = 0.05,
    skip: int = 0,
    batch_size: int = 32,
    max_seq_length: int | None = 128,
    trust_code: bool = False,
) -> Corpus:
    """Find hard negatives for a corpus, language by language.

    `babelmix.train` uses one of them for each row.

    Args:
        model: the encoder that finds them: a name or a folder, see `babelmix.load_model`; or an encoder.
        corpus: see `babelmix.load_corpus`.
        out: save the corpus with the negatives into this folder.
        langs: see `babelmix.load_corpus`.
        part: see `babelmix.load_corpus`.
        number: the largest number of negatives for one query.
        other_share: the share of negatives that are in another language than the query, in [0, 1].
        margin: how far the score of a negative must be below the score of the answer, as a share of the latter, in [0, 1).
        skip: the number of best candidates to skip.
        batch_size: texts in one forward pass.
        max_seq_length: tokens to read of each text, for an encoder that is loaded by name; None: the encoder's own limit.
        trust_code: run code that the model contains or names; see `babelmix.load_model`.

    Returns:
        The corpus with negatives; `meta["mined"]` has the settings and the counts.

    Raises:
        TrainingError: the corpus has pictures or is a benchmark, or no negative was found.

    Examples:
        >>> mined = mine("static-e5", "my.csv", out="mined")  # doctest: +SKIP

    """
    from babelmix.training.mining import mine as mined

    folder = None if out is None else Path(out)
    if folder is not None:
        check_output_folder(folder, [MARKER])
    data = opened(corpus, langs=langs, part=part)
    encoder, name = loaded(model, max_seq_length=max_seq_length, trust_code=trust_code)
    made = mined(
        encoder, data, number=number, other_share=other_share, margin=margin, skip=skip, batch_size=batch_size,
        name=name,
    )  # fmt: skip
    if folder is not None:
        made.save(folder)
    return made


def mining_sentence(facts: dict[str, Any]) -> str:
    """The sentence that `babelmix mine` prints, from `meta["mined"]`."""
    found = facts["found_in"]
    other = sum(count for pair, count in found.items() if len(set(pair.split(":"))) == 2)
    return (
        f"{facts['negatives']:,} new negatives; {other / sum(found.values()):.0%} of those chosen were found in another "
        "language than the query's"
    )


__all__ = ["mine", "mining_sentence"]
