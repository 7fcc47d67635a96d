"""The figures that docs/security.md promises are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from h11._connection import DEFAULT_MAX_INCOMPLETE_EVENT_SIZE

from babelmix.corpus import images
from babelmix.corpus.readers._rows import MAX_TEXT
from babelmix.encoders.uniter import regions
from babelmix.search import rows
from babelmix.search.service import Settings, bodies, connections, guard, keys, metrics, models

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "security.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())
ALLOWED = Settings()
FOUR_TIMES = ALLOWED.max_in_flight * guard._ARRIVING


def most(field: str, model: type = models.SearchRequest) -> int:
    """The length that a field may have."""
    return next(fact.max_length for fact in model.model_fields[field].metadata if hasattr(fact, "max_length"))


@pytest.mark.parametrize(
    "promise",
    [
        f"| bytes of a request, by what it says and while it is read | {ALLOWED.max_body >> 20} MiB |",
        f"a search; a write | {ALLOWED.receive_timeout:.0f}; {ALLOWED.timeout:.0f}; {ALLOWED.write_timeout:.0f} |",
        f"still arriving; whose answers are being sent | {ALLOWED.max_in_flight}; {FOUR_TIMES}; {FOUR_TIMES} |",
        f"brackets within brackets | {bodies.MAX_KEYS}; {bodies.MAX_VALUES:,}; {bodies.MAX_DEPTH} |",
        f"bytes of bodies that are held at once | {ALLOWED.max_held >> 20} MiB,",
        f"path, query and headers | {DEFAULT_MAX_INCOMPLETE_EVENT_SIZE >> 10} KiB |",
        f"a client takes {connections.LEAST_RATE >> 10} KiB a second of its answers",
        f"and the log says so in a line | {ALLOWED.send_timeout:.0f} |",
        f"| {metrics.MOST_LANGS}; {metrics.MOST_PAIRED} |",
        f"| pixels of a picture | {ALLOWED.max_pixels:,} |",
        f"characters of a query; of a policy | {most('query'):,}; {most('policy'):,} |",
        f"| answers | {models.MAX_HITS} |",
        f"rows of a write; fields of a row | {models.MAX_ROWS}; {most('fields', models.RowRequest)} |",
        f"values of a column | {most('langs')}; {most('where')}; 1,000 |",
        f"Keys have at least {keys.MIN_LENGTH} characters",
        f"at most {images.MAX_BYTES >> 20} MiB and {images.MAX_PIXELS:,} pixels",
        f"at most {rows.MAX_ITEM} characters, a text at most {MAX_TEXT:,} bytes",
        f"at most {rows.MAX_ROWS_OF_AN_ITEM:,} renderings, a metadata value at most {rows._MAX_FIELD:,} characters",
        f"at most {regions._MOST_REGIONS:,} x {regions._MOST_FEATURES:,} numbers",
    ],
)
def test_a_figure_is_the_codes(promise: str) -> None:
    assert promise in WORDS


def test_the_policy_leads_to_the_page() -> None:
    policy = (Path(__file__).resolve().parents[1] / "SECURITY.md").read_text(encoding="utf-8")
    assert "(docs/security.md)" in policy
    assert "(../SECURITY.md)" in PAGE
