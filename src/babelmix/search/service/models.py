"""The requests and answers of the API."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from babelmix.search.rows import MAX_ITEM, Hit

MAX_HITS = 100
"""Maximum rows of an answer."""

MAX_ROWS = 512
"""Maximum rows of a write."""

MAX_FIELDS = 64
"""Maximum metadata columns of a row."""

Text = Annotated[str, Field(min_length=1, max_length=8000, pattern=r"\S")]
Picture = Annotated[
    str, Field(min_length=1, description="PNG, JPEG, WebP or GIF in base64", json_schema_extra={"format": "byte"})
]
Lang = Annotated[str, Field(min_length=1, max_length=40)]
Column = Annotated[str, Field(min_length=1, max_length=64)]
Value = str | int | Annotated[float, Field(allow_inf_nan=False)] | bool

# Only the first wrong value is reported: collecting all errors could take longer than the request.
Values = Annotated[list[Value], Field(max_length=1000, fail_fast=True)]


def _one_of(*names: str) -> Any:
    """A part of a JSON schema: exactly one of these fields is required."""
    return {"oneOf": [{"required": [name]} for name in names]}


class _Request(BaseModel):
    # A misspelt field, or a text instead of a number, is an error.
    model_config = ConfigDict(extra="forbid", strict=True)


class SearchRequest(_Request):
    """A search: by words in any language, or by a picture."""

    model_config = ConfigDict(json_schema_extra=_one_of("query", "image"))

    query: Text = Field(default="", description="words in any language", validate_default=False)
    image: Picture = Field(default="", validate_default=False)
    k: int = Field(default=10, ge=1, le=MAX_HITS, description="rows at most")
    policy: str = Field(
        default="any",
        max_length=2000,
        description="any, balanced, equal, adaptive, own=N, quota=N, prefer=LANG,...[:BOOST] or only=LANG,...; then perhaps "
        ",reads=LANG,...: the languages that the searcher reads, where own is that of the query",
    )
    mode: Literal["dense", "words", "hybrid"] = Field(default="dense", description="vectors, BM25, or both fused")
    langs: list[Lang] | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        fail_fast=True,
        description="only rows in these and their regions; left out: in all",
    )
    where: dict[Column, Values] = Field(
        default={}, max_length=20, description="values allowed, by metadata column, `item` or `group`"
    )
    once: bool = Field(default=False, description="each item once")
    query_lang: Lang | None = Field(
        default=None,
        description="the query's language, such as de, or detect; left out: told from its vector. A removal kept with the index "
        "uses it",
    )
    words_weight: float | Annotated[str, Field(max_length=2000)] | None = Field(
        default=None,
        description="with hybrid: how much the list of words counts; that of vectors has 1. 0.2,de=0.6: by the language of a "
        "row. Left out: 0.2",
    )
    fusion: str | None = Field(
        default=None, max_length=200, description="with hybrid: how the two lists are merged, such as rrf:k=20"
    )
    show: Literal["found", "mine"] = Field(
        default="found", description="the rows that were found, or each item in a language that the searcher reads"
    )
    rerank: bool | None = Field(
        default=None, description="whether the reranker scores the first rows again; left out: if there is one"
    )

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if bool(self.query) == bool(self.image):
            raise ValueError("give a query or an image, and not both")
        return self


class HitAnswer(BaseModel):
    """A row that was found."""

    id: str
    item: str
    lang: str
    group: str
    text: str | None
    picture: str | None = Field(description="a small copy as a data URI")
    score: float
    fields: dict[str, Any]
    also: list[str] = Field(description="the other languages of the item; only with `show` mine")

    @classmethod
    def of(cls, hit: Hit) -> Self:
        """Convert a hit."""
        picture = f"data:image/webp;base64,{hit.thumbnail}" if hit.thumbnail else None
        return cls(
            id=hit.id, item=hit.item, lang=hit.lang, group=hit.group, text=hit.text, picture=picture, score=hit.score,
            fields=dict(hit.fields), also=list(hit.also),
        )  # fmt: skip


class SearchAnswer(BaseModel):
    """The rows found, best first."""

    hits: list[HitAnswer]
    policy: str
    mode: str
    query_lang: str | None = Field(description="the query's language, if it was given or detected")
    took_ms: float


class RowRequest(_Request):
    """A rendering of an item: a text, or a picture whose language is `zxx`."""

    model_config = ConfigDict(json_schema_extra=_one_of("text", "image"))

    item: str = Field(min_length=1, max_length=MAX_ITEM)
    lang: Lang
    text: Annotated[str, Field(min_length=1)] = Field(default="", validate_default=False)
    image: Picture = Field(default="", validate_default=False)
    group: str = Field(default="", max_length=MAX_ITEM)
    fields: dict[Column, Value] = Field(default={}, max_length=MAX_FIELDS)


class WriteRequest(_Request):
    """All rows of some items. They replace the rows that the index has of these items."""

    rows: list[RowRequest] = Field(min_length=1, max_length=MAX_ROWS, fail_fast=True)


class WriteAnswer(BaseModel):
    """The numbers of rows that were written, unchanged and removed."""

    written: int
    unchanged: int
    removed: int


class DeleteAnswer(BaseModel):
    """The number of items that were removed."""

    removed: int


class About(BaseModel):
    """The encoder, the languages, the metadata columns, and the modes."""

    encoder: str
    similarity: str
    dimension: int
    langs: dict[str, int]
    rows: int
    columns: dict[str, str]
    modes: list[str]
    policies: list[str]
    pictures: bool
    detects: bool = Field(description="whether the language of a query can be detected")
    writable: bool
    version: str


class Example(BaseModel):
    """A text of the index to search with: the title of a row, or its first sentence."""

    text: str
    lang: str


class Examples(BaseModel):
    """Texts to search with."""

    examples: list[Example]


class Health(BaseModel):
    """The state of the service."""

    status: str
    rows: int


class Problem(BaseModel):
    """The error in a sentence."""

    error: str
