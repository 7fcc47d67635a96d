"""The bundled experiments, and the paper's six rows end to end on small stand-ins for their data and encoders."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest
from conftest import WORDS
from test_readers import write
from test_readers_qa import squad
from test_readers_wikipedia import packed, record

from babelmix.experiment import load_experiment, run_experiment, write_comparison_report
from babelmix.experiment.bundled import bundled, names
from babelmix.experiment.config import parse_experiment
from babelmix.training import TrainingSettings

PAPER = [f"{model}-{kind}" for model in ("xlmr", "labse") for kind in ("mono", "cross", "hybrid")]
LANGUAGES = {"ar": "arabic", "de": "german", "en": "english", "es": "spanish", "hi": "hindi", "ru": "russian",
             "zh": "chinese"}  # fmt: skip


def sentence(lang: str, number: int) -> str:
    words = WORDS.get(lang, WORDS["en"])
    return f"{words[number % 12]} {words[number // 12 % 12]} {number}"


def lareqa(lang: str) -> str:
    """Twelve questions on six paragraphs of two sentences."""
    paragraphs = []
    for number in range(6):
        first, second = (f"{sentence(lang, 500 + 2 * number + i)}." for i in (0, 1))
        starts = (0, len(first) + 1)
        paragraphs.append({
            "context": f"{first} {second}", "sentences": [first, second],
            "sentence_breaks": [[0, len(first)], [starts[1], starts[1] + len(second)]],
            "qas": [
                {"id": f"{number}-{i}", "question": f"{sentence(lang, 500 + 2 * number + i)}?",
                 "answers": [{"text": "x", "answer_start": starts[i]}]}
                for i in (0, 1)
            ],
        })  # fmt: skip
    return json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]})


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A working directory that holds what the recipes name: hub data sets, LAReQA's folders, the encoders."""
    place = tmp_path_factory.mktemp("stand-ins")
    triples = "".join(f"{i}\t{i}\t{(i + 7) % 130}\n" for i in range(130))
    write(place, "unicamp-dl/mmarco/data/triples.train.ids.small.tsv", triples)
    for lang, name in LANGUAGES.items():
        folder = "unicamp-dl/mmarco/data/google"
        texts = {"q": "".join(f"{i}\t{sentence(lang, i)}?\n" for i in range(130)),
                 "p": "".join(f"{i}\t{sentence(lang, i)} .\n" for i in range(130))}  # fmt: skip
        write(place, f"{folder}/queries/train/{name}_queries.train.tsv", texts["q"])
        write(place, f"{folder}/collections/{name}_collection.tsv", texts["p"])
    records = [record(f"{i}", [f"{i}#0"], [f"{(i + 3) % 120}#1"]) for i in range(120)]
    write(place, "castorini/mr-tydi/mrtydi-v1.1-english/train.jsonl.gz", packed(records))
    paragraphs = [(f"t{i}", f"{sentence('en', 900 + i)} here.", [f"s{i}"]) for i in range(8)]
    for domain in ("new_wiki", "nyt", "reddit", "amazon"):
        write(place, f"ludwigschmidt/squadshifts/{domain}_v1.0.json", json.dumps(squad(*paragraphs)))
    for benchmark, langs in (("xquad-r", ("de", "en", "th")), ("mlqa-r", ("de", "en"))):
        for lang in langs:
            write(place, f"lareqa/{benchmark}/{lang}.json", lareqa(lang))
    for name in ("xlm-roberta-base", "sentence-transformers/LaBSE"):
        shutil.copytree(tiny_bert, place / name)
    return place


@pytest.mark.parametrize("name", names())
def test_every_recipe_is_whole(name: str) -> None:
    experiment = load_experiment(bundled(name))
    assert experiment.name == name
    for strategy in experiment.compare.strategies:
        experiment.run_settings(strategy, 0)


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_rows_have_the_papers_settings(name: str) -> None:
    experiment = load_experiment(bundled(name))
    settings = experiment.run_settings(experiment.compare.strategies[0], 0)
    assert (settings.batch_size, settings.learning_rate, settings.weight_decay) == (100, 3e-5, 1e-2)
    assert (settings.query_prompt, settings.passage_prompt) == ("Query: ", "Passage: ")
    assert settings.strategy == {"mono": "mono", "cross": "cross", "hybrid": "hybrid(0.5)"}[name.split("-")[1]]
    assert len(experiment.compare.seeds) >= 3
    others = [load_experiment(bundled(f"{name.split('-')[0]}-{kind}")) for kind in ("mono", "cross", "hybrid")]
    assert all(
        other.training == experiment.training and other.data.corpus == experiment.data.corpus for other in others
    )
    assert isinstance(settings, TrainingSettings)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xlmr-hybrid", "labse-cross"])
def test_a_row_of_the_paper_runs_end_to_end(name: str, stand_ins: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(stand_ins)
    values = tomllib.loads(bundled(name).read_text(encoding="utf-8"))
    values["data"]["test"] += "?check=false"
    values["data"]["benchmarks"] = [spec + "?check=false" for spec in values["data"]["benchmarks"]]
    values["training"]["steps"] = 6
    values["training"]["schedule"] |= {"evaluate_every": 2, "checkpoint_every": 0}
    values["compare"]["seeds"] = [0]
    said: list[str] = []
    results = run_experiment(parse_experiment(values, name), tmp_path / "out", said.append)
    write_comparison_report(results, tmp_path / "out" / "report.html")
    assert [entry.kind for entry in results.entries] == ["start", "strategy"]
    assert set(results.benchmarks) == {"mlqa-r"}
    strategy = values["compare"]["strategies"][0]
    record = json.loads(
        (tmp_path / "out/runs" / strategy.replace("(", "-").rstrip(")") / "seed-0/training.json").read_text()
    )
    assert set(record["corpus"]["sources"]) == ({"mmarco"} if strategy == "cross" else {"mmarco", "mr-tydi"})
    assert [step for step, _ in record["evaluations"]] == [2, 4, 6]
    assert record["best_step"] in (2, 4, 6)
    assert results.strategies()[0].audits[0].table.query_langs == ("de", "en", "th")
    card = next((tmp_path / "out").rglob("model/README.md")).read_text()
    assert "xquad-r" in card
    assert "mlqa-r" in card
    assert "On mlqa-r" in (tmp_path / "out" / "report.html").read_text()
