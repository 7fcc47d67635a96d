"""What callers rely on changes only when someone means it to."""

from __future__ import annotations

import difflib

from surface import FILE, surface


def test_the_public_surface_is_the_reviewed_one() -> None:
    reviewed, now = FILE.read_text(encoding="utf-8").splitlines(), surface().splitlines()
    changes = "\n".join(difflib.unified_diff(reviewed, now, "tests/public.txt", "the code", n=0, lineterm=""))
    assert not changes, (
        f"the public surface has changed:\n{changes}\n\nIf it is meant to: run  python tests/surface.py , look at the "
        "difference in tests/public.txt, and write a line in CHANGELOG.md. What is taken away or renamed is deprecated "
        "first: see CONTRIBUTING.md, Changing what is public."
    )


def test_the_list_is_of_all_kinds() -> None:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    for line in (
        "# babelmix.corpus", "open_corpus(spec, **options)", "split(corpus, parts, *, seed=0)", "babelmix audit",
        "  --corpus/-c CORPUS (needed)", "compare.strategies", "training.batch_size", "xquad-r", "one_to_k", "demo",
    ):  # fmt: skip
        assert line in lines, line
