"""`babelmix audit --log`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from babelmix.api import log_auditing
from babelmix.cli.output import end, show
from babelmix.errors import ArgumentError

_OPTIONS = {"policies": "policy", "query_langs": "query_lang"}


def audit_log(
    files: Sequence[Path], corpus: str, unfit: Mapping[str, object], json_output: bool, **options: Any
) -> None:
    """Measure logs and print the report.

    Args:
        files: the logs.
        corpus: the corpus; empty for none.
        unfit: options of `babelmix audit` that are not for a log, by name; given ones are an error.
        json_output: print JSON.
        options: see `babelmix.audit_log`.

    """
    for name, given in unfit.items():
        if given:
            raise ArgumentError(name, "is not for a log; leave it out, or leave out --log")
    try:
        found = log_auditing.audit_log(list(files), corpus or None, **options)
    except ArgumentError as error:
        # The options of the command are called otherwise.
        raise ArgumentError(_OPTIONS.get(error.argument, error.argument), error.why) from error
    show(found, json_output)
    end(found.gate)
