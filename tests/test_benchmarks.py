"""Experiments on several corpora, and by several processes at once."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import WORDS, parallel_corpus
from test_experiment import SILENT, check_page, numbers, settings

from babelmix.corpus import Corpus
from babelmix.errors import ConfigError
from babelmix.evaluation import Audit, compare_all
from babelmix.evaluation.measure_info import TESTS
from babelmix.experiment import run_experiment, write_comparison_report
from babelmix.experiment.config import parse_experiment
from babelmix.experiment.jobs import shared


def other_corpus(name: str, items: int, langs: tuple[str, ...] = ("de", "en", "fr", "ja")) -> Corpus:
    """A corpus none of whose passages is in the toy corpus."""
    queries, passages = [], []
    for i in range(items):
        for lang in langs:
            words = [WORDS[lang][p] for p in ((i + 1) % 12, (5 * i + 2) % 12)]
            queries.append({"item": f"i{i}", "lang": lang, "text": f"{words[1]} {i}"})
            passages.append({"item": f"i{i}", "lang": lang, "text": f"{name} {' '.join(words)} {i}"})
    return Corpus.from_rows(queries, passages, [(f"i{i}", f"i{i}") for i in range(items)], name=name)


def with_benchmarks(folder: Path) -> dict[str, Any]:
    values = settings(folder, strategies=["mono", "hybrid"], seeds=[0, 1])
    values["training"]["steps"] = 4
    # A benchmark may be evaluated on, never trained on.
    other_corpus("bench", 24).named("bench", evaluation_only=True).save(folder / "bench")
    other_corpus("wide", 30, ("de", "en")).save(folder / "wide")
    values["data"]["benchmarks"] = [str(folder / "bench"), str(folder / "wide")]
    return values


@pytest.mark.slow
def test_each_benchmark_has_its_own_numbers_and_holm_is_over_all(tmp_path) -> None:
    experiment = parse_experiment(with_benchmarks(tmp_path), "x.toml")
    results = run_experiment(experiment, tmp_path / "out", SILENT)
    assert list(results.benchmarks) == ["bench", "wide"]
    found = numbers(tmp_path / "out")
    pages = {"toy/test": found, **found["benchmarks"]}
    names = list(TESTS)
    raw: list[Any] = []
    shown: list[dict[str, Any]] = []
    for number, (corpus, page) in enumerate(pages.items()):
        assert [entry["corpus"] for entry in page["entries"]] == [corpus] * 3
        assert [entry["name"] for entry in page["entries"]] == ["static (start)", "mono", "hybrid"]
        folder = "audit" if number == 0 else f"audit-{corpus}"
        audits = {
            strategy: [Audit.load(tmp_path / "out" / "runs" / strategy / f"seed-{s}" / folder) for s in (0, 1)]
            for strategy in ("mono", "hybrid")
        }
        for entry in page["entries"][1:]:
            by_seed = [a.macro("multi/mAP") for a in audits[entry["name"]]]
            assert entry["macro"]["multi/mAP"]["by_seed"] == pytest.approx(by_seed)
        start = Audit.load(tmp_path / "out" / "start" / folder)
        assert page["entries"][0]["macro"]["multi/mAP"]["value"] == pytest.approx(start.macro("multi/mAP"))
        systems = {name: [a.measures for a in found] for name, found in audits.items()}
        raw += compare_all(systems, names, against="hybrid")
        assert list(page["tests"]) == ["mono"]
        assert [t["measure"] for t in page["tests"]["mono"]] == names
        shown += page["tests"]["mono"]
        assert page["finding"].startswith(f"On {corpus}, over 2 seeds, hybrid batches reach ")
    # Holm (1979) by hand, over the tests of all three corpora.
    assert [t["p"] for t in shown] == pytest.approx([c.p for c in raw])
    order = sorted(range(12), key=lambda i: raw[i].p)
    highest = 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, (12 - place) * raw[i].p))
        assert shown[i]["p_holm"] == pytest.approx(highest)
    write_comparison_report(results, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    for corpus in pages:
        assert text.count(f"On {corpus}, over 2 seeds, hybrid batches reach") >= 1
    figures = text.count("The same numbers as a table") + text.count('class="hero"')
    check_page(tmp_path / "report.html", images=figures)
    # A benchmark that comes later is added by training nothing again.
    stamps = {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "runs").rglob("*.json")}
    assert len(stamps) > 4
    run_experiment(experiment, tmp_path / "out", SILENT)
    assert all(file.stat().st_mtime_ns == stamp for file, stamp in stamps.items())
    assert numbers(tmp_path / "out") == found


def test_a_benchmark_twice_or_with_training_passages_is_refused(tmp_path) -> None:
    values = with_benchmarks(tmp_path)
    first = values["data"]["benchmarks"][0]
    leaking = Corpus.from_rows(
        parallel_corpus(120).queries.to_pylist(), parallel_corpus(120).passages.to_pylist(),
        [(f"i{i}", f"i{i}") for i in range(120)], name="leaking",
    )  # fmt: skip
    leaking.save(tmp_path / "leaking")
    for benchmarks, message in (
        ([first, first], "data.benchmarks: two corpora have one name"),
        ([str(tmp_path / "leaking")], "240 passages of toy are trained on and are also in leaking"),
    ):
        values["data"]["benchmarks"] = benchmarks
        with pytest.raises(ConfigError, match=message):
            run_experiment(parse_experiment(values, "x.toml"), tmp_path / "out", SILENT)
        assert not (tmp_path / "out").exists()


# --- several processes


def kept(folder: Path, name: str, who: str, pause: float = 0.0) -> str:
    """A job as an experiment has them: what is done is kept, and only loaded again."""
    file = folder / f"{name}.txt"
    if not file.is_file():
        with (folder / "done.log").open("a") as log:
            log.write(f"{name} {who}\n")
        time.sleep(pause)
        file.write_text(f"{name} by {who}")
    return file.read_text()


def test_two_workers_do_each_job_once_and_both_have_all(tmp_path) -> None:
    names = [f"job {number}, seed {number % 2}" for number in range(8)]
    both_started = threading.Barrier(2)
    found: dict[str, dict[str, str]] = {}

    def work(who: str) -> None:
        def job(name: str) -> str:
            # Neither goes on with its first job before the other holds one too, so that both take part.
            if who not in started:
                started.add(who)
                both_started.wait(600)
            return kept(tmp_path, name, who, 0.01)

        found[who] = shared(tmp_path / "locks", {name: (lambda name=name: job(name)) for name in names})

    started: set[str] = set()
    threads = [threading.Thread(target=work, args=(who,)) for who in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found["a"] == found["b"]
    assert list(found["a"]) == names
    lines = [line.rpartition(" ") for line in (tmp_path / "done.log").read_text().splitlines()]
    assert Counter(name for name, _, _ in lines) == dict.fromkeys(names, 1)
    assert {who for _, _, who in lines} == {"a", "b"}


def dying(folder: Path, name: str) -> None:
    """Begin a job, and end as if killed while others wait for it."""

    def half() -> str:
        (folder / "begun").touch()
        while not (folder / "waited for").exists():
            time.sleep(0.01)
        os._exit(9)

    shared(folder / "locks", {name: half})


@pytest.mark.slow
def test_a_job_whose_process_died_is_done_by_another(tmp_path) -> None:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=dying, args=(tmp_path, "second"))
    process.start()
    while not (tmp_path / "begun").exists():
        assert process.is_alive()
        time.sleep(0.01)
    order: list[str] = []

    def job(name: str) -> str:
        order.append(name)
        if name == "third":
            (tmp_path / "waited for").touch()
        return kept(tmp_path, name, "the other")

    names = ["first", "second", "third"]
    found = shared(tmp_path / "locks", {name: (lambda name=name: job(name)) for name in names})
    process.join()
    assert process.exitcode == 9
    # What the other is at is left for last, and done when it has died.
    assert order == ["first", "third", "second"]
    assert found == {name: f"{name} by the other" for name in names}


def test_a_job_that_fails_fails_its_worker_and_frees_the_job(tmp_path) -> None:
    def failing() -> str:
        raise ConfigError("no good")

    with pytest.raises(ConfigError, match="no good"):
        shared(tmp_path / "locks", {"one": failing})
    assert shared(tmp_path / "locks", {"one": lambda: "done"}) == {"one": "done"}


def experiment_process(folder: Path) -> None:
    experiment = parse_experiment(json.loads((folder / "values.json").read_text()), "x.toml")
    run_experiment(experiment, folder / "together", lambda line: None)
    (folder / f"{os.getpid()}.results.json").write_text((folder / "together" / "results.json").read_text())


@pytest.mark.slow
def test_two_processes_on_one_experiment_give_what_one_gives(tmp_path) -> None:
    values = settings(tmp_path, strategies=["mono", "hybrid"], seeds=[0, 1])
    values["training"]["steps"] = 4
    (tmp_path / "values.json").write_text(json.dumps(values))
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=experiment_process, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    run_experiment(parse_experiment(values, "x.toml"), tmp_path / "alone", SILENT)
    expected = numbers(tmp_path / "alone")
    written = [json.loads(file.read_text()) for file in tmp_path.glob("*.results.json")]
    assert written == [expected, expected]
