"""The facts of an audit: the system, the corpus, the settings, and findings that are not ranks."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from babelmix.corpus import Corpus
from babelmix.corpus.labels import CLICK_FACTS, labels_of

DOUBT = "doubt"
"""The name of the further fact that says why the ranks of an audit are probably of a mistake in its input."""


@dataclass(frozen=True)
class AuditFacts:
    """The facts of an audit, in the order in which `metrics.json` and `ranks.parquet` hold them.

    A fact that does not apply, or that an older version did not keep, is absent from the files and None here.

    Args:
        encoder: the name of the audited system.
        encoder_fingerprint: a digest of its weights and settings.
        prompts: the prompts of queries and documents, by kind.
        prompts_from: where the prompts come from, such as `saved with the encoder`; see `babelmix.encoders.origin.Origin`.
        max_seq_length: the largest number of tokens of a text that the encoder reads; None: no limit, or not known.
        similarity: `cosine` or `dot`.
        corpus: the name of the corpus.
        fingerprint: a digest of the corpus.
        mode: how a matrix of scores was computed.
        queries: the number of queries.
        passages: the number of passages.
        settings: the settings of a system that is a matrix of scores, such as a UNITER of an experiment.
        machine_made: languages whose texts are machine-made, according to the source.
        protocol: the evaluation protocol of the corpus's publication.
        labels: where the qrels come from, if they are not judgements: known items, clicks, or none; see
            `babelmix.corpus.labels`.
        clicks: numbers about the clicks, if the qrels come from clicks.
        left_out: the numbers of rows that the reader could not use, by kind.
        excluded: the number of excluded pairs: the passage is not a candidate for the query.
        copies: the numbers of copies of right answers, as `queries`, `passages` and `pairs`, and `count_as`, how they are
            counted; see `babelmix.corpus.copies`.
        precision: `bfloat16`, or a backend other than torch, such as `onnx-int8`; None: float32 with torch.
        tokens: see `babelmix.evaluation.tokens.tokens_of`.
        trained_on: about which share of the passages the encoder was trained on, from 0 to 1; None if that is not known, or below
            1 %; see `babelmix.corpus.seen`.
        extra: further facts, by name.
        zero_vectors: `queries` and `passages` whose embedding is zero.
        calibration: see `babelmix.evaluation.score_levels.score_levels`.
        samples: see `babelmix.evaluation.samples`.
        remedies: see `babelmix.evaluation.remedies.remedies`.

    Examples:
        >>> facts = AuditFacts(encoder="my-encoder", corpus="toy", extra={"note": "first try"})
        >>> facts.as_json()
        {'encoder': 'my-encoder', 'corpus': 'toy', 'note': 'first try'}

    """

    encoder: str | None = None
    encoder_fingerprint: str | None = None
    prompts: Mapping[str, str | None] | None = None
    prompts_from: str | None = None
    max_seq_length: int | None = None
    similarity: str | None = None
    corpus: str | None = None
    fingerprint: str | None = None
    mode: str | None = None
    queries: int | None = None
    passages: int | None = None
    settings: Mapping[str, Any] | None = None
    machine_made: list[str] | None = None
    protocol: Mapping[str, Any] | None = None
    labels: str | None = None
    clicks: Mapping[str, Any] | None = None
    left_out: Mapping[str, int] | None = None
    excluded: int | None = None
    copies: Mapping[str, Any] | None = None
    precision: str | None = None
    tokens: Mapping[str, Any] | None = None
    trained_on: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    zero_vectors: Mapping[str, int] | None = None
    calibration: Mapping[str, Any] | None = None
    samples: list[Mapping[str, Any]] | None = None
    remedies: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, facts: AuditFacts | Mapping[str, Any] | None) -> AuditFacts:
        """Facts from the mapping that `as_json` returns; unknown names become `extra`."""
        if isinstance(facts, AuditFacts):
            return facts
        known: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for name, value in (facts or {}).items():
            (known if name in _NAMES else extra)[name] = value
        return cls(**known, extra=extra)

    def with_labels(self, corpus: Corpus) -> AuditFacts:
        """These facts, with where the qrels of the corpus come from."""
        labels = labels_of(corpus.meta, corpus.qrels.num_rows)
        clicks = corpus.meta.get(CLICK_FACTS)
        return self if labels is None else replace(self, labels=labels, clicks=dict(clicks) if clicks else None)

    @property
    def system(self) -> str:
        """The name of the system in reports."""
        return self.encoder or "the encoder"

    @property
    def doubt(self) -> str | None:
        """Why the ranks are probably of a mistake in the input, such as vectors in another order; None if nothing is known."""
        found = self.extra.get(DOUBT)
        return None if found is None else str(found)

    @property
    def count_copies_as(self) -> str:
        """How copies of right answers are counted: as `wrong`, `relevant` or `excluded`."""
        return str((self.copies or {}).get("count_as", "wrong"))

    def as_json(self) -> dict[str, Any]:
        """The facts as JSON-serialisable values, without those that are absent."""
        found: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name == "extra":
                found |= value
            elif value is not None or (one.name in _NULL_OF_ENCODERS and self.encoder_fingerprint is not None):
                found[one.name] = value
        return found

    def agree_with(self, found: Mapping[str, Any]) -> bool:
        """Whether saved facts have all facts of this record. Further saved facts are ignored."""
        own: dict[str, Any] = json.loads(json.dumps(self.as_json()))
        return all(found.get(name) == value for name, value in own.items())

    def __getitem__(self, name: str) -> Any:
        """One fact by its name, as in versions whose facts were a dictionary. Deprecated: read the attribute."""
        warnings.warn(
            f"the facts of an audit are a record: read .{name}, not [{name!r}]", DeprecationWarning, stacklevel=2
        )
        return self.as_json()[name]

    def get(self, name: str, default: Any = None) -> Any:
        """One fact by its name, as in versions whose facts were a dictionary. Deprecated: read the attribute."""
        warnings.warn(
            f"the facts of an audit are a record: read .{name}, not .get({name!r})", DeprecationWarning, stacklevel=2
        )
        return self.as_json().get(name, default)


_NAMES = frozenset(one.name for one in fields(AuditFacts)) - {"extra"}
_NULL_OF_ENCODERS = ("max_seq_length", "precision")
"""Facts that are written for every encoder, as null if they have no value. A finished audit is recognised by them."""

__all__ = ["DOUBT", "AuditFacts"]
