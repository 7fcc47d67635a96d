"""The folder of an audit of ranked lists: the values of each query, and the judged lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from babelmix._checksums import CHECKSUMS, damaged_file, has_checksums, write_checksums
from babelmix._files import replacing_file, write_json
from babelmix.errors import AuditError
from babelmix.evaluation.lists import Bounds, ListAudit
from babelmix.evaluation.measure_info import measure_info
from babelmix.evaluation.measures import Measure

FILE = "lists.json"
"""What was audited, and everything that is computed from the values."""

SAVED = ("values.parquet", "answers.parquet", FILE)
"""The files of the folder, besides the report."""

_VALUES = ("value", "low", "high")


def save_lists(folder: Path, audits: Mapping[str, ListAudit], content: Mapping[str, Any]) -> None:
    """Write `values.parquet`, `answers.parquet`, `lists.json` and, last, `checksums.json`.

    Args:
        folder: the folder; it is made if it does not exist.
        audits: the audits by name.
        content: the content of `lists.json`.

    """
    folder.mkdir(parents=True, exist_ok=True)
    # A folder without lists.json is unfinished, so that an interruption never mixes two audits.
    for name in (FILE, CHECKSUMS):
        (folder / name).unlink(missing_ok=True)
    for name, frames in (("values", values_frame(audits)), ("answers", answers_frame(audits))):
        with replacing_file(folder / f"{name}.parquet") as temporary:
            frames.write_parquet(temporary, compression="zstd")
    write_json(folder / FILE, content)
    write_checksums(folder, SAVED)


def load_lists(folder: Path) -> tuple[dict[str, ListAudit], dict[str, Any]]:
    """Read a folder that `save_lists` wrote.

    Returns:
        The audits by name, without the judged lists, and the content of `lists.json`.

    Raises:
        AuditError: the folder is no such audit, or damaged.

    """
    if not (folder / FILE).is_file():
        raise AuditError(f"{folder}: is not a finished audit of ranked lists (there is no {FILE})")
    if has_checksums(folder) and (bad := damaged_file(folder, SAVED)) is not None:
        raise AuditError(f"{folder}: {bad} is damaged, or of another audit; run  babelmix audit  again")
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        frame = pl.read_parquet(folder / "values.parquet")
        audits: dict[str, ListAudit] = {name: ListAudit({}) for name in content["systems"]}
        for (system, name), rows in frame.group_by("system", "measure", maintain_order=True):
            cells = sorted(rows["cell"].unique().to_list())
            cell = rows["cell"].cast(pl.Enum(cells)).to_physical().to_numpy().astype(np.int64)
            setting, _, metric = str(name).partition("/")
            value, low, high = (rows[column].to_numpy() for column in _VALUES)
            better = measure_info(str(name)).lower_is_better
            of = rows["query_row"].to_numpy()
            one = Measure(setting, metric, tuple(cells), cell, rows["group"].to_numpy(), value, better, rows=of)
            audit = audits[str(system)]
            audit.measures[str(name)] = one
            audit.bounds[str(name)] = Bounds(replace(one, values=low), replace(one, values=high))
            audit.rows[str(name)] = of
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise AuditError(
            f"{folder}: cannot be read as an audit of ranked lists ({error}); run  babelmix audit  again"
        ) from error
    return audits, content


def values_frame(audits: Mapping[str, ListAudit]) -> pl.DataFrame:
    """The value of each query: `system`, `measure`, `query_row`, `cell`, `group`, `value`, `low`, `high`."""
    frames = []
    for system, audit in audits.items():
        for name, measure in audit.measures.items():
            bounds = audit.bounds[name]
            frames.append(
                pl.DataFrame(
                    {
                        "query_row": audit.rows[name],
                        "cell": pl.Series(measure.cell).replace_strict(
                            dict(enumerate(measure.cells)), return_dtype=pl.String
                        ),
                        "group": measure.group,
                        "value": measure.values,
                        "low": bounds.low.values,
                        "high": bounds.high.values,
                    }
                ).select(pl.lit(system).alias("system"), pl.lit(name).alias("measure"), pl.all())
            )
    return pl.concat(frames)


def answers_frame(audits: Mapping[str, ListAudit]) -> pl.DataFrame:
    """The judged lists: `system`, `query_row`, `rank` from 0, `passage_row` (-1: not in the corpus), `lang`, `grade`."""
    schema = {
        "system": pl.String, "query_row": pl.Int32, "rank": pl.Int32, "passage_row": pl.Int32, "lang": pl.String,
        "grade": pl.Int32,
    }  # fmt: skip
    frames = [pl.DataFrame(schema=schema)]
    for system, audit in audits.items():
        if (lists := audit.lists) is None:
            continue
        names = dict(enumerate(lists.langs))
        columns = {"query_row": lists.query, "rank": lists.rank, "passage_row": lists.passage}
        frame = pl.DataFrame(columns).with_columns(
            pl.lit(system).alias("system"),
            pl.Series(lists.lang).replace_strict(names, return_dtype=pl.String).alias("lang"),
            pl.Series(lists.grade).alias("grade"),
        )
        frames.append(frame.select(pl.col(name).cast(kind) for name, kind in schema.items()))
    return pl.concat(frames)


__all__ = ["FILE", "SAVED", "answers_frame", "load_lists", "save_lists", "values_frame"]
