"""An audit: rank all passages once, and save the ranks, from which measures and reports are computed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from babelmix._checksums import damaged_file, has_checksums, write_checksums
from babelmix._files import write_json
from babelmix._lists import as_list
from babelmix._tables import Result, Table
from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies
from babelmix.corpus.labels import what_labels_mean
from babelmix.errors import AuditError
from babelmix.evaluation import audit_tables, bias
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.measure_info import SHARE_AT, check_metrics
from babelmix.evaluation.measures import Measure, measures
from babelmix.evaluation.metrics import DEFAULT, PICTURES
from babelmix.evaluation.ranks import SAVED, RankTable
from babelmix.evaluation.samples import with_samples
from babelmix.evaluation.significance import LEVEL, RESAMPLES, Estimate, estimates
from babelmix.evaluation.systems import ExactSystem
from babelmix.evaluation.verdict import Verdict, verdict_of
from babelmix.evaluation.weak_languages import WeakLanguages, weak_languages

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from babelmix.evaluation.systems import EncoderSystem

_TRAINED_ON = (
    "Note: the encoder was trained on {} of these passages, so new texts will be found less well. Train on one part and audit "
    "the other:  babelmix train --part train,  babelmix audit --part test."
)


@dataclass(frozen=True, eq=False, repr=False)
class Audit(Result):
    """A finished audit. It prints as `babelmix audit` prints it, and exports its numbers.

    Args:
        table: the rank table.
        measures: the measures by `setting/metric`.
        estimates: for each measure, the macro-average and the cells, with intervals.

    """

    table: RankTable
    measures: dict[str, Measure]
    estimates: dict[str, tuple[Estimate, dict[str, Estimate]]]

    @classmethod
    def of(cls, table: RankTable, metrics: str | Sequence[str] = DEFAULT) -> Audit:
        """Compute the measures and intervals of a table."""
        computed = measures(table, metrics)
        return cls(table, computed, estimates(computed))

    @classmethod
    def load(cls, folder: Path, metrics: str | Sequence[str] = DEFAULT) -> Audit:
        """Read a folder that `save` wrote.

        Args:
            folder: the folder of the audit.
            metrics: ranking metrics, which may differ from those of the saved audit.

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

    def __repr__(self) -> str:
        about = self.table.about
        return f"<Audit of {about.system} on {about.corpus or 'a corpus'}: {len(self.measures)} measures>"

    def tables(self) -> list[Table]:
        """Tables of the settings, the bias, the tokens, the score levels, the pool, and each query language."""
        about = self.table.about
        found = [audit_tables.settings_table(self.estimates)] if len(self.table.pair_query) else []
        found.append(audit_tables.bias_table(self.estimates, self.table))
        if about.tokens:
            found.append(audit_tables.tokens_table(about.tokens))
        if about.calibration:
            found.append(audit_tables.score_levels_table(about.calibration))
        if (pool := audit_tables.pool_table(about)) is not None:
            found.append(pool)
        return [*found, audit_tables.languages_table(self.estimates, self.table.query_langs)]

    def _printed(self) -> list[Table]:
        """The tables without those of tokens and score levels, which have a sentence in `lines`."""
        return [table for table in self.tables() if table.title not in audit_tables.IN_A_SENTENCE]

    def headline(self) -> Table:
        """One row. Texts: mAP in the three settings, rank distance, same-language share. Pictures: hit@k, mAP, rank distance."""
        return audit_tables.headline_table({self.table.about.system: self.estimates})

    @cached_property
    def verdict(self) -> Verdict | None:
        """Whether the system is biased; see `babelmix.evaluation.verdict`. None for pictures."""
        return verdict_of(self.table, self.estimates)

    @cached_property
    def weak(self) -> WeakLanguages | None:
        """The languages that the system hardly knows; see `babelmix.evaluation.weak_languages`. None if there are none."""
        return None if self.table.about.doubt is not None else weak_languages(self.estimates)

    def lead(self) -> str:
        """The verdict in one sentence, which is printed above the tables; empty for pictures."""
        return "" if self.verdict is None else self.verdict.line()

    def lines(self) -> list[str]:
        """The verdict, the finding, languages that the system hardly knows, tokens, score levels, and notes; see `notes`."""
        lead = self.lead()
        about, found = self.table.about, audit_tables.audit_lead(self.table, self.estimates)
        told = [audit_tables.tokens_line(about.tokens)] if about.tokens else []
        told += [audit_tables.score_levels_line(about.calibration)] if about.calibration else []
        told += ["The report and tables() have tokens and scores of each language."] if len(told) == 2 else []
        weak = [] if self.weak is None else [self.weak.line(self.table.about.system)]
        return [*([lead] if lead else []), found, *weak, *told, *self.notes()]

    def notes(self) -> list[str]:
        """Sentences on what the audit cannot measure: labels that are no judgements, answers in one language, unfit measures."""
        labels = what_labels_mean(self.table.about.labels, self.table.about.clicks)
        found = (self.table.joins().note(), self.table.groups.note())
        unfit = bias.left_out(self.table).values()
        seen = self.table.about.trained_on
        known = [] if seen is None else [_TRAINED_ON.format("all" if seen == 1 else f"about {seen:.0%}")]
        return [
            *known,
            *([labels] if labels else []),
            *(f"Note: {note}." for note in found if note is not None),
            *unfit,
        ]

    def to_frame(self) -> pl.DataFrame:
        """All numbers: columns `measure`, `cell` (null for the macro-average), `value`, `low`, `high`."""
        return audit_tables.estimates_frame(self.estimates)

    def as_json(self) -> dict[str, Any]:
        """The content of `metrics.json`."""
        return self.summary()

    def summary(self) -> dict[str, Any]:
        """The audit as JSON-serialisable values: its facts, macro-averages, cells, language shares and crowding."""
        shares = bias.language_shares(self.table, SHARE_AT)
        crowding = bias.crowding(self.table)
        return {
            "about": self.table.about.as_json(),
            "level": LEVEL,
            "resamples": RESAMPLES,
            "groups": len(np.unique(self.table.groups.number)),
            "query_langs": list(self.table.query_langs),
            "passage_langs": list(self.table.passage_langs),
            "pool_sizes": self.table.pool_sizes.tolist(),
            "macro": {name: asdict(macro) for name, (macro, _) in self.estimates.items()},
            "cells": {name: {c: asdict(e) for c, e in cells.items()} for name, (_, cells) in self.estimates.items()},
            "not_measured": bias.left_out(self.table),
            "weak_languages": None if self.weak is None else self.weak.as_json(),
            f"language_share@{SHARE_AT}": shares.tolist(),
            "crowding": [[[None if np.isnan(v) else v for v in row] for row in plane] for plane in crowding.tolist()],
        }

    def save(self, folder: Path) -> None:
        """Write `ranks.parquet`, `queries.parquet`, `metrics.json` and, last, `checksums.json`."""
        # A folder without metrics.json is unfinished, so that an interruption never mixes two audits.
        (folder / "metrics.json").unlink(missing_ok=True)
        self.table.save(folder)
        write_json(folder / "metrics.json", self.summary())
        write_checksums(folder, SAVED)


def finished(folder: Path, facts: AuditFacts, metrics: str | Sequence[str] = DEFAULT) -> Audit | None:
    """The finished audit in a folder.

    Args:
        folder: the folder of the audit.
        facts: the facts that the audit must have; see `babelmix.evaluation.systems.System.facts`.
        metrics: ranking metrics, which may differ from those of the saved audit.

    Returns:
        The audit. None if there is none, if it is damaged, or if its corpus, system or settings are different.

    """
    if is_finished(folder, facts):
        with contextlib.suppress(AuditError):
            return Audit.load(folder, metrics)
    return None


def is_finished(folder: Path, facts: AuditFacts | Mapping[str, Any]) -> bool:
    """Whether a folder holds a finished audit with these facts; see `finished`."""
    file = folder / "metrics.json"
    if not file.is_file() or (has_checksums(folder) and damaged_file(folder, SAVED) is not None):
        return False
    try:
        return AuditFacts.of(facts).agree_with(json.loads(file.read_text(encoding="utf-8"))["about"])
    except (ValueError, KeyError, AttributeError, TypeError):
        return False


def audit(
    system: ExactSystem | SentenceTransformer,
    corpus: Corpus,
    *,
    name: str = "the encoder",
    batch_size: int = 32,
    store: bool = True,
    metrics: str | Sequence[str] = DEFAULT,
    about: Mapping[str, Any] | None = None,
    bf16: bool = False,
    copies: Copies = "wrong",
) -> Audit:
    """Measure how a system retrieves within a language, across languages and from all languages at once.

    Args:
        system: an encoder, or any system of exact scores (`babelmix.evaluation.systems`).
        corpus: the corpus to measure on.
        name: the name of a `SentenceTransformer` in reports. A system has its own name; the arguments `batch_size`, `store`,
            `about` and `bf16` have no effect on it either.
        batch_size: texts per forward pass.
        store: keep embeddings in the user's cache, so that an interrupted audit can be continued.
        metrics: ranking metrics; see `babelmix.evaluation.metrics`.
        about: further facts to save with the audit.
        bf16: encode in bfloat16 mixed precision, which is faster on processors that support it; see docs/audit.md.
        copies: how copies of right answers are counted: as `wrong`, `relevant` or `excluded`. A copy has the content of a right
            answer, but is not judged relevant; see `babelmix.corpus.copies`.

    Returns:
        The audit; `save` writes it to a folder.

    Raises:
        AuditError: the encoder's similarity is neither cosine nor dot product, its embeddings are not finite, the corpus has
            qrels but no passage is relevant to any query, or the system gives ranked lists.
        ConfigError: there is no such metric, or the list of metrics is empty.

    A corpus without qrels is audited without labels: only the measures that need none are computed.

    Source:
        The settings and rank distance: arXiv 2408.10536; the corpora: LAReQA, arXiv 2004.05484.

    Examples:
        >>> import numpy as np
        >>> from babelmix.corpus import Corpus
        >>> from babelmix.evaluation.systems import ScoreMatrix
        >>> rows = [{"item": i, "lang": lang, "text": f"{i} {lang}"} for i in "ab" for lang in ("de", "en")]
        >>> corpus = Corpus.from_rows(rows, rows, [("a", "a"), ("b", "b")], name="two")
        >>> scores = np.array([[4, 3, 2, 1], [3, 4, 1, 2], [2, 1, 4, 3], [1, 2, 3, 4]], dtype=np.float32)
        >>> audit(ScoreMatrix("perfect", scores), corpus).macro("multi/mAP")
        1.0

    """
    metrics = _checked(metrics)
    if not isinstance(system, ExactSystem):
        # Imported here: reading a finished audit needs no encoder, and this import takes seconds.
        from sentence_transformers import SentenceTransformer

        from babelmix.evaluation.systems import EncoderSystem

        if not isinstance(system, SentenceTransformer):
            raise AuditError(
                f"{system!r} gives no exact scores; measure ranked lists with babelmix.evaluation.audit_lists"
            )
        system = EncoderSystem(system, name, batch_size, store, bf16, details=True, extra=dict(about or {}))
    return Audit.of(with_samples(system.rank(corpus, copies=copies), corpus), metrics)


def audit_both_ways(
    encoder: EncoderSystem | SentenceTransformer,
    corpus: Corpus,
    *,
    name: str = "the encoder",
    batch_size: int = 32,
    store: bool = True,
    metrics: str | Sequence[str] = PICTURES,
    about: Mapping[str, Any] | None = None,
    bf16: bool = False,
    copies: Copies = "wrong",
) -> tuple[Audit, Audit]:
    """Audit an encoder on a corpus and on its reverse: text to image, and image to text.

    If the encoder has the same prompt for queries and passages, everything is embedded once. Otherwise the reverse is embedded
    again; with `store`, the embeddings of pictures then come from the user's cache.

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
        The audit of the corpus, and the audit of `corpus.reversed()`.

    Raises:
        AuditError: see `audit`.
        ConfigError: see `audit`.

    """
    from babelmix.evaluation.systems import EncoderSystem, Sides

    metrics = _checked(metrics)
    if not isinstance(encoder, EncoderSystem):
        encoder = EncoderSystem(encoder, name, batch_size, store, bf16, details=True, extra=dict(about or {}))
    sides = encoder.embed(corpus)
    prompts = encoder.encoder.prompts
    swapped = Sides(sides.passages, sides.queries) if prompts.get("query") == prompts.get("document") else None
    there = encoder.rank(corpus, copies=copies, sides=sides)
    back = encoder.rank(corpus.reversed(), copies=copies, sides=swapped)
    return Audit.of(there, metrics), Audit.of(back, metrics)


def _checked(metrics: str | Sequence[str]) -> list[str]:
    """The metrics as a list.

    Raises:
        ConfigError: a metric is unknown, or there is none.

    """
    names = as_list(metrics, "metrics", empty=False)
    check_metrics(names)
    return names
