"""An audit: encode once, score once, and keep a folder from which everything else follows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sentence_transformers import SentenceTransformer

from babelmix._checksums import damaged_file, has_checksums, write_checksums
from babelmix._files import write_json
from babelmix.corpus import IMAGE, Corpus
from babelmix.corpus.copies import Copies, check_copies, count_copies
from babelmix.corpus.images import Pictures
from babelmix.encoders import encode, fingerprint
from babelmix.encoders.embed import KINDS
from babelmix.encoders.fingerprints import image_fingerprint
from babelmix.encoders.limits import length_limit
from babelmix.encoders.runtime import backend_of
from babelmix.encoders.store import Embeddings
from babelmix.encoders.towers import is_dual
from babelmix.errors import AuditError
from babelmix.evaluation import bias
from babelmix.evaluation.calibration import score_calibration
from babelmix.evaluation.measure_info import SHARE_AT
from babelmix.evaluation.measures import Measure, measures
from babelmix.evaluation.metrics import DEFAULT, PICTURES
from babelmix.evaluation.ranks import SAVED, RankTable
from babelmix.evaluation.scoring import rank_table
from babelmix.evaluation.significance import LEVEL, RESAMPLES, Estimate, estimates
from babelmix.evaluation.tokens import tokens_of


@dataclass(frozen=True, eq=False)
class Audit:
    """A finished audit.

    Args:
        table: the rank table.
        measures: all measures by `setting/metric`.
        estimates: by measure, the macro-average and the cells, with intervals.

    """

    table: RankTable
    measures: dict[str, Measure]
    estimates: dict[str, tuple[Estimate, dict[str, Estimate]]]

    @classmethod
    def of(cls, table: RankTable, metrics: str | Sequence[str] = DEFAULT) -> Audit:
        """Compute all measures and intervals of a table."""
        computed = measures(table, metrics)
        return cls(table, computed, estimates(computed))

    @classmethod
    def load(cls, folder: Path, metrics: str | Sequence[str] = DEFAULT) -> Audit:
        """Read a folder that `save` wrote; metrics may be others than when it was written.

        Raises:
            AuditError: the folder is no audit, or damaged.

        """
        return cls.of(RankTable.load(folder), metrics)

    def macro(self, name: str) -> float:
        """The macro-average of a measure.

        Raises:
            AuditError: the corpus does not have this setting.

        """
        if name not in self.measures:
            raise AuditError(f"this audit has no {name}: the corpus has no such pool")
        return self.measures[name].macro()

    def summary(self) -> dict[str, Any]:
        """Everything as JSON-serialisable values: macro-averages, cells, shares, crowding, and what was audited."""
        shares = bias.language_shares(self.table, SHARE_AT)
        crowding = bias.crowding(self.table)
        return {
            "about": self.table.about,
            "level": LEVEL,
            "resamples": RESAMPLES,
            "groups": len(set(self.table.query_group)),
            "query_langs": list(self.table.query_langs),
            "passage_langs": list(self.table.passage_langs),
            "pool_sizes": self.table.pool_sizes.tolist(),
            "macro": {name: asdict(macro) for name, (macro, _) in self.estimates.items()},
            "cells": {name: {c: asdict(e) for c, e in cells.items()} for name, (_, cells) in self.estimates.items()},
            f"language_share@{SHARE_AT}": shares.tolist(),
            "crowding": [[[None if np.isnan(v) else v for v in row] for row in plane] for plane in crowding.tolist()],
        }

    def save(self, folder: Path) -> None:
        """Write `ranks.parquet`, `queries.parquet`, `metrics.json` and, last, `checksums.json`."""
        # Without it the folder is unfinished: a kill in between never mixes two audits.
        (folder / "metrics.json").unlink(missing_ok=True)
        self.table.save(folder)
        write_json(folder / "metrics.json", self.summary())
        write_checksums(folder, SAVED)


def is_finished(folder: Path, about: dict[str, Any]) -> bool:
    """Whether `folder` holds a finished audit of the same corpus, encoder and settings."""
    file = folder / "metrics.json"
    if not file.is_file() or (has_checksums(folder) and damaged_file(folder, SAVED) is not None):
        return False
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["about"]
        return all(found.get(key) == value for key, value in json.loads(json.dumps(about)).items())
    except (ValueError, KeyError, AttributeError, TypeError):
        return False


def audit(
    encoder: SentenceTransformer,
    corpus: Corpus,
    *,
    name: str,
    batch_size: int = 32,
    store: bool = True,
    metrics: str | Sequence[str] = DEFAULT,
    about: dict[str, Any] | None = None,
    bf16: bool = False,
    copies: Copies = "wrong",
) -> Audit:
    """Measure how an encoder retrieves within a language, across languages and from all languages at once.

    Args:
        encoder: what is measured; its prompts for queries and documents are used.
        corpus: what it is measured on.
        name: what reports call the encoder.
        batch_size: texts a forward pass.
        store: keep embeddings in the user's cache, so that an interrupted audit goes on where it was.
        metrics: see `babelmix.evaluation.metrics`.
        about: more facts to keep with the audit.
        bf16: encode in bfloat16 mixed precision, which is faster where the processor has it; see docs/audit.md.
        copies: what passages count as that have the content of a right answer and are of another item: `wrong`, `relevant` or
            `excluded`; see `babelmix.corpus.copies`.

    Raises:
        AuditError: the encoder's similarity is neither cosine nor dot product, or its embeddings are not finite.

    """
    facts = about_of(encoder, corpus, name, bf16=bf16, copies=copies) | _tokens(encoder, corpus) | (about or {})
    table = ranks_of(
        encoder, corpus, batch_size=batch_size, store=store, about=facts, bf16=bf16, calibration=True, copies=copies
    )
    return Audit.of(table, metrics)


def ranks_of(
    encoder: SentenceTransformer,
    corpus: Corpus,
    *,
    batch_size: int = 32,
    store: bool = True,
    about: dict[str, Any] | None = None,
    bf16: bool = False,
    sides: tuple[Embeddings, Embeddings] | None = None,
    calibration: bool = False,
    copies: Copies = "wrong",
) -> RankTable:
    """Encode a corpus and rank it: the rank table of an audit, without metrics and intervals.

    Args:
        encoder: see `audit`.
        corpus: see `audit`.
        batch_size: see `audit`.
        store: see `audit`.
        about: facts kept with the table; by default those of `about_of`.
        bf16: see `audit`.
        sides: what `encode_sides` gave for this corpus, if it was called already.
        calibration: say in `about` how comparable scores are between languages, see `babelmix.evaluation.calibration`.
        copies: see `audit`.

    Raises:
        AuditError: see `audit`.

    """
    check_copies(copies)
    facts = about if about is not None else about_of(encoder, corpus, "the encoder", bf16=bf16, copies=copies)
    similarity = {"cosine": "cosine", "dot": "dot"}.get(str(encoder.similarity_fn_name))
    if similarity is None:
        raise AuditError(
            f"{facts['encoder']} scores by {encoder.similarity_fn_name}; only cosine and dot product are supported"
        )
    for side, rows in (("query", corpus.queries.num_rows), ("passage", corpus.passages.num_rows)):
        if rows == 0:
            raise AuditError(f"{corpus.name}: there is no {side} in {', '.join(corpus.langs) or 'it'}")
    if sides is None:
        sides = encode_sides(
            encoder, corpus, batch_size=batch_size, store=store, key=facts["encoder_fingerprint"], bf16=bf16
        )
    queries, passages = sides
    zero = {"queries": int((~queries.any(axis=1)).sum()), "passages": int((~passages.any(axis=1)).sum())}
    table = rank_table(
        corpus, queries, passages, similarity=similarity, about=facts | {"zero_vectors": zero}, copies=copies
    )
    if not calibration:
        return table
    found = score_calibration(table, corpus, queries, passages, similarity=similarity, copies=copies)
    return table if found is None else replace(table, about=table.about | {"calibration": found})


def encode_sides(
    encoder: SentenceTransformer,
    corpus: Corpus,
    *,
    batch_size: int = 32,
    store: bool = True,
    key: str | None = None,
    bf16: bool = False,
) -> tuple[Embeddings, Embeddings]:
    """Encode the queries and the passages of a corpus.

    Args:
        encoder: see `audit`.
        corpus: see `audit`.
        batch_size: see `audit`.
        store: see `audit`.
        key: the encoder's fingerprint, if it is known already.
        bf16: see `audit`.

    Returns:
        float32, shape (queries, dimension), and float32, shape (passages, dimension).

    Raises:
        EncoderError: the encoder cannot embed pictures, and the corpus has some.

    """
    key = key or fingerprint(encoder)
    done: list[Embeddings] = []
    for table, kind, side in zip((corpus.queries, corpus.passages), KINDS, ("queries", "passages"), strict=True):
        pictures = np.array([lang == IMAGE for lang in table["lang"].to_pylist()])
        parts: list[tuple[Any, Embeddings]] = []
        for mask in (~pictures, pictures):
            if not mask.any():
                continue
            some = table if mask.all() else table.filter(pa.array(mask))
            # Another text tower leaves pictures as they are.
            own_key = image_fingerprint(encoder) if mask is pictures and is_dual(encoder) else key
            inputs = Pictures(some) if mask is pictures else some["text"].to_pylist()
            encoded = encode(
                encoder,
                inputs,
                kind,
                batch_size=batch_size,
                store=store,
                key=own_key,
                label=f"encoding {side}",
                bf16=bf16,
            )
            parts.append((mask, encoded))
        if len(parts) == 1:
            done.append(parts[0][1])
            continue
        both = np.empty((table.num_rows, parts[0][1].shape[1]), dtype=np.float32)
        for mask, encoded in parts:
            both[mask] = encoded
        done.append(both)
    return done[0], done[1]


def audit_both_ways(
    encoder: SentenceTransformer,
    corpus: Corpus,
    *,
    name: str,
    batch_size: int = 32,
    store: bool = True,
    metrics: str | Sequence[str] = PICTURES,
    about: dict[str, Any] | None = None,
    bf16: bool = False,
    copies: Copies = "wrong",
) -> tuple[Audit, Audit]:
    """Measure a corpus and its reverse: text to image and image to text, everything encoded once.

    Captions are encoded again for the other way only if the encoder has different prompts for queries and passages.

    Args:
        encoder: see `audit`.
        corpus: see `audit`.
        name: see `audit`.
        batch_size: see `audit`.
        store: see `audit`.
        metrics: see `audit`.
        about: see `audit`.
        bf16: see `audit`.
        copies: see `audit`.

    Returns:
        The audit of the corpus, and of `corpus.reversed()`.

    Raises:
        AuditError: see `audit`.

    """
    back = corpus.reversed()
    # A digest of all weights takes a while: both ways have the same.
    key = fingerprint(encoder)
    sides = encode_sides(encoder, corpus, batch_size=batch_size, store=store, key=key, bf16=bf16)
    same = encoder.prompts.get("query") == encoder.prompts.get("document")
    swapped = (sides[1], sides[0]) if same else None
    found = []
    for way, embedded in ((corpus, sides), (back, swapped)):
        facts = about_of(encoder, way, name, bf16=bf16, key=key, copies=copies) | _tokens(encoder, way) | (about or {})
        table = ranks_of(
            encoder, way, batch_size=batch_size, store=store, about=facts, bf16=bf16, sides=embedded, calibration=True,
            copies=copies,
        )  # fmt: skip
        found.append(Audit.of(table, metrics))
    return found[0], found[1]


def _tokens(encoder: SentenceTransformer, corpus: Corpus) -> dict[str, Any]:
    found = tokens_of(encoder, corpus)
    return {} if found is None else {"tokens": found}


def about_of(
    encoder: SentenceTransformer,
    corpus: Corpus,
    name: str,
    *,
    bf16: bool = False,
    key: str | None = None,
    copies: Copies = "wrong",
) -> dict[str, Any]:
    """The facts by which a finished audit is recognised; `key` is the encoder's fingerprint, if it is known already."""
    found = count_copies(corpus)
    return {
        "encoder": name,
        "encoder_fingerprint": key or fingerprint(encoder),
        "prompts": dict(encoder.prompts),
        "max_seq_length": length_limit(encoder),
        "similarity": str(encoder.similarity_fn_name),
        "corpus": corpus.name,
        "fingerprint": corpus.fingerprint(),
        "queries": corpus.queries.num_rows,
        "passages": corpus.passages.num_rows,
        "machine_made": list(corpus.meta.get("machine_made") or []),
        **({"protocol": dict(corpus.meta["protocol"])} if corpus.meta.get("protocol") else {}),
        **({"left_out": corpus.meta["left_out"]} if corpus.meta.get("left_out") else {}),
        **({"excluded": corpus.excluded.num_rows} if corpus.excluded.num_rows else {}),
        **({"copies": {**found, "count_as": copies}} if found["pairs"] else {}),
        # None, as in audits made before there was a choice.
        "precision": "bfloat16" if bf16 else None if (backend := backend_of(encoder)) == "torch" else backend,
    }
