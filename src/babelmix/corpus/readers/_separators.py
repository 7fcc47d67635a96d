"""The separator of a table's columns, as its header shows it."""

from __future__ import annotations

from pathlib import Path

from babelmix.corpus.readers._unpacking import opened


def header_without_commas(file: Path) -> str:
    """The first line of a CSV; empty if it has commas too. Quotes before another separator are an error of a CSV."""
    with opened(file) as lines:
        line = lines.readline().decode("utf-8-sig", "replace")
    return "" if "," in line else line


def other_separator(header: str, tabs: bool) -> str:
    """The sentence for a header of one cell whose columns seem to be separated otherwise; empty if they do not."""
    wanted = "tabs" if tabs else "commas"
    for mark, said, advice in (
        ("\t", "tabs", "name it .tsv, or save it with commas"),
        (";", "';'", f"save it with {wanted}"),
        (",", "commas", "name it .csv, or save it with tabs"),
    ):
        # A cell of a CSV with a comma was in quotes.
        if mark in header and (tabs or mark != ","):
            return (
                f"its columns seem to be separated by {said}, and a {'TSV' if tabs else 'CSV'} has {wanted}: {advice}"
            )
    return ""


__all__ = ["header_without_commas", "other_separator"]
