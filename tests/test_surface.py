"""What callers rely on changes only when someone means it to."""

from __future__ import annotations

import difflib

from surface import INTERFACE, PUBLIC, surface


def test_what_callers_rely_on_is_what_was_reviewed() -> None:
    changes = [
        line
        for file, text in surface().items()
        for line in difflib.unified_diff(
            file.read_text(encoding="utf-8").splitlines(), text.splitlines(), f"tests/{file.name}", "the code", n=0,
            lineterm="",
        )
    ]  # fmt: skip
    assert not changes, (
        "the public surface has changed:\n"
        + "\n".join(changes)
        + "\n\nIf this is meant: run  python tests/surface.py , read "
        "the difference of tests/public.txt and tests/interface.txt, and add a line to CHANGELOG.md. What is removed or renamed "
        "is deprecated first: see CONTRIBUTING.md, Changing what is public."
    )


def test_both_files_hold_all_kinds_of_names() -> None:
    for file, lines in (
        (PUBLIC, ("# babelmix", "# babelmix.errors", "class ReaderError(what, *, file=None, row=None, field=None): CorpusError")),
        (
            INTERFACE,
            (
                "babelmix audit", "  --corpus/-c CORPUS (needed)", "compare.strategies", "training.batch_size", "xquad-r",
                "one_to_k", "nDCG", "whiten", "demo",
            ),
        ),
    ):  # fmt: skip
        held = file.read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if line not in held] == []


def test_few_python_names_are_promised() -> None:
    assert len(PUBLIC.read_text(encoding="utf-8").splitlines()) < 160
