"""For tests of your own: `assert_no_language_bias` in pytest or any other test runner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from babelmix.errors import ArgumentError

if TYPE_CHECKING:
    from babelmix.api.gating import Report
    from babelmix.corpus import Corpus
    from babelmix.evaluation.gates import GateResult, Rule


def assert_no_language_bias(
    model: Any,
    corpus: str | Path | Corpus | None = None,
    rules: str | Rule | Sequence[str | Rule] | None = None,
    *,
    before: Report | str | Path | None = None,
    significant: bool = False,
    **options: Any,
) -> GateResult:
    """Fail a test if a model has language bias, or breaks other rules.

    Args:
        model: an encoder, see the `models` of `babelmix.audit`, which is then audited on the corpus. Or a report that you have:
            of `babelmix.audit`, `babelmix.compare` or `babelmix.audit_index`; or the folder of a finished audit.
        corpus: for a model: see `babelmix.load_corpus`. For a report: None.
        rules: rules that say when the test fails; see docs/ci.md. None: the limits from which on reports say biased. They are
            `own-language share@10 > 0.75 * fair + 0.25`: the own share is more than a quarter of the way from the fair share to
            1. And, if the corpus has translations, `rank distance over chance > 0.5`.
        before: for rules with `before`: a report, or the folder of a finished audit.
        significant: a rule is broken only if the 95 % interval or the paired test says so.
        options: further arguments of `babelmix.audit`, for a model.

    Returns:
        The result, which has passed.

    Raises:
        AssertionError: a rule is broken. The message has a line for each rule.
        ConfigError: a rule cannot be read, or an argument does not go with a report.
        AuditError: the audit does not have the measure of a rule.

    Examples:
        >>> import babelmix as bm
        >>> from babelmix.encoders.kinds import make_encoder
        >>> rows = [{"item": str(n), "lang": lang, "text": f"{lang} {n}"} for n in range(9) for lang in ("de", "en")]
        >>> corpus = bm.Corpus.from_rows(rows, rows, [(str(n), str(n)) for n in range(9)], name="toy")
        >>> encoder = make_encoder("static", [row["text"] for row in rows], dimension=4, seed=0)
        >>> assert_no_language_bias(encoder, corpus, "multi/mAP < 0.1").passed
        True
        >>> assert_no_language_bias(encoder, corpus, "multi/mAP < 0.99")
        Traceback (most recent call last):
        ...
        AssertionError: the encoder on toy: 1 of 1 rule broken
        FAILED        multi/mAP < 0.99: ...

    """
    # pytest shows the caller's line, not this function.
    __tracebackhide__ = True
    from babelmix.api.gating import check, default_rules

    report = _audited(model, corpus, rules, before is not None, options)
    result = check(report, default_rules(report) if rules is None else rules, before=before, significant=significant)
    if not result.passed:
        systems = ", ".join(dict.fromkeys(one.system for one in result.decisions))
        where = f"{systems} on {result.subject}" if result.subject else systems
        raise AssertionError("\n".join([f"{where}: {result.verdict().removeprefix('gate: ')}", *result.lines()[:-1]]))
    return result


def _audited(
    model: Any,
    corpus: str | Path | Corpus | None,
    rules: str | Rule | Sequence[str | Rule] | None,
    before: bool,
    options: dict[str, Any],
) -> Report | str | Path:
    """The audit of a model; a report as it is. A rule that cannot be checked is refused before anything is encoded."""
    from babelmix.api._loading import opened
    from babelmix.api.auditing import audit
    from babelmix.evaluation.gates import check_possible, parse_rules

    if corpus is None:
        if options:
            raise ArgumentError(next(iter(options)), "is for the audit of a model; name a corpus, or leave it out")
        return cast("Report | str | Path", model)
    if wrong := next((name for name in ("fail_if", "against") if name in options), None):
        raise ArgumentError(wrong, f"is {'rules' if wrong == 'fail_if' else 'before'} here; write it so")
    data = opened(corpus, langs=options.pop("langs", None), part=options.pop("part", "all"))
    if rules is not None:
        check_possible(parse_rules(rules), [data, data.reversed()] if data.has_images else [data], before=before)
    return audit(model, data, **options)


__all__ = ["assert_no_language_bias"]
