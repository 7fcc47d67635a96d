"""Two or more finished audits of one corpus side by side, with tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from babelmix.audit import Audit, Comparison, compare_all
from babelmix.audit.metrics import DEFAULT
from babelmix.errors import AuditError

TESTS = ("mono/mAP", "cross/mAP", "multi/mAP", "bias/rank distance")


@dataclass(frozen=True, eq=False)
class AuditComparison:
    """Audits by name, and the tests between them.

    Args:
        audits: all of one corpus.
        comparisons: pair after pair, Holm's correction over all of them.

    """

    audits: dict[str, Audit]
    comparisons: list[Comparison]

    def as_json(self) -> dict[str, Any]:
        """The comparison as JSON-serialisable values; an effect size that is not defined is null."""
        return {
            "audits": {
                name: {measure: asdict(macro) for measure, (macro, _) in audit.estimates.items()}
                for name, audit in self.audits.items()
            },
            "tests": [{**asdict(c), "effect": None if c.effect != c.effect else c.effect} for c in self.comparisons],
        }


def compare_audits(
    folders: Sequence[Path], *, tests: Sequence[str] = (), against: str | None = None
) -> AuditComparison:
    """Load finished audits and test their differences.

    Args:
        folders: of the audits; each is called by its encoder, or by its folder where that would not tell them apart.
        tests: measures as `setting/metric`; by default mAP in the settings there are, and rank distance.
        against: a name: test this audit against every other one; by default every two.

    Raises:
        AuditError: a folder is no audit, the audits are not of one corpus, or a measure is in none of them.
        ConfigError: there is no such metric.

    """
    metrics = list(dict.fromkeys([*DEFAULT, *(t.partition("/")[2] for t in tests if not t.startswith("bias/"))]))
    loaded = [Audit.load(folder, metrics) for folder in folders]
    names = _names([str(audit.table.about.get("encoder", "")) for audit in loaded], folders)
    first = loaded[0].table.about
    for name, audit in zip(names, loaded, strict=True):
        about = audit.table.about
        if about.get("fingerprint") != first.get("fingerprint"):
            raise AuditError(
                f"{name} was audited on {about.get('corpus')}, but {names[0]} on {first.get('corpus')} (or on another state "
                "of it); only audits of one corpus can be compared"
            )
    audits = dict(zip(names, loaded, strict=True))
    measured = loaded[0].measures
    if unknown := [test for test in tests if test not in measured]:
        raise AuditError(f"{unknown[0]!r} is not measured on this corpus; there are {', '.join(measured)}")
    wanted = list(tests) or [name for name in TESTS if name in measured]
    systems = {name: [audit.measures] for name, audit in audits.items()}
    return AuditComparison(audits, compare_all(systems, wanted, against=against))


def _names(encoders: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Short names that tell the audits apart."""
    # An encoder from a local folder is called by the folder's own name.
    short = [Path(encoder).name if Path(encoder).is_absolute() else encoder for encoder in encoders]
    for names in (short, [folder.name for folder in folders], [str(folder) for folder in folders]):
        if len(set(names)) == len(names) and all(names):
            return names
    raise AuditError("an audit is named twice")
