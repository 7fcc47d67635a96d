"""The answer to one query: a list of hits that prints as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from babelmix._tables import Result, Table
from babelmix.search.rows import Hit

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 300
"""The most characters of a text that the table shows."""


class Hits(list[Hit], Result):
    """The hits of one query, best first: a list that prints as the table of `babelmix search`.

    Args:
        hits: the hits.
        query: the words, or the name of the picture.

    Examples:
        >>> hits = Hits([Hit("1", 0.5, "help/save", "en", "help", "How to save")], "save")
        >>> hits[0].item, len(hits)
        ('help/save', 1)
        >>> print(hits.to_markdown())
        | score | lang | item | text |
        | ---: | --- | --- | --- |
        | 0.500 | en | help/save | How to save |

    """

    def __init__(self, hits: Iterable[Hit] = (), query: str = "") -> None:
        super().__init__(hits)
        self.query = query

    def tables(self) -> list[Table]:
        """One row per hit; with the other languages of the item, if the search says them."""
        several = any(hit.also for hit in self)
        rows = []
        for hit in self:
            text = hit.text if hit.text is not None else "(a picture)"
            text = text if len(text) < _SHOWN else f"{text[: _SHOWN - 3]}..."
            also = [", ".join(hit.also)] if several else []
            rows.append([f"{hit.score:.3f}", hit.lang, *also, hit.item, text])
        head = ["score", "lang", *(["also in"] if several else []), "item", "text"]
        return [Table(head, rows, title=self.query, left=tuple(range(1, len(head))))]

    def lines(self) -> list[str]:
        """Advice if nothing was found."""
        return [] if self else ["Nothing was found: widen the policy or the filters."]

    def to_frame(self) -> pl.DataFrame:
        """One row per hit: query, rank from 1, score, id, item, lang, group, text, and each metadata column as `fields.NAME`.

        A search with `show="mine"` has a column `also`: the other languages of the item, as a list.
        """
        import polars as pl

        types = {"query": pl.String, "rank": pl.Int64, "score": pl.Float64} | dict.fromkeys(
            ("id", "item", "lang", "group", "text"), pl.String
        )
        frame = pl.DataFrame(
            [
                [self.query, rank, hit.score, hit.id, hit.item, hit.lang, hit.group, hit.text]
                for rank, hit in enumerate(self, start=1)
            ],
            schema=types,
            orient="row",
        )
        if any(hit.also for hit in self):
            also = pl.Series("also", [list(hit.also) for hit in self], dtype=pl.List(pl.String))
            frame = frame.with_columns(also)
        names = sorted({name for hit in self for name in hit.fields})
        return frame.with_columns(
            pl.Series(f"fields.{name}", [hit.fields.get(name) for hit in self], strict=False) for name in names
        )

    def as_json(self) -> dict[str, Any]:
        """`query` and `hits`; each hit with `also`, if the search says the other languages of the items."""
        several = any(hit.also for hit in self)
        return {
            "query": self.query,
            "hits": [
                {
                    "id": hit.id, "score": hit.score, "item": hit.item, "lang": hit.lang, "group": hit.group,
                    "text": hit.text, "fields": dict(hit.fields), **({"also": list(hit.also)} if several else {}),
                }
                for hit in self
            ],
        }  # fmt: skip
