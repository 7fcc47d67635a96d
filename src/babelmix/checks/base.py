"""What a check looks at, and what it finds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl

from babelmix.corpus import IMAGE, Corpus
from babelmix.encoders.embed import INPUT_KINDS
from babelmix.errors import ConfigError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

    from babelmix.search.foreign.engine import ForeignEngine
    from babelmix.search.index import Index

Need = Literal["texts", "labels", "encoder", "index"]
"""What a check needs: texts of a corpus or an index, a corpus's qrels, an encoder, an index."""

NEEDS: dict[Need, str] = {
    "texts": "a corpus or an index", "labels": "a corpus with qrels", "encoder": "an encoder", "index": "an index",
}  # fmt: skip

FOLDER = "the folder of the encoder"
TRANSFORMER = "a transformer"
TOKENIZER = "a fast tokenizer"
OWN_INDEX = "an index of babelmix"
"""What single checks need beside `NEEDS`."""

SIDES = ("queries", "passages")
EXAMPLES = 3
SAMPLE = 200
"""The most texts of a language and side whose tokens are counted."""


class NotCheckedError(Exception):
    """A check cannot look at a subject. `needs` says what it lacks, each as a few words."""

    def __init__(self, *needs: str) -> None:
        super().__init__(" and ".join(needs))
        self.needs = list(needs)


@dataclass(frozen=True)
class Problem:
    """What a check found.

    Args:
        what: what is wrong, as the end of a sentence that begins with the numbers.
        number: how many there are; None: it is one thing.
        of: out of how many; None: the number stands alone.
        remedy: what to do, as a sentence.
        serious: whether it changes figures or answers; False: a note.
        examples: where, as short texts.

    """

    what: str
    number: int | None
    of: int | None
    remedy: str
    serious: bool = True
    examples: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The numbers and what is wrong.

        Examples:
            >>> Problem("texts have no words", 2, 1000, "Leave them out.").sentence
            '2 of 1,000 texts have no words'

        """
        if self.number is None:
            return self.what[:1].upper() + self.what[1:]
        return f"{self.number:,} {self.what}" if self.of is None else f"{self.number:,} of {self.of:,} {self.what}"


@dataclass(eq=False)
class Subject:
    """What is examined.

    Args:
        corpus: a corpus, or the texts of the index as passages without queries; None: there are no texts.
        encoder: an encoder; None: there is none.
        name: the encoder's name.
        index: an index, or someone else's collection; None: there is none.

    """

    corpus: Corpus | None = None
    encoder: SentenceTransformer | None = None
    name: str = ""
    index: Index | ForeignEngine | None = None

    def has(self, need: Need) -> bool:
        """Whether there is what a check needs."""
        return {
            "texts": self.corpus is not None and self.texts.height > 0,
            "labels": self.corpus is not None and self.corpus.qrels.num_rows > 0,
            "encoder": self.encoder is not None,
            "index": self.index is not None,
        }[need]

    @property
    def is_bitext(self) -> bool:
        """Whether each text is query and passage."""
        return bool(self.data.meta.get("one_text_per_language"))

    @cached_property
    def folder(self) -> Path | None:
        """The folder of the encoder's files; None if it is not known."""
        from huggingface_hub import try_to_load_from_cache

        from babelmix.encoders.hub import local_folder, repository

        found = local_folder(self.name) if self.name else None
        if found is None and self.name.count("/") == 1:
            cached = try_to_load_from_cache(repository(self.name), "config.json")
            found = Path(cached).parent if isinstance(cached, str) else None
        return found

    @property
    def data(self) -> Corpus:
        """The corpus."""
        if self.corpus is None:
            raise ConfigError("there is no corpus")
        return self.corpus

    @cached_property
    def texts(self) -> pl.DataFrame:
        """All texts: `side`, `item`, `lang`, `group` and `text`. Pictures are left out; of a bitext the equal queries too."""
        tables = []
        for side in SIDES[1:] if self.is_bitext else SIDES:
            rows = pl.DataFrame(pl.from_arrow(getattr(self.data, side).select(["item", "lang", "group", "text"])))
            rows = rows.with_columns(pl.all().cast(pl.String))
            tables.append(rows.filter(pl.col("lang") != IMAGE).select(pl.lit(side).alias("side"), pl.all()))
        return pl.concat(tables)

    @cached_property
    def sample(self) -> pl.DataFrame:
        """At most `SAMPLE` texts of each language and side, spread evenly over the corpus."""
        return spread(self.texts, SAMPLE)

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """A copy of the encoder's fast tokenizer that neither cuts nor pads; None if it has none."""
        from babelmix.encoders.composing import counting_tokenizer

        return counting_tokenizer(self.encoder)

    @cached_property
    def tokens(self) -> pl.DataFrame:
        """The sample with `tokens`, with prompt and special tokens, and `unknown`, the tokens that stand for unknown characters.

        Raises:
            NotCheckedError: the encoder has no fast tokenizer.

        """
        from babelmix.corpus.nfc import composed

        tokenizer = self.tokenizer
        if tokenizer is None or self.encoder is None:
            raise NotCheckedError(TOKENIZER)
        model = json.loads(tokenizer.to_str())["model"]
        # A Unigram model names the id, and the others the token.
        unknown = model.get("unk_id")
        if unknown is None and isinstance(model.get("unk_token"), str):
            unknown = tokenizer.token_to_id(model["unk_token"])
        special = tokenizer.num_special_tokens_to_add(False)
        found = []
        for side, kind in zip(SIDES, INPUT_KINDS, strict=True):
            rows = self.sample.filter(pl.col("side") == side)
            prompt = self.encoder.prompts.get(kind) or ""
            texts = [prompt + text for text in composed(rows["text"].to_list())]
            ids = [one.ids for one in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
            found.append(
                rows.with_columns(
                    pl.Series("tokens", [len(some) + special for some in ids], dtype=pl.Int64),
                    pl.Series(
                        "unknown", [some.count(unknown) if unknown is not None else 0 for some in ids], dtype=pl.Int64
                    ),
                )
            )
        return pl.concat(found)


@dataclass(frozen=True)
class Check:
    """A check: what it needs, and what it says when all is well.

    Args:
        run: yields what it finds; nothing if all is well.
        needs: what there must be.
        fine: what is well if it finds nothing, as a few words.

    """

    run: Callable[[Subject], Iterable[Problem]]
    needs: tuple[Need, ...]
    fine: str


def examples_of(rows: pl.DataFrame, most: int = EXAMPLES) -> tuple[str, ...]:
    """The first rows as short texts: side, language, item and the beginning of the text."""
    return tuple(
        f"{side} {lang} {item}: {_short(text)}"
        for side, lang, item, text in rows.head(most).select("side", "lang", "item", "text").iter_rows()
    )


def _short(text: str, most: int = 40) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def by_language(shares: Sequence[tuple[str, float]], most: int = 5) -> str:
    """Languages with their shares, the largest first.

    Examples:
        >>> by_language([("de", 0.002), ("th", 0.4)])
        'th 40%, de 0.2%'

    """
    ordered = sorted(shares, key=lambda pair: (-pair[1], pair[0]))
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return (
        ", ".join(
            f"{lang} {share:.0%}" if share >= 0.01 else f"{lang} {share:.1%}" if share >= 0.001 else f"{lang} <0.1%"
            for lang, share in ordered[:most]
        )
        + more
    )


def spread(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """At most so many rows of each language and side, spread evenly."""
    place, count = pl.int_range(pl.len()).over("side", "lang"), pl.len().over("side", "lang")
    return rows.filter((place * most) % count < pl.min_horizontal(count, pl.lit(most)))


def shares_of(bad: pl.DataFrame, rows: pl.DataFrame) -> list[tuple[str, float]]:
    """The languages of some rows, each with its share of the language's rows among all."""
    total = dict(rows.group_by("lang").len().iter_rows())
    return [(lang, count / total[lang]) for lang, count in bad.group_by("lang").len().iter_rows()]


def of_languages(rows: pl.DataFrame, bad: pl.Expr, least: float) -> Iterator[tuple[str, float]]:
    """The languages of whose rows more than a share is bad, with this share."""
    for lang, share in rows.group_by("lang").agg(bad.mean()).sort("lang").iter_rows():
        if share > least:
            yield lang, share


__all__ = [
    "EXAMPLES", "FOLDER", "NEEDS", "OWN_INDEX", "SAMPLE", "SIDES", "TOKENIZER", "TRANSFORMER", "Check", "Need",
    "NotCheckedError", "Problem", "Subject", "by_language", "examples_of", "of_languages", "shares_of", "spread",
]  # fmt: skip
