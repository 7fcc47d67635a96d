"""The facts kept with an index, and whether those that were read are whole."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from babelmix.errors import SearchError

FORMAT = 1
"""Of the facts kept with an index."""


class Facts(TypedDict):
    """Which encoder's vectors an index holds, and what its metadata columns are."""

    __pydantic_config__ = ConfigDict(extra="allow", strict=True)  # type: ignore[misc]

    format: int
    babelmix: NotRequired[str]
    encoder: str
    revision: NotRequired[str | None]
    fingerprint: str
    prompts: NotRequired[dict[str, str]]
    max_seq_length: NotRequired[int | None]
    backend: NotRequired[str]
    dimension: int
    similarity: Literal["cosine", "dot"]
    columns: dict[str, Literal["text", "integer", "number", "boolean"]]
    calibration: NotRequired[Any]


_FACTS: TypeAdapter[Facts] = TypeAdapter(Facts)


def check_facts(address: str, about: dict[str, Any]) -> dict[str, Any]:
    """The facts of an index, if they are whole.

    Raises:
        SearchError: they are of another version, or a fact is missing or of a wrong type.

    """
    if type(about.get("format")) is int and about["format"] != FORMAT:
        raise SearchError(
            f"{address}: has the format {about['format']}, and this version reads {FORMAT}; make it again with  babelmix index"
        )
    try:
        _FACTS.validate_python(about)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:80]
        raise SearchError(
            f"{address}: its facts are damaged: {where!r}: {first['msg']}; make the index again with  babelmix index"
        ) from error
    return {"revision": None, "prompts": {}, "max_seq_length": None, **about}
