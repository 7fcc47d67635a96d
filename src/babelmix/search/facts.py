"""The facts that are stored with an index: its encoder, its metadata columns, its calibration."""

from __future__ import annotations

import importlib.metadata
import warnings
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from babelmix.encoders import fingerprint
from babelmix.encoders.limits import length_limit
from babelmix.encoders.runtime import backend_of
from babelmix.errors import EncoderError, SearchError

if TYPE_CHECKING:
    from babelmix.encoders.protocol import Encoder

FORMAT = 1
"""The version of the facts, for later versions of babelmix that change them."""

WITH_REMOVAL = 2
"""The version of the facts with a removal. Earlier versions of babelmix refuse it: they would not correct queries."""

ColumnType = Literal["text", "integer", "number", "boolean"]
"""The type of a metadata column."""


class IndexFacts(BaseModel):
    """The facts of an index, as its engine keeps them in JSON.

    Facts that this version does not know are kept: a later version may have written them.

    Args:
        format: the version of the facts.
        babelmix: the version of babelmix that made the index.
        encoder: the encoder's name or path.
        revision: the revision of a hub model.
        fingerprint: a digest of the encoder's weights, tokenizer, prompts and length limit.
        prompts: the encoder's prompts by task.
        max_seq_length: the encoder's limit in tokens; None: it has none.
        backend: the backend that embedded the rows: `torch`, or engine and precision, as in `onnx-int8`.
        dimension: the dimension of the vectors.
        similarity: how the encoder compares vectors.
        columns: the types of the metadata columns.
        calibration: `Calibration.as_json`; None: not calibrated yet.
        corrections: `Corrections.as_json`, of the corrected vectors; None: there are none.
        removal: what takes language out of rows and queries, see `babelmix.search.removal`; None: nothing does.
        unfinished: the key of the call that makes this index from another; None: the index is complete.

    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    format: int
    babelmix: str = ""
    encoder: str
    revision: str | None = None
    fingerprint: str
    prompts: dict[str, str] = {}
    max_seq_length: int | None = None
    # Indexes of early versions do not have this fact: there was only torch.
    backend: str = "torch"
    dimension: int
    similarity: Literal["cosine", "dot"]
    columns: dict[str, ColumnType]
    calibration: Any = None
    corrections: Any = None
    removal: Any = None
    unfinished: Any = None

    @classmethod
    def from_json(cls, address: str, found: dict[str, Any]) -> IndexFacts:
        """Read the facts that an engine keeps.

        Args:
            address: the address of the index, for messages.
            found: the facts.

        Raises:
            SearchError: the facts have another version, or a fact is missing or has a wrong type.

        """
        if type(found.get("format")) is int and found["format"] not in (FORMAT, WITH_REMOVAL):
            raise SearchError(
                f"{address}: has the format {found['format']}, and this version reads up to {WITH_REMOVAL}; make it again with  "
                "babelmix index"
            )
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))[:80]
            raise SearchError(
                f"{address}: its facts are damaged: {where!r}: {first['msg']}; make the index again with  babelmix index"
            ) from error

    def with_removal(self, removal: dict[str, Any]) -> IndexFacts:
        """The same facts with a removal."""
        return self.model_copy(update={"format": WITH_REMOVAL, "removal": removal})

    def as_json(self) -> dict[str, Any]:
        """The facts as JSON-serialisable values."""
        return self.model_dump(exclude_unset=True)

    def __getitem__(self, name: str) -> Any:
        """A fact by name (deprecated): the facts were a dict before."""
        warnings.warn(
            f"the facts of an index have attributes now; write  about.{name}", DeprecationWarning, stacklevel=2
        )
        return getattr(self, name)


def facts_of(encoder: Encoder, name: str, revision: str | None) -> IndexFacts:
    """The facts of a new index.

    Args:
        encoder: the encoder that makes its vectors.
        name: the name or path that loads the encoder again.
        revision: the revision of the encoder on the Hugging Face hub.

    Raises:
        SearchError: the encoder's similarity is neither cosine nor dot product.
        EncoderError: the encoder does not say the dimension of its embeddings.

    """
    similarity = str(encoder.similarity_fn_name)
    if similarity not in ("cosine", "dot"):
        raise SearchError(f"{name} scores by {similarity}; an index is searched by cosine or dot product")
    dimension = encoder.get_embedding_dimension()
    if dimension is None:
        raise EncoderError(f"{name} does not say the dimension of its embeddings")
    return IndexFacts(
        format=FORMAT,
        babelmix=importlib.metadata.version("babelmix"),
        encoder=name,
        revision=revision,
        fingerprint=fingerprint(encoder),
        prompts={kind: prompt for kind, prompt in encoder.prompts.items() if prompt},
        max_seq_length=length_limit(encoder),
        backend=backend_of(encoder),
        dimension=int(dimension),
        similarity="dot" if similarity == "dot" else "cosine",
        columns={},
        calibration=None,
    )
