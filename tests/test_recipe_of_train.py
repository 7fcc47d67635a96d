"""What `babelmix train` does unless told otherwise: recipes, and what of them the data allow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import parallel_corpus

from babelmix.corpus import Corpus
from babelmix.training import BEST, PAPER, ZERO_SHOT, TrainingData, recipe_settings


def of(*langs: str) -> Any:
    return parallel_corpus().only_langs(list(langs))


def test_what_the_data_allow() -> None:
    several = TrainingData(of("de", "en"))
    assert recipe_settings("best", several) == BEST
    assert recipe_settings("paper", several) == PAPER == {"strategy": "hybrid"}
    assert recipe_settings("zero-shot", several) == ZERO_SHOT
    assert recipe_settings("zero-shot", several, teacher=True) == {"strategy": "hybrid", "start_share": 0.3}
    assert recipe_settings("best", TrainingData(of("de"))) == {"strategy": "mono"}
    assert "start_share" not in recipe_settings("best", several, pretrained=False)
    assert "consistency" not in recipe_settings("best", several, teacher=True)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {**BEST, "start_share": 0.0}),  # a static encoder from nothing
        (("--recipe", "paper"), {"strategy": "hybrid", "consistency": 0.0, "start_share": 0.0}),
        (("--recipe", "zero-shot"), {**ZERO_SHOT, "start_share": 0.0}),
        (("--recipe", "zero-shot", "--reverse", "0.1"), {**ZERO_SHOT, "start_share": 0.0, "reverse": 0.1}),
        (("--strategy", "cross"), {"reverse": 0.0, "reverse_kl": 0.0}),
        (("--strategy", "cross"), {"strategy": "cross", "consistency": 0.0, "start_share": 0.0}),
        (("--consistency", "0"), {"strategy": BEST["strategy"], "consistency": 0.0}),
        (("--start-share", "0.2", "--strategy", "mono"), {"strategy": "mono", "start_share": 0.2, "consistency": 0.0}),
    ],
)
def test_what_is_given_wins(
    babelmix: Callable[..., tuple[int, str, str]], tmp_path: Path, options: tuple[str, ...], expected: dict[str, Any]
) -> None:
    parallel_corpus().save(tmp_path / "toy")
    code, out, err = babelmix(
        "train", "-c", str(tmp_path / "toy"), "--model", "static", "--steps", "2", "--batch-size", "8", "--json",
        "--out", str(tmp_path / "m"), *options,
    )  # fmt: skip
    assert code == 0, err
    settings = json.loads(out)["settings"]
    settings = {**settings, **settings["loss"], **settings["weights"]}
    assert {name: settings[name] for name in expected} == expected


def test_languages_without_translations_have_monolingual_batches() -> None:
    german, english = of("de"), parallel_corpus(80).only_langs(["en"]).only_groups([f"g{n}" for n in range(20, 40)])
    rows = [
        [*a.to_pylist(), *b.to_pylist()]
        for a, b in ((german.queries, english.queries), (german.passages, english.passages))
    ]
    pairs = [tuple(row.values()) for corpus in (german, english) for row in corpus.qrels.to_pylist()]
    assert recipe_settings("best", TrainingData(Corpus.from_rows(*rows, pairs, name="apart"))) == {"strategy": "mono"}
