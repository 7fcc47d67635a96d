"""The model card: how an encoder was trained, and what audits found."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import flat_settings, parallel_corpus
from huggingface_hub import ModelCard
from sentence_transformers import SentenceTransformer
from test_training_options import load

from babelmix.corpus import Corpus
from babelmix.errors import TrainingError
from babelmix.evaluation import audit, measure_info
from babelmix.training import add_audit, train

SETTINGS: dict[str, Any] = {"strategy": "hybrid(0.25)", "steps": 3, "batch_size": 8, "learning_rate": 0.05, "seed": 7}
SHOWN = {
    "mono/mAP": "mAP within a language",
    "cross/mAP": "mAP across two languages",
    "multi/mAP": "mAP in a pool of all languages",
    "bias/rank distance": "rank distance",
    "bias/same-language share@10": "share of the first 10 answers in the query's language",
}


@pytest.fixture
def folder(tiny_static, tmp_path) -> Path:
    corpus = parallel_corpus().named("toy", machine_made=["de", "ja"])
    train(copy.deepcopy(tiny_static), corpus, flat_settings(**SETTINGS), tmp_path / "mixed", base="tiny")
    return tmp_path / "mixed"


def table_of(text: str, head: str) -> list[list[str]]:
    """The rows of the table whose first column has this head, without the head; every row as wide as the head."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {head} |"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    assert {len(row) for row in rows} == {len(rows[0])}
    return [rows[0], *rows[2:]]


def test_a_card_says_how_the_encoder_was_trained(folder) -> None:
    text = (folder / "README.md").read_text()
    card = ModelCard(text)
    assert sorted(card.data.language) == ["de", "en", "fr", "ja"]
    assert card.data.library_name == "sentence-transformers"
    assert card.data.eval_results is None
    assert "# tiny, trained with hybrid(0.25) batches" in text
    assert "on `toy` (40 pairs of items, 4\nlanguages: de, en, fr, ja)" in text
    assert "Seed 7; one process;" in text
    assert "Machine-made training texts, as the source says: de, ja." in text
    rows = dict(table_of(text, "setting")[1:])
    settings = json.loads((folder / "training.json").read_text())["settings"]
    for name, value in settings.items():
        if isinstance(value, dict):
            assert {key for key in value if f"{name}.{key}" in rows} == {
                k for k, v in value.items() if v not in (None, [])
            }
        else:
            assert (name in rows) == (value is not None), name
    assert rows["strategy"] == "hybrid(0.25)"
    assert rows["seed"] == "7"
    assert "What audits found" not in text


def test_an_audit_goes_into_the_card(folder) -> None:
    encoder = SentenceTransformer(str(folder))
    done = audit(encoder, parallel_corpus(30).named("toy/test"), name="mixed", store=False)
    before = (folder / "README.md").read_text()
    add_audit(folder, done)
    text = (folder / "README.md").read_text()
    head, row = table_of(text, "corpus")
    assert head == ["corpus", *SHOWN.values()]
    assert row[0] == "toy/test (4 languages)"
    for name, cell in zip(SHOWN, row[1:], strict=True):
        macro = done.estimates[name][0]
        assert cell == measure_info(name).with_interval(macro)
    head, *rows = table_of(text, "language")
    assert head == ["language", *(SHOWN[name] for name in SHOWN if name != "cross/mAP")]
    assert [row[0] for row in rows] == ["de", "en", "fr", "ja"]
    for row in rows:
        assert row[1] == f"{done.estimates['mono/mAP'][1][row[0]].value:.3f}"
        name = "bias/rank distance"
        assert row[3] == measure_info(name).shown(done.estimates[name][1][row[0]].value)
    results = ModelCard(text).data.eval_results
    assert {r.metric_name: r.metric_value for r in results} == {
        title: round(done.estimates[name][0].value, 4) for name, title in SHOWN.items()
    }
    assert {r.dataset_name for r in results} == {"toy/test"}
    assert ModelCard(text).data.model_name == "mixed"
    # All that was there before is there still.
    for line in before.partition("---\n# ")[2].splitlines():
        assert line in text
    assert SentenceTransformer(str(folder)).encode("cat").shape == (16,)


def test_two_corpora_stand_side_by_side_and_a_second_audit_replaces_the_first(folder) -> None:
    encoder = SentenceTransformer(str(folder))
    one = parallel_corpus(24).named("one")
    queries = [row for row in parallel_corpus(20).queries.to_pylist() if row["lang"] == "en"]
    passages = [row for row in parallel_corpus(20).passages.to_pylist() if row["lang"] != "en"]
    other = Corpus.from_rows(queries, passages, [(f"i{i}", f"i{i}") for i in range(20)], name="two")
    for corpus in (parallel_corpus(20).named("one"), other, one):
        add_audit(folder, audit(encoder, corpus, name="mixed", store=False))
    text = (folder / "README.md").read_text()
    _, *rows = table_of(text, "corpus")
    assert [row[0] for row in rows] == ["one (4 languages)", "two (1 language)"]
    expected = audit(encoder, one, name="mixed", store=False)
    assert rows[0][3].startswith(f"{expected.macro('multi/mAP'):.3f} [")
    assert rows[1][1] == ""  # queries in a language without passages: nothing is within a language
    assert rows[1][2] != ""
    assert "Queries by language, on one:" in text
    assert "Queries by language, on two:" in text
    assert {r.dataset_name for r in ModelCard(text).data.eval_results} == {"one", "two"}


@pytest.mark.slow
def test_training_again_forgets_the_audits(folder, tiny_static) -> None:
    add_audit(folder, audit(SentenceTransformer(str(folder)), parallel_corpus(20), name="mixed", store=False))
    train(copy.deepcopy(tiny_static), parallel_corpus(), flat_settings(**SETTINGS), folder)
    assert not (folder / "audits").exists()
    assert "What audits found" not in (folder / "README.md").read_text()


def test_an_encoder_of_an_earlier_version_has_a_card_too(folder) -> None:
    """Its record lacks what was not yet kept then."""
    file = folder / "training.json"
    record = json.loads(file.read_text())
    for name in ("name", "steps", "processes", "best_step"):
        del record[name]
    file.write_text(json.dumps(record))
    add_audit(folder, audit(SentenceTransformer(str(folder)), parallel_corpus(20), name="mixed", store=False))
    assert ModelCard((folder / "README.md").read_text()).data.model_name == "mixed"


def test_a_folder_that_was_not_trained_here_is_refused(tiny_bert, tiny_static) -> None:
    before = sorted(tiny_bert.iterdir())
    done = audit(tiny_static, parallel_corpus(20), name="x", store=False)
    with pytest.raises(TrainingError, match="was not written by babelmix train"):
        add_audit(tiny_bert, done)
    assert sorted(tiny_bert.iterdir()) == before


def test_prompts_of_several_lines_do_not_break_the_table(tiny_bert, tmp_path) -> None:
    """Instruction-tuned encoders have them."""
    settings = SETTINGS | {"steps": 1, "query_prompt": "Instruct: find | it\nQuery: ", "learning_rate": 1e-4}
    train(load(tiny_bert), parallel_corpus(), flat_settings(**settings), tmp_path / "m")
    text = (tmp_path / "m" / "README.md").read_text()
    assert r"| query_prompt | Instruct: find \| it\nQuery:  |" in text
    assert "| hard_negatives | True |" in text.partition("query_prompt")[2]
    assert SentenceTransformer(str(tmp_path / "m")).prompts["query"] == "Instruct: find | it\nQuery: "
